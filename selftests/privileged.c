// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What only CPL 0 can do, executed by a guest on the CPU and emulated by libvmm from the
 * same state: in real mode, in protected mode with 16-bit and 32-bit segments, and in
 * long mode. All state and memory must be equal, and what ports were told. The unit test
 * emulate_forms_test does the same with what a program can do, and looks that there is
 * a form here for everything else.
 *
 * Code is at 0x10000, data at 0x20000, page tables at 0x30000, descriptors at 0x34000.
 */
#include <sys/mman.h>

#include "lib/library.h"
#include "lib/test.h"
#include "privileged.h"

#define RAM_SIZE	0x40000
#define VECTORS		0x0UL
#define CODE		0x10000UL
#define HANDLER		(CODE + 0x800)
#define FAULT_HANDLER	(CODE + 0x810)
#define DATA		0x20000UL
#define TABLES		0x30000UL
#define DESCRIPTORS	0x34000UL
#define GATES		0x35000UL
#define TABLE_OPERAND	0x100		/* in the data */
#define STACK		0xf000
#define EXIT_PORT	0xf4
#define FORM_PORT	0x300

#define REAL		1
#define PROTECTED16	2
#define PROTECTED32	4
#define PROTECTED	(PROTECTED16 | PROTECTED32)
#define LONG		8
#define CPUID_RDTSCP	(1U << 27)	/* leaf 0x80000001, EDX */

#define ALL		(REAL | PROTECTED | LONG)

struct form {
	const u8 *start, *end;
	const char *name;
	u64 modes;
};

extern const struct form forms16[], forms16_end[], forms32[], forms32_end[];
extern const struct form forms64[], forms64_end[];

/* A row of the table, and its text with an exit behind it. */
#define FORM(name, modes, text)							\
	"771:	" text "\n"							\
	"	outb	%al, $0xf4\n"						\
	"772:	.pushsection .rodata.str1.1, \"aMS\", @progbits, 1\n"		\
	"773:	.asciz	\"" name "\"\n"						\
	"	.popsection\n"							\
	"	.pushsection .data\n"						\
	"	.quad	771b, 772b, 773b, " STRING(modes) "\n"			\
	"	.popsection\n"
#define STRING(x)	STRING1(x)
#define STRING1(x)	#x

#define TABLE(bits, A)								\
	__asm__(".pushsection .data\n"						\
		"	.balign 8\n"						\
		"forms" #bits ":\n"						\
		"	.popsection\n"						\
		"	.pushsection .rodata\n"					\
		"	.code" #bits "\n"					\
		PRIVILEGED_FORMS(FORM, A)					\
		"	.code64\n"						\
		"	.popsection\n"						\
		"	.pushsection .data\n"					\
		"forms" #bits "_end:\n"						\
		"	.popsection\n")

TABLE(16, "e");
TABLE(32, "e");
TABLE(64, "r");

static const struct mode {
	const char *name;
	u32 bit;
	const struct form *forms, *end;
} modes[] = {
	{ "real mode", REAL, forms16, forms16_end },
	{ "16-bit protected mode", PROTECTED16, forms16, forms16_end },
	{ "32-bit protected mode", PROTECTED32, forms32, forms32_end },
	{ "long mode", LONG, forms64, forms64_end },
};

struct machine {
	struct vmm *vm;
	struct vmm_vcpu *vcpu;
	u8 *ram;
	bool ended;
	u64 told;		/* a digest of what was written to ports */
	u32 reads;
};

/* All that is compared. */
struct outcome {
	struct vmm_state state;
	u64 told;
	u8 ram[RAM_SIZE];
};

static void on_pio(void *opaque, uint16_t port, unsigned int size, bool write, void *data)
{
	struct machine *m = opaque;
	u32 value = 0;

	memcpy(&value, data, size);
	if (port == EXIT_PORT) {
		m->ended = true;
		vmm_vcpu_request_exit(m->vcpu);
	} else if (write) {
		m->told = (m->told ^ value ^ (u64)port << 32 ^ (u64)size << 48) * 0x100000001b3UL;
	} else {
		value = 0x11223344 * ++m->reads + port;
		memcpy(data, &value, size);
	}
}

static void on_mmio(void *opaque, uint64_t gpa, unsigned int size, bool write, void *data)
{
	die("an access of %u at %#lx", size, (u64)gpa);
}

static const struct vmm_emul_ops ops = { on_pio, on_mmio };

static void machine_new(struct machine *m)
{
	memset(m, 0, sizeof(*m));
	m->ram = library_vm(RAM_SIZE, &m->vm, &m->vcpu);
}

static void machine_free(struct machine *m)
{
	vmm_vcpu_destroy(m->vcpu);
	vmm_destroy(m->vm);
	munmap(m->ram, RAM_SIZE);
}

static void put(struct machine *m, u64 gpa, u64 value)
{
	memcpy(m->ram + gpa, &value, sizeof(value));
}

/* Selectors: 8 code, 0x10 data at DATA, 0x28 an LDT, 0x30 a free TSS. */
static void put_descriptors(struct machine *m, const struct mode *mode)
{
	u64 wide = mode->bit == PROTECTED32 ? 1UL << 54 : 0;

	put(m, DESCRIPTORS + 8, mode->bit == LONG ? 0x00af9b000000ffff :
	    0x00009b000000ffff | CODE << 16 | wide);
	put(m, DESCRIPTORS + 0x10, mode->bit == LONG ? 0x00cf93000000ffff :
	    0x000093000000ffff | DATA << 16 | wide);
	put(m, DESCRIPTORS + 0x28, 0x000082000000000f | (DATA + 0x800) << 16);
	put(m, DESCRIPTORS + 0x30, 0x0000890000000067 | (DATA + 0x900) << 16);
}

/* INT and its like come back from their handler. A fault is the end. */
static bool returns(u32 vector)
{
	return vector == 1 || vector == 3 || vector == 4 || vector >= 32;
}

static void put_vectors(struct machine *m, const struct mode *mode)
{
	static const u8 handler16[] = { 0x66, 0x43, 0xcf };		/* inc ebx; iret */
	static const u8 handler32[] = { 0x43, 0xcf };			/* inc ebx; iret */
	static const u8 end[] = { 0xe6, EXIT_PORT };			/* out EXIT_PORT, al */
	bool wide = mode->bit == PROTECTED32;

	memcpy(m->ram + HANDLER, wide ? handler32 : handler16,
	       wide ? sizeof(handler32) : sizeof(handler16));
	memcpy(m->ram + FAULT_HANDLER, end, sizeof(end));
	for (u32 i = 0; i < 256; i++) {
		u64 offset = (returns(i) ? HANDLER : FAULT_HANDLER) - CODE;
		u32 vector = CODE / 16 << 16 | offset;

		memcpy(m->ram + VECTORS + i * 4, &vector, sizeof(vector));
		put(m, GATES + i * 8, offset | 8 << 16 | (wide ? 0x8e00UL : 0x8600UL) << 32);
	}
}

static void put_memory(struct machine *m, const struct mode *mode, const struct form *form)
{
	memset(m->ram, 0, RAM_SIZE);
	for (u32 i = 0; i < 0x1000; i++)
		m->ram[DATA + i] = i * 167 + (i >> 8) * 13;
	put_descriptors(m, mode);
	put_vectors(m, mode);
	put(m, TABLES, (TABLES + 0x1000) | PTE_P | PTE_W);
	put(m, TABLES + 0x1000, (TABLES + 0x2000) | PTE_P | PTE_W);
	put(m, TABLES + 0x2000, PTE_P | PTE_W | PTE_PS);
	put(m, DATA + TABLE_OPERAND, 0x3f | DESCRIPTORS << 16);
	put(m, DATA + TABLE_OPERAND + 8, 0);
	put(m, DATA + TABLE_OPERAND + 16, 0x1234UL | 0x10UL << 32);
	memcpy(m->ram + CODE, form->start, form->end - form->start);
}

static void set_segments(struct vmm_segs *segs, const struct mode *mode)
{
	bool protected = mode->bit != REAL, flat = mode->bit == LONG;
	u32 wide = mode->bit == PROTECTED32 || flat ? VMM_SEG_DB : 0;

	for (u32 i = VMM_ES; i <= VMM_GS; i++) {
		u64 base = i == VMM_CS ? CODE : DATA;

		segs->seg[i] = (struct vmm_segment) {
			.base = flat ? 0 : base, .limit = flat ? 0xffffffff : 0xffff,
			.selector = protected ? i == VMM_CS ? 8 : 0x10 : base / 16,
			.attr = VMM_SEG_P | VMM_SEG_S | (i == VMM_CS && protected ? 0xb : 3) |
				(flat ? VMM_SEG_G : 0) |
				(flat && i == VMM_CS ? VMM_SEG_L : wide),
		};
	}
	segs->gdt = (struct vmm_table) { .base = DESCRIPTORS, .limit = 0x37 };
	segs->idt = (struct vmm_table) {
		.base = protected ? GATES : VECTORS, .limit = protected ? 0x7ff : 0x3ff,
	};
}

static void start(struct machine *m, const struct mode *mode, const struct form *form)
{
	struct vmm_state s = { .mask = VMM_STATE_REGS | VMM_STATE_SEGS | VMM_STATE_CTRL };
	u64 data = mode->bit == LONG ? DATA : 0;

	put_memory(m, mode, form);
	must(vmm_vcpu_reset(m->vcpu), "vmm_vcpu_reset");
	must(vmm_vcpu_get_state(m->vcpu, &s), "vmm_vcpu_get_state");
	memset(&s.regs, 0, sizeof(s.regs));
	s.regs.rflags = RFLAGS_FIXED;
	s.regs.rip = mode->bit == LONG ? CODE : 0;
	s.regs.rsp = data + STACK;
	s.regs.rsi = data + TABLE_OPERAND;
	s.regs.rdi = data + 0x400;
	s.regs.rcx = 5;
	s.regs.rdx = FORM_PORT;
	s.regs.rax = 0x12345678;
	set_segments(&s.segs, mode);
	if (mode->bit != REAL)
		s.ctrl.cr0 |= X86_CR0_PE;
	if (mode->bit == LONG) {
		s.ctrl.cr0 |= X86_CR0_PG;
		s.ctrl.cr3 = TABLES;
		s.ctrl.cr4 |= X86_CR4_PAE;
		s.ctrl.efer |= EFER_LME | EFER_LMA;
	}
	must(vmm_vcpu_set_state(m->vcpu, &s), "vmm_vcpu_set_state");
	vmm_vcpu_clear_exit(m->vcpu);
	m->ended = false;
	m->told = 0;
	m->reads = 0;
}

static void emulate(struct machine *m, const char *name)
{
	char line[160];
	int result = vmm_emulate(m->vcpu, &ops, m);

	if (result == VMM_EMUL_OK)
		return;
	vmm_emul_describe(m->vcpu, line, sizeof(line));
	die("%s: vmm_emulate gave %d: %s", name, result, line);
}

/* Let VMM_RUN take what is in the run page, and no more. */
static void settle(struct machine *m)
{
	vmm_vcpu_request_exit(m->vcpu);
	if (vmm_vcpu_run(m->vcpu) != -EINTR)
		die("VMM_RUN: expected -EINTR");
	vmm_vcpu_clear_exit(m->vcpu);
}

static void execute(struct machine *m, const char *name)
{
	struct vmm_run *run = vmm_vcpu_run_page(m->vcpu);

	while (!m->ended) {
		int error = vmm_vcpu_run(m->vcpu);

		if (error == -EINTR)
			continue;
		must(error, "vmm_vcpu_run");
		if (run->exit_reason == VMM_EXIT_PIO)
			on_pio(m, run->pio.port, run->pio.size, run->pio.write, &run->pio.data);
		else if (run->exit_reason == VMM_EXIT_INSN)
			emulate(m, name);
		else
			die("%s: exit %u at %#llx", name, run->exit_reason, run->rip);
	}
	settle(m);
}

static void execute_emulated(struct machine *m, const char *name)
{
	struct vmm_run *run = vmm_vcpu_run_page(m->vcpu);

	while (!m->ended) {
		run->exit_reason = VMM_EXIT_INSN;
		run->insn = (struct vmm_exit_insn) { .cause = VMM_INSN_REAL_MODE };
		emulate(m, name);
		settle(m);
	}
}

static void look(struct machine *m, struct outcome *o)
{
	memset(o, 0, sizeof(*o));
	o->state.mask = VMM_STATE_REGS | VMM_STATE_SEGS | VMM_STATE_CTRL;
	must(vmm_vcpu_get_state(m->vcpu, &o->state), "vmm_vcpu_get_state");
	o->told = m->told;
	memcpy(o->ram, m->ram, RAM_SIZE);
}

static u32 first_difference(const void *a, const void *b, u32 size)
{
	u32 i = memcmp(a, b, size) ? 0 : size;

	while (i < size && ((const u8 *)a)[i] == ((const u8 *)b)[i])
		i++;
	return i;
}

static struct outcome executed, emulated;

/* QEMU's CPUs pass over INT1: it is the sign of a debugger outside of them. */
static bool passed_over(const struct form *form)
{
	return !strcmp(form->name, "int1") && !executed.state.regs.rbx;
}

/* The emulator has it, whatever the CPU has. */
static bool lacking(const struct form *form)
{
	return !strcmp(form->name, "rdtscp") && !(cpuid(0x80000001, 0).edx & CPUID_RDTSCP);
}

static void compare(struct __test_metadata *_metadata, const struct mode *mode,
		    const struct form *form)
{
	const struct vmm_state *a = &executed.state, *b = &emulated.state;

#define SAME(what, field)							\
	EXPECT_EQ_FOR((u32)sizeof(a->field),					\
		      first_difference(&a->field, &b->field, sizeof(a->field)),	\
		      what " of %s in %s", form->name, mode->name)
	SAME("registers", regs);
	SAME("segments", segs);
	SAME("control registers", ctrl);
#undef SAME
	EXPECT_EQ_FOR(executed.told, emulated.told, "ports of %s in %s", form->name, mode->name);
	EXPECT_EQ_FOR(RAM_SIZE, first_difference(executed.ram, emulated.ram, RAM_SIZE),
		      "memory of %s in %s", form->name, mode->name);
}

static void try_mode(struct __test_metadata *_metadata, const struct mode *mode)
{
	struct machine m;

	machine_new(&m);
	for (const struct form *form = mode->forms; form < mode->end; form++) {
		if (!(form->modes & mode->bit) || lacking(form))
			continue;
		start(&m, mode, form);
		execute(&m, form->name);
		look(&m, &executed);
		start(&m, mode, form);
		execute_emulated(&m, form->name);
		look(&m, &emulated);
		if (!passed_over(form))
			compare(_metadata, mode, form);
	}
	machine_free(&m);
}

TEST(real_mode)
{
	if (!(get_info().features & VMM_FEATURE_REAL_MODE))
		SKIP(return, "this CPU does not run real mode");
	try_mode(_metadata, &modes[0]);
}

TEST(protected_mode_16)
{
	try_mode(_metadata, &modes[1]);
}

TEST(protected_mode_32)
{
	try_mode(_metadata, &modes[2]);
}

TEST(long_mode)
{
	try_mode(_metadata, &modes[3]);
}

VMM_TEST_MAIN
