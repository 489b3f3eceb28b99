/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.c - a connection as buffers: filling, writing, flushing, ending.
 *
 * An idle stream holds no buffer: input is read into one place of the process
 * and what is kept is copied; output exists from write to flush. That is what
 * makes ten thousand idle connections cheap.
 */
#include "net/stream_inner.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/event.h"

/* --- octets --- */

void
octets_add(struct octets *octets, const void *p, size_t n)
{
	if (n == 0)
		return;
	if (octets->at > 0 && octets->n + n > octets->capacity) {
		memmove(octets->p, octets->p + octets->at, octets_live(octets));
		octets->n -= octets->at;
		octets->at = 0;
	}
	if (octets->n + n > octets->capacity) {
		size_t capacity = octets->n + n;

		capacity = capacity < 512 ? 512 :
		    capacity < STREAM_BUFFER ? capacity * 2 : capacity;
		octets->p = realloc(octets->p, capacity);
		ph_assert(octets->p != NULL);
		octets->capacity = capacity;
	}
	memcpy(octets->p + octets->n, p, n);
	octets->n += n;
}

void
octets_drop(struct octets *octets)
{
	if (octets_live(octets) > 0)
		return;
	free(octets->p);
	*octets = (struct octets){ 0 };
}

unsigned
stream_time_left(uint64_t start_ms, unsigned timeout_ms)
{
	uint64_t gone = ph_now_ms() - start_ms;

	if (timeout_ms == PH_NO_LIMIT_MS)
		return PH_NO_LIMIT_MS;
	return gone >= timeout_ms ? 0 : (unsigned)(timeout_ms - gone);
}

/* --- one attempt --- */

ssize_t
stream_raw_read(struct ph_stream *stream, void *p, size_t n,
    enum poll_side *want)
{
	ssize_t got;

	if (stream->ssl != NULL)
		return tls_read(stream, p, n, want);
	do
		got = recv(stream->fd, p, n, MSG_DONTWAIT);
	while (got < 0 && errno == EINTR);
	*want = POLL_INPUT;
	if (got > 0)
		return got;
	if (got == 0 || errno == ECONNRESET)
		return PH_EOF;
	return errno == EAGAIN ? 0 : PH_IO;
}

ssize_t
stream_raw_write(struct ph_stream *stream, const void *p, size_t n,
    enum poll_side *want)
{
	ssize_t put;

	if (stream->ssl != NULL)
		return tls_write(stream, p, n, want);
	do
		put = send(stream->fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (put < 0 && errno == EINTR);
	*want = POLL_OUTPUT;
	if (put >= 0)
		return put;
	if (errno == EPIPE || errno == ECONNRESET)
		return PH_EOF;
	return errno == EAGAIN ? 0 : PH_IO;
}

/* --- life --- */

static void
on_arena_end(void *object)
{
	ph_stream_close(object);
}

struct ph_stream *
stream_create(struct ph_arena *arena, int fd)
{
	struct ph_stream *stream = ph_arena_alloc(arena, sizeof(*stream));

	stream->arena = arena;
	stream->fd = fd;
	stream->write_timeout_ms = STREAM_WRITE_MS;
	stream->poll = poll_open(fd);
	if (stream->poll == NULL)
		stream->failed = PH_IO;
	ph_arena_on_end(arena, on_arena_end, stream);
	return stream;
}

static void
forget_buffers(struct ph_stream *stream)
{
	free(stream->in.p);
	free(stream->out.p);
	stream->in = stream->out = (struct octets){ 0 };
}

void
ph_stream_close(struct ph_stream *stream)
{
	tls_close(stream, false);
	poll_close(stream->poll);
	stream->poll = NULL;
	forget_buffers(stream);
	if (stream->fd >= 0)
		close(stream->fd);
	stream->fd = -1;
	stream->failed = PH_EOF;
}

void
stream_end(struct ph_stream *stream)
{
	if (stream->fd >= 0) {
		ph_stream_flush(stream);
		tls_close(stream, true);
	}
	ph_stream_close(stream);
}

int
stream_fd(const struct ph_stream *stream)
{
	return stream->fd;
}

void
stream_unread(struct ph_stream *stream, struct ph_slice octets)
{
	struct octets all = { 0 };

	if (octets.n == 0)
		return;
	octets_add(&all, octets.p, octets.n);
	if (octets_live(&stream->in) > 0)
		octets_add(&all, stream->in.p + stream->in.at,
		    octets_live(&stream->in));
	free(stream->in.p);
	stream->in = all;
}

/* --- input --- */

struct ph_slice
ph_stream_buffered(struct ph_stream *stream)
{
	if (octets_live(&stream->in) == 0)
		return (struct ph_slice){ "", 0 };
	return (struct ph_slice){ stream->in.p + stream->in.at,
		octets_live(&stream->in) };
}

void
ph_stream_consume(struct ph_stream *stream, size_t n)
{
	ph_assert(n <= octets_live(&stream->in));
	stream->in.at += n;
}

/* Take what is there; 0: nothing, wait for *want. */
static ssize_t
take_input(struct ph_stream *stream, enum poll_side *want)
{
	static char scratch[STREAM_READ];
	ssize_t got = stream_raw_read(stream, scratch, sizeof(scratch), want);

	stream->more = got == (ssize_t)sizeof(scratch) ||
	    (got > 0 && tls_pending(stream));
	if (got > 0) {
		octets_add(&stream->in, scratch, (size_t)got);
		stream->octets_in += (uint64_t)got;
	}
	return got;
}

/* Wait for a side or, when given, an event. */
static int
wait_ready(struct ph_stream *stream, enum poll_side want,
    struct ph_event *event, unsigned ms)
{
	struct event_waiter waiter;
	uint64_t start = ph_now_ms();
	int status = PH_OK;

	if (event == NULL)
		return poll_wait(stream->poll, want, ms);
	event_enter(event, &waiter);
	poll_prepare(stream->poll, want);
	while (status == PH_OK && !waiter.signalled) {
		unsigned left = stream_time_left(start, ms);

		status = left == 0 ? PH_TIMEOUT : fiber_park(left);
		if (poll_done(stream->poll, want))
			break;
		poll_prepare(stream->poll, want);
	}
	if (poll_done(stream->poll, want) || waiter.signalled)
		status = fiber_is_canceled() ? PH_CANCELED : PH_OK;
	event_leave(event, &waiter);
	return status;
}

static int
fill(struct ph_stream *stream, struct ph_event *event, unsigned timeout_ms)
{
	uint64_t start = ph_now_ms();
	enum poll_side want = POLL_INPUT;
	bool look = stream->more || tls_pending(stream);
	int status;

	octets_drop(&stream->in);
	if (octets_live(&stream->in) >= STREAM_BUFFER)
		return PH_TOO_BIG;
	status = ph_stream_flush(stream);
	if (status != PH_OK)
		return status;
	for (;;) {
		ssize_t got = 0;

		if (fiber_is_canceled())
			return PH_CANCELED;
		if (look)
			got = take_input(stream, &want);
		if (got != 0)
			return got < 0 ? (int)got : PH_OK;
		status = wait_ready(stream, want, event,
		    stream_time_left(start, timeout_ms));
		if (status != PH_OK)
			return status;
		if (event != NULL) { /* whichever it was, look once */
			got = take_input(stream, &want);
			return got < 0 ? (int)got : PH_OK;
		}
		look = true;
	}
}

int
ph_stream_fill(struct ph_stream *stream, unsigned timeout_ms)
{
	return fill(stream, NULL, timeout_ms);
}

int
ph_stream_look(struct ph_stream *stream)
{
	enum poll_side want;
	ssize_t got;

	if (octets_live(&stream->in) > 0)
		return PH_OK;
	if (stream->fd < 0)
		return PH_EOF;
	octets_drop(&stream->in);
	got = take_input(stream, &want);
	return got > 0 ? PH_OK : got == 0 ? PH_TIMEOUT : (int)got;
}

int
ph_stream_wait(struct ph_stream *stream, struct ph_event *event,
    unsigned timeout_ms)
{
	if (octets_live(&stream->in) > 0)
		return ph_stream_flush(stream);
	return fill(stream, event, timeout_ms);
}

/* --- output --- */

/* Send octets now; *octets is left with what was not sent. */
static int
send_all(struct ph_stream *stream, struct ph_slice *octets)
{
	enum poll_side want;

	while (octets->n > 0) {
		ssize_t put = stream_raw_write(stream, octets->p, octets->n,
		    &want);
		int status = PH_OK;

		if (put < 0)
			return (int)put;
		if (put == 0)
			status = poll_wait(stream->poll, want,
			    stream->write_timeout_ms);
		if (status != PH_OK)
			return status;
		octets->p += put;
		octets->n -= (size_t)put;
		stream->octets_out += (uint64_t)put;
	}
	return PH_OK;
}

/* A fiber that is told to end leaves what it said to who says farewell: a
 * reply is whole, and tells of what was done. */
static void
keep_unsent(struct ph_stream *stream, struct ph_slice queued,
    struct ph_slice rest)
{
	struct octets late = stream->out;

	if (queued.n + rest.n + octets_live(&late) > STREAM_KEPT) {
		stream->failed = PH_CANCELED;
		return;
	}
	stream->out = (struct octets){ 0 };
	octets_add(&stream->out, queued.p, queued.n);
	octets_add(&stream->out, rest.p, rest.n);
	octets_add(&stream->out, late.p + late.at, octets_live(&late));
	free(late.p);
}

/* Send what is queued, then n octets from p, in order with other fibers. */
static int
send_queued(struct ph_stream *stream, const char *p, size_t n)
{
	struct ph_slice queued, rest = { p, n };
	struct octets out;
	int status;

	while (stream->flushing && stream->failed == PH_OK) {
		status = ph_event_wait(&stream->flushed, PH_NO_LIMIT_MS);
		if (status != PH_OK)
			return status;
	}
	if (stream->failed != PH_OK)
		return stream->failed;
	out = stream->out;
	stream->out = (struct octets){ 0 };
	stream->flushing = true;
	queued = (struct ph_slice){ out.p + out.at, octets_live(&out) };
	status = send_all(stream, &queued);
	if (status == PH_OK)
		status = send_all(stream, &rest);
	if (status == PH_CANCELED && stream->failed == PH_OK)
		keep_unsent(stream, queued, rest);
	else if (status != PH_OK && stream->failed == PH_OK)
		stream->failed = status;
	free(out.p);
	stream->flushing = false;
	ph_event_signal(&stream->flushed);
	return status;
}

int
ph_stream_flush(struct ph_stream *stream)
{
	if (stream->failed != PH_OK)
		return stream->failed;
	if (octets_live(&stream->out) == 0 && !stream->flushing)
		return PH_OK;
	return send_queued(stream, NULL, 0);
}

int
ph_stream_write(struct ph_stream *stream, const void *p, size_t n)
{
	if (stream->failed != PH_OK)
		return stream->failed;
	if (n >= STREAM_OUT_SOFT)
		return send_queued(stream, p, n);
	octets_add(&stream->out, p, n);
	if (octets_live(&stream->out) >= STREAM_OUT_SOFT)
		return send_queued(stream, NULL, 0);
	return PH_OK;
}

int
ph_stream_puts(struct ph_stream *stream, const char *s)
{
	return ph_stream_write(stream, s, strlen(s));
}

int
ph_stream_printf(struct ph_stream *stream, const char *fmt, ...)
{
	struct ph_buf buf;
	va_list args;
	int n, status;
	char small[512];

	va_start(args, fmt);
	n = vsnprintf(small, sizeof(small), fmt, args);
	va_end(args);
	if (n >= 0 && (size_t)n < sizeof(small))
		return ph_stream_write(stream, small, (size_t)n);
	ph_buf_init(&buf, NULL, 1 << 20);
	if (n < 0 || ph_buf_reserve(&buf, (size_t)n + 1) == NULL) {
		ph_buf_fini(&buf);
		return PH_TOO_BIG;
	}
	va_start(args, fmt);
	vsnprintf(buf.p, (size_t)n + 1, fmt, args);
	va_end(args);
	status = ph_stream_write(stream, buf.p, (size_t)n);
	ph_buf_fini(&buf);
	return status;
}

void
ph_stream_write_timeout(struct ph_stream *stream, unsigned timeout_ms)
{
	stream->write_timeout_ms = timeout_ms;
}

uint64_t
ph_stream_octets_in(const struct ph_stream *stream)
{
	return stream->octets_in;
}

uint64_t
ph_stream_octets_out(const struct ph_stream *stream)
{
	return stream->octets_out;
}
