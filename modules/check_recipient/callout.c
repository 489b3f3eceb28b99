/* SPDX-License-Identifier: Apache-2.0 */
/* callout.c - see callout.h. */
#include "callout.h"

#include <posthouse/dns.h>
#include <posthouse/fiber.h>
#include <posthouse/mail.h>
#include <posthouse/stream.h>
#include <posthouse/transport.h>

enum {
	LINE_MAX_OCTETS = 2048,
	LINES_MAX = 100,
	SAID_MAX = 200,
	RECIPIENTS_MAX = 50, /* of a transaction: RFC 5321 asks for 100 */
	UNKNOWN_MAX = 8,     /* of a connection: then servers slow down */
	IDLE_MS = 10000,
};

/* Greeted, and most times within a transaction of the null sender. */
struct connection {
	struct ph_stream *stream;
	unsigned recipients; /* of the transaction; 0: there is none */
	unsigned unknown;
};

struct talk {
	struct ph_arena *arena;
	const struct callout *callout;
	struct connection *connection;
	unsigned code;    /* of the last reply; 0: none came */
	const char *said; /* its last line, or the failure */
};

static unsigned
hear(struct talk *talk)
{
	struct ph_slice line;
	bool has_more = true;
	unsigned code = 0;
	int status;

	talk->code = 0;
	for (unsigned i = 0; has_more && i < LINES_MAX; i++) {
		status = ph_stream_read_line(talk->connection->stream,
		    LINE_MAX_OCTETS, talk->callout->timeout_ms, &line, NULL);
		if (status != PH_OK) {
			talk->said = ph_status_name(status);
			return 0;
		}
		code = reply_code(line, &has_more);
		if (code == 0)
			has_more = false;
	}
	talk->said = ph_arena_printf(talk->arena, "%.*s",
	    (int)(line.n < SAID_MAX ? line.n : SAID_MAX), line.p);
	return talk->code = has_more ? 0 : code;
}

/* Whether the server goes on listening, and knows where we are. */
static bool
is_alive(const struct talk *talk)
{
	return talk->code != 0 && talk->code != 421 && talk->code != 503;
}

static bool
say(struct talk *talk, const char *verb, const char *argument)
{
	talk->code = 0;
	return ph_stream_printf(talk->connection->stream, "%s%s\r\n", verb,
	        argument) == PH_OK && hear(talk) / 100 == 2;
}

static bool
greet(struct talk *talk)
{
	const char *hostname = talk->callout->hostname;

	return hear(talk) / 100 == 2 &&
	    (say(talk, "EHLO ", hostname) || say(talk, "HELO ", hostname));
}

static enum call_answer
ask_recipient(struct talk *talk)
{
	struct ph_slice path = ph_path_format(talk->arena,
	    talk->callout->recipient);

	if (talk->connection->recipients == 0 &&
	    !say(talk, "MAIL FROM:<>", ""))
		return CALL_UNSURE;
	talk->connection->recipients++;
	say(talk, "RCPT TO:", ph_arena_printf(talk->arena, "<%.*s>",
	    PH_SLICE_ARG(path)));
	return call_answer_of(ph_slice_str(talk->said));
}

static bool
reset(struct talk *talk)
{
	talk->connection->recipients = 0;
	return say(talk, "RSET", "");
}

/* A transaction that has many recipients may be too full for one more. */
static enum call_answer
converse(struct talk *talk)
{
	struct connection *connection = talk->connection;
	enum call_answer answer = CALL_UNSURE;

	if (connection->recipients < RECIPIENTS_MAX || reset(talk))
		answer = ask_recipient(talk);
	if (answer == CALL_UNSURE && connection->recipients > 1 &&
	    is_alive(talk) && reset(talk))
		answer = ask_recipient(talk);
	connection->unknown += answer == CALL_UNKNOWN;
	return answer;
}

/* --- connections --- */

static void
quit(void *object)
{
	struct connection *connection = object;

	if (ph_stream_puts(connection->stream, "QUIT\r\n") == PH_OK)
		(void)ph_stream_flush(connection->stream);
}

static void
put_back(const struct talk *talk, struct ph_arena *arena, const char *key,
    enum call_answer answer)
{
	if (answer != CALL_UNSURE &&
	    talk->connection->unknown < UNKNOWN_MAX) {
		ph_keep(arena, talk->connection, key, IDLE_MS, quit);
		return;
	}
	if (is_alive(talk))
		quit(talk->connection);
	ph_arena_free(arena);
}

static bool
find_address(struct talk *talk, struct ph_addr *addr_out)
{
	const struct next_server *server = talk->callout->server;
	const struct ph_dns_answer *answer;

	*addr_out = server->addr;
	if (server->host.p == NULL)
		return true;
	answer = ph_dns_host(talk->arena,
	    ph_arena_slice(talk->arena, server->host).p);
	if (answer->result != PH_DNS_OK) {
		talk->said = "its address can't be found";
		return false;
	}
	*addr_out = answer->addr[0];
	return true;
}

static enum call_answer
ask_anew(struct talk *talk, const char *key)
{
	enum call_answer answer = CALL_UNSURE;
	struct ph_arena *arena;
	struct ph_err err = { 0 };
	struct ph_addr addr;

	if (!find_address(talk, &addr))
		return CALL_UNSURE;
	arena = ph_arena_create(NULL);
	talk->connection = ph_arena_alloc(arena, sizeof(*talk->connection));
	if (ph_connect(arena, &addr, talk->callout->server->port,
	        talk->callout->timeout_ms, &talk->connection->stream, &err) !=
	    PH_OK) {
		talk->said = ph_arena_strdup(talk->arena, err.text);
		ph_arena_free(arena);
		return CALL_UNSURE;
	}
	if (greet(talk))
		answer = converse(talk);
	put_back(talk, arena, key, answer);
	return answer;
}

/* False: there is none, or it has ended meanwhile. */
static bool
ask_kept(struct talk *talk, const char *key, enum call_answer *answer_out)
{
	struct ph_arena *arena;

	talk->connection = ph_kept_take(key, &arena);
	if (talk->connection == NULL)
		return false;
	*answer_out = converse(talk);
	if (!is_alive(talk)) {
		ph_arena_free(arena);
		return false;
	}
	put_back(talk, arena, key, *answer_out);
	return true;
}

enum call_answer
callout_ask(struct ph_arena *arena, const struct callout *callout,
    const char *place, const char **said_out)
{
	struct talk talk = { .arena = arena, .callout = callout, .said = "" };
	uint64_t deadline = ph_deadline_push(callout->timeout_ms);
	const char *key = ph_arena_printf(arena, "callout %s %s", place,
	    callout->hostname);
	enum call_answer answer;

	if (!ask_kept(&talk, key, &answer))
		answer = ask_anew(&talk, key);
	*said_out = talk.said;
	ph_deadline_restore(deadline);
	return answer;
}
