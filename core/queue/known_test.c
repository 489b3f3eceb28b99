/* SPDX-License-Identifier: Apache-2.0 */
/*
 * known_test.c - what is remembered of destinations, for how long, and that it
 * stays small.
 */
#include <check.h>
#include <stdio.h>

#include "queue/known.h"

enum { NOW = 1000000, MANY = 1200000 };

START_TEST(remembers_what_a_pace_knew)
{
	const struct pace kept = { .window = 1, .patience = 64,
		.was_narrowed = true, .failures = 7, .rests = 3,
		.rest_until_ms = NOW + 60000 };
	struct pace pace = { .window = 9 };

	ck_assert(!known_find("dead.test", &pace, NOW));
	ck_assert_uint_eq(pace.window, 9);
	known_keep("relay/Dead.test", &kept, NOW);
	ck_assert(!known_find("dead.test", &pace, NOW));
	ck_assert(known_find("Relay/dead.TEST", &pace, NOW));
	ck_assert_uint_eq(pace.window, 1);
	ck_assert_uint_eq(pace.patience, 64);
	ck_assert(pace.was_narrowed && !pace.is_known);
	ck_assert_uint_eq(pace.failures, 7);
	ck_assert_uint_eq(pace.rests, 3);
	ck_assert_uint_ge(pace.rest_until_ms, NOW + 60000);
	ck_assert_uint_lt(pace.rest_until_ms, NOW + 60200);
	known_forgive("relay/dead.test");
	ck_assert(known_find("relay/dead.test", &pace, NOW));
	ck_assert_uint_eq(pace.failures, 0);
	ck_assert_uint_eq(pace.rest_until_ms, 0);
	ck_assert_uint_eq(pace.patience, 64);
}
END_TEST

START_TEST(forgets_after_an_hour_or_a_day)
{
	const struct pace good = { .window = 20, .is_known = true };
	const struct pace bad = { .window = 1, .was_narrowed = true,
		.failures = 300 };
	const struct pace none = { .window = 0 };
	struct pace pace;

	known_keep("good.test", &good, NOW);
	known_keep("bad.test", &bad, NOW);
	known_keep("bad.test", &bad, NOW); /* one mark, not two */
	known_keep("new.test", &none, NOW);
	ck_assert(!known_find("new.test", &pace, NOW));
	ck_assert(known_find("good.test", &pace, NOW + 3590000));
	ck_assert(pace.is_known && pace.window == 20);
	ck_assert(!known_find("good.test", &pace, NOW + 3601000));
	ck_assert(known_find("bad.test", &pace, NOW + 86390000));
	ck_assert_uint_eq(pace.failures, 255); /* no more are counted */
	ck_assert_uint_eq(pace.rest_until_ms, 0);
	ck_assert(!known_find("bad.test", &pace, NOW + 86401000));
	known_keep("bad.test", &none, NOW);
	ck_assert(!known_find("bad.test", &pace, NOW));
}
END_TEST

START_TEST(takes_sixteen_octets_each_of_a_million_at_most)
{
	const struct pace good = { .is_known = true };
	const struct pace bad = { .failures = 1 };
	unsigned found = 0;
	struct pace pace;
	char name[64];

	known_keep("first.test", &bad, NOW);
	ck_assert_uint_le(known_octets(), 16384);
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "d%u.test", i);
		known_keep(name, i % 4 == 0 ? &bad : &good, NOW);
	}
	ck_assert_uint_eq(known_octets(), 16 << 20);
	for (unsigned i = 0; i < MANY; i += 4) {
		snprintf(name, sizeof(name), "d%u.test", i);
		found += known_find(name, &pace, NOW) && pace.failures == 1;
	}
	/* what is wanted for longer makes way last */
	ck_assert_uint_gt(found, MANY / 4 - MANY / 400);
	known_forgive_all();
	ck_assert(known_find("d0.test", &pace, NOW));
	ck_assert_uint_eq(pace.failures, 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("known");
	TCase *all = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_test(all, remembers_what_a_pace_knew);
	tcase_add_test(all, forgets_after_an_hour_or_a_day);
	tcase_add_test(all, takes_sixteen_octets_each_of_a_million_at_most);
	tcase_set_timeout(all, 60);
	suite_add_tcase(suite, all);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
