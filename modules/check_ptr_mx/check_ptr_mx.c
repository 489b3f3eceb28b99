/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_ptr_mx - has the client a name (PTR), does that name lead back to it,
 * and is it among the MX hosts of the sender's domain? Questions are begun as
 * early as they can be and judged at RCPT. Many honest senders use other hosts
 * for outgoing mail, so what is found scores, unless told otherwise. What DNS
 * does not answer is not held against anybody.
 */
#include <posthouse/check.h>

#include <posthouse/mail.h>

#include "action.h"
#include "agree.h"
#include "stranger.h"

enum { LOOK_UP_MS = 5000, NAMES_MAX = 5, FINDINGS = 3 };

struct ptr_conf {
	unsigned missing, unconfirmed, mx; /* enum action */
	unsigned points;
	bool with_domain;
	struct ph_net_list exempt;
};

enum ptr_state {
	PTR_ASKED,
	PTR_UNSURE,
	PTR_MISSING,
	PTR_UNCONFIRMED,
	PTR_CONFIRMED, /* or not to be confirmed */
};

struct ptr_session {
	/* of the client */
	struct ph_dns_batch *asked;    /* NULL: not asked */
	enum ptr_state state;
	const char *const *names;
	size_t name_count;
	/* of the name in HELO, mostly the PTR's: asked along with it */
	struct ph_arena *helo_arena;
	const char *helo;
	struct ph_dns_batch *helo_asked;
	/* of the message */
	struct ph_arena *arena;
	struct ph_slice domain;        /* absent: none to look at */
	struct ph_dns_batch *mx_asked;
	bool is_judged;
	struct finding findings[FINDINGS];
	size_t count;
};

/* --- asking --- */

static enum ph_verdict
ptr_on_connect(struct ph_call *call, const void *conf)
{
	const struct ptr_conf *c = conf;
	struct ptr_session *session = ph_call_session_state(call,
	    sizeof(*session));

	if (!is_stranger(call, &c->exempt))
		return PH_NEXT;
	session->asked = ph_dns_batch(ph_call_session_arena(call), LOOK_UP_MS);
	ph_dns_batch_ptr(session->asked, ph_call_client(call));
	return PH_NEXT;
}

static void
ask_address(struct ph_dns_batch *batch, const struct ph_addr *client,
    const char *name)
{
	if (client->family == 4)
		ph_dns_batch_a(batch, name);
	else
		ph_dns_batch_aaaa(batch, name);
}

static enum ph_verdict
ptr_on_helo(struct ph_call *call, const void *conf)
{
	const struct ptr_conf *c = conf;
	struct ph_slice helo = ph_session_helo(ph_call_session(call));
	struct ptr_session *session = ph_call_session_state(call,
	    sizeof(*session));

	ph_arena_free(session->helo_arena);
	session->helo_arena = NULL;
	session->helo = NULL;
	if (session->asked == NULL || session->state != PTR_ASKED ||
	    c->unconfirmed == ACTION_OFF || !ph_domain_is_valid(helo))
		return PH_NEXT;
	session->helo_arena = ph_arena_create(ph_call_session_arena(call));
	session->helo = ph_arena_slice(session->helo_arena, helo).p;
	session->helo_asked = ph_dns_batch(session->helo_arena, LOOK_UP_MS);
	ask_address(session->helo_asked, ph_call_client(call), session->helo);
	return PH_NEXT;
}

static enum ph_verdict
ptr_on_mail(struct ph_call *call, const void *conf)
{
	const struct ptr_conf *c = conf;
	struct ph_slice domain = ph_address_domain(ph_call_sender(call));
	struct ptr_session *session = ph_call_session_state(call,
	    sizeof(*session));

	ph_arena_free(session->arena);
	session->arena = NULL;
	session->domain = (struct ph_slice){ NULL, 0 };
	session->is_judged = false;
	session->count = 0;
	if (session->asked == NULL || !is_stranger(call, &c->exempt))
		return PH_NEXT;
	session->arena = ph_arena_create(ph_call_session_arena(call));
	if (c->mx == ACTION_OFF || domain.n == 0 || domain.p[0] == '[')
		return PH_NEXT;
	session->domain = ph_arena_slice(session->arena, domain);
	session->mx_asked = ph_dns_batch(session->arena, LOOK_UP_MS);
	ph_dns_batch_mx(session->mx_asked, session->domain.p);
	return PH_NEXT;
}

/* --- judging --- */

static bool
has_client(const struct ph_dns_answer *answer, const struct ph_addr *client)
{
	for (size_t i = 0; answer->addr != NULL && i < answer->count; i++)
		if (ph_addr_eq(&answer->addr[i], client))
			return true;
	return false;
}

/* Whether one of the names has the client's address. */
static enum ptr_state
confirm(struct ph_call *call, const struct ptr_session *session)
{
	const struct ph_addr *client = ph_call_client(call);
	struct ph_dns_batch *batch = ph_dns_batch(ph_call_arena(call),
	    LOOK_UP_MS);
	enum ptr_state state = PTR_UNCONFIRMED;
	const struct ph_dns_answer *answer;
	size_t heard = 0;

	for (size_t i = 0; i < session->name_count; i++)
		if (session->helo != NULL &&
		    is_same_name(ph_slice_str(session->names[i]),
		        ph_slice_str(session->helo)) &&
		    (answer = ph_dns_batch_next(session->helo_asked)) != NULL &&
		    has_client(answer, client))
			return PTR_CONFIRMED;
	for (size_t i = 0; i < session->name_count; i++)
		ask_address(batch, client, session->names[i]);
	while ((answer = ph_dns_batch_next(batch)) != NULL) {
		if (has_client(answer, client))
			return PTR_CONFIRMED;
		if (answer->result == PH_DNS_NO_ANSWER)
			state = PTR_UNSURE;
		heard++;
	}
	return heard < session->name_count ? PTR_UNSURE : state;
}

static void
judge_client(struct ph_call *call, const struct ptr_conf *conf,
    struct ptr_session *session)
{
	const struct ph_dns_answer *answer = ph_dns_batch_next(session->asked);

	if (answer == NULL || answer->result == PH_DNS_NO_ANSWER) {
		session->state = PTR_UNSURE;
	} else if (answer->result != PH_DNS_OK) {
		session->state = PTR_MISSING;
	} else {
		session->names = answer->ptr;
		session->name_count = answer->count < NAMES_MAX ?
		    answer->count : NAMES_MAX;
		session->state = conf->unconfirmed == ACTION_OFF ?
		    PTR_CONFIRMED : confirm(call, session);
	}
}

static void
add(struct ptr_session *session, const struct ptr_conf *conf, unsigned action,
    const char *text)
{
	if (action != ACTION_OFF)
		session->findings[session->count++] = (struct finding){ action,
			conf->points, "7.25", text }; /* RFC 7372 s3.3 */
}

static void
judge(struct ph_call *call, const struct ptr_conf *conf,
    struct ptr_session *session)
{
	char client[PH_ADDR_TEXT_MAX];
	const struct ph_dns_answer *mx;

	if (session->state == PTR_ASKED)
		judge_client(call, conf, session);
	session->is_judged = true;
	ph_addr_format(ph_call_client(call), client);
	if (session->state == PTR_MISSING)
		add(session, conf, conf->missing, ph_arena_printf(
		    session->arena, "%s has no name (PTR)", client));
	if (session->state == PTR_UNCONFIRMED)
		add(session, conf, conf->unconfirmed, ph_arena_printf(
		    session->arena, "%s has the name %s, which has another "
		    "address", client, session->names[0]));
	if (session->domain.p == NULL || session->name_count == 0)
		return; /* who has no name is not found wanting twice */
	mx = ph_dns_batch_next(session->mx_asked);
	if (mx != NULL && mx_agrees(session->names, session->name_count,
	        session->domain, mx, conf->with_domain) == AGREE_NO)
		add(session, conf, conf->mx, ph_arena_printf(session->arena,
		    "%s (%s) is no MX host of %s", session->names[0], client,
		    session->domain.p));
}

static enum ph_verdict
ptr_on_rcpt(struct ph_call *call, const void *conf)
{
	const struct ptr_conf *c = conf;
	struct ptr_session *session = ph_call_session_state(call,
	    sizeof(*session));
	struct finding hard[FINDINGS];
	size_t count = 0;

	if (session->arena == NULL || !is_stranger(call, &c->exempt))
		return PH_NEXT;
	if (!session->is_judged) {
		judge(call, c, session);
		return action_conclude(call, session->findings,
		    session->count);
	}
	for (size_t i = 0; i < session->count; i++) /* what scored has scored */
		if (session->findings[i].action >= ACTION_DEFER)
			hard[count++] = session->findings[i];
	return action_conclude(call, hard, count);
}

static const struct ph_option ptr_options[] = {
	PH_OPT_CHOICE("missing", struct ptr_conf, missing, action_names,
	    "score", "when the client's address has no name"),
	PH_OPT_CHOICE("unconfirmed", struct ptr_conf, unconfirmed,
	    action_names, "score",
	    "when its names do not have its address"),
	PH_OPT_CHOICE("mx", struct ptr_conf, mx, action_names, "score",
	    "when no name of it is an MX host of the sender's domain"),
	PH_OPT_BOOL("with_domain", struct ptr_conf, with_domain, "true",
	    "a name below the sender's domain is as good as an MX host"),
	PH_OPT_UINT("points", struct ptr_conf, points, 0, 1000, "1",
	    "what score and tag add to the message's score, for each finding"),
	PH_OPT_NETS("exempt", struct ptr_conf, exempt, 0, 10000,
	    STRANGER_EXEMPT, "clients not to look at"),
	PH_OPT_END,
};

static const struct ph_check_ops ptr_ops = {
	.at = { [PH_AT_CONNECT] = ptr_on_connect,
	    [PH_AT_HELO] = ptr_on_helo, [PH_AT_MAIL] = ptr_on_mail,
	    [PH_AT_RCPT] = ptr_on_rcpt },
};

PH_MODULE(check_ptr_mx) = {
	.abi = PH_ABI,
	.name = "check_ptr_mx",
	.kinds = PH_KIND_CHECK,
	.conf_size = sizeof(struct ptr_conf),
	.options = ptr_options,
	.doc = "looks at the client's name and the sender's MX hosts",
	.check = &ptr_ops,
};
