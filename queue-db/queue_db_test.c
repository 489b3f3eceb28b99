/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue_db_test.c - what the queue keeps, refuses and sets aside. How it dies
 * is in queue_db_crash_test.c.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "inner.h"
#include "queue_db_fixture.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static char *dir;
static struct queue_db *db;
static struct ph_arena *arena;

static void
setup(void)
{
	dir = fixture_dir();
	db = fixture_open(dir);
	arena = ph_arena_create(NULL);
	fixture_reports = 0;
}

static void
teardown(void)
{
	queue_db_test_step = NULL;
	ph_arena_free(arena);
	queue_db_close(db);
	fixture_dir_remove(dir);
}

static void
reopen(void)
{
	queue_db_close(db);
	db = fixture_open(dir);
}

static void
check_message(uint64_t number)
{
	const char *differs = fixture_check(db, number, NULL);

	ck_assert_msg(differs == NULL, "message %llu: %s",
	    (unsigned long long)number, differs);
}

static int
run(struct queue_db_op *op)
{
	return fixture_run(db, op, QUEUE_DB_DURABLE);
}

static int
remove_message(uint64_t number)
{
	struct queue_db_op *op = queue_db_op_create();

	queue_db_op_remove(op, fixture_id(number));
	return fixture_run(db, op, QUEUE_DB_LAZY);
}

static struct queue_db_stats
stats(void)
{
	struct queue_db_stats s;

	queue_db_stats(db, &s);
	return s;
}

START_TEST(keeps_messages_of_all_sizes)
{
	for (uint64_t i = 1; i <= 40; i++)
		ck_assert_int_eq(fixture_add(db, i), 0);
	for (int round = 0; round < 2; round++) {
		for (uint64_t i = 1; i <= 40; i++)
			check_message(i);
		ck_assert_uint_eq(stats().messages, 40);
		ck_assert_uint_eq(fixture_count_files(dir), 6);
		ck_assert_uint_eq(queue_db_last_id(db), fixture_id(40));
		reopen();
	}
	ck_assert_uint_eq(stats().orphans, 0);
}
END_TEST

START_TEST(forgets_removed_messages_and_their_files)
{
	for (uint64_t i = 1; i <= 20; i++)
		ck_assert_int_eq(fixture_add(db, i), 0);
	for (uint64_t i = 1; i <= 20; i++)
		ck_assert_int_eq(remove_message(i), 0);
	ck_assert_int_eq(remove_message(5), PH_NOT_FOUND);
	ck_assert_uint_eq(stats().messages, 0);
	ck_assert_uint_eq(stats().content_bytes, 0);
	ck_assert_str_eq(fixture_check(db, 3, NULL), "not_found");
	ck_assert_uint_eq(queue_db_last_id(db), 0);
	reopen();
	ck_assert_uint_eq(fixture_count_files(dir), 0);
	ck_assert_uint_eq(stats().orphans, 0);
	ck_assert_uint_eq(stats().messages, 0);
}
END_TEST

START_TEST(takes_no_id_twice)
{
	ck_assert_int_eq(fixture_add(db, 3), 0);
	ck_assert_int_eq(fixture_add(db, 3), PH_EXISTS);
	check_message(3);
	ck_assert_int_eq(fixture_add(db, 4), 0);
	ck_assert_int_eq(fixture_add(db, 4), PH_EXISTS);
	check_message(4);
	ck_assert_uint_eq(stats().messages, 2);
	ck_assert_uint_eq(stats().ops_failed, 2);
}
END_TEST

static struct ph_slice
zeros(size_t n)
{
	return (struct ph_slice){ ph_arena_alloc(arena, n + 1), n };
}

START_TEST(refuses_what_is_out_of_limits)
{
	struct queue_db_recipient to[] = {
		{ .number = 2, .state = QUEUE_DB_WAITING },
		{ .number = 2, .state = QUEUE_DB_WAITING },
		{ .number = 1, .state = (enum queue_db_state)0 },
		{ .number = 1, .state = QUEUE_DB_WAITING,
		    .address = zeros(QUEUE_DB_ADDRESS_MAX + 1) },
		{ .number = 1, .state = QUEUE_DB_WAITING,
		    .record = zeros(QUEUE_DB_RECORD_MAX + 1) },
	};
	const struct {
		struct queue_db_message m;
		int status;
	} row[] = {
		{ { .id = 0, .body.fd = -1 }, PH_INVALID },
		{ { .id = 1, .body.fd = -1,
		      .envelope = zeros(QUEUE_DB_RECORD_MAX + 1) },
		    PH_TOO_BIG },
		{ { .id = 1, .body.fd = -1,
		      .trace = zeros(QUEUE_DB_RECORD_MAX + 1) }, PH_TOO_BIG },
		{ { .id = 1, .body.fd = -1,
		      .body.octets = zeros(QUEUE_DB_INLINE_MAX + 1) },
		    PH_TOO_BIG },
		{ { .id = 1, .body.fd = -1, .recipients = to,
		      .recipient_count = QUEUE_DB_RECIPIENTS_MAX + 1 },
		    PH_TOO_BIG },
		{ { .id = 1, .body.fd = -1, .recipients = to,
		      .recipient_count = 2 }, PH_INVALID },
		{ { .id = 1, .body.fd = -1, .recipients = to + 2,
		      .recipient_count = 1 }, PH_INVALID },
		{ { .id = 1, .body.fd = -1, .recipients = to + 3,
		      .recipient_count = 1 }, PH_TOO_BIG },
		{ { .id = 1, .body.fd = -1, .recipients = to + 4,
		      .recipient_count = 1 }, PH_TOO_BIG },
		{ { .id = 1, .body.fd = 1023 }, PH_IO },
		{ { .id = 1, .body.fd = -1, .priority = 10 }, PH_INVALID },
	};

	for (size_t i = 0; i < COUNT(row); i++) {
		struct queue_db_op *op = queue_db_op_create();

		queue_db_op_message(op, &row[i].m);
		queue_db_op_order(op, 77, QUEUE_DB_HELD);
		ck_assert_msg(run(op) == row[i].status, "row %zu", i);
	}
	ck_assert_uint_eq(stats().ops, 0);
}
END_TEST

START_TEST(bounds_the_size_of_an_op)
{
	struct queue_db_op *op = queue_db_op_create();

	for (int i = 0; i < 60; i++)
		queue_db_op_kv_put(op, 1, zeros((size_t)i + 1),
		    zeros(QUEUE_DB_VALUE_MAX), 0);
	ck_assert_int_eq(run(op), PH_TOO_BIG);
	op = queue_db_op_create();
	queue_db_op_kv_put(op, 1, zeros(QUEUE_DB_KEY_MAX + 1), PH_LIT("x"), 0);
	ck_assert_int_eq(run(op), PH_TOO_BIG);
	queue_db_op_free(queue_db_op_create());
	queue_db_op_free(NULL);
}
END_TEST

START_TEST(keeps_the_largest_recipient_list)
{
	struct queue_db_message m = { .id = 9, .body.fd = -1 }, back;
	struct queue_db_recipient *to = ph_arena_array(arena,
	    QUEUE_DB_RECIPIENTS_MAX, sizeof(*to));
	struct queue_db_op *op = queue_db_op_create();

	for (uint32_t i = 0; i < QUEUE_DB_RECIPIENTS_MAX; i++)
		to[i] = (struct queue_db_recipient){ .number = i * 3,
			.state = QUEUE_DB_WAITING,
			.address = PH_LIT("somebody@example.test") };
	m.recipients = to;
	m.recipient_count = QUEUE_DB_RECIPIENTS_MAX;
	queue_db_op_message(op, &m);
	ck_assert_int_eq(run(op), 0);
	ck_assert_int_eq(queue_db_get(db, 9, true, arena, &back), 0);
	ck_assert_uint_eq(back.recipient_count, QUEUE_DB_RECIPIENTS_MAX);
	for (uint32_t i = 0; i < QUEUE_DB_RECIPIENTS_MAX; i++)
		ck_assert_uint_eq(back.recipients[i].number, i * 3);
	ck_assert(back.body.octets.p != NULL && back.body.octets.n == 0);
}
END_TEST

START_TEST(refuses_files_that_are_not_its_spool)
{
	struct queue_db_message m = { .id = 1, .body.file_bytes = 5 };
	char path[4200];

	for (int i = 0; i < 3; i++) {
		struct queue_db_op *op = queue_db_op_create();
		int fd = -1;

		snprintf(path, sizeof(path), "%s/named", dir);
		if (i == 0) /* another size */
			ck_assert_int_eq(queue_db_spool(db, &fd), 0);
		else if (i == 1) /* a file with a name */
			fd = open(path, O_RDWR | O_CREAT, 0600);
		else
			fd = open("/dev/null", O_RDWR);
		ck_assert_int_eq((int)write(fd, "12345678", i == 0 ? 4 : 5),
		    i == 0 ? 4 : 5);
		m.body.fd = fd;
		queue_db_op_message(op, &m);
		ck_assert_msg(run(op) == PH_INVALID || i == 2, "%d", i);
		close(fd);
		ck_assert_int_eq(queue_db_get(db, 1, true, arena, &m),
		    PH_NOT_FOUND);
	}
	ck_assert_uint_eq(fixture_count_files(dir), 0);
}
END_TEST

START_TEST(changes_recipients_and_order)
{
	struct queue_db_recipient extra = { .number = 50,
		.state = QUEUE_DB_WAITING, .address = PH_LIT("alias@x.test") };
	struct queue_db_update update = { .number = 2,
		.state = QUEUE_DB_DELIVERED, .attempts = 3, .next_ms = -5,
		.record = PH_LIT("250 ok") };
	struct queue_db_op *op = queue_db_op_create();
	struct queue_db_message m;

	ck_assert_int_eq(fixture_add(db, 5), 0); /* 3 recipients */
	queue_db_op_update(op, fixture_id(5), &update);
	update.number = 3;
	update.record = (struct ph_slice){ NULL, 0 };
	queue_db_op_update(op, fixture_id(5), &update);
	queue_db_op_recipient(op, fixture_id(5), &extra);
	queue_db_op_order(op, fixture_id(5), QUEUE_DB_HELD);
	ck_assert_int_eq(fixture_run(db, op, QUEUE_DB_LAZY), 0);
	reopen();
	ck_assert_int_eq(queue_db_get(db, fixture_id(5), false, arena, &m), 0);
	ck_assert(m.order == QUEUE_DB_HELD);
	ck_assert(m.body.octets.p == NULL && m.body.fd == -1);
	ck_assert_uint_eq(m.recipient_count, 4);
	ck_assert(m.recipients[0].state == QUEUE_DB_WAITING);
	ck_assert(m.recipients[1].state == QUEUE_DB_DELIVERED);
	ck_assert_uint_eq(m.recipients[1].attempts, 3);
	ck_assert(m.recipients[1].next_ms == -5);
	ck_assert(ph_slice_eq(m.recipients[1].record, PH_LIT("250 ok")));
	ck_assert_uint_eq(m.recipients[2].record.n, 40);
	ck_assert(ph_slice_eq(m.recipients[3].address, extra.address));
	op = queue_db_op_create();
	queue_db_op_order(op, fixture_id(5), QUEUE_DB_RETURNED);
	ck_assert_int_eq(run(op), 0);
	ck_assert_int_eq(queue_db_get(db, fixture_id(5), false, arena, &m), 0);
	ck_assert(m.order == QUEUE_DB_RETURNED);
	ck_assert(ph_slice_eq(m.envelope,
	    PH_LIT("from user5@example.test")));
}
END_TEST

static void
set_priority(uint64_t id, int priority, int status)
{
	struct queue_db_op *op = queue_db_op_create();

	queue_db_op_priority(op, id, priority);
	ck_assert_int_eq(run(op), status);
}

static int
priority_of(uint64_t id)
{
	struct queue_db_message m;

	ck_assert_int_eq(queue_db_get(db, id, false, arena, &m), 0);
	return m.priority;
}

START_TEST(keeps_a_priority)
{
	const struct queue_db_message *list;
	const uint64_t id = fixture_id(5);
	size_t n;

	ck_assert_int_eq(fixture_add(db, 5), 0);
	for (int i = -9; i <= 9; i += 6) {
		set_priority(id, i, 0);
		ck_assert_int_eq(priority_of(id), i);
	}
	set_priority(id, 10, PH_INVALID);
	set_priority(id, -10, PH_INVALID);
	set_priority(fixture_id(6), 1, PH_NOT_FOUND);
	reopen();
	ck_assert_int_eq(queue_db_list(db, 0, 9, arena, &list, &n), 0);
	ck_assert_uint_eq(n, 1);
	ck_assert_int_eq(list[0].priority, 9);
	set_priority(id, (int)(5 % 19) - 9, 0);
	check_message(5); /* nothing else of it has changed */
}
END_TEST

/* A message's row as it was before there were priorities, or as a later
 * version may write it. */
static void
put_row(uint64_t id, const struct ph_slice *priority)
{
	char key[KEY_ID], name = T_MESSAGES;
	struct ph_buf buf;
	uint32_t crc;

	key_of_id(id, key);
	ph_buf_init(&buf, arena, 1000);
	ph_buf_add(&buf, "\1....", 5);
	record_put_str(&buf, 1, "from user5@example.test");
	record_put_str(&buf, 2, "a trace");
	record_put_u64(&buf, 3, QUEUE_DB_READY);
	record_put_u64(&buf, 4, 0);
	if (priority != NULL)
		record_put(&buf, 6, *priority);
	record_put_str(&buf, 999, "unknown");
	crc = record_crc(0, &name, 1);
	crc = record_crc(crc, key, sizeof(key));
	crc = record_crc(crc, buf.p, 1);
	crc = record_crc(crc, buf.p + 5, buf.n - 5);
	for (size_t i = 0; i < 4; i++)
		buf.p[1 + i] = (char)(unsigned char)(crc >> 8 * i);
	ck_assert_int_eq(table_put(db, NULL, T_MESSAGES,
	    (struct ph_slice){ key, sizeof(key) }, ph_buf_content(&buf), true),
	    0);
}

START_TEST(a_row_from_before_priorities_is_normal)
{
	static const struct ph_slice later = { "\x7f\0\0\0\0\0\0\0", 8 };

	put_row(1000, NULL);
	put_row(1001, &later);
	reopen();
	ck_assert_int_eq(priority_of(1000), 0);
	ck_assert_int_eq(priority_of(1001), QUEUE_DB_PRIORITY_MAX);
	set_priority(1000, -3, 0);
	reopen();
	ck_assert_int_eq(priority_of(1000), -3);
	ck_assert_uint_eq(stats().defects, 0);
}
END_TEST

static struct ph_slice
append(struct ph_arena *to, struct ph_slice trace, struct ph_slice more)
{
	struct ph_buf buf;

	if (more.n == 0)
		return trace;
	ph_buf_init(&buf, to, 1 << 20);
	ph_buf_slice(&buf, trace);
	ph_buf_slice(&buf, more);
	return ph_buf_content(&buf);
}

START_TEST(a_trace_grows_by_what_it_is_merged_with)
{
	static const char *const more[] = { " one", "", " two" };
	struct queue_db_message m;
	struct queue_db_op *op;

	put_row(1000, NULL);
	for (size_t i = 0; i < COUNT(more); i++) {
		op = queue_db_op_create();
		queue_db_op_trace(op, 1000, ph_slice_str(more[i]), append);
		ck_assert_int_eq(run(op), 0);
	}
	op = queue_db_op_create(); /* too large: as it was */
	queue_db_op_trace(op, 1000, zeros(QUEUE_DB_RECORD_MAX), append);
	queue_db_op_priority(op, 1000, 4);
	ck_assert_int_eq(run(op), 0);
	op = queue_db_op_create();
	queue_db_op_trace(op, 1001, PH_LIT("x"), append);
	ck_assert_int_eq(run(op), PH_NOT_FOUND);
	reopen();
	ck_assert_int_eq(queue_db_get(db, 1000, false, arena, &m), 0);
	ck_assert(ph_slice_eq(m.trace, PH_LIT("a trace one two")));
	ck_assert_int_eq(m.priority, 4);
}
END_TEST

START_TEST(does_an_op_whole_or_not_at_all)
{
	struct queue_db_update update = { .number = 1,
		.state = QUEUE_DB_FAILED, .attempts = 9 };
	struct queue_db_recipient again = { .number = 1,
		.state = QUEUE_DB_WAITING };

	ck_assert_int_eq(fixture_add(db, 5), 0);
	for (int i = 0; i < 6; i++) {
		static const int status[] = { PH_NOT_FOUND, PH_NOT_FOUND,
			PH_NOT_FOUND, PH_NOT_FOUND, PH_EXISTS, PH_INVALID };
		struct queue_db_message bounce = fixture_message(db, arena, 10);
		struct queue_db_op *op = queue_db_op_create();

		queue_db_op_message(op, &bounce);
		queue_db_op_update(op, fixture_id(5), &update);
		queue_db_op_kv_put(op, 1, PH_LIT("key"), PH_LIT("value"), 0);
		if (i == 0)
			queue_db_op_remove(op, 99);
		else if (i == 1)
			queue_db_op_order(op, 99, QUEUE_DB_HELD);
		else if (i == 2)
			queue_db_op_recipient(op, 99, &again);
		else if (i == 3)
			queue_db_op_update(op, 99, &update);
		else if (i == 4)
			queue_db_op_recipient(op, fixture_id(5), &again);
		else /* one file can't be two bodies */
			queue_db_op_message(op, &bounce);
		ck_assert_msg(run(op) == status[i], "%d", i);
		check_message(5); /* not updated */
		ck_assert_str_eq(fixture_check(db, 10, NULL), "not_found");
		ck_assert_int_eq(queue_db_kv_get(db, 1, PH_LIT("key"), 0,
		    arena, &bounce.trace, NULL), PH_NOT_FOUND);
	}
	ck_assert_uint_eq(fixture_count_files(dir), 0);
	ck_assert_uint_eq(stats().messages, 1);
}
END_TEST

/* --- batches: the commit thread is held back while ops gather --- */

static sem_t gate;
static bool gate_shut;

static void
wait_at_gate(const char *name)
{
	if (strcmp(name, "taken") == 0 &&
	    __atomic_exchange_n(&gate_shut, false, __ATOMIC_ACQ_REL))
		while (sem_wait(&gate) != 0 && errno == EINTR)
			continue;
}

static void
on_done(void *arg, int status)
{
	*(int *)arg = status;
}

/* Submit one op for the gate, then n for one batch; let them go and close. */
static void
submit_together(struct queue_db_op **op, size_t n, enum queue_db_when when,
    int *status)
{
	struct queue_db_op *first = queue_db_op_create();
	int ignored;

	sem_init(&gate, 0, 0);
	__atomic_store_n(&gate_shut, true, __ATOMIC_RELEASE);
	queue_db_test_step = wait_at_gate;
	queue_db_submit(db, first, QUEUE_DB_LAZY, on_done, &ignored);
	while (__atomic_load_n(&gate_shut, __ATOMIC_ACQUIRE))
		sched_yield();
	for (size_t i = 0; i < n; i++)
		queue_db_submit(db, op[i], when, on_done, &status[i]);
	sem_post(&gate);
	fixture_settle(db);
	queue_db_test_step = NULL;
}

START_TEST(commits_what_waits_in_one_batch)
{
	struct queue_db_op *op[64];
	int status[64];
	uint64_t before;

	for (uint64_t i = 0; i < 64; i++) {
		struct queue_db_message m = fixture_message(db, arena,
		    i * 7 + 1);

		op[i] = queue_db_op_create();
		queue_db_op_message(op[i], &m);
		status[i] = 1;
	}
	before = stats().batches;
	submit_together(op, 64, QUEUE_DB_DURABLE, status);
	ck_assert_uint_eq(stats().batches, before + 2);
	for (uint64_t i = 0; i < 64; i++) {
		ck_assert_int_eq(status[i], 0);
		check_message(i * 7 + 1);
	}
	ck_assert_uint_eq(stats().commits, 64);
}
END_TEST

START_TEST(fails_only_the_op_that_must_fail)
{
	struct queue_db_op *op[20];
	int status[20];

	ck_assert_int_eq(fixture_add(db, 8), 0);
	for (uint64_t i = 0; i < 20; i++) {
		struct queue_db_message m = fixture_message(db, arena,
		    i == 11 ? 8 : 1000 + i * 7);

		op[i] = queue_db_op_create();
		queue_db_op_message(op[i], &m);
		status[i] = 1;
	}
	submit_together(op, 20, QUEUE_DB_DURABLE, status);
	for (uint64_t i = 0; i < 20; i++) {
		ck_assert_int_eq(status[i], i == 11 ? PH_EXISTS : 0);
		check_message(i == 11 ? 8 : 1000 + i * 7);
	}
	ck_assert_uint_eq(stats().messages, 20);
}
END_TEST

START_TEST(flushes_once_a_batch_and_never_for_removals)
{
	struct queue_db_options options = { .cache_bytes = 4 << 20,
		.fsync = true, .report = fixture_on_report };
	struct queue_db_op *op[32];
	int status[32];
	uint64_t before;

	queue_db_close(db);
	ck_assert_int_eq(queue_db_open(dir, &options, &db, NULL), 0);
	for (uint64_t i = 0; i < 32; i++) {
		struct queue_db_message m = fixture_message(db, arena,
		    i * 7 + 1);

		op[i] = queue_db_op_create();
		queue_db_op_message(op[i], &m);
	}
	before = stats().flushes;
	submit_together(op, 32, QUEUE_DB_DURABLE, status);
	ck_assert_uint_eq(stats().flushes, before + 1);
	for (uint64_t i = 0; i < 32; i++) {
		op[i] = queue_db_op_create();
		queue_db_op_remove(op[i], fixture_id(i * 7 + 1));
	}
	submit_together(op, 32, QUEUE_DB_LAZY, status);
	/* one more when the upkeep thread's second came meanwhile */
	ck_assert_uint_le(stats().flushes, before + 2);
	ck_assert_uint_eq(stats().messages, 0);
}
END_TEST

/* --- reads --- */

START_TEST(lists_in_order_page_by_page)
{
	const struct queue_db_message *list;
	uint64_t after = 0, number = 0;
	size_t n;

	for (uint64_t i = 25; i > 0; i--)
		ck_assert_int_eq(fixture_add(db, i * 7), 0);
	do {
		ck_assert_int_eq(queue_db_list(db, after, 10, arena, &list,
		    &n), 0);
		for (size_t i = 0; i < n; i++) {
			number += 7;
			ck_assert_uint_eq(list[i].id, fixture_id(number));
			ck_assert_uint_eq(list[i].recipient_count,
			    1 + number % 3);
			ck_assert(list[i].body.octets.p == NULL);
			after = list[i].id;
		}
	} while (n > 0);
	ck_assert_uint_eq(number, 25 * 7);
	ck_assert_int_eq(queue_db_list(db, UINT64_MAX, 10, arena, &list, &n),
	    0);
	ck_assert_uint_eq(n, 0);
}
END_TEST

START_TEST(lists_from_the_newest_down)
{
	const struct queue_db_message *list;
	uint64_t before = fixture_id(1000), number = 26;
	size_t n;

	for (uint64_t i = 1; i <= 25; i++)
		ck_assert_int_eq(fixture_add(db, i), 0);
	do {
		ck_assert_int_eq(queue_db_list_down(db, before, 7, arena,
		    &list, &n), 0);
		for (size_t i = 0; i < n; i++) {
			number--;
			ck_assert_uint_eq(list[i].id, fixture_id(number));
			ck_assert_uint_eq(list[i].recipient_count,
			    1 + number % 3);
			before = list[i].id;
		}
	} while (n > 0);
	ck_assert_uint_eq(number, 1);
	ck_assert_int_eq(queue_db_list_down(db, 0, 7, arena, &list, &n), 0);
	ck_assert_uint_eq(n, 0);
	ck_assert_int_eq(queue_db_list_down(db, fixture_id(9), 1, arena, &list,
	    &n), 0);
	ck_assert_uint_eq(list[0].id, fixture_id(8));
}
END_TEST

static void
put_pair(uint8_t space, const char *key, const char *value, int64_t expires)
{
	struct queue_db_op *op = queue_db_op_create();

	queue_db_op_kv_put(op, space, ph_slice_str(key), ph_slice_str(value),
	    expires);
	ck_assert_int_eq(run(op), 0);
}

START_TEST(keeps_pairs_until_they_expire)
{
	const struct queue_db_pair *list;
	struct queue_db_op *op;
	struct ph_slice value;
	int64_t expires;
	size_t n;

	put_pair(1, "a", "one", 1000);
	put_pair(1, "b", "two", 0);
	put_pair(1, "c", "three", 2000);
	put_pair(2, "a", "other", 0);
	put_pair(1, "b", "2", 0);
	ck_assert_int_eq(queue_db_kv_get(db, 1, PH_LIT("a"), 999, arena,
	    &value, &expires), 0);
	ck_assert(ph_slice_eq(value, PH_LIT("one")) && expires == 1000);
	ck_assert_int_eq(queue_db_kv_get(db, 1, PH_LIT("a"), 1000, arena,
	    &value, &expires), PH_NOT_FOUND);
	ck_assert_int_eq(queue_db_kv_list(db, 1, (struct ph_slice){ NULL, 0 },
	    10, 1500, arena, &list, &n), 0);
	ck_assert_uint_eq(n, 2);
	ck_assert(ph_slice_eq(list[0].key, PH_LIT("b")));
	ck_assert(ph_slice_eq(list[0].value, PH_LIT("2")));
	ck_assert(ph_slice_eq(list[1].key, PH_LIT("c")));
	ck_assert_int_eq(queue_db_kv_list(db, 1, PH_LIT("b"), 1, 0, arena,
	    &list, &n), 0);
	ck_assert(n == 1 && ph_slice_eq(list[0].key, PH_LIT("c")));
	op = queue_db_op_create();
	queue_db_op_kv_delete(op, 1, PH_LIT("b"));
	queue_db_op_kv_delete(op, 1, PH_LIT("never was"));
	ck_assert_int_eq(run(op), 0);
	reopen();
	ck_assert_int_eq(queue_db_kv_get(db, 1, PH_LIT("b"), 0, arena, &value,
	    NULL), PH_NOT_FOUND);
	ck_assert_int_eq(queue_db_kv_get(db, 2, PH_LIT("a"), 0, arena, &value,
	    NULL), 0);
}
END_TEST

START_TEST(sweeps_expired_pairs_round_the_table)
{
	struct ph_slice value;
	char key[16];
	size_t swept = 0;

	for (int i = 0; i < 50; i++) {
		snprintf(key, sizeof(key), "%03d", i);
		put_pair(1, key, "x", i % 2 == 0 ? 1000 : 0);
	}
	for (int i = 0; i < 7; i++)
		swept += queue_db_kv_sweep(db, 8, 5000);
	ck_assert_uint_eq(swept, 25);
	fixture_settle(db);
	ck_assert_uint_eq(queue_db_kv_sweep(db, 1000, 5000), 0);
	ck_assert_int_eq(queue_db_kv_get(db, 1, PH_LIT("000"), 0, arena,
	    &value, NULL), PH_NOT_FOUND);
	ck_assert_int_eq(queue_db_kv_get(db, 1, PH_LIT("001"), 5000, arena,
	    &value, NULL), 0);
}
END_TEST

/* --- room --- */

START_TEST(keeps_ballast_and_watches_room)
{
	struct queue_db_options options = { .cache_bytes = 4 << 20,
		.ballast_bytes = 1 << 20, .report = fixture_on_report };
	struct ph_err err;
	struct stat st;
	char path[4200];

	ck_assert(queue_db_has_room(db, 1000));
	ck_assert(!queue_db_has_room(db, UINT64_MAX / 2));
	queue_db_close(db);
	ck_assert_int_eq(queue_db_open(dir, &options, &db, &err), 0);
	snprintf(path, sizeof(path), "%s/ballast", dir);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_ge(st.st_blocks * 512, 1 << 19); /* half of it */
	ck_assert(stats().ballast && queue_db_has_room(db, 1));
	ballast_give_up(db);
	ck_assert_int_ne(stat(path, &st), 0);
	ck_assert(!queue_db_has_room(db, 1));
	ck_assert_int_eq(fixture_add(db, 3), PH_FULL);
	ck_assert_uint_eq(fixture_count_files(dir), 0);
	put_pair(1, "still", "works", 0);
	ballast_put(db);
	ck_assert(queue_db_has_room(db, 1));
	ck_assert_int_eq(fixture_add(db, 3), 0);
	queue_db_close(db);
	options.soft_free_bytes = UINT64_MAX / 2;
	ck_assert_int_eq(queue_db_open(dir, &options, &db, &err), 0);
	ck_assert(!queue_db_has_room(db, 1));
}
END_TEST

START_TEST(belongs_to_one_process)
{
	struct queue_db_options options = { .report = fixture_on_report };
	struct queue_db *second;
	struct ph_err err;

	ck_assert_int_eq(queue_db_open(dir, &options, &second, &err), PH_BUSY);
	ck_assert(strstr(err.text, dir) != NULL);
	ck_assert_int_eq(queue_db_open("/proc/none/x", &options, &second,
	    &err), PH_IO);
	queue_db_close(NULL);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("queue-db");
	TCase *tc = tcase_create("queue-db");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, keeps_messages_of_all_sizes);
	tcase_add_test(tc, forgets_removed_messages_and_their_files);
	tcase_add_test(tc, takes_no_id_twice);
	tcase_add_test(tc, refuses_what_is_out_of_limits);
	tcase_add_test(tc, bounds_the_size_of_an_op);
	tcase_add_test(tc, keeps_the_largest_recipient_list);
	tcase_add_test(tc, refuses_files_that_are_not_its_spool);
	tcase_add_test(tc, changes_recipients_and_order);
	tcase_add_test(tc, keeps_a_priority);
	tcase_add_test(tc, a_row_from_before_priorities_is_normal);
	tcase_add_test(tc, a_trace_grows_by_what_it_is_merged_with);
	tcase_add_test(tc, does_an_op_whole_or_not_at_all);
	tcase_add_test(tc, commits_what_waits_in_one_batch);
	tcase_add_test(tc, fails_only_the_op_that_must_fail);
	tcase_add_test(tc, flushes_once_a_batch_and_never_for_removals);
	tcase_add_test(tc, lists_in_order_page_by_page);
	tcase_add_test(tc, lists_from_the_newest_down);
	tcase_add_test(tc, keeps_pairs_until_they_expire);
	tcase_add_test(tc, sweeps_expired_pairs_round_the_table);
	tcase_add_test(tc, keeps_ballast_and_watches_room);
	tcase_add_test(tc, belongs_to_one_process);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
