#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# How a guest, a user and a broken machine end `vmm run`: exit status and message of
# each, in one emulated host. HOST (svm) and KERNEL (6.1) from the environment. TAP.

cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Runs in the host; prints TAP.
cat >"$work/ends.sh" <<'END'
run() { timeout 60 vmm run --kernel /boot/vmlinuz --initrd /boot/initrd "$@"; }
guest='quiet console=ttyS0 shell'
n=0

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

# Wait until the guest has said $1 times what it is; the run itself has a limit.
booted()
{
	for _ in $(seq 250); do
		[ "$(grep -c '^Linux' out)" -lt "$1" ] || return
		sleep 0.2
	done
}

said() { grep -q "$1" "$2" && echo yes || echo no; }

echo 'poweroff -f' | run --append "$guest" >out 2>err
is "power-off: status" $? 0
is "power-off: no message" "$(cat err)" ""

echo 'reboot -f' | run --no-reboot --append "$guest" >out 2>err
is "restart under --no-reboot: status" $? 0

# What the second run is to read must not be there while the first one lives.
: >out
(echo 'reboot -f'; booted 2; echo 'poweroff -f') | run --append "$guest" >out 2>err
is "restart: status of the second run" $? 0
is "restart: the guest booted twice" "$(grep -c '^Linux' out)" 2

echo 'echo c >/proc/sysrq-trigger' | run --append "$guest" >out 2>err
is "panic: status" $? 21
is "panic: message with exit and RIP" "$(said "^vmm: .*panicked; CPU 0, last exit PIO, RIP 0x" err)" yes

echo 'reboot -f' | run --append "$guest reboot=triple" >out 2>err
is "triple fault: status" $? 20
is "triple fault: message" "$(said "^vmm: .*triple fault; CPU 0, last exit SHUTDOWN, RIP 0x" err)" yes

for sig in TERM INT HUP QUIT; do
	vmm run --kernel /boot/vmlinuz --append "$guest" </dev/null >out 2>err &
	sleep 2
	kill -$sig $!
	wait $!
	is "SIG$sig: status" $? $((128 + $(kill -l $sig)))
done

run --append "console=ttyS0" 2>err </dev/null | head -n 1 >out
run --append "console=ttyS0" </dev/null >/dev/full 2>err
is "output that cannot be written: status" $? 10

vmm run --kernel /boot/vmlinuz --mem 16M >out 2>err
is "no room: status" $? 4
vmm run --kernel /etc/passwd >out 2>err
is "no kernel: status" $? 3
vmm run --kernel /dev/null >out 2>err
is "a device as kernel: status" $? 3
vmm run >out 2>err
is "usage: status" $? 2
is "usage: one line" "$(wc -l <err)" 1
mv /dev/vmm /dev/vmm.away
vmm run --kernel /boot/vmlinuz >out 2>err
is "no device: status" $? 5
ln /dev/null /dev/vmm 2>/dev/null || ln -s /dev/null /dev/vmm
vmm run --kernel /boot/vmlinuz >out 2>err
is "no vmm device: status" $? 9
rm /dev/vmm
mv /dev/vmm.away /dev/vmm
is "nothing holds the module" "$(cat /sys/module/vmm/refcnt)" 0
echo "1..$n"
END
echo "TAP version 13"
lab/lab --host "${HOST:-svm}" --kernel "${KERNEL:-6.1}" --timeout "${LIMIT:-300}" \
	--put "$work/ends.sh" -- sh ends.sh </dev/null >"$work/out" 2>"$work/err"
status=$?
tr -d '\r' <"$work/out"
if [ $status != 0 ]; then
	echo "Bail out! the lab ended with status $status"
	tail -n 20 "$work/err" | sed 's/^/# lab: /'
	exit 1
fi
grep -q '^1\.\.' "$work/out" && ! grep -q '^not ok' "$work/out"
