// SPDX-License-Identifier: GPL-2.0-only
/*
 * From an interrupt message to the vCPUs it names. Usable in any context, IRQs
 * off and spin locks held: vm->vcpus is read under RCU, and an APIC takes an
 * interrupt by setting a bit.
 *
 * A vCPU's id is its APIC id for life, so a physical destination is an index.
 */
#include <linux/bitfield.h>

#include "irq.h"

/* "Message Address Register Format", "Message Data Register Format" */
#define MSI_ADDRESS_FIXED	GENMASK_ULL(63, 20)
#define MSI_ADDRESS_DEST	GENMASK_ULL(19, 12)
#define MSI_ADDRESS_EXT_DEST	GENMASK_ULL(11, 5)	/* of KVM_FEATURE_MSI_EXT_DEST_ID */
#define MSI_ADDRESS_HINT	BIT_ULL(3)
#define MSI_ADDRESS_LOGICAL	BIT_ULL(2)
#define MSI_DATA_VECTOR		GENMASK(7, 0)
#define MSI_DATA_MODE		GENMASK(10, 8)
#define MSI_DATA_ASSERT		BIT(14)	/* of a level; edges have none */
#define MSI_DATA_LEVEL		BIT(15)

static_assert(MSI_DATA_MODE == APIC_MODE_MASK);

int vmm_msi_check(const struct vmm_msi *msi)
{
	if (msi->flags ||
	    (msi->address & MSI_ADDRESS_FIXED) != (APIC_DEFAULT_PHYS_BASE & MSI_ADDRESS_FIXED))
		return -EINVAL;
	switch (msi->data & MSI_DATA_MODE) {
	case APIC_DM_FIXED:
	case APIC_DM_LOWEST:
		return FIELD_GET(MSI_DATA_VECTOR, msi->data) < APIC_FIRST_VECTOR ? -EINVAL : 0;
	case APIC_DM_REMRD:
	case APIC_DM_STARTUP:
		return -EINVAL;
	default:
		return 0;
	}
}

u8 vmm_msi_vector(u32 data)
{
	return FIELD_GET(MSI_DATA_VECTOR, data);
}

/* "Message Data Register Format": that a level is no longer asserted interrupts nobody. */
static bool deasserts(const struct vmm_msi *msi)
{
	return (msi->data & (MSI_DATA_LEVEL | MSI_DATA_ASSERT)) == MSI_DATA_LEVEL;
}

bool vmm_msi_level(const struct vmm_msi *msi)
{
	return (msi->data & MSI_DATA_LEVEL) && !deasserts(msi) &&
	       (msi->data & MSI_DATA_MODE) <= APIC_DM_LOWEST;
}

static void decode(struct vmm_vm *vm, const struct vmm_msi *msi, struct vmm_irq *irq)
{
	*irq = (struct vmm_irq) {
		.dest = FIELD_GET(MSI_ADDRESS_DEST, msi->address) |
			FIELD_GET(MSI_ADDRESS_EXT_DEST, msi->address) << 8,
		.vector = FIELD_GET(MSI_DATA_VECTOR, msi->data),
		.mode = msi->data & MSI_DATA_MODE,
		.logical = msi->address & MSI_ADDRESS_LOGICAL,
		.level = msi->data & MSI_DATA_LEVEL,
	};
	/* The hint asks for one among many, which only a logical address names. */
	if (irq->logical && (msi->address & MSI_ADDRESS_HINT) && irq->mode == APIC_DM_FIXED)
		irq->mode = APIC_DM_LOWEST;
	/* 255 is an id like others where there are so many, and then not everyone. */
	irq->wide = irq->dest > APIC_ALL_CPUS ||
		    (irq->dest == APIC_ALL_CPUS && xa_load(&vm->vcpus, APIC_ALL_CPUS));
}

int vmm_msi_deliver(struct vmm_vm *vm, const struct vmm_msi *msi)
{
	struct vmm_irq irq;

	if (unlikely(deasserts(msi)))
		return 0;
	decode(vm, msi, &irq);
	return vmm_irq_send(vm, &irq, NULL);
}

/* One vCPU by its id; also the answer to most messages. */
static int send_physical(struct vmm_vm *vm, const struct vmm_irq *irq,
			 const struct vmm_vcpu *but)
{
	struct vmm_vcpu *vcpu;
	int accepted = 0;

	rcu_read_lock();
	vcpu = xa_load(&vm->vcpus, irq->dest);
	if (vcpu && vcpu != but)
		accepted = apic_deliver(vcpu, irq);
	rcu_read_unlock();
	return accepted;
}

int vmm_send_ipis(struct vmm_vm *vm, const u64 mask[2], unsigned int bits, u64 first, u64 icr)
{
	struct vmm_irq irq = {
		.mode = icr & APIC_MODE_MASK,
		.vector = icr & APIC_VECTOR_MASK,
	};
	int accepted = 0;
	unsigned int i;

	if ((irq.mode != APIC_DM_FIXED || irq.vector < APIC_FIRST_VECTOR) &&
	    irq.mode != APIC_DM_NMI)
		return 0;
	/* First of all: an id near 2^64 and a bit's number are a low id. */
	if (first >= VMM_MAX_VCPUS)
		return 0;
	for (i = 0; i < 2 * bits; i++) {
		if (!(mask[i / bits] & BIT_ULL(i % bits)) || first + i >= VMM_MAX_VCPUS)
			continue;
		irq.dest = first + i;
		accepted += send_physical(vm, &irq, NULL);
	}
	return accepted;
}

/* Of those that match, the one that does the least important work. */
static int send_lowest(struct vmm_vm *vm, const struct vmm_irq *irq,
		       const struct vmm_vcpu *but, bool all)
{
	struct vmm_vcpu *vcpu, *best = NULL;
	u32 priority, lowest = ~0U;
	int accepted = 0;
	unsigned long id;

	rcu_read_lock();
	xa_for_each(&vm->vcpus, id, vcpu) {
		if (vcpu == but || !(all || apic_matches(vcpu, irq)) ||
		    !apic_takes_vectors(vcpu))
			continue;
		priority = apic_priority(vcpu->apic);
		if (priority < lowest) {
			lowest = priority;
			best = vcpu;
		}
	}
	if (best)
		accepted = apic_deliver(best, irq);
	rcu_read_unlock();
	return accepted;
}

int vmm_irq_send(struct vmm_vm *vm, const struct vmm_irq *irq, const struct vmm_vcpu *but)
{
	u32 everyone = irq->wide ? ~0U : APIC_ALL_CPUS;
	struct vmm_vcpu *vcpu;
	int accepted = 0;
	unsigned long id;

	if (irq->mode == APIC_DM_LOWEST)
		return send_lowest(vm, irq, but, false);
	if (irq->dest == everyone)
		return vmm_irq_broadcast(vm, irq, but);
	if (!irq->logical)
		return send_physical(vm, irq, but);
	rcu_read_lock();
	xa_for_each(&vm->vcpus, id, vcpu)
		if (vcpu != but && apic_matches(vcpu, irq))
			accepted += apic_deliver(vcpu, irq);
	rcu_read_unlock();
	return accepted;
}

int vmm_irq_broadcast(struct vmm_vm *vm, const struct vmm_irq *irq, const struct vmm_vcpu *but)
{
	struct vmm_vcpu *vcpu;
	int accepted = 0;
	unsigned long id;

	if (irq->mode == APIC_DM_LOWEST)
		return send_lowest(vm, irq, but, true);
	rcu_read_lock();
	xa_for_each(&vm->vcpus, id, vcpu)
		if (vcpu != but)
			accepted += apic_deliver(vcpu, irq);
	rcu_read_unlock();
	return accepted;
}
