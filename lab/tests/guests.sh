#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Stock Debian kernels as guests, through the runner, one after the other in an emulated
# host: HOST (svm) and KERNEL (6.1) from the environment. TAP on standard output. The run
# also has the lab's own checks: no complaint in the host's log, and vmm.ko can be
# unloaded at the end.

cd "$(dirname "$0")/../.." || exit 1
host=${HOST:-svm}
kernel=${KERNEL:-6.1}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. lab/tests/tap.sh

# ---- in the host --------------------------------------------------------

cat >"$work/host.sh" <<'END'
# guest NAME SERIES [vmm run option]...
guest()
{
	name=$1
	series=$2
	shift 2
	printf '\n=== begin %s\n' $name
	vmm run --kernel /boot/vmlinuz-$series --initrd /boot/initrd --mem 256M \
		--append 'quiet console=ttyS0' "$@" </dev/null 2>&1
	printf '\n=== end %s %s\n' $name $?
}

# A shell in the guest, its input a pipe through both levels.
shell_through_pipes()
{
	printf '\n=== begin shell\n'
	vmm run --kernel /boot/vmlinuz --initrd /boot/initrd --mem 256M \
		--append 'quiet console=ttyS0 shell' 2>&1
	printf '\n=== end shell %s\n' $?
}

# A guest that dies at any moment leaves nothing: the agent unloads the module.
killed()
{
	for wait in 0.1 0.4 1 2 3; do
		vmm run --kernel /boot/vmlinuz --initrd /boot/initrd \
			--append "console=ttyS0" --mem 256M </dev/null >/dev/null 2>&1 &
		sleep $wait
		kill -9 $! || return 1
		wait $!
		[ $? = 137 ] || return 1
	done
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		[ "$(cat /sys/module/vmm/refcnt)" = 0 ] && return 0
		sleep 0.2
	done
	echo "references left: $(cat /sys/module/vmm/refcnt)"
	return 1
}

for what; do
	case $what in
	nested) guest 6.1 6.1 --stats ;;
	shadow) guest 6.1 6.1 ;;
	alone) guest alone 6.1 --shadow-paging --stats ;;
	esac
done
guest 6.12 6.12 --device-tree
shell_through_pipes
printf '\n=== begin killed\n'
killed 2>&1
printf '\n=== end killed %s\n' $?
END

# ---- what came of it ----------------------------------------------------

# The lines of a guest; its status is the last.
part()
{
	tr -d '\r' <"$work/out" | awk -v name="$1" '
		/^=== end / { inside = 0; if ($3 == name) print "status " $4 }
		inside
		/^=== begin / { inside = $3 == name }'
}

failed()
{
	tail -n 25 "$work/part" | sed 's/^/# guest: /'
	tail -n 40 "$work/err" | sed 's/^/# lab: /'
}

has()
{
	grep -q "$1" "$work/part"
}

sees_hypervisor()
{
	grep '^flags' "$work/part" | grep -w hypervisor >/dev/null &&
		! grep '^flags' "$work/part" | grep -wE 'vmx|svm' >/dev/null
}

# booted NAME SERIES
booted()
{
	part "$1" >"$work/part"
	ok "stock $2 kernel boots and powers off with status 0" has "^status 0$"
	ok "stock $2 guest says its release" has "^Linux .* $2\.[0-9]*.*-cloud-amd64"
	ok "stock $2 guest prints its /proc/cpuinfo" has "^processor[[:space:]]*: 0"
	ok "stock $2 guest sees the hypervisor and no virtualization of its own" sees_hypervisor
}

# Exits of the guest's table, those that come with time left out: the host's
# interrupts, the guest's timer, and the windows and HLTs around it.
untimed_exits()
{
	awk '
		/^but host interrupts/ { sum = $NF; seen = 1 }
		/^(wrmsr|interrupt window|hlt) / { sum -= $NF }
		END { print seen ? sum : "no table" }' "$work/part"
}

# Where nested paging is, a boot is a matter of few exits: docs/performance.md.
few_exits()
{
	local exits

	exits=$(untimed_exits)
	echo "# exits but the timer's: $exits"
	ok "stock 6.1 kernel takes at most 6000 exits that are no timer's" \
		test "$exits" -gt 0 -a "$exits" -le 6000
}

case $host-$kernel in
svm-6.1) kinds="nested alone" ;;
*-shadow-*) kinds=shadow ;;
*) kinds=nested ;;
esac
echo "TAP version 13"
printf 'echo "sum $((40 + 2))"\nexit\n' |
	lab/lab --host "$host" --kernel "$kernel" --timeout "${LIMIT:-500}" \
		--put "$work/host.sh" -- sh host.sh $kinds >"$work/out" 2>"$work/err"
status=$?
booted 6.1 6.1
[ "$kinds" = shadow ] || few_exits
case $kinds in
*alone)
	# The same without nested paging, for this guest only: its table of exits has the
	# tables' limit.
	booted alone 6.1
	ok "stock 6.1 kernel did so with shadow paging" has "^shadow paging allows  *[1-9]" ;;
esac
booted 6.12 6.12
part shell >"$work/part"
ok "a guest's shell takes its input from a pipe: status 0" has "^status 0$"
ok "a guest's shell takes its input from a pipe: output" has "^sum 42"
part killed >"$work/part"
ok "guests killed at five moments of their boot leave no reference" has "^status 0$"
ok "the host is well at the end" test $status = 0
echo "1..$n"
exit $bad
