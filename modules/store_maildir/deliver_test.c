/* SPDX-License-Identifier: Apache-2.0 */
/* deliver_test.c - what is delivered is there once, whatever happens. */
#include "harness.h"

#include <fcntl.h>
#include <posthouse/mime.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

static void
deliver_and_read(void)
{
	struct ph_store_mailbox *box;
	const struct ph_message_meta *metas;
	struct ph_message_summary summary;
	const struct ph_mime_part *mime;
	struct ph_slice content;

	ck_assert_int_eq(deliver(7), PH_OK);
	box = open_box(INBOX, false);
	ck_assert_uint_eq(maildir_messages(box, arena, &metas), 1);
	ck_assert_uint_eq(metas[0].uid, 1);
	ck_assert_uint_eq(metas[0].flags, PH_RECENT);
	ck_assert_int_eq(metas[0].internal_date, 1700000000);
	content = content_of(box, 1);
	ck_assert_uint_eq(content.n, metas[0].size);
	ck_assert(ph_slice_eq(content, PH_LIT("Return-Path: <x@outside.test>"
	    "\r\nDelivered-To: alice@example.test\r\n" TEXT)));
	ck_assert_int_eq(maildir_summary(box, 1, arena, &summary), PH_OK);
	ck_assert(ph_slice_eq(summary.header,
	    PH_LIT("From: <x@outside.test>\r\nSubject: one\r\n")));
	ck_assert_int_eq(ph_mime_decode(arena, summary.mime, &mime), PH_OK);
	ck_assert_uint_eq(mime->header_at, 0);
	ck_assert_uint_eq(mime->end, content.n);
	ck_assert_uint_eq(content.n - mime->body_at, 6);
	ck_assert_uint_eq(mime->lines, 1);
	ck_assert_int_eq(maildir_summary(box, 2, arena, &summary),
	    PH_NOT_FOUND);
	maildir_mailbox_close(box);
}

START_TEST(a_delivered_message_can_be_read)
{
	run(deliver_and_read);
}
END_TEST

static void
deliver_twice(void)
{
	struct ph_store_mailbox *box;

	ck_assert_int_eq(deliver(7), PH_OK);
	ck_assert_int_eq(deliver(7), PH_OK);
	ck_assert_uint_eq(count_of(INBOX), 1);
	box = open_box(INBOX, false);
	ck_assert_int_eq(set_flags(box, 1, PH_SEEN), PH_OK);
	ck_assert_int_eq(deliver(7), PH_OK); /* its file is in cur/ now */
	ck_assert_int_eq(maildir_refresh(box), PH_OK);
	ck_assert_uint_eq(count_of(INBOX), 1);
	ck_assert_str_eq(file_in("new", 0), "");
	ck_assert(has(content_of(box, 1), "body"));
	ck_assert_int_eq(maildir_remove(box, (const uint32_t[]){ 1 }, 1),
	    PH_OK);
	ck_assert_int_eq(deliver(7), PH_OK); /* and now expunged */
	ck_assert_int_eq(maildir_refresh(box), PH_OK);
	ck_assert_uint_eq(count_of(INBOX), 0);
	ck_assert_str_eq(file_in("new", 0), "");
	maildir_mailbox_close(box);
}

START_TEST(a_message_delivered_again_is_there_once)
{
	run(deliver_twice);
}
END_TEST

static void
deliver_removed_by_others(void)
{
	struct ph_store_mailbox *box;

	ck_assert_int_eq(deliver(7), PH_OK);
	box = open_box(INBOX, false);
	ck_assert_int_eq(unlink(path_of(file_in("new", 0))), 0);
	ck_assert_int_eq(maildir_refresh(box), PH_OK);
	ck_assert_uint_eq(count_of(INBOX), 0);
	ck_assert_int_eq(deliver(7), PH_OK);
	ck_assert_uint_eq(count_of(INBOX), 0);
	ck_assert_str_eq(file_in("new", 0), "");
	maildir_mailbox_close(box);
}

START_TEST(a_message_others_removed_does_not_come_back_when_repeated)
{
	run(deliver_removed_by_others);
}
END_TEST

static size_t delivered_well;

static void
deliver_one(void *arg)
{
	uintptr_t n = (uintptr_t)arg;
	const char *user = ph_arena_printf(arena, "u%u@example.test",
	    (unsigned)(n % 20));

	if (deliver_to(ph_slice_str(user), n + 1, TEXT) == PH_OK)
		delivered_well++;
}

static void
deliver_many(void)
{
	struct ph_mailbox_status status;
	struct ph_scope scope;
	uint64_t total = 0;

	ph_scope_begin(&scope);
	for (uintptr_t n = 0; n < 500; n++)
		ph_scope_spawn(&scope, deliver_one, (void *)n);
	ck_assert_int_eq(ph_scope_wait(&scope), PH_OK);
	ph_scope_end(&scope);
	ck_assert_uint_eq(delivered_well, 500);
	for (unsigned n = 0; n < 20; n++) {
		ck_assert_int_eq(maildir_status_of(store,
		    ph_slice_str(ph_arena_printf(arena, "u%u@example.test",
		        n)), INBOX, &status), PH_OK);
		total += status.messages;
		ck_assert_uint_eq(status.recent, status.messages);
		ck_assert_uint_eq(status.uid_next, status.messages + 1);
	}
	ck_assert_uint_eq(total, 500);
}

START_TEST(many_deliveries_at_once_all_arrive)
{
	run(deliver_many);
}
END_TEST

static void
deliver_to_several(void)
{
	struct ph_delivery_target targets[] = {
		{ .user = ALICE, .recipient = PH_LIT("a1@example.test"),
		    .recipient_no = 1 },
		{ .user = PH_LIT("bob@example.test"),
		    .recipient = PH_LIT("b@example.test"), .recipient_no = 2 },
		{ .user = ALICE, .recipient = PH_LIT("a2@example.test"),
		    .recipient_no = 3 },
		{ .user = PH_LIT("nodomain"), .recipient = ALICE,
		    .recipient_no = 4 },
		{ .user = ALICE, .recipient = PH_LIT("a\r\nX: y"),
		    .recipient_no = 5 },
		{ .user = PH_LIT("carol@example.test"),
		    .recipient = PH_LIT("c@example.test"), .recipient_no = 6 },
	};
	struct ph_delivery_job job = { .queue_id = 3, .queue_name = "q",
		.sender = PH_LIT(""), .content = PH_LIT(TEXT), .arena = arena,
		.targets = targets, .target_count = 6 };
	struct ph_store_mailbox *box;

	maildir_deliver(store, &job);
	ck_assert_int_eq(targets[0].status, PH_OK);
	ck_assert_int_eq(targets[1].status, PH_OK);
	ck_assert_int_eq(targets[2].status, PH_OK);
	ck_assert_int_eq(targets[3].status, PH_INVALID);
	ck_assert_int_eq(targets[4].status, PH_INVALID);
	ck_assert_int_eq(targets[5].status, PH_OK);
	box = open_box(INBOX, false);
	ck_assert_uint_eq(count_of(INBOX), 2);
	ck_assert(has(content_of(box, targets[0].uid),
	    "Return-Path: <>\r\nDelivered-To: a1@example.test\r\n"));
	ck_assert(has(content_of(box, targets[2].uid),
	    "Delivered-To: a2@example.test\r\n"));
	maildir_mailbox_close(box);
}

START_TEST(each_recipient_has_a_file_and_a_status_of_his_own)
{
	run(deliver_to_several);
}
END_TEST

static bool canceled_delivery_ended;

static void
deliver_canceled(void *arg)
{
	(void)arg;
	deliver(77);
	canceled_delivery_ended = true;
}

static void
cancel_delivery(void)
{
	struct ph_scope scope;

	for (unsigned turn = 0; turn < 3; turn++) {
		canceled_delivery_ended = false;
		ph_scope_begin(&scope);
		ph_scope_spawn(&scope, deliver_canceled, NULL);
		if (turn > 0)
			ck_assert_int_eq(ph_sleep_ms(turn - 1), PH_OK);
		ph_scope_end(&scope);
		ck_assert(canceled_delivery_ended);
	}
	ck_assert_int_eq(deliver(77), PH_OK);
	ck_assert_uint_eq(count_of(INBOX), 1);
}

START_TEST(a_delivery_may_be_canceled_at_any_time)
{
	run(cancel_delivery);
}
END_TEST

static void
folder_taken_away(void)
{
	char command[300];

	ck_assert_int_eq(deliver(1), PH_OK);
	snprintf(command, sizeof(command), "rm -r %s", path_of(""));
	ck_assert_int_eq(system(command), 0);
	ck_assert_int_eq(deliver(2), PH_OK);
	ck_assert_uint_eq(count_of(INBOX), 1);
}

START_TEST(a_maildir_that_was_taken_away_is_made_again)
{
	run(folder_taken_away);
}
END_TEST

static void
damage_alice(void)
{
	struct mail_index *mi = store->partitions[name_partition(ALICE, 2)].mi;
	struct index_box row = { .uid_next = UINT32_MAX, .id = 99 };
	struct ph_scope scope;
	struct ph_mailbox_status status;

	ck_assert_int_eq(deliver(1), PH_OK);
	ck_assert_int_eq(mail_index_begin(mi), PH_OK);
	ck_assert_int_eq(mail_index_box_put(mi, ALICE, INBOX, &row), PH_OK);
	ck_assert_int_eq(mail_index_commit(mi), PH_OK);
	delivered_well = 0;
	ph_scope_begin(&scope);
	for (uintptr_t n = 0; n < 40; n++)
		ph_scope_spawn(&scope, deliver_one, (void *)n);
	ck_assert_int_ne(deliver(2), PH_OK);
	ck_assert_int_eq(ph_scope_wait(&scope), PH_OK);
	ph_scope_end(&scope);
	ck_assert_uint_eq(delivered_well, 40);
	ck_assert_int_eq(maildir_status_of(store, PH_LIT("u3@example.test"),
	    INBOX, &status), PH_OK);
	ck_assert_uint_eq(status.messages, 2);
}

START_TEST(a_mailbox_that_takes_no_more_does_not_stop_the_others)
{
	run(damage_alice);
}
END_TEST

static void
disk_full(void)
{
	struct ph_append *append;
	struct ph_uid_map map;
	struct ph_store_mailbox *box;
	const uint32_t uid = 1;

	ck_assert_int_eq(deliver(1), PH_OK);
	store->conf.reserve_bytes = UINT64_MAX;
	ck_assert_int_eq(deliver(2), PH_FULL);
	ck_assert_int_eq(maildir_append_begin(store, ALICE, INBOX, 0, NULL, 0,
	    0, &append), PH_OK);
	ck_assert_int_eq(maildir_append_write(append, "x", 1), PH_OK);
	ck_assert_int_eq(maildir_append_commit(append, arena, &map), PH_FULL);
	box = open_box(INBOX, false);
	ck_assert_int_eq(maildir_copy(box, &uid, 1, INBOX, arena, &map),
	    PH_FULL);
	ck_assert_int_eq(set_flags(box, 1, PH_DELETED), PH_OK);
	ck_assert_int_eq(maildir_expunge(box, NULL, 0), PH_OK);
	store->conf.reserve_bytes = 0;
	ck_assert_int_eq(deliver(2), PH_OK);
	ck_assert_str_eq(file_in("tmp", 0), "");
	maildir_mailbox_close(box);
}

START_TEST(a_disk_nearly_full_takes_no_mail_but_lets_it_be_removed)
{
	run(disk_full);
}
END_TEST

/* --- crashes --- */

static void
three_are_there(void)
{
	struct ph_store_mailbox *box = open_box(INBOX, false);
	const struct ph_message_meta *metas;

	ck_assert_uint_eq(maildir_messages(box, arena, &metas), 3);
	for (size_t i = 0; i < 3; i++) {
		struct ph_slice content = content_of(box, metas[i].uid);

		ck_assert_uint_eq(content.n, metas[i].size);
		ck_assert(has(content, "body\r\n"));
	}
	ck_assert_str_eq(file_in("tmp", 0), "");
	maildir_mailbox_close(box);
}

/* What a new process does: the queue still has what was not reported. */
static void
deliver_again_and_look(void)
{
	deliver_three();
	three_are_there();
}

START_TEST(a_crash_at_any_step_of_a_delivery_doubles_and_loses_nothing)
{
	int step;

	for (step = 1; step < STEPS_MAX; step++) {
		bool crashed;

		teardown();
		setup();
		crashed = run_crashing(deliver_three, step);
		run_apart(deliver_again_and_look);
		run_apart(three_are_there);
		if (!crashed)
			break;
	}
	ck_assert_int_gt(step, 20);
	ck_assert_int_lt(step, STEPS_MAX);
}
END_TEST

/* A scan between the crash and the repetition gives the file its UID. */
static void
look_deliver_look(void)
{
	struct ph_store_mailbox *box = open_box(INBOX, false);
	const struct ph_message_meta *before, *after;
	size_t n = maildir_messages(box, arena, &before);

	maildir_mailbox_close(box);
	deliver_three();
	box = open_box(INBOX, false);
	ck_assert_uint_eq(maildir_messages(box, arena, &after), 3);
	for (size_t i = 0; i < n; i++) {
		ck_assert_uint_eq(after[i].uid, before[i].uid);
		ck_assert_uint_eq(after[i].size, before[i].size);
	}
	maildir_mailbox_close(box);
}

START_TEST(a_uid_that_was_shown_stays_when_the_delivery_is_repeated)
{
	int step;

	for (step = 1; step < STEPS_MAX; step++) {
		bool crashed;

		teardown();
		setup();
		crashed = run_crashing(deliver_three, step);
		run_apart(look_deliver_look);
		if (!crashed)
			break;
	}
	ck_assert_int_lt(step, STEPS_MAX);
}
END_TEST

static void
deliver_first(void)
{
	ck_assert_int_eq(deliver(1), PH_OK);
}

static void
look_for_none(void)
{
	ck_assert_uint_eq(count_of(INBOX), 0);
}

START_TEST(a_torn_file_is_no_message_until_it_is_delivered_again)
{
	char command[300];

	run_apart(deliver_first);
	ck_assert_int_eq(truncate(path_of(file_in("new", 0)), 20), 0);
	/* the power failure also took the row, which was not flushed */
	snprintf(command, sizeof(command), "rm -r %s/?/index", dir);
	ck_assert_int_eq(system(command), 0);
	run_apart(look_for_none);
	run_apart(deliver_again_and_look);
}
END_TEST

/* The length is right and nothing was written. */
static void
put_hole(void)
{
	static const char whole[] = "Return-Path: <x@outside.test>\r\n"
	    "Delivered-To: alice@example.test\r\n" TEXT;
	struct ph_store_mailbox *box;
	char name[100];
	int fd;

	ck_assert_int_eq(deliver(9), PH_OK);
	snprintf(name, sizeof(name), "new/1700000000.Q1R1.posthouse,S=%zu",
	    sizeof(whole) - 1);
	fd = open(path_of(name), O_CREAT | O_WRONLY, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, sizeof(whole) - 1), 0);
	close(fd);
	ck_assert_uint_eq(count_of(INBOX), 1);
	ck_assert_int_eq(deliver(1), PH_OK);
	box = open_box(INBOX, false);
	ck_assert_uint_eq(count_of(INBOX), 2);
	ck_assert(ph_slice_eq(content_of(box, 2), ph_slice_str(whole)));
	maildir_mailbox_close(box);
}

START_TEST(a_file_with_a_hole_is_no_message_until_it_is_delivered_again)
{
	run(put_hole);
}
END_TEST

/* --- into other mailboxes --- */

#define LISTS PH_LIT("Lists/A")

static int
deliver_into(uint64_t id, const struct ph_delivery_place *item, size_t count)
{
	struct ph_delivery_places places = { .item = item, .count = count };
	struct ph_delivery_target target = { .user = ALICE, .recipient = ALICE,
		.recipient_no = 1 };
	struct ph_delivery_job job = { .queue_id = id, .queue_name = "q",
		.sender = PH_LIT("x@outside.test"), .received_at = 1700000000,
		.content = PH_LIT(TEXT), .arena = arena, .targets = &target,
		.target_count = 1, .places = &places };

	maildir_deliver(store, &job);
	return target.status;
}

static void
deliver_into_three(void)
{
	const struct ph_slice keyword = PH_LIT("Post");
	const struct ph_delivery_place places[] = {
		{ .mailbox = PH_LIT("inbox") },
		{ .mailbox = LISTS, .flags = PH_SEEN | PH_RECENT,
		    .keywords = &keyword, .keyword_count = 1 },
		{ .mailbox = PH_LIT("B") },
		{ .mailbox = PH_LIT("../x") }, /* the INBOX, once more */
		{ .mailbox = LISTS, .flags = PH_FLAGGED } };

	ck_assert_int_eq(deliver_into(5, places, 5), PH_OK);
}

static void
one_is_in_each(void)
{
	struct ph_store_mailbox *box = open_box(LISTS, false);
	const struct ph_message_meta *metas;

	ck_assert_uint_eq(maildir_messages(box, arena, &metas), 1);
	ck_assert_uint_eq(metas[0].flags & ~(uint32_t)PH_RECENT,
	    PH_SEEN | PH_FLAGGED);
	ck_assert_uint_eq(metas[0].keywords, 1);
	ck_assert_uint_eq(content_of(box, metas[0].uid).n, metas[0].size);
	maildir_mailbox_close(box);
	ck_assert_uint_eq(count_of(INBOX), 1);
	ck_assert_uint_eq(count_of(PH_LIT("B")), 1);
}

/* Else the next target of the job would have the places of this one. */
static void
no_place_where_one_fails(void)
{
	const struct ph_delivery_place item[] = {
		{ .mailbox = INBOX }, { .mailbox = PH_LIT("C") } };
	const struct ph_delivery_places places = { .item = item, .count = 2 };
	struct place_list list = { NULL, 0 };
	struct rlimit was, none;
	int status;

	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = was;
	none.rlim_cur = 3; /* no folder can be opened */
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
	status = place_list_of(store_partition(store, ALICE), arena, ALICE,
	    &places, &list);
	ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &was), 0);
	ck_assert_int_eq(status, PH_IO);
	ck_assert_uint_eq(list.count, 0);
}

START_TEST(places_count_together_or_not_at_all)
{
	run(no_place_where_one_fails);
}
END_TEST

START_TEST(a_message_is_once_in_each_mailbox_that_is_named)
{
	run_apart(deliver_into_three);
	ck_assert_str_eq(file_in(".Lists.A/new", 0), "");
	run_apart(one_is_in_each);
}
END_TEST

static void
deliver_into_again_and_look(void)
{
	deliver_into_three();
	one_is_in_each();
}

/* Also when a scan gave its file a row in between. */
static void
look_deliver_into_look(void)
{
	struct ph_store_mailbox *box;

	if (maildir_mailbox_open(store, ALICE, LISTS, false, &box) == PH_OK)
		maildir_mailbox_close(box);
	deliver_into_again_and_look();
}

START_TEST(a_crash_doubles_and_loses_nothing_in_other_mailboxes)
{
	int step;

	for (step = 1; step < STEPS_MAX; step++) {
		bool crashed;

		teardown();
		setup();
		crashed = run_crashing(deliver_into_three, step);
		run_apart(step % 2 != 0 ? deliver_into_again_and_look :
		                          look_deliver_into_look);
		run_apart(one_is_in_each);
		if (!crashed)
			break;
	}
	ck_assert_int_gt(step, 15);
	ck_assert_int_lt(step, STEPS_MAX);
}
END_TEST

/* --- repeated after it was expunged with its flags: its file is in cur/ --- */

static void
deliver_flagged(void)
{
	const struct ph_delivery_place place = { .mailbox = INBOX,
		.flags = PH_FLAGGED };

	ck_assert_int_eq(deliver_into(6, &place, 1), PH_OK);
}

static void
deliver_flagged_and_expunge(void)
{
	struct ph_store_mailbox *box;

	deliver_flagged();
	box = open_box(INBOX, false);
	ck_assert_int_eq(maildir_remove(box, (const uint32_t[]){ 1 }, 1),
	    PH_OK);
	maildir_mailbox_close(box);
}

static void
none_is_left(void)
{
	deliver_flagged();
	look_for_none();
	ck_assert_str_eq(file_in("cur", 0), "");
}

START_TEST(a_flagged_one_that_was_expunged_does_not_come_back_by_a_crash)
{
	run_apart(deliver_flagged_and_expunge);
	sleep(2); /* ctimes are compared by seconds */
	ck_assert(run_crashing_at(deliver_flagged, "folders-synced"));
	ck_assert_str_ne(file_in("cur", 0), "");
	run_apart(look_for_none);
	run_apart(none_is_left);
}
END_TEST

static bool is_at_step, may_go_on;

/* In the delivery's thread; gives up by and by, so that a failure ends. */
static void
wait_at_synced(const char *step)
{
	if (strcmp(step, "folders-synced") != 0)
		return;
	__atomic_store_n(&is_at_step, true, __ATOMIC_SEQ_CST);
	for (int i = 0; i < 1000 &&
	     !__atomic_load_n(&may_go_on, __ATOMIC_SEQ_CST); i++)
		usleep(10000);
}

static void
deliver_flagged_fiber(void *arg)
{
	(void)arg;
	deliver_flagged();
}

static void
look_while_it_is_repeated(void)
{
	struct ph_store_mailbox *box;
	struct ph_scope scope;

	deliver_flagged_and_expunge();
	ck_assert_int_eq(ph_sleep_ms(1100), PH_OK);
	box = open_box(INBOX, false);
	at_step = wait_at_synced;
	ph_scope_begin(&scope);
	ph_scope_spawn(&scope, deliver_flagged_fiber, NULL);
	while (!__atomic_load_n(&is_at_step, __ATOMIC_SEQ_CST))
		ck_assert_int_eq(ph_sleep_ms(1), PH_OK);
	/* a crash is long ago: only that it is under way tells */
	box->box->partition->opened_at -= 3600;
	ck_assert_str_ne(file_in("cur", 0), "");
	ck_assert_int_eq(maildir_refresh(box), PH_OK);
	ck_assert_uint_eq(count_of(INBOX), 0);
	__atomic_store_n(&may_go_on, true, __ATOMIC_SEQ_CST);
	ck_assert_int_eq(ph_scope_wait(&scope), PH_OK);
	ph_scope_end(&scope);
	at_step = NULL;
	ck_assert_int_eq(maildir_refresh(box), PH_OK);
	ck_assert_uint_eq(count_of(INBOX), 0);
	ck_assert_str_eq(file_in("cur", 0), "");
	maildir_mailbox_close(box);
}

START_TEST(a_look_while_it_is_repeated_does_not_bring_it_back)
{
	is_at_step = may_go_on = false;
	run(look_while_it_is_repeated);
}
END_TEST

/* --- a Maildir that is moved away --- */

static void
deliver_to_moved(void)
{
	char from[600], to[700];

	ck_assert_int_eq(deliver(1), PH_OK);
	strcpy(from, path_of("."));
	snprintf(to, sizeof(to), "%s/../Old", from);
	from[strlen(from) - 2] = '\0';
	ck_assert_int_eq(rename(from, to), 0);
	ck_assert_int_eq(deliver(2), PH_OK);
	ck_assert_str_ne(file_in("new", 0), "");
	ck_assert_str_eq(file_in("new", 1), "");
	ck_assert_uint_eq(count_of(INBOX), 1);
}

START_TEST(a_maildir_that_was_moved_away_gets_no_mail_any_more)
{
	run(deliver_to_moved);
}
END_TEST

/* What a delivery that was killed left in tmp/ may be a part of the message. */
static void
look_for_part(void)
{
	struct ph_store_mailbox *box;
	struct ph_content got;
	char name[600];

	ck_assert_int_eq(deliver(1), PH_OK);
	box = open_box(INBOX, false);
	snprintf(name, sizeof(name), "tmp/%s", file_in("new", 0) + 4);
	write_file(name, "Return");
	ck_assert_int_eq(unlink(path_of(file_in("new", 0))), 0);
	ck_assert_int_eq(maildir_content(box, 1, arena, &got), PH_NOT_FOUND);
	ck_assert_int_eq(maildir_refresh(box), PH_OK);
	ck_assert_uint_eq(count_of(INBOX), 0);
	maildir_mailbox_close(box);
}

START_TEST(a_part_of_a_message_in_tmp_is_not_taken_for_it)
{
	run(look_for_part);
}
END_TEST

/* Its old folder must not get what comes for the name. */
static void
deliver_into_renamed(void)
{
	const struct ph_delivery_place place = { .mailbox = LISTS };

	ck_assert_int_eq(deliver_into(1, &place, 1), PH_OK);
	ck_assert_int_eq(maildir_rename(store, ALICE, LISTS, PH_LIT("Old")),
	    PH_OK);
	ck_assert_int_eq(deliver_into(2, &place, 1), PH_OK);
	ck_assert_uint_eq(count_of(PH_LIT("Old")), 1);
	ck_assert_uint_eq(count_of(LISTS), 1);
	ck_assert_int_eq(maildir_del(store, ALICE, LISTS), PH_OK);
	ck_assert_int_eq(deliver_into(3, &place, 1), PH_OK);
	ck_assert_uint_eq(count_of(LISTS), 1);
}

START_TEST(a_mailbox_that_is_renamed_or_deleted_is_made_again)
{
	run(deliver_into_renamed);
}
END_TEST

START_TEST(the_index_is_made_again_from_the_folders)
{
	char command[300];

	run_apart(deliver_three);
	snprintf(command, sizeof(command), "rm -r %s/?/index", dir);
	ck_assert_int_eq(system(command), 0);
	run_apart(three_are_there);
}
END_TEST

static void
add_tests(TCase *tc)
{
	tcase_add_test(tc, a_delivered_message_can_be_read);
	tcase_add_test(tc, a_message_delivered_again_is_there_once);
	tcase_add_test(tc,
	    a_message_others_removed_does_not_come_back_when_repeated);
	tcase_add_test(tc, many_deliveries_at_once_all_arrive);
	tcase_add_test(tc, each_recipient_has_a_file_and_a_status_of_his_own);
	tcase_add_test(tc, a_delivery_may_be_canceled_at_any_time);
	tcase_add_test(tc, a_maildir_that_was_taken_away_is_made_again);
	tcase_add_test(tc,
	    a_mailbox_that_takes_no_more_does_not_stop_the_others);
	tcase_add_test(tc,
	    a_disk_nearly_full_takes_no_mail_but_lets_it_be_removed);
	tcase_add_test(tc,
	    a_crash_at_any_step_of_a_delivery_doubles_and_loses_nothing);
	tcase_add_test(tc,
	    a_uid_that_was_shown_stays_when_the_delivery_is_repeated);
	tcase_add_test(tc,
	    a_torn_file_is_no_message_until_it_is_delivered_again);
	tcase_add_test(tc,
	    a_file_with_a_hole_is_no_message_until_it_is_delivered_again);
	tcase_add_test(tc, the_index_is_made_again_from_the_folders);
	tcase_add_test(tc, places_count_together_or_not_at_all);
	tcase_add_test(tc, a_message_is_once_in_each_mailbox_that_is_named);
	tcase_add_test(tc,
	    a_crash_doubles_and_loses_nothing_in_other_mailboxes);
	tcase_add_test(tc, a_mailbox_that_is_renamed_or_deleted_is_made_again);
	tcase_add_test(tc,
	    a_flagged_one_that_was_expunged_does_not_come_back_by_a_crash);
	tcase_add_test(tc, a_look_while_it_is_repeated_does_not_bring_it_back);
	tcase_add_test(tc, a_maildir_that_was_moved_away_gets_no_mail_any_more);
	tcase_add_test(tc, a_part_of_a_message_in_tmp_is_not_taken_for_it);
}

int
main(void)
{
	return harness_main("store_maildir: deliver", add_tests);
}
