/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fiber_inner.h - between fiber.c (stacks and switches), sched.c (who runs
 * when) and wait.c (what fibers wait for).
 */
#ifndef CORE_LOOP_FIBER_INNER_H
#define CORE_LOOP_FIBER_INNER_H

#include "loop/fiber.h"

struct fiber_stack;
struct fiber_scope;

/* Lies at the top of its own stack: a fiber costs no allocation. */
struct fiber {
	struct fiber_stack *stack;
	void (*fn)(void *);
	void *arg;
	void *context;
	uint64_t deadline_ms;
	uint64_t wake_at_ms; /* while in the heap */
	size_t heap_index;   /* 0: not in the heap */
	struct fiber *next;  /* run queue or pool */
	struct fiber *all_prev, *all_next;
	struct fiber_scope *scope;
	struct fiber *scope_prev, *scope_next;
	struct fiber *joiner;
	void *parked_at; /* stack pointer of the parked frame */
	bool fresh;      /* its stack was never entered */
	bool ended, joinable;
	bool queued;     /* in the run queue */
	bool parked, woken, timed_out, canceled;
	bool hard;       /* parked without regard to cancelation */
	bool ran;        /* since the last trim */
};

struct fiber *fiber_obtain(void);
void fiber_release(struct fiber *fiber);
void fiber_switch_in(struct fiber *fiber);
void fiber_switch_out(void);
void fiber_trim_stack(struct fiber *fiber);
void fiber_pool_empty(void);

/* Start a fiber that belongs to a scope. */
struct fiber *fiber_start_in(struct fiber_scope *scope, void (*fn)(void *),
    void *arg);
/* Told by the scheduler when a fiber of the scope ended. */
void fiber_scope_left(struct fiber_scope *scope, struct fiber *fiber);

/* Around each work in the thread pool: a stepped clock waits for it. */
void fiber_work_begin(void);
void fiber_work_end(void);

#endif
