/* SPDX-License-Identifier: Apache-2.0 */
/* check_recipient_test.c - servers, replies, and call-outs to a scripted one. */
#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <posthouse/kv.h>
#include <posthouse/stream.h>
#include <posthouse/transport.h>

#include "fake_check.h"
#include "server.h"

extern const struct ph_module check_recipient_LTX_ph_module;

/* As in check_recipient.c. */
struct rcpt_conf {
	const char *const *servers;
	unsigned unsure, positive_ms, negative_ms, timeout_ms, connections;
};

/*
 * A server: its lines, one after the other; what it was told. A line after "+"
 * came unasked.
 */

static struct {
	const char *script;
	char heard[512];
	unsigned connections, waited_ms;
	struct ph_addr addr;
	uint16_t port;
} server;

/* Nobody waits here: the time is over at once. */
int
ph_sleep_ms(unsigned ms)
{
	server.waited_ms += ms;
	return PH_TIMEOUT;
}

int
ph_connect(struct ph_arena *arena, const struct ph_addr *addr, uint16_t port,
    unsigned timeout_ms, struct ph_stream **stream_out, struct ph_err *err)
{
	(void)arena;
	(void)timeout_ms;
	server.connections++;
	server.addr = *addr;
	server.port = port;
	if (server.script != NULL && *server.script == '+')
		server.script += strcspn(server.script, "\n") + 1;
	if (server.script == NULL)
		return ph_err_set(err, PH_IO, 0, "connection refused");
	*stream_out = (struct ph_stream *)&server;
	return PH_OK;
}

int
ph_stream_read_line(struct ph_stream *stream, size_t limit,
    unsigned timeout_ms, struct ph_slice *line_out, bool *bare_lf_out)
{
	size_t n = strcspn(server.script, "\n");

	(void)stream;
	(void)limit;
	(void)timeout_ms;
	(void)bare_lf_out;
	if (n == 0)
		return PH_EOF;
	ck_assert_int_ne(*server.script, '+');
	*line_out = (struct ph_slice){ server.script, n };
	server.script += n + (server.script[n] == '\n');
	return PH_OK;
}

struct ph_slice
ph_stream_buffered(struct ph_stream *stream)
{
	(void)stream;
	if (server.script == NULL || *server.script != '+')
		return (struct ph_slice){ "", 0 };
	return (struct ph_slice){ server.script + 1,
		strcspn(server.script, "\n") };
}

int
ph_stream_look(struct ph_stream *stream)
{
	return ph_stream_buffered(stream).n > 0 ? PH_OK : PH_TIMEOUT;
}

int
ph_stream_printf(struct ph_stream *stream, const char *fmt, ...)
{
	size_t n = strlen(server.heard);
	va_list args;

	(void)stream;
	va_start(args, fmt);
	vsnprintf(server.heard + n, sizeof(server.heard) - n, fmt, args);
	va_end(args);
	return PH_OK;
}

int
ph_stream_puts(struct ph_stream *stream, const char *s)
{
	return ph_stream_printf(stream, "%s", s);
}

int
ph_stream_flush(struct ph_stream *stream)
{
	(void)stream;
	return PH_OK;
}

/* --- one connection is kept --- */

static struct {
	struct ph_arena *arena;
	void *object;
	char key[200];
	void (*end)(void *object);
} kept;

void
ph_keep(struct ph_arena *arena, void *object, const char *key,
    unsigned idle_ms, void (*end)(void *object))
{
	ck_assert_uint_gt(idle_ms, 0);
	ck_assert_ptr_null(kept.object);
	kept.arena = arena;
	kept.object = object;
	kept.end = end;
	snprintf(kept.key, sizeof(kept.key), "%s", key);
}

void *
ph_kept_take(const char *key, struct ph_arena **arena_out)
{
	void *object = kept.object;

	if (object == NULL || strcmp(kept.key, key) != 0)
		return NULL;
	kept.object = NULL;
	*arena_out = kept.arena;
	return object;
}

/* Its time is over. */
static void
end_kept(void)
{
	if (kept.object == NULL)
		return;
	kept.end(kept.object);
	kept.object = NULL;
	ph_arena_free(kept.arena);
}

/* --- tests --- */

START_TEST(servers_are_read)
{
	static const struct {
		const char *text;
		unsigned port; /* 0: refused */
	} row[] = {
		{ "a.test 192.0.2.1", 25 },
		{ "a.test 192.0.2.1:2525", 2525 },
		{ "*.a.test  mail.inside", 25 },
		{ "a.test mail.inside:26", 26 },
		{ "a.test [2001:db8::1]:27", 27 },
		{ "a.test [2001:db8::1]", 25 },
		{ "", 0 }, { "a.test", 0 }, { "a.test ", 0 },
		{ "a.test :25", 0 }, { "a.test x:0", 0 },
		{ "a.test x:65536", 0 }, { "a.test [2001:db8::1", 0 },
		{ "a.test [2001:db8::1]25", 0 }, { "* x", 0 },
		{ "*. x", 0 }, { "a..test x", 0 },
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct next_server next;
		const char *wrong = next_server_parse(row[i].text, &next);

		ck_assert_msg((wrong == NULL) == (row[i].port != 0), "%s",
		    row[i].text);
		if (wrong == NULL)
			ck_assert_uint_eq(next.port, row[i].port);
	}
}
END_TEST

START_TEST(domains_below_are_meant_by_a_star)
{
	static const struct {
		const char *server, *domain;
		bool knows;
	} row[] = {
		{ "a.test x", "A.test", true },
		{ "a.test x", "b.a.test", false },
		{ "*.a.test x", "b.A.test", true },
		{ "*.a.test x", "a.test", false },
		{ "*.a.test x", "ba.test", false },
		{ "*.a.test x", ".a.test", false },
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct next_server next;

		ck_assert_ptr_null(next_server_parse(row[i].server, &next));
		ck_assert_msg(next_server_knows(&next,
		    ph_slice_str(row[i].domain)) == row[i].knows, "%s %s",
		    row[i].server, row[i].domain);
	}
}
END_TEST

START_TEST(only_refusals_about_the_mailbox_count)
{
	static const struct {
		const char *line;
		enum call_answer answer;
	} row[] = {
		{ "250 2.1.5 ok", CALL_GOOD }, { "251 will forward", CALL_GOOD },
		{ "250", CALL_GOOD },
		{ "550 5.1.1 no such user", CALL_UNKNOWN },
		{ "550 no such user", CALL_UNKNOWN },
		{ "550", CALL_UNKNOWN }, { "553 5.1.3 odd", CALL_UNKNOWN },
		{ "550 5.2.1 disabled", CALL_UNKNOWN },
		{ "550 5.7.1 go away", CALL_UNSURE },
		{ "550 5.1.8 bad sender", CALL_UNSURE },
		{ "550 5.2.2 full", CALL_UNSURE },
		{ "552 5.2.2 full", CALL_UNSURE },
		{ "554 no", CALL_UNSURE }, { "450 4.2.0 later", CALL_UNSURE },
		{ "timeout", CALL_UNSURE }, { "", CALL_UNSURE },
		{ "2500", CALL_UNSURE }, { "999 x", CALL_UNSURE },
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		ck_assert_msg(call_answer_of(ph_slice_str(row[i].line)) ==
		    row[i].answer, "%s", row[i].line);
}
END_TEST

static const char *const servers[] = { "inside.test 192.0.2.9:2525",
	"named.test host.test", NULL };
static const struct rcpt_conf usual = { servers, 0, 86400000, 3600000, 5000,
	2 };
static const char good[] = "220 hi\n250-me\n250 SIZE\n250 ok\n250 ok\n";
static const char none[] = "220 hi\n250 me\n250 ok\n550 5.1.1 who?\n";

/* What is kept stays: the script goes on with it. */
static enum ph_verdict
rcpt_more(const char *recipient, const char *script)
{
	fake_check_next();
	memset(&server, 0, sizeof(server));
	server.script = script;
	fake_check.recipient = recipient;
	return check_recipient_LTX_ph_module.check->at[PH_AT_RCPT](fake_call,
	    &usual);
}

static enum ph_verdict
rcpt(const char *recipient, const char *script)
{
	end_kept();
	return rcpt_more(recipient, script);
}

START_TEST(the_next_server_is_asked_once)
{
	fake_check_begin();
	ck_assert_int_eq(rcpt("bob@other.test", NULL), PH_NEXT);
	ck_assert_uint_eq(server.connections, 0);
	ck_assert_int_eq(rcpt("bob@inside.test", good), PH_NEXT);
	ck_assert_str_eq(server.heard, "EHLO mail.example.test\r\n"
	    "MAIL FROM:<>\r\nRCPT TO:<bob@inside.test>\r\n");
	end_kept();
	ck_assert_ptr_nonnull(strstr(server.heard, ">\r\nQUIT\r\n"));
	ck_assert_uint_eq(server.port, 2525);
	ck_assert_int_eq(rcpt("Bob@Inside.test", none), PH_NEXT);
	ck_assert_uint_eq(server.connections, 0);
	ck_assert_int_eq(rcpt("eve@inside.test", none), PH_REJECT);
	ck_assert_int_eq(rcpt("eve@inside.test", good), PH_REJECT);
	ck_assert_str_eq(fake_check.text, "no such recipient, the next server "
	    "said: 550 5.1.1 who?");
	fake_check.wall_s += 3601;
	ck_assert_int_eq(rcpt("eve@inside.test", good), PH_NEXT);
	end_kept();
	fake_check_end();
}
END_TEST

START_TEST(a_kept_connection_takes_the_next_recipient)
{
	static const struct {
		const char *script, *heard;
		unsigned connections;
		enum ph_verdict verdict;
	} row[] = {
		{ "250 ok\n", "RCPT TO:<x@inside.test>\r\n", 0, PH_NEXT },
		{ "550 who?\n", "RCPT TO:<x@inside.test>\r\n", 0, PH_REJECT },
		/* the transaction is full */
		{ "452 4.5.3 too many\n250 ok\n250 ok\n250 ok\n",
		    "RCPT TO:<x@inside.test>\r\nRSET\r\nMAIL FROM:<>\r\n"
		    "RCPT TO:<x@inside.test>\r\n", 0, PH_NEXT },
		{ "452 later\n250 ok\n250 ok\n452 later\n",
		    "RCPT TO:<x@inside.test>\r\nRSET\r\nMAIL FROM:<>\r\n"
		    "RCPT TO:<x@inside.test>\r\nQUIT\r\n", 0, PH_DEFER },
		/* or the server tired of us */
		{ "421 bye\n220 hi\n250 me\n250 ok\n250 ok\n",
		    "RCPT TO:<x@inside.test>\r\nEHLO mail.example.test\r\n"
		    "MAIL FROM:<>\r\nRCPT TO:<x@inside.test>\r\n", 1,
		    PH_NEXT },
		{ "", "RCPT TO:<x@inside.test>\r\n", 1, PH_DEFER },
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		fake_check_begin();
		ck_assert_int_eq(rcpt("bob@inside.test", good), PH_NEXT);
		ck_assert_int_eq(rcpt_more("x@inside.test", row[i].script),
		    row[i].verdict);
		ck_assert_str_eq(server.heard, row[i].heard);
		ck_assert_uint_eq(server.connections, row[i].connections);
		end_kept();
		end_kept();
	fake_check_end();
	}
}
END_TEST

START_TEST(a_connection_that_heard_of_many_unknown_is_not_kept)
{
	char to[] = "0@inside.test";

	fake_check_begin();
	ck_assert_int_eq(rcpt(to, none), PH_REJECT);
	for (to[0] = '1'; to[0] < '8'; to[0]++) {
		ck_assert_ptr_nonnull(kept.object);
		ck_assert_int_eq(rcpt_more(to, "550 who?\n"), PH_REJECT);
	}
	ck_assert_ptr_null(kept.object);
	ck_assert_ptr_nonnull(strstr(server.heard, "QUIT"));
	fake_check_end();
}
END_TEST

START_TEST(what_it_does_not_say_is_asked_again)
{
	static const char *const scripts[] = { NULL, "", "554 no\n",
		"220 hi\n500 what\n500 what\n", "220 hi\n250 me\n550 no <>\n",
		"220 hi\n250 me\n250 ok\n450 later\n",
		"220 hi\n250 me\n250 ok\n550 5.7.1 you\n", "garbage\n",
		"220 hi\n250-endless\n" };

	fake_check_begin();
	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
		ck_assert_int_eq(rcpt("bob@inside.test", scripts[i]),
		    PH_DEFER);
		ck_assert_uint_eq(server.connections, 1);
	}
	ck_assert_int_eq(rcpt("bob@inside.test",
	    "220 hi\n502 EHLO?\n250 me\n250 ok\n250 ok\n"), PH_NEXT);
	end_kept();
	fake_check_end();
}
END_TEST

/* Whose reply would it be? */
START_TEST(a_server_that_says_too_much_is_not_believed)
{
	static const char *const first[] = {
		"220 hi\n+220 hi again\n250 me\n250 ok\n250 ok\n",
		"220 hi\n250 me\n+250 me\n250 ok\n250 ok\n",
		"220 hi\n250 me\n250 ok\n+250 ok\n250 ok\n",
		"220 hi\n250 me\n250 ok\n250 ok\n+550 no\n",
		"220 hi\n250 me\n250 ok\n550 no\n+250 ok\n",
	};
	/* on a connection that is kept: asked anew, on another */
	static const char *const kept_script[] = {
		"+250 late\n220 hi\n250 me\n250 ok\n550 who?\n",
		"250 ok\n+550 who?\n220 hi\n250 me\n250 ok\n550 who?\n",
	};

	for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++) {
		fake_check_begin();
		ck_assert_int_eq(rcpt("bob@inside.test", first[i]), PH_DEFER);
		ck_assert_ptr_null(kept.object);
		ck_assert_int_eq(rcpt("bob@inside.test", good), PH_NEXT);
		end_kept();
		fake_check_end();
	}
	for (size_t i = 0; i < sizeof(kept_script) / sizeof(kept_script[0]);
	    i++) {
		fake_check_begin();
		ck_assert_int_eq(rcpt("bob@inside.test", good), PH_NEXT);
		ck_assert_int_eq(rcpt_more("x@inside.test", kept_script[i]),
		    PH_REJECT);
		ck_assert_uint_eq(server.connections, 1);
		end_kept();
		fake_check_end();
	}
}
END_TEST

static bool
is_taken(const char *place)
{
	struct ph_slice value;

	return ph_kv_get(fake_check.arena, ph_slice_str(place), &value) ==
	    PH_OK;
}

START_TEST(a_server_is_not_asked_by_too_many_at_once)
{
	int64_t sum;

	fake_check_begin();
	ck_assert_int_eq(ph_kv_add(PH_LIT("place 192.0.2.9 2525 0"), 1, 60000,
	    &sum), PH_OK);
	ck_assert_int_eq(ph_kv_add(PH_LIT("place 192.0.2.9 2525 1"), 1, 60000,
	    &sum), PH_OK);
	ck_assert_int_eq(rcpt("bob@inside.test", good), PH_DEFER);
	ck_assert_uint_eq(server.connections, 0);
	ck_assert_uint_gt(server.waited_ms, 0);
	fake_check.kv_status = PH_UNAVAILABLE; /* then nobody counts */
	ck_assert_int_eq(rcpt("bob@inside.test", good), PH_NEXT);
	end_kept();
	fake_check_end();
}
END_TEST

START_TEST(a_kept_connection_has_its_place)
{
	static const char place[] = "place 192.0.2.9 2525 0",
		other[] = "place 192.0.2.9 2525 1";

	fake_check_begin();
	ck_assert_int_eq(rcpt("bob@inside.test", good), PH_NEXT);
	ck_assert(is_taken(place));
	ck_assert_int_eq(rcpt_more("x@inside.test", "250 ok\n"), PH_NEXT);
	ck_assert(is_taken(place) && !is_taken(other));
	fake_check.wall_s += 4; /* it ended, and could not say so */
	ck_assert(!is_taken(place));
	end_kept();
	ck_assert_int_eq(rcpt("y@inside.test", NULL), PH_DEFER);
	ck_assert(!is_taken(place));
	ck_assert_int_eq(rcpt("y@inside.test", "554 no\n"), PH_DEFER);
	ck_assert(!is_taken(place));
	fake_check_end();
}
END_TEST

START_TEST(odd_recipients_and_names_of_servers)
{
	fake_check_begin();
	ck_assert_int_eq(rcpt("b\303\266b@inside.test", none), PH_NEXT);
	ck_assert_int_eq(rcpt("a\r\nQUIT@inside.test", none), PH_NEXT);
	ck_assert_uint_eq(server.connections, 0);
	ck_assert_int_eq(rcpt("a b@inside.test", none), PH_REJECT);
	ck_assert_ptr_nonnull(strstr(server.heard,
	    "RCPT TO:<\"a b\"@inside.test>\r\n"));
	ck_assert_int_eq(rcpt("x@named.test", good), PH_DEFER);
	fake_check.zone = "host.test A 192.0.2.77\n";
	ck_assert_int_eq(rcpt("x@named.test", good), PH_NEXT);
	ck_assert_int_eq(server.addr.octet[3], 77);
	fake_check_end();
}
END_TEST

int
main(void)
{
	TCase *tc = tcase_create("check_recipient");

	tcase_add_test(tc, servers_are_read);
	tcase_add_test(tc, domains_below_are_meant_by_a_star);
	tcase_add_test(tc, only_refusals_about_the_mailbox_count);
	tcase_add_test(tc, the_next_server_is_asked_once);
	tcase_add_test(tc, a_kept_connection_takes_the_next_recipient);
	tcase_add_test(tc,
	    a_connection_that_heard_of_many_unknown_is_not_kept);
	tcase_add_test(tc, what_it_does_not_say_is_asked_again);
	tcase_add_test(tc, a_server_that_says_too_much_is_not_believed);
	tcase_add_test(tc, a_kept_connection_has_its_place);
	tcase_add_test(tc, a_server_is_not_asked_by_too_many_at_once);
	tcase_add_test(tc, odd_recipients_and_names_of_servers);
	return fake_check_run(tc);
}
