#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What a host may do while VMs run: CPUs off and on, suspend, unload, kill, the
# other hypervisor, tracing, and every way to go down. HOST (svm, vmx) and KERNEL
# (6.1) from the environment, or the names of cases as arguments. TAP on standard
# output. Every case is one boot of a host, has the lab's own checks as well (no
# complaint in the log, vmm.ko unloads at the end), and its steps are in
# hostlife-host.

cd "$(dirname "$0")/../.." || exit 1
host=${HOST:-svm}
kernel=${KERNEL:-6.1}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. lab/tests/tap.sh
gcc -O2 -Wall -static -I include/uapi -o "$work/hostprobe" lab/tests/hostprobe.c || exit 1
gcc -m32 -ffreestanding -fno-pic -fno-stack-protector -fno-asynchronous-unwind-tables \
	-fno-toplevel-reorder -fcf-protection=none -mno-sse -mno-mmx -O1 -Wall -Wextra -nostdlib \
	-static -Wl,--build-id=none,-Ttext=0x100000,--oformat=binary -o "$work/adder" \
	lab/tests/kernels/adder.c || exit 1

failed()
{
	tail -n 60 "$work/err" | sed 's/^/# lab: /'
}

# in_host CASE [lab option]...: runs it; its lines, numbered; its status is $status.
in_host()
{
	local case=$1 line

	shift
	LAB_LOG=$work/log lab/lab --host "$host" --kernel "$kernel" --mem 1024 \
		--timeout "${LIMIT:-300}" --put "$work/hostprobe" --put "$work/adder" \
		--put lab/tests/hostlife-host "$@" -- sh hostlife-host "$case" \
		</dev/null >"$work/out" 2>"$work/err"
	status=$?
	while read -r line; do
		case $line in
		"ok "*) n=$((n + 1)); echo "ok $n $case: ${line#ok }" ;;
		"not ok "*) n=$((n + 1)); bad=1; echo "not ok $n $case: ${line#not ok }" ;;
		*) echo "# ${line#\# }" ;;
		esac
	done <"$work/out"
}

# A case that the host survives.
stays_up()
{
	in_host "$@"
	ok "$1: the host is well at the end" test $status = 0
}

said()
{
	grep -q "$1" "$work/err"
}

logged()
{
	grep -q "$1" "$work/log"
}

# Down without a word of complaint, and the emulator ended by itself.
went_down()
{
	[ $status = 125 ] && said "the host went down under the command" &&
		! said "the host hangs"
}

case_cpus() { stays_up cpus --smp 2; }
case_suspend() { LAB_NO_PING=1 stays_up suspend --smp 2; }
case_kill() { stays_up kill --smp 2; }
case_kvm_first() { stays_up kvm_first --smp 2; }
case_kvm_second() { stays_up kvm_second --smp 2; }

# Not one of the whole list: kvm_first has it all, but in Bochs that takes minutes.
case_conflict() { stays_up conflict; }

case_nmi() { stays_up nmi --smp 2; }

# One CPU: QEMU 7.2 with several keeps stale translations of text that the tracer
# patches while another CPU runs it, and hangs.
case_trace() { LAB_FTRACE=1 stays_up trace; }

case_off()
{
	in_host off --smp 2
	ok "off: the host powers off under a guest" went_down
	ok "off: and says so" logged "reboot: Power down"
}

case_reboot()
{
	in_host reboot --smp 2
	ok "reboot: the host restarts under a guest" went_down
	ok "reboot: and says so" logged "reboot: machine restart"
}

# The only complaint is the panic that was asked for, and the reset after it came; a host of
# Bochs, which would reset for ever, stays at the panic.
case_panic()
{
	LAB_PANIC_LIMIT=20 in_host panic --smp 2
	case $host in
	vmx*) ok "panic: the host panics under a guest" \
		eval '[ $status = 125 ] && said "lab: the host panicked"' ;;
	*) ok "panic: the host panics under a guest and resets" \
		eval '[ $status = 125 ] && ! said "lab: the host panicked"' ;;
	esac
	ok "panic: that it was told to is its only complaint" \
		eval 'logged "Kernel panic - not syncing: sysrq triggered crash" && only_panic'
}

only_panic()
{
	! grep -E 'BUG:|Oops:|\] WARNING:|KASAN:|INFO: (possible|rcu|task)|general protection' \
		"$work/log"
}

# The next kernel says what it found. In Bochs it takes minutes to begin, as it is hashed twice
# before, so that has one CPU; a crash kernel likewise.
case_kexec()
{
	case $host in
	vmx*)
		LAB_SILENCE_LIMIT=600 in_host kexec
		ok "kexec: the next kernel runs" logged "next: online 0"
		ok "kexec: VMXE is clear, as KVM finds it" logged "next: KVM's VM: exit 5" ;;
	*)
		in_host kexec --smp 2
		ok "kexec: the next kernel runs" logged "next: online"
		ok "kexec: it has all CPUs" logged "next: online 0-[12]"
		ok "kexec: SVME is clear on each" \
			eval 'logged "next: cpu 1 svme 0" && ! logged "next: cpu . svme 1"' ;;
	esac
}

case_crash()
{
	local patience=60 cpus=2

	case $host in
	vmx*) patience=600 cpus=1 ;;
	esac
	LAB_KERNEL_ARGS="crashkernel=256M" LAB_PANIC_LIMIT=$patience LAB_SILENCE_LIMIT=$patience \
		in_host crash --smp $cpus
	ok "crash: the crash kernel runs" logged "next: online 0"
	case $host in
	vmx*) ok "crash: VMXE is clear, as KVM finds it" logged "next: KVM's VM: exit 5" ;;
	*) ok "crash: SVME is clear on its CPU" logged "next: cpu 0 svme 0" ;;
	esac
}

echo "TAP version 13"
[ $# -gt 0 ] || set -- cpus suspend kill kvm_first kvm_second nmi trace off reboot panic kexec crash
for name; do
	"case_$name"
done
echo "1..$n"
exit $bad
