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

# Runs in a guest that idles: with the command line that the runner makes, and
# with the kernel's own idea of compaction.
mkdir "$work/guest"
cat >"$work/guest/script" <<'END'
cat /proc/cpuinfo
sleep 15	# a boot leaves something to be done
echo "idles: quiet $(date +%s) s"
sleep 45
echo 20 >/proc/sys/vm/compaction_proactiveness
echo "idles: ahead $(date +%s) s"
sleep 25
END
(cd "$work/guest" && find . -mindepth 1 | cpio --quiet -o -H newc -R 0:0) | gzip -n >"$work/script.cpio"

# ---- in the host --------------------------------------------------------

cat >"$work/host.sh" <<'END'
# guest NAME SERIES [vmm run option]..., with $words
guest()
{
	name=$1
	series=$2
	shift 2
	printf '\n=== begin %s\n' $name
	vmm run --kernel /boot/vmlinuz-$series --initrd /boot/initrd --mem 256M \
		--append "quiet console=ttyS0 $words" "$@" </dev/null 2>&1
	printf '\n=== end %s %s\n' $name $?
}

# idle NAME SERIES [vmm run option]...: the same with $words, how many exits a second the guest
# takes while it idles, but host interrupts, and how late its time of day is.
idle()
{
	name=$1
	series=$2
	shift 2
	cat /boot/initrd script.cpio >initrd
	vmm run --kernel /boot/vmlinuz-$series --initrd initrd --mem 256M \
		--append "quiet console=ttyS0 script $words" "$@" </dev/null >out 2>&1 &
	vm=$!
	for kind in quiet ahead; do
		while ! grep -q "^idles: $kind .* s" out && kill -0 $vm 2>/dev/null; do
			sleep 0.5
		done
		late=$(($(date +%s) - $(tr -d '\r' <out | sed -n "s/^idles: $kind \(.*\) s/\1/p")))
		sleep 1
		cut -d' ' -f1 /proc/uptime >$kind
		kill -USR2 $vm
		[ $kind = ahead ] || sleep 20
		sleep 20
		cut -d' ' -f1 /proc/uptime >>$kind
		kill -USR2 $vm
	done
	wait $vm
	status=$?
	printf '\n=== begin %s\n' $name
	cat out
	grep '^but host interrupts' out | awk -v times="$(cat quiet ahead | tr '\n' ' ')" '
		BEGIN { split(times, at, " ") }
		{ exits[NR] = $NF }
		END {
			printf "exits a second: quiet %.1f\n", (exits[2] - exits[1]) / (at[2] - at[1])
			printf "exits a second: ahead %.1f\n", (exits[4] - exits[3]) / (at[4] - at[3])
			# The idling between the tables is left out, that around them is not.
			printf "exits without idling: %d\n", exits[1] + exits[NR] - exits[4]
		}'
	echo "seconds late: $late"
	printf '\n=== end %s %s\n' $name $status
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

boot=guest
words=
# The emulated host with AMD-V has no invariant TSC: the guest is told that it may rely on it,
# as on a machine, which has one, and leaves out the checks of its clocks.
if [ "$1" = counted ]; then
	words=tsc=reliable
	idle counted 6.12 --stats
	exit
fi
for what; do
	case $what in
	idle) boot=idle ;;
	nested) $boot 6.1 6.1 --stats ;;
	shadow) guest 6.1 6.1 ;;
	alone)
		words=nopv
		guest alone 6.1 --shadow-paging --stats
		words= ;;
	esac
done
$boot 6.12 6.12 --stats --device-tree
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

# All exits but the host's interrupts, from the start to the power-off.
boot_exits()
{
	awk '
		/^but host interrupts/ { sum = $NF }
		/^exits without idling: / { less = $NF }
		END { print less ? less : sum ? sum : "no table" }' "$work/part"
}

# Where nested paging is, a boot is a matter of few exits: docs/performance.md.
few_exits()
{
	local exits

	exits=$(boot_exits)
	echo "# exits but host interrupts: $exits"
	ok "stock 6.1 kernel takes at most 12000 exits from its start to the power-off" \
		test "$exits" -gt 0 -a "$exits" -le 12000
	exits=$(untimed_exits)
	echo "# exits but the timer's: $exits"
	ok "stock 6.1 kernel takes at most 6000 exits that are no timer's" \
		test "$exits" -gt 0 -a "$exits" -le 6000
}

# idles NAME SERIES: the yardsticks, and what of the kernel's own is behind them; for hosts
# whose time is instructions: docs/performance.md, and docs/testing.md about the time of day.
idles()
{
	local quiet ahead

	part "$1" >"$work/part"
	quiet=$(sed -n 's/^exits a second: quiet //p' "$work/part")
	ahead=$(sed -n 's/^exits a second: ahead //p' "$work/part")
	echo "# exits of an idle $2 guest a second: $quiet, with compaction ahead of need $ahead"
	ok "an idle $2 guest takes fewer than 5 exits a second" \
		awk -v n="$quiet" 'BEGIN { exit !(n > 0 && n < 5) }'
	ok "an idle $2 guest with compaction ahead of need takes fewer than 25" \
		awk -v n="$ahead" -v quiet="$quiet" 'BEGIN { exit !(n > quiet && n < 25) }'
	ok "an idle $2 guest's time of day is the host's within 2 s" \
		has '^seconds late: \(-[12]\|[012]\)$'
}

# An idle guest of AMD-V, in a host of its own.
counted()
{
	lab/lab --host "$host" --kernel "$kernel" --icount --timeout "${LIMIT:-500}" \
		--put "$work/host.sh" --put "$work/script.cpio" -- sh host.sh counted \
		</dev/null >"$work/out" 2>"$work/err"
	ok "a host that counts instructions is well at the end" test $? = 0
	idles counted 6.12
}

case $host-$kernel in
svm-6.1) kinds="nested alone" ;;
vmx-6.*) kinds="idle nested" ;;
*-shadow-*) kinds=shadow ;;
*) kinds=nested ;;
esac
echo "TAP version 13"
printf 'echo "sum $((40 + 2))"\nexit\n' |
	lab/lab --host "$host" --kernel "$kernel" --timeout "${LIMIT:-500}" \
		--put "$work/host.sh" --put "$work/script.cpio" -- sh host.sh $kinds >"$work/out" 2>"$work/err"
status=$?
booted 6.1 6.1
[ "$kinds" = shadow ] || few_exits
case $kinds in
*alone)
	# The same without nested paging, for this guest only: its table of exits has the
	# tables' limit. And without what Linux knows of hypervisors, kvmclock most of all.
	booted alone 6.1
	ok "stock 6.1 kernel with nopv did so with shadow paging" has "^shadow paging allows  *[1-9]" ;;
esac
booted 6.12 6.12
case $kinds in
idle*)
	idles 6.1 6.1
	idles 6.12 6.12 ;;
esac
part shell >"$work/part"
ok "a guest's shell takes its input from a pipe: status 0" has "^status 0$"
ok "a guest's shell takes its input from a pipe: output" has "^sum 42"
part killed >"$work/part"
ok "guests killed at five moments of their boot leave no reference" has "^status 0$"
ok "the host is well at the end" test $status = 0
[ "$host-$kernel" != svm-6.12 ] || counted
echo "1..$n"
exit $bad
