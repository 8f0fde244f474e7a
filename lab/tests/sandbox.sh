#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What a running guest's process is left with, seen from outside: started by root, by
# a user of the group, and by a user where the administrator forbids namespaces. HOST
# (svm) and KERNEL (6.1) from the environment; the guest is a 6.1 whatever KERNEL is,
# which has less to unpack. TAP.

cd "$(dirname "$0")/../.." || exit 1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Runs in the host; prints TAP.
cat >"$work/sandbox.sh" <<'END'
n=0
spaces='mnt net ipc uts cgroup'

# is NAME GOT WANT
is()
{
	n=$((n + 1))
	if [ "$2" = "$3" ]; then
		echo "ok $n $who: $1"
	else
		echo "not ok $n $who: $1"
		echo "# got '$2', want '$3'"
		tail -n 5 /tmp/err | sed 's/^/# err: /'
		tail -n 5 /tmp/out | sed 's/^/# out: /'
	fi
}

field() { sed -n "s/^$1:[[:space:]]*//p" "/proc/$pid/status"; }

# Both threads' worth: a filter or a right that one thread keeps is everybody's.
threads() { cat /proc/$pid/task/*/status | sed -n "s/^$1:[[:space:]]*//p" | sort -u; }

limit() { sed -n "s/^Max $1 *\([^ ]*\) *\([^ ]*\).*/\1 \2/p" "/proc/$pid/limits"; }

# The soft and the hard limit leave a margin of 64 behind what was open at the start;
# some of that is closed by now.
files_limited()
{
	set -- $(limit 'open files') $(ls /proc/$pid/fd | sort -n | tail -n 1)
	if [ "$1" = "$2" ] && [ "$1" -gt "$3" ] && [ "$1" -le $(($3 + 80)) ]; then
		echo yes
	else
		echo "$*"
	fi
}

# Start a guest as user $1 and wait until it speaks; extra descriptors and an
# environment are there to be dropped.
start()
{
	: >/tmp/out
	: >/tmp/err
	rm -f /tmp/in /tmp/errors
	mkfifo /tmp/in /tmp/errors
	chmod 666 /tmp/in /tmp/out /tmp/errors
	cat /tmp/errors >/tmp/err &
	su -s /bin/sh -c 'cd /; exec 7</etc/passwd 8</; SECRET=1 exec vmm run \
		--kernel /boot/vmlinuz-6.1 --initrd /boot/initrd \
		--append "quiet console=ttyS0 shell" </tmp/in 2>/tmp/errors | cat >/tmp/out' "$1" &
	exec 9>/tmp/in
	for _ in $(seq 200); do
		grep -q '^Linux' /tmp/out && break
		sleep 0.2
	done
	pid=$(pidof vmm)
	is "the guest booted" "$(grep -c '^Linux' /tmp/out)" 1
	[ -n "$pid" ] || exit 1
}

# What holds for everybody.
look()
{
	is "no new privileges, in no thread" "$(threads NoNewPrivs)" 1
	is "a filter, on every thread" "$(threads Seccomp)" 2
	for set in CapInh CapPrm CapEff CapAmb; do
		is "$set is empty" "$(threads $set)" 0000000000000000
	done
	is "the user is $1, in all its forms" "$(threads Uid | tr -s '\t ' ' ')" "$1 $1 $1 $1"
	is "the group is $1, in all its forms" "$(threads Gid | tr -s '\t ' ' ')" "$1 $1 $1 $1"
	is "open files are limited" "$(files_limited)" yes
	is "no core is dumped" "$(limit 'core file size')" "0 0"
	is "no file grows" "$(limit 'file size')" "0 0"
	is "no inherited descriptor is left" \
		"$(ls -l /proc/$pid/fd | grep -cE 'passwd| /$')" 0
	is "the environment is empty" "$(tr -d '\0' <"/proc/$pid/environ" | grep -c SECRET)" 0
	is "its memory is not its user's to look at" "$(stat -c %u /proc/$pid/mem)" 0
}

# What namespaces give.
look_around()
{
	is "its root is empty" "$(ls -A /proc/$pid/root/ 2>&1)" ""
	is "its working directory is that root" \
		"$(stat -L -c %d:%i /proc/$pid/cwd/)" "$(stat -L -c %d:%i /proc/$pid/root/)"
	is "it has no network but a loopback" \
		"$(sed -n 's/^ *\(.*\):.*/\1/p' /proc/$pid/net/dev)" lo
	for space in $spaces $1; do
		is "a $space namespace of its own" \
			"$([ "$(readlink /proc/$pid/ns/$space)" != "$(readlink /proc/$$/ns/$space)" ] && echo own)" own
	done
}

# Restart in the sandbox, then power off.
leave()
{
	echo 'reboot -f' >&9
	for _ in $(seq 200); do
		[ "$(grep -c '^Linux' /tmp/out)" -lt 2 ] || break
		sleep 0.2
	done
	is "the guest restarts" "$(grep -c '^Linux' /tmp/out)" 2
	echo 'poweroff -f' >&9
	for _ in $(seq 100); do
		[ -d "/proc/$pid" ] || break
		sleep 0.2
	done
	exec 9>&-
	is "and powers off" "$([ -d "/proc/$pid" ] && echo alive)" ""
}

echo 'anna:x:1001:1001::/:/bin/sh' >>/etc/passwd
echo 'vmm:x:900:anna' >>/etc/group
chgrp vmm /dev/vmm

who=root
start root
look 65534
is "no supplementary group" "$(field Groups | tr -d ' ')" ""
look_around
leave
is "not a word" "$(cat /tmp/err)" ""

who=user
start anna
look 1001
look_around user
is "no user is mapped" "$(cat /proc/$pid/uid_map /proc/$pid/gid_map)" ""
leave
is "not a word" "$(cat /tmp/err)" ""

who='user without namespaces'
echo 0 >/proc/sys/user/max_user_namespaces
start anna
look 1001
is "one line says so" "$(grep -c '^vmm: the sandbox is without namespaces: .*vmm doctor' /tmp/err)" 1
is "and one only" "$(wc -l </tmp/err)" 1
leave
echo "1..$n"
END
echo "TAP version 13"
lab/lab --host "${HOST:-svm}" --kernel "${KERNEL:-6.1}" --timeout "${LIMIT:-300}" \
	--put "$work/sandbox.sh" -- sh sandbox.sh </dev/null >"$work/out" 2>"$work/err"
status=$?
tr -d '\r' <"$work/out"
if [ $status != 0 ]; then
	echo "Bail out! the lab ended with status $status"
	tail -n 20 "$work/err" | sed 's/^/# lab: /'
	exit 1
fi
grep -q '^1\.\.' "$work/out" && ! grep -q '^not ok' "$work/out"
