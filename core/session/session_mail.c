/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_mail.c - a message on its way to the queue. Up to 64 KiB wait in
 * memory; more goes to an unlinked file that the queue made, and the commit
 * links it. The commit itself is not cut short by the end of the session: a
 * client that hears 421 instead of 250 sends again.
 */
#include "session/mail.h"
#include "session/session.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <posthouse/mail.h>

#include "base/record.h"
#include "loop/fiber.h"
#include "net/stream.h"
#include "session/header_edit.h"

enum {
	MEMORY_MAX = 64 << 10,  /* content kept in memory, with added headers */
	CHUNK = 256 << 10,      /* gathered for one write to the spool file */
	FACTS_MAX = 16 << 10,
	RECIPIENTS_MAX = 384 << 10,
	HEADERS_MAX = 32 << 10,
	TRACE_MAX = 48 << 10,
	COPY_WAIT_MS = 5000,    /* for other copies to end */
	FIELDS_MAX = 64 << 10,  /* what a listener adds, on top of the limit */
};

struct ph_mail {
	struct ph_session *session;
	struct ph_arena *arena;
	struct ph_slice sender;
	struct ph_buf facts, recipients, headers, trace, edits;
	uint64_t number;            /* in its session */
	struct ph_slice *addresses; /* of the recipients, for the pipeline */
	size_t recipient_count, address_room;
	struct ph_buf content;      /* all of it, or what waits for the file */
	struct ph_slice header;     /* the header section, once spooled */
	int spool_fd;               /* -1: none yet */
	uint64_t spool;             /* the queue's number for it */
	uint64_t written;           /* octets in the file */
	uint64_t size, limit_bytes;
	bool is_going_out;          /* to a recipient without a mailbox here */
	struct score score;
	const char *held_for;       /* NULL: not in quarantine */
	int64_t release_at;         /* s; 0: at once */
	int failed;                 /* sticky status of a write */
};

/* The queue need not keep it for a commit any more. */
static void
drop_spool(uint64_t spool)
{
	struct ph_buf buf;

	ph_buf_init(&buf, NULL, 64);
	record_put_u64(&buf, F_SPOOL, spool);
	bus_notify(ROLE_QUEUE, 0, MSG_SPOOL_DROP, ph_buf_content(&buf));
	ph_buf_fini(&buf);
}

static void
on_arena_end(void *object)
{
	struct ph_mail *mail = object;

	if (mail->spool_fd >= 0) {
		drop_spool(mail->spool);
		close(mail->spool_fd);
	}
	mail->spool_fd = -1;
	ph_buf_fini(&mail->content);
}

struct ph_mail *
ph_mail_begin(struct ph_session *session, struct ph_slice sender)
{
	struct ph_arena *arena = ph_arena_create(session->arena);
	struct ph_mail *mail = ph_arena_alloc(arena, sizeof(*mail));

	mail->session = session;
	mail->arena = arena;
	mail->sender = ph_arena_slice(arena, sender);
	mail->spool_fd = -1;
	mail->limit_bytes = ph_mail_size_limit(session) + FIELDS_MAX;
	ph_buf_init(&mail->facts, arena, FACTS_MAX);
	ph_buf_init(&mail->recipients, arena, RECIPIENTS_MAX);
	ph_buf_init(&mail->headers, arena, HEADERS_MAX);
	ph_buf_init(&mail->trace, arena, TRACE_MAX);
	ph_buf_init(&mail->edits, arena, HEADERS_MAX);
	mail->number = ++session->transactions;
	ph_buf_init(&mail->content, NULL, CHUNK + MEMORY_MAX);
	ph_arena_on_end(arena, on_arena_end, mail);
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

void
ph_mail_limit(struct ph_mail *mail, uint64_t limit_bytes)
{
	if (limit_bytes < mail->limit_bytes)
		mail->limit_bytes = limit_bytes;
}

uint64_t
ph_mail_size(const struct ph_mail *mail)
{
	return mail->size;
}

/* --- content --- */

struct spool_write {
	struct ph_mail *mail;
	int failed;
};

/* In the thread pool. */
static void
write_chunk(void *arg)
{
	struct spool_write *w = arg;
	struct ph_mail *mail = w->mail;
	const char *p = mail->content.p;
	size_t left = mail->content.n;

	while (left > 0) {
		ssize_t put = pwrite(mail->spool_fd, p, left,
		    (off_t)mail->written);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0) {
			w->failed = errno == ENOSPC || errno == EDQUOT ?
			    PH_FULL : PH_IO;
			return;
		}
		p += put;
		left -= (size_t)put;
		mail->written += (uint64_t)put;
	}
}

static int
spool_content(struct ph_mail *mail)
{
	struct spool_write w = { .mail = mail };

	if (mail->content.n == 0)
		return PH_OK;
	ph_work(write_chunk, &w);
	mail->content.n = 0;
	return w.failed;
}

/* The content outgrows memory: get the file. */
static int
begin_spool(struct ph_mail *mail)
{
	struct bus_message reply;
	int status = bus_call(ROLE_QUEUE, 0, MSG_SPOOL, PH_LIT(""), NULL, 0,
	    BUS_LOOKUP_MS, mail->arena, &reply);
	struct ph_slice content = ph_buf_content(&mail->content);

	if (status != PH_OK)
		return status;
	if (reply.fds[0] < 0)
		return PH_UNAVAILABLE;
	mail->spool_fd = reply.fds[0];
	mail->spool = record_get_u64(reply.record, F_SPOOL, 0);
	content.n = ph_header_size(content);
	mail->header = ph_arena_slice(mail->arena, content);
	return PH_OK;
}

int
ph_mail_write(struct ph_mail *mail, const void *p, size_t n)
{
	const char *from = p;

	if (mail->failed != PH_OK)
		return mail->failed;
	mail->size += n;
	if (mail->size > mail->limit_bytes)
		return mail->failed = PH_TOO_BIG;
	while (n > 0) {
		size_t room = mail->spool_fd < 0 ? MEMORY_MAX : CHUNK;
		size_t take = mail->content.n < room ?
		    room - mail->content.n : 0;

		if (take > n)
			take = n;
		ph_buf_add(&mail->content, from, take);
		from += take;
		n -= take;
		if (n == 0)
			break;
		if (mail->spool_fd < 0)
			mail->failed = begin_spool(mail);
		else
			mail->failed = spool_content(mail);
		if (mail->failed != PH_OK)
			return mail->failed;
	}
	return PH_OK;
}

/* --- for the pipeline --- */

struct ph_buf *
mail_headers(struct ph_mail *mail)
{
	return &mail->headers;
}

struct ph_buf *
mail_trace(struct ph_mail *mail)
{
	return &mail->trace;
}

struct ph_slice
mail_header(const struct ph_mail *mail)
{
	struct ph_slice content = ph_buf_content(&mail->content);

	if (mail->header.p != NULL)
		return mail->header;
	content.n = ph_header_size(content);
	return content;
}

struct ph_buf *
mail_edits(struct ph_mail *mail)
{
	return &mail->edits;
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

struct content_copy {
	struct ph_mail *mail;
	int fd;
};

/* In the thread pool: the content into a sealed memory file. */
static void
copy_content(void *arg)
{
	struct content_copy *copy = arg;
	struct ph_mail *mail = copy->mail;
	int fd = memfd_create("content", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	off_t at = 0;
	bool good = fd >= 0;

	while (good && (uint64_t)at < mail->written) {
		char block[8192];
		ssize_t got = pread(mail->spool_fd, block, sizeof(block), at);

		good = got > 0 && write(fd, block, (size_t)got) == got;
		at += got > 0 ? got : 0;
	}
	good = good && write(fd, mail->content.p, mail->content.n) ==
	    (ssize_t)mail->content.n &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW |
	        F_SEAL_WRITE | F_SEAL_SEAL) == 0;
	if (!good && fd >= 0) {
		close(fd);
		fd = -1;
	}
	copy->fd = fd;
}

/* The copies that there are in this process. */
static struct {
	uint64_t octets;
	struct ph_event smaller;
} copies;

static uint64_t
content_octets(const struct ph_mail *mail)
{
	return mail->written + mail->content.n;
}

/* One alone may be larger than the limit: else it would wait for ever. */
static int
reserve_copy(const struct ph_mail *mail)
{
	const struct generation *generation = mail->session->generation;
	uint64_t limit = generation->core.limits.content_memory_bytes;
	uint64_t end = ph_now_ms() + COPY_WAIT_MS, now;

	while (copies.octets > 0 &&
	    copies.octets + content_octets(mail) > limit) {
		now = ph_now_ms();
		if (now >= end || ph_event_wait(&copies.smaller,
		        (unsigned)(end - now)) != PH_OK)
			return PH_FULL;
	}
	copies.octets += content_octets(mail);
	return PH_OK;
}

static void
release_copy(const struct ph_mail *mail)
{
	copies.octets -= content_octets(mail);
	ph_event_signal(&copies.smaller);
}

int
mail_content_get(struct ph_mail *mail, int *fd_out)
{
	struct content_copy copy = { .mail = mail, .fd = -1 };
	int status = reserve_copy(mail);

	if (status != PH_OK)
		return status;
	ph_work(copy_content, &copy);
	if (copy.fd < 0) {
		release_copy(mail);
		return PH_IO;
	}
	*fd_out = copy.fd;
	return PH_OK;
}

void
mail_content_put(struct ph_mail *mail, int fd)
{
	close(fd);
	release_copy(mail);
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
	} else if (session->right.n > 0) {
		record_put(buf, F_TOKEN, session->right);
	}
	if (mail->release_at > 0)
		record_put_u64(buf, F_RELEASE_AT, (uint64_t)mail->release_at);
	if (mail->held_for != NULL) {
		record_put_u64(buf, F_HOLD, 1);
		record_put_str(buf, F_TEXT, mail->held_for);
	}
	ph_buf_slice(buf, ph_buf_content(&mail->recipients));
	ph_buf_slice(buf, ph_buf_content(&mail->facts));
	ph_buf_slice(buf, ph_buf_content(&session->trace));
	ph_buf_slice(buf, ph_buf_content(&mail->trace));
}

/* Added fields stand in front of the content. */
static void
put_content(struct ph_mail *mail, struct ph_buf *buf)
{
	struct ph_session *session = mail->session;
	size_t prefix = session->headers.n + mail->headers.n;
	struct ph_buf all;

	if (mail->spool_fd < 0 && prefix == 0) {
		record_put(buf, F_CONTENT, ph_buf_content(&mail->content));
		return;
	}
	ph_buf_init(&all, mail->arena, prefix + MEMORY_MAX);
	ph_buf_slice(&all, ph_buf_content(&mail->headers));
	ph_buf_slice(&all, ph_buf_content(&session->headers));
	if (mail->spool_fd < 0) {
		ph_buf_slice(&all, ph_buf_content(&mail->content));
		record_put(buf, F_CONTENT, ph_buf_content(&all));
		return;
	}
	record_put_u64(buf, F_SPOOL, mail->spool);
	record_put_u64(buf, F_SIZE, mail->written);
	if (prefix > 0)
		record_put(buf, F_PREFIX, ph_buf_content(&all));
}

/* In a fiber that nobody cancels. */
static void
commit(void *arg)
{
	struct commit *c = arg;

	c->status = bus_call(ROLE_QUEUE, 0, MSG_COMMIT,
	    ph_buf_content(&c->buf), NULL, 0, BUS_COMMIT_MS, c->mail->arena,
	    &c->reply);
}

struct body_copy {
	struct ph_mail *mail;
	int from;
	uint64_t at, end;
	int status;
};

/* In the thread pool: the body behind the edited header. */
static void
copy_body(void *arg)
{
	struct body_copy *copy = arg;
	struct ph_mail *mail = copy->mail;
	static const size_t block_n = 64 << 10;
	char *block = malloc(block_n);

	ph_assert(block != NULL);
	while (copy->status == PH_OK && copy->at < copy->end) {
		ssize_t got = pread(copy->from, block, block_n,
		    (off_t)copy->at);
		ssize_t put = got > 0 ? pwrite(mail->spool_fd, block,
		    (size_t)got, (off_t)mail->written) : -1;

		if (got <= 0 || put != got)
			copy->status = errno == ENOSPC ? PH_FULL : PH_IO;
		copy->at += put > 0 ? (uint64_t)put : 0;
		mail->written += put > 0 ? (uint64_t)put : 0;
	}
	free(block);
}

/* The file is the queue's and begins with the header: write another. */
static int
edit_spooled(struct ph_mail *mail)
{
	uint64_t old = mail->spool;
	struct ph_slice header = mail->header;
	struct body_copy copy = { .mail = mail, .at = header.n };
	int status = spool_content(mail);

	if (status != PH_OK)
		return status;
	copy.from = mail->spool_fd;
	copy.end = mail->written;
	mail->spool_fd = -1;
	mail->written = 0;
	header_edit_apply(header, ph_buf_content(&mail->edits),
	    &mail->content);
	status = mail->content.full ? PH_TOO_BIG : begin_spool(mail);
	if (status == PH_OK)
		status = spool_content(mail);
	if (status == PH_OK) {
		ph_work(copy_body, &copy);
		status = copy.status;
	}
	close(copy.from);
	drop_spool(old);
	return status;
}

static int
edit_header(struct ph_mail *mail)
{
	const struct ph_slice content = ph_buf_content(&mail->content);
	const struct ph_slice header = mail_header(mail);
	struct ph_buf edited;

	if (mail->edits.n == 0)
		return PH_OK;
	if (mail->spool_fd >= 0)
		return edit_spooled(mail);
	ph_buf_init(&edited, NULL, CHUNK + MEMORY_MAX);
	header_edit_apply(header, ph_buf_content(&mail->edits), &edited);
	ph_buf_add(&edited, content.p + header.n, content.n - header.n);
	ph_buf_fini(&mail->content);
	mail->content = edited;
	return edited.full ? PH_TOO_BIG : PH_OK;
}

/* In memory there is room for the content, not for added fields too. */
static int
make_spooled(struct ph_mail *mail)
{
	size_t prefix = mail->session->headers.n + mail->headers.n;
	int status = PH_OK;

	if (mail->spool_fd < 0 && mail->content.n + prefix > MEMORY_MAX)
		status = begin_spool(mail);
	if (status == PH_OK && mail->spool_fd >= 0)
		status = spool_content(mail);
	return status;
}

/* The queue believes no word of ours about the client's network, it looks at
 * the connection itself; once a session. Without the right it decides what it
 * may take. */
static int
get_right(struct ph_session *session)
{
	char client[PH_ADDR_TEXT_MAX];
	struct bus_message reply;
	struct ph_buf buf;
	int status, fd = stream_fd(session->stream);

	if (session->right.n > 0 || session->user != NULL ||
	    !ph_session_may_relay(session))
		return PH_OK;
	ph_buf_init(&buf, session->arena, 256);
	record_put_str(&buf, F_SESSION, session->id);
	record_put_str(&buf, F_CLIENT, ph_addr_format(&session->client,
	    client));
	status = bus_call(ROLE_QUEUE, 0, MSG_RELAY_RIGHT, ph_buf_content(&buf),
	    &fd, 1, BUS_LOOKUP_MS, session->arena, &reply);
	if (status == PH_OK)
		session->right = record_get(reply.record, F_TOKEN);
	return status == PH_DENIED || status == PH_INVALID ? PH_OK : status;
}

static int
make_durable(struct ph_mail *mail, const char **id_out)
{
	struct ph_session *session = mail->session;
	struct commit c = { .mail = mail };
	char *id;

	if (mail->failed == PH_OK && mail->is_going_out)
		mail->failed = get_right(session);
	if (mail->failed == PH_OK)
		mail->failed = edit_header(mail);
	if (mail->failed == PH_OK)
		mail->failed = make_spooled(mail);
	if (mail->failed != PH_OK)
		return mail->failed;
	if (session->score.sum + mail->score.sum != 0)
		ph_mail_set(mail, "score", ph_slice_str(score_text(mail->arena,
		    &session->score, &mail->score)));
	ph_buf_init(&c.buf, NULL, BUS_MESSAGE_LIMIT);
	put_commit(mail, &c.buf);
	put_content(mail, &c.buf);
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
