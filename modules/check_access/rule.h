/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rule.h - one rule about a client, a name, a sender or a recipient. Pure.
 *
 *   rule    = action SP what SP pattern [ SP text ]
 *   action  = "allow" / "deny" / "defer"
 *   what    = "client" / "host" / "helo" / "sender" / "recipient"
 */
#ifndef CHECK_ACCESS_RULE_H
#define CHECK_ACCESS_RULE_H

#include <posthouse/addr.h>

enum rule_action { RULE_ALLOW, RULE_DENY, RULE_DEFER };

enum rule_what {
	RULE_CLIENT,    /* an address or network */
	RULE_HOST,      /* the confirmed name of the address; ".x": x, below */
	RULE_HELO,      /* the same of the name in HELO */
	RULE_SENDER,    /* a@b, a@, @b, @.b (below b); "<>": the null one */
	RULE_RECIPIENT,
};

struct rule {
	enum rule_action action;
	enum rule_what what;
	struct ph_slice pattern;
	struct ph_net net;     /* of a client */
	struct ph_slice text;  /* for the refusal; may be empty */
};

/* What is asked: text, or for a client addr. */
struct rule_question {
	enum rule_what what;
	struct ph_slice text;
	const struct ph_addr *addr;
};

const char *rule_action_name(enum rule_action action);
const char *rule_what_name(enum rule_what what);

enum rule_form { RULE_GOOD, RULE_EMPTY, RULE_WRONG };
/* A line; comments (#) and empty ones are RULE_EMPTY. Borrows. */
enum rule_form rule_parse(struct ph_slice line, struct rule *rule_out);
bool rule_fits(const struct rule *rule, const struct rule_question *question);

#endif
