/* SPDX-License-Identifier: Apache-2.0 */
/* ctl_test.c - which lines of a log tell the story of an id. */
#include <check.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "ctl/print.h"
#include "ctl/trace.h"

#define SESSION "000000000s0s1"
#define QUEUE_1 "000000000q001"
#define QUEUE_2 "000000000q002"
#define BOUNCE "000000000b001"

static const char log_text[] =
    "T info edge[1] connected session=" SESSION " client=192.0.2.1\n"
    "T info edge[1] connected session=000000000s0s2 client=192.0.2.2\n"
    "T info edge[1] accepted session=" SESSION " queue=" QUEUE_1
    " received=" SESSION ".1\n"
    "T info edge[1] accepted session=" SESSION " queue=" QUEUE_2
    " received=" SESSION ".2\n"
    "T info queue[2] delivered queue=" QUEUE_2 " to=x\n"
    "T warn queue[2] bounced queue=" QUEUE_1 " bounce=" BOUNCE "\n"
    "T info queue[2] delivered queue=" BOUNCE " to=y\n"
    "T info edge[1] refused session=000000000s0s2 reply=\"no (" SESSION
    ")\"\n"
    "T info edge[1] closed session=" SESSION "\n";

static char folder[] = "/tmp/posthouse-ctl-XXXXXX";
static struct ph_arena *arena;

static const char *
path_of(const char *name)
{
	return ph_arena_printf(arena, "%s/%s", folder, name);
}

/* The first n lines behind the skipped ones; times: by the order of calls. */
static void
write_part(const char *name, unsigned skip, unsigned n)
{
	static time_t changed = 1600000000;
	bool is_packed = strstr(name, ".gz") != NULL;
	struct timespec times[2] = { { 0 } };
	const char *at = log_text, *end;
	gzFile part;

	while (skip-- > 0)
		at = strchr(at, '\n') + 1;
	for (end = at; n > 0 && *end != '\0'; n--)
		end = strchr(end, '\n') + 1;
	part = gzopen(path_of(name), is_packed ? "wb" : "wbT");
	ck_assert_int_eq(gzwrite(part, at, (unsigned)(end - at)),
	    (int)(end - at));
	gzclose(part);
	times[0].tv_sec = times[1].tv_sec = changed++;
	utimensat(AT_FDCWD, path_of(name), times, 0);
}

static void
setup(void)
{
	arena = ph_arena_create(NULL);
	strcpy(folder + sizeof(folder) - 7, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(folder));
	write_part("log.2.gz", 0, 2);
	write_part("log-1", 2, 2);
	write_part("log.1.gz", 4, 3);
	write_part("log.1", 4, 3); /* not yet removed */
	write_part("log", 7, 9);
	write_part("logs", 0, 9); /* another program's */
	ck_assert_int_eq(mkdir(path_of("log.d"), 0700), 0);
}

static void
teardown(void)
{
	static const char *const names[] = { "log.2.gz", "log-1", "log.1.gz",
		"log.1", "log", "logs" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		unlink(path_of(names[i]));
	rmdir(path_of("log.d"));
	rmdir(folder);
	ph_arena_free(arena);
}

static char *
story(const char *id, long *count_out)
{
	struct logs logs;
	const char *path;
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	ck_assert_int_eq(logs_find(arena, path_of("log"), 0, &logs), 0);
	ck_assert_uint_eq(logs.n, 4);
	*count_out = trace_print(&logs, ph_slice_str(id), trace_put_text,
	    out, &path);
	fclose(out);
	return text;
}

START_TEST(parts_come_in_order_and_none_from_before_the_id)
{
	struct logs logs;

	ck_assert_int_eq(logs_find(arena, path_of("log"), 0, &logs), 0);
	ck_assert_uint_eq(logs.n, 4);
	ck_assert_str_eq(logs.path[0], path_of("log.2.gz"));
	ck_assert_str_eq(logs.path[1], path_of("log-1"));
	ck_assert_str_eq(logs.path[2], path_of("log.1"));
	ck_assert_str_eq(logs.path[3], path_of("log"));
	ck_assert_int_eq(logs_find(arena, path_of("log"), INT64_MAX, &logs), 0);
	ck_assert_uint_eq(logs.n, 1);
	ck_assert_int_eq(logs_find(arena, path_of("lo"), 0, &logs), PH_IO);
}
END_TEST

START_TEST(a_damaged_part_is_named)
{
	struct logs logs;
	const char *path = "";
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	ck_assert_int_eq(truncate(path_of("log.2.gz"), 40), 0);
	ck_assert_int_eq(logs_find(arena, path_of("log"), 0, &logs), 0);
	ck_assert_int_lt(trace_print(&logs, PH_LIT(SESSION), trace_put_text,
	    out, &path), 0);
	ck_assert_str_eq(path, path_of("log.2.gz"));
	fclose(out);
	free(text);
}
END_TEST

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

START_TEST(the_id_in_received_leads_to_that_message_alone)
{
	long count;
	char *text = story(SESSION ".1", &count), *other;

	ck_assert_int_eq(count, 5);
	other = story(QUEUE_1, &count);
	ck_assert_str_eq(text, other);
	free(text);
	free(other);
	text = story(SESSION ".12", &count);
	ck_assert_int_eq(count, 0);
	free(text);
	ck_assert_int_eq(trace_since_ms(PH_LIT(SESSION ".1")),
	    trace_since_ms(PH_LIT(SESSION)));
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

START_TEST(a_line_of_the_log_is_an_object)
{
	static const struct {
		struct ph_slice line;
		const char *json;
	} cases[] = {
		{ PH_LIT("T info edge[1] connected session=s client=192.0.2.1"),
		    "{\"type\":\"log\",\"time\":\"T\",\"level\":\"info\","
		    "\"process\":\"edge\",\"pid\":1,\"event\":\"connected\","
		    "\"fields\":{\"session\":\"s\",\"client\":\"192.0.2.1\"}}\n" },
		{ PH_LIT("T warn queue[22] x a=\"b \\\"c\\\" \\\\x41 \\xc3\\xbc\\xff\""
			 " d= a=2 e=\"\""),
		    "{\"type\":\"log\",\"time\":\"T\",\"level\":\"warn\","
		    "\"process\":\"queue\",\"pid\":22,\"event\":\"x\","
		    "\"fields\":{\"a\":\"b \\\"c\\\" \\\\x41 \xc3\xbc\\ufffd\","
		    "\"d\":\"\",\"e\":\"\"}}\n" },
		{ PH_LIT("T info edge[1] stopped"),
		    "{\"type\":\"log\",\"time\":\"T\",\"level\":\"info\","
		    "\"process\":\"edge\",\"pid\":1,\"event\":\"stopped\","
		    "\"fields\":{}}\n" },
		{ PH_LIT("T info edge[1] x a=\"open"),
		    "{\"type\":\"log\",\"text\":\"T info edge[1] x "
		    "a=\\\"open\"}\n" },
		{ PH_LIT("T info edge x a=b"), "{\"type\":\"log\",\"text\":"
			"\"T info edge x a=b\"}\n" },
		{ PH_LIT("\x1b"), "{\"type\":\"log\",\"text\":\"\\u001b\"}\n" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text = NULL;
		size_t size = 0;
		FILE *out = open_memstream(&text, &size);

		trace_put_json(cases[i].line, out);
		fclose(out);
		ck_assert_str_eq(text, cases[i].json);
		free(text);
	}
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

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, parts_come_in_order_and_none_from_before_the_id);
	tcase_add_test(tc, a_damaged_part_is_named);
	tcase_add_test(tc, a_session_leads_to_all_its_messages);
	tcase_add_test(tc,
	    a_message_leads_to_its_session_and_bounce_but_to_no_other_message);
	tcase_add_test(tc, the_id_in_received_leads_to_that_message_alone);
	tcase_add_test(tc, a_bounce_leads_back_to_the_message);
	tcase_add_test(tc, an_unknown_id_has_no_story);
	tcase_add_test(tc, a_line_of_the_log_is_an_object);
	tcase_add_test(tc, a_terminal_is_told_nothing_by_strangers);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
