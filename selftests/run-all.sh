#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Runs self-tests on this machine, which has /dev/vmm and root, one program after
# another, and prints their KTAP and a closing line:
#
#	run-all.sh [DIRECTORY [PROGRAM...]]
#
# DIRECTORY is where the programs are (default: build/selftests beside the
# sources). Status 0 if none failed. In an emulated host lab/run-selftests does the
# same work, and scripts/test judges skips.

limit=${SELFTEST_TIMEOUT:-120}
dir=${1:-$(dirname "$0")/../build/selftests}
[ $# -eq 0 ] || shift
[ -d "$dir" ] || {
	echo "run-all: $dir: no such directory; run make selftests" >&2
	exit 2
}
[ $# -gt 0 ] || set -- "$dir"/*

passed=0
skipped=0
failed=
for program; do
	name=${program##*/}
	[ -f "$dir/$name" ] && [ -x "$dir/$name" ] || {
		echo "run-all: $dir/$name: no such program" >&2
		exit 2
	}
	echo "# run $name"
	timeout "$limit" "$dir/$name" </dev/null 2>&1
	status=$?
	echo "# end $name $status"
	case $status in
	0) passed=$((passed + 1)) ;;
	4) skipped=$((skipped + 1)) ;;
	*) failed="$failed $name" ;;
	esac
done
set -- $failed
echo "# programs: $passed passed, $# failed, $skipped skipped${failed:+; failed:$failed}"
[ $# -eq 0 ]
