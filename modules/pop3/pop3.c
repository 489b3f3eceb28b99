/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pop3 - mailboxes by POP3 (RFC 1939). The first half, up to the login, runs in
 * edge (login.c); the second, over the user's mailbox, in mail (maildrop.c).
 * Here are the driver of both and the descriptor.
 */
#include "pop3.h"

enum { MAX_UNKNOWN = 3 };

void
pop3_ok(struct pop3 *p, const char *text)
{
	(void)ph_stream_printf(p->stream, "+OK %s\r\n", text);
}

void
pop3_err(struct pop3 *p, const char *text)
{
	p->errors++;
	(void)ph_stream_printf(p->stream, "-ERR %s\r\n", text);
}

void
pop3_end(struct pop3 *p, const char *why)
{
	p->state = POP3_CLOSED;
	p->end = why;
}

/* RFC 2449. EXPIRE NEVER: the server by itself deletes nothing. */
void
pop3_capa(struct pop3 *p)
{
	(void)ph_stream_puts(p->stream,
	    "+OK capabilities follow\r\nTOP\r\nUIDL\r\nRESP-CODES\r\n"
	    "AUTH-RESP-CODE\r\nPIPELINING\r\nEXPIRE NEVER\r\n"
	    "IMPLEMENTATION posthouse\r\n");
}

/* --- one command --- */

static bool
take_message(struct pop3 *p, struct ph_slice word, struct pop3_call *call)
{
	uint64_t number;

	if (!ph_slice_number(word, UINT32_MAX, &number) || number < 1 ||
	    number > p->drop.count || p->drop.deleted[number - 1]) {
		pop3_err(p, "no such message");
		return false;
	}
	call->has_message = true;
	call->message = (size_t)number - 1;
	return true;
}

/* False: an error was said. arg is absent when there is none. */
static bool
parse(struct pop3 *p, enum pop3_args args, struct ph_slice arg,
    struct pop3_call *call)
{
	struct ph_slice rest = arg, word;
	const bool is_empty = arg.p == NULL || arg.n == 0;

	switch (args) {
	case POP3_NONE:
		if (is_empty)
			return true;
		break;
	case POP3_TEXT:
		call->text = arg;
		if (!is_empty)
			return true;
		break;
	case POP3_ANY_MESSAGE:
		if (is_empty)
			return true;
		return take_message(p, arg, call);
	case POP3_MESSAGE:
		if (!is_empty)
			return take_message(p, arg, call);
		break;
	case POP3_MESSAGE_COUNT:
		word = ph_slice_cut(&rest, ' ');
		if (rest.p != NULL &&
		    ph_slice_number(rest, UINT32_MAX, &call->count))
			return take_message(p, word, call);
		break;
	}
	pop3_err(p, "wrong argument");
	return false;
}

static bool
has_control_octets(struct ph_slice line)
{
	for (size_t i = 0; i < line.n; i++)
		if ((unsigned char)line.p[i] < 0x20 || line.p[i] == 0x7f)
			return true;
	return false;
}

/* Somebody leads a browser to us (ALPACA). */
static bool
is_http(struct ph_slice verb)
{
	static const char *const http[] = { "GET", "POST", "PUT", "HEAD",
		"DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH", "PRI" };

	for (size_t i = 0; i < sizeof(http) / sizeof(http[0]); i++)
		if (ph_slice_eq_nocase(verb, ph_slice_str(http[i])))
			return true;
	return false;
}

static void
run_line(struct pop3 *p, struct ph_slice line)
{
	struct ph_slice arg = line, verb = ph_slice_cut(&arg, ' ');
	struct pop3_call call = { 0 };

	if (has_control_octets(line)) {
		pop3_err(p, "control octets in a command");
		return;
	}
	if (line.n > POP3_LINE_MAX &&
	    !ph_slice_eq_nocase(verb, PH_LIT("AUTH"))) {
		pop3_err(p, "line too long");
		return;
	}
	for (const struct pop3_command *c = p->commands; c->verb != NULL; c++) {
		if (!ph_slice_eq_nocase(verb, ph_slice_str(c->verb)))
			continue;
		if (parse(p, c->args, arg, &call))
			c->act(p, &call);
		return;
	}
	if (is_http(verb)) {
		pop3_end(p, "http");
		return;
	}
	p->unknown++;
	pop3_err(p, "unknown command");
}

void
pop3_converse(struct pop3 *p, size_t line_limit)
{
	struct ph_slice line;
	int status;

	while (p->state != POP3_CLOSED) {
		status = ph_stream_read_line(p->stream, line_limit,
		    p->conf->idle_timeout_ms, &line, NULL);
		if (status == PH_TOO_BIG) {
			pop3_err(p, "line too long");
		} else if (status != PH_OK) {
			/* RFC 1939 s3: no response to a timeout. */
			pop3_end(p, ph_status_name(status));
			return;
		} else {
			run_line(p, line);
		}
		if (p->state != POP3_CLOSED &&
		    (p->errors >= p->conf->max_errors ||
		        p->unknown >= MAX_UNKNOWN)) {
			pop3_err(p, "too many errors, good bye");
			pop3_end(p, "errors");
		}
	}
}

/* --- the descriptor --- */

static void
pop3_farewell(struct ph_stream *stream, const void *conf, const char *hostname,
    enum ph_status why)
{
	(void)conf;
	(void)ph_stream_printf(stream, "-ERR [SYS/TEMP] %s %s\r\n", hostname,
	    why == PH_CANCELED ? "is shutting down" :
	                         "has too many connections");
}

static const struct ph_option pop3_options[] = {
	PH_OPT_MSEC("idle_timeout", struct pop3_conf, idle_timeout_ms, 1000,
	    86400000, "10m", "silence after which a session ends"),
	PH_OPT_MSEC("login_timeout", struct pop3_conf, login_timeout_ms, 1000,
	    86400000, "3m", "how long a client may take to log in"),
	PH_OPT_UINT("max_errors", struct pop3_conf, max_errors, 1, 100000,
	    "20", "refused commands after which the session ends"),
	PH_OPT_BOOL("allow_plain_auth", struct pop3_conf, allow_plain_auth,
	    "false", "let users log in without TLS"),
	PH_OPT_END,
};

static const struct ph_listener_ops pop3_ops = {
	.service = "pop3",
	.alpn = "pop3",
	.session = pop3_session,
	.user_session = pop3_user_session,
	.farewell = pop3_farewell,
};

PH_MODULE(pop3) = {
	.abi = PH_ABI,
	.name = "pop3",
	.kinds = PH_KIND_LISTENER,
	.conf_size = sizeof(struct pop3_conf),
	.options = pop3_options,
	.doc = "mailboxes by POP3",
	.listener = &pop3_ops,
};
