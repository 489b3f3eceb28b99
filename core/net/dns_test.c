/* SPDX-License-Identifier: Apache-2.0 */
/* dns_test.c - the resolver against a DNS server in threads of this process. */
#include <check.h>
#include <stdlib.h>

#include "loop/fiber.h"
#include "net/dns.h"
#include "net/dns_fake.h"
#include "net/dns_udp.h"

static const struct ph_dns_answer *got;

static void
run(void (*fn)(void *))
{
	fake_dns_run(fn, NULL, LONG_MS, 0);
}

static bool
is_addr(const struct ph_addr *addr, const char *text)
{
	char buffer[PH_ADDR_TEXT_MAX];

	return strcmp(ph_addr_format(addr, buffer), text) == 0;
}

/* --- tests --- */

static void
plain_main(void *arg)
{
	struct ph_addr addr;

	(void)arg;
	ck_answer(ph_dns_a(arena, "a.test"), PH_DNS_OK, 1);
	ck_assert(is_addr(got->addr, "192.0.2.7"));
	ck_assert_str_eq(got->name, "a.test");
	ck_answer(ph_dns_a(arena, "A.Test."), PH_DNS_OK, 1);
	ck_answer(ph_dns_aaaa(arena, "a.test"), PH_DNS_OK, 1);
	ck_assert(is_addr(got->addr, "2001:db8::7"));
	ck_answer(ph_dns_host(arena, "a.test"), PH_DNS_OK, 2);
	ck_assert(is_addr(&got->addr[0], "2001:db8::7"));
	ck_assert(is_addr(&got->addr[1], "192.0.2.7"));
	ck_answer(ph_dns_a(arena, "none.test"), PH_DNS_NO_NAME, 0);
	ck_answer(ph_dns_host(arena, "none.test"), PH_DNS_NO_NAME, 0);
	ck_answer(ph_dns_a(arena, "empty.test"), PH_DNS_NO_DATA, 0);
	ck_answer(ph_dns_host(arena, "empty.test"), PH_DNS_NO_DATA, 0);
	ck_answer(ph_dns_a(arena, "servfail.test"), PH_DNS_NO_ANSWER, 0);
	ck_answer(ph_dns_a(arena, "wrongid.test"), PH_DNS_OK, 1);
	ck_assert(is_addr(got->addr, "192.0.2.6"));
	ph_addr_parse(PH_LIT("192.0.2.7"), &addr);
	ck_answer(ph_dns_ptr(arena, &addr), PH_DNS_OK, 1);
	ck_assert_str_eq(got->ptr[0], "a.test");
	fiber_runtime_stop();
}

START_TEST(tells_answers_from_no_name_no_data_and_no_answer)
{
	run(plain_main);
}
END_TEST

static void
mail_main(void *arg)
{
	(void)arg;
	ck_answer(ph_dns_mx(arena, "mx.test"), PH_DNS_OK, 3);
	ck_assert_str_eq(got->mx[0].host, "a.test");
	ck_assert_str_eq(got->mx[1].host, "b.test");
	ck_assert_uint_eq(got->mx[2].preference, 30);
	ck_answer(ph_dns_mx(arena, "nullmx.test"), PH_DNS_OK, 1);
	ck_assert_str_eq(got->mx[0].host, "");
	ck_answer(ph_dns_mx(arena, "oddmx.test"), PH_DNS_NO_ANSWER, 0);
	ck_answer(ph_dns_mx(arena, "a.test"), PH_DNS_NO_DATA, 0);
	ck_answer(ph_dns_txt(arena, "txt.test"), PH_DNS_OK, 2);
	ck_assert(ph_slice_eq(got->txt[0], PH_LIT("v=spf1 -all")));
	ck_assert_uint_eq(got->txt[1].n, 0);
	ck_answer(ph_dns_txt(arena, "badtxt.test"), PH_DNS_NO_ANSWER, 0);
	fiber_runtime_stop();
}

START_TEST(sorts_mx_and_joins_txt)
{
	run(mail_main);
}
END_TEST

static void
alias_main(void *arg)
{
	(void)arg;
	ck_answer(ph_dns_a(arena, "inside.test"), PH_DNS_OK, 1);
	ck_assert(is_addr(got->addr, "192.0.2.9"));
	ck_assert_uint_eq(got->ttl_s, 3); /* the alias's */
	ck_answer(ph_dns_a(arena, "outside.test"), PH_DNS_OK, 1);
	ck_assert(is_addr(got->addr, "192.0.2.7"));
	ck_assert_str_eq(got->name, "outside.test");
	ck_assert_uint_eq(got->ttl_s, 3);
	ck_answer(ph_dns_a(arena, "alias-of-none.test"), PH_DNS_NO_NAME, 0);
	ck_assert_uint_eq(got->ttl_s, 0);
	ck_answer(ph_dns_a(arena, "loop.test"), PH_DNS_NO_ANSWER, 0);
	ck_answer(ph_dns_a(arena, "knot.test"), PH_DNS_NO_ANSWER, 0);
	ck_answer(ph_dns_a(arena, "chain8.test"), PH_DNS_OK, 1);
	ck_answer(ph_dns_a(arena, "chain9.test"), PH_DNS_NO_ANSWER, 0);
	fiber_runtime_stop();
}

START_TEST(follows_eight_aliases_and_no_more)
{
	run(alias_main);
}
END_TEST

static void
tcp_main(void *arg)
{
	(void)arg;
	ck_answer(ph_dns_a(arena, "many.test"), PH_DNS_OK, DNS_RECORDS_MAX);
	ck_assert(is_addr(&got->addr[255], "10.0.0.255"));
	ck_answer(ph_dns_a(arena, "hangup.test"), PH_DNS_NO_ANSWER, 0);
	fiber_runtime_stop();
}

START_TEST(asks_over_tcp_what_udp_truncated)
{
	run(tcp_main);
}
END_TEST

static void
broken_main(void *arg)
{
	(void)arg;
	ck_answer(ph_dns_a(arena, "short.test"), PH_DNS_NO_ANSWER, 0);
	ck_answer(ph_dns_a(arena, "garbage.test"), PH_DNS_NO_ANSWER, 0);
	ck_assert_uint_gt(fake_dns.questions, 0);
	fake_dns.questions = 0;
	ck_answer(ph_dns_a(arena, "a b.test"), PH_DNS_NO_NAME, 0);
	ck_answer(ph_dns_a(arena, "a..test"), PH_DNS_NO_NAME, 0);
	ck_answer(ph_dns_a(arena, ""), PH_DNS_NO_NAME, 0);
	ck_answer(ph_dns_a(arena, "-\n.test"), PH_DNS_NO_NAME, 0);
	ck_assert_uint_eq(fake_dns.questions, 0);
	fiber_runtime_stop();
}

START_TEST(malformed_packets_and_names_are_no_answer)
{
	run(broken_main);
}
END_TEST

static void
silent_main(void *arg)
{
	uint64_t start = ph_now_ms();

	(void)arg;
	ck_answer(ph_dns_a(arena, "silent.test"), PH_DNS_NO_ANSWER, 0);
	ck_assert_uint_ge(ph_now_ms() - start, 1500);
	while (fake_dns.questions < 2) /* the server may be late */
		ph_sleep_ms(1);
	ck_assert_uint_eq(fake_dns.questions, 2);
	ck_answer(ph_dns_host(arena, "half.test"), PH_DNS_OK, 1);
	fiber_runtime_stop();
}

START_TEST(asks_again_and_gives_up)
{
	fake_dns_run(silent_main, NULL, 3000, 0);
}
END_TEST


static void
second_main(void *arg)
{
	(void)arg;
	ck_answer(ph_dns_a(arena, "a.test"), PH_DNS_OK, 1);
	fiber_runtime_stop();
}

START_TEST(asks_the_next_server_when_one_is_dead)
{
	fake_dns_run(second_main, "127.0.0.1:1", 4000, 0);
}
END_TEST

static void
canceled_child(void *arg)
{
	(void)arg;
	ck_answer(ph_dns_a(arena, "silent.test"), PH_DNS_NO_ANSWER, 0);
	ck_answer(ph_dns_host(arena, "silent.test"), PH_DNS_NO_ANSWER, 0);
}

static void
cancel_main(void *arg)
{
	uint64_t start = ph_now_ms(), former;
	struct ph_scope scope;

	(void)arg;
	ph_scope_begin(&scope);
	ph_scope_spawn(&scope, canceled_child, NULL);
	ph_sleep_ms(20);
	ph_scope_end(&scope);
	former = ph_deadline_push(30);
	ck_answer(ph_dns_a(arena, "silent.test"), PH_DNS_NO_ANSWER, 0);
	ck_answer(ph_dns_host(arena, "silent.test"), PH_DNS_NO_ANSWER, 0);
	ph_deadline_restore(former);
	ck_assert_uint_lt(ph_now_ms() - start, LONG_MS / 2);
	ph_sleep_ms(5);
	fiber_runtime_stop();
}

START_TEST(cancelling_or_a_deadline_ends_a_question)
{
	run(cancel_main);
}
END_TEST

/* Each answer has the records of its kind, and outlives what was asked for. */
static void
batch_of_kinds(void)
{
	struct ph_dns_batch *batch = ph_dns_batch(arena, LONG_MS);
	const struct ph_dns_answer *answer;
	struct ph_addr addr;
	unsigned seen = 0;

	ck_assert(ph_addr_parse(PH_LIT("192.0.2.7"), &addr));
	ph_dns_batch_mx(batch, "mx.test");
	ph_dns_batch_ptr(batch, &addr);
	ph_dns_batch_aaaa(batch, "a.test");
	while ((answer = ph_dns_batch_next(batch)) != NULL) {
		ck_assert_int_eq(answer->result, PH_DNS_OK);
		ck_assert_uint_eq(answer->ttl_s, 5);
		if (answer->mx != NULL) {
			ck_assert_uint_eq(answer->count, 3);
			ck_assert_str_eq(answer->mx[2].host, "c.test");
			seen |= 1;
		} else if (answer->ptr != NULL) {
			ck_assert_str_eq(answer->name,
			    "7.2.0.192.in-addr.arpa");
			ck_assert_str_eq(answer->ptr[0], "a.test");
			seen |= 2;
		} else {
			ck_assert(is_addr(answer->addr, "2001:db8::7"));
			seen |= 4;
		}
	}
	ck_assert_uint_eq(seen, 7);
}

static void
batch_main(void *arg)
{
	static const char *const names[] = { "silent.test", "a.test",
		"none.test", "inside.test", "not a name" };
	struct ph_arena *call = ph_arena_create(NULL);
	struct ph_dns_batch *batch = ph_dns_batch(call, LONG_MS);
	const struct ph_dns_answer *answer;
	unsigned seen = 0;

	(void)arg;
	for (size_t i = 0; i < 5; i++)
		ph_dns_batch_a(batch, names[i]);
	ph_dns_batch_txt(batch, "txt.test");
	for (unsigned i = 0; i < 5; i++) {
		answer = ph_dns_batch_next(batch);
		ck_assert_ptr_nonnull(answer);
		for (unsigned k = 0; k < 5; k++)
			if (strcmp(answer->name, names[k]) == 0)
				seen |= 1u << k;
		if (answer->txt != NULL) {
			ck_assert_uint_eq(answer->count, 2);
			ck_assert(ph_slice_eq(answer->txt[0],
			    PH_LIT("v=spf1 -all")));
		}
	}
	ck_assert_uint_eq(seen, 0x1e); /* all but the silent one */
	ph_arena_free(call); /* drops it */
	ph_sleep_ms(5);
	ck_assert_uint_eq(dns_udp_open_questions(), 0);
	batch_of_kinds();
	batch = ph_dns_batch(arena, 50);
	ph_dns_batch_a(batch, "silent.test");
	while ((answer = ph_dns_batch_next(batch)) != NULL)
		ck_assert_int_eq(answer->result, PH_DNS_NO_ANSWER);
	fiber_runtime_stop();
}

START_TEST(batches_give_answers_as_they_come)
{
	run(batch_main);
}
END_TEST

/* How many of 32 questions came with an id, and from a port, like the last. */
static void
ask_many(unsigned *same_id_out, unsigned *same_port_out)
{
	while (fake_dns.questions < 33)
		ck_answer(ph_dns_a(arena, "a.test"), PH_DNS_OK, 1);
	*same_id_out = *same_port_out = 0;
	for (unsigned i = 1; i < 32; i++) {
		int step = fake_dns.id[i] - fake_dns.id[i - 1];

		*same_id_out += step >= -1 && step <= 1;
		*same_port_out += fake_dns.from[i] == fake_dns.from[i - 1];
	}
}

static void
remote_main(void *arg)
{
	unsigned same_id, same_port;

	(void)arg;
	ask_many(&same_id, &same_port);
	ck_assert_uint_lt(same_id, 4);
	ck_assert_uint_lt(same_port, 4);
	fiber_runtime_stop();
}

/* "This host" is not a loopback address, but answers as one: nobody does. */
START_TEST(ids_and_ports_differ_from_question_to_question)
{
	fake_dns_run(remote_main, "0.0.0.0:1", LONG_MS, 0);
}
END_TEST

static void
local_main(void *arg)
{
	unsigned same_id, same_port;

	(void)arg;
	ask_many(&same_id, &same_port);
	ck_assert_uint_lt(same_id, 4);
	ck_assert_uint_ge(same_port, 16);
	fiber_runtime_stop();
}

START_TEST(a_server_on_loopback_is_asked_from_few_ports)
{
	run(local_main);
}
END_TEST

START_TEST(refuses_servers_that_are_no_address)
{
	static const char *const bad[][2] = { { "localhost", NULL },
		{ "127.0.0.1:", NULL }, { "127.0.0.1:0", NULL },
		{ "127.0.0.1:65536", NULL }, { "[::1]x", NULL },
		{ "[::1", NULL }, { "", NULL } };
	static const char *const good[][2] = { { "127.0.0.1", NULL },
		{ "::1", NULL }, { "[::1]", NULL }, { "[::1]:5353", NULL } };
	struct ph_err err;

	for (size_t i = 0; i < 7; i++)
		ck_assert_int_eq(resolver_init(bad[i], 1000, 2, 0, &err),
		    PH_INVALID);
	for (size_t i = 0; i < 4; i++)
		ck_assert_int_eq(resolver_init(good[i], 1000, 2, 0, &err),
		    PH_OK);
	resolver_fini();
}
END_TEST

/* A packet cut anywhere, or with any octet changed, is parsed without harm. */
START_TEST(any_damage_of_a_packet_is_survived)
{
	static struct fake_packet packet;
	char name[DNS_NAME_TEXT];
	uint8_t query[DNS_QUERY_MAX];
	struct ph_dns_answer parsed = { .ttl_s = UINT32_MAX };
	const char *alias;
	unsigned cnames;
	size_t n = dns_query_build(query, 7, "inside.test", DNS_KIND_A);

	fake_dns_reply(query, n, name, &packet);
	fake_dns_answer_alias(&packet, name);
	arena = ph_arena_create(NULL);
	for (size_t i = 0; i < packet.n; i++) {
		char *cut = malloc(i + 1);

		memcpy(cut, packet.p, i);
		cnames = 0;
		dns_packet_parse(arena, (struct ph_slice){ cut, i },
		    "inside.test", DNS_KIND_A, &cnames, &parsed, &alias);
		ck_assert_int_eq(parsed.result, PH_DNS_NO_ANSWER);
		free(cut);
	}
	for (size_t i = 0; i < packet.n * 256; i++) {
		uint8_t was = packet.p[i / 256];

		packet.p[i / 256] = (uint8_t)i;
		cnames = 0;
		dns_packet_parse(arena,
		    (struct ph_slice){ (char *)packet.p, packet.n },
		    "inside.test", DNS_KIND_A, &cnames, &parsed, &alias);
		packet.p[i / 256] = was;
		if (i % 64 == 0) {
			ph_arena_free(arena);
			arena = ph_arena_create(NULL);
		}
	}
	ph_arena_free(arena);
}
END_TEST

START_TEST(reverses_addresses)
{
	struct ph_addr addr;

	arena = ph_arena_create(NULL);
	ph_addr_parse(PH_LIT("192.0.2.99"), &addr);
	ck_assert_str_eq(ph_dns_reverse(arena, &addr, "bl.test"),
	    "99.2.0.192.bl.test");
	ph_addr_parse(PH_LIT("2001:db8::567:89ab"), &addr);
	ck_assert_str_eq(ph_dns_reverse(arena, &addr, "ip6.arpa"),
	    "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0."
	    "2.ip6.arpa");
	ph_arena_free(arena);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("dns");
	TCase *tcase = tcase_create("dns");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 200);
	tcase_add_test(tcase, reverses_addresses);
	tcase_add_test(tcase, any_damage_of_a_packet_is_survived);
	tcase_add_test(tcase, refuses_servers_that_are_no_address);
	tcase_add_test(tcase,
	    tells_answers_from_no_name_no_data_and_no_answer);
	tcase_add_test(tcase, sorts_mx_and_joins_txt);
	tcase_add_test(tcase, follows_eight_aliases_and_no_more);
	tcase_add_test(tcase, asks_over_tcp_what_udp_truncated);
	tcase_add_test(tcase, malformed_packets_and_names_are_no_answer);
	tcase_add_test(tcase, asks_again_and_gives_up);
	tcase_add_test(tcase, asks_the_next_server_when_one_is_dead);
	tcase_add_test(tcase, cancelling_or_a_deadline_ends_a_question);
	tcase_add_test(tcase, batches_give_answers_as_they_come);
	tcase_add_test(tcase, ids_and_ports_differ_from_question_to_question);
	tcase_add_test(tcase, a_server_on_loopback_is_asked_from_few_ports);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
