/* SPDX-License-Identifier: Apache-2.0 */
/* parse_test.c - arguments, replies and the Received field. */
#include <check.h>

#include "args.h"
#include "fake_session.h"
#include "trace.h"

static int
mail_code(const char *text)
{
	struct smtp_mail_args args;
	const struct smtp_reply *wrong =
	    smtp_mail_parse(fake.arena, true, ph_slice_str(text), &args);

	return wrong != NULL ? wrong->code : 250;
}

static int
rcpt_code(const char *text)
{
	struct smtp_rcpt_args args;
	const struct smtp_reply *wrong =
	    smtp_rcpt_parse(fake.arena, true, ph_slice_str(text), &args);

	return wrong != NULL ? wrong->code : 250;
}

START_TEST(mail_arguments)
{
	static const struct {
		const char *text;
		int code;
	} row[] = {
		{ "FROM:<>", 250 },
		{ "from:<a@b.test>", 250 },
		{ "FROM: <a@b.test>", 250 },
		{ "FROM:<a@b.test> SIZE=1 BODY=7bit SMTPUTF8 RET=full "
		  "ENVID=a+2Bb AUTH=<>", 250 },
		{ "FROM:<a@b.test>  SIZE=1", 250 },
		{ "FROM:<a@b.test>SIZE=1", 501 },
		{ "FROM:<a@b.test> SIZE", 501 },
		{ "FROM:<a@b.test> SIZE=", 501 },
		{ "FROM:<a@b.test> SIZE=-1", 501 },
		{ "FROM:<a@b.test> SIZE=18446744073709551616", 501 },
		{ "FROM:<a@b.test> SIZE=1 SIZE=1", 501 },
		{ "FROM:<a@b.test> BODY=BINARYMIME", 250 },
		{ "FROM:<a@b.test> SMTPUTF8=1", 501 },
		{ "FROM:<a@b.test> RET=SOME", 501 },
		{ "FROM:<a@b.test> ENVID=a+2", 501 },
		{ "FROM:<a@b.test> ENVID=a+2b", 501 },
		{ "FROM:<a@b.test> ENVID=a=b", 501 },
		{ "FROM:<a@b.test> ROUTE=x", 555 },
		{ "FROM:<a@b.test> -X", 501 },
		{ "FROM:a@b.test", 501 },
		{ "FROM <a@b.test>", 501 },
		{ "TO:<a@b.test>", 501 },
		{ "FROM:<a@b.test", 501 },
		{ "FROM:<a>", 501 },
		{ "", 501 },
	};

	fake_reset();
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		ck_assert_msg(mail_code(row[i].text) == row[i].code, "%s: %d",
		    row[i].text, mail_code(row[i].text));
}
END_TEST

START_TEST(rcpt_arguments)
{
	static const struct {
		const char *text;
		int code;
	} row[] = {
		{ "TO:<a@b.test> NOTIFY=NEVER ORCPT=rfc822;a+40b.test", 250 },
		{ "TO:<a@b.test> notify=success,Failure,DELAY", 250 },
		{ "TO:<a@b.test> ORCPT=utf-8;\xc3\xa4@b.test", 250 },
		{ "TO:<a@b.test> NOTIFY=NEVER,DELAY", 501 },
		{ "TO:<a@b.test> NOTIFY=DELAY,DELAY", 501 },
		{ "TO:<a@b.test> NOTIFY=DELAY,", 501 },
		{ "TO:<a@b.test> NOTIFY=SOON", 501 },
		{ "TO:<a@b.test> ORCPT=rfc822", 501 },
		{ "TO:<a@b.test> ORCPT=rfc822;", 501 },
		{ "TO:<a@b.test> ORCPT=;a", 501 },
		{ "TO:<a@b.test> ORCPT=rfc822;a+4", 501 },
		{ "TO:<a@b.test> SIZE=4", 555 },
		{ "TO:<>", 501 },
	};

	fake_reset();
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		ck_assert_msg(rcpt_code(row[i].text) == row[i].code, "%s",
		    row[i].text);
}
END_TEST

START_TEST(brackets_may_be_left_out_when_configured)
{
	static const char *const good[] = { "FROM:a@b.test", "FROM: a@b.test",
		"FROM:a@b.test  SIZE=1", "FROM:<a@b.test> SIZE=1", "FROM:<>",
		"FROM:postmaster", "FROM:<\"a b\"@b.test>" };
	static const char *const bad[] = { "FROM:", "FROM: ", "FROM:a",
		"FROM:a@b.test>", "FROM:<a@b.test", "FROM:\"a b\"@b.test",
		"FROM:a@b.test SIZE", "FROM:A <a@b.test>", "FROM:a@b@c" };
	struct smtp_mail_args mail;
	struct smtp_rcpt_args rcpt;

	fake_reset();
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		ck_assert_msg(smtp_mail_parse(fake.arena, false,
		    ph_slice_str(good[i]), &mail) == NULL, "%s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(smtp_mail_parse(fake.arena, false,
		    ph_slice_str(bad[i]), &mail) != NULL, "%s", bad[i]);
	ck_assert_ptr_null(smtp_rcpt_parse(fake.arena, false,
	    PH_LIT("TO:a@b.test NOTIFY=NEVER"), &rcpt));
	ck_assert(ph_slice_eq(rcpt.path.address, PH_LIT("a@b.test")));
	ck_assert(ph_slice_eq(rcpt.notify, PH_LIT("NEVER")));
	ck_assert_ptr_null(smtp_rcpt_parse(fake.arena, false,
	    PH_LIT("TO:Postmaster"), &rcpt));
	ck_assert(rcpt.is_postmaster);
	ck_assert_ptr_nonnull(smtp_rcpt_parse(fake.arena, false,
	    PH_LIT("TO:<>"), &rcpt));
}
END_TEST

START_TEST(bdat_arguments)
{
	struct smtp_bdat_args a;

	ck_assert_ptr_null(smtp_bdat_parse(PH_LIT("0 last"), &a));
	ck_assert(a.size == 0 && a.last);
	ck_assert_ptr_null(smtp_bdat_parse(PH_LIT("9223372036854775807"), &a));
	ck_assert(!a.last);
	ck_assert_ptr_nonnull(smtp_bdat_parse(
	    PH_LIT("9223372036854775808"), &a));
	ck_assert_ptr_nonnull(smtp_bdat_parse(PH_LIT("18446744073709551617"),
	    &a));
	ck_assert_ptr_nonnull(smtp_bdat_parse(PH_LIT("-1"), &a));
	ck_assert_ptr_nonnull(smtp_bdat_parse(PH_LIT("1 LAST x"), &a));
	ck_assert_ptr_nonnull(smtp_bdat_parse(PH_LIT(""), &a));
}
END_TEST

START_TEST(helo_names_cannot_break_out_of_a_field)
{
	struct ph_slice name;

	ck_assert_ptr_null(smtp_helo_parse(PH_LIT("my_pc.example"), &name));
	ck_assert_ptr_null(smtp_helo_parse(PH_LIT("[IPv6:2001:db8::1]"),
	    &name));
	ck_assert_ptr_nonnull(smtp_helo_parse(PH_LIT("a b"), &name));
	ck_assert_ptr_nonnull(smtp_helo_parse(PH_LIT("a(b"), &name));
	ck_assert_ptr_nonnull(smtp_helo_parse(PH_LIT("a\r\nb"), &name));
	ck_assert_ptr_nonnull(smtp_helo_parse(PH_LIT("\xc3\xa4"), &name));
	ck_assert_ptr_nonnull(smtp_helo_parse(PH_LIT(""), &name));
}
END_TEST

START_TEST(replies_are_harmless_and_short)
{
	struct smtp_reply reply = { 550, "5.7.1", "a\r\nb\x01\xc3", false };
	struct ph_buf buf;
	char text[1000];

	fake_reset();
	ph_buf_init(&buf, fake.arena, 10000);
	smtp_reply_format(&reply, "token", &buf);
	ck_assert_str_eq(fake_text(&buf),
	    "550-5.7.1 a?\r\n550 5.7.1 b?? (token)\r\n");
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	reply.text = text;
	buf.n = 0;
	smtp_reply_format(&reply, "token", &buf);
	ck_assert_uint_eq(buf.n, 512);
	ck_assert_ptr_nonnull(strstr(fake_text(&buf), "x (token)\r\n"));
	reply.has_token = true;
	reply.text = "so (token)";
	buf.n = 0;
	smtp_reply_format(&reply, "token", &buf);
	ck_assert_str_eq(fake_text(&buf), "550 5.7.1 so (token)\r\n");
}
END_TEST

START_TEST(received_tells_how_and_for_whom)
{
	struct smtp_trace trace = { .helo = PH_LIT("client.test"),
		.client = &fake.client, .hostname = "mx.test", .id = "id",
		.rcpt = PH_LIT("a@b.test"), .extended = true };
	struct ph_buf buf;

	fake_reset();
	ph_buf_init(&buf, fake.arena, 4096);
	smtp_trace_format(&trace, &buf);
	ck_assert_str_eq(fake_text(&buf),
	    "Received: from client.test ([192.0.2.7])\r\n"
	    "\tby mx.test (posthouse) with ESMTP id id\r\n"
	    "\tfor <a@b.test>;\r\n"
	    "\tThu, 01 Jan 1970 00:00:00 +0000\r\n");
	trace.tls = "TLSv1.3 X";
	trace.certificate_subject = "a.test";
	trace.certificate_issuer = "CA";
	buf.n = 0;
	smtp_trace_format(&trace, &buf);
	ck_assert_ptr_nonnull(strstr(fake_text(&buf),
	    "\t(using TLSv1.3 X)\r\n"
	    "\t(Client CN \"a.test\", Issuer \"CA\" (not verified))\r\n"
	    "\tfor "));
	trace.is_verified = trace.hide_client = true;
	buf.n = 0;
	smtp_trace_format(&trace, &buf);
	ck_assert_ptr_nonnull(strstr(fake_text(&buf), "(verified OK))"));
	trace.authenticated = true;
	buf.n = 0;
	smtp_trace_format(&trace, &buf);
	ck_assert_ptr_null(strstr(fake_text(&buf), "Client CN"));
	ck_assert_str_eq(smtp_protocol_name(&trace), "ESMTPSA");
	trace.smtputf8 = true;
	ck_assert_str_eq(smtp_protocol_name(&trace), "UTF8SMTPSA");
	trace.extended = false;
	ck_assert_str_eq(smtp_protocol_name(&trace), "SMTP");
}
END_TEST

Suite *parse_suite(void);
Suite *
parse_suite(void)
{
	Suite *suite = suite_create("parse");
	TCase *tc = tcase_create("parse");

	tcase_add_test(tc, mail_arguments);
	tcase_add_test(tc, rcpt_arguments);
	tcase_add_test(tc, brackets_may_be_left_out_when_configured);
	tcase_add_test(tc, bdat_arguments);
	tcase_add_test(tc, helo_names_cannot_break_out_of_a_field);
	tcase_add_test(tc, replies_are_harmless_and_short);
	tcase_add_test(tc, received_tells_how_and_for_whom);
	suite_add_tcase(suite, tc);
	return suite;
}
