#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# `vmm doctor` in emulated hosts that can and cannot run guests, and users with and
# without the group that dist/60-vmm.rules names. HOST (svm) and KERNEL (6.1) from the
# environment; the guest is a 6.1 whatever KERNEL is, which has less to unpack. TAP.

cd "$(dirname "$0")/../.." || exit 1
. scripts/env.sh
host=${HOST:-svm}
kernel=${KERNEL:-6.1}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
n=0
bad=0

lab()
{
	lab/lab --host "$host" --kernel "$kernel" --timeout "${LIMIT:-180}" "$@" \
		</dev/null >"$work/out" 2>"$work/err"
	status=$?
}

# is NAME GOT WANT [FILE]: a failure shows the end of the output, or of FILE.
is()
{
	n=$((n + 1))
	if [ "$2" = "$3" ]; then
		echo "ok $n $1"
	else
		bad=1
		echo "not ok $n $1"
		echo "# got '$2', want '$3'"
		tail -n 12 "${4:-$work/out}" | sed 's/^/# out: /'
		tail -n 10 "$work/err" | sed 's/^/# err: /'
	fi
}

# says NAME PATTERN [FILE]: the output, or a part of it, has a line like that.
says()
{
	is "$1" "$(grep -qE -e "$2" "${3:-$work/out}" && echo yes || echo no)" yes "$3"
}

# part NAME: the lines behind "== NAME" go to a file of that name.
part()
{
	sed -n "/^== $1\$/,/^== /{/^== /!p}" "$work/out" | tr -d '\r' >"$work/$1"
}

status_of()
{
	sed -n "s/^$1: //p" "$work/out" | tr -d '\r'
}

# Runs in the host. The rule's group and mode are given to the device by hand: there
# is no udev.
cat >"$work/users.sh" <<'END'
say() { echo "== $1"; shift; "$@" 2>&1; last=$?; echo "== -"; }
group=$(sed -n 's/^KERNEL=="vmm".*GROUP="\([^"]*\)".*/\1/p' 60-vmm.rules)
mode=$(sed -n 's/^KERNEL=="vmm".*MODE="\([^"]*\)".*/\1/p' 60-vmm.rules)
as() { su -s /bin/sh -c "cd /; $2" "$1"; }

say root vmm doctor
echo "root: $last"
say json vmm doctor --json
say guest vmm doctor --kernel /boot/vmlinuz --config config
echo "guest: $last"
echo 'anna:x:1001:1001::/:/bin/sh
bert:x:1002:1002::/:/bin/sh' >>/etc/passwd
say norule as bert 'vmm doctor'
echo "$group:x:900:anna" >>/etc/group
chgrp "$group" /dev/vmm
chmod "$mode" /dev/vmm
say anna as anna 'vmm doctor'
echo "anna: $last"
as anna 'vmm run --kernel /boot/vmlinuz-6.1 --initrd /boot/initrd --append "quiet console=ttyS0"' \
	>boot 2>&1
echo "boot: $?"
grep '^Linux' boot
say bert as bert 'vmm doctor'
echo "bert: $last"
say refused as bert 'vmm run --kernel /boot/vmlinuz'
echo "refused: $last"

release=$(uname -r)
rmmod vmm
say uninstalled vmm doctor
echo "uninstalled: $last"
mkdir -p "/lib/modules/$release/extra"
cp /lib/modules/vmm.ko "/lib/modules/$release/extra/"
say unloaded vmm doctor
echo "unloaded: $last"
rm -r "/lib/modules/$release/extra"
mkdir -p /lib/modules/0.1/extra
cp /lib/modules/vmm.ko /lib/modules/0.1/extra/
say elsewhere vmm doctor
END

with_module()
{
	cp "$(kernel_image_dir "$kernel")/config" "$work/config"
	lab --put "$work/users.sh" --put dist/60-vmm.rules --put "$work/config" -- sh users.sh
	is "the host lives through it" "$status" 0
	part root
	is "root on a good host: status" "$(status_of root)" 0
	says "root on a good host: verdict" '^This machine can run virtual machines' "$work/root"
	says "root on a good host: mode" '^mode: .*(nested|shadow) paging' "$work/root"
	says "root on a good host: a machine was made" '^ok +machine' "$work/root"
	is "root on a good host: no failure" "$(grep -c '^FAIL' "$work/root")" 0
	part json
	is "--json is what another parser reads" "$(perl -MJSON::PP -0777 -ne '
		$r = decode_json($_);
		print join " ", $r->{can_run} ? "can" : "cannot", $r->{status},
			scalar(grep { $_->{result} eq "fail" } @{$r->{checks}}),
			$r->{mode}{extension} =~ /^(AMD-V|VT-x)$/ ? "mode" : "no mode"
		' "$work/json")" "can 0 0 mode"
	part guest
	is "a stock kernel as a guest: status" "$(status_of guest)" 0
	says "a stock kernel as a guest: console" '^ok +console +y' "$work/guest"
	part norule
	says "without the rule: cure" 'group root.$|60-vmm.rules' "$work/norule"
	part anna
	is "a member of the group: status" "$(status_of anna)" 0
	is "a member of the group boots a guest: status" "$(status_of boot)" 0
	says "a member of the group boots a guest: it ran" '^Linux .*-cloud-amd64'
	part bert
	is "a user outside: status" "$(status_of bert)" 6
	says "a user outside: cure" '-> usermod -aG vmm bert' "$work/bert"
	part refused
	is "a user outside runs a guest: status" "$(status_of refused)" 6
	says "a user outside runs a guest: message" '^vmm: .*no permission; become a member' \
		"$work/refused"
	part uninstalled
	is "no module: status" "$(status_of uninstalled)" 5
	says "no module: cause" '^FAIL +module +the module is not installed' "$work/uninstalled"
	part unloaded
	is "module not loaded: status" "$(status_of unloaded)" 5
	says "module not loaded: cure" '-> modprobe vmm' "$work/unloaded"
	part elsewhere
	says "module of another kernel: cause" '^FAIL +module .*for kernel 0.1, but' \
		"$work/elsewhere"
}

with_kvm()
{
	lab --hypervisor kvm -- vmm doctor
	if [ "$kernel" = 6.12 ]; then
		is "KVM that holds the CPU: status" "$status" 8
		says "KVM that holds the CPU: cause" '^FAIL +kvm +kvm_.* holds'
		says "KVM that holds the CPU: cure" '-> rmmod kvm_'
	else
		is "KVM without VMs is not in the way" "$status" 5
		says "KVM without VMs is worth a word" '^warn +kvm '
	fi
}

# Only QEMU's CPU models can lose the extension.
without_extension()
{
	[ "$host" = svm ] || return
	LAB_QEMU_ARGS="-cpu EPYC,-svm" lab -- sh -c '
		vmm run --kernel /boot/vmlinuz 2>/tmp/err
		echo "run: $?, $(grep -c "" /tmp/err) line"
		cat /tmp/err
		vmm doctor'
	is "no extension: status" "$status" 7
	is "no extension: vmm run says so with the same status" "$(status_of run)" "7, 1 line"
	says "no extension: vmm run says what to do" \
		'^vmm: .*no virtualization to be used; switch on SVM or VT-x'
	says "no extension: cause" '^FAIL +cpu .*without nested virtualization'
	says "no extension: cure" 'nested=1'
	says "no extension: the module says so too" '^FAIL +machine .*neither VT-x nor AMD-V'
}

echo "TAP version 13"
with_module
with_kvm
without_extension
echo "1..$n"
exit $bad
