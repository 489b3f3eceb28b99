/* SPDX-License-Identifier: Apache-2.0 */
/* header_edit_test.c - changes one after the other, and what is no change. */
#include "pipeline/header_edit.h"

#include <check.h>
#include <stdlib.h>

#include "base/record.h"
#include "pipeline/field.h"
#include "role/messages.h"

static const char came[] = "Received: a\r\nSubject: one\r\n\ttwo\r\n"
    "X-Spam: no\r\nx-spam : really\r\nSubjects: x\r\n\r\n";

static struct ph_arena *arena;
static struct ph_buf edits;

static void
setup(void)
{
	arena = ph_arena_create(NULL);
	ph_buf_init(&edits, arena, 1 << 16);
}

static void
teardown(void)
{
	ph_arena_free(arena);
}

static const char *
edited(const char *header)
{
	struct ph_buf out;

	ph_buf_init(&out, arena, 1 << 16);
	header_edit_apply(ph_slice_str(header), ph_buf_content(&edits), &out);
	edits.n = 0;
	return ph_arena_slice(arena, ph_buf_content(&out)).p;
}

START_TEST(without_changes_nothing_changes)
{
	ck_assert_str_eq(edited(came), came);
	ck_assert_str_eq(edited(""), "");
	ck_assert_str_eq(edited("\r\n"), "\r\n");
	ck_assert_str_eq(edited("A: b"), "A: b");
}
END_TEST

START_TEST(added_fields_go_in_front_and_count)
{
	record_put(&edits, F_ADD_HEADER, PH_LIT("X-Spam: a\r\n"));
	field_put_removal(&edits, "X-Spam", 2);
	record_put(&edits, F_ADD_HEADER, PH_LIT("X-B: b\r\n"));
	ck_assert(header_edit_is_any(ph_buf_content(&edits)));
	ck_assert_str_eq(edited(came), "X-B: b\r\nX-Spam: a\r\nReceived: a\r\n"
	    "Subject: one\r\n\ttwo\r\nx-spam : really\r\nSubjects: x\r\n\r\n");
	ck_assert(!header_edit_is_any(PH_LIT("")));
}
END_TEST

START_TEST(a_field_behind_one_without_its_end_is_another)
{
	field_put_change(&edits, FIELD_INSERT, 9, "C", "d");
	ck_assert_str_eq(edited("A: b"), "A: b\r\nC: d\r\n");
}
END_TEST

START_TEST(a_header_section_gets_the_end_that_it_lacks)
{
	static const char *const cases[][2] = { { "", "\r\n" },
		{ "\r\n", "\r\n" }, { "A: b\r\n\r\n", "A: b\r\n\r\n" },
		{ "A: b\r\n", "A: b\r\n\r\n" }, { "A: b", "A: b\r\n\r\n" },
		{ "A: b\n\n", "A: b\n\n" } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ph_buf out;

		ph_buf_init(&out, arena, 100);
		header_edit_end(ph_slice_str(cases[i][0]), &out);
		ck_assert_msg(ph_slice_eq(ph_buf_content(&out),
		    ph_slice_str(cases[i][1])), "case %zu", i);
	}
}
END_TEST

START_TEST(fields_are_removed_whole)
{
	field_put_removal(&edits, "subject", 1);
	field_put_removal(&edits, "X-Spam", 2);
	ck_assert_str_eq(edited(came), "Received: a\r\nX-Spam: no\r\n"
	    "Subjects: x\r\n\r\n");
	field_put_removal(&edits, "X-SPAM", 0);
	field_put_removal(&edits, "Received", 2); /* there is one */
	ck_assert_str_eq(edited(came), "Received: a\r\nSubject: one\r\n"
	    "\ttwo\r\nSubjects: x\r\n\r\n");
}
END_TEST

START_TEST(fields_are_put_where_they_should_be)
{
	field_put_change(&edits, FIELD_INSERT, 1, "A", "first");
	field_put_change(&edits, FIELD_INSERT, 3, "B", "third");
	field_put_change(&edits, FIELD_INSERT, 99, "C", "last");
	ck_assert_str_eq(edited("X: 1\r\nY: 2\r\n\r\n"),
	    "A: first\r\nX: 1\r\nB: third\r\nY: 2\r\nC: last\r\n\r\n");
	field_put_change(&edits, FIELD_INSERT, 1, "A", "only");
	ck_assert_str_eq(edited("\r\n"), "A: only\r\n\r\n");
}
END_TEST

START_TEST(each_change_is_to_what_the_ones_before_left)
{
	field_put_change(&edits, FIELD_CHANGE, 2, "x-spam", "yes");
	field_put_removal(&edits, "X-Spam", 1);
	field_put_change(&edits, FIELD_CHANGE, 1, "X-Spam", "now the first");
	field_put_change(&edits, FIELD_CHANGE, 2, "X-Spam", "there is none");
	field_put_change(&edits, FIELD_INSERT, 1, "X-Spam", "above it");
	field_put_removal(&edits, "X-Spam", 2);
	ck_assert_str_eq(edited(came), "X-Spam: above it\r\nReceived: a\r\n"
	    "Subject: one\r\n\ttwo\r\nSubjects: x\r\n\r\n");
}
END_TEST

START_TEST(a_flood_of_changes_stays_small)
{
	for (unsigned i = 0; i < 100000; i++)
		field_put_change(&edits, FIELD_INSERT, 1, "A", "b");
	ck_assert(edits.full);
	ck_assert_uint_le(strlen(edited(came)), 1 << 16);
}
END_TEST

static bool
is_sound(uint64_t op, const char *name, uint64_t n, const char *text)
{
	struct ph_buf buf;

	ph_buf_init(&buf, arena, 4096);
	record_put_u64(&buf, F_OP, op);
	if (name != NULL)
		record_put_str(&buf, F_NAME, name);
	record_put_u64(&buf, F_NUMBER, n);
	if (text != NULL)
		record_put_str(&buf, F_TEXT, text);
	return header_edit_is_sound(ph_buf_content(&buf));
}

START_TEST(what_is_no_change_is_none)
{
	ck_assert(is_sound(FIELD_INSERT, "A", 1, "A: b\r\n"));
	ck_assert(is_sound(FIELD_CHANGE, "A", 1, "A: b\r\n c\r\n"));
	ck_assert(is_sound(FIELD_REMOVE, "A", 0, NULL));
	ck_assert(!is_sound(0, "A", 1, "A: b\r\n"));
	ck_assert(!is_sound(4, "A", 1, "A: b\r\n"));
	ck_assert(!is_sound(FIELD_REMOVE, NULL, 1, NULL));
	ck_assert(!is_sound(FIELD_REMOVE, "", 1, NULL));
	ck_assert(!is_sound(FIELD_INSERT, "A", 0, "A: b\r\n"));
	ck_assert(!is_sound(FIELD_INSERT, "A", 1, NULL));
	ck_assert(!is_sound(FIELD_INSERT, "A", 1, "A: b"));
	ck_assert(!is_sound(FIELD_INSERT, "A", 1, "A: b\r\n\r\nbody\r\n"));
	ck_assert(!is_sound(FIELD_CHANGE, "A", 1, "A: b\r\nB: c\r\n"));
	ck_assert(!header_edit_is_sound(PH_LIT("junk")));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("header_edit");
	TCase *tcase = tcase_create("header_edit");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, without_changes_nothing_changes);
	tcase_add_test(tcase, added_fields_go_in_front_and_count);
	tcase_add_test(tcase,
	    a_field_behind_one_without_its_end_is_another);
	tcase_add_test(tcase, a_header_section_gets_the_end_that_it_lacks);
	tcase_add_test(tcase, fields_are_removed_whole);
	tcase_add_test(tcase, fields_are_put_where_they_should_be);
	tcase_add_test(tcase, each_change_is_to_what_the_ones_before_left);
	tcase_add_test(tcase, a_flood_of_changes_stays_small);
	tcase_add_test(tcase, what_is_no_change_is_none);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
