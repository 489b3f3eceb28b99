/* SPDX-License-Identifier: Apache-2.0 */
/*
 * router_bcc - blind copies of mail: of all, or by sender or recipient.
 *
 * It decides nothing about a recipient; the core sends each copy once, makes no
 * copy of a copy, and tells the sender nothing of it.
 */
#include <posthouse/mail.h>
#include <posthouse/router.h>

#include "router_file/pattern.h"

struct bcc_conf {
	const char *const *always, *const *senders, *const *recipients;
};

/* "PATTERN ADDRESS" */
static bool
parse(const char *entry, struct ph_slice *pattern, struct ph_slice *to)
{
	struct ph_slice rest = ph_slice_str(entry);

	*pattern = pattern_word(&rest);
	*to = pattern_word(&rest);
	return ph_address_domain(*to).n > 0 && ph_slice_trim(rest).n == 0;
}

static void
copy_by(struct ph_routing *routing, const char *const *list,
    struct ph_slice address)
{
	struct ph_slice pattern, to;

	for (; *list != NULL; list++)
		if (parse(*list, &pattern, &to) &&
		    pattern_fits(pattern, address))
			ph_routing_copy(routing, to);
}

static enum ph_route
bcc_route(struct ph_routing *routing, const void *conf, void *state)
{
	const struct bcc_conf *c = conf;

	(void)state;
	if (ph_routing_is_unknown(routing))
		return PH_ROUTE_NEXT;
	for (const char *const *at = c->always; *at != NULL; at++)
		ph_routing_copy(routing, ph_slice_str(*at));
	copy_by(routing, c->senders, ph_routing_sender(routing));
	copy_by(routing, c->recipients, ph_routing_recipient(routing));
	return PH_ROUTE_NEXT;
}

static int
check_list(const char *option, const char *const *list, struct ph_err *err)
{
	struct ph_slice pattern, to;

	for (; *list != NULL; list++)
		if (!parse(*list, &pattern, &to))
			return ph_err_set(err, PH_INVALID, 0,
			    "%s: \"%s\" is no \"PATTERN ADDRESS\"", option,
			    *list);
	return PH_OK;
}

static int
bcc_check_conf(const void *conf, struct ph_err *err)
{
	const struct bcc_conf *c = conf;
	int status = check_list("senders", c->senders, err);

	if (status == PH_OK)
		status = check_list("recipients", c->recipients, err);
	for (const char *const *at = c->always; status == PH_OK && *at != NULL;
	     at++)
		if (ph_address_domain(ph_slice_str(*at)).n == 0)
			status = ph_err_set(err, PH_INVALID, 0,
			    "always: \"%s\" is no address", *at);
	return status;
}

static const struct ph_option bcc_options[] = {
	PH_OPT_LIST("always", struct bcc_conf, always, 0, 100, "[]",
	    "Addresses that get a copy of each message"),
	PH_OPT_LIST("senders", struct bcc_conf, senders, 0, 10000, "[]",
	    "By sender: \"PATTERN ADDRESS\", the pattern an address, a domain, "
	    ".domain or *"),
	PH_OPT_LIST("recipients", struct bcc_conf, recipients, 0, 10000, "[]",
	    "By recipient, in the same form"),
	PH_OPT_END,
};

static const struct ph_router_ops bcc_ops = { .route = bcc_route };

PH_MODULE(router_bcc) = {
	.abi = PH_ABI,
	.name = "router_bcc",
	.kinds = PH_KIND_ROUTER,
	.conf_size = sizeof(struct bcc_conf),
	.options = bcc_options,
	.check_conf = bcc_check_conf,
	.doc = "Blind copies of mail",
	.router = &bcc_ops,
};
