/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fair.h - who is next: the recipients that wait for one destination, in flows,
 * one for each sender and kind of mail; who was served least goes first. No
 * clock, nothing suspends.
 */
#ifndef CORE_QUEUE_FAIR_H
#define CORE_QUEUE_FAIR_H

#include <posthouse/base.h>

#include "queue/heap.h"

struct entry;
struct job;
struct queue_recipient;

/* What waits for one destination. */
struct fair_line {
	struct heap flows;
	size_t count; /* recipients */
};

/* Senders are told apart by this much; two of them may share a number. The
 * user when one logged in, else the address without an extension. */
uint16_t fair_payer(struct ph_slice user, struct ph_slice sender);
/* Of its sender's mail, which kind it is served as: "small" (fresh), "large"
 * (fresh) or "repeated". */
const char *fair_class(struct queue_recipient *recipient);
void fair_add(struct fair_line *line, struct queue_recipient *recipient);
void fair_remove(struct fair_line *line, struct queue_recipient *recipient);
/* How much the sender of what is next was served; false: nothing waits. Lines
 * with the least go first. */
bool fair_next(struct fair_line *line, int64_t *served_out);
/* Take what is next into the job: recipients of one message. */
void fair_take(struct fair_line *line, struct job *job);

#endif
