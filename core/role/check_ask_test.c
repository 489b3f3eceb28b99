/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_ask_test.c - who asks the checks while none of their processes is there:
 * it ends, whatever the last of them died of.
 */
#include <check.h>

#include "base/record.h"
#include "loop/fiber.h"
#include "role/check.h"
#include "role/role.h"

enum { ASK_MS = 100, LATE_MS = 2000 };

/* As the master tells it: a process died, in a module, over somebody. */
static void
hear_of_crash(struct ph_arena *arena)
{
	struct bus_request request = { .arena = arena };
	struct ph_buf record;

	ph_buf_init(&record, arena, 256);
	record_put_u64(&record, F_INDEX, 0);
	record_put_str(&record, F_MODULE, "check_bad");
	record_put_str(&record, F_SUBJECT, "0000000000001");
	request.message.record = ph_buf_content(&record);
	check_ask_on_crash(&request);
}

static int
ask(struct ph_arena *arena, unsigned timeout_ms)
{
	struct bus_message reply;
	struct ph_buf record;

	ph_buf_init(&record, arena, 1024);
	return check_ask(0, &(struct check_question){ MSG_STAGE,
	    "0000000000002", &record, -1, timeout_ms }, arena, &reply);
}

static void
asking_main(void *arg)
{
	void (*ask_it)(struct ph_arena *) = *(void (**)(struct ph_arena *))arg;
	struct ph_arena *arena = ph_arena_create(NULL);
	uint64_t before = ph_now_ms();

	bus_set_role_size(ROLE_CHECK, 1);
	check_ask_on_link(0);
	hear_of_crash(arena);
	ask_it(arena);
	ck_assert_uint_lt(ph_now_ms() - before, LATE_MS);
	ph_arena_free(arena);
	fiber_runtime_stop();
}

static void
run(void (*ask_it)(struct ph_arena *))
{
	fiber_runtime_init();
	bus_init(ROLE_EDGE, 0);
	fiber_start(asking_main, &ask_it);
	fiber_runtime_run();
	bus_fini();
	fiber_runtime_fini();
}

static void
ask_until_a_deadline(struct ph_arena *arena)
{
	uint64_t former = ph_deadline_push(ASK_MS);

	ck_assert_int_eq(ask(arena, 60000), PH_UNAVAILABLE);
	ph_deadline_restore(former);
}

START_TEST(nobody_asks_again_behind_his_deadline)
{
	run(ask_until_a_deadline);
}
END_TEST

static void
ask_at_the_end(struct ph_arena *arena)
{
	bus_expect_nobody();
	ck_assert_int_eq(ask(arena, 60000), PH_UNAVAILABLE);
}

START_TEST(nobody_asks_again_when_the_server_ends)
{
	run(ask_at_the_end);
}
END_TEST

static void
ask_without_end(struct ph_arena *arena)
{
	check_ask_spare(ASK_MS);
	ck_assert_int_eq(ask(arena, ASK_MS), PH_UNAVAILABLE);
}

START_TEST(nobody_asks_again_for_ever)
{
	run(ask_without_end);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("check_ask");
	TCase *tcase = tcase_create("check_ask");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_set_timeout(tcase, 30);
	tcase_add_test(tcase, nobody_asks_again_behind_his_deadline);
	tcase_add_test(tcase, nobody_asks_again_when_the_server_ends);
	tcase_add_test(tcase, nobody_asks_again_for_ever);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
