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
	lab/lab --host svm --hypervisor none --timeout 300 "$@"
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
	got=$(yes | head -c 100000 | lab -- sh -c 'sleep 1; wc -c' 2>/dev/null)
	ok "a slow reader loses no input" 100000 "$((got))"
	yes 2>/dev/null | lab -- true >/dev/null 2>&1
	ok "input that nobody reads does no harm" 0 $?
}

case_binary()
{
	head -c 131072 /dev/urandom >"$work/in"
	lab -- cat <"$work/in" >"$work/out" 2>/dev/null
	ok "128 KiB of random bytes come back the same" "$(cksum <"$work/in")" \
		"$(cksum <"$work/out")"
}

case_live()
{
	local first second

	# The command goes on only when its first line has been seen here.
	mkfifo "$work/answer"
	exec 3< <(lab -- sh -c 'echo first; read -r answer; echo "second $answer"' \
		<"$work/answer" 2>/dev/null)
	exec 4>"$work/answer"
	read -r -t 120 first <&3 && echo go >&4
	read -r -t 120 second <&3
	exec 3<&- 4>&-
	ok "output and input flow while the command runs" "first second go" "$first $second"
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
	lab --timeout 8 -- sleep 1000 </dev/null >/dev/null 2>"$work/err"
	ok "--timeout is status 124" 124 $?
	says "and is named" "timed out after 8 s"
}

case_panic()
{
	lab -- sh -c 'echo c >/proc/sysrq-trigger; sleep 10' \
		</dev/null >/dev/null 2>"$work/err"
	ok "a panic is status 125" 125 $?
	says "and its lines are shown" "Kernel panic - not syncing: sysrq triggered"
}

# The command keeps the one CPU for itself, so that nobody else in the host runs: no
# sign of life, and its log is shown.
case_hang()
{
	gcc -O2 -Wall -static -x c -o "$work/hog" - <<-'END' || exit 1
	#include <sched.h>
	int main(void)
	{
		struct sched_param param = { .sched_priority = 99 };
		if (sched_setscheduler(0, SCHED_FIFO, &param))
			return 1;
		for (;;)
			;
	}
	END
	LAB_SILENCE_LIMIT=10 lab --put "$work/hog" -- sh -c \
		'echo -1 >/proc/sys/kernel/sched_rt_runtime_us; exec ./hog' \
		</dev/null >/dev/null 2>"$work/err"
	ok "a host that hangs is status 125" 125 $?
	says "and is named" "the host hangs: no sign of life for 10 s"
	says "and the end of its log is shown" "host: \["
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

# Process id of the emulator that the lab $1 runs, once there is one. Processes
# change their names and come and go until then: each look starts at the lab.
emulator_of()
{
	local pid

	for _ in $(seq 600); do
		pid=$1
		while [ "$pid" ]; do
			case $(cat "/proc/$pid/comm" 2>/dev/null) in
			qemu*)
				echo "$pid"
				return ;;
			esac
			pid=$(cat "/proc/$pid/task/$pid/children" 2>/dev/null)
			pid=${pid%% *}
		done
		sleep 0.1
	done
}

case_emulator()
{
	lab -- sleep 30 </dev/null >/dev/null 2>"$work/err" &
	local pid=$!

	local emulator

	emulator=$(emulator_of $pid)
	kill -ABRT "${emulator:?}"
	wait $pid
	ok "an emulator that aborts is status 123" 123 $?
	says "and is told apart from the hypervisor" "the emulator died of signal 6"
}

# In CPU time, which on an idle machine is the time: the emulator computes from its first
# instant to the last. What runs beside it takes its caches, so the best of three counts.
case_start()
{
	local TIMEFORMAT='%U %S' spent

	lab -- true </dev/null 2>/dev/null
	for _ in 1 2 3; do
		spent=$({ time lab -- true </dev/null >/dev/null 2>&1; } 2>&1 |
			awk '{ printf "%d", ($1 + $2) * 1000 }')
		echo "# $spent ms of CPU"
		[ "$spent" -ge 5000 ] || break
	done
	ok "host start, command and power-off take under 5 s" 1 "$((spent < 5000))"
}

case_terminal()
{
	local got

	# The shell of the host reads when it is there; until then bytes wait.
	mkfifo "$work/keys"
	exec 4<>"$work/keys"
	(until grep -qs 'built-in shell' "$work/typescript"; do sleep 0.3; done
	 printf 'echo "sum $((40+2))"; stty size; exit 3\n' >&4) &
	timeout 200 script -qefc "stty rows 33 cols 111
		before=\$(stty -g)
		lab/lab --host svm --hypervisor none -- sh
		echo status=\$?
		[ \"\$before\" = \"\$(stty -g)\" ] && echo restored" "$work/typescript" <&4 >/dev/null
	exec 4>&-
	got=$(tr -d '\r' <"$work/typescript" | grep -x -e 'sum 42' -e '33 111' \
		-e 'status=3' -e restored | tr '\n' ' ')
	ok "a terminal is raw, has the size, and is restored" \
		"sum 42 33 111 status=3 restored " "$got"
}

case_leaves_nothing()
{
	mkdir "$work/tmp"
	TMPDIR=$work/tmp lab --put /etc/hostname -- true </dev/null 2>/dev/null
	ok "a run leaves no file behind" "" "$(ls "$work/tmp")"
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

# Words of the command line are in the log too: so it looks like QEMU's fault.
case_patched()
{
	LAB_KERNEL_ARGS='note="Oops: int3" rdinit=/nonesuch' lab -- true 2>"$work/err"
	ok "a host that never comes up is status 125" 125 $?
	ok "where QEMU may be the reason it starts three times" 2 \
		"$(grep -c "the host starts anew" "$work/err")"
	says "then it is said that it panicked" "the host panicked\|went down\|complained"
	LAB_KERNEL_ARGS='rdinit=/nonesuch' lab -- true 2>"$work/err"
	ok "for other reasons it starts once" 0 "$(grep -c "starts anew" "$work/err")"
}

case_selftests()
{
	local name

	for name in 0 4 3; do
		printf '#!/bin/sh\nexit %s\n' $name >"$work/ends$name"
		chmod +x "$work/ends$name"
	done
	lab --put "$work/ends0" --put "$work/ends4" --put "$work/ends3" -- sh -c '
		run-selftests ends0 ends4; echo "status $?"
		run-selftests ends3 ends0; echo "status $?"
		run-selftests nonesuch; echo "status $?"' </dev/null >"$work/out" 2>"$work/err"
	ok "self-tests of which one fails have status 1, and so has one that is not there" \
		"0 1 1" "$(echo $(sed -n 's/^status //p' "$work/out"))"
	ok "which is a failure by name too" "not ok 1 no such self-test here" \
		"$(grep '^not ok' "$work/out")"
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
for each in ${*:-usage status signal not_found input binary live put timeout panic patched \
	      hang complaint reset emulator start terminal leaves_nothing selftests}; do
	"case_$each"
done
echo "1..$n"
exit $bad
