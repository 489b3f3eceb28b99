/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_access - take or refuse by what the administrator wrote down: clients
 * by network or name, names in HELO, senders, recipients. Who is allowed skips
 * what else would look (block lists, greylists); of others nothing is said.
 */
#include <posthouse/check.h>

#include <posthouse/kv.h>

#include "access.h"
#include "host.h"
#include "search.h"

enum { TELL_AGAIN_MS = 600000 };

struct access_conf {
	struct access_lists lists; /* first */
	const char *const *rules;
	const char *file;
};

/* What was allowed holds at later stages. */
struct access_session {
	bool client_is_allowed, sender_is_allowed;
};

static int
access_check_conf(const void *conf, struct ph_err *err)
{
	const struct access_conf *c = conf;
	struct rule rule;

	for (const char *const *at = c->rules; *at != NULL; at++)
		if (rule_parse(ph_slice_str(*at), &rule) != RULE_GOOD)
			return ph_err_set(err, PH_INVALID, 0, "\"%s\" is no "
			    "rule: allow, deny or defer; client, host, helo, "
			    "sender or recipient; a pattern", *at);
	return PH_OK;
}

/* What is wrong with the file, but not with each question anew. */
static void
tell(const struct access_conf *conf, const struct search *search)
{
	bool is_over = false;

	if (search->err.status == PH_OK && search->wrong.p == NULL)
		return;
	if (ph_kv_rate(search->err.status != PH_OK ? PH_LIT("unreadable") :
	    PH_LIT("wrong"), 1, TELL_AGAIN_MS, &is_over) == PH_OK &&
	    is_over)
		return;
	if (search->err.status != PH_OK)
		ph_log(PH_ERROR, "access_file_unreadable",
		    ph_f_str("file", conf->file),
		    ph_f_str("reason", search->err.text));
	else
		ph_log(PH_ERROR, "access_file_wrong",
		    ph_f_str("file", conf->file),
		    ph_f_slice("line", search->wrong));
}

static struct search
look_up(struct ph_call *call, const struct access_conf *conf,
    enum rule_what what, struct ph_slice text)
{
	struct search search = { .arena = ph_call_arena(call),
		.rules = conf->rules, .file = conf->file,
		.question = { what, text, ph_call_client(call) } };

	if (conf->rules[0] != NULL || conf->file[0] != '\0')
		search_run(&search);
	tell(conf, &search);
	return search;
}

/* Which rule it was is for us to know, not for the client. */
static enum ph_verdict
apply(struct ph_call *call, const struct access_conf *conf,
    const struct search *search)
{
	const bool is_greeting = ph_call_stage(call) == PH_AT_CONNECT;
	const struct rule *rule = &search->rule;
	struct ph_slice text = rule->text.n > 0 ? rule->text :
	                                          PH_LIT("access denied");

	ph_log(PH_INFO, "access_rule",
	    ph_f_str("action", rule_action_name(rule->action)),
	    ph_f_str("what", rule_what_name(rule->what)),
	    ph_f_slice("pattern", rule->pattern),
	    ph_f_str("of", search->is_of_file ? conf->file : "rules"));
	if (rule->action == RULE_ALLOW) {
		ph_reason(call, "allowed by the rule about %.*s",
		    PH_SLICE_ARG(rule->pattern));
		return PH_ACCEPT;
	}
	if (rule->action == RULE_DEFER)
		return ph_defer(call, is_greeting ? 421 : 450, "4.7.1",
		    "%.*s", PH_SLICE_ARG(text));
	return ph_reject(call, is_greeting ? 554 : 550, "5.7.1", "%.*s",
	    PH_SLICE_ARG(text));
}

static void
log_network(const char *option, const struct ph_net *net)
{
	char text[PH_ADDR_TEXT_MAX];

	ph_log(PH_INFO, "access_network", ph_f_str("of", option),
	    ph_f_str("network", ph_addr_format(&net->addr, text)),
	    ph_f_int("bits", net->bits));
}

static enum ph_verdict
access_on_connect(struct ph_call *call, const void *conf)
{
	const struct access_conf *c = conf;
	struct access_session *session = ph_call_session_state(call,
	    sizeof(*session));
	const struct ph_net *net;
	struct search search;

	switch (access_look_up(&c->lists, ph_call_client(call), &net)) {
	case ACCESS_ALLOWED:
		session->client_is_allowed = true;
		ph_reason(call, "network is allowed");
		log_network("allow", net);
		return PH_ACCEPT;
	case ACCESS_DENIED:
		log_network("deny", net);
		return ph_reject(call, 554, "5.7.1",
		    "your network is not welcome here");
	case ACCESS_UNLISTED:
		break;
	}
	search = look_up(call, c, RULE_CLIENT, (struct ph_slice){ NULL, 0 });
	session->client_is_allowed = search.is_found &&
	    search.rule.action == RULE_ALLOW;
	return search.is_found ? apply(call, c, &search) : PH_NEXT;
}

static enum ph_verdict
access_on_helo(struct ph_call *call, const void *conf)
{
	const struct access_conf *c = conf;
	struct access_session *session = ph_call_session_state(call,
	    sizeof(*session));
	struct search search;
	struct ph_slice name;

	if (session->client_is_allowed)
		return PH_ACCEPT;
	search = look_up(call, c, RULE_HELO,
	    ph_session_helo(ph_call_session(call)));
	if (!search.is_found && search.asks_host &&
	    ph_call_client(call)->family != 0) {
		name = host_confirmed(call);
		if (name.p != NULL)
			search = look_up(call, c, RULE_HOST, name);
		session->client_is_allowed = search.is_found &&
		    search.rule.action == RULE_ALLOW;
	}
	return search.is_found ? apply(call, c, &search) : PH_NEXT;
}

static enum ph_verdict
access_on_mail(struct ph_call *call, const void *conf)
{
	const struct access_conf *c = conf;
	struct access_session *session = ph_call_session_state(call,
	    sizeof(*session));
	struct search search;

	session->sender_is_allowed = false;
	if (session->client_is_allowed)
		return PH_ACCEPT;
	search = look_up(call, c, RULE_SENDER, ph_call_sender(call));
	session->sender_is_allowed = search.is_found &&
	    search.rule.action == RULE_ALLOW;
	return search.is_found ? apply(call, c, &search) : PH_NEXT;
}

static enum ph_verdict
access_on_rcpt(struct ph_call *call, const void *conf)
{
	const struct access_conf *c = conf;
	struct access_session *session = ph_call_session_state(call,
	    sizeof(*session));
	struct search search;

	if (session->client_is_allowed || session->sender_is_allowed)
		return PH_ACCEPT;
	search = look_up(call, c, RULE_RECIPIENT, ph_call_recipient(call));
	return search.is_found ? apply(call, c, &search) : PH_NEXT;
}

static const struct ph_option access_options[] = {
	PH_OPT_NETS("allow", struct access_conf, lists.allow, 0, 100000, "[]",
	    "networks to take without further checks"),
	PH_OPT_NETS("deny", struct access_conf, lists.deny, 0, 100000, "[]",
	    "networks to refuse"),
	PH_OPT_LIST("rules", struct access_conf, rules, 0, 100000, "[]",
	    "rules: \"deny sender @bad.example their text\"; the first decides"),
	PH_OPT_PATH("file", struct access_conf, file, "",
	    "a file with more rules, one a line, read again when it changed"),
	PH_OPT_END,
};

static const struct ph_check_ops access_ops = {
	.at = { [PH_AT_CONNECT] = access_on_connect,
	    [PH_AT_HELO] = access_on_helo, [PH_AT_MAIL] = access_on_mail,
	    [PH_AT_RCPT] = access_on_rcpt },
};

PH_MODULE(check_access) = {
	.abi = PH_ABI,
	.name = "check_access",
	.kinds = PH_KIND_CHECK,
	.conf_size = sizeof(struct access_conf),
	.options = access_options,
	.doc = "takes or refuses clients, names, senders and recipients",
	.check_conf = access_check_conf,
	.check = &access_ops,
};
