/* SPDX-License-Identifier: Apache-2.0 */
/* proxy_test.c - PROXY headers: good, broken, cut anywhere. */
#include <check.h>
#include <string.h>

#include "net/proxy.h"

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

START_TEST(version_2)
{
	struct proxy_header header;

	header = whole(V2 "\x21\x11\0\x0c" "\xc0\0\2\1" "\xc6\x33\x64\2"
	                  "\x12\x67\0\x19", 28);
	check_header(&header, "192.0.2.1", 4711, "198.51.100.2", 25);
	/* with a TLV behind the addresses */
	header = whole(V2 "\x21\x11\0\x10" "\xc0\0\2\1" "\xc6\x33\x64\2"
	                  "\x12\x67\0\x19" "\4\0\1x", 32);
	check_header(&header, "192.0.2.1", 4711, "198.51.100.2", 25);
	header = whole(V2 "\x21\x21\0\x24"
	    "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
	    "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc6\x33\x64\2" "\0\1\0\2", 52);
	check_header(&header, "2001:db8::1", 1, "198.51.100.2", 2);
	header = whole(V2 "\x20\0\0\0", 16); /* LOCAL */
	ck_assert(!header.is_known);
	header = whole(V2 "\x20\x11\0\x0c" "123456789012", 28);
	ck_assert(!header.is_known);
	header = whole(V2 "\x21\x31\0\x03" "abc", 19); /* a Unix socket */
	ck_assert(!header.is_known);
}
END_TEST

START_TEST(broken_version_2)
{
	static const struct ph_slice broken[] = {
		{ V2 "\x11\x11\0\x0c" "123456789012", 28 }, /* version 1 */
		{ V2 "\x22\x11\0\x0c" "123456789012", 28 },
		{ V2 "\x21\x11\0\x0b" "12345678901", 27 },
		{ V2 "\x21\x21\0\x0c" "123456789012", 28 },
		{ V2 "\x21\x11\xff\xff", 16 }, /* too long to wait for */
		{ "\r\n\r\n\0\r\nQUIX\n\x21\x11\0\0", 16 },
	};
	struct proxy_header header;
	size_t used;

	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
		ck_assert_msg(proxy_parse(broken[i], &header, &used) ==
		        PROXY_BROKEN, "%zu", i);
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
	tcase_add_test(tcase, broken_version_2);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
