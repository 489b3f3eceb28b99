/* SPDX-License-Identifier: Apache-2.0 */
/*
 * action.h - what a check does about what it found, as its configuration says:
 * nothing, points, a header field, a temporary or a final refusal.
 */
#ifndef CHECK_ACTION_ACTION_H
#define CHECK_ACTION_ACTION_H

#include <posthouse/check.h>

enum action {
	ACTION_OFF,
	ACTION_SCORE,
	ACTION_TAG,   /* the points, and a header field that tells why */
	ACTION_DEFER,
	ACTION_REJECT,
};
/* For PH_OPT_CHOICE: "off" "score" "tag" "defer" "reject". */
extern const char *const action_names[];

struct finding {
	enum action action;
	unsigned points;
	const char *detail; /* of the enhanced code: "7.1" */
	const char *text;   /* one line */
};

/*
 * The answer to all findings together: the points add up; the first of the
 * hardest action is the verdict, with its text. PH_NEXT when nothing refuses;
 * the reason then names them all.
 */
enum ph_verdict action_conclude(struct ph_call *call,
    const struct finding *findings, size_t count);

#endif
