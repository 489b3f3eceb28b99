/* SPDX-License-Identifier: Apache-2.0 */
/* field.h - header fields that checks and the policy write. Pure. */
#ifndef CORE_PIPELINE_FIELD_H
#define CORE_PIPELINE_FIELD_H

#include <posthouse/arena.h>

enum { FIELD_MAX = 900 }; /* octets of one */

/* Append "Name: value", folded at spaces, with its CRLF. The value is one line.
 * False, and nothing is added: no name of a field, or too long. */
bool field_put(struct ph_buf *buf, const char *name, const char *value);

#endif
