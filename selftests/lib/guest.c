// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Guest code shared by the tests: failures, exceptions, the APIC. Runs inside the
 * guest, on its own copy of these variables.
 */
#include "guest.h"

void (*guest_handlers[256])(struct guest_frame *frame);
volatile u64 guest_irqs[256];
volatile struct guest_fault guest_fault;
volatile u64 guest_fixup;
static struct guest_failure failure;

void guest_fail(const char *file, u32 line, const char *what, u64 expected, u64 got)
{
	failure = (struct guest_failure){
		.file = file,
		.what = what,
		.expected = expected,
		.got = got,
		.line = line,
	};
	for (;;)
		outl(PORT_FAIL, (u32)(u64)&failure);
}

/* Called by the stubs. */
void guest_exception(struct guest_frame *frame);

void guest_exception(struct guest_frame *frame)
{
	static const char *const unexpected = "RIP of an exception nobody expected; "
		"expected is the vector << 32 | error code";
	void (*handler)(struct guest_frame *frame) = guest_handlers[frame->vector & 0xff];

	if (handler) {
		handler(frame);
		return;
	}
	if (!guest_fixup || frame->vector >= 32)
		guest_fail("guest", 0, unexpected, frame->vector << 32 | frame->error,
			   frame->rip);
	guest_fault.vector = frame->vector;
	guest_fault.error = frame->error;
	guest_fault.rip = frame->rip;
	guest_fault.rflags = frame->rflags;
	guest_fault.cr2 = read_cr2();
	frame->rip = guest_fixup;
}

/*
 * QEMU's emulated AMD-V delivers an interrupt that was injected a second time if its CPU's
 * thread is called at that moment (docs/testing.md, "How it works"). No CPU interrupts with IF
 * clear: that one is not counted, and has no EOI.
 */
void guest_count_irq(struct guest_frame *frame)
{
	if (!(frame->rflags & RFLAGS_IF))
		return;
	guest_irqs[frame->vector & 0xff]++;
	guest_eoi();
}

u32 apic_read(u32 offset)
{
	if (rdmsr(MSR_APIC_BASE) & APIC_BASE_X2)
		return rdmsr(MSR_X2APIC + offset / 16);
	return read32(APIC_PAGE + offset);
}

void apic_write(u32 offset, u32 value)
{
	if (rdmsr(MSR_APIC_BASE) & APIC_BASE_X2)
		wrmsr(MSR_X2APIC + offset / 16, value);
	else
		write32(APIC_PAGE + offset, value);
}

void guest_eoi(void)
{
	apic_write(APIC_EOI, 0);
}

void guest_apic_enable(void)
{
	if (cpuid(1, 0).ecx & 1U << 21)
		wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | APIC_BASE_X2);
	apic_write(APIC_SVR, 0x1ff);
	apic_write(APIC_TPR, 0);
}

u64 try_rdmsr(u32 index, u64 *value)
{
	u32 low = 0, high = 0;

	guest_fault.vector = NO_FAULT;
	__asm__ volatile("movq $1f, guest_fixup\n\t"
			 "rdmsr\n"
			 "1:\tmovq $0, guest_fixup"
			 : "+a"(low), "+d"(high) : "c"(index) : "memory");
	*value = low | (u64)high << 32;
	return guest_fault.vector;
}

u64 try_wrmsr(u32 index, u64 value)
{
	return GUEST_TRY("wrmsr", "a"((u32)value), "d"((u32)(value >> 32)), "c"(index)
			 : "memory");
}

void guest_spoil(void)
{
	static const u32 mxcsr = 0x1f00;
	static const u16 fcw = 0x0f7f;
	u64 supported = 0;

	if (cpuid(1, 0).ecx & 1U << 26) {
		write_cr4(read_cr4() | X86_CR4_OSXSAVE);
		supported = cpuid(0xd, 0).eax & 7;
		/* Less than the host has switched on. */
		__asm__ volatile("xsetbv" : : "a"(1), "d"(0), "c"(0));
	}
	for (;;) {
		if (supported & 4) {
			__asm__ volatile("xsetbv" : : "a"(7), "d"(0), "c"(0));
			__asm__ volatile("vpcmpeqd %%xmm0, %%xmm0, %%xmm0; vmovdqa %%ymm0, %%ymm7;"
					 "vmovdqa %%ymm0, %%ymm15" : : : "memory");
			__asm__ volatile("xsetbv" : : "a"(1), "d"(0), "c"(0));
		}
		__asm__ volatile("pcmpeqd %%xmm0, %%xmm0; movaps %%xmm0, %%xmm1;"
				 "movaps %%xmm0, %%xmm7; movaps %%xmm0, %%xmm15; fninit; fldpi;"
				 "ldmxcsr %0; fldcw %1" : : "m"(mxcsr), "m"(fcw) : "memory");
		wrmsr(MSR_FS_BASE, 0xffff800000001000);
		wrmsr(MSR_GS_BASE, 0xffff800000002000);
		wrmsr(MSR_KERNEL_GS_BASE, 0xffff800000003000);
		wrmsr(MSR_STAR, 0x1234567800000000);
		wrmsr(MSR_LSTAR, 0x1000);
		wrmsr(MSR_SFMASK, 0);
		wrmsr(MSR_SYSENTER_EIP, 0x1000);
		wrmsr(MSR_TSC_AUX, 0x777);
		__asm__ volatile("mov %0, %%db0; mov %0, %%db3" : : "r"(0x123456UL));
		__asm__ volatile("mov %0, %%db7" : : "r"(0x4aaUL));
		__asm__ volatile("mov %0, %%db6" : : "r"(0xffff0fffUL));
		GUEST_SYNC(1);
	}
}
