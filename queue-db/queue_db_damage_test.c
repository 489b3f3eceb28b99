/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue_db_damage_test.c - rows and files that are not what was written: never
 * believed, never deleted, never in the way of the others.
 */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inner.h"
#include "queue_db_fixture.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static char *dir;
static struct queue_db *db;
static struct ph_arena *arena;

static void
setup(void)
{
	dir = fixture_dir();
	db = fixture_open(dir);
	arena = ph_arena_create(NULL);
	fixture_reports = 0;
}

static void
teardown(void)
{
	ph_arena_free(arena);
	queue_db_close(db);
	fixture_dir_remove(dir);
}

static void
reopen(void)
{
	queue_db_close(db);
	db = fixture_open(dir);
}

static void
check_message(uint64_t number)
{
	const char *differs = fixture_check(db, number, NULL);

	ck_assert_msg(differs == NULL, "message %llu: %s",
	    (unsigned long long)number, differs);
}

static int
run(struct queue_db_op *op)
{
	return fixture_run(db, op, QUEUE_DB_DURABLE);
}

static int
remove_message(uint64_t number)
{
	struct queue_db_op *op = queue_db_op_create();

	queue_db_op_remove(op, fixture_id(number));
	return fixture_run(db, op, QUEUE_DB_LAZY);
}

static struct queue_db_stats
stats(void)
{
	struct queue_db_stats s;

	queue_db_stats(db, &s);
	return s;
}

static void
put_pair(uint8_t space, const char *key, const char *value, int64_t expires)
{
	struct queue_db_op *op = queue_db_op_create();

	queue_db_op_kv_put(op, space, ph_slice_str(key), ph_slice_str(value),
	    expires);
	ck_assert_int_eq(run(op), 0);
}

/* Change one octet of a row, or cut it, behind the library's back. */
static void
damage_row(enum table table, struct ph_slice key, size_t at, bool cut)
{
	struct row_buf buf = { 0 };
	struct ph_slice row;

	ck_assert_int_eq(table_get(db, NULL, table, key, &buf, false), 0);
	row = row_buf_content(&buf);
	if (at >= row.n)
		at = row.n - 1;
	if (cut)
		row.n = at;
	else
		((char *)buf.p)[at] ^= 0x40;
	ck_assert_int_eq(table_put(db, NULL, table, key, row, false), 0);
	row_buf_fini(&buf);
}

static size_t
count_aside(void)
{
	struct ph_slice key, row;
	struct range range;
	size_t n = 0;

	ck_assert_int_eq(range_open(db, NULL, T_ASIDE, PH_LIT(""), &range), 0);
	while (range_next(&range, &key, &row) == 0)
		n++;
	range_close(&range);
	return n;
}

START_TEST(sets_damaged_messages_aside)
{
	static const struct {
		enum table table;
		size_t at;
		bool cut;
	} row[] = {
		{ T_MESSAGES, 0, false }, { T_MESSAGES, 2, false },
		{ T_MESSAGES, 9, false }, { T_MESSAGES, 3, true },
		{ T_MESSAGES, 30, true }, { T_RECIPIENTS, 0, false },
		{ T_RECIPIENTS, 12, false }, { T_RECIPIENTS, 20, true },
		{ T_BODIES, 0, false }, { T_BODIES, 1000, false },
		{ T_BODIES, 1000, true }, { T_BODIES, 0, true },
	};
	const struct queue_db_message *list;
	char key[KEY_RECIPIENT];
	size_t n;

	/* numbers with a file, so that this too must stay */
	for (uint64_t i = 0; i <= COUNT(row); i++)
		ck_assert_int_eq(fixture_add(db, i * 7 + 3), 0);
	for (uint64_t i = 0; i < COUNT(row); i++) {
		uint64_t id = fixture_id(i * 7 + 3);

		key_of_recipient(id, 1, key);
		damage_row(row[i].table, (struct ph_slice){ key,
		    row[i].table == T_RECIPIENTS ? KEY_RECIPIENT : KEY_ID },
		    row[i].at, row[i].cut);
		ck_assert_msg(strcmp(fixture_check(db, i * 7 + 3, NULL),
		    "defect") == 0, "row %zu", (size_t)i);
		fixture_settle(db);
		ck_assert_uint_eq(stats().defects, i + 1);
		ck_assert_uint_eq(stats().messages, COUNT(row) - i);
		ck_assert_str_eq(fixture_check(db, i * 7 + 3, NULL),
		    "not_found");
	}
	ck_assert_uint_eq(fixture_reports, COUNT(row));
	n = count_aside();
	ck_assert_uint_ge(n, 3 * COUNT(row));
	reopen();
	ck_assert_uint_eq(fixture_count_files(dir), COUNT(row) + 1);
	ck_assert_uint_eq(count_aside(), n);
	check_message(COUNT(row) * 7 + 3);
	ck_assert_int_eq(queue_db_list(db, 0, 100, arena, &list, &n), 0);
	ck_assert_uint_eq(n, 1);
}
END_TEST

START_TEST(skips_damage_in_lists)
{
	const struct queue_db_message *list;
	char key[KEY_RECIPIENT];
	size_t n;

	for (uint64_t i = 1; i <= 20; i++)
		ck_assert_int_eq(fixture_add(db, i), 0);
	for (uint64_t i = 1; i <= 10; i++) {
		key_of_recipient(fixture_id(i), 1, key);
		damage_row(T_RECIPIENTS,
		    (struct ph_slice){ key, KEY_RECIPIENT }, 20, false);
	}
	ck_assert_int_eq(queue_db_list(db, 0, 5, arena, &list, &n), 0);
	ck_assert_uint_eq(n, 5);
	ck_assert_uint_eq(list[0].id, fixture_id(11));
	fixture_settle(db);
	ck_assert_int_eq(queue_db_list_down(db, UINT64_MAX, 100, arena, &list,
	    &n), 0);
	ck_assert_uint_eq(n, 10);
	ck_assert_uint_eq(stats().messages, 10);
}
END_TEST

START_TEST(refuses_to_change_damaged_rows)
{
	struct queue_db_update update = { .number = 1,
		.state = QUEUE_DB_DELIVERED };
	struct queue_db_op *op;
	char key[KEY_RECIPIENT];

	ck_assert_int_eq(fixture_add(db, 1), 0);
	ck_assert_int_eq(fixture_add(db, 2), 0);
	key_of_recipient(fixture_id(1), 1, key);
	damage_row(T_RECIPIENTS, (struct ph_slice){ key, KEY_RECIPIENT }, 9,
	    false);
	op = queue_db_op_create();
	queue_db_op_update(op, fixture_id(1), &update);
	ck_assert_int_eq(run(op), PH_DEFECT);
	key_of_recipient(fixture_id(2), 1, key);
	damage_row(T_MESSAGES, (struct ph_slice){ key, KEY_ID }, 9, false);
	ck_assert_int_eq(remove_message(2), PH_DEFECT);
	fixture_settle(db);
	ck_assert_uint_eq(stats().defects, 2);
	ck_assert_uint_eq(stats().messages, 0);
}
END_TEST

START_TEST(sets_damaged_pairs_aside)
{
	struct ph_slice value;

	put_pair(1, "key", "value", 0);
	damage_row(T_KV, (struct ph_slice){ "\001key", 4 }, 8, false);
	ck_assert_int_eq(queue_db_kv_get(db, 1, PH_LIT("key"), 0, arena,
	    &value, NULL), PH_DEFECT);
	fixture_settle(db);
	ck_assert_int_eq(queue_db_kv_get(db, 1, PH_LIT("key"), 0, arena,
	    &value, NULL), PH_NOT_FOUND);
	ck_assert_uint_eq(count_aside(), 1);
}
END_TEST

/* The path of the one body file there is. */
static void
body_path(uint64_t number, char path[4200])
{
	char text[ID_TEXT_MAX];
	uint64_t id = fixture_id(number);

	snprintf(path, 4200, "%s/bodies/%02x/%s", dir,
	    (unsigned)(id >> 32) & 255, id_format(id, text));
}

START_TEST(notices_missing_and_torn_body_files)
{
	char path[4200];

	ck_assert_int_eq(fixture_add(db, 3), 0);
	ck_assert_int_eq(fixture_add(db, 10), 0);
	body_path(3, path);
	ck_assert_int_eq(unlink(path), 0);
	body_path(10, path);
	ck_assert_int_eq(truncate(path, 100), 0);
	ck_assert_str_eq(fixture_check(db, 3, NULL), "defect");
	ck_assert_str_eq(fixture_check(db, 10, NULL), "defect");
	fixture_settle(db);
	ck_assert_str_eq(fixture_check(db, 3, NULL), "not_found");
	ck_assert_uint_eq(stats().defects, 2);
	reopen();
	ck_assert_int_eq(access(path, F_OK), 0);
}
END_TEST

START_TEST(sweeps_orphaned_body_files)
{
	char path[4200], stray[4300];
	int fd;

	ck_assert_int_eq(fixture_add(db, 3), 0);
	body_path(10, path);
	*strrchr(path, '/') = '\0';
	mkdir(path, 0700);
	snprintf(stray, sizeof(stray), "%s/not an id", path);
	body_path(10, path);
	fd = open(path, O_CREAT | O_RDWR, 0600);
	close(fd);
	close(open(stray, O_CREAT | O_RDWR, 0600));
	reopen();
	ck_assert_uint_eq(stats().orphans, 1);
	ck_assert_int_ne(access(path, F_OK), 0);
	ck_assert_int_eq(access(stray, F_OK), 0);
	check_message(3);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("queue-db damage");
	TCase *tc = tcase_create("queue-db damage");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, sets_damaged_messages_aside);
	tcase_add_test(tc, skips_damage_in_lists);
	tcase_add_test(tc, refuses_to_change_damaged_rows);
	tcase_add_test(tc, sets_damaged_pairs_aside);
	tcase_add_test(tc, notices_missing_and_torn_body_files);
	tcase_add_test(tc, sweeps_orphaned_body_files);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
