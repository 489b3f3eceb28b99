/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hosts_test.c - which addresses of a domain are tried when some of them are
 * this machine's, without a word to anybody.
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
static const char *own; /* the address of this machine */
static char tried[200]; /* host names, a space after each */

/* two.test has mx1.test (127.0.0.2), then mx2.test (127.0.0.3). */
static void
find_main(void *arg)
{
	struct ph_arena *arena = arg;
	struct client_peer peer = { 0 };
	struct delivery *delivery;
	struct ph_addr addr;
	struct hosts hosts;
	struct ph_err err;
	struct ph_buf buf;
	size_t mark;

	ph_buf_init(&buf, arena, 4096);
	record_put_u64(&buf, F_QUEUE_ID, 77);
	record_put_str(&buf, F_DESTINATION, "two.test");
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
		    "%s ", peer.name);
	delivery_end(delivery);
	fiber_runtime_stop();
}

static void
find(struct ph_arena *arena, const char *address, const char *expected)
{
	own = address;
	fiber_runtime_init();
	fiber_start(find_main, arena);
	fiber_runtime_run();
	fiber_runtime_fini();
	ck_assert_str_eq(tried, expected);
}

START_TEST(sends_nothing_to_those_behind_itself)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	const char *servers[2] = { NULL, NULL };
	struct fake_dns dns;
	struct ph_err err;
	char server[64];

	fake_dns_start(&dns);
	snprintf(server, sizeof(server), "127.0.0.1:%u", dns.port);
	servers[0] = server;
	ck_assert_int_eq(resolver_init(servers, 2000, 2, &err), PH_OK);
	find(arena, "192.0.2.9", "mx1.test mx2.test ");
	find(arena, "127.0.0.3", "mx1.test ");
	ck_assert_int_eq(attempt->recipients[0].result.delivery, PH_FAILED);
	find(arena, "127.0.0.2", "");
	ck_assert_str_eq(attempt->recipients[0].result.enhanced, "5.4.6");
	resolver_fini();
	fake_dns_stop(&dns);
	ph_arena_free(arena);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("transport_smtp_hosts");
	TCase *tcase = tcase_create("hosts");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, sends_nothing_to_those_behind_itself);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
