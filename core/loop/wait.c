/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wait.c - what fibers wait for, all built on park and wake: time, events, the
 * fibers of a scope, and blocking work in libuv's thread pool.
 */
#include "loop/event.h"
#include "loop/fiber_inner.h"

#include <stdlib.h>
#include <uv.h>

int
ph_sleep_ms(unsigned ms)
{
	uint64_t end = ph_now_ms() + ms;

	for (;;) {
		uint64_t now = ph_now_ms();
		int status;

		if (now >= end)
			return fiber_is_canceled() ? PH_CANCELED : PH_OK;
		status = fiber_park((unsigned)(end - now));
		if (status == PH_CANCELED ||
		    (status == PH_TIMEOUT && fiber_deadline() <= ph_now_ms()))
			return status;
	}
}

uint64_t
ph_deadline_push(unsigned ms)
{
	uint64_t former = fiber_deadline(), mine = ph_now_ms() + ms;

	if (ms != PH_NO_LIMIT_MS && mine < former)
		fiber_deadline_set(mine);
	return former;
}

void
ph_deadline_restore(uint64_t deadline_ms)
{
	fiber_deadline_set(deadline_ms);
}

/* --- events --- */

void
ph_event_signal(struct ph_event *event)
{
	struct event_waiter *waiter = event->waiters;

	event->waiters = NULL;
	while (waiter != NULL) {
		struct event_waiter *next = waiter->next;

		waiter->signalled = true;
		fiber_wake(waiter->fiber);
		waiter = next;
	}
}

/* Never inlined: the compiler would take the stack's address for a mistake. */
__attribute__((noinline)) void
event_enter(struct ph_event *event, struct event_waiter *waiter)
{
	waiter->fiber = fiber_self();
	waiter->signalled = false;
	waiter->next = event->waiters;
	event->waiters = waiter; /* until event_leave, so it may lie on a stack */
}

void
event_leave(struct ph_event *event, struct event_waiter *waiter)
{
	struct event_waiter *at = event->waiters, *before = NULL;

	if (waiter->signalled)
		return;
	while (at != NULL && at != waiter) {
		before = at;
		at = at->next;
	}
	if (at == NULL)
		return;
	if (before != NULL)
		before->next = waiter->next;
	else
		event->waiters = waiter->next;
}

int
ph_event_wait(struct ph_event *event, unsigned ms)
{
	struct event_waiter waiter;
	uint64_t end = ms == PH_NO_LIMIT_MS ? UINT64_MAX : ph_now_ms() + ms;
	int status = PH_OK;

	event_enter(event, &waiter);
	while (!waiter.signalled && status == PH_OK) {
		uint64_t now = ph_now_ms();

		if (end == UINT64_MAX)
			status = fiber_park(PH_NO_LIMIT_MS);
		else if (now >= end)
			status = PH_TIMEOUT;
		else
			status = fiber_park((unsigned)(end - now));
	}
	event_leave(event, &waiter);
	if (waiter.signalled)
		return fiber_is_canceled() ? PH_CANCELED : PH_OK;
	return status;
}

/* --- scopes --- */

struct fiber_scope {
	struct fiber *fibers;
	struct fiber *waiter; /* the owner, while it waits for them */
};

void
ph_scope_begin(struct ph_scope *scope)
{
	scope->impl = calloc(1, sizeof(struct fiber_scope));
	ph_assert(scope->impl != NULL);
}

void
ph_scope_spawn(struct ph_scope *scope, void (*fn)(void *), void *arg)
{
	struct fiber_scope *inner = scope->impl;
	struct fiber *fiber = fiber_start_in(inner, fn, arg);

	fiber->scope_next = inner->fibers;
	if (inner->fibers != NULL)
		inner->fibers->scope_prev = fiber;
	inner->fibers = fiber;
}

void
fiber_scope_left(struct fiber_scope *scope, struct fiber *fiber)
{
	if (fiber->scope_prev != NULL)
		fiber->scope_prev->scope_next = fiber->scope_next;
	else
		scope->fibers = fiber->scope_next;
	if (fiber->scope_next != NULL)
		fiber->scope_next->scope_prev = fiber->scope_prev;
	if (scope->fibers == NULL && scope->waiter != NULL)
		fiber_wake(scope->waiter);
}

int
ph_scope_wait(struct ph_scope *scope)
{
	struct fiber_scope *inner = scope->impl;
	int status = PH_OK;

	inner->waiter = fiber_self();
	while (inner->fibers != NULL && status == PH_OK)
		status = fiber_park(PH_NO_LIMIT_MS);
	inner->waiter = NULL;
	return status;
}

void
ph_scope_end(struct ph_scope *scope)
{
	struct fiber_scope *inner = scope->impl;

	if (inner == NULL)
		return;
	for (struct fiber *fiber = inner->fibers; fiber != NULL;
	     fiber = fiber->scope_next)
		fiber_cancel(fiber);
	inner->waiter = fiber_self();
	while (inner->fibers != NULL)
		fiber_park_hard();
	free(inner);
	scope->impl = NULL;
}

/* --- blocking work --- */

struct work {
	struct work *next, *former;
	uv_work_t request;
	uint64_t began_ms; /* the thread's; 0: it waits for one */
	void (*fn)(void *);
	void *arg;
	struct fiber *fiber;
	bool done;
};

static struct work *works;

static void
works_add(struct work *work)
{
	work->next = works;
	if (works != NULL)
		works->former = work;
	works = work;
}

static void
works_remove(struct work *work)
{
	*(work->former != NULL ? &work->former->next : &works) = work->next;
	if (work->next != NULL)
		work->next->former = work->former;
}

void
fiber_each_work(void (*fn)(const void *context, uint64_t ms, void *arg),
    void *arg)
{
	uint64_t now = ph_now_ms();

	for (const struct work *work = works; work != NULL;
	     work = work->next) {
		uint64_t began = __atomic_load_n(&work->began_ms,
		    __ATOMIC_RELAXED);

		if (began > 0 && began < now)
			fn(work->fiber->context, now - began, arg);
	}
}

static void
work_run(uv_work_t *request)
{
	struct work *work = request->data;

	__atomic_store_n(&work->began_ms, ph_now_ms(), __ATOMIC_RELAXED);
	work->fn(work->arg);
}

static void
work_after(uv_work_t *request, int status)
{
	struct work *work = request->data;

	(void)status;
	fiber_work_end();
	work->done = true;
	fiber_wake(work->fiber);
}

void
ph_work(void (*fn)(void *), void *arg)
{
	struct work work = { .fn = fn, .arg = arg, .fiber = fiber_self() };

	if (work.fiber == NULL) { /* outside a fiber nothing else could run */
		fn(arg);
		return;
	}
	work.request.data = &work;
	works_add(&work);
	fiber_work_begin();
	ph_assert(uv_queue_work(fiber_loop(), &work.request, work_run,
	    work_after) == 0);
	while (!work.done)
		fiber_park_hard();
	works_remove(&work);
}
