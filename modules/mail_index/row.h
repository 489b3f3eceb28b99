/* SPDX-License-Identifier: Apache-2.0 */
/*
 * row.h - how a row of the index is written: a version octet, the CRC-32 of
 * key and fields, then fields of tag (1 octet), length (4, little-endian) and
 * value. A number is as many octets as it needs, zero is left out. A reader
 * skips tags it does not know, so newer writers are understood; tags are never
 * used again for something else.
 */
#ifndef MAIL_INDEX_ROW_H
#define MAIL_INDEX_ROW_H

#include <posthouse/arena.h>

void row_begin(struct ph_buf *buf);
void row_put(struct ph_buf *buf, uint8_t tag, struct ph_slice value);
void row_put_u64(struct ph_buf *buf, uint8_t tag, uint64_t value);
/* Close the row that was begun in buf (which holds nothing else). */
void row_end(struct ph_buf *buf, struct ph_slice key);

struct row_field {
	uint8_t tag;
	struct ph_slice value;
};

/* The fields of a row, borrowed; PH_DEFECT: not what was written there. */
int row_open(struct ph_slice key, struct ph_slice row,
    struct ph_slice *fields_out);
/* Advances *fields; false at the end. */
bool row_next(struct ph_slice *fields, struct row_field *field_out);
uint64_t row_u64(struct ph_slice value);

#endif
