// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A guest for hosts in which Linux takes minutes: a flat image at 1 MiB for protected mode.
 * It says "guest#" and then, when the console has a line with a number, "sum" and that
 * number plus 7000. It never halts, and looks at the console now and then only: what it
 * leaves the guest for is mostly not its own doing.
 */
#define DATA		0x3f8
#define MODEM_CONTROL	(DATA + 4)
#define READY		3		/* DTR and RTS: without them nothing is sent */
#define LINE_STATUS	(DATA + 5)
#define RECEIVED	1
#define ROUNDS		100000

asm(".globl _start\n_start: mov $0x80000, %esp\n\tcall run\n");

static unsigned char in(unsigned short port)
{
	unsigned char value;

	asm volatile("in %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static void out(unsigned short port, unsigned char value)
{
	asm volatile("out %0, %1" : : "a"(value), "Nd"(port));
}

static void put(const char *text)
{
	while (*text)
		out(DATA, *text++);
}

static void put_number(unsigned int n)
{
	char digits[11];
	int i = 10;

	digits[10] = 0;
	do {
		digits[--i] = '0' + n % 10;
		n /= 10;
	} while (n);
	put(digits + i);
}

static char next_character(void)
{
	while (!(in(LINE_STATUS) & RECEIVED))
		for (volatile int i = 0; i < ROUNDS; i++)
			;
	return in(DATA);
}

/* A line of anything but digits is no number. */
void run(void)
{
	unsigned int number = 0, digits = 0, others = 0;

	out(MODEM_CONTROL, READY);
	put("guest#\n");
	for (;;) {
		char c = next_character();

		if (c >= '0' && c <= '9') {
			number = number * 10 + (c - '0');
			digits++;
		} else if (c != '\n') {
			others++;
		} else {
			if (digits && !others) {
				put("sum ");
				put_number(number + 7000);
				put("\n");
			}
			number = 0;
			digits = 0;
			others = 0;
		}
	}
}
