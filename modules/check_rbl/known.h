/* SPDX-License-Identifier: Apache-2.0 */
/*
 * known.h - what is remembered for a while in the server's key-value store:
 * outcomes by client, lists that do not answer, how lists answered the test.
 * Without the store nothing is known, and all is asked.
 */
#ifndef CHECK_RBL_KNOWN_H
#define CHECK_RBL_KNOWN_H

#include "tally.h"

struct rbl_known {
	enum rbl_outcome outcome;
	int sum;
	struct ph_slice why; /* of a refusal or tag */
};

/* Whether a list may be believed, by RFC 5782 s5. */
enum rbl_health {
	RBL_UNTESTED,
	RBL_HONEST,
	RBL_LYING, /* it names everybody */
};

struct rbl_memory {
	bool knows_client;
	struct rbl_known client;
	bool is_dead[RBL_LISTS_MAX];
	enum rbl_health health[RBL_LISTS_MAX];
};

/* All of it in one trip to the store. config: a number that changes with the
 * configuration. Suspends. */
void rbl_remember(struct ph_arena *arena, const struct ph_addr *client,
    uint64_t config, const struct rbl_list *lists, size_t count,
    struct rbl_memory *memory_out);

/* The rest suspends, too. */
void rbl_know_client(struct ph_arena *arena, const struct ph_addr *client,
    uint64_t config, const struct rbl_known *known, uint64_t ttl_ms);
/* A list that failed three times within a minute is left alone for the rest of
 * it. */
void rbl_note_failure(struct ph_arena *arena, struct ph_slice zone);
/* For ten minutes. */
void rbl_know_health(struct ph_arena *arena, struct ph_slice zone, bool lies);
/* Log, once in ten minutes, that a list is of no use. */
void rbl_tell(struct ph_arena *arena, const char *event, struct ph_slice zone,
    const char *reason);

#endif
