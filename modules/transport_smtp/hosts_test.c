/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hosts_test.c - which addresses of a domain are tried, and in which order,
 * without a word to anybody.
 */
#include "hosts.h"

#include <check.h>
#include <stdio.h>

#include "base/record.h"
#include "loop/fiber.h"
#include "net/dns.h"
#include "peer_fixture.h"
#include "role/attempt.h"
#include "role/messages.h"

static const struct client_conf client;
static struct smtp_conf conf = { .relay_host = "", .max_hosts = 10,
	.allow_loopback = true };
static struct ph_attempt *attempt;
static struct ph_arena *arena;
static struct fake_dns dns;
static const char *own; /* the address of this machine */
static const char *domain;
static char tried[200]; /* addresses, a space after each */

/* equal.test has mx0.test (127.0.0.9), then mx1.test and mx2.test, then
 * mail.test (127.0.0.2); twins.test mx1.test and mx2.test.
 * two.test has mx1.test (127.0.0.2), then mx2.test (127.0.0.3). */
static void
find_main(void *arg)
{
	struct client_peer peer = { 0 };
	char text[PH_ADDR_TEXT_MAX];
	struct delivery *delivery;
	struct ph_addr addr;
	struct hosts hosts;
	struct ph_err err;
	struct ph_buf buf;
	size_t mark;

	(void)arg;
	ph_buf_init(&buf, arena, 4096);
	record_put_u64(&buf, F_QUEUE_ID, 77);
	record_put_str(&buf, F_DESTINATION, domain);
	record_put_str(&buf, F_SENDER, "a@example.test");
	mark = record_begin(&buf, F_RCPT);
	record_put_u64(&buf, F_NUMBER, 0);
	record_put_str(&buf, F_ADDRESS, "x@two.test");
	record_end(&buf, mark);
	record_put_str(&buf, F_CONTENT, "A: b\r\n\r\n");
	ck_assert_int_eq(attempt_parse(arena, ph_buf_content(&buf), &attempt),
	    PH_OK);
	attempt->hostname = "mail.example.test";
	ck_assert_int_eq(attempt_open(attempt, -1, 0, &err), PH_OK);
	delivery = delivery_create(attempt, &client);
	ck_assert(hosts_find(delivery, &conf, &hosts));
	ck_assert(ph_addr_parse(ph_slice_str(own), &addr));
	hosts.own = &addr;
	hosts.own_count = 1;
	tried[0] = '\0';
	while (hosts_next(&hosts, &peer))
		snprintf(tried + strlen(tried), sizeof(tried) - strlen(tried),
		    "%s ", ph_addr_format(&peer.addr, text));
	delivery_end(delivery);
	fiber_runtime_stop();
}

static void
find(const char *name, const char *address, const char *expected)
{
	domain = name;
	own = address;
	fiber_runtime_init();
	fiber_start(find_main, NULL);
	fiber_runtime_run();
	resolver_close();
	fiber_runtime_fini();
	ck_assert_str_eq(tried, expected);
}

static void
setup(void)
{
	static char server[64];
	static const char *servers[2] = { server, NULL };
	struct ph_err err;

	arena = ph_arena_create(NULL);
	fake_dns_start(&dns);
	snprintf(server, sizeof(server), "127.0.0.1:%u", dns.port);
	ck_assert_int_eq(resolver_init(servers, 2000, 2, 0, &err),
	    PH_OK);
}

static void
teardown(void)
{
	resolver_fini();
	fake_dns_stop(&dns);
	ph_arena_free(arena);
}

START_TEST(sends_nothing_to_those_behind_itself)
{
	find("two.test", "192.0.2.9", "127.0.0.2 127.0.0.3 ");
	find("two.test", "127.0.0.3", "127.0.0.2 ");
	ck_assert_int_eq(attempt->recipients[0].result.delivery, PH_FAILED);
	find("two.test", "127.0.0.2", "");
	ck_assert_str_eq(attempt->recipients[0].result.enhanced, "5.4.6");
}
END_TEST

/* Which of equal ones comes first is chance, so it is asked often. */
START_TEST(sends_nothing_to_its_equals)
{
	for (unsigned i = 0; i < 20; i++) {
		find("equal.test", "127.0.0.3", "127.0.0.9 ");
		find("twins.test", "127.0.0.3", "");
		ck_assert_int_eq(attempt->recipients[0].result.delivery,
		    PH_FAILED);
		ck_assert_str_eq(attempt->recipients[0].result.enhanced,
		    "5.4.6");
	}
	find("equal.test", "127.0.0.9", "");
}
END_TEST

START_TEST(tries_both_families_in_turn)
{
	find("both.test", "192.0.2.9",
	    "2001:db8::1 127.0.0.2 2001:db8::2 2001:db8::3 ");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("transport_smtp_hosts");
	TCase *tcase = tcase_create("hosts");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, tries_both_families_in_turn);
	tcase_add_test(tcase, sends_nothing_to_those_behind_itself);
	tcase_add_test(tcase, sends_nothing_to_its_equals);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
