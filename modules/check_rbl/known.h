/* SPDX-License-Identifier: Apache-2.0 */
/*
 * known.h - what is remembered for a while in the server's key-value store:
 * outcomes by client, lists that do not answer, lists that list everybody.
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

/* config: a number that changes with the configuration. All suspend. */
bool rbl_known_client(struct ph_arena *arena, const struct ph_addr *client,
    uint64_t config, struct rbl_known *known_out);
void rbl_know_client(struct ph_arena *arena, const struct ph_addr *client,
    uint64_t config, const struct rbl_known *known, unsigned ttl_ms);

/* A list that failed three times within a minute is left alone for the rest of
 * it. */
bool rbl_is_dead(struct ph_arena *arena, struct ph_slice zone);
void rbl_note_failure(struct ph_arena *arena, struct ph_slice zone);

/* Whether the list names 127.0.0.1, which no list may (RFC 5782 s5): then it
 * names everybody. Asked, and known for ten minutes. */
bool rbl_is_lying(struct ph_arena *arena, const struct rbl_list *list);

#endif
