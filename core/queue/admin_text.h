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
/* Envelope, verdicts, and with_content the first octets of the content. */
void text_show(struct entry *entry,
    const struct queue_db_message *message, bool with_content,
    struct ph_buf *buf);

#endif
