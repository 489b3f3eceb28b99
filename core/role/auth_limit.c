/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth_limit.c - leaky buckets in a set-associative table.
 *
 * A bucket is one time: when it will be empty. A failure moves that by
 * AUTH_LIMIT_DRAIN_MS; what lies ahead of now is how full it is. So nothing
 * must be swept, and a free bucket is one whose time has passed.
 */
#include "role/auth_limit.h"

enum { SETS = 4096, WAYS = 4 };

struct bucket {
	uint64_t client;
	uint64_t empty_at_ms;
};

struct auth_limit {
	uint64_t seed; /* clients can't choose whose buckets they share */
	struct bucket bucket[SETS][WAYS];
};

struct auth_limit *
auth_limit_create(struct ph_arena *arena, uint64_t seed)
{
	struct auth_limit *limit = ph_arena_alloc(arena, sizeof(*limit));

	limit->seed = seed;
	return limit;
}

uint64_t
auth_limit_client(const struct ph_addr *addr)
{
	size_t n = addr->family == 4 ? 4 : addr->family == 6 ? 8 : 0;
	uint64_t client = 0;

	for (size_t i = 0; i < n; i++)
		client = client << 8 | addr->octet[i];
	/* 0xff00::/8 is multicast: no client has it, so IPv4 may stand there */
	return addr->family == 4 ? client | (uint64_t)0xff << 56 : client;
}

/* The finaliser of MurmurHash3: every bit of the client counts. */
static size_t
set_of(const struct auth_limit *limit, uint64_t client)
{
	uint64_t h = client ^ limit->seed;

	h = (h ^ h >> 33) * 0xff51afd7ed558ccdu;
	h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53u;
	return (h ^ h >> 33) % SETS;
}

static unsigned
failures_in(const struct bucket *bucket, uint64_t now_ms)
{
	if (bucket->empty_at_ms <= now_ms)
		return 0;
	return (unsigned)((bucket->empty_at_ms - now_ms +
	                      AUTH_LIMIT_DRAIN_MS - 1) /
	    AUTH_LIMIT_DRAIN_MS);
}

bool
auth_limit_is_reached(const struct auth_limit *limit, uint64_t client,
    uint64_t now_ms)
{
	const struct bucket *set = limit->bucket[set_of(limit, client)];

	for (size_t i = 0; i < WAYS; i++)
		if (set[i].client == client)
			return failures_in(&set[i], now_ms) >=
			    AUTH_LIMIT_FAILURES;
	return false;
}

/* The client's own bucket, else the one that is soonest empty. */
static struct bucket *
bucket_for(struct auth_limit *limit, uint64_t client)
{
	struct bucket *set = limit->bucket[set_of(limit, client)];
	struct bucket *found = &set[0];

	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].client == client)
			return &set[i];
		if (set[i].empty_at_ms < found->empty_at_ms)
			found = &set[i];
	}
	*found = (struct bucket){ client, 0 };
	return found;
}

unsigned
auth_limit_fail(struct auth_limit *limit, uint64_t client, uint64_t now_ms)
{
	struct bucket *bucket = bucket_for(limit, client);
	uint64_t full_at_ms = now_ms +
	    (uint64_t)AUTH_LIMIT_FAILURES * AUTH_LIMIT_DRAIN_MS;

	if (bucket->empty_at_ms < now_ms)
		bucket->empty_at_ms = now_ms;
	bucket->empty_at_ms += AUTH_LIMIT_DRAIN_MS;
	if (bucket->empty_at_ms > full_at_ms)
		bucket->empty_at_ms = full_at_ms;
	return failures_in(bucket, now_ms);
}

/* One mistyped password costs base, each further one as much again. */
unsigned
auth_limit_delay(unsigned base_ms, unsigned count)
{
	uint64_t ms = (uint64_t)base_ms * (count > 0 ? count : 1);

	return ms < AUTH_LIMIT_DELAY_MAX_MS ? (unsigned)ms :
	                                      AUTH_LIMIT_DELAY_MAX_MS;
}
