/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schedule_fixture.c - a queue without a store or processes, for tests.
 */
#include "queue/schedule_fixture.h"

#include <check.h>

#include "base/record.h"
#include "loop/fiber.h"
#include "queue/envelope.h"

struct ph_arena *arena;
struct generation *generation;
uint64_t now_ms;
struct job *begun[JOBS];
size_t begun_n, begun_total;
uint64_t next_id;
int8_t priority;

static uint64_t
stepped_clock(void)
{
	return now_ms;
}

static void
note(struct job *job)
{
	ck_assert_uint_lt(begun_n, JOBS);
	begun[begun_n++] = job;
	begun_total++;
}

void
setup(void)
{
	static const char *const domains[] = { "example.test", NULL };
	static const char *const retry[] = { "1m", "10m", NULL };
	static const char *const none[] = { NULL };
	struct ph_arena *own = ph_arena_create(NULL);
	struct core_queue *conf;

	fiber_runtime_init();
	arena = ph_arena_create(NULL);
	generation = ph_arena_alloc(own, sizeof(*generation));
	generation->arena = own;
	generation->references = 1;
	generation->core.domains = domains;
	conf = &generation->core.queue;
	conf->retry = retry;
	conf->retry_greylisted = conf->retry_unreachable = none;
	conf->destination_limits = none;
	conf->lifetime_ms = 86400000;
	conf->relay_concurrency = 10;
	conf->destination_concurrency = 4;
	conf->destination_start = 2;
	conf->destination_failures = 3;
	generation->core.mail.partitions = 8;
	generation_make_current(generation);
	bus_set_role_size(ROLE_MAIL, 1);
	now_ms = 1000000;
	begun_n = begun_total = 0;
	next_id = 1;
	priority = 0;
	queue.now_ms = stepped_clock;
	queue.begin = note;
}

struct ph_slice
envelope(const char *sender)
{
	struct ph_buf buf;

	ph_buf_init(&buf, arena, 4096);
	record_put_str(&buf, ENV_SENDER, sender);
	record_put_u64(&buf, ENV_RECEIVED_AT, (uint64_t)ph_wall_time());
	return ph_buf_content(&buf);
}

struct entry *
put_off(const char *sender, const char *domain, unsigned recipients,
    int64_t next_ms)
{
	struct queue_db_recipient *list = ph_arena_array(arena, recipients,
	    sizeof(*list));
	struct queue_db_message message = { .id = next_id++, .body.fd = -1,
		.recipients = list, .recipient_count = recipients,
		.priority = priority, .envelope = envelope(sender) };
	struct entry *entry;

	for (unsigned i = 0; i < recipients; i++) {
		list[i].number = i;
		list[i].state = QUEUE_DB_WAITING;
		list[i].next_ms = next_ms;
		list[i].address = ph_slice_str(ph_arena_printf(arena,
		    "x%u@%s", i, domain));
	}
	entry = entry_create(&message);
	entry_add(entry);
	schedule_due(entry);
	return entry;
}

struct entry *
mail(const char *sender, const char *domain, unsigned recipients)
{
	return put_off(sender, domain, recipients, 0);
}

void
finish(size_t i, enum pace_end how)
{
	struct job *job = begun[i];
	struct entry *entry = job->entry;

	memmove(&begun[i], &begun[i + 1],
	    (--begun_n - i) * sizeof(begun[0]));
	for (size_t n = 0; n < entry->recipient_count; n++) {
		struct queue_recipient *r = &entry->recipients[n];

		if (r->where != AT_WORK || r->job != job)
			continue;
		r->where = AT_REST;
		lane_leave(r);
		recipient_tried(r);
		if (how == PACE_ANSWERED)
			r->state = QUEUE_DB_DELIVERED;
		else
			r->next_ms = INT64_MAX / 2;
	}
	entry->jobs--;
	lane_job_done(job, how, false);
}

size_t
running_for(const char *lane)
{
	size_t n = 0;

	for (size_t i = 0; i < begun_n; i++)
		n += strcmp(begun[i]->lane->name, lane) == 0;
	return n;
}

size_t
running_from(const char *sender)
{
	size_t n = 0;

	for (size_t i = 0; i < begun_n; i++)
		n += strcmp(begun[i]->entry->sender, sender) == 0;
	return n;
}

void
step(uint64_t ms, struct lane *lane)
{
	now_ms += ms;
	lane_offer(lane);
	lane_run();
}
