/* SPDX-License-Identifier: Apache-2.0 */
/* tree_test.c - a user's mailboxes as a tree. */
#include "harness.h"

#include <sys/stat.h>
#include <unistd.h>

static const char *
listing(void)
{
	const struct ph_mailbox_name *names;
	struct ph_buf buf;
	size_t count;

	ck_assert_int_eq(maildir_list(store, ALICE, arena, &names, &count),
	    PH_OK);
	ph_buf_init(&buf, arena, 4096);
	for (size_t i = 0; i < count; i++) {
		ph_buf_slice(&buf, names[i].name);
		ph_buf_str(&buf, names[i].has_children ? "+" : "");
		ph_buf_str(&buf, names[i].subscribed ? "*" : "");
		ph_buf_str(&buf, names[i].selectable ? "" : "!");
		ph_buf_str(&buf, names[i].exists ? "" : "?");
		ph_buf_char(&buf, ' ');
	}
	ph_buf_char(&buf, '\0');
	return buf.p;
}

static void
tree_ops(void)
{
	ck_assert_str_eq(listing(), "INBOX ");
	ck_assert_int_eq(maildir_create(store, ALICE, PH_LIT("inbox")),
	    PH_EXISTS);
	ck_assert_int_eq(maildir_create(store, ALICE, PH_LIT("../x")),
	    PH_INVALID);
	ck_assert_int_eq(maildir_create(store, ALICE, PH_LIT("A/B/C")),
	    PH_OK);
	ck_assert_int_eq(maildir_create(store, ALICE, PH_LIT("A/B")),
	    PH_EXISTS);
	ck_assert_int_eq(maildir_subscribe(store, ALICE, PH_LIT("A/B"), true),
	    PH_OK);
	ck_assert_int_eq(maildir_subscribe(store, ALICE, PH_LIT("Z"), true),
	    PH_OK);
	ck_assert_str_eq(listing(), "A+ A/B+* A/B/C INBOX Z*!? ");
	ck_assert_int_eq(maildir_del(store, ALICE, PH_LIT("A/B")), PH_OK);
	ck_assert_int_eq(maildir_del(store, ALICE, PH_LIT("A/B")),
	    PH_NOT_FOUND);
	ck_assert_int_eq(maildir_del(store, ALICE, PH_LIT("INBOX")),
	    PH_DENIED);
	ck_assert_str_eq(listing(), "A+ A/B+*! A/B/C INBOX Z*!? ");
	ck_assert_int_eq(maildir_rename(store, ALICE, PH_LIT("A"),
	    PH_LIT("N/M")), PH_OK);
	ck_assert_str_eq(listing(),
	    "A/B*!? INBOX N+ N/M+ N/M/B+! N/M/B/C Z*!? ");
	ck_assert_int_eq(access(path_of(".N.M.B.C/cur"), F_OK), 0);
	ck_assert_int_eq(access(path_of(".A.B.C"), F_OK), -1);
	ck_assert_int_eq(maildir_rename(store, ALICE, PH_LIT("N/M"),
	    PH_LIT("N/M/x")), PH_INVALID);
	ck_assert_int_eq(maildir_rename(store, ALICE, PH_LIT("N"),
	    PH_LIT("inbox")), PH_EXISTS);
	ck_assert_int_eq(maildir_rename(store, ALICE, PH_LIT("N"),
	    PH_LIT("N/M")), PH_INVALID);
	ck_assert_int_eq(maildir_rename(store, ALICE, PH_LIT("N/M/B/C"),
	    PH_LIT("N")), PH_EXISTS);
	ck_assert_int_eq(maildir_rename(store, ALICE, PH_LIT("None"),
	    PH_LIT("x")), PH_NOT_FOUND);
	/* what another program made */
	ck_assert_int_eq(mkdir(path_of(".Foreign"), 0700), 0);
	ck_assert_ptr_nonnull(strstr(listing(), " Foreign "));
}

START_TEST(mailboxes_are_made_renamed_and_deleted_as_a_tree)
{
	run(tree_ops);
}
END_TEST

static void
rename_while_open(void)
{
	struct ph_store_mailbox *box, *again;
	struct ph_mailbox_status before, after;
	struct ph_mailbox_changes changes;
	struct ph_uid_map map;
	const uint32_t uid = 1;

	ck_assert_int_eq(deliver(1), PH_OK);
	ck_assert_int_eq(maildir_create(store, ALICE, PH_LIT("A")), PH_OK);
	box = open_box(INBOX, false);
	ck_assert_int_eq(maildir_copy(box, &uid, 1, PH_LIT("A"), arena, &map),
	    PH_OK);
	maildir_mailbox_close(box);
	box = open_box(PH_LIT("A"), false);
	maildir_mailbox_status(box, &before);
	ck_assert_int_eq(maildir_rename(store, ALICE, PH_LIT("A"),
	    PH_LIT("B")), PH_OK);
	ck_assert(has(content_of(box, 1), "body"));
	ck_assert_int_eq(set_flags(box, 1, PH_SEEN), PH_OK);
	again = open_box(PH_LIT("B"), false);
	ck_assert_ptr_eq(again->box, box->box);
	maildir_mailbox_status(again, &after);
	ck_assert_uint_eq(after.uid_validity, before.uid_validity);
	maildir_mailbox_close(again);
	ck_assert_int_eq(maildir_del(store, ALICE, PH_LIT("B")), PH_OK);
	maildir_changes(box, 0, arena, &changes);
	ck_assert(changes.gone);
	ck_assert_int_eq(set_flags(box, 1, 0), PH_NOT_FOUND);
	ck_assert_int_eq(maildir_create(store, ALICE, PH_LIT("B")), PH_OK);
	ck_assert_int_eq(maildir_status_of(store, ALICE, PH_LIT("B"), &after),
	    PH_OK);
	ck_assert_uint_gt(after.uid_validity, before.uid_validity);
	ck_assert_uint_eq(after.messages, 0);
	maildir_mailbox_close(box);
}

START_TEST(an_open_mailbox_follows_its_rename_and_knows_when_it_is_gone)
{
	run(rename_while_open);
}
END_TEST

static void
inbox_renamed(void)
{
	deliver_three();
	ck_assert_int_eq(maildir_rename(store, ALICE, PH_LIT("INBOX"),
	    PH_LIT("Old/2026")), PH_OK);
	ck_assert_uint_eq(count_of(INBOX), 0);
	ck_assert_uint_eq(count_of(PH_LIT("Old/2026")), 3);
	ck_assert_int_eq(maildir_rename(store, ALICE, PH_LIT("INBOX"),
	    PH_LIT("Old/2026")), PH_EXISTS);
}

START_TEST(renaming_the_inbox_moves_its_mail)
{
	run(inbox_renamed);
}
END_TEST

static void
make_a(void)
{
	struct ph_store_mailbox *box;
	struct ph_uid_map map;
	const uint32_t uids[] = { 1, 2, 3 };

	deliver_three();
	ck_assert_int_eq(maildir_create(store, ALICE, PH_LIT("A/x")), PH_OK);
	box = open_box(INBOX, false);
	ck_assert_int_eq(maildir_copy(box, uids, 3, PH_LIT("A/x"), arena,
	    &map), PH_OK);
	maildir_mailbox_close(box);
}

static void
rename_a(void)
{
	ck_assert_int_eq(maildir_rename(store, ALICE, PH_LIT("A"),
	    PH_LIT("B")), PH_OK);
}

static void
a_or_b(void)
{
	struct ph_mailbox_status a = { 0 }, b = { 0 };
	bool in_a = maildir_status_of(store, ALICE, PH_LIT("A/x"), &a) ==
	    PH_OK;
	bool in_b = maildir_status_of(store, ALICE, PH_LIT("B/x"), &b) ==
	    PH_OK;

	ck_assert(in_a != in_b);
	ck_assert_uint_eq(a.messages + b.messages, 3);
	ck_assert_uint_eq(a.uid_next + b.uid_next, 4);
}

static void
del_a(void)
{
	ck_assert_int_eq(maildir_del(store, ALICE, PH_LIT("A/x")), PH_OK);
}

static void
all_or_gone(void)
{
	struct ph_mailbox_status a;
	int status = maildir_status_of(store, ALICE, PH_LIT("A/x"), &a);

	ck_assert(status == PH_NOT_FOUND ||
	    (status == PH_OK && a.messages == 3));
	if (status == PH_NOT_FOUND)
		ck_assert_int_ne(access(path_of(".A.x"), F_OK), 0);
}

START_TEST(a_crash_at_any_step_of_rename_or_delete_leaves_one_of_both)
{
	static void (*const change[])(void) = { rename_a, del_a };
	static void (*const look[])(void) = { a_or_b, all_or_gone };

	for (int what = 0; what < 2; what++) {
		int step;

		for (step = 1; step < STEPS_MAX; step++) {
			bool crashed;

			teardown();
			setup();
			run_apart(make_a);
			crashed = run_crashing(change[what], step);
			run_apart(look[what]);
			run_apart(look[what]);
			if (!crashed)
				break;
		}
		ck_assert_int_gt(step, 3);
		ck_assert_int_lt(step, STEPS_MAX);
	}
}
END_TEST

static void
add_tests(TCase *tc)
{
	tcase_add_test(tc, mailboxes_are_made_renamed_and_deleted_as_a_tree);
	tcase_add_test(tc,
	    an_open_mailbox_follows_its_rename_and_knows_when_it_is_gone);
	tcase_add_test(tc, renaming_the_inbox_moves_its_mail);
	tcase_add_test(tc,
	    a_crash_at_any_step_of_rename_or_delete_leaves_one_of_both);
}

int
main(void)
{
	return harness_main("store_maildir: tree", add_tests);
}
