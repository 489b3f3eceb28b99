/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commands.c - the order of commands (RFC 5321 s4.1.4) as data. In these states
 * this verb is parsed so, allowed so, asks this stage, acts so, leads there.
 * DATA, BDAT and AUTH ask their stages themselves, when what is asked about
 * has come in. A command that is not parsed or not allowed changes no state.
 */
#include "conversation.h"

#define IN(state) (1u << SMTP_##state)
#define OUTSIDE (IN(GREETED) | IN(READY))
#define INSIDE (IN(MAIL) | IN(RCPT) | IN(BDAT))
#define OPEN (OUTSIDE | INSIDE)
#define ANY (OPEN | IN(REFUSED))

static const struct smtp_reply no_argument = { 501, "5.5.4",
	"this command takes no argument", false };
static const struct smtp_reply needs_argument = { 501, "5.5.4",
	"this command needs an argument", false };

/* --- parse --- */

static const struct smtp_reply *
parse_none(struct smtp *c, struct ph_slice arg)
{
	(void)c;
	return arg.p == NULL ? NULL : &no_argument;
}

static const struct smtp_reply *
parse_any(struct smtp *c, struct ph_slice arg)
{
	(void)c;
	(void)arg;
	return NULL;
}

static const struct smtp_reply *
parse_some(struct smtp *c, struct ph_slice arg)
{
	(void)c;
	return arg.p != NULL ? NULL : &needs_argument;
}

static const struct smtp_reply *
parse_helo(struct smtp *c, struct ph_slice arg)
{
	return smtp_helo_parse(arg, &c->helo_arg);
}

static const struct smtp_reply *
parse_mail(struct smtp *c, struct ph_slice arg)
{
	return smtp_mail_parse(smtp_scratch(c), c->conf->address_brackets,
	    arg, &c->mail_args);
}

static const struct smtp_reply *
parse_rcpt(struct smtp *c, struct ph_slice arg)
{
	return smtp_rcpt_parse(smtp_scratch(c), c->conf->address_brackets,
	    arg, &c->rcpt_args);
}

static const struct smtp_reply *
parse_bdat(struct smtp *c, struct ph_slice arg)
{
	const struct smtp_reply *wrong = smtp_bdat_parse(arg, &c->bdat_args);

	/* Where the chunk ends is not known: nothing after it is a command. */
	if (wrong != NULL)
		c->hang_up = true;
	return wrong;
}

static const struct smtp_reply *
parse_auth(struct smtp *c, struct ph_slice arg)
{
	return smtp_auth_parse(arg, &c->auth_mechanism, &c->auth_initial);
}

static const struct smtp_reply *
parse_xclient(struct smtp *c, struct ph_slice arg)
{
	return smtp_xclient_parse(c, arg, &c->xclient_args);
}

/* --- allow --- */

/* RFC 5321 s4.1.4: EHLO is also a RSET. */
static void
allow_helo(struct smtp *c)
{
	smtp_check_helo(c);
	if (c->reply.code != 0)
		return;
	smtp_transaction_end(c);
	ph_session_set_helo(c->session, c->helo_arg);
}

static void
allow_starttls(struct smtp *c)
{
	if (ph_session_tls(c->session) != NULL)
		smtp_say(c, 503, "5.5.1", "TLS is active already");
	else if (!ph_session_has_tls(c->session))
		smtp_say(c, 502, "5.5.1", "TLS is not available");
	else if (ph_session_user(c->session) != NULL) /* can't be forgotten */
		smtp_say(c, 503, "5.5.1", "too late after a login");
}

/* --- act --- */

static void
do_helo(struct smtp *c)
{
	c->extended = false;
	smtp_say(c, 250, NULL, ph_session_hostname(c->session));
}

static void
do_rset(struct smtp *c)
{
	smtp_transaction_end(c);
	smtp_say(c, 250, "2.0.0", "reset");
}

static void
do_noop(struct smtp *c)
{
	smtp_say(c, 250, "2.0.0", "done");
}

static void
do_help(struct smtp *c)
{
	smtp_say(c, 214, "2.0.0",
	    "commands: EHLO HELO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP "
	    "VRFY HELP QUIT\nsee RFC 5321");
}

/* RFC 5321 s7.3: telling who has a mailbox is a gift to harvesters. */
static void
do_vrfy(struct smtp *c)
{
	smtp_say(c, 252, "2.7.0", "send mail and it will be tried");
}

static void
do_expn(struct smtp *c)
{
	smtp_say(c, 502, "5.7.0", "lists are not expanded");
}

static void
do_quit(struct smtp *c)
{
	c->tally.end = "quit";
	smtp_sayf(c, 221, "2.0.0", "%s closes the connection",
	    ph_session_hostname(c->session));
}

/* RFC 2920 s3.1 with RFC 5321 s3.3: nobody to send to. */
static void
do_no_recipients(struct smtp *c)
{
	smtp_say(c, 554, "5.5.1", "no valid recipients");
}

const struct smtp_command smtp_commands[] = {
	{ "EHLO", OPEN, parse_helo, allow_helo, PH_AT_HELO, smtp_do_ehlo,
	    SMTP_READY, SMTP_GREETED },
	{ "HELO", OPEN, parse_helo, allow_helo, PH_AT_HELO, do_helo,
	    SMTP_READY, SMTP_GREETED },
	{ "MAIL", IN(READY), parse_mail, smtp_allow_mail, PH_AT_MAIL,
	    smtp_do_mail, SMTP_MAIL, SMTP_SAME },
	{ "RCPT", IN(MAIL) | IN(RCPT), parse_rcpt, smtp_allow_rcpt, PH_AT_RCPT,
	    smtp_do_rcpt, SMTP_RCPT, SMTP_SAME },
	{ "DATA", IN(RCPT), parse_none, smtp_allow_data, SMTP_NO_STAGE,
	    smtp_do_data, SMTP_READY, SMTP_READY },
	{ "DATA", IN(MAIL), parse_none, NULL, SMTP_NO_STAGE, do_no_recipients,
	    SMTP_SAME, SMTP_SAME },
	{ "BDAT", IN(RCPT) | IN(BDAT), parse_bdat, NULL, SMTP_NO_STAGE,
	    smtp_do_bdat, SMTP_READY, SMTP_READY },
	{ "BDAT", OPEN, parse_bdat, NULL, SMTP_NO_STAGE,
	    smtp_do_bdat_misplaced, SMTP_SAME, SMTP_SAME },
	{ "RSET", IN(GREETED), parse_none, NULL, SMTP_NO_STAGE, do_rset,
	    SMTP_GREETED, SMTP_SAME },
	{ "RSET", OPEN, parse_none, NULL, SMTP_NO_STAGE, do_rset, SMTP_READY,
	    SMTP_SAME },
	{ "STARTTLS", OUTSIDE, parse_none, allow_starttls, SMTP_NO_STAGE,
	    smtp_do_starttls, SMTP_GREETED, SMTP_SAME },
	{ "AUTH", IN(READY), parse_auth, smtp_allow_auth, SMTP_NO_STAGE,
	    smtp_do_auth, SMTP_READY, SMTP_SAME },
	{ "XCLIENT", OUTSIDE, parse_xclient, smtp_allow_xclient,
	    SMTP_NO_STAGE, smtp_do_xclient, SMTP_GREETED, SMTP_SAME },
	{ "NOOP", OPEN, parse_any, NULL, SMTP_NO_STAGE, do_noop, SMTP_SAME,
	    SMTP_SAME },
	{ "HELP", OPEN, parse_any, NULL, SMTP_NO_STAGE, do_help, SMTP_SAME,
	    SMTP_SAME },
	{ "VRFY", OPEN, parse_some, NULL, SMTP_NO_STAGE, do_vrfy, SMTP_SAME,
	    SMTP_SAME },
	{ "EXPN", OPEN, parse_any, NULL, SMTP_NO_STAGE, do_expn, SMTP_SAME,
	    SMTP_SAME },
	{ "QUIT", ANY, parse_none, NULL, SMTP_NO_STAGE, do_quit, SMTP_CLOSED,
	    SMTP_SAME },
	{ .verb = NULL },
};

const struct smtp_command *
smtp_command_find(struct ph_slice verb, enum smtp_state state,
    const char **known_out)
{
	*known_out = NULL;
	for (const struct smtp_command *row = smtp_commands; row->verb != NULL;
	     row++) {
		if (!ph_slice_eq_nocase(verb, ph_slice_str(row->verb)))
			continue;
		*known_out = row->verb;
		if (row->states & (1u << state))
			return row;
	}
	return NULL;
}

bool
smtp_verb_is_http(struct ph_slice verb)
{
	static const char *const http[] = { "GET", "POST", "PUT", "HEAD",
		"DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH", "PRI" };

	for (size_t i = 0; i < sizeof(http) / sizeof(http[0]); i++)
		if (ph_slice_eq_nocase(verb, ph_slice_str(http[i])))
			return true;
	return false;
}

const char *
smtp_state_name(enum smtp_state state)
{
	static const char *const name[SMTP_STATES] = {
		[SMTP_GREETED] = "greeted",
		[SMTP_READY] = "ready",
		[SMTP_MAIL] = "mail",
		[SMTP_RCPT] = "rcpt",
		[SMTP_BDAT] = "bdat",
		[SMTP_REFUSED] = "refused",
		[SMTP_CLOSED] = "closed",
	};

	return state < SMTP_STATES ? name[state] : "?";
}
