/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth_limit.c - leaky buckets in a set-associative table.
 *
 * A bucket is one time: when it will be empty. A failure moves that by
 * AUTH_LIMIT_DRAIN_MS; what lies ahead of now is how full it is. So nothing
 * must be swept, and a free bucket is one whose time has passed. Clients and
 * pairs share one table; accounts have one, because anybody can name any; a
 * third of the same form holds until when a pair is trusted.
 */
#include "role/auth_limit.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

enum { SETS = 4096, WAYS = 4 };

/* In the place of a client: multicast, so none. */
static const uint64_t all_clients = UINT64_MAX;

struct timed {
	uint64_t key;
	uint64_t until_ms; /* a bucket: when it is empty */
};

struct auth_limit {
	uint64_t seed; /* clients can't choose whose buckets they share */
	struct timed bucket[SETS][WAYS];
	struct timed account[SETS][WAYS];
	struct timed trusted[SETS][WAYS];
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

static uint64_t
pair_of(const struct auth_limit *limit, uint64_t client, struct ph_slice user)
{
	const uint64_t key[2] = { limit->seed, client };
	uint8_t mac[EVP_MAX_MD_SIZE];
	uint64_t pair = 0;

	ph_assert(HMAC(EVP_sha256(), key, sizeof(key),
	              (const uint8_t *)(user.p != NULL ? user.p : ""), user.n,
	              mac, NULL) != NULL);
	memcpy(&pair, mac, sizeof(pair));
	return pair;
}

struct auth_limit_keys
auth_limit_keys(const struct auth_limit *limit, uint64_t client,
    struct ph_slice user)
{
	return (struct auth_limit_keys){
		.client = client,
		.account = pair_of(limit, all_clients, user),
		.pair = pair_of(limit, client, user),
	};
}

/* The finaliser of MurmurHash3: every bit of the key counts. */
static size_t
set_of(const struct auth_limit *limit, uint64_t key)
{
	uint64_t h = key ^ limit->seed;

	h = (h ^ h >> 33) * 0xff51afd7ed558ccdu;
	h = (h ^ h >> 33) * 0xc4ceb9fe1a85ec53u;
	return (h ^ h >> 33) % SETS;
}

/* How far ahead of now the key's time lies; 0: past, or not there. */
static uint64_t
left_of(const struct timed set[WAYS], uint64_t key, uint64_t now_ms)
{
	for (size_t i = 0; i < WAYS; i++)
		if (set[i].key == key && set[i].until_ms > now_ms)
			return set[i].until_ms - now_ms;
	return 0;
}

/* The key's own place, else the one that is soonest free. */
static struct timed *
place_in(struct timed set[WAYS], uint64_t key)
{
	struct timed *found = &set[0];

	for (size_t i = 0; i < WAYS; i++) {
		if (set[i].key == key)
			return &set[i];
		if (set[i].until_ms < found->until_ms)
			found = &set[i];
	}
	*found = (struct timed){ key, 0 };
	return found;
}

static unsigned
failures_in(const struct timed set[WAYS], uint64_t key, uint64_t now_ms)
{
	return (unsigned)((left_of(set, key, now_ms) + AUTH_LIMIT_DRAIN_MS -
	                      1) / AUTH_LIMIT_DRAIN_MS);
}

static unsigned
failures_of(const struct auth_limit *limit, uint64_t key, uint64_t now_ms)
{
	return failures_in(limit->bucket[set_of(limit, key)], key, now_ms);
}

static void
fill(struct timed set[WAYS], uint64_t key, unsigned most, uint64_t now_ms)
{
	struct timed *bucket = place_in(set, key);
	uint64_t full_ms = now_ms + (uint64_t)most * AUTH_LIMIT_DRAIN_MS;

	if (bucket->until_ms < now_ms)
		bucket->until_ms = now_ms;
	bucket->until_ms += AUTH_LIMIT_DRAIN_MS;
	if (bucket->until_ms > full_ms)
		bucket->until_ms = full_ms;
}

static bool
is_trusted(const struct auth_limit *limit, uint64_t pair, uint64_t now_ms)
{
	return left_of(limit->trusted[set_of(limit, pair)], pair, now_ms) > 0;
}

bool
auth_limit_is_reached(const struct auth_limit *limit,
    const struct auth_limit_keys *keys, uint64_t now_ms)
{
	const struct timed *account =
	    limit->account[set_of(limit, keys->account)];

	if (failures_of(limit, keys->client, now_ms) < AUTH_LIMIT_FAILURES &&
	    failures_in(account, keys->account, now_ms) <
	        AUTH_LIMIT_ACCOUNT_FAILURES)
		return false;
	return !is_trusted(limit, keys->pair, now_ms) ||
	    failures_of(limit, keys->pair, now_ms) >=
	    AUTH_LIMIT_TRUSTED_FAILURES;
}

unsigned
auth_limit_fail(struct auth_limit *limit, const struct auth_limit_keys *keys,
    uint64_t now_ms)
{
	fill(limit->bucket[set_of(limit, keys->client)], keys->client,
	    AUTH_LIMIT_FAILURES, now_ms);
	fill(limit->account[set_of(limit, keys->account)], keys->account,
	    AUTH_LIMIT_ACCOUNT_FAILURES, now_ms);
	if (is_trusted(limit, keys->pair, now_ms))
		fill(limit->bucket[set_of(limit, keys->pair)], keys->pair,
		    AUTH_LIMIT_TRUSTED_FAILURES, now_ms);
	return failures_of(limit, keys->client, now_ms);
}

void
auth_limit_trust(struct auth_limit *limit, const struct auth_limit_keys *keys,
    uint64_t now_ms)
{
	place_in(limit->trusted[set_of(limit, keys->pair)], keys->pair)
	    ->until_ms = now_ms + AUTH_LIMIT_TRUST_MS;
}

/* One mistyped password costs base, each further one as much again. */
unsigned
auth_limit_delay(unsigned base_ms, unsigned count)
{
	uint64_t ms = (uint64_t)base_ms * (count > 0 ? count : 1);

	return ms < AUTH_LIMIT_DELAY_MAX_MS ? (unsigned)ms :
	                                      AUTH_LIMIT_DELAY_MAX_MS;
}
