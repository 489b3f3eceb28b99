/* SPDX-License-Identifier: Apache-2.0 */
/* envelope_edit_test.c - what may change an envelope, and what may be a body. */
#include "pipeline/envelope_edit.h"

#include <check.h>
#include <stdlib.h>

#include "base/record.h"
#include "role/messages.h"

static struct ph_arena *arena;

static void
setup(void)
{
	arena = ph_arena_create(NULL);
}

static void
teardown(void)
{
	ph_arena_free(arena);
}

static const struct ph_slice none = { NULL, 0 };

/* Whether it may be asked for; then it arrives as it was. */
static bool
goes(enum envelope_op op, struct ph_slice address, struct ph_slice notify,
    struct ph_slice orcpt)
{
	const struct envelope_edit edit = { op, address, notify, orcpt,
		PH_LIT("check_x") };
	struct envelope_edit got;
	struct ph_slice rest;
	struct record_field field;
	struct ph_buf buf;

	ph_buf_init(&buf, arena, 1 << 12);
	if (envelope_edit_put(&buf, &edit) != PH_OK) {
		ck_assert_uint_eq(buf.n, 0);
		return false;
	}
	rest = ph_buf_content(&buf);
	ck_assert(envelope_edit_is_any(rest));
	ck_assert(record_next(&rest, &field));
	ck_assert_int_eq(envelope_edit_take(arena, field.value, &got), PH_OK);
	ck_assert_uint_eq(got.op, op);
	ck_assert(ph_slice_eq(got.address, address));
	ck_assert(ph_slice_eq(got.notify, notify));
	ck_assert(ph_slice_eq(got.orcpt, orcpt));
	ck_assert(ph_slice_eq(got.module, PH_LIT("check_x")));
	return true;
}

START_TEST(an_address_is_one_that_a_command_could_carry)
{
	static const struct {
		struct ph_slice address;
		bool is_good;
	} cases[] = {
		{ PH_LIT("a@example.test"), true },
		{ PH_LIT("A.b+c@Example.TEST"), true },
		{ PH_LIT("with space@example.test"), true },
		{ PH_LIT("postmaster"), true },
		{ PH_LIT("a"), false },
		{ PH_LIT("a@"), false },
		{ PH_LIT("@example.test"), false },
		{ PH_LIT("a@exa mple.test"), false },
		{ PH_LIT("a@example.test>"), false },
		{ PH_LIT("a@example.test> NOTIFY=NEVER"), false },
		{ PH_LIT("a@example.test\r\nRCPT TO:<b@example.test"), false },
		{ PH_LIT("a\r\n@example.test"), false },
		{ PH_LIT("a\n@example.test"), false },
		{ PH_LIT("a\0@example.test"), false },
		{ PH_LIT("a@example.test\0"), false },
		{ PH_LIT("a\x7f@example.test"), false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (int op = ENVELOPE_ADD; op <= ENVELOPE_SENDER; op++)
			ck_assert_msg(goes((enum envelope_op)op,
			    cases[i].address, none, none) == cases[i].is_good,
			    "case %zu, %d", i, op);
	ck_assert(goes(ENVELOPE_SENDER, PH_LIT(""), none, none));
	ck_assert(!goes(ENVELOPE_ADD, PH_LIT(""), none, none));
	ck_assert(!goes(ENVELOPE_REMOVE, PH_LIT(""), none, none));
	ck_assert(!goes((enum envelope_op)0, PH_LIT("a@b.test"), none, none));
	ck_assert(!goes((enum envelope_op)4, PH_LIT("a@b.test"), none, none));
}
END_TEST

START_TEST(wishes_for_reports_are_those_of_rfc_3461)
{
	const struct {
		struct ph_slice notify, orcpt;
		bool is_good;
	} cases[] = {
		{ PH_LIT("NEVER"), none, true },
		{ PH_LIT("SUCCESS,FAILURE,DELAY"), none, true },
		{ PH_LIT("NEVER,FAILURE"), none, false },
		{ PH_LIT("never"), none, false },
		{ PH_LIT(""), none, false },
		{ PH_LIT("FAILURE\r\n"), none, false },
		{ none, PH_LIT("rfc822;a@example.test"), true },
		{ none, PH_LIT("rfc822;"), false },
		{ none, PH_LIT(";a@example.test"), false },
		{ none, PH_LIT("a@example.test"), false },
		{ none, PH_LIT("rfc822;a b"), false },
		{ none, PH_LIT("rfc822;a\r\nb"), false },
		{ none, PH_LIT(""), false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		ck_assert_msg(goes(ENVELOPE_ADD, PH_LIT("a@example.test"),
		    cases[i].notify, cases[i].orcpt) == cases[i].is_good,
		    "case %zu", i);
}
END_TEST

START_TEST(what_is_no_record_of_one_is_refused)
{
	struct envelope_edit edit;
	struct ph_buf buf;

	ck_assert_int_eq(envelope_edit_take(arena, PH_LIT("junk"), &edit),
	    PH_INVALID);
	ck_assert_int_eq(envelope_edit_take(arena, PH_LIT(""), &edit),
	    PH_INVALID);
	ph_buf_init(&buf, arena, 1 << 12);
	record_put_u64(&buf, F_OP, ENVELOPE_ADD);
	ck_assert_int_eq(envelope_edit_take(arena, ph_buf_content(&buf),
	    &edit), PH_INVALID);
	record_put(&buf, F_ADDRESS, PH_LIT("a@example.test"));
	ck_assert_int_eq(envelope_edit_take(arena, ph_buf_content(&buf),
	    &edit), PH_OK);
	ph_buf_char(&buf, 'x');
	ck_assert_int_eq(envelope_edit_take(arena, ph_buf_content(&buf),
	    &edit), PH_INVALID);
}
END_TEST

START_TEST(a_body_has_whole_line_ends_however_it_is_cut)
{
	static const struct {
		struct ph_slice body;
		bool is_good;
	} cases[] = {
		{ PH_LIT(""), true },
		{ PH_LIT("a\r\nb\r\n"), true },
		{ PH_LIT("\r\n\r\n"), true },
		{ PH_LIT("no end"), true },
		{ PH_LIT("a\nb\r\n"), false },
		{ PH_LIT("a\rb\r\n"), false },
		{ PH_LIT("a\r\r\n"), false },
		{ PH_LIT("a\r"), false },
		{ PH_LIT("\n"), false },
		{ PH_LIT("a\0b\r\n"), false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t at = 0; at <= cases[i].body.n; at++) {
			struct ph_slice a = { cases[i].body.p, at };
			struct ph_slice b = { cases[i].body.p + at,
				cases[i].body.n - at };
			struct body_scan scan = { false, false };

			body_scan_next(&scan, a);
			body_scan_next(&scan, b);
			ck_assert_msg(body_scan_end(&scan) ==
			    cases[i].is_good, "case %zu at %zu", i, at);
		}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("envelope_edit");
	TCase *tcase = tcase_create("envelope_edit");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, an_address_is_one_that_a_command_could_carry);
	tcase_add_test(tcase, wishes_for_reports_are_those_of_rfc_3461);
	tcase_add_test(tcase, what_is_no_record_of_one_is_refused);
	tcase_add_test(tcase, a_body_has_whole_line_ends_however_it_is_cut);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
