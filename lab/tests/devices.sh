#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The runner's devices, driven by stock Debian kernels as guests in an emulated host:
# HOST (svm) and KERNEL (6.1, the host's and the guest's) from the environment. TAP.
#
# What a guest does is in lab/tests/devices/: its pieces are run in their order, each by
# a shell of its own, with the functions of guest_functions() below.

cd "$(dirname "$0")/../.." || exit 1
host=${HOST:-svm}
kernel=${KERNEL:-6.1}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
n=0
bad=0

lab()
{
	lab/lab --host "$host" --kernel "$kernel" --timeout "${LIMIT:-300}" "$@"
}

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
	fi
}

guest_functions()
{
	cat <<'END'
# check NAME COMMAND...
check()
{
	name=$1
	shift
	if "$@"; then echo "ok $name"; else echo "not ok $name"; fi
}

# is NAME GOT WANT
is()
{
	[ "$2" = "$3" ] || echo "# $1: got '$2', want '$3'"
	check "$1" test "$2" = "$3"
}

dmesg_has()
{
	dmesg | grep -qE "$1"
}
END
}

# An initramfs with /script, which runs the pieces; $1 is the file to write.
pack()
{
	local dir=$work/guest

	mkdir -p "$dir/pieces"
	guest_functions >"$dir/functions"
	cp lab/tests/devices/*.sh "$dir/pieces"
	cat >"$dir/script" <<'END'
for piece in /pieces/*; do
	sh -c ". /functions; . $piece"
done
echo "all pieces ran"
END
	(cd "$dir" && find . -mindepth 1 | cpio --quiet -o -H newc -R 0:0) >"$1"
}

# The guest's points become ours: lines that start with ok or not ok.
take_points()
{
	local line

	while read -r line; do
		case $line in
		"ok "*) ok "$1: ${line#ok }" true ;;
		"not ok "*) ok "$1: ${line#not ok }" false ;;
		esac
	done < <(tr -d '\r' <"$work/out")
}

# drive NAME [vmm run option]...
drive()
{
	local name=$1 status

	shift
	lab --put "$work/script.cpio" -- sh -c '
		cat /boot/initrd /boot/modules-'"$kernel"' script.cpio >/tmp/initrd &&
		exec vmm run --kernel /boot/vmlinuz --initrd /tmp/initrd \
			--append "quiet console=ttyS0 script" "$@"' sh "$@" \
		</dev/null >"$work/out" 2>"$work/err"
	status=$?
	take_points "$name"
	ok "$name: the guest did all and powered off" \
		test $status = 0 -a "$(grep -c '^all pieces ran' "$work/out")" = 1
	[ $bad = 0 ] || {
		tail -n 60 "$work/out" | sed 's/^/# guest: /'
		tail -n 40 "$work/err" | sed 's/^/# lab: /'
	}
}

echo "TAP version 13"
pack "$work/script.cpio"
drive pci
echo "1..$n"
exit $bad
