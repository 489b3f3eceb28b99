/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schedule.c - when an entry is tried next: a heap by time and one timer. What
 * stands in the line of a destination needs none of its own, but for the times
 * when its sender must hear that it waits, or that it waited too long.
 *
 * Times are wall times, for they outlive the process. A clock that is set back
 * must not put mail off for as long: what waits is moved with the clock.
 */
#include "queue/routing.h"

#include <stdlib.h>
#include <uv.h>

#include "log/log.h"
#include "loop/fiber.h"

enum {
	LOOK_MS = 60000,      /* at the latest: the clock may be set */
	SET_BACK_MS = 30000,  /* less is a clock that is disciplined */
	RETRIES_MAX = 100,
	LOOK_AGAIN_MS = 600000, /* at what is too old and not tried yet */
};

static struct {
	struct heap heap;
	uv_timer_t timer;
	bool is_started;
	int64_t longest_ms; /* of the waits between attempts, at the start */
	int64_t offset_ms; /* of the wall clock to the one that only ascends */
} s;

static void on_timer(uv_timer_t *timer);

static void
arm(void)
{
	const struct heap_node *first = heap_first(&s.heap);
	int64_t wait;

	if (!s.is_started)
		return;
	if (first == NULL) {
		uv_timer_stop(&s.timer);
		return;
	}
	wait = first->key - fiber_wall_ms();
	if (wait < 0)
		wait = 0;
	if (wait > LOOK_MS)
		wait = LOOK_MS;
	uv_timer_start(&s.timer, on_timer, (uint64_t)wait, 0);
}

/* A time of day that a user chose stays what it is. */
static bool
is_wished(const struct entry *entry, const struct queue_recipient *r)
{
	return entry->begun_at > entry->received_at &&
	    r->next_ms == (int64_t)entry->begun_at * 1000;
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
			if (!is_wished(at, &at->recipients[i]))
				at->recipients[i].next_ms -= back;
		schedule_entry(at);
	}
}

static void
on_timer(uv_timer_t *timer)
{
	struct heap_node *first;
	int64_t now;

	(void)timer;
	follow_clock();
	now = fiber_wall_ms();
	while ((first = heap_first(&s.heap)) != NULL && first->key <= now) {
		struct entry *entry = HEAP_OF(first, struct entry, due);

		heap_remove(&s.heap, &entry->due);
		schedule_due(entry);
	}
	arm();
}

/* When to look at one in line nevertheless. */
static int64_t
look_ms(const struct entry *entry, int64_t now)
{
	const struct core_queue *conf = &generation_current()->core.queue;
	int64_t received = (int64_t)entry->begun_at * 1000;
	int64_t end = received + conf->lifetime_ms;
	int64_t warning = received + conf->delay_warning_ms;

	if (conf->delay_warning_ms > 0 && warning > now &&
	    (warning < end || end <= now))
		return warning;
	return end > now ? end : now + LOOK_AGAIN_MS;
}

/* Whether its sender is to hear of one in line, without another attempt: that
 * it waits, or that it did so too long. Nothing bounces untried while its
 * destination is at work. */
static bool
is_overdue(const struct entry *entry, const struct queue_recipient *r,
    int64_t now)
{
	const struct core_queue *conf = &generation_current()->core.queue;
	int64_t age_ms = now - (int64_t)entry->begun_at * 1000;

	if (suspend_holds(r))
		return false;
	if (age_ms >= conf->lifetime_ms)
		return lane_rests(r);
	return conf->delay_warning_ms > 0 && !r->is_warned &&
	    age_ms >= conf->delay_warning_ms &&
	    report_is_wanted(entry, r, REPORT_DELAYED);
}

static void
withdraw_all(struct entry *entry)
{
	for (size_t i = 0; i < entry->recipient_count; i++)
		if (entry->recipients[i].where == IN_LINE)
			lane_withdraw(&entry->recipients[i]);
}

void
schedule_entry(struct entry *entry)
{
	int64_t now = fiber_wall_ms(), due = INT64_MAX;

	heap_remove(&s.heap, &entry->due);
	if (queue.is_stopping && !entry->is_removed)
		return;
	if (entry->is_held || entry->is_removed) {
		withdraw_all(entry);
		return;
	}
	for (size_t i = 0; i < entry->recipient_count; i++) {
		const struct queue_recipient *r = &entry->recipients[i];
		int64_t at;

		if (r->state != QUEUE_DB_WAITING || r->where == AT_WORK ||
		    (suspend_keeps_out(r) && !entry->is_bounced &&
		        !r->is_nobody))
			continue;
		at = r->where == AT_REST ? r->next_ms : look_ms(entry, now);
		if (at < due)
			due = at;
	}
	if (due == INT64_MAX)
		return;
	entry->due.key = due;
	heap_add(&s.heap, &entry->due);
	arm();
}

static void
join_own_lane(struct queue_recipient *r)
{
	if (lane_of(r) != NULL)
		return;
	if (r->where == IN_LINE) /* in a backlog */
		lane_withdraw(r);
	lane_join(r);
}

/* A silent job for all that waits like recipient i. */
static void
begin_silent(struct entry *entry, size_t i)
{
	bool is_to_end = entry->is_bounced || entry->recipients[i].is_nobody;
	struct lane *lane;
	struct job *job;
	bool is_nobody = entry->recipients[i].is_nobody;
	size_t taken = 0;

	join_own_lane(&entry->recipients[i]);
	lane = entry->recipients[i].lane;
	job = lane_begin_silent(entry, lane);
	for (; i < entry->recipient_count && taken < QUEUE_JOB_RCPTS; i++) {
		struct queue_recipient *r = &entry->recipients[i];

		if (r->state != QUEUE_DB_WAITING || r->where == AT_WORK ||
		    r->is_nobody != is_nobody ||
		    (!is_to_end && suspend_keeps_out(r)))
			continue;
		if (is_to_end) /* each once, not at every other's turn */
			join_own_lane(r);
		if (!lane_is_for(lane, r))
			continue;
		if (r->where == IN_LINE)
			lane_withdraw(r);
		lane_join(r);
		r->where = AT_WORK;
		r->job = job;
		taken++;
	}
}

void
schedule_due(struct entry *entry)
{
	int64_t now = fiber_wall_ms();

	if (queue.is_stopping || entry->is_removed || entry->is_held ||
	    reroute_begin(entry))
		return;
	for (size_t i = 0; i < entry->recipient_count; i++) {
		struct queue_recipient *r = &entry->recipients[i];

		if (r->state != QUEUE_DB_WAITING || r->where == AT_WORK)
			continue;
		if (r->where == AT_REST && r->next_ms <= now &&
		    !suspend_keeps_out(r))
			lane_add(r);
		if (entry->is_bounced || r->is_nobody || (r->where == IN_LINE &&
		        is_overdue(entry, r, now)))
			begin_silent(entry, i);
	}
	for (size_t i = 0; i < entry->recipient_count; i++)
		if (entry->recipients[i].where == IN_LINE)
			lane_offer(entry->recipients[i].lane);
	schedule_entry(entry);
	lane_run();
}

void
schedule_priority(struct entry *entry, int priority)
{
	withdraw_all(entry);
	entry->priority = (int8_t)priority;
	schedule_due(entry);
}

void
schedule_new(struct entry *entry)
{
	entry->routes = queue.routes;
	entry_add(entry);
	schedule_due(entry);
}

void
schedule_loaded(struct entry *entry)
{
	int64_t latest = fiber_wall_ms() + s.longest_ms;

	if ((int64_t)entry->begun_at * 1000 > latest) /* wished, not a wrong clock */
		latest = (int64_t)entry->begun_at * 1000;
	for (size_t i = 0; i < entry->recipient_count; i++)
		if (entry->recipients[i].next_ms > latest || entry->is_bounced)
			entry->recipients[i].next_ms = fiber_wall_ms();
	schedule_entry(entry);
}

static int64_t
longest_retry_ms(void)
{
	const struct core_conf *core = &generation_current()->core;
	int64_t longest = 0;

	for (unsigned i = 0; i < RETRIES_MAX; i++)
		for (unsigned kind = 0; kind <= CORE_RETRY_UNREACHABLE;
		     kind++) {
			int64_t ms = core_retry_ms(core,
			    (enum core_retry)kind, i);

			longest = ms > longest ? ms : longest;
		}
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
