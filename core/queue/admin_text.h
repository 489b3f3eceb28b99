/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin_text.h - the queue as text: a line for a person, or JSON for a program.
 */
#ifndef CORE_QUEUE_ADMIN_TEXT_H
#define CORE_QUEUE_ADMIN_TEXT_H

#include "queue/select.h"

enum { ADMIN_TEXT_MAX = 400 << 10 };

/* A page of what is selected; says how to get the next one. */
void text_list(const struct selection *selection, struct ph_buf *buf);
/* Messages by destination and age. */
void text_counts(const struct selection *selection, struct ph_buf *buf);
/* The state of each recipient, and what holds it. */
void text_why(struct entry *entry, bool json, struct ph_buf *buf);

/* --- admin_show.c --- */

/* Envelope, verdicts, and with_content the first octets of the content. */
void text_show(struct entry *entry,
    const struct queue_db_message *message, bool with_content,
    struct ph_buf *buf);
/* The same as one JSON object, which is whole, however much is left out. */
void text_show_json(struct entry *entry,
    const struct queue_db_message *message, bool with_content,
    struct ph_buf *buf);

/* --- what they share --- */

const char *text_time(int64_t wall_s, char text[32]);
/* As SMTP writes it, quoted if need be; good until the next but one. */
const char *text_address(const char *address);
/* Of the next attempt. */
const char *text_next(const struct queue_recipient *r, char text[32]);
/* A line of what the last attempt was told, if there was one. */
void text_said(const struct queue_recipient *r, struct ph_buf *buf);
/* Members of JSON objects: what memory knows of a message, of a recipient. */
void text_json_entry(const struct entry *entry, struct ph_buf *buf);
void text_json_recipient(const struct entry *entry,
    const struct queue_recipient *r, struct ph_buf *buf);

#endif
