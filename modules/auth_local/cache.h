/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache.h - logins that were right a moment ago.
 *
 * A client that asks for mail every minute need not cost a hash of 100 ms each
 * time. What is kept is an HMAC under a key of this process over user, password
 * and hash: no password is in memory, and a changed hash ends what was kept for
 * the old one. Only success is kept. The size is fixed.
 */
#ifndef AUTH_LOCAL_CACHE_H
#define AUTH_LOCAL_CACHE_H

#include <posthouse/arena.h>

enum { CACHE_MAC_SIZE = 32 };

struct cache;

/* Wiped when the arena ends. NULL: no random octets. */
struct cache *cache_create(struct ph_arena *arena, unsigned lifetime_ms);
/* What stands for the login. */
void cache_mac(const struct cache *cache, struct ph_slice user,
    struct ph_slice password, struct ph_slice hash,
    uint8_t mac_out[CACHE_MAC_SIZE]);
bool cache_has(const struct cache *cache, const uint8_t mac[CACHE_MAC_SIZE],
    uint64_t now_ms);
void cache_put(struct cache *cache, const uint8_t mac[CACHE_MAC_SIZE],
    uint64_t now_ms);

#endif
