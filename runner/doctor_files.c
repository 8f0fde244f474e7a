// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Reading what the checks look at. Every file may be missing, huge or not what its
 * name says: reading is bounded, and a file that cannot be had is NULL.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include "doctor.h"

#define CHUNK	(64U << 10)

bool doctor_exists(const struct doctor *doctor, const char *path)
{
	char full[PATH_MAX];

	snprintf(full, sizeof(full), "%s%s", doctor->root, path);
	return !access(full, F_OK);
}

/* Room for CHUNK more bytes and a NUL behind @len of them; NULL frees @data. */
static char *grow(char *data, size_t len, size_t *room)
{
	char *more = data;

	if (*room - len > CHUNK)
		return data;
	*room = 2 * *room + 2 * CHUNK;
	more = realloc(data, *room);
	if (!more)
		free(data);
	return more;
}

/* All of @fd, or NULL. Files of /proc do not know their size. */
static char *read_all(int fd, size_t max, size_t *len)
{
	size_t room = 0;
	char *data = NULL;

	*len = 0;
	for (;;) {
		ssize_t n;

		data = grow(data, *len, &room);
		if (!data)
			return NULL;
		n = read(fd, data + *len, CHUNK);
		/* EPIPE: the kernel's log has overtaken its reader. */
		if (n < 0 && (errno == EINTR || errno == EPIPE))
			continue;
		/* Nothing more for now is the end of a log. */
		if (n < 0 && errno == EAGAIN)
			n = 0;
		if (n < 0 || *len + n > max) {
			free(data);
			return NULL;
		}
		*len += n;
		data[*len] = 0;
		if (!n)
			return data;
	}
}

char *doctor_read(const struct doctor *doctor, size_t max, size_t *len, const char *fmt, ...)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s", doctor->root), fd;
	size_t unused;
	va_list ap;
	char *data;

	va_start(ap, fmt);
	vsnprintf(path + n, sizeof(path) - n, fmt, ap);
	va_end(ap);
	/* Non-blocking: a FIFO under such a name must not hang. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return NULL;
	data = read_all(fd, max, len ? len : &unused);
	close(fd);
	return data;
}

char *doctor_gunzip(const void *data, size_t size, size_t max, size_t *len)
{
	z_stream stream = { .next_in = (void *)data, .avail_in = size };
	size_t room = 0, unused;
	char *out = NULL;
	int err = Z_OK;

	len = len ? len : &unused;
	*len = 0;
	/* 16: a gzip header, not zlib's. */
	if (size > UINT_MAX || inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK)
		return NULL;
	while (err == Z_OK && *len <= max) {
		out = grow(out, *len, &room);
		if (!out)
			break;
		stream.next_out = (void *)(out + *len);
		stream.avail_out = CHUNK;
		err = inflate(&stream, Z_NO_FLUSH);
		*len += CHUNK - stream.avail_out;
		out[*len] = 0;
	}
	inflateEnd(&stream);
	if (out && err == Z_STREAM_END && *len <= max)
		return out;
	free(out);
	return NULL;
}

char *doctor_host_config(const struct doctor *doctor)
{
	static const char *const paths[] = {
		"/boot/config-%s", "/lib/modules/%s/config", "/usr/lib/modules/%s/config",
	};
	char path[PATH_MAX], *text = NULL;
	size_t len;
	char *packed = doctor_read(doctor, DOCTOR_TEXT_MAX, &len, "/proc/config.gz");

	if (packed)
		text = doctor_gunzip(packed, len, DOCTOR_TEXT_MAX, NULL);
	free(packed);
	for (size_t i = 0; !text && i < sizeof(paths) / sizeof(paths[0]); i++) {
		const char *mark = strstr(paths[i], "%s");

		snprintf(path, sizeof(path), "%.*s%s%s", (int)(mark - paths[i]), paths[i],
			 doctor->release, mark + 2);
		text = doctor_read(doctor, DOCTOR_TEXT_MAX, NULL, "%s", path);
	}
	return text;
}

char doctor_config_value(const char *config, const char *symbol)
{
	char want[80];
	int len = snprintf(want, sizeof(want), "CONFIG_%s=", symbol);
	const char *at = config;

	while ((at = strstr(at, want))) {
		if (at == config || at[-1] == '\n')
			return at[len] == 'm' ? 'm' : at[len] == 'n' ? 0 : 'y';
		at += len;
	}
	return 0;
}

bool doctor_has_word(const char *text, const char *word)
{
	static const char around[] = " \t\n";
	size_t len = strlen(word);

	for (const char *at = text; (at = strstr(at, word)); at += len)
		if ((at == text || strchr(around, at[-1])) && strchr(around, at[len]))
			return true;
	return false;
}
