/* SPDX-License-Identifier: Apache-2.0 */
/* notice_test.c - templates of reports: what is read, what is refused, and where. */
#include "queue/notice.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>

static struct ph_arena *arena;

static void
setup(void)
{
	arena = ph_arena_create(NULL);
}

static void
teardown(void)
{
	ph_arena_free(arena);
}

static const char *const values[NOTICE_VARIABLES] = { "mail.test", "ID",
	"a@b.test", "Monday", "Friday", "4", "5" };

static const char *
expanded(struct ph_slice text)
{
	struct ph_buf buf;

	ph_buf_init(&buf, arena, 4096);
	notice_expand(text, values, &buf);
	ph_buf_char(&buf, '\0');
	return ph_buf_content(&buf).p;
}

START_TEST(takes_what_a_file_says_and_the_rest_as_shipped)
{
	static const char file[] =
	    "# ours\n"
	    "\n"
	    "failure_template = <<EOF\r\n"
	    "Charset: us-ascii\r\n"
	    "From: MAILER-DAEMON (Mail Delivery System)\r\n"
	    "Subject: Not sent by ${hostname}\r\n"
	    "Postmaster-Subject: x\r\n"
	    "\n"
	    "$sender: $(queue_id)s cost $$5,\n"
	    "\n"
	    "$maximal_queue_lifetime_days days\n"
	    "EOF\n"
	    "verify_template = <<X\n"
	    "Subject: never\n"
	    "\n"
	    "x\n"
	    "X\n";
	struct notices notices;
	unsigned line = 0;
	const char *why = NULL;

	ck_assert_int_eq(notices_parse(arena, ph_slice_str(file), &notices,
	                     &line, &why), PH_OK);
	ck_assert_str_eq(expanded(notices.kind[NOTICE_FAILURE].subject),
	    "Not sent by mail.test");
	ck_assert_str_eq(expanded(notices.kind[NOTICE_FAILURE].text),
	    "a@b.test: IDs cost $5,\r\n\r\n5 days\r\n");
	ck_assert_str_eq(expanded(notices.kind[NOTICE_DELAY].subject),
	    "Your message is delayed");
	ck_assert(ph_slice_eq(notices.kind[NOTICE_FAILURE].charset,
	    PH_LIT("us-ascii")));
}
END_TEST

START_TEST(takes_a_file_of_other_systems)
{
	static const char file[] = "\357\273\277# Notizen\r\n"
	    "failure_template = <<E\r\nFrom: \"Post, \303\274ber <x>\" "
	    "<post@${hostname}>\r\n\r\n\303\234 $queue_id\r\n\r\nb\r\nE\r\n";
	struct notices notices;
	unsigned line = 0;
	const char *why = NULL;

	ck_assert_msg(notices_parse(arena, ph_slice_str(file), &notices, &line,
	                  &why) == PH_OK, "%u: %s", line, why);
	ck_assert_str_eq(expanded(notices.kind[NOTICE_FAILURE].text),
	    "\303\234 ID\r\n\r\nb\r\n");
}
END_TEST

START_TEST(says_what_is_wrong_and_in_which_line)
{
#define HEAD "failure_template = <<E\nSubject: s\n\n"
	static const struct {
		const char *file;
		unsigned line;
		const char *why;
	} cases[] = {
		{ "x\n", 1, "NAME_template" },
		{ "\nfailure = <<E\n", 2, "unknown template \"failure\"" },
		{ "\n\n" HEAD "text\n", 3, "no end" },
		{ HEAD "ok\n$sendr\n", 5, "unknown variable $sendr" },
		{ HEAD "100 $\nE\n", 4, "$$" },
		{ HEAD "${hostname\nE\n", 4, "$$" },
		{ HEAD "a\001b\nE\n", 4, "control" },
		{ HEAD "\377\nE\n", 4, "charset" },
		{ "delay_template = <<E\nSubject: $sender\n", 2, "header" },
		{ "delay_template = <<E\nSubjekt: x\n", 2, "unknown header" },
		{ "delay_template = <<E\nCharset: a b\n", 2, "no charset" },
		{ "delay_template = <<E\nCharset: us-ascii\n\n\303\274\nE\n",
		    4, "charset" },
		{ HEAD "E\n", 4, "no text" },
		{ "delay_template = <<E\nCharset: utf8\n", 2, "called utf-8" },
		{ "delay_template = <<E\nFrom: A, B <a@b.test>\n", 2, "comma" },
		{ "delay_template = <<E\nFrom: A <a@b.test\n", 2, "one address" },
		{ "delay_template = <<E\nFrom: A <>\n", 2, "one address" },
		{ "delay_template = <<E\nFrom: a: b@c.test;\n", 2,
		    "one address" },
		{ "delay_template = <<E\nFrom: A <p\303\266st@$hostname>\n", 2,
		    "in ASCII" },
		{ "delay_template = <<E\nFrom: $sender\n", 2, "header" },
		{ HEAD "text\nE\nE\n", 6, "NAME_template" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct notices notices;
		unsigned line = 0;
		const char *why = "";

		ck_assert_int_eq(notices_parse(arena,
		    ph_slice_str(cases[i].file), &notices, &line, &why),
		    PH_INVALID);
		ck_assert_msg(line == cases[i].line &&
		    strstr(why, cases[i].why) != NULL, "%zu: line %u: %s", i,
		    line, why);
	}
}
END_TEST

START_TEST(ships_the_words_that_it_uses)
{
	char text[NOTICE_FILE_MAX];
	const char *from;
	FILE *file = fopen(SHIPPED, "r");
	size_t n;

	ck_assert_ptr_nonnull(file);
	n = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	text[n] = '\0';
	from = strstr(text, "failure_template");
	ck_assert_ptr_nonnull(from);
	ck_assert_str_eq(from, notices_shipped);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("notice");
	TCase *tcase = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, takes_what_a_file_says_and_the_rest_as_shipped);
	tcase_add_test(tcase, takes_a_file_of_other_systems);
	tcase_add_test(tcase, says_what_is_wrong_and_in_which_line);
	tcase_add_test(tcase, ships_the_words_that_it_uses);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
