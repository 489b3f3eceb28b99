/* SPDX-License-Identifier: Apache-2.0 */
/* verdicts_test.c - what checks said before attempts, in a stored trace. */
#include <check.h>

#include <stdio.h>
#include <stdlib.h>

#include <posthouse/session.h>

#include "base/record.h"
#include "queue/verdicts.h"
#include "role/messages.h"

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

static void
put(struct ph_buf *buf, const char *module, enum ph_stage stage,
    enum ph_verdict verdict, const char *text, uint64_t micros)
{
	size_t mark = record_begin(buf, F_TRACE);

	record_put_str(buf, F_MODULE, module);
	record_put_u64(buf, F_STAGE, stage);
	record_put_u64(buf, F_VERDICT, verdict);
	if (text != NULL)
		record_put_str(buf, F_TEXT, text);
	record_put_u64(buf, F_MICROSECONDS, micros);
	record_put_u64(buf, F_SHADOW, 0);
	record_end(buf, mark);
}

/* What a check with two modules says at deliver. */
static struct ph_slice
said(const char *address, unsigned attempt, enum ph_verdict verdict)
{
	struct ph_buf answer, buf;

	ph_buf_init(&answer, arena, 4096);
	ph_buf_init(&buf, arena, VERDICTS_MAX);
	record_put_u64(&answer, F_VERDICT, verdict);
	put(&answer, "one", PH_AT_ROUTE, PH_NEXT, NULL, attempt);
	put(&answer, "two", PH_AT_DELIVER, verdict, "why not", attempt);
	verdicts_put(&buf, ph_buf_content(&answer), address, attempt);
	return ph_buf_content(&buf);
}

/* "session module=verdict module=verdict@address/attempt ..." */
static const char *
text_of(struct ph_slice trace)
{
	struct record_field field;
	struct ph_buf buf;

	ph_buf_init(&buf, arena, 1 << 20);
	while (record_next(&trace, &field)) {
		struct ph_slice to = record_get(field.value, F_ADDRESS);

		ph_buf_printf(&buf, PH_SLICE_FMT "=%s",
		    PH_SLICE_ARG(record_get(field.value, F_MODULE)),
		    ph_verdict_name((enum ph_verdict)record_get_u64(
		        field.value, F_VERDICT, 99)));
		if (to.p != NULL)
			ph_buf_printf(&buf, "@" PH_SLICE_FMT "/%u",
			    PH_SLICE_ARG(to), (unsigned)record_get_u64(
			        field.value, F_ATTEMPTS, 0));
		ph_buf_char(&buf, ' ');
	}
	ck_assert_ptr_nonnull(trace.p); /* sound to its end */
	ph_buf_char(&buf, '\0');
	return buf.p;
}

static struct ph_slice
of_session(void)
{
	struct ph_buf buf;

	ph_buf_init(&buf, arena, 4096);
	put(&buf, "two", PH_AT_RCPT, PH_NEXT, NULL, 7);
	return ph_buf_content(&buf);
}

START_TEST(what_is_new_replaces_what_was_said_before)
{
	struct ph_slice trace = of_session(), same;

	trace = verdicts_merge(arena, trace, said("a@b.test", 1, PH_DEFER));
	ck_assert_str_eq(text_of(trace),
	    "two=next one=next@a@b.test/1 two=defer@a@b.test/1 ");
	same = verdicts_merge(arena, trace, said("a@b.test", 2, PH_DEFER));
	ck_assert_ptr_eq(same.p, trace.p);
	trace = verdicts_merge(arena, trace, said("c@b.test", 1, PH_NEXT));
	trace = verdicts_merge(arena, trace, said("a@b.test", 3, PH_NEXT));
	ck_assert_str_eq(text_of(trace), "two=next one=next@a@b.test/1 "
	    "one=next@c@b.test/1 two=next@c@b.test/1 two=next@a@b.test/3 ");
	ck_assert_str_eq(text_of(verdicts_of(arena, trace, "c@b.test")),
	    "two=next one=next@c@b.test/1 two=next@c@b.test/1 ");
	same = verdicts_merge(arena, trace, (struct ph_slice){ NULL, 0 });
	ck_assert_ptr_eq(same.p, trace.p);
	ck_assert_str_eq(text_of(verdicts_merge(arena, PH_LIT(""),
	    said("a@b.test", 1, PH_DEFER))),
	    "one=next@a@b.test/1 two=defer@a@b.test/1 ");
}
END_TEST

START_TEST(the_oldest_make_room_and_the_session_stays)
{
	struct ph_slice trace = of_session();
	const size_t session_n = trace.n;
	const char *text;
	char last[32];

	for (unsigned i = 0; i < 1000; i++) {
		snprintf(last, sizeof(last), "n%u@b.test", i);
		trace = verdicts_merge(arena, trace,
		    said(last, 1, PH_DEFER));
		ck_assert_uint_le(trace.n, session_n + VERDICTS_MAX);
	}
	ck_assert_uint_gt(trace.n, session_n + VERDICTS_MAX - 1000);
	text = text_of(trace);
	ck_assert_int_eq(strncmp(text, "two=next one=", 13) == 0 ||
	    strncmp(text, "two=next two=", 13) == 0, 1);
	ck_assert_ptr_nonnull(strstr(text, " two=defer@n999@b.test/1 "));
	ck_assert_ptr_null(strstr(text, "@n0@b.test"));
}
END_TEST

/* A check process that is broken into may answer anything. */
START_TEST(what_is_no_verdict_is_left_out)
{
	static char longest[3000];
	struct ph_buf answer, buf;

	memset(longest, 'x', sizeof(longest) - 1);
	ph_buf_init(&answer, arena, 1 << 20);
	record_put_str(&answer, F_TRACE, "no record");
	put(&answer, "a", PH_AT_RCPT, PH_NEXT, NULL, 1);
	put(&answer, "b", PH_AT_DELIVER, (enum ph_verdict)77, NULL, 1);
	put(&answer, "", PH_AT_DELIVER, PH_NEXT, NULL, 1);
	put(&answer, longest, PH_AT_DELIVER, PH_NEXT, NULL, 1);
	put(&answer, "c\r\nd", PH_AT_DELIVER, PH_NEXT, NULL, 1);
	put(&answer, "e", PH_AT_DELIVER, PH_REJECT, "f\ng", 1);
	put(&answer, "h", PH_AT_DELIVER, PH_REJECT, longest, 1);
	ph_buf_init(&buf, arena, VERDICTS_MAX);
	verdicts_put(&buf, ph_buf_content(&answer), "a@b.test", 1);
	ck_assert_str_eq(text_of(ph_buf_content(&buf)),
	    "e=reject@a@b.test/1 h=reject@a@b.test/1 ");
	ck_assert_uint_lt(buf.n, 400); /* without their texts */
	for (unsigned i = 0; i < 1000; i++)
		verdicts_put(&buf, ph_buf_content(&answer), "a@b.test", 1);
	ck_assert_uint_le(buf.n, VERDICTS_MAX);
	text_of(ph_buf_content(&buf));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("verdicts");
	TCase *all = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(all, setup, teardown);
	tcase_add_test(all, what_is_new_replaces_what_was_said_before);
	tcase_add_test(all, the_oldest_make_room_and_the_session_stays);
	tcase_add_test(all, what_is_no_verdict_is_left_out);
	suite_add_tcase(suite, all);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
