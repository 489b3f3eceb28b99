/* SPDX-License-Identifier: Apache-2.0 */
/* scan_test.c - what other programs, and power failures, do to the folders. */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool disk_fails;

/* The C library's, but for a disk that writes nothing. */
int
fdatasync(int fd)
{
	if (!disk_fails)
		return (int)syscall(SYS_fdatasync, fd);
	errno = EIO;
	return -1;
}

static void
foreign_changes(void)
{
	struct ph_store_mailbox *box;
	const struct ph_message_meta *metas;
	struct ph_mailbox_changes changes;
	struct ph_message_summary summary;
	char from[512], to[600];

	ck_assert_int_eq(deliver(1), PH_OK);
	ck_assert_int_eq(deliver(2), PH_OK);
	box = open_box(INBOX, false);
	write_file("new/1600000000.M1P2.host",
	    "Subject: two\nTo: <a@b.test>\n\nline\n");
	ck_assert_int_eq(maildir_refresh(box), PH_OK);
	ck_assert_uint_eq(maildir_messages(box, arena, &metas), 3);
	ck_assert_uint_eq(metas[2].size, 38);
	ck_assert(ph_slice_eq(content_of(box, 3),
	    PH_LIT("Subject: two\r\nTo: <a@b.test>\r\n\r\nline\r\n")));
	ck_assert_int_eq(maildir_summary(box, 3, arena, &summary), PH_OK);
	ck_assert(ph_slice_eq(summary.header,
	    PH_LIT("Subject: two\r\nTo: <a@b.test>\r\n")));
	/* a reader moves it and sets flags */
	strcpy(from, path_of("new/1600000000.M1P2.host"));
	strcpy(to, path_of("cur/1600000000.M1P2.host:2,FS"));
	ck_assert_int_eq(rename(from, to), 0);
	ck_assert_int_eq(maildir_refresh(box), PH_OK);
	maildir_messages(box, arena, &metas);
	ck_assert_uint_eq(metas[2].flags & ~(uint32_t)PH_RECENT,
	    PH_FLAGGED | PH_SEEN);
	ck_assert(has(content_of(box, 3), "line"));
	/* and one is removed */
	maildir_changes(box, 0, arena, &changes);
	ck_assert_int_eq(unlink(to), 0);
	ck_assert_int_eq(maildir_refresh(box), PH_OK);
	maildir_changes(box, changes.modseq, arena, &changes);
	ck_assert_uint_eq(changes.vanished_count, 1);
	ck_assert_uint_eq(changes.vanished[0], 3);
	/* put back later it is a new message, never thrown away */
	write_file("cur/1600000000.M1P2.host:2,", "Subject: back\n\n");
	ck_assert_int_eq(maildir_refresh(box), PH_OK);
	ck_assert_uint_eq(maildir_messages(box, arena, &metas), 3);
	ck_assert_uint_eq(metas[2].uid, 4);
	maildir_mailbox_close(box);
}

START_TEST(what_other_programs_change_is_noticed)
{
	run(foreign_changes);
}
END_TEST

static void
moved_under_us(void)
{
	struct ph_store_mailbox *box;
	const struct ph_message_meta *metas;
	char from[1024], to[1100];

	ck_assert_int_eq(deliver(1), PH_OK);
	box = open_box(INBOX, false);
	strcpy(from, path_of(file_in("new", 0)));
	snprintf(to, sizeof(to), "%s%s:2,F", path_of("cur/"),
	    strrchr(from, '/') + 1);
	ck_assert_int_eq(rename(from, to), 0);
	ck_assert(has(content_of(box, 1), "body")); /* without a refresh */
	ck_assert_int_eq(set_flags(box, 1, PH_SEEN), PH_OK);
	ck_assert_ptr_nonnull(strstr(file_in("cur", 0), ":2,S"));
	ck_assert_int_eq(maildir_refresh(box), PH_OK);
	ck_assert_uint_eq(maildir_messages(box, arena, &metas), 1);
	ck_assert_uint_eq(metas[0].flags & ~(uint32_t)PH_RECENT, PH_SEEN);
	maildir_mailbox_close(box);
}

START_TEST(a_file_renamed_by_others_is_found_by_its_base)
{
	run(moved_under_us);
}
END_TEST

static void
odd_files(void)
{
	struct ph_store_mailbox *box;
	const struct ph_message_meta *metas;

	ck_assert_int_eq(deliver(1), PH_OK);
	ck_assert_int_eq(mkfifo(path_of("new/fifo"), 0600), 0);
	ck_assert_int_eq(mkdir(path_of("new/folder"), 0700), 0);
	ck_assert_int_eq(symlink("/etc/passwd", path_of("new/link")), 0);
	write_file("cur/empty:2,S", "");
	box = open_box(INBOX, false);
	ck_assert_uint_eq(maildir_messages(box, arena, &metas), 2);
	ck_assert_uint_eq(metas[1].size, 0);
	ck_assert_uint_eq(content_of(box, metas[1].uid).n, 0);
	maildir_mailbox_close(box);
}

START_TEST(what_is_no_regular_file_is_no_message)
{
	run(odd_files);
}
END_TEST

/* A delivery that is repeated stands in the place of the one that was good. */
static void
repeated_in_vain(void)
{
	ck_assert_int_eq(deliver(1), PH_OK);
	disk_fails = true;
	ck_assert_int_eq(deliver(1), PH_IO);
	disk_fails = false;
	ck_assert_uint_eq(count_of(INBOX), 1);
	ck_assert_int_eq(deliver(1), PH_OK);
	ck_assert_uint_eq(count_of(INBOX), 1);
}

START_TEST(a_disk_that_fails_takes_nothing_back)
{
	run(repeated_in_vain);
}
END_TEST

static sem_t is_there, is_seen;

/* In the thread of the delivery: its file is there, not yet durable, and has
 * no row, so no keywords either. */
static void
wait_for_scan(const char *step)
{
	if (strcmp(step, "all-renamed") != 0)
		return;
	at_step = NULL;
	sem_post(&is_there);
	sem_wait(&is_seen);
	disk_fails = true;
}

static void
deliver_in_vain(void *arg)
{
	(void)arg;
	ck_assert_int_eq(deliver(2), PH_IO);
}

static void
seen_too_early(void)
{
	struct ph_scope scope;

	ck_assert_int_eq(deliver(1), PH_OK);
	sem_init(&is_there, 0, 0);
	sem_init(&is_seen, 0, 0);
	at_step = wait_for_scan;
	ph_scope_begin(&scope);
	ph_scope_spawn(&scope, deliver_in_vain, NULL);
	while (sem_trywait(&is_there) != 0)
		ph_sleep_ms(1);
	ck_assert_uint_eq(count_of(INBOX), 1);
	sem_post(&is_seen);
	ph_scope_wait(&scope);
	ph_scope_end(&scope);
	disk_fails = false;
	ck_assert_uint_eq(count_of(INBOX), 1);
	ck_assert_int_eq(deliver(2), PH_OK);
	ck_assert_uint_eq(count_of(INBOX), 2);
}

START_TEST(a_scan_takes_no_file_of_a_delivery_under_way)
{
	run(seen_too_early);
}
END_TEST

static void
failed_alone(void)
{
	disk_fails = true;
	ck_assert_int_eq(deliver(1), PH_IO);
	disk_fails = false;
	ck_assert_str_eq(file_in("new", 0), "");
	ck_assert_uint_eq(count_of(INBOX), 0);
	ck_assert_int_eq(deliver(1), PH_OK);
	ck_assert_uint_eq(count_of(INBOX), 1);
}

START_TEST(what_the_disk_may_not_have_is_not_shown)
{
	run(failed_alone);
}
END_TEST

static void
linked_folder(void)
{
	struct ph_store_mailbox *box;

	ck_assert_int_eq(deliver(1), PH_OK);
	ck_assert_int_eq(symlink("/tmp", path_of(".Link")), 0);
	ck_assert_int_ne(maildir_mailbox_open(store, ALICE, PH_LIT("Link"),
	    false, &box), PH_OK);
}

START_TEST(a_folder_that_is_a_link_is_no_mailbox)
{
	run(linked_folder);
}
END_TEST

static void
refresh_is_quiet(void)
{
	struct ph_store_mailbox *box;
	struct ph_mailbox_changes changes;
	uint64_t modseq;

	deliver_three();
	box = open_box(INBOX, false);
	maildir_changes(box, 0, arena, &changes);
	modseq = changes.modseq;
	for (int i = 0; i < 5; i++)
		ck_assert_int_eq(maildir_refresh(box), PH_OK);
	maildir_changes(box, modseq, arena, &changes);
	ck_assert_uint_eq(changes.modseq, modseq);
	ck_assert_uint_eq(changes.changed_count, 0);
	ck_assert_uint_eq(changes.vanished_count, 0);
	maildir_mailbox_close(box);
}

START_TEST(a_refresh_without_changes_changes_nothing)
{
	run(refresh_is_quiet);
}
END_TEST

/* --- after a power failure --- */

static void
seen_is_kept(void)
{
	struct ph_store_mailbox *box = open_box(INBOX, false);
	const struct ph_message_meta *metas;

	ck_assert_uint_eq(maildir_messages(box, arena, &metas), 1);
	ck_assert_uint_eq(metas[0].flags & PH_SEEN, PH_SEEN);
	ck_assert(has(content_of(box, 1), "body"));
	ck_assert_ptr_nonnull(strstr(file_in("cur", 0), ":2,S"));
	maildir_mailbox_close(box);
}

/* A rename that the journal never got leaves a file whose ctime is older than
 * the rename; as ctimes can't be set, the row's time is moved instead. */
static void
lose_rename(void)
{
	struct mail_index *mi;
	struct ph_store_mailbox *box;
	struct index_message message;
	struct index_box row;
	char from[1100], to[1100];

	ck_assert_int_eq(deliver(1), PH_OK);
	box = open_box(INBOX, false);
	strcpy(to, path_of(file_in("new", 0)));
	ck_assert_int_eq(set_flags(box, 1, PH_SEEN), PH_OK);
	mi = box->box->partition->mi;
	ck_assert_int_eq(mail_index_begin(mi), PH_OK);
	ck_assert_int_eq(mail_index_box_get(mi, ALICE, INBOX, arena, &row),
	    PH_OK);
	ck_assert_int_eq(mail_index_message_get(mi, row.id, 1, arena,
	    &message), PH_OK);
	ck_assert_int_ne(message.renamed_ns, 0);
	message.renamed_ns += 3600ll * 1000000000;
	ck_assert_int_eq(mail_index_message_put(mi, &row, &message, &message),
	    PH_OK);
	ck_assert_int_eq(mail_index_commit(mi), PH_OK);
	strcpy(from, path_of(file_in("cur", 0)));
	ck_assert_int_eq(rename(from, to), 0);
	maildir_mailbox_close(box);
}

START_TEST(flags_told_to_a_client_survive_a_rename_that_was_lost)
{
	run_apart(lose_rename);
	run_apart(seen_is_kept);
}
END_TEST

static void
expunge_and_restore(void)
{
	struct ph_store_mailbox *box;
	char name[1100], kept[1100];

	ck_assert_int_eq(deliver(1), PH_OK);
	box = open_box(INBOX, false);
	ck_assert_int_eq(set_flags(box, 1, PH_SEEN), PH_OK);
	strcpy(name, path_of(file_in("cur", 0)));
	snprintf(kept, sizeof(kept), "%s/kept", dir);
	ck_assert_int_eq(link(name, kept), 0);
	ck_assert_int_eq(maildir_remove(box, (const uint32_t[]){ 1 }, 1),
	    PH_OK);
	ck_assert_uint_eq(count_of(INBOX), 0);
	ck_assert_int_eq(ph_sleep_ms(1100), PH_OK); /* ctimes are compared */
	ck_assert_int_eq(rename(kept, name), 0);
	ck_assert_int_eq(maildir_refresh(box), PH_OK);
	ck_assert_uint_eq(count_of(INBOX), 1);
	ck_assert(has(content_of(box, 2), "body"));
	maildir_mailbox_close(box);
}

START_TEST(a_file_that_somebody_restores_is_a_message)
{
	run(expunge_and_restore);
}
END_TEST

/* Its write is long ago, as the server was down; the queue repeats it now. */
static void
torn_before_the_start(void)
{
	static const char name[] = "new/1700000000.Q9R1.posthouse,S=4096";
	struct ph_store_mailbox *box;
	const struct timespec times[2] = { { .tv_sec = 1700000000 },
		{ .tv_sec = 1700000000 } };
	int fd;

	ck_assert_int_eq(deliver(1), PH_OK);
	fd = open(path_of(name), O_CREAT | O_WRONLY, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(ftruncate(fd, 4096), 0);
	ck_assert_int_eq(futimens(fd, times), 0);
	close(fd);
	box = open_box(INBOX, false);
	ck_assert_uint_eq(count_of(INBOX), 1);
	/* nobody has repeated it by now: it was sent so */
	box->box->partition->opened_at -= 7200;
	ck_assert_int_eq(maildir_refresh(box), PH_OK);
	ck_assert_uint_eq(count_of(INBOX), 2);
	maildir_mailbox_close(box);
}

START_TEST(a_file_torn_before_the_start_is_no_message_for_an_hour)
{
	run(torn_before_the_start);
}
END_TEST

/* Another head, another content: it is the same delivery. */
static void
repeat_with_more(void)
{
	ck_assert_int_eq(deliver_to(ALICE, 1, TEXT "more\r\n"), PH_OK);
}

static void
one_of_one_file(void)
{
	struct ph_store_mailbox *box = open_box(INBOX, false);
	const struct ph_message_meta *metas;

	ck_assert_uint_eq(maildir_messages(box, arena, &metas), 1);
	ck_assert_uint_eq(content_of(box, metas[0].uid).n, metas[0].size);
	ck_assert_int_eq(maildir_refresh(box), PH_OK);
	maildir_mailbox_close(box);
	ck_assert_str_ne(file_in("new", 0), "");
	ck_assert_str_eq(file_in("new", 1), "");
}

static void
deliver_first(void)
{
	ck_assert_int_eq(deliver(1), PH_OK);
}

/* It writes a new version first, and removes the old one then. */
static void
rewrite_by_another(void)
{
	struct ph_store_mailbox *box;
	char old[1100], name[1100];

	ck_assert_int_eq(deliver(1), PH_OK);
	box = open_box(INBOX, false);
	ck_assert_int_eq(ph_sleep_ms(1100), PH_OK); /* not as if from before */
	strcpy(old, path_of(file_in("new", 0)));
	snprintf(name, sizeof(name), "%.*s14:2,S",
	    (int)(strstr(file_in("new", 0), ",S=") + 3 - file_in("new", 0)),
	    file_in("new", 0));
	memcpy(name, "cur", 3);
	write_file(name, "Subject: two\r\n");
	ck_assert_int_eq(maildir_refresh(box), PH_OK);
	ck_assert_uint_eq(count_of(INBOX), 1);
	ck_assert_int_eq(unlink(old), 0);
	ck_assert_int_eq(maildir_refresh(box), PH_OK);
	ck_assert_uint_eq(count_of(INBOX), 1);
	ck_assert(has(content_of(box, 2), "two"));
	maildir_mailbox_close(box);
}

START_TEST(a_new_version_that_another_program_writes_is_not_removed)
{
	run(rewrite_by_another);
}
END_TEST

static void
look(void)
{
	maildir_mailbox_close(open_box(INBOX, false));
}

START_TEST(a_delivery_repeated_with_another_size_is_there_once)
{
	static const char *const steps[] = { "renamed", "folders-synced",
		"rows-written", "never" };

	for (size_t i = 0; i < 8; i++) {
		teardown();
		setup();
		run_crashing_at(deliver_first, steps[i / 2]);
		if (i % 2 != 0) /* gives what is there its row */
			run_apart(look);
		run_crashing_at(repeat_with_more, steps[i / 2]);
		run_apart(repeat_with_more);
		run_apart(look);
		run_apart(one_of_one_file);
	}
}
END_TEST

static void
add_tests(TCase *tc)
{
	tcase_add_test(tc, what_other_programs_change_is_noticed);
	tcase_add_test(tc, a_file_renamed_by_others_is_found_by_its_base);
	tcase_add_test(tc, what_is_no_regular_file_is_no_message);
	tcase_add_test(tc, a_disk_that_fails_takes_nothing_back);
	tcase_add_test(tc, a_scan_takes_no_file_of_a_delivery_under_way);
	tcase_add_test(tc, what_the_disk_may_not_have_is_not_shown);
	tcase_add_test(tc, a_folder_that_is_a_link_is_no_mailbox);
	tcase_add_test(tc, a_refresh_without_changes_changes_nothing);
	tcase_add_test(tc,
	    flags_told_to_a_client_survive_a_rename_that_was_lost);
	tcase_add_test(tc, a_file_that_somebody_restores_is_a_message);
	tcase_add_test(tc, a_delivery_repeated_with_another_size_is_there_once);
	tcase_add_test(tc,
	    a_new_version_that_another_program_writes_is_not_removed);
	tcase_add_test(tc,
	    a_file_torn_before_the_start_is_no_message_for_an_hour);
}

int
main(void)
{
	return harness_main("store_maildir: scan", add_tests);
}
