/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache.c - a set-associative table of MACs. The MAC itself chooses the set;
 * the place that ends soonest is taken.
 */
#include "cache.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/random.h>

enum { SETS = 2048, WAYS = 4, KEY_SIZE = 32, LENGTH_SIZE = 8 };

struct kept {
	uint8_t mac[CACHE_MAC_SIZE];
	uint64_t ends_ms; /* 0: free */
};

struct cache {
	uint8_t key[KEY_SIZE];
	unsigned lifetime_ms; /* 0: nothing is kept */
	struct kept kept[SETS][WAYS];
};

static void
wipe(void *object)
{
	ph_wipe(object, sizeof(struct cache));
}

struct cache *
cache_create(struct ph_arena *arena, unsigned lifetime_ms)
{
	struct cache *cache = ph_arena_alloc(arena, sizeof(*cache));

	if (getrandom(cache->key, KEY_SIZE, 0) != KEY_SIZE)
		return NULL;
	cache->lifetime_ms = lifetime_ms;
	ph_arena_on_end(arena, wipe, cache);
	return cache;
}

/* Each with its length in front: "ab" + "c" is not "a" + "bc". */
static void
add_prefixed(struct ph_buf *buf, struct ph_slice value)
{
	for (int i = 0; i < LENGTH_SIZE; i++)
		ph_buf_char(buf, (char)(value.n >> 8 * i));
	ph_buf_slice(buf, value);
}

void
cache_mac(const struct cache *cache, struct ph_slice user,
    struct ph_slice password, struct ph_slice hash,
    uint8_t mac_out[CACHE_MAC_SIZE])
{
	size_t n = user.n + password.n + hash.n + 3 * LENGTH_SIZE;
	unsigned length = 0;
	struct ph_buf buf;

	ph_buf_init(&buf, NULL, n);
	ph_buf_reserve(&buf, n); /* it must not move: copies stay unwiped */
	add_prefixed(&buf, user);
	add_prefixed(&buf, password);
	add_prefixed(&buf, hash);
	ph_assert(!buf.full &&
	    HMAC(EVP_sha256(), cache->key, KEY_SIZE, (const uint8_t *)buf.p,
	        buf.n, mac_out, &length) != NULL &&
	    length == CACHE_MAC_SIZE);
	ph_wipe(buf.p, buf.n);
	ph_buf_fini(&buf);
}

static size_t
set_of(const uint8_t mac[CACHE_MAC_SIZE])
{
	return ((size_t)mac[0] | (size_t)mac[1] << 8) % SETS;
}

bool
cache_has(const struct cache *cache, const uint8_t mac[CACHE_MAC_SIZE],
    uint64_t now_ms)
{
	const struct kept *set = cache->kept[set_of(mac)];

	for (int i = 0; i < WAYS; i++)
		if (set[i].ends_ms > now_ms &&
		    CRYPTO_memcmp(set[i].mac, mac, CACHE_MAC_SIZE) == 0)
			return true;
	return false;
}

void
cache_put(struct cache *cache, const uint8_t mac[CACHE_MAC_SIZE],
    uint64_t now_ms)
{
	struct kept *set = cache->kept[set_of(mac)], *place = &set[0];

	if (cache->lifetime_ms == 0)
		return;
	for (int i = 1; i < WAYS; i++)
		if (set[i].ends_ms < place->ends_ms)
			place = &set[i];
	memcpy(place->mac, mac, CACHE_MAC_SIZE);
	place->ends_ms = now_ms + cache->lifetime_ms;
}
