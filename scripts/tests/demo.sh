#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# `make demo` without a terminal: a stock kernel boots as a guest, says who it is,
# powers off, and the status is 0.

cd "$(dirname "$0")/../.." || exit 1
out=$(mktemp)
trap 'rm -f "$out"' EXIT
bad=0

ok()
{
	local n=$1 name=$2

	shift 2
	"$@" && echo "ok $n $name" && return
	bad=1
	echo "not ok $n $name"
	tail -n 20 "$out" | sed 's/^/# /'
}

DEMO_TIMEOUT=300 scripts/demo </dev/null >"$out" 2>&1
status=$?
ok 1 "the status is 0" test $status = 0
ok 2 "the guest prints its uname" grep -q '^Linux .* 6\.1\.' "$out"
ok 3 "and that it runs under a hypervisor" grep -q '^flags.* hypervisor' "$out"
ok 4 "and powers off" grep -q 'reboot: Power down' "$out"
echo "1..4"
exit $bad
