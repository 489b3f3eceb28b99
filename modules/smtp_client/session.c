/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session.c - the frame of a conversation with one mail host: connect, greeting,
 * EHLO or HELO, STARTTLS, AUTH, and after the transactions QUIT, unless the
 * connection is kept for the next message.
 *
 * Whatever goes wrong before a recipient has a result is the host's failure and
 * the next host is tried. Nothing that the host said before TLS counts after.
 */
#include "session.h"

#include <stdio.h>

enum {
	QUIT_MS = 2000,
	LAST_WORDS_MS = 1000, /* to read why our writing failed */
	TRANSACTIONS_MAX = 100, /* on one connection */
};

/* --- failures --- */

static void
note_failure(struct session *session, const struct failure *failure)
{
	struct failure copy = *failure;

	if (session->is_unproved)
		return;
	copy.host = ph_arena_strdup(session->delivery->arena,
	    session->peer->name);
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

enum step
session_confused(struct session *session)
{
	session->is_lost = session->is_confused = true;
	return session_fail(session, "4.5.0",
	    "replies out of step with commands at %s", session->stage);
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

/* The name in the first line of the reply to EHLO is the server's. */
static bool
is_ourselves(const struct session *session)
{
	struct ph_slice rest = ph_slice_str(session->reply.text);

	return !session->peer->may_be_ourselves &&
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
	    verb[0] != 'H' ? &session->offer : NULL);
}

/* RFC 5321 s3.2: HELO for those who do not know EHLO; nothing is offered. */
static enum step
hello(struct session *session)
{
	if (hello_once(session, session->peer->is_lmtp ? "LHLO" : "EHLO") !=
	    PH_OK)
		return STOP;
	if (session->reply.code >= 500 && !session->peer->is_lmtp &&
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
	const struct client_peer *peer = session->peer;
	struct ph_err err = { 0 };
	int status = ph_stream_tls_client(session->stream, peer->name,
	    peer->tls == TLS_VERIFY ? PH_TLS_VERIFY : PH_TLS_ANY,
	    session->delivery->conf->tls_timeout_ms, &err);

	session->stage = "TLS";
	if (status == PH_OK && peer->is_tls_at_once)
		return greeting(session);
	if (status == PH_OK) {
		enum step step = hello(session);

		/* TLS 1.3: a host's refusal may come after our handshake */
		session->tls_failed = step != GO_ON && session->is_lost &&
		    peer->tls == TLS_MAY && !session->delivery->is_over;
		return step;
	}
	session->is_lost = true;
	if (status == PH_CANCELED)
		session->delivery->is_over = true;
	session->tls_failed = peer->tls == TLS_MAY && !peer->is_tls_at_once &&
	    status != PH_CANCELED;
	return session_fail(session, "4.7.5", "%s", err.text);
}

/* RFC 3207; opportunistic unless the options ask for more. */
static enum step
start_tls(struct session *session)
{
	const struct client_conf *conf = session->delivery->conf;
	enum tls_mode tls = session->peer->tls;

	if (tls == TLS_NONE || session->in_clear ||
	    session->peer->is_tls_at_once)
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
	if (tls == TLS_MAY)
		return GO_ON;
	return session_fail(session, "4.7.4",
	    "TLS is required, but the host does not offer it");
}

static enum step
open_connection(struct session *session)
{
	const struct client_conf *conf = session->delivery->conf;
	const struct client_peer *peer = session->peer;
	struct ph_err err = { 0 };
	int status;

	session->link = ph_arena_create(NULL);
	if (peer->path != NULL)
		status = ph_connect_unix(session->link, peer->path,
		    conf->connect_timeout_ms, &session->stream, &err);
	else
		status = ph_connect(session->link, &peer->addr,
		    (uint16_t)peer->port, conf->connect_timeout_ms,
		    &session->stream, &err);
	if (status == PH_OK)
		return peer->is_tls_at_once ? handshake(session) :
		                              greeting(session);
	session->stage = "start";
	session->is_lost = true;
	if (status == PH_CANCELED)
		session->delivery->is_over = true;
	return session_fail(session, "4.4.1", "can't connect: %s", err.text);
}

/* --- connections kept --- */

struct kept {
	struct ph_stream *stream;
	struct smtp_offer offer;
	unsigned transactions;
};

/* All that a connection depends upon; sessions that agree may share it. */
static const char *
key_of(const struct session *session)
{
	const struct client_peer *peer = session->peer;
	char addr[PH_ADDR_TEXT_MAX];

	return ph_arena_printf(session->arena, "%s %s %s %u %s %d%d%d %s",
	    peer->is_lmtp ? "lmtp" : "smtp", peer->name,
	    peer->path != NULL ? peer->path :
	        ph_addr_format(&peer->addr, addr),
	    peer->port, ph_attempt_hostname(session->delivery->attempt),
	    (int)peer->tls, peer->is_tls_at_once, session->in_clear,
	    peer->user != NULL ? peer->user : "");
}

static void
say_quit(struct ph_stream *stream)
{
	ph_stream_write_timeout(stream, QUIT_MS);
	ph_stream_write(stream, "QUIT\r\n", 6);
	ph_stream_flush(stream); /* the reply tells nothing */
	ph_stream_close(stream);
}

static void
on_kept_end(void *object)
{
	say_quit(((struct kept *)object)->stream);
}

static bool
is_worth_keeping(const struct session *session, enum step last)
{
	return last == GO_ON && !session->is_lost && session->had_transaction &&
	    session->delivery->conf->connection_idle_ms > 0 &&
	    session->transactions < TRANSACTIONS_MAX;
}

static void
keep(struct session *session)
{
	struct kept *kept = ph_arena_alloc(session->link, sizeof(*kept));

	kept->stream = session->stream;
	kept->offer = session->offer;
	kept->transactions = session->transactions;
	ph_keep(session->link, kept, key_of(session),
	    session->delivery->conf->connection_idle_ms, on_kept_end);
	session->link = NULL;
}

static void
leave(struct session *session)
{
	if (session->link == NULL)
		return;
	if (!session->is_lost && session->stream != NULL)
		say_quit(session->stream);
	ph_arena_free(session->link);
	session->link = NULL;
	session->stream = NULL;
	session->is_lost = session->is_confused = false;
	session->had_transaction = false;
}

/* The host may have hung up in the meantime: what fails on it before MAIL was
 * answered is tried on another connection. */
static bool
take_kept(struct session *session)
{
	struct kept *kept = ph_kept_take(key_of(session), &session->link);

	if (kept == NULL)
		return false;
	session->stream = kept->stream;
	session->offer = kept->offer;
	session->transactions = kept->transactions;
	session->is_unproved = true;
	return true;
}

/* --- the whole --- */

static void
log_session(const struct session *session, size_t delivered,
    uint64_t start_ms)
{
	const struct client_peer *peer = session->peer;
	const char *tls = session->stream != NULL ?
	    ph_stream_tls_name(session->stream) : NULL;
	char addr[PH_ADDR_TEXT_MAX];
	bool good = session->delivery->open == 0;

	ph_log(good ? PH_INFO : PH_WARN,
	    peer->is_lmtp ? "lmtp_session" : "smtp_session",
	    ph_f_str("host", peer->name),
	    ph_f_str("address", peer->path != NULL ? peer->path :
	        ph_addr_format(&peer->addr, addr)),
	    ph_f_int("port", peer->port),
	    ph_f_str("tls", tls != NULL ? tls : "none"),
	    ph_f_str("stage", session->stage),
	    ph_f_str("content", session->is_recoded ? "encoded" : NULL),
	    ph_f_int("delivered", (int64_t)delivered),
	    ph_f_int("open", (int64_t)session->delivery->open),
	    ph_f_int("before", session->transactions),
	    ph_f_int("ms", (int64_t)(ph_now_ms() - start_ms)),
	    ph_f_str("reason", good ? NULL : session->delivery->failure.text));
}

/* On kept connections, as far as they go; true: no new one is wanted. */
static bool
run_kept(struct session *session)
{
	size_t open = session->delivery->open;

	while (!session->delivery->is_over && take_kept(session)) {
		enum step last = session_transfer(session);
		bool is_proved = !session->is_unproved;

		session->is_unproved = false;
		if (is_worth_keeping(session, last)) {
			session->transactions++;
			keep(session);
		}
		if (last == GO_ON || is_proved ||
		    session->delivery->open != open)
			return true;
		leave(session);
		session->transactions = 0;
	}
	return session->delivery->is_over;
}

static void
run_new(struct session *session)
{
	enum step last = STOP;

	if (open_connection(session) == GO_ON && hello(session) == GO_ON &&
	    start_tls(session) == GO_ON && session_auth(session) == GO_ON)
		last = session_transfer(session);
	if (is_worth_keeping(session, last)) {
		session->transactions++;
		keep(session);
	}
}

bool
session_run(struct delivery *delivery, const struct client_peer *peer,
    bool in_clear, bool *tls_failed_out)
{
	struct ph_arena *arena = ph_arena_create(delivery->arena);
	struct session *session = ph_arena_alloc(arena, sizeof(*session));
	size_t delivered_before = delivery->delivered;
	uint64_t start_ms = ph_now_ms();
	bool had_transaction;

	session->delivery = delivery;
	session->arena = arena;
	session->peer = peer;
	session->in_clear = in_clear;
	session->stage = "start";
	if (!run_kept(session))
		run_new(session);
	log_session(session, delivery->delivered - delivered_before, start_ms);
	*tls_failed_out = session->tls_failed;
	had_transaction = session->had_transaction;
	leave(session);
	ph_arena_free(arena);
	return had_transaction;
}
