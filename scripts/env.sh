# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Where kernels live: sourced by scripts/setup, lab/lab and the test driver.
# Only resolves names; installs, downloads and writes nothing.

VMM_CACHE=${VMM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/vmm}
VMM_SERIES="6.1 6.12"

# Release (as uname -r says it) of the newest installed headers of series $1.
# "6.1." does not match 6.12: the dot is part of the pattern.
kernel_release()
{
	local dir newest

	newest=$(for dir in /usr/src/linux-headers-"$1".*-cloud-amd64; do
			[ -e "$dir/Makefile" ] && echo "${dir#/usr/src/linux-headers-}"
		done | sort -V | tail -n 1)
	[ -n "$newest" ] && echo "$newest"
}

# Debian version of the package that owns the headers of release $1.
kernel_version()
{
	dpkg-query -W -f '${Version}' "linux-headers-$1"
}

kernel_headers_dir()
{
	echo "/usr/src/linux-headers-$(kernel_release "$1")"
}

# Unpacked image package: vmlinuz, config, lib/modules.
kernel_image_dir()
{
	local release

	release=$(kernel_release "$1") || return 1
	echo "$VMM_CACHE/kernel-$release-$(kernel_version "$release" | tr ':' '_')"
}

# Parts of linux-source-6.1: checkpatch, the kselftest harness.
kernel_source_dir()
{
	echo "$VMM_CACHE/source-$(source_version)"
}

# A kernel built from linux-source-6.1 and lab/$1.config: debug, with all checkers, or
# guest, with what Debian's lack.
kernel_built_dir()
{
	local config

	config=$(dirname "${BASH_SOURCE[0]}")/../lab/$1.config
	echo "$VMM_CACHE/$1-$(source_version)-$(cksum <"$config" | cut -d' ' -f1)"
}

# Guests of other kinds: a 32-bit kernel, busybox for it, Xen, memtest86+.
guests_dir()
{
	echo "$VMM_CACHE/guests-2"
}

# GRUB's multiboot kernel and modules, and grub-mkimage.
grub_dir()
{
	echo "$VMM_CACHE/grub-1"
}

# The disk of a Debian system, with the modules of the kernels and initial RAM disks.
debian_dir()
{
	local series dir=$VMM_CACHE/debian-1

	for series in $VMM_SERIES; do
		dir=$dir-$(kernel_release "$series")
	done
	echo "$dir"
}

source_version()
{
	dpkg-query -W -f '${Version}' linux-source-6.1 2>/dev/null
}
