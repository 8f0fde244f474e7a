#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# A Debian system as a guest in an emulated host (HOST, svm; KERNEL, 6.1, the host's and the
# guest's): from its disk through systemd to a login at the serial console, with an address
# by DHCP, and off again. The disk is that of scripts/setup debian, and another disk of
# the host's; the guest gets it as --disk, and its network as --net user. TAP.

cd "$(dirname "$0")/../.." || exit 1
. scripts/env.sh
host=${HOST:-svm}
kernel=${KERNEL:-6.1}
from=$(debian_dir)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. lab/tests/tap.sh

# What runs in the host: types at the guest's console. The host is one whose kernel has an
# initial RAM disk, and where a name server is.
cat >"$work/host.sh" <<'END'
modprobe virtio_pci 2>/dev/null
modprobe virtio_blk
ln -s vmlinuz "/boot/vmlinuz-$(uname -r)"
mv initrd "/boot/initrd.img-$(uname -r)"
ip link set lo up
mkdir -p /www
echo "the host's word" >/www/word
httpd -p 127.0.0.1:8080 -h /www
./dnsreply &
echo "nameserver 127.0.0.1" >/etc/resolv.conf
mkfifo /tmp/keys /tmp/says
: >/tmp/out
tee /tmp/out </tmp/says &
vmm run --disk /dev/vda --net user,loopback </tmp/keys >/tmp/says &
pid=$!
exec 3>/tmp/keys

# Waits until the guest has said it, or has ended.
said()
{
	until grep -aq "$1" /tmp/out; do
		[ -d /proc/$pid ] || return 1
		sleep 0.5
	done
}

# does WHAT COMMAND: the guest runs it, and says whether it was right.
does()
{
	echo "if $2; then echo \"ok\" $1; else echo \"not\" ok $1; fi; echo \"end\" of $1" >&3
	said "^end of $1"
}

said "^debian login: " && echo root >&3
said "root@debian:~#" && echo "bind 'set enable-bracketed-paste off'; stty -echo; PS1=" >&3
# What the shell had to say before that ends with the first of them.
does listen true
does runs-systemd '[ "$(cat /proc/1/comm)" = systemd ]'
does has-its-root 'findmnt -n -o SOURCE,FSTYPE / | grep -q "/dev/vda *ext4"'
does has-an-address 'networkctl --no-pager status ens* enp* eth* 2>&1 | grep -q "10.0.2.15 (DHCP"'
does knows-a-name-server 'resolvectl dns | grep -q 10.0.2.3'
does resolves-names '[ "$(getent ahostsv4 www.vmm.test | cut -d" " -f1 | sort -u)" = 10.0.2.2 ]'
does reaches-the-host 'exec 4<>/dev/tcp/www.vmm.test/8080 && printf "GET /word HTTP/1.0\r\n\r\n" >&4 && grep -q "the host.s word" <&4'
does started-all '[ "$(systemctl is-system-running --wait)" = running ] || ! systemctl --failed --no-pager'
echo poweroff >&3
wait $pid
status=$?
echo
exit $status
END

echo "TAP version 13"
if [ ! -d "$from" ]; then
	why="scripts/setup debian was not run"
	[ "$(id -u)" = 0 ] || why="only root can make the disk of a Debian system"
	echo "1..0 # SKIP $why"
	exit 0
fi
cp --sparse=always "$from/root.img" "$work/root.img" && cp "$from/initrd-$kernel" "$work/initrd" || {
	echo "Bail out! cannot copy the disk"
	exit 1
}
gcc -O2 -Wall -Wextra -static lab/tests/dnsreply.c -o "$work/dnsreply" || exit 1
LAB_QEMU_ARGS="-drive file=$work/root.img,format=raw,if=virtio,cache=unsafe" \
	lab/lab --host "$host" --kernel "$kernel" --timeout "${LIMIT:-900}" --put "$work/initrd" \
	--put "$work/host.sh" --put "$work/dnsreply" -- sh host.sh </dev/null >"$work/out" 2>"$work/err"
status=$?
tr -d '\r' <"$work/out" >"$work/said"
for point in runs-systemd has-its-root has-an-address knows-a-name-server resolves-names \
	reaches-the-host started-all; do
	ok "the guest $point" grep -qx "ok $point" "$work/said"
done
ok "the guest powers off with status 0" test $status = 0
e2fsck -fn "$work/root.img" >"$work/fsck" 2>&1
ok "its file system is clean" test $? = 0
[ $bad = 0 ] || {
	tail -n 60 "$work/said" | sed 's/^/# guest: /'
	sed 's/^/# fsck: /' "$work/fsck"
	tail -n 40 "$work/err" | sed 's/^/# lab: /'
}
echo "1..$n"
exit $bad
