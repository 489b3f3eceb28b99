/* SPDX-License-Identifier: Apache-2.0 */
/* session_test.c - flags, changes, expunges, as sessions of a mailbox see
 * them. */
#include "harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static void
sessions_share(void)
{
	struct ph_store_mailbox *one, *two;
	struct ph_mailbox_changes changes;
	struct ph_mailbox_status status;
	const uint32_t *modified, uid = 1;
	size_t modified_count;
	uint64_t since;
	int bit;

	ck_assert_int_eq(deliver(1), PH_OK);
	one = open_box(INBOX, false);
	two = open_box(INBOX, false);
	maildir_changes(two, 0, arena, &changes);
	since = changes.modseq;
	ck_assert_int_eq(set_flags(one, 1, PH_SEEN | PH_FLAGGED), PH_OK);
	maildir_changes(two, since, arena, &changes);
	ck_assert_uint_eq(changes.changed_count, 1);
	ck_assert_uint_eq(changes.changed[0].flags, PH_SEEN | PH_FLAGGED);
	ck_assert_uint_gt(changes.modseq, since);
	/* conditional: the other session's modseq is old */
	ck_assert_int_eq(maildir_store_flags(two, &uid, 1, PH_FLAGS_ADD,
	    PH_DELETED, 0, since, arena, &modified, &modified_count), PH_OK);
	ck_assert_uint_eq(modified_count, 1);
	ck_assert_uint_eq(modified[0], 1);
	since = changes.modseq;
	bit = maildir_keyword(two, PH_LIT("$Work"), true);
	ck_assert_int_eq(bit, 0);
	ck_assert_int_eq(maildir_keyword(one, PH_LIT("$work"), false), 0);
	ck_assert_int_eq(maildir_keyword(one, PH_LIT("none"), false), -1);
	ck_assert_int_eq(maildir_keyword(one, PH_LIT("a b"), true), -1);
	ck_assert_int_eq(maildir_store_flags(two, &uid, 1, PH_FLAGS_REMOVE,
	    PH_SEEN, 0, since, arena, &modified, &modified_count), PH_OK);
	ck_assert_uint_eq(modified_count, 0);
	ck_assert_int_eq(maildir_store_flags(two, &uid, 1, PH_FLAGS_ADD, 0,
	    1ull << bit, UINT64_MAX, arena, NULL, NULL), PH_OK);
	maildir_changes(one, since, arena, &changes);
	ck_assert_uint_eq(changes.changed[0].flags, PH_FLAGGED | PH_RECENT);
	ck_assert_uint_eq(changes.changed[0].keywords, 1);
	maildir_mailbox_status(one, &status);
	ck_assert_uint_eq(status.unseen, 1);
	since = changes.modseq;
	ck_assert_int_eq(deliver(2), PH_OK);
	maildir_changes(one, since, arena, &changes);
	ck_assert_uint_eq(changes.changed_count, 1);
	ck_assert_uint_eq(changes.changed[0].uid, 2);
	ck_assert_int_eq(maildir_remove(two, &uid, 1), PH_OK);
	maildir_changes(one, since, arena, &changes);
	ck_assert_uint_eq(changes.vanished_count, 1);
	ck_assert_uint_eq(changes.vanished[0], 1);
	maildir_mailbox_close(one);
	maildir_mailbox_close(two);
}

START_TEST(a_change_in_one_session_is_seen_by_the_others)
{
	run(sessions_share);
}
END_TEST

static struct ph_store_mailbox *watched;
static int watch_status = 1;

static void
watch(void *arg)
{
	(void)arg;
	watch_status = ph_event_wait(maildir_event(watched), 10000);
}

static void
event_on_delivery(void)
{
	struct ph_scope scope;

	watched = open_box(INBOX, false);
	ph_scope_begin(&scope);
	ph_scope_spawn(&scope, watch, NULL);
	ck_assert_int_eq(deliver(1), PH_OK);
	ck_assert_int_eq(ph_scope_wait(&scope), PH_OK);
	ph_scope_end(&scope);
	ck_assert_int_eq(watch_status, PH_OK);
	maildir_mailbox_close(watched);
}

START_TEST(a_delivery_wakes_who_waits_for_it)
{
	run(event_on_delivery);
}
END_TEST

static struct ph_store_mailbox *opened[8];

static void
open_one(void *arg)
{
	opened[(uintptr_t)arg] = open_box(INBOX, false);
}

static void
open_together(void)
{
	const struct ph_message_meta *metas;
	struct ph_scope scope;
	size_t recent = 0;

	deliver_three();
	ph_scope_begin(&scope);
	for (uintptr_t i = 0; i < 8; i++)
		ph_scope_spawn(&scope, open_one, (void *)i);
	ck_assert_int_eq(ph_scope_wait(&scope), PH_OK);
	ph_scope_end(&scope);
	for (size_t i = 0; i < 8; i++) {
		ck_assert_ptr_eq(opened[i]->box, opened[0]->box);
		ck_assert_uint_eq(maildir_messages(opened[i], arena, &metas),
		    3);
		recent += (metas[0].flags & PH_RECENT) != 0;
	}
	ck_assert_uint_eq(recent, 1);
	for (size_t i = 0; i < 8; i++)
		maildir_mailbox_close(opened[i]);
}

START_TEST(sessions_that_open_at_once_load_the_mailbox_once)
{
	run(open_together);
}
END_TEST

static void
recent_once(void)
{
	struct ph_store_mailbox *box;
	struct ph_mailbox_status status;

	ck_assert_int_eq(deliver(1), PH_OK);
	box = open_box(INBOX, true);
	maildir_mailbox_status(box, &status);
	ck_assert_uint_eq(status.recent, 1); /* EXAMINE takes nothing away */
	ck_assert_int_eq(set_flags(box, 1, PH_SEEN), PH_DENIED);
	ck_assert_int_eq(maildir_expunge(box, NULL, 0), PH_DENIED);
	maildir_mailbox_close(box);
	box = open_box(INBOX, false);
	maildir_mailbox_status(box, &status);
	ck_assert_uint_eq(status.recent, 1);
	maildir_mailbox_close(box);
	box = open_box(INBOX, false);
	maildir_mailbox_status(box, &status);
	ck_assert_uint_eq(status.recent, 0);
	maildir_mailbox_close(box);
}

START_TEST(a_message_is_recent_in_the_first_session_that_sees_it)
{
	run(recent_once);
}
END_TEST

static void
expunge_deleted(void)
{
	struct ph_store_mailbox *box;
	const struct ph_message_meta *metas;
	const uint32_t only_three[] = { 3 };
	struct ph_content content;

	deliver_three();
	box = open_box(INBOX, false);
	ck_assert_int_eq(set_flags(box, 1, PH_DELETED), PH_OK);
	ck_assert_int_eq(maildir_expunge(box, only_three, 1), PH_OK);
	ck_assert_uint_eq(count_of(INBOX), 3);
	ck_assert_int_eq(maildir_remove(box, NULL, 0), PH_OK);
	ck_assert_uint_eq(count_of(INBOX), 3);
	ck_assert_int_eq(maildir_expunge(box, NULL, 0), PH_OK);
	ck_assert_uint_eq(maildir_messages(box, arena, &metas), 2);
	ck_assert_uint_eq(metas[0].uid, 2);
	ck_assert_int_eq(maildir_content(box, 1, arena, &content),
	    PH_NOT_FOUND);
	ck_assert_str_eq(file_in("cur", 0), "");
	maildir_mailbox_close(box);
}

START_TEST(expunge_removes_what_is_deleted_and_no_more)
{
	run(expunge_deleted);
}
END_TEST

static void
old_history(void)
{
	struct ph_store_mailbox *box;
	struct ph_mailbox_changes changes;
	const uint32_t uid = 2;

	deliver_three();
	box = open_box(INBOX, false);
	ck_assert_int_eq(maildir_remove(box, &uid, 1), PH_OK);
	box->box->history_floor = 1000000; /* as if it were long ago */
	box->box->modseq = 2000000;
	box->box->expunged_count = 0;
	maildir_changes(box, 5, arena, &changes);
	ck_assert_uint_eq(changes.vanished_count, 1);
	ck_assert_uint_eq(changes.vanished[0], 2);
	maildir_mailbox_close(box);
}

START_TEST(before_the_history_begins_all_that_is_missing_has_vanished)
{
	run(old_history);
}
END_TEST

static void
summaries_in_a_row(void)
{
	struct ph_store_mailbox *box;
	struct ph_message_summary summary;
	char text[64];

	for (uint64_t id = 1; id <= 150; id++) {
		ck_assert(snprintf(text, sizeof(text),
		    "Subject: n%u\r\n\r\nx\r\n", (unsigned)id) > 0);
		ck_assert_int_eq(deliver_to(ALICE, id, text), PH_OK);
	}
	box = open_box(INBOX, false);
	for (uint32_t uid = 1; uid <= 150; uid++) {
		snprintf(text, sizeof(text), "Subject: n%u\r\n", uid);
		ck_assert_int_eq(maildir_summary(box, uid, arena, &summary),
		    PH_OK);
		ck_assert(ph_slice_eq(summary.header, ph_slice_str(text)));
	}
	ck_assert_int_eq(maildir_summary(box, 3, arena, &summary), PH_OK);
	ck_assert(ph_slice_eq(summary.header, PH_LIT("Subject: n3\r\n")));
	maildir_mailbox_close(box);
}

START_TEST(summaries_are_right_when_they_are_read_ahead)
{
	run(summaries_in_a_row);
}
END_TEST

/* --- crashes --- */

static void
flag_and_expunge(void)
{
	struct ph_store_mailbox *box = open_box(INBOX, false);

	ck_assert_int_eq(set_flags(box, 1, PH_SEEN), PH_OK);
	ck_assert_int_eq(set_flags(box, 2, PH_DELETED), PH_OK);
	ck_assert_int_eq(maildir_expunge(box, NULL, 0), PH_OK);
	maildir_mailbox_close(box);
}

static void
look_whole(void)
{
	struct ph_store_mailbox *box = open_box(INBOX, false);
	const struct ph_message_meta *metas;
	size_t n = maildir_messages(box, arena, &metas);
	struct ph_mailbox_status status;
	uint32_t unseen = 0;

	ck_assert(n == 2 || n == 3);
	for (size_t i = 0; i < n; i++) {
		ck_assert(has(content_of(box, metas[i].uid), "body"));
		unseen += !(metas[i].flags & PH_SEEN);
	}
	maildir_mailbox_status(box, &status);
	ck_assert_uint_eq(status.unseen, unseen);
	ck_assert_uint_eq(status.uid_next, 4);
	maildir_mailbox_close(box);
}

START_TEST(a_crash_at_any_step_of_a_change_leaves_a_whole_mailbox)
{
	int step;

	for (step = 1; step < STEPS_MAX; step++) {
		bool crashed;

		teardown();
		setup();
		run_apart(deliver_three);
		crashed = run_crashing(flag_and_expunge, step);
		run_apart(look_whole);
		run_apart(flag_and_expunge);
		run_apart(look_whole);
		ck_assert_str_eq(file_in("cur", 1), "");
		if (!crashed)
			break;
	}
	ck_assert_int_gt(step, 5);
	ck_assert_int_lt(step, STEPS_MAX);
}
END_TEST

/* An expunge is told from a later arrival by these two clocks. A clock that is
 * late by a tick shows it only as a second begins: it is watched until then. */
START_TEST(nothing_was_changed_later_than_now)
{
	const int64_t begun = ph_wall_time();
	char path[sizeof(dir) + 8];
	struct stat st;

	snprintf(path, sizeof(path), "%s/x", dir);
	do {
		int fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);

		ck_assert_int_ge(fd, 0);
		ck_assert_int_eq(fstat(fd, &st), 0);
		ck_assert_int_le(st.st_ctim.tv_sec, ph_wall_time());
		close(fd);
		ck_assert_int_eq(unlink(path), 0);
	} while (st.st_ctim.tv_sec <= begun);
}
END_TEST

static void
flag_first(void)
{
	struct ph_store_mailbox *box = open_box(INBOX, false);

	ck_assert_int_eq(set_flags(box, 1, PH_SEEN | PH_ANSWERED), PH_OK);
	maildir_mailbox_close(box);
}

static void
first_is_flagged(void)
{
	struct ph_store_mailbox *box = open_box(INBOX, false);
	const struct ph_message_meta *metas;

	ck_assert_uint_eq(maildir_messages(box, arena, &metas), 3);
	ck_assert_uint_eq(metas[0].flags & ~(uint32_t)PH_RECENT,
	    PH_SEEN | PH_ANSWERED);
	ck_assert(has(content_of(box, 1), "body"));
	maildir_mailbox_close(box);
}

START_TEST(flags_are_in_the_file_name_and_survive)
{
	run_apart(deliver_three);
	run_apart(flag_first);
	ck_assert_ptr_nonnull(strstr(file_in("cur", 0), ":2,RS"));
	run_apart(first_is_flagged);
}
END_TEST

static void
add_tests(TCase *tc)
{
	tcase_add_test(tc, a_change_in_one_session_is_seen_by_the_others);
	tcase_add_test(tc, a_delivery_wakes_who_waits_for_it);
	tcase_add_test(tc, sessions_that_open_at_once_load_the_mailbox_once);
	tcase_add_test(tc,
	    a_message_is_recent_in_the_first_session_that_sees_it);
	tcase_add_test(tc, expunge_removes_what_is_deleted_and_no_more);
	tcase_add_test(tc,
	    before_the_history_begins_all_that_is_missing_has_vanished);
	tcase_add_test(tc, summaries_are_right_when_they_are_read_ahead);
	tcase_add_test(tc,
	    a_crash_at_any_step_of_a_change_leaves_a_whole_mailbox);
	tcase_add_test(tc, nothing_was_changed_later_than_now);
	tcase_add_test(tc, flags_are_in_the_file_name_and_survive);
}

int
main(void)
{
	return harness_main("store_maildir: session", add_tests);
}
