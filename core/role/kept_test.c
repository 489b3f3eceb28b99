/* SPDX-License-Identifier: Apache-2.0 */
/* kept_test.c - objects kept, taken and ended. */
#include <check.h>
#include <stdio.h>

#include "loop/fiber.h"
#include "role/kept.h"

static unsigned ended, freed;

static void
on_end(void *object)
{
	(void)object;
	ended++;
}

static void
on_free(void *object)
{
	(void)object;
	freed++;
}

static void *
keep(const char *key, unsigned idle_ms)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	void *object = ph_arena_alloc(arena, 8);

	ph_arena_on_end(arena, on_free, object);
	ph_keep(arena, object, key, idle_ms, on_end);
	return object;
}

static void
run(void (*fn)(void *))
{
	ended = freed = 0;
	fiber_runtime_init();
	fiber_start(fn, NULL);
	fiber_runtime_run();
	fiber_runtime_fini();
}

static void
take_main(void *arg)
{
	struct ph_arena *arena = NULL;
	void *one = keep("a", 60000), *two = keep("a", 60000);

	(void)arg;
	keep("b", 60000);
	ck_assert_ptr_null(ph_kept_take("c", &arena));
	ck_assert_ptr_eq(ph_kept_take("a", &arena), two);
	ph_arena_free(arena);
	ph_sleep_ms(1);
	ck_assert_ptr_eq(ph_kept_take("a", &arena), one);
	ph_arena_free(arena);
	ck_assert_ptr_null(ph_kept_take("a", &arena));
	ck_assert_uint_eq(ended, 0);
	ck_assert_uint_eq(freed, 2);
	kept_end_all(5000);
	fiber_runtime_stop();
}

START_TEST(gives_the_newest_of_a_key_once)
{
	run(take_main);
	ck_assert_uint_eq(ended, 1);
	ck_assert_uint_eq(freed, 3);
}
END_TEST

static void
idle_main(void *arg)
{
	(void)arg;
	keep("a", 5);
	for (unsigned i = 0; i < 1000 && freed == 0; i++)
		ph_sleep_ms(10);
	ck_assert_uint_eq(ended, 1);
	for (unsigned i = 0; i < KEPT_MAX + 3; i++)
		keep("a", 60000);
	ck_assert_uint_eq(kept_count(), KEPT_MAX);
	kept_end_all(5000);
	ck_assert_uint_eq(kept_count(), 0);
	fiber_runtime_stop();
}

START_TEST(ends_what_is_idle_or_too_much)
{
	run(idle_main);
	ck_assert_uint_eq(ended, KEPT_MAX + 4);
	ck_assert_uint_eq(freed, KEPT_MAX + 4);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("kept");
	TCase *tcase = tcase_create("objects");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, gives_the_newest_of_a_key_once);
	tcase_add_test(tcase, ends_what_is_idle_or_too_much);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
