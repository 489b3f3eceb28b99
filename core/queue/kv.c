/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv.c - see kv.h. A pair is in a tree by its key (no hash for a sender to
 * guess) and in a list by its last use; the changed ones wait in a queue for
 * the writer. One that is read, changed or being written stays.
 */
#include "queue/kv.h"

#include <stdlib.h>

#include "log/log.h"
#include "loop/fiber.h"
#include "queue/queue.h"

enum {
	WRITE_EVERY_MS = 250,
	WRITE_PAIRS = 4096,     /* of one transaction */
	WRITE_OCTETS = 1 << 20,
	FAILED_MS = 5000,       /* then written again */
	EVICT_LOOKS = 64,
	COUNTER_SIZE = 8,
};

#define DAY_MS ((uint64_t)24 * 3600 * 1000)

struct pair {
	struct ph_slice key;         /* first; its octets behind the struct */
	struct pair *older, *newer;  /* by last use */
	struct pair *next_dirty;
	struct ph_slice value;       /* malloc'd; absent: there is none */
	int64_t expires_ms;
	struct ph_event loaded;
	int load_status;
	unsigned waiting;            /* fibers, for the load */
	bool is_loading, is_dirty, is_writing;
};

static struct {
	void *tree;
	struct pair *oldest, *newest;
	struct pair *dirty, **last_dirty;
	bool is_writing, is_awaited, is_stopped;
	struct ph_event written;
	bool failed;                 /* the last write */
	uint64_t log_again_ms;
	struct kv_stats stats;
} kv = { .last_dirty = &kv.dirty };

/* --- the cache --- */

static struct pair *
find(struct ph_slice key)
{
	return (struct pair *)kv_index_find(&kv.tree, key);
}

static size_t
weight(const struct pair *pair)
{
	return sizeof(*pair) + pair->key.n + pair->value.n;
}

static void
unlink_use(struct pair *pair)
{
	*(pair->older != NULL ? &pair->older->newer : &kv.oldest) =
	    pair->newer;
	*(pair->newer != NULL ? &pair->newer->older : &kv.newest) =
	    pair->older;
}

static void
link_newest(struct pair *pair)
{
	pair->older = kv.newest;
	pair->newer = NULL;
	*(kv.newest != NULL ? &kv.newest->newer : &kv.oldest) = pair;
	kv.newest = pair;
}

static void
forget(struct pair *pair)
{
	kv_index_remove(&kv.tree, &pair->key);
	unlink_use(pair);
	kv.stats.pairs--;
	kv.stats.octets -= weight(pair);
	free((char *)pair->value.p);
	free(pair);
}

static bool
may_go(const struct pair *pair)
{
	return !pair->is_loading && !pair->is_dirty && !pair->is_writing &&
	    pair->waiting == 0;
}

static bool
is_full(void)
{
	return kv.stats.pairs >= KV_PAIRS_MAX ||
	    kv.stats.octets >= KV_OCTETS_MAX;
}

/* Until there is room for one more; false: all that is old must stay. */
static bool
make_room(void)
{
	struct pair *pair = kv.oldest;

	for (unsigned looks = 0; is_full() && pair != NULL &&
	     looks < EVICT_LOOKS; looks++) {
		struct pair *newer = pair->newer;

		if (may_go(pair))
			forget(pair);
		pair = newer;
	}
	return !is_full();
}

static struct pair *
create(struct ph_slice key)
{
	struct pair *pair = calloc(1, sizeof(*pair) + key.n);

	ph_assert(pair != NULL);
	memcpy(pair + 1, key.p, key.n);
	pair->key = (struct ph_slice){ (char *)(pair + 1), key.n };
	kv_index_add(&kv.tree, &pair->key);
	link_newest(pair);
	kv.stats.pairs++;
	kv.stats.octets += weight(pair);
	return pair;
}

/* Copies; absent: none. */
static void
set_value(struct pair *pair, struct ph_slice value)
{
	char *copy = NULL;

	if (value.p != NULL) {
		copy = malloc(value.n + 1);
		ph_assert(copy != NULL);
		memcpy(copy, value.p, value.n);
	}
	kv.stats.octets -= weight(pair);
	free((char *)pair->value.p);
	pair->value = (struct ph_slice){ copy, value.p != NULL ? value.n : 0 };
	kv.stats.octets += weight(pair);
}

/* --- writing behind --- */

static void
add_dirty(struct pair *pair)
{
	pair->next_dirty = NULL;
	*kv.last_dirty = pair;
	kv.last_dirty = &pair->next_dirty;
	pair->is_dirty = true;
	kv.stats.dirty++;
}

static struct pair *
take_dirty(void)
{
	struct pair *pair = kv.dirty;

	kv.dirty = pair->next_dirty;
	if (kv.dirty == NULL)
		kv.last_dirty = &kv.dirty;
	pair->is_dirty = false;
	kv.stats.dirty--;
	return pair;
}

/* One transaction. */
static int
write_some(void)
{
	struct pair **batch = calloc(WRITE_PAIRS, sizeof(struct pair *));
	struct queue_db_op *op = queue_db_op_create();
	int64_t now_ms = fiber_wall_ms();
	size_t count = 0, octets = 0;
	int status;

	ph_assert(batch != NULL);
	while (kv.dirty != NULL && count < WRITE_PAIRS &&
	    octets < WRITE_OCTETS) {
		struct pair *pair = take_dirty();

		if (pair->value.p == NULL || pair->expires_ms <= now_ms)
			queue_db_op_kv_delete(op, KV_SPACE, pair->key);
		else
			queue_db_op_kv_put(op, KV_SPACE, pair->key,
			    pair->value, pair->expires_ms);
		pair->is_writing = true;
		octets += weight(pair);
		batch[count++] = pair;
	}
	status = queue_submit(op, QUEUE_DB_LAZY);
	for (size_t i = 0; i < count; i++) {
		batch[i]->is_writing = false;
		if (status != PH_OK && !batch[i]->is_dirty)
			add_dirty(batch[i]);
	}
	if (status == PH_OK)
		kv.stats.written += count;
	free(batch);
	return status;
}

static void
log_failure(int status)
{
	kv.failed = status != PH_OK;
	if (status == PH_OK || ph_now_ms() < kv.log_again_ms)
		return;
	kv.log_again_ms = ph_now_ms() + 60000;
	ph_log(PH_WARN, "kv_not_written",
	    ph_f_str("reason", ph_status_name(status)),
	    ph_f_int("pairs", (int64_t)kv.stats.dirty));
}

int
kv_flush(void)
{
	int status = PH_OK;

	while (kv.is_writing)
		if (ph_event_wait(&kv.written, PH_NO_LIMIT_MS) != PH_OK)
			return PH_TIMEOUT;
	kv.is_writing = true;
	while (status == PH_OK && kv.dirty != NULL)
		status = write_some();
	kv.is_writing = false;
	log_failure(status);
	ph_event_signal(&kv.written);
	return status;
}

static void
write_behind(void *arg)
{
	int status;

	(void)arg;
	fiber_context_set(NULL);
	do {
		(void)ph_sleep_ms(kv.failed ? FAILED_MS : WRITE_EVERY_MS);
		status = kv_flush();
	} while (!kv.is_stopped && (status != PH_OK || kv.dirty != NULL));
	kv.is_awaited = false;
}

static void
changed(struct pair *pair)
{
	if (!pair->is_dirty)
		add_dirty(pair);
	if (!kv.is_awaited) {
		kv.is_awaited = true;
		(void)fiber_start(write_behind, NULL);
	}
}

/* --- reading --- */

struct load {
	struct ph_slice key, value;
	struct ph_arena *arena;
	int64_t now_ms, expires_ms;
	int status;
};

static void
read_pair(void *arg)
{
	struct load *load = arg;

	load->status = queue_db_kv_get(queue.db, KV_SPACE, load->key,
	    load->now_ms, load->arena, &load->value, &load->expires_ms);
}

static void
load_pair(struct pair *pair)
{
	struct load load = { .key = pair->key, .now_ms = fiber_wall_ms(),
		.arena = ph_arena_create(NULL) };

	pair->is_loading = true;
	kv.stats.reads++;
	ph_work(read_pair, &load);
	pair->is_loading = false;
	pair->load_status = load.status;
	if (load.status == PH_OK) {
		set_value(pair, load.value);
		pair->expires_ms = load.expires_ms;
	} else if (load.status == PH_NOT_FOUND || load.status == PH_DEFECT) {
		pair->load_status = PH_OK; /* known not to be there */
	}
	ph_arena_free(load.arena);
	ph_event_signal(&pair->loaded);
}

static int
await_load(struct pair *pair)
{
	int status = PH_OK;

	pair->waiting++;
	while (status == PH_OK && pair->is_loading)
		status = ph_event_wait(&pair->loaded, PH_NO_LIMIT_MS);
	pair->waiting--;
	return status != PH_OK ? status : pair->load_status;
}

/* The pair of the key, read when it must be; what expired has no value. After
 * the return nothing suspends until the caller is done with it. */
static int
obtain(struct ph_slice key, bool must_read, struct pair **pair_out)
{
	struct pair *pair = find(key);
	int status = PH_OK;

	kv.stats.questions++;
	if (pair == NULL) {
		if (!make_room())
			return PH_FULL;
		pair = create(key);
		if (must_read)
			load_pair(pair);
		status = pair->load_status;
	} else if (pair->is_loading) {
		status = await_load(pair);
	} else {
		status = pair->load_status;
	}
	if (status != PH_OK) {
		if (pair->load_status != PH_OK && may_go(pair))
			forget(pair); /* and read it again next time */
		return status;
	}
	unlink_use(pair);
	link_newest(pair);
	if (pair->value.p != NULL && pair->expires_ms <= fiber_wall_ms())
		set_value(pair, (struct ph_slice){ NULL, 0 });
	*pair_out = pair;
	return PH_OK;
}

/* --- questions --- */

static int64_t
end_of_life(uint64_t ttl_ms)
{
	uint64_t most = KV_LIFE_MAX_DAYS * DAY_MS;

	return fiber_wall_ms() + (int64_t)(ttl_ms < most ? ttl_ms : most);
}

int
kv_get(struct ph_slice key, struct ph_arena *arena, struct ph_slice *value_out)
{
	struct pair *pair;
	int status = obtain(key, true, &pair);

	if (status != PH_OK)
		return status;
	if (pair->value.p == NULL)
		return PH_NOT_FOUND;
	*value_out = ph_arena_slice(arena, pair->value);
	return PH_OK;
}

int
kv_put(struct ph_slice key, struct ph_slice value, uint64_t ttl_ms)
{
	struct pair *pair;
	int status;

	if (ttl_ms == 0)
		return PH_INVALID;
	if (queue.is_full)
		return PH_FULL;
	status = obtain(key, false, &pair);
	if (status != PH_OK)
		return status;
	set_value(pair, value);
	pair->expires_ms = end_of_life(ttl_ms);
	changed(pair);
	return PH_OK;
}

int
kv_delete(struct ph_slice key)
{
	struct pair *pair;
	int status = obtain(key, false, &pair);

	if (status != PH_OK)
		return status;
	set_value(pair, (struct ph_slice){ NULL, 0 });
	changed(pair);
	return PH_OK;
}

static void
put_number(char octets[COUNTER_SIZE], int64_t number)
{
	for (unsigned i = 0; i < COUNTER_SIZE; i++)
		octets[i] = (char)((uint64_t)number >> (8 * i));
}

static int64_t
get_number(struct ph_slice octets)
{
	uint64_t number = 0;

	for (unsigned i = 0; i < COUNTER_SIZE; i++)
		number |= (uint64_t)(uint8_t)octets.p[i] << (8 * i);
	return (int64_t)number;
}

int
kv_add(struct ph_slice key, int64_t n, uint64_t ttl_ms, int64_t *sum_out)
{
	char octets[COUNTER_SIZE];
	struct pair *pair;
	int64_t sum = 0;
	int status;

	if (ttl_ms == 0)
		return PH_INVALID;
	if (queue.is_full)
		return PH_FULL;
	status = obtain(key, true, &pair);
	if (status != PH_OK)
		return status;
	if (pair->value.p == NULL)
		pair->expires_ms = end_of_life(ttl_ms);
	else if (pair->value.n == COUNTER_SIZE)
		sum = get_number(pair->value);
	else
		return PH_INVALID;
	if (__builtin_add_overflow(sum, n, &sum))
		sum = n < 0 ? INT64_MIN : INT64_MAX;
	put_number(octets, sum);
	set_value(pair, (struct ph_slice){ octets, COUNTER_SIZE });
	changed(pair);
	*sum_out = sum;
	return PH_OK;
}

void
kv_stats(struct kv_stats *stats_out)
{
	*stats_out = kv.stats;
}

void
kv_stop(void)
{
	(void)kv_flush();
	kv.is_stopped = true;
	while (kv.oldest != NULL)
		forget(kv.oldest);
	kv.dirty = NULL;
	kv.last_dirty = &kv.dirty;
	kv.stats = (struct kv_stats){ 0 };
}
