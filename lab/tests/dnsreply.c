// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A name server at 127.0.0.1: whatever is asked for, its IPv4 address is 10.0.2.2, and it
 * has nothing else. Facts: RFC 1035, "Messages".
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define HEADER		12
#define TYPE_A		1

/* From the header on to behind the first question; 0: there is none. */
static size_t question_end(const uint8_t *message, size_t len)
{
	size_t at = HEADER;

	while (at < len && message[at])
		at += message[at] + 1;
	return at + 5 <= len ? at + 5 : 0;
}

/* Makes the answer of @len bytes of a question. */
static size_t answer(uint8_t *message, size_t len)
{
	/* The question's name, IN A, a minute, four bytes. */
	static const uint8_t record[] = { 0xc0, HEADER, 0, TYPE_A, 0, 1, 0, 0, 0, 60, 0, 4,
					  10, 0, 2, 2 };
	size_t end = len < HEADER ? 0 : question_end(message, len);

	if (!end)
		return 0;
	/* An answer, recursion available; one question, no or one answer, nothing else. */
	message[2] |= 0x80;
	message[3] = 0x80;
	memset(message + 4, 0, HEADER - 4);
	message[5] = 1;
	if (message[end - 3] != TYPE_A)
		return end;
	message[7] = 1;
	memcpy(message + end, record, sizeof(record));
	return end + sizeof(record);
}

int main(void)
{
	struct sockaddr_in at = { AF_INET, htons(53), { htonl(INADDR_LOOPBACK) }, { 0 } };
	uint8_t message[1024];
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	if (bind(fd, (struct sockaddr *)&at, sizeof(at))) {
		perror("dnsreply");
		return 1;
	}
	for (;;) {
		struct sockaddr_in from;
		socklen_t size = sizeof(from);
		ssize_t n = recvfrom(fd, message, sizeof(message) / 2, 0,
				     (struct sockaddr *)&from, &size);
		size_t len = n > 0 ? answer(message, n) : 0;

		if (len)
			sendto(fd, message, len, 0, (struct sockaddr *)&from, size);
	}
}
