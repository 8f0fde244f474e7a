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
