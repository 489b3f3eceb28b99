/* SPDX-License-Identifier: Apache-2.0 */
/* fake_session.c - see fake_session.h. Users: alice and bob, password
 * "secret"; the domain is example.test. */
#include "fake_session.h"

#include <posthouse/fiber.h>
#include <posthouse/kv.h>
#include <stdio.h>
#include <stdlib.h>

struct fake fake;

struct ph_mail {
	struct ph_arena *arena;
	struct ph_slice sender;
	struct ph_buf rcpts, facts, content;
	size_t count;
};

static const char token[] = "fakesessionid";

struct ph_session *
fake_session(void)
{
	return (struct ph_session *)&fake;
}

void
fake_reset(void)
{
	ph_arena_free(fake.arena);
	fake = (struct fake){ .arena = ph_arena_create(NULL),
		.end_status = PH_EOF, .size_limit = UINT64_MAX };
	ph_addr_parse(PH_LIT("192.0.2.7"), &fake.client);
	ph_addr_parse(PH_LIT("198.51.100.1"), &fake.local);
	ph_buf_init(&fake.input, fake.arena, 1 << 26);
	ph_buf_init(&fake.out, fake.arena, 1 << 26);
	ph_buf_init(&fake.asked, fake.arena, 65536);
	ph_buf_init(&fake.content, fake.arena, 1 << 26);
	ph_buf_init(&fake.envelope, fake.arena, 1 << 20);
	ph_buf_init(&fake.log, fake.arena, 1 << 20);
	for (int i = 0; i < PH_STAGES; i++)
		fake.outcome[i].verdict = PH_ACCEPT;
}

void
fake_input_octets(const void *p, size_t n)
{
	ph_assert(fake.segments < 64);
	fake.segment[fake.segments++] =
	    ph_arena_slice(fake.arena, (struct ph_slice){ p, n });
}

void
fake_input(const char *text)
{
	fake_input_octets(text, strlen(text));
}

const char *
fake_text(struct ph_buf *buf)
{
	return ph_arena_slice(fake.arena, ph_buf_content(buf)).p;
}

const char *
fake_output(void)
{
	return fake_text(&fake.out);
}

const char *
fake_codes(void)
{
	struct ph_slice rest = ph_buf_content(&fake.out), line;
	struct ph_buf codes;

	ph_buf_init(&codes, fake.arena, 65536);
	while (rest.n > 0) {
		line = ph_slice_cut(&rest, '\n');
		if (line.n < 4 || line.p[3] == '-')
			continue;
		if (codes.n > 0)
			ph_buf_char(&codes, ' ');
		ph_buf_add(&codes, line.p, 3);
	}
	return fake_text(&codes);
}

/* --- stream --- */

struct ph_stream *
ph_session_stream(struct ph_session *session)
{
	return (struct ph_stream *)session;
}

struct ph_slice
ph_stream_buffered(struct ph_stream *stream)
{
	(void)stream;
	return (struct ph_slice){ ph_buf_content(&fake.input).p + fake.consumed,
		fake.input.n - fake.consumed };
}

void
ph_stream_consume(struct ph_stream *stream, size_t n)
{
	ph_assert(n <= ph_stream_buffered(stream).n);
	fake.consumed += n;
}

/* Mostly a few octets, at times hundreds. */
static size_t
random_piece(void)
{
	fake.cut = fake.cut * 1664525u + 1013904223u;
	return 1 + (fake.cut >> 16) %
	    ((fake.cut >> 28) == 0 ? 400u : (fake.cut >> 28) * 2);
}

int
ph_stream_fill(struct ph_stream *stream, unsigned timeout_ms)
{
	struct ph_slice left;
	size_t random_n;

	(void)stream;
	(void)timeout_ms;
	if (fake.silences > 0) {
		fake.silences--;
		return PH_TIMEOUT;
	}
	while (fake.next < fake.segments &&
	    fake.given == fake.segment[fake.next].n) {
		fake.next++;
		fake.given = 0;
	}
	if (fake.next == fake.segments)
		return fake.end_status;
	left = fake.segment[fake.next];
	left.p += fake.given;
	left.n -= fake.given;
	if (fake.step > 0 && left.n > fake.step)
		left.n = fake.step;
	if (fake.cut > 0 && (random_n = random_piece()) < left.n)
		left.n = random_n;
	ph_buf_slice(&fake.input, left);
	fake.given += left.n;
	return PH_OK;
}

int
ph_stream_read_line(struct ph_stream *stream, size_t limit,
    unsigned timeout_ms, struct ph_slice *line_out, bool *bare_lf_out)
{
	struct ph_slice s;
	const char *lf;
	int status;

	for (;;) {
		s = ph_stream_buffered(stream);
		lf = s.n > 0 ? memchr(s.p, '\n', s.n) : NULL;
		if (lf != NULL)
			break;
		status = ph_stream_fill(stream, timeout_ms);
		if (status != PH_OK)
			return status;
	}
	s.n = (size_t)(lf - s.p);
	ph_stream_consume(stream, s.n + 1);
	if (s.n + 1 > limit)
		return PH_TOO_BIG;
	if (bare_lf_out != NULL)
		*bare_lf_out = s.n == 0 || s.p[s.n - 1] != '\r';
	if (s.n > 0 && s.p[s.n - 1] == '\r')
		s.n--;
	*line_out = ph_arena_slice(fake.arena, s);
	return PH_OK;
}

int
ph_stream_write(struct ph_stream *stream, const void *p, size_t n)
{
	(void)stream;
	ph_buf_add(&fake.out, p, n);
	return PH_OK;
}

int
ph_stream_puts(struct ph_stream *stream, const char *s)
{
	return ph_stream_write(stream, s, strlen(s));
}

int
ph_stream_printf(struct ph_stream *stream, const char *fmt, ...)
{
	va_list args;
	char *text;

	va_start(args, fmt);
	text = ph_arena_vprintf(fake.arena, fmt, args);
	va_end(args);
	return ph_stream_puts(stream, text);
}

int
ph_stream_flush(struct ph_stream *stream)
{
	(void)stream;
	return PH_OK;
}

uint64_t
ph_stream_octets_in(const struct ph_stream *stream)
{
	(void)stream;
	return fake.input.n;
}

uint64_t
ph_stream_octets_out(const struct ph_stream *stream)
{
	(void)stream;
	return fake.out.n;
}

int
ph_sleep_ms(unsigned ms)
{
	fake.slept_ms += ms;
	return PH_OK;
}

int
ph_kv_rate(struct ph_slice key, uint64_t limit, uint64_t window_ms,
    bool *over_out)
{
	size_t at = 0;

	ph_assert(window_ms > 0);
	if (fake.kv_status != PH_OK)
		return fake.kv_status;
	while (at < fake.counters && !ph_slice_eq(fake.counter[at].key, key))
		at++;
	ph_assert(at < 64);
	if (at == fake.counters)
		fake.counter[fake.counters++].key =
		    ph_arena_slice(fake.arena, key);
	*over_out = ++fake.counter[at].count > limit;
	return PH_OK;
}

uint64_t
ph_now_ms(void)
{
	static uint64_t now;

	return now += 1;
}

int64_t
ph_wall_time(void)
{
	return 1795420020;
}

void
ph_log_fields(enum ph_level level, const char *event,
    const struct ph_field *fields)
{
	(void)level;
	ph_buf_str(&fake.log, event);
	for (; fields->key != NULL; fields++) {
		if (fields->is_number)
			ph_buf_printf(&fake.log, " %s=%lld", fields->key,
			    (long long)fields->number);
		else if (fields->text.p != NULL)
			ph_buf_printf(&fake.log, " %s=" PH_SLICE_FMT,
			    fields->key, PH_SLICE_ARG(fields->text));
	}
	ph_buf_char(&fake.log, '\n');
}

/* --- session --- */

struct ph_arena *
ph_session_arena(struct ph_session *session)
{
	(void)session;
	return fake.arena;
}

const char *
ph_session_id(const struct ph_session *session)
{
	(void)session;
	return token;
}

const struct ph_addr *
ph_session_client(const struct ph_session *session)
{
	(void)session;
	return &fake.client;
}

const struct ph_addr *
ph_session_local(const struct ph_session *session)
{
	(void)session;
	return &fake.local;
}

struct ph_slice
ph_session_helo(const struct ph_session *session)
{
	(void)session;
	return fake.helo;
}

void
ph_session_set_helo(struct ph_session *session, struct ph_slice name)
{
	(void)session;
	fake.helo = name.p != NULL ? ph_arena_slice(fake.arena, name) : name;
}

const char *
ph_session_tls(const struct ph_session *session)
{
	(void)session;
	return fake.tls;
}

const char *
ph_session_certificate(const struct ph_session *session)
{
	(void)session;
	return fake.certificate != NULL ? "0a0b" : NULL;
}

const char *
ph_session_certificate_subject(const struct ph_session *session)
{
	(void)session;
	return fake.certificate;
}

const char *
ph_session_certificate_issuer(const struct ph_session *session)
{
	(void)session;
	return fake.certificate != NULL ? "fake CA" : NULL;
}

bool
ph_session_certificate_is_verified(const struct ph_session *session)
{
	(void)session;
	return fake.certificate != NULL;
}

bool
ph_session_lacks_certificate(const struct ph_session *session)
{
	(void)session;
	return fake.wants_certificate && fake.certificate == NULL;
}

const char *
ph_session_user(const struct ph_session *session)
{
	(void)session;
	return fake.user;
}

const char *
ph_session_hostname(const struct ph_session *session)
{
	(void)session;
	return "mail.example.test";
}

int
ph_session_set_client(struct ph_session *session, const struct ph_addr *client,
    uint16_t port)
{
	(void)session;
	(void)port;
	fake.client = *client;
	return fake.client_status;
}

bool
ph_session_has_tls(const struct ph_session *session)
{
	(void)session;
	return fake.has_tls;
}

int
ph_session_starttls(struct ph_session *session)
{
	struct ph_stream *stream = ph_session_stream(session);

	ph_stream_consume(stream, ph_stream_buffered(stream).n);
	if (fake.tls_fails)
		return PH_TLS;
	fake.tls = "TLSv1.3 TLS_AES_256_GCM_SHA384";
	return PH_OK;
}

const char *
ph_stage_name(enum ph_stage stage)
{
	static const char *const name[] = { "connect", "tls", "helo", "auth",
		"mail", "rcpt", "data", "message" };

	return name[stage];
}

struct ph_outcome
ph_session_stage(struct ph_session *session, enum ph_stage stage,
    struct ph_mail *mail, struct ph_slice recipient)
{
	char client[PH_ADDR_TEXT_MAX];

	(void)session;
	(void)mail;
	ph_assert((recipient.p != NULL) == (stage == PH_AT_RCPT));
	ph_buf_printf(&fake.asked, "%s%s", fake.asked.n > 0 ? " " : "",
	    ph_stage_name(stage));
	if (stage == PH_AT_CONNECT && ph_slice_eq(fake.refused,
	        ph_slice_str(ph_addr_format(&fake.client, client))))
		return (struct ph_outcome){ PH_REJECT, 550, "5.7.1",
			"not you (token)", "m" };
	if (stage == PH_AT_HELO && fake.refused_helo.p != NULL &&
	    ph_slice_eq(fake.refused_helo, fake.helo))
		return (struct ph_outcome){ PH_REJECT, 550, "5.7.1",
			"not that name (token)", "m" };
	return fake.outcome[stage];
}

/* --- users --- */

const char *
ph_sasl_mechanisms(struct ph_session *session, bool allow_plain)
{
	(void)session;
	return fake.tls != NULL || allow_plain ? "PLAIN LOGIN" : "";
}

static enum ph_auth_result
login_as(bool good)
{
	fake.user = good ? "alice@example.test" : NULL;
	return good ? PH_AUTH_OK : PH_AUTH_REFUSED;
}

enum ph_auth_result
ph_sasl_start(struct ph_session *session, struct ph_slice mechanism,
    struct ph_slice initial, const char **challenge_out)
{
	(void)session;
	if (ph_slice_eq_nocase(mechanism, PH_LIT("LOGIN"))) {
		*challenge_out = "VXNlcm5hbWU6";
		return PH_AUTH_CONTINUE;
	}
	if (!ph_slice_eq_nocase(mechanism, PH_LIT("PLAIN")))
		return PH_AUTH_UNKNOWN_MECHANISM;
	*challenge_out = "";
	if (initial.p == NULL)
		return PH_AUTH_CONTINUE;
	return ph_sasl_step(session, initial, challenge_out);
}

/* "Z29vZA==" is right, "dGVtcA==" can't be told, all else is wrong. */
enum ph_auth_result
ph_sasl_step(struct ph_session *session, struct ph_slice response,
    const char **challenge_out)
{
	(void)session;
	*challenge_out = "";
	if (ph_slice_eq(response, PH_LIT("dGVtcA==")))
		return PH_AUTH_UNAVAILABLE;
	if (ph_slice_eq(response, PH_LIT("!")))
		return PH_AUTH_MALFORMED;
	return login_as(ph_slice_eq(response, PH_LIT("Z29vZA==")));
}

void
ph_sasl_abort(struct ph_session *session)
{
	(void)session;
	ph_buf_str(&fake.log, "sasl_abort\n");
}

enum ph_auth_result
ph_login(struct ph_session *session, struct ph_slice user,
    struct ph_slice password)
{
	(void)session;
	return login_as(ph_slice_eq(user, PH_LIT("alice")) &&
	    ph_slice_eq(password, PH_LIT("secret")));
}

enum ph_recipient
ph_recipient_lookup(struct ph_session *session, struct ph_slice address)
{
	struct ph_slice local = address, domain;

	(void)session;
	if (ph_slice_eq_nocase(address, PH_LIT("postmaster")))
		return PH_RCPT_LOCAL;
	for (size_t i = 0; i < address.n; i++)
		if (address.p[i] == '@')
			local.n = i;
	domain = (struct ph_slice){ address.p + local.n + 1,
		address.n - local.n - 1 };
	if (!ph_slice_eq(domain, PH_LIT("example.test")))
		return PH_RCPT_REMOTE;
	if (ph_slice_eq_nocase(local, PH_LIT("unsure")))
		return PH_RCPT_UNSURE;
	return ph_slice_eq_nocase(local, PH_LIT("alice")) ||
	        ph_slice_eq_nocase(local, PH_LIT("bob")) ||
	        ph_slice_eq_nocase(local, PH_LIT("postmaster")) ?
	    PH_RCPT_LOCAL :
	    PH_RCPT_NO_USER;
}

bool
ph_session_may_relay(const struct ph_session *session)
{
	(void)session;
	return fake.may_relay;
}

enum ph_ownership
ph_session_owns_address(struct ph_session *session, struct ph_slice address)
{
	(void)session;
	if (ph_slice_eq(address, PH_LIT("unsure@example.test")))
		return PH_OWNED_UNSURE;
	return address.n == 0 ||
	        ph_slice_eq(address, PH_LIT("alice@example.test")) ?
	    PH_OWNED : PH_NOT_OWNED;
}

/* --- the queue --- */

struct ph_mail *
ph_mail_begin(struct ph_session *session, struct ph_slice sender)
{
	struct ph_arena *arena = ph_arena_create(fake.arena);
	struct ph_mail *mail = ph_arena_alloc(arena, sizeof(*mail));

	(void)session;
	ph_assert(fake.mail == NULL);
	mail->arena = arena;
	mail->sender = ph_arena_slice(arena, sender);
	ph_buf_init(&mail->rcpts, arena, 1 << 20);
	ph_buf_init(&mail->facts, arena, 1 << 16);
	ph_buf_init(&mail->content, arena, 1 << 26);
	fake.begun++;
	return fake.mail = mail;
}

struct ph_arena *
ph_mail_arena(struct ph_mail *mail)
{
	return mail->arena;
}

void
ph_mail_set(struct ph_mail *mail, const char *key, struct ph_slice value)
{
	ph_buf_printf(&mail->facts, "%s=" PH_SLICE_FMT ";", key,
	    PH_SLICE_ARG(value));
}

void
ph_mail_hold_until(struct ph_mail *mail, int64_t wall_time)
{
	ph_buf_printf(&mail->facts, "until=%lld;", (long long)wall_time);
}

void
ph_mail_add_recipient(struct ph_mail *mail, struct ph_slice address,
    struct ph_slice notify, struct ph_slice orcpt)
{
	ph_buf_printf(&mail->rcpts, "%s" PH_SLICE_FMT,
	    mail->count++ > 0 ? "," : "", PH_SLICE_ARG(address));
	if (notify.p != NULL)
		ph_buf_printf(&mail->rcpts, " " PH_SLICE_FMT,
		    PH_SLICE_ARG(notify));
	if (orcpt.p != NULL)
		ph_buf_printf(&mail->rcpts, " " PH_SLICE_FMT,
		    PH_SLICE_ARG(orcpt));
}

size_t
ph_mail_recipient_count(const struct ph_mail *mail)
{
	return mail->count;
}

int
ph_mail_write(struct ph_mail *mail, const void *p, size_t n)
{
	if (fake.write_status != PH_OK &&
	    mail->content.n >= fake.write_fails_from)
		return fake.write_status;
	ph_buf_add(&mail->content, p, n);
	return PH_OK;
}

uint64_t
ph_mail_size_limit(const struct ph_session *session)
{
	(void)session;
	return fake.size_limit;
}

void
ph_mail_limit(struct ph_mail *mail, uint64_t limit_bytes)
{
	(void)mail;
	(void)limit_bytes;
}

int
ph_mail_room(struct ph_session *session, uint64_t bytes)
{
	(void)session;
	(void)bytes;
	return fake.room_status;
}

int
ph_mail_commit(struct ph_mail *mail, const char **id_out)
{
	ph_assert(mail == fake.mail && mail->count > 0);
	if (fake.commit_status == PH_OK) {
		fake.committed++;
		fake.content.n = 0;
		ph_buf_slice(&fake.content, ph_buf_content(&mail->content));
		fake.envelope.n = 0;
		ph_buf_slice(&fake.envelope, mail->sender);
		ph_buf_char(&fake.envelope, '|');
		ph_buf_slice(&fake.envelope, ph_buf_content(&mail->rcpts));
		ph_buf_char(&fake.envelope, '|');
		ph_buf_slice(&fake.envelope, ph_buf_content(&mail->facts));
		*id_out = "fakequeueid00";
	}
	ph_arena_free(mail->arena);
	fake.mail = NULL;
	return fake.commit_status;
}

void
ph_mail_abort(struct ph_mail *mail)
{
	ph_assert(mail == fake.mail);
	fake.aborted++;
	ph_arena_free(mail->arena);
	fake.mail = NULL;
}

/* --- the mailbox --- */

int
ph_session_handover(struct ph_session *session, struct ph_slice state)
{
	(void)session;
	if (fake.handover_status == PH_OK)
		fake.handed_over = ph_arena_slice(fake.arena, state);
	return fake.handover_status;
}

int
ph_mailbox_open(struct ph_session *session, struct ph_slice name,
    bool read_only, struct ph_mailbox **mailbox_out)
{
	ph_assert(ph_slice_eq(name, PH_LIT("INBOX")) && !read_only);
	*mailbox_out = (struct ph_mailbox *)session;
	return fake.open_status;
}

void
ph_mailbox_close(struct ph_mailbox *mailbox)
{
	(void)mailbox;
	ph_buf_str(&fake.log, "mailbox_close\n");
}

void
ph_mailbox_status(struct ph_mailbox *mailbox,
    struct ph_mailbox_status *status_out)
{
	(void)mailbox;
	*status_out = (struct ph_mailbox_status){ .uid_validity = 77 };
}

size_t
ph_mailbox_messages(struct ph_mailbox *mailbox, struct ph_arena *arena,
    const struct ph_message_meta **metas_out)
{
	struct ph_message_meta *metas =
	    ph_arena_array(arena, fake.messages + 1, sizeof(*metas));

	(void)mailbox;
	for (size_t i = 0; i < fake.messages; i++)
		metas[i] = fake.message[i].meta;
	*metas_out = metas;
	return fake.messages;
}

int
ph_mailbox_remove(struct ph_mailbox *mailbox, const uint32_t *uids,
    size_t count)
{
	(void)mailbox;
	for (size_t i = 0; i < count && fake.remove_status == PH_OK; i++)
		for (size_t j = 0; j < fake.messages; j++)
			if (fake.message[j].meta.uid == uids[i])
				fake.message[j].removed = true;
	return fake.remove_status;
}

int
ph_message_content(struct ph_mailbox *mailbox, uint32_t uid,
    struct ph_arena *arena, struct ph_content *content_out)
{
	(void)mailbox;
	(void)arena;
	for (size_t i = 0; i < fake.messages; i++)
		if (fake.message[i].meta.uid == uid &&
		    !fake.message[i].removed) {
			content_out->octets =
			    ph_slice_str(fake.message[i].content);
			return PH_OK;
		}
	return PH_NOT_FOUND;
}
