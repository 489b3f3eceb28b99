/* SPDX-License-Identifier: Apache-2.0 */
/*
 * login.c - the conversation before login, in the edge role.
 *
 * Strangers get little: short commands, one deadline from greeting to login,
 * few mistakes, no password in the clear unless the configuration wants it.
 * After login the connection goes to the mail role with the command's tag,
 * and the tagged OK is sent there, with the capabilities that hold then.
 */
#include "imap.h"


struct login {
	struct ph_session *session;
	struct ph_stream *stream;
	const struct imap_conf *conf;
	struct ph_arena *arena;
	struct collect collect;
	uint64_t deadline_ms;
	unsigned bad, failed;
	bool ended;
	bool gave_away; /* the stream is the mail role's */
	const char *reason;
};

struct login_row {
	const char *name;
	bool (*parse)(struct command *command);
	void (*act)(struct login *login, struct command *command);
};

static void
login_end(struct login *login, const char *reason)
{
	if (login->ended)
		return;
	login->ended = true;
	login->reason = reason;
}

static void
check(struct login *login, int rc)
{
	if (rc != PH_OK)
		login_end(login, imap_reason(rc));
}

static void
login_puts(struct login *login, const char *s)
{
	if (!login->ended)
		check(login, ph_stream_puts(login->stream, s));
}

static void
reply(struct login *login, const struct command *command, const char *text)
{
	if (!login->ended)
		check(login, ph_stream_printf(login->stream,
		    PH_SLICE_FMT " %s\r\n", PH_SLICE_ARG(command->tag), text));
}

static void
bad(struct login *login, struct ph_slice tag, const char *text)
{
	struct command command = { .tag = tag.n > 0 ? tag : PH_LIT("*") };

	reply(login, &command,
	    ph_arena_printf(login->arena, "BAD %s", text));
	if (++login->bad < LOGIN_BAD_COMMANDS)
		return;
	login_puts(login, "* BYE Too many bad commands\r\n");
	login_end(login, "bad_commands");
}

static unsigned
time_left(const struct login *login)
{
	uint64_t now = ph_now_ms();

	return now < login->deadline_ms ?
	    (unsigned)(login->deadline_ms - now) : 1;
}

static bool
may_login(const struct login *login)
{
	return login->conf->allow_plain_auth ||
	    ph_stream_is_tls(login->stream);
}

static bool
may_starttls(const struct login *login)
{
	return !ph_stream_is_tls(login->stream) &&
	    ph_session_has_tls(login->session);
}

/* IMAP4rev1 ... AUTH=PLAIN AUTH=LOGIN, or LOGINDISABLED */
static const char *
capabilities(const struct login *login)
{
	struct ph_slice rest = ph_slice_str(ph_sasl_mechanisms(login->session,
	    login->conf->allow_plain_auth));
	struct ph_buf buf;

	ph_buf_init(&buf, login->arena, 4096);
	ph_buf_str(&buf, "IMAP4rev1 LITERAL+ SASL-IR ID ENABLE IDLE");
	if (may_starttls(login))
		ph_buf_str(&buf, " STARTTLS");
	if (!may_login(login))
		ph_buf_str(&buf, " LOGINDISABLED");
	while (rest.n > 0) {
		struct ph_slice one = ph_slice_cut(&rest, ' ');

		if (one.n > 0)
			ph_buf_printf(&buf, " AUTH=" PH_SLICE_FMT,
			    PH_SLICE_ARG(one));
	}
	ph_buf_char(&buf, '\0');
	return buf.p;
}

/* --- commands --- */

static void
do_capability(struct login *login, struct command *command)
{
	login_puts(login, ph_arena_printf(command->arena,
	    "* CAPABILITY %s\r\n", capabilities(login)));
	reply(login, command, "OK Done");
}

static void
do_noop(struct login *login, struct command *command)
{
	reply(login, command, "OK Done");
}

static void
do_logout(struct login *login, struct command *command)
{
	login_puts(login, "* BYE Logging out\r\n");
	reply(login, command, "OK Done");
	login_end(login, "logout");
}

static void
do_id(struct login *login, struct command *command)
{
	login_puts(login, "* ID (\"name\" \"posthouse\")\r\n");
	reply(login, command, "OK Done");
}

/* RFC 3501 s6.2.1. What was sent behind the command in the clear is dropped by
 * ph_session_starttls (CVE-2011-0411, CVE-2021-33515). */
static void
do_starttls(struct login *login, struct command *command)
{
	int rc;

	if (!may_starttls(login)) {
		bad(login, command->tag, "TLS can't be started");
		return;
	}
	reply(login, command, "OK Begin TLS");
	collect_reset(&login->collect);
	rc = ph_session_starttls(login->session);
	check(login, rc);
	login->bad = 0;
}

static void
hand_over(struct login *login, struct command *command)
{
	int rc = ph_session_handover(login->session, command->tag);

	if (rc == PH_OK) {
		login->gave_away = true;
		login_end(login, "login");
		return;
	}
	ph_log(PH_WARN, "handover_failed",
	    ph_f_str("status", ph_status_name(rc)));
	reply(login, command, ph_arena_printf(command->arena,
	    "NO [UNAVAILABLE] Mailboxes can't be reached now (%s)",
	    ph_session_id(login->session)));
	login_end(login, "unavailable");
}

static void
count_failure(struct login *login)
{
	if (++login->failed < login->conf->login_attempts)
		return;
	login_puts(login, "* BYE Too many failed logins\r\n");
	login_end(login, "login_failed");
}

static void
answer_auth(struct login *login, struct command *command,
    enum ph_auth_result result)
{
	const char *id = ph_session_id(login->session);

	switch (result) {
	case PH_AUTH_OK:
		hand_over(login, command);
		return;
	case PH_AUTH_UNKNOWN_MECHANISM:
		reply(login, command, "NO [CANNOT] Unknown mechanism");
		break;
	case PH_AUTH_MALFORMED:
		reply(login, command, "BAD Malformed exchange");
		break;
	case PH_AUTH_REFUSED:
		reply(login, command, ph_arena_printf(command->arena,
		    "NO [AUTHENTICATIONFAILED] Wrong user or password (%s)",
		    id));
		break;
	case PH_AUTH_LIMITED:
		reply(login, command, ph_arena_printf(command->arena,
		    "NO [LIMIT] Too many failures, come back later (%s)", id));
		break;
	default:
		reply(login, command, ph_arena_printf(command->arena,
		    "NO [UNAVAILABLE] Can't tell now, try again (%s)", id));
		break;
	}
	count_failure(login);
}

/* login = "LOGIN" SP userid SP password */
static bool
parse_login(struct command *command)
{
	struct lex *lex = &command->lex;

	return lex_space(lex) && lex_astring(lex, &command->mailbox) &&
	    lex_space(lex) && lex_astring(lex, &command->other);
}

#define PRIVACY "NO [PRIVACYREQUIRED] Start TLS first"

static void
do_login(struct login *login, struct command *command)
{
	enum ph_auth_result result;

	if (!may_login(login)) {
		reply(login, command, PRIVACY);
		return;
	}
	result = ph_login(login->session, command->mailbox, command->other);
	ph_wipe((char *)(uintptr_t)command->other.p, command->other.n);
	answer_auth(login, command, result);
}

/* RFC 4959: authenticate = "AUTHENTICATE" SP auth-type [SP (base64 / "=")] */
static bool
parse_authenticate(struct command *command)
{
	struct lex *lex = &command->lex;

	command->other = (struct ph_slice){ NULL, 0 };
	if (!lex_space(lex) || !lex_atom(lex, &command->mailbox))
		return false;
	return !lex_space(lex) || lex_end(lex) ||
	    lex_atom(lex, &command->other);
}

/* continue-req = "+" SP base64 CRLF, and the client's line. */
static enum ph_auth_result
step(struct login *login, const char **challenge)
{
	struct ph_slice line;
	int rc;

	login_puts(login, "+ ");
	login_puts(login, *challenge);
	login_puts(login, "\r\n");
	if (login->ended)
		return PH_AUTH_MALFORMED;
	rc = ph_stream_read_line(login->stream, LOGIN_COMMAND_MAX,
	    time_left(login), &line, NULL);
	if (rc == PH_TOO_BIG || (rc == PH_OK && line.n == 1 &&
	                            line.p[0] == '*')) {
		ph_sasl_abort(login->session);
		return PH_AUTH_MALFORMED;
	}
	if (rc != PH_OK) {
		ph_sasl_abort(login->session);
		check(login, rc);
		return PH_AUTH_MALFORMED;
	}
	return ph_sasl_step(login->session, line, challenge);
}

static void
do_authenticate(struct login *login, struct command *command)
{
	const char *challenge = "";
	enum ph_auth_result result;

	if (!may_login(login) && ph_sasl_mechanisms(login->session,
	        login->conf->allow_plain_auth)[0] == '\0') {
		reply(login, command, PRIVACY);
		return;
	}
	result = ph_sasl_start(login->session, command->mailbox,
	    command->other, &challenge);
	while (result == PH_AUTH_CONTINUE)
		result = step(login, &challenge);
	if (!login->ended)
		answer_auth(login, command, result);
}

static const struct login_row rows[] = {
	{ "CAPABILITY", NULL, do_capability },
	{ "NOOP", NULL, do_noop },
	{ "LOGOUT", NULL, do_logout },
	{ "ID", imap_id_parse, do_id },
	{ "STARTTLS", NULL, do_starttls },
	{ "LOGIN", parse_login, do_login },
	{ "AUTHENTICATE", parse_authenticate, do_authenticate },
};

/* --- the driver --- */

static const struct login_row *
find_row(struct ph_slice name)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (ph_slice_eq_nocase(name, ph_slice_str(rows[i].name)))
			return &rows[i];
	return NULL;
}

/* A browser that was led here: say nothing it could show (ALPACA). */
static bool
is_http(struct ph_slice text)
{
	static const char *const verbs[] = { "GET ", "POST ", "HEAD ", "PUT ",
		"OPTIONS ", "DELETE ", "PATCH ", "CONNECT ", "TRACE " };

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (ph_slice_starts_nocase(text, verbs[i]))
			return memmem(text.p, text.n, "HTTP/", 5) != NULL;
	return false;
}

static void
run_command(struct login *login, struct command *command)
{
	struct lex *lex = &command->lex;
	const struct login_row *row;
	struct ph_slice name;

	if (is_http(lex->text)) {
		login_end(login, "http");
		return;
	}
	if (memchr(lex->text.p, '\0', lex->text.n) != NULL ||
	    !lex_tag(lex, &command->tag) || !lex_space(lex) ||
	    !lex_atom(lex, &name)) {
		bad(login, command->tag, "Not a command");
		return;
	}
	row = find_row(name);
	if (row == NULL) {
		bad(login, command->tag, "Unknown command, or log in first");
		return;
	}
	if ((row->parse != NULL && !row->parse(command)) || !lex_end(lex)) {
		bad(login, command->tag, "Wrong arguments");
		return;
	}
	row->act(login, command);
}

static void
on_literal(struct login *login)
{
	if (collect_accept(&login->collect, LOGIN_LITERAL_MAX)) {
		if (login->collect.literal_is_sync)
			login_puts(login, "+ OK\r\n");
		return;
	}
	login_puts(login, "* BYE Literal is too big\r\n");
	login_end(login, "too_big");
}

static bool
read_command(struct login *login)
{
	while (!login->ended) {
		struct ph_slice in = ph_stream_buffered(login->stream);
		enum collect_result result;
		size_t taken;

		if (in.n == 0) {
			int rc = ph_stream_fill(login->stream,
			    time_left(login));

			if (rc == PH_TIMEOUT)
				login_puts(login, "* BYE Too slow\r\n");
			check(login, rc);
			continue;
		}
		result = collect_feed(&login->collect, in, &taken);
		ph_stream_consume(login->stream, taken);
		if (result == COLLECT_DONE)
			return true;
		if (result == COLLECT_LITERAL)
			on_literal(login);
		if (result == COLLECT_TOO_BIG) {
			login_puts(login, "* BYE Command is too long\r\n");
			login_end(login, "too_big");
		}
	}
	return false;
}

static void
next_command(struct login *login)
{
	struct ph_arena *arena = ph_arena_create(login->arena);
	struct command command = {
		.lex = { .text = collect_text(&login->collect),
		    .arena = arena },
		.arena = arena,
	};

	run_command(login, &command);
	collect_reset(&login->collect);
	ph_arena_free(arena);
}

void
imap_login_session(struct ph_session *session, const void *conf)
{
	struct login login = {
		.session = session,
		.stream = ph_session_stream(session),
		.conf = conf,
		.arena = ph_session_arena(session),
	};
	char client[PH_ADDR_TEXT_MAX];

	login.deadline_ms = ph_now_ms() + login.conf->login_timeout_ms;
	collect_init(&login.collect, LOGIN_COMMAND_MAX);
	login_puts(&login, ph_arena_printf(login.arena,
	    "* OK [CAPABILITY %s] %s ready\r\n", capabilities(&login),
	    ph_session_hostname(session)));
	while (read_command(&login))
		next_command(&login);
	collect_fini(&login.collect);
	if (login.gave_away)
		return;
	ph_stream_flush(login.stream);
	ph_log(PH_INFO, "session_end", ph_f_str("end", login.reason),
	    ph_f_str("client",
	        ph_addr_format(ph_session_client(session), client)),
	    ph_f_str("user", ph_session_user(session)),
	    ph_f_int("in", (int64_t)ph_stream_octets_in(login.stream)),
	    ph_f_int("out", (int64_t)ph_stream_octets_out(login.stream)));
}
