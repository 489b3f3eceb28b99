/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sched.c - which fiber runs when: a run queue, a heap of wake-up times under
 * one libuv timer, and the turn of the loop.
 *
 * A turn: libuv's callbacks wake fibers; the queue is run until it is empty
 * (after the timers and after the poll); then the turn-end functions run, which
 * send what the turn gathered. Arming a timer is a heap insertion, never a
 * system call.
 */
#include "loop/fiber_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <uv.h>

#include "log/log.h"

enum {
	TURN_END_MAX = 8,
	HELD_LIMIT_MS = 100,
	TRIM_EVERY_MS = 1000,
	MAPPINGS_USUAL = 65530, /* where the system does not say */
	MAPPINGS_OTHER = 5000,  /* libraries, heaps, mapped mail */
};

static struct {
	uv_loop_t loop;
	uv_prepare_t prepare;
	uv_check_t check;
	uv_timer_t timer;
	uv_timer_t trim_timer;
	bool trim_armed, stopping;
	struct fiber *run_first, *run_last;
	struct fiber *all;
	size_t count, limit;
	struct fiber **heap; /* from index 1, least wake_at_ms first */
	size_t heap_count, heap_capacity;
	uint64_t armed_for_ms;
	void (*turn_end[TURN_END_MAX])(void);
	bool turn_end_asked[TURN_END_MAX];
	void (*on_context)(void *context);
	bool (*on_idle)(void); /* the clock is stepped; NULL: it runs */
	uint64_t stepped_ms;
	int64_t wall_at_zero_ms;
	size_t works; /* under way in the thread pool */
} rt;

uv_loop_t *
fiber_loop(void)
{
	return &rt.loop;
}

static uint64_t
clock_ms(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t
running_ms(void)
{
	return clock_ms(CLOCK_MONOTONIC);
}

/* Late by up to a tick, and a tenth of the cost: it is asked twice a switch. */
static uint64_t
tick_ms(void)
{
	return clock_ms(CLOCK_MONOTONIC_COARSE);
}

uint64_t
ph_now_ms(void)
{
	return rt.on_idle != NULL ? rt.stepped_ms : running_ms();
}

int64_t
fiber_wall_ms(void)
{
	struct timespec now;

	if (rt.on_idle != NULL)
		return rt.wall_at_zero_ms + (int64_t)rt.stepped_ms;
	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Not time(), which is late by up to a tick of the kernel: a file changed just
 * now would be from the future. */
int64_t
ph_wall_time(void)
{
	return fiber_wall_ms() / 1000;
}

void
fiber_clock_step(int64_t wall_ms, bool (*on_idle)(void))
{
	rt.on_idle = on_idle;
	rt.stepped_ms = 1;
	rt.wall_at_zero_ms = wall_ms - 1;
}

/* --- the heap of wake-up times --- */

static void
heap_place(struct fiber *fiber, size_t i)
{
	rt.heap[i] = fiber;
	fiber->heap_index = i;
}

static void
heap_up(struct fiber *fiber, size_t i)
{
	while (i > 1 && rt.heap[i / 2]->wake_at_ms > fiber->wake_at_ms) {
		heap_place(rt.heap[i / 2], i);
		i /= 2;
	}
	heap_place(fiber, i);
}

static void
heap_down(struct fiber *fiber, size_t i)
{
	for (;;) {
		size_t child = 2 * i;

		if (child > rt.heap_count)
			break;
		if (child < rt.heap_count &&
		    rt.heap[child + 1]->wake_at_ms <
		        rt.heap[child]->wake_at_ms)
			child++;
		if (rt.heap[child]->wake_at_ms >= fiber->wake_at_ms)
			break;
		heap_place(rt.heap[child], i);
		i = child;
	}
	heap_place(fiber, i);
}

static void
heap_add(struct fiber *fiber)
{
	if (rt.heap_count + 1 >= rt.heap_capacity) {
		rt.heap_capacity = rt.heap_capacity == 0 ? 64 :
		                                           rt.heap_capacity * 2;
		rt.heap = realloc(rt.heap,
		    rt.heap_capacity * sizeof(*rt.heap));
		ph_assert(rt.heap != NULL);
	}
	heap_up(fiber, ++rt.heap_count);
}

static void
heap_remove(struct fiber *fiber)
{
	size_t i = fiber->heap_index;
	struct fiber *last = rt.heap[rt.heap_count--];

	fiber->heap_index = 0;
	if (last == fiber)
		return;
	if (i > 1 && rt.heap[i / 2]->wake_at_ms > last->wake_at_ms)
		heap_up(last, i);
	else
		heap_down(last, i);
}

/* --- the run queue --- */

static void
run_queue_add(struct fiber *fiber)
{
	if (fiber->queued)
		return;
	fiber->queued = true;
	fiber->next = NULL;
	if (rt.run_last != NULL)
		rt.run_last->next = fiber;
	else
		rt.run_first = fiber;
	rt.run_last = fiber;
}

void
fiber_wake(struct fiber *fiber)
{
	fiber->woken = true;
	if (fiber->parked)
		run_queue_add(fiber);
}

static void
on_timer(uv_timer_t *timer)
{
	uint64_t now = ph_now_ms();

	(void)timer;
	rt.armed_for_ms = UINT64_MAX;
	while (rt.heap_count > 0 && rt.heap[1]->wake_at_ms <= now) {
		struct fiber *fiber = rt.heap[1];

		heap_remove(fiber);
		fiber->timed_out = true;
		run_queue_add(fiber);
	}
}

static void
timer_arm(void)
{
	uint64_t now;

	if (rt.heap_count == 0 || rt.on_idle != NULL ||
	    rt.heap[1]->wake_at_ms >= rt.armed_for_ms)
		return;
	now = ph_now_ms();
	rt.armed_for_ms = rt.heap[1]->wake_at_ms;
	uv_update_time(&rt.loop);
	uv_timer_start(&rt.timer, on_timer,
	    rt.armed_for_ms > now ? rt.armed_for_ms - now : 0, 0);
}

static void
fiber_finish(struct fiber *fiber)
{
	if (fiber->all_prev != NULL)
		fiber->all_prev->all_next = fiber->all_next;
	else
		rt.all = fiber->all_next;
	if (fiber->all_next != NULL)
		fiber->all_next->all_prev = fiber->all_prev;
	rt.count--;
	if (fiber->scope != NULL)
		fiber_scope_left(fiber->scope, fiber);
	if (fiber->joiner != NULL)
		fiber_wake(fiber->joiner);
	else if (!fiber->joinable)
		fiber_release(fiber);
}

static void
on_trim(uv_timer_t *timer)
{
	(void)timer;
	rt.trim_armed = false;
	fiber_trim();
}

static void
fiber_run_one(struct fiber *fiber)
{
	const struct log_context *context = fiber->context;
	const char *module = context != NULL ? context->module : NULL;
	uint64_t start = tick_ms(), held;

	fiber->queued = false;
	fiber->ran = true;
	if (!rt.trim_armed) {
		rt.trim_armed = true;
		uv_timer_start(&rt.trim_timer, on_trim, TRIM_EVERY_MS, 0);
	}
	if (rt.on_context != NULL)
		rt.on_context(fiber->context);
	fiber_switch_in(fiber);
	if (rt.on_context != NULL)
		rt.on_context(NULL);
	held = tick_ms() - start;
	/* The context it began with may be gone; the name lasts as long as what
	 * the fiber works for. */
	context = fiber->ended ? NULL : fiber->context;
	if (module == NULL && context != NULL)
		module = context->module;
	if (held > HELD_LIMIT_MS)
		ph_log(PH_WARN, "loop_held", ph_f_int("ms", (int64_t)held),
		    ph_f_str("module", fiber->ended ? NULL : module));
	if (fiber->ended)
		fiber_finish(fiber);
}

static void
run_ready(void)
{
	while (rt.run_first != NULL) {
		struct fiber *fiber = rt.run_first;

		rt.run_first = fiber->next;
		if (rt.run_first == NULL)
			rt.run_last = NULL;
		fiber_run_one(fiber);
	}
}

static bool
turn_ends_run(void)
{
	bool ran = false;

	for (size_t i = 0; i < TURN_END_MAX; i++) {
		if (!rt.turn_end_asked[i])
			continue;
		rt.turn_end_asked[i] = false;
		rt.turn_end[i]();
		ran = true;
	}
	return ran;
}

void
fiber_at_turn_end(void (*fn)(void))
{
	for (size_t i = 0; i < TURN_END_MAX; i++) {
		if (rt.turn_end[i] == NULL)
			rt.turn_end[i] = fn;
		if (rt.turn_end[i] == fn) {
			rt.turn_end_asked[i] = true;
			return;
		}
	}
	ph_assert(false && "more than 8 functions at the turn's end");
}

/* A stepped clock jumps when nothing else can happen. False: it did not. */
static bool
clock_jump(void)
{
	if (rt.on_idle == NULL || rt.works > 0 || rt.stopping)
		return false;
	if (rt.on_idle())
		return true;
	if (rt.heap_count == 0)
		return false;
	if (rt.heap[1]->wake_at_ms > rt.stepped_ms)
		rt.stepped_ms = rt.heap[1]->wake_at_ms;
	on_timer(&rt.timer);
	return true;
}

void
fiber_work_begin(void)
{
	rt.works++;
}

void
fiber_work_end(void)
{
	rt.works--;
}

static void
on_prepare(uv_prepare_t *prepare)
{
	(void)prepare;
	do
		run_ready();
	while (turn_ends_run() || rt.run_first != NULL || clock_jump());
	timer_arm();
	log_flush();
	if (rt.stopping)
		uv_stop(&rt.loop);
}

static void
on_check(uv_check_t *check)
{
	(void)check;
	run_ready();
}

/* --- life --- */

/* Of stacks: each has a guard page, which is a mapping of its own. */
static size_t
find_limit(void)
{
	FILE *file = fopen("/proc/sys/vm/max_map_count", "re");
	size_t mappings = 0;

	if (file == NULL || fscanf(file, "%zu", &mappings) != 1)
		mappings = MAPPINGS_USUAL;
	if (file != NULL)
		fclose(file);
	return mappings > 2 * MAPPINGS_OTHER ?
	    (mappings - MAPPINGS_OTHER) / 2 : MAPPINGS_OTHER / 2;
}

bool
fiber_has_room(size_t more)
{
	return rt.count + more <= rt.limit;
}

void
fiber_runtime_init(void)
{
	memset(&rt, 0, sizeof(rt));
	rt.limit = find_limit();
	rt.armed_for_ms = UINT64_MAX;
	ph_assert(uv_loop_init(&rt.loop) == 0);
	uv_prepare_init(&rt.loop, &rt.prepare);
	uv_check_init(&rt.loop, &rt.check);
	uv_timer_init(&rt.loop, &rt.timer);
	uv_timer_init(&rt.loop, &rt.trim_timer);
	uv_prepare_start(&rt.prepare, on_prepare);
	uv_check_start(&rt.check, on_check);
}

void
fiber_runtime_run(void)
{
	uv_run(&rt.loop, UV_RUN_DEFAULT);
	rt.stopping = false;
}

void
fiber_runtime_stop(void)
{
	rt.stopping = true;
	uv_stop(&rt.loop);
}

static void
close_handle(uv_handle_t *handle, void *arg)
{
	(void)arg;
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

void
fiber_runtime_fini(void)
{
	uv_walk(&rt.loop, close_handle, NULL);
	uv_run(&rt.loop, UV_RUN_DEFAULT);
	uv_loop_close(&rt.loop);
	fiber_pool_empty();
	free(rt.heap);
	memset(&rt, 0, sizeof(rt));
}

struct fiber *
fiber_start_in(struct fiber_scope *scope, void (*fn)(void *), void *arg)
{
	struct fiber *self = fiber_self(), *fiber = fiber_obtain();

	fiber->fn = fn;
	fiber->arg = arg;
	fiber->scope = scope;
	fiber->deadline_ms = UINT64_MAX;
	if (self != NULL) {
		fiber->context = self->context;
		if (scope != NULL)
			fiber->deadline_ms = self->deadline_ms;
	}
	fiber->all_next = rt.all;
	if (rt.all != NULL)
		rt.all->all_prev = fiber;
	rt.all = fiber;
	rt.count++;
	run_queue_add(fiber);
	return fiber;
}

struct fiber *
fiber_start(void (*fn)(void *), void *arg)
{
	struct fiber *fiber = fiber_start_in(NULL, fn, arg);

	fiber->context = NULL; /* it may outlive whose it is */
	return fiber;
}

struct fiber *
fiber_start_joinable(void (*fn)(void *), void *arg)
{
	struct fiber *fiber = fiber_start_in(NULL, fn, arg);

	fiber->joinable = true;
	return fiber;
}

void
fiber_join(struct fiber *fiber)
{
	ph_assert(fiber->joinable && fiber->joiner == NULL);
	while (!fiber->ended) {
		fiber->joiner = fiber_self();
		fiber_park_hard();
	}
	fiber_release(fiber);
}

/* --- parking --- */

static void
park_switch(struct fiber *self)
{
	self->parked = true;
	fiber_switch_out();
	self->parked = false;
	if (self->heap_index != 0)
		heap_remove(self);
}

int
fiber_park(unsigned ms)
{
	struct fiber *self = fiber_self();
	uint64_t now, at;

	ph_assert(self != NULL);
	if (self->canceled)
		return PH_CANCELED;
	if (self->woken) {
		self->woken = false;
		return PH_OK;
	}
	at = self->deadline_ms;
	if (ms != PH_NO_LIMIT_MS || at != UINT64_MAX) {
		now = ph_now_ms();
		if (ms != PH_NO_LIMIT_MS && now + ms < at)
			at = now + ms;
		if (at <= now)
			return PH_TIMEOUT;
		self->wake_at_ms = at;
		heap_add(self);
	}
	self->timed_out = false;
	park_switch(self);
	if (self->canceled)
		return PH_CANCELED;
	if (self->woken) {
		self->woken = false;
		return PH_OK;
	}
	return PH_TIMEOUT;
}

void
fiber_park_hard(void)
{
	struct fiber *self = fiber_self();

	ph_assert(self != NULL);
	self->hard = true;
	while (!self->woken)
		park_switch(self);
	self->hard = false;
	self->woken = false;
}

void
fiber_cancel(struct fiber *fiber)
{
	fiber->canceled = true;
	if (fiber->parked && !fiber->hard)
		run_queue_add(fiber);
}

bool
fiber_is_canceled(void)
{
	return fiber_self() != NULL && fiber_self()->canceled;
}

uint64_t
fiber_deadline(void)
{
	return fiber_self() != NULL ? fiber_self()->deadline_ms : UINT64_MAX;
}

void
fiber_deadline_set(uint64_t deadline_ms)
{
	if (fiber_self() != NULL)
		fiber_self()->deadline_ms = deadline_ms;
}

void
fiber_on_context(void (*fn)(void *context))
{
	rt.on_context = fn;
}

void *
fiber_context(void)
{
	return fiber_self() != NULL ? fiber_self()->context : NULL;
}

void
fiber_context_set(void *context)
{
	if (fiber_self() == NULL)
		return;
	fiber_self()->context = context;
	if (rt.on_context != NULL)
		rt.on_context(context);
}

size_t
fiber_count(void)
{
	return rt.count;
}

void
fiber_trim(void)
{
	for (struct fiber *fiber = rt.all; fiber != NULL;
	     fiber = fiber->all_next) {
		if (!fiber->ran || !fiber->parked)
			continue;
		fiber->ran = false;
		fiber_trim_stack(fiber);
	}
}
