/* SPDX-License-Identifier: Apache-2.0 */
/*
 * smtp_sink.c - the server that the comparisons of relays send to: it takes all
 * mail and keeps none, in one process and few system calls, so that the rates
 * are those of the relays. It answers what is pipelined at once, and counts
 * messages in a file of 8 octets that the caller maps or reads.
 *
 *     smtp_sink ADDRESS PORT COUNTER
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROOM = 256 << 10, REPLIES = 64 << 10, BACKLOG = 512 };

/* Input begins with the end of line before it, so that a dot alone in the
 * first line of the content ends it too. */
static const char end_of_data[] = "\r\n.\r\n";

struct client {
	int fd;
	bool in_data;
	size_t n;
	char input[ROOM];
};

static const struct {
	const char *verb, *reply;
} replies[] = {
	{ "EHLO ", "250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n"
	           "250-ENHANCEDSTATUSCODES\r\n250 DSN\r\n" },
	{ "HELO ", "250 sink\r\n" },
	{ "MAIL FROM:", "250 2.1.0 Ok\r\n" },
	{ "RCPT TO:", "250 2.1.5 Ok\r\n" },
	{ "DATA", "354 End data with <CR><LF>.<CR><LF>\r\n" },
	{ "RSET", "250 2.0.0 Ok\r\n" },
	{ "NOOP", "250 2.0.0 Ok\r\n" },
	{ "QUIT", "221 2.0.0 Bye\r\n" },
};

static uint64_t *taken;

static const char *
reply_to(struct client *client, const char *line, size_t n)
{
	for (size_t i = 0; i < sizeof(replies) / sizeof(*replies); i++) {
		size_t length = strlen(replies[i].verb);

		if (n < length || strncasecmp(line, replies[i].verb, length))
			continue;
		client->in_data = *line == 'D' || *line == 'd';
		return replies[i].reply;
	}
	return "500 5.5.2 Unknown\r\n";
}

/* Answer all that is whole, keep the rest. */
static size_t
take_input(struct client *client, char *out)
{
	char *p = client->input, *end = p + client->n;
	size_t n = 0;

	while (n < REPLIES - 256) {
		const char *reply = "250 2.0.0 Ok\r\n";
		char *eol = memmem(p, (size_t)(end - p),
		    client->in_data ? end_of_data : "\r\n",
		    client->in_data ? 5 : 2);

		if (eol == NULL)
			break;
		if (client->in_data) {
			client->in_data = false;
			p = eol + 5;
			++*taken;
		} else {
			reply = reply_to(client, p, (size_t)(eol - p));
			p = eol + (client->in_data ? 0 : 2);
		}
		n = (size_t)(stpcpy(out + n, reply) - out);
	}
	client->n = (size_t)(end - p);
	/* of content only what may be the beginning of its end is needed */
	if (client->in_data && client->n > 4) {
		p = end - 4;
		client->n = 4;
	}
	memmove(client->input, p, client->n);
	return n;
}

/* False: the connection has ended. */
static bool
on_input(struct client *client)
{
	static char out[REPLIES];
	ssize_t got = recv(client->fd, client->input + client->n,
	    ROOM - client->n, MSG_DONTWAIT);
	size_t n;

	if (got < 0 && errno == EAGAIN)
		return true;
	if (got <= 0)
		return false;
	client->n += (size_t)got;
	n = take_input(client, out);
	return (n == 0 || send(client->fd, out, n, MSG_NOSIGNAL) ==
	    (ssize_t)n) && client->n < ROOM;
}

static void
begin(int listener, int events)
{
	static const char greeting[] = "220 sink ESMTP\r\n";
	int yes = 1, fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	struct client *client = fd >= 0 ? malloc(sizeof(*client)) : NULL;
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = client };

	if (client == NULL)
		err(1, "accept");
	client->fd = fd;
	client->n = 0;
	client->in_data = false;
	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)) < 0 ||
	    epoll_ctl(events, EPOLL_CTL_ADD, fd, &event) < 0 ||
	    send(fd, greeting, sizeof(greeting) - 1, MSG_NOSIGNAL) < 0)
		warn("begin");
}

static int
listen_at(const char *address, const char *port)
{
	struct sockaddr_in at = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)atoi(port)) };
	int yes = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (inet_pton(AF_INET, address, &at.sin_addr) != 1 || fd < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0 ||
	    bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 ||
	    listen(fd, BACKLOG) < 0)
		err(1, "%s:%s", address, port);
	return fd;
}

int
main(int argc, char **argv)
{
	struct epoll_event ready[64], event = { .events = EPOLLIN };
	int listener, counter, events = epoll_create1(0);

	if (argc != 4)
		errx(2, "usage: smtp_sink ADDRESS PORT COUNTER");
	listener = listen_at(argv[1], argv[2]);
	counter = open(argv[3], O_RDWR | O_CREAT, 0644);
	if (counter < 0 || ftruncate(counter, sizeof(*taken)) < 0)
		err(1, "%s", argv[3]);
	taken = mmap(NULL, sizeof(*taken), PROT_READ | PROT_WRITE, MAP_SHARED,
	    counter, 0);
	if (taken == MAP_FAILED || events < 0 ||
	    epoll_ctl(events, EPOLL_CTL_ADD, listener, &event) < 0)
		err(1, "start");
	for (;;) {
		int n = epoll_wait(events, ready, 64, -1);

		for (int i = 0; i < n; i++) {
			struct client *client = ready[i].data.ptr;

			if (client == NULL) {
				begin(listener, events);
			} else if (!on_input(client)) {
				close(client->fd);
				free(client);
			}
		}
	}
}
