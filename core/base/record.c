/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.c - fields of tag, length and octets, written and read octet by
 * octet so that neither alignment nor byte order of the machine matters.
 */
#include "base/record.h"

#include <zlib.h>

enum { RECORD_HEAD = 6 };

static void
store_le(char *p, uint64_t value, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (char)(unsigned char)(value >> (8 * i));
}

static uint64_t
load_le(const char *p, size_t n)
{
	uint64_t value = 0;

	for (size_t i = 0; i < n; i++)
		value |= (uint64_t)(unsigned char)p[i] << (8 * i);
	return value;
}

void
record_put(struct ph_buf *buf, uint16_t tag, struct ph_slice value)
{
	char *p;

	if (value.n > UINT32_MAX) {
		buf->full = true;
		return;
	}
	p = ph_buf_reserve(buf, RECORD_HEAD + value.n);
	if (p == NULL)
		return;
	store_le(p, tag, 2);
	store_le(p + 2, value.n, 4);
	if (value.n > 0)
		memcpy(p + RECORD_HEAD, value.p, value.n);
	ph_buf_commit(buf, RECORD_HEAD + value.n);
}

void
record_put_str(struct ph_buf *buf, uint16_t tag, const char *value)
{
	record_put(buf, tag, ph_slice_str(value));
}

void
record_put_u64(struct ph_buf *buf, uint16_t tag, uint64_t value)
{
	char octets[8];

	store_le(octets, value, 8);
	record_put(buf, tag, (struct ph_slice){ octets, 8 });
}

size_t
record_begin(struct ph_buf *buf, uint16_t tag)
{
	size_t mark = buf->n;

	record_put(buf, tag, (struct ph_slice){ "", 0 });
	return mark;
}

void
record_end(struct ph_buf *buf, size_t mark)
{
	if (!buf->full)
		store_le(buf->p + mark + 2, buf->n - mark - RECORD_HEAD, 4);
}

bool
record_next(struct ph_slice *rest, struct record_field *field_out)
{
	uint64_t n;

	if (rest->n == 0)
		return false;
	if (rest->n < RECORD_HEAD ||
	    (n = load_le(rest->p + 2, 4)) > rest->n - RECORD_HEAD) {
		*rest = (struct ph_slice){ NULL, 0 };
		return false;
	}
	field_out->tag = (uint16_t)load_le(rest->p, 2);
	field_out->value = (struct ph_slice){ rest->p + RECORD_HEAD, n };
	rest->p += RECORD_HEAD + n;
	rest->n -= RECORD_HEAD + n;
	return true;
}

uint64_t
record_u64(const struct record_field *field)
{
	return field->value.n == 8 ? load_le(field->value.p, 8) : 0;
}

struct ph_slice
record_get(struct ph_slice record, uint16_t tag)
{
	struct record_field field;

	while (record_next(&record, &field))
		if (field.tag == tag)
			return field.value;
	return (struct ph_slice){ NULL, 0 };
}

uint64_t
record_get_u64(struct ph_slice record, uint16_t tag, uint64_t fallback)
{
	struct ph_slice value = record_get(record, tag);

	return value.p != NULL && value.n == 8 ? load_le(value.p, 8) : fallback;
}

bool
record_is_sound(struct ph_slice record)
{
	struct record_field field;

	if (record.p == NULL)
		return false;
	while (record_next(&record, &field))
		continue;
	return record.p != NULL;
}

uint32_t
record_crc(uint32_t crc, const void *p, size_t n)
{
	return (uint32_t)crc32_z(crc, p, n);
}
