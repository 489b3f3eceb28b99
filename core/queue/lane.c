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

#include "base/hash.h"
#include "log/log.h"
#include "loop/fiber.h"

enum {
	BUCKETS_MIN = 4096,     /* a power of two */
	REST_MAX_MS = 600000,   /* of a destination that does not answer */
	NOBODY_MS = 500,        /* until a process of ours was started again */
	SILENT_AT_ONCE = 64,    /* jobs that ask nobody */
};

/* A fiber for each lane would cost a stack, and there may be many. */
struct lane_timer {
	uv_timer_t handle;
	struct lane *lane; /* NULL: of a pool */
};

static struct {
	struct lane **bucket; /* no fewer than lanes */
	size_t buckets;
	struct pool *pools; /* one for each transport that ever had mail */
	struct job *silent, **silent_last;
	unsigned silent_running;
	unsigned unknown;  /* attempts at destinations not known to answer */
	uint32_t turn;
	size_t count;
} all;

static struct lane **
bucket_of(const char *name)
{
	/* domains are senders' choice, and may be many */
	return &all.bucket[hash_of(name, strlen(name)) & (all.buckets - 1)];
}

/* A mailing may go to a million domains. */
static void
make_room(void)
{
	struct lane **before = all.bucket;
	size_t count = all.buckets;

	if (all.count < count)
		return;
	all.buckets = count > 0 ? 2 * count : BUCKETS_MIN;
	all.bucket = calloc(all.buckets, sizeof(struct lane *));
	ph_assert(all.bucket != NULL);
	for (size_t i = 0; i < count; i++)
		while (before[i] != NULL) {
			struct lane *lane = before[i], **to;

			before[i] = lane->next_hash;
			to = bucket_of(lane->name);
			lane->next_hash = *to;
			*to = lane;
		}
	free(before);
}

/* There is a place for one more. */
static struct lane **
find(const char *name)
{
	struct lane **at;

	make_room();
	at = bucket_of(name);
	while (*at != NULL && strcmp((*at)->name, name) != 0)
		at = &(*at)->next_hash;
	return at;
}

/* The pool of a lane's name: up to the slash. */
static struct pool *
pool_of(const char *name, bool is_local, size_t transport_n)
{
	struct pool **at = &all.pools;

	if (is_local)
		transport_n = strcspn(name, "/");
	while (*at != NULL && (strncmp((*at)->name, name, transport_n) != 0 ||
	    strcmp((*at)->name + transport_n, "/") != 0))
		at = &(*at)->next;
	if (*at == NULL) {
		*at = calloc(1, sizeof(**at));
		ph_assert(*at != NULL && asprintf(&(*at)->name, "%.*s/",
		    (int)transport_n, name) > 0);
		(*at)->is_local = is_local;
	}
	return *at;
}

static struct lane *
obtain(const char *name, bool is_local, unsigned transport_n)
{
	struct lane **at = find(name), *lane = *at;

	if (lane == NULL) {
		lane = calloc(1, sizeof(*lane));
		ph_assert(lane != NULL);
		lane->name = strdup(name);
		lane->is_local = is_local;
		lane->pace.is_known = is_local;
		lane->transport_n = transport_n;
		lane->pool = pool_of(name, is_local, transport_n);
		lane->is_suspended = suspend_has(ph_slice_str(name));
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
		lane = obtain(name, true, 0);
		lane->shard = shard;
		return lane;
	}
	to = recipient->more->destination != NULL ?
	    ph_slice_str(recipient->more->destination) :
	    ph_address_domain(ph_slice_str(recipient->address));
	if (recipient->more->transport != NULL)
		n = (unsigned)strlen(recipient->more->transport);
	/* "mail" is no transport's name: the core has a section of it. */
	snprintf(name, sizeof(name), "%s%s%.*s", n > 0 ?
	    recipient->more->transport : "", n > 0 ? "/" : "", PH_SLICE_ARG(to));
	ph_lower_in_place(name + n, strlen(name + n));
	return obtain(name, false, n);
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

/* --- terms --- */

/* What the configuration says of it, after a reload again. */
static const struct pace_terms *
terms_of(struct lane *lane)
{
	const struct generation *now = generation_current();
	const struct core_queue *conf = &now->core.queue;

	if (lane->generation == now->number + 1)
		return &lane->terms;
	lane->generation = now->number + 1;
	lane->terms = (struct pace_terms){ .failures =
		conf->destination_failures };
	lane->terms.limit.concurrency = lane->is_local ?
	    QUEUE_LOCAL_AT_ONCE : conf->destination_concurrency;
	lane->terms.limit.start = lane->is_local ?
	    QUEUE_LOCAL_AT_ONCE : conf->destination_start;
	if (!lane->is_local)
		core_limit_find(conf, lane->name, &lane->terms.limit);
	pace_restart(&lane->pace);
	return &lane->terms;
}

static const struct pace_terms *
pool_terms(struct pool *pool)
{
	const struct generation *now = generation_current();

	if (pool->generation == now->number + 1)
		return &pool->terms;
	pool->generation = now->number + 1;
	pool->terms = (struct pace_terms){ .failures = 0 };
	if (!pool->is_local)
		core_limit_find(&now->core.queue, pool->name,
		    &pool->terms.limit);
	pace_restart(&pool->pace);
	return &pool->terms;
}

/* --- timers --- */

static void
on_wait_over(uv_timer_t *handle)
{
	struct lane *lane = ((struct lane_timer *)handle->data)->lane;

	if (lane != NULL)
		lane_offer(lane);
	lane_run();
	lane_put(lane); /* may close the timer */
}

/* True: it was not under way. */
static bool
timer_start(struct lane_timer **timer, struct lane *lane, uint64_t wait_ms)
{
	bool is_new;

	if (*timer == NULL) {
		*timer = calloc(1, sizeof(**timer));
		ph_assert(*timer != NULL);
		(*timer)->lane = lane;
		uv_timer_init(fiber_loop(), &(*timer)->handle);
		(*timer)->handle.data = *timer;
		uv_unref((uv_handle_t *)&(*timer)->handle);
	}
	is_new = !uv_is_active((uv_handle_t *)&(*timer)->handle);
	uv_update_time(fiber_loop());
	/* A millisecond more: the clocks need not agree. */
	uv_timer_start(&(*timer)->handle, on_wait_over, wait_ms + 1, 0);
	return is_new;
}

/* One timer for all that stands in the line. The lane lives as long, for what
 * it knows of its pace is not to be forgotten. */
static void
lane_arm(struct lane *lane)
{
	uint64_t now = queue.now_ms(), at = pace_opens_ms(&lane->pace, now);

	if (at > 0 && timer_start(&lane->timer, lane, at - now))
		lane->references++;
}

static void
pool_arm(struct pool *pool)
{
	uint64_t now = queue.now_ms(), at = pace_opens_ms(&pool->pace, now);

	if (at > 0)
		timer_start(&pool->timer, NULL, at - now);
}

/* --- jobs --- */

void
lane_add(struct queue_recipient *recipient)
{
	fair_add(&recipient->lane->line, recipient);
}

void
lane_withdraw(struct queue_recipient *recipient)
{
	struct lane *lane = recipient->lane;

	fair_remove(&lane->line, recipient);
	if (lane->line.count == 0)
		lane_offer(lane);
}

void
lane_offer(struct lane *lane)
{
	int64_t served;

	if (lane->ready != NULL)
		heap_remove(lane->ready, &lane->node);
	lane->ready = NULL;
	if (lane->is_suspended || !fair_next(&lane->line, &served) ||
	    !pace_is_open(&lane->pace, terms_of(lane), queue.now_ms()))
		return;
	lane->ready = &lane->pool->ready[lane->pace.is_known];
	lane->node.key = served;
	lane->node.tie = ++all.turn;
	heap_add(lane->ready, &lane->node);
}

/* The lane whose next sender was served least. */
static struct lane *
first_ready(struct heap *ready)
{
	struct heap_node *node;

	while ((node = heap_first(ready)) != NULL) {
		struct lane *lane = HEAP_OF(node, struct lane, node);
		int64_t served = node->key;

		if (!pace_is_open(&lane->pace, terms_of(lane), queue.now_ms()) ||
		    !fair_next(&lane->line, &served)) {
			lane_offer(lane); /* terms changed */
		} else if (served == node->key) {
			return lane;
		} else {
			node->key = served;
			heap_settle(ready, node);
		}
	}
	return NULL;
}

/* Destinations that may not answer get no more than half of all attempts:
 * each of theirs may last as long as patience does. */
static bool
may_begin(const struct pool *pool, bool is_known)
{
	unsigned most = generation_current()->core.queue.relay_concurrency;

	if (pool->is_local)
		return true;
	return queue.relaying < most &&
	    (is_known || all.unknown < (most + 1) / 2);
}

static struct lane *
choose(void)
{
	struct lane *best = NULL;

	for (struct pool *pool = all.pools; pool != NULL; pool = pool->next) {
		if (!pace_is_open(&pool->pace, pool_terms(pool), queue.now_ms()))
			continue;
		for (unsigned known = 0; known < 2; known++) {
			struct lane *lane = may_begin(pool, known) ?
			    first_ready(&pool->ready[known]) : NULL;

			if (lane != NULL && (best == NULL ||
			        lane->node.key < best->node.key))
				best = lane;
		}
	}
	return best;
}

static struct job *
create(struct entry *entry, struct lane *lane)
{
	struct job *job = calloc(1, sizeof(*job));

	ph_assert(job != NULL);
	job->entry = entry;
	job->lane = lane;
	lane->references++;
	return job;
}

static void
begin(struct job *job)
{
	queue.running++;
	queue.begin(job);
}

static void
begin_next(struct lane *lane)
{
	struct job *job = create(NULL, lane);
	uint64_t now = queue.now_ms();

	fair_take(&lane->line, job);
	job->entry->jobs++;
	job->was_unknown = !lane->is_local && !lane->pace.is_known;
	all.unknown += job->was_unknown;
	queue.relaying += !lane->is_local;
	pace_begin(&lane->pace, terms_of(lane), now);
	pace_begin(&lane->pool->pace, pool_terms(lane->pool), now);
	lane_arm(lane);
	pool_arm(lane->pool);
	lane_offer(lane);
	begin(job);
}

static void
begin_silent(void)
{
	while (all.silent != NULL && all.silent_running < SILENT_AT_ONCE) {
		struct job *job = all.silent;

		all.silent = job->next;
		all.silent_running++;
		begin(job);
	}
}

void
lane_run(void)
{
	struct lane *lane;

	if (queue.is_stopping)
		return;
	begin_silent();
	while ((lane = choose()) != NULL)
		begin_next(lane);
}

struct job *
lane_begin_silent(struct entry *entry, struct lane *lane)
{
	struct job *job = create(entry, lane);

	job->is_silent = true;
	entry->jobs++;
	if (all.silent == NULL)
		all.silent_last = &all.silent;
	*all.silent_last = job;
	all.silent_last = &job->next;
	return job;
}

static void
rest(struct lane *lane)
{
	uint64_t wait = core_retry_ms(&generation_current()->core,
	    CORE_RETRY_REPLY, lane->pace.rests - 1);

	if (wait > REST_MAX_MS)
		wait = REST_MAX_MS;
	lane->pace.rest_until_ms = queue.now_ms() + wait;
	ph_log(PH_WARN, "destination_waits",
	    ph_f_str("destination", lane->name),
	    ph_f_int("failures", lane->pace.failures),
	    ph_f_int("wait_ms", (int64_t)wait));
}

static void
leave(struct job *job, enum pace_end end, bool nobody)
{
	struct lane *lane = job->lane;
	uint64_t now = queue.now_ms();

	queue.relaying -= !lane->is_local;
	all.unknown -= job->was_unknown;
	if (nobody) /* which says nothing of the destination */
		lane->pace.slow_until_ms = now + NOBODY_MS;
	pace_end(&lane->pool->pace, pool_terms(lane->pool), PACE_NOTHING,
	    now);
	if (pace_end(&lane->pace, terms_of(lane), end, now))
		rest(lane);
	lane_arm(lane);
	lane_offer(lane);
}

void
lane_job_done(struct job *job, enum pace_end end, bool nobody)
{
	struct lane *lane = job->lane;

	queue.running--;
	if (job->is_silent)
		all.silent_running--;
	else
		leave(job, end, nobody);
	free(job);
	lane_run();
	lane_put(lane);
	ph_event_signal(&queue.moved);
}

void
lane_reload(void)
{
	for (size_t i = 0; i < all.buckets; i++)
		for (struct lane *lane = all.bucket[i]; lane != NULL;
		     lane = lane->next_hash)
			lane_offer(lane);
	lane_run();
}

/* --- by hand --- */

/* Transports keep the case that their section has, a name given by hand does
 * not: there may be more than one. */
static bool
is_named(const struct lane *lane, const char *name)
{
	return strcasecmp(lane->name, name) == 0;
}

void
lane_set_suspended(const char *name, bool on)
{
	for (size_t i = 0; i < all.buckets; i++)
		for (struct lane *lane = all.bucket[i]; lane != NULL;
		     lane = lane->next_hash)
			if (is_named(lane, name)) {
				lane->is_suspended = on;
				lane_offer(lane);
			}
}

void
lane_forgive_all(void)
{
	for (size_t i = 0; i < all.buckets; i++)
		for (struct lane *lane = all.bucket[i]; lane != NULL;
		     lane = lane->next_hash) {
			if (lane->pace.rests == 0)
				continue;
			pace_forgive(&lane->pace);
			lane_offer(lane);
		}
	lane_run();
}

void
lane_forgive(const char *name)
{
	for (size_t i = 0; i < all.buckets; i++)
		for (struct lane *lane = all.bucket[i]; lane != NULL;
		     lane = lane->next_hash)
			if (is_named(lane, name)) {
				pace_forgive(&lane->pace);
				lane_offer(lane);
			}
	lane_run();
}
