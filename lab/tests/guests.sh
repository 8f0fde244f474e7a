#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Stock Debian kernels as guests, through the runner, in an emulated host:
# HOST (svm) and KERNEL (6.1) from the environment. TAP on standard output.
# Every run also has the lab's own checks: no complaint in the host's log, and
# vmm.ko can be unloaded at the end.

cd "$(dirname "$0")/../.." || exit 1
host=${HOST:-svm}
kernel=${KERNEL:-6.1}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
n=0
bad=0
append='quiet console=ttyS0'

lab()
{
	lab/lab --host "$host" --kernel "$kernel" --timeout "${LIMIT:-180}" "$@"
}

# ok NAME COMMAND...: the command's status decides; on failure the guest speaks.
ok()
{
	local name=$1

	shift
	n=$((n + 1))
	if "$@"; then
		echo "ok $n $name"
	else
		bad=1
		echo "not ok $n $name"
		tail -n 25 "$work/out" | sed 's/^/# guest: /'
		tail -n 40 "$work/err" | sed 's/^/# lab: /'
	fi
}

# boots SERIES [vmm run option]...
boots()
{
	local series=$1 status

	shift
	lab -- vmm run --kernel "/boot/vmlinuz-$series" --initrd /boot/initrd \
		--append "$append" --mem 256M "$@" </dev/null >"$work/out" 2>"$work/err"
	status=$?
	ok "stock $series kernel boots and powers off with status 0" test $status = 0
	ok "stock $series guest says its release" \
		grep -q "^Linux .* $series\.[0-9]*.*-cloud-amd64" "$work/out"
	ok "stock $series guest prints its /proc/cpuinfo" \
		grep -q "^processor[[:space:]]*: 0" "$work/out"
	ok "stock $series guest sees the hypervisor and no virtualization of its own" \
		sees_hypervisor
}

sees_hypervisor()
{
	grep '^flags' "$work/out" | grep -w hypervisor >/dev/null &&
		! grep '^flags' "$work/out" | grep -wE 'vmx|svm' >/dev/null
}

# Exits of the last guest's table, those that come with time left out: the host's
# interrupts, the guest's timer, and the windows and HLTs around it.
untimed_exits()
{
	tr -d '\r' <"$work/err" | awk '
		/^but host interrupts/ { sum = $NF; seen = 1 }
		/^(wrmsr|interrupt window|hlt) / { sum -= $NF }
		END { print seen ? sum : "no table" }'
}

# Where nested paging is, a boot is a matter of few exits: docs/performance.md.
few_exits()
{
	local exits

	boots 6.1 --stats
	exits=$(untimed_exits)
	echo "# exits but the timer's: $exits"
	ok "stock 6.1 kernel takes at most 6000 exits that are no timer's" \
		test "$exits" -gt 0 -a "$exits" -le 6000
}

# The same without nested paging, for this guest alone: its table of exits has the tables' limit.
without_nested()
{
	boots 6.1 --shadow-paging --stats
	ok "stock 6.1 kernel did so with shadow paging" \
		grep -q "^shadow paging allows  *[1-9]" "$work/err"
}

# A shell in the guest, its input a pipe through both levels.
shell_through_pipes()
{
	printf 'echo "sum $((40 + 2))"\nexit\n' |
	lab -- vmm run --kernel /boot/vmlinuz --initrd /boot/initrd \
		--append "$append shell" --mem 256M >"$work/out" 2>"$work/err"
	ok "a guest's shell takes its input from a pipe: status 0" test $? = 0
	ok "a guest's shell takes its input from a pipe: output" \
		grep -q "^sum 42" "$work/out"
}

# A guest that dies at any moment leaves nothing: the agent unloads the module.
killed()
{
	lab -- sh -c '
		for wait in 0.1 0.4 1 2 3; do
			vmm run --kernel /boot/vmlinuz --initrd /boot/initrd \
				--append "console=ttyS0" --mem 256M </dev/null >/dev/null 2>&1 &
			sleep $wait
			kill -9 $! || exit 1
			wait $!
			[ $? = 137 ] || exit 1
		done
		for _ in 1 2 3 4 5 6 7 8 9 10; do
			[ "$(cat /sys/module/vmm/refcnt)" = 0 ] && exit 0
			sleep 0.2
		done
		echo "references left: $(cat /sys/module/vmm/refcnt)"
		exit 1' </dev/null >"$work/out" 2>"$work/err"
	ok "guests killed at five moments of their boot leave no reference" test $? = 0
}

echo "TAP version 13"
case $host in
*-shadow) boots 6.1 ;;
*) few_exits ;;
esac
[ "$host-$kernel" != svm-6.1 ] || without_nested
boots 6.12 --device-tree
shell_through_pipes
killed
echo "1..$n"
exit $bad
