/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue_db_tools_test.c - export, import and verify: what comes out goes in
 * again octet for octet, what is damaged is told and stays away, and a file
 * that is cut or changed anywhere changes nothing.
 */
#include <check.h>
#include <stdlib.h>
#include <unistd.h>

#include "inner.h"
#include "queue_db_fixture.h"
#include "queue_db_tools.h"

enum { MESSAGES = 40 };

static char *dir, *other_dir;
static struct queue_db *db;
static FILE *file;
static struct queue_db_tally tally;
static struct ph_err err;

static void
setup(void)
{
	dir = fixture_dir();
	other_dir = fixture_dir();
	db = fixture_open(dir);
	file = tmpfile();
	ck_assert_ptr_nonnull(file);
	fixture_reports = 0;
	err = (struct ph_err){ 0 };
}

static void
teardown(void)
{
	queue_db_close(db);
	fclose(file);
	fixture_dir_remove(dir);
	fixture_dir_remove(other_dir);
}

static void
fill(void)
{
	struct queue_db_op *op;

	for (uint64_t i = 1; i <= MESSAGES; i++)
		ck_assert_int_eq(fixture_add(db, i), 0);
	op = queue_db_op_create();
	queue_db_op_kv_put(op, 1, PH_LIT("grey\nlist\0key"), PH_LIT("\0\n1"),
	    wall_ms() + 3600000);
	queue_db_op_kv_put(op, 1, PH_LIT("other"), PH_LIT(""), 0);
	queue_db_op_kv_put(op, 255, PH_LIT("far.test"), PH_LIT("1"), 0);
	ck_assert_int_eq(fixture_run(db, op, QUEUE_DB_DURABLE), 0);
}

static void
export(void)
{
	int status = queue_db_export(db, file, &tally, &err);

	ck_assert_msg(status == 0, "%s", err.text);
	rewind(file);
}

/* Go on with the other, empty queue. */
static void
move(void)
{
	queue_db_close(db);
	db = fixture_open(other_dir);
}

static void
check_pair(uint8_t space, struct ph_slice key, struct ph_slice value)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct ph_slice found;
	int64_t expires;

	ck_assert_int_eq(queue_db_kv_get(db, space, key, wall_ms(), arena,
	    &found, &expires), 0);
	ck_assert(ph_slice_eq(found, value));
	ph_arena_free(arena);
}

static void
check_all(uint64_t but)
{
	for (uint64_t i = 1; i <= MESSAGES; i++) {
		const char *differs = fixture_check(db, i, NULL);

		if (i == but)
			ck_assert_str_eq(differs, ph_status_name(PH_NOT_FOUND));
		else
			ck_assert_msg(differs == NULL, "%llu: %s",
			    (unsigned long long)i, differs);
	}
}

static uint64_t
count(void)
{
	struct queue_db_stats stats;

	queue_db_stats(db, &stats);
	return stats.messages;
}

START_TEST(what_is_exported_is_imported_octet_for_octet)
{
	fill();
	export();
	ck_assert_uint_eq(tally.messages, MESSAGES);
	ck_assert_uint_eq(tally.pairs, 3);
	move();
	ck_assert_int_eq(queue_db_import(db, file, &tally, &err), 0);
	ck_assert_uint_eq(tally.messages, MESSAGES);
	ck_assert_uint_eq(tally.pairs, 3);
	ck_assert_uint_eq(tally.present, 0);
	check_all(0);
	check_pair(1, PH_LIT("grey\nlist\0key"), PH_LIT("\0\n1"));
	check_pair(255, PH_LIT("far.test"), PH_LIT("1"));
}
END_TEST

START_TEST(states_of_recipients_are_kept)
{
	struct queue_db_update update = { .number = 1,
		.state = QUEUE_DB_FAILED, .attempts = 7, .next_ms = 99,
		.record = PH_LIT("said\nno") };
	struct ph_arena *arena = ph_arena_create(NULL);
	struct queue_db_op *op = queue_db_op_create();
	struct queue_db_message m;

	ck_assert_int_eq(fixture_add(db, 2), 0);
	queue_db_op_update(op, fixture_id(2), &update);
	ck_assert_int_eq(fixture_run(db, op, QUEUE_DB_DURABLE), 0);
	export();
	move();
	ck_assert_int_eq(queue_db_import(db, file, &tally, &err), 0);
	ck_assert_int_eq(queue_db_get(db, fixture_id(2), false, arena, &m), 0);
	ck_assert_int_eq(m.recipients[0].state, QUEUE_DB_FAILED);
	ck_assert_uint_eq(m.recipients[0].attempts, 7);
	ck_assert_int_eq(m.recipients[0].next_ms, 99);
	ck_assert(ph_slice_eq(m.recipients[0].record, PH_LIT("said\nno")));
	ph_arena_free(arena);
}
END_TEST

START_TEST(importing_again_changes_nothing)
{
	fill();
	export();
	ck_assert_int_eq(queue_db_import(db, file, &tally, &err), 0);
	ck_assert_uint_eq(tally.present, MESSAGES);
	check_all(0);
	ck_assert_uint_eq(count(), MESSAGES);
}
END_TEST

static void
damage(enum table table, uint64_t number)
{
	struct row_buf buf = { 0 };
	char key[KEY_ID];
	struct ph_slice k = { key, sizeof(key) };

	key_of_id(fixture_id(number), key);
	ck_assert_int_eq(table_get(db, NULL, table, k, &buf, false), 0);
	((char *)buf.p)[buf.n - 1] ^= 1;
	ck_assert_int_eq(table_put(db, NULL, table, k, row_buf_content(&buf),
	    false), 0);
	row_buf_fini(&buf);
}

START_TEST(damage_is_told_and_left_out)
{
	fill();
	damage(T_BODIES, 5);
	export();
	ck_assert_uint_eq(tally.damaged, 1);
	ck_assert_uint_eq(tally.messages, MESSAGES - 1);
	fixture_settle(db);
	ck_assert_uint_gt(fixture_reports, 0);
	move();
	ck_assert_int_eq(queue_db_import(db, file, &tally, &err), 0);
	check_all(5);
}
END_TEST

START_TEST(verify_reads_everything)
{
	fill();
	ck_assert_int_eq(queue_db_verify(db, &tally, &err), 0);
	ck_assert_uint_eq(tally.messages, MESSAGES);
	ck_assert_uint_eq(tally.damaged + tally.aside + tally.strays, 0);
	damage(T_BODIES, 5);
	ck_assert_int_eq(queue_db_verify(db, &tally, &err), 0);
	ck_assert_uint_eq(tally.damaged, 1);
	ck_assert_uint_gt(tally.aside, 0);
	ck_assert_uint_eq(tally.strays, 0);
}
END_TEST

START_TEST(verify_finds_rows_of_no_message)
{
	char key[KEY_ID];

	fill();
	key_of_id(fixture_id(6), key);
	ck_assert_int_eq(table_delete(db, NULL, T_MESSAGES,
	    (struct ph_slice){ key, sizeof(key) }), 0);
	ck_assert_int_eq(queue_db_verify(db, &tally, &err), 0);
	ck_assert_uint_eq(tally.strays, 2);
}
END_TEST

static void
on_words(void *arg, const char *text)
{
	(void)text;
	++*(unsigned *)arg;
}

START_TEST(verify_finds_a_page_that_was_changed)
{
	char path[4200], page[64];
	unsigned told = 0;
	FILE *table;

	fill();
	queue_db_close(db);
	ck_assert_int_eq(queue_db_verify_pages(dir, on_words, &told), 0);
	ck_assert_uint_eq(told, 0);
	snprintf(path, sizeof(path), "%s/messages.db", dir);
	table = fopen(path, "r+");
	ck_assert_ptr_nonnull(table);
	memset(page, 0x5a, sizeof(page));
	fseek(table, -(long)PAGE_BYTES / 2, SEEK_END);
	fwrite(page, 1, sizeof(page), table);
	fclose(table);
	ck_assert_int_ne(queue_db_verify_pages(dir, on_words, &told), 0);
	ck_assert_uint_gt(told, 0);
	db = fixture_open(other_dir);
}
END_TEST

/* The whole file, changed by cut or flip at any place: never taken. */
START_TEST(a_cut_or_changed_file_changes_nothing)
{
	char *text;
	size_t n;

	for (uint64_t i = 1; i <= 4; i++)
		ck_assert_int_eq(fixture_add(db, i), 0);
	export();
	fseek(file, 0, SEEK_END);
	n = (size_t)ftell(file);
	rewind(file);
	text = malloc(n);
	ck_assert_uint_eq(fread(text, 1, n, file), n);
	move();
	for (size_t at = 0; at < n; at += at < 600 || at + 600 > n ? 1 : 977) {
		FILE *cut = tmpfile();

		if (at % 2 == 0) {
			fwrite(text, 1, at, cut);
		} else {
			text[at] ^= 0x10;
			fwrite(text, 1, n, cut);
			text[at] ^= 0x10;
		}
		rewind(cut);
		ck_assert_int_eq(queue_db_import(db, cut, &tally, &err),
		    PH_INVALID);
		ck_assert_ptr_nonnull(strstr(err.text, "nothing was imported"));
		fclose(cut);
	}
	free(text);
	ck_assert_uint_eq(count(), 0);
}
END_TEST

START_TEST(a_message_that_grew_is_taken)
{
	struct queue_db_recipient to = { .number = 100,
		.state = QUEUE_DB_WAITING, .address = PH_LIT("a@b.test"),
		.destination = PH_LIT("b.test") };
	struct ph_arena *arena = ph_arena_create(NULL);
	struct queue_db_message m;

	to.record = (struct ph_slice){ ph_arena_alloc(arena, 200000), 200000 };
	ck_assert_int_eq(fixture_add(db, 1), 0);
	for (; to.number < 120; to.number++) {
		struct queue_db_op *op = queue_db_op_create();

		queue_db_op_recipient(op, fixture_id(1), &to);
		ck_assert_int_eq(fixture_run(db, op, QUEUE_DB_LAZY), 0);
	}
	export();
	move();
	ck_assert_int_eq(queue_db_import(db, file, &tally, &err), 0);
	ck_assert_int_eq(queue_db_get(db, fixture_id(1), false, arena, &m), 0);
	ck_assert_uint_eq(m.recipient_count, 22);
	ph_arena_free(arena);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("queue_db_tools");
	TCase *tcase = tcase_create("tools");
	SRunner *runner;
	int failed;

	suite_add_tcase(suite, tcase);
	tcase_set_timeout(tcase, 200);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, what_is_exported_is_imported_octet_for_octet);
	tcase_add_test(tcase, states_of_recipients_are_kept);
	tcase_add_test(tcase, importing_again_changes_nothing);
	tcase_add_test(tcase, damage_is_told_and_left_out);
	tcase_add_test(tcase, verify_reads_everything);
	tcase_add_test(tcase, verify_finds_rows_of_no_message);
	tcase_add_test(tcase, verify_finds_a_page_that_was_changed);
	tcase_add_test(tcase, a_cut_or_changed_file_changes_nothing);
	tcase_add_test(tcase, a_message_that_grew_is_taken);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
