/* SPDX-License-Identifier: Apache-2.0 */
/* mail.h - what the pipeline's client sees of a transaction. */
#ifndef CORE_SESSION_MAIL_H
#define CORE_SESSION_MAIL_H

#include <posthouse/listener.h>

/* Fields that checks added before data; F_TRACE fields. */
struct ph_buf *mail_headers(struct ph_mail *mail);
struct ph_buf *mail_trace(struct ph_mail *mail);
/* F_NOTEs of checks, for hooks behind the queue. */
struct ph_buf *mail_notes(struct ph_mail *mail);
/* From data on: put those, and the session's, in front of the header section.
 * Once. */
void mail_begin_header(struct ph_mail *mail);
/* The header section as it is to be stored, as far as is known. */
struct ph_slice mail_header(const struct ph_mail *mail);
/* Apply F_EDITs and F_ADD_HEADERs, in their order. False, and nothing changed:
 * all changes together would add too much. */
bool mail_change_header(struct ph_mail *mail, struct ph_slice changes);
/*
 * Put what a check gave (given, also on failure) in the place of the body. Who
 * gave it may be broken into: PH_DEFECT, it is not sealed, or its lines do not
 * end as they must; PH_TOO_BIG. Suspends.
 */
int mail_replace_body(struct ph_mail *mail, int fd);
/* The body as it came after all. */
void mail_restore_body(struct ph_mail *mail);
/* Apply F_ENVELOPEs of a check, as far as they are sound and this session has
 * the right to them; the rest is logged. Suspends. */
void mail_change_envelope(struct ph_mail *mail, struct ph_slice changes);
/* What checks say of this message alone. */
struct score *mail_score(struct ph_mail *mail);
/* Into quarantine, and why; the first reason is kept. */
void mail_hold(struct ph_mail *mail, const char *why);
struct ph_slice mail_sender(const struct ph_mail *mail);
/* The accepted ones so far. */
const struct ph_slice *mail_recipients(const struct ph_mail *mail);
/* Sender, recipients and, when asked, the header section. */
void mail_put_envelope(struct ph_mail *mail, bool with_header,
    struct ph_buf *buf);
/* A sealed copy of the content for check. All copies together stay below
 * limits.content_memory: waits for others to end, then PH_FULL; PH_IO: there is
 * no memory at all. What is got is put back. */
int mail_content_get(struct ph_mail *mail, int *fd_out);
void mail_content_put(struct ph_mail *mail, int fd);

/* Listen to the queue's word about room; edge, once. */
void mail_serve_room(void);

#endif
