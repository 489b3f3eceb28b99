/* SPDX-License-Identifier: Apache-2.0 */
/* harness_test.c - see harness.h. */
#include "harness.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loop/fiber.h"

enum { EXIT_CRASHED = 9 };

char dir[64];
struct ph_arena *arena;
struct ph_store *store;
struct maildir_conf conf;
void (*at_step)(const char *step);
static int crash_at; /* the n-th step ends the process; 0: none */

void
store_step(const char *step)
{
	if (at_step != NULL)
		at_step(step);
	if (__atomic_sub_fetch(&crash_at, 1, __ATOMIC_SEQ_CST) == 0)
		_exit(EXIT_CRASHED);
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void
setup(void)
{
	const char *above = getenv("PH_STORE_DIR");

	/* in memory where that can be: crashes of processes need no disk */
	if (above == NULL)
		above = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	snprintf(dir, sizeof(dir), "%s/store_test.XXXXXX", above);
	ck_assert_ptr_nonnull(mkdtemp(dir));
	crash_at = 0;
	at_step = NULL;
	conf = (struct maildir_conf){ .cache_bytes = 1 << 20,
		.history_ms = 86400000, .batch_files = 64,
		.open_folders = 16 };
}

void
teardown(void)
{
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

struct run {
	void (*fn)(void);
};

static void
run_fiber(void *arg)
{
	struct run *todo = arg;
	struct ph_err err = { 0 };

	ck_assert_msg(maildir_open(arena, &conf, dir, 2, 0, 1, &store, &err) ==
	    PH_OK, "%s", err.text);
	todo->fn();
	maildir_close(store);
	fiber_runtime_stop();
}

void
run(void (*fn)(void))
{
	struct run todo = { fn };

	arena = ph_arena_create(NULL);
	fiber_runtime_init();
	fiber_start(run_fiber, &todo);
	fiber_runtime_run();
	ck_assert_uint_eq(fiber_count(), 0);
	fiber_runtime_fini();
	ph_arena_free(arena);
}

bool
run_crashing(void (*fn)(void), int step)
{
	int status;
	pid_t child = fork();

	if (child == 0) {
		crash_at = step;
		run(fn);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert(WIFEXITED(status));
	if (WEXITSTATUS(status) == EXIT_CRASHED)
		return true;
	ck_assert_int_eq(WEXITSTATUS(status), 0);
	return false;
}

static const char *crash_step;

static void
crash_there(const char *step)
{
	if (strcmp(step, crash_step) == 0)
		_exit(EXIT_CRASHED);
}

bool
run_crashing_at(void (*fn)(void), const char *step)
{
	bool crashed;

	crash_step = step;
	at_step = crash_there;
	crashed = run_crashing(fn, 0);
	at_step = NULL;
	return crashed;
}

void
run_apart(void (*fn)(void))
{
	ck_assert(!run_crashing(fn, 0));
}

/* --- in the fiber --- */

int
deliver_to(struct ph_slice user, uint64_t id, const char *text)
{
	struct ph_delivery_target target = { .user = user, .recipient = user,
		.recipient_no = 1 };
	struct ph_delivery_job job = { .queue_id = id, .queue_name = "q",
		.sender = PH_LIT("x@outside.test"), .received_at = 1700000000,
		.content = ph_slice_str(text), .arena = arena,
		.targets = &target, .target_count = 1 };

	maildir_deliver(store, &job);
	return target.status;
}

int
deliver(uint64_t id)
{
	return deliver_to(ALICE, id, TEXT);
}

void
deliver_three(void)
{
	for (uint64_t id = 1; id <= 3; id++)
		ck_assert_int_eq(deliver(id), PH_OK);
}

struct ph_store_mailbox *
open_box(struct ph_slice name, bool read_only)
{
	struct ph_store_mailbox *mailbox;

	ck_assert_int_eq(maildir_mailbox_open(store, ALICE, name, read_only,
	    &mailbox), PH_OK);
	return mailbox;
}

size_t
count_of(struct ph_slice name)
{
	struct ph_mailbox_status status;

	ck_assert_int_eq(maildir_status_of(store, ALICE, name, &status),
	    PH_OK);
	return status.messages;
}

struct ph_slice
content_of(struct ph_store_mailbox *mailbox, uint32_t uid)
{
	struct ph_content content;

	ck_assert_int_eq(maildir_content(mailbox, uid, arena, &content),
	    PH_OK);
	return content.octets;
}

int
set_flags(struct ph_store_mailbox *mailbox, uint32_t uid, uint32_t flags)
{
	return maildir_store_flags(mailbox, &uid, 1, PH_FLAGS_SET, flags, 0,
	    UINT64_MAX, arena, NULL, NULL);
}

bool
has(struct ph_slice text, const char *part)
{
	return memmem(text.p, text.n, part, strlen(part)) != NULL;
}

/* --- on the disk --- */

const char *
path_of(const char *below)
{
	static char path[1024];

	snprintf(path, sizeof(path), "%s/%u/example.test/alice/Maildir/%s",
	    dir, name_partition(ALICE, 2), below);
	return path;
}

const char *
file_in(const char *folder, int n)
{
	static char name[512];
	struct dirent *entry;
	DIR *at = opendir(path_of(folder));

	name[0] = '\0';
	while (at != NULL && (entry = readdir(at)) != NULL)
		if (entry->d_name[0] != '.' && n-- == 0) {
			snprintf(name, sizeof(name), "%s/%s", folder,
			    entry->d_name);
			break;
		}
	if (at != NULL)
		closedir(at);
	return name;
}

void
write_file(const char *below, const char *text)
{
	int fd = open(path_of(below), O_CREAT | O_TRUNC | O_WRONLY, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, text, strlen(text)),
	    (ssize_t)strlen(text));
	close(fd);
}

int
harness_main(const char *name, void (*add)(TCase *))
{
	Suite *suite = suite_create(name);
	TCase *tc = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	add(tc);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
