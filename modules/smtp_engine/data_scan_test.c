/* SPDX-License-Identifier: Apache-2.0 */
/*
 * data_scan_test.c - the end of data against a reference of twenty lines, over
 * the smuggling table and every split of each of its entries
 * (CVE-2023-51764, -51765, -51766, -51747).
 */
#include <check.h>
#include <stdlib.h>

#include <posthouse/arena.h>

#include "data_scan.h"

Suite *header_scan_suite(void);

struct result {
	char content[512];
	size_t n;
	bool bare;
	bool ended;
	size_t used;
};

/* The whole input at once, an octet at a time, straight from the text of RFC
 * 5321 s4.1.1.4 and s4.5.2. */
static void
reference(const char *in, size_t n, bool normalize, struct result *r)
{
	bool start = true, lf_start = false; /* behind CRLF; behind bare LF */

	memset(r, 0, sizeof(*r));
	for (size_t i = 0; i < n; i++) {
		if (start && n - i >= 3 && memcmp(in + i, ".\r\n", 3) == 0) {
			r->ended = true;
			r->used = i + 3;
			return;
		}
		if ((start || lf_start) && in[i] == '.') {
			start = lf_start = false;
			continue;
		}
		start = lf_start = false;
		if (i + 1 < n && in[i] == '\r' && in[i + 1] == '\n') {
			r->content[r->n++] = in[i++];
			r->content[r->n++] = in[i];
			start = true;
		} else if (in[i] == '\r' || in[i] == '\n') {
			r->bare = true;
			lf_start = normalize && in[i] == '\n';
			if (lf_start)
				r->content[r->n++] = '\r';
			r->content[r->n++] = in[i] == '\r' && normalize ?
			    ' ' :
			    in[i];
		} else {
			r->content[r->n++] = in[i];
		}
	}
	r->used = n;
}

/* The scanner, its input cut at a and b; a piece is all it may read. */
static void
scan(const char *in, size_t n, bool normalize, size_t a, size_t b,
    struct result *r)
{
	const size_t cut[] = { 0, a, b, n };
	struct data_scan s;

	memset(r, 0, sizeof(*r));
	data_scan_init(&s, true, normalize);
	for (int i = 0; i < 3; i++) {
		const size_t size = cut[i + 1] - cut[i];
		char *piece = malloc(size + 1);
		size_t at = 0;

		memcpy(piece, in + cut[i], size);
		while (at < size && !r->ended) {
			struct ph_slice run;

			at += data_scan_next(&s,
			    (struct ph_slice){ piece + at, size - at }, &run,
			    &r->ended);
			if (r->n + run.n > sizeof(r->content))
				ck_abort();
			memcpy(r->content + r->n, run.p, run.n);
			r->n += run.n;
		}
		r->used += at;
		free(piece);
		if (r->ended)
			break;
	}
	r->bare = s.bare;
}

static const struct {
	const char *p;
	size_t n;
} part[] = {
	{ "\r\n", 2 }, { "\n", 1 }, { "\r", 1 }, { "\r\r\n", 3 },
	{ "\n\r", 2 }, { "\0\n", 2 }, { "\r\0\n", 3 }, { "", 0 },
};
enum { PARTS = sizeof(part) / sizeof(part[0]) };

/* "body" A "." B "MAIL ..." and the true end. */
static size_t
sequence(char *text, size_t a, size_t b, const char *dots)
{
	size_t n = 0;

	memcpy(text + n, "to", 2);
	n += 2;
	memcpy(text + n, part[a].p, part[a].n);
	n += part[a].n;
	memcpy(text + n, dots, strlen(dots));
	n += strlen(dots);
	memcpy(text + n, part[b].p, part[b].n);
	n += part[b].n;
	memcpy(text + n, "MAIL\r\n.\r\nQUIT\r\n", 15);
	return n + 15;
}

/* Before the end of data something may be held back. */
static bool
is_same(const struct result *want, const struct result *got)
{
	if (!want->ended || !got->ended)
		return want->ended == got->ended;
	return got->used == want->used && got->n == want->n &&
	    got->bare == want->bare &&
	    memcmp(got->content, want->content, want->n) == 0;
}

static void
compare_all_splits(const char *text, size_t n, bool normalize)
{
	struct result want, got;

	reference(text, n, normalize, &want);
	for (size_t a = 0; a <= n; a++)
		for (size_t b = a; b <= n; b++) {
			scan(text, n, normalize, a, b, &got);
			if (!is_same(&want, &got))
				ck_abort_msg("cut at %zu and %zu of %zu: %.*s",
				    a, b, n, (int)n, text);
		}
}

START_TEST(agrees_with_the_reference_on_every_split_of_the_smuggling_table)
{
	char text[64];
	size_t sequences = 0;

	for (size_t a = 0; a < PARTS; a++)
		for (size_t b = 0; b < PARTS; b++)
			for (int dots = 0; dots < 3; dots++) {
				const size_t n = sequence(text, a, b,
				    dots == 0 ? "." : dots == 1 ? ".." : "");

				compare_all_splits(text, n, false);
				compare_all_splits(text, n, true);
				sequences++;
			}
	ck_assert_uint_ge(sequences, 150);
}
END_TEST

START_TEST(ends_at_crlf_dot_crlf_and_nowhere_else)
{
	char text[64];
	struct result r;

	for (size_t a = 0; a < PARTS; a++)
		for (size_t b = 0; b < PARTS; b++)
			for (int normalize = 0; normalize < 2; normalize++) {
				const size_t n = sequence(text, a, b, ".");
				/* CR CR LF ends with a CRLF. */
				const bool early = (a == 0 || a == 3) && b == 0;

				scan(text, n, normalize, n, n, &r);
				ck_assert(r.ended);
				ck_assert_uint_eq(r.used,
				    early ? n - 15 : n - 6);
			}
}
END_TEST

START_TEST(removes_one_dot_of_a_stuffed_line)
{
	static const char in[] = "..\r\n...x\r\na.\r\n..\r\n\r\n.\r\n";
	static const char out[] = ".\r\n..x\r\na.\r\n.\r\n\r\n";
	struct result r;

	compare_all_splits(in, sizeof(in) - 1, false);
	scan(in, sizeof(in) - 1, false, 0, 0, &r);
	ck_assert(r.ended && !r.bare);
	ck_assert_uint_eq(r.n, sizeof(out) - 1);
	ck_assert_mem_eq(r.content, out, r.n);
}
END_TEST

START_TEST(an_empty_message_is_a_dot_alone)
{
	struct result r;

	compare_all_splits(".\r\n", 3, false);
	scan(".\r\n", 3, false, 1, 2, &r);
	ck_assert(r.ended && r.n == 0);
}
END_TEST

START_TEST(agrees_with_the_reference_on_random_newlines)
{
	static const char alphabet[] = "\r\n.\r\n.x";
	struct result want, got;
	char text[64];

	srandom(4711);
	for (int round = 0; round < 200000; round++) {
		const size_t n = (size_t)random() % sizeof(text);
		const bool normalize = random() & 1;
		const size_t b = n > 0 ? (size_t)random() % n : 0;
		const size_t a = b > 0 ? (size_t)random() % b : 0;

		for (size_t i = 0; i < n; i++)
			text[i] = alphabet[random() % 7];
		reference(text, n, normalize, &want);
		scan(text, n, normalize, a, b, &got);
		if (!is_same(&want, &got))
			ck_abort_msg("round %d", round);
	}
}
END_TEST

START_TEST(many_bare_newlines_cost_linear_time)
{
	const size_t n = 1 << 20;
	char *text = malloc(n);

	for (int kind = 0; kind < 4; kind++) {
		struct data_scan s;
		struct ph_slice run;
		size_t at = 0;
		bool end;

		memset(text, kind & 1 ? '\r' : '\n', n);
		data_scan_init(&s, true, kind & 2);
		while (at < n)
			at += data_scan_next(&s,
			    (struct ph_slice){ text + at, n - at }, &run, &end);
		ck_assert(s.bare);
	}
	free(text);
}
END_TEST

START_TEST(chunks_keep_their_dots_and_end_in_a_line_end)
{
	static const struct {
		const char *in, *out;
	} row[] = {
		{ ".\r\n.\r\nx\r\n", ".\r\n.\r\nx\r\n" },
		{ "x", "x\r\n" },
		{ "x\r", "x\r\n" },
		{ "", "" },
		{ "x\r\n.", "x\r\n.\r\n" },
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct ph_slice in = ph_slice_str(row[i].in), run;
		struct data_scan s;
		struct ph_buf out;
		bool end;

		ph_buf_init(&out, NULL, 100);
		data_scan_init(&s, false, false);
		while (in.n > 0) {
			const size_t used = data_scan_next(&s,
			    (struct ph_slice){ in.p, 1 }, &run, &end);

			ck_assert(!end);
			in.p += used;
			in.n -= used;
			ph_buf_slice(&out, run);
		}
		ph_buf_slice(&out, data_scan_finish(&s));
		ck_assert(ph_slice_eq(ph_buf_content(&out),
		    ph_slice_str(row[i].out)));
		ph_buf_fini(&out);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("data_scan");
	TCase *tc = tcase_create("data_scan");
	SRunner *runner;
	int failed;

	tcase_add_test(tc,
	    agrees_with_the_reference_on_every_split_of_the_smuggling_table);
	tcase_add_test(tc, ends_at_crlf_dot_crlf_and_nowhere_else);
	tcase_add_test(tc, removes_one_dot_of_a_stuffed_line);
	tcase_add_test(tc, an_empty_message_is_a_dot_alone);
	tcase_add_test(tc, agrees_with_the_reference_on_random_newlines);
	tcase_add_test(tc, many_bare_newlines_cost_linear_time);
	tcase_add_test(tc, chunks_keep_their_dots_and_end_in_a_line_end);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_add_suite(runner, header_scan_suite());
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
