/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posthouse/fiber.h - waiting without callbacks.
 *
 * Module code runs in a fiber. A call that is marked "suspends" lets other
 * fibers of the process run until its result is there, the deadline of the
 * fiber passes (PH_TIMEOUT) or the scope that owns the fiber ends
 * (PH_CANCELED); after either, every further wait fails at once with the same
 * status, so that ordinary returns unwind the fiber.
 * Stacks are 256 KiB: no large arrays on them.
 */
#ifndef POSTHOUSE_FIBER_H
#define POSTHOUSE_FIBER_H

#include <posthouse/arena.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Milliseconds of a clock that never goes back. */
PH_EXPORT uint64_t ph_now_ms(void);
/* Seconds since 1970, UTC. */
PH_EXPORT int64_t ph_wall_time(void);

/* Suspends. 0, PH_TIMEOUT, PH_CANCELED. */
PH_EXPORT int ph_sleep_ms(unsigned ms);

/*
 * Lower the calling fiber's deadline to at most ms from now; returns the
 * former one for ph_deadline_restore. Fibers started inherit it.
 */
PH_EXPORT uint64_t ph_deadline_push(unsigned ms);
/* Back to the deadline that ph_deadline_push returned. */
PH_EXPORT void ph_deadline_restore(uint64_t deadline_ms);

/*
 * A scope owns the fibers started in it. It lives in the frame (or arena) of
 * the fiber that opened it, and must be ended there with ph_scope_end.
 */
struct ph_scope {
	void *impl;
};
PH_EXPORT void ph_scope_begin(struct ph_scope *scope);
/* Cancel the fibers that still run and wait for their end. Suspends, whatever
 * the deadline is. */
PH_EXPORT void ph_scope_end(struct ph_scope *scope);
/* Start fn(arg) as a fiber of the scope; runs when the caller suspends. */
PH_EXPORT void ph_scope_spawn(struct ph_scope *scope, void (*fn)(void *),
    void *arg);
/* Suspends until every fiber of the scope has returned, or a status. */
PH_EXPORT int ph_scope_wait(struct ph_scope *scope);

/*
 * An event one or more fibers wait for. Plain data in the owner's memory;
 * zeroed is valid. Signal wakes all that wait now.
 */
struct ph_event {
	void *waiters;
};
PH_EXPORT void ph_event_signal(struct ph_event *event);
/* Suspends; 0 when signalled, PH_TIMEOUT after ms or the fiber's deadline. */
PH_EXPORT int ph_event_wait(struct ph_event *event, unsigned ms);
#define PH_NO_LIMIT_MS 0xffffffffu

/*
 * Run fn(arg) in the thread pool and suspend until it returned. fn may block
 * on files, must not call anything that suspends, logs or touches sessions.
 * The wait cannot be cut short: fn and arg stay valid until the return. In a
 * check, work 2 s beyond hook_timeout costs the process, as a crash would.
 */
PH_EXPORT void ph_work(void (*fn)(void *), void *arg);

#ifdef __cplusplus
}
#endif
#endif
