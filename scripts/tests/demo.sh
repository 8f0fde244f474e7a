#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# `make demo` without a terminal: a stock kernel boots as a guest, says who it is,
# powers off, and the status is 0. With one (lab/tests/pty.c): a shell in the guest,
# its keys and output live through both levels, and the terminal as it was at the end.

cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
out=$work/out
bad=0
n=0
export DEMO_TIMEOUT=300 PTY_LIMIT=300
gcc -O2 -Wall -Wextra -o "$work/pty" lab/tests/pty.c || exit 1

ok()
{
	local name=$1

	shift
	n=$((n + 1))
	"$@" && echo "ok $n $name" && return
	bad=1
	echo "not ok $n $name"
	tail -n 20 "$out" | sed 's/^/# /'
}

# The first start may have to make the host's image.
lab/lab --host svm --kernel 6.1 --hypervisor none -- true </dev/null >/dev/null 2>&1
# In CPU time: an idle machine takes no longer, and on a busy one it is fair.
TIMEFORMAT='%U %S'
{ time scripts/demo </dev/null >"$out" 2>&1; } 2>"$work/time"
status=$?
spent=$(awk '{ printf "%d", ($1 + $2) * 1000 }' "$work/time")
echo "# $spent ms of CPU"
ok "the status is 0" test $status = 0
ok "the guest prints its uname" grep -q '^Linux .* 6\.1\.' "$out"
ok "and that it runs under a hypervisor" grep -q '^flags.* hypervisor' "$out"
ok "and powers off" grep -q 'reboot: Power down' "$out"
ok "the second start takes under 30 s" test "$spent" -lt 30000

"$work/pty" scripts/demo >"$out" 2>&1 <<'S'
expect guest#
mode raw
send echo "sum $((40+2))"\r
expect sum 42
send sh -c 'echo now $((40+1)); exec sleep 1000'\r
expect now 41
send \x03
expect guest#
send \x01h
expect vmm: Ctrl-A x ends the guest
send echo "sum $((41+2))"\r
expect sum 43
send poweroff -f\r
status 0
mode cooked
S
ok "with a terminal: a shell, live through both levels, status 0, terminal restored" test $? = 0
"$work/pty" scripts/demo >"$out" 2>&1 <<'S'
expect guest#
send \x01x
status 0
mode cooked
S
ok "with a terminal: Ctrl-A x ends it, status 0, terminal restored" test $? = 0
echo "1..$n"
exit $bad
