/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostile_test.c - servers that break the rules, at every step: each costs one
 * connection, a bounded time and little memory, and nobody counts as delivered,
 * or as refused, whom the server did not say so of.
 */
#include <check.h>
#include <posthouse/transport.h>
#include <stdio.h>

#include "../transport_smtp/peer_fixture.h"
#include "base/record.h"
#include "log/log.h"
#include "loop/fiber.h"
#include "role/attempt.h"
#include "role/kept.h"
#include "role/messages.h"
#include "session.h"

enum {
	WAIT_MS = 300,       /* for each reply */
	TIME_MAX_MS = 30000, /* of an attempt, on a busy machine: not for ever */
	MEMORY_MAX = 1 << 20,
	RECIPIENTS = 3,
	SCRIPT_MAX = 40,
};

static struct fake_peer peer;
static struct ph_arena *arena;
static struct ph_attempt *attempt;
static struct client_conf conf;
static struct client_peer host;
static const char *content, *fact;
static unsigned recipients, attempts;

static void
setup(void)
{
	memset(&peer, 0, sizeof(peer));
	log_init(2, PH_ERROR, "relay");
	arena = ph_arena_create(NULL);
	conf = (struct client_conf){ .connect_timeout_ms = WAIT_MS,
		.greeting_timeout_ms = WAIT_MS, .helo_timeout_ms = WAIT_MS,
		.tls_timeout_ms = WAIT_MS, .mail_timeout_ms = WAIT_MS,
		.rcpt_timeout_ms = WAIT_MS, .data_init_timeout_ms = WAIT_MS,
		.data_block_timeout_ms = WAIT_MS,
		.data_done_timeout_ms = WAIT_MS };
	host = (struct client_peer){ .name = "mx.test", .tls = TLS_NONE };
	content = "Subject: x\r\n\r\nhi\r\n";
	fact = NULL;
	recipients = attempts = 1;
}

static void
teardown(void)
{
	ph_arena_free(arena);
}

static void
build(void)
{
	static const char *const to[RECIPIENTS] = { "a@x.test", "b@x.test",
		"c@x.test" };
	struct ph_buf buf;
	size_t mark;

	ph_buf_init(&buf, arena, 64 << 10);
	record_put_u64(&buf, F_QUEUE_ID, 77);
	record_put_str(&buf, F_DESTINATION, "x.test");
	record_put_str(&buf, F_SENDER, "alice@example.test");
	for (unsigned i = 0; i < recipients; i++) {
		mark = record_begin(&buf, F_RCPT);
		record_put_u64(&buf, F_NUMBER, i);
		record_put_str(&buf, F_ADDRESS, to[i]);
		record_end(&buf, mark);
	}
	if (fact != NULL) {
		mark = record_begin(&buf, F_FACT);
		record_put_str(&buf, F_NAME, fact);
		record_put_str(&buf, F_TEXT, "1");
		record_end(&buf, mark);
	}
	record_put_str(&buf, F_CONTENT, content);
	ck_assert_int_eq(attempt_parse(arena, ph_buf_content(&buf), &attempt),
	    PH_OK);
}

static void
attempt_main(void *arg)
{
	struct ph_err err;

	(void)arg;
	for (unsigned i = 0; i < attempts; i++) {
		struct delivery *delivery;
		bool tls_failed;

		build();
		attempt->hostname = "mail.example.test";
		ck_assert_int_eq(attempt_open(attempt, -1, 0, &err), PH_OK);
		delivery = delivery_create(attempt, &conf);
		session_run(delivery, &host, false, &tls_failed);
		delivery_end(delivery);
		ck_assert_uint_lt(ph_arena_size(delivery->arena), MEMORY_MAX);
		if (i + 1 < attempts) /* what the peer says late is there */
			ph_sleep_ms(50);
	}
	kept_end_all(WAIT_MS);
	fiber_runtime_stop();
}

static void
run(const char *const *one, const char *const *two)
{
	uint64_t begin;

	memset(&peer, 0, sizeof(peer));
	peer.script[0] = one;
	peer.script[1] = two;
	fake_peer_start(&peer, "127.0.0.2", 0);
	ck_assert(ph_addr_parse(PH_LIT("127.0.0.2"), &host.addr));
	host.port = peer.port;
	fiber_runtime_init();
	begin = ph_now_ms();
	fiber_start(attempt_main, NULL);
	fiber_runtime_run();
	ck_assert_uint_lt(ph_now_ms() - begin, TIME_MAX_MS);
	fake_peer_stop(&peer);
	fiber_runtime_fini();
	ck_assert_msg(peer.wrong[0] == 0, "%s", peer.wrong);
}

static char
outcome(unsigned i)
{
	const struct attempt_result *result = &attempt->recipients[i].result;

	ck_assert(result->is_set);
	return result->delivery == PH_DELIVERED ? 'D' :
	    result->delivery == PH_FAILED ? 'F' : 'w';
}

/* "DFw": delivered, failed, to wait. */
static void
ck_outcome(const char *name, const char *wanted)
{
	for (unsigned i = 0; i < recipients; i++)
		ck_assert_msg(outcome(i) == wanted[i], "%s: recipient %u: %c, "
		    "not %c: %s", name, i, outcome(i), wanted[i],
		    attempt->recipients[i].result.text);
}

/* --- each kind of badness in each state --- */

static const char *const good[] = { ">220 peer", "<", ">250 peer", "<MAIL",
	">250 ok", "<RCPT", ">250 ok", "<DATA", ">354 go", ".", ">250 ok",
	NULL };

static const struct {
	const char *name, *step;
} badness[] = {
	{ "endless lines", "*250-and\r\n" },
	{ "an endless line", "*250 and and and and and and and and" },
	{ "an octet now and then", "%250-and\r\n" },
	{ "an octet now and then, no reply", "%\r\n" },
	{ "silence", "~" },
	{ "garbage", "#\377\376\1\2garbage\r\n" },
	{ "NULs", "@@@@@\r\n" },
	{ "another protocol", "#HTTP/1.1 400 Bad Request\r\n\r\n" },
	{ "an impossible code", "#999 hello\r\n" },
	{ "a code for the way", "#399 go on\r\n" },
	{ "codes that differ", "#250-ok\r\n550 no\r\n" },
	{ "421", "#421 4.3.2 bye\r\n" },
	{ "421 twice", "#421 bye\r\n421 bye\r\n" },
	{ "hanging up", NULL },
	{ "hanging up in a reply", "#250-o" },
};

START_TEST(whatever_is_said_instead_of_a_reply_defers)
{
	const char *script[SCRIPT_MAX];

	for (size_t at = 0; good[at] != NULL; at++) {
		size_t n = 0;

		if (good[at][0] != '>')
			continue;
		for (; n < at; n++)
			script[n] = good[n];
		script[n++] = badness[_i].step;
		if (badness[_i].step != NULL)
			script[n] = NULL;
		run(script, NULL);
		ck_outcome(badness[_i].name, "w");
		ck_assert_uint_eq(peer.connections, 1);
	}
}
END_TEST

/* --- what is off by one, and other ways to mislead --- */

#define STEPS ">220 peer", "<", ">250 peer"
#define PIPES ">220 peer", "<", "#250-p\r\n250 PIPELINING\r\n"
#define CHUNKS ">220 peer", "<", "#250-p\r\n250-PIPELINING\r\n250 CHUNKING\r\n"
#define TO_TWO "<MAIL", "<RCPT TO:<a", "<RCPT TO:<b", "<DATA"

static const struct hostile {
	const char *name;
	const char *outcome; /* of each recipient */
	bool is_lmtp;
	const char *script[20];
} hostiles[] = {
	{ "MAIL is answered twice, step by step", "ww", false,
	    { STEPS, "<MAIL", "#250 ok\r\n250 ok\r\n", "~" } },
	{ "RCPT is answered twice, step by step", "ww", false,
	    { STEPS, "<MAIL", ">250 ok", "<RCPT", "#550 a?\r\n250 b\r\n",
	        "~" } },
	{ "MAIL is answered twice, then RCPT is refused", "ww", false,
	    { PIPES, TO_TWO,
	        "#250 ok\r\n250 ok\r\n250 a\r\n550 b?\r\n354 go\r\n", "~" } },
	{ "a refusal would be another recipient's", "ww", false,
	    { PIPES, TO_TWO,
	        "#250 ok\r\n250 ok\r\n550 a?\r\n250 b\r\n354 go\r\n", "~" } },
	{ "one reply too few", "ww", false,
	    { PIPES, TO_TWO, "#250 ok\r\n250 a\r\n354 go\r\n", "~" } },
	{ "DATA is answered with 250", "ww", false,
	    { PIPES, TO_TWO, "#250 ok\r\n250 a\r\n250 b\r\n250 go\r\n",
	        "~" } },
	{ "DATA is answered twice", "ww", false,
	    { PIPES, TO_TWO,
	        "#250 ok\r\n250 a\r\n250 b\r\n354 go\r\n354 go\r\n", "~" } },
	{ "taken before it was sent", "ww", false,
	    { PIPES, TO_TWO,
	        "#250 ok\r\n250 a\r\n250 b\r\n354 go\r\n250 taken\r\n",
	        "~" } },
	{ "refused before it was sent", "FF", false,
	    { PIPES, TO_TWO,
	        "#250 ok\r\n250 a\r\n250 b\r\n354 go\r\n554 no\r\n", "~" } },
	{ "nobody is accepted, but DATA is", "FF", false,
	    { PIPES, TO_TWO,
	        "#250 ok\r\n550 a?\r\n550 b?\r\n354 go\r\n", ".", ">250 ok",
	        "<QUIT" } },
	{ "nobody is accepted, and DATA is taken at once", "ww", false,
	    { PIPES, TO_TWO,
	        "#250 ok\r\n550 a?\r\n550 b?\r\n250 taken\r\n", "~" } },
	{ "MAIL is refused, the rest is not", "FF", false,
	    { PIPES, TO_TWO,
	        "#550 no\r\n250 a\r\n250 b\r\n354 go\r\n", "~" } },
	{ "too many errors, and it hangs up", "FF", false,
	    { PIPES, TO_TWO,
	        "#250 ok\r\n550 a?\r\n550 b?\r\n554 no\r\n421 enough\r\n" } },
	{ "421 behind the first recipient", "Fw", false,
	    { STEPS, "<MAIL", ">250 ok", "<RCPT",
	        "#550 a?\r\n421 enough\r\n" } },
	{ "BDAT is answered with 354", "ww", false,
	    { CHUNKS, "<MAIL", "<RCPT", "<RCPT",
	        "#250 ok\r\n250 a\r\n250 b\r\n", "<BDAT", "<Subj", "<",
	        "<hi", ">354 go", "~" } },
	{ "a reply too many before BDAT", "ww", false,
	    { CHUNKS, "<MAIL", "<RCPT", "<RCPT",
	        "#250 ok\r\n250 a\r\n250 b\r\n250 c\r\n", "~" } },
	{ "the end of data is answered with 354", "ww", false,
	    { PIPES, TO_TWO, "#250 ok\r\n250 a\r\n250 b\r\n354 go\r\n",
	        ".", ">354 go on", "~" } },
	{ "cut off after the dot", "ww", false,
	    { PIPES, TO_TWO, "#250 ok\r\n250 a\r\n250 b\r\n354 go\r\n",
	        "." } },
	{ "EHLO and HELO are refused", "FF", false,
	    { ">220 peer", "<EHLO", ">502 what", "<HELO", ">550 no",
	        "<QUIT" } },
	{ "EHLO is refused, HELO is not answered", "ww", false,
	    { ">220 peer", "<EHLO", ">502 what", "<HELO" } },
	{ "LMTP with a reply too few", "Dw", true,
	    { PIPES, TO_TWO, "#250 ok\r\n250 a\r\n250 b\r\n354 go\r\n",
	        ".", ">250 a", "~" } },
	{ "LMTP with 354 for the second", "Dw", true,
	    { PIPES, TO_TWO, "#250 ok\r\n250 a\r\n250 b\r\n354 go\r\n",
	        ".", "#250 a\r\n354 b\r\n", "~" } },
	{ "LMTP with 421 for the first", "ww", true,
	    { PIPES, TO_TWO, "#250 ok\r\n250 a\r\n250 b\r\n354 go\r\n",
	        ".", ">421 bye" } },
	{ "LMTP that takes it all before it is sent", "ww", true,
	    { PIPES, TO_TWO,
	        "#250 ok\r\n250 a\r\n250 b\r\n354 go\r\n250 a\r\n250 b\r\n",
	        "~" } },
};

START_TEST(no_verdict_moves_to_another)
{
	const struct hostile *h = &hostiles[_i];

	recipients = (unsigned)strlen(h->outcome);
	host.is_lmtp = h->is_lmtp;
	run(h->script, NULL);
	ck_outcome(h->name, h->outcome);
	ck_assert_uint_eq(peer.connections, 1);
}
END_TEST

/* --- connections that are kept --- */

/* The first message is delivered; the second goes another way. */
START_TEST(a_kept_connection_with_words_too_many_is_left)
{
	static const char *const more[][14] = {
		{ SENT, "#250 and another\r\n", "~" },
		{ SENT, "#354 go\r\n", "~" },
		{ SENT, "#421 4.4.2 idle\r\n" },
		{ SENT },
	};
	static const char *const next[] = { SENT, "<QUIT", NULL };
	const char *script[SCRIPT_MAX] = { NULL };

	memcpy(script, more[_i], sizeof(more[_i]));
	conf.connection_idle_ms = 60000;
	attempts = 2;
	run(script, next);
	ck_outcome("kept", "D");
	ck_assert_uint_eq(peer.connections, 2);
	ck_assert_ptr_null(strstr(peer.log, "RSET"));
}
END_TEST

/* --- STARTTLS --- */

START_TEST(tls_that_fails_is_not_spoken_in_the_clear)
{
	static const char *const scripts[][10] = {
		{ STARTS, "<STARTTLS", "#220 go\r\n250 injected\r\n", "~" },
		{ STARTS, "<STARTTLS", ">421 no", NULL },
		{ STARTS, "<STARTTLS", ">354 no", "~" },
		{ STARTS, "<STARTTLS", "%220 go", "~" },
		{ STARTS, "<STARTTLS", ">220 go", "%\26\3\3\1\1\1\1", NULL },
	};

	host.tls = TLS_ENCRYPT;
	run(scripts[_i], NULL);
	ck_outcome("STARTTLS", "w");
	ck_assert_uint_eq(peer.connections, 1);
	ck_assert_ptr_null(strstr(peer.log, "MAIL"));
}
END_TEST

/* --- UTF-8 --- */

#define MIXED "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
#define EHLO_OF(words) ">220 peer", "<EHLO", "#250-p\r\n" words "250 SIZE\r\n"
#define TAKES "<RCPT", ">250 ok", "<DATA", ">354 go", ".", ">250 ok", "<QUIT"

static const struct {
	const char *content, *fact;
	const char *outcome, *enhanced, *has; /* has: what is on the wire */
	const char *script[16];
} utf8[] = {
	/* in the header of a part */
	{ MIXED "Content-Description: \303\274\r\n\r\nx\r\n--b--\r\n", "smtputf8",
	    "F", "5.6.9", NULL, { EHLO_OF("250-8BITMIME\r\n"), "<QUIT" } },
	/* of a message within */
	{ MIXED "Content-Type: message/rfc822\r\n\r\nSubject: \303\274\r\n\r\nx\r\n"
	        "--b--\r\n", "smtputf8", "F", "5.6.9", NULL,
	    { EHLO_OF("250-8BITMIME\r\n"), "<QUIT" } },
	/* a host that knows it is told */
	{ MIXED "Content-Description: \303\274\r\n\r\nx\r\n--b--\r\n", "smtputf8",
	    "D", "", "Description: \303\274\r\n",
	    { EHLO_OF("250-8BITMIME\r\n250-SMTPUTF8\r\n"),
	        "<MAIL FROM:<alice@example.test> SIZE=106 BODY=8BITMIME "
	        "SMTPUTF8", ">250 ok", TAKES } },
	/* in bodies alone there is no need of it */
	{ MIXED "\r\n\303\274\r\n--b--\r\n", "smtputf8", "D", "",
	    "\r\n\303\274\r\n", { EHLO_OF("250-8BITMIME\r\n250-SMTPUTF8\r\n"),
	        "<MAIL FROM:<alice@example.test> SIZE=82 BODY=8BITMIME",
	        ">250 ok", TAKES } },
	/* message/global has another form, for who takes 8 bits, too */
	{ MIXED "Content-Type: message/global\r\n\r\nSubject: a \303\274\r\n\r\n"
	        "long enough to be read\r\n--b--\r\n", "smtputf8", "D", "",
	    "Subject: a =C3=BC\r\n", { EHLO_OF("250-8BITMIME\r\n"), "<MAIL",
	        ">250 ok", TAKES } },
	{ MIXED "Content-Type: message/global\r\n\r\nSubject: \303\274\r\n\r\n"
	        "x\r\n--b--\r\n", "smtputf8", "D", "", "Subject: \303\274\r\n",
	    { EHLO_OF("250-8BITMIME\r\n250-SMTPUTF8\r\n"), "<MAIL",
	        ">250 ok", TAKES } },
	/* without SMTPUTF8 it is as old mail always was */
	{ MIXED "Content-Description: \303\274\r\n\r\nx\r\n--b--\r\n", NULL, "D",
	    "", "Description: \303\274\r\n", { EHLO_OF("250-8BITMIME\r\n"),
	        "<MAIL", ">250 ok", TAKES } },
};

START_TEST(utf8_below_the_header_goes_to_who_knows_it)
{
	content = utf8[_i].content;
	fact = utf8[_i].fact;
	run(utf8[_i].script, NULL);
	ck_outcome(utf8[_i].content, utf8[_i].outcome);
	if (utf8[_i].enhanced[0] != '\0')
		ck_assert_str_eq(attempt->recipients[0].result.enhanced,
		    utf8[_i].enhanced);
	if (utf8[_i].has != NULL)
		ck_assert_msg(strstr(peer.log, utf8[_i].has) != NULL, "%d: %s",
		    _i, peer.log);
}
END_TEST

#define LOOP(t, fn, n) tcase_add_loop_test(t, fn, 0, (int)(n))
#define COUNT(table) (sizeof(table) / sizeof(table[0]))

int
main(void)
{
	Suite *suite = suite_create("hostile");
	TCase *t = tcase_create("servers");
	SRunner *runner;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_checked_fixture(t, setup, teardown);
	LOOP(t, whatever_is_said_instead_of_a_reply_defers, COUNT(badness));
	LOOP(t, no_verdict_moves_to_another, COUNT(hostiles));
	LOOP(t, a_kept_connection_with_words_too_many_is_left, 4);
	LOOP(t, tls_that_fails_is_not_spoken_in_the_clear, 5);
	LOOP(t, utf8_below_the_header_goes_to_who_knows_it, COUNT(utf8));
	suite_add_tcase(suite, t);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
