/* SPDX-License-Identifier: Apache-2.0 */
/* lookup.c - from the most exact key to the least. */
#include "lookup.h"

#include <posthouse/mail.h>

static const struct table_entry *
find(const struct table *table, struct ph_arena *arena, struct ph_slice local,
    struct ph_slice domain, bool by_name)
{
	const struct table_entry *entry = table_find(table, ph_slice_str(
	    ph_arena_printf(arena, "%.*s@%.*s", PH_SLICE_ARG(local),
	        PH_SLICE_ARG(domain))));

	return entry != NULL || !by_name ? entry : table_find(table, local);
}

const struct table_entry *
lookup_address(const struct table *table, struct ph_arena *arena,
    struct ph_slice address, bool by_name)
{
	struct ph_slice domain = ph_address_domain(address);
	struct ph_slice local = ph_address_local(address);
	const struct table_entry *entry;
	const char *plus;

	if (domain.p == NULL) { /* <postmaster> */
		local = address;
		domain = PH_LIT("");
	}
	entry = find(table, arena, local, domain, by_name);
	plus = memchr(local.p, '+', local.n);
	if (entry != NULL || plus == NULL || plus == local.p)
		return entry;
	local.n = (size_t)(plus - local.p);
	return find(table, arena, local, domain, by_name);
}

const struct table_entry *
lookup_domain(const struct table *table, struct ph_arena *arena,
    struct ph_slice address)
{
	struct ph_slice domain = ph_address_domain(address);

	return domain.p == NULL ? NULL : table_find(table, ph_slice_str(
	    ph_arena_printf(arena, "@%.*s", PH_SLICE_ARG(domain))));
}
