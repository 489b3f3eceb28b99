/* SPDX-License-Identifier: Apache-2.0 */
/*
 * asked.h - which check modules a stage concerns, as those see it who ask: edge
 * and queue, which load none of them. Whom nobody hooks costs no message.
 */
#ifndef CORE_PIPELINE_ASKED_H
#define CORE_PIPELINE_ASKED_H

#include <posthouse/session.h>

#include "role/role.h"

struct asked {
	bool is_any;         /* that is waited for, or told of an outcome */
	unsigned budget_ms;  /* of all orders, and a margin; 0: nobody */
	unsigned on_failure; /* the strictest of the enforcing modules */
};

/* Whether the module is asked about what is known. */
bool asked_is(const struct check_facts *check,
    const struct when_facts *known);
struct asked asked_at(const struct generation *generation,
    enum ph_stage stage, const struct when_facts *known);
/* Of two on_failures. */
unsigned asked_stricter(unsigned a, unsigned b);
/* Whether one who only observes wants to hear of it. */
bool asked_observers(const struct generation *generation,
    enum ph_stage stage, const struct when_facts *known);
/* What was told could not be taken: count it with the modules that would have
 * heard of it. stages: a bit for each. */
void asked_missed(const struct generation *generation, unsigned stages);

#endif
