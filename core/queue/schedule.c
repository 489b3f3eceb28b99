/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schedule.c - when an entry is tried next: a heap by time and one timer.
 */
#include "queue/queue.h"

#include <stdlib.h>
#include <sys/time.h>
#include <uv.h>

#include "loop/fiber.h"

static struct {
	struct entry **heap;
	size_t count, room;
	uv_timer_t timer;
	bool is_started;
} s;

static int64_t
wall_ms(void)
{
	struct timeval now;

	gettimeofday(&now, NULL);
	return (int64_t)now.tv_sec * 1000 + now.tv_usec / 1000;
}

static void
place(struct entry *entry, size_t i)
{
	s.heap[i] = entry;
	entry->heap = i + 1;
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
	wait = s.heap[0]->due_ms - wall_ms();
	if (wait < 0)
		wait = 0;
	if (wait > 60000) /* the wall clock may be set */
		wait = 60000;
	uv_timer_start(&s.timer, on_timer, (uint64_t)wait, 0);
}

static void
on_timer(uv_timer_t *timer)
{
	int64_t now = wall_ms();

	(void)timer;
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
	int64_t now = wall_ms();

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
schedule_start(void)
{
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
