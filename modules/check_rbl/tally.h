/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tally.h - what all lists together say of a client, and whether those that
 * have not answered could still change it. Pure.
 */
#ifndef CHECK_RBL_TALLY_H
#define CHECK_RBL_TALLY_H

#include "list.h"

enum { RBL_LISTS_MAX = 32 };

enum rbl_state { RBL_NOT_ASKED, RBL_OPEN, RBL_FREE, RBL_LISTED };

/* Sums of weights from which on; 0: never. */
struct rbl_limits {
	unsigned tag_at, defer_at, reject_at;
	bool sum_counts; /* what is not refused takes its sum along, as points */
};

enum rbl_outcome {
	RBL_CLEAN,
	RBL_TAGGED,
	RBL_DEFERRED,
	RBL_REJECTED,
	RBL_ALLOWED,
};

struct rbl_tally {
	enum rbl_outcome outcome;
	int sum;
	size_t decisive;  /* the list that tells best why; of CLEAN: 0 */
	bool is_settled;  /* no open list can change the outcome */
};

struct rbl_tally rbl_count(const struct rbl_list *lists,
    const enum rbl_state *states, size_t count,
    const struct rbl_limits *limits);

#endif
