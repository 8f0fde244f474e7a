// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A program of random instructions does in a guest what it does on the machine
 * itself: the same registers, memory and exceptions. The machine's side is a
 * process, at CPL 3; the guest's is at CPL 3, and at CPL 0 for programs that do not
 * show the difference. lib/program.c makes the programs.
 */
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ucontext.h>

#include "lib/program.h"
#include "lib/test.h"

#define SEEDS		12
#define PAGE_TABLE	0x20000UL	/* of the guest: the 2 MiB at PROGRAM_CODE */
#define GDT_ENTRIES	16		/* Linux's */
#define LINUX_TSS	0x40
#define PAGE_SIZE	4096UL
#define PF_USER		4

/* ---- in a process ---- */

static sigjmp_buf finished;

/* Where ucontext_t has the registers of struct program_state. */
static const u8 places[16] = {
	REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
	REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15,
};

static void on_signal(int signal, siginfo_t *info, void *context)
{
	greg_t *gregs = ((ucontext_t *)context)->uc_mcontext.gregs;
	struct program_state state = {
		.rip = gregs[REG_RIP],
		/* A fault pushes RF as 1, but QEMU's CPUs and some of Bochs' exits do not. */
		.rflags = gregs[REG_EFL] & ~RFLAGS_RF,
		.cs = gregs[REG_CSGSFS] & 0xffff,
		.vector = gregs[REG_TRAPNO],
		.error = gregs[REG_ERR],
		.cr2 = gregs[REG_TRAPNO] == VEC_PF ? gregs[REG_CR2] : 0,
	};

	for (u32 i = 0; i < 16; i++)
		state.reg[i] = gregs[places[i]];
	if (!program_exception(&state))
		siglongjmp(finished, 1);
	for (u32 i = 0; i < 16; i++)
		gregs[places[i]] = state.reg[i];
	gregs[REG_RIP] = state.rip;
	gregs[REG_EFL] = state.rflags;
	gregs[REG_CSGSFS] = (gregs[REG_CSGSFS] & ~0xffffL) | state.cs;
}

static void run_in_process(void)
{
	static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP };
	struct sigaction action = {
		.sa_sigaction = on_signal,
		.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER,
	};
	static u8 handlers_stack[64 << 10];
	stack_t stack = { .ss_sp = handlers_stack, .ss_size = sizeof(handlers_stack) };

	if (sigaltstack(&stack, NULL))
		die("sigaltstack: %s", strerror(errno));
	for (u32 i = 0; i < ARRAY_SIZE(signals); i++)
		sigaction(signals[i], &action, NULL);
	if (!sigsetjmp(finished, 1))
		__asm__ volatile("jmp *%0" : : "r"(PROGRAM_CODE) : "memory");
	__asm__ volatile("cld; fninit; ldmxcsr %0" : : "m"((u32){ 0x1f80 }));
	for (u32 i = 0; i < ARRAY_SIZE(signals); i++)
		signal(signals[i], SIG_DFL);
}

/* ---- in a guest ---- */

static void on_exception(struct guest_frame *frame)
{
	/* As the CPU numbers them, by their place in the frame. */
	u64 *regs[16] = {
		&frame->rax, &frame->rcx, &frame->rdx, &frame->rbx, &frame->rsp, &frame->rbp,
		&frame->rsi, &frame->rdi, &frame->r8, &frame->r9, &frame->r10, &frame->r11,
		&frame->r12, &frame->r13, &frame->r14, &frame->r15,
	};
	struct program_state state = {
		.rip = frame->rip,
		.rflags = frame->rflags & ~RFLAGS_RF,
		.cs = frame->cs,
		.vector = frame->vector,
		.error = frame->error,
		.cr2 = frame->vector == VEC_PF ? read_cr2() : 0,
	};

	for (u32 i = 0; i < 16; i++)
		state.reg[i] = *regs[i];
	if (!program_exception(&state))
		GUEST_DONE();
	for (u32 i = 0; i < 16; i++)
		*regs[i] = state.reg[i];
	frame->rip = state.rip;
	frame->rflags = state.rflags;
	frame->cs = state.cs;
}

static void guest_program(void)
{
	u64 cs = read64(GUEST_DATA - 16), ss = read64(GUEST_DATA - 8);

	__asm__ volatile("mov %0, %%fs" : : "r"(0));
	__asm__ volatile("pushq %0; pushq %1; pushq $0x202; pushq %2; pushq %3; iretq"
			 : : "r"(ss), "r"(PROGRAM_STACK), "r"(cs), "r"(PROGRAM_CODE) : "memory");
}

/* The memory of the program as the process has it, page by page. */
static void map_program(struct vm *vm)
{
	u64 *table = vm_ptr(vm, PAGE_TABLE), *pd = vm_ptr(vm, GUEST_PML4 + 2 * PAGE_SIZE);

	for (u64 at = PROGRAM_CODE; at < PROGRAM_END; at += PAGE_SIZE)
		table[(at - PROGRAM_CODE) / PAGE_SIZE] = at | PTE_P | PTE_U | PTE_A | PTE_D |
			(at >= PROGRAM_DATA ? PTE_NX : 0) |
			(at >= PROGRAM_DATA && at != PROGRAM_READ_ONLY ? PTE_W : 0);
	pd[PROGRAM_CODE >> 21] = PAGE_TABLE | PTE_P | PTE_W | PTE_U | PTE_A;
	memcpy(vm_ptr(vm, PROGRAM_CODE), (void *)PROGRAM_CODE, PROGRAM_END - PROGRAM_CODE);
}

/* Selectors of CPL 3 as Linux has them; those of CPL 0 stay the library's. */
static void make_linux_gdt(struct vm *vm)
{
	u64 *gdt = vm_ptr(vm, GUEST_GDT), tss = gdt[SEL_TSS / 8];

	for (u32 i = 3; i < GDT_ENTRIES; i++)
		gdt[i] = 0;
	gdt[PROGRAM_CODE32 / 8] = 0x00cffb000000ffff;
	gdt[PROGRAM_USER_DATA / 8] = 0x00cff3000000ffff;
	gdt[PROGRAM_CODE64 / 8] = 0x00affb000000ffff;
	gdt[LINUX_TSS / 8] = tss;
	/* No port for CPL 3. */
	*(u16 *)((u8 *)vm_ptr(vm, GUEST_TSS) + 0x66) = 0xffff;
}

/* Exceptions go to a stack of their own at CPL 0 too, as signals do. */
static void use_ist(struct vm *vm)
{
	u64 *idt = vm_ptr(vm, GUEST_IDT);

	for (u32 i = 0; i < 32; i++)
		idt[2 * i] |= 1UL << 32;
	*(u64 *)((u8 *)vm_ptr(vm, GUEST_TSS) + 0x24) = GUEST_FAULT_STACK(0);
}

static struct vcpu *make_guest(u64 cs, u64 ss)
{
	struct vm *vm = vm_new();
	struct vcpu *vcpu = vcpu_new(vm, 0, guest_program);
	struct vmm_state state;

	map_program(vm);
	make_linux_gdt(vm);
	use_ist(vm);
	*(u64 *)vm_ptr(vm, GUEST_DATA - 16) = cs;
	*(u64 *)vm_ptr(vm, GUEST_DATA - 8) = ss;
	vcpu_get(vcpu, &state, VMM_STATE_SEGS | VMM_STATE_CTRL);
	state.segs.gdt.limit = GDT_ENTRIES * 8 - 1;
	state.segs.seg[VMM_TR].selector = LINUX_TSS;
	state.ctrl.cr0 |= X86_CR0_AM;
	vcpu_set(vcpu, &state, VMM_STATE_SEGS | VMM_STATE_CTRL);
	return vcpu;
}

/* ---- comparing ---- */

/* x87's pointers to the last instruction: no two systems save them alike. */
static void forget_pointers(u8 *memory)
{
	memset(memory + 6, 0, 18);
}

static u64 digest_of(const void *data, size_t size, u64 digest)
{
	const u8 *byte = data;

	while (size--)
		digest = (digest ^ *byte++) * 0x100000001b3UL;
	return digest;
}

/* The word of struct program_state that differs, or -1. */
static int difference(const struct program_state *want, const struct program_state *got)
{
	const u64 *a = (const u64 *)want, *b = (const u64 *)got;

	for (u32 i = 0; i < sizeof(*want) / 8; i++)
		if (a[i] != b[i])
			return i;
	return -1;
}

static void show(struct __test_metadata *_metadata, const struct program_state *state)
{
	u64 from = 0;

	for (u32 i = 0; i < PROGRAM_SNIPPETS && program_record.start[i] <= state->rip; i++)
		from = program_record.start[i];
	TH_LOG("vector %lu error %#lx cr2 %#lx rip %#lx rflags %#lx; snippet at %#lx:",
	       state->vector, state->error, state->cr2, state->rip, state->rflags, from);
	for (u32 i = 0; from && i < 48; i += 16)
		TH_LOG("  %016lx %016lx", __builtin_bswap64(*(u64 *)(from + i)),
		       __builtin_bswap64(*(u64 *)(from + i + 8)));
}

static bool same_events(struct __test_metadata *_metadata, u64 seed,
			struct program_record *got, bool cpl0)
{
	static const char *const names[] = {
		"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11",
		"r12", "r13", "r14", "r15", "rip", "rflags", "cs", "vector", "error code", "cr2",
	};
	struct program_record *want = &program_record;

	for (u32 i = 0; i < want->count && i < got->count; i++) {
		struct program_state *w = &want->event[i], *g = &got->event[i];
		int at;

		if (cpl0) {
			g->cs = w->cs;
			if (g->vector == VEC_PF)
				g->error |= PF_USER;
		}
		at = difference(w, g);
		if (at < 0)
			continue;
		EXPECT_EQ_FOR(((u64 *)w)[at], ((u64 *)g)[at], "seed %lu, exception %u, %s", seed,
			      i, names[at]);
		show(_metadata, w);
		show(_metadata, g);
		return false;
	}
	EXPECT_EQ_FOR(want->count, got->count, "seed %lu, number of exceptions", seed);
	return want->count == got->count;
}

static bool same_memory(struct __test_metadata *_metadata, u64 seed, const u8 *got)
{
	const u8 *want = (const u8 *)PROGRAM_DATA;

	for (u32 i = 0; i < PROGRAM_END - PROGRAM_DATA; i++) {
		if (want[i] == got[i])
			continue;
		EXPECT_EQ_FOR(want[i], got[i], "seed %lu, byte %#x of the memory", seed, i);
		return false;
	}
	return true;
}

/* Room for a program, as a process has it: with and without PROGRAM_END's rights. */
static void protect_program(bool made)
{
	int rw = PROT_READ | PROT_WRITE;

	if (mprotect((void *)PROGRAM_CODE, PROGRAM_CODE_SIZE, made ? PROT_READ | PROT_EXEC : rw) ||
	    mprotect((void *)PROGRAM_READ_ONLY, PAGE_SIZE, made ? PROT_READ : rw))
		die("mprotect: %s", strerror(errno));
}

static void compare(struct __test_metadata *_metadata, u64 seed, enum program_kind kind, bool cpl0)
{
	static struct program_record got;
	struct vcpu *vcpu;
	struct vm *vm;
	u8 *memory;
	u64 digest;

	program_make(seed, kind);
	vcpu = cpl0 ? make_guest(SEL_CODE64, SEL_DATA) :
		make_guest(PROGRAM_CODE64, PROGRAM_USER_DATA);
	protect_program(true);
	run_in_process();
	protect_program(false);
	vcpu_done(vcpu);
	vm = vcpu->vm;
	memcpy(&got, (void *)&guest_var(vm, program_record), sizeof(got));
	memory = vm_ptr(vm, PROGRAM_DATA);
	forget_pointers(memory);
	forget_pointers((u8 *)PROGRAM_DATA);
	if (same_events(_metadata, seed, &got, cpl0) && same_memory(_metadata, seed, memory)) {
		digest = digest_of(&got, sizeof(got), 0xcbf29ce484222325UL);
		TH_LOG("seed %lu: %u exceptions, digest %016lx", seed, got.count,
		       digest_of(memory, PROGRAM_END - PROGRAM_DATA, digest));
	}
	vcpu_free(vcpu);
	vm_free(vm);
}

static void compare_seeds(struct __test_metadata *_metadata, enum program_kind kind, bool cpl0)
{
	void *room = mmap((void *)PROGRAM_CODE, PROGRAM_END - PROGRAM_CODE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (room == MAP_FAILED)
		die("mmap at %#lx: %s", PROGRAM_CODE, strerror(errno));
	/* TCG takes their words from the stack with the kernel's rights: SMAP's fault. */
	program_far_returns = !host_is_tcg();
	for (u32 i = 0; i < 32; i++)
		guest_handlers[i] = on_exception;
	for (u64 seed = 1; seed <= SEEDS && _metadata->passed; seed++)
		compare(_metadata, seed, kind, cpl0);
}

TEST_TIMEOUT(cpl3_of_a_guest_is_as_a_process, 120)
{
	compare_seeds(_metadata, PROGRAM_CPL3, false);
}

TEST_TIMEOUT(cpl0_of_a_guest_is_as_a_process, 120)
{
	compare_seeds(_metadata, PROGRAM_ANY_CPL, true);
}

VMM_TEST_MAIN
