#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# GRUB's multiboot image, a kernel of others that knows nothing of vmm: what it was given, the
# debug-exit port, and a stock Debian kernel that it loads from the RAM disk in its image. It
# takes no command line or modules itself, so its script shows them in memory. HOST (svm)
# and KERNEL (6.1, the host's and the guest's) from the environment; GRUB is that of
# scripts/setup grub. TAP.

cd "$(dirname "$0")/../.." || exit 1
. scripts/env.sh
. lab/tests/tap.sh
host=${HOST:-svm}
kernel=${KERNEL:-6.1}
grub=$(grub_dir)
# What the lab spares its hosts (lab/lab), which is two thirds of a guest's boot in Bochs.
quick="quiet cryptomgr.notests=1 initcall_blacklist=load_system_certificate_list,trace_eval_init,jent_mod_init"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# image NAME [FILE]...: GRUB with the FILEs, and the script on standard input, in its RAM disk.
image()
{
	local name=$1 disk=$work/$1.disk

	shift
	mkdir -p "$disk/boot/grub"
	{
		echo "serial --unit=0 --speed=115200"
		echo "terminal_input serial"
		echo "terminal_output serial"
		cat
	} >"$disk/boot/grub/grub.cfg"
	[ $# = 0 ] || cp "$@" "$disk" || return
	tar -cf "$disk.tar" -C "$disk" . &&
	"$grub/grub-mkimage" -d "$grub" -O i386-multiboot -p '(memdisk)/boot/grub' -m "$disk.tar" \
		-o "$work/$name" normal serial terminal echo memdisk tar test date lsmmap lspci \
		lsacpi hexdump memrw iorw linux boot
}

# The address of $1 bytes into GRUB's own copy of the multiboot information.
info()
{
	nm "$grub/kernel.exec" | awk -v name=kern_multiboot_info '$3 == name { print $1 }' |
		{ read -r base && printf '0x%x' $((0x$base + $1)); }
}

images()
{
	image look <<END &&
echo "GRUB: \$grub_cpu-\$grub_platform"
lsmmap
lspci
lsacpi
read_dword -v line $(info 16)
hexdump -s 0x\$line -n 64 "(mem)"
read_dword -v count $(info 20)
echo "modules: \$count"
read_dword -v mods $(info 24)
hexdump -s 0x\$mods -n 1024 "(mem)"
read_dword -v start 0x\$mods
hexdump -s 0x\$start -n 64 "(mem)"
date
outb 0xf4 21
END
	image load "$(kernel_image_dir "$kernel")/vmlinuz" build/lab/initrd \
		"$work/script.cpio" <<END
linux (memdisk)/vmlinuz console=ttyS0 $quick reboot=acpi panic=-1 by=grub script
initrd (memdisk)/initrd (memdisk)/script.cpio
boot
END
}

# In the host.
cat >"$work/host.sh" <<'END'
start()
{
	label=$1
	shift
	vmm run --kernel "$label" --mem 256M --cpus 2 "$@" </dev/null >/tmp/out 2>&1
	echo "$label status=$?"
	# Of a hexdump the characters alone, as one line.
	tr -d '\r' </tmp/out | sed "s/^/$label /"
	echo "$label memory=$(tr -d '\r' </tmp/out | sed -n 's/.*|\(.*\)|$/\1/p' | tr -d '\n')"
}
start look --append 'words of its line' --module one,its=own --module two --debug-exit 0xf4
start load
END

# In the guest that GRUB starts.
mkdir "$work/guest"
cat >"$work/guest/script" <<'END'
echo "line=$(cat /proc/cmdline)"
echo "cpus=$(grep -c ^processor /proc/cpuinfo)"
echo "loader=$(cat /proc/sys/kernel/bootloader_type)"
echo "MiB=$(awk '/MemTotal/ { print int($2 / 64 / 1024) * 64 }' /proc/meminfo)"
END
(cd "$work/guest" && find . -mindepth 1 | cpio --quiet -o -H newc -R 0:0) | gzip -n \
	>"$work/script.cpio"

failed()
{
	show_lab
}

echo "TAP version 13"
[ -d "$grub" ] || {
	echo "1..0 # SKIP scripts/setup grub was not run"
	exit 4
}
lab/lab --make-initrd && images || { echo "Bail out! cannot make the images"; exit 1; }
echo "contents of the first" >"$work/one"
echo "contents of the second" >"$work/two"
lab/lab --host "$host" --kernel "$kernel" --no-selftests --timeout "${LIMIT:-300}" \
	--put "$work/look" --put "$work/load" --put "$work/one" --put "$work/two" \
	--put "$work/host.sh" -- sh host.sh </dev/null >"$work/out" 2>"$work/err"
ok "the host ran" test $? = 0
said -E "it comes up on the serial port" look '.*GRUB: i386-multiboot'
said -E "the memory map" look 'base_addr = 0x0, length = 0xa0000, available RAM' \
	'base_addr = 0xa0000, length = 0x60000, reserved RAM' \
	'base_addr = 0x100000, length = 0xff00000, available RAM'
said -E "the PCI devices" look '00:00.0 1b36:0008 \[0600\] Host Bridge' '00:01.0 1af4:1044 .*'
said -E "ACPI's tables, and CPUs in them" look 'RSDPv2 signature:RSD PTR  chksum:.. \(valid\).*' \
	'XSDT .*\(valid\).*' 'FACP .*\(valid\).*' 'APIC .*\(valid\).*' \
	' *LAPIC ACPI_ID=01 APIC_ID=01 Flags=00000001'
said -E "the command line" look 'memory=look words of its line\..*'
said -E "two modules, with their own words" look 'modules: 2' \
	'memory=.*\.one its=own\.two\..*' 'memory=.*contents of the first.*'
said -E "the time" look "$(date -u +%Y)-.*"
said -E "the debug-exit port ends it" look 'status=43'
said -E "a stock kernel and two RAM disks that GRUB loads" load 'line=.*by=grub script' 'cpus=2' \
	'MiB=192' 'loader=114' 'status=0'
echo "1..$n"
exit $bad
