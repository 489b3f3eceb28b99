/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy.h - what checks said in points, summed, and what the sum comes to by
 * the section `policy`: the one place that decides on a score. Pure but for
 * memory; it runs in edge, which knows both the session and the message.
 */
#ifndef CORE_PIPELINE_POLICY_H
#define CORE_PIPELINE_POLICY_H

#include <posthouse/session.h>

#include "conf/core_conf.h"

/* Points are thousandths everywhere below. */
struct score {
	int64_t sum;
	struct score_share *shares; /* as they came; each section once */
	unsigned count;
};
struct score_share {
	struct score_share *next;
	const char *module; /* section */
	int64_t points;
};

/* Bounded: the sum stays within +-1e9, points beyond that are no points, shares
 * beyond 64 have no name. */
void score_add_share(struct ph_arena *arena, struct score *score,
    struct ph_slice module, int64_t points);
void score_add_sum(struct score *score, int64_t points);
/* "7.5 (check_rbl 5, check_ptr_mx 2.5)", of both together. */
const char *score_text(struct ph_arena *arena, const struct score *a,
    const struct score *b);

/* What a score comes to; the harder, the greater. */
enum policy_answer {
	POLICY_PASS,
	POLICY_TAG,
	POLICY_QUARANTINE,
	POLICY_DEFER,
	POLICY_REJECT,
};
enum policy_answer policy_answer(const struct core_policy *policy,
    int64_t score);
/* The limit that the answer stands for, in points. */
unsigned policy_limit(const struct core_policy *policy,
    enum policy_answer answer);
/* "reject_at" ...; "" of a score that passes. */
const char *policy_answer_name(enum policy_answer answer);
bool policy_is_on(const struct core_policy *policy);

/*
 * The first stage at which the score counts. hooked: a bit for each stage at
 * which a check that enforces is asked; "settled" is the first of rcpt, data
 * and message after which none of them has a word.
 */
enum ph_stage policy_stage(const struct core_policy *policy, unsigned hooked);

#endif
