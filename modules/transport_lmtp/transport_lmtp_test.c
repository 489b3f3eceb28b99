/* SPDX-License-Identifier: Apache-2.0 */
/* transport_lmtp_test.c - attempts against an LMTP server of the test. */
#include <check.h>
#include <posthouse/transport.h>
#include <stdio.h>

#include "../transport_smtp/peer_fixture.h"
#include "base/record.h"
#include "log/log.h"
#include "loop/fiber.h"
#include "role/attempt.h"
#include "role/messages.h"

extern const struct ph_module transport_lmtp_LTX_ph_module;

static struct fake_peer peer;
static struct ph_arena *arena;
static void *conf;
static struct ph_attempt *attempt;

static void
setup(void)
{
	memset(&peer, 0, sizeof(peer));
	log_init(2, PH_ERROR, "relay");
	arena = ph_arena_create(NULL);
}

static void
teardown(void)
{
	ph_arena_free(arena);
}

static void
build(void)
{
	static const char *const to[] = { "a@x.test", "b@x.test", "c@x.test" };
	struct ph_buf buf;

	ph_buf_init(&buf, arena, 64 << 10);
	record_put_u64(&buf, F_QUEUE_ID, 77);
	record_put_str(&buf, F_DESTINATION, "x.test");
	record_put_str(&buf, F_SENDER, "alice@example.test");
	for (unsigned i = 0; i < 3; i++) {
		size_t mark = record_begin(&buf, F_RCPT);

		record_put_u64(&buf, F_NUMBER, i);
		record_put_str(&buf, F_ADDRESS, to[i]);
		record_end(&buf, mark);
	}
	record_put_str(&buf, F_CONTENT, "Subject: x\r\n\r\nhi\r\n");
	ck_assert_int_eq(attempt_parse(arena, ph_buf_content(&buf), &attempt),
	    PH_OK);
}

/* The struct behind conf, by the module's own table. */
static void
set(const char *name, unsigned number, const char *text)
{
	const struct ph_option *option = transport_lmtp_LTX_ph_module.options;

	while (strcmp(option->name, name) != 0)
		option++;
	if (text != NULL)
		memcpy((char *)conf + option->offset, &text, sizeof(text));
	else
		memcpy((char *)conf + option->offset, &number, sizeof(number));
}

static void
attempt_main(void *arg)
{
	const struct ph_option *option = transport_lmtp_LTX_ph_module.options;
	struct ph_err err;

	(void)arg;
	conf = ph_arena_alloc(arena, transport_lmtp_LTX_ph_module.conf_size);
	for (; option->name != NULL; option++)
		if (option->type == PH_OPTION_MSEC)
			set(option->name, 3000, NULL);
	set("connection_idle", 0, NULL);
	set("socket", 0, "");
	set("host", 0, "127.0.0.2");
	set("port", peer.port, NULL);
	build();
	attempt->hostname = "mail.example.test";
	ck_assert_int_eq(attempt_open(attempt, -1, 0, &err), PH_OK);
	transport_lmtp_LTX_ph_module.transport->attempt(attempt, conf);
	fiber_runtime_stop();
}

static void
run(const char *const *script)
{
	peer.script[0] = script;
	fake_peer_start(&peer, "127.0.0.2", 0);
	fiber_runtime_init();
	fiber_start(attempt_main, NULL);
	fiber_runtime_run();
	fake_peer_stop(&peer);
	fiber_runtime_fini();
	ck_assert_msg(peer.wrong[0] == 0, "%s", peer.wrong);
}

static void
ck_result(size_t i, enum ph_delivery delivery, int code)
{
	const struct attempt_result *result = &attempt->recipients[i].result;

	ck_assert(result->is_set);
	ck_assert_msg(result->delivery == delivery && result->code == code,
	    "%d %d %s", result->delivery, result->code, result->text);
}

START_TEST(takes_a_reply_for_each_accepted_recipient)
{
	static const char *const script[] = { ">220 peer", "<LHLO mail",
		"#250-p\r\n250 PIPELINING\r\n", "<MAIL", "<RCPT TO:<a", "<RCPT",
		"<RCPT", "<DATA",
		"#250 ok\r\n250 ok\r\n550 5.1.1 who\r\n250 ok\r\n354 go\r\n",
		".", "#452 4.2.2 full\r\n250 ok\r\n", "<QUIT", NULL };

	run(script);
	ck_result(0, PH_DEFERRED, 452);
	ck_result(1, PH_FAILED, 550);
	ck_result(2, PH_DELIVERED, 250);
}
END_TEST

START_TEST(a_reply_that_does_not_come_defers_its_recipient_alone)
{
	static const char *const script[] = { ">220 peer", "<LHLO mail",
		">250 p", "<MAIL", ">250 ok", "<RCPT", ">250 ok", "<RCPT",
		">250 ok", "<RCPT", ">250 ok", "<DATA", ">354 go", ".",
		"#250 ok\r\n", NULL };
	static const char *const nobody[] = { ">220 peer", "<LHLO",
		"#250-p\r\n250 PIPELINING\r\n", "<MAIL", "<RCPT", "<RCPT",
		"<RCPT", "<DATA",
		"#250 ok\r\n550 no\r\n550 no\r\n550 no\r\n503 no\r\n", "<QUIT",
		NULL };

	run(script);
	ck_result(0, PH_DELIVERED, 250);
	ck_result(1, PH_DEFERRED, 0);
	ck_result(2, PH_DEFERRED, 0);
	memset(&peer, 0, sizeof(peer));
	run(nobody);
	for (size_t i = 0; i < 3; i++)
		ck_result(i, PH_FAILED, 550);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("transport_lmtp");
	TCase *tcase = tcase_create("attempts");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, takes_a_reply_for_each_accepted_recipient);
	tcase_add_test(tcase,
	    a_reply_that_does_not_come_defers_its_recipient_alone);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
