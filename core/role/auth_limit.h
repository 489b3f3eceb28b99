/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth_limit.h - how often a client may fail to log in.
 *
 * Each client (an IPv4 address, or the /64 of an IPv6 one) has a bucket that
 * failures fill and time drains: AUTH_LIMIT_FAILURES at once, then one for
 * each AUTH_LIMIT_DRAIN_MS. The table has a fixed size; where it is full the
 * bucket with the fewest failures is forgotten. The clock is the caller's.
 */
#ifndef CORE_ROLE_AUTH_LIMIT_H
#define CORE_ROLE_AUTH_LIMIT_H

#include <posthouse/addr.h>
#include <posthouse/arena.h>

enum {
	AUTH_LIMIT_FAILURES = 20,
	AUTH_LIMIT_DRAIN_MS = 30000, /* 20 in 10 minutes */
	AUTH_LIMIT_DELAY_MAX_MS = 15000, /* less than edge waits for auth */
};

struct auth_limit;

struct auth_limit *auth_limit_create(struct ph_arena *arena, uint64_t seed);
/* What stands for the client: equal for one /64. */
uint64_t auth_limit_client(const struct ph_addr *addr);
/* Whether the client must come back later. */
bool auth_limit_is_reached(const struct auth_limit *limit, uint64_t client,
    uint64_t now_ms);
/* Count a failure; returns how many count now, at least 1. */
unsigned auth_limit_fail(struct auth_limit *limit, uint64_t client,
    uint64_t now_ms);
/* How long to let the client wait after its count-th failure. */
unsigned auth_limit_delay(unsigned base_ms, unsigned count);

#endif
