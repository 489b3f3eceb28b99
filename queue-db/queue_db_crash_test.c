/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue_db_crash_test.c - a child works on a queue and says over a pipe what it
 * is about to submit and what was answered; it dies by kill -9 at a random
 * instant, at each step of a fixed script, of a full disk, of a failed flush.
 * The parent recovers the queue and holds it against what it was told: every
 * answered change is there octet for octet, what was not answered is there
 * whole or not at all, nothing else is.
 *
 * PH_QUEUE_ROUNDS sets the random kills (20), PH_QUEUE_SEED repeats a run.
 * PH_QUEUE_SMALL_DIR, a directory on a file system of some 200 MiB, adds a test
 * that fills it. PH_QUEUE_POWER_DIR, a mounted file system of its own, adds
 * power failures: it is shut down without writing anything back and then
 * mounted anew by the command PH_QUEUE_POWER_REMOUNT (root).
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ioctl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "inner.h"
#include "queue_db_fixture.h"

enum { NUMBERS = 1 << 20, IN_FLIGHT = 32, DIED = 9 };

enum what { ADD, UPDATE, REMOVE };

struct note {
	enum what what;
	bool answered;
	int status;
	uint32_t version;
	uint64_t number;
};

/* What is known of each message. */
static struct {
	bool add_meant, added, remove_meant, removed, refused;
	bool over; /* was seen not to be there; the count tells if it returns */
	uint32_t version_meant, version;
} model[NUMBERS];
static uint64_t model_end = 1; /* no higher number was meant */
static int notes_fd = -1;
static bool power; /* not only the process dies */

static void
model_take(const struct note *note)
{
	ck_assert_uint_lt(note->number, NUMBERS);
	if (note->number >= model_end)
		model_end = note->number + 1;
	switch (note->what) {
	case ADD:
		model[note->number].add_meant = true;
		model[note->number].refused = note->answered &&
		    note->status != 0;
		model[note->number].added = note->answered &&
		    note->status == 0;
		break;
	case UPDATE:
		if (!note->answered)
			model[note->number].version_meant = note->version;
		else if (note->status == 0)
			model[note->number].version = note->version;
		break;
	case REMOVE:
		model[note->number].remove_meant = true;
		model[note->number].removed = note->answered &&
		    note->status == 0;
		break;
	}
}

/* --- in the child --- */

static pthread_mutex_t model_lock = PTHREAD_MUTEX_INITIALIZER;
static sem_t room;

static void
tell(const struct note *note)
{
	pthread_mutex_lock(&model_lock);
	model_take(note);
	pthread_mutex_unlock(&model_lock);
	if (write(notes_fd, note, sizeof(*note)) != (ssize_t)sizeof(*note))
		_exit(1);
}

static void
on_done(void *arg, int status)
{
	struct note *note = arg;

	note->answered = true;
	note->status = status;
	tell(note);
	free(note);
	sem_post(&room);
}

static void
put_change(struct queue_db_op *op, struct queue_db *db, struct ph_arena *arena,
    const struct note *note)
{
	struct queue_db_update update = { .number = 1,
		.state = QUEUE_DB_WAITING, .attempts = note->version };

	if (note->what == ADD) {
		struct queue_db_message m = fixture_message(db, arena,
		    note->number);

		queue_db_op_message(op, &m);
	} else if (note->what == UPDATE) {
		queue_db_op_update(op, fixture_id(note->number), &update);
	} else {
		queue_db_op_remove(op, fixture_id(note->number));
	}
}

/* Say it, do it; the answer is told when it comes. */
static void
change(struct queue_db *db, enum what what, uint64_t number, uint32_t version)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct queue_db_op *op = queue_db_op_create();
	struct note *note = calloc(1, sizeof(*note));

	note->what = what;
	note->number = number;
	note->version = version;
	tell(note);
	put_change(op, db, arena, note);
	if (queue_db_submit(db, op, number % 2 == 0 ? QUEUE_DB_LAZY :
	        QUEUE_DB_DURABLE, on_done, note) != 0)
		_exit(1);
	ph_arena_free(arena);
}

static void
wait_for_room(void)
{
	while (sem_wait(&room) != 0 && errno == EINTR)
		continue;
}

static void
settle(struct queue_db *db, enum what what, uint64_t number, uint32_t version)
{
	wait_for_room();
	change(db, what, number, version);
	wait_for_room();
	sem_post(&room);
}

/* A random living message that this or an earlier child added; 0 none. */
static uint64_t
pick_living(unsigned *seed)
{
	uint64_t found = 0;

	pthread_mutex_lock(&model_lock);
	for (int i = 0; i < 20 && found == 0 && model_end > 1; i++) {
		uint64_t span = model_end - 1 < 400 ? model_end - 1 : 400;
		uint64_t n = model_end - 1 - (uint64_t)rand_r(seed) % span;

		if (n > 0 && model[n].added && !model[n].remove_meant)
			found = n;
	}
	pthread_mutex_unlock(&model_lock);
	return found;
}

static struct queue_db *
open_with_ballast(const char *dir)
{
	struct queue_db_options options = { .fsync = true,
		.cache_bytes = 8 << 20, .ballast_bytes = 32 << 20,
		.report = fixture_on_report };
	struct queue_db *db;

	return queue_db_open(dir, &options, &db, NULL) == 0 ? db : NULL;
}

/* What recovery writes must be synced too when the power may fail after it. */
static struct queue_db *
open_any(const char *dir)
{
	return power ? open_with_ballast(dir) : fixture_open(dir);
}

static _Noreturn void
work_until_killed(const char *dir, unsigned seed)
{
	struct queue_db *db = open_any(dir);
	uint64_t number = model_end;

	sem_init(&room, 0, IN_FLIGHT);
	while (number < NUMBERS) {
		int dice = rand_r(&seed) % 100;
		uint64_t living = dice < 45 ? 0 : pick_living(&seed);

		wait_for_room();
		if (living == 0)
			change(db, ADD, number++, 0);
		else if (dice < 65)
			change(db, UPDATE, living,
			    model[living].version_meant + 1);
		else
			change(db, REMOVE, living, 0);
	}
	for (;;)
		pause();
}

static unsigned step_deadly, step_now;

static void
die_at_step(const char *name)
{
	(void)name;
	if (__atomic_add_fetch(&step_now, 1, __ATOMIC_RELAXED) == step_deadly)
		_exit(DIED);
}

/* A bounce: message `bounce` appears and `failed` changes, or neither. */
static void
bounce_together(struct queue_db *db, uint64_t failed, uint64_t bounce)
{
	struct note add = { .what = ADD, .number = bounce };
	struct note update = { .what = UPDATE, .number = failed, .version = 7 };
	struct ph_arena *arena = ph_arena_create(NULL);
	struct queue_db_op *op = queue_db_op_create();

	tell(&add);
	tell(&update);
	put_change(op, db, arena, &add);
	put_change(op, db, arena, &update);
	add.status = update.status = fixture_run(db, op, QUEUE_DB_DURABLE);
	add.answered = update.answered = true;
	tell(&add);
	tell(&update);
	ph_arena_free(arena);
}

static _Noreturn void
work_by_script(const char *dir)
{
	struct queue_db_op *op = queue_db_op_create();
	struct queue_db *db;

	sem_init(&room, 0, 1);
	queue_db_test_step = die_at_step;
	db = fixture_open(dir);
	settle(db, ADD, 1, 0);
	settle(db, ADD, 3, 0); /* a file */
	settle(db, UPDATE, 1, 1);
	bounce_together(db, 3, 17); /* a file too */
	queue_db_op_kv_put(op, 1, PH_LIT("key"), PH_LIT("value"), 5);
	if (fixture_run(db, op, QUEUE_DB_LAZY) != 0)
		_exit(1);
	settle(db, REMOVE, 3, 0);
	settle(db, ADD, 24, 0);
	queue_db_kv_sweep(db, 10, 6);
	settle(db, REMOVE, 17, 0);
	settle(db, REMOVE, 1, 0);
	queue_db_close(db);
	_exit(0);
}

static _Noreturn void
open_and_close(const char *dir)
{
	queue_db_test_step = die_at_step;
	queue_db_close(fixture_open(dir));
	_exit(0);
}

/* Writes that find no room: from the first_th on, count of them. */
static unsigned write_now, write_first, write_count;

static bool
write_fails(void)
{
	unsigned n = __atomic_add_fetch(&write_now, 1, __ATOMIC_RELAXED);

	errno = ENOSPC;
	return n >= write_first && n - write_first < write_count;
}

static ssize_t
full_write(int fd, const void *p, size_t n)
{
	return write_fails() ? -1 : write(fd, p, n);
}

static ssize_t
full_pwrite(int fd, const void *p, size_t n, off_t at)
{
	return write_fails() ? -1 : pwrite(fd, p, n, at);
}

static _Noreturn void
work_on_full_disk(const char *dir)
{
	struct queue_db *db;
	uint64_t number = model_end;

	sem_init(&room, 0, 1);
	db = fixture_open(dir);
	db_env_set_func_write(full_write);
	db_env_set_func_pwrite(full_pwrite);
	for (int i = 0; i < 10; i++) {
		settle(db, ADD, number + (uint64_t)i, 0);
		settle(db, UPDATE, number, (uint32_t)i + 1);
	}
	write_count = 0; /* there is room again: all goes on by itself */
	settle(db, ADD, number + 10, 0);
	settle(db, REMOVE, number + 10, 0);
	if (!model[number + 10].removed)
		_exit(1);
	queue_db_close(db);
	_exit(write_now > write_first ? 0 : 2); /* 2: nothing was tried */
}

/* Add until nothing is taken, then take what is left of the disk and die. */
static _Noreturn void
fill_and_die(const char *dir)
{
	struct queue_db *db = open_with_ballast(dir);
	static char zeros[1 << 16];
	char path[4300];
	int fd;

	sem_init(&room, 0, 1);
	for (uint64_t n = model_end; db != NULL && n < NUMBERS; n++) {
		settle(db, ADD, n, 0);
		if (n > 50 && model[n - 1].refused && model[n - 50].refused)
			break;
	}
	snprintf(path, sizeof(path), "%s/other", dir);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	while (write(fd, zeros, sizeof(zeros)) > 0 || write(fd, "", 1) > 0)
		continue;
	fsync(fd);
	_exit(db != NULL ? DIED : 1);
}

static _Noreturn void
drain_all(const char *dir)
{
	struct queue_db *db = open_with_ballast(dir);
	char path[4300];

	sem_init(&room, 0, 1);
	if (db == NULL)
		_exit(2);
	for (uint64_t n = 1; n < model_end; n++)
		if (model[n].added)
			settle(db, REMOVE, n, 0);
	for (uint64_t n = 1; n < model_end; n++)
		if (model[n].added && !model[n].removed)
			_exit(3);
	snprintf(path, sizeof(path), "%s/other", dir);
	unlink(path);
	while (!queue_db_has_room(db, 1))
		usleep(100000);
	settle(db, ADD, model_end, 0);
	queue_db_close(db);
	_exit(0);
}

static _Noreturn void
work_with_lost_flush(const char *dir)
{
	struct queue_db_options options = { .fsync = true };
	struct queue_db *db;
	char link[4200], path[64];
	int null = open("/dev/null", O_RDWR);

	sem_init(&room, 0, 1);
	if (queue_db_open(dir, &options, &db, NULL) != 0)
		_exit(1);
	settle(db, ADD, 1, 0);
	settle(db, ADD, 3, 0);
	for (int fd = 3; fd < 256; fd++) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = readlink(path, link, sizeof(link) - 1);
		link[n > 0 ? n : 0] = '\0';
		if (strstr(link, "/log.") != NULL)
			dup2(null, fd); /* takes writes, refuses fdatasync */
	}
	dup2(null, STDERR_FILENO);
	settle(db, ADD, 2, 0);
	_exit(1);
}

/* --- in the parent --- */

static void
model_reset(void)
{
	memset(model, 0, (model_end + 1 < NUMBERS ? model_end + 1 : NUMBERS) *
	    sizeof(model[0]));
	model_end = 1;
}

static void
drain(int fd)
{
	struct note note;
	ssize_t n;

	while ((n = read(fd, &note, sizeof(note))) == (ssize_t)sizeof(note))
		model_take(&note);
	ck_assert_int_eq((int)n, 0);
}

/* Only what was meant, not what was answered. */
static void
drain_meant(int fd)
{
	struct note note;

	while (read(fd, &note, sizeof(note)) == (ssize_t)sizeof(note))
		if (!note.answered)
			model_take(&note);
	close(fd);
}

/* Fork a child that gets the pipe's end; the parent gets the other. */
static pid_t
child_start(int *fd_out)
{
	int fd[2];
	pid_t pid;

	ck_assert_int_eq(pipe2(fd, O_CLOEXEC), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		close(fd[0]);
		notes_fd = fd[1];
	}
	if (pid != 0) {
		close(fd[1]);
		*fd_out = fd[0];
	}
	return pid;
}

/* Its exit status; 128 + signal. */
static int
child_end(pid_t pid, int fd)
{
	int status;

	drain(fd);
	close(fd);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) :
	    128 + WTERMSIG(status);
}

static void
check_one(struct queue_db *db, uint64_t n, uint64_t *living)
{
	uint32_t version = 0;
	const char *differs = fixture_check(db, n, &version);
	bool there = differs == NULL;
	bool lazy = power && n % 2 == 0; /* as change() submits it */

	if (differs != NULL && strcmp(differs, "not_found") != 0)
		ck_abort_msg("message %llu: %s", (unsigned long long)n,
		    differs);
	if (there)
		ck_assert_msg(model[n].add_meant && !model[n].refused &&
		    (!model[n].removed || lazy), "message %llu should not be there",
		    (unsigned long long)n);
	else
		ck_assert_msg(!model[n].added || model[n].remove_meant,
		    "message %llu is lost", (unsigned long long)n);
	if (there)
		ck_assert_msg((version >= model[n].version || lazy) &&
		    version <= model[n].version_meant,
		    "message %llu has version %u, not %u to %u",
		    (unsigned long long)n, version, model[n].version,
		    model[n].version_meant);
	*living += there;
	/* what was open is now known */
	model[n].added = there;
	model[n].removed = model[n].remove_meant = model[n].over = !there;
	if (there)
		model[n].version = model[n].version_meant = version;
}

static void
check_all_open(struct queue_db *db)
{
	struct queue_db_stats stats;
	uint64_t living = 0;

	for (uint64_t n = 1; n < model_end; n++)
		if (model[n].add_meant && !model[n].over)
			check_one(db, n, &living);
	queue_db_stats(db, &stats);
	ck_assert_uint_eq(stats.messages, living);
	ck_assert_uint_eq(stats.defects, 0);
}

static void
check_all(const char *dir)
{
	struct queue_db *db = open_any(dir);

	check_all_open(db);
	queue_db_close(db);
}

static unsigned
setting(const char *name, unsigned fallback)
{
	const char *text = getenv(name);

	return text != NULL ? (unsigned)strtoul(text, NULL, 10) : fallback;
}

/* One child works for a while; what it told until then is taken. Returns it
 * still at work. */
static pid_t
watch_child(const char *dir, unsigned *seed, int *fd_out, uint64_t *answered)
{
	struct pollfd ready = { .events = POLLIN };
	pid_t pid = child_start(&ready.fd);
	int64_t until;
	struct note note;
	bool heard = false;

	if (pid == 0)
		work_until_killed(dir, *seed);
	ck_assert_int_eq(poll(&ready, 1, 30000), 1); /* it is open */
	until = monotonic_ms() + rand_r(seed) % 150;
	/* On a busy machine it has hardly begun by then: hear one word. */
	while (monotonic_ms() < until ||
	    (!heard && monotonic_ms() < until + 5000)) {
		if (poll(&ready, 1, 1) == 1 && read(ready.fd, &note,
		        sizeof(note)) == (ssize_t)sizeof(note)) {
			model_take(&note);
			*answered += note.answered;
			heard = true;
		}
	}
	*fd_out = ready.fd;
	return pid;
}

START_TEST(loses_nothing_answered_to_kill_9)
{
	unsigned rounds = setting("PH_QUEUE_ROUNDS", 20);
	unsigned seed = setting("PH_QUEUE_SEED", (unsigned)getpid());
	unsigned first = seed, round;
	bool is_campaign = getenv("PH_QUEUE_ROUNDS") != NULL;
	int64_t end = monotonic_ms() + 15000; /* of the everyday run */
	uint64_t answered = 0, meant = 0;
	char *dir = fixture_dir();
	pid_t pid;
	int fd;

	for (round = 0; round < rounds && (is_campaign || round < 3 ||
	     monotonic_ms() < end); round++) {
		if (model_end > NUMBERS - 100000) {
			fixture_dir_remove(dir);
			dir = fixture_dir();
			meant += model_end - 1;
			model_reset();
		}
		pid = watch_child(dir, &seed, &fd, &answered);
		kill(pid, SIGKILL);
		ck_assert_int_eq(child_end(pid, fd), 128 + SIGKILL);
		check_all(dir);
	}
	printf("seed %u: %u kills, %llu messages meant, %llu answers "
	    "before the kill\n", first, round,
	    (unsigned long long)(meant + model_end - 1),
	    (unsigned long long)answered);
	fixture_dir_remove(dir);
}
END_TEST

/* Nothing that is not on the disk will ever get there. */
static void
cut_power(const char *dir)
{
	uint32_t without_log_flush = 2;
	int fd = open(dir, O_RDONLY | O_DIRECTORY);

	ck_assert_int_eq(ioctl(fd, _IOR('X', 125, uint32_t),
	    &without_log_flush), 0);
	close(fd);
}

START_TEST(loses_nothing_durable_to_power_failure)
{
	const char *mounted = getenv("PH_QUEUE_POWER_DIR");
	const char *remount = getenv("PH_QUEUE_POWER_REMOUNT");
	unsigned rounds = setting("PH_QUEUE_ROUNDS", 20);
	unsigned seed = setting("PH_QUEUE_SEED", (unsigned)getpid());
	uint64_t answered = 0;
	char dir[4200];
	pid_t pid;
	int fd;

	if (mounted == NULL || remount == NULL)
		return;
	power = true;
	snprintf(dir, sizeof(dir), "%s/queue", mounted);
	for (unsigned round = 0; round < rounds; round++) {
		pid = watch_child(dir, &seed, &fd, &answered);
		cut_power(mounted); /* what is said from now on may be wrong */
		kill(pid, SIGKILL);
		ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
		drain_meant(fd);
		ck_assert_int_eq(system(remount), 0);
		check_all(dir);
	}
	printf("%u power failures, %llu messages meant, %llu answers\n",
	    rounds, (unsigned long long)model_end - 1,
	    (unsigned long long)answered);
}
END_TEST

/* Message 17 (the bounce) and version 7 of message 3 belong together. */
static void
check_bounce(struct queue_db *db)
{
	uint32_t version = 0;
	bool failed = fixture_check(db, 3, &version) == NULL && version == 7;
	bool bounced = fixture_check(db, 17, NULL) == NULL;
	bool removed = model[3].remove_meant;

	ck_assert(bounced == failed || removed);
	ck_assert_int_eq(fixture_add(db, 4321), 0); /* and it still works */
	ck_assert(fixture_check(db, 4321, NULL) == NULL);
	model_take(&(struct note){ ADD, true, 0, 0, 4321 });
}

START_TEST(loses_nothing_answered_at_any_step)
{
	int status = DIED, fd;
	struct queue_db *db;
	pid_t pid;

	for (step_deadly = 1; status != 0; step_deadly++) {
		char *dir = fixture_dir();

		ck_assert_uint_lt(step_deadly, 1000);
		model_reset();
		pid = child_start(&fd);
		if (pid == 0)
			work_by_script(dir);
		status = child_end(pid, fd);
		ck_assert_msg(status == 0 || status == DIED, "%d", status);
		if (step_deadly % 3 == 0) { /* and the recovery dies too */
			pid = child_start(&fd);
			if (pid == 0) {
				step_deadly = step_deadly / 3 % 7 + 1;
				open_and_close(dir);
			}
			child_end(pid, fd);
		}
		db = fixture_open(dir);
		check_bounce(db);
		check_all_open(db);
		queue_db_close(db);
		fixture_dir_remove(dir);
	}
	printf("%u steps\n", step_deadly - 2);
	ck_assert_uint_gt(step_deadly, 60);
}
END_TEST

START_TEST(refuses_and_goes_on_when_the_disk_is_full)
{
	static const unsigned counts[] = { 1, 5, 1000 };
	char *dir = fixture_dir();
	int status, fd;
	pid_t pid;

	for (size_t i = 0; i < 3; i++)
		for (write_first = 1; write_first < 16; write_first += 2) {
			write_count = counts[i];
			pid = child_start(&fd);
			if (pid == 0)
				work_on_full_disk(dir);
			status = child_end(pid, fd);
			ck_assert_msg(status == 0 || status == QUEUE_DB_EXIT,
			    "write %u, %u times: %d", write_first, counts[i],
			    status);
			check_all(dir);
		}
	fixture_dir_remove(dir);
}
END_TEST

START_TEST(ends_when_a_flush_fails)
{
	char *dir = fixture_dir();
	int fd;
	pid_t pid = child_start(&fd);

	if (pid == 0)
		work_with_lost_flush(dir);
	ck_assert_int_eq(child_end(pid, fd), QUEUE_DB_EXIT);
	check_all(dir);
	ck_assert(model[1].added && model[3].added && !model[2].added);
	fixture_dir_remove(dir);
}
END_TEST

START_TEST(drains_a_queue_that_filled_its_disk)
{
	const char *small = getenv("PH_QUEUE_SMALL_DIR");
	char dir[4200];
	int fd;
	pid_t pid;

	if (small == NULL)
		return;
	snprintf(dir, sizeof(dir), "%s/queue", small);
	for (int round = 0; round < 3; round++) {
		pid = child_start(&fd);
		if (pid == 0)
			fill_and_die(dir);
		ck_assert_int_eq(child_end(pid, fd), DIED);
		pid = child_start(&fd);
		if (pid == 0)
			drain_all(dir);
		ck_assert_int_eq(child_end(pid, fd), 0);
		check_all(dir);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("queue-db crash");
	TCase *tc = tcase_create("crash");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, setting("PH_QUEUE_ROUNDS", 20) * 10 + 400);
	tcase_add_test(tc, loses_nothing_answered_to_kill_9);
	tcase_add_test(tc, loses_nothing_durable_to_power_failure);
	tcase_add_test(tc, loses_nothing_answered_at_any_step);
	tcase_add_test(tc, refuses_and_goes_on_when_the_disk_is_full);
	tcase_add_test(tc, ends_when_a_flush_fails);
	tcase_add_test(tc, drains_a_queue_that_filled_its_disk);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
