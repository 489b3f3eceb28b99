/* SPDX-License-Identifier: Apache-2.0 */
/* access.c - see access.h. */
#include "access.h"

/* The narrowest network that has addr; NULL: none. */
static const struct ph_net *
narrowest(const struct ph_net_list *list, const struct ph_addr *addr)
{
	const struct ph_net *best = NULL;

	for (size_t i = 0; i < list->count; i++)
		if ((best == NULL || list->net[i].bits > best->bits) &&
		    ph_net_has(&list->net[i], addr))
			best = &list->net[i];
	return best;
}

enum access_answer
access_look_up(const struct access_lists *lists, const struct ph_addr *addr,
    const struct ph_net **net_out)
{
	const struct ph_net *allow = narrowest(&lists->allow, addr);
	const struct ph_net *deny = narrowest(&lists->deny, addr);
	const bool is_allowed = allow != NULL &&
	    (deny == NULL || allow->bits >= deny->bits);

	if (allow == NULL && deny == NULL)
		return ACCESS_UNLISTED;
	*net_out = is_allowed ? allow : deny;
	return is_allowed ? ACCESS_ALLOWED : ACCESS_DENIED;
}
