/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The line between lab/relay.c (outside) and lab/agent.c (in the emulated
 * host): one byte stream over a serial port, 8 bits clean both ways.
 *
 * The agent opens with LAB_HELLO; what comes before it on the line is noise of
 * firmware and is dropped. Then frames, both ways: type, length (16 bits, low
 * byte first), payload of at most LAB_PAYLOAD bytes.
 *
 * Invariants: the relay has at most LAB_WINDOW bytes of input on the way that
 * the agent has not acknowledged (a UART has no flow control that an emulator
 * respects); nothing follows LAB_EXIT or LAB_FAIL.
 */
#ifndef LAB_PROTO_H
#define LAB_PROTO_H

#define LAB_HELLO	"\nvmm-lab-1\n"
#define LAB_HEADER	3
#define LAB_PAYLOAD	1024
/* Half of what the kernel's tty layer buffers before it drops (64 KiB). */
#define LAB_WINDOW	32768

enum lab_frame {
	/* To the relay. */
	LAB_OUT		= 'o',	/* standard output of the command */
	LAB_ERR		= 'e',	/* standard error of the command */
	LAB_ACK		= 'a',	/* u32: so many bytes of input were taken */
	LAB_PONG	= 'q',
	LAB_EXIT	= 'x',	/* u32: exit status, 128 + n for signal n */
	LAB_FAIL	= 'f',	/* text: the host is not fit for the command */
	/* To the agent. */
	LAB_IN		= 'i',	/* standard input of the command */
	LAB_EOF		= 'z',
	LAB_SIZE	= 'w',	/* u16 rows, u16 columns */
	LAB_PING	= 'p',
};

static inline unsigned int lab_get16(const unsigned char *p)
{
	return p[0] | p[1] << 8;
}

static inline unsigned int lab_get32(const unsigned char *p)
{
	return lab_get16(p) | lab_get16(p + 2) << 16;
}

static inline void lab_put16(unsigned char *p, unsigned int v)
{
	p[0] = v;
	p[1] = v >> 8;
}

static inline void lab_put32(unsigned char *p, unsigned int v)
{
	lab_put16(p, v);
	lab_put16(p + 2, v >> 16);
}

#endif
