/* SPDX-License-Identifier: Apache-2.0 */
/* asked.c - whom a stage concerns, how long that may take, and what counts when
 * nobody could answer. */
#include "pipeline/asked.h"

#include <limits.h>

enum { MARGIN_MS = 2000 };

unsigned
asked_stricter(unsigned a, unsigned b)
{
	static const unsigned strictness[] = { [ON_FAILURE_NEXT] = 0,
		[ON_FAILURE_DEFER] = 1, [ON_FAILURE_REJECT] = 2 };

	if (a > ON_FAILURE_REJECT || b > ON_FAILURE_REJECT)
		return ON_FAILURE_DEFER;
	return strictness[a] >= strictness[b] ? a : b;
}

bool
asked_is(const struct check_facts *check, const struct when_facts *known)
{
	enum module_standing state = role_module_state(check->section);

	return state != MODULE_OFF &&
	    (state != MODULE_BROKEN || check->on_failure != ON_FAILURE_NEXT) &&
	    (!check->has_when || when_holds(&check->when, known));
}

/* Of outcomes all are told alike. */
static bool
is_waited_for(const struct check_facts *check, enum ph_stage stage)
{
	return check->mode != MODE_OBSERVE || stage >= PH_AT_DELIVERED;
}

/* Modules of one order run together, orders one after the other. */
struct asked
asked_at(const struct generation *generation, enum ph_stage stage,
    const struct when_facts *known)
{
	struct asked asked = { .on_failure = ON_FAILURE_NEXT };
	unsigned slowest = 0, order = UINT_MAX;

	for (size_t i = 0; i < generation->check_count; i++) {
		const struct check_facts *check = &generation->checks[i];

		if ((check->stages >> stage & 1) == 0 ||
		    !is_waited_for(check, stage) || !asked_is(check, known))
			continue;
		asked.is_any = true;
		if (check->order != order) {
			order = check->order;
			asked.budget_ms += slowest;
			slowest = 0;
		}
		slowest = check->timeout_ms > slowest ? check->timeout_ms :
		                                        slowest;
		if (check->mode == MODE_ENFORCE)
			asked.on_failure = asked_stricter(asked.on_failure,
			    check->on_failure);
	}
	if (asked.is_any)
		asked.budget_ms += slowest + MARGIN_MS;
	return asked;
}

bool
asked_observers(const struct generation *generation, enum ph_stage stage,
    const struct when_facts *known)
{
	if ((generation->observed >> stage & 1) == 0)
		return false;
	for (size_t i = 0; i < generation->check_count; i++) {
		const struct check_facts *check = &generation->checks[i];

		if ((check->stages >> stage & 1) != 0 &&
		    !is_waited_for(check, stage) && asked_is(check, known))
			return true;
	}
	return false;
}

void
asked_missed(const struct generation *generation, unsigned stages)
{
	for (size_t i = 0; i < generation->check_count; i++) {
		const struct check_facts *check = &generation->checks[i];
		unsigned heard = check->mode == MODE_OBSERVE ? ~0u :
		    ~0u << PH_AT_DELIVERED;

		if ((check->stages & stages & heard) != 0)
			tally_miss(tally_of(check->section));
	}
}
