/* SPDX-License-Identifier: Apache-2.0 */
/* field.h - header fields that checks and the policy write. Pure. */
#ifndef CORE_PIPELINE_FIELD_H
#define CORE_PIPELINE_FIELD_H

#include <posthouse/arena.h>

enum { FIELD_MAX = 24 << 10 }; /* octets of one */

/* Append "Name: value", folded at spaces, with its CRLF; a word too long for a
 * line is broken. The value is one line.
 * False, and nothing is added: no name of a field, or too long. */
bool field_put(struct ph_buf *buf, const char *name, const char *value);
/* Whether it is one whole field with its CRLF, perhaps folded, so that nothing
 * after it is moved into the content. */
bool field_is_whole(struct ph_slice field);

/* What a check asks of a header section, on the bus. */
enum field_change { FIELD_INSERT = 1, FIELD_CHANGE, FIELD_REMOVE };
void field_put_removal(struct ph_buf *buf, const char *name, unsigned n);
/* at: FIELD_INSERT the place, FIELD_CHANGE which of that name; from 1. */
void field_put_change(struct ph_buf *buf, enum field_change change,
    unsigned at, const char *name, const char *value);

#endif
