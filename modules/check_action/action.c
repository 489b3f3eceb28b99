/* SPDX-License-Identifier: Apache-2.0 */
/* action.c - see action.h. */
#include "action.h"

enum { REASON_MAX = 300, REFUSED = 550, PUT_OFF = 450 };

const char *const action_names[] = { "off", "score", "tag", "defer", "reject",
	NULL };

static const struct finding *
hardest(const struct finding *findings, size_t count)
{
	const struct finding *best = NULL;

	for (size_t i = 0; i < count; i++)
		if (best == NULL || findings[i].action > best->action)
			best = &findings[i];
	return best;
}

static void
give_reason(struct ph_call *call, const struct finding *findings, size_t count)
{
	struct ph_buf reason;

	ph_buf_init(&reason, ph_call_arena(call), REASON_MAX);
	for (size_t i = 0; i < count; i++)
		if (findings[i].action != ACTION_OFF)
			ph_buf_printf(&reason, "%s%s", reason.n > 0 ? "; " :
			    "", findings[i].text);
	if (reason.n > 0)
		ph_reason(call, PH_SLICE_FMT, PH_SLICE_ARG(
		    ph_buf_content(&reason)));
}

enum ph_verdict
action_conclude(struct ph_call *call, const struct finding *findings,
    size_t count)
{
	const struct finding *best = hardest(findings, count);
	char enhanced[16] = "4.";

	for (size_t i = 0; i < count; i++) {
		if (findings[i].action == ACTION_SCORE ||
		    findings[i].action == ACTION_TAG)
			ph_score(call, findings[i].points);
		if (findings[i].action == ACTION_TAG)
			ph_add_header(call, "X-Posthouse-Check", "%s",
			    findings[i].text);
	}
	if (best == NULL || best->action < ACTION_DEFER) {
		give_reason(call, findings, count);
		return PH_NEXT;
	}
	strncat(enhanced, best->detail, sizeof(enhanced) - 3);
	if (best->action == ACTION_DEFER)
		return ph_defer(call, PUT_OFF, enhanced, "%s", best->text);
	enhanced[0] = '5';
	return ph_reject(call, REFUSED, enhanced, "%s", best->text);
}
