/* SPDX-License-Identifier: Apache-2.0 */
/* proxy_test.c - PROXY headers: good, broken, cut anywhere; and off a socket. */
#include <check.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/fiber.h"
#include "net/proxy.h"
#include "net/stream.h"

static const struct ph_addr none;

static void
check_header(const struct proxy_header *header, const char *client,
    unsigned client_port, const char *local, unsigned local_port)
{
	char text[PH_ADDR_TEXT_MAX];

	ck_assert(header->is_known);
	ck_assert_str_eq(ph_addr_format(&header->client, text), client);
	ck_assert_str_eq(ph_addr_format(&header->local, text), local);
	ck_assert_uint_eq(header->client_port, client_port);
	ck_assert_uint_eq(header->local_port, local_port);
}

/* Every shorter piece asks for more; what follows is left alone. */
static struct proxy_header
whole(const void *octets, size_t n)
{
	struct proxy_header header;
	char text[4096];
	size_t used = 0;

	for (size_t cut = 0; cut < n; cut++)
		ck_assert_msg(proxy_parse((struct ph_slice){ octets, cut },
		                  &header, &used) == PROXY_MORE, "%zu", cut);
	memcpy(text, octets, n);
	memcpy(text + n, "\x16\x03\x01 rest\r\n", 10);
	ck_assert_int_eq(proxy_parse((struct ph_slice){ text, n + 10 },
	                     &header, &used), PROXY_WHOLE);
	ck_assert_uint_eq(used, n);
	return header;
}

START_TEST(version_1)
{
	struct proxy_header header;

	header = whole("PROXY TCP4 192.0.2.1 198.51.100.2 4711 25\r\n", 43);
	check_header(&header, "192.0.2.1", 4711, "198.51.100.2", 25);
	header = whole("PROXY TCP6 2001:db8::1 2001:db8::2 65535 0\r\n", 44);
	check_header(&header, "2001:db8::1", 65535, "2001:db8::2", 0);
	header = whole("PROXY UNKNOWN\r\n", 15);
	ck_assert(!header.is_known && ph_addr_eq(&header.client, &none));
	header = whole("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", 35);
	ck_assert(!header.is_known);
}
END_TEST

START_TEST(broken_version_1)
{
	static const char *const line[] = {
		"GET / HTTP/1.1\r\n", "EHLO x\r\n", "\r\n\r\nx", "PROXYX\r\n",
		"proxy TCP4 192.0.2.1 198.51.100.2 1 2\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.2 1 2\n",
		"PROXY TCP4 192.0.2.1 198.51.100.2 1\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.2 1 2 \r\n",
		"PROXY TCP4  192.0.2.1 198.51.100.2 1 2\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.2 65536 2\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.2 -1 2\r\n",
		"PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n",
		"PROXY TCP4 192.0.2.256 198.51.100.2 1 2\r\n",
		"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
		"PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n",
		"PROXY TCP4 192.0.2.1 2001:db8::2 1 2\r\n",
		"PROXY TCP6 2001:db8::1 198.51.100.2 1 2\r\n",
		"PROXY TCP6 fe80::1%eth0 2001:db8::2 1 2\r\n",
		"PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n", "PROXY \r\n",
		"PROXY TCP4 \r\n", "PROXY \n",
	};
	struct proxy_header header;
	char big[200];
	size_t used;

	for (size_t i = 0; i < sizeof(line) / sizeof(line[0]); i++)
		ck_assert_msg(proxy_parse(ph_slice_str(line[i]), &header,
		                  &used) == PROXY_BROKEN, "%s", line[i]);
	memset(big, 'x', sizeof(big));
	memcpy(big, "PROXY UNKNOWN ", 14);
	ck_assert_int_eq(proxy_parse((struct ph_slice){ big, 106 }, &header,
	                     &used), PROXY_MORE);
	ck_assert_int_eq(proxy_parse((struct ph_slice){ big, 107 }, &header,
	                     &used), PROXY_BROKEN);
}
END_TEST

#define V2 "\r\n\r\n\0\r\nQUIT\n"

/* 192.0.2.1 port 4711 to 198.51.100.2 port 25 */
#define A4 "\xc0\0\2\1" "\xc6\x33\x64\2" "\x12\x67\0\x19"

START_TEST(version_2)
{
	struct proxy_header header;

	header = whole(V2 "\x21\x11\0\x0c" A4, 28);
	check_header(&header, "192.0.2.1", 4711, "198.51.100.2", 25);
	/* with TLVs behind the addresses: padding, and one of nobody's */
	header = whole(V2 "\x21\x11\0\x14" A4 "\4\0\1x" "\xee\0\1y", 36);
	check_header(&header, "192.0.2.1", 4711, "198.51.100.2", 25);
	header = whole(V2 "\x21\x21\0\x24"
	    "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
	    "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc6\x33\x64\2" "\0\1\0\2", 52);
	check_header(&header, "2001:db8::1", 1, "198.51.100.2", 2);
}
END_TEST

START_TEST(the_front_end_s_own)
{
	static const struct {
		const char *octets;
		size_t n;
	} own[] = {
		{ V2 "\x20\0\0\0", 16 },            /* LOCAL */
		{ V2 "\x20\x11\0\x0c" A4, 28 },
		{ V2 "\x20\xff\0\x03" "abc", 19 },  /* its block is nobody's */
		{ V2 "\x21\0\0\x03" "abc", 19 },    /* no family */
		{ V2 "\x21\x10\0\0", 16 },          /* no protocol */
		{ V2 "\x21\x12\0\x0c" A4, 28 },     /* a datagram */
	};
	static char local_socket[16 + 216] = V2 "\x21\x31\0\xd8/run/front";

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		ck_assert(!whole(own[i].octets, own[i].n).is_known);
	ck_assert(!whole(local_socket, sizeof(local_socket)).is_known);
}
END_TEST

START_TEST(a_checksum_is_checked)
{
	static const char good[] = V2 "\x21\x11\0\x16" A4
	    "\3\0\4" "\xa8" "\x29" "\xb4" "\x54" "\4\0\0";
	const size_t n = sizeof(good) - 1;
	struct proxy_header header = whole(good, n);
	char text[sizeof(good)];
	size_t used;

	check_header(&header, "192.0.2.1", 4711, "198.51.100.2", 25);
	for (size_t i = 16; i < n; i++) {
		memcpy(text, good, n);
		text[i] ^= 1;
		if (i >= 28 && i < 31)
			continue; /* it is no checksum then */
		ck_assert_msg(proxy_parse((struct ph_slice){ text, n },
		                  &header, &used) == PROXY_BROKEN, "%zu", i);
	}
}
END_TEST

START_TEST(broken_version_2)
{
	static const struct ph_slice broken[] = {
		{ V2 "\x11\x11\0\x0c" A4, 28 }, /* version 1 */
		{ V2 "\x22\x11\0\x0c" A4, 28 },
		{ V2 "\x21\x11\0\x0b" "12345678901", 27 },
		{ V2 "\x21\x21\0\x0c" A4, 28 },
		{ V2 "\x21\x31\0\x03" "abc", 19 },
		{ V2 "\x21\x41\0\x0c" A4, 28 }, /* no such family */
		{ V2 "\x21\x13\0\x0c" A4, 28 }, /* no such protocol */
		{ V2 "\x21\x11\xff\xff", 16 },  /* too long to wait for */
		{ V2 "\x20\0\xff\xff", 16 },
		{ V2 "\x21\x11\0\x0d" A4 "\4", 29 },
		{ V2 "\x21\x11\0\x0e" A4 "\4\0", 30 },
		{ V2 "\x21\x11\0\x10" A4 "\4\0\2x", 32 },
		{ V2 "\x21\x11\0\x12" A4 "\3\0\3abc", 34 },
		{ "\r\n\r\n\0\r\nQUIX\n\x21\x11\0\0", 16 },
	};
	struct proxy_header header;
	size_t used;

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
		ck_assert_msg(proxy_parse(broken[i], &header, &used) ==
		        PROXY_BROKEN, "%zu", i);
}
END_TEST

/* --- off a socket --- */

static int front; /* the front end's side */
static struct ph_stream *stream;

static void
write_rest(void *arg)
{
	const struct ph_slice *rest = arg;

	ck_assert_int_eq(write(front, rest->p, rest->n), (ssize_t)rest->n);
}

/* In two pieces; what follows is still there for who comes next. */
static void
split_main(void *arg)
{
	static const char text[] = V2 "\x21\x11\0\x14" A4
	    "\4\0\1x" "\xee\0\1y" "\x16\x03\x01";
	const size_t *cut = arg;
	struct ph_slice rest = { text + *cut, sizeof(text) - 1 - *cut };
	struct proxy_header header;
	struct ph_scope scope;

	ck_assert_int_eq(write(front, text, *cut), (ssize_t)*cut);
	ph_scope_begin(&scope);
	ph_scope_spawn(&scope, write_rest, &rest);
	ck_assert_int_eq(proxy_read(stream, 1000, &header), PH_OK);
	check_header(&header, "192.0.2.1", 4711, "198.51.100.2", 25);
	ck_assert_int_eq(ph_scope_wait(&scope), PH_OK);
	ph_scope_end(&scope);
	while (ph_stream_buffered(stream).n < 3)
		ck_assert_int_eq(ph_stream_fill(stream, 1000), PH_OK);
	ck_assert(ph_slice_eq(ph_stream_buffered(stream),
	    PH_LIT("\x16\x03\x01")));
	fiber_runtime_stop();
}

static void
run(void (*fn)(void *), void *arg)
{
	struct ph_arena *arena;
	int fd[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0,
	    fd), 0);
	fiber_runtime_init();
	arena = ph_arena_create(NULL);
	front = fd[0];
	stream = stream_create(arena, fd[1]);
	fiber_start(fn, arg);
	fiber_runtime_run();
	ph_arena_free(arena);
	close(front);
	fiber_runtime_fini();
}

START_TEST(may_be_split_at_every_octet)
{
	for (size_t cut = 0; cut <= 39; cut++)
		run(split_main, &cut);
}
END_TEST

static void
silent_main(void *arg)
{
	struct proxy_header header;

	(void)arg;
	ck_assert_int_eq(write(front, "PROXY TCP4 ", 11), 11);
	ck_assert_int_eq(proxy_read(stream, 20, &header), PH_TIMEOUT);
	shutdown(front, SHUT_WR);
	ck_assert_int_eq(proxy_read(stream, 1000, &header), PH_EOF);
	fiber_runtime_stop();
}

START_TEST(waits_for_no_more_than_its_time)
{
	run(silent_main, NULL);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("proxy");
	TCase *tcase = tcase_create("proxy");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tcase, version_1);
	tcase_add_test(tcase, broken_version_1);
	tcase_add_test(tcase, version_2);
	tcase_add_test(tcase, the_front_end_s_own);
	tcase_add_test(tcase, a_checksum_is_checked);
	tcase_add_test(tcase, broken_version_2);
	tcase_add_test(tcase, may_be_split_at_every_octet);
	tcase_add_test(tcase, waits_for_no_more_than_its_time);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
