/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transport_smtp_test.c - whole attempts against servers of the test: who gets
 * which result when the peer says what.
 */
#include <check.h>
#include <posthouse/transport.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/record.h"
#include "conf.h"
#include "peer_fixture.h"
#include "log/log.h"
#include "loop/fiber.h"
#include "net/dns.h"
#include "net/stream.h"
#include "role/attempt.h"
#include "role/kept.h"
#include "role/messages.h"
#include "smtp_client/session.h"

extern const struct ph_module transport_smtp_LTX_ph_module;

static struct fake_peer peer, second;
static struct fake_dns dns;
static struct ph_arena *arena;
static struct smtp_conf conf;
static const char *const no_policy[] = { NULL };
static struct ph_attempt *attempt;

/* What an attempt is to carry. */
static struct {
	const char *destination, *sender, *content, *notify, *orcpt;
	const char *facts[8]; /* name, value, ... */
	const char *recipient[4];
	unsigned extra; /* more recipients, made up */
} mail;


static void
setup(void)
{
	static char server[64];
	static const char *servers[2] = { server, NULL };
	struct ph_err err;

	memset(&mail, 0, sizeof(mail));
	memset(&peer, 0, sizeof(peer));
	memset(&second, 0, sizeof(second));
	mail.destination = "bare.test";
	mail.sender = "alice@example.test";
	mail.content = "Subject: x\r\n\r\n.hi\r\n";
	mail.recipient[0] = "bob@bare.test";
	conf = (struct smtp_conf){ .tls = TLS_MAY, .allow_loopback = true,
		.tls_policy = no_policy, .relay_host = "", .relay_user = "",
		.max_hosts = 10, .client = { .connect_timeout_ms = 3000,
		.greeting_timeout_ms = 3000, .helo_timeout_ms = 3000,
		.tls_timeout_ms = 3000, .mail_timeout_ms = 3000,
		.rcpt_timeout_ms = 3000, .data_init_timeout_ms = 3000,
		.data_block_timeout_ms = 3000,
		.data_done_timeout_ms = 3000 } };
	log_init(2, PH_ERROR, "relay");
	fake_dns_start(&dns);
	snprintf(server, sizeof(server), "127.0.0.1:%u", dns.port);
	ck_assert_int_eq(resolver_init(servers, 2000, 2, 0, &err),
	    PH_OK);
	arena = ph_arena_create(NULL);
}

static void
teardown(void)
{
	ph_arena_free(arena);
	resolver_fini();
	tls_client_fini();
	fake_dns_stop(&dns);
}

static void
put_recipient(struct ph_buf *buf, const char *address, unsigned number)
{
	size_t mark = record_begin(buf, F_RCPT);

	record_put_u64(buf, F_NUMBER, number);
	record_put_str(buf, F_ADDRESS, address);
	if (mail.notify != NULL)
		record_put_str(buf, F_DSN_NOTIFY, mail.notify);
	if (mail.orcpt != NULL)
		record_put_str(buf, F_ORCPT, mail.orcpt);
	record_end(buf, mark);
}

static void
build(void)
{
	struct ph_buf buf;
	char text[64];
	size_t mark;

	ph_buf_init(&buf, arena, 512 << 10);
	record_put_u64(&buf, F_QUEUE_ID, 77);
	record_put_str(&buf, F_DESTINATION, mail.destination);
	record_put_str(&buf, F_SENDER, mail.sender);
	for (unsigned i = 0; i < 4 && mail.recipient[i] != NULL; i++)
		put_recipient(&buf, mail.recipient[i], i);
	for (unsigned i = 0; i < mail.extra; i++) {
		snprintf(text, sizeof(text), "u%u@bare.test", i);
		put_recipient(&buf, text, 100 + i);
	}
	for (unsigned i = 0; mail.facts[i] != NULL; i += 2) {
		mark = record_begin(&buf, F_FACT);
		record_put_str(&buf, F_NAME, mail.facts[i]);
		record_put_str(&buf, F_TEXT, mail.facts[i + 1]);
		record_end(&buf, mark);
	}
	record_put_str(&buf, F_CONTENT, mail.content);
	ck_assert_int_eq(attempt_parse(arena, ph_buf_content(&buf), &attempt),
	    PH_OK);
}

static void
attempt_main(void *arg)
{
	struct ph_err err;

	(void)arg;
	build();
	attempt->hostname = "mail.example.test";
	ck_assert_int_eq(attempt_open(attempt, -1, 0, &err), PH_OK);
	transport_smtp_LTX_ph_module.transport->attempt(attempt, &conf);
	fiber_runtime_stop();
}

static void (*main_of_attempt)(void *) = attempt_main;

/* Run the attempt; first and second connection of the peer play these. */
static void
run(const char *const *one, const char *const *two)
{
	peer.script[0] = one;
	peer.script[1] = two;
	fake_peer_start(&peer, "127.0.0.2", 0);
	conf.port = peer.port;
	fiber_runtime_init();
	fiber_start(main_of_attempt, NULL);
	fiber_runtime_run();
	fake_peer_stop(&peer);
	resolver_close();
	fiber_runtime_fini();
	ck_assert_msg(peer.wrong[0] == 0, "%s", peer.wrong);
}

static void
ck_result(size_t i, enum ph_delivery delivery, int code, const char *enhanced)
{
	const struct attempt_result *result = &attempt->recipients[i].result;

	ck_assert(result->is_set);
	ck_assert_msg(result->delivery == delivery, "delivery %d: %s [%s]",
	    result->delivery, result->text, peer.log);
	ck_assert_msg(result->code == code, "code %d: %s", result->code,
	    result->text);
	ck_assert_str_eq(result->enhanced != NULL ? result->enhanced : "",
	    enhanced);
}

/* --- the conversation --- */

START_TEST(delivers_with_pipelining)
{
	static const char *const script[] = { ">220 peer.test",
		"<EHLO mail.example.test", PIPE_EHLO,
		"<MAIL FROM:<alice@example.test> SIZE=19 RET=HDRS ENVID=e1",
		"<RCPT TO:<bob@bare.test> NOTIFY=NEVER ORCPT=rfc822;x",
		"<RCPT TO:<carol@bare.test>", "<DATA",
		"#250 2.1.0 ok\r\n250 2.1.5 ok\r\n550 5.1.1 who?\r\n354 go\r\n",
		".", ">250 2.0.0 queued as 1", "<QUIT", NULL };

	mail.recipient[1] = "carol@bare.test";
	mail.notify = "NEVER";
	mail.orcpt = "rfc822;x";
	mail.facts[0] = "ret";
	mail.facts[1] = "HDRS";
	mail.facts[2] = "envid";
	mail.facts[3] = "e1";
	run(script, NULL);
	ck_result(0, PH_DELIVERED, 250, "2.0.0");
	ck_assert_str_eq(attempt->recipients[0].result.text, "queued as 1");
	ck_assert_str_eq(attempt->recipients[0].result.host, "bare.test");
	ck_result(1, PH_FAILED, 550, "5.1.1");
	ck_assert_ptr_nonnull(strstr(peer.log,
	    "Subject: x\r\n\r\n..hi\r\n.\r\nQUIT"));
}
END_TEST

START_TEST(falls_back_to_helo_step_by_step)
{
	static const char *const script[] = { ">220-peer.test", ">220 hello",
		"<EHLO", ">502 what", "<HELO mail.example.test", ">250 peer",
		"<MAIL FROM:<alice@example.test>", ">250 ok", "<RCPT", ">250 ok",
		"<DATA", ">354 go", ".", ">250 ok", "<QUIT", NULL };

	run(script, NULL);
	ck_result(0, PH_DELIVERED, 250, "");
	ck_assert_ptr_null(strstr(peer.log, "SIZE="));
}
END_TEST

START_TEST(sends_no_data_when_nobody_was_accepted)
{
	static const char *const script[] = { ">220 peer", "<EHLO", CLEAR_EHLO,
		"<MAIL", ">250 ok", "<RCPT", ">450 4.2.0 greylisted", "<QUIT",
		NULL };
	static const char *const pipelined[] = { ">220 peer", "<EHLO",
		PIPE_EHLO, "<MAIL", "<RCPT", "<DATA",
		"#250 ok\r\n550 5.1.1 no\r\n354 go\r\n", ".", ">554 nobody",
		"<QUIT", NULL };

	run(script, NULL);
	ck_result(0, PH_DEFERRED, 450, "4.2.0");
	memset(&peer, 0, sizeof(peer));
	run(pipelined, NULL);
	ck_result(0, PH_FAILED, 550, "5.1.1");
	ck_assert_ptr_null(strstr(peer.log, "Subject"));
}
END_TEST

START_TEST(failed_mail_is_not_blamed_on_recipients)
{
	static const char *const script[] = { ">220 peer", "<EHLO", PIPE_EHLO,
		"<MAIL", "<RCPT", "<DATA",
		"#451 4.3.0 later\r\n503 no mail\r\n503 no mail\r\n", "~", NULL };
	static const char *const refused[] = { ">220 peer", "<EHLO", PIPE_EHLO,
		"<MAIL", "<RCPT", "<DATA",
		"#553 5.1.8 no\r\n503 no mail\r\n503 no mail\r\n", "~", NULL };

	run(script, NULL);
	ck_result(0, PH_DEFERRED, 451, "4.3.0");
	memset(&peer, 0, sizeof(peer));
	run(refused, NULL);
	ck_result(0, PH_FAILED, 553, "5.1.8");
}
END_TEST

START_TEST(no_reply_to_the_end_of_data_defers)
{
	static const char *const script[] = { ">220 peer", "<EHLO", PIPE_EHLO,
		"<MAIL", "<RCPT", "<DATA", "#250 ok\r\n250 ok\r\n354 go\r\n",
		".", NULL };
	static const char *const late[] = { ">220 peer", "<EHLO", PIPE_EHLO,
		"<MAIL", "<RCPT", "<DATA", "#250 ok\r\n250 ok\r\n354 go\r\n",
		".", "~", NULL };

	run(script, script);
	ck_result(0, PH_DEFERRED, 0, "4.4.2");
	ck_assert_uint_eq(peer.connections, 1);
	memset(&peer, 0, sizeof(peer));
	conf.client.data_done_timeout_ms = 100;
	run(late, NULL);
	ck_result(0, PH_DEFERRED, 0, "4.4.2");
}
END_TEST

START_TEST(a_refusal_in_the_middle_of_content_counts)
{
	static const char *const script[] = { ">220 peer", "<EHLO", PIPE_EHLO,
		"<MAIL", "<RCPT", "<DATA",
		"#250 ok\r\n250 ok\r\n354 go\r\n552 5.3.4 too much\r\n", NULL };
	char *big = malloc(8 << 20);

	memset(big, 'x', 8 << 20);
	for (size_t i = 78; i < 8 << 20; i += 80)
		memcpy(big + i, "\r\n", 2);
	memcpy(big, "A: b\r\n\r\n", 8);
	big[400000] = '\0';
	mail.content = big;
	run(script, NULL);
	ck_assert_int_ne(attempt->recipients[0].result.delivery, PH_DELIVERED);
	free(big);
}
END_TEST

START_TEST(many_recipients_go_in_several_transactions)
{
	static const char *script[320];
	size_t n = 0;

	script[n++] = ">220 peer";
	script[n++] = "<EHLO";
	script[n++] = PIPE_EHLO;
	for (unsigned round = 0; round < 2; round++) {
		unsigned count = round == 0 ? 100 : 21;

		if (round == 1) {
			script[n++] = "<RSET";
			script[n++] = ">250 ok";
		}
		script[n++] = "<MAIL";
		for (unsigned i = 0; i < count; i++)
			script[n++] = "<RCPT";
		script[n++] = "<DATA";
		for (unsigned i = 0; i < count + 1; i++)
			script[n++] = ">250 ok";
		script[n++] = ">354 go";
		script[n++] = ".";
		script[n++] = ">250 ok";
	}
	script[n] = NULL;
	mail.extra = 120;
	run(script, NULL);
	for (size_t i = 0; i < 121; i++)
		ck_result(i, PH_DELIVERED, 250, "");
}
END_TEST

/* --- what does not fit the peer --- */

START_TEST(refuses_what_the_peer_can_not_take)
{
	static const char *const small[] = { ">220 peer", "<EHLO",
		"#250-p\r\n250 SIZE 10\r\n", "<QUIT", NULL };
	static const char *const ascii[] = { ">220 peer", "<EHLO", CLEAR_EHLO,
		"<MAIL FROM:<alice@example.test> SIZE", ">250 ok",
		"<RCPT TO:<carol@bare.test>", ">250 ok", "<DATA", ">354 go", ".",
		">250 ok", "<QUIT", NULL };
	static const char *const header[] = { ">220 peer", "<EHLO", CLEAR_EHLO,
		"<QUIT", NULL };

	run(small, NULL);
	ck_result(0, PH_FAILED, 0, "5.3.4");
	memset(&peer, 0, sizeof(peer));
	mail.recipient[0] = "b\303\266b@bare.test";
	mail.recipient[1] = "carol@bare.test";
	run(ascii, NULL);
	ck_result(0, PH_FAILED, 0, "5.6.7");
	ck_result(1, PH_DELIVERED, 250, "");
	memset(&peer, 0, sizeof(peer));
	mail.recipient[0] = "bob@bare.test";
	mail.content = "Subject: \303\266\r\n\r\nhi\r\n";
	mail.facts[0] = "smtputf8";
	mail.facts[1] = "1";
	run(header, NULL);
	ck_result(0, PH_FAILED, 0, "5.6.9");
}
END_TEST

START_TEST(says_what_the_content_is)
{
	static const char *const script[] = { ">220 peer", "<EHLO", PIPE_EHLO,
		"<MAIL FROM:<> SIZE=20 BODY=8BITMIME SMTPUTF8",
		"<RCPT TO:<b\303\266b@bare.test>", "<DATA",
		"#250 ok\r\n250 ok\r\n354 go\r\n", ".", ">250 ok", "<QUIT", NULL };

	mail.sender = "";
	mail.recipient[0] = "b\303\266b@bare.test";
	mail.content = "Subject: x\r\n\r\n\303\266\303\266\r\n";
	run(script, NULL);
	ck_result(0, PH_DELIVERED, 250, "");
}
END_TEST

/* --- TLS --- */

START_TEST(speaks_tls_and_forgets_what_was_said_before)
{
	static const char *const script[] = { ">220 peer", "<EHLO",
		"#250-p\r\n250-PIPELINING\r\n250 STARTTLS\r\n", "<STARTTLS",
		"#220 go\r\n250-injected\r\n250 SIZE 1\r\n", "T", "<EHLO",
		CLEAR_EHLO, "<MAIL", ">250 ok", "<RCPT", ">250 ok", "<DATA",
		">354 go", ".", ">250 ok", "<QUIT", NULL };

	run(script, NULL);
	ck_result(0, PH_DELIVERED, 250, "");
}
END_TEST

/* The peer's certificate is the CA of this attempt. */
static void
verify_main(void *arg)
{
	char name[] = "/tmp/transport_smtp_test.XXXXXX";
	int fd = mkstemp(name);
	struct ph_err err;

	ck_assert_int_gt(write(fd, peer.certificate, strlen(peer.certificate)),
	    0);
	close(fd);
	ck_assert_int_eq(tls_client_init(name, &err), PH_OK);
	unlink(name);
	attempt_main(arg);
}

START_TEST(verifies_the_name_of_the_host)
{
	static const char *const script[] = { ">220 peer", "<EHLO",
		"#250-p\r\n250 STARTTLS\r\n", "<STARTTLS", ">220 go", "T",
		"<EHLO", CLEAR_EHLO, "<MAIL", ">250 ok", "<RCPT", ">250 ok",
		"<DATA", ">354 go", ".", ">250 ok", "<QUIT", NULL };
	static const char *const domain[] = { "verify.test", "bare.test",
		"[127.0.0.2]" };

	conf.tls = TLS_VERIFY;
	for (size_t i = 0; i < 3; i++) {
		memset(&peer, 0, sizeof(peer));
		mail.destination = domain[i];
		main_of_attempt = verify_main;
		run(script, NULL);
		if (i == 0)
			ck_result(0, PH_DELIVERED, 250, "");
		else
			ck_result(0, PH_DEFERRED, 0, "4.7.5");
	}
}
END_TEST

START_TEST(goes_on_in_the_clear_when_tls_may_fail)
{
	static const char *const broken[] = { STARTS, "<STARTTLS", ">220 go",
		"#this is no TLS at all\r\n", "~", NULL };
	static const char *const late[] = { STARTS, "<STARTTLS", ">220 go",
		"T", NULL };
	static const char *const clear[] = { STARTS, "<MAIL", ">250 ok",
		"<RCPT", ">250 ok", "<DATA", ">354 go", ".", ">250 ok",
		"<QUIT", NULL };

	for (size_t i = 0; i < 2; i++) {
		memset(&peer, 0, sizeof(peer));
		run(i == 0 ? broken : late, clear);
		ck_result(0, PH_DELIVERED, 250, "");
		ck_assert_uint_eq(peer.connections, 2);
	}
	memset(&peer, 0, sizeof(peer));
	conf.tls = TLS_ENCRYPT;
	run(broken, clear);
	ck_result(0, PH_DEFERRED, 0, "4.7.5");
	ck_assert_uint_eq(peer.connections, 1);
}
END_TEST

START_TEST(insists_on_tls_when_told_so)
{
	static const char *const none[] = { ">220 peer", "<EHLO", CLEAR_EHLO,
		"<QUIT", NULL };
	static const char *const unknown[] = { ">220 peer", "<EHLO",
		"#250-p\r\n250 STARTTLS\r\n", "<STARTTLS", ">220 go", "T", "~",
		NULL };

	conf.tls = TLS_ENCRYPT;
	run(none, NULL);
	ck_result(0, PH_DEFERRED, 0, "4.7.4");
	memset(&peer, 0, sizeof(peer));
	conf.tls = TLS_VERIFY; /* nobody signed the peer's certificate */
	run(unknown, NULL);
	ck_result(0, PH_DEFERRED, 0, "4.7.5");
}
END_TEST

/* --- CHUNKING, AUTH, connections kept --- */

START_TEST(sends_content_as_one_chunk)
{
	static const char *const script[] = { ">220 peer", "<EHLO",
		"#250-p\r\n250-PIPELINING\r\n250 CHUNKING\r\n", "<MAIL", "<RCPT",
		"#250 ok\r\n250 ok\r\n", "<BDAT 19 LAST", "<Subject: x", "<",
		"<.hi", ">250 taken", "<QUIT", NULL };
	static const char *const nobody[] = { ">220 peer", "<EHLO",
		"#250-p\r\n250-PIPELINING\r\n250 CHUNKING\r\n", "<MAIL", "<RCPT",
		"#250 ok\r\n550 no\r\n", "<QUIT", NULL };

	run(script, NULL);
	ck_result(0, PH_DELIVERED, 250, "");
	memset(&peer, 0, sizeof(peer));
	run(nobody, NULL);
	ck_result(0, PH_FAILED, 550, "");
}
END_TEST

static void
use_relay(void)
{
	conf.relay_host = "[127.0.0.2]";
	conf.relay_user = "me";
	conf.relay_password = "secret";
}

START_TEST(logs_in_to_the_relay_host_over_tls)
{
	static const char *const plain[] = { ">220 peer", "<EHLO",
		"#250-p\r\n250 STARTTLS\r\n", "<STARTTLS", ">220 go", "T",
		"<EHLO", "#250-p\r\n250 AUTH LOGIN PLAIN\r\n",
		"<AUTH PLAIN AG1lAHNlY3JldA==", ">235 in", "<MAIL", ">250 ok",
		"<RCPT", ">250 ok", "<DATA", ">354 go", ".", ">250 ok", "<QUIT",
		NULL };
	static const char *const login[] = { ">220 peer", "<EHLO",
		"#250-p\r\n250 STARTTLS\r\n", "<STARTTLS", ">220 go", "T",
		"<EHLO", "#250-p\r\n250 AUTH LOGIN\r\n", "<AUTH LOGIN",
		">334 VXNlcm5hbWU6", "<bWU=", ">334 UGFzc3dvcmQ6", "<c2VjcmV0",
		">535 5.7.8 no", "<QUIT", NULL };
	static const char *const clear[] = { ">220 peer", "<EHLO",
		"#250-p\r\n250 AUTH PLAIN\r\n", "<QUIT", NULL };
	static const char *const at_once[] = { "T", ">220 peer", "<EHLO",
		"#250-p\r\n250 AUTH PLAIN\r\n", "<AUTH PLAIN", ">235 in",
		"<MAIL", ">250 ok", "<RCPT", ">250 ok", "<DATA", ">354 go", ".",
		">250 ok", "<QUIT", NULL };

	use_relay();
	mail.destination = "gone.test"; /* it is not looked up */
	run(plain, NULL);
	ck_result(0, PH_DELIVERED, 250, "");
	memset(&peer, 0, sizeof(peer));
	run(login, NULL);
	ck_result(0, PH_DEFERRED, 0, "4.7.8");
	memset(&peer, 0, sizeof(peer));
	run(clear, NULL);
	ck_result(0, PH_DEFERRED, 0, "4.7.4");
	memset(&peer, 0, sizeof(peer));
	conf.relay_smtps = true;
	run(at_once, NULL);
	ck_result(0, PH_DELIVERED, 250, "");
}
END_TEST

START_TEST(a_destination_can_need_more_tls)
{
	static const char *const none[] = { ">220 peer", "<EHLO", CLEAR_EHLO,
		"<QUIT", NULL };
	static const char *const list[] = { "bare.test encrypt", NULL };

	conf.tls_policy = list;
	run(none, NULL);
	ck_result(0, PH_DEFERRED, 0, "4.7.4");
}
END_TEST

/* Two attempts, one after the other, then the process stops. */
static void
twice_main(void *arg)
{
	struct ph_err err;

	(void)arg;
	for (unsigned i = 0; i < 2; i++) {
		build();
		attempt->hostname = "mail.example.test";
		ck_assert_int_eq(attempt_open(attempt, -1, 0, &err), PH_OK);
		transport_smtp_LTX_ph_module.transport->attempt(attempt,
		    &conf);
		ck_result(0, PH_DELIVERED, 250, "");
		ck_assert_uint_eq(kept_count(), 1);
	}
	kept_end_all(3000);
	fiber_runtime_stop();
}

START_TEST(sends_the_next_message_on_the_same_connection)
{
	static const char *const script[] = { SENT, "<RSET", ">250 ok",
		"<MAIL", ">250 ok", "<RCPT", ">250 ok", "<DATA", ">354 go", ".",
		">250 ok", "<QUIT", NULL };
	static const char *const closes[] = { SENT, NULL };
	static const char *const tired[] = { SENT, "<RSET", ">250 ok", "<MAIL",
		">421 enough", NULL };
	static const char *const piped[] = { PIPED, "<RSET", "<MAIL", "<RCPT",
		"<DATA", "#250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n", ".",
		">250 ok", "<QUIT", NULL };
	static const char *const ends[] = { PIPED, "<RSET", ">421 enough", NULL };
	static const struct {
		const char *const *first, *const *next;
		unsigned connections;
	} row[] = { { script, NULL, 1 }, { closes, closes, 2 }, { tired, closes,
		2 }, { piped, NULL, 1 }, { ends, closes, 2 } };

	conf.client.connection_idle_ms = 60000;
	main_of_attempt = twice_main;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		memset(&peer, 0, sizeof(peer));
		run(row[i].first, row[i].next);
		ck_assert_uint_eq(peer.connections, row[i].connections);
	}
	main_of_attempt = attempt_main;
}
END_TEST

/* --- hosts --- */

static const char *const takes_all[] = { ">220 peer", "<EHLO", CLEAR_EHLO,
	"<MAIL", ">250 ok", "<RCPT", ">250 ok", "<DATA", ">354 go", ".",
	">250 ok", "<QUIT", NULL };
static const char *const busy[] = { ">421 4.3.2 busy", NULL };
static const char *const hangs_up[] = { ">220 peer", "<EHLO", CLEAR_EHLO,
	"<MAIL", ">250 ok", NULL };
static const char *const never[] = { ">554 5.7.1 go away", NULL };
static const char *const no_smtp[] = { ">SSH-2.0-x", NULL };

/* Both hosts of two.test; the first address is the peer's. */
static void
run_two(const char *const *first, const char *const *other)
{
	memset(&peer, 0, sizeof(peer));
	memset(&second, 0, sizeof(second));
	mail.destination = "two.test";
	second.script[0] = other;
	fake_peer_start(&second, "127.0.0.3", 0);
	peer.script[0] = first;
	fake_peer_start(&peer, "127.0.0.2", second.port);
	conf.port = second.port;
	fiber_runtime_init();
	fiber_start(attempt_main, NULL);
	fiber_runtime_run();
	fake_peer_stop(&peer);
	fake_peer_stop(&second);
	resolver_close();
	fiber_runtime_fini();
}

START_TEST(tries_the_next_host)
{
	run_two(takes_all, takes_all);
	ck_result(0, PH_DELIVERED, 250, "");
	ck_assert_str_eq(attempt->recipients[0].result.host, "mx1.test");
	ck_assert_uint_eq(second.connections, 0);
	run_two(busy, takes_all);
	ck_result(0, PH_DELIVERED, 250, "");
	ck_assert_str_eq(attempt->recipients[0].result.host, "mx2.test");
	run_two(hangs_up, takes_all);
	ck_result(0, PH_DELIVERED, 250, "");
	run_two(no_smtp, takes_all);
	ck_result(0, PH_DELIVERED, 250, "");
	run_two(never, takes_all);
	ck_result(0, PH_DELIVERED, 250, "");
}
END_TEST

START_TEST(fails_for_good_only_when_every_host_does)
{
	run_two(never, never);
	ck_result(0, PH_FAILED, 554, "5.7.1");
	run_two(never, busy);
	ck_result(0, PH_DEFERRED, 421, "4.3.2");
	run_two(busy, never);
	ck_result(0, PH_DEFERRED, 421, "4.3.2");
	run_two(busy, hangs_up);
	ck_result(0, PH_DEFERRED, 0, "4.4.2");
}
END_TEST

static void
run_domain(const char *domain, enum ph_delivery delivery,
    const char *enhanced)
{
	memset(&peer, 0, sizeof(peer));
	mail.destination = domain;
	run(takes_all, NULL);
	ck_result(0, delivery, delivery == PH_DELIVERED ? 250 : 0, enhanced);
	ck_assert_uint_eq(peer.connections, delivery == PH_DELIVERED);
}

START_TEST(knows_what_dns_means)
{
	run_domain("gone.test", PH_FAILED, "5.1.2");
	run_domain("fail.test", PH_DEFERRED, "4.4.3");
	run_domain("null.test", PH_FAILED, "5.1.10");
	run_domain("nowhere.test", PH_FAILED, "5.4.4");
	run_domain("empty.test", PH_FAILED, "5.1.2");
	run_domain("[127.0.0.2]", PH_DELIVERED, "");
	run_domain("[127.0.0.4]", PH_DEFERRED, "4.4.1");
	run_domain("[x]", PH_FAILED, "5.1.2");
}
END_TEST

START_TEST(does_not_send_to_itself)
{
	conf.allow_loopback = false;
	run_domain("two.test", PH_FAILED, "5.4.6");
	run_domain("bare.test", PH_FAILED, "5.4.6");
	run_domain("loop.test", PH_FAILED, "5.4.6");
	run_domain("any.test", PH_FAILED, "5.4.6");
	run_domain("[127.0.0.1]", PH_FAILED, "5.4.6");
	run_domain("[IPv6:::1]", PH_FAILED, "5.4.6");
}
END_TEST

/* A host elsewhere that is ourselves after all: behind a translated address. */
static void
mirror_main(void *arg)
{
	struct client_peer host = { .name = "mx1.test", .port = conf.port,
		.tls = TLS_MAY };
	struct delivery *delivery;
	struct ph_err err;
	bool tls_failed;

	(void)arg;
	build();
	attempt->hostname = "mail.example.test";
	ck_assert_int_eq(attempt_open(attempt, -1, 0, &err), PH_OK);
	ck_assert(ph_addr_parse(PH_LIT("127.0.0.2"), &host.addr));
	delivery = delivery_create(attempt, &conf.client);
	ck_assert(!session_run(delivery, &host, false, &tls_failed));
	delivery_end(delivery);
	fiber_runtime_stop();
}

START_TEST(knows_itself_by_name)
{
	static const char *const mirror[] = { ">220 peer", "<EHLO",
		"#250-Mail.Example.Test hello\r\n250 SIZE\r\n", "<QUIT", NULL };

	conf.allow_loopback = false;
	peer.script[0] = mirror;
	fake_peer_start(&peer, "127.0.0.2", 0);
	conf.port = peer.port;
	fiber_runtime_init();
	fiber_start(mirror_main, NULL);
	fiber_runtime_run();
	fake_peer_stop(&peer);
	resolver_close();
	fiber_runtime_fini();
	ck_result(0, PH_FAILED, 0, "5.4.6");
}
END_TEST

static void
canceled_main(void *arg)
{
	struct ph_scope scope;

	ph_scope_begin(&scope);
	ph_scope_spawn(&scope, attempt_main, arg);
	ph_sleep_ms(200);
	ph_scope_end(&scope);
	ph_sleep_ms(5);
	fiber_runtime_stop();
}

START_TEST(a_canceled_attempt_tries_no_other_host)
{
	static const char *const mute[] = { "~", NULL };

	peer.script[0] = mute;
	mail.destination = "two.test";
	fake_peer_start(&second, "127.0.0.3", 0);
	fake_peer_start(&peer, "127.0.0.2", second.port);
	conf.port = second.port;
	fiber_runtime_init();
	fiber_start(canceled_main, NULL);
	fiber_runtime_run();
	fake_peer_stop(&peer);
	fake_peer_stop(&second);
	resolver_close();
	fiber_runtime_fini();
	ck_result(0, PH_DEFERRED, 0, "4.4.2");
	ck_assert_uint_eq(second.connections, 0);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("transport_smtp");
	TCase *tcase = tcase_create("attempts");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tcase, 200);
	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, delivers_with_pipelining);
	tcase_add_test(tcase, falls_back_to_helo_step_by_step);
	tcase_add_test(tcase, sends_no_data_when_nobody_was_accepted);
	tcase_add_test(tcase, failed_mail_is_not_blamed_on_recipients);
	tcase_add_test(tcase, no_reply_to_the_end_of_data_defers);
	tcase_add_test(tcase, a_refusal_in_the_middle_of_content_counts);
	tcase_add_test(tcase, many_recipients_go_in_several_transactions);
	tcase_add_test(tcase, refuses_what_the_peer_can_not_take);
	tcase_add_test(tcase, says_what_the_content_is);
	tcase_add_test(tcase, speaks_tls_and_forgets_what_was_said_before);
	tcase_add_test(tcase, verifies_the_name_of_the_host);
	tcase_add_test(tcase, goes_on_in_the_clear_when_tls_may_fail);
	tcase_add_test(tcase, insists_on_tls_when_told_so);
	tcase_add_test(tcase, sends_content_as_one_chunk);
	tcase_add_test(tcase, logs_in_to_the_relay_host_over_tls);
	tcase_add_test(tcase, a_destination_can_need_more_tls);
	tcase_add_test(tcase, sends_the_next_message_on_the_same_connection);
	tcase_add_test(tcase, tries_the_next_host);
	tcase_add_test(tcase, fails_for_good_only_when_every_host_does);
	tcase_add_test(tcase, knows_what_dns_means);
	tcase_add_test(tcase, does_not_send_to_itself);
	tcase_add_test(tcase, knows_itself_by_name);
	tcase_add_test(tcase, a_canceled_attempt_tries_no_other_host);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
