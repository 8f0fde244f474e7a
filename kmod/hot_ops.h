/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The members of struct vmm_ops that exits call: static calls, which become direct
 * ones when the backend has been chosen, because an indirect call is a retpoline.
 *
 * A list to be included wherever VMM_HOT_OP(name, member) has been defined.
 */
VMM_HOT_OP(vcpu_load, vmm_ops->vcpu_load);
VMM_HOT_OP(vcpu_put, vmm_ops->vcpu_put);
VMM_HOT_OP(state_pull, vmm_ops->state_pull);
VMM_HOT_OP(state_push, vmm_ops->state_push);
VMM_HOT_OP(enter, vmm_ops->enter);
VMM_HOT_OP(exit_at, vmm_ops->exit_at);
VMM_HOT_OP(exit_irqoff, vmm_ops->exit_irqoff);
VMM_HOT_OP(decode_exit, vmm_ops->decode_exit);
VMM_HOT_OP(advance_rip, vmm_ops->advance_rip);
VMM_HOT_OP(event_ready, vmm_ops->event_ready);
VMM_HOT_OP(event_inject, vmm_ops->event_inject);
VMM_HOT_OP(event_interrupted, vmm_ops->event_interrupted);
#undef VMM_HOT_OP
