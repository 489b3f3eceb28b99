/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay.c - copying between a TLS stream and a socket: after a login the mail
 * process holds the other end of the socket, and edge goes on with the TLS.
 */
#include "net/stream_inner.h"

#include <sys/socket.h>

#include "loop/fiber.h"

struct relay {
	struct ph_stream *from, *to;
	uint64_t *last_ms; /* of either direction */
	unsigned idle_ms;
};

/* One direction, until its source ends or both have been silent too long. */
static void
copy(struct relay *relay)
{
	for (;;) {
		struct ph_slice have = ph_stream_buffered(relay->from);
		int status = PH_OK;

		if (have.n > 0) {
			status = ph_stream_write(relay->to, have.p, have.n);
			ph_stream_consume(relay->from, have.n);
			if (status == PH_OK)
				status = ph_stream_flush(relay->to);
			*relay->last_ms = ph_now_ms();
		} else {
			uint64_t quiet = ph_now_ms() - *relay->last_ms;

			if (quiet >= relay->idle_ms)
				return;
			status = ph_stream_fill(relay->from,
			    (unsigned)(relay->idle_ms - quiet));
			if (status == PH_TIMEOUT)
				status = PH_OK; /* the other may have moved */
		}
		if (status != PH_OK)
			return;
	}
}

/* The client's side: its end is passed on, the server may still answer. */
static void
copy_inward(void *arg)
{
	struct relay *relay = arg;

	copy(relay);
	if (relay->to->fd >= 0)
		shutdown(relay->to->fd, SHUT_WR);
}

void
stream_relay(struct ph_stream *stream, int fd, unsigned idle_ms)
{
	struct ph_stream *inner = stream_create(stream->arena, fd);
	uint64_t last_ms = ph_now_ms();
	struct relay inward = { .from = stream, .to = inner,
		.last_ms = &last_ms, .idle_ms = idle_ms };
	struct relay outward = { .from = inner, .to = stream,
		.last_ms = &last_ms, .idle_ms = idle_ms };
	struct ph_scope scope;

	ph_scope_begin(&scope);
	ph_scope_spawn(&scope, copy_inward, &inward);
	copy(&outward);
	ph_scope_end(&scope);
	ph_stream_close(inner);
}
