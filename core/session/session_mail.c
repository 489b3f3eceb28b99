/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_mail.c - a message on its way to the queue: its envelope, and the
 * commit, which is not cut short by the end of the session: a client that hears
 * 421 instead of 250 sends again.
 */
#include "session/mail_inner.h"

#include "base/record.h"
#include "loop/fiber.h"
#include "net/stream.h"

enum {
	FACTS_MAX = 16 << 10,
	RECIPIENTS_MAX = 384 << 10,
	HEADERS_MAX = 32 << 10,
	TRACE_MAX = 48 << 10,
	NOTES_MAX = 24 << 10,
};

struct ph_mail *
ph_mail_begin(struct ph_session *session, struct ph_slice sender)
{
	struct ph_arena *arena = ph_arena_create(session->arena);
	struct ph_mail *mail = ph_arena_alloc(arena, sizeof(*mail));

	mail->session = session;
	mail->arena = arena;
	mail->sender = ph_arena_slice(arena, sender);
	ph_buf_init(&mail->facts, arena, FACTS_MAX);
	ph_buf_init(&mail->recipients, arena, RECIPIENTS_MAX);
	ph_buf_init(&mail->headers, arena, HEADERS_MAX);
	ph_buf_init(&mail->trace, arena, TRACE_MAX);
	ph_buf_init(&mail->notes, arena, NOTES_MAX);
	mail->number = ++session->transactions;
	mail_content_init(mail);
	return mail;
}

struct ph_arena *
ph_mail_arena(struct ph_mail *mail)
{
	return mail->arena;
}

void
ph_mail_abort(struct ph_mail *mail)
{
	if (mail != NULL)
		ph_arena_free(mail->arena);
}

void
ph_mail_set(struct ph_mail *mail, const char *key, struct ph_slice value)
{
	size_t mark = record_begin(&mail->facts, F_FACT);

	record_put_str(&mail->facts, F_NAME, key);
	record_put(&mail->facts, F_TEXT, value);
	record_end(&mail->facts, mark);
}

void
ph_mail_hold_until(struct ph_mail *mail, int64_t wall_time)
{
	mail->release_at = wall_time;
}

void
ph_mail_add_recipient(struct ph_mail *mail, struct ph_slice address,
    struct ph_slice notify, struct ph_slice orcpt)
{
	struct ph_buf *buf = &mail->recipients;
	size_t mark = record_begin(buf, F_RCPT);
	const char *user = recipient_user(mail->session, address);

	record_put(buf, F_ADDRESS, address);
	if (user != NULL)
		record_put_str(buf, F_USER, user);
	mail->is_going_out |= user == NULL;
	if (notify.p != NULL)
		record_put(buf, F_DSN_NOTIFY, notify);
	if (orcpt.p != NULL)
		record_put(buf, F_ORCPT, orcpt);
	record_end(buf, mark);
	if (mail->recipient_count == mail->address_room) {
		size_t room = mail->address_room > 0 ?
		    mail->address_room * 2 : 4;
		struct ph_slice *all = ph_arena_array(mail->arena, room,
		    sizeof(*all));

		if (mail->recipient_count > 0)
			memcpy(all, mail->addresses,
			    mail->recipient_count * sizeof(*all));
		mail->addresses = all;
		mail->address_room = room;
	}
	mail->addresses[mail->recipient_count++] =
	    ph_arena_slice(mail->arena, address);
}

uint64_t
ph_mail_size_limit(const struct ph_session *session)
{
	return session->generation->core.message_limit_bytes;
}

size_t
ph_mail_recipient_count(const struct ph_mail *mail)
{
	return mail->recipient_count;
}

/* --- for the pipeline --- */

struct ph_buf *
mail_headers(struct ph_mail *mail)
{
	return &mail->headers;
}

struct ph_buf *
mail_notes(struct ph_mail *mail)
{
	return &mail->notes;
}

struct ph_buf *
mail_trace(struct ph_mail *mail)
{
	return &mail->trace;
}

struct score *
mail_score(struct ph_mail *mail)
{
	return &mail->score;
}

void
mail_hold(struct ph_mail *mail, const char *why)
{
	if (mail->held_for == NULL)
		mail->held_for = ph_arena_strdup(mail->arena, why);
}

struct ph_slice
mail_sender(const struct ph_mail *mail)
{
	return mail->sender;
}

const struct ph_slice *
mail_recipients(const struct ph_mail *mail)
{
	return mail->addresses;
}

void
mail_put_envelope(struct ph_mail *mail, bool with_header, struct ph_buf *buf)
{
	record_put_u64(buf, F_TRANSACTION, mail->number);
	record_put(buf, F_SENDER, mail->sender);
	record_put_u64(buf, F_RECIPIENT_COUNT, mail->recipient_count);
	if (!with_header)
		return;
	for (size_t i = 0; i < mail->recipient_count; i++)
		record_put(buf, F_RECIPIENT_ALL, mail->addresses[i]);
	record_put(buf, F_HEADER, mail_header(mail));
}

/* --- commit --- */

static struct {
	bool is_full;
} room;

static void
on_room(struct bus_request *request)
{
	room.is_full = record_get_u64(request->message.record, F_FLAG, 0) != 0;
}

void
mail_serve_room(void)
{
	bus_serve(MSG_ROOM, ROLE_BIT(ROLE_QUEUE), on_room);
}

int
ph_mail_room(struct ph_session *session, uint64_t bytes)
{
	(void)session;
	(void)bytes;
	return room.is_full ? PH_FULL : PH_OK;
}

struct commit {
	struct ph_mail *mail;
	struct ph_buf buf;
	struct bus_message reply;
	int status;
};

/* For hooks behind the queue, where there are any. */
static void
put_origin(struct ph_mail *mail, struct ph_buf *buf)
{
	struct ph_session *session = mail->session;
	int64_t score = session->score.sum + mail->score.sum;
	size_t mark;

	if (session->generation->stages >> PH_STAGES == 0)
		return;
	mark = record_begin(buf, F_ORIGIN);
	session_put(session, buf);
	if (score != 0)
		record_put_u64(buf, F_SCORE, (uint64_t)score);
	ph_buf_slice(buf, ph_buf_content(&session->notes));
	ph_buf_slice(buf, ph_buf_content(&mail->notes));
	record_end(buf, mark);
}

static void
put_commit(struct ph_mail *mail, struct ph_buf *buf)
{
	struct ph_session *session = mail->session;
	char client[PH_ADDR_TEXT_MAX];

	record_put_str(buf, F_SESSION, session->id);
	record_put_str(buf, F_CLIENT, ph_addr_format(&session->client,
	    client));
	record_put_str(buf, F_SERVICE, session->service);
	record_put(buf, F_SENDER, mail->sender);
	if (session->user != NULL) {
		record_put_str(buf, F_AUTH_USER, session->user);
		record_put(buf, F_TOKEN, session->token);
	}
	if (mail->release_at > 0)
		record_put_u64(buf, F_RELEASE_AT, (uint64_t)mail->release_at);
	if (mail->held_for != NULL) {
		record_put_u64(buf, F_HOLD, 1);
		record_put_str(buf, F_TEXT, mail->held_for);
	}
	put_origin(mail, buf);
	ph_buf_slice(buf, ph_buf_content(&mail->recipients));
	ph_buf_slice(buf, ph_buf_content(&mail->facts));
	ph_buf_slice(buf, ph_buf_content(&session->trace));
	ph_buf_slice(buf, ph_buf_content(&mail->trace));
}

/* What proves the right to relay, -1: nothing. The queue believes no word of
 * ours about the client's network, it looks at the connection itself. Without
 * it, it decides what it may take. */
static int
right_by_network(const struct ph_mail *mail)
{
	struct ph_session *session = mail->session;

	return mail->is_going_out && session->user == NULL &&
	    ph_session_may_relay(session) ? stream_fd(session->stream) : -1;
}

/* In a fiber that nobody cancels. */
static void
commit(void *arg)
{
	struct commit *c = arg;
	int fd = right_by_network(c->mail);

	c->status = bus_call(ROLE_QUEUE, 0, MSG_COMMIT,
	    ph_buf_content(&c->buf), &fd, fd >= 0, BUS_COMMIT_MS,
	    c->mail->arena, &c->reply);
}

static int
make_durable(struct ph_mail *mail, const char **id_out)
{
	struct ph_session *session = mail->session;
	struct commit c = { .mail = mail };
	char *id;

	if (mail->failed == PH_OK)
		mail->failed = mail_content_settle(mail);
	if (mail->failed != PH_OK)
		return mail->failed;
	if (session->score.sum + mail->score.sum != 0)
		ph_mail_set(mail, "score", ph_slice_str(score_text(mail->arena,
		    &session->score, &mail->score)));
	ph_buf_init(&c.buf, NULL, BUS_MESSAGE_LIMIT);
	put_commit(mail, &c.buf);
	mail_content_put_commit(mail, &c.buf);
	if (c.buf.full || mail->recipients.full || mail->facts.full) {
		ph_buf_fini(&c.buf);
		return PH_TOO_BIG;
	}
	fiber_join(fiber_start_joinable(commit, &c));
	ph_buf_fini(&c.buf);
	if (c.status != PH_OK)
		return c.status;
	id = ph_arena_alloc(session->arena, ID_TEXT_MAX);
	id_format(record_get_u64(c.reply.record, F_QUEUE_ID, 0), id);
	*id_out = id;
	return PH_OK;
}

int
ph_mail_commit(struct ph_mail *mail, const char **id_out)
{
	int status = make_durable(mail, id_out);

	ph_arena_free(mail->arena);
	return status;
}
