/* SPDX-License-Identifier: Apache-2.0 */
/* wire.c - see wire.h. */
#include "wire.h"

enum { PACKET_MAX = 1 << 20 };

int
wire_send(const struct wire *wire, char letter, struct ph_slice data)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct ph_buf head;
	int status;

	ph_buf_init(&head, arena, 8);
	wire_put_number(&head, (uint32_t)data.n + 1);
	ph_buf_char(&head, letter);
	status = ph_stream_write(wire->stream, head.p, head.n);
	if (status == PH_OK && data.n > 0)
		status = ph_stream_write(wire->stream, data.p, data.n);
	ph_arena_free(arena);
	return status;
}

/* Exactly n octets, into buf. */
static int
take(const struct wire *wire, size_t n, struct ph_buf *buf)
{
	while (n > 0) {
		struct ph_slice there = ph_stream_buffered(wire->stream);
		int status;

		if (there.n > n)
			there.n = n;
		if (there.n > 0) {
			ph_buf_slice(buf, there);
			ph_stream_consume(wire->stream, there.n);
			n -= there.n;
			continue;
		}
		status = ph_stream_fill(wire->stream, wire->timeout_ms);
		if (status != PH_OK)
			return status;
	}
	return PH_OK;
}

int
wire_receive(const struct wire *wire, struct ph_arena *arena,
    struct wire_packet *packet_out)
{
	struct ph_slice length;
	struct ph_buf buf;
	uint32_t n;
	int status;

	ph_buf_init(&buf, arena, PACKET_MAX + 4);
	status = take(wire, 4, &buf);
	if (status != PH_OK)
		return status;
	length = ph_buf_content(&buf);
	n = wire_take_number(&length);
	if (n == 0 || n > PACKET_MAX)
		return PH_PROTOCOL;
	status = take(wire, n, &buf);
	if (status != PH_OK)
		return status;
	packet_out->letter = buf.p[4];
	packet_out->data = (struct ph_slice){ buf.p + 5, n - 1 };
	return PH_OK;
}

void
wire_put_text(struct ph_buf *buf, struct ph_slice text)
{
	ph_buf_slice(buf, text);
	ph_buf_char(buf, '\0');
}

void
wire_put_number(struct ph_buf *buf, uint32_t number)
{
	for (unsigned shift = 32; shift > 0; shift -= 8)
		ph_buf_char(buf, (char)(number >> (shift - 8) & 0xff));
}

struct ph_slice
wire_take_text(struct ph_slice *rest)
{
	if (rest->p == NULL || memchr(rest->p, '\0', rest->n) == NULL)
		return (struct ph_slice){ NULL, 0 };
	return ph_slice_cut(rest, '\0');
}

uint32_t
wire_take_number(struct ph_slice *rest)
{
	uint32_t number = 0;

	if (rest->n < 4)
		return 0;
	for (unsigned i = 0; i < 4; i++)
		number = number << 8 | (unsigned char)rest->p[i];
	rest->p += 4;
	rest->n -= 4;
	return number;
}
