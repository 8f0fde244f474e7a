#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The user's terminal under `vmm run`: raw while the guest has it, and as it was
# before whatever happens, but for SIGKILL, which no program can answer. lab/tests/pty.c
# is the terminal, the shell and the user. HOST (svm) and KERNEL (6.1) from the
# environment; the guest is a 6.1 whatever KERNEL is, which has less to unpack. TAP.

cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
gcc -O2 -Wall -Wextra -static -o "$work/pty" lab/tests/pty.c || exit 1

# A shell on the first virtio console, once its driver is there, and another behind it.
mkdir "$work/guest"
cat >"$work/guest/script" <<'END'
modprobe virtio_pci
modprobe -q virtio_console
while sleep 0.1; do
	PS1='guest# ' setsid -c sh <>/dev/hvc0 >&0 2>&1
done
END
(cd "$work/guest" && echo script | cpio --quiet -o -H newc -R 0:0) | gzip -n >"$work/script.cpio"

# Runs in the host; prints TAP.
cat >"$work/terminal.sh" <<'END'
n=0
words='quiet console=ttyS0 shell'
initrd=/boot/initrd

# does NAME [option of vmm run]...: the steps on standard input can all be done.
does()
{
	name=$1
	shift
	n=$((n + 1))
	if ./pty vmm run --kernel /boot/vmlinuz-6.1 --initrd "$initrd" \
		--append "$words" "$@" 2>err; then
		echo "ok $n $name"
	else
		echo "not ok $n $name"
		tail -n 20 err | tr -d '\r' | sed 's/^/# /'
	fi
}

does "power-off: restored; until then every key is the guest's" <<'S'
mode raw
expect guest#
send sh -c 'echo now $((40+1)); exec sleep 1000'\r
expect now 41
send \x03
expect guest#
send cho "sum $((40+2))"\x01ae\r
expect sum 42
send poweroff -f\r
status 0
mode cooked
S
does "panic: restored, and the message is behind it" <<'S'
expect guest#
send echo c >/proc/sysrq-trigger\r
expect vmm: the guest's kernel panicked; CPU 0, last exit
status 21
mode cooked
S
does "Ctrl-A h lists the keys, Ctrl-A x ends: restored" <<'S'
mode raw
send \x01h
expect vmm: Ctrl-A x ends the guest
mode raw
send \x01x
status 0
mode cooked
S
does "SIGTSTP: restored while stopped, raw again afterwards" <<'S'
mode raw
expect guest#
signal TSTP
stopped
mode cooked
background
foreground
signal CONT
mode raw
send echo "sum $((40+2))"\r
expect sum 42
signal TSTP
stopped
mode cooked
signal CONT
mode raw
send \x01x
status 0
mode cooked
S
does "started in the background: left alone, taken when in the foreground" <<'S'
background
expect guest#
mode cooked
send echo "not for the guest"\r
foreground
mode raw
send echo "sum $((40+2))"\r
expect sum 42
send \x01x
status 0
mode cooked
S
# The shell has its own mode by then; to touch the terminal would stop the process.
does "ended in the background: not touched" <<'S'
mode raw
signal STOP
stopped
background
reset
signal CONT
signal TERM
status 143
mode cooked
S
# Those that the event loop takes, those of a program's errors, and some that others send.
for each in TERM:143 INT:130 HUP:129 QUIT:131 SEGV:139 BUS:135 ILL:132 FPE:136 ABRT:134 \
	TRAP:133 USR2:140 ALRM:142 XCPU:152; do
	does "SIG${each%:*}: restored" <<S
mode raw
signal ${each%:*}
status ${each#*:}
mode cooked
S
done
# This one only has sizes of disks read again.
does "SIGUSR1: goes on" <<'S'
mode raw
signal USR1
send echo "sum $((40+2))"\r
expect sum 42
send \x01x
status 0
mode cooked
S
does "SIGUSR2 under --stats: a table, and goes on" --stats <<'S'
mode raw
expect guest#
signal USR2
expect but host interrupts
expect pages of page tables
send echo "sum $((40+2))"\r
expect sum 42
send \x01x
expect but host interrupts
status 0
mode cooked
S
cat /boot/initrd "/boot/modules-$1" script.cpio >/tmp/initrd
words='quiet console=ttyS0 script'
initrd=/tmp/initrd
does "a virtio console: keys and output are its own, and another size is the guest's too" \
	--console stdio <<'S'
size 100 31
mode raw
expect guest#
send stty size\r
expect 31 100
size 77 22
send sleep 1; stty size; echo "sum $((40+2))"\r
expect 22 77
expect sum 42
send \x01x
status 0
mode cooked
S
does "no start: not touched" --mem 1K <<'S'
expect vmm: run: --mem 1K: out of range
status 2
mode cooked
S
echo "1..$n"
END
echo "TAP version 13"
lab/lab --host "${HOST:-svm}" --kernel "${KERNEL:-6.1}" --timeout "${LIMIT:-600}" \
	--put "$work/pty" --put "$work/terminal.sh" --put "$work/script.cpio" -- \
	sh terminal.sh 6.1 \
	</dev/null >"$work/out" 2>"$work/err"
status=$?
tr -d '\r' <"$work/out"
if [ $status != 0 ]; then
	echo "Bail out! the lab ended with status $status"
	tail -n 20 "$work/err" | sed 's/^/# lab: /'
	exit 1
fi
grep -q '^1\.\.' "$work/out" && ! grep -q '^not ok' "$work/out"
