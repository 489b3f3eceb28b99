/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pace.c - the window of a destination, after the idea of Postfix's queue
 * manager: until the first failure each answer widens it by one, then a window
 * of answers does; each failure narrows it by one. One that refuses another
 * connection says how many it takes; the next trial to exceed that comes later
 * each time. After so many failures in a row it rests, then one attempt tries.
 */
#include "queue/pace.h"

enum { PATIENCE_MAX = 256 };

static unsigned
window_of(const struct pace *pace, const struct pace_terms *terms)
{
	unsigned most = terms->limit.concurrency;
	unsigned window = pace->window > 0 ? pace->window :
	    terms->limit.start > 0 ? terms->limit.start : most;

	return most > 0 && (window > most || window == 0) ? most : window;
}

bool
pace_is_open(const struct pace *pace, const struct pace_terms *terms,
    uint64_t now_ms)
{
	unsigned window = window_of(pace, terms);

	return (window == 0 || pace->running < window) &&
	    pace->rest_until_ms <= now_ms && pace->slow_until_ms <= now_ms;
}

uint64_t
pace_opens_ms(const struct pace *pace, uint64_t now_ms)
{
	uint64_t at = pace->rest_until_ms > pace->slow_until_ms ?
	    pace->rest_until_ms : pace->slow_until_ms;

	return at > now_ms ? at : 0;
}

uint64_t
pace_counts_ms(const struct pace *pace, const struct pace_terms *terms,
    uint64_t now_ms)
{
	uint64_t until = pace->slow_until_ms;

	if (terms->limit.messages > 0 && pace->begun > 0 &&
	    until < pace->interval_ms + terms->limit.interval_ms)
		until = pace->interval_ms + terms->limit.interval_ms;
	return until > now_ms ? until : 0;
}

void
pace_begin(struct pace *pace, const struct pace_terms *terms, uint64_t now_ms)
{
	const struct core_limit *limit = &terms->limit;

	pace->running++;
	if (limit->delay_ms > 0)
		pace->slow_until_ms = now_ms + limit->delay_ms;
	if (limit->messages == 0)
		return;
	if (pace->begun == 0 ||
	    now_ms - pace->interval_ms >= limit->interval_ms) {
		pace->interval_ms = now_ms;
		pace->begun = 0;
	}
	if (++pace->begun >= limit->messages &&
	    pace->slow_until_ms < pace->interval_ms + limit->interval_ms)
		pace->slow_until_ms = pace->interval_ms + limit->interval_ms;
}

/* By one a success up to where a destination starts, and on until the first
 * failure; then by one a window. */
static void
widen(struct pace *pace, const struct pace_terms *terms)
{
	unsigned window = window_of(pace, terms);
	unsigned patience = pace->patience > 0 ? pace->patience : 1;

	pace->successes++;
	if ((patience > 1 || (pace->was_narrowed &&
	        window >= terms->limit.start)) &&
	    pace->successes < window * patience)
		return;
	if (window < terms->limit.concurrency)
		pace->window = window + 1;
	pace->successes = 0;
}

static void
narrow(struct pace *pace, const struct pace_terms *terms, unsigned to)
{
	if (to < window_of(pace, terms))
		pace->window = to > 0 ? to : 1;
	pace->successes = 0;
	pace->was_narrowed = true;
}

bool
pace_end(struct pace *pace, const struct pace_terms *terms, enum pace_end end,
    uint64_t now_ms)
{
	pace->running--;
	switch (end) {
	case PACE_ANSWERED:
		pace->failures = pace->rests = 0;
		pace->is_known = true;
		widen(pace, terms);
		return false;
	case PACE_BUSY:
		if (pace->running > 0) { /* so many it takes */
			narrow(pace, terms, pace->running);
			if (pace->patience < PATIENCE_MAX)
				pace->patience = pace->patience > 0 ?
				    pace->patience * 2 : 2;
			return false;
		}
		break;
	case PACE_NO_ANSWER:
		break;
	case PACE_NOTHING:
		return false;
	}
	pace->failures++;
	pace->is_known = false;
	narrow(pace, terms, window_of(pace, terms) - 1);
	if (pace->failures < terms->failures || pace->rest_until_ms > now_ms)
		return false;
	pace->window = 1;
	pace->rests++;
	return true;
}

void
pace_forgive(struct pace *pace)
{
	pace->failures = pace->rests = 0;
	pace->rest_until_ms = 0;
}

void
pace_restart(struct pace *pace)
{
	pace->slow_until_ms = 0;
	pace->begun = 0;
}
