/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon.c - detaching, and the word "ready".
 *
 * The protocol of sd_notify(3) is one datagram; speaking it here keeps
 * libsystemd and what it pulls in out of every process of the server.
 */
#include "master/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int ready_fd = -1;

static _Noreturn void
await_child(int fd)
{
	char word = 0;
	ssize_t n;

	do
		n = read(fd, &word, 1);
	while (n < 0 && errno == EINTR);
	_exit(n == 1 && word == 'R' ? 0 : 1);
}

static void
fail(const char *what)
{
	fprintf(stderr, "posthouse: %s: %s\n", what, strerror(errno));
	exit(1);
}

void
daemon_detach(void)
{
	int pair[2];
	pid_t pid;

	if (pipe2(pair, O_CLOEXEC) != 0)
		fail("can't make a pipe");
	pid = fork();
	if (pid < 0)
		fail("can't fork");
	if (pid > 0) {
		close(pair[1]);
		await_child(pair[0]);
	}
	close(pair[0]);
	ready_fd = pair[1];
	/* Twice: no session leader, so no terminal ever again. */
	if (setsid() < 0 || (pid = fork()) < 0)
		fail("can't leave the session");
	if (pid > 0)
		_exit(0);
	if (chdir("/") != 0)
		fail("can't go to /");
}

int
daemon_error_fd(void)
{
	static int null = -1;

	if (ready_fd >= 0 && null < 0)
		null = open("/dev/null", O_RDWR | O_CLOEXEC);
	return null;
}

void
daemon_ready(bool keep_stderr)
{
	int null;

	if (ready_fd < 0)
		return;
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null >= 0) {
		dup2(null, 0);
		dup2(null, 1);
		if (!keep_stderr)
			dup2(null, 2);
		close(null);
	}
	if (write(ready_fd, "R", 1) < 0)
		errno = 0; /* who waited is gone: nobody to tell */
	close(ready_fd);
	ready_fd = -1;
}

void
daemon_notify(const char *state)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	size_t n = path != NULL ? strlen(path) : 0;
	int fd;

	if (n < 2 || n >= sizeof(to.sun_path) ||
	    (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(to.sun_path, path, n);
	if (path[0] == '@')
		to.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	sendto(fd, state, strlen(state), MSG_NOSIGNAL,
	    (const struct sockaddr *)&to,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
	close(fd);
}
