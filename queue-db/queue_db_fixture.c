/* SPDX-License-Identifier: Apache-2.0 */
/* queue_db_fixture.c - see queue_db_fixture.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "queue_db_fixture.h"

unsigned fixture_reports;

char *
fixture_dir(void)
{
	const char *tmp = getenv("TMPDIR");
	char *dir = NULL;

	if (asprintf(&dir, "%s/queue-db.XXXXXX", tmp != NULL ? tmp : "/tmp") <
	        0 || mkdtemp(dir) == NULL)
		abort();
	return dir;
}

static int
remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void
fixture_dir_remove(char *dir)
{
	nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	free(dir);
}

void
fixture_on_report(void *arg, const struct ph_err *err)
{
	(void)arg;
	if (getenv("PH_QUEUE_VERBOSE") != NULL)
		fprintf(stderr, "report: %s\n", err->text);
	__atomic_add_fetch(&fixture_reports, 1, __ATOMIC_RELAXED);
}

struct queue_db *
fixture_open(const char *dir)
{
	struct queue_db_options options = { .cache_bytes = 4 << 20,
		.report = fixture_on_report };
	struct ph_err err = { 0 };
	struct queue_db *db;

	if (queue_db_open(dir, &options, &db, &err) != 0) {
		fprintf(stderr, "open: %s\n", err.text);
		abort();
	}
	return db;
}

struct answer {
	sem_t came;
	int status;
};

static void
on_answer(void *arg, int status)
{
	struct answer *answer = arg;

	answer->status = status;
	sem_post(&answer->came);
}

int
fixture_run(struct queue_db *db, struct queue_db_op *op,
    enum queue_db_when when)
{
	struct answer answer = { .status = 1 };
	int rc;

	sem_init(&answer.came, 0, 0);
	rc = queue_db_submit(db, op, when, on_answer, &answer);
	if (rc != 0)
		return rc;
	while (sem_wait(&answer.came) != 0 && errno == EINTR)
		continue;
	sem_destroy(&answer.came);
	return answer.status;
}

void
fixture_settle(struct queue_db *db)
{
	struct queue_db_stats stats;

	for (;;) {
		queue_db_stats(db, &stats);
		if (stats.waiting == 0)
			return;
		sched_yield();
	}
}

size_t
fixture_count_files(const char *dir)
{
	char path[4200];
	size_t n = 0;

	for (unsigned i = 0; i < 256; i++) {
		struct dirent *entry;
		DIR *d;

		snprintf(path, sizeof(path), "%s/bodies/%02x", dir, i);
		d = opendir(path);
		while (d != NULL && (entry = readdir(d)) != NULL)
			n += entry->d_name[0] != '.';
		if (d != NULL)
			closedir(d);
	}
	return n;
}

uint64_t
fixture_id(uint64_t number)
{
	return number << 31 | 5; /* spreads over the directories of bodies */
}

uint64_t
fixture_number(uint64_t id)
{
	return id >> 31;
}

static struct ph_slice
octets_of(struct ph_arena *arena, uint64_t seed, size_t n)
{
	char *p = ph_arena_alloc(arena, n + 1);

	for (size_t i = 0; i < n; i++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		p[i] = (char)(unsigned char)(seed >> 56);
	}
	return (struct ph_slice){ p, n };
}

static size_t
file_size(uint64_t number)
{
	return number % 7 == 3 ? 70000 + (size_t)(number * 7919 % 50000) : 0;
}

static struct queue_db_message
message_of(struct ph_arena *arena, uint64_t number)
{
	struct queue_db_message message = { .id = fixture_id(number) };
	size_t n = 1 + (size_t)(number % 3);
	struct queue_db_recipient *to = ph_arena_array(arena, n, sizeof(*to));

	message.envelope = ph_slice_str(ph_arena_printf(arena,
	    "from user%llu@example.test", (unsigned long long)number));
	message.trace = octets_of(arena, number + 1, (size_t)(number % 300));
	message.order = number % 11 == 4 ? QUEUE_DB_HELD :
	    number % 11 == 5 ? QUEUE_DB_RETURNED : QUEUE_DB_READY;
	message.priority = (int8_t)((int)(number % 19) - 9);
	message.body.octets = octets_of(arena, number + 2,
	    (size_t)(number * 104729 % 9000));
	message.body.fd = -1;
	message.body.file_bytes = file_size(number);
	for (size_t i = 0; i < n; i++) {
		to[i] = (struct queue_db_recipient){ .number = (uint32_t)i + 1,
			.state = QUEUE_DB_WAITING, .next_ms = (int64_t)number };
		to[i].address = ph_slice_str(ph_arena_printf(arena,
		    "to%zu.%llu@example.net", i, (unsigned long long)number));
		to[i].destination = PH_LIT("example.net");
		to[i].record = octets_of(arena, number + 3 + i, 40);
	}
	message.recipients = to;
	message.recipient_count = n;
	message.size_bytes = message.body.octets.n + message.body.file_bytes;
	return message;
}

/* On a full disk the file stays short, and so is refused. */
static void
write_all(int fd, struct ph_slice s)
{
	while (s.n > 0) {
		ssize_t n = write(fd, s.p, s.n);

		if (n < 0 && errno == ENOSPC)
			return;
		if (n <= 0)
			abort();
		s.p += n;
		s.n -= (size_t)n;
	}
}

struct queue_db_message
fixture_message(struct queue_db *db, struct ph_arena *arena, uint64_t number)
{
	struct queue_db_message message = message_of(arena, number);
	int rc;

	if (message.body.file_bytes == 0)
		return message;
	rc = queue_db_spool(db, &message.body.fd);
	if (rc != 0) {
		fprintf(stderr, "spool: %s\n", strerror(errno));
		abort();
	}
	ph_arena_own_fd(arena, message.body.fd);
	write_all(message.body.fd, octets_of(arena, number + 9,
	    message.body.file_bytes));
	return message;
}

int
fixture_add(struct queue_db *db, uint64_t number)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct queue_db_message message = fixture_message(db, arena, number);
	struct queue_db_op *op = queue_db_op_create();
	int rc;

	queue_db_op_message(op, &message);
	rc = fixture_run(db, op, QUEUE_DB_DURABLE);
	ph_arena_free(arena);
	return rc;
}

static const char *
file_differs(struct ph_arena *arena, const struct queue_db_message *message,
    uint64_t number)
{
	struct ph_slice want = octets_of(arena, number + 9, file_size(number));
	char *have = ph_arena_alloc(arena, want.n + 1);

	if ((message->body.fd >= 0) != (want.n > 0))
		return "file there or not";
	if (want.n == 0)
		return NULL;
	if (pread(message->body.fd, have, want.n + 1, 0) != (ssize_t)want.n ||
	    memcmp(have, want.p, want.n) != 0)
		return "file content";
	return NULL;
}

static const char *
recipients_differ(const struct queue_db_message *have,
    const struct queue_db_message *want)
{
	if (have->recipient_count != want->recipient_count)
		return "recipient count";
	for (size_t i = 0; i < want->recipient_count; i++) {
		const struct queue_db_recipient *h = &have->recipients[i];
		const struct queue_db_recipient *w = &want->recipients[i];

		if (h->number != w->number ||
		    !ph_slice_eq(h->address, w->address) ||
		    !ph_slice_eq(h->destination, w->destination))
			return "recipient";
		if (h->attempts == 0 && (h->next_ms != w->next_ms ||
		    h->state != w->state || !ph_slice_eq(h->record, w->record)))
			return "recipient's state";
	}
	return NULL;
}

static const char *
message_differs(struct ph_arena *arena, const struct queue_db_message *have,
    uint64_t number)
{
	struct queue_db_message want = message_of(arena, number);
	const char *differs;

	if (have->id != want.id || have->order != want.order ||
	    have->priority != want.priority)
		return "id, order or priority";
	if (!ph_slice_eq(have->envelope, want.envelope))
		return "envelope";
	if (!ph_slice_eq(have->trace, want.trace))
		return "trace";
	if (!ph_slice_eq(have->body.octets, want.body.octets))
		return "octets";
	if (have->size_bytes != want.size_bytes)
		return "size";
	differs = recipients_differ(have, &want);
	return differs != NULL ? differs : file_differs(arena, have, number);
}

const char *
fixture_check(struct queue_db *db, uint64_t number, uint32_t *version_out)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct queue_db_message have;
	const char *differs;
	int rc = queue_db_get(db, fixture_id(number), true, arena, &have);

	if (rc != 0) {
		differs = ph_status_name(rc);
	} else {
		differs = message_differs(arena, &have, number);
		if (version_out != NULL && differs == NULL)
			*version_out = have.recipients[0].attempts;
	}
	ph_arena_free(arena);
	return differs;
}
