/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link_test.c - one message for several mailboxes is one file, that each of them
 * has whole and none can spoil for the others.
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "share.h"

enum { USERS = 6, CONTENT = 9000, BODY_AT = 17 };
#define HEAD "Return-Path: <x@outside.test>\r\n"

static char content[CONTENT];
static int refuse_with; /* errno of the links that are refused; 0: none */
static int refuse_from; /* how many are let through before */
static bool last_first; /* the order of recipients */

/* In the place of the C library's. */
int
linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
	if (refuse_with != 0 &&
	    __atomic_fetch_sub(&refuse_from, 1, __ATOMIC_SEQ_CST) <= 0) {
		errno = refuse_with;
		return -1;
	}
	return (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
}

static struct ph_slice
user_name(unsigned n)
{
	return ph_slice_str(ph_arena_printf(arena, "user%u@example.test", n));
}

/* To the users from..from+count-1, as the queue would repeat it. */
static void
deliver_some(unsigned from, unsigned count, const struct ph_delivery_place *at)
{
	struct ph_delivery_target targets[USERS] = { 0 };
	struct ph_delivery_places places[USERS] = { 0 };
	struct ph_delivery_job job = { .queue_id = 9, .queue_name = "q",
		.sender = PH_LIT("x@outside.test"), .received_at = 1700000000,
		.content = { content, CONTENT }, .arena = arena,
		.targets = targets, .target_count = count,
		.places = at != NULL ? places : NULL };

	for (unsigned i = 0; i < count; i++) {
		unsigned n = from + (last_first ? count - 1 - i : i);

		targets[i].user = targets[i].recipient = user_name(n);
		targets[i].recipient_no = n + 1;
		places[i].item = at;
		places[i].count = 1;
	}
	maildir_deliver(store, &job);
	for (unsigned i = 0; i < count; i++)
		ck_assert_int_eq(targets[i].status, PH_OK);
}

static void
deliver_all(void)
{
	deliver_some(0, USERS, NULL);
}

static struct ph_store_mailbox *
inbox_of(unsigned n)
{
	struct ph_store_mailbox *box;

	ck_assert_int_eq(maildir_mailbox_open(store, user_name(n), INBOX,
	    false, &box), PH_OK);
	return box;
}

/* Of the only message: its octets, and its UID. */
static struct ph_slice
only_message(struct ph_store_mailbox *box, uint32_t *uid_out)
{
	const struct ph_message_meta *metas;
	struct ph_slice got;

	ck_assert_uint_eq(maildir_messages(box, arena, &metas), 1);
	got = content_of(box, metas[0].uid);
	ck_assert_uint_eq(got.n, metas[0].size);
	*uid_out = metas[0].uid;
	return got;
}

static void
one_in_each(void)
{
	for (unsigned i = 0; i < USERS; i++) {
		struct ph_store_mailbox *box = inbox_of(i);
		uint32_t uid;
		struct ph_slice got = only_message(box, &uid);

		ck_assert_uint_ge(got.n, CONTENT);
		ck_assert_mem_eq(got.p + got.n - CONTENT, content, CONTENT);
		got.n -= CONTENT;
		ck_assert(memcmp(got.p, HEAD, sizeof(HEAD) - 1) == 0);
		ck_assert(got.n == sizeof(HEAD) - 1 || ph_slice_eq(got,
		    ph_slice_str(ph_arena_printf(arena,
		        HEAD "Delivered-To: user%u@example.test\r\n", i))));
		maildir_mailbox_close(box);
	}
}

static void
none_says_for_whom(void)
{
	for (unsigned i = 0; i < USERS; i++) {
		struct ph_store_mailbox *box = inbox_of(i);
		uint32_t uid;

		ck_assert(!has(only_message(box, &uid), "Delivered-To"));
		maildir_mailbox_close(box);
	}
}

/* --- on the disk --- */

/* "sub/name" of each user's first file in new/ or cur/. */
static bool
stat_of(unsigned n, struct stat *st_out)
{
	char command[400], path[300];
	FILE *found;
	bool any;

	snprintf(command, sizeof(command), "find %s -path '*/user%u/*' "
	    "\\( -path '*/new/*' -o -path '*/cur/*' \\) -type f", dir, n);
	found = popen(command, "r");
	ck_assert_ptr_nonnull(found);
	any = fgets(path, sizeof(path), found) != NULL;
	pclose(found);
	path[strcspn(path, "\n")] = '\0';
	return any && stat(path, st_out) == 0;
}

/* How many files there are in new/ and cur/, of those that find(1) takes. */
static unsigned
files(const char *which)
{
	char command[400], line[300];
	unsigned count = 0;
	FILE *found;

	snprintf(command, sizeof(command), "find %s \\( -path '*/new/*' -o "
	    "-path '*/cur/*' \\) -type f %s", dir, which);
	found = popen(command, "r");
	ck_assert_ptr_nonnull(found);
	while (fgets(line, sizeof(line), found) != NULL)
		count++;
	pclose(found);
	return count;
}

/* A file without a row would be no message, and stay for ever. */
static void
no_file_more(void)
{
	ck_assert_uint_eq(files(""), USERS);
}

/* In a delivery's thread, when it has made a file of its own. */
static void
end_when_one_is_cut(const char *step)
{
	if (strcmp(step, "created") == 0 && files("-size -9000c") > 0)
		_exit(1);
}

/* How many users' files are the inode of the first's. */
static unsigned
same_inode(void)
{
	struct stat first, st;
	unsigned count = 0;

	ck_assert(stat_of(0, &first));
	for (unsigned i = 0; i < USERS; i++)
		count += stat_of(i, &st) && st.st_ino == first.st_ino;
	ck_assert_uint_eq(first.st_nlink, count);
	return count;
}

static void
prepare(void)
{
	memcpy(content, "Subject: many\r\n\r\n", BODY_AT);
	for (size_t i = BODY_AT; i < CONTENT; i++)
		content[i] = (char)('a' + i % 23);
	refuse_with = 0;
	conf.hard_links = true;
	conf.hard_links_from = 1;
}

START_TEST(one_message_is_one_file)
{
	prepare();
	run_apart(deliver_all);
	ck_assert_uint_eq(same_inode(), USERS);
	run_apart(one_in_each);
	run_apart(none_says_for_whom);
}
END_TEST

static void
deliver_first_alone(void)
{
	deliver_some(0, 1, NULL);
}

static void
deliver_but_first(void)
{
	deliver_some(1, USERS - 1, NULL);
}

START_TEST(what_is_one_recipients_or_spares_little_names_him)
{
	prepare();
	run_apart(deliver_first_alone);
	conf.hard_links_from = CONTENT * (USERS - 2) + 1;
	run_apart(deliver_but_first);
	ck_assert_uint_eq(same_inode(), 1);
	run_apart(one_in_each);
	teardown();
	setup();
	prepare();
	conf.hard_links = false;
	run_apart(deliver_all);
	ck_assert_uint_eq(same_inode(), 1);
	run_apart(one_in_each);
}
END_TEST

START_TEST(where_no_link_can_be_made_each_has_a_copy)
{
	static const int reasons[] = { EMLINK, EXDEV, EPERM, ENOENT, EIO };

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		teardown();
		setup();
		prepare();
		refuse_from = 4; /* the two probes, the first two users */
		refuse_with = reasons[i];
		run_apart(deliver_all);
		refuse_with = 0;
		run_apart(one_in_each);
		run_apart(none_says_for_whom);
	}
	/* and where that is known beforehand, each is named */
	teardown();
	setup();
	prepare();
	refuse_from = 0;
	refuse_with = EPERM;
	run_apart(deliver_all);
	ck_assert_uint_eq(same_inode(), 1);
	run_apart(one_in_each);
}
END_TEST

/* The queue may repeat it for all, or for some: then it is another file. */
static void
repeat_in_parts(void)
{
	deliver_first_alone();
	deliver_but_first();
}

/* Each time anew: a delivery is ended at one step more, until it has no more. */
static void
crash_at_each_step(const char *crashed_before_at, void (*then)(int step))
{
	bool crashed = true;
	int step;

	for (step = 1; crashed; step++) {
		ck_assert_int_lt(step, STEPS_MAX);
		teardown();
		setup();
		prepare();
		if (crashed_before_at != NULL)
			ck_assert(run_crashing_at(deliver_all,
			    crashed_before_at));
		crashed = run_crashing(deliver_all, step);
		then(step);
	}
	ck_assert_int_gt(step, 10);
}

static void
repeat_and_look(int step)
{
	run_apart(step % 2 != 0 ? deliver_all : repeat_in_parts);
	run_apart(one_in_each);
	run_apart(one_in_each); /* also after another scan */
	no_file_more();
}

START_TEST(a_crash_at_any_step_doubles_and_loses_nothing)
{
	crash_at_each_step(NULL, repeat_and_look);
}
END_TEST

/* A look in between gives files of the first try their rows. */
static void
look_repeat_in_parts(void)
{
	for (unsigned i = 0; i < USERS; i++)
		maildir_mailbox_close(inbox_of(i));
	repeat_in_parts();
	one_in_each();
}

static void
look_first_and_repeat(int step)
{
	(void)step;
	run_apart(look_repeat_in_parts);
	run_apart(one_in_each);
	no_file_more();
}

START_TEST(a_file_of_another_size_that_a_crash_left_is_no_second_message)
{
	crash_at_each_step(NULL, look_first_and_repeat);
}
END_TEST

/* What is in tmp/ is others' file: never write into it. */
static void
repeat_with_copies(int step)
{
	(void)step;
	refuse_from = 2;
	refuse_with = EMLINK;
	last_first = true;
	at_step = end_when_one_is_cut;
	run_apart(deliver_all);
	at_step = NULL;
	last_first = false;
	refuse_with = 0;
	run_apart(one_in_each);
}

/* The names are there, the rows are not: it is repeated, and that fails, too. */
START_TEST(a_crash_while_it_is_repeated_harms_nobody)
{
	crash_at_each_step("files-synced", repeat_with_copies);
	ck_assert(run_crashing_at(deliver_all, "link-in-tmp"));
}
END_TEST

/* --- one name is like another --- */

static void
expunge_second(void)
{
	struct ph_store_mailbox *box = inbox_of(1);
	uint32_t uid;

	only_message(box, &uid);
	ck_assert_int_eq(maildir_remove(box, &uid, 1), PH_OK);
	maildir_mailbox_close(box);
}

static void
second_has_none(void)
{
	struct ph_store_mailbox *box = inbox_of(1);
	const struct ph_message_meta *metas;

	ck_assert_uint_eq(maildir_messages(box, arena, &metas), 0);
	ck_assert_int_eq(maildir_refresh(box), PH_OK);
	ck_assert_uint_eq(maildir_messages(box, arena, &metas), 0);
	maildir_mailbox_close(box);
	ck_assert_uint_eq(same_inode(), USERS - 1);
}

START_TEST(an_expunge_leaves_those_of_the_others)
{
	prepare();
	run_apart(deliver_all);
	run_apart(expunge_second);
	run_apart(second_has_none);
	run_apart(deliver_all); /* repeated: it does not come back */
	run_apart(second_has_none);
}
END_TEST

static void
flag_first(void)
{
	struct ph_store_mailbox *box = inbox_of(0);
	const struct ph_message_meta *metas;
	struct index_message row;
	uint32_t uid;

	only_message(box, &uid);
	ck_assert_int_eq(set_flags(box, uid, PH_SEEN), PH_OK);
	ck_assert_int_eq(mail_index_message_get(box->box->partition->mi,
	    box->box->id, uid, arena, &row), PH_OK);
	/* no time of such a file says when it was renamed */
	ck_assert_int_eq(row.renamed_ns, 0);
	ck_assert_uint_eq(maildir_messages(box, arena, &metas), 1);
	ck_assert_uint_eq(metas[0].flags & PH_SEEN, PH_SEEN);
	maildir_mailbox_close(box);
}

START_TEST(an_expunge_a_crash_broke_off_is_finished_whatever_others_did)
{
	prepare();
	run_apart(deliver_all);
	/* committed, the file still there */
	ck_assert(run_crashing_at(expunge_second, "expunged"));
	ck_assert_uint_eq(same_inode(), USERS);
	sleep(2); /* ctimes are compared by seconds */
	run_apart(flag_first); /* the ctime is after the expunge now */
	run_apart(second_has_none);
}
END_TEST

static void
flag_and_copy(void)
{
	struct ph_store_mailbox *box = inbox_of(0);
	struct ph_uid_map map;
	uint32_t uid;

	only_message(box, &uid);
	ck_assert_int_eq(maildir_create(store, user_name(0), PH_LIT("Kept")),
	    PH_OK);
	ck_assert_int_eq(maildir_copy(box, &uid, 1, PH_LIT("Kept"), arena,
	    &map), PH_OK);
	ck_assert_int_eq(maildir_remove(box, &uid, 1), PH_OK);
	maildir_mailbox_close(box);
	ck_assert_int_eq(maildir_mailbox_open(store, user_name(0),
	    PH_LIT("Kept"), false, &box), PH_OK);
	ck_assert_uint_eq(content_of(box, map.to[0]).n,
	    sizeof(HEAD) - 1 + CONTENT);
	maildir_mailbox_close(box);
}

START_TEST(a_copy_of_it_is_one_name_more)
{
	prepare();
	run_apart(deliver_all);
	run_apart(flag_first);
	run_apart(flag_and_copy);
	ck_assert_uint_eq(same_inode(), USERS);
}
END_TEST

static void
deliver_flagged(void)
{
	const struct ph_delivery_place place = { .mailbox = INBOX,
		.flags = PH_FLAGGED };

	deliver_some(0, USERS, &place);
}

START_TEST(with_flags_it_is_one_file_as_well)
{
	prepare();
	run_apart(deliver_flagged);
	ck_assert_uint_eq(same_inode(), USERS);
	run_apart(one_in_each);
	run_apart(none_says_for_whom);
}
END_TEST

START_TEST(with_the_whole_file_system_synced_it_is_one_file_as_well)
{
	prepare();
	conf.sync = SYNC_FILESYSTEM;
	run_apart(deliver_all);
	ck_assert_uint_eq(same_inode(), USERS);
	run_apart(one_in_each);
}
END_TEST

/* As if the second partition were another's. */
static void
deliver_to_two_file_systems(void)
{
	ck_assert_uint_eq(store->partitions[1].link_group, 0);
	store->partitions[1].link_group = 1;
	deliver_all();
}

START_TEST(each_file_system_has_a_file)
{
	unsigned first, in_first = 0;

	prepare();
	run_apart(deliver_to_two_file_systems);
	arena = ph_arena_create(NULL);
	first = name_partition(user_name(0), 2);
	for (unsigned i = 0; i < USERS; i++)
		in_first += name_partition(user_name(i), 2) == first;
	ph_arena_free(arena);
	ck_assert_uint_lt(in_first, USERS);
	ck_assert_uint_eq(same_inode(), in_first);
	run_apart(one_in_each);
	run_apart(none_says_for_whom);
}
END_TEST

static void
add(TCase *tc)
{
	tcase_add_test(tc, one_message_is_one_file);
	tcase_add_test(tc, what_is_one_recipients_or_spares_little_names_him);
	tcase_add_test(tc, where_no_link_can_be_made_each_has_a_copy);
	tcase_add_test(tc, a_crash_at_any_step_doubles_and_loses_nothing);
	tcase_add_test(tc,
	    a_file_of_another_size_that_a_crash_left_is_no_second_message);
	tcase_add_test(tc, a_crash_while_it_is_repeated_harms_nobody);
	tcase_add_test(tc, an_expunge_leaves_those_of_the_others);
	tcase_add_test(tc,
	    an_expunge_a_crash_broke_off_is_finished_whatever_others_did);
	tcase_add_test(tc, a_copy_of_it_is_one_name_more);
	tcase_add_test(tc, with_flags_it_is_one_file_as_well);
	tcase_add_test(tc,
	    with_the_whole_file_system_synced_it_is_one_file_as_well);
	tcase_add_test(tc, each_file_system_has_a_file);
}

int
main(void)
{
	return harness_main("store_maildir: link", add);
}
