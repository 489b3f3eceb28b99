/* SPDX-License-Identifier: Apache-2.0 */
/*
 * share_test.c - one message for several mailboxes is whole in each, whether
 * the file system can clone or not. PH_STORE_DIR names a folder on one that can.
 */
#include "harness.h"

#include <fcntl.h>
#include <unistd.h>

#include "share.h"

enum { USERS = 5, CONTENT = SHARE_LEAST_BYTES + 5000, BODY_AT = 16 };

static const char *const users[USERS] = { "a@b.test", "bob@example.test",
	"someone.with.a.long.name@example.test", "c@d.test", "x@y.z.test" };
static char content[CONTENT];

static void
make_content(void)
{
	memcpy(content, "Subject: many\r\n\r\n", BODY_AT + 1);
	for (size_t i = BODY_AT + 1; i < CONTENT; i++)
		content[i] = (char)('a' + i % 23);
}

static void
deliver_many(void)
{
	struct ph_delivery_target targets[USERS] = { 0 };
	struct ph_delivery_job job = { .queue_id = 9, .queue_name = "q",
		.sender = PH_LIT("x@outside.test"), .received_at = 1700000000,
		.content = { content, CONTENT }, .arena = arena,
		.targets = targets, .target_count = USERS };

	for (unsigned i = 0; i < USERS; i++) {
		targets[i].user = ph_slice_str(users[i]);
		targets[i].recipient = targets[i].user;
		targets[i].recipient_no = i + 1;
	}
	maildir_deliver(store, &job);
	for (unsigned i = 0; i < USERS; i++)
		ck_assert_int_eq(targets[i].status, PH_OK);
}

/* "Return-Path: ..." and "Delivered-To: USER", perhaps with blanks behind. */
static void
check_head(struct ph_slice head, const char *user)
{
	struct ph_slice line = ph_slice_cut(&head, '\n');

	ck_assert(ph_slice_eq(line, PH_LIT("Return-Path: <x@outside.test>\r")));
	line = ph_slice_cut(&head, '\n');
	ck_assert_uint_eq(head.n, 0);
	while (line.n > 0 && strchr("\r ", line.p[line.n - 1]) != NULL)
		line.n--;
	ck_assert(ph_slice_eq(line, ph_slice_str(ph_arena_printf(arena,
	    "Delivered-To: %s", user))));
}

static void
one_in_each(void)
{
	for (unsigned i = 0; i < USERS; i++) {
		struct ph_store_mailbox *box;
		const struct ph_message_meta *metas;
		struct ph_slice got;

		ck_assert_int_eq(maildir_mailbox_open(store,
		    ph_slice_str(users[i]), INBOX, false, &box), PH_OK);
		ck_assert_uint_eq(maildir_messages(box, arena, &metas), 1);
		got = content_of(box, metas[0].uid);
		ck_assert_uint_eq(got.n, metas[0].size);
		ck_assert_uint_gt(got.n, CONTENT);
		ck_assert_mem_eq(got.p + got.n - CONTENT, content, CONTENT);
		got.n -= CONTENT;
		check_head(got, users[i]);
		maildir_mailbox_close(box);
	}
}

START_TEST(one_message_is_whole_in_many_mailboxes)
{
	make_content();
	run_apart(deliver_many);
	run_apart(one_in_each);
}
END_TEST

START_TEST(a_crash_at_any_step_leaves_it_to_be_delivered_again)
{
	int step;

	make_content();
	for (step = 1; step < STEPS_MAX; step++) {
		bool crashed;

		teardown();
		setup();
		crashed = run_crashing(deliver_many, step);
		run_apart(deliver_many);
		run_apart(one_in_each);
		if (!crashed)
			break;
	}
	ck_assert_int_gt(step, 20);
	ck_assert_int_lt(step, STEPS_MAX);
}
END_TEST

/* What is cloned shows nobody's header fields. */
START_TEST(the_first_block_of_a_clone_is_empty_until_it_is_its_own)
{
	struct ph_slice head = PH_LIT("Delivered-To: a\r\n");
	struct ph_slice body = { content, CONTENT };
	struct share share;
	char block[64];
	int fd;

	make_content();
	share_init(&share);
	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0) /* no file system for that */
		return;
	if (share_write(&share, AT_FDCWD, fd, head, body))
		ck_assert_int_ge(share.fd, 0);
	if (share.fd >= 0) {
		ck_assert_int_eq(pread(share.fd, block, sizeof(block), 0),
		    sizeof(block));
		for (size_t i = 0; i < sizeof(block); i++)
			ck_assert_int_eq(block[i], 0);
	}
	close(fd);
	share_fini(&share);
}
END_TEST

static void
add(TCase *tc)
{
	tcase_add_test(tc, one_message_is_whole_in_many_mailboxes);
	tcase_add_test(tc, a_crash_at_any_step_leaves_it_to_be_delivered_again);
	tcase_add_test(tc,
	    the_first_block_of_a_clone_is_empty_until_it_is_its_own);
}

int
main(void)
{
	return harness_main("store_maildir: share", add);
}
