/* SPDX-License-Identifier: Apache-2.0 */
/* tally.c - see tally.h. */
#include "tally.h"

/* The outcome of a sum, or of a list's own action when that is harder. */
static enum rbl_outcome
outcome_of(int sum, enum rbl_outcome own, const struct rbl_limits *limits)
{
	enum rbl_outcome by_sum = RBL_CLEAN;

	if (limits->reject_at > 0 && sum >= (int)limits->reject_at)
		by_sum = RBL_REJECTED;
	else if (limits->defer_at > 0 && sum >= (int)limits->defer_at)
		by_sum = RBL_DEFERRED;
	else if (limits->tag_at > 0 && sum >= (int)limits->tag_at)
		by_sum = RBL_TAGGED;
	return own > by_sum ? own : by_sum;
}

static enum rbl_outcome
own_outcome(const struct rbl_list *list)
{
	static const enum rbl_outcome own[] = { [RBL_WEIGH] = RBL_CLEAN,
		[RBL_TAG] = RBL_TAGGED, [RBL_DEFER] = RBL_DEFERRED,
		[RBL_REJECT] = RBL_REJECTED, [RBL_ACCEPT] = RBL_ALLOWED };

	return own[list->action];
}

static size_t
most_decisive(const struct rbl_list *lists, const enum rbl_state *states,
    size_t count)
{
	size_t best = count;

	for (size_t i = 0; i < count; i++) {
		if (states[i] != RBL_LISTED)
			continue;
		if (best == count || lists[i].action > lists[best].action ||
		    (lists[i].action == lists[best].action &&
		        lists[i].weight > lists[best].weight))
			best = i;
	}
	return best == count ? 0 : best;
}

struct rbl_tally
rbl_count(const struct rbl_list *lists, const enum rbl_state *states,
    size_t count, const struct rbl_limits *limits)
{
	struct rbl_tally tally = { .outcome = RBL_CLEAN };
	enum rbl_outcome own = RBL_CLEAN, own_open = RBL_CLEAN;
	int lowest, highest;

	for (size_t i = 0; i < count; i++) {
		if (states[i] != RBL_LISTED)
			continue;
		if (own_outcome(&lists[i]) > own)
			own = own_outcome(&lists[i]);
		tally.sum += lists[i].weight;
	}
	lowest = highest = tally.sum;
	for (size_t i = 0; i < count; i++) {
		if (states[i] != RBL_OPEN)
			continue;
		if (own_outcome(&lists[i]) > own_open)
			own_open = own_outcome(&lists[i]);
		*(lists[i].weight < 0 ? &lowest : &highest) +=
		    lists[i].weight;
	}
	tally.outcome = outcome_of(tally.sum, own, limits);
	tally.decisive = most_decisive(lists, states, count);
	/* an open list's own action can only make it harder */
	tally.is_settled = tally.outcome == RBL_ALLOWED ||
	    ((!limits->sum_counts || tally.outcome >= RBL_DEFERRED ||
	        lowest == highest) && own_open <= tally.outcome &&
	        outcome_of(lowest, own, limits) == tally.outcome &&
	        outcome_of(highest, own, limits) == tally.outcome);
	return tally;
}
