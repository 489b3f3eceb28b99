/* SPDX-License-Identifier: Apache-2.0 */
/* json.h - texts as JSON, for what programs read. */
#ifndef CORE_BASE_JSON_H
#define CORE_BASE_JSON_H

#include <posthouse/arena.h>

/* A JSON string with its quotes. Well-formed UTF-8 stays, but for control
 * characters, which are escaped; each other octet becomes U+FFFD: JSON is UTF-8,
 * and what strangers wrote need not be. */
void json_string(struct ph_buf *buf, const char *text);
void json_slice(struct ph_buf *buf, struct ph_slice text);

#endif
