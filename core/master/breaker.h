/* SPDX-License-Identifier: Apache-2.0 */
/*
 * breaker.h - which modules are in, broken or off, and what each has done. The
 * master tells every process; a state outlives all of them but the master.
 */
#ifndef CORE_MASTER_BREAKER_H
#define CORE_MASTER_BREAKER_H

#include "master/master.h"

struct ward {
	struct ward *next;
	char *name;              /* of its section */
	enum module_standing state;
	bool is_on_trial;        /* put back; one more crash takes it out */
	unsigned trials;         /* in a row */
	uint64_t retry_at_ms;    /* broken: on ph_now_ms's clock; 0: never */
	uint64_t changed_ms;
	uint64_t crashes;        /* since the server's start */
	int64_t last_crash;      /* seconds since 1970 */
	unsigned count;          /* crashes of the last minute */
	uint64_t *at_ms;         /* when, newest last */
	struct tally past;       /* of the processes that are gone */
	uint64_t lost;           /* calls that ended with their process */
};

/* A module of the plan; made at the first question. */
struct ward *breaker_ward(const struct module_facts *facts);
/* It was at work when its process died of its own fault. True: it is out now,
 * or will be when it goes on so. */
bool breaker_blame(const struct module_facts *facts);
/* Put back the broken ones whose time has come. Called every second. */
void breaker_try_again(void);
/* Tell a process that has just begun which modules are not in. */
void breaker_tell(const struct process *process);
/* Another plan: what was broken is in again, what is off stays off. */
void breaker_reload(void);
/* How many are broken or off. */
unsigned breaker_count_out(void);
/* The operator's word. 0, or PH_INVALID with err: this kind can't be off. */
int breaker_switch(const struct module_facts *facts, bool on,
    struct ph_err *err);
/* Take over the counters of a process that is gone. */
void breaker_take_page(const struct activity *page);
/* All that a module did, also in the processes that run. */
void breaker_sum(const struct ward *ward, struct tally *sum_out);

#endif
