/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.c - the frame of a conversation with one mail host: connect, greeting,
 * EHLO or HELO, STARTTLS, and after the transactions QUIT.
 *
 * Whatever goes wrong before a recipient has a result is the host's failure and
 * the next host is tried. Nothing that the host said before TLS counts after.
 */
#include "session.h"

#include <stdio.h>

enum {
	QUIT_MS = 2000,
	LAST_WORDS_MS = 1000, /* to read why our writing failed */
};

/* --- failures --- */

static void
note_failure(struct session *session, const struct failure *failure)
{
	struct failure copy = *failure;

	copy.host = ph_arena_strdup(session->delivery->arena,
	    session->host->name);
	copy.text = ph_arena_strdup(session->delivery->arena, failure->text);
	delivery_fail(session->delivery, &copy);
}

enum step
session_fail_reply(struct session *session)
{
	const struct smtp_reply *reply = &session->reply;
	struct failure failure = { .is_permanent = reply->code >= 500,
		.code = reply->code, .text = reply->text };

	memcpy(failure.enhanced, reply->enhanced, sizeof(failure.enhanced));
	note_failure(session, &failure);
	return STOP;
}

enum step
session_fail(struct session *session, const char *enhanced, const char *fmt,
    ...)
{
	struct failure failure = { .is_permanent = false };
	va_list args;

	va_start(args, fmt);
	failure.text = ph_arena_vprintf(session->arena, fmt, args);
	va_end(args);
	memcpy(failure.enhanced, enhanced, strlen(enhanced) + 1);
	note_failure(session, &failure);
	return STOP;
}

/* The connection broke, or we were told to end. */
static int
lost(struct session *session, int status)
{
	session->is_lost = true;
	if (status == PH_CANCELED)
		session->delivery->is_over = true;
	session_fail(session, status == PH_PROTOCOL ? "4.5.0" : "4.4.2",
	    "%s after %s", status == PH_PROTOCOL ? "no SMTP reply" :
	        status == PH_TIMEOUT ? "timeout" :
	        status == PH_CANCELED ? "stopped" : "lost connection",
	    session->stage);
	return status;
}

/* --- lines --- */

int
session_send(struct session *session, struct ph_slice line)
{
	return ph_stream_write(session->stream, line.p, line.n);
}

static unsigned
left_of(uint64_t end_ms)
{
	uint64_t now = ph_now_ms();

	return end_ms > now ? (unsigned)(end_ms - now) : 0;
}

int
session_read(struct session *session, unsigned timeout_ms,
    struct smtp_offer *offer)
{
	enum reply_step step = REPLY_MORE;
	int status = ph_stream_flush(session->stream);
	uint64_t end_ms;

	/* a host that hangs up while we write may have said why */
	if (status != PH_OK && status != PH_CANCELED) {
		if (timeout_ms > LAST_WORDS_MS)
			timeout_ms = LAST_WORDS_MS;
		status = PH_OK;
	}
	end_ms = ph_now_ms() + timeout_ms;
	reply_init(&session->reply);
	while (status == PH_OK && step == REPLY_MORE) {
		struct ph_slice line, text;

		status = ph_stream_read_line(session->stream, REPLY_LINE_MAX,
		    left_of(end_ms), &line, NULL);
		if (status != PH_OK)
			break;
		step = reply_line(&session->reply, line, &text);
		if (offer != NULL && step != REPLY_BROKEN &&
		    session->reply.lines > 1)
			offer_line(offer, text);
	}
	if (status == PH_TOO_BIG || step == REPLY_BROKEN)
		status = PH_PROTOCOL;
	return status == PH_OK ? PH_OK : lost(session, status);
}

/* --- the frame --- */

static enum step
greeting(struct session *session)
{
	session->stage = "connect";
	if (session_read(session, session->delivery->conf->greeting_timeout_ms,
	        NULL) != PH_OK)
		return STOP;
	return session->reply.code == 220 ? GO_ON :
	                                    session_fail_reply(session);
}

static enum step
open_connection(struct session *session)
{
	const struct smtp_conf *conf = session->delivery->conf;
	struct ph_err err = { 0 };
	int status = ph_connect(session->arena, &session->host->addr,
	    (uint16_t)conf->port, conf->connect_timeout_ms, &session->stream,
	    &err);

	if (status == PH_OK)
		return greeting(session);
	session->stage = "start";
	session->is_lost = true;
	if (status == PH_CANCELED)
		session->delivery->is_over = true;
	return session_fail(session, "4.4.1", "can't connect: %s", err.text);
}

/* The name in the first line of the reply to EHLO is the server's. */
static bool
is_ourselves(const struct session *session)
{
	struct ph_slice rest = ph_slice_str(session->reply.text);

	return !session->delivery->conf->allow_loopback &&
	    ph_slice_eq_nocase(ph_slice_cut(&rest, ' '),
	        ph_slice_str(ph_attempt_hostname(
	            session->delivery->attempt)));
}

static int
hello_once(struct session *session, const char *verb)
{
	char line[300];

	snprintf(line, sizeof(line), "%s %s\r\n", verb,
	    ph_attempt_hostname(session->delivery->attempt));
	session_send(session, ph_slice_str(line));
	memset(&session->offer, 0, sizeof(session->offer));
	session->stage = verb;
	return session_read(session, session->delivery->conf->helo_timeout_ms,
	    verb[0] == 'E' ? &session->offer : NULL);
}

/* RFC 5321 s3.2: HELO for those who do not know EHLO; nothing is offered. */
static enum step
hello(struct session *session)
{
	if (hello_once(session, "EHLO") != PH_OK)
		return STOP;
	if (session->reply.code >= 500 &&
	    hello_once(session, "HELO") != PH_OK)
		return STOP;
	if (session->reply.code != 250)
		return session_fail_reply(session);
	if (is_ourselves(session)) {
		struct failure failure = { .is_permanent = true,
			.enhanced = "5.4.6",
			.text = "mail for the domain leads back to this server" };

		note_failure(session, &failure);
		return STOP;
	}
	return GO_ON;
}

static enum step
handshake(struct session *session)
{
	const struct smtp_conf *conf = session->delivery->conf;
	struct ph_err err = { 0 };
	int status = ph_stream_tls_client(session->stream, session->host->name,
	    conf->tls == TLS_VERIFY ? PH_TLS_VERIFY : PH_TLS_ANY,
	    conf->tls_timeout_ms, &err);

	session->stage = "STARTTLS";
	if (status == PH_OK)
		return hello(session);
	session->is_lost = true;
	if (status == PH_CANCELED)
		session->delivery->is_over = true;
	session->tls_failed = conf->tls == TLS_MAY && status != PH_CANCELED;
	return session_fail(session, "4.7.5", "%s", err.text);
}

/* RFC 3207; opportunistic unless the options ask for more. */
static enum step
start_tls(struct session *session)
{
	const struct smtp_conf *conf = session->delivery->conf;

	if (conf->tls == TLS_NONE || session->in_clear)
		return GO_ON;
	if (session->offer.starttls) {
		session_send(session, PH_LIT("STARTTLS\r\n"));
		session->stage = "STARTTLS";
		if (session_read(session, conf->helo_timeout_ms, NULL) !=
		    PH_OK)
			return STOP;
		if (session->reply.code == 220)
			return handshake(session);
		if (session->reply.code == 421)
			return session_fail_reply(session);
	}
	if (conf->tls == TLS_MAY)
		return GO_ON;
	return session_fail(session, "4.7.4",
	    "TLS is required, but the host does not offer it");
}

static void
quit(struct session *session)
{
	if (!session->is_lost) {
		ph_stream_write_timeout(session->stream, QUIT_MS);
		session_send(session, PH_LIT("QUIT\r\n"));
		ph_stream_flush(session->stream); /* the reply tells nothing */
	}
	if (session->stream != NULL)
		ph_stream_close(session->stream);
}

static void
log_session(const struct session *session, size_t delivered,
    uint64_t start_ms)
{
	const char *tls = session->stream != NULL ?
	    ph_stream_tls_name(session->stream) : NULL;
	char addr[PH_ADDR_TEXT_MAX];
	bool good = session->delivery->open == 0;

	ph_log(good ? PH_INFO : PH_WARN, "smtp_session",
	    ph_f_str("host", session->host->name),
	    ph_f_str("address", ph_addr_format(&session->host->addr, addr)),
	    ph_f_int("port", session->delivery->conf->port),
	    ph_f_str("tls", tls != NULL ? tls : "none"),
	    ph_f_str("stage", session->stage),
	    ph_f_int("delivered", (int64_t)delivered),
	    ph_f_int("open", (int64_t)session->delivery->open),
	    ph_f_int("ms", (int64_t)(ph_now_ms() - start_ms)),
	    ph_f_str("reason", good ? NULL : session->delivery->failure.text));
}

bool
session_run(struct delivery *delivery, const struct smtp_host *host,
    bool in_clear, bool *tls_failed_out)
{
	struct ph_arena *arena = ph_arena_create(delivery->arena);
	struct session *session = ph_arena_alloc(arena, sizeof(*session));
	size_t delivered_before = delivery->delivered;
	uint64_t start_ms = ph_now_ms();
	bool greeted;

	session->delivery = delivery;
	session->arena = arena;
	session->host = host;
	session->in_clear = in_clear;
	session->stage = "start";
	if (open_connection(session) == GO_ON && hello(session) == GO_ON &&
	    start_tls(session) == GO_ON)
		session_transfer(session);
	log_session(session, delivery->delivered - delivered_before, start_ms);
	quit(session);
	*tls_failed_out = session->tls_failed;
	greeted = session->had_transaction;
	ph_arena_free(arena);
	return greeted;
}
