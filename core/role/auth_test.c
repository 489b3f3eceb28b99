/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth_test.c - the whole auth role in one process: requests to "auth" come
 * back as from edge, those to "relay" as from the master, and a fake backend
 * knows alice.
 */
#include <check.h>
#include <posthouse/auth.h>
#include <posthouse/listener.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/record.h"
#include "log/log.h"
#include "loop/fiber.h"
#include "role/auth_limit.h"
#include "role/auth_name.h"
#include "role/role.h"

#define NONE ((struct ph_slice){ NULL, 0 })

static const char *const domains[] = { "example.test", "example.org", NULL };

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

static void
lets_known_users_in(struct ph_arena *arena)
{
	expect_alice(login(arena, PH_LIT("alice"), PH_LIT("secret")));
	for (unsigned i = 0; i < AUTH_LIMIT_FAILURES; i++)
		login(arena, PH_LIT("eve"), PH_LIT("no"));
	ck_assert_uint_eq(answer(login(arena, PH_LIT("eve"), PH_LIT("no"))),
	    PH_AUTH_LIMITED);
	expect_alice(login(arena, PH_LIT("alice"), PH_LIT("secret")));
}

START_TEST(guessing_of_one_user_does_not_shut_out_another)
{
	run(lets_known_users_in);
}
END_TEST

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
	TCase *role = tcase_create("role");

	tcase_add_test(role, answers_logins);
	tcase_add_test(role, stops_guessing);
	tcase_add_test(role, guessing_of_one_user_does_not_shut_out_another);
	tcase_add_test(role, answers_sasl);
	tcase_add_test(role, answers_lookups);
	tcase_add_test(role, answers_posthousectl);
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
