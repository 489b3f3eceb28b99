/* SPDX-License-Identifier: Apache-2.0 */
/* log_test.c - what a line looks like, that none can be forged, when it is
 * written. */
#include "log/log.h"

#include <check.h>
#include <fcntl.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <posthouse/arena.h>

#include "loop/fiber.h"

static char line[40000];

/* The line without its time, as a string. */
static const char *
format(enum ph_level level, const struct log_context *context,
    const struct ph_field *fields)
{
	struct ph_buf buf;

	ph_buf_init(&buf, NULL, sizeof(line) - 1);
	log_format(&buf, level, "event", context, fields);
	ck_assert_uint_lt(buf.n, sizeof(line));
	memcpy(line, buf.p, buf.n);
	line[buf.n] = '\0';
	ph_buf_fini(&buf);
	return strchr(line, ' ') + 1;
}

/* How a value is written, between "key=" and the end of the line. */
static const char *
value(struct ph_slice text)
{
	const char *at = format(PH_INFO, NULL, (const struct ph_field[]){
	    ph_f_slice("key", text), { 0 } });
	char *end = line + strlen(line) - 1;

	ck_assert_int_eq(*end, '\n');
	*end = '\0';
	at = strstr(at, " key=");
	ck_assert_ptr_nonnull(at);
	return at + 5;
}

START_TEST(a_line_is_time_level_process_event_ids_fields)
{
	const struct log_context context = { .session = "s1", .queue = "q1",
		.module = "m1", .hook = "connect" };
	regex_t wanted;
	char pattern[300];

	log_init(-1, PH_INFO, "edge");
	format(PH_NOTICE, &context, (const struct ph_field[]){
	    ph_f_str("from", "a@b.test"), ph_f_int("size", -12),
	    ph_f_int("none", 0), ph_f_int("least", INT64_MIN),
	    ph_f_int("most", INT64_MAX), ph_f_str("absent", NULL), { 0 } });
	snprintf(pattern, sizeof(pattern), "^20[0-9]{2}-[01][0-9]-[0-3][0-9]T"
	    "[0-2][0-9]:[0-5][0-9]:[0-6][0-9]\\.[0-9]{3}Z notice edge\\[%d\\] "
	    "event session=s1 queue=q1 module=m1 from=a@b.test size=-12 "
	    "none=0 least=-9223372036854775808 most=9223372036854775807\n$",
	    (int)getpid());
	ck_assert_int_eq(regcomp(&wanted, pattern, REG_EXTENDED), 0);
	ck_assert_msg(regexec(&wanted, line, 0, NULL, 0) == 0, "%s", line);
	regfree(&wanted);
}
END_TEST

START_TEST(plain_values_stand_bare_and_others_in_quotes)
{
	static const struct {
		struct ph_slice in;
		const char *out;
	} cases[] = {
		{ PH_LIT("plain"), "plain" },
		{ PH_LIT("<a@b>,(c);'d'"), "<a@b>,(c);'d'" },
		{ PH_LIT(""), "\"\"" },
		{ PH_LIT("two words"), "\"two words\"" },
		{ PH_LIT("a=b"), "\"a=b\"" },
		{ PH_LIT("say \"x\""), "\"say \\\"x\\\"\"" },
		{ PH_LIT("back\\slash"), "\"back\\\\slash\"" },
		{ PH_LIT("tab\there"), "\"tab\\x09here\"" },
		{ PH_LIT("\x7f"), "\"\\x7f\"" },
		{ PH_LIT("gr\xc3\xbc\xc3\x9f"),
		    "\"gr\\xc3\\xbc\\xc3\\x9f\"" },
		{ PH_LIT("nul\0inside"), "\"nul\\x00inside\"" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_str_eq(value(cases[i].in), cases[i].out);
}
END_TEST

START_TEST(no_octet_breaks_a_line_or_a_field)
{
	for (unsigned c = 0; c < 256; c++) {
		char text[] = { 'a', (char)c, 'b', '\0' };
		const char *got = value((struct ph_slice){ text, 3 });

		ck_assert_ptr_null(strchr(line, '\n'));
		for (const char *at = got; *at != '\0'; at++)
			ck_assert(*at >= ' ' && *at < 0x7f);
		if (got[0] == '"')
			continue;
		ck_assert_uint_eq(strlen(got), 3);
		ck_assert_ptr_null(strpbrk(got, " =\"\\"));
	}
	value(PH_LIT("x\r\n2026-01-01T00:00:00.000Z info edge[1] accepted"));
	ck_assert_ptr_nonnull(strstr(line, "\"x\\x0d\\x0a2026"));
}
END_TEST

START_TEST(ids_are_escaped_too)
{
	const struct log_context context = { .session = "a b=c" };

	format(PH_INFO, &context, (const struct ph_field[]){ { 0 } });
	ck_assert_ptr_nonnull(strstr(line, " session=\"a b=c\"\n"));
}
END_TEST

START_TEST(long_values_are_cut_and_say_so)
{
	char text[3000];
	const char *got;

	memset(text, 'x', sizeof(text));
	got = value((struct ph_slice){ text, 1024 });
	ck_assert_uint_eq(strlen(got), 1024);
	got = value((struct ph_slice){ text, sizeof(text) });
	ck_assert_uint_eq(strlen(got), 1024 + strlen("\"...\""));
	ck_assert_str_eq(got + 1025, "...\"");
}
END_TEST

/* --- writing --- */

static int ends[2];

static void
open_pipe(void)
{
	ck_assert_int_eq(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	log_init(ends[1], PH_INFO, "test");
}

static void
close_pipe(void)
{
	log_set_fd(-1);
	close(ends[0]);
	close(ends[1]);
}

/* What was written since the last time. */
static const char *
written(void)
{
	ssize_t n = read(ends[0], line, sizeof(line) - 1);

	line[n > 0 ? n : 0] = '\0';
	return line;
}

START_TEST(levels_below_the_chosen_one_are_left_out)
{
	static const char *const names[] = { "debug", "info", "notice", "warn",
		"error" };

	for (unsigned chosen = PH_DEBUG; chosen <= PH_ERROR; chosen++) {
		log_set_level((enum ph_level)chosen);
		for (unsigned at = PH_DEBUG; at <= PH_ERROR; at++) {
			ph_log((enum ph_level)at, "event");
			log_flush();
			ck_assert_int_eq(ph_log_enabled((enum ph_level)at),
			    at >= chosen);
			written();
			ck_assert_int_eq(line[0] != '\0', at >= chosen);
			if (at >= chosen)
				ck_assert_ptr_nonnull(strstr(line, names[at]));
		}
	}
}
END_TEST

START_TEST(a_line_that_is_too_long_is_cut_and_still_one_line)
{
	char text[1024];
	struct ph_slice all = { text, sizeof(text) };

	memset(text, '\n', sizeof(text));
	ph_log(PH_INFO, "event", ph_f_slice("a", all), ph_f_slice("b", all),
	    ph_f_slice("c", all), ph_f_slice("d", all), ph_f_slice("e", all));
	ph_log(PH_INFO, "second");
	written();
	ck_assert_uint_ge(strlen(line), 12000);
	ck_assert_uint_lt(strlen(line), 16500);
	ck_assert_int_eq(strchr(line, '\n')[1], '2');
	ck_assert_ptr_nonnull(strstr(strchr(line, '\n'), " second\n"));
}
END_TEST

static void
log_in_a_fiber(void *arg)
{
	struct log_context context = { .session = "s7" };

	(void)arg;
	fiber_context_set(&context);
	ph_log(PH_INFO, "first");
	ck_assert_str_eq(written(), "");
	ph_log(PH_WARN, "second");
	written();
	ck_assert_ptr_nonnull(strstr(line, " first session=s7\n"));
	ck_assert_ptr_nonnull(strstr(line, " second session=s7\n"));
	for (unsigned i = 0; i < 1000 && written()[0] == '\0'; i++)
		ph_log(PH_INFO, "many");
	ck_assert_ptr_nonnull(strstr(line, " many session=s7\n"));
	log_flush();
	written();
	ph_log(PH_INFO, "last");
	fiber_context_set(NULL);
	fiber_runtime_stop();
}

START_TEST(lines_wait_for_the_turns_end_but_warnings_do_not)
{
	fiber_runtime_init();
	fiber_start(log_in_a_fiber, NULL);
	fiber_runtime_run();
	ck_assert_ptr_nonnull(strstr(written(), " last session=s7\n"));
	fiber_runtime_fini();
}
END_TEST

START_TEST(a_log_that_can_not_be_written_holds_nothing_up)
{
	for (unsigned i = 0; i < 20000; i++) /* more than a pipe holds */
		ph_log(PH_INFO, "event");
	ck_assert_ptr_nonnull(strstr(written(), " event\n"));
	log_set_fd(-1);
	ph_log(PH_ERROR, "event");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("log");
	TCase *form = tcase_create("form"), *writing = tcase_create("writing");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(form, a_line_is_time_level_process_event_ids_fields);
	tcase_add_test(form, plain_values_stand_bare_and_others_in_quotes);
	tcase_add_test(form, no_octet_breaks_a_line_or_a_field);
	tcase_add_test(form, ids_are_escaped_too);
	tcase_add_test(form, long_values_are_cut_and_say_so);
	tcase_add_checked_fixture(writing, open_pipe, close_pipe);
	tcase_add_test(writing, levels_below_the_chosen_one_are_left_out);
	tcase_add_test(writing,
	    a_line_that_is_too_long_is_cut_and_still_one_line);
	tcase_add_test(writing,
	    lines_wait_for_the_turns_end_but_warnings_do_not);
	tcase_add_test(writing, a_log_that_can_not_be_written_holds_nothing_up);
	suite_add_tcase(suite, form);
	suite_add_tcase(suite, writing);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
