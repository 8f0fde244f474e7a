// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The guest's hardware address: what mac= says, or one that is derived, so that it is the
 * same at each start and another for each machine.
 *
 * It is derived from the host's machine-id, the user, what tells this machine from others,
 * and the number of the network in it. What tells machines apart is their first disk,
 * which two cannot have at once. A machine without one has nothing that lasts and that is
 * its own, so its addresses have eight random bytes in them, drawn once a process: another
 * address at each start rather than the same in two machines. The address is locally
 * administered and no group's: 52:54:00 and 24 bits would be QEMU's; these have 46 bits
 * of their own.
 */
#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include "netdev.h"

#define GROUP		0x01
#define LOCAL		0x02

/* Read at once; longer command lines differ before their end, or have mac=. */
#define CMDLINE_MAX	65536

static bool parse(const char *text, uint8_t mac[ETH_ALEN])
{
	for (unsigned int i = 0; i < ETH_ALEN; i++, text += 3) {
		const char byte[] = { text[0], text[1], 0 };

		if (!isxdigit(text[0]) || !isxdigit(text[1]) ||
		    (i + 1 < ETH_ALEN && text[2] != ':'))
			return false;
		mac[i] = strtoul(byte, NULL, 16);
	}
	return true;
}

/* FNV-1a with 64 bits; its facts are in RFC 9923. It need not resist anybody. */
static uint64_t hash(uint64_t state, const void *data, size_t len)
{
	const uint8_t *at = data;

	for (size_t i = 0; i < len; i++)
		state = (state ^ at[i]) * 0x100000001b3ULL;
	return state;
}

static size_t read_file(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, buf, size - 1);

	if (fd >= 0)
		close(fd);
	n = n < 0 ? 0 : n;
	buf[n] = 0;
	return n;
}

/* The file of the first --disk in arguments with a NUL behind each, else what is drawn. */
static uint64_t hash_machine(uint64_t state, const char *args, size_t len)
{
	static const char option[] = "--disk";
	const size_t name = sizeof(option) - 1;
	static uint64_t drawn;
	const char *end = args + len;

	for (const char *at = args; at < end; at += strlen(at) + 1) {
		const char *file = at + name + 1;

		if (strncmp(at, option, name) || (at[name] && at[name] != '='))
			continue;
		if (file < end)
			return hash(state, file, strcspn(file, ","));
	}
	if (!drawn && getrandom(&drawn, sizeof(drawn), 0) != sizeof(drawn))
		drawn = getpid();
	return hash(state, &drawn, sizeof(drawn));
}

static void derive(uint8_t mac[ETH_ALEN], unsigned int index)
{
	static char text[CMDLINE_MAX];
	uid_t uid = getuid();
	uint64_t state = 0xcbf29ce484222325ULL;

	state = hash(state, text, read_file("/etc/machine-id", text, sizeof(text)));
	state = hash(state, &uid, sizeof(uid));
	state = hash_machine(state, text, read_file("/proc/self/cmdline", text, sizeof(text)));
	state = hash(state, &index, sizeof(index));
	/* The last bytes hashed are in the low bits best. */
	state ^= state >> 32;
	memcpy(mac, &state, ETH_ALEN);
	mac[0] = (mac[0] & ~GROUP) | LOCAL;
}

enum status netdev_set_mac(struct netdev *dev, unsigned int index)
{
	const char *wrong = NULL;

	if (!dev->mac_text[0]) {
		derive(dev->mac, index);
		return STATUS_OK;
	}
	if (!parse(dev->mac_text, dev->mac))
		wrong = "not an address; write it like 52:54:00:12:34:56";
	else if (dev->mac[0] & GROUP)
		wrong = "a group's address; make its first byte even";
	else if (!memcmp(dev->mac, (uint8_t[ETH_ALEN]) { 0 }, ETH_ALEN))
		wrong = "nobody's address; choose another";
	if (!wrong)
		return STATUS_OK;
	complain("--net %s: mac=%.*s: %s", dev->name, NETDEV_MAC_TEXT, dev->mac_text, wrong);
	return STATUS_USAGE;
}
