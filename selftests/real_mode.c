// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Real mode and the switches from and to it, the same on every host: on the CPU where
 * it runs real mode, through libvmm's emulator where it does not. Programs write what
 * they found to memory; random ones are judged by a digest of registers and memory
 * that is the same everywhere. Where both ways are there, they are compared.
 *
 * Code is at 0x10000, its data segment at 0x20000, page tables at 0x30000.
 */
#include <errno.h>
#include <sys/mman.h>
#include <sys/time.h>

#include "lib/library.h"
#include "lib/test.h"

#define RAM_SIZE	0x400000
#define CODE		0x10000UL
#define DATA		0x20000UL
#define TABLES		0x30000UL
#define SEGMENT(linear)	((linear) >> 4)
#define EXIT_PORT	0xf4
#define IRQ_PORT	0xf5
#define NMI_PORT	0xf6
#define RANDOM_SEED	1
#define RANDOM_PROGRAMS	60
/* Of the programs from RANDOM_SEED on, on every CPU */
#define RANDOM_DIGEST	0xd65a8983256f8f20UL

extern const u8 modes_start[], modes_end[], events_start[], events_end[];
extern const u8 big_start[], big_end[], faults_start[], faults_end[], spin_start[], spin_end[];

struct machine {
	struct vmm *vm;
	struct vmm_vcpu *vcpu;
	struct vmm_run *run;
	u8 *ram;
	bool ended;
	u32 emulated;		/* calls of the emulator */
	u32 irqs, nmis;		/* told of by the guest */
};

/* ---- programs ---- */

/* Real, protected, long, compatibility, protected, 16-bit protected, real. */
__asm__(".pushsection .rodata\n"
"	.code16\n"
"modes_start:\n"
"	movw	%cs, %ax\n"
"	movw	%ax, %ds\n"
"	movw	$0x2000, %ax\n"
"	movw	%ax, %es\n"
"	movl	$1, %es:0\n"
"	lgdtl	modes_gdtr - modes_start\n"
"	smsw	%es:0x20\n"
"	movl	%cr0, %eax\n"
"	orb	$1, %al\n"
"	movl	%eax, %cr0\n"
"	ljmpl	$8, $0x10000 + modes_32 - modes_start\n"
"	.code32\n"
"modes_32:\n"
"	movw	$0x10, %ax\n"
"	movw	%ax, %ds\n"
"	movw	%ax, %es\n"
"	movw	%ax, %ss\n"
"	movl	$0x7000, %esp\n"
"	call	1f\n"
"1:	popl	%eax\n"
"	movl	%eax, 0x20030\n"
"	movl	$2, 0x20004\n"
"	movl	%cr4, %eax\n"
"	orl	$0x20, %eax\n"
"	movl	%eax, %cr4\n"
"	movl	$0x30000, %eax\n"
"	movl	%eax, %cr3\n"
"	movl	$0xc0000080, %ecx\n"
"	rdmsr\n"
"	orl	$0x100, %eax\n"
"	wrmsr\n"
"	movl	%cr0, %eax\n"
"	orl	$0x80000000, %eax\n"
"	movl	%eax, %cr0\n"
"	ljmp	$0x18, $0x10000 + modes_64 - modes_start\n"
"	.code64\n"
"modes_64:\n"
"	movl	$3, 0x20008\n"
"	movabs	$0x1122334455667788, %rax\n"
"	movq	%rax, 0x20010\n"
"	pushq	$8\n"
"	pushq	$0x10000 + modes_compat - modes_start\n"
"	lretq\n"
"	.code32\n"
"modes_compat:\n"
"	movl	%cr0, %eax\n"
"	andl	$0x7fffffff, %eax\n"
"	movl	%eax, %cr0\n"
"	movl	$0xc0000080, %ecx\n"
"	rdmsr\n"
"	andl	$~0x100, %eax\n"
"	wrmsr\n"
"	movl	%eax, 0x20034\n"
"	movl	$4, 0x2000c\n"
"	ljmp	$0x20, $modes_16 - modes_start\n"
"	.code16\n"
"modes_16:\n"
"	movw	$0x28, %ax\n"
"	movw	%ax, %ds\n"
"	movw	%ax, %es\n"
"	movw	%ax, %ss\n"
"	movl	%cr0, %eax\n"
"	andb	$0xfe, %al\n"
"	movl	%eax, %cr0\n"
"	ljmp	$0x1000, $modes_real - modes_start\n"
"modes_real:\n"
"	movw	$0x2000, %ax\n"
"	movw	%ax, %ds\n"
"	movl	$5, 0x18\n"
"	movw	%cs, 0x1c\n"
"	outb	%al, $0xf4\n"
"	.balign 8\n"
"modes_gdt:\n"
"	.quad	0, 0x00cf9a000000ffff, 0x00cf92000000ffff, 0x00af9a000000ffff\n"
"	.quad	0x00009a010000ffff, 0x000092000000ffff\n"
"modes_gdtr:\n"
"	.word	0x2f\n"
"	.long	0x10000 + modes_gdt - modes_start\n"
"modes_end:\n"
/* Interrupts of three priorities, each taken out of HLT, then two NMIs out of a loop. */
"events_start:\n"
"	xorw	%bx, %bx\n"
"	xorw	%cx, %cx\n"
"	outb	%al, $0xf5\n"
"	sti\n"
"1:	hlt\n"
"	cmpw	$3, %bx\n"
"	jb	1b\n"
"	outb	%al, $0xf6\n"
"2:	cmpw	$2, %cx\n"
"	jb	2b\n"
"	movw	%bx, 0\n"
"	movw	%cx, 2\n"
"	outb	%al, $0xf4\n"
"events_irq:\n"
"	incw	%bx\n"
"	outb	%al, $0xf5\n"
"	iret\n"
"events_nmi:\n"
"	incw	%cx\n"
"	outb	%al, $0xf6\n"
"	iret\n"
"events_end:\n"
/* A limit of 4 GiB taken along from protected mode, and memory above 1 MiB. */
"big_start:\n"
"	movw	%cs, %ax\n"
"	movw	%ax, %ds\n"
"	lgdtl	big_gdtr - big_start\n"
"	movl	%cr0, %eax\n"
"	orb	$1, %al\n"
"	movl	%eax, %cr0\n"
"	movw	$8, %cx\n"
"	movw	%cx, %fs\n"
"	movw	%cx, %es\n"
"	andb	$0xfe, %al\n"
"	movl	%eax, %cr0\n"
"	xorw	%cx, %cx\n"
"	movw	%cx, %es\n"
"	movl	$0x300000, %ebx\n"
"	movl	$0xcafe1234, %fs:(%ebx)\n"
"	addl	$0x11110000, %es:(%ebx)\n"
"	movl	$0x300000, %esi\n"
"	movl	$0x300010, %edi\n"
"	movl	$4, %ecx\n"
"	cld\n"
"	addr32 rep movsb %fs:(%esi), %es:(%edi)\n"
"	outb	%al, $0xf4\n"
"	.balign 8\n"
"big_gdt:\n"
"	.quad	0, 0x00cf92000000ffff\n"
"big_gdtr:\n"
"	.word	0xf\n"
"	.long	0x10000 + big_gdt - big_start\n"
"big_end:\n"
/* A division that cannot be, UD2, BOUND, INT n, INT3. */
"faults_start:\n"
"	movw	$0x2000, %ax\n"
"	movw	%ax, %ds\n"
"	xorw	%di, %di\n"
"	xorw	%cx, %cx\n"
"	divw	%cx\n"
"	ud2\n"
"	boundw	%ax, 0x100\n"
"	int	$0x33\n"
"	int3\n"
"	movw	%sp, 0x40\n"
"	outb	%al, $0xf4\n"
"faults_handler:\n"
"	movw	%sp, %bp\n"
"	movw	(%bp), %ax\n"
"	movw	%ax, (%di)\n"
"	movw	2(%bp), %ax\n"
"	movw	%ax, 2(%di)\n"
"	addw	$4, %di\n"
"	movw	%cs:(faults_table - faults_start)(%si), %ax\n"
"	addw	%ax, (%bp)\n"
"	addw	$2, %si\n"
"	iret\n"
"faults_table:\n"
"	.word	2, 2, 4, 0, 0\n"
"faults_end:\n"
"spin_start:\n"
"	jmp	spin_start\n"
"spin_end:\n"
"	.code64\n"
"	.popsection\n");

extern const u8 events_irq[], events_nmi[], faults_handler[];

/* ---- the machine ---- */

static void interrupt(struct machine *m)
{
	struct vmm_msi msi = { .address = 0xfee00000, .data = 0x40 + 0x10 * m->irqs++ };

	if (m->irqs <= 3)
		must(vmm_signal_msi(m->vm, &msi), "vmm_signal_msi");
}

static void port(struct machine *m, u16 port, u32 size, bool write, u32 *data)
{
	if (!write) {
		*data = port * 0x01010101U;
	} else if (port == EXIT_PORT) {
		m->ended = true;
		/* The emulator must not go on behind it. */
		vmm_vcpu_request_exit(m->vcpu);
	} else if (port == IRQ_PORT) {
		interrupt(m);
	} else if (port == NMI_PORT && m->nmis++ < 2) {
		must(vmm_vcpu_nmi(m->vcpu), "vmm_vcpu_nmi");
	}
}

static void on_pio(void *opaque, uint16_t number, unsigned int size, bool write, void *data)
{
	u32 value = 0;

	memcpy(&value, data, size);
	port(opaque, number, size, write, &value);
	memcpy(data, &value, size);
}

static void on_mmio(void *opaque, uint64_t gpa, unsigned int size, bool write, void *data)
{
	die("an access of %u at %#lx", size, (u64)gpa);
}

static const struct vmm_emul_ops ops = { on_pio, on_mmio };

static void machine_new(struct machine *m)
{
	struct vmm_state state = { .mask = VMM_STATE_LAPIC };
	u64 *tables;

	memset(m, 0, sizeof(*m));
	m->ram = library_vm(RAM_SIZE, &m->vm, &m->vcpu);
	m->run = vmm_vcpu_run_page(m->vcpu);
	tables = (void *)(m->ram + TABLES);
	tables[0] = (TABLES + 0x1000) | PTE_P | PTE_W;
	tables[512] = (TABLES + 0x2000) | PTE_P | PTE_W;
	tables[1024] = PTE_P | PTE_W | PTE_PS;
	must(vmm_vcpu_get_state(m->vcpu, &state), "vmm_vcpu_get_state");
	state.lapic.regs[APIC_SVR / 16] = 0x1ff;
	must(vmm_vcpu_set_state(m->vcpu, &state), "vmm_vcpu_set_state");
}

static void machine_free(struct machine *m)
{
	vmm_vcpu_destroy(m->vcpu);
	vmm_destroy(m->vm);
	munmap(m->ram, RAM_SIZE);
}

static void load(struct machine *m, const u8 *start, const u8 *end)
{
	struct vmm_state state = { .mask = VMM_STATE_REGS | VMM_STATE_SEGS };
	u32 i;

	memcpy(m->ram + CODE, start, end - start);
	must(vmm_vcpu_get_state(m->vcpu, &state), "vmm_vcpu_get_state");
	memset(&state.regs, 0, sizeof(state.regs));
	state.regs.rflags = RFLAGS_FIXED;
	state.regs.rsp = 0xf000;
	for (i = VMM_ES; i <= VMM_GS; i++) {
		u64 base = i == VMM_CS ? CODE : DATA;

		state.segs.seg[i].base = base;
		state.segs.seg[i].selector = SEGMENT(base);
	}
	must(vmm_vcpu_set_state(m->vcpu, &state), "vmm_vcpu_set_state");
	vmm_vcpu_clear_exit(m->vcpu);
	m->ended = false;
}

static void vector(struct machine *m, u32 n, const u8 *start, const u8 *handler)
{
	u32 entry = SEGMENT(CODE) << 16 | (handler - start);

	memcpy(m->ram + n * 4, &entry, sizeof(entry));
}

static void emulate(struct machine *m)
{
	char line[160];
	int result = vmm_emulate(m->vcpu, &ops, m);

	m->emulated++;
	if (result == VMM_EMUL_OK)
		return;
	vmm_emul_describe(m->vcpu, line, sizeof(line));
	die("vmm_emulate gave %d: %s", result, line);
}

static void serve(struct machine *m)
{
	struct vmm_run *run = m->run;

	switch (run->exit_reason) {
	case VMM_EXIT_PIO:
		port(m, run->pio.port, run->pio.size, run->pio.write, &run->pio.data);
		return;
	case VMM_EXIT_INSN:
		emulate(m);
		return;
	default:
		die("exit %u at %#llx", run->exit_reason, run->rip);
	}
}

/* Let VMM_RUN take what is in the run page, and no more. */
static void settle(struct machine *m)
{
	vmm_vcpu_request_exit(m->vcpu);
	if (vmm_vcpu_run(m->vcpu) != -EINTR)
		die("VMM_RUN: expected -EINTR");
}

/* To the program's end, as this host does it. */
static void run(struct machine *m)
{
	int error;

	while (!m->ended) {
		error = vmm_vcpu_run(m->vcpu);
		if (error == -EINTR)
			continue;
		must(error, "vmm_vcpu_run");
		serve(m);
	}
	settle(m);
}

/* The same through the emulator whatever the CPU can; no HLT, CPUID, MSRs. */
static void run_emulated(struct machine *m)
{
	while (!m->ended) {
		vmm_vcpu_clear_exit(m->vcpu);
		m->run->exit_reason = VMM_EXIT_INSN;
		m->run->insn = (struct vmm_exit_insn) { .cause = VMM_INSN_REAL_MODE };
		emulate(m);
		settle(m);
	}
}

static u32 data32(struct machine *m, u32 offset)
{
	u32 value;

	memcpy(&value, m->ram + DATA + offset, sizeof(value));
	return value;
}

static u16 data16(struct machine *m, u32 offset)
{
	return data32(m, offset);
}

/* ---- random programs ---- */

struct program {
	u8 bytes[0x4000];
	u32 len;
	u64 seed;
};

static u32 random_below(struct program *p, u32 limit)
{
	p->seed = p->seed * 6364136223846793005UL + 1442695040888963407UL;
	return (p->seed >> 33) % limit;
}

static void emit(struct program *p, const char *bytes, u32 len)
{
	memcpy(p->bytes + p->len, bytes, len);
	p->len += len;
}
#define EMIT(p, bytes)	emit(p, bytes, sizeof(bytes) - 1)

static void emit_byte(struct program *p, u32 byte)
{
	p->bytes[p->len++] = byte;
}

static void emit_word(struct program *p, u32 word)
{
	emit_byte(p, word);
	emit_byte(p, word >> 8);
}

/* Any register but the stack pointer. */
static u32 pick_reg(struct program *p)
{
	static const u8 regs[] = { 0, 1, 2, 3, 5, 6, 7 };

	return regs[random_below(p, sizeof(regs))];
}

/* ModRM for a register or memory far from both ends; @reg as given. */
static void emit_operand(struct program *p, u32 reg)
{
	if (random_below(p, 2)) {
		emit_byte(p, 0xc0 | reg << 3 | pick_reg(p));
	} else {
		emit_byte(p, 0x06 | reg << 3);
		emit_word(p, 0x1000 + random_below(p, 0xb000));
	}
}

/* cmp ax, imm: whatever flags were undefined are defined again. */
static void define_flags(struct program *p)
{
	emit_byte(p, 0x3d);
	emit_word(p, random_below(p, 0x10000));
}

static void maybe_wide(struct program *p)
{
	if (random_below(p, 2))
		emit_byte(p, 0x66);
}

static void make_alu(struct program *p)
{
	maybe_wide(p);
	emit_byte(p, random_below(p, 8) << 3 | random_below(p, 4));
	emit_operand(p, pick_reg(p));
}

static void make_unary(struct program *p)
{
	maybe_wide(p);
	emit_byte(p, 0xf6 + random_below(p, 2));
	emit_operand(p, 2 + random_below(p, 4));	/* NOT, NEG, MUL, IMUL */
	define_flags(p);
}

static void make_shift(struct program *p)
{
	static const u8 ops[] = { 0, 1, 2, 3, 4, 5, 7 };

	maybe_wide(p);
	emit_byte(p, 0xc1);
	emit_operand(p, ops[random_below(p, sizeof(ops))]);
	emit_byte(p, 1 + random_below(p, 15));
	define_flags(p);
}

static void make_double_shift(struct program *p)
{
	maybe_wide(p);
	emit_byte(p, 0x0f);
	emit_byte(p, random_below(p, 2) ? 0xa4 : 0xac);
	emit_operand(p, pick_reg(p));
	emit_byte(p, 1 + random_below(p, 15));
	define_flags(p);
}

/* xor edx, edx; or cl, 1; div or idiv of a word that is never 0 */
static void make_divide(struct program *p)
{
	EMIT(p, "\x66\x31\xd2\x80\xc9\x01\x80\xe4\x7f");
	emit_byte(p, 0xf7);
	emit_byte(p, random_below(p, 2) ? 0xf1 : 0xf9);
	define_flags(p);
}

static void make_two_byte(struct program *p)
{
	static const u8 ops[] = { 0xb6, 0xb7, 0xbe, 0xbf, 0xaf, 0xc1 };

	maybe_wide(p);
	emit_byte(p, 0x0f);
	switch (random_below(p, 4)) {
	case 0:
		emit_byte(p, 0x40 + random_below(p, 16));	/* CMOVcc */
		emit_operand(p, pick_reg(p));
		return;
	case 1:
		emit_byte(p, 0x90 + random_below(p, 16));	/* SETcc */
		emit_operand(p, 0);
		return;
	case 2:
		emit_byte(p, 0xba);				/* BT, BTS, BTR, BTC */
		emit_operand(p, 4 + random_below(p, 4));
		emit_byte(p, random_below(p, 64));
		break;
	default:
		emit_byte(p, ops[random_below(p, sizeof(ops))]);
		emit_operand(p, pick_reg(p));
	}
	define_flags(p);
}

static void make_decimal(struct program *p)
{
	static const u8 ops[] = { 0x27, 0x2f, 0x37, 0x3f };

	define_flags(p);
	if (random_below(p, 3)) {
		emit_byte(p, ops[random_below(p, sizeof(ops))]);
	} else {
		emit_byte(p, 0xd4 + random_below(p, 2));	/* AAM, AAD */
		emit_byte(p, 1 + random_below(p, 255));
	}
	define_flags(p);
}

static void make_plain(struct program *p)
{
	static const u8 ops[] = {
		0x98, 0x99, 0xf5, 0xf8, 0xf9, 0xd7, 0x90, 0x40, 0x41, 0x42, 0x43, 0x45, 0x46,
		0x47, 0x48, 0x49, 0x4a, 0x4b, 0x4d, 0x4e, 0x4f, 0x91, 0x92, 0x93, 0x95, 0x96,
	};

	emit_byte(p, ops[random_below(p, sizeof(ops))]);
}

static void make_stack(struct program *p)
{
	static const struct {
		const char *bytes;
		u32 len;
	} forms[] = {
		{ "\x60\x61", 2 }, { "\x66\x60\x66\x61", 4 }, { "\x9c\x5b", 2 },
		{ "\x66\x9c\x66\x5a", 4 }, { "\x50\x5e", 2 }, { "\x66\x53\x66\x5f", 4 },
		{ "\xe8\x00\x00\x58", 4 }, { "\xc8\x06\x00\x00\xc9", 5 },
		{ "\xc8\x08\x00\x01\xc9", 5 }, { "\x68\x34\x12\x9d", 4 }, { "\x06\x59", 2 },
		{ "\x1e\x07", 2 }, { "\x9f\x86\xc4\x9e", 4 }, { "\x0e\x5a", 2 },
	};
	u32 i = random_below(p, sizeof(forms) / sizeof(forms[0]));

	define_flags(p);
	emit(p, forms[i].bytes, forms[i].len);
	/* What POPF and SAHF took leaves DF and TF as they are. */
	define_flags(p);
}

/* MOV SI, DI and CX, then a repeated string instruction; ES is DS. */
static void make_string(struct program *p)
{
	static const u8 ops[] = { 0xa4, 0xa5, 0xaa, 0xab, 0xac, 0xad, 0xa6, 0xa7, 0xae, 0xaf };

	emit_byte(p, 0xbe);
	emit_word(p, 0x4000 + random_below(p, 0x4000));
	emit_byte(p, 0xbf);
	emit_word(p, 0x4000 + random_below(p, 0x4000));
	emit_byte(p, 0xb9);
	emit_word(p, random_below(p, 200));
	emit_byte(p, 0xfc + random_below(p, 2));	/* CLD, STD */
	emit_byte(p, 0xf2 + random_below(p, 2));
	maybe_wide(p);
	emit_byte(p, ops[random_below(p, sizeof(ops))]);
	define_flags(p);
}

/* A branch over one instruction, a loop of three turns, a far call of what is next. */
static void make_flow(struct program *p)
{
	switch (random_below(p, 4)) {
	case 0:
		emit_byte(p, 0x70 + random_below(p, 16));
		EMIT(p, "\x02\x01\xd8");
		return;
	case 1:
		EMIT(p, "\xb9\x03\x00\x01\xc8\xe2\xfc");
		return;
	case 2:
		EMIT(p, "\xe3\x01\x40\xb9\x00\x00\xe3\x01\x43");
		return;
	default:
		emit_byte(p, 0x9a);
		emit_word(p, p->len + 4);
		emit_word(p, SEGMENT(CODE));
		EMIT(p, "\x59\x5a");
	}
}

static void make_program(struct program *p, u64 seed)
{
	static void (*const makers[])(struct program *p) = {
		make_alu, make_alu, make_alu, make_unary, make_shift, make_double_shift,
		make_divide, make_two_byte, make_two_byte, make_decimal, make_plain,
		make_plain, make_stack, make_string, make_flow,
	};
	u32 i;

	p->len = 0;
	p->seed = seed;
	for (i = 0; i < 8; i++) {
		if (i == 4)
			continue;
		emit_byte(p, 0x66);
		emit_byte(p, 0xb8 + i);
		emit_word(p, random_below(p, 0x10000));
		emit_word(p, random_below(p, 0x10000));
	}
	for (i = 0; i < 250; i++)
		makers[random_below(p, sizeof(makers) / sizeof(makers[0]))](p);
	EMIT(p, "\xe6\xf4");
}

static u64 digest(u64 hash, const void *bytes, size_t len)
{
	const u8 *byte = bytes;

	while (len--)
		hash = (hash ^ *byte++) * 0x100000001b3UL;
	return hash;
}

/* Registers that programs can reach, and the data segment. */
static u64 outcome(struct machine *m, u64 hash)
{
	struct vmm_state state = { .mask = VMM_STATE_REGS };

	must(vmm_vcpu_get_state(m->vcpu, &state), "vmm_vcpu_get_state");
	hash = digest(hash, &state.regs, 8 * sizeof(state.regs.gpr[0]));
	hash = digest(hash, &state.regs.rip, sizeof(state.regs.rip));
	hash = digest(hash, &state.regs.rflags, sizeof(state.regs.rflags));
	return digest(hash, m->ram + DATA, 0x10000);
}

static void start_random(struct machine *m, struct program *p, u64 seed)
{
	u32 i;

	make_program(p, seed);
	for (i = 0; i < 0x10000; i++)
		m->ram[DATA + i] = i * 167 + (i >> 8) * 13 + seed;
	load(m, p->bytes, p->bytes + p->len);
}

/* ---- tests ---- */

TEST(modes_follow_each_other)
{
	struct machine m;

	machine_new(&m);
	load(&m, modes_start, modes_end);
	run(&m);
	for (u32 i = 0; i < 4; i++)
		EXPECT_EQ(i + 1, data32(&m, i * 4));
	EXPECT_EQ(0x55667788, data32(&m, 0x10));
	EXPECT_EQ(0x11223344, data32(&m, 0x14));
	EXPECT_EQ(5, data32(&m, 0x18));
	EXPECT_EQ(SEGMENT(CODE), data16(&m, 0x1c));
	EXPECT_EQ(0x10, data16(&m, 0x20));
	EXPECT_EQ(0, data32(&m, 0x34) & (EFER_LME | EFER_LMA));
	machine_free(&m);
}

TEST(big_real_mode_reaches_all_memory)
{
	struct machine m;
	u32 value;

	machine_new(&m);
	load(&m, big_start, big_end);
	run(&m);
	memcpy(&value, m.ram + 0x300000, 4);
	EXPECT_EQ(0xdc0f1234, value);
	memcpy(&value, m.ram + 0x300010, 4);
	EXPECT_EQ(0xdc0f1234, value);
	machine_free(&m);
}

TEST(interrupts_and_nmis_come_through_the_vectors)
{
	struct machine m;

	machine_new(&m);
	load(&m, events_start, events_end);
	vector(&m, 2, events_start, events_nmi);
	for (u32 i = 0x40; i <= 0x60; i += 0x10)
		vector(&m, i, events_start, events_irq);
	run(&m);
	EXPECT_EQ(3, data16(&m, 0));
	EXPECT_EQ(2, data16(&m, 2));
	machine_free(&m);
}

TEST(exceptions_come_through_the_vectors)
{
	static const u16 rips[] = { 9, 11, 13, 19, 20 };
	struct machine m;

	machine_new(&m);
	load(&m, faults_start, faults_end);
	for (u32 i = 0; i < 0x40; i++)
		vector(&m, i, faults_start, faults_handler);
	run(&m);
	for (u32 i = 0; i < 5; i++) {
		EXPECT_EQ_FOR(rips[i], data16(&m, 4 * i), "return address %u", i);
		EXPECT_EQ_FOR(SEGMENT(CODE), data16(&m, 4 * i + 2), "its segment %u", i);
	}
	EXPECT_EQ(0xf000, data16(&m, 0x40));
	machine_free(&m);
}

static struct vmm_vcpu *spinning;

static void on_alarm(int signal)
{
	vmm_vcpu_request_exit(spinning);
}

TEST(a_signal_ends_an_endless_loop)
{
	struct sigaction action = { .sa_handler = on_alarm };
	struct itimerval timer = { .it_value.tv_usec = 20000 };
	struct machine m;
	int error;

	machine_new(&m);
	load(&m, spin_start, spin_end);
	spinning = m.vcpu;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &timer, NULL);
	while (!(error = vmm_vcpu_run(m.vcpu)))
		serve(&m);
	EXPECT_EQ(-EINTR, error);
	machine_free(&m);
}

TEST(random_programs_give_the_expected_digest)
{
	static struct program p;
	struct machine m;
	u64 hash = 0xcbf29ce484222325UL;

	machine_new(&m);
	/*
	 * Once for the memory. Without nested paging each page faults on first touch; there
	 * the first program's result differs by one bit on QEMU. Supposed, not proved: its
	 * CPUs do not start every instruction again as it was.
	 */
	start_random(&m, &p, RANDOM_SEED);
	run(&m);
	for (u32 i = 0; i < RANDOM_PROGRAMS; i++) {
		start_random(&m, &p, RANDOM_SEED + i);
		run(&m);
		hash = outcome(&m, hash);
	}
	EXPECT_EQ(RANDOM_DIGEST, hash);
	if (!(get_info().features & VMM_FEATURE_REAL_MODE))
		EXPECT_LT(0, m.emulated);
	machine_free(&m);
}

TEST(emulated_is_as_executed)
{
	static struct program p;
	struct machine m;
	u64 executed, emulated;

	if (!(get_info().features & VMM_FEATURE_REAL_MODE))
		SKIP(return, "this CPU does not run real mode");
	machine_new(&m);
	for (u32 i = 0; i < share_of(4 * RANDOM_PROGRAMS); i++) {
		start_random(&m, &p, 1000 + i);
		run(&m);
		executed = outcome(&m, 0);
		start_random(&m, &p, 1000 + i);
		run_emulated(&m);
		emulated = outcome(&m, 0);
		EXPECT_EQ_FOR(executed, emulated, "program %u", i);
	}
	machine_free(&m);
}

VMM_TEST_MAIN
