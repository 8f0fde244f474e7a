/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions that only CPL 0 can succeed with, or that a process cannot be asked to
 * execute: FORM(name, modes, text), text being assembled for each of the modes. A is the
 * full width of a register that RSI points to data with: "e" or "r".
 *
 * ESI points at a descriptor-table operand, 16 bytes behind which is a far pointer; EDI
 * at 64 bytes of room, EDX is a port, ECX is 5.
 */

/*
 * INT n and its like come to a handler that increments EBX. Of SMSW and LMSW in memory some
 * CPUs exit and some do not; the last byte of a segment has no room for their operand.
 */
#define PRIVILEGED_FORMS(FORM, A)						\
	FORM("cli", ALL, "cli")							\
	FORM("sti", ALL, "sti; nop")						\
	FORM("smsw", ALL, "smsw %eax; smsw %cx; smsw (%edi)")			\
	FORM("smsw over a page's end", ALL, "smsw 0xbff(%edi)")			\
	FORM("smsw over a segment's end", REAL | PROTECTED, "smsw 0xfbff(%edi)")	\
	FORM("lmsw", ALL, "smsw %eax; orb $2, %al; lmsw %ax")			\
	FORM("lmsw of memory", ALL, "lmsw 2(%esi); smsw %eax")			\
	FORM("lmsw over a page's end", ALL, "movl $0xb0b, 0xbff(%edi); lmsw 0xbff(%edi); " \
	     "smsw %eax")							\
	FORM("lmsw over a segment's end", REAL | PROTECTED, "lmsw 0xfbff(%edi)")	\
	FORM("clts", ALL, "smsw %eax; orb $10, %al; lmsw %ax; smsw (%edi); clts") \
	FORM("lgdt", ALL, "lgdt (%esi); sgdt (%edi)")				\
	FORM("sgdt", ALL, "sgdt (%edi)")					\
	FORM("lidt", ALL, "lidt (%esi)")					\
	FORM("sidt", ALL, "sidt (%edi)")					\
	FORM("lldt", PROTECTED, "movw $0x28, %ax; lldt %ax")			\
	FORM("sldt", PROTECTED, "movw $0x28, %ax; lldt %ax; sldt %eax; sldt (%edi)") \
	FORM("ltr", PROTECTED, "movw $0x30, %ax; ltr %ax")			\
	FORM("str", PROTECTED | LONG, "str %eax; str (%edi)")			\
	FORM("invlpg", ALL, "invlpg (%edi)")					\
	FORM("lfs", ALL, "lfsl 16(%esi), %eax")					\
	FORM("rdtsc", ALL, "rdtsc; xorl %eax, %eax; xorl %edx, %edx")		\
	FORM("rdtscp", ALL, "rdtscp; xorl %eax, %eax; xorl %edx, %edx")		\
	FORM("in", ALL, "inb $0x10, %al; movb %al, (%edi); inw %dx, %ax; " \
	     "movl %eax, 4(%edi); inl %dx, %eax")				\
	FORM("out", ALL, "outb %al, $0x10; outw %ax, %dx; outl %eax, %dx; outl %eax, $0x20") \
	FORM("insb", ALL, "cld; rep insb; insb")				\
	FORM("insw", ALL, "std; rep insw; insw")				\
	FORM("insd", ALL, "cld; rep insl; .byte 0x67; insl")				\
	FORM("outsb", ALL, "cld; rep outsb; outsb")				\
	FORM("outsw", ALL, "std; rep outsw; outsw")				\
	FORM("outsd", ALL, "cld; rep outsl; .byte 0x67; outsl")			\
	FORM("int", REAL | PROTECTED, "int $0x33")				\
	FORM("int1", REAL | PROTECTED, ".byte 0xf1")				\
	FORM("int3", REAL | PROTECTED, "int3")					\
	FORM("into", REAL | PROTECTED, "movb $0x7f, %al; incb %al; .byte 0xce")	\
	FORM("mov", ALL, "mov %cr0, %" A "ax; mov %" A "ax, %cr0; mov %cr4, %" A "cx; " \
	     "orb $0x80, %cl; mov %" A "cx, %cr4; mov %cr3, %" A "bx; mov %" A "bx, %cr3; " \
	     "mov %cr2, %" A "dx; mov %" A "si, %cr2")				\
	FORM("mov sreg", ALL, "movw $0x10, %ax; movw %ax, %fs; movw %ax, %gs; movw %fs, %cx") \
	FORM("pop sreg", ALL, "push $0x10; pop %gs; push %fs; pop %fs")		\
	FORM("mov ss", REAL | PROTECTED, "movw %ss, %ax; movw %ax, %ss; nop")	\
	FORM("popf", ALL, "push $0x3246; popf; pushf; cli; pop %" A "ax")
