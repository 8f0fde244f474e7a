#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Stock kernels with several CPUs, in one emulated host with two: what the guest sees of
# their arrangement, where their threads run, and that 16 of them make progress. HOST
# (svm) and KERNEL (6.1) from the environment. TAP.

cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Runs in the host; prints TAP.
cat >"$work/smp.sh" <<'END'
n=0
run() { vmm run --kernel /boot/vmlinuz --initrd /boot/initrd "$@"; }

# is NAME GOT WANT
is()
{
	n=$((n + 1))
	if [ "$2" = "$3" ]; then
		echo "ok $n $1"
	else
		echo "not ok $n $1"
		echo "# got '$2', want '$3'"
		sed 's/^/# err: /' err
		tail -n 5 out | sed 's/^/# out: /'
	fi
}

# The values of a line of /proc/cpuinfo, each once, in order.
values() { tr -d '\r' <out | sed -n "s/^$1[[:space:]]*: //p" | sort -nu | tr '\n' ' '; }

run --append 'quiet console=ttyS0' --cpus 8,sockets=2,cores=2,threads=2 </dev/null >out 2>err
is "8 CPUs: status" $? 0
is "8 CPUs are there" "$(grep -c '^processor' out)" 8
is "8 CPUs: sockets" "$(values 'physical id')" "0 1 "
is "8 CPUs: cores a socket" "$(values 'cpu cores')" "2 "
is "8 CPUs: cores" "$(values 'core id')" "0 1 "
is "8 CPUs: threads a socket" "$(values siblings)" "4 "

vmm run --kernel /boot/vmlinuz --append 'quiet console=ttyS0' --cpus 2 --pin "$CPUS" </dev/null >out 2>err &
for _ in $(seq 600); do
	grep -q '^vcpu1$' /proc/$!/task/*/comm && break
	sleep 0.1
done
# The name comes before the place.
for _ in $(seq 300); do
	for thread in /proc/$!/task/*; do
		case $(cat $thread/comm) in vcpu*)
			echo $(cat $thread/comm) \
				$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' $thread/status) ;;
		esac
	done | sort >where
	[ "$(tr '\n' ' ' <where)" != "vcpu0 ${CPUS%,*} vcpu1 ${CPUS#*,} " ] || break
	sleep 0.1
done
is "two threads are pinned in turn" "$(tr '\n' ' ' <where)" "vcpu0 ${CPUS%,*} vcpu1 ${CPUS#*,} "
kill $!
wait $!
run --append 'quiet console=ttyS0' --pin 4095 </dev/null >out 2>err
is "a host CPU that is not there: status" $? 10

run --append 'quiet console=ttyS0' --cpus 16 </dev/null >out 2>err
is "16 CPUs on two: status" $? 0
is "16 CPUs are there" "$(grep -c '^processor' out)" 16
echo "1..$n"
END
# The lab keeps the command off CPU 0 of QEMU's hosts.
echo "TAP version 13"
lab/lab --host "${HOST:-svm}" --kernel "${KERNEL:-6.1}" --smp 2 --timeout "${LIMIT:-300}" \
	--put "$work/smp.sh" -- env CPUS="${CPUS:-2,1}" sh smp.sh </dev/null >"$work/out" 2>"$work/err"
status=$?
tr -d '\r' <"$work/out"
if [ $status != 0 ]; then
	echo "Bail out! the lab ended with status $status"
	tail -n 20 "$work/err" | sed 's/^/# lab: /'
	exit 1
fi
grep -q '^1\.\.' "$work/out" && ! grep -q '^not ok' "$work/out"
