/* SPDX-License-Identifier: Apache-2.0 */
/* pop3_test.c - both halves over a scripted stream and a fake mailbox. */
#include <check.h>
#include <stdlib.h>

#include <posthouse/arena.h>

#include "fake_session.h"
#include "multiline.h"
#include "pop3.h"

extern const struct ph_module pop3_LTX_ph_module;

static struct pop3_conf conf;

static struct fake_message messages[] = {
	{ { .uid = 5, .size = 28 }, "A: b\r\n\r\none\r\n.two\r\n..\r\n3\r\n",
	    false },
	{ { .uid = 9, .size = 8 }, "A: c\r\n\r\n", false },
	{ { .uid = 12, .size = 12 }, ".\r\n.\r\nx\r.y\n.z", false },
};

/* The loop is not there. */
uint64_t
ph_deadline_push(unsigned ms)
{
	return ms;
}

void
ph_deadline_restore(uint64_t deadline_ms)
{
	(void)deadline_ms;
}

static void
setup(void)
{
	fake_reset();
	conf = (struct pop3_conf){ 1000, 1000, 10, false };
	fake.message = messages;
	fake.messages = 3;
	for (int i = 0; i < 3; i++)
		messages[i].removed = false;
}

static const char *
log_in(const char *text)
{
	fake_input(text);
	pop3_LTX_ph_module.listener->session(fake_session(), &conf);
	return fake_output();
}

static const char *
read_mail(const char *text)
{
	fake_input(text);
	fake.user = "alice@example.test";
	pop3_LTX_ph_module.listener->user_session(fake_session(), &conf,
	    PH_LIT(""));
	return fake_output();
}

#define HELLO "+OK mail.example.test POP3 posthouse\r\n"

START_TEST(login_needs_tls)
{
	fake.has_tls = true;
	fake_input("USER alice\r\nPASS secret\r\nAUTH PLAIN Z29vZA==\r\n"
	           "CAPA\r\nSTLS\r\nQUIT\r\n");
	ck_assert_str_eq(log_in("CAPA\r\nUSER alice\r\nPASS secret\r\n"),
	    HELLO "-ERR [AUTH] STLS comes first\r\n"
	          "-ERR [AUTH] STLS comes first\r\n"
	          "-ERR [AUTH] STLS comes first\r\n"
	          "+OK capabilities follow\r\nTOP\r\nUIDL\r\nRESP-CODES\r\n"
	          "AUTH-RESP-CODE\r\nPIPELINING\r\nEXPIRE NEVER\r\n"
	          "IMPLEMENTATION posthouse\r\nSTLS\r\n.\r\n"
	          "+OK go ahead\r\n"
	          "+OK capabilities follow\r\nTOP\r\nUIDL\r\nRESP-CODES\r\n"
	          "AUTH-RESP-CODE\r\nPIPELINING\r\nEXPIRE NEVER\r\n"
	          "IMPLEMENTATION posthouse\r\nUSER\r\nSASL PLAIN LOGIN\r\n"
	          ".\r\n+OK now the password\r\n");
	ck_assert_ptr_nonnull(fake.handed_over.p);
}
END_TEST

START_TEST(stls_forgets_the_user)
{
	conf.allow_plain_auth = fake.has_tls = true;
	fake_input("USER alice\r\nSTLS\r\nPASS secret\r\n");
	ck_assert_str_eq(log_in("PASS secret\r\nSTLS\r\n"),
	    HELLO "+OK now the password\r\n+OK go ahead\r\n"
	          "-ERR USER comes first\r\n-ERR TLS is active already\r\n");
	ck_assert_ptr_null(fake.handed_over.p);
}
END_TEST

START_TEST(wrong_logins_are_told)
{
	conf.allow_plain_auth = true;
	ck_assert_str_eq(
	    log_in("PASS x\r\nUSER alice\r\nPASS wrong\r\nPASS secret\r\n"
	           "USER\r\nAUTH\r\nAUTH NOPE\r\nAUTH PLAIN\r\n*\r\n"
	           "AUTH PLAIN dGVtcA==\r\nAUTH LOGIN\r\nZ29vZA==\r\n"),
	    HELLO "-ERR USER comes first\r\n+OK now the password\r\n"
	          "-ERR [AUTH] wrong user or password\r\n"
	          "-ERR USER comes first\r\n-ERR wrong argument\r\n"
	          "-ERR wrong argument\r\n-ERR mechanism not offered\r\n"
	          "+ \r\n-ERR authentication given up\r\n"
	          "-ERR [SYS/TEMP] not possible now, try again later\r\n"
	          "+ VXNlcm5hbWU6\r\n");
	ck_assert_ptr_nonnull(fake.handed_over.p);
}
END_TEST

START_TEST(a_failed_hand_over_ends_the_session)
{
	conf.allow_plain_auth = true;
	fake.handover_status = PH_UNAVAILABLE;
	ck_assert_str_eq(log_in("AUTH PLAIN Z29vZA==\r\nCAPA\r\n"),
	    HELLO "-ERR [SYS/TEMP] the mailbox can't be reached now\r\n");
}
END_TEST

START_TEST(strangers_get_few_tries)
{
	ck_assert_str_eq(log_in("STAT\r\nA\r\nB\r\nCAPA\r\n"),
	    HELLO "-ERR unknown command\r\n-ERR unknown command\r\n"
	          "-ERR unknown command\r\n-ERR too many errors, good bye\r\n");
	setup();
	ck_assert_str_eq(log_in("GET / HTTP/1.0\r\nCAPA\r\n"), HELLO);
	setup();
	fake_input_octets("QUIT\0\r\n", 7);
	ck_assert_str_eq(log_in(""),
	    HELLO "-ERR control octets in a command\r\n");
}
END_TEST

START_TEST(lists_the_maildrop)
{
	ck_assert_str_eq(
	    read_mail("STAT\r\nLIST\r\nLIST 2\r\nUIDL\r\nUIDL 3\r\nDELE 2\r\n"
	              "STAT\r\nLIST\r\nUIDL 2\r\nRSET\r\nSTAT\r\nNOOP\r\n"),
	    "+OK welcome\r\n+OK 3 48\r\n"
	    "+OK listing follows\r\n1 28\r\n2 8\r\n3 12\r\n.\r\n"
	    "+OK 2 8\r\n"
	    "+OK listing follows\r\n1 77.5\r\n2 77.9\r\n3 77.12\r\n.\r\n"
	    "+OK 3 77.12\r\n+OK marked to be deleted\r\n+OK 2 40\r\n"
	    "+OK listing follows\r\n1 28\r\n3 12\r\n.\r\n"
	    "-ERR no such message\r\n"
	    "+OK no message is marked any more\r\n+OK 3 48\r\n+OK done\r\n");
}
END_TEST

START_TEST(content_is_stuffed)
{
	ck_assert_str_eq(
	    read_mail("RETR 1\r\nTOP 1 1\r\nTOP 1 0\r\nTOP 2 9\r\nRETR 3\r\n"),
	    "+OK welcome\r\n"
	    "+OK 26 octets\r\nA: b\r\n\r\none\r\n..two\r\n...\r\n3\r\n.\r\n"
	    "+OK top of the message follows\r\nA: b\r\n\r\none\r\n.\r\n"
	    "+OK top of the message follows\r\nA: b\r\n\r\n.\r\n"
	    "+OK top of the message follows\r\nA: c\r\n\r\n.\r\n"
	    "+OK 13 octets\r\n..\r\n..\r\nx\r..y\n..z\r\n.\r\n");
}
END_TEST

START_TEST(refuses_bad_arguments)
{
	ck_assert_str_eq(
	    read_mail("RETR\r\nRETR 0\r\nRETR 4\r\nRETR 4294967297\r\n"
	              "RETR -1\r\nTOP 1\r\nTOP 1 -1\r\nSTAT 1\r\nDELE x\r\n"),
	    "+OK welcome\r\n-ERR wrong argument\r\n-ERR no such message\r\n"
	    "-ERR no such message\r\n-ERR no such message\r\n"
	    "-ERR no such message\r\n-ERR wrong argument\r\n"
	    "-ERR wrong argument\r\n-ERR wrong argument\r\n"
	    "-ERR no such message\r\n");
}
END_TEST

START_TEST(quit_removes_and_nothing_else_does)
{
	ck_assert_str_eq(read_mail("DELE 1\r\nDELE 3\r\nQUIT\r\nSTAT\r\n"),
	    "+OK welcome\r\n+OK marked to be deleted\r\n"
	    "+OK marked to be deleted\r\n+OK good bye\r\n");
	ck_assert(messages[0].removed && !messages[1].removed &&
	    messages[2].removed);
	ck_assert_ptr_nonnull(strstr(fake_text(&fake.log), "removed=2"));
	setup();
	read_mail("DELE 1\r\n");
	ck_assert(!messages[0].removed);
	setup();
	fake.end_status = PH_TIMEOUT;
	ck_assert_str_eq(read_mail("DELE 1\r\n"),
	    "+OK welcome\r\n+OK marked to be deleted\r\n");
	ck_assert(!messages[0].removed);
	setup();
	fake.remove_status = PH_IO;
	read_mail("DELE 1\r\nQUIT\r\n");
	ck_assert_ptr_nonnull(strstr(fake_output(), "-ERR [SYS/TEMP] some"));
}
END_TEST

START_TEST(tells_when_messages_or_the_mailbox_are_gone)
{
	messages[1].removed = true;
	ck_assert_str_eq(read_mail("RETR 2\r\n"),
	    "+OK welcome\r\n-ERR the message is gone\r\n");
	setup();
	fake.open_status = PH_UNAVAILABLE;
	ck_assert_str_eq(read_mail("STAT\r\n"),
	    "-ERR [SYS/TEMP] the mailbox can't be opened now\r\n");
}
END_TEST

/* Stuffing against the rule applied an octet at a time. */
START_TEST(stuffing_agrees_with_the_rule_on_random_octets)
{
	static const char alphabet[] = "\r\n.x";
	char text[40], want[100], got[100];

	srandom(11);
	for (int round = 0; round < 100000; round++) {
		const size_t n = (size_t)random() % sizeof(text);
		struct multiline walk = { .rest = { text, n } };
		size_t w = 0, g = 0;
		struct ph_slice run;
		bool stuff;

		for (size_t i = 0; i < n; i++) {
			text[i] = alphabet[random() % 4];
			if (text[i] == '.' && (i == 0 || text[i - 1] == '\r' ||
			                          text[i - 1] == '\n'))
				want[w++] = '.';
			want[w++] = text[i];
		}
		while (multiline_next(&walk, &run, &stuff)) {
			if (stuff)
				got[g++] = '.';
			memcpy(got + g, run.p, run.n);
			g += run.n;
		}
		if (w != g || memcmp(want, got, w) != 0)
			ck_abort_msg("round %d", round);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("pop3");
	TCase *tc = tcase_create("pop3");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, login_needs_tls);
	tcase_add_test(tc, stls_forgets_the_user);
	tcase_add_test(tc, wrong_logins_are_told);
	tcase_add_test(tc, a_failed_hand_over_ends_the_session);
	tcase_add_test(tc, strangers_get_few_tries);
	tcase_add_test(tc, lists_the_maildrop);
	tcase_add_test(tc, content_is_stuffed);
	tcase_add_test(tc, refuses_bad_arguments);
	tcase_add_test(tc, quit_removes_and_nothing_else_does);
	tcase_add_test(tc, tells_when_messages_or_the_mailbox_are_gone);
	tcase_add_test(tc, stuffing_agrees_with_the_rule_on_random_octets);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
