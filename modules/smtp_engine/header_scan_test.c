/* SPDX-License-Identifier: Apache-2.0 */
/* header_scan_test.c - where header sections end, octet by octet. */
#include <check.h>

#include "header_scan.h"

static const struct {
	const char *text;
	enum header_answer answer;
	size_t at;
	unsigned hops;
} table[] = {
	{ "A: b\r\n\r\nbody", HEADER_COMPLETE, 8, 0 },
	{ "\r\nbody", HEADER_COMPLETE, 2, 0 },
	{ "A: b\r\n c\r\n\r\n", HEADER_COMPLETE, 12, 0 },
	{ "A: b\r\nbody\r\n", HEADER_BROKEN, 6, 0 },
	{ "body\r\n", HEADER_BROKEN, 0, 0 },
	{ " A: b\r\n\r\n", HEADER_BROKEN, 0, 0 },
	{ ": b\r\n", HEADER_BROKEN, 0, 0 },
	{ "From x Mon: y\r\n", HEADER_MORE, 15, 0 },
	{ "From x Mon: y\r\nA: b\r\n\r\n", HEADER_COMPLETE, 23, 0 },
	{ ">From x\r\nReceived: b\r\n\r\n", HEADER_COMPLETE, 24, 1 },
	{ "From x\r\nA: b\r\nbody\r\n", HEADER_BROKEN, 14, 0 },
	{ "From x\r\nbody\r\n", HEADER_BROKEN, 0, 0 },
	{ "From x\r\n\r\nbody\r\n", HEADER_BROKEN, 0, 0 },
	{ "From x\r\nFrom y\r\nA: b\r\n\r\n", HEADER_BROKEN, 0, 0 },
	{ "From x\r\n A: b\r\n\r\n", HEADER_BROKEN, 0, 0 },
	{ "From : x\r\n\r\n", HEADER_COMPLETE, 12, 0 },
	{ "A: b\r\nFrom x\r\n", HEADER_BROKEN, 6, 0 },
	{ "Fro", HEADER_MORE, 0, 0 },
	{ "A \t: b\r\n\r\n", HEADER_COMPLETE, 10, 0 },
	{ "A: b\r\n", HEADER_MORE, 6, 0 },
	{ "A: b", HEADER_MORE, 0, 0 },
	{ "Received: a\r\nRECEIVED: b\r\nX-Received: c\r\n\r\n",
	    HEADER_COMPLETE, 43, 2 },
	{ "Received : a\r\n Received: b\r\n\r\n", HEADER_COMPLETE, 30, 1 },
	{ "A\x80: b\r\n\r\n", HEADER_BROKEN, 0, 0 },
};

START_TEST(finds_the_end_whatever_the_pieces)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const size_t n = strlen(table[i].text);

		for (size_t step = 1; step <= n; step++) {
			struct header_scan scan = { 0 };
			enum header_answer answer = HEADER_MORE;

			for (size_t at = 0; at < n && answer == HEADER_MORE;
			     at += step)
				answer = header_scan_next(&scan,
				    (struct ph_slice){ table[i].text,
				        at + step < n ? at + step : n });
			ck_assert_int_eq(answer, table[i].answer);
			ck_assert_uint_eq(scan.at, table[i].at);
			ck_assert_uint_eq(scan.hops, table[i].hops);
		}
	}
}
END_TEST

Suite *header_scan_suite(void);
Suite *
header_scan_suite(void)
{
	Suite *suite = suite_create("header_scan");
	TCase *tc = tcase_create("header_scan");

	tcase_add_test(tc, finds_the_end_whatever_the_pieces);
	suite_add_tcase(suite, tc);
	return suite;
}
