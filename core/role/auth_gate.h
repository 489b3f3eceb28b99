/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth_gate.h - few password verifications at a time, shared fairly.
 *
 * Hashing is made to be slow. A client that sends junk without end may use
 * what nobody else wants, but whoever has fewer verifications at work is let
 * in first, so a login from elsewhere waits for one of them at most.
 */
#ifndef CORE_ROLE_AUTH_GATE_H
#define CORE_ROLE_AUTH_GATE_H

#include <posthouse/base.h>

enum {
	AUTH_GATE_SLOTS = 3,       /* one thread of the pool stays free */
	AUTH_GATE_WAITING = 1024,  /* all clients together */
	AUTH_GATE_CLIENT = 512,    /* of one client */
};

struct auth_gate_waiter;

/* Zeroed is valid. */
struct auth_gate {
	uint64_t running[AUTH_GATE_SLOTS]; /* clients */
	unsigned running_count;
	unsigned waiting;
	struct auth_gate_waiter *first, *last;
};

/* Suspends. 0: leave later; PH_FULL, PH_TIMEOUT, PH_CANCELED: not entered. */
int auth_gate_enter(struct auth_gate *gate, uint64_t client,
    unsigned timeout_ms);
void auth_gate_leave(struct auth_gate *gate, uint64_t client);

#endif
