/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_share_test.c - questions that share a look-up, and answers that are kept,
 * against a DNS server in threads of this process.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "loop/fiber.h"
#include "net/dns.h"
#include "net/dns_cache.h"
#include "net/dns_fake.h"
#include "net/dns_udp.h"

enum { CACHE = 1 << 20 };

static const struct ph_dns_answer *got;

/* --- shared look-ups --- */

struct part {
	unsigned timeout_ms;
	bool done;
	const struct ph_dns_answer *answer;
};

static void
ask_held(void *arg)
{
	struct part *part = arg;

	if (part->timeout_ms > 0)
		ph_deadline_push(part->timeout_ms);
	part->answer = ph_dns_a(arena, "held.test");
	part->done = true;
}

static void
until_asked(unsigned questions)
{
	while (fake_dns.questions < questions)
		ph_sleep_ms(1);
}

static void
ck_got(const struct part *part, enum ph_dns_result result)
{
	ck_assert(part->done);
	ck_assert_int_eq(part->answer->result, result);
	ck_assert_uint_eq(part->answer->count, result == PH_DNS_OK);
	ck_assert_str_eq(part->answer->name, "held.test");
}

static struct resolver_counts
counts(void)
{
	struct resolver_counts now;

	resolver_counts(&now);
	return now;
}

static void
equal_main(void *arg)
{
	struct part part[3] = { { .done = false } };
	struct ph_dns_batch *batch = ph_dns_batch(arena, LONG_MS);
	uint64_t joined = counts().joined;
	struct ph_scope scope;

	(void)arg;
	ph_scope_begin(&scope);
	ph_dns_batch_a(batch, "Held.test");
	ph_dns_batch_a(batch, "held.test.");
	for (unsigned i = 0; i < 3; i++)
		ph_scope_spawn(&scope, ask_held, &part[i]);
	until_asked(1);
	ph_sleep_ms(5);
	ck_answer(ph_dns_a(arena, "release.test"), PH_DNS_NO_DATA, 0);
	ck_assert_int_eq(ph_scope_wait(&scope), PH_OK);
	ph_scope_end(&scope);
	for (unsigned i = 0; i < 3; i++)
		ck_got(&part[i], PH_DNS_OK);
	ck_answer(ph_dns_batch_next(batch), PH_DNS_OK, 1);
	ck_answer(ph_dns_batch_next(batch), PH_DNS_OK, 1);
	ck_assert_ptr_null(ph_dns_batch_next(batch));
	ck_assert_uint_eq(fake_dns.questions, 2);
	ck_assert_uint_eq(counts().joined - joined, 4);
	/* nothing was kept */
	ck_answer(ph_dns_a(arena, "release.test"), PH_DNS_NO_DATA, 0);
	ck_assert_uint_eq(fake_dns.questions, 3);
	fiber_runtime_stop();
}

START_TEST(equal_questions_in_flight_are_asked_once)
{
	fake_dns_run(equal_main, NULL, LONG_MS, 0);
}
END_TEST

/* The first asker's scope ends, the second's time is over, an arena with a
 * batch ends; the third still hears the answer. */
static void
leaving_main(void *arg)
{
	struct part part[3] = { { .timeout_ms = 0 }, { .timeout_ms = 20 },
		{ .timeout_ms = 0 } };
	struct ph_arena *call = ph_arena_create(NULL);
	struct ph_scope first, others;

	(void)arg;
	ph_scope_begin(&first);
	ph_scope_begin(&others);
	ph_scope_spawn(&first, ask_held, &part[0]);
	until_asked(1);
	ph_dns_batch_a(ph_dns_batch(call, LONG_MS), "held.test");
	ph_scope_spawn(&others, ask_held, &part[1]);
	ph_scope_spawn(&others, ask_held, &part[2]);
	ph_sleep_ms(5);
	ph_scope_end(&first);
	ck_got(&part[0], PH_DNS_NO_ANSWER);
	ph_arena_free(call);
	while (!part[1].done)
		ph_sleep_ms(1);
	ck_got(&part[1], PH_DNS_NO_ANSWER);
	ck_assert(!part[2].done);
	ck_assert_uint_eq(dns_udp_open_questions(), 1);
	ck_answer(ph_dns_a(arena, "release.test"), PH_DNS_NO_DATA, 0);
	ck_assert_int_eq(ph_scope_wait(&others), PH_OK);
	ph_scope_end(&others);
	ck_got(&part[2], PH_DNS_OK);
	ck_assert_uint_eq(fake_dns.questions, 2);
	fiber_runtime_stop();
}

START_TEST(who_leaves_takes_no_answer_from_the_others)
{
	fake_dns_run(leaving_main, NULL, LONG_MS, 0);
}
END_TEST

/* With the last asker a look-up ends; the next one begins anew, at once. */
static void
last_main(void *arg)
{
	struct part part[3] = { { .timeout_ms = 0 } };
	struct ph_scope scope;

	(void)arg;
	for (unsigned i = 0; i < 3; i++) {
		ph_scope_begin(&scope);
		ph_scope_spawn(&scope, ask_held, &part[i]);
		until_asked(i + 1);
		ph_scope_end(&scope);
		ck_got(&part[i], PH_DNS_NO_ANSWER);
	}
	ph_sleep_ms(5);
	ck_assert_uint_eq(dns_udp_open_questions(), 0);
	fiber_runtime_stop();
}

START_TEST(a_look_up_ends_with_its_last_asker)
{
	fake_dns_run(last_main, NULL, LONG_MS, 0);
}
END_TEST

/* The batch's time is over: all it asked is told, at its end. */
static void
late_main(void *arg)
{
	struct ph_dns_batch *batch = ph_dns_batch(arena, 30);

	(void)arg;
	ph_dns_batch_a(batch, "held1.test");
	ph_dns_batch_a(batch, "held2.test");
	ck_answer(ph_dns_batch_next(batch), PH_DNS_NO_ANSWER, 0);
	ck_answer(ph_dns_batch_next(batch), PH_DNS_NO_ANSWER, 0);
	ck_assert_ptr_null(ph_dns_batch_next(batch));
	ph_sleep_ms(5);
	ck_assert_uint_eq(dns_udp_open_questions(), 0);
	fiber_runtime_stop();
}

START_TEST(a_batch_tells_what_came_too_late)
{
	fake_dns_run(late_main, NULL, LONG_MS, 0);
}
END_TEST

static void
reload_main(void *arg)
{
	char text[64];
	const char *servers[] = { text, NULL };
	struct part part = { .timeout_ms = 0 };
	struct ph_scope scope;
	struct ph_err err;

	(void)arg;
	snprintf(text, sizeof(text), "127.0.0.1:%u", fake_dns.port);
	ck_answer(ph_dns_a(arena, "a.test"), PH_DNS_OK, 1);
	ph_scope_begin(&scope);
	ph_scope_spawn(&scope, ask_held, &part);
	until_asked(2);
	ck_assert_int_eq(resolver_init(servers, LONG_MS, 2, CACHE, &err),
	    PH_OK);
	ck_answer(ph_dns_a(arena, "a.test"), PH_DNS_OK, 1);
	ck_answer(ph_dns_a(arena, "release.test"), PH_DNS_NO_DATA, 0);
	ck_assert_int_eq(ph_scope_wait(&scope), PH_OK);
	ph_scope_end(&scope);
	ck_got(&part, PH_DNS_OK);
	ck_assert_uint_eq(fake_dns.questions, 4);
	part.done = false; /* what the former servers said is not kept */
	ph_scope_begin(&scope);
	ph_scope_spawn(&scope, ask_held, &part);
	until_asked(5);
	ph_scope_end(&scope);
	fiber_runtime_stop();
}

START_TEST(new_settings_forget_answers_and_harm_no_question)
{
	fake_dns_run(reload_main, NULL, LONG_MS, CACHE);
}
END_TEST

/* --- the cache --- */

static void
kept_main(void *arg)
{
	static const struct {
		const char *name;
		enum ph_dns_result result;
		unsigned questions; /* of three */
	} table[] = {
		{ "a.test", PH_DNS_OK, 1 },
		{ "A.test.", PH_DNS_OK, 0 },
		{ "gone.test", PH_DNS_NO_NAME, 1 },
		{ "inside.test", PH_DNS_OK, 1 },
		{ "none.test", PH_DNS_NO_NAME, 3 }, /* without SOA */
		{ "empty.test", PH_DNS_NO_DATA, 3 },
		{ "zero.test", PH_DNS_OK, 3 }, /* TTL 0 */
		{ "servfail.test", PH_DNS_NO_ANSWER, 6 }, /* two attempts */
		{ "garbage.test", PH_DNS_NO_ANSWER, 3 },
		{ "many.test", PH_DNS_OK, 1 }, /* over TCP */
	};

	(void)arg;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		fake_dns.questions = 0;
		for (unsigned k = 0; k < 3; k++) {
			got = ph_dns_a(arena, table[i].name);
			ck_assert_int_eq(got->result, table[i].result);
			ck_assert_str_eq(got->name, table[i].name);
		}
		ck_assert_msg(fake_dns.questions <= table[i].questions,
		    "%s: %u questions", table[i].name, fake_dns.questions);
		ck_assert_msg(table[i].questions < 3 || fake_dns.questions > 2,
		    "%s was kept", table[i].name);
	}
	ck_answer(ph_dns_mx(arena, "a.test"), PH_DNS_NO_DATA, 0);
	ck_answer(ph_dns_host(arena, "a.test"), PH_DNS_OK, 2);
	ck_assert_uint_le(got->ttl_s, 5);
	fiber_runtime_stop();
}

START_TEST(keeps_what_has_a_ttl_and_nothing_that_could_not_be_told)
{
	fake_dns_run(kept_main, NULL, LONG_MS, CACHE);
}
END_TEST

static void
expiry_main(void *arg)
{
	uint64_t start = ph_now_ms();

	(void)arg;
	do {
		ck_answer(ph_dns_a(arena, "brief.test"), PH_DNS_OK, 1);
		ck_assert_uint_eq(got->ttl_s, 1);
		ph_sleep_ms(1);
	} while (fake_dns.questions < 2);
	ck_assert_uint_ge(ph_now_ms() - start, 1000);
	fiber_runtime_stop();
}

START_TEST(an_answer_is_kept_for_its_ttl)
{
	fake_dns_run(expiry_main, NULL, LONG_MS, CACHE);
}
END_TEST

static void
bound_main(void *arg)
{
	enum { MANY = 400 };
	char name[32];
	unsigned kept = 0;

	(void)arg;
	for (unsigned i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "keep%u.test", i);
		ck_answer(ph_dns_a(arena, name), PH_DNS_OK, 1);
		ck_answer(ph_dns_a(arena, "keep0.test"), PH_DNS_OK, 1);
	}
	ck_assert_uint_eq(fake_dns.questions, MANY); /* 0 is always in use */
	for (unsigned i = 0; i < MANY; i++) {
		uint32_t ttl_s;

		snprintf(name, sizeof(name), "keep%u.test", i);
		kept += dns_cache_get(name, DNS_KIND_A, &ttl_s) != NULL;
	}
	ck_assert_uint_ge(kept, 8);
	ck_assert_uint_le(kept, (64 << 10) / 512);
	/* more than its share */
	ck_answer(ph_dns_a(arena, "many.test"), PH_DNS_OK, DNS_RECORDS_MAX);
	ck_answer(ph_dns_a(arena, "many.test"), PH_DNS_OK, DNS_RECORDS_MAX);
	ck_assert_uint_eq(fake_dns.questions, MANY + 2);
	fiber_runtime_stop();
}

START_TEST(what_was_not_used_for_longest_makes_room)
{
	fake_dns_run(bound_main, NULL, LONG_MS, 64 << 10);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("dns_share");
	TCase *tcase = tcase_create("dns_share");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 200);
	tcase_add_test(tcase, equal_questions_in_flight_are_asked_once);
	tcase_add_test(tcase, who_leaves_takes_no_answer_from_the_others);
	tcase_add_test(tcase, a_look_up_ends_with_its_last_asker);
	tcase_add_test(tcase, a_batch_tells_what_came_too_late);
	tcase_add_test(tcase, new_settings_forget_answers_and_harm_no_question);
	tcase_add_test(tcase,
	    keeps_what_has_a_ttl_and_nothing_that_could_not_be_told);
	tcase_add_test(tcase, an_answer_is_kept_for_its_ttl);
	tcase_add_test(tcase, what_was_not_used_for_longest_makes_room);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
