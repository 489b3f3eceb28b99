/* SPDX-License-Identifier: Apache-2.0 */
/* callout.c - see callout.h. */
#include "callout.h"

#include <posthouse/dns.h>
#include <posthouse/fiber.h>
#include <posthouse/mail.h>
#include <posthouse/stream.h>

enum { LINE_MAX_OCTETS = 2048, LINES_MAX = 100, SAID_MAX = 200 };

struct talk {
	struct ph_arena *arena;
	const struct callout *callout;
	struct ph_stream *stream;
	const char *said; /* the last line, or the failure */
};

/* The code of the next reply; 0: none came. */
static unsigned
hear(struct talk *talk)
{
	struct ph_slice line;
	bool has_more = true;
	unsigned code = 0;
	int status;

	for (unsigned i = 0; has_more && i < LINES_MAX; i++) {
		status = ph_stream_read_line(talk->stream, LINE_MAX_OCTETS,
		    talk->callout->timeout_ms, &line, NULL);
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
	return has_more ? 0 : code;
}

static bool
say(struct talk *talk, const char *verb, const char *argument)
{
	return ph_stream_printf(talk->stream, "%s%s\r\n", verb, argument) ==
	        PH_OK && hear(talk) / 100 == 2;
}

static bool
greet(struct talk *talk)
{
	const char *hostname = talk->callout->hostname;

	return hear(talk) / 100 == 2 &&
	    (say(talk, "EHLO ", hostname) || say(talk, "HELO ", hostname));
}

static enum call_answer
converse(struct talk *talk)
{
	struct ph_slice path = ph_path_format(talk->arena,
	    talk->callout->recipient);
	enum call_answer answer;

	if (!greet(talk) || !say(talk, "MAIL FROM:<>", ""))
		return CALL_UNSURE;
	say(talk, "RCPT TO:", ph_arena_printf(talk->arena, "<%.*s>",
	    PH_SLICE_ARG(path)));
	answer = call_answer_of(ph_slice_str(talk->said));
	if (ph_stream_puts(talk->stream, "QUIT\r\n") == PH_OK)
		(void)ph_stream_flush(talk->stream);
	return answer;
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

enum call_answer
callout_ask(struct ph_arena *arena, const struct callout *callout,
    const char **said_out)
{
	struct ph_arena *own = ph_arena_create(arena);
	struct talk talk = { .arena = own, .callout = callout, .said = "" };
	uint64_t deadline = ph_deadline_push(callout->timeout_ms);
	enum call_answer answer = CALL_UNSURE;
	struct ph_err err = { 0 };
	struct ph_addr addr;

	if (find_address(&talk, &addr)) {
		if (ph_connect(own, &addr, callout->server->port,
		        callout->timeout_ms, &talk.stream, &err) == PH_OK)
			answer = converse(&talk);
		else
			talk.said = err.text;
	}
	*said_out = ph_arena_strdup(arena, talk.said);
	ph_arena_free(own); /* and with it the connection */
	ph_deadline_restore(deadline);
	return answer;
}
