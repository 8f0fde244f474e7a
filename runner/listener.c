// SPDX-License-Identifier: GPL-2.0-or-later
/* See listener.h. */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "listener.h"

#define BACKLOG	128

/* Is there a socket that nobody listens at? */
static bool is_stale(const struct sockaddr_un *address)
{
	struct stat st;
	int fd, err;

	if (lstat(address->sun_path, &st) || !S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	err = connect(fd, (const struct sockaddr *)address, sizeof(*address)) ? errno : 0;
	close(fd);
	return err == ECONNREFUSED;
}

static int bind_at(int fd, const struct sockaddr_un *address)
{
	return bind(fd, (const struct sockaddr *)address, sizeof(*address)) ? errno : 0;
}

enum status listener_open(const char *what, const char *path, int *out)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, err;

	if (strlen(path) >= sizeof(address.sun_path)) {
		complain("%s %s: longer than the %zu bytes of a socket's name; use a shorter one",
			 what, path, sizeof(address.sun_path) - 1);
		return STATUS_USAGE;
	}
	memcpy(address.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	err = fd < 0 ? errno : bind_at(fd, &address);
	if (err == EADDRINUSE && is_stale(&address) && !unlink(path))
		err = bind_at(fd, &address);
	if (!err && listen(fd, BACKLOG))
		err = errno;
	if (!err) {
		*out = fd;
		return STATUS_OK;
	}
	if (fd >= 0)
		close(fd);
	complain("%s %s: cannot be listened at: %s; %s", what, path, strerror(err),
		 err == EADDRINUSE ? "give a name that nobody has" :
				     "give one in a directory that can be written");
	return err == EADDRINUSE ? STATUS_BUSY : STATUS_BAD_FILE;
}

int listener_accept(int fd)
{
	return accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}
