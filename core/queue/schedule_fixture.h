/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schedule_fixture.h - a queue without a store or processes, for tests: messages
 * that are sent, a clock that they step, jobs that they end.
 */
#ifndef CORE_QUEUE_SCHEDULE_FIXTURE_H
#define CORE_QUEUE_SCHEDULE_FIXTURE_H

#include "queue/queue.h"
#include "role/generation.h"

enum { JOBS = 20000 };

extern struct ph_arena *arena;
extern struct generation *generation; /* may be changed by a test */
extern uint64_t now_ms;
extern struct job *begun[JOBS];       /* and not ended, in order */
extern size_t begun_n, begun_total;
extern uint64_t next_id;
extern int8_t priority;               /* of what is sent */

void setup(void);
struct ph_slice envelope(const char *sender);
/* A message to so many at the domain that rest until then. */
struct entry *put_off(const char *sender, const char *domain,
    unsigned recipients, int64_t next_ms);
/* The same, due. */
struct entry *mail(const char *sender, const char *domain,
    unsigned recipients);
/* The i-th of those that run ends so. */
void finish(size_t i, enum pace_end how);
size_t running_for(const char *lane);
size_t running_from(const char *sender);
/* As its timer does. */
void step(uint64_t ms, struct lane *lane);

#endif
