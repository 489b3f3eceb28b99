/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_helo - what the client calls itself: by its form at once, by DNS from
 * HELO on, judged at MAIL. RFC 5321 s4.1.4 wants no refusal only because a name
 * does not fit the address; so most findings score, unless told otherwise. DNS
 * that does not answer finds nothing.
 */
#include <posthouse/check.h>

#include "action.h"
#include "name.h"
#include "stranger.h"

enum { LOOK_UP_MS = 5000, QUESTIONS = 3 /* A, AAAA, MX */ };

struct helo_conf {
	unsigned ourselves, unqualified, address, literal; /* enum action */
	unsigned unknown, mismatch;
	unsigned points;
	struct ph_net_list exempt;
};

enum helo_found { HELO_NOTHING, HELO_NO_SUCH_NAME, HELO_NOT_THE_CLIENT };

/* About the name given last. */
struct helo_session {
	struct ph_arena *arena;
	struct ph_dns_batch *batch; /* NULL: nothing was asked, or all is found */
	enum helo_found found;
};

static enum ph_verdict
conclude(struct ph_call *call, const struct helo_conf *conf, unsigned action,
    const char *text)
{
	const struct finding finding = { action, conf->points, "7.1",
		ph_arena_printf(ph_call_arena(call), "HELO " PH_SLICE_FMT
		    ": %s", PH_SLICE_ARG(ph_session_helo(
		    ph_call_session(call))), text) };

	return action_conclude(call, &finding, action != ACTION_OFF ? 1 : 0);
}

static void
ask(struct ph_call *call, const struct helo_conf *conf,
    struct helo_session *session, struct ph_slice helo)
{
	const char *name;

	if (conf->unknown == ACTION_OFF && conf->mismatch == ACTION_OFF)
		return;
	session->arena = ph_arena_create(ph_call_session_arena(call));
	name = ph_arena_slice(session->arena, helo).p;
	session->batch = ph_dns_batch(session->arena, LOOK_UP_MS);
	ph_dns_batch_a(session->batch, name);
	ph_dns_batch_aaaa(session->batch, name);
	ph_dns_batch_mx(session->batch, name);
}

static enum ph_verdict
helo_on_helo(struct ph_call *call, const void *conf)
{
	const struct helo_conf *c = conf;
	const struct ph_session *session = ph_call_session(call);
	struct helo_session *kept = ph_call_session_state(call, sizeof(*kept));
	const struct helo_known known = { ph_session_client(session),
		ph_session_local(session), ph_session_hostname(session) };
	struct ph_slice helo = ph_session_helo(session);

	ph_arena_free(kept->arena); /* of an earlier HELO */
	*kept = (struct helo_session){ NULL, NULL, HELO_NOTHING };
	if (!is_stranger(call, &c->exempt))
		return PH_NEXT;
	switch (helo_form_of(helo, &known)) {
	case HELO_OURSELVES:
		return conclude(call, c, c->ourselves,
		    "that is this server's own name");
	case HELO_UNQUALIFIED:
		return conclude(call, c, c->unqualified,
		    "not a fully qualified name");
	case HELO_BARE_ADDRESS:
		return conclude(call, c, c->address,
		    "an address without brackets");
	case HELO_WRONG_LITERAL:
		return conclude(call, c, c->literal,
		    "not the address you come from");
	case HELO_NAME:
		ask(call, c, kept, helo);
		break;
	case HELO_LITERAL:
		break;
	}
	return PH_NEXT;
}

/* What DNS said of the name so far. */
struct said {
	bool exists, has_address, has_client, is_unsure;
};

static void
hear(struct said *said, const struct ph_dns_answer *answer,
    const struct ph_addr *client)
{
	said->is_unsure |= answer->result == PH_DNS_NO_ANSWER;
	if (answer->result != PH_DNS_OK)
		return;
	said->exists = true;
	if (answer->mx != NULL || answer->addr == NULL)
		return;
	said->has_address = true;
	for (size_t i = 0; i < answer->count; i++)
		said->has_client |= ph_addr_eq(&answer->addr[i], client);
}

static enum helo_found
find(struct ph_dns_batch *batch, const struct ph_addr *client)
{
	const struct ph_dns_answer *answer;
	struct said said = { 0 };
	unsigned heard = 0;

	while (!said.has_client &&
	    (answer = ph_dns_batch_next(batch)) != NULL) {
		hear(&said, answer, client);
		heard++;
	}
	if (said.has_client || said.is_unsure || heard < QUESTIONS)
		return HELO_NOTHING;
	if (!said.exists)
		return HELO_NO_SUCH_NAME;
	return said.has_address ? HELO_NOT_THE_CLIENT : HELO_NOTHING;
}

static enum ph_verdict
helo_on_mail(struct ph_call *call, const void *conf)
{
	const struct helo_conf *c = conf;
	struct helo_session *kept = ph_call_session_state(call, sizeof(*kept));

	if (!is_stranger(call, &c->exempt))
		return PH_NEXT;
	if (kept->batch != NULL)
		kept->found = find(kept->batch, ph_call_client(call));
	kept->batch = NULL;
	switch (kept->found) {
	case HELO_NO_SUCH_NAME:
		return conclude(call, c, c->unknown, "no such name in DNS");
	case HELO_NOT_THE_CLIENT:
		return conclude(call, c, c->mismatch,
		    "the name is not that of your address");
	case HELO_NOTHING:
		break;
	}
	return PH_NEXT;
}

#define HELO_ACTION(name, member, fallback, doc)                        \
	PH_OPT_CHOICE(name, struct helo_conf, member, action_names, fallback, \
	    doc)

static const struct ph_option helo_options[] = {
	HELO_ACTION("ourselves", ourselves, "reject",
	    "when it calls itself by our name or address"),
	HELO_ACTION("unqualified", unqualified, "score",
	    "when the name has no dot"),
	HELO_ACTION("address", address, "score",
	    "when the name is an address without brackets"),
	HELO_ACTION("literal", literal, "score",
	    "when an address in brackets is not the client's"),
	HELO_ACTION("unknown", unknown, "score",
	    "when the name has neither an address nor an MX record"),
	HELO_ACTION("mismatch", mismatch, "off",
	    "when the name has addresses, but not the client's"),
	PH_OPT_UINT("points", struct helo_conf, points, 0, 1000, "1",
	    "what score and tag add to the message's score"),
	PH_OPT_NETS("exempt", struct helo_conf, exempt, 0, 10000,
	    STRANGER_EXEMPT, "clients not to look at"),
	PH_OPT_END,
};

static const struct ph_check_ops helo_ops = {
	.at = { [PH_AT_HELO] = helo_on_helo, [PH_AT_MAIL] = helo_on_mail },
};

PH_MODULE(check_helo) = {
	.abi = PH_ABI,
	.name = "check_helo",
	.kinds = PH_KIND_CHECK,
	.conf_size = sizeof(struct helo_conf),
	.options = helo_options,
	.doc = "looks at the name a client gives itself",
	.check = &helo_ops,
};
