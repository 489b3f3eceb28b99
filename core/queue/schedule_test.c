/* SPDX-License-Identifier: Apache-2.0 */
/*
 * schedule_test.c - how many at once, and when: lines, backlogs and lanes.
 */
#include <check.h>
#include <stdio.h>

#include "base/record.h"
#include "queue/attempt.h"
#include "queue/envelope.h"
#include "queue/known.h"
#include "queue/schedule_fixture.h"

START_TEST(dead_destinations_leave_half_to_others)
{
	char domain[32];

	mail("bob@b.test", "near.test", 1);
	finish(0, PACE_ANSWERED);
	for (unsigned i = 0; i < 100; i++) {
		snprintf(domain, sizeof(domain), "dead%u.test", i);
		mail("news@a.test", domain, 1);
	}
	ck_assert_uint_eq(begun_n, 5);
	for (unsigned i = 0; i < 20; i++)
		mail("news@a.test", "near.test", 1);
	ck_assert_uint_eq(running_for("near.test"), 3);
	finish(5, PACE_ANSWERED);
	ck_assert_uint_eq(running_for("near.test"), 4); /* widened */
	ck_assert_uint_eq(begun_n, 9);
}
END_TEST

START_TEST(a_dead_destination_is_one_timer_and_one_attempt)
{
	struct lane *lane = NULL;

	for (unsigned i = 0; i < 1000; i++)
		lane = mail("news@a.test", "dead.test", 1)->recipients[0].lane;
	while (begun_n > 0)
		finish(0, PACE_NO_ANSWER);
	ck_assert_uint_le(begun_total, 4);
	ck_assert_uint_gt(lane->line.count, 990);
	step(59999, lane);
	ck_assert_uint_eq(begun_n, 0);
	step(1, lane);
	ck_assert_uint_eq(begun_n, 1);
	finish(0, PACE_NO_ANSWER);
	ck_assert_uint_eq(begun_n, 0);
	step(600000, lane);
	finish(0, PACE_ANSWERED); /* it is back */
	ck_assert_uint_eq(begun_n, 2);
	while (begun_n > 0)
		finish(0, PACE_ANSWERED);
	ck_assert_uint_eq(lane->line.count, 0);
}
END_TEST

START_TEST(what_is_held_or_removed_leaves_the_line)
{
	struct entry *entry, *held;
	struct lane *lane;

	mail("a@a.test", "far.test", 1);
	mail("a@a.test", "far.test", 1);
	held = mail("a@a.test", "far.test", 300);
	entry = mail("b@a.test", "far.test", 1);
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
		mail("a@a.test", "few.test", 1);
		mail("a@a.test", "one.test", 1);
		mail("a@a.test", "two.test", 1);
	}
	ck_assert_uint_eq(begun_n, 3);
	ck_assert_uint_eq(running_for("few.test"), 1);
	for (unsigned i = 0; i < 15; i++) {
		ck_assert_uint_le(running_for("few.test"), 1);
		ck_assert_uint_le(begun_n, 3);
		finish(0, PACE_ANSWERED);
	}
	ck_assert_uint_eq(begun_total, 15);
}
END_TEST

START_TEST(who_waited_too_long_at_a_dead_destination_hears_of_it)
{
	struct entry *entry = NULL;

	for (unsigned i = 0; i < 10; i++)
		entry = mail("news@a.test", "dead.test", 1);
	while (begun_n > 0)
		finish(0, PACE_NO_ANSWER);
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
		entry = mail("news@a.test", "dead.test", 2);
	}
	while (begun_n > 0)
		finish(0, PACE_NO_ANSWER);
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
	finish(0, PACE_ANSWERED);
}
END_TEST

START_TEST(finds_destinations_again_however_many_there_are)
{
	enum { DOMAINS = 9000 };
	static struct entry *first[DOMAINS];

	generation->core.queue.relay_concurrency = 2 * JOBS;
	for (unsigned round = 0; round < 2; round++)
		for (unsigned i = 0; i < DOMAINS; i++) {
			struct entry *entry = mail("news@a.test",
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
		ck_assert_uint_eq(lane_count(), 1);
		finish(0, PACE_NO_ANSWER);
		ck_assert_uint_eq(lane_count(), 0);
		ck_assert_ptr_null(one->recipients[0].lane);
	}
	make_due(two);
	lane = two->recipients[0].lane;
	ck_assert_str_eq(lane->name, "dead.test");
	ck_assert_uint_eq(lane->pace.rests, 1);
	ck_assert_uint_eq(lane->pace.failures, 3);
	ck_assert_uint_eq(begun_n, 0);
	ck_assert_ptr_null(put_off("c@a.test", "dead.test", 1, later)
	        ->recipients[0].lane);
	step(60200, lane);
	ck_assert_uint_eq(begun_n, 1);
	finish(0, PACE_NO_ANSWER);
	make_due(one);
	ck_assert_uint_eq(one->recipients[0].lane->pace.rests, 2);
	entry_remove(one);
	ck_assert_uint_eq(begun_n, 0);
	lane_forgive("DEAD.test");
	make_due(two);
	ck_assert_uint_eq(begun_n, 1);
}
END_TEST

/* The mark of a destination says as much as its lane does. */
START_TEST(who_is_too_old_hears_of_it_where_there_is_no_lane)
{
	struct entry *entry = put_off("a@a.test", "dead.test", 1,
	    INT64_MAX / 2);

	for (unsigned i = 0; i < 3; i++) {
		make_due(entry);
		finish(0, PACE_NO_ANSWER);
	}
	ck_assert_uint_eq(lane_count(), 0);
	entry->begun_at -= 86400 * 6;
	make_due(entry);
	ck_assert_uint_eq(begun_n, 1);
	ck_assert(begun[0]->is_silent);
}
END_TEST

START_TEST(what_is_due_costs_no_lane_before_its_turn)
{
	enum { DOMAINS = 3000 };
	struct entry *other;
	unsigned ended = 0;

	for (unsigned i = 0; i < DOMAINS; i++)
		mail("news@a.test", ph_arena_printf(arena, "d%u.test", i), 1);
	ck_assert_uint_eq(begun_n, 5); /* half of all: none is known */
	ck_assert_uint_eq(lane_count(), 5);
	other = mail("jo@b.test", "far.test", 1);
	ck_assert_int_eq(other->recipients[0].where, IN_LINE);
	while (other->recipients[0].where == IN_LINE) {
		ck_assert_uint_lt(ended++, 5);
		finish(0, PACE_NO_ANSWER);
	}
	while (begun_n > 0) {
		ck_assert_uint_le(lane_count(), 5);
		finish(0, PACE_NO_ANSWER);
	}
	ck_assert_uint_eq(begun_total, DOMAINS + 1);
	ck_assert_uint_eq(lane_count(), 0);
	ck_assert_uint_le(known_octets(), 128 * DOMAINS);
}
END_TEST

START_TEST(what_goes_together_leaves_the_backlog_together)
{
	enum { RECIPIENTS = 300 };
	struct queue_db_recipient list[RECIPIENTS];
	struct queue_db_message message = { .id = 1000, .body.fd = -1,
		.recipients = list, .recipient_count = RECIPIENTS,
		.envelope = envelope("news@a.test") };
	unsigned most = 0;

	for (unsigned i = 0; i < 5; i++)
		mail("news@a.test", ph_arena_printf(arena, "d%u.test", i), 1);
	for (unsigned i = 0; i < RECIPIENTS; i++)
		list[i] = (struct queue_db_recipient){ .number = i,
			.state = QUEUE_DB_WAITING,
			.address = ph_slice_str(ph_arena_printf(arena,
			    "x%u@e%u.test", i, i % 3)) };
	entry_add(entry_create(&message));
	schedule_due(entry_find(1000));
	ck_assert_uint_eq(lane_count(), 5);
	begun_total = 0;
	while (begun_n > 0) {
		const struct entry *entry = begun[0]->entry;
		unsigned n = 0;

		for (size_t i = 0; i < entry->recipient_count; i++)
			n += entry->recipients[i].where == AT_WORK &&
			    entry->recipients[i].job == begun[0];
		most = n > most ? n : most;
		finish(0, PACE_ANSWERED);
	}
	ck_assert_uint_eq(most, 100);
	ck_assert_uint_eq(begun_total, 3);
}
END_TEST

START_TEST(what_leaves_the_backlog_is_gone)
{
	struct entry *held, *removed, *bounced;

	for (unsigned i = 0; i < 5; i++)
		mail("news@a.test", ph_arena_printf(arena, "d%u.test", i), 1);
	held = mail("news@a.test", "held.test", 1);
	removed = mail("news@a.test", "gone.test", 1);
	bounced = mail("news@a.test", "back.test", 3);
	held->is_held = true;
	schedule_entry(held);
	entry_remove(removed);
	ck_assert_ptr_null(held->recipients[0].lane);
	ck_assert_int_eq(held->recipients[0].where, AT_REST);
	bounced->is_bounced = true;
	schedule_due(bounced);
	ck_assert_uint_eq(begun_n, 6);
	ck_assert(begun[5]->is_silent);
	ck_assert_str_eq(begun[5]->lane->name, "back.test");
	for (size_t i = 0; i < 3; i++)
		ck_assert_ptr_eq(bounced->recipients[i].job, begun[5]);
	while (begun_n > 0)
		finish(0, PACE_ANSWERED);
	ck_assert_uint_eq(begun_total, 6);
	ck_assert_uint_eq(lane_count(), 0);
}
END_TEST

START_TEST(a_rate_counts_messages_that_come_one_by_one)
{
	static const char *const limits[] = { "few.test rate=2/1h", NULL };

	generation->core.queue.destination_limits = limits;
	for (unsigned i = 0; i < 2; i++) {
		mail("a@a.test", "few.test", 1);
		ck_assert_uint_eq(begun_n, 1);
		finish(0, PACE_ANSWERED);
	}
	mail("a@a.test", "few.test", 1);
	ck_assert_uint_eq(begun_n, 0);
	ck_assert_uint_eq(lane_count(), 1);
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
		entry = mail("news@a.test", "far.test", 1);
	entry->begun_at -= 2 * 86400;
	schedule_due(entry);
	ck_assert_int_eq(entry->recipients[0].where, IN_LINE);
	while (begun_n > 0) {
		ck_assert(!begun[0]->is_silent);
		finish(0, PACE_ANSWERED);
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
		priority = (int8_t)level;
		*at = mail("a@a.test", domain, 1 + draw(3));
		priority = 0;
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
	static const char *const domains[] = { "a.test", "b.test", "c.test",
		"d.test", "e.test", "f.test", "g.test", "h.test", "i.test",
		"j.test", "k.test", "l.test" };
	struct entry *all[64] = { NULL };

	generation->core.queue.relay_concurrency = 5;
	for (unsigned i = 0; i < 60000; i++) {
		const char *domain = domains[draw(12)];
		size_t what = draw(20), before;

		if (what < 9) {
			change_any(&all[draw(64)], domain);
		} else if (what < 18 && begun_n > 0) {
			finish(draw((uint32_t)begun_n), draw(3) == 0 ?
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
		lane_set_suspended(domains[i % 12], false);
		lane_forgive(domains[i % 12]);
		if (all[i] != NULL)
			let_go(all[i]);
	}
	while (begun_n > 0)
		finish(0, PACE_ANSWERED);
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
	tcase_add_test(all, whatever_happens_what_may_begin_has_begun);
	tcase_add_test(all, dead_destinations_leave_half_to_others);
	tcase_add_test(all, a_dead_destination_is_one_timer_and_one_attempt);
	tcase_add_test(all, what_is_held_or_removed_leaves_the_line);
	tcase_add_test(all, keeps_to_limits_of_destination_and_transport);
	tcase_add_test(all,
	    who_waited_too_long_at_a_dead_destination_hears_of_it);
	tcase_add_test(all,
	    all_who_waited_too_long_hear_the_last_words_of_their_destination);
	tcase_add_test(all, names_given_by_hand_have_no_case);
	tcase_add_test(all, finds_destinations_again_however_many_there_are);
	tcase_add_test(all,
	    what_only_rests_has_no_lane_and_learns_what_another_found_out);
	tcase_add_test(all, who_is_too_old_hears_of_it_where_there_is_no_lane);
	tcase_add_test(all, what_is_due_costs_no_lane_before_its_turn);
	tcase_add_test(all, what_goes_together_leaves_the_backlog_together);
	tcase_add_test(all, what_leaves_the_backlog_is_gone);
	tcase_add_test(all, a_rate_counts_messages_that_come_one_by_one);
	tcase_add_test(all, what_only_rests_is_returned_by_hand_at_once);
	tcase_add_test(all, what_is_old_is_tried_when_its_destination_works);
	suite_add_tcase(suite, all);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
