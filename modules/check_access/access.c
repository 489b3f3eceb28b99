/* SPDX-License-Identifier: Apache-2.0 */
/* access.c - see access.h. */
#include "access.h"

/* Bits of the narrowest network that has addr; -1: none. */
static int
narrowest(const struct ph_net_list *list, const struct ph_addr *addr)
{
	int bits = -1;

	for (size_t i = 0; i < list->count; i++)
		if (list->net[i].bits > bits && ph_net_has(&list->net[i], addr))
			bits = list->net[i].bits;
	return bits;
}

enum access_answer
access_look_up(const struct access_lists *lists, const struct ph_addr *addr)
{
	const int allow = narrowest(&lists->allow, addr);
	const int deny = narrowest(&lists->deny, addr);

	if (allow < 0 && deny < 0)
		return ACCESS_UNLISTED;
	return allow >= deny ? ACCESS_ALLOWED : ACCESS_DENIED;
}
