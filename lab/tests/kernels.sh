#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Kernels that are not Linux, and images that are no kernels, in one emulated host:
# HOST (svm) and KERNEL (6.1) from the environment. The programs are those of
# lab/tests/kernels/, made here, and know nothing of vmm; a 32-bit Debian kernel, memtest86+
# and Xen, a multiboot kernel of others, come from scripts/setup guests. TAP.

cd "$(dirname "$0")/../.." || exit 1
. scripts/env.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
from=lab/tests/kernels
guests=$(guests_dir)

# cc32 OUT SOURCE... [OPTION]...
cc32()
{
	local out=$1

	shift
	gcc -m32 -ffreestanding -fno-pic -fno-stack-protector -fno-asynchronous-unwind-tables \
		-fcf-protection=none -mno-sse -mno-mmx -O1 -Wall -Wextra -Werror -nostdlib -static \
		-Wl,--build-id=none,--no-warn-rwx-segments -DAP_COUNT=0x9000 "$@" -o "$work/$out"
}

# flat OUT OPTION...: a flat image of flat.S
flat()
{
	local out=$1

	shift
	gcc -c -Wall -Werror "$@" $from/flat.S -o "$work/flat.o" &&
		objcopy -O binary -j .text "$work/flat.o" "$work/$out"
}

build()
{
	cc32 mb32 -Wl,-T,$from/multiboot.ld $from/multiboot.S $from/multiboot.c &&
	objcopy -I elf32-i386 -O elf64-x86-64 "$work/mb32" "$work/mb64" &&
	cc32 kludge -DKLUDGE -Wl,-T,$from/multiboot.ld $from/multiboot.S $from/multiboot.c &&
	objcopy -O binary "$work/kludge" "$work/mbflat" &&
	flat real -DMODE=16 -DSELECTOR=0 &&
	flat high -DMODE=16 -DSELECTOR=0x3000 &&
	flat protected -DMODE=32 &&
	flat long -DMODE=64 &&
	flat firmware -DMODE=16 -DSELECTOR=0xf000 -DFIRMWARE &&
	printf 'the first\n' >"$work/one" && printf 'the second\n' >"$work/two"
}

# An initial RAM disk for the 32-bit kernel.
initrd32()
{
	local applet dir=$work/initrd

	mkdir -p "$dir"/{bin,sbin,proc,sys,dev,root} &&
	cp "$guests/busybox-686" "$dir/bin/busybox" && cp lab/guest-init "$dir/init" &&
	chmod 755 "$dir/init" || return
	for applet in sh mount uname cat poweroff setsid; do
		ln -s busybox "$dir/bin/$applet"
	done
	(cd "$dir" && find . -mindepth 1 | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0) |
		gzip -n >"$work/initrd32"
}

# Runs in the host; prints TAP.
cat >"$work/kernels.sh" <<'END'
n=0
run() { timeout ${RUN_LIMIT:-60} vmm run --debug-exit 0xf4 --debug-console 0xe9 "$@" </dev/null; }

skip()
{
	n=$((n + 1))
	echo "ok $n $1 # SKIP scripts/setup guests was not run"
}

# ok NAME STATUS
ok()
{
	n=$((n + 1))
	if [ "$2" = 0 ]; then
		echo "ok $n $1"
	else
		echo "not ok $n $1"
		sed 's/^/# err: /' err
		tail -n 25 out | sed 's/^/# out: /'
		echo	# a guest's last line may have no end
	fi
}
is() { [ "$2" = "$3" ] || echo "# got '$2', want '$3'"; [ "$2" = "$3" ]; ok "$1" $?; }
said() { tr -d '\r' <out | grep -qxF -- "$2"; ok "$1: $2" $?; }

for kernel in mb32 mb64 mbflat; do
	run --kernel $kernel --append 'exit=21 cpus=3' --cpus 3 --mem 64M --initrd one \
		--module two,with=arguments,and=more >out 2>err
	is "$kernel: status of the debug-exit port" $? 43
	said $kernel "debug console 0xe9"
	said $kernel "booted by vmm"
	said $kernel "command line: $kernel exit=21 cpus=3"
	said $kernel "module one: the first"
	said $kernel "module two with=arguments,and=more: the second"
	said $kernel "lower KiB 0x280"
	said $kernel "upper KiB 0xfc00"
	said $kernel "memory 0x0 usable 0xa0000"
	said $kernel "memory 0xa0000 reserved 0x60000"
	said $kernel "memory 0x100000 usable 0x3f00000"
	said $kernel "ACPI is found"
	said $kernel "fw_cfg CPUs 0x3"
	said $kernel "fw_cfg memory 0x4000000"
	said $kernel "latch 0xab"
	said $kernel "memory that exits 0x13579bdf"
	said $kernel "requested before 0x0"
	said $kernel "requested by the line 0x1"
	said $kernel "PAE paging works"
	said $kernel "long mode 0x123456701234567"
	said $kernel "processors 0x3"
done
for cpus in 64 255 512; do
	run --kernel mb32 --append "exit=21 cpus=$cpus" --cpus $cpus --mem 64M >out 2>err
	is "$cpus CPUs: status" $? 43
	said "$cpus CPUs start" "processors $(printf '0x%x' $cpus)"
done
for mode in real protected long; do
	case $mode in real) digit=1 ;; protected) digit=3 ;; long) digit=6 ;; esac
	run --flat $mode,mode=$mode >out 2>err
	is "flat $mode: status" $? $(((0x30 + digit) * 2 + 1))
	said "flat $mode" $digit
done
run --flat high,addr=0x30000 >out 2>err
is "flat real at 0x30000: status" $? $((0x31 * 2 + 1))
run --flat protected,addr=0x2000000,mode=protected --mem 64M >out 2>err
is "flat protected at 32 MiB: status" $? $((0x33 * 2 + 1))
run --firmware firmware >out 2>err
is "firmware: status" $? $((0x31 * 2 + 1))
run --flat real,addr=0x3fffffff,mode=long --mem 64M >out 2>err
is "flat image without room: status" $? 4
vmm run --flat real --debug-exit 0x3f8 </dev/null >out 2>err
is "a port that is taken: status" $? 2
run --flat real,entry=0x8000000 >out 2>err
is "an entry outside: status" $? 2
if [ -e xen ]; then
	vmm run --kernel xen --append 'com1=115200,8n1 console=com1 no-real-mode' --initrd one \
		</dev/null >out 2>err &
	for _ in $(seq 300); do
		grep -q 'Domain 0\|Panic' out && break
		sleep 0.2
	done
	kill $!
	wait $!
	said xen "(XEN) Bootloader: vmm"
	said xen "(XEN) Command line: com1=115200,8n1 console=com1 no-real-mode"
else
	skip "Xen"
fi
# It measures the TSC by the ACPI timer, then writes and reads all memory, and repaints its
# display for ever.
if [ -e memtest ]; then
	vmm run --kernel memtest --append 'console=ttyS0,115200' --mem 32M </dev/null >out 2>err &
	# It shows where it is every two seconds; the first tests are shorter.
	for _ in $(seq 400); do
		grep -qE '#([3-9]|10) +\[' out && break
		sleep 0.2
	done
	kill $!
	wait $!
	grep -qE '#([3-9]|10) +\[' out
	ok "memtest86+ comes to its third test, or beyond" $?
	grep -o 'Errors: [0-9]*' out | sort -u >errors
	is "memtest86+ finds no error" "$(cat errors)" "Errors: 0"
else
	skip "memtest86+"
fi
if [ -e vmlinuz-686 ]; then
	RUN_LIMIT=200 run --kernel vmlinuz-686 --initrd initrd32 >out 2>err
	is "32-bit Debian kernel: status" $? 0
	grep -q '^Linux .*-686-pae .* i686' out
	ok "32-bit Debian kernel: says so" $?
else
	skip "32-bit Debian kernel"
fi
echo "1..$n"
END

echo "TAP version 13"
build || { echo "Bail out! cannot build the programs"; exit 1; }
put=()
[ ! -d "$guests" ] || { cp "$guests/xen" "$guests/memtest" "$guests/vmlinuz-686" "$work" && initrd32; } ||
	{ echo "Bail out! cannot take the guests from $guests"; exit 1; }
for file in mb32 mb64 mbflat real high protected long firmware one two xen memtest \
	vmlinuz-686 initrd32; do
	[ ! -e "$work/$file" ] || put+=(--put "$work/$file")
done
lab/lab --host "${HOST:-svm}" --kernel "${KERNEL:-6.1}" --smp 2 --timeout "${LIMIT:-300}" \
	--put "$work/kernels.sh" "${put[@]}" -- sh kernels.sh </dev/null >"$work/out" 2>"$work/err"
status=$?
tr -d '\r' <"$work/out"
if [ $status != 0 ]; then
	echo "Bail out! the lab ended with status $status"
	tail -n 20 "$work/err" | sed 's/^/# lab: /'
	exit 1
fi
grep -q '^1\.\.' "$work/out" && ! grep -q '^not ok' "$work/out"
