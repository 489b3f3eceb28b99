/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attempt.h - one job under way, as those see it who have a part in it: the
 * attempt itself, the hooks of checks around it, and the messages it gives rise
 * to.
 */
#ifndef CORE_QUEUE_ATTEMPT_H
#define CORE_QUEUE_ATTEMPT_H

#include <posthouse/session.h>

#include "queue/queue.h"

/* What checks said of one recipient; PH_NEXT: nothing, or nobody was asked. */
struct hook_answer {
	enum ph_verdict verdict;
	bool is_unrouted; /* deferred before it was decided where it goes */
	int code; /* of a refusal */
	struct ph_slice module, enhanced, text;
	struct ph_slice asks; /* F_REDIRECT*, among others */
};

/* What is known while a job runs. */
struct attempt {
	struct job *job;
	struct entry *entry;
	struct ph_arena *arena;
	struct ph_slice facts;
	struct ph_slice octets; /* of the content, in front of the file */
	struct ph_slice origin; /* F_ORIGIN; absent: no hook is to see it */
	int fd;
	enum pace_end end;
	bool is_nobody;         /* of ours took the job */
	bool any_delivered;
	bool *changed;          /* by index of the recipient */
	bool *attempted;        /* the same: by a result of the job */
	uint8_t *onward;        /* the same: enum ph_onward */
	struct hook_answer *answers; /* the same; NULL: nobody was asked */
	struct ph_buf verdicts; /* when somebody was asked: verdicts.h */
	struct onward *made;    /* messages that come of it */
};

enum {
	TROUBLE_MS = 60000, /* until the store is asked once more */
};

/* Whether the recipient is one of the job's. */
bool attempt_has(const struct attempt *a, const struct queue_recipient *r);

/* --- results.c --- */

/* Of a reply of mail or relay: F_RESULT for each recipient that is still open;
 * those of whom it says nothing are deferred. */
void results_take(struct attempt *a, struct ph_slice record);
/* Of those on whom checks decided. */
void results_take_verdicts(struct attempt *a);
/* There is no reply, for this reason. */
void results_not_taken(struct attempt *a, int status);
/* Of a silent job: as an operator said, or because it waited too long. */
void results_bounce(struct attempt *a);
void results_give_up(struct attempt *a);

/* --- outcome.c --- */

/* Around results and their record: one outcome of an entry at a time. The first
 * suspends until the others are done. */
void outcome_begin(struct entry *entry);
void outcome_end(struct entry *entry);
/* Make it durable. True: nothing is left to do, the message is removed.
 * Suspends. */
bool outcome_record(struct attempt *a);

/* --- retry.c --- */

/* Try again later, or never when it is too old or an operator said so. */
void attempt_defer(struct attempt *a, struct queue_recipient *r);

/* --- hooks.c --- */

/* Before anything else: what hooks are shown beside the content, where there
 * are any. PH_OK, or why it can't be read. Suspends. */
int hooks_begin(struct attempt *a);
/* The hooks before an attempt. PH_OK: answers are known; else nobody could
 * answer, nothing happened, and it should be tried again. Suspends. */
int hooks_ask(struct attempt *a);
/* What check says of a recipient, made harmless; it passed the pipeline. */
void hooks_take_answer(struct ph_slice result, struct hook_answer *answer);
/* Whether a check decided on the recipient, so that nobody else is asked. */
bool hooks_decided(const struct attempt *a, const struct queue_recipient *r);
/* The mailboxes that they want his message put into. */
void hooks_put_places(const struct attempt *a, const struct queue_recipient *r,
    struct ph_buf *buf);
/* Whether anybody wants to hear of outcomes. */
bool hooks_are_told(void);
/* Tell it of what changed; the outcome is on disk. */
void hooks_tell(struct attempt *a);

/* --- onward.c --- */

/* Make ready what the answers ask for; where that can't be now, an answer
 * becomes a deferral. Suspends. */
void onward_prepare(struct attempt *a);
/* Into the op of the outcome: those of recipients who are done. */
void onward_add(struct attempt *a, struct queue_db_op *op);
/* Whether one was put there. */
bool onward_any(const struct attempt *a);
/* The op happened: they are to be delivered; or it did not. */
void onward_done(struct attempt *a, bool happened);

#endif
