/* SPDX-License-Identifier: Apache-2.0 */
/* policy.c - see policy.h. */
#include "pipeline/policy.h"

enum { SHARES_MAX = 64, TEXT_MAX = 400 };
static const int64_t sum_max = 1000000000;

static int64_t
bounded(int64_t points)
{
	if (points > sum_max)
		return sum_max;
	return points < -sum_max ? -sum_max : points;
}

void
score_add_sum(struct score *score, int64_t points)
{
	if (points == bounded(points))
		score->sum = bounded(score->sum + points);
}

void
score_add_share(struct ph_arena *arena, struct score *score,
    struct ph_slice module, int64_t points)
{
	struct score_share **at = &score->shares;

	while (*at != NULL && !ph_slice_eq(ph_slice_str((*at)->module),
	        module))
		at = &(*at)->next;
	if (*at == NULL) {
		if (score->count == SHARES_MAX || points == 0)
			return;
		score->count++;
		*at = ph_arena_alloc(arena, sizeof(**at));
		(*at)->module = ph_arena_slice(arena, module).p;
	}
	(*at)->points = bounded((*at)->points + bounded(points));
}

/* "7.5", no more digits than it has. */
static void
put_points(struct ph_buf *buf, int64_t points)
{
	uint64_t n = (uint64_t)(points < 0 ? -points : points);
	char part[8];
	int digits = 3;

	ph_buf_printf(buf, "%s%llu", points < 0 ? "-" : "",
	    (unsigned long long)(n / 1000));
	if (n % 1000 == 0)
		return;
	for (int i = 2; i >= 0; i--, n /= 10)
		part[i] = (char)('0' + n % 10);
	while (part[digits - 1] == '0')
		digits--;
	ph_buf_printf(buf, ".%.*s", digits, part);
}

static void
put_shares(struct ph_buf *buf, const struct score *score, bool *is_first)
{
	for (const struct score_share *at = score->shares; at != NULL;
	     at = at->next) {
		if (at->points == 0 || buf->n + 100 > TEXT_MAX)
			continue;
		ph_buf_printf(buf, "%s%s ", *is_first ? " (" : ", ",
		    at->module);
		put_points(buf, at->points);
		*is_first = false;
	}
}

const char *
score_text(struct ph_arena *arena, const struct score *a,
    const struct score *b)
{
	bool is_first = true;
	struct ph_buf buf;

	ph_buf_init(&buf, arena, TEXT_MAX);
	put_points(&buf, a->sum + b->sum);
	put_shares(&buf, a, &is_first);
	put_shares(&buf, b, &is_first);
	if (!is_first)
		ph_buf_char(&buf, ')');
	return ph_arena_slice(arena, ph_buf_content(&buf)).p;
}

unsigned
policy_limit(const struct core_policy *policy, enum policy_answer answer)
{
	const unsigned limits[] = { [POLICY_PASS] = 0,
		[POLICY_TAG] = policy->tag_at,
		[POLICY_QUARANTINE] = policy->quarantine_at,
		[POLICY_DEFER] = policy->defer_at,
		[POLICY_REJECT] = policy->reject_at };

	return limits[answer];
}

const char *
policy_answer_name(enum policy_answer answer)
{
	static const char *const names[] = { "", "tag_at", "quarantine_at",
		"defer_at", "reject_at" };

	return names[answer];
}

enum policy_answer
policy_answer(const struct core_policy *policy, int64_t score)
{
	for (enum policy_answer at = POLICY_REJECT; at > POLICY_PASS; at--) {
		unsigned limit = policy_limit(policy, at);

		if (limit > 0 && score >= (int64_t)limit * 1000)
			return at;
	}
	return POLICY_PASS;
}

bool
policy_is_on(const struct core_policy *policy)
{
	return policy->reject_at > 0 || policy->defer_at > 0 ||
	    policy->quarantine_at > 0 || policy->tag_at > 0;
}

enum ph_stage
policy_stage(const struct core_policy *policy, unsigned hooked)
{
	switch (policy->stage) {
	case POLICY_AT_RCPT:
		return PH_AT_RCPT;
	case POLICY_AT_DATA:
		return PH_AT_DATA;
	case POLICY_AT_MESSAGE:
		return PH_AT_MESSAGE;
	default:
		if (hooked >> PH_AT_MESSAGE != 0)
			return PH_AT_MESSAGE;
		return hooked >> PH_AT_DATA != 0 ? PH_AT_DATA : PH_AT_RCPT;
	}
}
