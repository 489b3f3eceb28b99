/* SPDX-License-Identifier: Apache-2.0 */
/*
 * header.c - the 16 octets in front of each bus message, little-endian:
 * version (2), kind (1), descriptors (1), type (2), status (2), request
 * number (4), length of the record (4). Pure.
 */
#include "bus/link.h"

enum { LINK_VERSION = 0x5031 };

static void
put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static void
put32(uint8_t *p, uint32_t v)
{
	put16(p, (uint16_t)v);
	put16(p + 2, (uint16_t)(v >> 16));
}

static uint16_t
get16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t
get32(const uint8_t *p)
{
	return get16(p) | (uint32_t)get16(p + 2) << 16;
}

void
link_header_format(const struct link_header *header,
    uint8_t octets[LINK_HEADER])
{
	put16(octets, LINK_VERSION);
	octets[2] = header->kind;
	octets[3] = header->fd_count;
	put16(octets + 4, header->type);
	put16(octets + 6, (uint16_t)header->status);
	put32(octets + 8, header->number);
	put32(octets + 12, header->length);
}

bool
link_header_parse(const uint8_t octets[LINK_HEADER],
    struct link_header *header_out)
{
	struct link_header header = {
		.kind = octets[2],
		.fd_count = octets[3],
		.type = get16(octets + 4),
		.status = (int16_t)get16(octets + 6),
		.number = get32(octets + 8),
		.length = get32(octets + 12),
	};

	if (get16(octets) != LINK_VERSION || header.kind >= LINK_KINDS ||
	    header.fd_count > BUS_FDS || header.length > BUS_MESSAGE_LIMIT ||
	    header.status > 0)
		return false;
	*header_out = header;
	return true;
}
