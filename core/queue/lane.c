/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lane.c - where recipients are handed to, how many at once, and how long a
 * destination that did not answer is left alone.
 *
 * A lane is there while one of its recipients is at work, or waits for it. Who is
 * due and finds none stands in the backlog of his transport, and takes his turn
 * there as a lane does: then his own is made. So what a million destinations that
 * are due at once take is the rows of their recipients.
 */
#include "queue/known.h"
#include "queue/queue.h"

#include <posthouse/mail.h>

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <uv.h>

#include "base/hash.h"
#include "log/log.h"
#include "loop/fiber.h"
#include "queue/lane_name.h"

enum {
	BUCKETS_MIN = 4096,     /* a power of two */
	REST_MAX_MS = 600000,   /* of a destination that does not answer */
	NOBODY_MS = 500,        /* until a process of ours was started again */
	SILENT_AT_ONCE = 64,    /* jobs that ask nobody */
	AHEAD = 1000,           /* of a message's recipients in a backlog, who
	                         * may go with the one whose turn it is */
	RUN_MOST = 4096,        /* turns in a row: then others are served */
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
	struct lane_timer *again; /* to go on from there */
	struct job *silent, **silent_last;
	unsigned silent_running;
	unsigned unknown;  /* attempts at destinations not known to answer */
	uint32_t turn;
	/* Of the levels the choice that was served: a level may be away for as
	 * long as it likes, so these never wrap. */
	uint64_t last[FAIR_LEVELS], choices;
	uint8_t in_a_row;  /* of the highest level */
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

bool
lane_rests(const struct queue_recipient *recipient)
{
	char name[LANE_NAME_MAX];
	struct pace pace = { .rests = 0 };

	if (lane_of(recipient) != NULL)
		return recipient->lane->pace.rests > 0;
	known_find(lane_name(recipient, name), &pace, queue.now_ms());
	return pace.rests > 0;
}

static struct lane *
create_lane(const char *name, const struct lane_target *is)
{
	size_t n = strlen(name) + 1;
	struct lane *lane = calloc(1, sizeof(*lane) + n);

	ph_assert(lane != NULL);
	memcpy(lane->name, name, n);
	lane->is_local = is->is_local;
	lane->shard = is->shard;
	lane->pace.is_known = is->is_local;
	lane->transport_n = is->transport_n;
	lane->pool = pool_of(name, is->is_local, is->transport_n);
	lane->is_suspended = suspend_has(ph_slice_str(name));
	if (!is->is_local)
		known_find(name, &lane->pace, queue.now_ms());
	return lane;
}

/* Of those who have no lane. */
static struct lane *
backlog_of(const char *name, const struct lane_target *is)
{
	struct pool *pool = pool_of(name, false, is->transport_n);
	struct pace pace = { .is_known = false };
	struct lane **at;

	known_find(name, &pace, queue.now_ms());
	at = &pool->backlog[pace.is_known];
	if (*at == NULL) {
		*at = calloc(1, sizeof(**at) + 1);
		ph_assert(*at != NULL);
		(*at)->pool = pool;
		(*at)->is_backlog = true;
		(*at)->pace.is_known = pace.is_known;
		(*at)->references = 1; /* the pool's */
	}
	return *at;
}

static void
join(struct queue_recipient *recipient, bool make)
{
	char name[LANE_NAME_MAX];
	struct lane_target is;
	struct lane **at, *lane;

	if (recipient->lane != NULL)
		return;
	is = lane_name_write(recipient, name);
	at = find(name);
	lane = *at;
	if (lane == NULL && !make && !is.is_local) {
		lane = backlog_of(name, &is);
	} else if (lane == NULL) {
		*at = lane = create_lane(name, &is);
		all.count++;
	}
	recipient->lane = lane;
	lane->references++;
	if (lane->said == NULL && !lane->is_backlog &&
	    recipient->said != NULL && recipient->said->reply->reason != NULL)
		lane->said = said_get(recipient->said);
}

void
lane_join(struct queue_recipient *recipient)
{
	join(recipient, true);
}

void
lane_leave(struct queue_recipient *recipient)
{
	struct lane *lane = recipient->lane;

	recipient->lane = NULL;
	lane_put(lane);
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

/* Until then. The lane lives as long. */
static void
lane_arm(struct lane *lane, uint64_t until_ms)
{
	uint64_t now = queue.now_ms();

	if (until_ms > now &&
	    timer_start(&lane->timer, lane, until_ms - now))
		lane->references++;
}

static void
on_timer_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void
forget(struct lane *lane)
{
	struct lane **at = find(lane->name);

	if (!lane->is_local)
		known_keep(lane->name, &lane->pace, queue.now_ms());
	*at = lane->next_hash;
	all.count--;
	if (lane->timer != NULL)
		uv_close((uv_handle_t *)&lane->timer->handle, on_timer_closed);
	said_put(lane->said);
	free(lane);
}

/* Nothing waits for it: a mark of its pace is kept (known.c), but for what has
 * to be counted exactly. */
void
lane_put(struct lane *lane)
{
	if (lane == NULL || --lane->references > 0)
		return;
	lane_arm(lane, pace_counts_ms(&lane->pace, &lane->terms,
	    queue.now_ms()));
	if (lane->references == 0)
		forget(lane);
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
	join(recipient, false);
	fair_add(&recipient->lane->line, recipient);
}

void
lane_withdraw(struct queue_recipient *recipient)
{
	struct lane *lane = recipient->lane;

	fair_remove(&lane->line, recipient);
	if (lane->line.count == 0)
		lane_offer(lane);
	lane_leave(recipient);
}

/* Where it stands while what is first in its line has this priority. */
static struct heap *
ready_of(const struct lane *lane, int priority)
{
	return &lane->pool->ready[QUEUE_DB_PRIORITY_MAX - priority]
	    [lane->pace.is_known];
}

void
lane_offer(struct lane *lane)
{
	struct fair_first first;

	if (lane->ready != NULL)
		heap_remove(lane->ready, &lane->node);
	lane->ready = NULL;
	if (lane->is_suspended || !fair_next(&lane->line, &first))
		return;
	if (!pace_is_open(&lane->pace, terms_of(lane), queue.now_ms())) {
		/* one timer for all that stands in the line */
		lane_arm(lane, pace_opens_ms(&lane->pace, queue.now_ms()));
		return;
	}
	lane->ready = ready_of(lane, first.priority);
	lane->node.key = first.served;
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
		struct fair_first first;

		if (!pace_is_open(&lane->pace, terms_of(lane), queue.now_ms()) ||
		    !fair_next(&lane->line, &first) ||
		    ready_of(lane, first.priority) != ready) {
			lane_offer(lane); /* terms changed, or what waits */
		} else if (first.served == node->key) {
			return lane;
		} else {
			node->key = first.served;
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

/* Of those with mail of this level. */
static struct lane *
best_of(unsigned level)
{
	struct lane *best = NULL;

	for (struct pool *pool = all.pools; pool != NULL; pool = pool->next) {
		struct heap *ready = pool->ready[level];

		if (ready[0].count + ready[1].count == 0 ||
		    !pace_is_open(&pool->pace, pool_terms(pool),
		        queue.now_ms()))
			continue;
		for (unsigned known = 0; known < 2; known++) {
			struct lane *lane = may_begin(pool, known) ?
			    first_ready(&ready[known]) : NULL;

			if (lane != NULL && (best == NULL ||
			        lane->node.key < best->node.key))
				best = lane;
		}
	}
	return best;
}

/* The rule of a line (fair.c) holds between lines, too. */
static struct lane *
choose(void)
{
	bool is_turn = all.in_a_row >= FAIR_IN_A_ROW, others_wait = false;
	struct lane *chosen = NULL;
	unsigned chosen_level = 0;

	for (unsigned level = 0; level < FAIR_LEVELS; level++) {
		struct lane *lane = best_of(level);

		if (lane == NULL)
			continue;
		others_wait = chosen != NULL;
		if (chosen == NULL || (is_turn &&
		        all.last[level] < all.last[chosen_level])) {
			chosen = lane;
			chosen_level = level;
		}
	}
	if (chosen == NULL)
		return NULL;
	all.last[chosen_level] = ++all.choices;
	all.in_a_row = others_wait && !is_turn ?
	    (uint8_t)(all.in_a_row + 1) : 0;
	return chosen;
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

/* From a backlog to the line of his own lane. */
static void
move(struct queue_recipient *recipient)
{
	fair_remove(&recipient->lane->line, recipient);
	lane_leave(recipient);
	lane_join(recipient);
	fair_add(&recipient->lane->line, recipient);
}

/* Who is next in a backlog, with others of the message to the same destination:
 * they go in one job. The lane. */
static struct lane *
admit(struct lane *backlog)
{
	struct queue_recipient *recipient = fair_peek(&backlog->line);
	struct queue_recipient *next = recipient->next;
	const struct entry *entry = entry_of(recipient);
	struct lane *lane;

	move(recipient);
	lane = recipient->lane;
	for (unsigned i = 0; i < AHEAD && next != NULL &&
	     entry_of(next) == entry; i++) {
		recipient = next;
		next = recipient->next;
		if (lane_is_for(lane, recipient))
			move(recipient);
	}
	lane_offer(backlog);
	lane_offer(lane);
	return lane;
}

static void
begin_next(struct lane *lane)
{
	uint64_t now = queue.now_ms();
	struct job *job;

	if (lane->is_backlog)
		lane = admit(lane);
	if (lane->ready == NULL || !may_begin(lane->pool, lane->pace.is_known))
		return;
	job = create(NULL, lane);
	fair_take(&lane->line, job);
	job->entry->jobs++;
	job->was_unknown = !lane->is_local && !lane->pace.is_known;
	all.unknown += job->was_unknown;
	queue.relaying += !lane->is_local;
	pace_begin(&lane->pace, terms_of(lane), now);
	pace_begin(&lane->pool->pace, pool_terms(lane->pool), now);
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
	for (unsigned n = 0; (lane = choose()) != NULL; n++) {
		if (n == RUN_MOST) { /* many whose destinations rest */
			timer_start(&all.again, NULL, 0);
			return;
		}
		begin_next(lane);
	}
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
	known_forgive_all();
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
	known_forgive(name);
	lane_run();
}
