/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv.h - the expiring key-value store in front of queue-db: a bounded cache,
 * written behind.
 *
 * All questions go through the cache, so the loop's one thread makes each of
 * them atomic. What changed is written within a quarter of a second, lazily,
 * many pairs in a transaction: a counter that is hot costs the disk nothing.
 */
#ifndef CORE_QUEUE_KV_H
#define CORE_QUEUE_KV_H

#include <posthouse/arena.h>

enum {
	KV_SPACE = 1,                 /* of queue-db */
	KV_NAME_MAX = 63,             /* of who owns the keys */
	KV_PAIRS_MAX = 50000,         /* in the cache */
	KV_OCTETS_MAX = 32 << 20,
	KV_LIFE_MAX_DAYS = 400,
};

/* All suspend. The key is whole: owner and key. PH_FULL also when the cache is
 * full of what could not be written. */
int kv_get(struct ph_slice key, struct ph_arena *arena,
    struct ph_slice *value_out);
int kv_put(struct ph_slice key, struct ph_slice value, uint64_t ttl_ms);
int kv_delete(struct ph_slice key);
int kv_add(struct ph_slice key, int64_t n, uint64_t ttl_ms, int64_t *sum_out);
/* Write what changed, now. PH_OK when nothing is left to write. */
int kv_flush(void);

struct kv_stats {
	size_t pairs, octets, dirty;
	uint64_t questions, reads; /* asked; of these, read from the store */
	uint64_t written;
};
void kv_stats(struct kv_stats *stats_out);
/* Write what changed and forget the cache; no question may be under way. */
void kv_stop(void);

/* --- kv_index.c: by key; what is kept begins with its key --- */

struct ph_slice *kv_index_find(void *const *root, struct ph_slice key);
void kv_index_add(void **root, struct ph_slice *keyed);
void kv_index_remove(void **root, const struct ph_slice *keyed);

/* --- kv_serve.c: MSG_KV --- */

void kv_serve(void);
/* No new questions; suspends until the last is answered, then kv_stop. */
void kv_serve_stop(void);

#endif
