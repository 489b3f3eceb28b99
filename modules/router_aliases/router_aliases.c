/* SPDX-License-Identifier: Apache-2.0 */
/*
 * router_aliases - names in our domains that stand for other addresses, from a
 * file in the form of aliases(5).
 *
 * An alias goes before a mailbox of its name. Programs and files as targets are
 * passed over: mail comes from strangers. What can't be read defers.
 */
#include <posthouse/mail.h>
#include <posthouse/router.h>

#include "router_file/lookup.h"
#include "router_file/source.h"

struct aliases_conf {
	const char *file; /* "": aliases in the check role's folder */
};

static void *
aliases_open(struct ph_arena *arena, const void *conf)
{
	const struct aliases_conf *c = conf;
	const char *path = c->file[0] != '\0' ? c->file :
	    ph_arena_printf(arena, "%s/aliases", ph_router_dir());

	return source_open(arena, path, TABLE_COLON);
}

/* A name without a domain is one of the recipient's. */
static void
add(struct ph_routing *routing, struct ph_slice target)
{
	struct ph_slice domain = ph_address_domain(
	    ph_routing_recipient(routing));

	if (ph_address_domain(target).p == NULL)
		target = ph_slice_str(ph_arena_printf(
		    ph_routing_arena(routing), "%.*s@%.*s",
		    PH_SLICE_ARG(target), PH_SLICE_ARG(domain)));
	ph_routing_add(routing, target);
}

static enum ph_route
aliases_route(struct ph_routing *routing, const void *conf, void *state)
{
	const struct table_entry *entry;
	const struct table *table;

	(void)conf;
	if (!ph_routing_is_local(routing) || ph_routing_is_unknown(routing))
		return PH_ROUTE_NEXT;
	table = source_table(state);
	if (table == NULL)
		return PH_ROUTE_DEFER;
	entry = lookup_address(table, ph_routing_arena(routing),
	    ph_routing_recipient(routing), true);
	if (entry == NULL)
		return PH_ROUTE_NEXT;
	if (entry->is_broken)
		return PH_ROUTE_DEFER;
	for (size_t i = 0; i < entry->count; i++)
		add(routing, entry->targets[i]);
	return PH_ROUTE_REPLACE;
}

static const struct ph_option aliases_options[] = {
	PH_OPT_PATH("file", struct aliases_conf, file, "",
	    "The aliases; empty: the file aliases in the check role's folder"),
	PH_OPT_END,
};

static const struct ph_router_ops aliases_ops = {
	.open = aliases_open,
	.route = aliases_route,
};

PH_MODULE(router_aliases) = {
	.abi = PH_ABI,
	.name = "router_aliases",
	.kinds = PH_KIND_ROUTER,
	.conf_size = sizeof(struct aliases_conf),
	.options = aliases_options,
	.doc = "Names that stand for other addresses",
	.router = &aliases_ops,
};
