/* SPDX-License-Identifier: Apache-2.0 */
/*
 * login.c - the AUTHORIZATION state: STLS (RFC 2595), USER and PASS, AUTH
 * (RFC 5034). Success gives the connection to the mail role; the +OK that ends
 * the login is said there, when the maildrop is open.
 */
#include "pop3.h"

enum { USER_MAX = 320 };

static bool
may_log_in(struct pop3 *p)
{
	if (ph_session_tls(p->session) != NULL || p->conf->allow_plain_auth)
		return true;
	pop3_err(p, "[AUTH] STLS comes first");
	return false;
}

static void
do_capa(struct pop3 *p, const struct pop3_call *call)
{
	const char *mechanisms = ph_sasl_mechanisms(p->session,
	    p->conf->allow_plain_auth);

	(void)call;
	pop3_capa(p);
	if (ph_session_tls(p->session) != NULL || p->conf->allow_plain_auth)
		(void)ph_stream_puts(p->stream, "USER\r\n");
	if (mechanisms[0] != '\0')
		(void)ph_stream_printf(p->stream, "SASL %s\r\n", mechanisms);
	if (ph_session_tls(p->session) == NULL &&
	    ph_session_has_tls(p->session))
		(void)ph_stream_puts(p->stream, "STLS\r\n");
	(void)ph_stream_puts(p->stream, ".\r\n");
}

static void
do_stls(struct pop3 *p, const struct pop3_call *call)
{
	int status;

	(void)call;
	if (ph_session_tls(p->session) != NULL) {
		pop3_err(p, "TLS is active already");
		return;
	}
	if (!ph_session_has_tls(p->session)) {
		pop3_err(p, "TLS is not available");
		return;
	}
	pop3_ok(p, "go ahead");
	p->user = (struct ph_slice){ NULL, 0 };
	status = ph_session_starttls(p->session);
	if (status != PH_OK)
		pop3_end(p, ph_status_name(status));
}

static void
hand_over(struct pop3 *p)
{
	int status = ph_session_handover(p->session, PH_LIT(""));

	if (status != PH_OK) /* the user is set: no second login */
		pop3_err(p, "[SYS/TEMP] the mailbox can't be reached now");
	pop3_end(p, status == PH_OK ? "login" : ph_status_name(status));
}

static void
finish(struct pop3 *p, enum ph_auth_result result)
{
	/* The codes in brackets are those of RFC 3206. */
	switch (result) {
	case PH_AUTH_OK:
		hand_over(p);
		return;
	case PH_AUTH_REFUSED:
		pop3_err(p, "[AUTH] wrong user or password");
		break;
	case PH_AUTH_UNKNOWN_MECHANISM:
		pop3_err(p, "mechanism not offered");
		break;
	case PH_AUTH_CONTINUE:
	case PH_AUTH_MALFORMED:
		pop3_err(p, "broken authentication exchange");
		break;
	case PH_AUTH_UNAVAILABLE:
		pop3_err(p, "[SYS/TEMP] not possible now, try again later");
		break;
	case PH_AUTH_LIMITED:
		pop3_err(p, "[AUTH] too many failed logins");
		pop3_end(p, "auth");
		break;
	}
}

static void
do_auth(struct pop3 *p, const struct pop3_call *call)
{
	struct ph_slice initial = call->text,
	                mechanism = ph_slice_cut(&initial, ' '), line;
	const char *challenge = "";
	enum ph_auth_result result;
	int status;

	if (!may_log_in(p))
		return;
	result = ph_sasl_start(p->session, mechanism, initial, &challenge);
	while (result == PH_AUTH_CONTINUE) {
		(void)ph_stream_printf(p->stream, "+ %s\r\n", challenge);
		status = ph_stream_read_line(p->stream, POP3_AUTH_LINE_MAX,
		    p->conf->idle_timeout_ms, &line, NULL);
		if (status == PH_OK && !ph_slice_eq(line, PH_LIT("*"))) {
			result = ph_sasl_step(p->session, line, &challenge);
			continue;
		}
		ph_sasl_abort(p->session);
		if (status == PH_OK || status == PH_TOO_BIG)
			pop3_err(p, "authentication given up");
		else
			pop3_end(p, ph_status_name(status));
		return;
	}
	finish(p, result);
}

static void
do_user(struct pop3 *p, const struct pop3_call *call)
{
	if (!may_log_in(p))
		return;
	if (call->text.n > USER_MAX) {
		pop3_err(p, "the name is too long");
		return;
	}
	p->user = ph_arena_slice(ph_session_arena(p->session), call->text);
	pop3_ok(p, "now the password");
}

static void
do_pass(struct pop3 *p, const struct pop3_call *call)
{
	const struct ph_slice user = p->user;

	if (!may_log_in(p))
		return;
	if (user.p == NULL) {
		pop3_err(p, "USER comes first");
		return;
	}
	p->user = (struct ph_slice){ NULL, 0 };
	finish(p, ph_login(p->session, user, call->text));
}

static void
do_quit(struct pop3 *p, const struct pop3_call *call)
{
	(void)call;
	pop3_ok(p, "good bye");
	pop3_end(p, "quit");
}

static const struct pop3_command login_commands[] = {
	{ "CAPA", POP3_NONE, do_capa },
	{ "STLS", POP3_NONE, do_stls },
	{ "AUTH", POP3_TEXT, do_auth },
	{ "USER", POP3_TEXT, do_user },
	{ "PASS", POP3_TEXT, do_pass },
	{ "QUIT", POP3_NONE, do_quit },
	{ .verb = NULL },
};

void
pop3_session(struct ph_session *session, const void *conf)
{
	struct pop3 p = {
		.session = session,
		.stream = ph_session_stream(session),
		.conf = conf,
		.commands = login_commands,
		.state = POP3_AUTHORIZATION,
	};
	uint64_t deadline_ms = ph_deadline_push(p.conf->login_timeout_ms);
	char client[PH_ADDR_TEXT_MAX];

	(void)ph_stream_printf(p.stream, "+OK %s POP3 posthouse\r\n",
	    ph_session_hostname(session));
	pop3_converse(&p, POP3_AUTH_LINE_MAX);
	ph_deadline_restore(deadline_ms);
	if (strcmp(p.end, "login") != 0)
		ph_log(PH_INFO, "session_end", ph_f_str("end", p.end),
		    ph_f_str("client",
		        ph_addr_format(ph_session_client(session), client)),
		    ph_f_str("user", ph_session_user(session)),
		    ph_f_int("errors", p.errors));
}
