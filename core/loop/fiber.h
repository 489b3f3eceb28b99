/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fiber.h - stackful coroutines on the process's one loop; what the core adds
 * to <posthouse/fiber.h>.
 *
 * The primitive is park/wake: a fiber parks after it arranged that somebody
 * wakes it; park returns 0 for a wake, PH_TIMEOUT at the deadline, PH_CANCELED
 * when its scope ends. Everything that waits (stream, dns, bus, event, sleep,
 * work) is built on it.
 */
#ifndef CORE_LOOP_FIBER_H
#define CORE_LOOP_FIBER_H

#include <posthouse/fiber.h>

struct fiber;
struct uv_loop_s;

/* The process's loop; created by fiber_runtime_init, one per process. */
struct uv_loop_s *fiber_loop(void);
void fiber_runtime_init(void);
/* Run until fiber_runtime_stop; returns then (fibers may still be parked). */
void fiber_runtime_run(void);
void fiber_runtime_stop(void);
/* All must have ended; for tests and sanitizers. */
void fiber_runtime_fini(void);

/*
 * Call fn once when no fiber is runnable any more, before the loop looks for
 * events: where what one turn gathered is sent (bus). Asking twice in a turn
 * is one call. Never suspends; fn must not either, but may wake fibers.
 */
void fiber_at_turn_end(void (*fn)(void));

/* Milliseconds since 1970, UTC; may be set back. */
int64_t fiber_wall_ms(void);
/*
 * After fiber_runtime_init: from now on the clock stands, and shows wall_ms.
 * When no fiber can run, nothing is at work in the thread pool and on_idle()
 * did not change that (it returns whether it did), the clock jumps to the next
 * time somebody waits for. For the plugin harness and tests.
 */
void fiber_clock_step(int64_t wall_ms, bool (*on_idle)(void));

/* Start a fiber that nobody owns; it begins in this or the next turn of the
 * loop. It has no context and no deadline: it may outlive whose they are. Those
 * of a scope inherit both, joinable ones the context. */
struct fiber *fiber_start(void (*fn)(void *), void *arg);
/* NULL outside a fiber (a loop callback). */
struct fiber *fiber_self(void);
/* Suspend until woken, the fiber's deadline, or at most ms (PH_NO_LIMIT_MS). */
int fiber_park(unsigned ms);
/* The same, ignoring deadline and cancelation: for clean-up that must finish. */
void fiber_park_hard(void);
/* Make it runnable; a wake before the park is remembered (once). From loop
 * callbacks or fibers, never from other threads. */
void fiber_wake(struct fiber *fiber);
/* Every wait of the fiber fails with PH_CANCELED from now on. */
void fiber_cancel(struct fiber *fiber);
bool fiber_is_canceled(void);
/* Suspend until the fiber has ended (hard). It must not be joined twice, and
 * only fibers made by fiber_start_joinable may be. */
struct fiber *fiber_start_joinable(void (*fn)(void *), void *arg);
void fiber_join(struct fiber *fiber);

/* The deadline on ph_now_ms's clock; UINT64_MAX: none. */
uint64_t fiber_deadline(void);
void fiber_deadline_set(uint64_t deadline_ms);

/* One pointer per fiber, inherited by those it starts: the log context and the
 * module on whose behalf it runs. */
void *fiber_context(void);
void fiber_context_set(void *context);

/* Call fn whenever a fiber begins to run or changes its context, with that
 * context; NULL: nobody. It must not suspend. One function, the newest. */
void fiber_on_context(void (*fn)(void *context));

/* Call fn for each work that a thread of the pool is at, with the context of the
 * fiber that waits for it and for how long. */
void fiber_each_work(void (*fn)(const void *context, uint64_t ms, void *arg),
    void *arg);

/* Figures for `posthousectl status` and the tests. */
size_t fiber_count(void);
/* Whether that many more can be started. A stack is two mappings, and the
 * system grants a process so many (vm.max_map_count); without one the process
 * ends, so who begins work for strangers asks first. */
bool fiber_has_room(size_t more);
/* Give back the unused stack pages of parked fibers; called by a timer of the
 * runtime, exported for the memory test. */
void fiber_trim(void);

#endif
