/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schedule_test.c - who is next, how many at once, and when: lines and lanes with
 * a clock that the tests step and jobs that they end.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/record.h"
#include "loop/fiber.h"
#include "queue/attempt.h"
#include "queue/envelope.h"
#include "role/generation.h"

enum { JOBS = 4096 };

static struct ph_arena *arena;
static struct generation *generation;
static uint64_t now_ms;
static struct job *begun[JOBS]; /* and not ended, in order */
static size_t begun_n, begun_total;
static uint64_t next_id;
static int8_t priority; /* of what is sent */

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

static void
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

/* --- what the tests do --- */

static struct ph_slice
envelope(const char *sender)
{
	struct ph_buf buf;

	ph_buf_init(&buf, arena, 4096);
	record_put_str(&buf, ENV_SENDER, sender);
	record_put_u64(&buf, ENV_RECEIVED_AT, (uint64_t)ph_wall_time());
	return ph_buf_content(&buf);
}

/* A message to so many at the domain that rest until then. */
static struct entry *
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

/* The same, due. */
static struct entry *
send(const char *sender, const char *domain, unsigned recipients)
{
	return put_off(sender, domain, recipients, 0);
}

/* The i-th of those that run ends so. */
static void
end(size_t i, enum pace_end how)
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
		recipient_tried(r);
		if (how == PACE_ANSWERED)
			r->state = QUEUE_DB_DELIVERED;
		else
			r->next_ms = INT64_MAX / 2;
	}
	entry->jobs--;
	lane_job_done(job, how, false);
}

static size_t
running_for(const char *lane)
{
	size_t n = 0;

	for (size_t i = 0; i < begun_n; i++)
		n += strcmp(begun[i]->lane->name, lane) == 0;
	return n;
}

static size_t
running_from(const char *sender)
{
	size_t n = 0;

	for (size_t i = 0; i < begun_n; i++)
		n += strcmp(begun[i]->entry->sender, sender) == 0;
	return n;
}

/* As its timer does. */
static void
step(uint64_t ms, struct lane *lane)
{
	now_ms += ms;
	lane_offer(lane);
	lane_run();
}

/* --- fairness --- */

START_TEST(a_big_mailing_delays_nobody_else)
{
	size_t news;

	for (unsigned i = 0; i < 500; i++)
		send("news@a.test", "far.test", 1);
	ck_assert_uint_eq(begun_n, 2);
	send("bob@b.test", "far.test", 1);
	send("bounces+x=y@c.test", "far.test", 1);
	end(0, PACE_ANSWERED);
	end(0, PACE_ANSWERED);
	ck_assert_uint_eq(running_from("bob@b.test"), 1);
	ck_assert_uint_eq(running_from("bounces+x=y@c.test"), 1);
	news = running_from("news@a.test");
	ck_assert_uint_eq(news + 2, begun_n);
}
END_TEST

START_TEST(one_message_to_very_many_delays_nobody_else)
{
	struct entry *big = send("news@a.test", "far.test", 9000), *small;

	ck_assert_uint_eq(begun_n, 2);
	send("bob@b.test", "far.test", 1);
	small = send("news@a.test", "far.test", 1); /* the same sender's */
	end(0, PACE_ANSWERED);
	end(0, PACE_ANSWERED);
	ck_assert_uint_eq(running_from("bob@b.test"), 1);
	ck_assert_uint_eq(small->jobs, 1);
	ck_assert_uint_eq(big->jobs, begun_n - 2);
}
END_TEST

/* More destinations than attempts, and then somebody else's. */
START_TEST(a_mailing_to_many_destinations_delays_nobody_else)
{
	char domain[32];

	for (unsigned i = 0; i < 1000; i++) {
		snprintf(domain, sizeof(domain), "d%u.test", i);
		send("news@a.test", domain, 1);
	}
	ck_assert_uint_eq(begun_n, 5); /* of unknown ones half of ten */
	send("bob@b.test", "fresh.test", 1);
	ck_assert_uint_eq(running_from("bob@b.test"), 0);
	end(0, PACE_ANSWERED);
	ck_assert_uint_eq(running_from("bob@b.test"), 1);
}
END_TEST

START_TEST(senders_share_alike_whatever_they_have)
{
	size_t of[3] = { 0 };
	static const char *const from[] = { "a@a.test", "b@b.test",
		"c@c.test" };

	for (unsigned i = 0; i < 900; i++)
		for (unsigned n = 0; n < 3; n++)
			if (i % (n * n * 4 + 1) == 0)
				send(from[n], "far.test", 1);
	for (unsigned i = 0; i < 90; i++) {
		for (unsigned n = 0; n < 3; n++)
			of[n] += strcmp(begun[0]->entry->sender, from[n]) == 0;
		end(0, PACE_ANSWERED);
	}
	for (unsigned n = 0; n < 3; n++)
		ck_assert_msg(of[n] >= 25 && of[n] <= 36, "%u: %zu", n, of[n]);
}
END_TEST

/* --- priority --- */

/* Of this priority, one after the other. */
static struct entry *
send_many(int8_t level, const char *sender, const char *domain, unsigned n)
{
	struct entry *entry = NULL;

	priority = level;
	while (n-- > 0)
		entry = send(sender, domain, 1);
	priority = 0;
	return entry;
}

/* One at a time, and one is at work that is not to count. */
static void
fill_far(void)
{
	static const char *const limits[] = { "far.test concurrency=1", NULL };

	generation->core.queue.destination_limits = limits;
	send_many(0, "first@a.test", "far.test", 1);
	ck_assert_uint_eq(begun_n, 1);
}

/* End the one at work; what of the next. */
static const struct entry *
next_entry(void)
{
	end(0, PACE_ANSWERED);
	ck_assert_uint_eq(begun_n, 1);
	return begun[0]->entry;
}

START_TEST(a_higher_priority_goes_first)
{
	static const int8_t sent[] = { 0, -3, 9, 5, 0, -9 };
	static const int8_t order[] = { 9, 5, 0, 0, -3, -9 };

	fill_far();
	for (size_t i = 0; i < sizeof(sent); i++)
		send_many(sent[i], "a@a.test", "far.test", 1);
	for (size_t i = 0; i < sizeof(order); i++)
		ck_assert_int_eq(next_entry()->priority, order[i]);
}
END_TEST

START_TEST(a_high_priority_starves_nobody)
{
	size_t seen[3] = { 0 };
	struct lane *lane;

	fill_far();
	lane = begun[0]->lane;
	lane->references++;
	send_many(0, "bob@b.test", "far.test", 5);
	send_many(-5, "bob@b.test", "far.test", 5);
	send_many(9, "news@a.test", "far.test", 100);
	for (unsigned i = 1; i <= 50; i++) {
		const struct entry *entry = next_entry();

		seen[entry->priority > 0 ? 0 : entry->priority == 0 ? 1 : 2]++;
		if (i % 10 == 0) {
			ck_assert_uint_eq(seen[0], i / 5 * FAIR_IN_A_ROW);
			ck_assert_uint_eq(seen[1], i / 10);
			ck_assert_uint_eq(seen[2], i / 10);
		}
	}
	for (unsigned i = 0; i < 60; i++)
		ck_assert_int_eq(next_entry()->priority, 9);
	end(0, PACE_ANSWERED);
	ck_assert_ptr_null(lane->line.levels);
	ck_assert_uint_eq(lane->line.count, 0);
}
END_TEST

START_TEST(in_a_priority_small_and_fresh_goes_first_and_senders_share)
{
	fill_far();
	priority = 4;
	send("news@a.test", "far.test", 1000);
	priority = 0;
	send_many(4, "news@a.test", "far.test", 50);
	send_many(4, "bob@b.test", "far.test", 1);
	send_many(0, "carol@b.test", "far.test", 1);
	ck_assert_str_ne(next_entry()->sender, "carol@b.test");
	next_entry(); /* the large one, once */
	ck_assert(running_from("bob@b.test") == 1 ||
	    strcmp(next_entry()->sender, "bob@b.test") == 0);
	ck_assert_uint_eq(next_entry()->recipient_count, 1);
}
END_TEST

/* Whose mail of a high priority was served has less of a claim with the rest. */
START_TEST(priority_is_paid_for)
{
	fill_far();
	send_many(9, "a@a.test", "far.test", 3);
	send_many(0, "a@a.test", "far.test", 5);
	send_many(0, "b@a.test", "far.test", 5);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(next_entry()->priority, 9);
	ck_assert_str_eq(next_entry()->sender, "b@a.test");
}
END_TEST

START_TEST(between_destinations_a_higher_priority_goes_first_too)
{
	char domain[32];
	size_t normal = 0;

	generation->core.queue.relay_concurrency = 1;
	for (unsigned i = 0; i < 30; i++) {
		snprintf(domain, sizeof(domain), "d%u.test", i);
		send_many(0, "a@a.test", domain, 1);
		send_many(0, "a@a.test", "urgent0.test", 1);
	}
	for (unsigned i = 0; i < 30; i++) {
		snprintf(domain, sizeof(domain), "urgent%u.test", i);
		send_many(2, "a@a.test", domain, 1);
	}
	ck_assert_uint_eq(begun_n, 1);
	for (unsigned i = 1; i <= 35; i++) {
		normal += next_entry()->priority == 0;
		if (i % 5 == 0)
			ck_assert_uint_eq(normal, i / 5);
	}
}
END_TEST

START_TEST(a_priority_changes_what_stands_in_line)
{
	struct entry *last, *low;
	struct lane *lane;

	fill_far();
	lane = begun[0]->lane;
	low = send_many(0, "a@a.test", "far.test", 1);
	send_many(0, "a@a.test", "far.test", 3);
	last = send_many(0, "a@a.test", "far.test", 1);
	schedule_priority(last, 7);
	schedule_priority(low, -1);
	ck_assert_uint_eq(lane->line.count, 5);
	ck_assert_ptr_eq(next_entry(), last);
	schedule_priority(last, -9); /* at work: nothing is moved */
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(next_entry()->priority, 0);
	ck_assert_ptr_eq(next_entry(), low);
	low = send_many(3, "a@a.test", "far.test", 1);
	low->is_held = true;
	schedule_entry(low);
	ck_assert_uint_eq(lane->line.count, 0);
	schedule_priority(low, -3);
	ck_assert_uint_eq(lane->line.count, 0);
	low->is_held = false;
	schedule_due(low);
	ck_assert_uint_eq(lane->line.count, 1);
	entry_remove(low);
	ck_assert_ptr_null(lane->line.levels);
}
END_TEST

START_TEST(dead_destinations_leave_half_to_others)
{
	char domain[32];

	send("bob@b.test", "near.test", 1);
	end(0, PACE_ANSWERED);
	for (unsigned i = 0; i < 100; i++) {
		snprintf(domain, sizeof(domain), "dead%u.test", i);
		send("news@a.test", domain, 1);
	}
	ck_assert_uint_eq(begun_n, 5);
	for (unsigned i = 0; i < 20; i++)
		send("news@a.test", "near.test", 1);
	ck_assert_uint_eq(running_for("near.test"), 3);
	end(5, PACE_ANSWERED);
	ck_assert_uint_eq(running_for("near.test"), 4); /* widened */
	ck_assert_uint_eq(begun_n, 9);
}
END_TEST

START_TEST(a_dead_destination_is_one_timer_and_one_attempt)
{
	struct lane *lane = NULL;

	for (unsigned i = 0; i < 1000; i++)
		lane = send("news@a.test", "dead.test", 1)->recipients[0].lane;
	while (begun_n > 0)
		end(0, PACE_NO_ANSWER);
	ck_assert_uint_le(begun_total, 4);
	ck_assert_uint_gt(lane->line.count, 990);
	step(59999, lane);
	ck_assert_uint_eq(begun_n, 0);
	step(1, lane);
	ck_assert_uint_eq(begun_n, 1);
	end(0, PACE_NO_ANSWER);
	ck_assert_uint_eq(begun_n, 0);
	step(600000, lane);
	end(0, PACE_ANSWERED); /* it is back */
	ck_assert_uint_eq(begun_n, 2);
	while (begun_n > 0)
		end(0, PACE_ANSWERED);
	ck_assert_uint_eq(lane->line.count, 0);
}
END_TEST

START_TEST(what_is_held_or_removed_leaves_the_line)
{
	struct entry *entry, *held;
	struct lane *lane;

	send("a@a.test", "far.test", 1);
	send("a@a.test", "far.test", 1);
	held = send("a@a.test", "far.test", 300);
	entry = send("b@a.test", "far.test", 1);
	lane = entry->recipients[0].lane;
	ck_assert_uint_eq(lane->line.count, 301);
	held->is_held = true;
	schedule_entry(held);
	ck_assert_uint_eq(lane->line.count, 1);
	entry_remove(entry);
	ck_assert_uint_eq(lane->line.count, 0);
	held->is_held = false;
	schedule_due(held);
	ck_assert_uint_eq(lane->line.count, 300);
}
END_TEST

START_TEST(keeps_to_limits_of_destination_and_transport)
{
	static const char *const limits[] = { "few.test concurrency=1",
		"/ concurrency=3", NULL };

	generation->core.queue.destination_limits = limits;
	for (unsigned i = 0; i < 5; i++) {
		send("a@a.test", "few.test", 1);
		send("a@a.test", "one.test", 1);
		send("a@a.test", "two.test", 1);
	}
	ck_assert_uint_eq(begun_n, 3);
	ck_assert_uint_eq(running_for("few.test"), 1);
	for (unsigned i = 0; i < 15; i++) {
		ck_assert_uint_le(running_for("few.test"), 1);
		ck_assert_uint_le(begun_n, 3);
		end(0, PACE_ANSWERED);
	}
	ck_assert_uint_eq(begun_total, 15);
}
END_TEST

START_TEST(who_waited_too_long_at_a_dead_destination_hears_of_it)
{
	struct entry *entry = NULL;

	for (unsigned i = 0; i < 10; i++)
		entry = send("news@a.test", "dead.test", 1);
	while (begun_n > 0)
		end(0, PACE_NO_ANSWER);
	ck_assert_int_eq(entry->recipients[0].where, IN_LINE);
	schedule_due(entry);
	ck_assert_uint_eq(begun_n, 0);
	entry->begun_at -= 86400;
	entry->recipients[0].lane->is_suspended = true; /* by hand */
	schedule_due(entry);
	ck_assert_uint_eq(begun_n, 0);
	entry->recipients[0].lane->is_suspended = false;
	schedule_due(entry);
	ck_assert_uint_eq(begun_n, 1);
	ck_assert(begun[0]->is_silent);
	ck_assert_ptr_eq(begun[0]->entry, entry);
}
END_TEST

START_TEST(all_who_waited_too_long_hear_the_last_words_of_their_destination)
{
	struct entry *entry = NULL, *other = NULL;
	struct attempt a = { .arena = arena };
	struct lane *lane;

	for (unsigned i = 0; i < 10; i++) {
		other = entry;
		entry = send("news@a.test", "dead.test", 2);
	}
	while (begun_n > 0)
		end(0, PACE_NO_ANSWER);
	lane = entry->recipients[0].lane;
	/* nobody has these words but the lane */
	recipient_say(&other->recipients[0], 0, (struct ph_slice){ 0 },
	    PH_LIT("mx.dead.test"), PH_LIT("not now"));
	recipient_say(&other->recipients[0], 0, (struct ph_slice){ 0 },
	    (struct ph_slice){ 0 }, (struct ph_slice){ 0 });
	ck_assert_uint_eq(lane->said->references, 1);
	entry->begun_at -= 86400;
	schedule_due(entry);
	ck_assert_uint_eq(begun_n, 1);
	a.job = begun[0];
	a.entry = entry;
	a.changed = ph_arena_array(arena, 2, sizeof(*a.changed));
	results_give_up(&a); /* each is told something new: "4.4.7" */
	for (size_t i = 0; i < 2; i++) {
		const struct queue_recipient *r = &entry->recipients[i];

		ck_assert_int_eq(r->state, QUEUE_DB_FAILED);
		ck_assert_int_eq(r->said->reply->code, 0);
		ck_assert_str_eq(r->said->reply->enhanced, "4.4.7");
		ck_assert_str_eq(r->said->reply->reason, "not now");
		ck_assert_str_eq(said_host(r->said), "mx.dead.test");
		ck_assert(a.changed[i]);
	}
}
END_TEST

START_TEST(names_given_by_hand_have_no_case)
{
	struct ph_buf record;
	struct queue_db_recipient one = { .state = QUEUE_DB_WAITING,
		.address = PH_LIT("x@a.test") };
	struct queue_db_message message = { .id = next_id++, .body.fd = -1,
		.recipients = &one, .recipient_count = 1,
		.envelope = envelope("jo@a.test") };
	struct entry *entry;

	ph_buf_init(&record, arena, 256);
	record_put_str(&record, ENV_TRANSPORT, "Away");
	record_put_str(&record, ENV_DESTINATION, "Host.test");
	one.record = ph_buf_content(&record);
	entry = entry_create(&message);
	entry_add(entry);
	lane_join(&entry->recipients[0]);
	ck_assert_str_eq(entry->recipients[0].lane->name, "Away/host.test");
	lane_set_suspended("away/host.test", true);
	schedule_due(entry);
	ck_assert_uint_eq(begun_n, 0);
	lane_set_suspended("away/host.test.x", false);
	schedule_due(entry);
	ck_assert_uint_eq(begun_n, 0);
	lane_set_suspended("away/host.test", false);
	schedule_due(entry);
	ck_assert_uint_eq(begun_n, 1);
	end(0, PACE_ANSWERED);
}
END_TEST

START_TEST(finds_destinations_again_however_many_there_are)
{
	enum { DOMAINS = 9000 };
	struct entry *first[DOMAINS];

	for (unsigned round = 0; round < 2; round++)
		for (unsigned i = 0; i < DOMAINS; i++) {
			struct entry *entry = send("news@a.test",
			    ph_arena_printf(arena, "d%u.test", i), 1);

			if (round == 0)
				first[i] = entry;
			ck_assert_ptr_eq(entry->recipients[0].lane,
			    first[i]->recipients[0].lane);
		}
	ck_assert_uint_eq(lane_count(), DOMAINS);
}
END_TEST

static void
make_due(struct entry *entry)
{
	for (size_t i = 0; i < entry->recipient_count; i++)
		entry->recipients[i].next_ms = 0;
	schedule_due(entry);
}

START_TEST(what_only_rests_has_no_lane_and_learns_what_another_found_out)
{
	const int64_t later = INT64_MAX / 2;
	struct entry *one = put_off("a@a.test", "Dead.test", 2, later);
	struct entry *two = put_off("b@a.test", "dead.test", 1, later);
	struct lane *lane;

	ck_assert_uint_eq(lane_count(), 0);
	for (unsigned i = 0; i < 3; i++) { /* its rests in between count */
		make_due(one);
		ck_assert_uint_eq(begun_n, 1);
		end(0, PACE_NO_ANSWER);
	}
	ck_assert_uint_eq(lane_count(), 1);
	lane = one->recipients[0].lane;
	ck_assert_str_eq(lane->name, "dead.test");
	ck_assert_uint_eq(lane->pace.rests, 1);
	ck_assert_ptr_null(two->recipients[0].lane);
	make_due(two);
	ck_assert_ptr_eq(two->recipients[0].lane, lane);
	ck_assert_uint_eq(begun_n, 0);
	ck_assert_ptr_eq(put_off("c@a.test", "dead.test", 1, later)
	        ->recipients[0].lane, lane);
}
END_TEST

START_TEST(what_only_rests_is_returned_by_hand_at_once)
{
	struct entry *entry = put_off("a@a.test", "far.test", 3,
	    INT64_MAX / 2);

	entry->is_bounced = true;
	schedule_due(entry);
	ck_assert_uint_eq(begun_n, 1);
	ck_assert(begun[0]->is_silent);
	for (size_t i = 0; i < 3; i++)
		ck_assert_ptr_eq(entry->recipients[i].job, begun[0]);
}
END_TEST

START_TEST(what_is_old_is_tried_when_its_destination_works)
{
	struct entry *entry = NULL;

	for (unsigned i = 0; i < 10; i++)
		entry = send("news@a.test", "far.test", 1);
	entry->begun_at -= 2 * 86400;
	schedule_due(entry);
	ck_assert_int_eq(entry->recipients[0].where, IN_LINE);
	while (begun_n > 0) {
		ck_assert(!begun[0]->is_silent);
		end(0, PACE_ANSWERED);
	}
	ck_assert_uint_eq(begun_total, 10);
}
END_TEST

/* Anything, the same at each run. */
static uint32_t
draw(uint32_t below)
{
	static uint32_t noise = 1;

	return ((noise = noise * 1664525 + 1013904223) >> 8) % below;
}

static void
let_go(struct entry *entry)
{
	for (size_t i = 0; i < entry->recipient_count; i++)
		entry->recipients[i].next_ms = 0;
	entry->is_held = false;
	schedule_due(entry);
}

static void
change_any(struct entry **at, const char *domain)
{
	int level = (int)draw(FAIR_LEVELS) - QUEUE_DB_PRIORITY_MAX;
	struct entry *entry = *at;
	unsigned what = draw(5);

	if (entry == NULL) {
		*at = send_many((int8_t)level, "a@a.test", domain, 1);
	} else if (what == 0) {
		let_go(entry);
	} else if (what == 1) {
		entry->is_held = true;
		schedule_entry(entry);
	} else if (what == 2 && entry->jobs == 0) {
		entry_remove(entry);
		*at = NULL;
	} else {
		schedule_priority(entry, level);
	}
}

/* A look at every lane finds nothing to begin: none was forgotten. */
START_TEST(whatever_happens_what_may_begin_has_begun)
{
	static const char *const domains[] = { "a.test", "b.test", "c.test" };
	struct entry *all[64] = { NULL };

	generation->core.queue.relay_concurrency = 5;
	for (unsigned i = 0; i < 60000; i++) {
		const char *domain = domains[draw(3)];
		size_t what = draw(20), before;

		if (what < 9) {
			change_any(&all[draw(64)], domain);
		} else if (what < 18 && begun_n > 0) {
			end(draw((uint32_t)begun_n), draw(3) == 0 ?
			    PACE_NO_ANSWER : PACE_ANSWERED);
		} else if (what == 18) {
			lane_set_suspended(domain, draw(4) == 0);
			lane_forgive(domain);
		} else {
			now_ms += draw(30000);
			lane_reload(); /* timers */
		}
		before = begun_total;
		lane_reload();
		ck_assert_msg(begun_total == before, "%u: %zu", i, what);
	}
	for (unsigned i = 0; i < 64; i++) {
		lane_set_suspended(domains[i % 3], false);
		lane_forgive(domains[i % 3]);
		if (all[i] != NULL)
			let_go(all[i]);
	}
	while (begun_n > 0)
		end(0, PACE_ANSWERED);
	for (unsigned i = 0; i < 64; i++)
		ck_assert(all[i] == NULL || all[i]->recipients[0].state ==
		    QUEUE_DB_DELIVERED);
	ck_assert_uint_eq(queue.relaying + queue.running, 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("schedule");
	TCase *all = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(all, setup, NULL);
	tcase_add_test(all, a_big_mailing_delays_nobody_else);
	tcase_add_test(all, one_message_to_very_many_delays_nobody_else);
	tcase_add_test(all, a_mailing_to_many_destinations_delays_nobody_else);
	tcase_add_test(all, senders_share_alike_whatever_they_have);
	tcase_add_test(all, a_higher_priority_goes_first);
	tcase_add_test(all, a_high_priority_starves_nobody);
	tcase_add_test(all,
	    in_a_priority_small_and_fresh_goes_first_and_senders_share);
	tcase_add_test(all, priority_is_paid_for);
	tcase_add_test(all,
	    between_destinations_a_higher_priority_goes_first_too);
	tcase_add_test(all, a_priority_changes_what_stands_in_line);
	tcase_add_test(all, whatever_happens_what_may_begin_has_begun);
	tcase_add_test(all, dead_destinations_leave_half_to_others);
	tcase_add_test(all, a_dead_destination_is_one_timer_and_one_attempt);
	tcase_add_test(all, what_is_held_or_removed_leaves_the_line);
	tcase_add_test(all, keeps_to_limits_of_destination_and_transport);
	tcase_add_test(all, names_given_by_hand_have_no_case);
	tcase_add_test(all,
	    who_waited_too_long_at_a_dead_destination_hears_of_it);
	tcase_add_test(all,
	    all_who_waited_too_long_hear_the_last_words_of_their_destination);
	tcase_add_test(all,
	    finds_destinations_again_however_many_there_are);
	tcase_add_test(all, what_is_old_is_tried_when_its_destination_works);
	tcase_add_test(all,
	    what_only_rests_has_no_lane_and_learns_what_another_found_out);
	tcase_add_test(all, what_only_rests_is_returned_by_hand_at_once);
	suite_add_tcase(suite, all);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
