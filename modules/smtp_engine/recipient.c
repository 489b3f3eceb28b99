/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recipient.c - see recipient.h. A local part that carries an address of its
 * own ("user%dom@us", "dom!user@us", "user@dom"@us) is no mailbox of ours and
 * never unfolded: it is refused whatever the look-up said.
 */
#include "recipient.h"

static const struct smtp_reply no_relaying = { 550, "5.7.1",
	"relaying denied", false };
static const struct smtp_reply no_user = { 550, "5.1.1",
	"no such mailbox here", false };
static const struct smtp_reply unsure = { 451, "4.4.3",
	"the recipient could not be looked up, try again later", false };

static bool
carries_route(struct ph_slice local)
{
	return local.n > 0 && (memchr(local.p, '%', local.n) != NULL ||
	    memchr(local.p, '!', local.n) != NULL ||
	    memchr(local.p, '@', local.n) != NULL);
}

const struct smtp_reply *
smtp_rcpt_decide(const struct smtp_rcpt_facts *facts)
{
	if (facts->found == PH_RCPT_REMOTE && !facts->is_own_literal)
		return facts->may_relay ? NULL : &no_relaying;
	if (carries_route(facts->path->local))
		return &no_relaying;
	switch (facts->found) {
	case PH_RCPT_LOCAL:
		return NULL;
	case PH_RCPT_REMOTE: /* never to ourselves */
	case PH_RCPT_NO_USER:
		return &no_user;
	case PH_RCPT_UNSURE:
		break;
	}
	return &unsure;
}

bool
smtp_literal_is_own(struct ph_slice domain, const struct ph_addr *local)
{
	struct ph_addr addr;

	return ph_address_literal_parse(domain, &addr) &&
	    ((local->family != 0 && ph_addr_eq(&addr, local)) ||
	        ph_addr_is_loopback(&addr) ||
	        ph_addr_is_unspecified(&addr));
}
