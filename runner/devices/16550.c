// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The 16550A UART as the console's port. Facts: National Semiconductor PC16550D
 * data sheet, "Registers" and "FIFO Interrupt Mode Operation".
 *
 * A character written leaves at once if the console has room and stays in the
 * transmitter's FIFO, THRE clear, if it has not. Its interrupt follows at the next
 * access to another register, or when the console has written the character: a
 * driver that fills the FIFO and then looks at IIR is not interrupted in between.
 * The character timeout passes at once. The other end honours RTS: nothing is
 * received before a driver has asserted it, so input that is already there when the
 * machine starts is not lost. CTS, DSR and DCD are always on.
 *
 * Invariants, with the lock held: rx_count is at most depth(), tx_count likewise;
 * line is what the interrupt line was last told.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <linux/serial_reg.h>
#include "../console.h"
#include "../layout.h"
#include "16550.h"
#include "82093aa.h"
#include "device.h"

#define FIFO_DEPTH	16

#define IER_VALID	(UART_IER_RDI | UART_IER_THRI | UART_IER_RLSI | UART_IER_MSI)
#define IIR_FIFOS	0xc0	/* both bits on: a 16550A whose FIFOs work */
#define LSR_ERRORS	(UART_LSR_OE | UART_LSR_PE | UART_LSR_FE | UART_LSR_BI)
#define MSR_ALWAYS	(UART_MSR_CTS | UART_MSR_DSR | UART_MSR_DCD)
#define MCR_VALID	0x1f	/* the register's other bits are always 0 */
#define TRIGGER_SHIFT	6

static const uint8_t triggers[] = { 1, 4, 8, 14 };

/* THRE's interrupt: the data sheet's "THRE interrupt", until it is acknowledged. */
enum thr_event {
	THR_NONE,
	THR_SENT,	/* due after a moment */
	THR_DUE,
};

struct pc16550 {
	pthread_mutex_t lock;
	struct i82093aa *ioapic;
	struct console *console;

	uint8_t ier, lcr, mcr, scr, dll, dlm;
	uint8_t fcr;		/* enable and trigger bits */
	uint8_t errors;		/* LSR bits that reading clears */
	uint8_t msr;
	enum thr_event thr_event;
	bool starved;		/* the console holds characters back */
	bool line;

	uint8_t rx[FIFO_DEPTH];
	unsigned int rx_start, rx_count;
	uint8_t tx[FIFO_DEPTH];
	unsigned int tx_count;
};

static unsigned int depth(const struct pc16550 *uart)
{
	return uart->fcr & UART_FCR_ENABLE_FIFO ? FIFO_DEPTH : 1;
}

static unsigned int trigger(const struct pc16550 *uart)
{
	return uart->fcr & UART_FCR_ENABLE_FIFO ? triggers[uart->fcr >> TRIGGER_SHIFT] : 1;
}

/* The interrupt of highest priority that is due and enabled. */
static uint8_t interrupt(const struct pc16550 *uart)
{
	if (uart->ier & UART_IER_RLSI && uart->errors)
		return UART_IIR_RLSI;
	if (uart->ier & UART_IER_RDI && uart->rx_count)
		return uart->rx_count >= trigger(uart) ? UART_IIR_RDI : UART_IIR_RX_TIMEOUT;
	if (uart->ier & UART_IER_THRI && uart->thr_event == THR_DUE)
		return UART_IIR_THRI;
	if (uart->ier & UART_IER_MSI && uart->msr & UART_MSR_ANY_DELTA)
		return UART_IIR_MSI;
	return UART_IIR_NO_INT;
}

/* A moment has passed since the last character. */
static void settle(struct pc16550 *uart)
{
	if (uart->thr_event == THR_SENT)
		uart->thr_event = THR_DUE;
}

static void update_line(struct pc16550 *uart)
{
	bool high = interrupt(uart) != UART_IIR_NO_INT;

	if (high == uart->line)
		return;
	uart->line = high;
	i82093aa_set_line(uart->ioapic, LAYOUT_COM1_IRQ, high);
}

/* ---- receiver ---- */

static bool listening(const struct pc16550 *uart)
{
	return (uart->mcr & (UART_MCR_RTS | UART_MCR_LOOP)) == UART_MCR_RTS;
}

static void rx_push(struct pc16550 *uart, uint8_t byte)
{
	if (uart->rx_count < depth(uart)) {
		uart->rx[(uart->rx_start + uart->rx_count++) % FIFO_DEPTH] = byte;
		return;
	}
	/* An overrun loses the new character of a FIFO, the old one of a register. */
	uart->errors |= UART_LSR_OE;
	if (!(uart->fcr & UART_FCR_ENABLE_FIFO))
		uart->rx[uart->rx_start] = byte;
}

/* Tell the console that the rest of its characters may go on. */
static void feed(struct pc16550 *uart)
{
	if (!uart->starved || !listening(uart) || uart->rx_count == depth(uart))
		return;
	uart->starved = false;
	console_wants_input(uart->console);
}

static uint8_t rx_pop(struct pc16550 *uart)
{
	uint8_t byte = uart->rx[uart->rx_start];

	if (!uart->rx_count)
		return 0;
	uart->rx_start = (uart->rx_start + 1) % FIFO_DEPTH;
	uart->rx_count--;
	return byte;
}

size_t pc16550_receive(struct pc16550 *uart, const uint8_t *data, size_t len)
{
	size_t done = 0;

	pthread_mutex_lock(&uart->lock);
	while (done < len && listening(uart) && uart->rx_count < depth(uart))
		rx_push(uart, data[done++]);
	uart->starved = done < len;
	update_line(uart);
	pthread_mutex_unlock(&uart->lock);
	return done;
}

/* ---- transmitter ---- */

static void transmit(struct pc16550 *uart, uint8_t byte)
{
	uart->thr_event = THR_NONE;
	if (uart->mcr & UART_MCR_LOOP) {
		rx_push(uart, byte);
		uart->thr_event = THR_DUE;
	} else if (!uart->tx_count && console_put(uart->console, byte)) {
		uart->thr_event = THR_SENT;
	} else if (uart->tx_count < depth(uart)) {
		uart->tx[uart->tx_count++] = byte;
	}
}

void pc16550_resume(struct pc16550 *uart)
{
	unsigned int done = 0;

	pthread_mutex_lock(&uart->lock);
	while (done < uart->tx_count && console_put(uart->console, uart->tx[done]))
		done++;
	uart->tx_count -= done;
	memmove(uart->tx, uart->tx + done, uart->tx_count);
	if (done && !uart->tx_count)
		uart->thr_event = THR_DUE;
	settle(uart);
	update_line(uart);
	pthread_mutex_unlock(&uart->lock);
}

/* ---- registers ---- */

static void clear_tx(struct pc16550 *uart)
{
	if (uart->tx_count)
		uart->thr_event = THR_DUE;
	uart->tx_count = 0;
}

static void write_fcr(struct pc16550 *uart, uint8_t value)
{
	bool toggled = (uart->fcr ^ value) & UART_FCR_ENABLE_FIFO;

	if (toggled || (value & UART_FCR_ENABLE_FIFO && value & UART_FCR_CLEAR_RCVR))
		uart->rx_count = 0;
	if (toggled || (value & UART_FCR_ENABLE_FIFO && value & UART_FCR_CLEAR_XMIT))
		clear_tx(uart);
	uart->fcr = value & UART_FCR_ENABLE_FIFO ?
		    value & (UART_FCR_ENABLE_FIFO | UART_FCR_TRIGGER_MASK) : 0;
}

/* Each enable of THRE's interrupt finds an empty register due. */
static void write_ier(struct pc16550 *uart, uint8_t value)
{
	if (value & ~uart->ier & UART_IER_THRI && !uart->tx_count)
		uart->thr_event = THR_DUE;
	uart->ier = value & IER_VALID;
}

/* In loopback the four outputs are the four inputs, "Modem Control Register". */
static uint8_t modem_inputs(uint8_t mcr)
{
	if (!(mcr & UART_MCR_LOOP))
		return MSR_ALWAYS;
	return (mcr & UART_MCR_RTS ? UART_MSR_CTS : 0) | (mcr & UART_MCR_DTR ? UART_MSR_DSR : 0) |
	       (mcr & UART_MCR_OUT1 ? UART_MSR_RI : 0) | (mcr & UART_MCR_OUT2 ? UART_MSR_DCD : 0);
}

static void write_mcr(struct pc16550 *uart, uint8_t value)
{
	uint8_t old = uart->msr & ~UART_MSR_ANY_DELTA;
	uint8_t new, delta;

	uart->mcr = value & MCR_VALID;
	new = modem_inputs(uart->mcr);
	/* The delta bits stand below their inputs; that of RI is for its end only. */
	delta = ((old ^ new) & ~UART_MSR_RI) | (old & ~new & UART_MSR_RI);
	uart->msr = new | (uart->msr & UART_MSR_ANY_DELTA) | delta >> 4;
}

static uint8_t read_lsr(struct pc16550 *uart)
{
	uint8_t lsr = uart->errors;

	if (uart->rx_count)
		lsr |= UART_LSR_DR;
	if (!uart->tx_count)
		lsr |= UART_LSR_THRE | UART_LSR_TEMT;
	uart->errors = 0;
	return lsr;
}

static uint8_t read_iir(struct pc16550 *uart)
{
	uint8_t iir = interrupt(uart);

	if (iir == UART_IIR_THRI)
		uart->thr_event = THR_NONE;
	return iir | (uart->fcr & UART_FCR_ENABLE_FIFO ? IIR_FIFOS : 0);
}

static uint8_t read_msr(struct pc16550 *uart)
{
	uint8_t msr = uart->msr;

	uart->msr &= ~UART_MSR_ANY_DELTA;
	return msr;
}

static uint8_t read_register(struct pc16550 *uart, uint64_t offset)
{
	bool dlab = uart->lcr & UART_LCR_DLAB;

	switch (offset) {
	case UART_RX:
		return dlab ? uart->dll : rx_pop(uart);
	case UART_IER:
		return dlab ? uart->dlm : uart->ier;
	case UART_IIR:
		return read_iir(uart);
	case UART_LCR:
		return uart->lcr;
	case UART_MCR:
		return uart->mcr;
	case UART_LSR:
		return read_lsr(uart);
	case UART_MSR:
		return read_msr(uart);
	default:
		return uart->scr;
	}
}

/* LSR and MSR are read-only: the data sheet keeps writes for factory tests. */
static void write_register(struct pc16550 *uart, uint64_t offset, uint8_t value)
{
	bool dlab = uart->lcr & UART_LCR_DLAB;

	switch (offset) {
	case UART_TX:
		if (dlab)
			uart->dll = value;
		else
			transmit(uart, value);
		break;
	case UART_IER:
		if (dlab)
			uart->dlm = value;
		else
			write_ier(uart, value);
		break;
	case UART_FCR:
		write_fcr(uart, value);
		break;
	case UART_LCR:
		uart->lcr = value;
		break;
	case UART_MCR:
		write_mcr(uart, value);
		break;
	case UART_SCR:
		uart->scr = value;
		break;
	}
}

static uint64_t pc16550_read(void *device, uint64_t offset, unsigned int size)
{
	struct pc16550 *uart = device;
	uint8_t value;

	(void)size;
	pthread_mutex_lock(&uart->lock);
	settle(uart);
	value = read_register(uart, offset);
	update_line(uart);
	feed(uart);
	pthread_mutex_unlock(&uart->lock);
	return value;
}

static void pc16550_write(void *device, uint64_t offset, unsigned int size, uint64_t value)
{
	struct pc16550 *uart = device;

	(void)size;
	pthread_mutex_lock(&uart->lock);
	if (offset != UART_TX)
		settle(uart);
	write_register(uart, offset, value);
	update_line(uart);
	feed(uart);
	pthread_mutex_unlock(&uart->lock);
}

static void *pc16550_create(struct device_env *env)
{
	struct pc16550 *uart = calloc(1, sizeof(*uart));

	if (!uart)
		return NULL;
	pthread_mutex_init(&uart->lock, NULL);
	uart->ioapic = env->ioapic;
	uart->console = env->console;
	uart->msr = MSR_ALWAYS;
	env->serial = uart;
	return uart;
}

static void pc16550_destroy(void *device)
{
	struct pc16550 *uart = device;

	pthread_mutex_destroy(&uart->lock);
	free(uart);
}

const struct device_type pc16550_type = {
	.name = "16550",
	.start = LAYOUT_COM1,
	.size = LAYOUT_COM1_SIZE,
	.ops = { pc16550_read, pc16550_write, 1, 1 },
	.create = pc16550_create,
	.destroy = pc16550_destroy,
};
