/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_sender_domain - can mail go back to where this one says it is from?
 * The sender's domain has an MX record or an address, and does not say by a
 * null MX that it takes no mail. The null sender and address literals pass.
 */
#include <posthouse/check.h>

#include <posthouse/mail.h>

#include "action.h"
#include "domain.h"
#include "stranger.h"

struct domain_conf {
	unsigned null_mx, unknown, unsure; /* enum action */
	unsigned points;
	const char *const *spare;
	struct ph_net_list exempt;
};

static bool
is_spared(const struct domain_conf *conf, struct ph_slice domain)
{
	for (const char *const *at = conf->spare; *at != NULL; at++)
		if (ph_domain_eq(domain, ph_slice_str(*at)))
			return true;
	return false;
}

static enum domain_answer
look_up(struct ph_arena *arena, const char *domain)
{
	enum domain_answer answer = domain_by_mx(ph_dns_mx(arena, domain));

	if (answer == DOMAIN_ASK_HOST)
		answer = domain_by_host(ph_dns_host(arena, domain));
	return answer;
}

static struct finding
finding_of(const struct domain_conf *conf, struct ph_arena *arena,
    const char *domain)
{
	struct finding finding = { .points = conf->points, .detail = "1.8" };
	const char *what = "";

	switch (look_up(arena, domain)) {
	case DOMAIN_NULL_MX: /* RFC 7505 s4.2 */
		finding.action = conf->null_mx;
		finding.detail = "7.27";
		what = "takes no mail";
		break;
	case DOMAIN_UNKNOWN:
		finding.action = conf->unknown;
		what = "has neither an MX record nor an address";
		break;
	case DOMAIN_UNSURE: /* could not tell: never for good */
		finding.action = conf->unsure;
		finding.detail = "4.3";
		what = "could not be looked up";
		break;
	case DOMAIN_GOOD:
	case DOMAIN_ASK_HOST:
		break;
	}
	finding.text = ph_arena_printf(arena, "the sender's domain %s %s",
	    domain, what);
	return finding;
}

static enum ph_verdict
domain_on_mail(struct ph_call *call, const void *conf)
{
	const struct domain_conf *c = conf;
	struct ph_slice domain = ph_address_domain(ph_call_sender(call));
	struct finding finding;

	if (domain.n == 0 || domain.p[0] == '[' || is_spared(c, domain) ||
	    ph_session_is_local_domain(ph_call_session(call), domain) ||
	    !is_stranger(call, &c->exempt))
		return PH_NEXT;
	finding = finding_of(c, ph_call_arena(call),
	    ph_arena_slice(ph_call_arena(call), domain).p);
	return action_conclude(call, &finding,
	    finding.action != ACTION_OFF ? 1 : 0);
}

/* Without "reject". */
static const char *const unsure_names[] = { "off", "score", "tag", "defer",
	NULL };

static const struct ph_option domain_options[] = {
	PH_OPT_CHOICE("unknown", struct domain_conf, unknown, action_names,
	    "reject", "when the domain has neither an MX record nor an address"),
	PH_OPT_CHOICE("null_mx", struct domain_conf, null_mx, action_names,
	    "reject", "when the domain says that it takes no mail"),
	PH_OPT_CHOICE("unsure", struct domain_conf, unsure, unsure_names,
	    "defer", "when DNS does not answer"),
	PH_OPT_UINT("points", struct domain_conf, points, 0, 1000, "3",
	    "what score and tag add to the message's score"),
	PH_OPT_LIST("spare", struct domain_conf, spare, 0, 1000, "[]",
	    "domains of senders not to look at"),
	PH_OPT_NETS("exempt", struct domain_conf, exempt, 0, 10000,
	    STRANGER_EXEMPT, "clients not to look at"),
	PH_OPT_END,
};

static const struct ph_check_ops domain_ops = {
	.at = { [PH_AT_MAIL] = domain_on_mail },
};

PH_MODULE(check_sender_domain) = {
	.abi = PH_ABI,
	.name = "check_sender_domain",
	.kinds = PH_KIND_CHECK,
	.conf_size = sizeof(struct domain_conf),
	.options = domain_options,
	.doc = "refuses senders to whom no mail could go back",
	.check = &domain_ops,
};
