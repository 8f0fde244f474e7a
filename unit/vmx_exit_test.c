// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What no emulated CPU does: a machine check in the middle of a VM entry, TDX's instructions in a
 * guest (kmod/vmx/exit.c); and counters and IA32_DEBUGCTL of the host (kmod/vmx/perf.c). The
 * VMCS and the MSRs are arrays.
 */
/* unit-flags: -Ishim -I../kmod -Wno-unused-parameter -Wno-sign-compare -Wno-override-init */
#include <stdlib.h>

#include <linux/bits.h>
#include <linux/kernel.h>
#include <asm/vmx.h>

#include "tap.h"

/* ---- in place of vmx.h and of what it includes ---- */

#define VMM_VMX_H
#define likely(condition)	(condition)
#define unlikely(condition)	(condition)
#define noinline
#define X86_TRAP_DB		1
#define X86_TRAP_NMI		2
#define X86_TRAP_DF		8
#define X86_TRAP_PF		14
#define X86_TRAP_MC		18
#define X86_EFLAGS_TF		0x100
#define MSR_IA32_DEBUGCTLMSR	0x1d9
#define PERF_GLOBAL_CTRL	0x38f
#define PEBS_ENABLE		0x3f1

#define DR_TRAP_BITS			0xf
#define DR_STEP				0x4000

enum vmm_exit_kind {
	VMM_X_INTR, VMM_X_NMI, VMM_X_EXCEPTION, VMM_X_INTR_WINDOW, VMM_X_NMI_WINDOW, VMM_X_CPUID,
	VMM_X_HLT, VMM_X_PIO, VMM_X_PIO_STRING, VMM_X_MSR_READ, VMM_X_MSR_WRITE, VMM_X_CR,
	VMM_X_INVLPG, VMM_X_DR, VMM_X_XSETBV, VMM_X_HYPERCALL, VMM_X_MEMORY, VMM_X_WBINVD,
	VMM_X_PAUSE, VMM_X_RDPMC, VMM_X_UNDEFINED, VMM_X_TASK_SWITCH, VMM_X_REAL_MODE,
	VMM_X_SHUTDOWN, VMM_X_FAIL_ENTRY, VMM_X_UNKNOWN, VMM_X_APIC,
};

enum { VMM_ACCESS_READ, VMM_ACCESS_WRITE, VMM_ACCESS_EXEC };
enum insn_mode { INSN_MODE_64 };
#define VMM_STATE_EVENTS	0
#define VMM_STATE_CTRL		0
#define VMM_STATE_CS		0

struct vmm_exit {
	enum vmm_exit_kind kind;
	u8 length;
	bool delivering;
	struct { u8 vector; bool has_error; u32 error; u64 info; } exception;
	struct { u16 port; u8 size; bool write; } pio;
	struct { u64 gpa; u32 access; bool walk; } memory;
	struct { bool eoi; u8 vector; u16 offset; } apic;
	struct { u64 reason, info[4]; } raw;
};

#define VMM_DEBUG_HW	2

struct vmm_vcpu {
	struct { u32 flags; } guest_debug;
	struct { u64 rip, rflags; } regs;
	u8 shadow;
	bool step_armed;
};

struct vmx_host {
	bool perf_away;
	u64 debugctl;
	const struct perf_guest_switch_msr *perf_msrs;
	int perf_nr;
};

struct vmx_config {
	u32 turn;
};

struct vmx_vcpu {
	struct vmm_vcpu vcpu;
	const struct vmx_config *config;
	struct vmx_host host;
	u32 exit_reason, controls, vmcs_timer;
	u8 refused_by;
};

enum vmx_no_exit {
	VMX_NO_EXIT_REFUSED = 0x10000,
	VMX_NO_EXIT_UNRUNNABLE,
};

struct perf_guest_switch_msr {
	unsigned int msr;
	u64 host, guest;
};

static u64 vmcs[0x8000], msrs[0x400];
static unsigned int writes;

static unsigned long vmcs_read(unsigned long field)
{
	return vmcs[field];
}

static void vmcs_write(unsigned long field, unsigned long value)
{
	vmcs[field] = value;
}

#define rdmsrl(msr, value)	((value) = msrs[msr])
#define wrmsrl(msr, value)	(writes++, msrs[msr] = (value))
#define to_vmx(vcpu)		((struct vmx_vcpu *)(vcpu))
#define vmm_pull(vcpu, mask)	((void)(vcpu))
#define vmm_insn_mode(vcpu)	INSN_MODE_64

static void vmx_iret_faulted(struct vmx_vcpu *vmx)
{
}

static unsigned int vmx_audit(const struct vmx_config *config)
{
	return 0;
}

static struct perf_guest_switch_msr switched[] = {
	{ PERF_GLOBAL_CTRL, 0x70000000f, 0x700000007 },
	{ PEBS_ENABLE, 0, 0 },
};

static bool has_pmu;

static struct perf_guest_switch_msr *perf_guest_get_msrs(int *nr, void *data)
{
	*nr = 2;	/* the kernel's says anything if there is no PMU */
	return has_pmu ? switched : NULL;
}

/* Of the kernel: what exit.c and perf.c include is above. */
#include "../kmod/vmx/exit.c"
#include "../kmod/vmx/perf.c"

/* ---- the tests ---- */

static const struct vmx_config config = { .turn = 1000 };
static struct vmx_vcpu vmx = { .config = &config };

static enum vmm_exit_kind kind_of(u32 reason)
{
	struct vmm_exit exit;

	vmx.exit_reason = reason;
	vmx_decode_exit(&vmx.vcpu, &exit);
	return exit.kind;
}

static void machine_checks(void)
{
	is(kind_of(0x80000029), VMM_X_FAIL_ENTRY, "a machine check fails an entry");
	is(vmx_exit_vector(&vmx), X86_TRAP_MC, "and the host gets it");
	is(kind_of(0x80000021), VMM_X_FAIL_ENTRY, "so does a state that is not valid");
	is(vmx_exit_vector(&vmx), 0, "which is none of the host's");
	vmcs[VM_EXIT_INTR_INFO] = 0x80000000 | INTR_TYPE_HARD_EXCEPTION | X86_TRAP_MC;
	is(kind_of(EXIT_REASON_EXCEPTION_NMI), VMM_X_INTR, "one in the guest is an exit");
	is(vmx_exit_vector(&vmx), X86_TRAP_MC, "and the host's too");
	vmcs[VM_EXIT_INTR_INFO] = 0x80000000 | INTR_TYPE_NMI_INTR | X86_TRAP_NMI;
	is(kind_of(EXIT_REASON_EXCEPTION_NMI), VMM_X_NMI, "an NMI is an exit");
	is(vmx_exit_vector(&vmx), X86_TRAP_NMI, "and the host's");
}

static void undefined(void)
{
	is(kind_of(76), VMM_X_UNDEFINED, "SEAMCALL is undefined in a guest");
	is(kind_of(77), VMM_X_UNDEFINED, "so is TDCALL");
	is(kind_of(78), VMM_X_UNKNOWN, "what the table does not have is unknown");
}

static void timer(void)
{
	vmx.vmcs_timer = 1;
	is(kind_of(EXIT_REASON_PREEMPTION_TIMER), VMM_X_INTR, "the end of a turn is an exit");
	is(vmcs[VMX_PREEMPTION_TIMER_VALUE], config.turn, "after which turns are long again");
	is(vmx.vmcs_timer, config.turn, "as is known");
}

static void perf(void)
{
	msrs[MSR_IA32_DEBUGCTLMSR] = 0x4001;
	msrs[PERF_GLOBAL_CTRL] = switched[0].host;
	has_pmu = true;
	vmx_perf_begin(&vmx.host);
	is(msrs[PERF_GLOBAL_CTRL], switched[0].guest, "in a turn the counters are the guest's");
	msrs[MSR_IA32_DEBUGCTLMSR] = 0;		/* an exit does that */
	vmx_perf_end(&vmx.host);
	is(msrs[MSR_IA32_DEBUGCTLMSR], 0x4001, "DEBUGCTL is the host's behind a turn");
	is(msrs[PERF_GLOBAL_CTRL], switched[0].host, "so are the counters");
	msrs[MSR_IA32_DEBUGCTLMSR] = 0;
	has_pmu = false;
	writes = 0;
	vmx_perf_begin(&vmx.host);
	ok(vmx.host.perf_away, "a turn without PMU is one too");
	vmx_perf_end(&vmx.host);
	ok(!vmx.host.perf_away, "and ends");
	is(writes, 0, "nothing is written where nothing differs");
}

int main(void)
{
	machine_checks();
	undefined();
	timer();
	perf();
	return tap_end();
}
