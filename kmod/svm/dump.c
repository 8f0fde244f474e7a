// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VMCB in the host's log, for a bug report. Once, because a guest may be
 * able to get here as often as it likes.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/printk.h>

#include "svm.h"

static void dump_seg(const char *name, const struct vmcb_seg *seg)
{
	pr_info("%-4s %04x attrib %03x limit %08x base %016llx\n",
		name, seg->selector, seg->attrib, seg->limit, seg->base);
}

void svm_dump(struct vmm_vcpu *vcpu)
{
	const struct vmcb_control_area *c = &to_svm(vcpu)->vmcb->control;
	const struct vmcb_save_area *s = &to_svm(vcpu)->vmcb->save;
	static atomic_t dumped;

	if (atomic_xchg(&dumped, 1))
		return;
	pr_info("vCPU %u: exit %x:%x info %llx %llx int_info %x:%x\n", vcpu->id,
		c->exit_code_hi, c->exit_code, c->exit_info_1, c->exit_info_2,
		c->exit_int_info, c->exit_int_info_err);
	pr_info("intercepts %08x %08x %08x %08x %08x %08x asid %u int_ctl %x int_state %x event_inj %x\n",
		c->intercepts[0], c->intercepts[1], c->intercepts[2], c->intercepts[3],
		c->intercepts[4], c->intercepts[5], c->asid, c->int_ctl, c->int_state,
		c->event_inj);
	pr_info("rip %016llx rsp %016llx rax %016llx rflags %llx cpl %u\n",
		s->rip, s->rsp, s->rax, s->rflags, s->cpl);
	pr_info("cr0 %llx cr2 %llx cr3 %llx cr4 %llx efer %llx dr6 %llx dr7 %llx\n",
		s->cr0, s->cr2, s->cr3, s->cr4, s->efer, s->dr6, s->dr7);
	dump_seg("es", &s->es);
	dump_seg("cs", &s->cs);
	dump_seg("ss", &s->ss);
	dump_seg("ds", &s->ds);
	dump_seg("fs", &s->fs);
	dump_seg("gs", &s->gs);
	dump_seg("ldtr", &s->ldtr);
	dump_seg("tr", &s->tr);
	dump_seg("gdtr", &s->gdtr);
	dump_seg("idtr", &s->idtr);
}
