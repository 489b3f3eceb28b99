/* SPDX-License-Identifier: Apache-2.0 */
/* pure_test.c - replies, offers, dots, MX order, the envelope's lines. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "smtp_client/command.h"
#include "mx.h"
#include "policy.h"
#include "smtp_client/reply.h"
#include "smtp_client/stuff.h"

static struct smtp_reply reply;

static enum reply_step
feed(const char *first, const char *second)
{
	enum reply_step step;

	reply_init(&reply);
	step = reply_line(&reply, ph_slice_str(first), NULL);
	if (second != NULL) {
		ck_assert_int_eq(step, REPLY_MORE);
		step = reply_line(&reply, ph_slice_str(second), NULL);
	}
	return step;
}

START_TEST(reads_replies)
{
	ck_assert_int_eq(feed("250 2.1.5 ok then", NULL), REPLY_COMPLETE);
	ck_assert_int_eq(reply.code, 250);
	ck_assert_str_eq(reply.enhanced, "2.1.5");
	ck_assert_str_eq(reply.text, "ok then");
	ck_assert_int_eq(feed("550", NULL), REPLY_COMPLETE);
	ck_assert_str_eq(reply.text, "");
	ck_assert_int_eq(feed("550 ", NULL), REPLY_COMPLETE);
	ck_assert_int_eq(feed("550-5.7.1 one", "550 5.7.1 two"),
	    REPLY_COMPLETE);
	ck_assert_str_eq(reply.text, "one two");
	ck_assert_str_eq(reply.enhanced, "5.7.1");
	ck_assert_int_eq(feed("550 5.1.1", NULL), REPLY_COMPLETE);
	ck_assert_str_eq(reply.enhanced, "5.1.1");
}
END_TEST

START_TEST(takes_no_enhanced_code_of_another_class)
{
	static const char *const without[] = { "550 4.1.1 x", "250 3.0.0 x",
		"550 5.1 x", "550 5.1.1x", "550 5.1111.1 x", "550 5..1 x",
		"550 5.1.", "550 x5.1.1" };

	for (size_t i = 0; i < 8; i++) {
		ck_assert_int_eq(feed(without[i], NULL), REPLY_COMPLETE);
		ck_assert_str_eq(reply.enhanced, "");
	}
}
END_TEST

START_TEST(refuses_what_is_no_reply)
{
	static const char *const bad[] = { "", "2", "25", "25x ok", "150 ok",
		"600 ok", "2500", "250\tok", "-50 ok", " 250 ok",
		"SSH-2.0-OpenSSH" };
	char text[1000];

	for (size_t i = 0; i < 11; i++)
		ck_assert_int_eq(feed(bad[i], NULL), REPLY_BROKEN);
	ck_assert_int_eq(feed("250-one", "251 two"), REPLY_BROKEN);
	reply_init(&reply);
	for (unsigned i = 0; i < REPLY_LINES_MAX; i++)
		ck_assert_int_eq(reply_line(&reply, PH_LIT("250-x"), NULL),
		    REPLY_MORE);
	ck_assert_int_eq(reply_line(&reply, PH_LIT("250-x"), NULL),
	    REPLY_BROKEN);
	memset(text, 'x', sizeof(text));
	memcpy(text, "250 ", 4);
	reply_init(&reply);
	ck_assert_int_eq(reply_line(&reply,
	    (struct ph_slice){ text, sizeof(text) }, NULL), REPLY_COMPLETE);
	ck_assert_uint_eq(strlen(reply.text), REPLY_TEXT_MAX - 1);
}
END_TEST

START_TEST(knows_what_is_offered)
{
	struct smtp_offer offer = { 0 };

	offer_line(&offer, PH_LIT("PIPELINING"));
	offer_line(&offer, PH_LIT("size 35882577"));
	offer_line(&offer, PH_LIT("8bitmime"));
	offer_line(&offer, PH_LIT("STARTTLSX"));
	offer_line(&offer, PH_LIT("DSN "));
	offer_line(&offer, PH_LIT(""));
	ck_assert(offer.pipelining && offer.size && offer.eight_bit);
	ck_assert(offer.dsn && !offer.starttls && !offer.smtputf8);
	ck_assert_uint_eq(offer.size_limit_bytes, 35882577);
	memset(&offer, 0, sizeof(offer));
	offer_line(&offer, PH_LIT("SIZE"));
	ck_assert(offer.size);
	offer_line(&offer, PH_LIT("SIZE 99999999999999999999999"));
	offer_line(&offer, PH_LIT("SIZE -1"));
	offer_line(&offer, PH_LIT("AUTH CRAM-MD5 login"));
	ck_assert(offer.auth_login && !offer.auth_plain && !offer.chunking);
	offer_line(&offer, PH_LIT("AUTH PLAIN"));
	offer_line(&offer, PH_LIT("CHUNKING"));
	ck_assert(offer.auth_plain && offer.chunking);
	ck_assert_uint_eq(offer.size_limit_bytes, 0);
}
END_TEST

static const char *
stuffed(const char *text, size_t limit)
{
	static char out[8192];
	struct ph_slice piece;
	struct stuff stuff;
	size_t n = 0;

	stuff_begin(&stuff, ph_slice_str(text));
	while (stuff_next(&stuff, limit, &piece)) {
		ck_assert(piece.n > 0 && piece.n <= limit);
		memcpy(out + n, piece.p, piece.n);
		n += piece.n;
	}
	piece = stuff_end(&stuff);
	memcpy(out + n, piece.p, piece.n);
	out[n + piece.n] = '\0';
	return out;
}

/* CVE-2023-51764, CVE-2026-33604: no sequence of line ends lets a dot through */
START_TEST(doubles_dots_after_any_line_end)
{
	static const char *const table[][2] = {
		{ "", ".\r\n" },
		{ "a\r\n", "a\r\n.\r\n" },
		{ "a", "a\r\n.\r\n" },
		{ "a\n", "a\n\r\n.\r\n" },
		{ "a\r", "a\r\r\n.\r\n" },
		{ ".\r\n", "..\r\n.\r\n" },
		{ "a\r\n.\r\n", "a\r\n..\r\n.\r\n" },
		{ "a\n.\n", "a\n..\n\r\n.\r\n" },
		{ "a\r.\r", "a\r..\r\r\n.\r\n" },
		{ "a\n.\r\nMAIL FROM:<x>", "a\n..\r\nMAIL FROM:<x>\r\n.\r\n" },
		{ "a\r.\r\nMAIL", "a\r..\r\nMAIL\r\n.\r\n" },
		{ "a\n\r.\r\n", "a\n\r..\r\n.\r\n" },
		{ "..\r\n", "...\r\n.\r\n" },
		{ "a.b.\r\n", "a.b.\r\n.\r\n" },
		{ "a\r\n..", "a\r\n...\r\n.\r\n" },
		{ "\r\n.", "\r\n..\r\n.\r\n" },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		for (size_t limit = 1; limit < 20; limit++)
			ck_assert_str_eq(stuffed(table[i][0], limit),
			    table[i][1]);
}
END_TEST

START_TEST(random_content_never_holds_a_lone_dot)
{
	static const char octets[] = "\r\n.a";

	for (unsigned round = 0; round < 20000; round++) {
		char text[16];
		const char *out;
		size_t n = (size_t)rand() % 15;

		for (size_t i = 0; i < n; i++)
			text[i] = octets[rand() % 4];
		text[n] = '\0';
		out = stuffed(text, 1 + (size_t)rand() % 8);
		for (size_t i = 0; out[i + 3] != '\0'; i++)
			ck_assert(!((i == 0 || out[i - 1] == '\r' ||
			              out[i - 1] == '\n') && out[i] == '.' &&
			    (out[i + 1] == '\r' || out[i + 1] == '\n')));
	}
}
END_TEST

START_TEST(orders_mail_hosts)
{
	const struct ph_dns_mx sorted[] = { { 5, "a" }, { 10, "b" },
		{ 10, "c" }, { 10, "d" }, { 20, "e" } };
	unsigned first[3] = { 0 };
	struct ph_dns_mx mx[5];
	size_t count;

	for (unsigned round = 0; round < 2000; round++) {
		memcpy(mx, sorted, sizeof(mx));
		ck_assert_int_eq(mx_order(mx, 5, "other", &count), MX_HOSTS);
		ck_assert_uint_eq(count, 5);
		ck_assert_str_eq(mx[0].host, "a");
		ck_assert_str_eq(mx[4].host, "e");
		ck_assert(mx[1].host[0] >= 'b' && mx[1].host[0] <= 'd');
		first[mx[1].host[0] - 'b']++;
	}
	for (size_t i = 0; i < 3; i++)
		ck_assert(first[i] > 567 && first[i] < 767); /* 1/3 +- 5 % */
}
END_TEST

START_TEST(finds_the_tls_a_destination_needs)
{
	static const char *const list[] = { "a.test verify", ".b.test  none",
		"B.test encrypt", "x.b.test verify", NULL };
	static const char *const bad[] = { "", "a.test", "a.test must",
		"verify", ". may", "a_b!.test may", "a.test may x" };

	for (size_t i = 0; i < 4; i++)
		ck_assert(policy_is_entry(list[i]));
	for (size_t i = 0; i < 7; i++)
		ck_assert_msg(!policy_is_entry(bad[i]), "%s", bad[i]);
	ck_assert_int_eq(policy_find(list, PH_LIT("A.TEST"), TLS_MAY),
	    TLS_VERIFY);
	ck_assert_int_eq(policy_find(list, PH_LIT("b.test"), TLS_MAY),
	    TLS_ENCRYPT);
	ck_assert_int_eq(policy_find(list, PH_LIT("x.b.test"), TLS_MAY),
	    TLS_NONE);
	ck_assert_int_eq(policy_find(list, PH_LIT("xb.test"), TLS_MAY),
	    TLS_MAY);
}
END_TEST

START_TEST(drops_hosts_that_lead_back)
{
	const struct ph_dns_mx sorted[] = { { 5, "a" }, { 10, "b" },
		{ 10, "Own.test" }, { 20, "e" } };
	struct ph_dns_mx mx[4], null[] = { { 0, "" }, { 10, "a" } };
	size_t count = 0;

	memcpy(mx, sorted, sizeof(mx));
	ck_assert_int_eq(mx_order(mx, 4, "own.TEST", &count), MX_HOSTS);
	ck_assert_uint_eq(count, 1);
	memcpy(mx, sorted, sizeof(mx));
	ck_assert_int_eq(mx_order(mx, 4, NULL, &count), MX_HOSTS);
	ck_assert_uint_eq(count, 4);
	memcpy(mx, sorted, sizeof(mx));
	ck_assert_int_eq(mx_order(mx, 1, "a", &count), MX_OURSELVES);
	ck_assert_int_eq(mx_order(null, 2, NULL, &count), MX_HOSTS);
	ck_assert_uint_eq(count, 1);
	null[0].host = "";
	ck_assert_int_eq(mx_order(null, 1, NULL, &count), MX_NULL);
}
END_TEST

static const struct ph_slice none = { NULL, 0 };

START_TEST(writes_the_envelope)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct smtp_offer nothing = { 0 }, all = { .size = true,
		.eight_bit = true, .dsn = true, .smtputf8 = true };
	struct smtp_envelope envelope = { .sender = PH_LIT("a b@c.test"),
		.ret = PH_LIT("HDRS"), .envid = PH_LIT("QQ+2B1"),
		.size_bytes = 7, .has_eight_bit = true };
	struct ph_slice line;

	line = command_mail(arena, &envelope, &nothing, false);
	ck_assert(ph_slice_eq(line, PH_LIT("MAIL FROM:<\"a b\"@c.test>\r\n")));
	line = command_mail(arena, &envelope, &all, true);
	ck_assert(ph_slice_eq(line, PH_LIT("MAIL FROM:<\"a b\"@c.test> SIZE=7 "
	    "BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=QQ+2B1\r\n")));
	envelope.sender = PH_LIT("");
	envelope.has_eight_bit = false;
	envelope.ret = none;
	envelope.envid = PH_LIT("a b"); /* would be two parameters */
	line = command_mail(arena, &envelope, &all, false);
	ck_assert(ph_slice_eq(line, PH_LIT("MAIL FROM:<> SIZE=7\r\n")));
	line = command_rcpt(arena, PH_LIT("x@y.test"), PH_LIT("NEVER"),
	    PH_LIT("rfc822;x@y.test"), &all, false);
	ck_assert(ph_slice_eq(line, PH_LIT("RCPT TO:<x@y.test> NOTIFY=NEVER "
	    "ORCPT=rfc822;x@y.test\r\n")));
	line = command_rcpt(arena, PH_LIT("x@y.test"), PH_LIT("NEVER"),
	    PH_LIT("rfc822;x@y.test"), &nothing, false);
	ck_assert(ph_slice_eq(line, PH_LIT("RCPT TO:<x@y.test>\r\n")));
	/* RFC 6533 s3 */
	line = command_rcpt(arena, PH_LIT("x@y.test"), PH_LIT("DELAY"),
	    PH_LIT("utf-8;\303\274\\x{2B}@y.test"), &all, false);
	ck_assert(ph_slice_eq(line, PH_LIT("RCPT TO:<x@y.test> NOTIFY=DELAY "
	    "ORCPT=utf-8;\\x{FC}\\x{2B}@y.test\r\n")));
	line = command_rcpt(arena, PH_LIT("x@y.test"), PH_LIT("DELAY"),
	    PH_LIT("utf-8;\303\274\\x{2B}@y.test"), &all, true);
	ck_assert(ph_slice_eq(line, PH_LIT("RCPT TO:<x@y.test> NOTIFY=DELAY "
	    "ORCPT=utf-8;\303\274\\x{2B}@y.test\r\n")));
	ck_assert(command_passes_notify(PH_LIT("SUCCESS"), &all));
	ck_assert(!command_passes_notify(PH_LIT("SUCCESS"), &nothing));
	ck_assert(!command_passes_notify(none, &all));
	ph_arena_free(arena);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("transport_smtp_pure");
	TCase *tcase = tcase_create("pure");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, reads_replies);
	tcase_add_test(tcase, takes_no_enhanced_code_of_another_class);
	tcase_add_test(tcase, refuses_what_is_no_reply);
	tcase_add_test(tcase, knows_what_is_offered);
	tcase_add_test(tcase, doubles_dots_after_any_line_end);
	tcase_add_test(tcase, random_content_never_holds_a_lone_dot);
	tcase_add_test(tcase, orders_mail_hosts);
	tcase_add_test(tcase, drops_hosts_that_lead_back);
	tcase_add_test(tcase, finds_the_tls_a_destination_needs);
	tcase_add_test(tcase, writes_the_envelope);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
