/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inquiry.h - all lists asked about one client at once, and what they said.
 *
 * A list whose health is not known is asked about the two test points in the
 * same breath; what it says of the client counts only once it is known not to
 * name everybody. One that was honest before is tested again when it names the
 * client.
 */
#ifndef CHECK_RBL_INQUIRY_H
#define CHECK_RBL_INQUIRY_H

#include "known.h"

struct rbl_asked {
	const char *question; /* NULL: not asked */
	bool is_first;        /* with this question */
	const char *liar, *sample; /* 127.0.0.1, 127.0.0.2; NULL: not asked */
	bool liar_is_heard, sample_is_heard;
	enum rbl_health health;
	bool is_named;        /* but the health is still open */
	struct ph_addr code;  /* of a listing */
};

struct rbl_inquiry {
	struct ph_arena *arena;
	struct ph_addr client;
	struct ph_dns_batch *batch;
	const struct rbl_list *lists;
	size_t count;
	struct rbl_asked asked[RBL_LISTS_MAX];
	enum rbl_state states[RBL_LISTS_MAX];
	uint32_t listed_s; /* the shortest life of what was said; UINT32_MAX */
	uint32_t free_s;   /* and of what was not */
};

/* Ask all lists that are of use. The lists must last as long as the arena. */
struct rbl_inquiry *rbl_inquire(struct ph_arena *arena,
    const struct ph_addr *client, const struct rbl_list *lists, size_t count,
    const struct rbl_memory *memory, unsigned timeout_ms);
/* Hear one answer more; false: there is none. call_arena: for a while.
 * Suspends. */
bool rbl_hear(struct rbl_inquiry *inquiry, struct ph_arena *call_arena);
/* Whether answers about test points are still to come. */
bool rbl_is_testing(const struct rbl_inquiry *inquiry);
/* There will be no more answers: note whose were missed; true: some were.
 * Suspends. */
bool rbl_note_missing(struct rbl_inquiry *inquiry,
    struct ph_arena *call_arena);

#endif
