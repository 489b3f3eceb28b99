/* SPDX-License-Identifier: Apache-2.0 */
/* ctl_test.c - which lines of a log tell the story of an id. */
#include <check.h>

#include <stdio.h>
#include <stdlib.h>

#include "ctl/print.h"
#include "ctl/trace.h"

#define SESSION "000000000s0s1"
#define QUEUE_1 "000000000q001"
#define QUEUE_2 "000000000q002"
#define BOUNCE "000000000b001"

static const char log_text[] =
    "T info edge[1] connected session=" SESSION " client=192.0.2.1\n"
    "T info edge[1] connected session=000000000s0s2 client=192.0.2.2\n"
    "T info edge[1] accepted session=" SESSION " queue=" QUEUE_1 "\n"
    "T info edge[1] accepted session=" SESSION " queue=" QUEUE_2 "\n"
    "T info queue[2] delivered queue=" QUEUE_2 " to=x\n"
    "T warn queue[2] bounced queue=" QUEUE_1 " bounce=" BOUNCE "\n"
    "T info queue[2] delivered queue=" BOUNCE " to=y\n"
    "T info edge[1] refused session=000000000s0s2 reply=\"no (" SESSION
    ")\"\n"
    "T info edge[1] closed session=" SESSION "\n";

static char *
story(const char *id, long *count_out)
{
	FILE *log = fmemopen((void *)(uintptr_t)log_text, sizeof(log_text) - 1,
	    "r");
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	*count_out = trace_print(log, ph_slice_str(id), out);
	fclose(out);
	fclose(log);
	return text;
}

START_TEST(a_session_leads_to_all_its_messages)
{
	long count;
	char *text = story(SESSION, &count);

	ck_assert_int_eq(count, 7);
	ck_assert_ptr_nonnull(strstr(text, "delivered queue=" QUEUE_2));
	ck_assert_ptr_null(strstr(text, "192.0.2.2"));
	free(text);
}
END_TEST

START_TEST(a_message_leads_to_its_session_and_bounce_but_to_no_other_message)
{
	long count;
	char *text = story(QUEUE_1, &count);

	ck_assert_int_eq(count, 5);
	ck_assert_ptr_nonnull(strstr(text, "connected session=" SESSION));
	ck_assert_ptr_nonnull(strstr(text, "delivered queue=" BOUNCE));
	ck_assert_ptr_null(strstr(text, QUEUE_2));
	free(text);
}
END_TEST

START_TEST(a_bounce_leads_back_to_the_message)
{
	long count;
	char *text = story(BOUNCE, &count);

	ck_assert_int_eq(count, 5);
	ck_assert_ptr_nonnull(strstr(text, "accepted session=" SESSION));
	free(text);
}
END_TEST

START_TEST(an_unknown_id_has_no_story)
{
	long count;
	char *text = story("000000000zzzz", &count);

	ck_assert_int_eq(count, 0);
	free(text);
	text = story("not an id at all", &count);
	ck_assert_int_eq(count, 0);
	free(text);
}
END_TEST

START_TEST(a_terminal_is_told_nothing_by_strangers)
{
	static const char hostile[] = "Subject: \033]0;owned\007 \302\233 "
	    "\302\265\t\177 \r!\r\n\0.\n";
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	print_text((struct ph_slice){ hostile, sizeof(hostile) - 1 }, out);
	fclose(out);
	ck_assert_str_eq(text, "Subject: \\x1b]0;owned\\x07 \\x9b "
	    "\302\265\t\\x7f \\x0d!\n\\x00.\n");
	free(text);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("ctl");
	TCase *tc = tcase_create("trace");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, a_session_leads_to_all_its_messages);
	tcase_add_test(tc,
	    a_message_leads_to_its_session_and_bounce_but_to_no_other_message);
	tcase_add_test(tc, a_bounce_leads_back_to_the_message);
	tcase_add_test(tc, an_unknown_id_has_no_story);
	tcase_add_test(tc, a_terminal_is_told_nothing_by_strangers);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
