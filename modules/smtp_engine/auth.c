/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth.c - AUTH (RFC 4954) and STARTTLS (RFC 3207). Who the user is, and the
 * mechanisms, are the core's; here are the lines and codes.
 */
#include "conversation.h"

static bool
wants_auth(const struct smtp *c)
{
	return c->policy->submission || c->conf->auth;
}

static bool
has_cover(const struct smtp *c)
{
	return ph_session_tls(c->session) != NULL || c->conf->allow_plain_auth;
}

bool
smtp_auth_is_offered(const struct smtp *c)
{
	return wants_auth(c) && has_cover(c) &&
	    ph_session_user(c->session) == NULL &&
	    ph_sasl_mechanisms(c->session, c->conf->allow_plain_auth)[0] !=
	    '\0';
}

const char *
smtp_need_certificate(const struct smtp *c)
{
	if (!ph_session_lacks_certificate(c->session))
		return NULL;
	return ph_session_tls(c->session) == NULL ? "STARTTLS comes first" :
	    "a certificate that we can verify is needed";
}

void
smtp_allow_auth(struct smtp *c)
{
	const char *need = smtp_need_certificate(c);

	if (!wants_auth(c) || !c->extended)
		smtp_say(c, 503, "5.5.1", "AUTH is not offered");
	else if (ph_session_user(c->session) != NULL)
		smtp_say(c, 503, "5.5.1", "logged in already");
	else if (!has_cover(c))
		smtp_say(c, 538, "5.7.11", "AUTH needs TLS");
	else if (need != NULL)
		smtp_say(c, 530, "5.7.0", need);
}

/* One line of the exchange; false: the exchange is over, reply is filled. */
static bool
read_answer(struct smtp *c, struct ph_slice *line_out)
{
	int status = ph_stream_read_line(c->stream, SMTP_AUTH_LINE_MAX,
	    c->conf->command_timeout_ms, line_out, NULL);

	if (status == PH_OK && !ph_slice_eq(*line_out, PH_LIT("*")))
		return true;
	ph_sasl_abort(c->session);
	if (status == PH_OK)
		smtp_say(c, 501, "5.7.0", "authentication given up");
	else if (status == PH_TOO_BIG)
		smtp_say(c, 500, "5.5.6", "line too long");
	else
		smtp_lost(c, status);
	return false;
}

static void
say_result(struct smtp *c, enum ph_auth_result result)
{
	switch (result) {
	case PH_AUTH_OK:
		smtp_say(c, 235, "2.7.0", "welcome");
		break;
	case PH_AUTH_REFUSED:
		smtp_say(c, 535, "5.7.8", "wrong user or password");
		break;
	case PH_AUTH_UNKNOWN_MECHANISM:
		smtp_say(c, 504, "5.5.4", "mechanism not offered");
		break;
	case PH_AUTH_CONTINUE:
	case PH_AUTH_MALFORMED:
		smtp_say(c, 501, "5.5.2", "broken authentication exchange");
		break;
	case PH_AUTH_UNAVAILABLE:
		smtp_say(c, 454, "4.7.0", "not possible now, try again later");
		break;
	case PH_AUTH_LIMITED:
		c->tally.end = "auth";
		smtp_say(c, 421, "4.7.0", "too many failed logins");
		break;
	}
}

void
smtp_do_auth(struct smtp *c)
{
	const char *challenge = "";
	struct ph_slice line;
	enum ph_auth_result result = ph_sasl_start(c->session,
	    c->auth_mechanism, c->auth_initial, &challenge);

	while (result == PH_AUTH_CONTINUE) {
		const struct smtp_reply ask = { 334, NULL, challenge, false };

		smtp_send(c, &ask);
		if (!read_answer(c, &line))
			return;
		result = ph_sasl_step(c->session, line, &challenge);
	}
	say_result(c, result);
	if (result == PH_AUTH_OK &&
	    !smtp_ask(c, PH_AT_AUTH))
		c->hang_up = true; /* the user is set: no way back */
}

/* RFC 3207 s4.2: all that was said in the clear is forgotten. */
void
smtp_do_starttls(struct smtp *c)
{
	static const struct smtp_reply go = { 220, "2.0.0", "go ahead",
		false };
	int status;

	smtp_transaction_end(c);
	smtp_send(c, &go);
	status = ph_session_starttls(c->session);
	c->extended = false;
	ph_session_set_helo(c->session, (struct ph_slice){ NULL, 0 });
	if (status != PH_OK) {
		c->tally.end = status == PH_CANCELED ? "canceled" : "tls";
		c->hang_up = true;
		return;
	}
	if (!smtp_ask(c, PH_AT_TLS)) {
		/* Nobody waits for a reply now: it answers what comes next. */
		c->refusal = c->reply;
		c->reply.code = 0;
		c->next = SMTP_REFUSED;
	}
}
