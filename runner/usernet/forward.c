// SPDX-License-Identifier: GPL-2.0-or-later
/* Forwarded ports: a port of the host is one of the guest. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "usernet.h"

/* "[ADDR]:PORT" up to @end; an address that is left out leaves *@addr. */
static bool parse_place(const char *text, const char *end, struct in_addr *addr, uint16_t *port)
{
	const char *colon = memchr(text, ':', end - text);
	char buf[INET_ADDRSTRLEN];
	unsigned long value = 0;

	if (!colon || colon - text >= INET_ADDRSTRLEN || end - colon < 2 || end - colon > 6)
		return false;
	memcpy(buf, text, colon - text);
	buf[colon - text] = 0;
	if (buf[0] && inet_pton(AF_INET, buf, addr) != 1)
		return false;
	for (const char *at = colon + 1; at < end; at++) {
		if (*at < '0' || *at > '9')
			return false;
		value = value * 10 + (*at - '0');
	}
	*port = value;
	return value && value <= UINT16_MAX;
}

static bool parse(const char *text, struct usernet_forward *forward)
{
	const char *dash = strchr(text, '-');

	if (strncmp(text, "tcp:", 4) && strncmp(text, "udp:", 4))
		return false;
	forward->udp = *text == 'u';
	/* The host's other addresses are for those who say so. */
	forward->host.s_addr = htonl(INADDR_LOOPBACK);
	forward->guest.s_addr = htonl(USERNET_GUEST);
	return dash && parse_place(text + 4, dash, &forward->host, &forward->host_port) &&
	       parse_place(dash + 1, dash + 1 + strlen(dash + 1), &forward->guest,
			   &forward->guest_port);
}

enum status usernet_forward(const char *text, struct usernet_forward *forward)
{
	if (parse(text, forward))
		return STATUS_OK;
	complain("--net: hostfwd=%s: not understood; write it like tcp:127.0.0.1:2222-:22",
		 text);
	return STATUS_USAGE;
}
