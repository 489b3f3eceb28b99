/* SPDX-License-Identifier: Apache-2.0 */
/* mail_index_test.c - rows, mailboxes, messages, history, recovery. */
#include <check.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mail_index/mail_index.h"
#include "mail_index/row.h"

static const struct mail_index_conf conf = { .cache_bytes = 1 << 20,
	.log_file_bytes = 4 << 20, .checkpoint_bytes = 8 << 20 };
static const struct ph_slice alice = { "alice@example.test", 18 };
static const struct ph_slice inbox = { "INBOX", 5 };

static char home[64];
static struct ph_arena *arena;
static struct mail_index *mi;

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void
open_index(void)
{
	struct ph_err err = { 0 };

	ck_assert_msg(mail_index_open(home, &conf, &mi, &err) == PH_OK, "%s",
	    err.text);
}

static void
setup(void)
{
	strcpy(home, "/tmp/mail_index_test.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(home));
	arena = ph_arena_create(NULL);
	open_index();
}

static void
teardown(void)
{
	mail_index_close(mi);
	ph_arena_free(arena);
	nftw(home, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static struct index_box
create(struct ph_slice name, int64_t now)
{
	struct index_box box;

	ck_assert_int_eq(mail_index_begin(mi), PH_OK);
	ck_assert_int_eq(mail_index_box_create(mi, alice, name, now, &box),
	    PH_OK);
	ck_assert_int_eq(mail_index_commit(mi), PH_OK);
	return box;
}

static uint32_t
add(struct index_box *box, const char *file, uint32_t flags)
{
	struct index_message message = { .file = ph_slice_str(file),
		.base_n = strcspn(file, ":"), .in_new = true,
		.meta = { .flags = flags, .size = 100,
		    .internal_date = 1234567890, .keywords = 5 } };
	struct ph_message_summary summary = { PH_LIT("Subject: x\r\n"),
		PH_LIT("mime") };

	ck_assert_int_eq(mail_index_begin(mi), PH_OK);
	ck_assert_int_eq(mail_index_message_add(mi, box, &message, &summary),
	    PH_OK);
	ck_assert_int_eq(mail_index_box_put(mi, alice, inbox, box), PH_OK);
	ck_assert_int_eq(mail_index_commit(mi), PH_OK);
	return message.meta.uid;
}

static void
expunge(struct index_box *box, uint32_t uid, int64_t now)
{
	struct index_message message;

	ck_assert_int_eq(mail_index_message_get(mi, box->id, uid, arena,
	    &message), PH_OK);
	ck_assert_int_eq(mail_index_begin(mi), PH_OK);
	box->modseq++;
	ck_assert_int_eq(mail_index_message_expunge(mi, box, &message, now,
	    uid == 2), PH_OK);
	ck_assert_int_eq(mail_index_box_put(mi, alice, inbox, box), PH_OK);
	ck_assert_int_eq(mail_index_commit(mi), PH_OK);
}

START_TEST(a_row_is_refused_under_another_key_or_with_a_changed_octet)
{
	struct ph_slice key = PH_LIT("key"), fields;
	struct row_field field;
	struct ph_buf buf;

	ph_buf_init(&buf, arena, 1000);
	row_begin(&buf);
	row_put_u64(&buf, 1, 0x123456789abcdef0ull);
	row_put_u64(&buf, 2, 0);
	row_put(&buf, 3, PH_LIT("text"));
	row_end(&buf, key);
	ck_assert_int_eq(row_open(key, ph_buf_content(&buf), &fields), PH_OK);
	ck_assert(row_next(&fields, &field));
	ck_assert_uint_eq(row_u64(field.value), 0x123456789abcdef0ull);
	ck_assert(row_next(&fields, &field));
	ck_assert_uint_eq(field.tag, 3);
	ck_assert(!row_next(&fields, &field));
	ck_assert_int_eq(row_open(PH_LIT("kez"), ph_buf_content(&buf),
	    &fields), PH_DEFECT);
	for (size_t i = 0; i < buf.n; i++) {
		buf.p[i] ^= 4;
		ck_assert_int_eq(row_open(key, ph_buf_content(&buf), &fields),
		    PH_DEFECT);
		buf.p[i] ^= 4;
		ck_assert_int_eq(row_open(key, (struct ph_slice){ buf.p, i },
		    &fields), PH_DEFECT);
	}
}
END_TEST

START_TEST(a_message_comes_back_as_it_was_added)
{
	struct index_box box = create(inbox, 1000), again;
	struct ph_message_summary summary;
	struct index_message message;
	uint32_t uid = add(&box, "1.Q1R0:2,S", PH_SEEN | PH_RECENT);

	ck_assert_uint_eq(uid, 1);
	ck_assert_int_eq(mail_index_message_get(mi, box.id, uid, arena,
	    &message), PH_OK);
	ck_assert_uint_eq(message.meta.flags, PH_SEEN);
	ck_assert_uint_eq(message.meta.keywords, 5);
	ck_assert_uint_eq(message.meta.size, 100);
	ck_assert_int_eq(message.meta.internal_date, 1234567890);
	ck_assert_uint_eq(message.base_n, 6);
	ck_assert(message.in_new);
	ck_assert(ph_slice_eq(message.file, PH_LIT("1.Q1R0:2,S")));
	ck_assert_int_eq(mail_index_summary(mi, box.id, uid, arena, &summary),
	    PH_OK);
	ck_assert(ph_slice_eq(summary.header, PH_LIT("Subject: x\r\n")));
	ck_assert(ph_slice_eq(summary.mime, PH_LIT("mime")));
	ck_assert_int_eq(mail_index_box_get(mi, alice, inbox, arena, &again),
	    PH_OK);
	ck_assert_uint_eq(again.messages, 1);
	ck_assert_uint_eq(again.unseen, 0);
	ck_assert_uint_eq(again.uid_next, 2);
	ck_assert_uint_eq(again.size, 100);
	ck_assert_int_eq(mail_index_message_get(mi, box.id, 2, arena,
	    &message), PH_NOT_FOUND);
}
END_TEST

START_TEST(counts_follow_flags_and_expunges)
{
	struct index_box box = create(inbox, 1000);
	struct index_message was, is;

	add(&box, "a", 0);
	add(&box, "b", 0);
	ck_assert_uint_eq(box.unseen, 2);
	ck_assert_int_eq(mail_index_message_get(mi, box.id, 1, arena, &was),
	    PH_OK);
	is = was;
	is.meta.flags = PH_SEEN | PH_DELETED;
	ck_assert_int_eq(mail_index_begin(mi), PH_OK);
	ck_assert_int_eq(mail_index_message_put(mi, &box, &was, &is), PH_OK);
	ck_assert_int_eq(mail_index_commit(mi), PH_OK);
	ck_assert_uint_eq(box.unseen, 1);
	ck_assert_uint_eq(box.deleted, 1);
	expunge(&box, 1, 50);
	ck_assert_uint_eq(box.messages, 1);
	ck_assert_uint_eq(box.deleted, 0);
	ck_assert_uint_eq(box.size, 100);
}
END_TEST

START_TEST(an_expunged_name_is_known_until_the_history_is_pruned)
{
	struct index_box box = create(inbox, 1000);
	struct index_expunged *list;
	struct index_name name;
	size_t count;

	add(&box, "a", 0);
	add(&box, "b", 0);
	ck_assert_int_eq(mail_index_name_find(mi, box.id, PH_LIT("a"), &name),
	    PH_OK);
	ck_assert_int_eq(name.state, INDEX_NAME_LIVE);
	expunge(&box, 1, 50);
	expunge(&box, 2, 60);
	ck_assert_int_eq(mail_index_name_find(mi, box.id, PH_LIT("a"), &name),
	    PH_OK);
	ck_assert_int_eq(name.state, INDEX_NAME_EXPUNGED);
	ck_assert_int_eq(name.expunged_at, 50);
	ck_assert_uint_eq(name.uid, 1);
	ck_assert_int_eq(mail_index_name_find(mi, box.id, PH_LIT("b"), &name),
	    PH_OK);
	ck_assert_int_eq(name.state, INDEX_NAME_VANISHED);
	ck_assert_int_eq(mail_index_begin(mi), PH_OK);
	ck_assert_int_eq(mail_index_history_prune(mi, &box, 55, 100), PH_OK);
	ck_assert_int_eq(mail_index_commit(mi), PH_OK);
	ck_assert_int_eq(mail_index_name_find(mi, box.id, PH_LIT("a"), &name),
	    PH_OK);
	ck_assert_int_eq(name.state, INDEX_NAME_NONE);
	ck_assert_uint_eq(box.history_floor, 4);
	ck_assert_int_eq(mail_index_history(mi, box.id, &list, &count), PH_OK);
	ck_assert_uint_eq(count, 1);
	ck_assert_uint_eq(list[0].uid, 2);
	ck_assert_uint_eq(list[0].modseq, 5);
	free(list);
}
END_TEST

START_TEST(a_name_created_again_has_a_greater_uidvalidity)
{
	struct index_box first = create(PH_LIT("A"), 1000), second;

	ck_assert_uint_eq(first.uid_validity, 1000);
	ck_assert_int_eq(mail_index_begin(mi), PH_OK);
	ck_assert_int_eq(mail_index_box_create(mi, alice, PH_LIT("A"), 1000,
	    &second), PH_EXISTS);
	ck_assert_int_eq(mail_index_box_bury(mi, alice, PH_LIT("A")), PH_OK);
	ck_assert_int_eq(mail_index_commit(mi), PH_OK);
	second = create(PH_LIT("A"), 900);
	ck_assert_uint_eq(second.uid_validity, 1001);
	ck_assert_uint_ne(second.id, first.id);
}
END_TEST

START_TEST(a_buried_mailbox_leaves_a_row_until_it_is_forgotten)
{
	struct index_box box = create(inbox, 1000), dead;
	struct index_box_name *names;
	struct index_message message;
	size_t count;

	add(&box, "a", 0);
	ck_assert_int_eq(mail_index_begin(mi), PH_OK);
	ck_assert_int_eq(mail_index_box_bury(mi, alice, inbox), PH_OK);
	ck_assert_int_eq(mail_index_commit(mi), PH_OK);
	ck_assert_int_eq(mail_index_box_get(mi, alice, inbox, arena, &dead),
	    PH_OK);
	ck_assert(dead.dead);
	ck_assert_int_eq(mail_index_message_get(mi, box.id, 1, arena,
	    &message), PH_NOT_FOUND);
	ck_assert_int_eq(mail_index_box_list(mi, alice, arena, &names, &count),
	    PH_OK);
	ck_assert_uint_eq(count, 1);
	ck_assert(names[0].dead);
	ck_assert_int_eq(mail_index_begin(mi), PH_OK);
	ck_assert_int_eq(mail_index_box_forget(mi, alice, inbox), PH_OK);
	ck_assert_int_eq(mail_index_commit(mi), PH_OK);
	ck_assert_int_eq(mail_index_box_get(mi, alice, inbox, arena, &dead),
	    PH_NOT_FOUND);
}
END_TEST

START_TEST(lists_hold_the_names_of_that_user_alone)
{
	struct ph_slice other = PH_LIT("alice@example.tes"), *subscribed;
	struct index_box_name *names;
	struct index_box box;
	size_t count;

	create(PH_LIT("B"), 1000);
	create(PH_LIT("A/x"), 1000);
	ck_assert_int_eq(mail_index_begin(mi), PH_OK);
	ck_assert_int_eq(mail_index_box_create(mi, other, PH_LIT("C"), 1,
	    &box), PH_OK);
	ck_assert_int_eq(mail_index_subscribe(mi, alice, PH_LIT("B"), true),
	    PH_OK);
	ck_assert_int_eq(mail_index_subscribe(mi, alice, PH_LIT("Z"), true),
	    PH_OK);
	ck_assert_int_eq(mail_index_subscribe(mi, alice, PH_LIT("B"), false),
	    PH_OK);
	ck_assert_int_eq(mail_index_subscribe(mi, alice, PH_LIT("B"), false),
	    PH_OK);
	ck_assert_int_eq(mail_index_commit(mi), PH_OK);
	ck_assert_int_eq(mail_index_box_list(mi, alice, arena, &names, &count),
	    PH_OK);
	ck_assert_uint_eq(count, 2);
	ck_assert(ph_slice_eq(names[0].name, PH_LIT("A/x")));
	ck_assert(ph_slice_eq(names[1].name, PH_LIT("B")));
	ck_assert_int_eq(mail_index_subscriptions(mi, alice, arena,
	    &subscribed, &count), PH_OK);
	ck_assert_uint_eq(count, 1);
	ck_assert(ph_slice_eq(subscribed[0], PH_LIT("Z")));
	ck_assert_int_eq(mail_index_box_get(mi, PH_LIT("a\0b"), inbox, arena,
	    &box), PH_INVALID);
}
END_TEST

START_TEST(an_aborted_transaction_leaves_nothing)
{
	struct index_box box;

	ck_assert_int_eq(mail_index_begin(mi), PH_OK);
	ck_assert_int_eq(mail_index_box_create(mi, alice, inbox, 1, &box),
	    PH_OK);
	mail_index_abort(mi);
	ck_assert_int_eq(mail_index_box_get(mi, alice, inbox, arena, &box),
	    PH_NOT_FOUND);
}
END_TEST

START_TEST(a_large_summary_is_kept_within_its_limits)
{
	struct index_box box = create(inbox, 1000);
	struct index_message message = { .file = PH_LIT("big"), .base_n = 3 };
	struct ph_message_summary summary, got;
	const size_t n = MAIL_INDEX_HEADER_MAX + 5;
	char *text = ph_arena_alloc(arena, n);

	memset(text, 'x', n);
	summary.header = (struct ph_slice){ text, n };
	summary.mime = (struct ph_slice){ text, n };
	ck_assert_int_eq(mail_index_begin(mi), PH_OK);
	ck_assert_int_eq(mail_index_message_add(mi, &box, &message, &summary),
	    PH_OK);
	ck_assert_int_eq(mail_index_commit(mi), PH_OK);
	ck_assert_int_eq(mail_index_summary(mi, box.id, 1, arena, &got),
	    PH_OK);
	ck_assert_uint_eq(got.header.n, MAIL_INDEX_HEADER_MAX);
	ck_assert_uint_eq(got.mime.n, n);
}
END_TEST

static int
count_messages(void *arg, const struct index_message *message)
{
	size_t *count = arg;

	ck_assert_uint_eq(message->meta.uid, ++*count);
	return PH_OK;
}

/* The child ends without closing anything, as a killed process does. */
START_TEST(what_was_committed_is_there_after_the_process_died)
{
	struct index_box box;
	size_t count = 0;
	uint64_t epoch = mail_index_epoch(mi);
	pid_t child;
	int status;

	mail_index_close(mi);
	mi = NULL;
	child = fork();
	if (child == 0) {
		struct index_message message = { .file = PH_LIT("lost"),
			.base_n = 4 };

		open_index();
		box = create(inbox, 1000);
		for (int i = 0; i < 500; i++) {
			char file[32];

			snprintf(file, sizeof(file), "%d.Q", i);
			add(&box, file, 0);
		}
		mail_index_begin(mi);
		mail_index_message_add(mi, &box, &message, NULL);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	open_index();
	ck_assert_uint_gt(mail_index_epoch(mi), epoch + 1);
	ck_assert_int_eq(mail_index_box_get(mi, alice, inbox, arena, &box),
	    PH_OK);
	ck_assert_uint_eq(box.messages, 500);
	ck_assert_int_eq(mail_index_messages(mi, box.id, 0, count_messages,
	    &count), PH_OK);
	ck_assert_uint_eq(count, 500);
}
END_TEST

START_TEST(a_folder_with_a_db_config_is_refused)
{
	char path[128];
	struct mail_index *other;
	struct ph_err err;
	int fd;

	snprintf(path, sizeof(path), "%s/DB_CONFIG", home);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	ck_assert_int_ge(fd, 0);
	close(fd);
	ck_assert_int_eq(mail_index_open(home, &conf, &other, &err),
	    PH_DENIED);
	ck_assert_int_eq(mail_index_open("relative", &conf, &other, &err),
	    PH_DENIED);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("mail_index");
	TCase *tc = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc,
	    a_row_is_refused_under_another_key_or_with_a_changed_octet);
	tcase_add_test(tc, a_message_comes_back_as_it_was_added);
	tcase_add_test(tc, counts_follow_flags_and_expunges);
	tcase_add_test(tc,
	    an_expunged_name_is_known_until_the_history_is_pruned);
	tcase_add_test(tc, a_name_created_again_has_a_greater_uidvalidity);
	tcase_add_test(tc,
	    a_buried_mailbox_leaves_a_row_until_it_is_forgotten);
	tcase_add_test(tc, lists_hold_the_names_of_that_user_alone);
	tcase_add_test(tc, an_aborted_transaction_leaves_nothing);
	tcase_add_test(tc, a_large_summary_is_kept_within_its_limits);
	tcase_add_test(tc,
	    what_was_committed_is_there_after_the_process_died);
	tcase_add_test(tc, a_folder_with_a_db_config_is_refused);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
