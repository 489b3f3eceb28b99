/* SPDX-License-Identifier: Apache-2.0 */
/* mail.h - what the pipeline's client sees of a transaction. */
#ifndef CORE_SESSION_MAIL_H
#define CORE_SESSION_MAIL_H

#include <posthouse/listener.h>

/* Fields that checks add, F_TRACE fields. */
struct ph_buf *mail_headers(struct ph_mail *mail);
struct ph_buf *mail_trace(struct ph_mail *mail);
/* The header section as it came, with what the listener put in front. */
struct ph_slice mail_header(const struct ph_mail *mail);
/* F_EDITs of checks, applied before the commit. */
struct ph_buf *mail_edits(struct ph_mail *mail);
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
