/* SPDX-License-Identifier: Apache-2.0 */
/*
 * line.h - a queue of jobs that one fiber works off in batches: while one batch
 * is at work the next gathers, and nothing waits for a timer.
 */
#ifndef STORE_MAILDIR_LINE_H
#define STORE_MAILDIR_LINE_H

#include <posthouse/fiber.h>

struct line_job {
	struct line_job *next;
	unsigned weight; /* 0 counts as 1 */
	bool taken;      /* being worked on: its memory must stay */
	bool done;
	struct ph_event event;
	/* Nobody waits for it: called when it is done. */
	void (*detached)(struct line_job *job);
};

struct line {
	struct line_job *first, *last;
	unsigned batch_weight; /* a batch ends before it weighs more */
	struct ph_event wake;
	/* Work the list off, in the line's fiber; may suspend. */
	void (*run)(struct line *line, struct line_job *jobs);
};

/* The fiber belongs to the scope; it ends when the scope does and nothing is
 * queued any more. */
void line_start(struct line *line, struct ph_scope *scope);
/*
 * Queue the job and suspend until it is done: PH_OK. A caller whose deadline
 * passes, or who is canceled, before the work began takes the job back and
 * gets that status; once begun it is waited for. must: never taken back.
 */
int line_do(struct line *line, struct line_job *job, bool must);
/* Queue a job nobody waits for. */
void line_post(struct line *line, struct line_job *job);
/* Suspend until *done, whatever becomes of the calling fiber. */
void line_wait_hard(const bool *done, struct ph_event *event);

#endif
