# SPDX-License-Identifier: GPL-2.0-or-later
# In the guest: the balloon. The host looks at the memory of the runner, whose guest fills 64 MiB
# and gives them up; then it inflates the balloon, and deflates it.

modprobe virtio_balloon
inflated()
{
	sed -n 's/^balloon_inflate //p' /proc/vmstat
}

mkdir -p /fill && mount -t tmpfs fill /fill
mib=$(size 64 32)
dd if=/dev/zero of=/fill/a bs=1M count=$mib 2>/dev/null
rm /fill/a
echo "please take"
i=0
pages=$(size 8000 2000)
while [ "$(inflated)" -lt $pages ] && [ $i -lt 600 ]; do
	sleep 0.2
	i=$((i + 1))
done
check "balloon: it takes what is told" test "$(inflated)" -ge $pages
# Out of the balloon again: only then there is room for it.
i=0
while [ "$(sed -n 's/^balloon_deflate //p' /proc/vmstat)" -lt $pages ] && [ $i -lt 600 ]; do
	sleep 0.2
	i=$((i + 1))
done
dd if=/dev/zero of=/fill/a bs=1M count=$mib 2>/dev/null
is "balloon: what it gives back is of use" "$(stat -c %s /fill/a)" $((mib << 20))
echo "filled again"
umount /fill
