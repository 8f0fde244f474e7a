// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the host observes itself with: its counters, their records and IA32_DEBUGCTL. An exit
 * clears the latter ("Loading Host Control Registers, Debug Registers, MSRs"), and a counter
 * with PEBS that went on in a guest would write its records to the guest's addresses. Both
 * are the host's again with a turn's end: nobody can ask for another value before, because
 * IRQs are off.
 */
#include <asm/msr.h>
#include <asm/perf_event.h>

#include "vmx.h"

/* Before the first entry of a turn. IRQs off. */
void vmx_perf_begin(struct vmx_host *host)
{
	const struct perf_guest_switch_msr *msr;
	int i;

	host->perf_away = true;
	rdmsrl(MSR_IA32_DEBUGCTLMSR, host->debugctl);
	host->perf_nr = 0;
	/* NULL: no PMU of this vendor, and no number either. */
	host->perf_msrs = perf_guest_get_msrs(&host->perf_nr, NULL);
	if (!host->perf_msrs)
		host->perf_nr = 0;
	for (i = 0; i < host->perf_nr; i++) {
		msr = &host->perf_msrs[i];
		if (msr->guest != msr->host)
			wrmsrl(msr->msr, msr->guest);
	}
}

/* Behind the last exit of that turn. IRQs still off. */
void vmx_perf_end(struct vmx_host *host)
{
	const struct perf_guest_switch_msr *msr;
	int i;

	host->perf_away = false;
	if (host->debugctl)
		wrmsrl(MSR_IA32_DEBUGCTLMSR, host->debugctl);
	for (i = 0; i < host->perf_nr; i++) {
		msr = &host->perf_msrs[i];
		if (msr->guest != msr->host)
			wrmsrl(msr->msr, msr->host);
	}
}
