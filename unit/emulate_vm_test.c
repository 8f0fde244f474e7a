// SPDX-License-Identifier: GPL-2.0-or-later
/* unit-sources: ../lib/vm.c ../lib/vcpu.c ../lib/memory.c ../lib/dirty.c ../lib/emulate.c */
/* unit-sources: ../lib/emul_*.c */
/* unit-flags: -fno-strict-aliasing -D_GNU_SOURCE */
/* unit-libs: -lZydis -lpthread */
/*
 * The library between a program and a module that is played here: the table of
 * memory regions with every edge of translating and copying, and vmm_emulate()
 * from the run page and back to it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../lib/internal.h"
#include "tap.h"

#define PAGE	4096ull

/* ---- a module without a kernel ---- */

static struct {
	struct vmm_state state;
	struct vmm_slot slot;		/* of the last VMM_SET_SLOT */
	int slot_error;
	uint64_t get_mask;		/* of the last VMM_GET_STATE */
	unsigned int get_calls;
	int state_error;
	uint64_t fault_gva;		/* this page faults */
	unsigned char xsave[832];
} module;

static int give_info(struct vmm_info *info)
{
	info->abi_version = VMM_ABI_VERSION;
	info->max_slots = 8;
	info->run_size = VMM_RUN_SIZE;
	info->xsave_size = sizeof(module.xsave);
	return 0;
}

static int new_fd(void)
{
	int fd = memfd_create("module", 0);

	if (fd < 0 || ftruncate(fd, VMM_RUN_SIZE))
		abort();
	return fd;
}

static int get_state(struct vmm_state *state)
{
	const struct vmm_state *s = &module.state;

	module.get_mask = state->mask;
	module.get_calls++;
	if (module.state_error)
		return module.state_error;
	if (state->mask & VMM_STATE_REGS)
		state->regs = s->regs;
	if (state->mask & VMM_STATE_SEGS)
		state->segs = s->segs;
	if (state->mask & VMM_STATE_CTRL)
		state->ctrl = s->ctrl;
	if (state->mask & VMM_STATE_EVENT)
		state->events = s->events;
	if (state->mask & VMM_STATE_DEBUG)
		state->debug = s->debug;
	return 0;
}

/* Paging is off: linear is guest-physical. */
static int walk(struct vmm_translate *tr)
{
	tr->gpa = tr->gva;
	tr->fault = tr->gva / PAGE == module.fault_gva / PAGE && module.fault_gva;
	tr->error = tr->fault ? 0x10 + tr->access : 0;
	return 0;
}

static int copy_xsave(struct vmm_xsave *x, bool set)
{
	void *area = (void *)(uintptr_t)x->data;

	if (x->size < sizeof(module.xsave))
		return -ENOSPC;
	memcpy(set ? module.xsave : area, set ? area : module.xsave, sizeof(module.xsave));
	return 0;
}

int device_ioctl(int fd, unsigned long request, const void *arg)
{
	void *out = (void *)(uintptr_t)arg;

	(void)fd;
	switch (request) {
	case VMM_GET_INFO:
		return give_info(out);
	case VMM_CREATE_VM:
	case VMM_CREATE_VCPU:
		return new_fd();
	case VMM_SET_SLOT:
		module.slot = *(const struct vmm_slot *)arg;
		return module.slot_error;
	case VMM_GET_STATE:
		return get_state(out);
	case VMM_TRANSLATE:
		return walk(out);
	case VMM_GET_XSAVE:
		return copy_xsave(out, false);
	case VMM_SET_XSAVE:
		return copy_xsave(out, true);
	default:
		return -ENOTTY;
	}
}

int vmm_get_info(int fd, struct vmm_info *info)
{
	memset(info, 0, sizeof(*info));
	return device_ioctl(fd, VMM_GET_INFO, info);
}

/* ---- memory ---- */

static unsigned char *ram;

/* Slot 0: [1P, 5P), slot 1: [5P, 7P) elsewhere in ram, slot 2: [16P, 17P) read-only. */
static struct vmm *machine(void)
{
	struct vmm *vm;

	memset(&module, 0, sizeof(module));
	memset(ram, 0, 16 * PAGE);
	if (vmm_create(3, &vm) ||
	    vmm_memory_add(vm, 2, 16 * PAGE, PAGE, ram, VMM_SLOT_READONLY) ||
	    vmm_memory_add(vm, 1, 5 * PAGE, 2 * PAGE, ram + 10 * PAGE, 0) ||
	    vmm_memory_add(vm, 0, PAGE, 4 * PAGE, ram + PAGE, 0))
		abort();
	return vm;
}

static void translating(void)
{
	struct vmm *vm = machine();

	ok(vmm_gpa_to_hva(vm, PAGE, 1) == ram + PAGE, "the first byte of a slot");
	ok(vmm_gpa_to_hva(vm, PAGE, 4 * PAGE) == ram + PAGE, "the whole slot");
	ok(vmm_gpa_to_hva(vm, 5 * PAGE - 1, 1) == ram + 5 * PAGE - 1, "its last byte");
	ok(!vmm_gpa_to_hva(vm, PAGE - 1, 1), "the byte before is none");
	ok(!vmm_gpa_to_hva(vm, PAGE - 1, 2), "nor is a range that starts there");
	ok(!vmm_gpa_to_hva(vm, PAGE, 4 * PAGE + 1), "nor one that ends in the next slot");
	ok(!vmm_gpa_to_hva(vm, 7 * PAGE - 1, 2), "nor one that ends in a hole");
	ok(!vmm_gpa_to_hva(vm, 7 * PAGE, 1), "nor the hole");
	ok(vmm_gpa_to_hva(vm, 5 * PAGE, 1) == ram + 10 * PAGE, "the next slot");
	ok(!vmm_gpa_to_hva(vm, PAGE, 0), "no bytes are nowhere");
	ok(!vmm_gpa_to_hva(vm, PAGE, UINT64_MAX), "a length that wraps");
	ok(!vmm_gpa_to_hva(vm, UINT64_MAX, 2), "an address that wraps");
	ok(!vmm_gpa_to_hva(vm, PAGE + 1, UINT64_MAX - PAGE), "both");
	ok(!vmm_gpa_to_hva(vm, 16 * PAGE, 1), "read-only memory is not to be written");
	ok(vmm_gpa_to_hva_ro(vm, 16 * PAGE, PAGE) == ram, "but may be read");
	vmm_destroy(vm);
}

static void slots(void)
{
	struct vmm *vm = machine();

	is(vmm_memory_add(vm, 8, 32 * PAGE, PAGE, ram, 0), -EINVAL, "a slot above the limit");
	is(vmm_memory_add(vm, 3, 32 * PAGE, 0, ram, 0), -EINVAL, "a slot of no size");
	module.slot_error = -EEXIST;
	is(vmm_memory_add(vm, 3, 2 * PAGE, PAGE, ram, 0), -EEXIST, "what the module refuses");
	ok(vmm_gpa_to_hva(vm, 2 * PAGE, 1) == ram + 2 * PAGE, "leaves the table alone");
	is(vmm_memory_remove(vm, 0), -EEXIST, "a removal that is refused");
	ok(vmm_gpa_to_hva(vm, PAGE, 1), "as well");
	module.slot_error = 0;

	is(vmm_memory_add(vm, 0, 64 * PAGE, PAGE, ram + 2 * PAGE, 0), 0, "a slot is moved");
	ok(!vmm_gpa_to_hva(vm, PAGE, 1), "it is no longer there");
	ok(vmm_gpa_to_hva(vm, 64 * PAGE, PAGE) == ram + 2 * PAGE, "but here");
	ok(vmm_gpa_to_hva(vm, 5 * PAGE, PAGE) == ram + 10 * PAGE, "the others stay");
	is(vmm_memory_remove(vm, 1), 0, "a slot is removed");
	is(module.slot.size, 0, "by size 0");
	is(module.slot.slot, 1, "of its number");
	ok(!vmm_gpa_to_hva(vm, 5 * PAGE, 1), "and is gone");
	ok(vmm_gpa_to_hva_ro(vm, 16 * PAGE, 1) && vmm_gpa_to_hva(vm, 64 * PAGE, 1),
	   "the others stay");
	vmm_destroy(vm);
}

static void copying(void)
{
	unsigned char buf[3 * PAGE];
	struct vmm *vm = machine();

	memset(buf, 0xcc, sizeof(buf));
	is(vmm_guest_write(vm, 5 * PAGE - 2, "abcd", 4), 0, "a write across two slots");
	ok(!memcmp(ram + 5 * PAGE - 2, "ab", 2) && !memcmp(ram + 10 * PAGE, "cd", 2),
	   "goes to both");
	is(vmm_guest_read(vm, 5 * PAGE - 2, buf, 4), 0, "it is read back");
	ok(!memcmp(buf, "abcd", 4) && buf[4] == 0xcc, "and no more");
	is(vmm_guest_write(vm, 7 * PAGE - 2, "wxyz", 4), -EFAULT, "a write into a hole fails");
	is(ram[12 * PAGE - 2], 0, "as a whole");
	is(vmm_guest_read(vm, 7 * PAGE - 2, buf, 4), -EFAULT, "a read as well");
	ok(!memcmp(buf, "abcd", 4), "as a whole");
	is(vmm_guest_write(vm, 16 * PAGE, "x", 1), -EFAULT, "read-only memory is not written");
	is(vmm_guest_read(vm, 16 * PAGE, buf, PAGE), 0, "but read");
	is(vmm_guest_read(vm, UINT64_MAX - 1, buf, 4), -EFAULT, "a range that wraps");
	is(vmm_guest_read(vm, 0, buf, 0), 0, "no bytes are always there");
	vmm_destroy(vm);
}

static void replacing(void)
{
	static const unsigned int sizes[] = { 1, 2, 4, 8, 16 };
	struct vmm *vm = machine();
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		unsigned char old[16], new[16], *at = ram + PAGE + 64;
		unsigned int n = sizes[i];

		memset(old, 0x11, sizeof(old));
		memset(new, 0x22, sizeof(new));
		memset(at, 0x11, 32);
		is(ram_replace(vm, PAGE + 64, old, new, n), 1, "%u bytes that hold", n);
		ok(at[0] == 0x22 && at[n - 1] == 0x22 && at[n] == 0x11, "are replaced");
		is(ram_replace(vm, PAGE + 64, old, new, n), 0, "%u bytes that do not", n);
		at[n - 1] = 0x33;
		is(ram_replace(vm, PAGE + 64, new, old, n), 0, "not even in the last");
		is(at[n - 1], 0x33, "stay");
	}
	is(ram_replace(vm, 16 * PAGE, "a", "b", 1), -EFAULT, "read-only memory is a device's");
	is(ram_write(vm, 16 * PAGE, "a", 1), -EFAULT, "for writing");
	is(ram_read(vm, 5 * PAGE - 1, &i, 2), -EFAULT, "two slots are none");
	vmm_destroy(vm);
}

/* ---- emulation through the run page ---- */

static struct {
	unsigned int calls, size;
	uint64_t address, val;
	bool write, port;
} device;

static void on_pio(void *opaque, uint16_t port, unsigned int size, bool write, void *data)
{
	ok(opaque == &device, "the caller's pointer comes back");
	device.calls++;
	device.port = true;
	device.address = port;
	device.size = size;
	device.write = write;
	memcpy(&device.val, data, size);
	if (!write)
		memset(data, 0x5a, size);
}

static void on_mmio(void *opaque, uint64_t gpa, unsigned int size, bool write, void *data)
{
	(void)opaque;
	device.calls++;
	device.port = false;
	device.address = gpa;
	device.size = size;
	device.write = write;
	device.val = 0;
	memcpy(&device.val, data, size);
}

static const struct vmm_emul_ops ops = { .pio = on_pio, .mmio = on_mmio };

static struct vmm_vcpu *processor(struct vmm *vm)
{
	struct vmm_vcpu *vcpu;
	unsigned int i;

	if (vmm_vcpu_create(vm, 0, &vcpu))
		abort();
	for (i = VMM_ES; i <= VMM_GS; i++)
		module.state.segs.seg[i] = (struct vmm_segment) {
			.limit = UINT32_MAX, .attr = VMM_SEG_P | VMM_SEG_S | VMM_SEG_DB |
						     (i == VMM_CS ? 0xb : 3),
		};
	module.state.ctrl.cr0 = 1;
	module.state.ctrl.cr3 = 0xabc000;
	module.state.regs.rip = 2 * PAGE;
	module.state.regs.rflags = 2;
	module.state.events.nmi_pending = 1;
	memset(&device, 0, sizeof(device));
	return vcpu;
}

static enum vmm_emul_result emulate(struct vmm_vcpu *vcpu, const void *insn, unsigned int len)
{
	struct vmm_run *run = vmm_vcpu_run_page(vcpu);

	run->exit_reason = VMM_EXIT_INSN;
	run->insn.cause = VMM_INSN_MMIO;
	run->insn.length = len;
	memcpy(run->insn.bytes, insn, len);
	return vmm_emulate(vcpu, &ops, &device);
}

static void state_flows(void)
{
	struct vmm *vm = machine();
	struct vmm_vcpu *vcpu = processor(vm);
	struct vmm_run *run = vmm_vcpu_run_page(vcpu);

	module.state.regs.rbx = 0x100000;
	is(emulate(vcpu, "\x8b\x03", 2), VMM_EMUL_OK, "mov eax, [nowhere]");
	is(device.calls, 1, "asks the device");
	is(device.address, 0x100000, "at the address");
	is(run->state.regs.rax, 0xffffffff, "what it leaves alone reads all ones");
	is(run->state.regs.rip, 2 * PAGE + 2, "RIP is past the instruction");
	is(run->sync_in, VMM_STATE_REGS, "the registers are left to the next run, nothing else");
	is(module.get_calls, 1, "one ioctl for the state");

	run->state.regs.rbx = 0x200000;
	is(emulate(vcpu, "\x8b\x03", 2), VMM_EMUL_OK, "registers that wait in the run page");
	is(device.address, 0x200000, "are the ones used");
	is(module.get_mask & VMM_STATE_REGS, 0, "and not asked for");

	run->sync_in = 0;
	run->sync_out = VMM_STATE_REGS | VMM_STATE_SEGS | VMM_STATE_CTRL | VMM_STATE_EVENT;
	run->state.segs = module.state.segs;
	run->state.ctrl = module.state.ctrl;
	run->state.events = module.state.events;
	module.get_calls = 0;
	is(emulate(vcpu, "\x8b\x03", 2), VMM_EMUL_OK, "with all of it in the run page");
	is(module.get_calls, 0, "no ioctl is needed");

	run->sync_in = 0;
	run->sync_out = 0;
	module.state_error = -EIO;
	is(emulate(vcpu, "\x8b\x03", 2), VMM_EMUL_ERROR, "a module that fails");
	is(vmm_emul_error(vcpu), -EIO, "is quoted");
	is(run->sync_in, 0, "and nothing set");
	module.state_error = 0;
	is(emulate(vcpu, "\x0f\xa2", 2), VMM_EMUL_UNSUPPORTED, "cpuid");
	is(run->sync_in, 0, "changes nothing");
	vmm_vcpu_destroy(vcpu);
	vmm_destroy(vm);
}

/* What a program at CPL 3 brings up does not reach the guest's owner. */
static void users(void)
{
	struct vmm *vm = machine();
	struct vmm_vcpu *vcpu = processor(vm);
	struct vmm_run *run = vmm_vcpu_run_page(vcpu);

	is(emulate(vcpu, "\xd8\x03", 2), VMM_EMUL_UNSUPPORTED, "fadd [nowhere] by the supervisor");
	module.state.segs.seg[VMM_CS].attr |= VMM_SEG_DPL;
	module.state.segs.seg[VMM_SS].attr |= VMM_SEG_DPL;
	is(emulate(vcpu, "\xd8\x03", 2), VMM_EMUL_OK, "by a user");
	ok(run->sync_in & VMM_STATE_EVENT &&
	   run->state.events.event.type == VMM_EVENT_EXCEPTION &&
	   run->state.events.event.vector == 6, "is a #UD");
	is(run->state.regs.rip, 2 * PAGE, "at the instruction");
	vmm_vcpu_destroy(vcpu);
	vmm_destroy(vm);
}

static uint16_t xsave_word(unsigned int at)
{
	uint16_t val;

	memcpy(&val, module.xsave + at, sizeof(val));
	return val;
}

static void x87(void)
{
	struct vmm *vm = machine();
	struct vmm_vcpu *vcpu = processor(vm);

	memset(module.xsave, 0xa5, 160);
	memset(module.xsave + 512, 0, 64);
	is(emulate(vcpu, "\xd9\x3b", 2), VMM_EMUL_OK, "fnstcw [nowhere]");
	is(device.val & 0xffff, 0x37f, "a unit in its initial state, whatever lies there");
	is(emulate(vcpu, "\xd9\x2b", 2), VMM_EMUL_OK, "fldcw [nowhere], all ones");
	ok(xsave_word(0) == 0x1f7f && xsave_word(2) == 0 && module.xsave[4] == 0 &&
	   module.xsave[32] == 0 && (module.xsave[512] & 1), "is in the image, all else initial");

	module.xsave[2] = 0x80;
	module.xsave[4] = 0xff;
	module.xsave[32] = 1;
	is(emulate(vcpu, "\xdd\x3b", 2), VMM_EMUL_OK, "fnstsw [nowhere]");
	is(device.val & 0xffff, 0x80, "the image's");
	is(emulate(vcpu, "\xdb\xe2", 2), VMM_EMUL_OK, "fnclex");
	ok(xsave_word(2) == 0 && module.xsave[4] == 0xff && module.xsave[32] == 1,
	   "leaves the registers alone");
	is(emulate(vcpu, "\xdb\xe3", 2), VMM_EMUL_OK, "fninit");
	ok(xsave_word(0) == 0x37f && module.xsave[4] == 0 && module.xsave[32] == 0,
	   "empties them");
	vmm_vcpu_destroy(vcpu);
	vmm_destroy(vm);
}

/* MMX registers are x87 registers by number, and the image has the top first. */
static void mmx(void)
{
	struct vmm *vm = machine();
	struct vmm_vcpu *vcpu = processor(vm);
	uint64_t val = 0x1122334455667788;

	memset(module.xsave, 0, sizeof(module.xsave));
	module.xsave[512] = 1;
	module.xsave[0] = 0x7f;
	module.xsave[1] = 0x03;
	module.xsave[3] = 0x29;		/* the top is register 5; C0 */
	memcpy(module.xsave + 32 + 5 * 16, &val, sizeof(val));
	is(emulate(vcpu, "\x0f\x7f\x13", 3), VMM_EMUL_OK, "movq [nowhere], mm2");
	is(device.val, val, "the register that was five behind the top");
	ok(xsave_word(2) == 0x100 && module.xsave[4] == 0xff, "puts the top to 0, and all to use");
	ok(!memcmp(module.xsave + 32 + 2 * 16, &val, sizeof(val)), "and moves them in the image");
	is(emulate(vcpu, "\x0f\x6e\x0b", 3), VMM_EMUL_OK, "movd mm1, [nowhere]");
	memcpy(&val, module.xsave + 32 + 16, sizeof(val));
	is(val, UINT32_MAX, "fills up with zeros");
	is(xsave_word(32 + 16 + 8), 0xffff, "and the exponent with ones");
	is(xsave_word(32 + 2 * 16 + 8), 0, "of this register alone");

	memset(module.xsave, 0xa5, 160);
	module.xsave[512] = 0;
	is(emulate(vcpu, "\x0f\xe7\x03", 3), VMM_EMUL_OK, "movntq [nowhere], mm0");
	is(device.val, 0, "of a unit in its initial state, whatever lies there");
	vmm_vcpu_destroy(vcpu);
	vmm_destroy(vm);
}

static void events(void)
{
	struct vmm *vm = machine();
	struct vmm_vcpu *vcpu = processor(vm);
	struct vmm_run *run = vmm_vcpu_run_page(vcpu);

	module.state.regs.rbx = 3 * PAGE + 8;
	module.fault_gva = 3 * PAGE;
	module.state.events.shadow = VMM_SHADOW_STI;
	is(emulate(vcpu, "\x8b\x03", 2), VMM_EMUL_OK, "a page fault is the guest's");
	is(run->sync_in, VMM_STATE_REGS | VMM_STATE_CTRL | VMM_STATE_EVENT, "the sections set");
	is(run->state.events.event.vector, 14, "#PF");
	is(run->state.events.event.error, 0x10 + VMM_ACCESS_READ, "with its error code");
	is(run->state.events.nmi_pending, 1, "a pending NMI stays");
	is(run->state.events.shadow, 0, "the shadow of STI does not");
	is(run->state.ctrl.cr2, 3 * PAGE + 8, "CR2");
	is(run->state.ctrl.cr3, 0xabc000, "CR3 stays");
	is(run->state.regs.rip, 2 * PAGE, "RIP is at the instruction");

	run->sync_in = 0;
	module.fault_gva = 0;
	is(emulate(vcpu, "\x8b\x03", 2), VMM_EMUL_OK, "an instruction in the shadow of STI");
	is(run->sync_in, VMM_STATE_REGS | VMM_STATE_EVENT, "ends it");
	is(run->state.events.shadow, 0, "in the run page");
	is(run->state.events.event.type, VMM_EVENT_NONE, "without an event");

	run->sync_in = 0;
	module.state.events.shadow = 0;
	module.state.regs.rflags |= 1 << 8;
	module.state.debug.dr6 = 0xffff0ff5;
	module.state.debug.dr7 = 0x2401;
	is(emulate(vcpu, "\x8b\x03", 2), VMM_EMUL_OK, "a single step");
	is(run->sync_in, VMM_STATE_REGS | VMM_STATE_EVENT | VMM_STATE_DEBUG, "the sections set");
	is(run->state.events.event.vector, 1, "#DB");
	is(run->state.debug.dr6, 0xffff4ff0, "DR6.BS, and no breakpoints of before");
	is(run->state.debug.dr7, 0x401, "DR7.GD is cleared");
	vmm_vcpu_destroy(vcpu);
	vmm_destroy(vm);
}

static void devices_and_rom(void)
{
	struct vmm *vm = machine();
	struct vmm_vcpu *vcpu = processor(vm);
	struct vmm_run *run = vmm_vcpu_run_page(vcpu);

	module.state.regs.rbx = 16 * PAGE + 4;
	module.state.regs.rax = 0x1234;
	ram[4] = 0x77;
	is(emulate(vcpu, "\x89\x03", 2), VMM_EMUL_OK, "a write to read-only memory");
	ok(device.calls == 1 && device.write && device.val == 0x1234, "is an access to a device");
	is(ram[4], 0x77, "and memory stays");
	run->sync_in = 0;
	is(emulate(vcpu, "\x8a\x03", 2), VMM_EMUL_OK, "a read of it");
	is(run->state.regs.rax, 0x1277, "is from memory");
	is(device.calls, 1, "and no access to a device");

	run->sync_in = 0;
	module.state.regs.rdi = 3 * PAGE;
	module.state.regs.rdx = 0x1f0;
	module.state.regs.rcx = 4;
	is(emulate(vcpu, "\xf3\x66\x6d", 3), VMM_EMUL_OK, "rep insw");
	is(device.calls, 5, "reads the port four times");
	is(ram[3 * PAGE + 7], 0x5a, "into memory");

	run->sync_in = 0;
	module.state.ctrl.cr4 = 1 << 9;
	module.state.regs.rbx = 3 * PAGE;
	memset(module.xsave, 0xee, sizeof(module.xsave));
	memset(module.xsave + 512, 0, 64);
	is(emulate(vcpu, "\x0f\x10\x0b", 3), VMM_EMUL_OK, "movups xmm1");
	ok(module.xsave[160 + 16] == 0x5a && module.xsave[160 + 31] == 0, "loads the register");
	ok(module.xsave[160] == 0 && module.xsave[160 + 32] == 0,
	   "the others, in their initial state, become zero");
	is(module.xsave[512], 2, "and the component valid");
	is(module.xsave[159], 0xee, "what is before it stays");
	vmm_vcpu_destroy(vcpu);
	vmm_destroy(vm);
}

static void describing(void)
{
	struct vmm *vm = machine();
	struct vmm_vcpu *vcpu = processor(vm);
	struct vmm_run *run = vmm_vcpu_run_page(vcpu);
	char line[128], tiny[8];

	emulate(vcpu, "\x0f\xae\x13\x90\x90", 5);
	vmm_emul_describe(vcpu, line, sizeof(line));
	is_str(line, "rip 0x2000 cpl 0 32-bit: 0f ae 13: ldmxcsr [ebx]", "a known instruction");
	is(vmm_emul_describe(vcpu, tiny, sizeof(tiny)), (int)strlen(line), "its length");
	is_str(tiny, "rip 0x2", "cut to the room there is");

	/* VEX with an opcode that there is not. */
	run->insn.length = 3;
	memcpy(run->insn.bytes, "\xc5\xf8\x00", 3);
	vmm_emul_describe(vcpu, line, sizeof(line));
	is_str(line, "rip 0x2000 cpl 0 32-bit: c5 f8 00: (no instruction)", "an unknown one");

	run->exit_reason = VMM_EXIT_SHUTDOWN;
	ram[2 * PAGE] = 0xf4;
	vmm_emul_describe(vcpu, line, sizeof(line));
	is_str(line, "rip 0x2000 cpl 0 32-bit: f4: hlt", "after another exit: from memory");
	vmm_vcpu_destroy(vcpu);
	vmm_destroy(vm);
}

int main(void)
{
	ram = aligned_alloc(PAGE, 16 * PAGE);
	translating();
	slots();
	copying();
	replacing();
	state_flows();
	events();
	users();
	x87();
	mmx();
	devices_and_rom();
	describing();
	free(ram);
	return tap_end();
}
