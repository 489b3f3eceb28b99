/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth_test.c - the auth role's parts, then the whole role in one process:
 * requests to "auth" come back as from edge, those to "relay" as from the
 * master, and a fake backend knows alice.
 */
#include <check.h>
#include <posthouse/auth.h>
#include <posthouse/listener.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/record.h"
#include "log/log.h"
#include "loop/fiber.h"
#include "role/auth_gate.h"
#include "role/auth_limit.h"
#include "role/auth_name.h"
#include "role/auth_sasl.h"
#include "role/role.h"

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

START_TEST(limits_a_client_and_lets_it_come_back)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct auth_limit *limit = auth_limit_create(arena, 7);
	uint64_t bad = client("192.0.2.1"), good = client("192.0.2.2");

	for (unsigned i = 1; i <= AUTH_LIMIT_FAILURES; i++) {
		ck_assert(!auth_limit_is_reached(limit, bad, 1000));
		ck_assert_uint_eq(auth_limit_fail(limit, bad, 1000), i);
	}
	ck_assert(auth_limit_is_reached(limit, bad, 1000));
	ck_assert(!auth_limit_is_reached(limit, good, 1000));
	/* more failures do not make it longer */
	for (unsigned i = 0; i < 100; i++)
		auth_limit_fail(limit, bad, 1000);
	ck_assert(auth_limit_is_reached(limit, bad, 1000));
	ck_assert(!auth_limit_is_reached(limit, bad,
	    1000 + AUTH_LIMIT_DRAIN_MS));
	ck_assert_uint_eq(auth_limit_fail(limit, bad, 1000 + 600000), 1);
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
	uint64_t bad = client("192.0.2.1");

	for (unsigned i = 0; i < AUTH_LIMIT_FAILURES; i++)
		auth_limit_fail(limit, bad, 0);
	for (uint64_t i = 1; i < 200000; i++)
		auth_limit_fail(limit, i << 20, 0);
	ck_assert(auth_limit_is_reached(limit, bad, 0));
	ph_arena_free(arena);
}
END_TEST

START_TEST(waits_grow_and_end)
{
	ck_assert_uint_eq(auth_limit_delay(2000, 1), 2000);
	ck_assert_uint_eq(auth_limit_delay(2000, 3), 6000);
	ck_assert_uint_eq(auth_limit_delay(2000, 20), AUTH_LIMIT_DELAY_MAX_MS);
	ck_assert_uint_eq(auth_limit_delay(0, 20), 0);
	ck_assert_uint_eq(auth_limit_delay(20000, 20), 20000);
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

/* --- the role --- */

static unsigned verified;

static int
fake_open(struct ph_arena *arena, const void *conf, struct ph_auth **auth_out,
    struct ph_err *err)
{
	(void)conf;
	(void)err;
	*auth_out = ph_arena_alloc(arena, 1);
	return PH_OK;
}

static enum ph_user_answer
fake_verify(struct ph_auth *auth, struct ph_arena *arena, struct ph_slice user,
    struct ph_slice password)
{
	(void)auth;
	(void)arena;
	verified++;
	if (ph_slice_eq(user, PH_LIT("unsure@example.test")))
		return PH_USER_UNSURE;
	if (!ph_slice_eq(user, PH_LIT("alice@example.test")))
		return PH_USER_UNKNOWN;
	return ph_slice_eq(password, PH_LIT("secret")) ? PH_USER_OK :
	                                                 PH_USER_WRONG;
}

static enum ph_user_answer
fake_lookup(struct ph_auth *auth, struct ph_arena *arena,
    struct ph_slice address, struct ph_user *user_out)
{
	static const struct ph_slice aliases[] = { { "info@example.org", 16 } };

	(void)auth;
	(void)arena;
	user_out->name = PH_LIT("alice@example.test");
	user_out->aliases = aliases;
	user_out->alias_count = 1;
	if (ph_slice_eq(address, PH_LIT("unsure@example.test")))
		return PH_USER_UNSURE;
	if (ph_slice_eq(address, PH_LIT("evil@example.test"))) {
		user_out->name = PH_LIT("../../evil@example.test");
		return PH_USER_OK;
	}
	return ph_slice_eq(address, user_out->name) ||
	        ph_slice_eq(address, aliases[0]) ?
	    PH_USER_OK :
	    PH_USER_UNKNOWN;
}

static int
fake_add(struct ph_auth *auth, struct ph_arena *arena, struct ph_slice user,
    struct ph_slice password, struct ph_err *err)
{
	(void)auth;
	(void)arena;
	ck_assert(ph_slice_eq(password, PH_LIT("pass")));
	if (ph_slice_eq(user, PH_LIT("new@example.test")))
		return PH_OK;
	return ph_err_set(err, PH_EXISTS, 0, "there is such a user");
}

static int
fake_list(struct ph_auth *auth, struct ph_arena *arena,
    const struct ph_user **users_out, size_t *count_out, struct ph_err *err)
{
	struct ph_user *users = ph_arena_array(arena, 2, sizeof(*users));

	(void)auth;
	(void)err;
	users[0].name = PH_LIT("zoe@example.test");
	users[1].name = PH_LIT("alice@example.test");
	*users_out = users;
	*count_out = 2;
	return PH_OK;
}

static const struct ph_auth_ops fake_ops = {
	.open = fake_open, .verify = fake_verify, .lookup = fake_lookup,
	.add = fake_add, .passwd = fake_add, .list = fake_list,
};
static const struct ph_module fake_module = {
	.name = "fake", .kinds = PH_KIND_AUTH, .auth = &fake_ops,
};
static const struct module_instance fake_instance = {
	.name = "fake", .module = &fake_module,
	.common = { .timeout_ms = 1000 },
};

static struct generation *
fake_generation(void)
{
	static struct generation generation;

	generation.references = 2;
	generation.core.domains = domains;
	generation.core.postmaster = "alice";
	generation.core.limits.auth_failure_delay_ms = 1;
	generation.modules.first =
	    (struct module_instance *)(uintptr_t)&fake_instance;
	generation.key[0] = 42;
	return &generation;
}

static void
link_roles(enum role asked, enum role from)
{
	int fds[2];

	ck_assert_int_eq(socketpair(AF_UNIX,
	                     SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
	                     fds),
	    0);
	bus_link(asked, 0, fds[0]);
	bus_link(from, 0, fds[1]);
}

static void
role_body(void *arg)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct ph_err err = { 0 };

	link_roles(ROLE_AUTH, ROLE_EDGE);
	link_roles(ROLE_RELAY, ROLE_MASTER);
	ck_assert_int_eq(role_auth.start(fake_generation(), &err), PH_OK);
	((void (*)(struct ph_arena *))arg)(arena);
	ph_arena_free(arena);
	bus_fini();
	fiber_runtime_stop();
}

static void
run(void (*fn)(struct ph_arena *arena))
{
	log_init(2, PH_ERROR, "auth");
	fiber_runtime_init();
	bus_init(ROLE_MASTER, 0);
	fiber_start(role_body, (void *)fn);
	fiber_runtime_run();
	fiber_runtime_fini();
}

static struct ph_slice
ask(struct ph_arena *arena, uint16_t type, const struct ph_buf *record)
{
	struct bus_message reply;

	ck_assert_int_eq(bus_call(ROLE_AUTH, BUS_ANY_SHARD, type,
	                     ph_buf_content(record), NULL, 0, 10000, arena,
	                     &reply),
	    PH_OK);
	return reply.record;
}

static struct ph_buf
begin_record(struct ph_arena *arena)
{
	struct ph_buf buf;

	ph_buf_init(&buf, arena, 8192);
	record_put_str(&buf, F_SESSION, "0000000000001");
	record_put_str(&buf, F_SERVICE, "imap");
	record_put_str(&buf, F_CLIENT, "192.0.2.1");
	return buf;
}

static struct ph_slice
login(struct ph_arena *arena, struct ph_slice user, struct ph_slice password)
{
	struct ph_buf buf = begin_record(arena);

	record_put(&buf, F_USER, user);
	record_put(&buf, F_PASSWORD, password);
	return ask(arena, MSG_LOGIN, &buf);
}

static uint64_t
answer(struct ph_slice reply)
{
	return record_get_u64(reply, F_ANSWER, 999);
}

static void
expect_alice(struct ph_slice reply)
{
	struct ph_slice user = record_get(reply, F_USER);

	ck_assert_uint_eq(answer(reply), PH_AUTH_OK);
	ck_assert(ph_slice_eq(user, PH_LIT("alice@example.test")));
	ck_assert(ph_slice_eq(record_get(reply, F_ALIAS),
	    PH_LIT("info@example.org")));
	ck_assert(token_check(fake_generation()->key,
	    record_get(reply, F_TOKEN), user, PH_LIT("0000000000001"),
	    ph_wall_time()));
}

static void
logs_in(struct ph_arena *arena)
{
	char big[AUTH_PASSWORD_MAX + 1];

	memset(big, 'x', sizeof(big));
	expect_alice(login(arena, PH_LIT("Alice"), PH_LIT("secret")));
	expect_alice(login(arena, PH_LIT("alice@EXAMPLE.test"),
	    PH_LIT("secret")));
	ck_assert_uint_eq(answer(login(arena, PH_LIT("alice"), PH_LIT("no"))),
	    PH_AUTH_REFUSED);
	ck_assert_uint_eq(answer(login(arena, PH_LIT("eve"), PH_LIT("secret"))),
	    PH_AUTH_REFUSED);
	ck_assert_uint_eq(answer(login(arena, PH_LIT("unsure"), PH_LIT("x"))),
	    PH_AUTH_UNAVAILABLE);
	verified = 0;
	ck_assert_uint_eq(answer(login(arena, PH_LIT("alice@example.net"),
	                      PH_LIT("secret"))),
	    PH_AUTH_REFUSED);
	ck_assert_uint_eq(answer(login(arena, PH_LIT("alice"), PH_LIT(""))),
	    PH_AUTH_REFUSED);
	ck_assert_uint_eq(answer(login(arena, PH_LIT("alice\n"),
	                      PH_LIT("secret"))),
	    PH_AUTH_REFUSED);
	ck_assert_uint_eq(answer(login(arena, PH_LIT("alice"),
	                      PH_LIT("secret\0x"))),
	    PH_AUTH_MALFORMED);
	ck_assert_uint_eq(answer(login(arena, PH_LIT("alice"),
	                      (struct ph_slice){ big, sizeof(big) })),
	    PH_AUTH_MALFORMED);
	ck_assert_uint_eq(verified, 0);
}

START_TEST(answers_logins)
{
	run(logs_in);
}
END_TEST

static void
reaches_the_limit(struct ph_arena *arena)
{
	for (unsigned i = 0; i < AUTH_LIMIT_FAILURES; i++)
		ck_assert_uint_eq(answer(login(arena, PH_LIT("alice"),
		                      PH_LIT("no"))),
		    PH_AUTH_REFUSED);
	verified = 0;
	ck_assert_uint_eq(answer(login(arena, PH_LIT("alice"),
	                      PH_LIT("secret"))),
	    PH_AUTH_LIMITED);
	ck_assert_uint_eq(verified, 0);
}

START_TEST(stops_guessing)
{
	run(reaches_the_limit);
}
END_TEST

static struct ph_slice
sasl(struct ph_arena *arena, struct ph_slice response)
{
	struct ph_buf buf = begin_record(arena);

	record_put_str(&buf, F_MECHANISM, "PLAIN");
	if (response.p != NULL)
		record_put(&buf, F_RESPONSE, response);
	return ask(arena, MSG_SASL_START, &buf);
}

static struct ph_slice
sasl_step(struct ph_arena *arena, uint64_t number, struct ph_slice response)
{
	struct ph_buf buf;

	ph_buf_init(&buf, arena, 8192);
	record_put_u64(&buf, F_EXCHANGE, number);
	record_put(&buf, F_RESPONSE, response);
	return ask(arena, MSG_SASL_STEP, &buf);
}

static void
speaks_sasl(struct ph_arena *arena)
{
	struct ph_slice said = PH_LIT("\0alice\0secret");
	uint64_t number;

	expect_alice(sasl(arena, said));
	expect_alice(sasl(arena, PH_LIT("ALICE\0alice\0secret")));
	ck_assert_uint_eq(answer(sasl(arena, PH_LIT("bob\0alice\0secret"))),
	    PH_AUTH_REFUSED);
	ck_assert_uint_eq(answer(sasl(arena, PH_LIT("junk"))),
	    PH_AUTH_MALFORMED);
	number = record_get_u64(sasl(arena, NONE), F_EXCHANGE, 0);
	expect_alice(sasl_step(arena, number, said));
	/* an exchange is over when it was answered */
	ck_assert_uint_eq(answer(sasl_step(arena, number, said)),
	    PH_AUTH_MALFORMED);
}

START_TEST(answers_sasl)
{
	run(speaks_sasl);
}
END_TEST

static const struct {
	const char *address;
	enum ph_user_answer answer;
} lookups[] = {
	{ "alice@example.test", PH_USER_OK },
	{ "Alice@Example.Test", PH_USER_OK },
	{ "alice+list@example.test", PH_USER_OK },
	{ "info@example.org", PH_USER_OK },
	{ "info+x@example.org", PH_USER_OK },
	{ "postmaster", PH_USER_OK },
	{ "Postmaster@example.org", PH_USER_OK },
	{ "postmaster+x@example.test", PH_USER_OK },
	{ "postmaster@example.net", PH_USER_UNKNOWN },
	{ "alice@example.org", PH_USER_UNKNOWN },
	{ "alice@example.net", PH_USER_UNKNOWN },
	{ "alice%example.net@example.test", PH_USER_UNKNOWN },
	{ "alice@example.net@example.test", PH_USER_UNKNOWN },
	{ "", PH_USER_UNKNOWN },
	{ "unsure@example.test", PH_USER_UNSURE },
	{ "unsure+x@example.test", PH_USER_UNSURE },
	{ "evil@example.test", PH_USER_UNSURE },
};

static void
looks_up(struct ph_arena *arena)
{
	for (size_t i = 0; i < sizeof(lookups) / sizeof(lookups[0]); i++) {
		struct ph_slice reply;
		struct ph_buf buf;

		ph_buf_init(&buf, arena, 8192);
		record_put_str(&buf, F_ADDRESS, lookups[i].address);
		reply = ask(arena, MSG_LOOKUP, &buf);
		ck_assert_msg(answer(reply) == lookups[i].answer, "%s: %u",
		    lookups[i].address, (unsigned)answer(reply));
		if (lookups[i].answer == PH_USER_OK)
			ck_assert(ph_slice_eq(record_get(reply, F_USER),
			    PH_LIT("alice@example.test")));
	}
}

START_TEST(answers_lookups)
{
	run(looks_up);
}
END_TEST

static int
admin(struct ph_arena *arena, const char *op, const char *user,
    const char *password, struct ph_slice *record_out)
{
	struct bus_message reply;
	struct ph_buf buf;
	int status;

	ph_buf_init(&buf, arena, 8192);
	record_put_str(&buf, F_OP, op);
	if (user != NULL)
		record_put_str(&buf, F_USER, user);
	if (password != NULL)
		record_put_str(&buf, F_PASSWORD, password);
	status = bus_call(ROLE_RELAY, BUS_ANY_SHARD, MSG_USER_ADMIN,
	    ph_buf_content(&buf), NULL, 0, 10000, arena, &reply);
	*record_out = reply.record;
	return status;
}

static void
administers(struct ph_arena *arena)
{
	struct ph_slice reply;
	struct ph_buf buf;
	struct bus_message message;

	ck_assert_int_eq(admin(arena, "add", "New", "pass", &reply), PH_OK);
	ck_assert_int_eq(admin(arena, "add", "bob", "pass", &reply), PH_EXISTS);
	ck_assert(ph_slice_eq(record_get(reply, F_TEXT),
	    PH_LIT("there is such a user")));
	ck_assert_int_eq(admin(arena, "add", "bob", "", &reply), PH_INVALID);
	ck_assert_int_eq(admin(arena, "add", "bob", NULL, &reply), PH_INVALID);
	ck_assert_int_eq(admin(arena, "add", "a/b", "pass", &reply),
	    PH_INVALID);
	ck_assert_int_eq(admin(arena, "add", "bob@example.net", "pass", &reply),
	    PH_INVALID);
	ck_assert_int_eq(admin(arena, "passwd", "bob", "pass", &reply),
	    PH_NOT_FOUND);
	ck_assert_int_eq(admin(arena, "dance", "bob", "pass", &reply),
	    PH_INVALID);
	ck_assert_int_eq(admin(arena, "list", NULL, NULL, &reply), PH_OK);
	ck_assert(ph_slice_eq(record_get(reply, F_USER),
	    PH_LIT("alice@example.test")));
	ck_assert_int_eq(admin(arena, "list", "alice@example.test", NULL,
	                     &reply),
	    PH_OK);
	ck_assert(ph_slice_eq(record_get(reply, F_USER),
	    PH_LIT("zoe@example.test")));
	/* edge may not */
	ph_buf_init(&buf, arena, 100);
	record_put_str(&buf, F_OP, "list");
	ck_assert_int_eq(bus_call(ROLE_AUTH, BUS_ANY_SHARD, MSG_USER_ADMIN,
	                     ph_buf_content(&buf), NULL, 0, 10000, arena,
	                     &message),
	    PH_DENIED);
}

START_TEST(answers_posthousectl)
{
	run(administers);
}
END_TEST

static Suite *
auth_suite(void)
{
	Suite *suite = suite_create("auth");
	TCase *names_case = tcase_create("names"),
	      *parts = tcase_create("parts"), *role = tcase_create("role");

	tcase_add_loop_test(names_case, makes_names_canonical, 0,
	    sizeof(names) / sizeof(names[0]));
	tcase_add_test(names_case,
	    refuses_names_that_are_too_long_or_lack_a_domain);
	tcase_add_test(names_case, knows_local_domains);
	tcase_add_loop_test(names_case, takes_the_detail_off, 0,
	    sizeof(details) / sizeof(details[0]));
	tcase_add_test(names_case, lets_no_dangerous_user_name_out);
	tcase_add_test(parts, limits_a_client_and_lets_it_come_back);
	tcase_add_test(parts, counts_a_64_of_ipv6_as_one_client);
	tcase_add_test(parts, remembers_the_worst_when_the_table_is_full);
	tcase_add_test(parts, waits_grow_and_end);
	tcase_add_test(parts, lets_others_in_before_a_crowd);
	tcase_add_test(parts, gives_up_waiting_at_the_gate);
	tcase_add_loop_test(parts, speaks_plain_and_login, 0,
	    sizeof(exchanges) / sizeof(exchanges[0]));
	tcase_add_test(parts, ends_an_exchange_that_never_comes_to_the_point);
	tcase_add_test(parts, keeps_exchanges_apart_and_bounded);
	tcase_add_test(role, answers_logins);
	tcase_add_test(role, stops_guessing);
	tcase_add_test(role, answers_sasl);
	tcase_add_test(role, answers_lookups);
	tcase_add_test(role, answers_posthousectl);
	suite_add_tcase(suite, names_case);
	suite_add_tcase(suite, parts);
	suite_add_tcase(suite, role);
	return suite;
}

int
main(void)
{
	SRunner *runner = srunner_create(auth_suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
