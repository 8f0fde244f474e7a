#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Every check of scripts/lint must see an offence planted for it, and must be
# silent about the same file without the offence.

cd "$(dirname "$0")/../.." || exit 1
lint=$PWD/scripts/lint
n=0
bad=0

ok()
{
	n=$((n + 1))
	if [ "$2" = "$3" ]; then
		echo "ok $n $1"
	else
		bad=1
		echo "not ok $n $1"
		echo "# expected $2, got: $3"
	fi
}

# verdict CHECK FILE TEXT: what the check says about a tree of that one file.
verdict()
{
	local tree said

	tree=$(mktemp -d)
	mkdir -p "$tree/$(dirname "$2")"
	printf '%b\n' "$3" >"$tree/$2"
	said=$(LINT_TOP=$tree "$lint" "$1" 2>&1 | grep -E '^(not )?ok')
	case $said in
	"ok 1 "*) echo clean ;;
	"not ok 1 "*) echo offence ;;
	*) echo "nothing" ;;
	esac
	rm -rf "$tree"
}

# sees NAME CHECK FILE BAD-TEXT GOOD-TEXT
sees()
{
	ok "$1: seen" offence "$(verdict "$2" "$3" "$4")"
	ok "$1: nothing seen where nothing is" clean "$(verdict "$2" "$3" "$5")"
}

gpl='// SPDX-License-Identifier: GPL-2.0-only\n'
long=$(seq -f 'int a%g;\n' 901 | tr -d '\n')
body=$(seq -f '\tf(%g);\n' 81 | tr -d '\n')

echo "TAP version 13"
sees "a vendor's name in neutral code" border_vendor kmod/vcpu.c \
	'int x = vmcb_clean;' 'int x; /* the VMCB */'
sees "a vendor's name in the middle of a word" border_vendor kmod/mmu/mmu.c \
	'load_ept_root();' 'inept();'
sees "a vendor's header" border_vendor runner/main.c \
	'#include <asm/svm.h>\nint svm;' 'puts("switch on SVM in the firmware");'
sees "a vendor's name after a comment on the line" border_vendor lib/vm.c \
	'/* note */ int vmx;' '// int vmx;'
sees "a lock in a vendor's folder" border_vendor_duties kmod/svm/run.c \
	'mutex_lock(&vm->lock);' '/* mutex_lock() is not for here */'
sees "a copy from user space in a vendor's folder" border_vendor_duties kmod/vmx/state.c \
	'if (copy_from_user(a, b, c))' 'copy(a, b, c);'
sees "a kernel version outside compat.h" border_version kmod/vm.c \
	'#if LINUX_VERSION_CODE < 1' '/* LINUX_VERSION_CODE */'
ok "a kernel version in compat.h: nothing seen" clean \
	"$(verdict border_version kmod/compat.h '#if LINUX_VERSION_CODE < 1')"
sees "an ioctl on our descriptors in the runner" border_ioctl runner/run.c \
	'ioctl(fd, VMM_RUN, 0);' 'ioctl(fd, TIOCGWINSZ, &ws);'
sees "an ioctl over two lines" border_ioctl runner/run.c \
	'ret = ioctl(vcpu->fd,\n\t    VMM_RUN, 0);' 'ret = ioctl(fd,\n\t    TIOCGWINSZ, 0);'
sees "a long file" file_length lib/vm.c "$long" 'int a;'
sees "a long function" function_length lib/vm.c "void g(void)\n{\n$body}" \
	'void g(void)\n{\n\tf(1);\n}'
sees "a wrong licence" spdx lib/vm.c "$gpl" \
	'// SPDX-License-Identifier: LGPL-2.1-or-later'
sees "no licence" spdx kmod/vm.c 'int a;' "$gpl"
sees "a mark of unfinished work" marks kmod/vm.c '/* TO''DO: later */' '/* later */'
sees "a path of one machine" machine_paths scripts/x 'cd /work/main' 'cd work/main'
sees "a script with a syntax error" scripts scripts/x '#!/bin/bash\nif true' \
	'#!/bin/bash\ntrue'
sees "kernel style" checkpatch kmod/vm.c "${gpl}\nint  a( int b ){\n}" \
	"${gpl}\nint a;"

# documented API EXITS: what the check says of an ABI of one ioctl and one exit.
documented()
{
	local tree said

	tree=$(mktemp -d)
	mkdir -p "$tree/include/uapi/linux" "$tree/docs"
	printf '#define VMM_RUN 0x40\nenum vmm_stat_exit {\n\tVMM_STAT_HLT,\n};\n' \
		>"$tree/include/uapi/linux/vmm.h"
	echo "$1" >"$tree/docs/api.md"
	echo "$2" >"$tree/docs/exits.md"
	said=$(LINT_TOP=$tree "$lint" abi_documents 2>&1 | sed -n 's/^# //p')
	rm -rf "$tree"
	echo "$said"
}
ok "an ABI in its documents: nothing seen" "" \
	"$(documented '`VMM_RUN`, `enum vmm_stat_exit`' '| `HLT` | a | b |')"
ok "an ioctl in no document: seen" "docs/api.md: VMM_RUN is missing" \
	"$(documented '`VMM_RUNS`, `enum vmm_stat_exit`' '| `HLT` | a | b |')"
ok "a type in no document: seen" "docs/api.md: vmm_stat_exit is missing" \
	"$(documented '`VMM_RUN`' '| `HLT` | a | b |')"
ok "an exit without a row: seen" "docs/exits.md: HLT has no row" \
	"$(documented '`VMM_RUN`, `enum vmm_stat_exit`' 'HLT')"
echo "1..$n"
exit $bad
