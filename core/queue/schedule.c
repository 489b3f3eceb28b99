/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schedule.c - when an entry is tried next: a heap by time and one timer.
 *
 * Times are wall times, for they outlive the process. A clock that is set back
 * must not put mail off for as long: what waits is moved with the clock.
 */
#include "queue/queue.h"

#include <stdlib.h>
#include <uv.h>

#include "log/log.h"
#include "loop/fiber.h"

enum {
	LOOK_MS = 60000,      /* at the latest: the clock may be set */
	SET_BACK_MS = 30000,  /* less is a clock that is disciplined */
	RETRIES_MAX = 100,
};

static struct {
	struct entry **heap;
	size_t count, room;
	uv_timer_t timer;
	bool is_started;
	int64_t longest_ms; /* of the waits between attempts, at the start */
	int64_t offset_ms; /* of the wall clock to the one that only ascends */
} s;

static void
place(struct entry *entry, size_t i)
{
	s.heap[i] = entry;
	entry->heap = (uint32_t)(i + 1);
}

static void
up(size_t i)
{
	struct entry *entry = s.heap[i];

	while (i > 0 && s.heap[(i - 1) / 2]->due_ms > entry->due_ms) {
		place(s.heap[(i - 1) / 2], i);
		i = (i - 1) / 2;
	}
	place(entry, i);
}

static void
down(size_t i)
{
	struct entry *entry = s.heap[i];

	for (;;) {
		size_t child = 2 * i + 1;

		if (child >= s.count)
			break;
		if (child + 1 < s.count &&
		    s.heap[child + 1]->due_ms < s.heap[child]->due_ms)
			child++;
		if (s.heap[child]->due_ms >= entry->due_ms)
			break;
		place(s.heap[child], i);
		i = child;
	}
	place(entry, i);
}

static void
heap_remove(struct entry *entry)
{
	size_t i = entry->heap - 1;
	struct entry *last = s.heap[--s.count];

	entry->heap = 0;
	if (last == entry)
		return;
	place(last, i);
	up(i);
	down(last->heap - 1);
}

static void
heap_add(struct entry *entry)
{
	if (s.count == s.room) {
		s.room = s.room > 0 ? s.room * 2 : 1024;
		s.heap = realloc(s.heap, s.room * sizeof(*s.heap));
		ph_assert(s.heap != NULL);
	}
	place(entry, s.count++);
	up(entry->heap - 1);
}

static void on_timer(uv_timer_t *timer);

static void
arm(void)
{
	int64_t wait;

	if (!s.is_started)
		return;
	if (s.count == 0) {
		uv_timer_stop(&s.timer);
		return;
	}
	wait = s.heap[0]->due_ms - fiber_wall_ms();
	if (wait < 0)
		wait = 0;
	if (wait > LOOK_MS)
		wait = LOOK_MS;
	uv_timer_start(&s.timer, on_timer, (uint64_t)wait, 0);
}

/* Move what waits by as much as the clock was set back. */
static void
follow_clock(void)
{
	int64_t offset = fiber_wall_ms() - (int64_t)ph_now_ms();
	int64_t back = s.offset_ms - offset;

	s.offset_ms = offset;
	if (back < SET_BACK_MS)
		return;
	ph_log(PH_WARN, "clock_set_back", ph_f_int("ms", back));
	for (struct entry *at = queue.oldest; at != NULL; at = at->next_all) {
		for (size_t i = 0; i < at->recipient_count; i++)
			at->recipients[i].next_ms -= back;
		schedule_entry(at);
	}
}

static void
on_timer(uv_timer_t *timer)
{
	int64_t now;

	(void)timer;
	follow_clock();
	now = fiber_wall_ms();
	while (s.count > 0 && s.heap[0]->due_ms <= now) {
		struct entry *entry = s.heap[0];

		heap_remove(entry);
		schedule_due(entry);
	}
	arm();
}

void
schedule_entry(struct entry *entry)
{
	int64_t due = INT64_MAX;

	if (entry->heap > 0)
		heap_remove(entry);
	if (entry->is_held || entry->is_removed || queue.is_stopping)
		return;
	for (size_t i = 0; i < entry->recipient_count; i++) {
		const struct queue_recipient *recipient =
		    &entry->recipients[i];

		if (recipient->state == QUEUE_DB_WAITING &&
		    recipient->job == NULL && recipient->next_ms < due)
			due = recipient->next_ms;
	}
	if (due == INT64_MAX)
		return;
	entry->due_ms = due;
	heap_add(entry);
	arm();
}

/* A job for what is due on the lane of recipient i. */
static void
begin_job(struct entry *entry, size_t i, int64_t now)
{
	struct lane *lane = entry->recipients[i].lane;
	struct job *job = lane_add_job(lane, entry);
	size_t taken = 0;

	for (; i < entry->recipient_count && taken < QUEUE_JOB_RCPTS; i++) {
		struct queue_recipient *recipient = &entry->recipients[i];

		if (recipient->state == QUEUE_DB_WAITING &&
		    recipient->job == NULL && recipient->next_ms <= now &&
		    recipient->lane == lane) {
			recipient->job = job;
			taken++;
		}
	}
}

void
schedule_due(struct entry *entry)
{
	int64_t now = fiber_wall_ms();

	if (queue.is_stopping || entry->is_removed)
		return;
	for (size_t i = 0; i < entry->recipient_count; i++)
		if (entry->recipients[i].state == QUEUE_DB_WAITING &&
		    entry->recipients[i].job == NULL &&
		    entry->recipients[i].next_ms <= now)
			begin_job(entry, i, now);
	schedule_entry(entry);
}

void
schedule_loaded(struct entry *entry)
{
	int64_t latest = fiber_wall_ms() + s.longest_ms;

	for (size_t i = 0; i < entry->recipient_count; i++)
		if (entry->recipients[i].next_ms > latest)
			entry->recipients[i].next_ms = latest - s.longest_ms;
	schedule_entry(entry);
}

static int64_t
longest_retry_ms(void)
{
	const struct core_conf *core = &generation_current()->core;
	int64_t longest = 0;

	for (unsigned i = 0; i < RETRIES_MAX; i++)
		if ((int64_t)core_retry_ms(core, i) > longest)
			longest = (int64_t)core_retry_ms(core, i);
	return longest;
}

void
schedule_start(void)
{
	s.offset_ms = fiber_wall_ms() - (int64_t)ph_now_ms();
	s.longest_ms = longest_retry_ms();
	uv_timer_init(fiber_loop(), &s.timer);
	uv_unref((uv_handle_t *)&s.timer);
	s.is_started = true;
	arm();
}

void
schedule_stop(void)
{
	if (s.is_started)
		uv_timer_stop(&s.timer);
	s.is_started = false;
}
