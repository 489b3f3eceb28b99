/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fair.h - who is next: the recipients that wait for one destination, in levels
 * of priority, each in flows, one for each sender and kind of mail. The highest
 * level goes first, but for a turn of the others now and then; in a level who
 * was served least. No clock, nothing suspends.
 */
#ifndef CORE_QUEUE_FAIR_H
#define CORE_QUEUE_FAIR_H

#include <posthouse/base.h>

#include "queue/heap.h"
#include "queue_db.h"

struct entry;
struct job;
struct queue_recipient;

enum {
	FAIR_IN_A_ROW = 4, /* of the highest level, while others wait */
	FAIR_LEVELS = 2 * QUEUE_DB_PRIORITY_MAX + 1,
};

/* Of one priority. */
struct fair_level {
	struct fair_level *next; /* lower */
	struct heap flows;       /* never empty while it is in a list */
	uint32_t last;           /* turn of the line when it was served */
	int8_t priority;
};

/* What waits for one destination. Zero is an empty one. */
struct fair_line {
	struct fair_level *levels; /* those that have something */
	struct fair_level normal;  /* priority 0, in the list or not */
	uint32_t count;            /* recipients */
	uint32_t turn;             /* counts jobs */
	uint8_t in_a_row;          /* of the highest level */
};

/* What comes first, for a choice between lines. */
struct fair_first {
	int priority;   /* the highest that waits */
	int64_t served; /* how much the sender of what is next was */
};

/* Senders are told apart by this much; two of them may share a number. The
 * user when one logged in, else the address without an extension. */
uint16_t fair_payer(struct ph_slice user, struct ph_slice sender);
/* Of its sender's mail, which kind it is served as: "small" (fresh), "large"
 * (fresh) or "repeated". */
const char *fair_class(struct queue_recipient *recipient);
void fair_add(struct fair_line *line, struct queue_recipient *recipient);
void fair_remove(struct fair_line *line, struct queue_recipient *recipient);
/* False: nothing waits. Lines of a higher level go first, then those whose
 * sender was served least. */
bool fair_next(struct fair_line *line, struct fair_first *first_out);
/* Whoever is next of what waits, which is something: he stays in the line, but
 * it was the turn of his level. */
struct queue_recipient *fair_peek(struct fair_line *line);
/* Take what is next into the job: recipients of one message. */
void fair_take(struct fair_line *line, struct job *job);

#endif
