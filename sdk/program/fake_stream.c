/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_stream.c - the client half of <posthouse/stream.h> against servers of
 * the session file: each has lines to say, to hear, to wait. To who has no
 * server nobody listens.
 */
#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>

#include <posthouse/fiber.h>
#include <posthouse/stream.h>

#include "fakes.h"

enum { ANSWER_MS = 1, BUFFER_MAX = 1 << 20 };

struct server {
	struct server *next;
	const char *name; /* "192.0.2.1:25", "/path" */
	const char *block;
};

struct ph_stream {
	const char *name;
	struct ph_slice script; /* what is left of it */
	struct ph_buf in;       /* not consumed yet */
	struct ph_buf out;      /* said and not heard yet */
	uint64_t octets_in, octets_out;
	bool is_tls, is_closed;
};

static struct {
	struct server *first;
	const char *missed;
} servers;

void
fake_stream_reset(void)
{
	servers.first = NULL;
	servers.missed = NULL;
}

const char *
fake_stream_missed(void)
{
	return servers.missed;
}

/* --- octets: "0000000d 'O' ???? *" --- */

enum { OCTETS_MAX = 4096, ANY_OCTET = -1 };

struct octets {
	int octet[OCTETS_MAX]; /* or ANY_OCTET */
	size_t n;
	bool is_open;          /* and whatever more there is */
};

static int
hex_of(char c)
{
	const char *digits = "0123456789abcdef";
	const char *at = c != '\0' ? strchr(digits, ph_lower(c)) : NULL;

	return at != NULL ? (int)(at - digits) : -1;
}

/* False: they are not written so. */
static bool
parse_octets(struct ph_slice text, struct octets *octets_out)
{
	size_t n = 0;

	octets_out->is_open = false;
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i], next = i + 1 < text.n ? text.p[i + 1] : 0;

		if (n + text.n >= OCTETS_MAX || octets_out->is_open)
			return false;
		if (c == ' ')
			continue;
		if (c == '*') {
			octets_out->is_open = true;
		} else if (c == '\'') {
			for (i++; i < text.n && text.p[i] != '\''; i++)
				octets_out->octet[n++] =
				    (unsigned char)text.p[i];
			if (i == text.n)
				return false;
		} else if (c == '?' && next == '?') {
			octets_out->octet[n++] = ANY_OCTET;
			i++;
		} else if (hex_of(c) >= 0 && hex_of(next) >= 0) {
			octets_out->octet[n++] = hex_of(c) * 16 + hex_of(next);
			i++;
		} else {
			return false;
		}
	}
	octets_out->n = n;
	return true;
}

static const char *
wrong_line(struct ph_slice block)
{
	while (block.p != NULL && block.n > 0) {
		struct ph_slice line = ph_slice_cut(&block, '\n');
		struct ph_slice word = fakes_word(&line);
		static struct octets octets;
		uint64_t ms;

		if (ph_slice_eq(word, PH_LIT("wait")) &&
		    fakes_duration(line, &ms))
			continue;
		if ((ph_slice_eq(word, PH_LIT("give")) ||
		        ph_slice_eq(word, PH_LIT("take"))) &&
		    parse_octets(line, &octets))
			continue;
		if (word.n > 0 && !ph_slice_eq(word, PH_LIT("say")) &&
		    !ph_slice_eq(word, PH_LIT("hear")) &&
		    !ph_slice_eq(word, PH_LIT("close")) &&
		    !ph_slice_eq(word, PH_LIT("silent")))
			return "its lines are say TEXT, hear PATTERN, give "
			       "OCTETS, take OCTETS, wait TIME, silent, close";
	}
	return NULL;
}

/* "ADDRESS PORT" or "/PATH", and the block of what it says */
const char *
fake_stream_line(const char *line, const char *block)
{
	struct ph_slice rest = ph_slice_str(line), where = fakes_word(&rest);
	struct server *server = ph_arena_alloc(fakes_arena(), sizeof(*server));
	char text[PH_ADDR_TEXT_MAX];
	struct ph_addr addr;
	uint64_t port;

	if (where.n > 0 && where.p[0] == '/')
		server->name = ph_arena_slice(fakes_arena(), where).p;
	else if (ph_addr_parse(where, &addr) &&
	    ph_slice_number(rest, 65535, &port))
		server->name = ph_arena_printf(fakes_arena(), "%s %u",
		    ph_addr_format(&addr, text), (unsigned)port);
	else
		return "wanted ADDRESS PORT, or the path of a Unix socket";
	server->block = ph_arena_strdup(fakes_arena(), block);
	server->next = servers.first;
	servers.first = server;
	return wrong_line(ph_slice_str(block));
}

/* --- connections --- */

static int
open_stream(struct ph_arena *arena, const char *name, unsigned timeout_ms,
    struct ph_stream **stream_out, struct ph_err *err)
{
	bool is_silent = fakes_fault() == HARNESS_SILENCE;
	const struct server *server = servers.first;
	struct ph_stream *stream;
	int status = ph_sleep_ms(is_silent ? timeout_ms : ANSWER_MS);

	if (status == PH_OK && is_silent)
		status = PH_TIMEOUT;
	if (status != PH_OK)
		return ph_err_set(err, status, 0, "%s",
		    status == PH_TIMEOUT ? "connection timed out" :
		    ph_status_name(status));
	while (server != NULL && strcmp(server->name, name) != 0)
		server = server->next;
	if (server == NULL)
		return ph_err_set(err, PH_IO, ECONNREFUSED, "%s",
		    strerror(ECONNREFUSED));
	stream = ph_arena_alloc(arena, sizeof(*stream));
	stream->name = server->name;
	stream->script = ph_slice_str(server->block);
	ph_buf_init(&stream->in, arena, BUFFER_MAX);
	ph_buf_init(&stream->out, arena, BUFFER_MAX);
	*stream_out = stream;
	return PH_OK;
}

int
ph_connect(struct ph_arena *arena, const struct ph_addr *addr, uint16_t port,
    unsigned timeout_ms, struct ph_stream **stream_out, struct ph_err *err)
{
	char text[PH_ADDR_TEXT_MAX];

	return open_stream(arena, ph_arena_printf(arena, "%s %u",
	    ph_addr_format(addr, text), port), timeout_ms, stream_out, err);
}

int
ph_connect_unix(struct ph_arena *arena, const char *path,
    unsigned timeout_ms, struct ph_stream **stream_out, struct ph_err *err)
{
	return open_stream(arena, path, timeout_ms, stream_out, err);
}

/* --- the server's turn --- */

/* A line that was said must fit the pattern. False: none was said yet. */
static bool
hear(struct ph_stream *stream, struct ph_slice pattern)
{
	struct ph_slice said = ph_buf_content(&stream->out), line;
	struct ph_arena *arena = fakes_arena();

	if (memchr(said.p, '\n', said.n) == NULL)
		return false;
	line = ph_slice_cut(&said, '\n');
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	if (fnmatch(ph_arena_slice(arena, pattern).p,
	        ph_arena_slice(arena, line).p, 0) != 0 &&
	    servers.missed == NULL)
		servers.missed = ph_arena_printf(arena,
		    "server %s: wanted to hear \"%.*s\", heard \"%.*s\"",
		    stream->name, PH_SLICE_ARG(pattern), PH_SLICE_ARG(line));
	memmove(stream->out.p, said.p, said.n);
	stream->out.n = said.n;
	return true;
}

static void
say(struct ph_stream *stream, struct ph_slice line)
{
	ph_buf_slice(&stream->in, line);
	ph_buf_str(&stream->in, "\r\n");
	stream->octets_in += line.n + 2;
}

/* The octets that were said must be these. False: not enough were said yet. */
static bool
take(struct ph_stream *stream, struct ph_slice text)
{
	struct ph_slice said = ph_buf_content(&stream->out);
	static struct octets wanted;
	size_t i = 0;

	parse_octets(text, &wanted);
	if (said.n < wanted.n)
		return false;
	while (i < wanted.n && (wanted.octet[i] == ANY_OCTET ||
	    wanted.octet[i] == (unsigned char)said.p[i]))
		i++;
	if (i < wanted.n && servers.missed == NULL)
		servers.missed = ph_arena_printf(fakes_arena(),
		    "server %s: wanted to take %.*s, octet %zu is %02x",
		    stream->name, PH_SLICE_ARG(text), i + 1,
		    (unsigned char)said.p[i]);
	if (wanted.is_open)
		wanted.n = said.n;
	memmove(stream->out.p, said.p + wanted.n, said.n - wanted.n);
	stream->out.n = said.n - wanted.n;
	return true;
}

static void
give(struct ph_stream *stream, struct ph_slice text)
{
	static struct octets octets;

	parse_octets(text, &octets);
	for (size_t i = 0; i < octets.n; i++)
		ph_buf_char(&stream->in, (char)octets.octet[i]);
	stream->octets_in += octets.n;
}

/*
 * Go on with the script until octets are there for the client. PH_OK; PH_EOF:
 * it closed; PH_TIMEOUT: it has nothing to say now.
 */
static int
serve(struct ph_stream *stream, unsigned timeout_ms)
{
	size_t before = stream->in.n;
	int status;

	while (stream->in.n == before) {
		struct ph_slice rest = stream->script, line, word;
		uint64_t ms = 0;

		if (stream->is_closed || rest.p == NULL || rest.n == 0)
			return PH_EOF;
		line = ph_slice_cut(&rest, '\n');
		word = fakes_word(&line);
		if (ph_slice_eq(word, PH_LIT("silent")) ||
		    (ph_slice_eq(word, PH_LIT("hear")) &&
		        !hear(stream, line)) ||
		    (ph_slice_eq(word, PH_LIT("take")) &&
		        !take(stream, line))) {
			status = ph_sleep_ms(timeout_ms);
			return status == PH_OK ? PH_TIMEOUT : status;
		}
		if (ph_slice_eq(word, PH_LIT("say"))) {
			say(stream, line);
			ms = ANSWER_MS;
		} else if (ph_slice_eq(word, PH_LIT("give"))) {
			give(stream, line);
			ms = ANSWER_MS;
		} else if (ph_slice_eq(word, PH_LIT("wait"))) {
			fakes_duration(line, &ms);
		} else if (ph_slice_eq(word, PH_LIT("close"))) {
			stream->is_closed = true;
		}
		if (ms > timeout_ms)
			ms = timeout_ms;
		status = ms > 0 ? ph_sleep_ms((unsigned)ms) : PH_OK;
		if (status != PH_OK)
			return status;
		stream->script = rest;
		timeout_ms -= (unsigned)ms;
		if (timeout_ms == 0)
			return PH_TIMEOUT;
	}
	return PH_OK;
}

/* --- <posthouse/stream.h> --- */

struct ph_slice
ph_stream_buffered(struct ph_stream *stream)
{
	return ph_buf_content(&stream->in);
}

void
ph_stream_consume(struct ph_stream *stream, size_t n)
{
	memmove(stream->in.p, stream->in.p + n, stream->in.n - n);
	stream->in.n -= n;
}

int
ph_stream_fill(struct ph_stream *stream, unsigned timeout_ms)
{
	return serve(stream, timeout_ms);
}

/* What the server says next without having to hear something first came. */
int
ph_stream_look(struct ph_stream *stream)
{
	struct ph_slice rest = stream->script, line, word;

	if (stream->in.n > 0)
		return PH_OK;
	if (stream->is_closed || rest.p == NULL || rest.n == 0)
		return PH_EOF;
	line = ph_slice_cut(&rest, '\n');
	word = fakes_word(&line);
	if (ph_slice_eq(word, PH_LIT("close")))
		return PH_EOF;
	if (!ph_slice_eq(word, PH_LIT("say")))
		return PH_TIMEOUT;
	say(stream, line);
	stream->script = rest;
	return PH_OK;
}

int
ph_stream_read_line(struct ph_stream *stream, size_t limit,
    unsigned timeout_ms, struct ph_slice *line_out, bool *bare_lf_out)
{
	struct ph_slice all = ph_buf_content(&stream->in), line;
	int status;

	while (memchr(all.p, '\n', all.n) == NULL) {
		status = serve(stream, timeout_ms);
		if (status != PH_OK)
			return status;
		all = ph_buf_content(&stream->in);
	}
	line = ph_arena_slice(fakes_arena(), ph_slice_cut(&all, '\n'));
	ph_stream_consume(stream, line.n + 1);
	if (line.n + 1 > limit)
		return PH_TOO_BIG;
	if (bare_lf_out != NULL)
		*bare_lf_out = line.n == 0 || line.p[line.n - 1] != '\r';
	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	*line_out = line;
	return PH_OK;
}

int
ph_stream_write(struct ph_stream *stream, const void *p, size_t n)
{
	if (stream->is_closed)
		return PH_IO;
	ph_buf_add(&stream->out, p, n);
	stream->octets_out += n;
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
	const char *text;
	va_list args;

	va_start(args, fmt);
	text = ph_arena_vprintf(fakes_arena(), fmt, args);
	va_end(args);
	return ph_stream_puts(stream, text);
}

int
ph_stream_flush(struct ph_stream *stream)
{
	return stream->is_closed ? PH_IO : PH_OK;
}

void
ph_stream_write_timeout(struct ph_stream *stream, unsigned timeout_ms)
{
	(void)stream;
	(void)timeout_ms;
}

bool
ph_stream_is_tls(const struct ph_stream *stream)
{
	return stream->is_tls;
}

const char *
ph_stream_tls_name(const struct ph_stream *stream)
{
	return stream->is_tls ? "TLSv1.3 TLS_AES_256_GCM_SHA384" : NULL;
}

uint64_t
ph_stream_octets_in(const struct ph_stream *stream)
{
	return stream->octets_in;
}

uint64_t
ph_stream_octets_out(const struct ph_stream *stream)
{
	return stream->octets_out;
}

int
ph_stream_tls_client(struct ph_stream *stream, const char *name,
    enum ph_tls_verify verify, unsigned timeout_ms, struct ph_err *err)
{
	int status = ph_sleep_ms(ANSWER_MS);

	(void)name;
	(void)verify;
	(void)timeout_ms;
	if (status != PH_OK)
		return ph_err_set(err, status, 0, "%s",
		    ph_status_name(status));
	stream->is_tls = true;
	return PH_OK;
}

void
ph_stream_close(struct ph_stream *stream)
{
	stream->is_closed = true;
}
