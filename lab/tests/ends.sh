#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# How a guest, a user and a broken machine end `vmm run`: exit status and message of
# each, in one emulated host. HOST (svm) and KERNEL (6.1) from the environment; the
# guest is a 6.1 whatever KERNEL is, which has less to unpack. TAP.

cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# To a program under this the module says that its ABI is the next one.
gcc -O2 -Wall -shared -fPIC -I include/uapi -x c -o "$work/next_abi.so" - <<'END' || exit 1
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/vmm.h>

int ioctl(int fd, unsigned long request, ...)
{
	va_list args;
	void *arg;
	int ret;

	va_start(args, request);
	arg = va_arg(args, void *);
	va_end(args);
	ret = syscall(SYS_ioctl, fd, request, arg);
	if (!ret && request == VMM_GET_INFO)
		((struct vmm_info *)arg)->abi_version++;
	return ret;
}
END

# Runs in the host; prints TAP.
cat >"$work/ends.sh" <<'END'
run() { timeout 250 vmm run --kernel /boot/vmlinuz-6.1 --initrd /boot/initrd "$@"; }
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
	for _ in $(seq 1000); do
		[ "$(grep -c '^Linux' out)" -lt "$1" ] || return
		sleep 0.2
	done
}

# A guest in the background, once it has begun to speak.
start()
{
	: >out
	"$@" vmm run --kernel /boot/vmlinuz-6.1 --initrd /boot/initrd \
		--append "console=ttyS0 shell" </dev/null >out 2>err &
	for _ in $(seq 1000); do
		[ ! -s out ] || return
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

# In a script's background SIGINT is ignored until the program handles it: it has
# when the guest speaks.
for sig in TERM INT HUP QUIT; do
	start
	kill -$sig $!
	wait $!
	is "SIG$sig: status" $? $((128 + $(kill -l $sig)))
	is "SIG$sig: no message" "$(cat err)" ""
done
# As nohup does, which busybox has not.
start sh -c 'trap "" HUP; exec "$@"' sh
kill -HUP $!
kill -TERM $!
wait $!
is "SIGHUP under nohup: ignored" $? 143

{ run --append "console=ttyS0" 2>err </dev/null; echo $? >status; } | head -n 1 >out
is "a reader that goes away: as SIGPIPE" "$(cat status)" 141

# refused NAME STATUS TEXT COMMAND...: no guest, but a status, one line that says what
# (TEXT is of it) and behind a semicolon what to do, and nothing left in the module.
refused()
{
	name=$1
	want="status $2, 1 line, as wanted: yes, references: 0"
	text=$3
	shift 3
	"$@" >out 2>err </dev/null
	is "$name" "status $?, $(grep -c '' err) line, as wanted: $(said "^vmm: .*$text.*; ." err), references: $(cat /sys/module/vmm/refcnt)" "$want"
}

as_nobody() { su -s /bin/sh -c "cd /; $1" nobody; }
kernel() { timeout 250 vmm run --initrd /boot/initrd --kernel "$@"; }

vmm --version >out 2>err
is "--version: status" $? 0
is "--version: one line with a number" "$(grep -cx 'vmm [0-9.]*' out) of $(grep -c '' out)" "1 of 1"
vmm run --help >out 2>err
is "run --help: status" $? 0
is "run --help: options, keys, statuses" \
	"$(grep -cE -e '^  --kernel FILE ' -e '^  Ctrl-A x ' -e '^   21  the guest' out)" 3

refused "usage: no kernel" 2 "no kernel given" vmm run
refused "usage: no command" 2 "no command" vmm
refused "usage: a command that is none" 2 "'walk'" vmm walk
refused "usage: an option that is none" 2 "'--memory'" vmm run --memory 1G
refused "usage: memory out of range" 2 "out of range" kernel /boot/vmlinuz --mem 2T

: >empty
mkfifo fifo
cp /boot/vmlinuz secret
chmod 0 secret
chmod 755 /root
refused "kernel: missing" 3 "/nowhere: No such file" kernel /nowhere
refused "kernel: a directory" 3 "/boot is not a regular file" kernel /boot
refused "kernel: a device" 3 "/dev/zero is not a regular file" kernel /dev/zero
refused "kernel: a pipe nobody writes" 3 "fifo is not a regular file" kernel fifo
refused "kernel: empty" 3 "empty is empty" kernel empty
refused "kernel: text" 3 "kernel .etc.passwd is n" kernel /etc/passwd
refused "kernel: unreadable" 3 "secret: Permission denied" \
	as_nobody "vmm run --kernel /root/secret"
for size in 1 511 515 600 4096 1000000; do
	head -c $size /boot/vmlinuz >cut
	refused "bzImage of $size bytes" 3 "kernel cut" kernel cut
done
for size in 4 63 64 100; do
	head -c $size /bin/busybox >cut
	refused "ELF file of $size bytes" 3 "kernel cut" kernel cut
done
refused "ELF file that is no kernel" 3 "busybox cannot be booted" kernel /bin/busybox
refused "initrd: missing" 3 "initrd /nowhere: No such file" \
	vmm run --kernel /boot/vmlinuz --initrd /nowhere
refused "initrd: empty" 3 "initrd empty is empty" \
	vmm run --kernel /boot/vmlinuz --initrd empty

dd if=/dev/null of=large bs=1M seek=300 2>/dev/null
refused "kernel too large" 4 "does not fit: it needs memory up to .* MiB" \
	kernel /boot/vmlinuz --mem 16M
refused "initrd too large" 4 "initrd large does not fit" \
	vmm run --kernel /boot/vmlinuz --initrd large
refused "command line too long" 4 "command line has 5.* characters" \
	kernel /boot/vmlinuz --append "$(printf '%5000s' x)"

refused "no permission" 6 "cannot use /dev/vmm: no permission" \
	as_nobody "vmm run --kernel /boot/vmlinuz"
refused "a module of another version" 9 "of different versions" \
	env LD_PRELOAD=/root/next_abi.so vmm run --kernel /boot/vmlinuz
case $(uname -r) in
6.12.*)
	# From its load on it has the CPUs.
	modprobe kvm_amd
	refused "KVM has the CPUs" 8 "another hypervisor holds the CPUs" kernel /boot/vmlinuz
	rmmod kvm_amd ;;
esac
mv /dev/vmm /dev/vmm.away
refused "no device" 5 "module vmm is not loaded" kernel /boot/vmlinuz
ln -s /dev/null /dev/vmm
refused "no vmm device" 9 "not a vmm device" kernel /boot/vmlinuz
rm /dev/vmm
mv /dev/vmm.away /dev/vmm

run --append "console=ttyS0" </dev/null >/dev/full 2>err
is "output that cannot be written: status" $? 10
is "output that cannot be written: one line" "$(grep -c '^vmm: .*; ' err)" 1
refused "no memory for the guest" 10 "cannot reserve 512 MiB" \
	sh -c 'ulimit -v 300000; exec vmm run --kernel /boot/vmlinuz --mem 512M'
refused "no descriptor" 10 "too many open files" \
	sh -c 'ulimit -n 4; exec vmm run --kernel /boot/vmlinuz'
echo "1..$n"
END
echo "TAP version 13"
lab/lab --host "${HOST:-svm}" --kernel "${KERNEL:-6.1}" --timeout "${LIMIT:-600}" \
	--put "$work/ends.sh" --put "$work/next_abi.so" -- sh ends.sh </dev/null >"$work/out" 2>"$work/err"
status=$?
tr -d '\r' <"$work/out"
if [ $status != 0 ]; then
	echo "Bail out! the lab ended with status $status"
	tail -n 20 "$work/err" | sed 's/^/# lab: /'
	exit 1
fi
grep -q '^1\.\.' "$work/out" && ! grep -q '^not ok' "$work/out"
