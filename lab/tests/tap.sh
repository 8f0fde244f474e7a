# SPDX-License-Identifier: GPL-2.0-or-later
#
# Results of a test script, as TAP; sourced. A script that has more to say of a failure has
# a function failed(). It ends with `echo "1..$n"; exit $bad`.

n=0
bad=0

failed()
{
	:
}

# ok NAME COMMAND...: the command's status decides.
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
		failed
	fi
}

# said HOW NAME LABEL LINE...: $work/out has each LINE with LABEL before it, as a whole line; HOW
# is grep's -F or -E.
said()
{
	local how=$1 name=$2 label=$3 line missing=

	shift 3
	for line; do
		grep -qx "$how" "$label $line" "$work/out" || missing="$missing '$line'"
	done
	[ -z "$missing" ] || echo "# $label: not said:$missing"
	ok "$name" test -z "$missing"
}

# For failed(), where $work has the lab's output and errors.
show_lab()
{
	tail -n 40 "$work/err" | sed 's/^/# lab: /'
	sed 's/^/# out: /' "$work/out" | tail -n 60
}
