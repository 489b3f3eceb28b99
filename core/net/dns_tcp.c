/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_tcp.c - DNS over TCP: each message after its length in two octets
 * (RFC 7766 s8). One question a connection, since truncation is rare.
 */
#include "net/dns_tcp.h"

#include <errno.h>
#include <posthouse/stream.h>
#include <sys/random.h>

#include "loop/fiber.h"

static unsigned
time_left(uint64_t end_ms)
{
	uint64_t now = ph_now_ms();

	return end_ms > now ? (unsigned)(end_ms - now) : 0;
}

/* Exactly n octets into p; they may be more than a stream buffers. */
static int
read_exactly(struct ph_stream *stream, char *p, size_t n, uint64_t end_ms)
{
	while (n > 0) {
		struct ph_slice buffered = ph_stream_buffered(stream);
		size_t part = buffered.n < n ? buffered.n : n;

		if (part == 0) {
			unsigned left = time_left(end_ms);
			int status = left == 0 ? PH_TIMEOUT :
			    ph_stream_fill(stream, left);

			if (status != PH_OK)
				return status;
			continue;
		}
		memcpy(p, buffered.p, part);
		ph_stream_consume(stream, part);
		p += part;
		n -= part;
	}
	return PH_OK;
}

static int
send_query(struct ph_stream *stream, uint16_t id, const char *name,
    enum dns_kind kind, uint64_t end_ms)
{
	uint8_t packet[2 + DNS_QUERY_MAX];
	size_t n = dns_query_build(packet + 2, id, name, kind);
	int status;

	packet[0] = (uint8_t)(n >> 8);
	packet[1] = (uint8_t)n;
	ph_stream_write_timeout(stream, time_left(end_ms));
	status = ph_stream_write(stream, packet, n + 2);
	return status == PH_OK ? ph_stream_flush(stream) : status;
}

static int
read_answer(struct ph_arena *arena, struct ph_stream *stream, uint16_t id,
    uint64_t end_ms, struct ph_slice *packet_out)
{
	unsigned char head[2];
	char *packet;
	size_t n;
	int status = read_exactly(stream, (char *)head, 2, end_ms);

	if (status != PH_OK)
		return status;
	n = (size_t)head[0] << 8 | head[1];
	if (n < 12)
		return PH_PROTOCOL;
	packet = ph_arena_alloc(arena, n);
	status = read_exactly(stream, packet, n, end_ms);
	if (status != PH_OK)
		return status;
	if (((unsigned char)packet[0] << 8 | (unsigned char)packet[1]) != id)
		return PH_PROTOCOL;
	*packet_out = (struct ph_slice){ packet, n };
	return PH_OK;
}

int
dns_tcp_ask(struct ph_arena *arena, const struct ph_addr *server,
    uint16_t port, const char *name, enum dns_kind kind, uint64_t end_ms,
    struct ph_slice *packet_out)
{
	struct ph_stream *stream;
	struct ph_err err;
	uint16_t id;
	int status;

	if (time_left(end_ms) == 0)
		return PH_TIMEOUT;
	if (getrandom(&id, sizeof(id), GRND_NONBLOCK) != sizeof(id))
		return ph_err_set(&err, PH_IO, errno, "getrandom");
	status = ph_connect(arena, server, port, time_left(end_ms), &stream,
	    &err);
	if (status != PH_OK)
		return status;
	status = send_query(stream, id, name, kind, end_ms);
	if (status == PH_OK)
		status = read_answer(arena, stream, id, end_ms, packet_out);
	ph_stream_close(stream);
	return status;
}
