/* SPDX-License-Identifier: Apache-2.0 */
/* fiber_test.c - switches, deadlines, scopes, events, work. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "log/log.h"
#include "loop/fiber.h"

static char trail[4096];

static void
mark(const char *text)
{
	strncat(trail, text, sizeof(trail) - strlen(trail) - 1);
}

static void
run(void (*fn)(void *), void *arg)
{
	trail[0] = '\0';
	fiber_runtime_init();
	fiber_start(fn, arg);
	fiber_runtime_run();
	ck_assert_uint_eq(fiber_count(), 0);
	fiber_runtime_fini();
}

static void
child(void *arg)
{
	mark(arg);
	mark(ph_sleep_ms(1) == PH_OK ? "+" : "-");
}

static void
scope_main(void *arg)
{
	struct ph_scope scope;

	(void)arg;
	ph_scope_begin(&scope);
	ph_scope_spawn(&scope, child, "a");
	ph_scope_spawn(&scope, child, "b");
	mark("0");
	ck_assert_int_eq(ph_scope_wait(&scope), PH_OK);
	ph_scope_end(&scope);
	mark("1");
	fiber_runtime_stop();
}

START_TEST(scope_waits_for_its_fibers)
{
	run(scope_main, NULL);
	ck_assert_str_eq(trail, "0ab++1");
}
END_TEST

static void
sleeper(void *arg)
{
	(void)arg;
	ck_assert_int_eq(ph_sleep_ms(1000000), PH_CANCELED);
	ck_assert_int_eq(ph_sleep_ms(1), PH_CANCELED);
	mark("c");
}

static void
cancel_main(void *arg)
{
	struct ph_scope scope;

	(void)arg;
	ph_scope_begin(&scope);
	for (int i = 0; i < 3; i++)
		ph_scope_spawn(&scope, sleeper, NULL);
	ck_assert_int_eq(ph_sleep_ms(1), PH_OK);
	ph_scope_end(&scope);
	fiber_runtime_stop();
}

START_TEST(scope_end_cancels_what_still_waits)
{
	run(cancel_main, NULL);
	ck_assert_str_eq(trail, "ccc");
}
END_TEST

static void
deadline_main(void *arg)
{
	uint64_t former = ph_deadline_push(5);
	struct ph_event never = { 0 };

	(void)arg;
	ck_assert_int_eq(ph_event_wait(&never, PH_NO_LIMIT_MS), PH_TIMEOUT);
	ck_assert_int_eq(ph_event_wait(&never, 1000000), PH_TIMEOUT);
	ck_assert_int_eq(ph_sleep_ms(1000000), PH_TIMEOUT);
	ph_deadline_restore(former);
	ck_assert_int_eq(ph_event_wait(&never, 1), PH_TIMEOUT);
	ck_assert_int_eq(ph_sleep_ms(1), PH_OK);
	ck_assert_ptr_null(never.waiters);
	mark("done");
	fiber_runtime_stop();
}

START_TEST(every_wait_fails_after_the_deadline)
{
	run(deadline_main, NULL);
	ck_assert_str_eq(trail, "done");
}
END_TEST

static struct ph_event shared;

static void
event_waiter(void *arg)
{
	(void)arg;
	ck_assert_int_eq(ph_event_wait(&shared, PH_NO_LIMIT_MS), PH_OK);
	mark("w");
}

static void
event_main(void *arg)
{
	struct ph_scope scope;

	(void)arg;
	ph_scope_begin(&scope);
	for (int i = 0; i < 5; i++)
		ph_scope_spawn(&scope, event_waiter, NULL);
	ck_assert_int_eq(ph_sleep_ms(1), PH_OK);
	ph_event_signal(&shared);
	ck_assert_int_eq(ph_scope_wait(&scope), PH_OK);
	ph_scope_end(&scope);
	fiber_runtime_stop();
}

START_TEST(signal_wakes_all_that_wait)
{
	run(event_main, NULL);
	ck_assert_str_eq(trail, "wwwww");
}
END_TEST

static void
block(void *arg)
{
	usleep(2000);
	*(int *)arg += 1;
}

static void
worker(void *arg)
{
	ph_work(block, arg);
	mark("x");
}

static void
work_main(void *arg)
{
	struct ph_scope scope;
	int n[20] = { 0 };

	(void)arg;
	ph_scope_begin(&scope);
	for (int i = 0; i < 20; i++)
		ph_scope_spawn(&scope, worker, &n[i]);
	ph_sleep_ms(0);
	ph_scope_end(&scope); /* work can't be cut short */
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(n[i], 1);
	fiber_runtime_stop();
}

START_TEST(work_ends_before_its_scope_does)
{
	run(work_main, NULL);
	ck_assert_uint_eq(strlen(trail), 20);
}
END_TEST

static size_t ended;

static void
deep(void *arg)
{
	char frame[2000];
	size_t same = 0;

	memset(frame, (int)(intptr_t)arg, sizeof(frame));
	ck_assert_int_eq(ph_sleep_ms((unsigned)(intptr_t)arg % 50), PH_OK);
	for (size_t i = 0; i < sizeof(frame); i++)
		same += frame[i] == (char)(intptr_t)arg;
	ck_assert_uint_eq(same, sizeof(frame));
	ended++;
}

static void
many_main(void *arg)
{
	struct ph_scope scope;

	(void)arg;
	for (int round = 0; round < 3; round++) {
		ph_scope_begin(&scope);
		for (intptr_t i = 0; i < 2000; i++)
			ph_scope_spawn(&scope, deep, (void *)i);
		ck_assert_int_eq(ph_sleep_ms(3), PH_OK);
		fiber_trim();
		ck_assert_int_eq(ph_scope_wait(&scope), PH_OK);
		ph_scope_end(&scope);
	}
	fiber_runtime_stop();
}

START_TEST(thousands_of_fibers_keep_their_stacks)
{
	run(many_main, NULL);
	ck_assert_uint_eq(ended, 6000);
}
END_TEST

static unsigned turns;

static void
at_end(void)
{
	turns++;
}

static void
turn_main(void *arg)
{
	struct fiber *joined;

	(void)arg;
	fiber_at_turn_end(at_end);
	fiber_at_turn_end(at_end);
	joined = fiber_start_joinable(child, "j");
	fiber_join(joined);
	ck_assert_uint_eq(turns, 1);
	fiber_runtime_stop();
}

START_TEST(turn_end_is_called_once_a_turn)
{
	run(turn_main, NULL);
	ck_assert_str_eq(trail, "j+");
}
END_TEST

static void *seen[3];

static void
see(void *arg)
{
	seen[(uintptr_t)arg] = fiber_context();
}

static void
context_main(void *arg)
{
	struct ph_scope scope;

	fiber_context_set(arg);
	fiber_start(see, (void *)0);
	fiber_join(fiber_start_joinable(see, (void *)1));
	ph_scope_begin(&scope);
	ph_scope_spawn(&scope, see, (void *)2);
	ck_assert_int_eq(ph_scope_wait(&scope), PH_OK);
	ph_scope_end(&scope);
	fiber_runtime_stop();
}

START_TEST(only_owned_fibers_inherit_the_context)
{
	static struct log_context context;

	seen[0] = &context;
	run(context_main, &context);
	ck_assert_ptr_null(seen[0]); /* it might outlive the context */
	ck_assert_ptr_eq(seen[1], &context);
	ck_assert_ptr_eq(seen[2], &context);
}
END_TEST

START_TEST(tells_when_stacks_run_out)
{
	fiber_runtime_init();
	ck_assert(fiber_has_room(10000));
	ck_assert(!fiber_has_room((size_t)1 << 40));
	fiber_runtime_fini();
}
END_TEST

static unsigned idle_count;

static bool
on_idle(void)
{
	idle_count++;
	return false;
}

static void
late_work(void *arg)
{
	(void)arg;
	usleep(2000);
}

static void
works(void *arg)
{
	(void)arg;
	ph_work(late_work, NULL);
	mark("w");
}

static void
sleeps_for_hours(void *arg)
{
	ck_assert_int_eq(ph_sleep_ms(*(unsigned *)arg * 3600000), PH_OK);
	mark(*(unsigned *)arg == 1 ? "1" : "2");
}

static void
stepped_main(void *arg)
{
	uint64_t start = ph_now_ms();
	unsigned one = 1, two = 2;
	struct ph_scope scope;

	(void)arg;
	ck_assert_int_eq(ph_wall_time(), 1000);
	ph_scope_begin(&scope);
	ph_scope_spawn(&scope, sleeps_for_hours, &two);
	ph_scope_spawn(&scope, sleeps_for_hours, &one);
	ph_scope_spawn(&scope, works, NULL);
	ck_assert_int_eq(ph_scope_wait(&scope), PH_OK);
	ph_scope_end(&scope);
	ck_assert_uint_eq(ph_now_ms() - start, 2 * 3600000);
	ck_assert_int_eq(ph_wall_time(), 1000 + 2 * 3600);
	fiber_runtime_stop();
}

START_TEST(a_stepped_clock_jumps_when_all_wait)
{
	trail[0] = '\0';
	idle_count = 0;
	fiber_runtime_init();
	fiber_clock_step(1000000, on_idle);
	fiber_start(stepped_main, NULL);
	fiber_runtime_run();
	fiber_runtime_fini();
	ck_assert_str_eq(trail, "w12"); /* and not while there is work */
	ck_assert_uint_eq(idle_count, 2);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("fiber");
	TCase *tc = tcase_create("fiber");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, scope_waits_for_its_fibers);
	tcase_add_test(tc, only_owned_fibers_inherit_the_context);
	tcase_add_test(tc, scope_end_cancels_what_still_waits);
	tcase_add_test(tc, every_wait_fails_after_the_deadline);
	tcase_add_test(tc, signal_wakes_all_that_wait);
	tcase_add_test(tc, work_ends_before_its_scope_does);
	tcase_add_test(tc, thousands_of_fibers_keep_their_stacks);
	tcase_add_test(tc, turn_end_is_called_once_a_turn);
	tcase_add_test(tc, tells_when_stacks_run_out);
	tcase_add_test(tc, a_stepped_clock_jumps_when_all_wait);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
