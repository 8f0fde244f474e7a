// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Makes VMs and vCPUs for tests and runs them; see vm.h.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"
#include "vm.h"

#define PAGE	4096UL

extern const u8 guest_stubs[], guest_stub_call[];

void die(const char *format, ...)
{
	char line[1024];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line, sizeof(line) - 1, format, args);
	va_end(args);
	if (n < 0 || n > (int)sizeof(line) - 2)
		n = sizeof(line) - 2;
	line[n] = '\0';
	fprintf(stderr, "# %s\n", line);
	fflush(stderr);
	_exit(1);
}

int vmm_call(int fd, unsigned long number, void *arg)
{
	int result = ioctl(fd, number, arg);

	return result < 0 ? -errno : result;
}

int vmm_must(int fd, unsigned long number, void *arg, const char *what)
{
	int result = vmm_call(fd, number, arg);

	if (result < 0)
		die("%s: expected success, got %s", what, strerror(-result));
	return result;
}

int open_vmm(void)
{
	int fd = open("/dev/vmm", O_RDWR | O_CLOEXEC);

	if (fd < 0)
		die("/dev/vmm: %s", strerror(errno));
	return fd;
}

u64 vm_flags;
u32 vm_tsc_khz;

static void __attribute__((constructor)) find_flags(void)
{
	if (getenv("SELFTEST_SHADOW"))
		vm_flags = VMM_VM_SHADOW;
}

struct vmm_info get_info(void)
{
	struct vmm_info info = { 0 };
	int fd = open_vmm();

	VMM_MUST(fd, VMM_GET_INFO, &info);
	close(fd);
	if (info.paging != VMM_PAGING_NESTED || !(vm_flags & VMM_VM_SHADOW))
		return info;
	/* What comes of the nested table, which on VT-x is real mode too. */
	info.paging = VMM_PAGING_SHADOW;
	info.features &= ~(VMM_FEATURE_LARGE_2M | VMM_FEATURE_LARGE_1G);
	if (info.backend == VMM_BACKEND_VT_X)
		info.features &= ~VMM_FEATURE_REAL_MODE;
	return info;
}

/* ---- VMs ---- */

void *map_memory(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (memory == MAP_FAILED)
		die("mmap of %zu bytes: %s", size, strerror(errno));
	return memory;
}

int vm_slot(struct vm *vm, u32 slot, u64 gpa, u64 size, void *hva, u32 flags)
{
	struct vmm_slot args = {
		.slot = slot,
		.flags = flags,
		.gpa = gpa,
		.size = size,
		.hva = (u64)hva,
	};

	return vmm_call(vm->fd, VMM_SET_SLOT, &args);
}

struct vm *vm_new_bare(void)
{
	struct vm *vm = calloc(1, sizeof(*vm));
	struct vmm_create_vm args = { .flags = vm_flags, .tsc_khz = vm_tsc_khz };

	if (!vm)
		die("no memory");
	vm->sys = open_vmm();
	vm->fd = VMM_MUST(vm->sys, VMM_CREATE_VM, &args);
	return vm;
}

void *vm_ptr(struct vm *vm, u64 gpa)
{
	if (!vm->mem || gpa >= GUEST_MEM_SIZE)
		die("no guest memory at %#lx", gpa);
	return vm->mem + gpa;
}

/* Copy the program's segments to where they are linked. */
static void load_image(struct vm *vm)
{
	const Elf64_Phdr *phdr = (const void *)getauxval(AT_PHDR);
	unsigned long n = getauxval(AT_PHNUM);

	for (; n; n--, phdr++) {
		if (phdr->p_type != PT_LOAD)
			continue;
		if (phdr->p_vaddr < GUEST_IMAGE ||
		    phdr->p_vaddr + phdr->p_memsz > GUEST_DATA2)
			die("the program's image at %#lx does not fit the guest",
			    (u64)phdr->p_vaddr);
		memcpy(vm->mem + phdr->p_vaddr, (const void *)phdr->p_vaddr, phdr->p_memsz);
	}
}

/* 4 GiB, identity, 2M pages, all accessible from CPL 3. */
static void make_page_table(struct vm *vm)
{
	const u64 table = PTE_P | PTE_W | PTE_U | PTE_A;
	u64 *pml4 = vm_ptr(vm, GUEST_PML4);
	u64 *pdpt = vm_ptr(vm, GUEST_PML4 + PAGE);
	u64 *pd = vm_ptr(vm, GUEST_PML4 + 2 * PAGE);
	u64 i;

	pml4[0] = (GUEST_PML4 + PAGE) | table;
	for (i = 0; i < 4; i++)
		pdpt[i] = (GUEST_PML4 + (2 + i) * PAGE) | table;
	for (i = 0; i < 4 * 512; i++)
		pd[i] = i << 21 | table | PTE_D | PTE_PS;
}

static u64 descriptor(u32 attr)
{
	/* Base 0, limit 4 GiB; attr as the second doubleword's bits 8 to 23. */
	return 0xffffULL | (u64)(attr | 0x0f00) << 40;
}

static void make_tables(struct vm *vm)
{
	u64 *gdt = vm_ptr(vm, GUEST_GDT);
	u64 *idt = vm_ptr(vm, GUEST_IDT);
	u64 i, to;

	gdt[SEL_CODE64 / 8] = descriptor(0xa09b);
	gdt[SEL_DATA / 8] = descriptor(0xc093);
	gdt[SEL_CODE32 / 8] = descriptor(0xc09b);
	gdt[SEL_CODE16 / 8] = descriptor(0x809b);
	gdt[SEL_DATA16 / 8] = descriptor(0x8093);
	gdt[SEL_USER_DATA / 8] = descriptor(0xc0f3);
	gdt[SEL_USER_CODE64 / 8] = descriptor(0xa0fb);
	gdt[SEL_USER_CODE32 / 8] = descriptor(0xc0fb);
	gdt[SEL_TSS / 8] = 0x67 | GUEST_TSS << 16 | 0x8bULL << 40;

	for (i = 0; i < 256; i++) {
		to = i == VEC_CALL ? (u64)guest_stub_call : (u64)guest_stubs + i * 16;
		idt[2 * i] = (to & 0xffff) | SEL_CODE64 << 16 |
			(i == VEC_BP || i == VEC_OF || i == VEC_CALL ? 0xeeULL : 0x8eULL) << 40 |
			(to >> 16 & 0xffff) << 48;
		idt[2 * i + 1] = to >> 32;
	}
}

void vm_refill(struct vm *vm)
{
	load_image(vm);
	make_page_table(vm);
	make_tables(vm);
}

struct vm *vm_new(void)
{
	struct vm *vm = vm_new_bare();
	int error;

	vm->mem = map_memory(GUEST_MEM_SIZE);
	vm_refill(vm);
	error = vm_slot(vm, 0, 0, GUEST_MEM_SIZE, vm->mem, 0);
	if (error)
		die("VMM_SET_SLOT of the guest's memory: expected success, got %s",
		    strerror(-error));
	return vm;
}

void vm_free(struct vm *vm)
{
	close(vm->fd);
	close(vm->sys);
	if (vm->mem)
		munmap(vm->mem, GUEST_MEM_SIZE);
	free(vm);
}

/* ---- vCPUs ---- */

struct vcpu *vcpu_new_reset(struct vm *vm, u32 id)
{
	struct vcpu *vcpu = calloc(1, sizeof(*vcpu));
	struct vmm_create_vcpu args = { .id = id };

	if (!vcpu)
		die("no memory");
	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->fd = VMM_MUST(vm->fd, VMM_CREATE_VCPU, &args);
	vcpu->run = mmap(NULL, VMM_RUN_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
	if (vcpu->run == MAP_FAILED)
		die("mmap of the run page: %s", strerror(errno));
	return vcpu;
}

void vcpu_free(struct vcpu *vcpu)
{
	munmap(vcpu->run, VMM_RUN_SIZE);
	close(vcpu->fd);
	free(vcpu);
}

void vcpu_get(struct vcpu *vcpu, struct vmm_state *state, u64 mask)
{
	memset(state, 0, sizeof(*state));
	state->mask = mask;
	VMM_MUST(vcpu->fd, VMM_GET_STATE, state);
}

void vcpu_set(struct vcpu *vcpu, struct vmm_state *state, u64 mask)
{
	state->mask = mask;
	VMM_MUST(vcpu->fd, VMM_SET_STATE, state);
}

static struct vmm_segment segment(u16 selector, u16 attr, u32 limit)
{
	return (struct vmm_segment){ .selector = selector, .attr = attr, .limit = limit };
}

static void set_flat(struct vmm_segs *segs, struct vmm_segment code, struct vmm_segment data)
{
	u32 i;

	for (i = VMM_ES; i <= VMM_GS; i++)
		segs->seg[i] = data;
	segs->seg[VMM_CS] = code;
}

static void set_long_mode(struct vcpu *vcpu, struct vmm_state *state)
{
	struct vmm_segs *segs = &state->segs;

	set_flat(segs, segment(SEL_CODE64, 0xa09b, ~0U), segment(SEL_DATA, 0xc093, ~0U));
	segs->seg[VMM_LDTR] = segment(0, VMM_SEG_UNUSABLE, 0);
	segs->seg[VMM_TR] = segment(SEL_TSS, 0x008b, 0x67);
	segs->seg[VMM_TR].base = GUEST_TSS;
	segs->gdt = (struct vmm_table){ .base = GUEST_GDT, .limit = SEL_TSS + 15 };
	segs->idt = (struct vmm_table){ .base = GUEST_IDT, .limit = 4095 };
	state->ctrl.cr0 = X86_CR0_PE | X86_CR0_MP | X86_CR0_ET | X86_CR0_NE | X86_CR0_WP |
		X86_CR0_PG;
	state->ctrl.cr3 = GUEST_PML4;
	state->ctrl.cr4 = X86_CR4_PAE | X86_CR4_OSFXSR | X86_CR4_OSXMMEXCPT;
	state->ctrl.efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NX;
	/* RSP0; one TSS serves all vCPUs: only vCPU 0 goes to CPL 3. */
	*(u64 *)((u8 *)vm_ptr(vcpu->vm, GUEST_TSS) + 4) = GUEST_FAULT_STACK(0);
}

void vcpu_restart(struct vcpu *vcpu, void (*entry)(void))
{
	const u64 mask = VMM_STATE_REGS | VMM_STATE_SEGS | VMM_STATE_CTRL | VMM_STATE_EVENTS;
	struct vmm_state state;

	vcpu_get(vcpu, &state, mask);
	memset(&state.regs, 0, sizeof(state.regs));
	state.regs.rip = (u64)entry;
	/* As after a CALL: the ABI wants the stack off by 8 at a function's entry. */
	state.regs.rsp = GUEST_STACK(vcpu->id % GUEST_MAX_VCPUS) - 8;
	state.regs.rflags = RFLAGS_FIXED;
	set_long_mode(vcpu, &state);
	state.events = (struct vmm_events){ .mp_state = VMM_MP_RUNNABLE };
	vcpu_set(vcpu, &state, mask);
}

struct vcpu *vcpu_new(struct vm *vm, u32 id, void (*entry)(void))
{
	struct vcpu *vcpu;

	if (id >= GUEST_MAX_VCPUS)
		die("vcpu_new: no stack for vCPU %u", id);
	vcpu = vcpu_new_reset(vm, id);
	vcpu_restart(vcpu, entry);
	return vcpu;
}

void vcpu_mode32(struct vcpu *vcpu, u32 eip)
{
	const u64 mask = VMM_STATE_REGS | VMM_STATE_SEGS | VMM_STATE_CTRL;
	struct vmm_state state;

	vcpu_get(vcpu, &state, mask);
	memset(&state.regs, 0, sizeof(state.regs));
	state.regs.rip = eip;
	state.regs.rsp = GUEST_STACK(vcpu->id);
	state.regs.rflags = RFLAGS_FIXED;
	set_flat(&state.segs, segment(SEL_CODE32, 0xc09b, ~0U), segment(SEL_DATA, 0xc093, ~0U));
	state.segs.seg[VMM_LDTR] = segment(0, VMM_SEG_UNUSABLE, 0);
	state.segs.seg[VMM_TR] = segment(SEL_TSS, 0x008b, 0x67);
	state.segs.gdt = (struct vmm_table){ .base = GUEST_GDT, .limit = SEL_TSS + 15 };
	state.segs.idt = (struct vmm_table){ .base = 0, .limit = 0 };
	state.ctrl.cr0 = X86_CR0_PE | X86_CR0_ET | X86_CR0_NE;
	state.ctrl.cr3 = 0;
	state.ctrl.cr4 = 0;
	state.ctrl.efer = 0;
	vcpu_set(vcpu, &state, mask);
}

void vcpu_mode16(struct vcpu *vcpu, u16 ip)
{
	const u64 mask = VMM_STATE_REGS | VMM_STATE_SEGS | VMM_STATE_CTRL;
	struct vmm_state state;

	vcpu_get(vcpu, &state, mask);
	memset(&state.regs, 0, sizeof(state.regs));
	state.regs.rip = ip;
	state.regs.rsp = 0x7000;
	state.regs.rflags = RFLAGS_FIXED;
	set_flat(&state.segs, segment(0, 0x009b, 0xffff), segment(0, 0x0093, 0xffff));
	state.segs.seg[VMM_LDTR] = segment(0, 0x0082, 0xffff);
	state.segs.seg[VMM_TR] = segment(0, 0x008b, 0xffff);
	state.segs.gdt = (struct vmm_table){ .base = 0, .limit = 0xffff };
	state.segs.idt = (struct vmm_table){ .base = 0, .limit = 0x3ff };
	state.ctrl.cr0 = X86_CR0_ET;
	state.ctrl.cr3 = 0;
	state.ctrl.cr4 = 0;
	state.ctrl.efer = 0;
	vcpu_set(vcpu, &state, mask);
}

u64 vcpu_rip(struct vcpu *vcpu)
{
	struct vmm_state state;

	vcpu_get(vcpu, &state, VMM_STATE_REGS);
	return state.regs.rip;
}

u64 vcpu_get_msr(struct vcpu *vcpu, u32 index)
{
	struct vmm_msr msr = { .index = index };
	struct vmm_msrs args = { .count = 1, .msrs = (u64)&msr };

	if (VMM_MUST(vcpu->fd, VMM_GET_MSRS, &args) != 1)
		die("VMM_GET_MSRS of %#x: expected 1 entry done, got 0", index);
	return msr.value;
}

int vcpu_set_msr(struct vcpu *vcpu, u32 index, u64 value)
{
	struct vmm_msr msr = { .index = index, .value = value };
	struct vmm_msrs args = { .count = 1, .msrs = (u64)&msr };

	return VMM_MUST(vcpu->fd, VMM_SET_MSRS, &args);
}

/* ---- running ---- */

static const char *const exit_names[] = {
	[VMM_EXIT_NONE] = "NONE",
	[VMM_EXIT_INTR] = "INTR",
	[VMM_EXIT_PIO] = "PIO",
	[VMM_EXIT_MMIO] = "MMIO",
	[VMM_EXIT_INSN] = "INSN",
	[VMM_EXIT_SHUTDOWN] = "SHUTDOWN",
	[VMM_EXIT_FAIL_ENTRY] = "FAIL_ENTRY",
	[VMM_EXIT_MEMORY] = "MEMORY",
	[VMM_EXIT_INTERNAL] = "INTERNAL",
	[VMM_EXIT_EOI] = "EOI",
	[VMM_EXIT_DEBUG] = "DEBUG",
	[VMM_EXIT_WINDOW] = "WINDOW",
};

const char *exit_name(u32 reason)
{
	if (reason < sizeof(exit_names) / sizeof(exit_names[0]))
		return exit_names[reason];
	return "an unknown exit";
}

const char *exit_text(struct vcpu *vcpu)
{
	static __thread char text[256];
	const struct vmm_run *run = vcpu->run;
	const char *name = exit_name(run->exit_reason);

	switch (run->exit_reason) {
	case VMM_EXIT_PIO:
		snprintf(text, sizeof(text), "%s port %#x size %u %s data %#x rip %#llx", name,
			 run->pio.port, run->pio.size, run->pio.write ? "out" : "in",
			 run->pio.data, run->rip);
		break;
	case VMM_EXIT_MMIO:
		snprintf(text, sizeof(text), "%s gpa %#llx size %u %s data %#llx rip %#llx", name,
			 run->mmio.gpa, run->mmio.size, run->mmio.write ? "write" : "read",
			 run->mmio.data, run->rip);
		break;
	case VMM_EXIT_INSN:
		snprintf(text, sizeof(text), "%s cause %u gpa %#llx %u bytes %02x %02x rip %#llx",
			 name, run->insn.cause, run->insn.gpa, run->insn.length,
			 run->insn.bytes[0], run->insn.bytes[1], run->rip);
		break;
	case VMM_EXIT_FAIL_ENTRY:
		snprintf(text, sizeof(text), "%s reason %#llx rip %#llx", name,
			 run->fail_entry.hardware_reason, run->rip);
		break;
	case VMM_EXIT_MEMORY:
		snprintf(text, sizeof(text), "%s gpa %#llx access %#x error %u rip %#llx", name,
			 run->memory.gpa, run->memory.access, run->memory.error, run->rip);
		break;
	case VMM_EXIT_INTERNAL:
		snprintf(text, sizeof(text), "%s code %u info %#llx %#llx rip %#llx", name,
			 run->internal.code, run->internal.info[0], run->internal.info[1],
			 run->rip);
		break;
	default:
		snprintf(text, sizeof(text), "%s rip %#llx", name, run->rip);
	}
	return text;
}

int vcpu_run(struct vcpu *vcpu)
{
	return vmm_call(vcpu->fd, VMM_RUN, NULL);
}

static bool is_out(const struct vmm_run *run, u16 port)
{
	return run->exit_reason == VMM_EXIT_PIO && run->pio.port == port && run->pio.write &&
		run->pio.size == 4;
}

static void report_failure(struct vcpu *vcpu)
{
	struct guest_failure *failure = vm_ptr(vcpu->vm, vcpu->run->pio.data);

	/* The strings are constants of the program: the same in host and guest. */
	die("%s:%u: guest (vCPU %u): %s: expected %#lx, got %#lx", failure->file,
	    failure->line, vcpu->id, failure->what, failure->expected, failure->got);
}

u32 vcpu_exit(struct vcpu *vcpu)
{
	int error;

	do {
		error = vcpu_run(vcpu);
	} while (error == -EINTR && !vcpu->run->immediate_exit);
	if (error && error != -EINTR)
		die("VMM_RUN: expected an exit, got %s", strerror(-error));
	if (is_out(vcpu->run, PORT_FAIL))
		report_failure(vcpu);
	return vcpu->run->exit_reason;
}

void vcpu_expect(struct vcpu *vcpu, u32 reason)
{
	if (vcpu_exit(vcpu) != reason)
		die("exit: expected %s, got %s", exit_name(reason), exit_text(vcpu));
}

bool vcpu_synced(struct vcpu *vcpu, u32 *value)
{
	if (!is_out(vcpu->run, PORT_SYNC))
		return false;
	*value = vcpu->run->pio.data;
	return true;
}

void vcpu_sync(struct vcpu *vcpu, u32 value)
{
	u32 got;

	vcpu_exit(vcpu);
	if (!vcpu_synced(vcpu, &got))
		die("exit: expected the guest's sync %#x, got %s", value, exit_text(vcpu));
	if (got != value)
		die("the guest's sync: expected %#x, got %#x", value, got);
}

void vcpu_done(struct vcpu *vcpu)
{
	vcpu_sync(vcpu, GUEST_DONE_VALUE);
}

/* ---- the host ---- */

u32 host_slowness(void)
{
	const char *text = getenv("SELFTEST_SCALE");
	int factor = text ? atoi(text) : 1;

	return factor > 1 ? factor : 1;
}

u32 share_of(u32 work)
{
	u32 share = work / host_slowness();

	return share ? share : 1;
}

bool host_is_tcg(void)
{
	struct cpuid leaf;
	char name[13] = { 0 };

	if (!(cpuid(1, 0).ecx & 1U << 31))
		return false;
	leaf = cpuid(0x40000000, 0);
	memcpy(name, &leaf.ebx, 4);
	memcpy(name + 4, &leaf.ecx, 4);
	memcpy(name + 8, &leaf.edx, 4);
	return !strcmp(name, "TCGTCGTCGTCG");
}

/* Those it may use before it pins itself to one of them. */
static const cpu_set_t *usable_cpus(void)
{
	static cpu_set_t set;

	if (!CPU_COUNT(&set) && sched_getaffinity(0, sizeof(set), &set))
		die("sched_getaffinity: %s", strerror(errno));
	return &set;
}

int host_cpus(void)
{
	return CPU_COUNT(usable_cpus());
}

int host_cpu(int n)
{
	int cpu = -1;

	while (n-- >= 0)
		do {
			if (++cpu == CPU_SETSIZE)
				die("the process may not use so many CPUs");
		} while (!CPU_ISSET(cpu, usable_cpus()));
	return cpu;
}

void pin_to_cpu(int n)
{
	int cpu = host_cpu(n);
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity to CPU %d: %s", cpu, strerror(errno));
}

bool file_has(const char *path, const char *word)
{
	FILE *file = fopen(path, "r");
	char line[4096];
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file))
		found = strstr(line, word);
	if (file)
		fclose(file);
	return found;
}

void set_audit(bool on)
{
	int fd = open("/sys/module/vmm/parameters/audit", O_WRONLY);

	if (fd < 0 || write(fd, on ? "1" : "0", 1) != 1)
		die("the module's parameter audit: %s", strerror(errno));
	close(fd);
}

u64 now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000UL + time.tv_nsec;
}

static void ignore_signal(int signal)
{
	(void)signal;
}

void catch_signal(int signal)
{
	struct sigaction action = { .sa_handler = ignore_signal };

	if (sigaction(signal, &action, NULL))
		die("sigaction: %s", strerror(errno));
}
