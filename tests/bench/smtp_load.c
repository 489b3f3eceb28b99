/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smtp_load.c - the sender of the comparisons: a session for each recipient
 * given, each sending MESSAGES mails of 4 KiB one after the other, each over a
 * connection of its own. One process and few system calls, so that the rates
 * are those of the servers. As smtp-source does, it waits for each reply before
 * the next command, and ends a connection without TIME_WAIT, which would use up
 * the ports.
 *
 *     smtp_load PORT MESSAGES RECIPIENT...
 *
 * It prints how many failed, and fails when one did.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BODY = 4096, LINE = 80, STEPS = 7, TEXT = 512, REPLY = 2048,
	LATE_MS = 60000 };

struct session {
	int fd, left, step;
	char *say[STEPS];
	size_t n[STEPS];
	char reply[REPLY];
	size_t got;
};

/* The first digit of the reply to each step: the greeting, EHLO, MAIL, RCPT,
 * DATA, the content, QUIT. */
static const char wanted[STEPS + 1] = "2222322";

static struct sockaddr_in server;
static int events;
static long failed;

/* What follows the reply to each step. */
static void
prepare(struct session *s, unsigned number, int messages, const char *to)
{
	char text[BODY + 2 * TEXT], date[64];
	const time_t now = time(NULL);
	size_t n;

	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S +0000",
	    gmtime(&now));
	s->fd = -1;
	s->left = messages;
	s->say[0] = "EHLO load.outside.test\r\n";
	asprintf(&s->say[1], "MAIL FROM:<sender%u@outside.test>\r\n", number);
	asprintf(&s->say[2], "RCPT TO:<%s>\r\n", to);
	s->say[3] = "DATA\r\n";
	n = (size_t)snprintf(text, TEXT,
	    "From: <sender%u@outside.test>\r\nTo: <%s>\r\nDate: %s\r\n"
	    "Message-Id: <load.%u.%ld@outside.test>\r\nSubject: load\r\n\r\n",
	    number, to, date, number, (long)now);
	for (size_t i = 0; i < BODY; i++)
		text[n++] = "X\r\n"[i % LINE < LINE - 2 ? 0 :
		        i % LINE - (LINE - 3)];
	memcpy(text + n, "\r\n.\r\n", sizeof("\r\n.\r\n"));
	s->say[4] = strdup(text);
	s->say[5] = "QUIT\r\n";
	for (int i = 0; i < STEPS - 1; i++)
		s->n[i] = strlen(s->say[i]);
}

static void
begin(struct session *s)
{
	const struct linger none = { .l_onoff = 1 };
	struct epoll_event event = { .events = EPOLLIN | EPOLLET,
		.data.ptr = s };

	s->step = 0;
	s->got = 0;
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (s->fd < 0 ||
	    setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none)) < 0)
		err(2, "socket");
	if (connect(s->fd, (struct sockaddr *)&server, sizeof(server)) < 0 &&
	    errno != EINPROGRESS)
		err(2, "connect");
	if (epoll_ctl(events, EPOLL_CTL_ADD, s->fd, &event) < 0)
		err(2, "epoll_ctl");
}

/* One line or several have come whole. */
static bool
is_whole(const struct session *s)
{
	const char *line;

	if (s->got < 5 || s->reply[s->got - 1] != '\n')
		return false;
	line = memrchr(s->reply, '\n', s->got - 1);
	line = line == NULL ? s->reply : line + 1;
	return s->reply + s->got - line > 4 && line[3] == ' ';
}

/* False: the connection has ended, well or not. */
static bool
go_on(struct session *s)
{
	if (s->reply[0] != wanted[s->step]) {
		warnx("step %d: %.*s", s->step, (int)s->got, s->reply);
		failed++;
		return false;
	}
	if (s->step == STEPS - 1)
		return false;
	s->got = 0;
	if (send(s->fd, s->say[s->step], s->n[s->step], MSG_NOSIGNAL) ==
	    (ssize_t)s->n[s->step]) {
		s->step++;
		return true;
	}
	warn("send");
	failed++;
	return false;
}

/* False: the session has sent all. */
static bool
on_input(struct session *s)
{
	ssize_t got = recv(s->fd, s->reply + s->got, REPLY - s->got, 0);

	if (got < 0 && errno == EAGAIN)
		return true;
	if (got <= 0) {
		warnx("step %d: the connection ended", s->step);
		failed++;
	} else {
		s->got += (size_t)got;
		if (!is_whole(s) || go_on(s))
			return true;
	}
	close(s->fd);
	if (--s->left == 0)
		return false;
	begin(s);
	return true;
}

int
main(int argc, char **argv)
{
	struct session *sessions;
	struct epoll_event ready[64];
	int open = argc - 3;

	if (open < 1)
		errx(2, "usage: smtp_load PORT MESSAGES RECIPIENT...");
	server.sin_family = AF_INET;
	server.sin_port = htons((uint16_t)atoi(argv[1]));
	server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	events = epoll_create1(0);
	sessions = calloc((size_t)open, sizeof(*sessions));
	if (events < 0 || sessions == NULL)
		err(2, "start");
	for (int i = 0; i < argc - 3; i++) {
		prepare(&sessions[i], (unsigned)i, atoi(argv[2]), argv[i + 3]);
		begin(&sessions[i]);
	}
	while (open > 0) {
		int n = epoll_wait(events, ready, 64, LATE_MS);

		if (n == 0)
			errx(2, "no reply within a minute");
		for (int i = 0; i < n; i++)
			if (!on_input(ready[i].data.ptr))
				open--;
	}
	printf("%ld\n", failed);
	return failed == 0 ? 0 : 1;
}
