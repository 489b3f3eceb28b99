/* SPDX-License-Identifier: Apache-2.0 */
/*
 * engine_test.c - whole conversations over a scripted stream: what is taken,
 * what is refused, and when.
 */
#include "engine_fixture.h"

#include <stdio.h>
#include <stdlib.h>

Suite *order_suite(void);
Suite *parse_suite(void);
Suite *policy_suite(void);
Suite *relay_suite(void);
Suite *split_suite(void);

static void
setup(void)
{
	fake_reset();
	conf = (struct smtp_conf){
		FIXTURE_CONF,
		.min_rate_bytes = 500,
		.check_from = true,
	};
}

static const char *
submit(const char *text)
{
	return talk_as(text, &submission);
}

/* --- a message --- */

START_TEST(takes_a_message)
{
	ck_assert_str_eq(talk(TO_ALICE "DATA\r\n" MESSAGE ".\r\nQUIT\r\n"),
	    "220 250 250 250 354 250 221");
	ck_assert_str_eq(fake_text(&fake.envelope),
	    "x@out.test|alice@example.test|");
	ck_assert_str_eq(fake_text(&fake.content),
	    "Received: from c.test ([192.0.2.7])\r\n"
	    "\tby mail.example.test (posthouse) with ESMTP id fakesessionid.1\r\n"
	    "\tfor <alice@example.test>;\r\n"
	    "\tMon, 23 Nov 2026 07:47:00 +0000\r\n" MESSAGE);
	ck_assert_str_eq(fake_text(&fake.asked),
	    "connect helo mail rcpt data message");
	ck_assert(said("250 2.0.0 accepted, queued as fakequeueid00\r\n"));
	ck_assert(logged("accepted queue=fakequeueid00 from=x@out.test "
	                 "to=alice@example.test rcpts=1 size=20"));
	ck_assert(logged("session_end end=quit client=192.0.2.7 helo=c.test "
	                 "messages=1 rcpts=1 discarded=0 rejected=0"));
}
END_TEST

START_TEST(the_cut_of_the_input_makes_no_difference)
{
	for (size_t step = 1; step < 60; step++) {
		setup();
		fake.step = step;
		ck_assert_str_eq(
		    talk(TO_ALICE "DATA\r\nA: b\r\n c\r\n\r\n..\r\n.x\r\n.\r\n"
		                  "MAIL FROM:<>\r\nRCPT TO:<Postmaster>\r\n"
		                  "BDAT 9\r\nA: b\r\n\r\n.BDAT 2 LAST\r\n\r\n"
		                  "QUIT\r\n"),
		    "220 250 250 250 354 250 250 250 250 250 221");
		ck_assert_uint_eq(fake.committed, 2);
		ck_assert_str_eq(fake_text(&fake.envelope), "|postmaster|");
		ck_assert_str_eq(strstr(fake_text(&fake.content), "+0000"),
		    "+0000\r\nA: b\r\n\r\n.\r\n");
	}
}
END_TEST

START_TEST(facts_travel_with_the_message)
{
	talk("EHLO c\r\nMAIL FROM:<x@out.test> BODY=8BITMIME SMTPUTF8 "
	     "RET=HDRS ENVID=e SIZE=20\r\n"
	     "RCPT TO:<alice@example.test> NOTIFY=NEVER\r\n"
	     "RCPT TO:<bob@example.test> ORCPT=rfc822;z\r\n"
	     "RCPT TO:<bob@example.test>\r\n"
	     "DATA\r\n" MESSAGE ".\r\n");
	ck_assert_str_eq(fake_text(&fake.envelope),
	    "x@out.test|alice@example.test NEVER,bob@example.test rfc822;z|"
	    "body=8BITMIME;smtputf8=1;ret=HDRS;envid=e;");
	ck_assert_ptr_nonnull(strstr(fake_text(&fake.content), "UTF8SMTP id"));
	ck_assert_ptr_null(strstr(fake_text(&fake.content), "for <"));
}
END_TEST

START_TEST(a_message_without_header_gets_an_empty_line)
{
	talk(TO_ALICE "DATA\r\nhello\r\nReceived: x\r\n.\r\n");
	ck_assert_ptr_nonnull(strstr(fake_text(&fake.content),
	    "+0000\r\n\r\nhello\r\nReceived: x\r\n"));
}
END_TEST

START_TEST(the_line_of_an_mbox_is_left_out)
{
	static const char *const row[][2] = {
		{ "From x Mon Nov 23\r\nA: b\r\n\r\nc\r\n", "A: b\r\n\r\nc\r\n" },
		{ ">From x\r\nA: b\r\n", "A: b\r\n" },
		{ "From x\r\nbody\r\n", "\r\nFrom x\r\nbody\r\n" },
		{ "From x\r\n\r\nbody\r\n", "\r\nFrom x\r\n\r\nbody\r\n" },
		{ "From x\r\n", "\r\nFrom x\r\n" },
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		setup();
		fake_input(TO_ALICE "DATA\r\n");
		fake_input(row[i][0]);
		ck_assert_str_eq(talk(".\r\n"), "220 250 250 250 354 250");
		ck_assert_str_eq(strstr(fake_text(&fake.content), "+0000") + 7,
		    row[i][1]);
	}
}
END_TEST

START_TEST(an_empty_message_is_taken)
{
	ck_assert_str_eq(talk(TO_ALICE "DATA\r\n.\r\n"),
	    "220 250 250 250 354 250");
	ck_assert_uint_eq(fake.committed, 1);
}
END_TEST

/* --- what is refused --- */

START_TEST(bare_newlines_are_refused_at_the_true_end)
{
	static const char *const text[] = {
		"a\n.\nMAIL FROM:<evil@x>\r\n", "a\n.\r\nRCPT\r\n",
		"a\r\n.\nRCPT\r\n", "a\r.\rRCPT\r\n", "a\r\n.\rRCPT\r\n",
		"a\r\n\n.\r\nx\r\n", "a: b\r\n\r\nx\ny\r\n",
	};

	for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++) {
		setup();
		fake_input(TO_ALICE "DATA\r\n");
		fake_input(text[i]);
		ck_assert_str_eq(talk(".\r\nQUIT\r\n"),
		    "220 250 250 250 354 550 221");
		ck_assert(said("550 5.6.11 "));
		ck_assert_uint_eq(fake.committed, 0);
		setup();
		fake_input(TO_ALICE);
		fake_input("BDAT 4 LAST\r\na\nb\r");
		ck_assert_str_eq(talk("QUIT\r\n"), "220 250 250 250 550 221");
	}
}
END_TEST

START_TEST(listed_networks_are_normalized)
{
	struct ph_net net;

	ck_assert(ph_net_parse(PH_LIT("192.0.2.0/24"), &net));
	conf.bare_newline_networks = (struct ph_net_list){ &net, 1 };
	ck_assert_str_eq(
	    talk(TO_ALICE "DATA\r\nA: b\r\n\r\nx\ny\rz\r\n.\r\nQUIT\r\n"),
	    "220 250 250 250 354 250 221");
	ck_assert_ptr_nonnull(strstr(fake_text(&fake.content),
	    "\r\n\r\nx\r\ny z\r\n"));
}
END_TEST

START_TEST(commands_with_odd_octets_are_refused)
{
	fake_input_octets("NOOP \0\r\n", 8);
	ck_assert_str_eq(talk("NOOP a\tb\r\nNOOP\n\r\nNO\rOP\r\nNOOP\r\n"),
	    "220 500 500 500 500 500 250");
	setup(); /* what may be a chunk is not read as commands */
	ck_assert_str_eq(talk(TO_ALICE "BDAT 6\tLAST\r\nQUIT\r\n"),
	    "220 250 250 250 500");
	setup();
	ck_assert_str_eq(talk(TO_ALICE "bdat 6 LAST\nQUIT\r\n"),
	    "220 250 250 250 500");
}
END_TEST

START_TEST(long_lines_are_refused)
{
	char line[20000];

	memset(line, 'x', sizeof(line));
	memcpy(line, "NOOP ", 5);
	memcpy(line + 2100, "\r\n", 3);
	fake_input(line);
	line[2100] = 'x';
	line[2101] = 'x';
	line[2102] = 'x';
	memcpy(line + 19000, "\r\n", 3);
	fake_input(line);
	ck_assert_str_eq(talk("NOOP\r\n"), "220 500 500 250");
	ck_assert(said("500 5.5.6 "));
}
END_TEST

START_TEST(http_is_dropped_without_a_word)
{
	ck_assert_str_eq(talk("POST / HTTP/1.1\r\nEHLO x\r\n"), "220");
	ck_assert(logged("session_end end=http"));
}
END_TEST

START_TEST(unknown_commands_and_errors_end_the_session)
{
	ck_assert_str_eq(talk("A\r\nB\r\nC\r\nNOOP\r\n"),
	    "220 500 500 500 421");
	setup();
	conf.max_errors = 2;
	ck_assert_str_eq(talk("DATA\r\nDATA\r\nNOOP\r\n"), "220 503 503 421");
	setup();
	conf.max_idle_commands = 2;
	ck_assert_str_eq(talk("NOOP\r\nNOOP\r\nNOOP\r\n"), "220 250 250 421");
	setup();
	conf.max_idle_commands = 3;
	ck_assert_str_eq(talk(OPENING OPENING OPENING OPENING),
	    "220 250 250 250 250 250 421");
}
END_TEST

START_TEST(refuses_what_is_too_much)
{
	char big[6000];

	ck_assert_str_eq(talk("EHLO c\r\nMAIL FROM:<> SIZE=1048577\r\n"),
	    "220 250 552");
	setup();
	fake.room_status = PH_FULL;
	ck_assert_str_eq(talk(OPENING), "220 250 452");
	setup();
	fake.room_status = PH_UNAVAILABLE;
	ck_assert_str_eq(talk(OPENING), "220 250 451");
	setup();
	memset(big, 'x', sizeof(big));
	memcpy(big, "A: ", 3);
	memcpy(big + 5990, "\r\n\r\n", 5);
	fake_input(TO_ALICE "DATA\r\n");
	fake_input(big);
	ck_assert_str_eq(talk(".\r\n"), "220 250 250 250 354 552");
	setup();
	conf.message_size_bytes = 10;
	ck_assert_str_eq(talk(TO_ALICE "DATA\r\n" MESSAGE ".\r\n"),
	    "220 250 250 250 354 552");
	setup();
	ck_assert_str_eq(talk(TO_ALICE "BDAT 99999999999 LAST\r\nNOOP\r\n"),
	    "220 250 250 250 552");
	setup();
	ck_assert_str_eq(talk(TO_ALICE "BDAT x LAST\r\nNOOP\r\n"),
	    "220 250 250 250 501");
}
END_TEST

START_TEST(too_many_recipients_are_refused_for_now)
{
	conf.max_recipients = 1;
	ck_assert_str_eq(talk(TO_ALICE "RCPT TO:<bob@example.test>\r\n"),
	    "220 250 250 250 452");
}
END_TEST

START_TEST(a_loop_is_cut)
{
	ck_assert_str_eq(talk(TO_ALICE "DATA\r\nReceived: 1\r\nReceived: 2\r\n"
	                               "Received: 3\r\n\r\n.\r\n"),
	    "220 250 250 250 354 250");
	setup();
	ck_assert_str_eq(talk(TO_ALICE "DATA\r\nReceived: 1\r\nReceived: 2\r\n"
	                               "Received: 3\r\nReceived: 4\r\n"
	                               "\r\n.\r\n"),
	    "220 250 250 250 354 554");
	ck_assert(said("554 5.4.6 "));
}
END_TEST

START_TEST(failures_of_the_queue_are_told_after_the_end)
{
	static const struct {
		int status, code;
	} row[] = { { PH_FULL, 452 }, { PH_UNAVAILABLE, 451 }, { PH_IO, 451 },
		{ PH_TOO_BIG, 552 }, { PH_DENIED, 550 } };
	char want[64];

	for (size_t i = 0; i < 5; i++) {
		snprintf(want, sizeof(want), "220 250 250 250 354 %d 221",
		    row[i].code);
		setup();
		fake.commit_status = row[i].status;
		ck_assert_str_eq(
		    talk(TO_ALICE "DATA\r\n" MESSAGE ".\r\nQUIT\r\n"), want);
		setup();
		fake.write_status = row[i].status;
		fake.write_fails_from = 1;
		ck_assert_str_eq(
		    talk(TO_ALICE "DATA\r\n" MESSAGE ".\r\nQUIT\r\n"), want);
		ck_assert_uint_eq(fake.aborted, 1);
	}
}
END_TEST

START_TEST(a_lost_client_leaves_nothing_behind)
{
	ck_assert_str_eq(talk(TO_ALICE "DATA\r\nA: b\r\n\r\nx"),
	    "220 250 250 250 354");
	ck_assert_uint_eq(fake.committed, 0);
	ck_assert_uint_eq(fake.aborted, 1);
	ck_assert(logged("session_end end=eof"));
	setup();
	fake.end_status = PH_TIMEOUT;
	ck_assert_str_eq(talk(TO_ALICE "DATA\r\n"), "220 250 250 250 354 421");
	setup();
	fake.end_status = PH_CANCELED;
	ck_assert_str_eq(talk(TO_ALICE), "220 250 250 250");
}
END_TEST

START_TEST(a_dripping_client_is_cut_off)
{
	conf.data_timeout_ms = 20; /* the fake clock ticks at each look */
	conf.min_rate_bytes = 1000000;
	fake_input(TO_ALICE "DATA\r\n");
	fake.step = 1;
	ck_assert_str_eq(
	    talk("A: 0123456789012345678901234567890123456789\r\n.\r\n"),
	    "220 250 250 250 354 421");
}
END_TEST

START_TEST(swallows_misplaced_chunks)
{
	ck_assert_str_eq(talk("EHLO c\r\nBDAT 6\r\nQUIT\r\nNOOP\r\n"),
	    "220 250 503 250");
	setup();
	conf.message_size_bytes = 10;
	ck_assert_str_eq(talk(TO_ALICE "BDAT 12\r\nA: b\r\n\r\n1234"
	                               "BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n"),
	    "220 250 250 250 552 503 250");
}
END_TEST

/* --- the pipeline --- */

START_TEST(verdicts_are_honoured_at_each_stage)
{
	static const struct {
		enum ph_stage stage;
		const char *reject, *defer, *discard;
	} row[] = {
		{ PH_AT_CONNECT, "554 503 503 503 503 503 503 503 503 221",
		    "421", NULL },
		{ PH_AT_HELO, "220 554 503 503 503 500 500 500 421", NULL,
		    NULL },
		{ PH_AT_MAIL, "220 250 554 503 503 500 500 500 421", NULL,
		    NULL },
		{ PH_AT_RCPT, "220 250 250 554 554 500 500 500 421", NULL,
		    "220 250 250 250 354 250 221" },
		{ PH_AT_DATA, "220 250 250 250 354 554 221",
		    "220 250 250 250 354 450 221",
		    "220 250 250 250 354 250 221" },
		{ PH_AT_MESSAGE, "220 250 250 250 354 554 221",
		    "220 250 250 250 354 450 221",
		    "220 250 250 250 354 250 221" },
	};
	static const char script[] =
	    TO_ALICE "DATA\r\n" MESSAGE ".\r\nQUIT\r\n";

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		setup();
		fake.outcome[row[i].stage] = (struct ph_outcome){ PH_REJECT,
			554, "5.7.9", "no (token)", "m" };
		ck_assert_str_eq(talk(script), row[i].reject);
		ck_assert(row[i].stage == PH_AT_CONNECT ||
		    said("554 5.7.9 no (token)\r\n"));
		ck_assert_uint_eq(fake.committed, 0);
		if (row[i].defer != NULL) {
			setup();
			fake.outcome[row[i].stage] = (struct ph_outcome){
				PH_DEFER, 450, "4.7.9", "wait (token)", "m" };
			ck_assert_str_eq(talk(script), row[i].defer);
		}
		if (row[i].discard != NULL) {
			setup();
			fake.outcome[row[i].stage].verdict = PH_DISCARD;
			ck_assert_str_eq(talk(script), row[i].discard);
			ck_assert_uint_eq(fake.committed, 0);
			ck_assert(logged("discarded from=x@out.test"));
		}
	}
	setup();
	fake.outcome[PH_AT_RCPT].verdict = PH_QUARANTINE;
	ck_assert_str_eq(talk(script), "220 250 250 250 354 250 221");
	ck_assert_uint_eq(fake.committed, 1);
}
END_TEST

START_TEST(codes_that_do_not_fit_a_verdict_are_replaced)
{
	fake.outcome[PH_AT_MAIL] =
	    (struct ph_outcome){ PH_DEFER, 550, "5.7.1", "x (t)", "m" };
	talk(OPENING);
	ck_assert(said("451 4.7.1 x (t)\r\n"));
}
END_TEST

START_TEST(refusals_carry_a_token_and_no_input)
{
	talk(OPENING "RCPT TO:<victim@elsewhere.test>\r\n");
	ck_assert(said("550 5.7.1 relaying denied (fakesessionid)\r\n"));
	ck_assert(!said("victim"));
	ck_assert(logged("refused stage=RCPT code=550 enhanced=5.7.1 "
	                 "reason=relaying denied state=mail from=x@out.test "
	                 "rcpt=victim@elsewhere.test client=192.0.2.7 "
	                 "helo=c.test"));
}
END_TEST

START_TEST(the_log_quotes_what_was_wrong_and_no_password)
{
	char line[300];

	memset(line, 'y', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	fake_input("MAIL FROM:x@y\r\nEHLO c\r\nMAIL FROM:x@y\r\nFOO: bar\r\n"
	           "RCPT TO:<");
	fake_input(line);
	talk("\r\nMAIL FROM:<x@out.test>\r\nRCPT TO:<v@elsewhere.test>\r\n");
	ck_assert(logged("stage=MAIL code=503 enhanced=5.5.1 reason=EHLO comes "
	                 "first state=greeted line=MAIL FROM:x@y client="));
	ck_assert(logged("stage=MAIL code=501 enhanced=5.1.7 reason=syntax error "
	                 "in the sender address state=ready line=MAIL FROM:x@y "));
	ck_assert(logged("stage=command code=500 enhanced=5.5.1 reason=unknown "
	                 "command state=ready line=FOO: client="));
	ck_assert(logged("state=ready line=RCPT TO:<yyy"));
	ck_assert(!logged(line + sizeof(line) - 100));
	ck_assert(logged("reason=relaying denied state=mail from="));
	setup();
	conf.auth = conf.allow_plain_auth = true;
	talk("EHLO c\r\nAUTH FOO\r\nAUTH PLAIN a b\r\nc2VjcmV0\r\n"
	     "EHLO a b\r\nAUTHPLAIN c2VjcmV0\r\n");
	ck_assert(!logged("c2VjcmV0") && !logged("PLAIN"));
	ck_assert(logged("line=EHLO a b client="));
}
END_TEST

/* --- TLS and AUTH --- */

START_TEST(starttls_forgets_all_that_was_said_before)
{
	fake.has_tls = true;
	fake_input("EHLO c\r\nSTARTTLS\r\nNOOP\r\nMAIL FROM:<>\r\n");
	ck_assert_str_eq(talk("MAIL FROM:<>\r\nEHLO c\r\nSTARTTLS\r\n"),
	    "220 250 220 503 250 503");
	ck_assert_str_eq(fake_text(&fake.asked), "connect helo tls helo");
	setup();
	fake.has_tls = fake.tls_fails = true;
	fake_input("STARTTLS\r\n");
	ck_assert_str_eq(talk("NOOP\r\n"), "220 220");
	setup();
	ck_assert_str_eq(talk("STARTTLS\r\n"), "220 502");
	setup();
	fake.has_tls = conf.auth = conf.allow_plain_auth = true;
	ck_assert_str_eq(talk("EHLO c\r\nAUTH PLAIN Z29vZA==\r\nSTARTTLS\r\n"),
	    "220 250 235 503");
	setup();
	fake.has_tls = true;
	fake.outcome[PH_AT_TLS] = (struct ph_outcome){ PH_REJECT, 554, "5.7.1",
		"no (t)", "m" };
	fake_input("STARTTLS\r\n");
	ck_assert_str_eq(talk("EHLO c\r\nQUIT\r\n"), "220 220 554 221");
}
END_TEST

START_TEST(auth_follows_rfc_4954)
{
	conf.auth = conf.allow_plain_auth = true;
	ck_assert_str_eq(talk("EHLO c\r\nAUTH PLAIN\r\nYmFk\r\nAUTH PLAIN\r\n"
	                      "*\r\nAUTH LOGIN\r\nx\r\nAUTH NOPE\r\n"
	                      "AUTH PLAIN !\r\nAUTH PLAIN dGVtcA==\r\n"
	                      "AUTH\r\nAUTH PLAIN Z29vZA==\r\n"
	                      "AUTH PLAIN Z29vZA==\r\nEHLO c\r\n"),
	    "220 250 334 535 334 501 334 535 504 501 454 501 235 503 250");
	ck_assert(said("334 \r\n"));
	ck_assert(logged("sasl_abort"));
	setup();
	conf.auth = fake.has_tls = true;
	ck_assert_str_eq(talk("EHLO c\r\nAUTH PLAIN Z29vZA==\r\n"),
	    "220 250 538");
	ck_assert(!said("AUTH PLAIN"));
	setup();
	ck_assert_str_eq(talk("EHLO c\r\nAUTH PLAIN Z29vZA==\r\n"),
	    "220 250 503");
	setup();
	conf.auth = conf.allow_plain_auth = true;
	fake.outcome[PH_AT_AUTH].verdict = PH_REJECT;
	ck_assert_str_eq(talk("EHLO c\r\nAUTH PLAIN Z29vZA==\r\nNOOP\r\n"),
	    "220 250 550");
}
END_TEST

START_TEST(helo_takes_no_extensions)
{
	ck_assert_str_eq(talk("HELO c\r\nMAIL FROM:<> SIZE=1\r\n"
	                      "AUTH PLAIN Z29vZA==\r\nMAIL FROM:<>\r\n"
	                      "RCPT TO:<alice@example.test>\r\nDATA\r\n.\r\n"),
	    "220 250 555 503 250 250 354 250");
	ck_assert_ptr_nonnull(strstr(fake_text(&fake.content), "with SMTP id"));
	setup();
	ck_assert_str_eq(talk("EHLO c\r\nMAIL FROM:<\xc3\xa4@x.test>\r\n"),
	    "220 250 550");
}
END_TEST

/* --- submission --- */

#define LOGGED_IN "EHLO c\r\nAUTH PLAIN Z29vZA==\r\n" \
	"MAIL FROM:<alice@example.test>\r\nRCPT TO:<v@elsewhere.test>\r\n" \
	"DATA\r\n"

START_TEST(submission_wants_tls_then_a_login)
{
	fake.has_tls = true;
	fake_input(OPENING "STARTTLS\r\n");
	ck_assert_str_eq(submit(OPENING "AUTH PLAIN Z29vZA==\r\n"
	                                "MAIL FROM:<evil@x.test>\r\n"
	                                "MAIL FROM:<>\r\n"),
	    "220 250 530 220 250 530 235 553 250");
}
END_TEST

START_TEST(submission_completes_the_header_section)
{
	fake.tls = "TLSv1.3 X";
	ck_assert_str_eq(
	    submit(LOGGED_IN "From: A <Alice@EXAMPLE.test>\r\n\r\n.\r\n"),
	    "220 250 235 250 250 354 550");
	setup();
	fake.tls = "TLSv1.3 X";
	ck_assert_str_eq(
	    submit(LOGGED_IN "From: A <alice@EXAMPLE.test>\r\n\r\n.\r\n"),
	    "220 250 235 250 250 354 250");
	ck_assert_ptr_nonnull(strstr(fake_text(&fake.content),
	    "with ESMTPSA id fakesessionid.1\r\n\t(using TLSv1.3 X)\r\n"));
	ck_assert_ptr_nonnull(strstr(fake_text(&fake.content),
	    "\r\nDate: Mon, 23 Nov 2026 07:47:00 +0000\r\n"
	    "Message-ID: <fakesessionid.1@mail.example.test>\r\nFrom:"));
	setup();
	fake.tls = "TLSv1.3 X";
	submit(LOGGED_IN "From: alice@example.test\r\ndate: x\r\n"
	                 "Message-Id: <y>\r\n\r\n.\r\n");
	ck_assert_ptr_null(strstr(fake_text(&fake.content), "Date: "));
	ck_assert_ptr_null(strstr(fake_text(&fake.content), "Message-ID: "));
	setup();
	fake.tls = "TLSv1.3 X";
	ck_assert_str_eq(submit(LOGGED_IN "hello\r\n.\r\n"),
	    "220 250 235 250 250 354 250");
	ck_assert_ptr_nonnull(strstr(fake_text(&fake.content),
	    "\r\nFrom: <alice@example.test>\r\nDate: "));
}
END_TEST

START_TEST(submission_looks_at_who_is_the_sender)
{
	static const struct {
		unsigned sender_field;
		const char *header, *codes, *has;
	} rows[] = {
		{ SMTP_SENDER_CHECK, "Sender: eve@x.test\r\n", "550", NULL },
		{ SMTP_SENDER_CHECK, "sender : alice@example.test, eve@x.test"
		    "\r\n", "550", NULL },
		{ SMTP_SENDER_CHECK, "Sender: alice@example.test\r\n"
		    "Sender: eve@x.test\r\n", "550", NULL },
		{ SMTP_SENDER_CHECK, "Sender: \r\n", "550", NULL },
		{ SMTP_SENDER_CHECK, "Sender: A <alice@EXAMPLE.test>\r\n",
		    "250", "\r\nSender: A <alice@EXAMPLE.test>\r\n" },
		{ SMTP_SENDER_SET, "Sender: eve@x.test\r\n", "250", NULL },
		{ SMTP_SENDER_KEEP, "Sender: eve@x.test\r\n", "250",
		    "\r\nSender: eve@x.test\r\n" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		setup();
		fake.tls = "TLSv1.3 X";
		conf.sender_field = rows[i].sender_field;
		fake_input(LOGGED_IN "From: alice@example.test\r\n");
		fake_input(rows[i].header);
		ck_assert_msg(strcmp(submit("\r\n.\r\n") + 24,
		    rows[i].codes) == 0, "%s", rows[i].header);
		if (rows[i].has != NULL)
			ck_assert_ptr_nonnull(strstr(fake_text(&fake.content),
			    rows[i].has));
		else
			ck_assert_ptr_null(strstr(fake_text(&fake.content),
			    "Sender: "));
	}
	setup();
	fake.tls = "TLSv1.3 X";
	conf.sender_field = SMTP_SENDER_SET;
	conf.check_from = false;
	ck_assert_str_eq(submit(LOGGED_IN "From: eve@x.test\r\n"
	    "Sender: eve@x.test\r\n\r\n.\r\n"), "220 250 235 250 250 354 250");
	ck_assert_ptr_nonnull(strstr(fake_text(&fake.content),
	    "\r\nSender: <alice@example.test>\r\n"));
	ck_assert_ptr_null(strstr(fake_text(&fake.content), "Sender: eve"));
}
END_TEST

START_TEST(submission_refuses_a_from_that_is_not_the_users)
{
	static const char *const header[] = {
		"From: eve@example.test\r\n\r\n",
		"From: alice@example.test, eve@example.test\r\n\r\n",
		"From: alice@example.test\r\nFrom: eve@x.test\r\n\r\n",
		"From: alice@example.test\r\nfrom : eve@x.test\r\n\r\n",
		"From: \r\n\r\n",
		"From: alice@example.test <eve@x.test>\r\n\r\n",
		"From: g: alice@example.test, eve@x.test;\r\n\r\n",
		"From: g:;\r\n\r\n",
		/* another reader may see eve there */
		"From: <alice@example.test> <eve@x.test>\r\n\r\n",
		"From: eve@x.test@y, alice@example.test\r\n\r\n",
		"From: <eve@x.test@y>, alice@example.test\r\n\r\n",
		"From: two words, alice@example.test\r\n\r\n",
		"From: alice@example.test, \"eve@x.test\r\n\r\n",
		"From: alice@example.test (eve@x.test\r\n\r\n",
		"From: alice@example.test, <eve@x.test\r\n\r\n",
		"From: alice@example.test\1\r\n\r\n",
		"From: alice@example.test\r\n eve@x.test\r\n\r\n",
	};

	for (size_t i = 0; i < sizeof(header) / sizeof(header[0]); i++) {
		setup();
		fake.tls = "TLSv1.3 X";
		fake_input(LOGGED_IN);
		fake_input(header[i]);
		ck_assert_msg(strcmp(submit(".\r\n"),
		                  "220 250 235 250 250 354 550") == 0,
		    "%s", header[i]);
		ck_assert_uint_eq(fake.committed, 0);
	}
	setup();
	fake.tls = "TLSv1.3 X";
	conf.check_from = false;
	ck_assert_str_eq(submit(LOGGED_IN "From: eve@x.test\r\n\r\n.\r\n"),
	    "220 250 235 250 250 354 250");
}
END_TEST

START_TEST(submission_drops_what_is_not_for_the_recipients)
{
	static const char with[] = "BCC: a@x.test,\r\n b@x.test\r\n"
	    "From: alice@example.test\r\nDate: x\r\nMessage-ID: <y>\r\n"
	    "Bcc : c@x.test\r\nResent-Bcc: d@x.test\r\nTo: e@x.test\r\n"
	    "Return-Path: <f@x.test>\r\n\r\nBcc: body\r\n.\r\n";

	fake.tls = "TLSv1.3 X";
	fake_input(LOGGED_IN);
	ck_assert_str_eq(submit(with), "220 250 235 250 250 354 250");
	ck_assert_str_eq(strstr(fake_text(&fake.content), "+0000\r\n"),
	    "+0000\r\nFrom: alice@example.test\r\nDate: x\r\n"
	    "Message-ID: <y>\r\nTo: e@x.test\r\n\r\nBcc: body\r\n");
	setup(); /* on its way, mail is left alone */
	fake_input(TO_ALICE "DATA\r\n");
	talk(with);
	ck_assert_ptr_nonnull(strstr(fake_text(&fake.content),
	    "+0000\r\nBCC: a@x.test,\r\n b@x.test\r\nFrom: "));
	setup();
	fake.tls = "TLSv1.3 X";
	ck_assert_str_eq(submit(LOGGED_IN "Bcc: a\r\nno field\r\n.\r\n"),
	    "220 250 235 250 250 354 250");
	ck_assert_ptr_nonnull(strstr(fake_text(&fake.content),
	    "@mail.example.test>\r\n\r\nno field\r\n"));
	setup();
	fake.tls = "TLSv1.3 X";
	submit(LOGGED_IN "Bcc: a\r\n\r\nx\r\n.\r\n");
	ck_assert_ptr_nonnull(strstr(fake_text(&fake.content),
	    "@mail.example.test>\r\n\r\nx\r\n"));
}
END_TEST

START_TEST(farewell_is_one_line)
{
	smtp_farewell(ph_session_stream(fake_session()), &conf, "h.test",
	    PH_CANCELED);
	ck_assert_str_eq(fake_output(), "421 4.3.2 h.test shutting down\r\n");
}
END_TEST

static Suite *
engine_suite(void)
{
	Suite *suite = suite_create("engine");
	TCase *tc = tcase_create("engine");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, takes_a_message);
	tcase_add_test(tc, the_cut_of_the_input_makes_no_difference);
	tcase_add_test(tc, facts_travel_with_the_message);
	tcase_add_test(tc, a_message_without_header_gets_an_empty_line);
	tcase_add_test(tc, the_line_of_an_mbox_is_left_out);
	tcase_add_test(tc, an_empty_message_is_taken);
	tcase_add_test(tc, bare_newlines_are_refused_at_the_true_end);
	tcase_add_test(tc, listed_networks_are_normalized);
	tcase_add_test(tc, commands_with_odd_octets_are_refused);
	tcase_add_test(tc, long_lines_are_refused);
	tcase_add_test(tc, http_is_dropped_without_a_word);
	tcase_add_test(tc, unknown_commands_and_errors_end_the_session);
	tcase_add_test(tc, refuses_what_is_too_much);
	tcase_add_test(tc, too_many_recipients_are_refused_for_now);
	tcase_add_test(tc, a_loop_is_cut);
	tcase_add_test(tc, failures_of_the_queue_are_told_after_the_end);
	tcase_add_test(tc, a_lost_client_leaves_nothing_behind);
	tcase_add_test(tc, a_dripping_client_is_cut_off);
	tcase_add_test(tc, swallows_misplaced_chunks);
	tcase_add_test(tc, verdicts_are_honoured_at_each_stage);
	tcase_add_test(tc, codes_that_do_not_fit_a_verdict_are_replaced);
	tcase_add_test(tc, refusals_carry_a_token_and_no_input);
	tcase_add_test(tc, the_log_quotes_what_was_wrong_and_no_password);
	tcase_add_test(tc, starttls_forgets_all_that_was_said_before);
	tcase_add_test(tc, auth_follows_rfc_4954);
	tcase_add_test(tc, helo_takes_no_extensions);
	tcase_add_test(tc, submission_wants_tls_then_a_login);
	tcase_add_test(tc, submission_completes_the_header_section);
	tcase_add_test(tc, submission_looks_at_who_is_the_sender);
	tcase_add_test(tc, submission_refuses_a_from_that_is_not_the_users);
	tcase_add_test(tc, submission_drops_what_is_not_for_the_recipients);
	tcase_add_test(tc, farewell_is_one_line);
	suite_add_tcase(suite, tc);
	return suite;
}

int
main(void)
{
	SRunner *runner = srunner_create(engine_suite());
	int failed;

	srunner_add_suite(runner, order_suite());
	srunner_add_suite(runner, parse_suite());
	srunner_add_suite(runner, policy_suite());
	srunner_add_suite(runner, relay_suite());
	srunner_add_suite(runner, split_suite());
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
