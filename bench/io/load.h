/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the guest's program and the host's agree on. */
#ifndef BENCH_IO_LOAD_H
#define BENCH_IO_LOAD_H

#include <stdint.h>

#define HOST_ADDRESS	"10.9.0.1"
#define PORT		9
/* Bytes of IPv4's header and UDP's. */
#define HEADERS		28

/* The first bytes of a packet to the host: send @count packets with @size bytes in each. */
struct order {
	uint32_t count;
	uint32_t size;
};

#endif
