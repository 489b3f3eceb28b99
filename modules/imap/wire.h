/* SPDX-License-Identifier: Apache-2.0 */
/* wire.h - strings as IMAP writes them, and the structures made of them. Pure. */
#ifndef IMAP_WIRE_H
#define IMAP_WIRE_H

#include <posthouse/mime.h>

/* Quoted when that is possible, else a literal; NIL when absent. NUL, which
 * neither may hold, becomes a blank. */
void wire_nstring(struct ph_buf *buf, struct ph_slice s);
/* 23-Nov-2026 08:47:00 +0000, in quotes. */
void wire_date_time(struct ph_buf *buf, int64_t time);
/* envelope, RFC 3501 s7.4.2, of a header section. */
void wire_envelope(struct ph_arena *arena, struct ph_slice header,
    struct ph_buf *buf);
/*
 * body, RFC 3501 s7.4.2; extended: BODYSTRUCTURE. content is needed when a
 * message/rfc822 part is in the tree (wire_has_message), else it may be absent.
 */
void wire_body(struct ph_arena *arena, const struct ph_mime_part *part,
    struct ph_slice content, bool extended, struct ph_buf *buf);
bool wire_has_message(const struct ph_mime_part *part);

#endif
