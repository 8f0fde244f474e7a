// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * PCI and virtio over it, as a kernel and as a vandal see them: configuration by ports
 * and ECAM, BARs that move, MSI-X routes, doorbells, virtio's registers by every width.
 */
/* unit-sources: ../runner/pci/host.c ../runner/pci/function.c ../runner/pci/msix.c */
/* unit-sources: ../runner/virtio/pci.c ../runner/virtio/rng.c ../runner/bus.c */
/* unit-sources: ../runner/virtio/queue.c ../runner/virtio/split.c ../runner/virtio/core.c */
/* unit-sources: ../runner/virtio/packed.c */
/* unit-sources: ../runner/virtio/save.c ../runner/iothread.c ../runner/state.c ../runner/ram.c */
/* unit-flags: -D_GNU_SOURCE */
#include <linux/virtio_pci.h>
#include "tap.h"
#include "virtio_world.h"
#include "../runner/layout.h"
#include "../runner/pci/pci.h"
#include "../runner/virtio/transport.h"

extern const struct virtio_type virtio_rng;

/* What the module would know. */
static struct {
	unsigned int routes;
	struct vmm_msi msi;		/* the last route that was made */
	unsigned int bells;
	uint64_t bell_at;		/* the last doorbell that was made */
} module;

static int fake_route(void *opaque, int fd, const struct vmm_msi *msi, bool add)
{
	(void)opaque;
	(void)fd;
	if (add && msi->address >> 20 != 0xfee)
		return -22;
	module.routes += add ? 1 : -1;
	if (add)
		module.msi = *msi;
	return 0;
}

static int fake_doorbell(void *opaque, const struct device_doorbell *bell, bool add)
{
	(void)opaque;
	module.bells += add ? 1 : -1;
	if (add)
		module.bell_at = bell->gpa;
	return 0;
}

static const struct device_env env = { .route = fake_route, .doorbell = fake_doorbell };

static struct machine {
	struct bus pio, mmio;
	struct world world;
	struct pci_host *host;
	struct virtio_pci *device;
} m;

static void open_machine(void)
{
	memset(&m, 0, sizeof(m));
	memset(&module, 0, sizeof(module));
	ram_plan(&m.world.ram, WORLD_RAM);
	if (ram_map(&m.world.ram) || iothread_create(&m.world.io))
		abort();
	m.host = pci_host_create(&env, &m.pio, &m.mmio);
	m.world.core = virtio_create(&virtio_rng, NULL, &m.world.ram, m.world.io);
	m.world.heap = WORLD_HEAP;
	m.device = virtio_pci_create(m.host, m.world.core);
	if (!m.device)
		abort();
}

static void close_machine(void)
{
	virtio_pci_destroy(m.device);
	pci_host_destroy(m.host);
	iothread_destroy(m.world.io);
	ram_unmap(&m.world.ram);
	is(module.routes, 0, "no route is left");
	is(module.bells, 0, "no doorbell is left");
}

/* ---- configuration ---- */

static uint64_t ecam(unsigned int slot, unsigned int offset)
{
	return LAYOUT_PCI_ECAM + (slot << 15) + offset;
}

static uint32_t get(unsigned int offset, unsigned int size)
{
	return bus_read(&m.mmio, ecam(1, offset), size);
}

static void set(unsigned int offset, unsigned int size, uint32_t value)
{
	bus_write(&m.mmio, ecam(1, offset), size, value);
}

static uint32_t port_get(unsigned int slot, unsigned int offset, unsigned int size)
{
	bus_write(&m.pio, 0xcf8, 4, 0x80000000 | slot << 11 | (offset & 0xfc));
	return bus_read(&m.pio, 0xcfc + offset % 4, size);
}

static void test_config(void)
{
	unsigned int bad = 0;

	open_machine();
	is(port_get(0, PCI_CLASS_DEVICE, 2), 0x0600, "device 0 is a host bridge");
	is(get(PCI_VENDOR_ID, 4), 0x10441af4, "device 1 is a virtio rng");
	is(get(PCI_REVISION_ID, 1), 1, "not transitional: revision 1");
	is(get(PCI_INTERRUPT_PIN, 1), 0, "without an interrupt pin");
	for (unsigned int at = 0; at < 256; at++)
		bad += get(at, 1) != port_get(1, at, 1);
	is(bad, 0, "ports and ECAM show the same");
	for (unsigned int at = 0; at < 256; at += 4)
		bad += get(at, 4) != (get(at, 1) | get(at + 1, 1) << 8 | get(at + 2, 2) << 16);
	is(bad, 0, "in every width");
	is(port_get(2, 0, 4), UINT32_MAX, "there is no device 2");
	is(bus_read(&m.mmio, ecam(1, 0x1000), 4), UINT32_MAX, "and no second function");
	is(get(0x100, 4), 0, "extended space is empty");
	is(bus_read(&m.mmio, ecam(1, 0xfe), 8), 0, "an access over the border is survived");

	bus_write(&m.pio, 0xcf8, 4, 0x80000000);
	bus_write(&m.pio, 0xcfb, 1, 1);
	is(bus_read(&m.pio, 0xcf8, 4), 0x80000000, "the address is taken in one piece only");
	bus_write(&m.pio, 0xcf8, 4, 0);
	is(bus_read(&m.pio, 0xcfc, 4), UINT32_MAX, "and without its enable bit is nobody's");
	bus_write(&m.pio, 0xcf8, 4, 0x80010000 | 1 << 11);
	is(bus_read(&m.pio, 0xcfc, 4), UINT32_MAX, "there is no other bus");

	set(PCI_VENDOR_ID, 4, 0);
	set(PCI_CLASS_REVISION, 4, 0);
	set(PCI_STATUS, 2, 0);
	is(get(PCI_VENDOR_ID, 4), 0x10441af4, "what is read-only stays");
	close_machine();
}

/* The offset of the @n-th capability with @id; 0: there is none. */
static unsigned int capability(uint8_t id, uint8_t type)
{
	unsigned int at = get(PCI_CAPABILITY_LIST, 1);

	for (int i = 0; at && i < 48; i++) {
		if (get(at, 1) == id && (id != PCI_CAP_ID_VNDR || get(at + 3, 1) == type))
			return at;
		at = get(at + 1, 1);
	}
	return 0;
}

/* Where virtio's structure of @type is in memory. */
static uint64_t structure(uint8_t type)
{
	unsigned int at = capability(PCI_CAP_ID_VNDR, type);

	return (get(PCI_BASE_ADDRESS_0, 4) & ~0xfU) + get(at + 8, 4);
}

static void test_bars(void)
{
	uint32_t base, value;

	open_machine();
	base = get(PCI_BASE_ADDRESS_0, 4);
	ok(base >= LAYOUT_PCI_MMIO, "the BAR has a place at power-on");
	is(bus_read(&m.mmio, base, 4), UINT32_MAX, "but does not answer before it is enabled");
	is(module.bells, 0, "nor are there doorbells");
	set(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	is(bus_read(&m.mmio, base, 4), 0, "then it does");
	is(module.bells, 1, "with its doorbells");
	is(module.bell_at, structure(VIRTIO_PCI_CAP_NOTIFY_CFG), "where the capability says");

	set(PCI_BASE_ADDRESS_0, 4, UINT32_MAX);
	value = get(PCI_BASE_ADDRESS_0, 4);
	is(~value + 1, 0x8000, "it tells its size");
	is(module.bells, 0, "and is nowhere meanwhile");
	set(PCI_BASE_ADDRESS_0, 4, 0xd0000000);
	is(module.bell_at, 0xd0003000, "the doorbells move with it");
	is(bus_read(&m.mmio, base, 4), UINT32_MAX, "the old place is empty");
	set(PCI_BASE_ADDRESS_0, 4, LAYOUT_IOAPIC & ~0x7fffU);
	is(module.bells, 0, "outside of its window it is nowhere");
	set(PCI_BASE_ADDRESS_0, 4, 0);
	is(module.bells, 0, "nor in RAM");
	set(PCI_BASE_ADDRESS_0, 4, LAYOUT_PCI_MMIO + LAYOUT_PCI_MMIO_SIZE - 0x8000);
	is(module.bells, 1, "the end of the window is inside");
	set(PCI_BASE_ADDRESS_1, 4, UINT32_MAX);
	is(get(PCI_BASE_ADDRESS_1, 4), 0, "there is no second BAR");
	close_machine();
}

/* ---- MSI-X ---- */

static void set_vector(unsigned int n, uint64_t address, uint32_t data, uint32_t control)
{
	uint64_t at = get(PCI_BASE_ADDRESS_0, 4) + 0x4000 + n * 16;

	bus_write(&m.mmio, at, 8, address);
	bus_write(&m.mmio, at + 8, 4, data);
	bus_write(&m.mmio, at + 12, 4, control);
}

static void test_msix(void)
{
	unsigned int cap;
	uint64_t table, pba;

	open_machine();
	set(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	cap = capability(PCI_CAP_ID_MSIX, 0);
	table = get(PCI_BASE_ADDRESS_0, 4) + 0x4000;
	pba = table + 0x1000;
	is(get(cap + 2, 2), 1, "a vector for the queue, one for the configuration");
	is(bus_read(&m.mmio, table + 12, 4), 1, "vectors are masked at power-on");
	set_vector(0, 0xfee00000, 0x41, 0);
	is(module.routes, 0, "nothing is routed before MSI-X is enabled");
	set(cap + 2, 2, PCI_MSIX_FLAGS_ENABLE);
	is(module.routes, 1, "then the vector that is not masked");
	is(module.msi.data, 0x41, "with its data");
	set(cap + 2, 2, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
	is(module.routes, 0, "the function's mask is all vectors'");
	set(cap + 2, 2, PCI_MSIX_FLAGS_ENABLE);
	set_vector(0, 0xfee01000, 0x42, 0);
	is(module.msi.address, 0xfee01000, "a changed message is routed anew");
	is(module.routes, 1, "once");
	set_vector(1, 0x1000, 0x43, 0);
	is(module.routes, 1, "what is no message is not routed");

	bus_write(&m.mmio, table + 12, 4, 1);
	pci_msix_raise((struct pci_function *)m.device, 0);
	is(bus_read(&m.mmio, pba, 8), 1, "raised while masked, a vector is pending");
	pci_msix_raise((struct pci_function *)m.device, 2);
	pci_msix_raise((struct pci_function *)m.device, UINT32_MAX);
	bus_write(&m.mmio, pba, 4, 0);
	is(bus_read(&m.mmio, pba, 4), 1, "and pending bits are not written");
	set(cap + 2, 2, 0);
	set(cap + 2, 2, PCI_MSIX_FLAGS_ENABLE);
	is(bus_read(&m.mmio, pba, 4), 0, "enabling MSI-X starts without pending bits");

	bus_write(&m.mmio, table, 2, 0xffff);
	bus_write(&m.mmio, table + 1, 4, UINT32_MAX);
	is(bus_read(&m.mmio, table, 4), 0xfee01000, "parts of registers are not written");
	is(bus_read(&m.mmio, table + 1, 1), 0x10, "but read");
	is(bus_read(&m.mmio, table + 32, 4), 0, "behind the table is nothing");
	close_machine();
}

/* ---- virtio's registers ---- */

static uint64_t common;

static uint32_t reg(unsigned int offset, unsigned int size)
{
	return bus_read(&m.mmio, common + offset, size);
}

static void set_reg(unsigned int offset, unsigned int size, uint32_t value)
{
	bus_write(&m.mmio, common + offset, size, value);
}

static void enable(void)
{
	open_machine();
	set(PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	common = structure(VIRTIO_PCI_CAP_COMMON_CFG);
}

static void drive(void)
{
	struct driver_queue *q = &m.world.queue[0];

	q->size = 8;
	q->desc = world_alloc(&m.world, 128);
	q->driver = world_alloc(&m.world, 64);
	q->device = world_alloc(&m.world, 128);
	set_reg(VIRTIO_PCI_COMMON_STATUS, 1, 3);
	set_reg(VIRTIO_PCI_COMMON_GFSELECT, 4, 1);
	set_reg(VIRTIO_PCI_COMMON_GF, 4, 1);
	set_reg(VIRTIO_PCI_COMMON_STATUS, 1, 11);
	set_reg(VIRTIO_PCI_COMMON_MSIX, 2, 0);
	set_reg(VIRTIO_PCI_COMMON_Q_SELECT, 2, 0);
	set_reg(VIRTIO_PCI_COMMON_Q_SIZE, 2, 8);
	set_reg(VIRTIO_PCI_COMMON_Q_MSIX, 2, 1);
	bus_write(&m.mmio, common + VIRTIO_PCI_COMMON_Q_DESCLO, 8, q->desc);
	set_reg(VIRTIO_PCI_COMMON_Q_AVAILLO, 4, q->driver);
	set_reg(VIRTIO_PCI_COMMON_Q_AVAILHI, 4, q->driver >> 32);
	set_reg(VIRTIO_PCI_COMMON_Q_USEDLO, 4, q->device);
	set_reg(VIRTIO_PCI_COMMON_Q_USEDHI, 4, q->device >> 32);
	set_reg(VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	set_reg(VIRTIO_PCI_COMMON_STATUS, 1, 15);
}

static void test_driver(void)
{
	uint64_t bell;

	enable();
	is(reg(VIRTIO_PCI_COMMON_NUMQ, 2), 1, "one queue");
	set_reg(VIRTIO_PCI_COMMON_DFSELECT, 4, 1);
	is(reg(VIRTIO_PCI_COMMON_DF, 4) & 1, 1, "version 1 is offered");
	is(reg(VIRTIO_PCI_COMMON_Q_SIZE, 2), 64, "the queue's size");
	drive();
	is(reg(VIRTIO_PCI_COMMON_STATUS, 1), 15, "a driver brings the device up");
	is(reg(VIRTIO_PCI_COMMON_Q_MSIX, 2), 1, "its vector is kept");
	set_reg(VIRTIO_PCI_COMMON_Q_SIZE, 2, 16);
	set_reg(VIRTIO_PCI_COMMON_Q_DESCLO, 4, 0x5000);
	is(reg(VIRTIO_PCI_COMMON_Q_SIZE, 2), 8, "an enabled queue's size stays (CVE-2026-5747)");
	is(reg(VIRTIO_PCI_COMMON_Q_DESCLO, 4), m.world.queue[0].desc, "and its place");

	driver_add(&m.world, 0, (struct buffer[]) { { 0x800000, 16, true } }, 1);
	bell = structure(VIRTIO_PCI_CAP_NOTIFY_CFG);
	bus_write(&m.mmio, bell, 2, 0);
	world_settle(&m.world);
	is(driver_used(&m.world, 0, NULL), 0, "a notification that exits arrives too");
	ok(pci_msix_read((struct pci_function *)m.device, 0x5000, 4) & 2,
	   "and the queue's vector is raised");
	is(bus_read(&m.mmio, structure(VIRTIO_PCI_CAP_ISR_CFG), 1), 1, "the ISR says so");
	is(bus_read(&m.mmio, structure(VIRTIO_PCI_CAP_ISR_CFG), 1), 0, "until it is read");

	set_reg(VIRTIO_PCI_COMMON_STATUS, 1, 0);
	is(reg(VIRTIO_PCI_COMMON_STATUS, 1), 0, "a reset is over when the status reads zero");
	is(reg(VIRTIO_PCI_COMMON_Q_MSIX, 2), VIRTIO_MSI_NO_VECTOR, "and vectors are forgotten");
	is(reg(VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0, "and queues");
	close_machine();
}

static void test_vandal(void)
{
	unsigned int bad = 0;
	uint64_t start;

	enable();
	set_reg(VIRTIO_PCI_COMMON_Q_SELECT, 2, 1);
	is(reg(VIRTIO_PCI_COMMON_Q_SIZE, 2), 0, "a queue that is not there has no size");
	set_reg(VIRTIO_PCI_COMMON_Q_ENABLE, 2, 1);
	set_reg(VIRTIO_PCI_COMMON_Q_SELECT, 2, 0xffff);
	set_reg(VIRTIO_PCI_COMMON_Q_MSIX, 2, 1);
	set_reg(VIRTIO_PCI_COMMON_Q_SELECT, 2, 0);
	set_reg(VIRTIO_PCI_COMMON_Q_MSIX, 2, 2);
	is(reg(VIRTIO_PCI_COMMON_Q_MSIX, 2), VIRTIO_MSI_NO_VECTOR, "nor is there such a vector");
	set_reg(VIRTIO_PCI_COMMON_STATUS, 4, 3);
	is(reg(VIRTIO_PCI_COMMON_STATUS, 1), 0, "a write of another width goes nowhere");
	is(reg(VIRTIO_PCI_COMMON_NUMQ, 4), 1, "a read of one gets the bytes");

	/* Byte by byte, and in all other widths, over everything that the BAR has. */
	start = common;
	for (unsigned int size = 1; size <= 8; size *= 2)
		for (uint64_t at = 0; at < 0x8000; at += at < 0x80 ? 1 : 61)
			bad += size < 8 && bus_read(&m.mmio, start + at, size) >> (size * 8);
	is(bad, 0, "reads of 1, 2, 4, 8 bytes at any offset are survived");
	for (unsigned int size = 1; size <= 8; size *= 2)
		for (uint64_t at = 0; at < 0x8000; at += at < 0x80 ? 1 : 61)
			bus_write(&m.mmio, start + at, size, 0x0101010101010101ULL * (at + size));
	world_settle(&m.world);
	set_reg(VIRTIO_PCI_COMMON_STATUS, 1, 0);
	set(capability(PCI_CAP_ID_MSIX, 0) + 2, 2, 0);
	drive();
	driver_add(&m.world, 0, (struct buffer[]) { { 0x800000, 16, true } }, 1);
	bus_write(&m.mmio, structure(VIRTIO_PCI_CAP_NOTIFY_CFG), 4, UINT32_MAX);
	world_settle(&m.world);
	is(driver_used(&m.world, 0, NULL), 0, "so are writes, and the device works afterwards");
	close_machine();
}

static void test_window(void)
{
	unsigned int cap;

	enable();
	cap = capability(PCI_CAP_ID_VNDR, VIRTIO_PCI_CAP_PCI_CFG);
	set(cap + 4, 1, 0);
	set(cap + 8, 4, VIRTIO_PCI_COMMON_STATUS);
	set(cap + 12, 4, 1);
	set(cap + 16, 1, 3);
	is(reg(VIRTIO_PCI_COMMON_STATUS, 1), 3, "the configuration window writes a register");
	is(get(cap + 16, 1), 3, "and reads it");
	set(cap + 8, 4, VIRTIO_PCI_COMMON_NUMQ);
	set(cap + 12, 4, 2);
	is(get(cap + 16, 2), 1, "another one too");
	for (unsigned int i = 0; i < 32; i++) {
		set(cap + 8, 4, 1U << i);
		set(cap + 12, 4, i % 5);
		set(cap + 4, 1, i % 8);
		get(cap + 16, 1 << i % 3);
		set(cap + 16, 1 << i % 3, 0);
	}
	set(cap + 4, 1, 255);
	set(cap + 8, 4, UINT32_MAX);
	set(cap + 12, 4, UINT32_MAX);
	get(cap + 16, 4);
	ok(true, "a window to elsewhere is survived");
	close_machine();
}

static void test_round_trip(void)
{
	struct state first, second;
	uint32_t base;

	enable();
	drive();
	set(PCI_BASE_ADDRESS_0, 4, 0xd0000000);
	set_vector(1, 0xfee00000, 0x51, 0);
	set(capability(PCI_CAP_ID_MSIX, 0) + 2, 2, PCI_MSIX_FLAGS_ENABLE);
	base = get(PCI_BASE_ADDRESS_0, 4);
	virtio_quiesce(m.world.core);
	state_init(&first);
	virtio_pci_save(m.device, &first);
	ok(state_good(&first), "a function is saved");
	close_machine();

	open_machine();
	virtio_pci_load(m.device, &first);
	ok(state_good(&first) && first.at == first.len, "and loaded into another");
	is(get(PCI_BASE_ADDRESS_0, 4), base, "its BAR is where it was");
	is(module.bell_at, base + 0x3000, "with the doorbells");
	is(module.routes, 1, "its vector is routed");
	is(module.msi.data, 0x51, "as it was");
	state_init(&second);
	virtio_pci_save(m.device, &second);
	ok(second.len == first.len && !memcmp(second.buf, first.buf, first.len),
	   "and it saves the same");
	for (size_t i = 0; i < first.len * 8; i++) {
		struct state bent = { .buf = first.buf, .len = first.len };

		first.buf[i / 8] ^= 1 << i % 8;
		virtio_pci_load(m.device, &bent);
		first.buf[i / 8] ^= 1 << i % 8;
	}
	ok(true, "a state with any bit wrong is survived");
	close_machine();
	state_free(&first);
	state_free(&second);
}

int main(void)
{
	test_config();
	test_bars();
	test_msix();
	test_driver();
	test_vandal();
	test_window();
	test_round_trip();
	return tap_end();
}
