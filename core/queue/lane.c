/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lane.c - where recipients are handed to, how many at once, and how long a
 * destination that did not answer is left alone.
 */
#include "queue/queue.h"

#include <posthouse/mail.h>

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <uv.h>

#include "base/record.h"
#include "log/log.h"
#include "loop/fiber.h"

enum {
	BUCKETS = 4096,
	FAILURES_MIN = 2,       /* in a row until a lane backs off */
	BACK_OFF_MAX_MS = 600000,
	NOBODY_MS = 500,        /* until a process of ours was started again */
};

/* A fiber for each lane would cost a stack, and there may be many. */
struct lane_timer {
	uv_timer_t handle;
	struct lane *lane;
};

static struct {
	struct lane *bucket[BUCKETS];
	struct lane *ready, **ready_last; /* wait for relay_concurrency */
	size_t count;
	char **suspended; /* names, whether a lane is there or not */
	size_t suspended_count;
} all;

static void lane_pump(struct lane *lane);

static struct lane **
find(const char *name)
{
	struct lane **at = &all.bucket[record_crc(0, name, strlen(name)) %
	    BUCKETS];

	while (*at != NULL && strcmp((*at)->name, name) != 0)
		at = &(*at)->next_hash;
	return at;
}

static struct lane *
obtain(const char *name)
{
	struct lane **at = find(name), *lane = *at;

	if (lane == NULL) {
		lane = calloc(1, sizeof(*lane));
		ph_assert(lane != NULL);
		lane->name = strdup(name);
		lane->last = &lane->first;
		lane->is_suspended = lane_is_suspended(name);
		*at = lane;
		all.count++;
	}
	lane->references++;
	return lane;
}

struct lane *
lane_of(const struct queue_recipient *recipient)
{
	const struct core_conf *core = &generation_current()->core;
	char name[2 * QUEUE_RCPT_MAX + 2];
	struct ph_slice to;
	struct lane *lane;
	unsigned shard, processes, n = 0;

	if (recipient->user != NULL) {
		/* That run: a reload may name another number. */
		processes = bus_role_size(ROLE_MAIL);
		shard = partition_of(ph_slice_str(recipient->user),
		    core->mail.partitions) % (processes > 0 ? processes : 1);
		/* '/' is in no domain. One for each mail process. */
		snprintf(name, sizeof(name), "mail/%u", shard);
		lane = obtain(name);
		lane->is_local = true;
		lane->shard = shard;
		return lane;
	}
	to = recipient->destination != NULL ?
	    ph_slice_str(recipient->destination) :
	    ph_address_domain(ph_slice_str(recipient->address));
	if (recipient->transport != NULL)
		n = (unsigned)strlen(recipient->transport);
	/* "mail" is no transport's name: the core has a section of it. */
	snprintf(name, sizeof(name), "%s%s%.*s", n > 0 ?
	    recipient->transport : "", n > 0 ? "/" : "", PH_SLICE_ARG(to));
	for (char *at = name + n; *at != '\0'; at++)
		if (*at >= 'A' && *at <= 'Z')
			*at = (char)(*at - 'A' + 'a');
	lane = obtain(name);
	lane->transport_n = n;
	return lane;
}

static void
on_timer_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void
lane_put(struct lane *lane)
{
	struct lane **at;

	if (lane == NULL || --lane->references > 0)
		return;
	at = find(lane->name);
	*at = lane->next_hash;
	all.count--;
	if (lane->timer != NULL)
		uv_close((uv_handle_t *)&lane->timer->handle, on_timer_closed);
	said_put(lane->said);
	free(lane->name);
	free(lane);
}

size_t
lane_count(void)
{
	return all.count;
}

/* --- jobs --- */

static void
job_main(void *arg)
{
	attempt_run(arg);
}

static unsigned
limit_of(const struct lane *lane)
{
	return lane->is_local ? QUEUE_LOCAL_AT_ONCE :
	    generation_current()->core.queue.destination_concurrency;
}

static bool
may_start(struct lane *lane)
{
	const struct core_queue *conf = &generation_current()->core.queue;

	if (lane->first != NULL && lane->first->entry->is_bounced &&
	    !queue.is_stopping)
		return true;
	if (lane->is_suspended)
		return false;
	if (lane->first == NULL || lane->running >= limit_of(lane) ||
	    lane->not_before_ms > ph_now_ms() || queue.is_stopping)
		return false;
	if (lane->is_local || queue.relaying < conf->relay_concurrency)
		return true;
	if (!lane->is_ready) { /* its turn comes when another one ends */
		lane->is_ready = true;
		lane->next_ready = NULL;
		if (all.ready == NULL)
			all.ready_last = &all.ready;
		*all.ready_last = lane;
		all.ready_last = &lane->next_ready;
		lane->references++;
	}
	return false;
}

static void
lane_pump(struct lane *lane)
{
	while (may_start(lane)) {
		struct job *job = lane->first;

		lane->first = job->next;
		if (lane->first == NULL)
			lane->last = &lane->first;
		lane->running++;
		queue.running++;
		queue.relaying += !lane->is_local;
		fiber_start(job_main, job);
	}
}

static void
pump_ready(void)
{
	const struct core_queue *conf = &generation_current()->core.queue;

	while (all.ready != NULL &&
	    queue.relaying < conf->relay_concurrency) {
		struct lane *lane = all.ready;

		all.ready = lane->next_ready;
		lane->is_ready = false;
		lane_pump(lane);
		lane_put(lane);
	}
}

struct job *
lane_add_job(struct lane *lane, struct entry *entry)
{
	struct job *job = calloc(1, sizeof(*job));

	ph_assert(job != NULL);
	job->entry = entry;
	job->lane = lane;
	lane->references++;
	entry->jobs++;
	*lane->last = job;
	lane->last = &job->next;
	lane_pump(lane);
	return job;
}

static void
on_wait_over(uv_timer_t *handle)
{
	struct lane_timer *timer = handle->data;
	struct lane *lane = timer->lane;

	lane_pump(lane);
	lane_put(lane); /* may close the timer */
}

/* Nothing begins on the lane until then; it is referenced meanwhile. */
static void
lane_wait(struct lane *lane, uint64_t wait_ms)
{
	if (lane->not_before_ms > ph_now_ms())
		return;
	if (lane->timer == NULL) {
		lane->timer = calloc(1, sizeof(*lane->timer));
		ph_assert(lane->timer != NULL);
		lane->timer->lane = lane;
		uv_timer_init(fiber_loop(), &lane->timer->handle);
		lane->timer->handle.data = lane->timer;
		uv_unref((uv_handle_t *)&lane->timer->handle);
	}
	lane->not_before_ms = ph_now_ms() + wait_ms;
	if (!uv_is_active((uv_handle_t *)&lane->timer->handle))
		lane->references++;
	uv_update_time(fiber_loop());
	/* A millisecond more: the clocks need not agree. */
	uv_timer_start(&lane->timer->handle, on_wait_over, wait_ms + 1, 0);
	ph_log(PH_WARN, "destination_waits",
	    ph_f_str("destination", lane->name),
	    ph_f_int("failures", lane->failures),
	    ph_f_int("wait_ms", (int64_t)wait_ms));
}

static void
back_off(struct lane *lane)
{
	uint64_t wait;

	if (++lane->failures < FAILURES_MIN)
		return;
	wait = core_retry_ms(&generation_current()->core,
	    lane->failures - FAILURES_MIN);
	lane_wait(lane, wait < BACK_OFF_MAX_MS ? wait : BACK_OFF_MAX_MS);
}

void
lane_job_done(struct job *job, enum lane_end end)
{
	struct lane *lane = job->lane;

	lane->running--;
	queue.running--;
	queue.relaying -= !lane->is_local;
	free(job);
	if (end == LANE_NOBODY) /* which says nothing of the destination */
		lane_wait(lane, NOBODY_MS);
	else if (end == LANE_FAILED)
		back_off(lane);
	else
		lane->failures = 0;
	lane_pump(lane);
	pump_ready();
	lane_put(lane);
	ph_event_signal(&queue.moved);
}

/* --- by hand --- */

enum { SUSPENDED_SPACE = 2, SUSPENDED_MAX = 10000 }; /* of queue-db */

bool
lane_is_suspended(const char *name)
{
	for (size_t i = 0; i < all.suspended_count; i++)
		if (strcmp(all.suspended[i], name) == 0)
			return true;
	return false;
}

static void
remember(const char *name, bool on)
{
	struct lane *lane = *find(name);

	for (size_t i = 0; i < all.suspended_count; i++) {
		if (strcmp(all.suspended[i], name) != 0)
			continue;
		free(all.suspended[i]);
		all.suspended[i] = all.suspended[--all.suspended_count];
		break;
	}
	if (on) {
		all.suspended = realloc(all.suspended,
		    (all.suspended_count + 1) * sizeof(*all.suspended));
		ph_assert(all.suspended != NULL);
		all.suspended[all.suspended_count++] = strdup(name);
	}
	if (lane != NULL)
		lane->is_suspended = on;
}

struct suspended_list {
	struct ph_arena *arena;
	const struct queue_db_pair *list;
	size_t count;
	int status;
};

static void
read_suspended(void *arg)
{
	struct suspended_list *l = arg;

	l->status = queue_db_kv_list(queue.db, SUSPENDED_SPACE,
	    (struct ph_slice){ NULL, 0 }, SUSPENDED_MAX,
	    ph_wall_time() * 1000, l->arena, &l->list, &l->count);
}

int
lane_load(struct ph_err *err)
{
	struct suspended_list l = { .arena = ph_arena_create(NULL) };

	ph_work(read_suspended, &l);
	for (size_t i = 0; l.status == PH_OK && i < l.count; i++)
		remember(ph_arena_slice(l.arena, l.list[i].key).p, true);
	ph_arena_free(l.arena);
	return l.status == PH_OK ? PH_OK : ph_err_set(err, l.status, 0,
	    "the suspended destinations can't be read: %s",
	    ph_status_name(l.status));
}

int
lane_suspend(const char *name, bool on)
{
	struct queue_db_op *op;
	int status;

	if (on && all.suspended_count >= SUSPENDED_MAX)
		return PH_FULL;
	op = queue_db_op_create();
	if (on)
		queue_db_op_kv_put(op, SUSPENDED_SPACE, ph_slice_str(name),
		    PH_LIT("1"), 0);
	else
		queue_db_op_kv_delete(op, SUSPENDED_SPACE, ph_slice_str(name));
	status = queue_submit(op, QUEUE_DB_DURABLE);
	if (status != PH_OK)
		return status;
	remember(name, on);
	if (!on)
		lane_forgive(name);
	return PH_OK;
}

void
lane_forgive(const char *name)
{
	struct lane *lane = *find(name);

	if (lane == NULL)
		return;
	lane->failures = 0;
	lane->not_before_ms = 0;
	lane_pump(lane);
}
