/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_recipient - does the server that the mail goes on to know the
 * recipient? It is asked before the mail is taken, so that no bounce is owed to
 * a forged sender. Local users are the listener's business. What was learnt is
 * kept in the server's key-value store, the connection for the next question;
 * where nothing can be learnt the mail is put off.
 */
#include <posthouse/check.h>

#include <posthouse/kv.h>
#include <posthouse/mail.h>

#include "callout.h"
#include "server.h"

enum { SERVERS_MAX = 256 };

struct rcpt_conf {
	const char *const *servers;
	unsigned unsure;        /* UNSURE_DEFER, UNSURE_PASS */
	unsigned positive_ms, negative_ms, timeout_ms;
	unsigned connections;
};

static const char *const unsure_names[] = { "defer", "pass", NULL };
enum { UNSURE_DEFER, UNSURE_PASS };

static int
rcpt_check_conf(const void *conf, struct ph_err *err)
{
	const struct rcpt_conf *c = conf;
	struct next_server server;

	for (const char *const *at = c->servers; *at != NULL; at++) {
		const char *wrong = next_server_parse(*at, &server);

		if (wrong != NULL)
			return ph_err_set(err, PH_INVALID, 0, "\"%s\": %s",
			    *at, wrong);
	}
	return PH_OK;
}

static bool
find_server(const struct rcpt_conf *conf, struct ph_slice domain,
    struct next_server *server_out)
{
	for (const char *const *at = conf->servers; *at != NULL; at++)
		if (next_server_parse(*at, server_out) == NULL &&
		    next_server_knows(server_out, domain))
			return true;
	return false;
}

/* What goes into a command line of ours, and without SMTPUTF8. */
static bool
is_plain(struct ph_slice address)
{
	for (size_t i = 0; i < address.n; i++)
		if (address.p[i] < ' ' || address.p[i] == 0x7f)
			return false; /* char is signed: UTF-8, too */
	return address.n > 0 && address.n <= 320;
}

/* --- what is known --- */

static struct ph_slice
key_of(struct ph_call *call, struct ph_slice recipient)
{
	struct ph_slice folded = ph_address_fold(ph_call_arena(call),
	    recipient);

	return ph_slice_str(ph_arena_printf(ph_call_arena(call), "r %.*s",
	    PH_SLICE_ARG(folded)));
}

static bool
is_known(struct ph_call *call, struct ph_slice key,
    enum call_answer *answer_out, const char **said_out)
{
	struct ph_slice value;

	if (ph_kv_get(ph_call_arena(call), key, &value) != PH_OK ||
	    value.n == 0)
		return false;
	*answer_out = value.p[0] == 'g' ? CALL_GOOD : CALL_UNKNOWN;
	*said_out = value.p + 1; /* a NUL stands behind the value */
	return value.p[0] == 'g' || value.p[0] == 'u';
}

static void
remember(struct ph_call *call, const struct rcpt_conf *conf,
    struct ph_slice key, enum call_answer answer, const char *said)
{
	if (answer == CALL_GOOD)
		(void)ph_kv_put(key, PH_LIT("g"), conf->positive_ms);
	if (answer == CALL_UNKNOWN)
		(void)ph_kv_put(key, ph_slice_str(ph_arena_printf(
		    ph_call_arena(call), "u%s", said)), conf->negative_ms);
}

/* --- asking --- */

static enum call_answer
ask(struct ph_call *call, const struct rcpt_conf *conf,
    const struct next_server *server, const char **said_out)
{
	const struct callout callout = { .server = server,
		.hostname = ph_session_hostname(ph_call_session(call)),
		.recipient = ph_call_recipient(call),
		.timeout_ms = conf->timeout_ms,
		.connections = conf->connections };
	char addr[PH_ADDR_TEXT_MAX] = "";
	const char *name = ph_arena_printf(ph_call_arena(call), "%.*s%s %u",
	    (int)server->host.n, server->host.n > 0 ? server->host.p : "",
	    server->host.p == NULL ? ph_addr_format(&server->addr, addr) : "",
	    server->port);

	return callout_ask(ph_call_arena(call), &callout, name, said_out);
}

static enum ph_verdict
rcpt_on_rcpt(struct ph_call *call, const void *conf)
{
	const struct rcpt_conf *c = conf;
	struct ph_slice recipient = ph_call_recipient(call), key;
	struct next_server server;
	enum call_answer answer;
	const char *said = "";

	if (!find_server(c, ph_address_domain(recipient), &server) ||
	    !is_plain(recipient))
		return PH_NEXT;
	key = key_of(call, recipient);
	if (!is_known(call, key, &answer, &said)) {
		answer = ask(call, c, &server, &said);
		remember(call, c, key, answer, said);
	}
	switch (answer) {
	case CALL_UNKNOWN:
		return ph_reject(call, 550, "5.1.1",
		    "no such recipient, the next server said: %s", said);
	case CALL_UNSURE:
		ph_log(PH_WARN, "recipient_unsure",
		    ph_f_slice("rcpt", recipient), ph_f_str("reason", said));
		if (c->unsure == UNSURE_DEFER)
			return ph_defer(call, 450, "4.4.1",
			    "the recipient can't be verified now");
		break;
	case CALL_GOOD:
		break;
	}
	return PH_NEXT;
}

static const struct ph_option rcpt_options[] = {
	PH_OPT_LIST("servers", struct rcpt_conf, servers, 0, SERVERS_MAX,
	    "[]", "who knows a domain's mailboxes: \"DOMAIN HOST[:PORT]\""),
	PH_OPT_CHOICE("unsure", struct rcpt_conf, unsure, unsure_names,
	    "defer", "when the server can't be asked or says neither"),
	PH_OPT_MSEC("positive", struct rcpt_conf, positive_ms, 1000,
	    2592000000, "1d", "how long a recipient is known to be there"),
	PH_OPT_MSEC("negative", struct rcpt_conf, negative_ms, 1000,
	    2592000000, "1h", "how long one is known not to be there"),
	PH_OPT_MSEC("timeout", struct rcpt_conf, timeout_ms, 500, 120000,
	    "10s", "how long asking may take, below hook_timeout"),
	PH_OPT_UINT("connections", struct rcpt_conf, connections, 1, 1000, "4",
	    "open to one server at a time, kept ones as well; more wait"),
	PH_OPT_END,
};

static const struct ph_check_ops rcpt_ops = {
	.at = { [PH_AT_RCPT] = rcpt_on_rcpt },
};

PH_MODULE(check_recipient) = {
	.abi = PH_ABI,
	.name = "check_recipient",
	.kinds = PH_KIND_CHECK,
	.conf_size = sizeof(struct rcpt_conf),
	.options = rcpt_options,
	.doc = "asks the next server whether it knows the recipient",
	.check_conf = rcpt_check_conf,
	.check = &rcpt_ops,
};
