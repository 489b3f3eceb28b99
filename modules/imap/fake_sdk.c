/* SPDX-License-Identifier: Apache-2.0 */
/* fake_sdk.c - the stream, the session and the clock of fake_sdk.h. */
#include "fake_sdk.h"

#include <stdlib.h>
#include <time.h>

struct fake fake;

struct ph_stream {
	char *in;
	size_t n, capacity;
};

static struct ph_stream the_stream;

/* --- log, time, fibers --- */

void
ph_log_fields(enum ph_level level, const char *event,
    const struct ph_field *fields)
{
	(void)level;
	if (strcmp(event, "session_end") != 0)
		return;
	for (; fields->key != NULL; fields++)
		if (strcmp(fields->key, "end") == 0)
			fake.reason = fields->text.p;
}

bool
ph_log_enabled(enum ph_level level)
{
	(void)level;
	return true;
}

uint64_t
ph_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int64_t
ph_wall_time(void)
{
	return 1795423620;
}

int
ph_sleep_ms(unsigned ms)
{
	(void)ms;
	return PH_OK;
}

void
ph_work(void (*fn)(void *), void *arg)
{
	fn(arg);
}

/* --- stream --- */

static void
stream_add(const char *p, size_t n)
{
	struct ph_stream *s = &the_stream;

	if (s->n + n > s->capacity) {
		s->capacity = 2 * (s->n + n);
		s->in = realloc(s->in, s->capacity);
		ph_assert(s->in != NULL);
	}
	memcpy(s->in + s->n, p, n);
	s->n += n;
}

/* The next piece of the script; an action is done instead when one is next
 * and nothing is half read. */
static int
read_script(bool *acted)
{
	const char *at = fake.script + fake.script_at;
	size_t left = fake.script_size - fake.script_at, n = 0;

	*acted = false;
	if (left == 0)
		return PH_EOF;
	if (*at == '!') {
		const char *end = memchr(at, '\n', left);

		fake_action((struct ph_slice){ at, (size_t)(end - at - 1) });
		fake.script_at += (size_t)(end + 1 - at);
		*acted = true;
		return PH_OK;
	}
	while (n < left && n < fake.piece) {
		n++;
		if (n < left && at[n - 1] == '\n' && at[n] == '!')
			break;
	}
	stream_add(at, n);
	fake.script_at += n;
	return PH_OK;
}

int
ph_stream_flush(struct ph_stream *stream)
{
	(void)stream;
	return PH_OK;
}

int
ph_stream_fill(struct ph_stream *stream, unsigned timeout_ms)
{
	bool acted = true;
	int rc = PH_OK;

	(void)stream;
	(void)timeout_ms;
	while (rc == PH_OK && acted)
		rc = read_script(&acted);
	return rc;
}

int
ph_stream_wait(struct ph_stream *stream, struct ph_event *event,
    unsigned timeout_ms)
{
	bool acted;

	(void)stream;
	(void)event;
	(void)timeout_ms;
	return read_script(&acted);
}

struct ph_slice
ph_stream_buffered(struct ph_stream *stream)
{
	return (struct ph_slice){ stream->in != NULL ? stream->in : "",
		stream->n };
}

void
ph_stream_consume(struct ph_stream *stream, size_t n)
{
	ph_assert(n <= stream->n);
	stream->n -= n;
	if (stream->n > 0)
		memmove(stream->in, stream->in + n, stream->n);
}

int
ph_stream_read_line(struct ph_stream *stream, size_t limit,
    unsigned timeout_ms, struct ph_slice *line_out, bool *bare_lf_out)
{
	static char line[16384];

	(void)bare_lf_out;
	(void)limit;
	for (;;) {
		char *lf = stream->n > 0 ? memchr(stream->in, '\n', stream->n) :
		                           NULL;
		int rc;

		if (lf != NULL) {
			size_t n = (size_t)(lf - stream->in) + 1;

			ph_assert(n < sizeof(line));
			memcpy(line, stream->in, n);
			ph_stream_consume(stream, n);
			*line_out = ph_slice_trim((struct ph_slice){ line, n });
			return PH_OK;
		}
		rc = ph_stream_fill(stream, timeout_ms);
		if (rc != PH_OK)
			return rc;
	}
}

int
ph_stream_write(struct ph_stream *stream, const void *p, size_t n)
{
	(void)stream;
	ph_buf_add(&fake.output, p, n);
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
	const char *text;

	va_start(args, fmt);
	text = ph_arena_vprintf(fake.arena, fmt, args);
	va_end(args);
	return ph_stream_puts(stream, text);
}

bool
ph_stream_is_tls(const struct ph_stream *stream)
{
	(void)stream;
	return fake.tls;
}

uint64_t
ph_stream_octets_in(const struct ph_stream *stream)
{
	(void)stream;
	return 0;
}

uint64_t
ph_stream_octets_out(const struct ph_stream *stream)
{
	(void)stream;
	return 0;
}

/* --- session --- */

struct ph_stream *
ph_session_stream(struct ph_session *session)
{
	(void)session;
	return &the_stream;
}

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
	return "0123456789abc";
}

uint64_t
ph_mail_size_limit(const struct ph_session *session)
{
	(void)session;
	return UINT64_MAX;
}

const struct ph_addr *
ph_session_client(const struct ph_session *session)
{
	static const struct ph_addr client = { 0 };

	(void)session;
	return &client;
}

const char *
ph_session_hostname(const struct ph_session *session)
{
	(void)session;
	return "mail.example.test";
}

const char *
ph_session_user(const struct ph_session *session)
{
	(void)session;
	return "bob@example.test";
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
	(void)session;
	the_stream.n = 0;
	fake.tls = true;
	return PH_OK;
}

int
ph_session_handover(struct ph_session *session, struct ph_slice state)
{
	imap_user_session(session, &fake.conf, state);
	return PH_OK;
}

enum ph_auth_result
ph_login(struct ph_session *session, struct ph_slice user,
    struct ph_slice password)
{
	(void)session;
	return ph_slice_eq(user, PH_LIT("bob")) &&
	        ph_slice_eq(password, PH_LIT("secret")) ?
	    PH_AUTH_OK : PH_AUTH_REFUSED;
}

const char *
ph_sasl_mechanisms(struct ph_session *session, bool allow_plain)
{
	(void)session;
	return fake.tls || allow_plain ? "PLAIN LOGIN" : "";
}

/* \0bob\0secret, bob\0bob\0secret */
#define CREDENTIALS "AGJvYgBzZWNyZXQ="
#define WITH_AUTHZID "Ym9iAGJvYgBzZWNyZXQ="

enum ph_auth_result
ph_sasl_step(struct ph_session *session, struct ph_slice response,
    const char **challenge_out)
{
	(void)session;
	(void)challenge_out;
	return ph_slice_eq(response, PH_LIT(CREDENTIALS)) ||
	        ph_slice_eq(response, PH_LIT(WITH_AUTHZID)) ?
	    PH_AUTH_OK : PH_AUTH_REFUSED;
}

enum ph_auth_result
ph_sasl_start(struct ph_session *session, struct ph_slice mechanism,
    struct ph_slice initial, const char **challenge_out)
{
	if (!ph_slice_eq_nocase(mechanism, PH_LIT("PLAIN")))
		return PH_AUTH_UNKNOWN_MECHANISM;
	*challenge_out = "";
	if (initial.p == NULL)
		return PH_AUTH_CONTINUE;
	return ph_sasl_step(session, initial, challenge_out);
}

void
ph_sasl_abort(struct ph_session *session)
{
	(void)session;
}

/* --- the world --- */

void
fake_begin(void)
{
	fake = (struct fake){
		.arena = ph_arena_create(NULL),
		.conf = { .allow_plain_auth = true, .login_timeout_ms = 60000,
		    .login_attempts = 3, .autologout_ms = 1800000,
		    .bad_commands = 10, .append_limit_bytes = 32 << 20 },
		.piece = SIZE_MAX,
	};
	ph_buf_init(&fake.output, NULL, 256 << 20);
	the_stream.n = 0;
	fake_store_begin();
}

void
fake_end(void)
{
	ph_buf_fini(&fake.output);
	free(the_stream.in);
	the_stream = (struct ph_stream){ 0 };
	ph_arena_free(fake.arena);
}

void
fake_run(void)
{
	imap_login_session(NULL, &fake.conf);
	ph_buf_char(&fake.output, '\0');
}
