/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_spf - may the client send mail for the sender's domain (RFC 7208)? An
 * example of a check that asks DNS, writes a field at the top of the message and
 * leaves its result to checks of a later order, in the notes spf.result and
 * spf.domain. With the null sender the name of HELO is asked about. What can't
 * be told is no reason to refuse.
 */
#include <posthouse/check.h>
#include <posthouse/mail.h>

#include "spf.h"

struct spf_conf {
	bool reject;
	unsigned timeout_ms;
};

/* A user's mail, or that of our own machines, has nothing to prove. */
static bool
is_ours(const struct ph_session *session)
{
	return ph_session_user(session) != NULL ||
	    ph_session_may_relay(session);
}

static struct spf
question(struct ph_call *call)
{
	struct ph_arena *arena = ph_call_arena(call);
	struct ph_slice sender = ph_call_sender(call);
	struct ph_slice helo = ph_session_helo(ph_call_session(call));
	struct spf spf = { .arena = arena, .client = ph_call_client(call),
		.local = ph_address_local(sender),
		.helo = helo.p != NULL ? ph_arena_slice(arena, helo).p : "" };

	spf.domain = ph_domain_canonical(arena, ph_address_domain(sender));
	if (spf.domain.p == NULL) /* s2.4: postmaster at the name of HELO */
		spf.domain = ph_domain_canonical(arena, ph_slice_str(spf.helo));
	if (spf.local.p == NULL || spf.local.n == 0)
		spf.local = PH_LIT("postmaster");
	return spf;
}

static void
tell(struct ph_call *call, const struct spf *spf, enum spf_result result)
{
	const char *name = spf_result_name(result);
	char client[PH_ADDR_TEXT_MAX];

	ph_count(name, 1);
	ph_note(call, "spf.result", "%s", name);
	ph_note(call, "spf.domain", PH_SLICE_FMT, PH_SLICE_ARG(spf->domain));
	ph_log(PH_INFO, "spf", ph_f_str("result", name),
	    ph_f_slice("domain", spf->domain),
	    ph_f_int("lookups", spf->lookups));
	ph_add_header(call, "Received-SPF", "%s (%s) client-ip=%s; "
	    "envelope-from=\"" PH_SLICE_FMT "\"; helo=\"%s\"", name,
	    ph_session_hostname(ph_call_session(call)),
	    ph_addr_format(spf->client, client),
	    PH_SLICE_ARG(ph_call_sender(call)), spf->helo);
}

static enum ph_verdict
spf_on_mail(struct ph_call *call, const void *conf)
{
	const struct spf_conf *c = conf;
	enum spf_result result;
	uint64_t before;
	struct spf spf;

	if (is_ours(ph_call_session(call)))
		return PH_NEXT;
	spf = question(call);
	before = ph_deadline_push(c->timeout_ms); /* s4.6.4: for all of it */
	result = spf_check(&spf, spf.domain.p);
	ph_deadline_restore(before);
	tell(call, &spf, result);
	if (result == SPF_FAIL && c->reject)
		return ph_reject(call, 550, "5.7.23",
		    PH_SLICE_FMT " does not let you send its mail",
		    PH_SLICE_ARG(spf.domain));
	return PH_NEXT;
}

static const struct ph_option spf_options[] = {
	PH_OPT_BOOL("reject", struct spf_conf, reject, "false",
	    "refuse mail whose sender's domain says -all of the client"),
	PH_OPT_MSEC("timeout", struct spf_conf, timeout_ms, 100, 60000, "15s",
	    "how long all questions of one message may take"),
	PH_OPT_END,
};

static const struct ph_check_ops spf_ops = {
	.at = { [PH_AT_MAIL] = spf_on_mail },
};

PH_MODULE(check_spf) = {
	.abi = PH_ABI,
	.name = "check_spf",
	.kinds = PH_KIND_CHECK,
	.conf_size = sizeof(struct spf_conf),
	.options = spf_options,
	.doc = "asks whether the client may send for the sender's domain",
	.check = &spf_ops,
};
