/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay_test.c - records of MSG_ATTEMPT taken apart, the content made one
 * piece, and the relay role with a transport of the test in a process of its
 * own, asked by a queue that is the test.
 */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/record.h"
#include "log/log.h"
#include "loop/fiber.h"
#include "net/dns.h"
#include "role/attempt.h"
#include "role/generation.h"

static struct ph_arena *arena;

/* --- building requests --- */

struct wish {
	const char *sender, *destination, *transport, *address, *notify,
	    *orcpt, *fact, *content;
	unsigned recipients;
};

static const struct wish plain = { .sender = "a@example.test",
	.destination = "remote.test", .address = "b@remote.test",
	.content = "Subject: x\r\n\r\nhi\r\n", .recipients = 2 };

static struct ph_slice
build(const struct wish *wish)
{
	struct ph_buf buf;
	size_t mark;

	ph_buf_init(&buf, arena, BUS_MESSAGE_LIMIT);
	record_put_u64(&buf, F_QUEUE_ID, 77);
	if (wish->destination != NULL)
		record_put_str(&buf, F_DESTINATION, wish->destination);
	if (wish->transport != NULL)
		record_put_str(&buf, F_TRANSPORT, wish->transport);
	if (wish->sender != NULL)
		record_put_str(&buf, F_SENDER, wish->sender);
	for (unsigned i = 0; i < wish->recipients; i++) {
		mark = record_begin(&buf, F_RCPT);
		record_put_u64(&buf, F_NUMBER, i + 5);
		record_put_str(&buf, F_ADDRESS, wish->address);
		if (wish->notify != NULL)
			record_put_str(&buf, F_DSN_NOTIFY, wish->notify);
		if (wish->orcpt != NULL)
			record_put_str(&buf, F_ORCPT, wish->orcpt);
		record_end(&buf, mark);
	}
	if (wish->fact != NULL) {
		mark = record_begin(&buf, F_FACT);
		record_put_str(&buf, F_NAME, "envid");
		record_put_str(&buf, F_TEXT, wish->fact);
		record_end(&buf, mark);
	}
	if (wish->content != NULL)
		record_put_str(&buf, F_CONTENT, wish->content);
	return ph_buf_content(&buf);
}

static int
parse(const struct wish *wish)
{
	struct ph_attempt *attempt = NULL;

	return attempt_parse(arena, build(wish), &attempt);
}

static void
setup(void)
{
	arena = ph_arena_create(NULL);
}

static void
teardown(void)
{
	ph_arena_free(arena);
}

START_TEST(takes_an_attempt_apart)
{
	struct wish wish = plain;
	struct ph_attempt *attempt;
	struct ph_slice record;

	wish.fact = "QQ314159";
	wish.notify = "FAILURE,DELAY";
	wish.orcpt = "rfc822;b@remote.test";
	record = build(&wish);
	ck_assert_int_eq(attempt_parse(arena, record, &attempt), PH_OK);
	ck_assert_uint_eq(ph_attempt_recipient_count(attempt), 2);
	ck_assert(ph_slice_eq(ph_attempt_recipient(attempt, 1),
	    PH_LIT("b@remote.test")));
	ck_assert(ph_slice_eq(ph_attempt_notify(attempt, 0),
	    PH_LIT("FAILURE,DELAY")));
	ck_assert(ph_slice_eq(ph_attempt_orcpt(attempt, 0),
	    PH_LIT("rfc822;b@remote.test")));
	ck_assert(ph_slice_eq(ph_attempt_get(attempt, "envid"),
	    PH_LIT("QQ314159")));
	ck_assert_ptr_null(ph_attempt_get(attempt, "ret").p);
	ck_assert_uint_eq(strlen(ph_attempt_queue_id(attempt)), 13);
	/* cut anywhere it is refused or a shorter one, never harm */
	for (size_t i = 0; i < record.n; i++)
		attempt_parse(arena, (struct ph_slice){ record.p, i },
		    &attempt);
}
END_TEST

START_TEST(refuses_what_would_break_a_line_of_smtp)
{
	struct wish wish = plain;

	wish.sender = "";
	ck_assert_int_eq(parse(&wish), PH_OK); /* the null sender */
	wish.sender = "a@b>\r\nRCPT TO:<x";
	ck_assert_int_eq(parse(&wish), PH_INVALID);
	wish.sender = NULL;
	ck_assert_int_eq(parse(&wish), PH_INVALID);
	wish = plain;
	wish.address = "b\n@remote.test";
	ck_assert_int_eq(parse(&wish), PH_INVALID);
	wish.address = "b@remote.test> SIZE=1";
	ck_assert_int_eq(parse(&wish), PH_INVALID);
	wish.address = "b@remote.test>";
	ck_assert_int_eq(parse(&wish), PH_INVALID);
	wish.address = "b <b> \"b@remote.test"; /* quoted when it is written */
	ck_assert_int_eq(parse(&wish), PH_OK);
	wish.address = "";
	ck_assert_int_eq(parse(&wish), PH_INVALID);
	wish = plain;
	wish.destination = "remote .test";
	ck_assert_int_eq(parse(&wish), PH_INVALID);
	wish.destination = NULL;
	ck_assert_int_eq(parse(&wish), PH_INVALID);
	wish = plain;
	wish.notify = "NEVER SIZE=1";
	ck_assert_int_eq(parse(&wish), PH_INVALID);
	wish = plain;
	wish.orcpt = "rfc822;a\tb";
	ck_assert_int_eq(parse(&wish), PH_INVALID);
	wish = plain;
	wish.fact = "a\rb";
	ck_assert_int_eq(parse(&wish), PH_INVALID);
	wish = plain;
	wish.recipients = 0;
	ck_assert_int_eq(parse(&wish), PH_INVALID);
	wish.recipients = ATTEMPT_RECIPIENTS_MAX;
	ck_assert_int_eq(parse(&wish), PH_OK);
	wish.recipients++;
	ck_assert_int_eq(parse(&wish), PH_TOO_BIG);
}
END_TEST

START_TEST(results_fill_a_reply)
{
	struct wish wish = plain;
	struct ph_attempt *attempt;
	struct ph_slice reply, one;
	struct record_field field;
	struct ph_buf buf;

	wish.recipients = 3;
	ck_assert_int_eq(attempt_parse(arena, build(&wish), &attempt), PH_OK);
	ph_attempt_result(attempt, 1, PH_DELIVERED, 250, "2.0.0",
	    "mx.remote.test", "ok\r\n%s", "queued");
	ph_attempt_result(attempt, 1, PH_FAILED, 550, NULL, NULL, "no");
	ph_attempt_result(attempt, 0, PH_FAILED, 550, "5.1.1", NULL, "no");
	ph_buf_init(&buf, arena, BUS_MESSAGE_LIMIT);
	attempt_reply(attempt, "why", &buf);
	reply = ph_buf_content(&buf);
	ck_assert(record_next(&reply, &field));
	ck_assert_uint_eq(record_get_u64(field.value, F_NUMBER, 0), 5);
	ck_assert_uint_eq(record_get_u64(field.value, F_DELIVERY, 9),
	    PH_FAILED);
	ck_assert(record_next(&reply, &field));
	one = field.value;
	ck_assert_uint_eq(record_get_u64(one, F_DELIVERY, 9), PH_DELIVERED);
	ck_assert_uint_eq(record_get_u64(one, F_CODE, 9), 250);
	ck_assert(ph_slice_eq(record_get(one, F_TEXT),
	    PH_LIT("ok\?\?queued")));
	ck_assert(ph_slice_eq(record_get(one, F_HOST),
	    PH_LIT("mx.remote.test")));
	ck_assert(record_next(&reply, &field));
	ck_assert_uint_eq(record_get_u64(field.value, F_DELIVERY, 9),
	    PH_DEFERRED);
	ck_assert(ph_slice_eq(record_get(field.value, F_TEXT), PH_LIT("why")));
	ck_assert(!record_next(&reply, &field));
}
END_TEST

START_TEST(many_long_results_fit)
{
	struct wish wish = plain;
	struct ph_attempt *attempt;
	size_t count = 0, texts = 0;
	struct record_field field;
	struct ph_slice reply;
	char text[2000];
	struct ph_buf buf;

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	wish.recipients = ATTEMPT_RECIPIENTS_MAX;
	ck_assert_int_eq(attempt_parse(arena, build(&wish), &attempt), PH_OK);
	ph_attempt_result(attempt, PH_ALL_RECIPIENTS, PH_FAILED, 550, "5.1.1",
	    "mail.remote.test", "%s", text);
	ph_buf_init(&buf, arena, BUS_MESSAGE_LIMIT);
	attempt_reply(attempt, "why", &buf);
	ck_assert(!buf.full);
	reply = ph_buf_content(&buf);
	while (record_next(&reply, &field)) {
		ck_assert_uint_eq(record_get_u64(field.value, F_DELIVERY, 9),
		    PH_FAILED);
		texts += record_get(field.value, F_TEXT).n > 0;
		count++;
	}
	ck_assert_uint_eq(count, ATTEMPT_RECIPIENTS_MAX);
	ck_assert(texts > 0 && texts < count);
}
END_TEST

/* --- the content --- */

static int
file_of(size_t n)
{
	char name[] = "/tmp/relay_test.XXXXXX";
	int fd = mkstemp(name);

	unlink(name);
	for (size_t i = 0; i < n; i++)
		ck_assert_int_eq(write(fd, &"0123456789"[i % 10], 1), 1);
	return fd;
}

static void
open_main(void *arg)
{
	struct wish wish = plain;
	struct ph_attempt *attempt;
	struct ph_slice content;
	struct ph_err err;
	int fd = file_of(10000), pipes[2];

	(void)arg;
	wish.content = "A: b\r\n";
	attempt_parse(arena, build(&wish), &attempt);
	ck_assert_int_eq(attempt_open(attempt, fd, 10000, &err), PH_OK);
	content = ph_attempt_content(attempt);
	ck_assert_uint_eq(content.n, 10006);
	ck_assert_mem_eq(content.p, "A: b\r\n0123456789", 16);
	ck_assert_int_eq(content.p[10005], '9');
	ck_assert_int_eq(attempt_open(attempt, fd, 9999, &err), PH_TOO_BIG);
	ck_assert_int_eq(attempt_open(attempt, -1, 9999, &err), PH_OK);
	ck_assert_uint_eq(ph_attempt_content(attempt).n, 6);
	wish.content = NULL;
	attempt_parse(arena, build(&wish), &attempt);
	ck_assert_int_eq(attempt_open(attempt, -1, 10000, &err), PH_INVALID);
	ck_assert_int_eq(attempt_open(attempt, fd, 10000, &err), PH_OK);
	ck_assert_uint_eq(ph_attempt_content(attempt).n, 10000);
	close(fd);
	fd = file_of(0);
	ck_assert_int_eq(attempt_open(attempt, fd, 10000, &err), PH_OK);
	ck_assert_uint_eq(ph_attempt_content(attempt).n, 0);
	close(fd);
	ck_assert_int_eq(pipe(pipes), 0);
	ck_assert_int_eq(attempt_open(attempt, pipes[0], 10000, &err),
	    PH_INVALID);
	close(pipes[0]);
	close(pipes[1]);
	fiber_runtime_stop();
}

START_TEST(content_is_one_piece_of_octets_and_file)
{
	fiber_runtime_init();
	fiber_start(open_main, NULL);
	fiber_runtime_run();
	resolver_close();
	fiber_runtime_fini();
}
END_TEST

/* --- the role --- */

enum { SLOW_MS = 100000 };

static bool slow_began;

static void
fake_attempt(struct ph_attempt *attempt, const void *conf)
{
	struct ph_slice to = ph_attempt_destination(attempt);

	(void)conf;
	slow_began = ph_slice_eq(to, PH_LIT("slow.test"));
	if (slow_began && ph_sleep_ms(SLOW_MS) != PH_OK)
		return;
	ph_attempt_result(attempt, 0, PH_DELIVERED, 250, "2.0.0",
	    ph_attempt_hostname(attempt), PH_SLICE_FMT,
	    PH_SLICE_ARG(ph_attempt_content(attempt)));
}

static const struct ph_transport_ops fake_ops = { .attempt = fake_attempt };
static const struct ph_module fake_module = { .abi = PH_ABI,
	.name = "fake", .kinds = PH_KIND_TRANSPORT, .transport = &fake_ops };
static struct module_instance fake_instance = { .name = "fake",
	.module = &fake_module };

static struct generation *
fake_generation(void)
{
	static const char *const servers[] = { "127.0.0.1:1", NULL };
	struct ph_arena *own = ph_arena_create(NULL);
	struct generation *generation = ph_arena_alloc(own,
	    sizeof(*generation));

	generation->arena = own;
	generation->references = 1;
	generation->core.hostname = "mail.example.test";
	generation->core.message_limit_bytes = 1 << 20;
	generation->core.dns.servers = servers;
	generation->core.dns.timeout_ms = 100;
	generation->core.dns.attempts = 1;
	generation->core.tls.ca_file = "";
	generation->modules.first = &fake_instance;
	return generation;
}

static bool stops; /* once an attempt is under way */

static void
relay_main(void *arg)
{
	struct ph_err err;

	(void)arg;
	generation_make_current(fake_generation());
	ck_assert_int_eq(role_relay.start(generation_current(), &err), PH_OK);
	if (!stops)
		return;
	while (!slow_began)
		ph_sleep_ms(5);
	role_relay.stop(10);
	fiber_runtime_stop();
}

/* The relay in a child at the other end of a socket pair. */
static pid_t
relay_start_child(int *fd_out)
{
	int fd[2];
	pid_t pid;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK |
	    SOCK_CLOEXEC, 0, fd), 0);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		close(fd[1]);
		log_init(2, PH_ERROR, "relay");
		fiber_runtime_init();
		bus_init(ROLE_RELAY, 0);
		bus_link(ROLE_QUEUE, 0, fd[0]);
		fiber_start(relay_main, NULL);
		fiber_runtime_run();
		_exit(0);
	}
	close(fd[0]);
	*fd_out = fd[1];
	return pid;
}

static void
run_queue(void (*fn)(void *), bool is_to_stop)
{
	pid_t pid;
	int fd;

	stops = is_to_stop;
	pid = relay_start_child(&fd);
	fiber_runtime_init();
	bus_init(ROLE_QUEUE, 0);
	bus_link(ROLE_RELAY, 0, fd);
	fiber_start(fn, NULL);
	fiber_runtime_run();
	bus_fini();
	resolver_close();
	fiber_runtime_fini();
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static int
ask(const struct wish *wish, struct bus_message *reply)
{
	return bus_call(ROLE_RELAY, BUS_ANY_SHARD, MSG_ATTEMPT, build(wish),
	    NULL, 0, SLOW_MS, arena, reply);
}

static uint64_t
delivery_of(const struct bus_message *reply, unsigned i)
{
	struct ph_slice rest = reply->record;
	struct record_field field = { 0 };

	for (unsigned k = 0; k <= i; k++)
		ck_assert(record_next(&rest, &field));
	ck_assert_uint_eq(record_get_u64(field.value, F_NUMBER, 0), i + 5);
	return record_get_u64(field.value, F_DELIVERY, 9);
}

static void
serve_main(void *arg)
{
	struct wish wish = plain;
	struct bus_message reply;

	(void)arg;
	ck_assert_int_eq(ask(&wish, &reply), PH_OK);
	ck_assert_uint_eq(delivery_of(&reply, 0), PH_DELIVERED);
	ck_assert_uint_eq(delivery_of(&reply, 1), PH_DEFERRED);
	wish.transport = "fake";
	ck_assert_int_eq(ask(&wish, &reply), PH_OK);
	ck_assert_uint_eq(delivery_of(&reply, 0), PH_DELIVERED);
	wish.transport = "other";
	ck_assert_int_eq(ask(&wish, &reply), PH_OK);
	ck_assert_uint_eq(delivery_of(&reply, 0), PH_DEFERRED);
	wish = plain;
	wish.content = NULL;
	ck_assert_int_eq(ask(&wish, &reply), PH_OK);
	ck_assert_uint_eq(delivery_of(&reply, 0), PH_DEFERRED);
	wish = plain;
	wish.sender = "a\r\n";
	ck_assert_int_eq(ask(&wish, &reply), PH_INVALID);
	fiber_runtime_stop();
}

START_TEST(serves_attempts_and_defers_what_has_no_result)
{
	run_queue(serve_main, false);
}
END_TEST

static void
stop_main(void *arg)
{
	struct wish wish = plain;
	struct bus_message reply;
	uint64_t start = ph_now_ms();

	(void)arg;
	wish.destination = "slow.test";
	ck_assert_int_eq(ask(&wish, &reply), PH_OK);
	ck_assert_uint_eq(delivery_of(&reply, 0), PH_DEFERRED);
	ck_assert_uint_lt(ph_now_ms() - start, SLOW_MS / 2);
	fiber_runtime_stop();
}

START_TEST(stop_cuts_attempts_short_and_still_answers)
{
	run_queue(stop_main, true);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("relay");
	TCase *tcase = tcase_create("relay");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, takes_an_attempt_apart);
	tcase_add_test(tcase, refuses_what_would_break_a_line_of_smtp);
	tcase_add_test(tcase, results_fill_a_reply);
	tcase_add_test(tcase, many_long_results_fit);
	tcase_add_test(tcase, content_is_one_piece_of_octets_and_file);
	tcase_add_test(tcase, serves_attempts_and_defers_what_has_no_result);
	tcase_add_test(tcase, stop_cuts_attempts_short_and_still_answers);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
