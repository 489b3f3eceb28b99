/* SPDX-License-Identifier: Apache-2.0 */
/*
 * router_virtual - addresses of any domain that stand for others, domains whose
 * every address stands for others, and domains that have such addresses alone.
 *
 * An address goes before its domain, and a mailbox before a domain's catch-all.
 * In a domain of virtual_domains what the file does not name does not exist.
 */
#include <posthouse/mail.h>
#include <posthouse/router.h>

#include "router_file/lookup.h"
#include "router_file/source.h"

struct virtual_conf {
	const char *file; /* "": virtual in the check role's folder */
	const char *const *domains;
};

static void *
virtual_open(struct ph_arena *arena, const void *conf)
{
	const struct virtual_conf *c = conf;
	const char *path = c->file[0] != '\0' ? c->file :
	    ph_arena_printf(arena, "%s/virtual", ph_router_dir());

	return source_open(arena, path, TABLE_SPACE);
}

static bool
is_virtual(const struct virtual_conf *conf, struct ph_slice address)
{
	struct ph_slice domain = ph_address_domain(address);

	for (const char *const *at = conf->domains; *at != NULL; at++)
		if (ph_domain_eq(ph_slice_str(*at), domain))
			return true;
	return false;
}

/* "@other.example": the same name there. A name alone: in the same domain. */
static void
add(struct ph_routing *routing, struct ph_slice target)
{
	struct ph_slice address = ph_routing_recipient(routing);
	struct ph_slice local = ph_address_local(address);
	struct ph_slice domain = ph_address_domain(address);
	struct ph_arena *arena = ph_routing_arena(routing);

	if (target.p[0] == '@')
		target = ph_slice_str(ph_arena_printf(arena, "%.*s%.*s",
		    PH_SLICE_ARG(local), PH_SLICE_ARG(target)));
	else if (ph_address_domain(target).p == NULL)
		target = ph_slice_str(ph_arena_printf(arena, "%.*s@%.*s",
		    PH_SLICE_ARG(target), PH_SLICE_ARG(domain)));
	ph_routing_add(routing, target);
}

static enum ph_route
virtual_route(struct ph_routing *routing, const void *conf, void *state)
{
	const struct virtual_conf *c = conf;
	struct ph_slice address = ph_routing_recipient(routing);
	struct ph_arena *arena = ph_routing_arena(routing);
	const struct table_entry *entry = NULL;
	const struct table *table = source_table(state);

	if (table == NULL)
		return PH_ROUTE_DEFER;
	if (!ph_routing_is_unknown(routing))
		entry = lookup_address(table, arena, address, false);
	if (entry == NULL && (ph_routing_is_unknown(routing) ||
	        !ph_routing_is_local(routing)))
		entry = lookup_domain(table, arena, address);
	if (entry == NULL)
		return is_virtual(c, address) &&
		    !ph_routing_is_local(routing) ? PH_ROUTE_FAIL :
		                                    PH_ROUTE_NEXT;
	if (entry->is_broken)
		return PH_ROUTE_DEFER;
	for (size_t i = 0; i < entry->count; i++)
		add(routing, entry->targets[i]);
	return PH_ROUTE_REPLACE;
}

static int
virtual_check_conf(const void *conf, struct ph_err *err)
{
	const struct virtual_conf *c = conf;

	for (const char *const *at = c->domains; *at != NULL; at++)
		if (!ph_domain_is_valid(ph_slice_str(*at)))
			return ph_err_set(err, PH_INVALID, 0,
			    "virtual_domains: \"%s\" is no domain", *at);
	return PH_OK;
}

static const struct ph_option virtual_options[] = {
	PH_OPT_PATH("file", struct virtual_conf, file, "",
	    "The addresses; empty: the file virtual in the check role's "
	    "folder"),
	PH_OPT_LIST("virtual_domains", struct virtual_conf, domains, 0, 10000, "[]",
	    "Domains that have the addresses of the file and no others"),
	PH_OPT_END,
};

static const struct ph_router_ops virtual_ops = {
	.open = virtual_open,
	.route = virtual_route,
};

PH_MODULE(router_virtual) = {
	.abi = PH_ABI,
	.name = "router_virtual",
	.kinds = PH_KIND_ROUTER,
	.conf_size = sizeof(struct virtual_conf),
	.options = virtual_options,
	.check_conf = virtual_check_conf,
	.doc = "Addresses and domains that stand for others",
	.router = &virtual_ops,
};
