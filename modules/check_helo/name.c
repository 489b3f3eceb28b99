/* SPDX-License-Identifier: Apache-2.0 */
/* name.c - see name.h. */
#include "name.h"

#include <posthouse/mail.h>

static enum helo_form
form_of_literal(const struct ph_addr *addr, const struct helo_known *known)
{
	if (ph_addr_eq(addr, known->client))
		return HELO_LITERAL;
	return ph_addr_eq(addr, known->local) ? HELO_OURSELVES :
	                                        HELO_WRONG_LITERAL;
}

enum helo_form
helo_form_of(struct ph_slice helo, const struct helo_known *known)
{
	struct ph_addr addr;

	if (helo.n > 0 && helo.p[helo.n - 1] == '.') /* rooted, but a name */
		helo.n--;
	if (helo.n > 0 && helo.p[0] == '[')
		return ph_address_literal_parse(helo, &addr) ?
		    form_of_literal(&addr, known) : HELO_WRONG_LITERAL;
	if (ph_addr_parse(helo, &addr))
		return HELO_BARE_ADDRESS;
	if (ph_domain_eq(helo, ph_slice_str(known->hostname)))
		return ph_addr_eq(known->client, known->local) ? HELO_NAME :
		                                                 HELO_OURSELVES;
	return helo.n > 0 && memchr(helo.p, '.', helo.n) != NULL ? HELO_NAME :
	                                                     HELO_UNQUALIFIED;
}
