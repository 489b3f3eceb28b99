/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine.c - the driver: read a line, find its row, parse, allow, ask, act,
 * reply. Here alone the state changes and a command's reply leaves. Limits on
 * what a client may get wrong are here too.
 */
#include "conversation.h"

#include <stdarg.h>

enum {
	SCRATCH_KEEP = 16384,
	LOG_LINE = 100, /* octets of a line that was no good */
	LOG_WORD = 24,  /* of one that may be no command at all */
};

const char *const smtp_bare_newline_names[] = { "reject", "normalize", NULL };
const char *const smtp_sender_check_names[] = { "off", "own", "aliases", NULL };
const char *const smtp_sender_field_names[] = { "check", "set", "keep", NULL };

struct ph_arena *
smtp_scratch(struct smtp *c)
{
	if (c->scratch == NULL)
		c->scratch = ph_arena_create(ph_session_arena(c->session));
	return c->scratch;
}

void
smtp_say(struct smtp *c, int code, const char *enhanced, const char *text)
{
	c->reply = (struct smtp_reply){ code, enhanced, text, false };
}

void
smtp_sayf(struct smtp *c, int code, const char *enhanced, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	smtp_say(c, code, enhanced,
	    ph_arena_vprintf(smtp_scratch(c), fmt, args));
	va_end(args);
}

void
smtp_send(struct smtp *c, const struct smtp_reply *reply)
{
	struct ph_buf text;

	ph_buf_init(&text, smtp_scratch(c), 65536);
	smtp_reply_format(reply, ph_session_id(c->session), &text);
	/* A failed write shows at the next read. */
	(void)ph_stream_write(c->stream, text.p, text.n);
}

/* A code of the verdict's kind, whatever a module answered. */
static int
outcome_code(const struct ph_outcome *outcome)
{
	const int fallback = outcome->verdict == PH_DEFER ? 451 : 550;

	return outcome->code / 100 == fallback / 100 ? outcome->code : fallback;
}

static const char *
outcome_enhanced(const struct ph_outcome *outcome)
{
	const char class = outcome->verdict == PH_DEFER ? '4' : '5';

	if (outcome->enhanced != NULL && outcome->enhanced[0] == class)
		return outcome->enhanced;
	return class == '4' ? "4.7.1" : "5.7.1";
}

bool
smtp_ask(struct smtp *c, enum ph_stage stage)
{
	const struct ph_slice none = { NULL, 0 };
	const struct ph_outcome outcome = ph_session_stage(c->session, stage,
	    c->mail, stage == PH_AT_RCPT ? c->rcpt_address : none);

	c->stage_word = ph_stage_name(stage);
	c->verdict = outcome.verdict;
	if (outcome.verdict != PH_REJECT && outcome.verdict != PH_DEFER)
		return true;
	c->reply = (struct smtp_reply){ outcome_code(&outcome),
		outcome_enhanced(&outcome),
		outcome.text != NULL ? outcome.text : "refused",
		outcome.text != NULL };
	return false;
}

void
smtp_lost(struct smtp *c, int status)
{
	c->hang_up = true;
	c->reply.code = 0;
	c->tally.end = ph_status_name(status);
	if (status == PH_TIMEOUT)
		smtp_say(c, 421, "4.4.2", "timeout");
}

/* --- one command --- */

/* RFC 5321 s4.1.1: blanks at the end are passed; some clients add a tab. */
static void
trim_end(struct ph_slice *line)
{
	while (line->n > 0 && (line->p[line->n - 1] == ' ' ||
	                          line->p[line->n - 1] == '\t'))
		line->n--;
}

/* ABNF: verb [ SP argument ]; more blanks before either are passed, as Postfix
 * does. The argument is absent when there is none. */
static struct ph_slice
cut_verb(struct ph_slice *line)
{
	struct ph_slice verb;

	smtp_skip_blanks(line);
	verb = ph_slice_cut(line, ' ');
	smtp_skip_blanks(line);
	return verb;
}

static bool
has_control_octets(struct ph_slice line)
{
	for (size_t i = 0; i < line.n; i++)
		if ((unsigned char)line.p[i] < 0x20 || line.p[i] == 0x7f)
			return true;
	return false;
}

static void
say_out_of_order(struct smtp *c)
{
	switch (c->state) {
	case SMTP_REFUSED:
		if (c->refusal.code != 0)
			c->reply = c->refusal;
		else
			smtp_say(c, 503, "5.5.1", "only QUIT is possible now");
		break;
	case SMTP_GREETED:
		smtp_say(c, 503, "5.5.1", "EHLO comes first");
		break;
	case SMTP_READY:
		smtp_say(c, 503, "5.5.1", "MAIL comes first");
		break;
	default:
		smtp_say(c, 503, "5.5.1", "not within a transaction");
		break;
	}
}

static void
run_row(struct smtp *c, const struct smtp_command *row, struct ph_slice arg)
{
	const struct smtp_reply *wrong;

	c->next = row->next == SMTP_SAME ? c->state : row->next;
	/* What brings no message on its way: EHLO, RSET, NOOP and the like. */
	if (row->failed != SMTP_READY && row->next != SMTP_MAIL &&
	    row->next != SMTP_RCPT)
		c->tally.idle_commands++;
	wrong = row->parse(c, arg);
	if (wrong != NULL)
		c->reply = *wrong;
	else
		c->said.p = NULL;
	if (wrong == NULL && row->allow != NULL)
		row->allow(c);
	if (c->reply.code != 0) { /* as if it had not been said */
		c->next = c->state;
		return;
	}
	if (row->stage != SMTP_NO_STAGE)
		(void)smtp_ask(c, (enum ph_stage)row->stage);
	if (c->reply.code == 0)
		row->act(c);
	if (c->reply.code >= 400)
		c->next = row->failed == SMTP_SAME ? c->state : row->failed;
}

/* What is no command line, whatever it says. A chunk may stand behind it: its
 * octets are no commands. */
static void
refuse_line(struct smtp *c, struct ph_slice line, struct ph_slice verb,
    bool bare_lf)
{
	if (has_control_octets(line))
		smtp_say(c, 500, "5.5.2", "control octets in a command");
	else if (bare_lf && !c->normalize)
		smtp_say(c, 500, "5.5.2", "a command ends with CR LF");
	else if (line.n > SMTP_LINE_MAX &&
	    !ph_slice_eq_nocase(verb, PH_LIT("AUTH")))
		smtp_say(c, 500, "5.5.6", "line too long");
	else
		return;
	c->hang_up = ph_slice_starts_nocase(verb, "BDAT");
}

/* The log says what was wrong with, but no password: from AUTH on, lines that
 * are no commands may be answers to it. Nor content that came unasked. */
static void
note_line(struct smtp *c, struct ph_slice line, struct ph_slice verb,
    const char *known)
{
	const struct ph_slice noted = known != NULL ? line : verb;
	const size_t most = known != NULL ? LOG_LINE : LOG_WORD;

	c->saw_auth |= ph_slice_starts_nocase(verb, "AUTH");
	if (!c->saw_auth ||
	    (known != NULL && !ph_slice_starts_nocase(verb, "AUTH")))
		c->said = (struct ph_slice){ noted.p,
			noted.n < most ? noted.n : most };
}

static void
run_line(struct smtp *c, struct ph_slice line, bool bare_lf)
{
	struct ph_slice arg, verb;
	const struct smtp_command *row;
	const char *known;

	trim_end(&line);
	arg = line;
	c->next = c->state;
	verb = cut_verb(&arg);
	row = smtp_command_find(verb, c->state, &known);
	c->stage_word = known != NULL ? known : "command";
	note_line(c, line, verb, known);
	refuse_line(c, line, verb, bare_lf);
	if (c->reply.code != 0)
		return;
	if (row != NULL) {
		run_row(c, row, arg);
	} else if (known != NULL || c->state == SMTP_REFUSED) {
		say_out_of_order(c);
	} else if (smtp_verb_is_http(verb)) {
		c->tally.end = "http";
		c->hang_up = true;
	} else {
		c->tally.unknown++;
		smtp_say(c, 500, "5.5.1", "unknown command");
	}
}

/* One line in the log for each refusal: who, what, why. */
static void
log_refusal(struct smtp *c, const struct smtp_reply *reply)
{
	const bool is_rcpt = strcmp(c->stage_word, "rcpt") == 0 ||
	    strcmp(c->stage_word, "RCPT") == 0;
	const struct ph_slice none = { NULL, 0 };
	char addr[PH_ADDR_TEXT_MAX];

	if (reply->code < 500)
		c->tally.deferred++;
	else
		c->tally.rejected++;
	ph_log(PH_NOTICE, "refused", ph_f_str("stage", c->stage_word),
	    ph_f_int("code", reply->code),
	    ph_f_str("enhanced", reply->enhanced),
	    ph_f_str("reason", reply->text),
	    ph_f_str("state", smtp_state_name(c->state)),
	    ph_f_slice("line", c->said),
	    ph_f_slice("from", c->sender.p != NULL ? c->sender :
	            c->mail_args.path.address),
	    ph_f_slice("rcpt", is_rcpt ? c->rcpt_address : none),
	    ph_f_str("client",
	        ph_addr_format(ph_session_client(c->session), addr)),
	    ph_f_slice("helo", ph_session_helo(c->session)),
	    ph_f_str("user", ph_session_user(c->session)));
}

/* What a client may get wrong, or do for nothing, before it has to leave. */
static bool
is_over_limits(struct smtp *c)
{
	const struct smtp_tally *t = &c->tally;

	return t->unknown >= c->conf->max_unknown ||
	    t->errors >= c->conf->max_errors ||
	    t->idle_commands >= c->conf->max_idle_commands;
}

static void
finish_command(struct smtp *c)
{
	static const struct smtp_reply enough = { 421, "4.7.0",
		"too many errors, good bye", false };

	if (c->reply.code >= 400) {
		c->tally.errors++;
		log_refusal(c, &c->reply); /* before the line's octets go */
	}
	if (c->reply.code >= 400 && !c->hang_up)
		smtp_tarpit(c);
	if (c->reply.code != 0)
		smtp_send(c, &c->reply);
	c->state = c->next;
	if (c->state < SMTP_MAIL)
		smtp_transaction_end(c);
	if (c->hang_up || c->reply.code == 421) {
		c->state = SMTP_CLOSED;
	} else if (c->state != SMTP_CLOSED && is_over_limits(c)) {
		c->tally.end = "errors";
		smtp_send(c, &enough);
		c->state = SMTP_CLOSED;
	}
	if (c->scratch != NULL && ph_arena_size(c->scratch) > SCRATCH_KEEP) {
		ph_arena_free(c->scratch);
		c->scratch = NULL;
	}
}

static void
converse(struct smtp *c)
{
	struct ph_slice line;
	bool bare_lf;
	int status;

	while (c->state != SMTP_CLOSED) {
		c->reply.code = 0;
		c->rcpt_address = (struct ph_slice){ NULL, 0 };
		c->mail_args = (struct smtp_mail_args){ 0 };
		c->said = (struct ph_slice){ NULL, 0 };
		status = ph_stream_read_line(c->stream, SMTP_AUTH_LINE_MAX,
		    c->conf->command_timeout_ms, &line, &bare_lf);
		c->next = c->state;
		c->stage_word = "command";
		if (status == PH_OK)
			run_line(c, line, bare_lf);
		else if (status == PH_TOO_BIG)
			smtp_say(c, 500, "5.5.6", "line too long");
		else
			smtp_lost(c, status);
		finish_command(c);
	}
}

/* --- the session --- */

/* RFC 5321 s3.1: a refused client gets 554 and may only QUIT. */
static void
greet(struct smtp *c)
{
	bool welcome;

	c->stage_word = "connect";
	c->verdict = PH_REJECT;
	welcome = !smtp_talks_early(c) && smtp_ask(c, PH_AT_CONNECT) &&
	    (ph_session_tls(c->session) == NULL || smtp_ask(c, PH_AT_TLS));
	c->next = SMTP_GREETED;
	if (welcome) {
		smtp_sayf(c, 220, NULL, "%s ESMTP posthouse",
		    ph_session_hostname(c->session));
	} else if (c->verdict == PH_DEFER) {
		c->reply.code = 421;
		c->tally.end = "refused";
	} else if (!c->hang_up) {
		c->reply.code = 554;
		c->next = SMTP_REFUSED;
	}
	/* The state the client finds itself in, before its first command. */
	c->state = SMTP_READY;
	finish_command(c);
}

static void
log_end(struct smtp *c)
{
	const struct smtp_tally *t = &c->tally;
	const char *certificate = ph_session_certificate(c->session);
	char addr[PH_ADDR_TEXT_MAX];

	ph_log(PH_INFO, "session_end",
	    ph_f_str("end", t->end != NULL ? t->end : "refused"),
	    ph_f_str("client",
	        ph_addr_format(ph_session_client(c->session), addr)),
	    ph_f_slice("helo", ph_session_helo(c->session)),
	    ph_f_str("tls", ph_session_tls(c->session)),
	    ph_f_str("certificate", certificate),
	    ph_f_str("certificate_of", certificate == NULL ? NULL :
	        ph_session_certificate_subject(c->session)),
	    ph_f_str("certificate_verified", certificate == NULL ? NULL :
	        ph_session_certificate_is_verified(c->session) ? "yes" :
	                                                         "no"),
	    ph_f_str("user", ph_session_user(c->session)),
	    ph_f_int("messages", t->messages),
	    ph_f_int("rcpts", t->recipients),
	    ph_f_int("discarded", t->discarded),
	    ph_f_int("rejected", t->rejected),
	    ph_f_int("deferred", t->deferred),
	    ph_f_int("in", (int64_t)ph_stream_octets_in(c->stream)),
	    ph_f_int("out", (int64_t)ph_stream_octets_out(c->stream)),
	    ph_f_int("ms", (int64_t)(ph_now_ms() - t->began_ms)));
}

void
smtp_meet_client(struct smtp *c)
{
	c->normalize = c->conf->bare_newline == SMTP_BARE_NORMALIZE ||
	    ph_net_list_has(&c->conf->bare_newline_networks,
	        ph_session_client(c->session));
}

void
smtp_serve(struct ph_session *session, const struct smtp_conf *conf,
    const struct smtp_policy *policy)
{
	struct smtp c = {
		.session = session,
		.stream = ph_session_stream(session),
		.conf = conf,
		.policy = policy,
		.tally = { .began_ms = ph_now_ms() },
	};

	c.may_xclient = smtp_is_front_end(conf, ph_session_client(session));
	smtp_meet_client(&c);
	greet(&c);
	converse(&c);
	smtp_transaction_end(&c);
	log_end(&c);
	ph_arena_free(c.scratch);
}

void
smtp_farewell(struct ph_stream *stream, const void *conf, const char *hostname,
    enum ph_status why)
{
	(void)conf;
	(void)ph_stream_printf(stream, "421 4.3.2 %s %s\r\n", hostname,
	    why == PH_CANCELED ? "shutting down" : "too many connections");
}
