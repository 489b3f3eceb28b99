/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy_test.c - what clients must put up with: the wait before the greeting,
 * HELO, tarpit, rates, XCLIENT; loops by Delivered-To, and binary content.
 */
#include "engine_fixture.h"

#include <stdio.h>

#include "future_release.h"

static void
setup(void)
{
	fake_reset();
	conf = (struct smtp_conf){ FIXTURE_CONF };
}

/* --- before the greeting --- */

START_TEST(early_talkers_may_only_quit)
{
	conf.greet_delay_ms = 5000;
	ck_assert_str_eq(talk(TO_ALICE "QUIT\r\n"), "554 503 503 503 221");
	ck_assert(said("554 5.5.1 you spoke before the greeting ("));
	ck_assert_str_eq(fake_text(&fake.asked), "");
	setup();
	conf.greet_delay_ms = 5000;
	fake.silences = 1;
	ck_assert_str_eq(talk(TO_ALICE "QUIT\r\n"), "220 250 250 250 221");
	setup();
	conf.greet_delay_ms = 5000;
	fake.may_relay = true;
	ck_assert_str_eq(talk("QUIT\r\n"), "220 221");
	setup();
	conf.greet_delay_ms = 5000;
	ck_assert_str_eq(talk(""), "");
	ck_assert(logged("session_end end=eof"));
}
END_TEST

/* --- certificates of clients --- */

START_TEST(a_required_certificate_comes_before_mail_and_login)
{
	static const char first[] = "EHLO c\r\nMAIL FROM:<>\r\n";

	fake.wants_certificate = fake.has_tls = true;
	ck_assert_str_eq(talk(first), "220 250 530");
	ck_assert(said("530 5.7.0 STARTTLS comes first ("));
	setup();
	fake.wants_certificate = true;
	fake.tls = "TLSv1.3 X";
	ck_assert_str_eq(talk_as("EHLO c\r\nMAIL FROM:<>\r\n"
	    "AUTH PLAIN AGEAYg==\r\nNOOP\r\n", &submission),
	    "220 250 530 530 250");
	ck_assert(said("530 5.7.0 a certificate that we can verify"));
	setup();
	fake.wants_certificate = true;
	fake.tls = "TLSv1.3 X";
	fake.certificate = "c.test";
	ck_assert_str_eq(talk(first), "220 250 250");
	ck_assert(logged("certificate=0a0b certificate_of=c.test "
	                 "certificate_verified=yes"));
}
END_TEST

/* --- HELO --- */

START_TEST(our_own_name_is_refused_from_others)
{
	static const char *const name[] = { "mail.example.test",
		"MAIL.EXAMPLE.TEST", "[198.51.100.1]", "198.51.100.1" };

	for (size_t i = 0; i < sizeof(name) / sizeof(name[0]); i++) {
		setup();
		conf.helo_refuse_own = true;
		fake_input("EHLO ");
		fake_input(name[i]);
		ck_assert_str_eq(talk("\r\nMAIL FROM:<>\r\nHELO c\r\n"),
		    "220 550 503 250");
		setup();
		conf.helo_refuse_own = true;
		fake.may_relay = true;
		fake_input("EHLO ");
		fake_input(name[i]);
		ck_assert_str_eq(talk("\r\n"), "220 250");
		setup();
		conf.helo_refuse_own = true;
		fake.client = fake.local;
		fake_input("EHLO ");
		fake_input(name[i]);
		ck_assert_str_eq(talk("\r\n"), "220 250");
	}
}
END_TEST

START_TEST(a_bare_address_is_refused_when_configured)
{
	ck_assert_str_eq(talk("EHLO 192.0.2.7\r\n"), "220 250");
	setup();
	conf.helo_refuse_address = true;
	ck_assert_str_eq(talk("EHLO 192.0.2.7\r\nHELO ::1\r\n"
	                      "EHLO [192.0.2.7]\r\n"), "220 550 550 250");
}
END_TEST

/* --- tarpit, rates --- */

START_TEST(refusals_of_strangers_wait)
{
	conf.tarpit_ms = 700;
	talk("NOOP\r\nMAIL FROM:<>\r\nDATA\r\nQUIT\r\n");
	ck_assert_uint_eq(fake.slept_ms, 1400);
	setup();
	conf.tarpit_ms = 700;
	fake.may_relay = true;
	talk("MAIL FROM:<>\r\n");
	ck_assert_uint_eq(fake.slept_ms, 0);
}
END_TEST

START_TEST(rates_of_a_client)
{
	conf.client_messages = 2;
	ck_assert_str_eq(talk(OPENING OPENING OPENING "NOOP\r\n"),
	    "220 250 250 250 250 250 450 250");
	ck_assert(said("450 4.7.1 too many messages from you"));
	setup();
	conf.client_recipients = 1;
	ck_assert_str_eq(talk(TO_ALICE "RCPT TO:<bob@example.test>\r\n"),
	    "220 250 250 250 450");
	setup();
	conf.client_recipients = conf.client_messages = 1;
	fake.may_relay = true;
	ck_assert_str_eq(talk(TO_ALICE "RCPT TO:<bob@example.test>\r\n"),
	    "220 250 250 250 250");
	setup();
	conf.recipient_messages = 1;
	ck_assert_str_eq(talk(TO_ALICE OPENING
	                     "RCPT TO:<Alice@example.test>\r\n"
	                     "RCPT TO:<bob@example.test>\r\n"),
	    "220 250 250 250 250 250 450 250");
	setup(); /* who can't be counted is not refused */
	conf.client_messages = 1;
	fake.kv_status = PH_UNAVAILABLE;
	ck_assert_str_eq(talk(OPENING OPENING), "220 250 250 250 250");
}
END_TEST

START_TEST(an_ipv6_client_counts_by_its_64)
{
	static const char *const addr[] = { "2001:db8::1", "2001:db8::2",
		"2001:db8:0:1::1" };

	conf.client_messages = 5;
	for (size_t i = 0; i < 3; i++) {
		ck_assert(ph_addr_parse(ph_slice_str(addr[i]), &fake.client));
		talk(OPENING);
	}
	ck_assert_uint_eq(fake.counters, 2);
	ck_assert_uint_eq(fake.counter[0].count, 2);
}
END_TEST

START_TEST(rates_of_a_user)
{
	fake.tls = "TLSv1.3 X";
	conf.user_messages = 1;
	ck_assert_str_eq(talk_as("EHLO c\r\nAUTH PLAIN Z29vZA==\r\n"
	                         "MAIL FROM:<alice@example.test>\r\nRSET\r\n"
	                         "MAIL FROM:<alice@example.test>\r\n",
	                     &submission),
	    "220 250 235 250 250 450");
	setup();
	fake.tls = "TLSv1.3 X";
	conf.user_recipients = 1;
	ck_assert_str_eq(talk_as("EHLO c\r\nAUTH PLAIN Z29vZA==\r\n"
	                         "MAIL FROM:<alice@example.test>\r\n"
	                         "RCPT TO:<a@x.test>\r\nRCPT TO:<b@x.test>\r\n",
	                     &submission),
	    "220 250 235 250 250 450");
}
END_TEST

/* --- submission --- */

START_TEST(sender_check_has_three_degrees)
{
	static const char script[] = "EHLO c\r\nAUTH PLAIN Z29vZA==\r\n"
	    "MAIL FROM:<eve@x.test>\r\nRSET\r\n"
	    "MAIL FROM:<alice@example.test>\r\nRSET\r\nMAIL FROM:<>\r\n";
	static const char *const want[] = {
		[SMTP_SENDER_OFF] = "220 250 235 250 250 250 250 250",
		[SMTP_SENDER_OWN] = "220 250 235 553 250 250 250 250",
		[SMTP_SENDER_ALIASES] = "220 250 235 553 250 250 250 250",
	};

	for (unsigned i = 0; i < 3; i++) {
		setup();
		fake.tls = "TLSv1.3 X";
		conf.sender_check = i;
		ck_assert_str_eq(talk_as(script, &submission), want[i]);
	}
}
END_TEST

START_TEST(whose_an_address_is_may_be_unsure)
{
	static const char script[] = "EHLO c\r\nAUTH PLAIN Z29vZA==\r\n"
	    "MAIL FROM:<unsure@example.test>\r\n"
	    "MAIL FROM:<alice@example.test>\r\nRCPT TO:<bob@example.test>\r\n"
	    "DATA\r\nFrom: unsure@example.test\r\n\r\n.\r\n";

	fake.tls = "TLSv1.3 X";
	conf.check_from = true;
	ck_assert_str_eq(talk_as(script, &submission),
	    "220 250 235 451 250 250 354 451");
}
END_TEST

START_TEST(a_from_that_is_added_is_the_users)
{
	static const char script[] = "EHLO c\r\nAUTH PLAIN Z29vZA==\r\n"
	    "MAIL FROM:<eve@x.test>\r\nRCPT TO:<bob@example.test>\r\n"
	    "DATA\r\nSubject: x\r\n\r\n.\r\n";

	fake.tls = "TLSv1.3 X";
	conf.sender_check = SMTP_SENDER_OFF;
	conf.check_from = true;
	talk_as(script, &submission);
	ck_assert_ptr_nonnull(strstr(fake_text(&fake.content),
	    "\r\nFrom: <alice@example.test>\r\n"));
	setup();
	fake.tls = "TLSv1.3 X";
	conf.sender_check = SMTP_SENDER_OFF;
	talk_as(script, &submission);
	ck_assert_ptr_nonnull(strstr(fake_text(&fake.content),
	    "\r\nFrom: <eve@x.test>\r\n"));
}
END_TEST

START_TEST(the_client_can_be_hidden)
{
	fake.tls = "TLSv1.3 X";
	conf.hide_client = true;
	talk_as("EHLO secret.test\r\nAUTH PLAIN Z29vZA==\r\n"
	        "MAIL FROM:<alice@example.test>\r\n"
	        "RCPT TO:<bob@example.test>\r\nDATA\r\n\r\n.\r\n", &submission);
	ck_assert_ptr_nonnull(strstr(fake_text(&fake.content),
	    "Received: from hidden.invalid\r\n\tby "));
	ck_assert_ptr_null(strstr(fake_text(&fake.content), "192.0.2.7"));
	ck_assert_ptr_null(strstr(fake_text(&fake.content), "secret.test"));
}
END_TEST

/* --- XCLIENT --- */

START_TEST(a_front_end_names_its_client)
{
	struct ph_net net;

	ck_assert(ph_net_parse(PH_LIT("192.0.2.7"), &net));
	conf.xclient_networks = (struct ph_net_list){ &net, 1 };
	ck_assert_str_eq(talk("EHLO front\r\nXCLIENT NAME=[UNAVAILABLE] "
	                      "ADDR=203.0.113.5 PORT=2525 HELO=true+2Etest\r\n"
	                      "MAIL FROM:<>\r\nEHLO c\r\n"
	                      "XCLIENT ADDR=IPV6:2001:db8::7\r\nEHLO c\r\n"
	                      "MAIL FROM:<>\r\nRCPT TO:<bob@example.test>\r\n"
	                      "DATA\r\n\r\n.\r\n"),
	    "220 250 220 503 250 220 250 250 250 354 250");
	ck_assert(said("250-XCLIENT NAME ADDR PORT PROTO HELO\r\n") ||
	    said("250 XCLIENT NAME ADDR PORT PROTO HELO\r\n"));
	ck_assert_ptr_nonnull(strstr(fake_text(&fake.content),
	    "from c ([IPv6:2001:db8::7])"));
	ck_assert_str_eq(fake_text(&fake.asked), "connect helo connect helo "
	    "connect helo mail rcpt data message");
	ck_assert(logged("client_named client=203.0.113.5"));
}
END_TEST

/* The front end may relay; whom it does not know may not. */
START_TEST(a_client_without_an_address_is_not_the_front_end)
{
	struct ph_net net;

	ck_assert(ph_net_parse(PH_LIT("192.0.2.7"), &net));
	conf.xclient_networks = (struct ph_net_list){ &net, 1 };
	ck_assert_str_eq(talk("EHLO front\r\nXCLIENT ADDR=[UNAVAILABLE]\r\n"
	                      "EHLO c\r\nMAIL FROM:<>\r\n"
	                      "RCPT TO:<bob@example.test>\r\n"
	                      "DATA\r\n\r\n.\r\n"),
	    "220 250 220 250 250 250 354 250");
	ck_assert(logged("client_named client=0.0.0.0"));
	ck_assert_ptr_nonnull(strstr(fake_text(&fake.content),
	    "from c ([0.0.0.0])"));
}
END_TEST

/* Errors were the former client's; the counts of connections are the core's. */
START_TEST(limits_are_of_the_client_that_was_named)
{
	static const char script[] = "EHLO c\r\nX\r\nX\r\n"
	    "XCLIENT ADDR=203.0.113.5\r\nX\r\nX\r\nEHLO c\r\nNOOP\r\n";
	struct ph_net net;

	ck_assert(ph_net_parse(PH_LIT("192.0.2.7"), &net));
	conf.xclient_networks = (struct ph_net_list){ &net, 1 };
	conf.max_unknown = conf.max_errors = 3;
	ck_assert_str_eq(talk(script), "220 250 500 500 220 500 500 250 250");
	setup();
	conf.xclient_networks = (struct ph_net_list){ &net, 1 };
	fake.client_status = PH_BUSY;
	ck_assert_str_eq(talk("EHLO c\r\nXCLIENT ADDR=203.0.113.5\r\n"
	                      "NOOP\r\n"), "220 250 421");
	ck_assert(logged("session_end end=refused client=203.0.113.5"));
	setup(); /* rates, too */
	conf.xclient_networks = (struct ph_net_list){ &net, 1 };
	conf.client_messages = 1;
	ck_assert_str_eq(talk("EHLO c\r\nMAIL FROM:<>\r\nRSET\r\n"
	                      "MAIL FROM:<>\r\n"
	                      "XCLIENT ADDR=203.0.113.5\r\nEHLO c\r\n"
	                      "MAIL FROM:<>\r\n"),
	    "220 250 250 250 450 220 250 250");
}
END_TEST

/* --- FUTURERELEASE, RFC 4865 --- */

START_TEST(a_date_is_read_in_all_its_forms)
{
	static const struct {
		const char *text;
		int64_t want; /* -1: refused */
	} date[] = {
		{ "1970-01-01T00:00:01Z", 1 },
		{ "2000-02-29t12:00:00z", 951825600 },
		{ "2000-02-29T12:00:00.25Z", 951825600 },
		{ "2000-02-29T12:00:00+01:30", 951820200 },
		{ "2000-02-29T12:00:00-01:30", 951831000 },
		{ "2016-12-31T23:59:60Z", 1483228799 },
		{ "2001-02-29T12:00:00Z", -1 }, { "2000-13-01T12:00:00Z", -1 },
		{ "2000-00-01T12:00:00Z", -1 }, { "2000-01-00T12:00:00Z", -1 },
		{ "2000-01-01T24:00:00Z", -1 }, { "2000-01-01T12:60:00Z", -1 },
		{ "2000-01-01T12:00:61Z", -1 }, { "2000-01-01T12:00:00", -1 },
		{ "2000-01-01T12:00:00.Z", -1 }, { "2000-01-01T12:00Z", -1 },
		{ "2000-01-01T12:00:00+24:00", -1 }, { "", -1 },
		{ "2000-01-01T12:00:00+0100", -1 }, { "1969-01-01T0", -1 },
		{ "2000-01-01 12:00:00Z", -1 }, { "2000-1-01T12:00:00Z", -1 },
		{ "2000-01-01T12:00:00ZZ", -1 }, { "20000101T120000Z", -1 },
	};
	int64_t at;

	for (size_t i = 0; i < sizeof(date) / sizeof(date[0]); i++) {
		at = -1;
		ck_assert_msg(smtp_hold_until_parse(ph_slice_str(date[i].text),
		                  &at) == (date[i].want >= 0), "%s",
		    date[i].text);
		ck_assert_msg(at == date[i].want, "%s: %lld", date[i].text,
		    (long long)at);
	}
}
END_TEST

static const char *
talk_of_later(const char *mail, unsigned longest_ms)
{
	static char script[512];

	setup();
	fake.tls = "TLSv1.3 X";
	conf.future_release_ms = longest_ms;
	snprintf(script, sizeof(script), "EHLO c\r\nAUTH PLAIN Z29vZA==\r\n"
	    "MAIL FROM:<alice@example.test> %s\r\n"
	    "RCPT TO:<bob@example.test>\r\nDATA\r\n\r\n.\r\n", mail);
	return talk_as(script, &submission);
}

START_TEST(a_user_may_have_mail_held)
{
	static const char *const wrong[] = { "HOLDFOR=0", "HOLDFOR=3601",
		"HOLDFOR=1234567890", "HOLDFOR=-1", "HOLDFOR=x", "HOLDFOR",
		"HOLDUNTIL=2026-11-23T08:47:01Z", "HOLDUNTIL=tomorrow",
		"HOLDUNTIL=2026-11-23T07:47:00Z",
		"HOLDFOR=1 HOLDUNTIL=2026-11-23T07:47:01Z",
		"HOLDFOR=1 HOLDFOR=2" };
	static const char all[] = "220 250 235 250 250 354 250";

	ck_assert_str_eq(talk_of_later("HOLDFOR=60", 3600000), all);
	ck_assert(said("FUTURERELEASE 3600 2026-11-23T08:47:00Z\r\n"));
	ck_assert_ptr_nonnull(strstr(fake_text(&fake.envelope), "until=1795420080;"));
	ck_assert_ptr_nonnull(strstr(fake_text(&fake.envelope),
	    "future_release=for;60;"));
	ck_assert_str_eq(talk_of_later("HOLDUNTIL=2026-11-23T08:17:00Z",
	    3600000), all);
	ck_assert_ptr_nonnull(strstr(fake_text(&fake.envelope), "until=1795421820;"));
	ck_assert_str_eq(talk_of_later("HOLDUNTIL=2026-11-23T09:17:00+01:00",
	    3600000), all);
	ck_assert_ptr_nonnull(strstr(fake_text(&fake.envelope),
	    "future_release=until;2026-11-23T08:17:00Z;"));
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		ck_assert_msg(strncmp(talk_of_later(wrong[i], 3600000),
		                  "220 250 235 501", 15) == 0, "%s", wrong[i]);
	ck_assert_str_eq(talk_of_later("HOLDFOR=60", 0),
	    "220 250 235 555 503 503 500 500");
	ck_assert(!said("FUTURERELEASE"));
	setup();
	conf.future_release_ms = 3600000;
	ck_assert_str_eq(talk("EHLO c\r\nMAIL FROM:<> HOLDFOR=1\r\n"),
	    "220 250 555");
}
END_TEST

START_TEST(others_name_nobody)
{
	struct ph_net net;

	ck_assert_str_eq(talk("EHLO c\r\nXCLIENT ADDR=203.0.113.5\r\n"),
	    "220 250 550");
	ck_assert(!said("XCLIENT NAME"));
	setup(); /* nor does the client that was named */
	ck_assert(ph_net_parse(PH_LIT("203.0.113.5"), &net));
	conf.xclient_networks = (struct ph_net_list){ &net, 1 };
	ck_assert_str_eq(talk("XCLIENT ADDR=203.0.113.5\r\n"), "220 550");
}
END_TEST

START_TEST(broken_attributes_change_nothing)
{
	static const char *const line[] = { "XCLIENT\r\n", "XCLIENT ADDR\r\n",
		"XCLIENT ADDR=\r\n", "XCLIENT ADDR=1.2.3\r\n",
		"XCLIENT ADDR=1.2.3.4 PORT=65536\r\n",
		"XCLIENT LOGIN=alice\r\n", "XCLIENT HELO=a+0Ab\r\n",
		"XCLIENT HELO=a+2\r\n", "XCLIENT HELO=a+20b\r\n",
		"XCLIENT ADDR=203.0.113.5 ADDR=x\r\n" };
	struct ph_net net;

	ck_assert(ph_net_parse(PH_LIT("192.0.2.7"), &net));
	for (size_t i = 0; i < sizeof(line) / sizeof(line[0]); i++) {
		setup();
		conf.xclient_networks = (struct ph_net_list){ &net, 1 };
		ck_assert_msg(strcmp(talk(line[i]), "220 501") == 0, "%s",
		    line[i]);
		ck_assert(!logged("client_named"));
	}
}
END_TEST

START_TEST(a_refused_client_behind_a_front_end_may_only_quit)
{
	struct ph_net net;

	ck_assert(ph_net_parse(PH_LIT("192.0.2.7"), &net));
	conf.xclient_networks = (struct ph_net_list){ &net, 1 };
	fake.refused = PH_LIT("203.0.113.5");
	ck_assert_str_eq(talk("XCLIENT ADDR=203.0.113.5\r\nEHLO c\r\n"
	                      "MAIL FROM:<>\r\nQUIT\r\n"), "220 220 550 550 221");
}
END_TEST

/* --- content --- */

START_TEST(what_was_delivered_before_is_looping)
{
	ck_assert_str_eq(talk(TO_ALICE "DATA\r\nDelivered-To: bob@example.test"
	                               "\r\nDelivered-To:  Alice@example.test"
	                               "\r\n\r\n.\r\n"),
	    "220 250 250 250 354 554");
	ck_assert(said("554 5.4.6 delivered to this recipient before"));
	setup();
	ck_assert_str_eq(talk(TO_ALICE "DATA\r\nDelivered-To: bob@example.test"
	                               "\r\n\r\nDelivered-To: "
	                               "alice@example.test\r\n.\r\n"),
	    "220 250 250 250 354 250");
	setup(); /* another spelling of the same */
	ck_assert_str_eq(talk(TO_ALICE "DATA\r\nDelivered-To: "
	                               "\"alice\"@EXAMPLE.test\r\n\r\n.\r\n"),
	    "220 250 250 250 354 554");
	setup(); /* somebody else's business */
	fake.may_relay = true;
	ck_assert_str_eq(talk(OPENING "RCPT TO:<z@list.test>\r\nDATA\r\n"
	                              "Delivered-To: z@list.test\r\n\r\n.\r\n"),
	    "220 250 250 250 354 250");
}
END_TEST

#define BINARY "EHLO c\r\nMAIL FROM:<> BODY=BINARYMIME\r\n" \
	"RCPT TO:<bob@example.test>\r\n"

START_TEST(binary_content_comes_as_it_was_sent)
{
	static const char chunk[] = "BDAT 17\r\nA: b\r\n\r\n\0\n.\n\r\r\n.\r"
	    "BDAT 3 LAST\r\n.\r\nQUIT\r\n";

	fake_input(BINARY);
	fake_input_octets(chunk, sizeof(chunk) - 1);
	ck_assert_str_eq(talk(""), "220 250 250 250 250 250 221");
	ck_assert_uint_eq(fake.committed, 1);
	ck_assert(fake.content.n > 20 &&
	    memcmp(fake.content.p + fake.content.n - 20,
	        "A: b\r\n\r\n\0\n.\n\r\r\n.\r.\r\n", 20) == 0);
	ck_assert_str_eq(fake_text(&fake.envelope),
	    "|bob@example.test|body=BINARYMIME;ret=HDRS;");
}
END_TEST

START_TEST(binary_content_needs_chunks_and_a_clean_header)
{
	ck_assert_str_eq(talk(BINARY "DATA\r\nRSET\r\nMAIL FROM:<>\r\n"
	                             "RCPT TO:<bob@example.test>\r\n"
	                             "BDAT 4 LAST\r\nA\nB\n"),
	    "220 250 250 250 503 250 250 250 550");
	setup(); /* the recipients are still there for a chunk */
	ck_assert_str_eq(talk(BINARY "DATA\r\nBDAT 7 LAST\r\nA: b\r\n\n"),
	    "220 250 250 250 503 550");
	setup();
	ck_assert_str_eq(talk(BINARY "BDAT 10 LAST\r\nA: b\nc\r\n\r\n"),
	    "220 250 250 250 550");
	ck_assert(said("550 5.6.11 "));
}
END_TEST

START_TEST(size_tells_the_smaller_limit)
{
	fake.size_limit = 100;
	ck_assert_str_eq(talk("EHLO c\r\nMAIL FROM:<> SIZE=101\r\n"
	                      "MAIL FROM:<> SIZE=100\r\n"), "220 250 552 250");
	ck_assert(said("250-SIZE 100\r\n"));
	setup();
	ck_assert_str_eq(talk("EHLO c\r\n"), "220 250");
	ck_assert(said("250-SIZE 1048576\r\n"));
}
END_TEST

START_TEST(the_last_line_tells_who_and_what)
{
	talk(TO_ALICE "RCPT TO:<nobody@example.test>\r\n"
	              "RCPT TO:<unsure@example.test>\r\nQUIT\r\n");
	ck_assert(logged("session_end end=quit client=192.0.2.7 helo=c.test "
	                 "messages=0 rcpts=0 discarded=0 rejected=1 deferred=1"));
}
END_TEST

Suite *policy_suite(void);

Suite *
policy_suite(void)
{
	Suite *suite = suite_create("policy");
	TCase *tc = tcase_create("policy");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, early_talkers_may_only_quit);
	tcase_add_test(tc,
	    a_required_certificate_comes_before_mail_and_login);
	tcase_add_test(tc, our_own_name_is_refused_from_others);
	tcase_add_test(tc, a_bare_address_is_refused_when_configured);
	tcase_add_test(tc, refusals_of_strangers_wait);
	tcase_add_test(tc, rates_of_a_client);
	tcase_add_test(tc, an_ipv6_client_counts_by_its_64);
	tcase_add_test(tc, rates_of_a_user);
	tcase_add_test(tc, sender_check_has_three_degrees);
	tcase_add_test(tc, whose_an_address_is_may_be_unsure);
	tcase_add_test(tc, a_from_that_is_added_is_the_users);
	tcase_add_test(tc, the_client_can_be_hidden);
	tcase_add_test(tc, a_front_end_names_its_client);
	tcase_add_test(tc, a_client_without_an_address_is_not_the_front_end);
	tcase_add_test(tc, limits_are_of_the_client_that_was_named);
	tcase_add_test(tc, a_date_is_read_in_all_its_forms);
	tcase_add_test(tc, a_user_may_have_mail_held);
	tcase_add_test(tc, others_name_nobody);
	tcase_add_test(tc, broken_attributes_change_nothing);
	tcase_add_test(tc, a_refused_client_behind_a_front_end_may_only_quit);
	tcase_add_test(tc, what_was_delivered_before_is_looping);
	tcase_add_test(tc, binary_content_comes_as_it_was_sent);
	tcase_add_test(tc, binary_content_needs_chunks_and_a_clean_header);
	tcase_add_test(tc, size_tells_the_smaller_limit);
	tcase_add_test(tc, the_last_line_tells_who_and_what);
	suite_add_tcase(suite, tc);
	return suite;
}
