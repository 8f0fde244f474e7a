// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The 82093AA I/O APIC as a device of the process: 24 lines become interrupt
 * messages. Facts: Intel 82093AA data sheet, "I/O APIC Registers"; for the message
 * Intel SDM, "Message Signalled Interrupts".
 *
 * A level-triggered entry sends its message when its line is active and unmasked and
 * Remote IRR is 0, which it then sets. The guest's EOI of that vector clears it, be it
 * that of the local APIC, which the kernel reports, or a write to the EOI register that
 * chips after the 82093AA have (version 0x20; "I/O xAPIC": EOI Register). So does
 * making the entry edge-triggered, as kernels do that find one stuck. NMI and INIT are edges,
 * even where the entry says level ("Redirection Table Registers", Delivery Mode).
 *
 * Invariant: line[] is the pins' state before polarity, whatever is masked.
 */
#include <pthread.h>
#include <stdlib.h>
#include "../layout.h"
#include "82093aa.h"
#include "device.h"

/* Offsets of the two registers that are memory */
#define IOREGSEL	0x00
#define IOWIN		0x10
#define IOEOI		0x40

/* Indices behind IOREGSEL */
#define IOAPICID	0x00
#define IOAPICVER	0x01
#define IOAPICARB	0x02
#define IOREDTBL	0x10

#define ID_SHIFT	24
#define ID_MASK		0x0f000000
#define MAX_ENTRY_SHIFT	16

/* Redirection entry */
#define RTE_VECTOR		0xffULL
#define RTE_DELIVERY_MODE	0x700ULL
#define RTE_LOWEST_PRIORITY	0x100ULL
#define RTE_LOGICAL		(1ULL << 11)
#define RTE_STATUS		(1ULL << 12)	/* read-only */
#define RTE_ACTIVE_LOW		(1ULL << 13)
#define RTE_REMOTE_IRR		(1ULL << 14)	/* read-only */
#define RTE_LEVEL		(1ULL << 15)
#define RTE_MASKED		(1ULL << 16)
#define RTE_DESTINATION_SHIFT	56
#define RTE_EXT_DESTINATION_SHIFT 49	/* its bits 8 to 14: KVM_FEATURE_MSI_EXT_DEST_ID */
#define RTE_EXT_DESTINATION	0x7f
#define RTE_WRITABLE		(0xfffe00000001ffffULL & ~(RTE_STATUS | RTE_REMOTE_IRR))

/* Message address and data */
#define MSI_ADDRESS		0xfee00000
#define MSI_DESTINATION_SHIFT	12
#define MSI_EXT_DESTINATION_SHIFT 5
#define MSI_REDIRECTION_HINT	(1 << 3)
#define MSI_LOGICAL		(1 << 2)
#define MSI_ASSERT		(1 << 14)
#define MSI_LEVEL		(1 << 15)

/* A line whose edges come by an eventfd. */
struct edge {
	bool attached, routed;
	int fd;
	struct vmm_msi msi;	/* of the route */
};

struct i82093aa {
	pthread_mutex_t lock;
	const struct device_env *env;
	uint32_t id;
	uint8_t select;
	uint64_t entry[I82093AA_LINES];
	bool line[I82093AA_LINES];
	struct edge edge[I82093AA_LINES];
};

/* Is it a level, with an EOI to wait for? Only vectors are. */
static bool is_level(uint64_t entry)
{
	return (entry & RTE_LEVEL) && (entry & RTE_DELIVERY_MODE) <= RTE_LOWEST_PRIORITY;
}

static struct vmm_msi message(uint64_t entry)
{
	uint64_t dest = entry >> RTE_DESTINATION_SHIFT;
	uint64_t ext_dest = entry >> RTE_EXT_DESTINATION_SHIFT & RTE_EXT_DESTINATION;
	struct vmm_msi msi = {
		.address = MSI_ADDRESS | dest << MSI_DESTINATION_SHIFT |
			   ext_dest << MSI_EXT_DESTINATION_SHIFT,
		.data = (entry & (RTE_VECTOR | RTE_DELIVERY_MODE)) | MSI_ASSERT,
	};

	if (is_level(entry))
		msi.data |= MSI_LEVEL;
	if (entry & RTE_LOGICAL)
		msi.address |= MSI_LOGICAL;
	if ((entry & RTE_DELIVERY_MODE) == RTE_LOWEST_PRIORITY)
		msi.address |= MSI_REDIRECTION_HINT;
	return msi;
}

static bool active(const struct i82093aa *chip, unsigned int line)
{
	return chip->line[line] == !(chip->entry[line] & RTE_ACTIVE_LOW);
}

static void send(struct i82093aa *chip, unsigned int line)
{
	uint64_t *entry = &chip->entry[line];
	struct vmm_msi msi = message(*entry);

	if (*entry & (RTE_MASKED | RTE_REMOTE_IRR))
		return;
	if (is_level(*entry))
		*entry |= RTE_REMOTE_IRR;
	chip->env->send_msi(chip->env->opaque, &msi);
}

static void end_of_interrupt(struct i82093aa *chip, uint8_t vector)
{
	for (unsigned int i = 0; i < I82093AA_LINES; i++) {
		uint64_t *entry = &chip->entry[i];

		if (!(*entry & RTE_REMOTE_IRR) || (*entry & RTE_VECTOR) != vector)
			continue;
		*entry &= ~RTE_REMOTE_IRR;
		if (active(chip, i))
			send(chip, i);
	}
}

void i82093aa_eoi(struct i82093aa *chip, uint8_t vector)
{
	pthread_mutex_lock(&chip->lock);
	end_of_interrupt(chip, vector);
	pthread_mutex_unlock(&chip->lock);
}

void i82093aa_set_line(struct i82093aa *chip, unsigned int line, bool high)
{
	bool was;

	if (line >= I82093AA_LINES)
		return;
	pthread_mutex_lock(&chip->lock);
	was = active(chip, line);
	chip->line[line] = high;
	if (!was && active(chip, line))
		send(chip, line);
	pthread_mutex_unlock(&chip->lock);
}

static void update_route(struct i82093aa *chip, unsigned int line)
{
	const struct device_env *env = chip->env;
	struct edge *edge = &chip->edge[line];

	if (edge->routed)
		env->route(env->opaque, edge->fd, &edge->msi, false);
	edge->routed = false;
	if (!edge->attached || chip->entry[line] & RTE_MASKED || is_level(chip->entry[line]))
		return;
	/* What a guest wrote may be no message at all; then nobody gets it. */
	edge->msi = message(chip->entry[line]);
	edge->routed = !env->route(env->opaque, edge->fd, &edge->msi, true);
}

void i82093aa_attach(struct i82093aa *chip, unsigned int line, int fd)
{
	if (line >= I82093AA_LINES)
		return;
	pthread_mutex_lock(&chip->lock);
	chip->edge[line] = (struct edge) { .attached = true, .fd = fd };
	update_route(chip, line);
	pthread_mutex_unlock(&chip->lock);
}

void i82093aa_detach(struct i82093aa *chip, unsigned int line)
{
	if (line >= I82093AA_LINES)
		return;
	pthread_mutex_lock(&chip->lock);
	chip->edge[line].attached = false;
	update_route(chip, line);
	pthread_mutex_unlock(&chip->lock);
}

static void write_entry(struct i82093aa *chip, unsigned int line, unsigned int half, uint32_t value)
{
	unsigned int shift = half * 32;
	uint64_t old = chip->entry[line];
	uint64_t new = (old & ~(0xffffffffULL << shift)) | (uint64_t)value << shift;

	new &= RTE_WRITABLE;
	if (new & RTE_LEVEL)
		new |= old & RTE_REMOTE_IRR;
	chip->entry[line] = new;
	if (chip->edge[line].attached)
		update_route(chip, line);
	/* Unmasked, made level-triggered, or turned over: a level counts at all times. */
	if (is_level(new) && active(chip, line))
		send(chip, line);
}

static uint32_t read_indirect(const struct i82093aa *chip)
{
	unsigned int n = chip->select - IOREDTBL;

	switch (chip->select) {
	case IOAPICID:
	case IOAPICARB:
		return chip->id;
	case IOAPICVER:
		return I82093AA_VERSION | (I82093AA_LINES - 1) << MAX_ENTRY_SHIFT;
	}
	if (chip->select < IOREDTBL || n / 2 >= I82093AA_LINES)
		return 0;
	return chip->entry[n / 2] >> (n % 2 * 32);
}

static void write_indirect(struct i82093aa *chip, uint32_t value)
{
	unsigned int n = chip->select - IOREDTBL;

	if (chip->select == IOAPICID)
		chip->id = value & ID_MASK;
	else if (chip->select >= IOREDTBL && n / 2 < I82093AA_LINES)
		write_entry(chip, n / 2, n % 2, value);
}

static uint64_t i82093aa_read(void *device, uint64_t offset, unsigned int size)
{
	struct i82093aa *chip = device;
	uint32_t value = 0;

	(void)size;
	pthread_mutex_lock(&chip->lock);
	if (offset == IOREGSEL)
		value = chip->select;
	else if (offset == IOWIN)
		value = read_indirect(chip);
	pthread_mutex_unlock(&chip->lock);
	return value;
}

static void i82093aa_write(void *device, uint64_t offset, unsigned int size, uint64_t value)
{
	struct i82093aa *chip = device;

	(void)size;
	pthread_mutex_lock(&chip->lock);
	if (offset == IOREGSEL)
		chip->select = value;
	else if (offset == IOWIN)
		write_indirect(chip, value);
	else if (offset == IOEOI)
		end_of_interrupt(chip, value);
	pthread_mutex_unlock(&chip->lock);
}

static void *i82093aa_create(struct device_env *env)
{
	struct i82093aa *chip = calloc(1, sizeof(*chip));

	if (!chip)
		return NULL;
	pthread_mutex_init(&chip->lock, NULL);
	chip->env = env;
	for (unsigned int i = 0; i < I82093AA_LINES; i++)
		chip->entry[i] = RTE_MASKED;
	env->ioapic = chip;
	return chip;
}

static void i82093aa_destroy(void *device)
{
	struct i82093aa *chip = device;

	pthread_mutex_destroy(&chip->lock);
	free(chip);
}

const struct device_type i82093aa_type = {
	.name = "82093AA",
	.mmio = true,
	.start = LAYOUT_IOAPIC,
	.size = LAYOUT_IOAPIC_SIZE,
	.ops = { i82093aa_read, i82093aa_write, 4, 4 },
	.create = i82093aa_create,
	.destroy = i82093aa_destroy,
};
