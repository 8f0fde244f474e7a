// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The UART of runner/devices/16550.c, as a driver and as the console see it, down
 * to the messages that the IOAPIC (82093aa.c) sends for its line.
 */
/* unit-sources: ../runner/devices/16550.c ../runner/devices/82093aa.c */
#include <linux/serial_reg.h>
#include "tap.h"
#include "../runner/console.h"
#include "../runner/devices/16550.h"
#include "../runner/devices/82093aa.h"
#include "../runner/devices/device.h"
#include "../runner/layout.h"

/* ---- the console and the machine, as the devices see them ---- */

static uint8_t output[64];
static unsigned int output_len, output_max = sizeof(output);
static unsigned int wanted;
static unsigned int messages;
static struct vmm_msi last_message;

bool console_put(struct console *console, uint8_t byte)
{
	(void)console;
	if (output_len == output_max)
		return false;
	output[output_len++] = byte;
	return true;
}

void console_wants_input(struct console *console)
{
	(void)console;
	wanted++;
}

static void send_msi(void *opaque, const struct vmm_msi *msi)
{
	(void)opaque;
	last_message = *msi;
	messages++;
}

static struct device_env env = { .send_msi = send_msi };
static void *ioapic, *uart;

static void in_to(uint64_t index, uint32_t value)
{
	i82093aa_type.ops.write(ioapic, 0x00, 4, index);
	i82093aa_type.ops.write(ioapic, 0x10, 4, value);
}

static uint32_t out_of(uint64_t index)
{
	i82093aa_type.ops.write(ioapic, 0x00, 4, index);
	return i82093aa_type.ops.read(ioapic, 0x10, 4);
}

static void create(void)
{
	ioapic = i82093aa_type.create(&env);
	uart = pc16550_type.create(&env);
	in_to(0x10 + 2 * LAYOUT_COM1_IRQ, 0x31);
	output_len = 0;
	output_max = sizeof(output);
	wanted = 0;
	messages = 0;
}

static void destroy(void)
{
	pc16550_type.destroy(uart);
	i82093aa_type.destroy(ioapic);
}

static uint8_t get(unsigned int reg)
{
	return pc16550_type.ops.read(uart, reg, 1);
}

static void set(unsigned int reg, uint8_t value)
{
	pc16550_type.ops.write(uart, reg, 1, value);
}

static size_t receive(const char *text)
{
	return pc16550_receive(uart, (const uint8_t *)text, strlen(text));
}

/* What a driver does to a FIFO UART that has a reader. */
static void set_up(uint8_t ier)
{
	set(UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_TRIGGER_8);
	set(UART_MCR, UART_MCR_DTR | UART_MCR_RTS | UART_MCR_OUT2);
	set(UART_IER, ier);
}

/* ---- tests ---- */

static void test_reset(void)
{
	create();
	is(get(UART_IER), 0, "after reset no interrupt is enabled");
	is(get(UART_IIR), 0x01, "none is due, FIFOs are off");
	is(get(UART_LCR), 0, "LCR is 0");
	is(get(UART_MCR), 0, "MCR is 0");
	is(get(UART_LSR), 0x60, "the transmitter is empty");
	is(get(UART_MSR), 0xb0, "CTS, DSR and DCD are on, nothing changed");
	destroy();
}

static void test_registers(void)
{
	create();
	set(UART_SCR, 0x5a);
	is(get(UART_SCR), 0x5a, "the scratch register keeps its byte");
	set(UART_IER, 0xff);
	is(get(UART_IER), 0x0f, "IER has four bits");
	set(UART_MCR, 0xff);
	is(get(UART_MCR), 0x1f, "MCR has five bits");
	set(UART_MCR, 0);
	set(UART_IER, 0);
	set(UART_LCR, UART_LCR_DLAB | UART_LCR_WLEN8);
	set(UART_DLL, 0x34);
	set(UART_DLM, 0x12);
	is(get(UART_DLL), 0x34, "DLL keeps its byte");
	is(get(UART_DLM), 0x12, "DLM keeps its byte");
	set(UART_LCR, UART_LCR_WLEN8);
	is(get(UART_IER), 0, "behind DLAB is IER, untouched");
	is(output_len, 0, "a divisor is no output");
	set(UART_FCR, UART_FCR_ENABLE_FIFO);
	is(get(UART_IIR), 0xc1, "IIR tells of working FIFOs: a 16550A");
	set(UART_FCR, UART_FCR_TRIGGER_14);
	is(get(UART_IIR), 0x01, "without the enable bit FCR turns them off");
	destroy();
}

static void test_loopback(void)
{
	create();
	set(UART_MCR, UART_MCR_LOOP | UART_MCR_RTS | UART_MCR_OUT2);
	is(get(UART_MSR) & 0xf0, UART_MSR_CTS | UART_MSR_DCD, "RTS is CTS, OUT2 is DCD");
	set(UART_MCR, UART_MCR_LOOP | UART_MCR_DTR | UART_MCR_OUT1);
	is(get(UART_MSR), UART_MSR_DSR | UART_MSR_RI | UART_MSR_DDSR | UART_MSR_DCTS |
	   UART_MSR_DDCD, "DTR is DSR, OUT1 is RI; changes show, but RI's beginning");
	is(get(UART_MSR) & 0x0f, 0, "reading forgets the changes");
	set(UART_MCR, UART_MCR_LOOP | UART_MCR_DTR);
	is(get(UART_MSR), UART_MSR_DSR | UART_MSR_TERI, "RI's end shows");
	set(UART_TX, 'x');
	is(output_len, 0, "output does not leave the chip");
	is(get(UART_LSR) & UART_LSR_DR, UART_LSR_DR, "it is received");
	is(receive("y"), 0, "the outside is not");
	set(UART_TX, 'z');
	is(get(UART_LSR) & UART_LSR_OE, UART_LSR_OE, "a second character overruns the first");
	is(get(UART_LSR) & UART_LSR_OE, 0, "reading LSR forgets the overrun");
	is(get(UART_RX), 'z', "a register keeps the new character");
	set(UART_FCR, UART_FCR_ENABLE_FIFO);
	for (char c = 'a'; c < 'a' + 18; c++)
		set(UART_TX, c);
	ok(get(UART_LSR) & UART_LSR_OE, "a FIFO overruns at its 17th character");
	is(get(UART_RX), 'a', "and keeps the old ones");
	destroy();
}

static void test_output(void)
{
	create();
	set_up(0);
	set(UART_TX, 'a');
	set(UART_TX, 'b');
	is(output_len, 2, "characters leave at once");
	is(get(UART_LSR), 0x60, "and the transmitter is empty");
	output_max = output_len;
	for (unsigned int i = 0; i < 20; i++)
		set(UART_TX, '0' + i);
	is(output_len, 2, "a full console takes none");
	is(get(UART_LSR) & (UART_LSR_THRE | UART_LSR_TEMT), 0, "THRE says so");
	output_max = sizeof(output);
	pc16550_resume(uart);
	is(output_len, 18, "what the FIFO kept leaves when there is room, no more");
	is(output[17], '0' + 15, "in order");
	is(get(UART_LSR), 0x60, "then the transmitter is empty again");
	output_max = output_len;
	set(UART_TX, 'x');
	set(UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_XMIT);
	is(get(UART_LSR), 0x60, "clearing the FIFO forgets its characters");
	destroy();
}

static void test_wide_destination(void)
{
	create();
	set_up(0);
	in_to(0x11 + 2 * LAYOUT_COM1_IRQ, 0x2cffffff);
	is(out_of(0x11 + 2 * LAYOUT_COM1_IRQ), 0x2cfe0000, "a destination has 15 bits");
	set(UART_IER, UART_IER_THRI);
	is(last_message.address, 0xfee2cfe0, "of which the upper 7 are below the others");
	destroy();
}

static void test_output_interrupt(void)
{
	create();
	set_up(0);
	is(messages, 0, "set-up sends no interrupt");
	set(UART_IER, UART_IER_THRI);
	is(messages, 1, "enabling THRE's interrupt with an empty register sends one");
	is(last_message.address, 0xfee00000, "to the entry's destination");
	is(last_message.data & 0x87ff, 0x31, "with its vector, fixed and edge");
	is(get(UART_IIR), 0xc2, "IIR tells of it");
	is(get(UART_IIR), 0xc1, "once: reading acknowledges");
	for (unsigned int i = 0; i < 16; i++)
		set(UART_TX, 'a');
	is(messages, 1, "a burst is not interrupted");
	is(get(UART_IIR), 0xc2, "behind it the driver finds the register empty");
	is(messages, 1, "without another interrupt");
	set(UART_TX, 'b');
	pc16550_resume(uart);
	is(messages, 2, "a driver that does not look is interrupted when the byte is out");
	set(UART_TX, 'b');
	is(get(UART_IIR), 0xc2, "writing took the interrupt back, looking finds the next");
	output_max = output_len;
	set(UART_TX, 'c');
	is(get(UART_IIR), 0xc1, "no interrupt while the register is full");
	set(UART_IER, 0);
	set(UART_IER, UART_IER_THRI);
	is(get(UART_IIR), 0xc1, "nor when it is enabled then");
	output_max = sizeof(output);
	messages = 0;
	pc16550_resume(uart);
	is(messages, 1, "one when it is empty at last");
	destroy();
}

static void test_input(void)
{
	create();
	is(receive("early"), 0, "without RTS nothing is received");
	is(wanted, 0, "and nothing asked for");
	set_up(UART_IER_RDI);
	is(wanted, 1, "RTS asks for what was held back");
	is(receive("0123456789abcdefXY"), 16, "a FIFO takes 16");
	is(messages, 1, "one interrupt");
	is(get(UART_IIR), 0xc4, "for received data");
	is(get(UART_RX), '0', "in order");
	is(wanted, 2, "room asks for the rest");
	is(receive("XY"), 1, "which has room for one");
	for (unsigned int i = 0; i < 9; i++)
		get(UART_RX);
	is(get(UART_IIR), 0xcc, "below the trigger it is the character timeout");
	for (unsigned int i = 0; i < 6; i++)
		get(UART_RX);
	is(get(UART_LSR) & UART_LSR_DR, UART_LSR_DR, "LSR tells of the last");
	is(get(UART_RX), 'X', "which came last");
	is(get(UART_LSR), 0x61 & ~UART_LSR_DR, "then none");
	is(get(UART_IIR), 0xc1, "and no interrupt");
	is(get(UART_RX), 0, "an empty receiver reads 0");
	is(messages, 1, "one interrupt was enough");
	receive("z");
	is(messages, 2, "the next character sends the next");
	set(UART_FCR, UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR);
	is(get(UART_LSR) & UART_LSR_DR, 0, "clearing the FIFO forgets its characters");
	set(UART_FCR, 0);
	is(receive("pq"), 1, "without FIFOs there is room for one");
	destroy();
}

static void test_priority(void)
{
	create();
	set_up(0);
	set(UART_MCR, UART_MCR_LOOP | UART_MCR_DTR);
	for (unsigned int i = 0; i < 17; i++)
		set(UART_TX, 'x');
	set(UART_IER, 0x0f);
	is(get(UART_IIR), 0xc6, "line status goes first");
	get(UART_LSR);
	is(get(UART_IIR), 0xc4, "then received data");
	for (unsigned int i = 0; i < 16; i++)
		get(UART_RX);
	is(get(UART_IIR), 0xc2, "then the transmitter");
	is(get(UART_IIR), 0xc0, "then modem status");
	get(UART_MSR);
	is(get(UART_IIR), 0xc1, "then none");
	destroy();
}

static void test_ioapic(void)
{
	create();
	is(out_of(0x01), 0x00170020, "version 0x20, 24 entries");
	is(out_of(0x10), 0x00010000, "entries are masked after reset");
	in_to(0x12, 0xffffffff);
	in_to(0x13, 0xffffffff);
	is(out_of(0x12), 0x0001afff, "delivery status and remote IRR are read-only");
	is(out_of(0x13), 0xfffe0000, "of the upper half the destination is kept");
	is(out_of(0x40), 0, "an index behind the entries reads 0");
	in_to(0x40, 0xffffffff);
	in_to(0x00, 0xffffffff);
	is(out_of(0x00), 0x0f000000, "the id has four bits");
	is(i82093aa_type.ops.read(ioapic, 0x40, 4), 0, "the EOI register cannot be read");

	i82093aa_set_line(ioapic, 1, true);
	i82093aa_set_line(ioapic, 1, false);
	is(messages, 0, "a masked line sends nothing");
	in_to(0x13, 0x5a000000);
	in_to(0x12, 0x00000944);
	i82093aa_set_line(ioapic, 1, true);
	is(messages, 1, "an edge sends one message");
	is(last_message.address, 0xfee5a00c, "logical, lowest priority: with redirection hint");
	is(last_message.data & 0x7ff, 0x144, "with mode and vector");
	i82093aa_set_line(ioapic, 1, true);
	is(messages, 1, "a level that stays sends no other");
	i82093aa_set_line(ioapic, 1, false);
	is(messages, 1, "nor does its end");
	in_to(0x12, 0x00002144);
	i82093aa_set_line(ioapic, 1, true);
	is(messages, 1, "active low: the rising edge sends nothing");
	i82093aa_set_line(ioapic, 1, false);
	is(messages, 2, "the falling one does");
	i82093aa_set_line(ioapic, I82093AA_LINES, true);
	i82093aa_set_line(ioapic, UINT32_MAX, true);
	is(messages, 2, "a line that is not there is ignored");
	in_to(0x14, 0x00018055);
	i82093aa_set_line(ioapic, 2, true);
	in_to(0x14, 0x00008055);
	is(messages, 3, "unmasking a level entry with an active line sends");
	destroy();
}

static void level_begin(void)
{
	create();
	in_to(0x14, 0x00008055);
	i82093aa_set_line(ioapic, 2, true);
}

static void test_ioapic_level(void)
{
	level_begin();
	is(messages, 1, "a level sends one message");
	is(last_message.data & 0x8000, 0x8000, "that says it is one");
	is(out_of(0x14) & 0x4000, 0x4000, "Remote IRR is set");
	i82093aa_set_line(ioapic, 2, false);
	i82093aa_set_line(ioapic, 2, true);
	is(messages, 1, "until the EOI nothing is sent");
	i82093aa_eoi(ioapic, 0x54);
	is(messages, 1, "another vector's EOI changes nothing");
	i82093aa_eoi(ioapic, 0x55);
	is(messages, 2, "its own sends again, as the line is still active");
	i82093aa_set_line(ioapic, 2, false);
	i82093aa_eoi(ioapic, 0x55);
	is(messages, 2, "but not when it no longer is");
	is(out_of(0x14) & 0x4000, 0, "then Remote IRR is clear");
	i82093aa_set_line(ioapic, 2, true);
	i82093aa_type.ops.write(ioapic, 0x40, 4, 0x55);
	is(messages, 4, "the EOI register is an EOI too");
	in_to(0x14, 0x00018055);
	is(out_of(0x14) & 0x4000, 0x4000, "masking leaves Remote IRR");
	i82093aa_eoi(ioapic, 0x55);
	is(messages, 4, "a masked line sends nothing at the EOI");
	in_to(0x14, 0x0000a055);
	is(messages, 4, "an inactive one neither when unmasked");
	in_to(0x14, 0x00008055);
	is(messages, 5, "turning the polarity over makes it active");
	in_to(0x14, 0x00010055);
	is(out_of(0x14) & 0x4000, 0, "edge-triggered, Remote IRR is gone");
	in_to(0x14, 0x00008455);
	in_to(0x15, 0x01000000);
	is(messages, 5, "an NMI is an edge, which a line that is active already is not");
	i82093aa_set_line(ioapic, 2, false);
	i82093aa_set_line(ioapic, 2, true);
	is(messages, 6, "and the next one is sent");
	is(last_message.data & 0x8700, 0x400, "as one");
	is(out_of(0x14) & 0x4000, 0, "it waits for no EOI");
	destroy();
}

/* Any bytes at any registers: sanitizers watch, the console stays bounded. */
static void test_noise(void)
{
	uint32_t seed = 1;
	char line[24] = "noise from the outside";

	create();
	for (unsigned int i = 0; i < 200000; i++) {
		seed = seed * 1664525 + 1013904223;
		if (seed >> 31)
			set(seed >> 8 & 7, seed >> 16);
		else
			get(seed >> 8 & 7);
		if (!(seed >> 12 & 15))
			receive(line);
		if (!(seed >> 12 & 31)) {
			output_len = 0;
			pc16550_resume(uart);
		}
	}
	ok(output_len <= output_max, "noise does no harm");
	destroy();
}

int main(void)
{
	test_reset();
	test_registers();
	test_loopback();
	test_output();
	test_wide_destination();
	test_output_interrupt();
	test_input();
	test_priority();
	test_ioapic();
	test_ioapic_level();
	test_noise();
	return tap_end();
}
