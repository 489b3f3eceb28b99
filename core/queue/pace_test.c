/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pace_test.c - how many at once and when, of one destination, with a clock that
 * the tests step.
 */
#include <check.h>

#include "queue/pace.h"

static uint64_t now_ms = 1000000;

static const struct pace_terms terms = { .failures = 3,
	.limit = { .concurrency = 8, .start = 2 } };

/* So many as may begin at once. */
static unsigned
fill(struct pace *pace, const struct pace_terms *t)
{
	unsigned n = 0;

	while (n < 100 && pace_is_open(pace, t, now_ms)) {
		pace_begin(pace, t, now_ms);
		n++;
	}
	return n;
}

START_TEST(widens_with_success_up_to_the_most)
{
	struct pace pace = { 0 };

	ck_assert_uint_eq(fill(&pace, &terms), 2);
	pace_end(&pace, &terms, PACE_ANSWERED, now_ms);
	ck_assert_uint_eq(fill(&pace, &terms), 2);
	for (unsigned i = 0; i < 100; i++) {
		fill(&pace, &terms);
		pace_end(&pace, &terms, PACE_ANSWERED, now_ms);
	}
	fill(&pace, &terms);
	ck_assert_uint_eq(pace.running, 8);
	/* after a failure a whole window of them is needed */
	pace_end(&pace, &terms, PACE_NO_ANSWER, now_ms);
	ck_assert_uint_eq(pace.window, 7);
	for (unsigned i = 0; i < 6; i++)
		pace_end(&pace, &terms, PACE_ANSWERED, now_ms);
	ck_assert_uint_eq(pace.window, 7);
	pace_end(&pace, &terms, PACE_ANSWERED, now_ms);
	ck_assert_uint_eq(pace.window, 8);
}
END_TEST

START_TEST(rests_after_failures_and_then_tries_once)
{
	struct pace pace = { 0 };
	unsigned failures = 0;

	fill(&pace, &terms);
	while (!pace_end(&pace, &terms, PACE_NO_ANSWER, now_ms)) {
		failures++;
		fill(&pace, &terms);
	}
	ck_assert_uint_eq(failures, 2);
	pace.rest_until_ms = now_ms + 1000;
	while (pace.running > 0) /* what was under way does not count again */
		ck_assert(!pace_end(&pace, &terms, PACE_NO_ANSWER, now_ms));
	ck_assert_uint_eq(fill(&pace, &terms), 0);
	ck_assert_uint_eq(pace_opens_ms(&pace, now_ms), now_ms + 1000);
	now_ms += 1000;
	ck_assert_uint_eq(fill(&pace, &terms), 1);
	ck_assert(pace_end(&pace, &terms, PACE_NO_ANSWER, now_ms));
	ck_assert_uint_eq(pace.rests, 2);
	pace.rest_until_ms = now_ms;
	ck_assert_uint_eq(fill(&pace, &terms), 1);
	pace_end(&pace, &terms, PACE_ANSWERED, now_ms);
	ck_assert_uint_eq(pace.rests, 0);
	ck_assert_uint_eq(fill(&pace, &terms), 2);
}
END_TEST

START_TEST(learns_how_many_connections_are_taken)
{
	struct pace pace = { 0 };
	unsigned refused = 0;

	/* a server that takes one at a time */
	for (unsigned i = 0; i < 1000; i++) {
		fill(&pace, &terms);
		while (pace.running > 1) {
			pace_end(&pace, &terms, PACE_BUSY, now_ms);
			refused++;
		}
		pace_end(&pace, &terms, PACE_ANSWERED, now_ms);
	}
	ck_assert_uint_lt(refused, 20);
	ck_assert_uint_eq(pace.rests, 0);
}
END_TEST

START_TEST(keeps_to_a_rate_and_a_delay)
{
	struct pace_terms rated = terms, delayed = terms;
	struct pace pace = { 0 }, other = { 0 };

	rated.limit.messages = 3;
	rated.limit.interval_ms = 60000;
	rated.limit.start = 8;
	ck_assert_uint_eq(fill(&pace, &rated), 3);
	ck_assert_uint_eq(pace_opens_ms(&pace, now_ms), now_ms + 60000);
	now_ms += 59999;
	ck_assert_uint_eq(fill(&pace, &rated), 0);
	now_ms += 1;
	ck_assert_uint_eq(fill(&pace, &rated), 3);
	delayed.limit.delay_ms = 500;
	ck_assert_uint_eq(fill(&other, &delayed), 1);
	now_ms += 500;
	ck_assert_uint_eq(fill(&other, &delayed), 1);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("pace");
	TCase *all = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_test(all, widens_with_success_up_to_the_most);
	tcase_add_test(all, rests_after_failures_and_then_tries_once);
	tcase_add_test(all, learns_how_many_connections_are_taken);
	tcase_add_test(all, keeps_to_a_rate_and_a_delay);
	suite_add_tcase(suite, all);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
