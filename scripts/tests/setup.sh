#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# scripts/setup on a machine that lacks two packages: as a user it prints the one
# command that installs them, and make stops there; as root it runs it. dpkg-query,
# apt-get and id are replaced by scripts that pretend.

cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
n=0
bad=0
mkdir "$work/bin" "$work/few"

# is NAME GOT WANT
is()
{
	n=$((n + 1))
	if [ "$2" = "$3" ]; then
		echo "ok $n $1"
	else
		bad=1
		echo "not ok $n $1"
		echo "# got '$2', want '$3'"
		sed 's/^/# out: /' "$work/out"
	fi
}

fake()
{
	cat >"$work/bin/$1"
	chmod +x "$work/bin/$1"
}

fake id <<END
#!/bin/sh
cat "$work/uid"
END
fake dpkg-query <<END
#!/bin/sh
[ -e "$work/installed" ] && exec $(command -v dpkg-query) "\$@"
$(command -v dpkg-query) "\$@" | grep -vE '^(libzydis-dev|sparse) '
END
# Fails as often as the file "fails" has lines; an update is no install.
fake apt-get <<END
#!/bin/sh
echo "\$*" >>"$work/calls"
if [ -s "$work/fails" ]; then
	sed -i 1d "$work/fails"
	echo "E: planted" >&2
	exit 100
fi
case " \$* " in
*" install "*) : >"$work/installed" ;;
esac
END

# run UID FAILURES COMMAND...
run()
{
	echo "$1" >"$work/uid"
	seq "$2" >"$work/fails"
	: >"$work/calls"
	rm -f "$work/installed"
	shift 2
	env -u MAKEFLAGS -u MAKELEVEL -u MFLAGS PATH="$work/bin:$PATH" "$@" >"$work/out" 2>&1
	status=$?
}

# What it did with apt, options left out.
calls()
{
	grep -oE '(install --no-install-recommends.*|update)$' "$work/calls" | tr '\n' ';'
}

both='install --no-install-recommends libzydis-dev sparse'
echo "TAP version 13"
run 1000 0 scripts/setup --quiet
is "a user: status" "$status" 3
is "a user: the one command, with what is missing" "$(grep apt-get "$work/out")" "apt-get $both"
is "a user: nothing is installed" "$(cat "$work/calls")" ""
run 1000 0 make all
is "a user's make: fails" "$status" 2
is "a user's make: the same command" "$(grep apt-get "$work/out")" "apt-get $both"
is "a user's make: builds nothing" "$(grep -cE '^ +(CC|LD|UNIT|CHECK) ' "$work/out")" 0
run 0 0 scripts/setup --quiet
is "root: status" "$status" 0
is "root: one installation of what is missing" "$(calls)" "$both;"
run 0 1 scripts/setup --quiet
is "root, with old package lists: status" "$status" 0
is "root, with old package lists: updates them and tries again" "$(calls)" "$both;update;$both;"
run 0 9 scripts/setup --quiet
is "root, apt does not work: status" "$status" 3
is "root, apt does not work: what it said, and what to do" \
	"$(grep -c -e '^E: planted' -e 'cannot install packages: .*; mend apt' "$work/out")" 2
: >"$work/installed"
ln -s "$(command -v dirname)" "$work/few/"
PATH=$work/few "$BASH" scripts/setup >"$work/out" 2>&1
is "another distribution: status" $? 3
is "another distribution: where to look" "$(grep -c 'not Debian; see docs/' "$work/out")" 1
echo "1..$n"
exit $bad
