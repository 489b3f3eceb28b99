/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fair_test.c - who is next: senders, priorities and destinations.
 */
#include <check.h>
#include <stdio.h>

#include "queue/schedule_fixture.h"

START_TEST(a_big_mailing_delays_nobody_else)
{
	size_t news;

	for (unsigned i = 0; i < 500; i++)
		mail("news@a.test", "far.test", 1);
	ck_assert_uint_eq(begun_n, 2);
	mail("bob@b.test", "far.test", 1);
	mail("bounces+x=y@c.test", "far.test", 1);
	finish(0, PACE_ANSWERED);
	finish(0, PACE_ANSWERED);
	ck_assert_uint_eq(running_from("bob@b.test"), 1);
	ck_assert_uint_eq(running_from("bounces+x=y@c.test"), 1);
	news = running_from("news@a.test");
	ck_assert_uint_eq(news + 2, begun_n);
}
END_TEST

START_TEST(one_message_to_very_many_delays_nobody_else)
{
	struct entry *big = mail("news@a.test", "far.test", 9000), *small;

	ck_assert_uint_eq(begun_n, 2);
	mail("bob@b.test", "far.test", 1);
	small = mail("news@a.test", "far.test", 1); /* the same sender's */
	finish(0, PACE_ANSWERED);
	finish(0, PACE_ANSWERED);
	ck_assert_uint_eq(running_from("bob@b.test"), 1);
	ck_assert_uint_eq(small->jobs, 1);
	ck_assert_uint_eq(big->jobs, begun_n - 2);
}
END_TEST

/* More destinations than attempts, and then somebody else's. */
START_TEST(a_mailing_to_many_destinations_delays_nobody_else)
{
	char domain[32];

	for (unsigned i = 0; i < 1000; i++) {
		snprintf(domain, sizeof(domain), "d%u.test", i);
		mail("news@a.test", domain, 1);
	}
	ck_assert_uint_eq(begun_n, 5); /* of unknown ones half of ten */
	mail("bob@b.test", "fresh.test", 1);
	ck_assert_uint_eq(running_from("bob@b.test"), 0);
	finish(0, PACE_ANSWERED);
	ck_assert_uint_eq(running_from("bob@b.test"), 1);
}
END_TEST

START_TEST(senders_share_alike_whatever_they_have)
{
	size_t of[3] = { 0 };
	static const char *const from[] = { "a@a.test", "b@b.test",
		"c@c.test" };

	for (unsigned i = 0; i < 900; i++)
		for (unsigned n = 0; n < 3; n++)
			if (i % (n * n * 4 + 1) == 0)
				mail(from[n], "far.test", 1);
	for (unsigned i = 0; i < 90; i++) {
		for (unsigned n = 0; n < 3; n++)
			of[n] += strcmp(begun[0]->entry->sender, from[n]) == 0;
		finish(0, PACE_ANSWERED);
	}
	for (unsigned n = 0; n < 3; n++)
		ck_assert_msg(of[n] >= 25 && of[n] <= 36, "%u: %zu", n, of[n]);
}
END_TEST

/* --- priority --- */

/* Of this priority, one after the other. */
static struct entry *
send_many(int8_t level, const char *sender, const char *domain, unsigned n)
{
	struct entry *entry = NULL;

	priority = level;
	while (n-- > 0)
		entry = mail(sender, domain, 1);
	priority = 0;
	return entry;
}

/* One at a time, and one is at work that is not to count. */
static void
fill_far(void)
{
	static const char *const limits[] = { "far.test concurrency=1", NULL };

	generation->core.queue.destination_limits = limits;
	send_many(0, "first@a.test", "far.test", 1);
	ck_assert_uint_eq(begun_n, 1);
}

/* End the one at work; what of the next. */
static const struct entry *
next_entry(void)
{
	finish(0, PACE_ANSWERED);
	ck_assert_uint_eq(begun_n, 1);
	return begun[0]->entry;
}

START_TEST(a_higher_priority_goes_first)
{
	static const int8_t sent[] = { 0, -3, 9, 5, 0, -9 };
	static const int8_t order[] = { 9, 5, 0, 0, -3, -9 };

	fill_far();
	for (size_t i = 0; i < sizeof(sent); i++)
		send_many(sent[i], "a@a.test", "far.test", 1);
	for (size_t i = 0; i < sizeof(order); i++)
		ck_assert_int_eq(next_entry()->priority, order[i]);
}
END_TEST

START_TEST(a_high_priority_starves_nobody)
{
	size_t seen[3] = { 0 };
	struct lane *lane;

	fill_far();
	lane = begun[0]->lane;
	lane->references++;
	send_many(0, "bob@b.test", "far.test", 5);
	send_many(-5, "bob@b.test", "far.test", 5);
	send_many(9, "news@a.test", "far.test", 100);
	for (unsigned i = 1; i <= 50; i++) {
		const struct entry *entry = next_entry();

		seen[entry->priority > 0 ? 0 : entry->priority == 0 ? 1 : 2]++;
		if (i % 10 == 0) {
			ck_assert_uint_eq(seen[0], i / 5 * FAIR_IN_A_ROW);
			ck_assert_uint_eq(seen[1], i / 10);
			ck_assert_uint_eq(seen[2], i / 10);
		}
	}
	for (unsigned i = 0; i < 60; i++)
		ck_assert_int_eq(next_entry()->priority, 9);
	finish(0, PACE_ANSWERED);
	ck_assert_ptr_null(lane->line.levels);
	ck_assert_uint_eq(lane->line.count, 0);
}
END_TEST

START_TEST(in_a_priority_small_and_fresh_goes_first_and_senders_share)
{
	fill_far();
	priority = 4;
	mail("news@a.test", "far.test", 1000);
	priority = 0;
	send_many(4, "news@a.test", "far.test", 50);
	send_many(4, "bob@b.test", "far.test", 1);
	send_many(0, "carol@b.test", "far.test", 1);
	ck_assert_str_ne(next_entry()->sender, "carol@b.test");
	next_entry(); /* the large one, once */
	ck_assert(running_from("bob@b.test") == 1 ||
	    strcmp(next_entry()->sender, "bob@b.test") == 0);
	ck_assert_uint_eq(next_entry()->recipient_count, 1);
}
END_TEST

/* Whose mail of a high priority was served has less of a claim with the rest. */
START_TEST(priority_is_paid_for)
{
	fill_far();
	send_many(9, "a@a.test", "far.test", 3);
	send_many(0, "a@a.test", "far.test", 5);
	send_many(0, "b@a.test", "far.test", 5);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(next_entry()->priority, 9);
	ck_assert_str_eq(next_entry()->sender, "b@a.test");
}
END_TEST

START_TEST(between_destinations_a_higher_priority_goes_first_too)
{
	char domain[32];
	size_t normal = 0;

	generation->core.queue.relay_concurrency = 1;
	for (unsigned i = 0; i < 30; i++) {
		snprintf(domain, sizeof(domain), "d%u.test", i);
		send_many(0, "a@a.test", domain, 1);
		send_many(0, "a@a.test", "urgent0.test", 1);
	}
	for (unsigned i = 0; i < 30; i++) {
		snprintf(domain, sizeof(domain), "urgent%u.test", i);
		send_many(2, "a@a.test", domain, 1);
	}
	ck_assert_uint_eq(begun_n, 1);
	for (unsigned i = 1; i <= 35; i++) {
		normal += next_entry()->priority == 0;
		if (i % 5 == 0)
			ck_assert_uint_eq(normal, i / 5);
	}
}
END_TEST

START_TEST(a_priority_changes_what_stands_in_line)
{
	struct entry *last, *low;
	struct lane *lane;

	fill_far();
	lane = begun[0]->lane;
	low = send_many(0, "a@a.test", "far.test", 1);
	send_many(0, "a@a.test", "far.test", 3);
	last = send_many(0, "a@a.test", "far.test", 1);
	schedule_priority(last, 7);
	schedule_priority(low, -1);
	ck_assert_uint_eq(lane->line.count, 5);
	ck_assert_ptr_eq(next_entry(), last);
	schedule_priority(last, -9); /* at work: nothing is moved */
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(next_entry()->priority, 0);
	ck_assert_ptr_eq(next_entry(), low);
	low = send_many(3, "a@a.test", "far.test", 1);
	low->is_held = true;
	schedule_entry(low);
	ck_assert_uint_eq(lane->line.count, 0);
	schedule_priority(low, -3);
	ck_assert_uint_eq(lane->line.count, 0);
	low->is_held = false;
	schedule_due(low);
	ck_assert_uint_eq(lane->line.count, 1);
	entry_remove(low);
	ck_assert_ptr_null(lane->line.levels);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("fair");
	TCase *all = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(all, setup, NULL);
	tcase_add_test(all, a_big_mailing_delays_nobody_else);
	tcase_add_test(all, one_message_to_very_many_delays_nobody_else);
	tcase_add_test(all, a_mailing_to_many_destinations_delays_nobody_else);
	tcase_add_test(all, senders_share_alike_whatever_they_have);
	tcase_add_test(all, a_higher_priority_goes_first);
	tcase_add_test(all, a_high_priority_starves_nobody);
	tcase_add_test(all,
	    in_a_priority_small_and_fresh_goes_first_and_senders_share);
	tcase_add_test(all, priority_is_paid_for);
	tcase_add_test(all,
	    between_destinations_a_higher_priority_goes_first_too);
	tcase_add_test(all, a_priority_changes_what_stands_in_line);
	suite_add_tcase(suite, all);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
