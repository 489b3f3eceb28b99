/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue_load.c - fill the queue of a stopped server, for tests/bench.
 *
 *	queue_load DIR messages recipients state [domains]
 *
 * state "deferred": remote recipients at many domains, tried once and due in
 * half an hour, and in the middle one message for bob@example.test that is due;
 * "tried": the same, but all are due now; "due": every message is for bob and due
 * now.
 */
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/id.h"
#include "base/record.h"
#include "queue/envelope.h"
#include "queue_db.h"

enum { IN_FLIGHT = 512, RECIPIENTS = 1000, SOON_MS = 1800000 };

struct load {
	unsigned long messages, recipients, domains;
	bool is_due, is_tried;
	int64_t now_ms;
	sem_t room;
};

static void
on_done(void *arg, int status)
{
	struct load *load = arg;

	if (status != 0)
		abort();
	sem_post(&load->room);
}

static struct ph_slice
local_record(struct ph_arena *arena)
{
	struct ph_buf buf;

	ph_buf_init(&buf, arena, 4096);
	record_put_str(&buf, ENV_USER, "bob@example.test");
	return ph_buf_content(&buf);
}

static struct ph_slice
deferred_record(struct ph_arena *arena, unsigned long domain)
{
	struct ph_buf buf;

	ph_buf_init(&buf, arena, 4096);
	record_put_u64(&buf, ENV_CODE, 451);
	record_put_str(&buf, ENV_ENHANCED, "4.7.1");
	record_put_str(&buf, ENV_HOST,
	    ph_arena_printf(arena, "mx1.d%lu.test", domain));
	record_put_str(&buf, ENV_REASON, "Greylisting in action, please come "
	    "back in five minutes");
	return ph_buf_content(&buf);
}

static void
make_recipient(const struct load *load, struct ph_arena *arena,
    unsigned long n, bool is_local, struct queue_db_recipient *to)
{
	unsigned long domain = n % load->domains;

	to->state = QUEUE_DB_WAITING;
	if (is_local) {
		to->address = PH_LIT("bob@example.test");
		to->destination = PH_LIT("");
		to->record = local_record(arena);
		return;
	}
	to->attempts = 1;
	to->next_ms = load->is_tried ? load->now_ms :
	    load->now_ms + SOON_MS + (int64_t)(n % SOON_MS);
	to->address = ph_slice_str(ph_arena_printf(arena,
	    "user%lu@d%lu.test", n, domain));
	to->destination = ph_slice_str(ph_arena_printf(arena, "d%lu.test",
	    domain));
	to->record = deferred_record(arena, domain);
}

static struct ph_slice
make_envelope(struct ph_arena *arena, const struct load *load)
{
	struct ph_buf buf;

	ph_buf_init(&buf, arena, 4096);
	record_put_str(&buf, ENV_SENDER, "news@example.test");
	record_put_str(&buf, ENV_SESSION, "06k0000000000");
	record_put_str(&buf, ENV_CLIENT, "192.0.2.33");
	record_put_str(&buf, ENV_SERVICE, "smtp_submission");
	record_put_str(&buf, ENV_AUTH_USER, "news@example.test");
	record_put_u64(&buf, ENV_RECEIVED_AT, (uint64_t)load->now_ms / 1000);
	return ph_buf_content(&buf);
}

static void
add(struct queue_db *db, struct load *load, uint64_t id, unsigned long n)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct queue_db_op *op = queue_db_op_create();
	bool is_local = load->is_due || n == load->messages / 2;
	struct queue_db_message message = { .id = id, .body.fd = -1,
		.trace = PH_LIT("") };
	struct queue_db_recipient *to = ph_arena_array(arena,
	    load->recipients, sizeof(*to));

	for (unsigned long i = 0; i < load->recipients; i++) {
		make_recipient(load, arena, n * load->recipients + i,
		    is_local, &to[i]);
		to[i].number = (uint32_t)i;
	}
	message.envelope = make_envelope(arena, load);
	message.body.octets = ph_slice_str(ph_arena_printf(arena,
	    "From: <news@example.test>\r\nSubject: number %lu\r\n\r\n"
	    "Some news.\r\n", n));
	message.recipients = to;
	message.recipient_count = is_local ? 1 : load->recipients;
	queue_db_op_message(op, &message);
	while (sem_wait(&load->room) != 0)
		continue;
	if (queue_db_submit(db, op, QUEUE_DB_DURABLE, on_done, load) != 0)
		abort();
	ph_arena_free(arena);
}

int
main(int argc, char **argv)
{
	struct queue_db_options options = { .cache_bytes = 256 << 20 };
	struct load load = { .domains = 2000 };
	struct ph_err err = { 0 };
	struct queue_db *db;
	uint64_t id;

	if (argc > 4) {
		load.messages = strtoul(argv[2], NULL, 10);
		load.recipients = strtoul(argv[3], NULL, 10);
		load.is_due = strcmp(argv[4], "due") == 0;
		load.is_tried = strcmp(argv[4], "tried") == 0;
	}
	if (argc > 5)
		load.domains = strtoul(argv[5], NULL, 10);
	if (load.messages == 0 || load.recipients == 0 ||
	    load.recipients > RECIPIENTS || load.domains == 0) {
		fprintf(stderr, "usage: queue_load DIR messages recipients "
		    "deferred|tried|due [domains]\n");
		return 2;
	}
	if (queue_db_open(argv[1], &options, &db, &err) != 0) {
		fprintf(stderr, "queue_load: %s\n", err.text);
		return 1;
	}
	load.now_ms = (int64_t)time(NULL) * 1000;
	sem_init(&load.room, 0, IN_FLIGHT);
	id = queue_db_last_id(db);
	for (unsigned long n = 0; n < load.messages; n++) {
		id = id_create_above(id);
		add(db, &load, id, n);
	}
	queue_db_close(db);
	return 0;
}
