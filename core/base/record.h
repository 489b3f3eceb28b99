/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.h - the one encoding of durable rows and bus messages.
 *
 * A record is a run of fields: tag (u16 LE), length (u32 LE), octets. Numbers
 * are 8 octets LE. A field may hold a record. A reader skips tags it does not
 * know, so newer writers are understood; tags are never reused. The reader
 * treats its input as hostile: every length is checked against what is left.
 */
#ifndef CORE_BASE_RECORD_H
#define CORE_BASE_RECORD_H

#include <posthouse/arena.h>

/* Writers append to a ph_buf, whose limit bounds the record. */
void record_put(struct ph_buf *buf, uint16_t tag, struct ph_slice value);
void record_put_str(struct ph_buf *buf, uint16_t tag, const char *value);
void record_put_u64(struct ph_buf *buf, uint16_t tag, uint64_t value);
/* Open a nested record; returns the mark for record_end. */
size_t record_begin(struct ph_buf *buf, uint16_t tag);
void record_end(struct ph_buf *buf, size_t mark);

struct record_field {
	uint16_t tag;
	struct ph_slice value;
};

/* Iterates: advances *rest. False at the end or at damage; damage leaves *rest
 * absent (p NULL), a clean end leaves it empty (p not NULL). */
bool record_next(struct ph_slice *rest, struct record_field *field_out);
/* The field's number; 0 when it is not 8 octets. */
uint64_t record_u64(const struct record_field *field);
/* The first field with the tag; absent when missing. */
struct ph_slice record_get(struct ph_slice record, uint16_t tag);
uint64_t record_get_u64(struct ph_slice record, uint16_t tag,
    uint64_t fallback);
/* Whether the whole record is well-formed at its top level. */
bool record_is_sound(struct ph_slice record);

/* CRC-32 (zlib's) of n octets, chained from crc (start with 0). */
uint32_t record_crc(uint32_t crc, const void *p, size_t n);

#endif
