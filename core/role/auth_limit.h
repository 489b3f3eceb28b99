/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth_limit.h - how often a client may fail to log in, and how often all of
 * them together at one account.
 *
 * Each client (an IPv4 address, or the /64 of an IPv6 one) has a bucket that
 * failures fill and time drains: AUTH_LIMIT_FAILURES at once, then one for
 * each AUTH_LIMIT_DRAIN_MS. The table has a fixed size; where it is full the
 * bucket with the fewest failures is forgotten. The clock is the caller's.
 *
 * Many users may share an address (a webmail, an office). Who logged in from
 * there not long ago is not shut out by what others do, to the address or to the
 * account: such a pair of client and user has a small bucket of its own.
 */
#ifndef CORE_ROLE_AUTH_LIMIT_H
#define CORE_ROLE_AUTH_LIMIT_H

#include <posthouse/addr.h>
#include <posthouse/arena.h>

enum {
	AUTH_LIMIT_FAILURES = 20,
	AUTH_LIMIT_DRAIN_MS = 30000, /* 20 in 10 minutes */
	AUTH_LIMIT_ACCOUNT_FAILURES = 100, /* of many clients: guessed at */
	AUTH_LIMIT_TRUST_MS = 24 * 3600 * 1000,
	AUTH_LIMIT_TRUSTED_FAILURES = 5,
	AUTH_LIMIT_DELAY_MAX_MS = 15000, /* less than edge waits for auth */
};

struct auth_limit;

/* Whose buckets a login fills. */
struct auth_limit_keys {
	uint64_t client, account;
	uint64_t pair; /* of both */
};

struct auth_limit *auth_limit_create(struct ph_arena *arena, uint64_t seed);
/* What stands for the client: equal for one /64. */
uint64_t auth_limit_client(const struct ph_addr *addr);
/* The user may be no user at all, or absent. */
struct auth_limit_keys auth_limit_keys(const struct auth_limit *limit,
    uint64_t client, struct ph_slice user);
/* Whether the login must come back later. */
bool auth_limit_is_reached(const struct auth_limit *limit,
    const struct auth_limit_keys *keys, uint64_t now_ms);
/* Count a failure; returns how many of the client count now, at least 1. */
unsigned auth_limit_fail(struct auth_limit *limit,
    const struct auth_limit_keys *keys, uint64_t now_ms);
/* The user logged in from there. */
void auth_limit_trust(struct auth_limit *limit,
    const struct auth_limit_keys *keys, uint64_t now_ms);
/* How long to let the client wait after its count-th failure. */
unsigned auth_limit_delay(unsigned base_ms, unsigned count);

#endif
