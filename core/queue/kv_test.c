/* SPDX-License-Identifier: Apache-2.0 */
/* kv_test.c - the key-value store: over a real queue, in memory and behind. */
#include "queue/kv.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <posthouse/fiber.h>

#include "loop/fiber.h"
#include "queue/queue.h"

#define HOUR_MS 3600000u

static char dir[] = "/tmp/posthouse-kv-XXXXXX";
static struct ph_arena *arena;

static void
reopen(void)
{
	static const struct core_queue conf = { .fsync = false,
		.cache_bytes = 4 << 20 };
	struct ph_err err;

	if (queue.db != NULL) {
		kv_stop();
		queue_close();
	}
	ck_assert_msg(queue_open(dir, &conf, &err) == PH_OK, "%s", err.text);
}

struct test {
	void (*fn)(void);
};

static void
test_main(void *arg)
{
	const struct test *test = arg;

	reopen();
	test->fn();
	kv_stop();
	queue_close();
	fiber_runtime_stop();
}

static void
run(void (*fn)(void))
{
	struct test test = { fn };
	char command[64];

	ck_assert(mkdtemp(dir) != NULL);
	arena = ph_arena_create(NULL);
	fiber_runtime_init();
	fiber_start(test_main, &test);
	fiber_runtime_run();
	ph_arena_free(arena);
	snprintf(command, sizeof(command), "rm -r %s", dir);
	ck_assert_int_eq(system(command), 0);
}

static struct ph_slice
key(const char *text)
{
	return ph_slice_str(text);
}

static bool
holds(const char *name, const char *value)
{
	struct ph_slice found;
	int status = kv_get(key(name), arena, &found);

	if (value == NULL)
		return status == PH_NOT_FOUND;
	return status == PH_OK && ph_slice_eq(found, ph_slice_str(value));
}

static void
puts_gets_and_deletes(void)
{
	ck_assert(holds("a", NULL));
	ck_assert_int_eq(kv_put(key("a"), PH_LIT("one"), HOUR_MS), PH_OK);
	ck_assert_int_eq(kv_put(key("ab"), PH_LIT(""), HOUR_MS), PH_OK);
	ck_assert(holds("a", "one"));
	ck_assert(holds("ab", ""));
	ck_assert_int_eq(kv_put(key("a"), PH_LIT("two"), HOUR_MS), PH_OK);
	ck_assert(holds("a", "two"));
	ck_assert_int_eq(kv_delete(key("a")), PH_OK);
	ck_assert_int_eq(kv_delete(key("never was")), PH_OK);
	ck_assert(holds("a", NULL));
	ck_assert_int_eq(kv_put(key("a"), PH_LIT("x"), 0), PH_INVALID);
}

static void
outlives_a_restart(void)
{
	int64_t sum;

	ck_assert_int_eq(kv_put(key("a"), PH_LIT("one"), HOUR_MS), PH_OK);
	ck_assert_int_eq(kv_put(key("gone"), PH_LIT("x"), HOUR_MS), PH_OK);
	ck_assert_int_eq(kv_add(key("n"), 41, HOUR_MS, &sum), PH_OK);
	reopen();
	ck_assert_int_eq(kv_delete(key("gone")), PH_OK);
	reopen();
	ck_assert(holds("a", "one"));
	ck_assert(holds("gone", NULL));
	ck_assert_int_eq(kv_add(key("n"), 1, HOUR_MS, &sum), PH_OK);
	ck_assert_int_eq(sum, 42);
}

static void
is_written_without_being_asked(void)
{
	struct kv_stats stats;

	ck_assert_int_eq(kv_put(key("a"), PH_LIT("one"), HOUR_MS), PH_OK);
	kv_stats(&stats);
	ck_assert_uint_eq(stats.dirty, 1);
	while (stats.dirty > 0 || stats.written == 0) {
		ck_assert_int_eq(ph_sleep_ms(10), PH_OK);
		kv_stats(&stats);
	}
	ck_assert_uint_eq(stats.written, 1);
	ck_assert_int_eq(kv_put(key("a"), PH_LIT("two"), HOUR_MS), PH_OK);
	while (stats.written == 1) {
		ck_assert_int_eq(ph_sleep_ms(10), PH_OK);
		kv_stats(&stats);
	}
}

static void
expires(void)
{
	int64_t sum;

	ck_assert_int_eq(kv_put(key("a"), PH_LIT("one"), 30), PH_OK);
	ck_assert_int_eq(kv_add(key("n"), 5, 30, &sum), PH_OK);
	ck_assert_int_eq(kv_add(key("n"), 5, HOUR_MS, &sum), PH_OK);
	ck_assert_int_eq(sum, 10);
	ck_assert_int_eq(kv_flush(), PH_OK);
	while (!holds("a", NULL))
		ck_assert_int_eq(ph_sleep_ms(5), PH_OK);
	while (sum != 5) { /* the second life was not the first's */
		ck_assert_int_eq(ph_sleep_ms(5), PH_OK);
		ck_assert_int_eq(kv_add(key("n"), 5, HOUR_MS, &sum), PH_OK);
	}
	reopen();
	ck_assert(holds("a", NULL));
}

static void
counts_to_its_limits_and_no_further(void)
{
	int64_t sum;

	ck_assert_int_eq(kv_add(key("n"), INT64_MAX, HOUR_MS, &sum), PH_OK);
	ck_assert_int_eq(kv_add(key("n"), 7, HOUR_MS, &sum), PH_OK);
	ck_assert(sum == INT64_MAX);
	ck_assert_int_eq(kv_add(key("m"), INT64_MIN, HOUR_MS, &sum), PH_OK);
	ck_assert_int_eq(kv_add(key("m"), -1, HOUR_MS, &sum), PH_OK);
	ck_assert(sum == INT64_MIN);
	ck_assert_int_eq(kv_put(key("t"), PH_LIT("text"), HOUR_MS), PH_OK);
	ck_assert_int_eq(kv_add(key("t"), 1, HOUR_MS, &sum), PH_INVALID);
	ck_assert(holds("t", "text"));
}

static struct ph_event adders_done;
static unsigned adders;

static void
add_often(void *arg)
{
	int64_t sum;

	(void)arg;
	for (unsigned i = 0; i < 100; i++) {
		ck_assert_int_eq(kv_add(key("hot"), 1, HOUR_MS, &sum), PH_OK);
		ck_assert_int_eq(ph_sleep_ms(i % 3), PH_OK);
	}
	if (--adders == 0)
		ph_event_signal(&adders_done);
}

static void
loses_no_addition(void)
{
	struct kv_stats stats;
	int64_t sum;

	ck_assert_int_eq(kv_add(key("hot"), 1, HOUR_MS, &sum), PH_OK);
	reopen(); /* so that the first to come read it, together */
	for (adders = 0; adders < 50; adders++)
		fiber_start(add_often, NULL);
	ck_assert_int_eq(ph_event_wait(&adders_done, 30000), PH_OK);
	ck_assert_int_eq(kv_add(key("hot"), 1, HOUR_MS, &sum), PH_OK);
	ck_assert_int_eq(sum, 5002);
	kv_stats(&stats);
	ck_assert_uint_eq(stats.reads, 1);
	ck_assert_uint_lt(stats.written, 100);
}

static void
keeps_what_the_cache_has_no_room_for(void)
{
	struct kv_stats stats;
	char name[32], value[1024];
	struct ph_slice v = { value, sizeof(value) };
	int status;

	memset(value, 'v', sizeof(value));
	for (unsigned i = 0; i < 40000; i++) { /* 40 MB */
		snprintf(name, sizeof(name), "key%u", i);
		while ((status = kv_put(key(name), v, HOUR_MS)) == PH_FULL)
			ck_assert_int_eq(kv_flush(), PH_OK);
		ck_assert_int_eq(status, PH_OK);
	}
	kv_stats(&stats);
	ck_assert_uint_le(stats.octets, KV_OCTETS_MAX + 8192);
	ck_assert_uint_lt(stats.pairs, 40000);
	for (unsigned i = 0; i < 40000; i += 997) {
		snprintf(name, sizeof(name), "key%u", i);
		ck_assert_int_eq(kv_get(key(name), arena, &v), PH_OK);
		ck_assert_uint_eq(v.n, sizeof(value));
	}
	kv_stats(&stats);
	ck_assert_uint_gt(stats.reads, 0);
}

static void
a_full_disk_takes_no_more(void)
{
	int64_t sum;

	ck_assert_int_eq(kv_put(key("a"), PH_LIT("one"), HOUR_MS), PH_OK);
	queue.is_full = true;
	ck_assert_int_eq(kv_put(key("a"), PH_LIT("two"), HOUR_MS), PH_FULL);
	ck_assert_int_eq(kv_add(key("n"), 1, HOUR_MS, &sum), PH_FULL);
	ck_assert(holds("a", "one"));
	ck_assert_int_eq(kv_delete(key("a")), PH_OK);
	queue.is_full = false;
	ck_assert(holds("a", NULL));
}

static void (*const all[])(void) = { puts_gets_and_deletes,
	outlives_a_restart, is_written_without_being_asked, expires,
	counts_to_its_limits_and_no_further, loses_no_addition,
	keeps_what_the_cache_has_no_room_for, a_full_disk_takes_no_more };

START_TEST(does_its_part)
{
	run(all[_i]);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("kv");
	TCase *tc = tcase_create("kv");
	SRunner *runner;
	int failed;

	tcase_add_loop_test(tc, does_its_part, 0,
	    (int)(sizeof(all) / sizeof(all[0])));
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
