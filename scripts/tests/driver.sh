#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# scripts/tap.awk must not take anything for a pass that is not one. Each case
# feeds it one program's output and looks at the closing line.

cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf '# comment\nprog.slow: no nested paging on *\nwhole: needs [2] CPUs\n' >"$work/skips"
n=0
bad=0

# closes NAME EXPECTED-CLOSING-LINE LINE...
closes()
{
	local name=$1 want=$2 got

	shift 2
	got=$(printf 'job\t%s\n' "$@" |
		awk -v expected="$work/skips" -v start=0 -f scripts/tap.awk | tail -n 1)
	n=$((n + 1))
	if [ "$got" = "$want" ]; then
		echo "ok $n $name"
	else
		bad=1
		echo "not ok $n $name"
		echo "# expected: $want"
		echo "# got:      $got"
	fi
}

run='# run prog'
end='# job 0'
echo "TAP version 13"
closes "two passes" "2 passed, 0 failed, 0 skipped" \
	"$run" "1..2" "ok 1 a" "ok 2 - b" "# end prog 0" "$end"
closes "a plan at the end" "1 passed, 0 failed, 0 skipped" \
	"$run" "ok 1 a" "1..1" "# end prog 0" "$end"
closes "a failure" "1 passed, 1 failed, 0 skipped" \
	"$run" "1..2" "ok 1 a" "not ok 2 b" "# end prog 1" "$end"
closes "a failure with status 0 fails twice" "0 passed, 2 failed, 0 skipped" \
	"$run" "1..1" "not ok 1 b" "# end prog 0" "$end"
closes "fewer results than planned" "1 passed, 1 failed, 0 skipped" \
	"$run" "1..2" "ok 1 a" "# end prog 0" "$end"
closes "no plan" "1 passed, 1 failed, 0 skipped" \
	"$run" "ok 1 a" "# end prog 0" "$end"
closes "no output" "0 passed, 1 failed, 0 skipped" "$run" "# end prog 0" "$end"
closes "an empty plan" "0 passed, 1 failed, 0 skipped" "$run" "1..0" "# end prog 0" "$end"
closes "a crash after good results" "1 passed, 1 failed, 0 skipped" \
	"$run" "1..1" "ok 1 a" "# end prog 139" "$end"
closes "a time-out" "1 passed, 1 failed, 0 skipped" \
	"$run" "1..1" "ok 1 a" "# end prog 124" "$end"
closes "a program that does not end" "1 passed, 1 failed, 0 skipped" \
	"$run" "1..1" "ok 1 a" "$end"
closes "a host that fails" "1 passed, 1 failed, 0 skipped" \
	"$run" "1..1" "ok 1 a" "# end prog 0" "# job 125"
closes "status 1 of a job whose point failed says no more" "0 passed, 1 failed, 0 skipped" \
	"$run" "1..1" "not ok 1 b" "# end prog 1" "# job 1"
closes "status 1 of a job without a failure is one" "1 passed, 1 failed, 0 skipped" \
	"$run" "1..1" "ok 1 a" "# end prog 0" "# job 1"
closes "a job that does not end" "1 passed, 1 failed, 0 skipped" \
	"$run" "1..1" "ok 1 a" "# end prog 0"
closes "what a job took of a processor is no result" "1 passed, 0 failed, 0 skipped" \
	"$run" "1..1" "ok 1 a" "# end prog 0" "# cpu 12 3" "$end"
took=$(printf 'job\t%s\n' "$run" "1..1" "ok 1 a" "# end prog 0" "# cpu 12 3" '# job 0 20' |
	awk -v expected="$work/skips" -v start=0 -f scripts/tap.awk | grep '^# job took')
n=$((n + 1))
if [ "$took" = "# job took 20 s, 15 s of a processor" ]; then
	echo "ok $n it is told"
else
	bad=1
	echo "not ok $n it is told: '$took'"
fi
closes "an expected skip" "0 passed, 0 failed, 1 skipped" \
	"$run" "1..1" "#  RUN           slow ..." \
	"ok 1 # SKIP no nested paging on this host" "# end prog 0" "$end"
closes "an unexpected skip" "0 passed, 1 failed, 0 skipped" \
	"$run" "1..1" "ok 1 slow # SKIP no time" "# end prog 0" "$end"
closes "an expected skip of a program" "0 passed, 0 failed, 1 skipped" \
	"# run whole" "1..0 # SKIP needs [2] CPUs" "# end whole 4" "$end"
closes "an unexpected skip of a program" "0 passed, 1 failed, 0 skipped" \
	"# run other" "1..0 # SKIP needs [2] CPUs" "# end other 4" "$end"
closes "carriage returns" "1 passed, 0 failed, 0 skipped" \
	"$run" $'1..1\r' $'ok 1 a\r' $'# end prog 0\r' "$end"
closes "results outside a program do not count" "0 passed, 0 failed, 0 skipped" \
	"ok 1 a" "$end"
n=$((n + 1))
twice=$(sed -n "/^jobs='/,/^'/p" scripts/test | awk 'NF > 3 && seen[$1]++ { print $1 }')
if [ -z "$twice" ]; then
	echo "ok $n each job has one line of the table"
else
	bad=1
	echo "not ok $n each job has one line of the table"
	echo "# twice:" $twice
fi
echo "1..$n"
exit $bad
