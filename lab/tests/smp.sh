#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Stock kernels with several CPUs, in one emulated host with two: what the guest sees of
# their arrangement, where and how their threads run, that the mailbox starts them, that 16 of them make progress, that they come
# and go while the guest runs, and that it bears to be stopped. HOST (svm) and KERNEL (6.1) from the environment. TAP.

cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Runs in the guests: says what it sees when a CPU has come or gone; with the word "each"
# runs a process on every one.
mkdir "$work/guest"
cat >"$work/guest/script" <<'END'
case " $(cat /proc/cmdline) " in
*" each "*)
	cat /proc/cpuinfo
	each= cpu=0
	while [ $cpu -lt $(nproc) ]; do
		set -- $(taskset $(printf %x $((1 << cpu))) cat /proc/self/stat)
		shift 38
		each="$each $1"
		cpu=$((cpu + 1))
	done
	echo "each:$each"
	mount -t sysfs sysfs /sys 2>/dev/null
	cpu=$((cpu - 1))
	online=/sys/devices/system/cpu/cpu$cpu/online
	echo 0 >$online
	left=$(nproc)
	echo 1 >$online
	set -- $(taskset $(printf %x $((1 << cpu))) cat /proc/self/stat)
	shift 38
	echo "inside: $left without the last, $(nproc) with it, this runs on $1"
	exit ;;
esac
mount -t sysfs sysfs /sys 2>/dev/null
case " $(cat /proc/cmdline) " in
*" last "*)
	cpus=/sys/devices/system/cpu
	last=$(sed 's/.*-//' $cpus/possible)
	echo 1 >$cpus/cpu$last/online
	set -- $(taskset $(printf "1%0$((last / 4))d" 0) cat /proc/self/stat)
	shift 38
	echo "last: $(cat $cpus/online), this runs on $1"
	exit ;;
esac
cpu1=/sys/devices/system/cpu/cpu1
until_it_is()
{
	i=0
	while ! test "$@" && [ $i -lt 600 ]; do
		sleep 0.1
		i=$((i + 1))
	done
}
has_come()
{
	until_it_is -e $cpu1
	echo 1 >$cpu1/online
	taskset -p 2 $$ >/dev/null
	echo "$1: $(nproc --all) CPUs, this runs on one of $(nproc)"
	taskset -p 3 $$ >/dev/null
}
has_gone()
{
	until_it_is ! -e $cpu1
	echo "$1: $(nproc) CPUs"
}
echo "start: $(nproc) CPUs, possible $(cat /sys/devices/system/cpu/possible)"
has_come added
has_gone removed
has_come "added again"
echo "end: $(nproc) CPUs"
case " $(cat /proc/cmdline) " in
*" paused "*) ;;
*) exit ;;
esac
# The watchdog complains after two seconds then, but not of a CPU that is idle.
echo 1 >/proc/sys/kernel/watchdog_thresh
dmesg -c >/dev/null
while :; do :; done &
sleep 3
echo "ready: $(date +%s)"
last=$(date +%s) longest=0
while [ $longest -lt 8 ]; do
	sleep 0.1
	now=$(date +%s)
	[ $((now - last)) -le $longest ] || longest=$((now - last))
	last=$now
done
sleep 4
kill $!
echo "lockups: $(dmesg | grep -c 'soft lockup')"
echo "again: $(date +%s)"
END
# Compressed: what follows another archive would have to be aligned otherwise.
(cd "$work/guest" && find . -mindepth 1 | cpio --quiet -o -H newc -R 0:0) | gzip -n >"$work/script.cpio"

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

for series in 6.1 6.12; do
	for cpus in 2 4; do
		vmm run --kernel "/boot/vmlinuz-$series" --initrd /boot/initrd --cpus $cpus \
			--append 'quiet console=ttyS0' --smp-boot mailbox </dev/null >out 2>err
		is "$series, $cpus CPUs by the mailbox: status" $? 0
		is "$series, $cpus CPUs by the mailbox: are there" "$(grep -c '^processor' out)" $cpus
	done
done

# Name, nice value and policy (as in sched.h) of each CPU's thread: fields 19 and 41 of its stat.
scheduled()
{
	for thread in /proc/$1/task/*; do
		case $(cat $thread/comm) in vcpu*)
			echo $(cat $thread/comm) $(sed 's/.*) //' $thread/stat | cut -d' ' -f17,39) ;;
		esac
	done | sort | tr '\n' ' '
}
vmm run --kernel /boot/vmlinuz --append 'quiet console=ttyS0' --cpus 4 \
	--sched fifo:7,nice:-3,idle </dev/null >out 2>err &
for _ in $(seq 300); do
	[ "$(scheduled $!)" != "vcpu0 0 1 vcpu1 -3 0 vcpu2 0 5 vcpu3 0 1 " ] || break
	sleep 0.1
done
is "threads are scheduled in turn" "$(scheduled $!)" "vcpu0 0 1 vcpu1 -3 0 vcpu2 0 5 vcpu3 0 1 "
kill $!
wait $!
for list in fifo:7 nice:-1; do
	su -s /bin/sh -c "cd /; vmm run --kernel /boot/vmlinuz --sched $list" nobody </dev/null >out 2>err
	is "--sched $list without privilege: status" $? 6
	is "--sched $list without privilege: what to do" "$(grep -c 'ulimit -' err)" 1
done

# told WHAT: the guest says so within two minutes.
told()
{
	i=0
	while ! grep -q "^$1: " out && kill -0 $vm 2>/dev/null && [ $i -lt 1200 ]; do
		sleep 0.1
		i=$((i + 1))
	done
}
tell() { vmm control /tmp/control "$@" 2>&1; }
line() { tr -d '\r' <out | sed -n "s/^$1: //p"; }

# The guest's clock goes on while the process is stopped, and its watchdogs are told.
pause()
{
	told ready
	# On this host a guest is some seconds late from the start (docs/testing.md).
	late=$(($(date +%s) - $(line ready)))
	kill -STOP $vm
	sleep 10
	kill -CONT $vm
	told again
	late=$(($(date +%s) - $(line again) - late))
	[ $late -lt -3 ] || [ $late -gt 3 ] || late=none
	is "$1, stopped: seconds that the guest missed" "$late" none
	is "$1, stopped: nothing looks stuck to it" "$(line lockups)" 0
}

# hotplug SERIES [WORD]: CPUs come and go in a guest of that kernel. WORD paused: stop it, too.
hotplug()
{
	# Not what the last guest said: the shell that empties it runs beside this one.
	: >out
	vmm run --kernel "/boot/vmlinuz-$1" --initrd initrd --append "quiet console=ttyS0 script $2" \
		--cpus 1,max=4 --control /tmp/control </dev/null >out 2>err &
	vm=$!
	told start
	is "$1: starts with one CPU of four" "$(line start)" "1 CPUs, possible 0-3"
	is "$1: a second one" "$(tell cpus 2)" ok
	told added
	is "$1: comes up and works" "$(line added)" "2 CPUs, this runs on one of 1"
	is "$1: is shown" "$(tell show)" "cpus=2 wanted=2 max=4"
	is "$1: is to go" "$(tell cpus 1)" ok
	told removed
	is "$1: goes" "$(line removed)" "1 CPUs"
	is "$1: is gone" "$(tell show)" "cpus=1 wanted=1 max=4"
	is "$1: not more than there can be" "$(tell cpus 5)" \
		"vmm: control: cpus 5: that is more than --cpus allows by max"
	is "$1: the first CPU stays" "$(tell cpus 0)" "vmm: control: cpus 0: the first CPU stays"
	is "$1: a number" "$(tell cpus x)" "vmm: control: cpus x: not a number of CPUs"
	is "$1: a command" "$(tell halt)" \
		"vmm: control: not a command; write 'cpus N', 'link NAME up|down' or 'show'"
	is "$1: the second one again" "$(tell cpus 2)" ok
	[ "$2" != paused ] || pause "$1"
	wait $vm
	is "$1: the guest powers off" $? 0
	is "$1: with two CPUs" "$(line end)" "2 CPUs"
	is "$1: then nobody answers: status" "$(tell show >/dev/null; echo $?)" 3
}
cat /boot/initrd script.cpio >initrd
hotplug 6.1 paused
hotplug 6.12

# The values of a line of /proc/cpuinfo, each once, in order.
values() { tr -d '\r' <out | sed -n "s/^$1[[:space:]]*: //p" | sort -nu | tr '\n' ' '; }

# Linux takes CPUs with ids above 254 if it is handed over in x2APIC mode. All of them would take minutes here.
for series in 6.1 6.12; do
	vmm run --kernel "/boot/vmlinuz-$series" --initrd initrd --cpus 257 --mem 1G \
		--append 'quiet console=ttyS0 maxcpus=2 script last' </dev/null >out 2>err
	is "$series, 257 CPUs: status" $? 0
	is "$series, 257 CPUs: the last one starts" "$(line last)" "0-1,256, this runs on 256"
done

for series in 6.1 6.12; do
	vmm run --kernel "/boot/vmlinuz-$series" --initrd initrd --append 'quiet console=ttyS0 script each' \
		--cpus 16,sockets=2,cores=4,threads=2 </dev/null >out 2>err
	is "$series, 16 CPUs on two: status" $? 0
	is "$series, 16 CPUs are there" "$(grep -c '^processor' out)" 16
	is "$series, 16 CPUs: sockets" "$(values 'physical id')" "0 1 "
	is "$series, 16 CPUs: cores a socket" "$(values 'cpu cores')" "4 "
	is "$series, 16 CPUs: cores" "$(values 'core id')" "0 1 2 3 "
	is "$series, 16 CPUs: threads a socket" "$(values siblings)" "8 "
	is "$series, 16 CPUs: a process runs on each" "$(line each)" "$(seq -s ' ' 0 15)"
	is "$series, 16 CPUs: the guest takes one out and in" "$(line inside)" \
		"15 without the last, 16 with it, this runs on 15"
done
echo "1..$n"
END
# The lab keeps the command off CPU 0 of QEMU's hosts.
case ${HOST:-svm} in
svm*) cpus=2,1 ;;
*) cpus=1,0 ;;
esac
echo "TAP version 13"
lab/lab --host "${HOST:-svm}" --kernel "${KERNEL:-6.1}" --smp 2 --timeout "${LIMIT:-300}" \
	--put "$work/smp.sh" --put "$work/script.cpio" -- env CPUS=$cpus sh smp.sh </dev/null >"$work/out" 2>"$work/err"
status=$?
tr -d '\r' <"$work/out"
if [ $status != 0 ]; then
	echo "Bail out! the lab ended with status $status"
	tail -n 20 "$work/err" | sed 's/^/# lab: /'
	exit 1
fi
grep -q '^1\.\.' "$work/out" && ! grep -q '^not ok' "$work/out"
