/* SPDX-License-Identifier: Apache-2.0 */
/* stream_test.c - lines, buffers, back-pressure, TLS, over socket pairs. */
#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/fiber.h"
#include "net/stream.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

static struct ph_arena *arena;
static struct ph_stream *left, *right;

static void
run(void (*fn)(void *), void *arg)
{
	int fd[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0,
	    fd), 0);
	fiber_runtime_init();
	arena = ph_arena_create(NULL);
	left = stream_create(arena, fd[0]);
	right = stream_create(arena, fd[1]);
	fiber_start(fn, arg);
	fiber_runtime_run();
	ph_arena_free(arena);
	fiber_runtime_fini();
}

static void
lines_main(void *arg)
{
	struct ph_slice line;
	bool bare;

	(void)arg;
	ph_stream_puts(left, "one\r\ntwo\nlooooooooong\r\nlast\r\nhalf");
	ck_assert_int_eq(ph_stream_flush(left), PH_OK);
	ck_assert_int_eq(ph_stream_read_line(right, 12, 100, &line, &bare), 0);
	ck_assert(ph_slice_eq(line, PH_LIT("one")) && !bare);
	ck_assert_int_eq(ph_stream_read_line(right, 12, 100, &line, &bare), 0);
	ck_assert(ph_slice_eq(line, PH_LIT("two")) && bare);
	ck_assert_int_eq(ph_stream_read_line(right, 12, 100, &line, &bare),
	    PH_TOO_BIG);
	ck_assert_int_eq(ph_stream_read_line(right, 12, 100, &line, &bare), 0);
	ck_assert(ph_slice_eq(line, PH_LIT("last")));
	ck_assert_int_eq(ph_stream_read_line(right, 12, 20, &line, &bare),
	    PH_TIMEOUT);
	ck_assert(ph_slice_eq(ph_stream_buffered(right), PH_LIT("half")));
	ph_stream_close(left);
	ck_assert_int_eq(ph_stream_read_line(right, 12, 100, &line, &bare),
	    PH_EOF);
	fiber_runtime_stop();
}

START_TEST(reads_lines_within_their_limit)
{
	run(lines_main, NULL);
}
END_TEST

enum { BIG = 3 << 20 };

static void
write_big(void *arg)
{
	char *octets = malloc(BIG);

	(void)arg;
	for (size_t i = 0; i < BIG; i++)
		octets[i] = (char)(i % 251);
	ck_assert_int_eq(ph_stream_puts(left, "x"), PH_OK);
	ck_assert_int_eq(ph_stream_write(left, octets, BIG), PH_OK);
	free(octets);
	stream_end(left);
}

enum { REPLIES = 512 << 10 };

static void
write_until_canceled(void *arg)
{
	char *octets = malloc(REPLIES);

	(void)arg;
	memset(octets, 'r', REPLIES);
	ck_assert_int_eq(ph_stream_puts(left, "<"), PH_OK);
	ck_assert_int_eq(ph_stream_write(left, octets, REPLIES), PH_CANCELED);
	free(octets);
}

static void
say_the_rest(void *arg)
{
	(void)arg;
	ck_assert_int_eq(ph_stream_puts(left, ">"), PH_OK);
	stream_end(left);
}

static void
canceled_main(void *arg)
{
	struct fiber *writer = fiber_start_joinable(write_until_canceled, NULL);
	struct fiber *last;
	size_t n = 0;

	(void)arg;
	ph_sleep_ms(1); /* it fills the socket and waits */
	fiber_cancel(writer);
	fiber_join(writer);
	last = fiber_start_joinable(say_the_rest, NULL);
	while (ph_stream_fill(right, 1000) == PH_OK) {
		struct ph_slice got = ph_stream_buffered(right);

		for (size_t i = 0; i < got.n; i++, n++)
			ck_assert_int_eq(got.p[i], n == 0 ? '<' :
			    n == REPLIES + 1 ? '>' : 'r');
		ph_stream_consume(right, got.n);
	}
	ck_assert_uint_eq(n, REPLIES + 2);
	fiber_join(last);
	fiber_runtime_stop();
}

START_TEST(what_a_canceled_fiber_said_is_sent_whole)
{
	run(canceled_main, NULL);
}
END_TEST

static void
big_main(void *arg)
{
	struct ph_scope scope;
	size_t n = 0;
	int status;

	(void)arg;
	ph_scope_begin(&scope);
	ph_scope_spawn(&scope, write_big, NULL);
	ck_assert_int_eq(ph_stream_fill(right, 1000), PH_OK);
	ck_assert_int_eq(ph_stream_buffered(right).p[0], 'x');
	ph_stream_consume(right, 1);
	do {
		struct ph_slice have = ph_stream_buffered(right);

		for (size_t i = 0; i < have.n; i++, n++)
			if ((uint8_t)have.p[i] != n % 251) /* 3 million */
				ck_abort_msg("octet %zu is wrong", n);
		ph_stream_consume(right, have.n);
		status = ph_stream_fill(right, 1000);
	} while (status == PH_OK);
	ck_assert_int_eq(status, PH_EOF);
	ck_assert_uint_eq(n, BIG);
	ph_scope_end(&scope);
	fiber_runtime_stop();
}

START_TEST(carries_more_than_the_socket_holds)
{
	run(big_main, NULL);
}
END_TEST

static struct ph_event event;

static void
signal_soon(void *arg)
{
	(void)arg;
	ph_sleep_ms(5);
	ph_event_signal(&event);
}

static void
wait_main(void *arg)
{
	struct ph_scope scope;

	(void)arg;
	ph_scope_begin(&scope);
	ph_scope_spawn(&scope, signal_soon, NULL);
	ck_assert_int_eq(ph_stream_wait(right, &event, 1000), PH_OK);
	ck_assert_uint_eq(ph_stream_buffered(right).n, 0);
	ph_stream_puts(left, "DONE\r\n");
	ph_stream_flush(left);
	ck_assert_int_eq(ph_stream_wait(right, &event, 1000), PH_OK);
	ck_assert_uint_eq(ph_stream_buffered(right).n, 6);
	ph_stream_consume(right, 6);
	ck_assert_int_eq(ph_stream_wait(right, &event, 5), PH_TIMEOUT);
	ph_scope_end(&scope);
	fiber_runtime_stop();
}

START_TEST(waits_for_input_or_an_event)
{
	run(wait_main, NULL);
}
END_TEST

/* --- TLS --- */

static struct tls_server *server;
static char certificate_pem[4096], key_pem[4096];

static void
make_certificate(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	BIO *bio = BIO_new(BIO_s_mem());

	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_pubkey(cert, key);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN",
	    MBSTRING_ASC, (const unsigned char *)"mail.test", -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(cert));
	X509_sign(cert, key, EVP_sha256());
	PEM_write_bio_X509(bio, cert);
	certificate_pem[BIO_read(bio, certificate_pem, 4095)] = '\0';
	PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
	key_pem[BIO_read(bio, key_pem, 4095)] = '\0';
	BIO_free(bio);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static void
serve_tls(void *arg)
{
	struct ph_slice line;
	int want = arg != NULL ? PH_TLS : PH_OK;
	const struct tls_wish wish = { .alpn = arg, .timeout_ms = 1000 };

	ck_assert_int_eq(stream_tls_server(left, server, &wish), want);
	if (want != PH_OK)
		return;
	while (ph_stream_read_line(left, 1000, 1000, &line, NULL) == PH_OK)
		ph_stream_printf(left, "got %.*s\r\n", PH_SLICE_ARG(line));
	stream_end(left);
}

static void
tls_main(void *arg)
{
	struct ph_scope scope;
	struct ph_slice line;
	struct ph_err err;

	(void)arg;
	/* What was injected in the clear must vanish. */
	ph_stream_puts(right, "");
	ph_scope_begin(&scope);
	ph_scope_spawn(&scope, serve_tls, NULL);
	ck_assert_int_eq(ph_stream_tls_client(right, "mail.test", PH_TLS_ANY,
	    1000, &err), PH_OK);
	ck_assert(ph_stream_is_tls(right));
	ph_stream_puts(right, "a\r\nb\r\n");
	ck_assert_int_eq(ph_stream_read_line(right, 99, 1000, &line, NULL), 0);
	ck_assert(ph_slice_eq(line, PH_LIT("got a")));
	ck_assert_int_eq(ph_stream_read_line(right, 99, 1000, &line, NULL), 0);
	ck_assert(ph_slice_eq(line, PH_LIT("got b")));
	stream_end(right);
	ck_assert_int_eq(ph_scope_wait(&scope), PH_OK);
	ph_scope_end(&scope);
	fiber_runtime_stop();
}

START_TEST(speaks_tls_both_ways)
{
	struct ph_err err = { 0 };

	make_certificate();
	server = tls_server_create(ph_slice_str(certificate_pem),
	    ph_slice_str(key_pem), &err);
	ck_assert_msg(server != NULL, "%s", err.text);
	run(tls_main, NULL);
	tls_client_fini();
	tls_server_free(server);
}
END_TEST

/* A hostile client: the head of a ClientHello, then an octet at a time. */
static void
drip(void *arg)
{
	static const char hello[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc"
	    "\x03\x03";

	(void)arg;
	ph_stream_write(right, hello, sizeof(hello) - 1);
	while (ph_stream_flush(right) == PH_OK && ph_sleep_ms(2) == PH_OK)
		ph_stream_write(right, "x", 1);
}

static void
drip_main(void *arg)
{
	const struct tls_wish wish = { .timeout_ms = 60 };
	uint64_t began = ph_now_ms();
	struct ph_scope scope;

	(void)arg;
	ph_scope_begin(&scope);
	ph_scope_spawn(&scope, drip, NULL);
	/* One time for all of it, not for each octet. */
	ck_assert_int_eq(stream_tls_server(left, server, &wish), PH_TIMEOUT);
	ck_assert_uint_ge(ph_now_ms() - began, 60);
	ck_assert(!ph_stream_is_tls(left));
	ph_stream_close(left);
	ph_scope_end(&scope);
	fiber_runtime_stop();
}

START_TEST(CVE_2014_3430_an_unfinished_handshake_is_given_up)
{
	struct ph_err err = { 0 };

	make_certificate();
	server = tls_server_create(ph_slice_str(certificate_pem),
	    ph_slice_str(key_pem), &err);
	run(drip_main, NULL);
	tls_server_free(server);
}
END_TEST

static void
verify_main(void *arg)
{
	struct ph_scope scope;
	struct ph_err err;

	(void)arg;
	ph_scope_begin(&scope);
	ph_scope_spawn(&scope, serve_tls, "smtp");
	ck_assert_int_eq(ph_stream_tls_client(right, "mail.test",
	    PH_TLS_VERIFY, 1000, &err), PH_TLS);
	ck_assert(strstr(err.text, "certificate verify failed") != NULL);
	ph_stream_close(right);
	ph_scope_wait(&scope);
	ph_scope_end(&scope);
	fiber_runtime_stop();
}

START_TEST(refuses_a_stranger_s_certificate_when_told_to)
{
	struct ph_err err = { 0 };

	make_certificate();
	server = tls_server_create(ph_slice_str(certificate_pem),
	    ph_slice_str(key_pem), &err);
	run(verify_main, NULL);
	tls_client_fini();
	tls_server_free(server);
}
END_TEST

START_TEST(says_why_a_key_cannot_be_used)
{
	struct ph_err err = { 0 };

	make_certificate();
	ck_assert_ptr_null(tls_server_create(ph_slice_str(certificate_pem),
	    PH_LIT("not a key"), &err));
	ck_assert(strstr(err.text, "key") != NULL);
}
END_TEST

/* --- relay --- */

static void
relay_side(void *arg)
{
	int *fd = arg;

	stream_relay(left, *fd, 1000);
	ph_stream_close(left);
}

static void
relay_main(void *arg)
{
	struct ph_scope scope;
	struct ph_slice line;
	struct ph_stream *mail;
	int fd[2];

	(void)arg;
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0,
	    fd), 0);
	mail = stream_create(arena, fd[1]);
	ph_scope_begin(&scope);
	ph_scope_spawn(&scope, relay_side, &fd[0]);
	ph_stream_puts(right, "hello\r\n");
	ph_stream_flush(right);
	ck_assert_int_eq(ph_stream_read_line(mail, 99, 1000, &line, NULL), 0);
	ck_assert(ph_slice_eq(line, PH_LIT("hello")));
	ph_stream_puts(mail, "bye\r\n");
	stream_end(mail);
	ck_assert_int_eq(ph_stream_read_line(right, 99, 1000, &line, NULL), 0);
	ck_assert(ph_slice_eq(line, PH_LIT("bye")));
	ck_assert_int_eq(ph_stream_read_line(right, 99, 1000, &line, NULL),
	    PH_EOF);
	ck_assert_int_eq(ph_scope_wait(&scope), PH_OK);
	ph_scope_end(&scope);
	fiber_runtime_stop();
}

START_TEST(relays_until_the_server_s_side_ends)
{
	run(relay_main, NULL);
}
END_TEST

static void
detach_main(void *arg)
{
	struct ph_slice unread, line;
	struct ph_stream *again;
	int fd;

	(void)arg;
	ph_stream_puts(left, "one\r\ntwo\r\n");
	ph_stream_flush(left);
	ck_assert_int_eq(ph_stream_read_line(right, 99, 1000, &line, NULL), 0);
	fd = dup(stream_fd(right));
	unread = ph_stream_buffered(right);
	ck_assert(fd >= 0 && ph_slice_eq(unread, PH_LIT("two\r\n")));
	again = stream_create(arena, fd);
	stream_unread(again, unread);
	ph_stream_close(right);
	ck_assert_int_eq(ph_stream_read_line(again, 99, 1000, &line, NULL), 0);
	ck_assert(ph_slice_eq(line, PH_LIT("two")));
	fiber_runtime_stop();
}

START_TEST(goes_on_with_what_was_unread)
{
	run(detach_main, NULL);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("stream");
	TCase *all = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_test(all, reads_lines_within_their_limit);
	tcase_add_test(all, carries_more_than_the_socket_holds);
	tcase_add_test(all, what_a_canceled_fiber_said_is_sent_whole);
	tcase_add_test(all, waits_for_input_or_an_event);
	tcase_add_test(all, speaks_tls_both_ways);
	tcase_add_test(all,
	    CVE_2014_3430_an_unfinished_handshake_is_given_up);
	tcase_add_test(all, refuses_a_stranger_s_certificate_when_told_to);
	tcase_add_test(all, says_why_a_key_cannot_be_used);
	tcase_add_test(all, relays_until_the_server_s_side_ends);
	tcase_add_test(all, goes_on_with_what_was_unread);
	signal(SIGPIPE, SIG_IGN); /* as every role does */
	suite_add_tcase(suite, all);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
