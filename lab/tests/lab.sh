#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What lab/lab promises about status, bytes, files, time and failing hosts.
# TAP on standard output; the host is svm without a hypervisor unless a case
# says else. Each case is one run of an emulated host, about two seconds.

cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
n=0
bad=0

lab()
{
	lab/lab --host svm --hypervisor none --timeout 60 "$@"
}

# ok NAME EXPECTED GOT
ok()
{
	n=$((n + 1))
	if [ "$2" = "$3" ]; then
		echo "ok $n $1"
	else
		bad=1
		echo "not ok $n $1"
		echo "# expected: ${2@Q}"
		echo "# got:      ${3@Q}"
	fi
}

# What NAME's standard error must contain.
says()
{
	if grep -q -e "$2" "$work/err"; then
		ok "$1" 1 1
	else
		ok "$1" "a line with: $2" "$(tail -n 5 "$work/err")"
	fi
}

case_status()
{
	lab -- sh -c 'echo out; echo err >&2; exit 7' </dev/null >"$work/out" 2>"$work/err"
	ok "exit status is relayed" 7 $?
	ok "standard output is the command's alone" out "$(cat "$work/out")"
	ok "standard error is kept apart" err "$(cat "$work/err")"
}

case_signal()
{
	lab -- sh -c 'kill -9 $$' </dev/null >/dev/null 2>&1
	ok "death by signal 9 is status 137" 137 $?
}

case_not_found()
{
	lab -- nonesuch </dev/null >/dev/null 2>"$work/err"
	ok "a command that does not exist is status 127" 127 $?
	says "and is named" "nonesuch: No such file"
}

case_input()
{
	local got

	got=$(printf 'a\r\nb\004c\003\n' | lab -- sh -c 'cat; echo "end"' 2>/dev/null)
	ok "input bytes and end of input arrive" "$(printf 'a\r\nb\004c\003\nend')" "$got"
	got=$(yes | head -c 300000 | lab -- sh -c 'sleep 1; wc -c' 2>/dev/null)
	ok "a slow reader loses no input" 300000 "$((got))"
	yes 2>/dev/null | lab -- true >/dev/null 2>&1
	ok "input that nobody reads does no harm" 0 $?
}

case_binary()
{
	head -c 1048576 /dev/urandom >"$work/in"
	lab -- cat <"$work/in" >"$work/out" 2>/dev/null
	ok "1 MiB of random bytes comes back the same" "$(cksum <"$work/in")" \
		"$(cksum <"$work/out")"
}

case_live()
{
	local first

	# The first line must be here long before the command ends.
	exec 3< <(lab -- sh -c 'echo first; sleep 8' </dev/null 2>/dev/null; echo done)
	read -r -t 7 first <&3
	ok "output comes while the command runs" first "$first"
	exec 3<&-
	wait
}

case_put()
{
	local got

	printf '#!/bin/sh\necho ran "$@"\n' >"$work/tool"
	chmod 751 "$work/tool"
	got=$(lab --put "$work/tool" -- sh -c './tool x; stat -c %a tool; pwd' </dev/null 2>&1)
	ok "--put files are in the current directory with their mode" \
		"$(printf 'ran x\n751\n/root')" "$got"
	lab --put "$work/nothing" -- true </dev/null 2>"$work/err"
	ok "--put of a missing file is status 2" 2 $?
	says "and the file is named" "nothing: no such"
}

case_timeout()
{
	lab/lab --host svm --hypervisor none --timeout 5 -- sleep 100 \
		</dev/null >/dev/null 2>"$work/err"
	ok "--timeout is status 124" 124 $?
	says "and is named" "timed out after 5 s"
}

case_panic()
{
	lab -- sh -c 'echo c >/proc/sysrq-trigger; sleep 10' \
		</dev/null >/dev/null 2>"$work/err"
	ok "a panic is status 125" 125 $?
	says "and its lines are shown" "Kernel panic - not syncing: sysrq triggered"
}

case_complaint()
{
	lab -- sh -c 'echo "<4>WARNING: CPU: 0 PID: 1 at planted" >/dev/kmsg; true' \
		</dev/null >/dev/null 2>"$work/err"
	ok "a warning in the host's log is status 125" 125 $?
	says "and is shown" "at planted"
}

case_reset()
{
	# Without panic=: the host resets itself, which ends the emulator.
	lab -- sh -c 'echo b >/proc/sysrq-trigger; sleep 10' </dev/null >/dev/null 2>"$work/err"
	ok "a host that resets under the command is status 125" 125 $?
	says "and is named" "went down"
}

# Process id of the emulator that the lab $1 runs, once there is one.
emulator_of()
{
	local pid=$1 child

	for _ in $(seq 100); do
		child=$(cat "/proc/$pid/task/$pid/children" 2>/dev/null)
		child=${child%% *}
		case $(cat "/proc/${child:-none}/comm" 2>/dev/null) in
		qemu*)
			echo "$child"
			return ;;
		lab | relay)
			pid=$child ;;
		esac
		sleep 0.1
	done
}

case_emulator()
{
	lab -- sleep 30 </dev/null >/dev/null 2>"$work/err" &
	local pid=$!

	kill -ABRT "$(emulator_of $pid)"
	wait $pid
	ok "an emulator that aborts is status 123" 123 $?
	says "and is told apart from the hypervisor" "the emulator died of signal 6"
}

case_start()
{
	local t0 t1

	lab -- true </dev/null 2>/dev/null
	t0=$(date +%s%N)
	exec 3< <(lab -- echo here </dev/null 2>/dev/null)
	read -r _ <&3
	t1=$(date +%s%N)
	exec 3<&-
	wait
	n=$((n + 1))
	if [ $(((t1 - t0) / 1000000)) -lt 5000 ]; then
		echo "ok $n host start to command takes under 5 s"
	else
		bad=1
		echo "not ok $n host start to command takes under 5 s"
	fi
	echo "# $(((t1 - t0) / 1000000)) ms"
}

case_terminal()
{
	local got

	(sleep 4; printf 'echo "sum $((40+2))"; stty size; exit 3\n'; sleep 2) |
	timeout 60 script -qec "stty rows 33 cols 111
		before=\$(stty -g)
		lab/lab --host svm --hypervisor none -- sh
		echo status=\$?
		[ \"\$before\" = \"\$(stty -g)\" ] && echo restored" "$work/typescript" >/dev/null
	got=$(tr -d '\r' <"$work/typescript" | grep -x -e 'sum 42' -e '33 111' \
		-e 'status=3' -e restored | tr '\n' ' ')
	ok "a terminal is raw, has the size, and is restored" \
		"sum 42 33 111 status=3 restored " "$got"
}

case_leaves_nothing()
{
	local before after

	before=$(ls /tmp; ls build/lab)
	lab --put /etc/hostname -- true </dev/null 2>/dev/null
	after=$(ls /tmp; ls build/lab)
	ok "a run leaves no file behind" "$before" "$after"
	lab -- sleep 30 </dev/null >/dev/null 2>&1 &
	local pid=$! emulator

	emulator=$(emulator_of $pid)
	kill -KILL "$(sed -n 's/^PPid:\t//p' "/proc/$emulator/status")"
	wait $pid 2>/dev/null
	sleep 0.5
	# Dead, or a zombie that an idle init has not collected.
	ok "a lab that is killed leaves no emulator" "" \
		"$(grep -s '^State:' "/proc/$emulator/status" | grep -v zombie)"
}

case_usage()
{
	lab/lab --host svm 2>"$work/err"
	ok "no command is status 2" 2 $?
	lab/lab --host nonesuch -- true 2>"$work/err"
	ok "an unknown host is status 2" 2 $?
	says "and is named" "nonesuch is none of"
	lab/lab --host svm --smp 0 -- true 2>"$work/err"
	ok "--smp 0 is status 2" 2 $?
}

echo "TAP version 13"
for each in ${*:-usage status signal not_found input binary live put timeout panic \
	      complaint reset emulator start terminal leaves_nothing}; do
	"case_$each"
done
echo "1..$n"
exit $bad
