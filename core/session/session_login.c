/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_login.c - who the client is: edge's end of SASL. Passwords pass
 * through here on their way to auth and are wiped behind.
 */
#include "session/session.h"

#include <openssl/evp.h>

#include "base/record.h"

enum { RESPONSE_MAX = 12288 }; /* octets on the wire, RFC 4954 s4 */

const char *
ph_sasl_mechanisms(struct ph_session *session, bool allow_plain)
{
	return session->tls != NULL || allow_plain ? "PLAIN LOGIN" : "";
}

/* Base64 without white space; PH_INVALID. */
static int
decode(struct ph_arena *arena, struct ph_slice text, struct ph_slice *out)
{
	unsigned char *p;
	int n;

	if (text.n > RESPONSE_MAX || text.n % 4 != 0)
		return PH_INVALID;
	p = ph_arena_alloc(arena, text.n + 1);
	for (size_t i = 0; i < text.n; i++)
		if ((unsigned char)text.p[i] <= ' ')
			return PH_INVALID;
	n = text.n > 0 ? EVP_DecodeBlock(p, (const unsigned char *)text.p,
	    (int)text.n) : 0;
	for (size_t i = text.n; i > 0 && text.p[i - 1] == '='; i--)
		n--;
	if (n < 0) {
		ph_wipe(p, text.n);
		return PH_INVALID;
	}
	*out = (struct ph_slice){ (char *)p, (size_t)n };
	return PH_OK;
}

static const char *
encode(struct ph_arena *arena, struct ph_slice octets)
{
	unsigned char *p = ph_arena_alloc(arena, octets.n / 3 * 4 + 5);

	if (octets.n > 0)
		EVP_EncodeBlock(p, (const unsigned char *)octets.p,
		    (int)octets.n);
	return (char *)p;
}

static void
take_user(struct ph_session *session, struct ph_slice record)
{
	struct ph_slice rest = record;
	struct record_field field;
	struct ph_slice *aliases;
	size_t n = 0;

	session->user = ph_arena_slice(session->arena,
	    record_get(record, F_USER)).p;
	session->token = ph_arena_slice(session->arena,
	    record_get(record, F_TOKEN));
	while (record_next(&rest, &field))
		n += field.tag == F_ALIAS;
	aliases = ph_arena_array(session->arena, n, sizeof(*aliases));
	n = 0;
	rest = record;
	while (record_next(&rest, &field))
		if (field.tag == F_ALIAS)
			aliases[n++] = ph_arena_slice(session->arena,
			    field.value);
	session->aliases = aliases;
	session->alias_count = n;
}

/* What a listener requires before it listens to a password. */
static bool
may_log_in(const struct ph_session *session)
{
	if (!ph_session_lacks_certificate(session))
		return true;
	ph_log(PH_NOTICE, "login_refused",
	    ph_f_str("reason", "no verified certificate of the client"));
	return false;
}

static enum ph_auth_result
refuse(struct ph_session *session)
{
	return ++session->auth_failures >=
	        session->generation->core.limits.auth_failures ?
	    PH_AUTH_LIMITED : PH_AUTH_REFUSED;
}

/* What is said to auth, in memory of its own that is wiped as a whole. */
struct question {
	struct ph_arena *arena;
	struct ph_slice octets; /* decoded */
	struct ph_buf buf;
};

/* Room at once for `size` octets of values, so that growing leaves no copy. */
static void
question_begin(struct question *question, size_t size)
{
	ph_buf_init(&question->buf, question->arena, 32 << 10);
	ph_buf_reserve(&question->buf, size + 1024);
}

static void
question_end(struct question *question)
{
	ph_wipe(question->buf.p, question->buf.n);
	ph_wipe((char *)(uintptr_t)question->octets.p, question->octets.n);
	ph_arena_free(question->arena);
}

/* Ask auth and take what it says; the question ends. */
static enum ph_auth_result
ask(struct ph_session *session, uint16_t type, struct question *question,
    const char **challenge_out)
{
	bool is_full = question->buf.full;
	struct bus_message reply;
	enum ph_auth_result result;
	int status = PH_TOO_BIG;

	if (!is_full)
		status = bus_call(ROLE_AUTH, 0, type,
		    ph_buf_content(&question->buf), NULL, 0, BUS_AUTH_MS,
		    session->arena, &reply);
	question_end(question);
	if (is_full)
		return PH_AUTH_MALFORMED;
	session->exchange = 0;
	if (status != PH_OK)
		return PH_AUTH_UNAVAILABLE;
	result = (enum ph_auth_result)record_get_u64(reply.record, F_ANSWER,
	    PH_AUTH_UNAVAILABLE);
	if (result == PH_AUTH_CONTINUE) {
		session->exchange = record_get_u64(reply.record, F_EXCHANGE,
		    0);
		if (challenge_out == NULL)
			return PH_AUTH_UNAVAILABLE;
		*challenge_out = encode(session->arena,
		    record_get(reply.record, F_CHALLENGE));
	}
	if (result == PH_AUTH_OK)
		take_user(session, reply.record);
	if (result == PH_AUTH_OK && session->user == NULL)
		return PH_AUTH_UNAVAILABLE;
	if (result == PH_AUTH_REFUSED)
		return refuse(session);
	return result > PH_AUTH_LIMITED ? PH_AUTH_UNAVAILABLE : result;
}

static void
put_client(const struct ph_session *session, struct ph_buf *buf)
{
	char text[PH_ADDR_TEXT_MAX];

	record_put_str(buf, F_SESSION, session->id);
	record_put_str(buf, F_SERVICE, session->service);
	record_put_str(buf, F_CLIENT, ph_addr_format(&session->client, text));
	if (session->tls != NULL)
		record_put_str(buf, F_TLS, session->tls);
}

enum ph_auth_result
ph_sasl_start(struct ph_session *session, struct ph_slice mechanism,
    struct ph_slice initial, const char **challenge_out)
{
	struct question question = { 0 };

	ph_sasl_abort(session);
	if (!may_log_in(session))
		return refuse(session);
	question.arena = ph_arena_create(NULL);
	if (initial.p != NULL && ph_slice_eq(initial, PH_LIT("="))) {
		question.octets = PH_LIT("");
	} else if (initial.p != NULL && decode(question.arena, initial,
	    &question.octets) != PH_OK) {
		question_end(&question);
		return PH_AUTH_MALFORMED;
	}
	question_begin(&question, mechanism.n + question.octets.n);
	put_client(session, &question.buf);
	record_put(&question.buf, F_MECHANISM, mechanism);
	if (question.octets.p != NULL)
		record_put(&question.buf, F_RESPONSE, question.octets);
	return ask(session, MSG_SASL_START, &question, challenge_out);
}

enum ph_auth_result
ph_sasl_step(struct ph_session *session, struct ph_slice response,
    const char **challenge_out)
{
	struct question question = { .arena = NULL };

	if (session->exchange == 0)
		return PH_AUTH_MALFORMED;
	question.arena = ph_arena_create(NULL);
	if (decode(question.arena, response, &question.octets) != PH_OK) {
		question_end(&question);
		ph_sasl_abort(session);
		return PH_AUTH_MALFORMED;
	}
	question_begin(&question, question.octets.n);
	record_put_u64(&question.buf, F_EXCHANGE, session->exchange);
	record_put(&question.buf, F_RESPONSE, question.octets);
	return ask(session, MSG_SASL_STEP, &question, challenge_out);
}

void
ph_sasl_abort(struct ph_session *session)
{
	struct ph_buf buf;

	if (session->exchange == 0)
		return;
	ph_buf_init(&buf, session->arena, 256);
	record_put_u64(&buf, F_EXCHANGE, session->exchange);
	bus_notify(ROLE_AUTH, 0, MSG_SASL_ABORT, ph_buf_content(&buf));
	session->exchange = 0;
}

enum ph_auth_result
ph_login(struct ph_session *session, struct ph_slice user,
    struct ph_slice password)
{
	struct question question = { 0 };

	if (!may_log_in(session))
		return refuse(session);
	question.arena = ph_arena_create(NULL);
	question_begin(&question, user.n + password.n);
	put_client(session, &question.buf);
	record_put(&question.buf, F_USER, user);
	record_put(&question.buf, F_PASSWORD, password);
	return ask(session, MSG_LOGIN, &question, NULL);
}
