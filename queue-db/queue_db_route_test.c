/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue_db_route_test.c - a route that changed makes others of a recipient that
 * waits, in one op (core/queue/reroute.c): a child does so and dies at each step.
 * All of it is there afterwards or nothing, and all of it when it was answered.
 */
#include <check.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "inner.h"
#include "queue_db_fixture.h"

enum { ROUTED = 5, LEAVES = 2, FIRST_HEIR = 50, SECOND_HEIR = 51, DIED = 9 };

/* What the child was answered; both processes see it. */
static struct told {
	bool added, replaced;
} *told;
static unsigned step_deadly, step_now;

static void
die_at_step(const char *name)
{
	(void)name;
	if (__atomic_add_fetch(&step_now, 1, __ATOMIC_RELAXED) == step_deadly)
		_exit(DIED);
}

static _Noreturn void
work(const char *dir)
{
	struct queue_db_recipient heir = { .state = QUEUE_DB_WAITING,
		.address = PH_LIT("heir@x.test"), .record = PH_LIT("r") };
	struct queue_db_update leaves = { .number = LEAVES,
		.state = QUEUE_DB_REPLACED };
	struct queue_db_op *op = queue_db_op_create();
	struct queue_db *db;

	queue_db_test_step = die_at_step;
	db = fixture_open(dir);
	told->added = fixture_add(db, ROUTED) == 0; /* to 1, 2 and 3 */
	heir.number = FIRST_HEIR;
	queue_db_op_recipient(op, fixture_id(ROUTED), &heir);
	heir.number = SECOND_HEIR;
	queue_db_op_recipient(op, fixture_id(ROUTED), &heir);
	queue_db_op_update(op, fixture_id(ROUTED), &leaves);
	told->replaced = fixture_run(db, op, QUEUE_DB_DURABLE) == 0;
	queue_db_close(db);
	_exit(0);
}

static void
check(const char *dir)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct queue_db *db = fixture_open(dir);
	struct queue_db_message m = { .recipient_count = 0 };
	bool is_replaced = false;
	unsigned heirs = 0, others = 0;
	int status = queue_db_get(db, fixture_id(ROUTED), true, arena, &m);

	ck_assert(status == 0 || !told->added);
	for (size_t i = 0; status == 0 && i < m.recipient_count; i++) {
		const struct queue_db_recipient *r = &m.recipients[i];

		if (r->number == LEAVES)
			is_replaced = r->state == QUEUE_DB_REPLACED;
		else if (r->number == FIRST_HEIR || r->number == SECOND_HEIR)
			heirs += r->state == QUEUE_DB_WAITING;
		else
			others += r->state == QUEUE_DB_WAITING;
	}
	ck_assert_uint_eq(heirs, is_replaced ? 2 : 0);
	ck_assert_uint_eq(others, status == 0 ? 2 : 0);
	ck_assert(is_replaced || !told->replaced);
	queue_db_close(db);
	ph_arena_free(arena);
}

START_TEST(replaces_a_recipient_whole_or_not_at_all)
{
	int status = DIED;

	for (step_deadly = 1; status != 0; step_deadly++) {
		char *dir = fixture_dir();
		int end;
		pid_t pid;

		ck_assert_uint_lt(step_deadly, 1000);
		*told = (struct told){ .added = false };
		pid = fork();
		ck_assert(pid >= 0);
		if (pid == 0)
			work(dir);
		ck_assert_int_eq(waitpid(pid, &end, 0), pid);
		ck_assert(WIFEXITED(end));
		status = WEXITSTATUS(end);
		ck_assert_msg(status == 0 || status == DIED, "%d", status);
		ck_assert(status != 0 || told->replaced);
		check(dir);
		fixture_dir_remove(dir);
	}
	ck_assert_uint_gt(step_deadly, 10);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("queue-db routes");
	TCase *tc = tcase_create("steps");
	SRunner *runner;
	int failed;

	told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (told == MAP_FAILED)
		return 1;
	tcase_set_timeout(tc, 600);
	tcase_add_test(tc, replaces_a_recipient_whole_or_not_at_all);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
