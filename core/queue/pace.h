/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pace.h - how many attempts at once a destination gets, and when: a window
 * that grows with success and shrinks with failure, a rate, and a rest when it
 * does not answer. Pure: the clock is an argument, in ph_now_ms's milliseconds.
 */
#ifndef CORE_QUEUE_PACE_H
#define CORE_QUEUE_PACE_H

#include "conf/core_conf.h"

struct pace {
	unsigned running;
	unsigned window;     /* at once; 0: not begun, the terms' start */
	unsigned successes;  /* since the window last changed */
	unsigned patience;   /* windows of them until it grows; 0 is 1 */
	bool was_narrowed;   /* once, so it is widened slowly */
	unsigned failures;   /* in a row */
	unsigned rests;      /* in a row */
	bool is_known;       /* it answered the last time */
	unsigned begun;      /* in this interval of the rate */
	uint64_t interval_ms; /* when that began */
	uint64_t rest_until_ms, slow_until_ms;
};

struct pace_terms {
	struct core_limit limit; /* concurrency 0: none */
	unsigned failures;       /* in a row, then a rest */
};

enum pace_end {
	PACE_ANSWERED,   /* somebody was there, whatever was said */
	PACE_BUSY,       /* it takes no more connections now */
	PACE_NO_ANSWER,
	PACE_NOTHING,    /* says nothing of the destination */
};

/* Whether one more may begin now. */
bool pace_is_open(const struct pace *pace, const struct pace_terms *terms,
    uint64_t now_ms);
/* 0, or when it may be open again by time alone. */
uint64_t pace_opens_ms(const struct pace *pace, uint64_t now_ms);
/* 0, or until when what was begun counts against a rate or a delay. */
uint64_t pace_counts_ms(const struct pace *pace,
    const struct pace_terms *terms, uint64_t now_ms);
void pace_begin(struct pace *pace, const struct pace_terms *terms,
    uint64_t now_ms);
/* True: the destination is to rest; the caller sets rest_until_ms, a longer
 * time for each of rests. */
bool pace_end(struct pace *pace, const struct pace_terms *terms,
    enum pace_end end, uint64_t now_ms);
/* Forget that it did not answer. */
void pace_forgive(struct pace *pace);
/* The terms are new: what was begun under others does not count. */
void pace_restart(struct pace *pace);

#endif
