/* SPDX-License-Identifier: Apache-2.0 */
/*
 * frame.c - length and record, on a stream of the loop or a plain socket. What
 * comes in is hostile: the length is bounded before memory is taken.
 */
#include "master/frame.h"

#include <posthouse/fiber.h>

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/record.h"

enum { FRAME_HEAD = 4 };

static void
format_length(char head[FRAME_HEAD], size_t n)
{
	for (unsigned i = 0; i < FRAME_HEAD; i++)
		head[i] = (char)(unsigned char)(n >> (8 * i));
}

static size_t
parse_length(const char *head)
{
	size_t n = 0;

	for (unsigned i = 0; i < FRAME_HEAD; i++)
		n |= (size_t)(unsigned char)head[i] << (8 * i);
	return n;
}

static int
check(struct ph_slice record, struct ph_slice *record_out)
{
	if (!record_is_sound(record))
		return PH_INVALID;
	*record_out = record;
	return PH_OK;
}

/* --- in a fiber --- */

int
frame_write(struct ph_stream *stream, struct ph_slice record)
{
	char head[FRAME_HEAD];
	int status;

	format_length(head, record.n);
	status = ph_stream_write(stream, head, sizeof(head));
	if (status == PH_OK)
		status = ph_stream_write(stream, record.p, record.n);
	return status == PH_OK ? ph_stream_flush(stream) : status;
}

static int
read_exactly(struct ph_stream *stream, char *to, size_t n, uint64_t deadline_ms)
{
	size_t have = 0;

	while (have < n) {
		struct ph_slice got = ph_stream_buffered(stream);
		uint64_t now = ph_now_ms();
		int status;

		if (got.n > n - have)
			got.n = n - have;
		if (got.n > 0) {
			memcpy(to + have, got.p, got.n);
			have += got.n;
			ph_stream_consume(stream, got.n);
			continue;
		}
		if (now >= deadline_ms)
			return PH_TIMEOUT;
		status = ph_stream_fill(stream, (unsigned)(deadline_ms - now));
		if (status != PH_OK)
			return status;
	}
	return PH_OK;
}

int
frame_read(struct ph_stream *stream, struct ph_arena *arena, size_t limit,
    unsigned timeout_ms, struct ph_slice *record_out)
{
	uint64_t deadline_ms = ph_now_ms() + timeout_ms;
	char head[FRAME_HEAD], *p;
	int status = read_exactly(stream, head, sizeof(head), deadline_ms);
	size_t n;

	if (status != PH_OK)
		return status;
	n = parse_length(head);
	if (n > limit)
		return PH_TOO_BIG;
	p = ph_arena_alloc(arena, n + 1);
	status = read_exactly(stream, p, n, deadline_ms);
	return status == PH_OK ? check((struct ph_slice){ p, n }, record_out) :
	                         status;
}

/* --- without a loop --- */

static int
wait_ready(int fd, short events, int stall_ms)
{
	struct pollfd poll_fd = { .fd = fd, .events = events };
	int n;

	while ((n = poll(&poll_fd, 1, stall_ms)) < 0)
		if (errno != EINTR)
			return PH_IO;
	return n == 0 ? PH_TIMEOUT : PH_OK;
}

static int
send_all(int fd, const char *p, size_t n, int stall_ms)
{
	while (n > 0) {
		ssize_t put = send(fd, p, n, MSG_NOSIGNAL);

		if (put < 0 && errno == EAGAIN) {
			int status = wait_ready(fd, POLLOUT, stall_ms);

			if (status != PH_OK)
				return status;
			continue;
		}
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return errno == EPIPE ? PH_EOF : PH_IO;
		p += put;
		n -= (size_t)put;
	}
	return PH_OK;
}

static int
receive_all(int fd, char *p, size_t n)
{
	while (n > 0) {
		ssize_t got = recv(fd, p, n, 0);

		if (got < 0 && errno == EAGAIN &&
		    wait_ready(fd, POLLIN, -1) == PH_OK)
			continue;
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got == 0 ? PH_EOF : PH_IO;
		p += got;
		n -= (size_t)got;
	}
	return PH_OK;
}

int
frame_send(int fd, struct ph_slice record, int stall_ms)
{
	char head[FRAME_HEAD];
	int status;

	format_length(head, record.n);
	status = send_all(fd, head, sizeof(head), stall_ms);
	return status == PH_OK ? send_all(fd, record.p, record.n, stall_ms) :
	                         status;
}

int
frame_receive(int fd, struct ph_arena *arena, size_t limit,
    struct ph_slice *record_out)
{
	char head[FRAME_HEAD], *p;
	int status = receive_all(fd, head, sizeof(head));
	size_t n;

	if (status != PH_OK)
		return status;
	n = parse_length(head);
	if (n > limit)
		return PH_TOO_BIG;
	p = ph_arena_alloc(arena, n + 1);
	status = receive_all(fd, p, n);
	return status == PH_OK ? check((struct ph_slice){ p, n }, record_out) :
	                         status;
}
