/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth_part_test.c - the parts of the auth role, each alone: names, limits,
 * the gate, SASL exchanges.
 */
#include <check.h>
#include <posthouse/fiber.h>
#include <stdlib.h>

#include "loop/fiber.h"
#include "role/auth_gate.h"
#include "role/auth_limit.h"
#include "role/auth_name.h"
#include "role/auth_sasl.h"

static const char *const domains[] = { "example.test", "example.org", NULL };

/* --- names --- */

static const struct {
	struct ph_slice name;
	const char *canonical; /* NULL: refused */
} names[] = {
	{ PH_LIT("alice"), "alice@example.test" },
	{ PH_LIT("ALICE"), "alice@example.test" },
	{ PH_LIT("Alice@Example.ORG"), "alice@example.org" },
	{ PH_LIT("a@b@example.test"), "a@b@example.test" },
	{ PH_LIT("\xc3\x9c@example.test"), "\xc3\x9c@example.test" },
	{ PH_LIT(""), NULL },
	{ PH_LIT("@example.test"), NULL },
	{ PH_LIT("alice@"), NULL },
	{ PH_LIT("al\0ice"), NULL },
	{ PH_LIT("alice\r\n"), NULL },
	{ PH_LIT("al\tice"), NULL },
	{ PH_LIT("alice\x7f"), NULL },
};

START_TEST(makes_names_canonical)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct ph_slice got = auth_canonical(arena, names[_i].name, domains);

	if (names[_i].canonical == NULL)
		ck_assert_ptr_null(got.p);
	else
		ck_assert(ph_slice_eq(got, ph_slice_str(names[_i].canonical)));
	ph_arena_free(arena);
}
END_TEST

START_TEST(refuses_names_that_are_too_long_or_lack_a_domain)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	char name[AUTH_NAME_MAX + 1];

	memset(name, 'a', sizeof(name));
	ck_assert_ptr_null(auth_canonical(arena,
	    (struct ph_slice){ name, sizeof(name) }, domains).p);
	/* fits, but not with its domain */
	ck_assert_ptr_null(auth_canonical(arena,
	    (struct ph_slice){ name, sizeof(name) - 1 }, domains).p);
	ck_assert_ptr_null(auth_canonical(arena, PH_LIT("alice"),
	    (const char *const[]){ NULL }).p);
	ph_arena_free(arena);
}
END_TEST

START_TEST(knows_local_domains)
{
	ck_assert(auth_is_local(PH_LIT("a@example.org"), domains));
	ck_assert(!auth_is_local(PH_LIT("a@example.net"), domains));
	ck_assert(!auth_is_local(PH_LIT("a@sub.example.org"), domains));
	ck_assert(!auth_is_local(PH_LIT("example.org"), domains));
	ck_assert(!auth_is_local(PH_LIT("a@example.org@evil.test"), domains));
}
END_TEST

static const struct {
	const char *name, *without;
} details[] = {
	{ "alice+lists@example.test", "alice@example.test" },
	{ "alice+a+b@example.test", "alice@example.test" },
	{ "alice+@example.test", "alice@example.test" },
	{ "alice@example.test", NULL },
	{ "+alice@example.test", NULL },
	{ "alice@exam+ple.test", NULL },
};

START_TEST(takes_the_detail_off)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct ph_slice got = auth_without_detail(arena,
	    ph_slice_str(details[_i].name));

	if (details[_i].without == NULL)
		ck_assert_ptr_null(got.p);
	else
		ck_assert(ph_slice_eq(got, ph_slice_str(details[_i].without)));
	ph_arena_free(arena);
}
END_TEST

START_TEST(lets_no_dangerous_user_name_out)
{
	static const char *const bad[] = { "a/b@example.test",
		"../x@example.test", ".a@example.test", "a@example.net",
		"Alice@example.test", "a@b@example.test", "a\\b@example.test",
		"a\nb@example.test", "@example.test", "alice", "" };

	ck_assert(auth_user_is_safe(PH_LIT("alice@example.test"), domains));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!auth_user_is_safe(ph_slice_str(bad[i]), domains),
		    "%s", bad[i]);
}
END_TEST

/* --- limits --- */

static uint64_t
client(const char *text)
{
	struct ph_addr addr;

	ck_assert(ph_addr_parse(ph_slice_str(text), &addr));
	return auth_limit_client(&addr);
}

static struct auth_limit_keys
keys_of(const struct auth_limit *limit, const char *from, const char *user)
{
	return auth_limit_keys(limit, client(from), ph_slice_str(user));
}

START_TEST(limits_a_client_and_lets_it_come_back)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct auth_limit *limit = auth_limit_create(arena, 7);
	struct auth_limit_keys bad = keys_of(limit, "192.0.2.1", "eve"),
		good = keys_of(limit, "192.0.2.2", "eve");

	for (unsigned i = 1; i <= AUTH_LIMIT_FAILURES; i++) {
		ck_assert(!auth_limit_is_reached(limit, &bad, 1000));
		ck_assert_uint_eq(auth_limit_fail(limit, &bad, 1000), i);
	}
	ck_assert(auth_limit_is_reached(limit, &bad, 1000));
	ck_assert(!auth_limit_is_reached(limit, &good, 1000));
	/* more failures do not make it longer */
	for (unsigned i = 0; i < 70; i++)
		auth_limit_fail(limit, &bad, 1000);
	ck_assert(auth_limit_is_reached(limit, &bad, 1000));
	ck_assert(!auth_limit_is_reached(limit, &bad,
	    1000 + AUTH_LIMIT_DRAIN_MS));
	ck_assert_uint_eq(auth_limit_fail(limit, &bad, 1000 + 600000), 1);
	ph_arena_free(arena);
}
END_TEST

START_TEST(limits_many_clients_at_one_account)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct auth_limit *limit = auth_limit_create(arena, 7);
	struct auth_limit_keys home = keys_of(limit, "192.0.2.1", "alice"),
		abroad = keys_of(limit, "192.0.2.2", "alice"),
		other = keys_of(limit, "192.0.2.2", "bob"), bot;

	auth_limit_trust(limit, &home, 0);
	for (unsigned i = 0; i < AUTH_LIMIT_ACCOUNT_FAILURES; i++) {
		ck_assert(!auth_limit_is_reached(limit, &abroad, 0));
		bot = auth_limit_keys(limit, (uint64_t)(i + 1) << 20,
		    PH_LIT("alice"));
		ck_assert_uint_eq(auth_limit_fail(limit, &bot, 0), 1);
	}
	ck_assert(auth_limit_is_reached(limit, &abroad, 0));
	ck_assert(!auth_limit_is_reached(limit, &other, 0));
	/* who was there before is let in, but may not guess either */
	for (unsigned i = 0; i < AUTH_LIMIT_TRUSTED_FAILURES; i++) {
		ck_assert(!auth_limit_is_reached(limit, &home, 0));
		auth_limit_fail(limit, &home, 0);
	}
	ck_assert(auth_limit_is_reached(limit, &home, 0));
	ck_assert(!auth_limit_is_reached(limit, &abroad,
	    AUTH_LIMIT_DRAIN_MS));
	ph_arena_free(arena);
}
END_TEST

START_TEST(who_logged_in_is_not_shut_out_by_others)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct auth_limit *limit = auth_limit_create(arena, 7);
	struct auth_limit_keys alice = keys_of(limit, "192.0.2.1", "alice"),
		bob = keys_of(limit, "192.0.2.1", "bob"),
		carol = keys_of(limit, "192.0.2.1", "carol"),
		away = keys_of(limit, "192.0.2.2", "alice");

	ck_assert_uint_ne(alice.pair, bob.pair);
	ck_assert_uint_ne(alice.pair, away.pair);
	ck_assert_uint_eq(alice.account, away.account);
	ck_assert_uint_ne(alice.account, bob.account);
	auth_limit_trust(limit, &alice, 0);
	for (unsigned i = 0; i < AUTH_LIMIT_FAILURES; i++)
		auth_limit_fail(limit, &bob, 0);
	ck_assert(auth_limit_is_reached(limit, &bob, 0));
	ck_assert(auth_limit_is_reached(limit, &carol, 0));
	for (unsigned i = 0; i < AUTH_LIMIT_TRUSTED_FAILURES; i++) {
		ck_assert(!auth_limit_is_reached(limit, &alice, 0));
		auth_limit_fail(limit, &alice, 0);
	}
	ck_assert(auth_limit_is_reached(limit, &alice, 0));
	ck_assert(!auth_limit_is_reached(limit, &bob, 600000));
	/* trust ends */
	for (unsigned i = 0; i < AUTH_LIMIT_FAILURES; i++)
		auth_limit_fail(limit, &bob, AUTH_LIMIT_TRUST_MS);
	ck_assert(auth_limit_is_reached(limit, &alice, AUTH_LIMIT_TRUST_MS));
	ph_arena_free(arena);
}
END_TEST

START_TEST(counts_a_64_of_ipv6_as_one_client)
{
	ck_assert_uint_eq(client("2001:db8:1:2::1"), client("2001:db8:1:2:f::"));
	ck_assert_uint_ne(client("2001:db8:1:2::1"), client("2001:db8:1:3::1"));
	ck_assert_uint_ne(client("192.0.2.1"), client("192.0.2.2"));
	ck_assert_uint_ne(client("0.0.0.1"), client("::1"));
}
END_TEST

START_TEST(remembers_the_worst_when_the_table_is_full)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct auth_limit *limit = auth_limit_create(arena, 7);
	struct auth_limit_keys bad = keys_of(limit, "192.0.2.1", "eve"), other;

	for (unsigned i = 0; i < AUTH_LIMIT_FAILURES; i++)
		auth_limit_fail(limit, &bad, 0);
	for (uint64_t i = 1; i < 200000; i++) {
		other = (struct auth_limit_keys){ i << 20, i << 21, i };
		auth_limit_fail(limit, &other, 0);
	}
	ck_assert(auth_limit_is_reached(limit, &bad, 0));
	ph_arena_free(arena);
}
END_TEST

START_TEST(waits_grow_and_end)
{
	ck_assert_uint_eq(auth_limit_delay(2000, 1), 2000);
	ck_assert_uint_eq(auth_limit_delay(2000, 3), 6000);
	ck_assert_uint_eq(auth_limit_delay(2000, 20), AUTH_LIMIT_DELAY_MAX_MS);
	ck_assert_uint_eq(auth_limit_delay(0, 20), 0);
	ck_assert_uint_eq(auth_limit_delay(UINT32_MAX, 20),
	    AUTH_LIMIT_DELAY_MAX_MS);
}
END_TEST

/* --- the gate --- */

static struct auth_gate gate;
static char order[64];
static unsigned at_work;

static void
pass_gate(void *arg)
{
	const char *who = arg;

	if (auth_gate_enter(&gate, (uint64_t)*who, PH_NO_LIMIT_MS) != PH_OK)
		return;
	at_work++;
	ck_assert_uint_le(at_work, AUTH_GATE_SLOTS);
	strncat(order, who, 1);
	ph_sleep_ms(1);
	at_work--;
	auth_gate_leave(&gate, (uint64_t)*who);
}

static void
gate_body(void *arg)
{
	struct ph_scope scope;

	(void)arg;
	ph_scope_begin(&scope);
	for (int i = 0; i < 10; i++)
		ph_scope_spawn(&scope, pass_gate, (void *)(uintptr_t)"j");
	ph_sleep_ms(0);
	ph_scope_spawn(&scope, pass_gate, (void *)(uintptr_t)"a");
	ck_assert_int_eq(ph_scope_wait(&scope), 0);
	ph_scope_end(&scope);
	ck_assert_uint_eq(gate.waiting, 0);
	ck_assert_uint_eq(gate.running_count, 0);
	/* somebody else came in before the crowd that waited longer */
	ck_assert_uint_eq(strlen(order), 11);
	ck_assert_ptr_nonnull(strchr(order, 'a'));
	ck_assert_int_le(strchr(order, 'a') - order, AUTH_GATE_SLOTS);
	fiber_runtime_stop();
}

START_TEST(lets_others_in_before_a_crowd)
{
	fiber_runtime_init();
	fiber_start(gate_body, NULL);
	fiber_runtime_run();
	fiber_runtime_fini();
}
END_TEST

static void
gate_late(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < AUTH_GATE_SLOTS; i++)
		ck_assert_int_eq(auth_gate_enter(&gate, i, 1000), 0);
	ck_assert_int_eq(auth_gate_enter(&gate, 9, 5), PH_TIMEOUT);
	ck_assert_uint_eq(gate.waiting, 0);
	auth_gate_leave(&gate, 1);
	ck_assert_int_eq(auth_gate_enter(&gate, 9, 5), PH_OK);
	fiber_runtime_stop();
}

START_TEST(gives_up_waiting_at_the_gate)
{
	fiber_runtime_init();
	fiber_start(gate_late, NULL);
	fiber_runtime_run();
	fiber_runtime_fini();
}
END_TEST

/* --- exchanges --- */

#define NONE ((struct ph_slice){ NULL, 0 })

static const struct exchange_case {
	const char *mechanism;
	struct ph_slice said[4]; /* [0]: the initial response */
	enum ph_auth_result result;
	const char *user, *password, *challenge; /* the last one */
} exchanges[] = {
	{ "PLAIN", { PH_LIT("\0alice\0secret") }, PH_AUTH_OK, "alice",
	    "secret", "" },
	{ "plain", { NONE, PH_LIT("\0alice\0secret") }, PH_AUTH_OK, "alice",
	    "secret", "" },
	{ "PLAIN", { PH_LIT("bob\0alice\0secret") }, PH_AUTH_OK, "alice",
	    "secret", "" },
	{ "LOGIN", { NONE, PH_LIT("alice"), PH_LIT("secret") }, PH_AUTH_OK,
	    "alice", "secret", "Password:" },
	{ "LOGIN", { PH_LIT("alice"), PH_LIT("secret") }, PH_AUTH_OK, "alice",
	    "secret", "Password:" },
	{ "LOGIN", { NONE }, PH_AUTH_CONTINUE, NULL, NULL, "Username:" },
	{ "PLAIN", { NONE }, PH_AUTH_CONTINUE, NULL, NULL, "" },
	{ "PLAIN", { PH_LIT("alice") }, PH_AUTH_MALFORMED, NULL, NULL, "" },
	{ "PLAIN", { PH_LIT("") }, PH_AUTH_MALFORMED, NULL, NULL, "" },
	{ "PLAIN", { NONE, NONE }, PH_AUTH_CONTINUE, NULL, NULL, "" },
	{ "PLAIN", { PH_LIT("\0alice\0secret\0junk") }, PH_AUTH_MALFORMED,
	    NULL, NULL, "" },
	{ "PLAIN", { PH_LIT("\0alice\0\xff\xfe") }, PH_AUTH_MALFORMED, NULL,
	    NULL, "" },
	{ "LOGIN", { PH_LIT("al\0ice") }, PH_AUTH_MALFORMED, NULL, NULL, "" },
	{ "LOGIN", { NONE, PH_LIT("alice"), PH_LIT("sec\0ret") },
	    PH_AUTH_MALFORMED, NULL, NULL, "Password:" },
	{ "LOGIN", { NONE, PH_LIT("alice"), PH_LIT("\xff\xfe") }, PH_AUTH_OK,
	    "alice", "\xff\xfe", "Password:" },
	{ "SCRAM-SHA-1", { PH_LIT("n,,n=a,r=b") }, PH_AUTH_UNKNOWN_MECHANISM,
	    NULL, NULL, "" },
	{ "", { PH_LIT("x") }, PH_AUTH_UNKNOWN_MECHANISM, NULL, NULL, "" },
};

static enum ph_auth_result
say_all(struct auth_exchange *exchange, const struct exchange_case *c,
    struct ph_slice *challenge)
{
	enum ph_auth_result result = PH_AUTH_CONTINUE;

	for (int i = 0; i < 4 && result == PH_AUTH_CONTINUE; i++)
		if (i == 0 || c->said[i].p != NULL)
			result = auth_sasl_step(exchange, c->said[i], challenge);
	return result;
}

START_TEST(prepares_strings_as_RFC_4013_has_it)
{
	static const char *const prepared[][2] = {
		{ "I\xc2\xadX", "IX" }, { "user", "user" }, { "USER", "USER" },
		{ "\xc2\xaa", "a" }, { "\xe2\x85\xa8", "IX" },
		{ "a\xc2\xa0" "b", "a b" },
		{ "\x07", "\x07" }, /* refused: as it is */
	};
	struct ph_arena *arena = ph_arena_create(NULL);

	for (size_t i = 0; i < sizeof(prepared) / sizeof(prepared[0]); i++)
		ck_assert_msg(ph_slice_eq(auth_prepare(arena,
		                  ph_slice_str(prepared[i][0])),
		                  ph_slice_str(prepared[i][1])),
		    "%s", prepared[i][1]);
	ph_arena_free(arena);
}
END_TEST

START_TEST(speaks_plain_and_login)
{
	const struct exchange_case *c = &exchanges[_i];
	struct auth_sasl *table = auth_sasl_create();
	struct auth_attempt *attempt = auth_attempt_create();
	struct ph_slice challenge = PH_LIT("");
	struct auth_exchange *exchange = NULL;
	enum ph_auth_result result;

	attempt->mechanism = ph_slice_str(c->mechanism);
	result = auth_sasl_start(table, 0, 0, attempt, &exchange);
	if (result == PH_AUTH_CONTINUE)
		result = say_all(exchange, c, &challenge);
	ck_assert_int_eq(result, c->result);
	ck_assert(ph_slice_eq(challenge, ph_slice_str(c->challenge)));
	if (exchange != NULL)
		ck_assert_ptr_eq(auth_sasl_end(table, exchange), attempt);
	if (result == PH_AUTH_OK) {
		ck_assert(ph_slice_eq(attempt->user, ph_slice_str(c->user)));
		ck_assert(ph_slice_eq(attempt->password,
		    ph_slice_str(c->password)));
	}
	ck_assert_uint_eq(auth_sasl_count(table), 0);
	auth_attempt_free(attempt);
	auth_sasl_free(table);
}
END_TEST

START_TEST(ends_an_exchange_that_never_comes_to_the_point)
{
	struct auth_sasl *table = auth_sasl_create();
	struct auth_attempt *attempt = auth_attempt_create();
	struct ph_slice challenge;
	struct auth_exchange *exchange;

	attempt->mechanism = PH_LIT("PLAIN");
	ck_assert_int_eq(auth_sasl_start(table, 0, 0, attempt, &exchange),
	    PH_AUTH_CONTINUE);
	ck_assert_int_eq(auth_sasl_step(exchange, NONE, &challenge),
	    PH_AUTH_CONTINUE);
	ck_assert_int_eq(auth_sasl_step(exchange, NONE, &challenge),
	    PH_AUTH_MALFORMED);
	auth_sasl_free(table);
}
END_TEST

static struct auth_exchange *
begin(struct auth_sasl *table, unsigned edge, uint64_t now_ms,
    enum ph_auth_result expected)
{
	struct auth_attempt *attempt = auth_attempt_create();
	struct auth_exchange *exchange = NULL;

	attempt->mechanism = PH_LIT("PLAIN");
	ck_assert_int_eq(auth_sasl_start(table, edge, now_ms, attempt,
	                     &exchange),
	    expected);
	if (expected != PH_AUTH_CONTINUE)
		auth_attempt_free(attempt);
	return exchange;
}

START_TEST(keeps_exchanges_apart_and_bounded)
{
	struct auth_sasl *table = auth_sasl_create();
	uint64_t number = auth_exchange_number(
	    begin(table, 1, 0, PH_AUTH_CONTINUE));

	ck_assert_ptr_nonnull(auth_sasl_find(table, 1, number, 1));
	ck_assert_ptr_null(auth_sasl_find(table, 2, number, 1));
	ck_assert_ptr_null(auth_sasl_find(table, 1, number + 1, 1));
	ck_assert_ptr_null(auth_sasl_find(table, 1,
	    number + AUTH_SASL_EXCHANGES, 1));
	for (unsigned i = 0; i < AUTH_SASL_EDGE; i++)
		begin(table, 2, 10, PH_AUTH_CONTINUE);
	begin(table, 2, 10, PH_AUTH_UNAVAILABLE);
	begin(table, 3, 10, PH_AUTH_CONTINUE);
	ck_assert_uint_eq(auth_sasl_count(table), AUTH_SASL_EDGE + 2);
	auth_sasl_forget(table, 2);
	ck_assert_uint_eq(auth_sasl_count(table), 2);
	/* the first is over, the one of edge 3 is not */
	ck_assert_ptr_null(auth_sasl_find(table, 1, number, AUTH_SASL_MS));
	ck_assert_uint_eq(auth_sasl_count(table), 1);
	auth_sasl_free(table);
}
END_TEST

static Suite *
part_suite(void)
{
	Suite *suite = suite_create("auth_part");
	TCase *names_case = tcase_create("names"),
	      *parts = tcase_create("parts");

	tcase_add_loop_test(names_case, makes_names_canonical, 0,
	    sizeof(names) / sizeof(names[0]));
	tcase_add_test(names_case,
	    refuses_names_that_are_too_long_or_lack_a_domain);
	tcase_add_test(names_case, knows_local_domains);
	tcase_add_loop_test(names_case, takes_the_detail_off, 0,
	    sizeof(details) / sizeof(details[0]));
	tcase_add_test(names_case, lets_no_dangerous_user_name_out);
	tcase_add_test(parts, limits_a_client_and_lets_it_come_back);
	tcase_add_test(parts, limits_many_clients_at_one_account);
	tcase_add_test(parts, who_logged_in_is_not_shut_out_by_others);
	tcase_add_test(parts, counts_a_64_of_ipv6_as_one_client);
	tcase_add_test(parts, remembers_the_worst_when_the_table_is_full);
	tcase_add_test(parts, waits_grow_and_end);
	tcase_add_test(parts, lets_others_in_before_a_crowd);
	tcase_add_test(parts, gives_up_waiting_at_the_gate);
	tcase_add_test(parts,
	    prepares_strings_as_RFC_4013_has_it);
	tcase_add_loop_test(parts, speaks_plain_and_login, 0,
	    sizeof(exchanges) / sizeof(exchanges[0]));
	tcase_add_test(parts, ends_an_exchange_that_never_comes_to_the_point);
	tcase_add_test(parts, keeps_exchanges_apart_and_bounded);
	suite_add_tcase(suite, names_case);
	suite_add_tcase(suite, parts);
	return suite;
}

int
main(void)
{
	SRunner *runner = srunner_create(part_suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
