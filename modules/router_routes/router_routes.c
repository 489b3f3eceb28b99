/* SPDX-License-Identifier: Apache-2.0 */
/*
 * router_routes - which transport takes mail, by the recipient's address or
 * domain or the sender's, and domains of others that we relay for.
 *
 * Only relay_domains lets strangers send there: a route alone is no permission.
 */
#include <posthouse/mail.h>
#include <posthouse/router.h>

#include "router_file/pattern.h"

struct routes_conf {
	const char *const *routes, *const *senders, *const *relay_domains;
};

/* "PATTERN TRANSPORT [DESTINATION]" */
struct route {
	struct ph_slice pattern, transport, destination;
};

static bool
parse(const char *text, struct route *route)
{
	struct ph_slice rest = ph_slice_str(text);

	route->pattern = pattern_word(&rest);
	route->transport = pattern_word(&rest);
	route->destination = pattern_word(&rest);
	return route->pattern.n > 0 && route->transport.n > 0 &&
	    route->transport.n <= 64 && route->destination.n <= 255 &&
	    ph_slice_trim(rest).n == 0;
}

static bool
find(const char *const *list, struct ph_slice address, struct route *route)
{
	for (; *list != NULL; list++)
		if (parse(*list, route) && pattern_fits(route->pattern, address))
			return true;
	return false;
}

static bool
is_relayed(const struct routes_conf *conf, struct ph_slice address)
{
	for (const char *const *at = conf->relay_domains; *at != NULL; at++)
		if (pattern_fits(ph_slice_str(*at), address))
			return true;
	return false;
}

/* Mail for our own mailboxes goes elsewhere by a route that names it, not by
 * "*" or its sender. */
static bool
choose(const struct ph_routing *routing, const struct routes_conf *conf,
    struct route *route)
{
	struct ph_slice sender = ph_routing_sender(routing);
	bool is_local = ph_routing_is_local(routing);

	if (find(conf->routes, ph_routing_recipient(routing), route) &&
	    !(is_local && ph_slice_eq(route->pattern, PH_LIT("*"))))
		return true;
	return !is_local && sender.p != NULL &&
	    find(conf->senders, sender, route);
}

static enum ph_route
routes_route(struct ph_routing *routing, const void *conf, void *state)
{
	const struct routes_conf *c = conf;
	struct ph_arena *arena = ph_routing_arena(routing);
	struct ph_slice address = ph_routing_recipient(routing);
	struct route route;

	(void)state;
	if (ph_routing_is_unknown(routing))
		return PH_ROUTE_NEXT;
	if (is_relayed(c, address))
		ph_routing_accept(routing);
	if (choose(routing, c, &route)) {
		if (ph_routing_is_local(routing))
			ph_routing_accept(routing);
		ph_routing_to(routing, ph_arena_slice(arena,
		    route.transport).p, ph_arena_slice(arena,
		    route.destination).p);
		return PH_ROUTE_SEND;
	}
	return is_relayed(c, address) ? PH_ROUTE_KEEP : PH_ROUTE_NEXT;
}

static int
check_list(const char *option, const char *const *list, struct ph_err *err)
{
	struct route route;

	for (; *list != NULL; list++)
		if (!parse(*list, &route))
			return ph_err_set(err, PH_INVALID, 0,
			    "%s: \"%s\" is no \"PATTERN TRANSPORT\" or "
			    "\"PATTERN TRANSPORT DESTINATION\"", option,
			    *list);
	return PH_OK;
}

static int
routes_check_conf(const void *conf, struct ph_err *err)
{
	const struct routes_conf *c = conf;
	int status = check_list("routes", c->routes, err);

	if (status == PH_OK)
		status = check_list("senders", c->senders, err);
	for (const char *const *at = c->relay_domains; status == PH_OK &&
	    *at != NULL; at++)
		if (!ph_domain_is_valid(ph_slice_str(*at + ((*at)[0] == '.'))))
			status = ph_err_set(err, PH_INVALID, 0,
			    "relay_domains: \"%s\" is no domain", *at);
	return status;
}

static const struct ph_option routes_options[] = {
	PH_OPT_LIST("routes", struct routes_conf, routes, 0, 10000, "[]",
	    "By recipient: \"PATTERN TRANSPORT [DESTINATION]\", the pattern an "
	    "address, a domain, .domain or *"),
	PH_OPT_LIST("senders", struct routes_conf, senders, 0, 10000, "[]",
	    "By sender, in the same form, for mail that no entry of routes "
	    "fits"),
	PH_OPT_LIST("relay_domains", struct routes_conf, relay_domains, 0,
	    10000, "[]",
	    "Domains of other servers for which mail is taken from anybody"),
	PH_OPT_END,
};

static const struct ph_router_ops routes_ops = { .route = routes_route };

PH_MODULE(router_routes) = {
	.abi = PH_ABI,
	.name = "router_routes",
	.kinds = PH_KIND_ROUTER,
	.conf_size = sizeof(struct routes_conf),
	.options = routes_options,
	.check_conf = routes_check_conf,
	.doc = "Transports by recipient and sender, and domains to relay for",
	.router = &routes_ops,
};
