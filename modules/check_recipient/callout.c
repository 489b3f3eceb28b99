/* SPDX-License-Identifier: Apache-2.0 */
/* callout.c - see callout.h. */
#include "callout.h"

#include <posthouse/dns.h>
#include <posthouse/fiber.h>
#include <posthouse/log.h>
#include <posthouse/mail.h>
#include <posthouse/stream.h>
#include <posthouse/transport.h>

#include "place.h"

enum {
	LINE_MAX_OCTETS = 2048,
	LINES_MAX = 100,
	SAID_MAX = 200,
	RECIPIENTS_MAX = 50, /* of a transaction: RFC 5321 asks for 100 */
	UNKNOWN_MAX = 8,     /* of a connection: then servers slow down */
	IDLE_MS = 2000,      /* others may be waiting for the place */
	LIFE_MS = 10000,
	WAIT_MS = 50,        /* between looks for a place */
	GRACE_MS = 1000,     /* a place is held longer than needed */
};

static const char surplus[] = "it says more than it was asked";

/* Greeted, and most times within a transaction of the null sender. */
struct connection {
	struct ph_stream *stream;
	const char *place;   /* that it holds */
	uint64_t end_ms;     /* not kept any longer */
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

/* What is there before we ask is no answer. */
static bool
is_quiet(struct talk *talk)
{
	if (ph_stream_look(talk->connection->stream) != PH_OK)
		return true;
	talk->code = 0;
	talk->said = surplus;
	return false;
}

static bool
say(struct talk *talk, const char *verb, const char *argument)
{
	if (!is_quiet(talk))
		return false;
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
	return is_quiet(talk) ? call_answer_of(ph_slice_str(talk->said)) :
	                        CALL_UNSURE;
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
	struct connection *connection = talk->connection;

	if (answer != CALL_UNSURE && connection->unknown < UNKNOWN_MAX &&
	    ph_now_ms() < connection->end_ms) {
		place_hold(connection->place, IDLE_MS + GRACE_MS);
		ph_keep(arena, connection, key, IDLE_MS, quit);
		return;
	}
	if (is_alive(talk))
		quit(connection);
	place_leave(connection->place);
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
ask_anew(struct talk *talk, const char *key, const char *place)
{
	enum call_answer answer = CALL_UNSURE;
	struct connection *connection;
	struct ph_arena *arena;
	struct ph_err err = { 0 };
	struct ph_addr addr;

	if (!find_address(talk, &addr)) {
		place_leave(place);
		return CALL_UNSURE;
	}
	arena = ph_arena_create(NULL);
	talk->connection = connection = ph_arena_alloc(arena,
	    sizeof(*connection));
	connection->place = ph_arena_strdup(arena, place);
	connection->end_ms = ph_now_ms() + LIFE_MS;
	if (ph_connect(arena, &addr, talk->callout->server->port,
	        talk->callout->timeout_ms, &connection->stream, &err) !=
	    PH_OK) {
		talk->said = ph_arena_strdup(talk->arena, err.text);
		place_leave(place);
		ph_arena_free(arena);
		return CALL_UNSURE;
	}
	if (greet(talk))
		answer = converse(talk);
	put_back(talk, arena, key, answer);
	return answer;
}

/* Nobody spoke since the last answer, nor hung up. A reply too many would be
 * taken for that to the next question. */
static bool
is_usable(struct talk *talk)
{
	struct ph_stream *stream = talk->connection->stream;
	struct ph_slice said;

	if (ph_stream_look(stream) == PH_TIMEOUT)
		return true;
	said = ph_stream_buffered(stream);
	if (said.n > SAID_MAX)
		said.n = SAID_MAX;
	if (said.n > 0)
		ph_log(PH_INFO, "callout_unasked", ph_f_slice("said", said));
	return false;
}

/* False: there is none, or it has ended meanwhile. */
static bool
ask_kept(struct talk *talk, const char *key, enum call_answer *answer_out)
{
	struct ph_arena *arena;

	talk->connection = ph_kept_take(key, &arena);
	if (talk->connection == NULL)
		return false;
	if (is_usable(talk)) {
		place_hold(talk->connection->place,
		    talk->callout->timeout_ms + GRACE_MS);
		*answer_out = converse(talk);
		if (is_alive(talk)) {
			put_back(talk, arena, key, *answer_out);
			return true;
		}
	}
	place_leave(talk->connection->place);
	ph_arena_free(arena);
	return false;
}

/* One that is kept, or else a place for one more; waits for whichever is first.
 * True: answered. */
static bool
ask_or_take_place(struct talk *talk, const char *server, const char *key,
    enum call_answer *answer_out, const char **place_out)
{
	const struct callout *callout = talk->callout;
	const uint64_t end_ms = ph_now_ms() + callout->timeout_ms;
	bool has_waited = false;

	for (;;) {
		uint64_t deadline = ph_deadline_push(callout->timeout_ms);
		bool is_answered = ask_kept(talk, key, answer_out);

		ph_deadline_restore(deadline);
		if (is_answered)
			return true;
		if (place_take(talk->arena, server, callout->connections,
		        callout->timeout_ms + GRACE_MS, place_out))
			return false;
		if (!has_waited)
			ph_log(PH_INFO, "recipient_waits",
			    ph_f_str("for", server));
		has_waited = true;
		if (ph_now_ms() >= end_ms || ph_sleep_ms(WAIT_MS) != PH_OK) {
			talk->said = "it is being asked too often";
			*answer_out = CALL_UNSURE;
			return true;
		}
	}
}

enum call_answer
callout_ask(struct ph_arena *arena, const struct callout *callout,
    const char *server, const char **said_out)
{
	struct talk talk = { .arena = arena, .callout = callout, .said = "" };
	const char *place, *key = ph_arena_printf(arena, "callout %s %s",
	    server, callout->hostname);
	enum call_answer answer;

	if (!ask_or_take_place(&talk, server, key, &answer, &place)) {
		uint64_t deadline = ph_deadline_push(callout->timeout_ms);

		answer = ask_anew(&talk, key, place);
		ph_deadline_restore(deadline);
	}
	*said_out = talk.said;
	return answer;
}
