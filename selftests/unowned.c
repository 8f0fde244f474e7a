// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Nothing is swallowed: every port and every address that is not memory comes to
 * the process, also next to the local APIC's page, also those of the chips that
 * PCs used to have. The process answers with all ones.
 */
#include "lib/test.h"

static void guest_ports(void)
{
	for (u32 port = 0; port < 0x10000; port += port < 0x500 ? 1 : 0x101) {
		if (port >= PORT_SYNC && port < PORT_SYNC + 8)
			continue;
		if (inb(port) != 0xff)
			GUEST_FAIL("inb; got is the port", 0xff, port);
	}
	GUEST_EQ(0xffff, inw(0xcf8));
	GUEST_EQ(0xffffffff, inl(0xcf8));
	GUEST_DONE();
}

TEST(every_port_comes_to_the_process)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_ports);
	u32 exits = 0, value;

	for (; vcpu_exit(vcpu) == VMM_EXIT_PIO && !vcpu_synced(vcpu, &value); exits++) {
		ASSERT_EQ(0, vcpu->run->pio.write);
		vcpu->run->pio.data = ~0U;
	}
	ASSERT_TRUE(vcpu_synced(vcpu, &value)) {
		TH_LOG("got %s", exit_text(vcpu));
	}
	EXPECT_LT(0x500, exits);
}

static const u64 addresses[] = {
	GUEST_MEM_SIZE,			/* right behind memory */
	0xfec00000, 0xfec00010,		/* where an IOAPIC would be */
	0xfed00000, 0xfed00ff8,		/* HPET */
	0xfed40000,			/* TPM */
	0xfee00000 - 8, 0xfee01000,	/* around the local APIC */
	0xfffffff0,			/* the reset vector */
	0xe0000000,			/* PCI configuration */
};

static void guest_addresses(void)
{
	for (u32 i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
		if (read64(addresses[i]) != ~0UL)
			GUEST_FAIL("read64; got is the address", ~0UL, addresses[i]);
		write32(addresses[i], i);
	}
	GUEST_DONE();
}

TEST(every_address_comes_to_the_process)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_addresses);

	for (u32 i = 0; i < ARRAY_SIZE(addresses); i++) {
		vcpu_expect(vcpu, VMM_EXIT_MMIO);
		EXPECT_EQ_FOR(addresses[i], vcpu->run->mmio.gpa, "read %u", i);
		EXPECT_EQ_FOR(0, vcpu->run->mmio.write, "read %u", i);
		vcpu->run->mmio.data = ~0UL;
		vcpu_expect(vcpu, VMM_EXIT_MMIO);
		EXPECT_EQ_FOR(addresses[i], vcpu->run->mmio.gpa, "write %u", i);
		EXPECT_EQ_FOR(1, vcpu->run->mmio.write, "write %u", i);
		EXPECT_EQ_FOR(i, vcpu->run->mmio.data, "write %u", i);
	}
	vcpu_done(vcpu);
}

static void guest_apic_off(void)
{
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) & ~APIC_BASE_ENABLE);
	GUEST_EQ(0x5678, read32(APIC_PAGE + APIC_VERSION));
	GUEST_DONE();
}

TEST(the_apic_page_is_the_process_when_the_apic_is_off)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_apic_off);

	vcpu_expect(vcpu, VMM_EXIT_MMIO);
	EXPECT_EQ(APIC_PAGE + APIC_VERSION, vcpu->run->mmio.gpa);
	vcpu->run->mmio.data = 0x5678;
	vcpu_done(vcpu);
}

static void guest_apic_moved(void)
{
	wrmsr(MSR_APIC_BASE, 0xc0000000 | APIC_BASE_ENABLE | APIC_BASE_BSP);
	GUEST_EQ(0x10, read32(0xc0000000 + APIC_VERSION) & 0xf0);
	GUEST_EQ(0x5678, read32(APIC_PAGE + APIC_VERSION));
	GUEST_DONE();
}

TEST(the_apic_page_moves)
{
	struct vcpu *vcpu = vcpu_new(vm_new(), 0, guest_apic_moved);

	vcpu_expect(vcpu, VMM_EXIT_MMIO);
	EXPECT_EQ(APIC_PAGE + APIC_VERSION, vcpu->run->mmio.gpa);
	vcpu->run->mmio.data = 0x5678;
	vcpu_done(vcpu);
}

VMM_TEST_MAIN
