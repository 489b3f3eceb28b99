/* SPDX-License-Identifier: Apache-2.0 */
/*
 * row.c - rows with a checksum, written and read octet by octet so that
 * neither alignment nor byte order of the machine matters.
 */
#include "mail_index/row.h"

#include <zlib.h>

enum {
	ROW_VERSION = 1,
	ROW_HEAD = 5,   /* version, CRC */
	FIELD_HEAD = 5, /* tag, length */
};

static void
store_le(char *p, uint64_t value, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (char)(unsigned char)(value >> (8 * i));
}

uint64_t
row_u64(struct ph_slice value)
{
	uint64_t number = 0;

	for (size_t i = 0; i < value.n && i < 8; i++)
		number |= (uint64_t)(unsigned char)value.p[i] << (8 * i);
	return number;
}

void
row_begin(struct ph_buf *buf)
{
	static const char head[ROW_HEAD] = { ROW_VERSION };

	ph_buf_add(buf, head, sizeof(head));
}

void
row_put(struct ph_buf *buf, uint8_t tag, struct ph_slice value)
{
	char head[FIELD_HEAD] = { (char)tag };

	if (value.n > UINT32_MAX) {
		buf->full = true;
		return;
	}
	store_le(head + 1, value.n, 4);
	ph_buf_add(buf, head, sizeof(head));
	if (value.n > 0)
		ph_buf_slice(buf, value);
}

void
row_put_u64(struct ph_buf *buf, uint8_t tag, uint64_t value)
{
	char octets[8];
	size_t n = 0;

	while (n < 8 && value >> (8 * n) != 0) {
		octets[n] = (char)(unsigned char)(value >> (8 * n));
		n++;
	}
	if (n > 0)
		row_put(buf, tag, (struct ph_slice){ octets, n });
}

static uint32_t
row_crc(struct ph_slice key, struct ph_slice fields)
{
	uLong crc = crc32(0, (const Bytef *)key.p, (uInt)key.n);

	return (uint32_t)crc32(crc, (const Bytef *)fields.p, (uInt)fields.n);
}

void
row_end(struct ph_buf *buf, struct ph_slice key)
{
	if (!buf->full)
		store_le(buf->p + 1,
		    row_crc(key, (struct ph_slice){ buf->p + ROW_HEAD,
		        buf->n - ROW_HEAD }), 4);
}

static bool
fields_are_sound(struct ph_slice fields)
{
	while (fields.n > 0) {
		uint64_t n;

		if (fields.n < FIELD_HEAD)
			return false;
		n = row_u64((struct ph_slice){ fields.p + 1, 4 });
		if (n > fields.n - FIELD_HEAD)
			return false;
		fields.p += FIELD_HEAD + n;
		fields.n -= FIELD_HEAD + n;
	}
	return true;
}

int
row_open(struct ph_slice key, struct ph_slice row, struct ph_slice *fields_out)
{
	struct ph_slice fields;

	if (row.n < ROW_HEAD || row.n > UINT32_MAX || row.p[0] != ROW_VERSION)
		return PH_DEFECT;
	fields = (struct ph_slice){ row.p + ROW_HEAD, row.n - ROW_HEAD };
	if (row_u64((struct ph_slice){ row.p + 1, 4 }) !=
	    row_crc(key, fields) || !fields_are_sound(fields))
		return PH_DEFECT;
	*fields_out = fields;
	return PH_OK;
}

bool
row_next(struct ph_slice *fields, struct row_field *field_out)
{
	uint64_t n;

	if (fields->n < FIELD_HEAD)
		return false;
	n = row_u64((struct ph_slice){ fields->p + 1, 4 });
	if (n > fields->n - FIELD_HEAD)
		return false;
	field_out->tag = (uint8_t)fields->p[0];
	field_out->value = (struct ph_slice){ fields->p + FIELD_HEAD, n };
	fields->p += FIELD_HEAD + n;
	fields->n -= FIELD_HEAD + n;
	return true;
}
