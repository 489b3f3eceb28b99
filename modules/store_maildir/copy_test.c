/* SPDX-License-Identifier: Apache-2.0 */
/* copy_test.c - copies and appends: all or nothing. */
#include "harness.h"

static void
copy_three(void)
{
	const uint32_t uids[] = { 1, 2, 3, 9 };
	struct ph_store_mailbox *box = open_box(INBOX, false);
	struct ph_uid_map map;
	int status = maildir_create(store, ALICE, PH_LIT("Kept"));

	ck_assert(status == PH_OK || status == PH_EXISTS);
	ck_assert_int_eq(maildir_copy(box, uids, 4, PH_LIT("None"), arena,
	    &map), PH_NOT_FOUND);
	ck_assert_int_eq(maildir_copy(box, uids, 4, PH_LIT("Kept"), arena,
	    &map), PH_OK);
	ck_assert_uint_eq(map.count, 3);
	ck_assert_uint_eq(map.from[2], 3);
	ck_assert_uint_ne(map.uid_validity, 0);
	maildir_mailbox_close(box);
}

static void
deliver_flag_copy(void)
{
	struct ph_store_mailbox *box, *kept;
	const struct ph_message_meta *metas;
	struct ph_message_summary summary;
	const uint32_t uid = 1;
	int bit;

	deliver_three();
	box = open_box(INBOX, false);
	bit = maildir_keyword(box, PH_LIT("Junk"), true);
	ck_assert_int_eq(maildir_keyword(box, PH_LIT("Work"), true), bit + 1);
	ck_assert_int_eq(maildir_store_flags(box, &uid, 1, PH_FLAGS_SET,
	    PH_SEEN, 2ull << bit, UINT64_MAX, arena, NULL, NULL), PH_OK);
	maildir_mailbox_close(box);
	copy_three();
	kept = open_box(PH_LIT("Kept"), false);
	ck_assert_uint_eq(maildir_messages(kept, arena, &metas), 3);
	ck_assert_uint_eq(metas[0].flags, PH_SEEN | PH_RECENT);
	ck_assert_uint_eq(metas[0].keywords, 1); /* the target's first bit */
	ck_assert_int_eq(metas[0].internal_date, 1700000000);
	ck_assert(has(content_of(kept, metas[0].uid), "body"));
	ck_assert_int_eq(maildir_summary(kept, metas[0].uid, arena, &summary),
	    PH_OK);
	ck_assert(has(summary.header, "Subject: one"));
	maildir_mailbox_close(kept);
}

START_TEST(a_copy_keeps_flags_keywords_and_date)
{
	run(deliver_flag_copy);
}
END_TEST

static void
copy_to_itself(void)
{
	struct ph_store_mailbox *box;
	const struct ph_message_meta *metas;
	struct ph_uid_map map;
	const uint32_t uid = 2;

	deliver_three();
	box = open_box(INBOX, false);
	ck_assert_int_eq(maildir_copy(box, &uid, 1, PH_LIT("inbox"), arena,
	    &map), PH_OK);
	ck_assert_uint_eq(map.to[0], 4);
	ck_assert_uint_eq(maildir_messages(box, arena, &metas), 4);
	ck_assert(has(content_of(box, 4), "body"));
	ck_assert_int_eq(maildir_remove(box, &uid, 1), PH_OK);
	ck_assert(has(content_of(box, 4), "body"));
	maildir_mailbox_close(box);
}

START_TEST(a_message_may_be_copied_within_its_mailbox)
{
	run(copy_to_itself);
}
END_TEST

static void
all_or_none_copied(void)
{
	struct ph_store_mailbox *box;
	const struct ph_message_meta *metas;
	size_t n;

	if (maildir_mailbox_open(store, ALICE, PH_LIT("Kept"), false, &box) !=
	    PH_OK)
		return;
	n = maildir_messages(box, arena, &metas);
	ck_assert_msg(n == 0 || n == 3, "%zu of 3 copied", n);
	for (size_t i = 0; i < n; i++)
		ck_assert(has(content_of(box, metas[i].uid), "body"));
	ck_assert_int_eq(maildir_refresh(box), PH_OK);
	ck_assert_uint_eq(maildir_messages(box, arena, &metas), n);
	maildir_mailbox_close(box);
}

START_TEST(a_crash_at_any_step_of_a_copy_leaves_all_or_none)
{
	int step;

	for (step = 1; step < STEPS_MAX; step++) {
		bool crashed;

		teardown();
		setup();
		run_apart(deliver_three);
		crashed = run_crashing(copy_three, step);
		run_apart(all_or_none_copied);
		run_apart(all_or_none_copied);
		if (!crashed)
			break;
	}
	ck_assert_int_gt(step, 8);
	ck_assert_int_lt(step, STEPS_MAX);
}
END_TEST

/* --- append --- */

static struct ph_uid_map
append_text(const char *text, size_t n, size_t portion)
{
	const struct ph_slice keywords[] = { PH_LIT("Draftlike") };
	struct ph_append *append;
	struct ph_uid_map map;

	ck_assert_int_eq(maildir_append_begin(store, ALICE, INBOX,
	    PH_DRAFT | PH_RECENT, keywords, 1, 1500000000, &append), PH_OK);
	for (size_t at = 0; at < n; at += portion)
		ck_assert_int_eq(maildir_append_write(append, text + at,
		    n - at < portion ? n - at : portion), PH_OK);
	ck_assert_int_eq(maildir_append_commit(append, arena, &map), PH_OK);
	return map;
}

static void
append_some(void)
{
	static const char small[] = "Subject: s\n\r\nx\ny\r\n\nz";
	struct ph_store_mailbox *box = open_box(INBOX, false);
	const struct ph_message_meta *metas;
	struct ph_uid_map map;
	struct ph_slice got;
	size_t n = 300000;
	char *big = ph_arena_alloc(arena, n);

	for (size_t portion = 1; portion < sizeof(small); portion += 4) {
		map = append_text(small, sizeof(small) - 1, portion);
		ck_assert_uint_eq(map.count, 1);
		ck_assert(ph_slice_eq(content_of(box, map.to[0]),
		    PH_LIT("Subject: s\r\n\r\nx\r\ny\r\n\r\nz")));
	}
	memset(big, 'a', n);
	for (size_t i = 99; i < n; i += 100)
		big[i] = '\n';
	memcpy(big, "Subject: big\n\n", 14);
	map = append_text(big, n, 4096);
	got = content_of(box, map.to[0]);
	ck_assert_uint_eq(got.n, n + n / 100 + 2);
	ck_assert(got.p[got.n - 2] == '\r');
	n = maildir_messages(box, arena, &metas);
	ck_assert_uint_eq(metas[0].flags, PH_DRAFT | PH_RECENT);
	ck_assert_uint_eq(metas[0].keywords, 1);
	ck_assert_int_eq(metas[0].internal_date, 1500000000);
	ck_assert_int_eq(maildir_refresh(box), PH_OK);
	ck_assert_uint_eq(maildir_messages(box, arena, &metas), n);
	maildir_mailbox_close(box);
}

START_TEST(an_append_comes_back_with_crlf)
{
	run(append_some);
}
END_TEST

static void
append_given_up(void)
{
	struct ph_append *append;
	struct ph_uid_map map;
	const size_t n = 200000;
	char *big = ph_arena_alloc(arena, n);

	ck_assert_int_eq(maildir_append_begin(store, ALICE, INBOX, 0, NULL, 0,
	    0, &append), PH_OK);
	ck_assert_int_eq(maildir_append_write(append, big, n), PH_OK);
	maildir_append_abort(append);
	maildir_append_abort(NULL);
	ck_assert_int_eq(maildir_append_begin(store, ALICE, PH_LIT("None"), 0,
	    NULL, 0, 0, &append), PH_NOT_FOUND);
	/* the mailbox is deleted, or another one, when it comes to the end */
	for (int again = 0; again < 2; again++) {
		ck_assert_int_eq(maildir_create(store, ALICE, PH_LIT("A")),
		    PH_OK);
		ck_assert_int_eq(maildir_append_begin(store, ALICE,
		    PH_LIT("A"), 0, NULL, 0, 0, &append), PH_OK);
		ck_assert_int_eq(maildir_append_write(append, big, n), PH_OK);
		ck_assert_int_eq(maildir_del(store, ALICE, PH_LIT("A")),
		    PH_OK);
		if (again == 1)
			ck_assert_int_eq(maildir_create(store, ALICE,
			    PH_LIT("A")), PH_OK);
		ck_assert_int_ne(maildir_append_commit(append, arena, &map),
		    PH_OK);
	}
	ck_assert_uint_eq(count_of(PH_LIT("A")), 0);
	ck_assert_uint_eq(count_of(INBOX), 0);
	ck_assert_str_eq(file_in("tmp", 0), "");
}

START_TEST(an_append_that_is_given_up_leaves_nothing)
{
	run(append_given_up);
}
END_TEST

static void
append_one(void)
{
	append_text("Subject: x\r\n\r\nbody\r\n", 20, 20);
}

static void
none_or_one(void)
{
	struct ph_store_mailbox *box = open_box(INBOX, false);
	const struct ph_message_meta *metas;
	size_t n = maildir_messages(box, arena, &metas);

	ck_assert_uint_le(n, 1);
	for (size_t i = 0; i < n; i++)
		ck_assert_uint_eq(content_of(box, metas[i].uid).n, 20);
	maildir_mailbox_close(box);
}

START_TEST(a_crash_at_any_step_of_an_append_leaves_it_or_nothing)
{
	int step;

	for (step = 1; step < STEPS_MAX; step++) {
		bool crashed;

		teardown();
		setup();
		crashed = run_crashing(append_one, step);
		run_apart(none_or_one);
		run_apart(none_or_one);
		if (!crashed)
			break;
	}
	ck_assert_int_lt(step, STEPS_MAX);
}
END_TEST

static void
add_tests(TCase *tc)
{
	tcase_add_test(tc, a_copy_keeps_flags_keywords_and_date);
	tcase_add_test(tc, a_message_may_be_copied_within_its_mailbox);
	tcase_add_test(tc, a_crash_at_any_step_of_a_copy_leaves_all_or_none);
	tcase_add_test(tc, an_append_comes_back_with_crlf);
	tcase_add_test(tc, an_append_that_is_given_up_leaves_nothing);
	tcase_add_test(tc,
	    a_crash_at_any_step_of_an_append_leaves_it_or_nothing);
}

int
main(void)
{
	return harness_main("store_maildir: copy", add_tests);
}
