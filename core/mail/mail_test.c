/* SPDX-License-Identifier: Apache-2.0 */
/* mail_test.c - addresses, header fields, lists, dates and encoded words. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <posthouse/mail.h>

#define ck_assert_slice(got, want)                                       \
	ck_assert_msg(ph_slice_eq((got), ph_slice_str(want)),            \
	    "got \"" PH_SLICE_FMT "\", want \"%s\"", PH_SLICE_ARG(got), \
	    (want))

static struct ph_arena *arena;

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

/* count times text. */
static struct ph_slice
repeat(const char *text, size_t count)
{
	size_t n = strlen(text);
	char *p = ph_arena_alloc(arena, n * count + 1);

	for (size_t i = 0; i < count; i++)
		memcpy(p + i * n, text, n);
	return (struct ph_slice){ p, n * count };
}

static const char *
cat(const char *a, struct ph_slice b, const char *c)
{
	return ph_arena_printf(arena, "%s" PH_SLICE_FMT "%s", a,
	    PH_SLICE_ARG(b), c);
}

static const struct {
	const char *text, *address, *rest;
	bool quoted, route, literal;
} good_paths[] = {
	{ "<>", "", "", 0, 0, 0 },
	{ "<alice@example.test>", "alice@example.test", "", 0, 0, 0 },
	{ "<Alice@EXAMPLE.Test> SIZE=1", "Alice@example.test", " SIZE=1", 0, 0, 0 },
	{ "<alice@example.test.>", "alice@example.test", "", 0, 0, 0 },
	{ "<\"a b\"@x>", "a b@x", "", 1, 0, 0 },
	{ "<\"alice\"@x>", "alice@x", "", 1, 0, 0 },
	{ "<\"a\\\"b\"@x>", "a\"b@x", "", 1, 0, 0 },
	{ "<\"user@dom\"@us.test>", "user@dom@us.test", "", 1, 0, 0 },
	{ "<\"a>b\"@x> y", "a>b@x", " y", 1, 0, 0 },
	{ "<@a.test,@b.test:c@d.test>", "c@d.test", "", 0, 1, 0 },
	{ "<a%b@c.test>", "a%b@c.test", "", 0, 0, 0 },
	{ "<a!b@c.test>", "a!b@c.test", "", 0, 0, 0 },
	{ "<a@x_y.Test>", "a@x_y.test", "", 0, 0, 0 },
	{ "<a@[192.0.2.1]>", "a@[192.0.2.1]", "", 0, 0, 1 },
	{ "<a@[IPv6:2001:DB8::1]>", "a@[ipv6:2001:db8::1]", "", 0, 0, 1 },
	{ "<gr\xc3\xbc\xc3\x9f" "e@b\xc3\xbc" "cher.test>",
	    "gr\xc3\xbc\xc3\x9f" "e@xn--bcher-kva.test", "", 0, 0, 0 },
	{ "<gr@b\xc3\xbc" "cher.test>", "gr@xn--bcher-kva.test", "", 0, 0, 0 },
	{ "<postmaster>", "postmaster", "", 0, 0, 0 },
	{ "<PostMaster>", "postmaster", "", 0, 0, 0 },
	{ "<a+b/c=d@x-y.test>", "a+b/c=d@x-y.test", "", 0, 0, 0 },
};

START_TEST(reads_paths)
{
	struct ph_path path;
	struct ph_slice rest;
	size_t at;

	ck_assert_int_eq(ph_path_parse(arena,
	    ph_slice_str(good_paths[_i].text), &path, &rest, &at), PH_OK);
	ck_assert_slice(path.address, good_paths[_i].address);
	ck_assert_slice(rest, good_paths[_i].rest);
	ck_assert_int_eq(path.was_quoted, good_paths[_i].quoted);
	ck_assert_int_eq(path.had_route, good_paths[_i].route);
	ck_assert_int_eq(path.is_literal, good_paths[_i].literal);
	ck_assert_int_eq(path.is_null, _i == 0);
	ck_assert_int_eq(path.has_utf8, strstr(good_paths[_i].text, "<gr") !=
	    NULL);
}
END_TEST

static const struct {
	const char *text;
	size_t error_at;
} bad_paths[] = {
	{ "", 0 },
	{ "alice@example.test", 0 },
	{ "<alice", 6 },
	{ "<alice>", 6 },
	{ "<alice@>", 7 },
	{ "<@x>", 3 },
	{ "<alice@example.test", 19 },
	{ "<a b@x>", 2 },
	{ "<a@b@c>", 4 },
	{ "<.a@x>", 1 },
	{ "<a.@x>", 3 },
	{ "<a..b@x>", 3 },
	{ "<a@x..y>", 3 },
	{ "<a@-x>", 3 },
	{ "<a@x-.y>", 3 },
	{ "<a@x*y>", 4 },
	{ "<a@.>", 3 },
	{ "<us:user@dom>", 3 },
	{ "<@a,b:c@d>", 4 },
	{ "<a@[127.0.0.1>", 13 },
	{ "<a@[example.test]>", 3 },
	{ "<a@[IPv6:192.0.2.1]>", 3 },
	{ "<a@[2001:db8::1]>", 3 },
	{ "<a@[]>", 3 },
	{ "<\"\"@x>", 1 },          /* CVE-2020-10967 */
	{ "<\"a\r\n\"@x>", 3 },
	{ "<\"a\\\n\"@x>", 4 },
	{ "<a\x01@x>", 2 },
	{ "<a\x7f@x>", 2 },
	{ "<\xc3@x>", 1 },           /* CVE-2020-7046: truncated UTF-8 */
	{ "<a@\xe2\x82>", 3 },
	{ "<a@b\xef\xbc\xa0" "c.test>", 3 }, /* "@" in full width */
	{ "<a@b\xe2\x84\x80.test>", 3 },     /* "a/c" in one character */
	{ "<a@\xe2\x98\x83.test>", 3 },      /* a snowman, IDNA2008 */
	{ "<\xc0\xaf@x>", 1 },       /* overlong */
	{ "<\"postmaster\">", 13 },
};

START_TEST(refuses_what_is_no_path)
{
	struct ph_path path = { 0 };
	struct ph_slice rest = PH_LIT("untouched");
	size_t at = 99;

	ck_assert_int_eq(ph_path_parse(arena, ph_slice_str(bad_paths[_i].text),
	    &path, &rest, &at), PH_INVALID);
	ck_assert_uint_eq(at, bad_paths[_i].error_at);
	ck_assert(path.address.p == NULL);
	ck_assert_slice(rest, "untouched");
}
END_TEST

START_TEST(refuses_nul_in_a_path)
{
	struct ph_path path;
	struct ph_slice rest;

	ck_assert_int_eq(ph_path_parse(arena, PH_LIT("<a\0b@x>"), &path, &rest,
	    NULL), PH_INVALID);
	ck_assert_int_eq(ph_path_parse(arena, PH_LIT("<\"a\0b\"@x>"), &path,
	    &rest, NULL), PH_INVALID);
	ck_assert_int_eq(ph_path_parse(arena, PH_LIT("<a@x\0y>"), &path, &rest,
	    NULL), PH_INVALID);
}
END_TEST

START_TEST(holds_the_limits_of_a_path)
{
	struct ph_path path;
	struct ph_slice rest;
	const char *text;

	text = cat("<", repeat("a", 64), "@x>");
	ck_assert_int_eq(ph_path_parse(arena, ph_slice_str(text), &path, &rest,
	    NULL), PH_OK);
	text = cat("<", repeat("a", 65), "@x>");
	ck_assert_int_eq(ph_path_parse(arena, ph_slice_str(text), &path, &rest,
	    NULL), PH_TOO_BIG);
	text = cat("<\"", repeat("a", 65), "\"@x>");
	ck_assert_int_eq(ph_path_parse(arena, ph_slice_str(text), &path, &rest,
	    NULL), PH_TOO_BIG);
	text = cat("<a@", repeat("a.", 126), ">");
	ck_assert_int_eq(ph_path_parse(arena, ph_slice_str(text), &path, &rest,
	    NULL), PH_OK);
	text = cat("<a@", repeat("a.", 127), ">");
	ck_assert_int_eq(ph_path_parse(arena, ph_slice_str(text), &path, &rest,
	    NULL), PH_TOO_BIG);
	text = cat("<a@", repeat("a", 64), ">");
	ck_assert_int_eq(ph_path_parse(arena, ph_slice_str(text), &path, &rest,
	    NULL), PH_INVALID);
	text = cat("<", repeat("@a.test,", 100000), "@b:c@d>");
	ck_assert_int_eq(ph_path_parse(arena, ph_slice_str(text), &path, &rest,
	    NULL), PH_TOO_BIG);
	/* "ҋё" is 4 octets, and 5 more as an A-label */
	for (unsigned n = 1; n <= 64; n++) {
		char octets[300];
		int got, put = snprintf(octets, sizeof(octets),
		    "<%0*d@%060d.%060d.%060d.\xd2\x8b\xd1\x91.test>", (int)n,
		    0, 0, 0, 0);

		got = ph_path_parse(arena, ph_slice_str(octets), &path, &rest,
		    NULL);
		ck_assert_int_eq(got, put + 5 <= 256 ? PH_OK : PH_TOO_BIG);
		if (got == PH_OK)
			ck_assert_uint_eq(path.address.n, (size_t)put + 5 - 2);
	}
}
END_TEST

START_TEST(formats_addresses_for_smtp)
{
	static const char *const pairs[][2] = {
		{ "", "" },
		{ "alice@x", "alice@x" },
		{ "a b@x", "\"a b\"@x" },
		{ "a\"b\\c@x", "\"a\\\"b\\\\c\"@x" },
		{ "user@dom@us", "\"user@dom\"@us" },
		{ ".a@x", "\".a\"@x" },
		{ "a.@x", "\"a.\"@x" },
		{ "postmaster", "postmaster" },
		{ "a\r\nRCPT TO:<b@c>", "\"aRCPT TO:<b\"@c>" },
	};

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		ck_assert_slice(ph_path_format(arena,
		    ph_slice_str(pairs[i][0])), pairs[i][1]);
	ck_assert_slice(ph_address_domain(PH_LIT("a@b@c")), "c");
	ck_assert(ph_address_domain(PH_LIT("a")).p == NULL);
	ck_assert_slice(ph_address_local(PH_LIT("a@b@c")), "a@b");
	ck_assert_slice(ph_address_local(PH_LIT("a")), "a");
}
END_TEST

START_TEST(writes_an_address_in_ascii_where_it_can_be)
{
	static const char *const cases[][2] = {
		{ "a@b.test", "a@b.test" },
		{ "a@b\303\274cher.test", "a@xn--bcher-kva.test" },
		{ "a b@x@B\303\234CHER.test", "a b@x@xn--bcher-kva.test" },
		{ "b\303\274@x.test", NULL },
		{ "b\303\274@b\303\274cher.test", NULL },
		{ "a@\303\274-.test", NULL },
		{ "a@x\342\200\246y.test", NULL },
		{ "", "" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ph_slice ascii = ph_address_to_ascii(arena,
		    ph_slice_str(cases[i][0]));

		ck_assert_int_eq(ascii.p != NULL, cases[i][1] != NULL);
		if (ascii.p != NULL)
			ck_assert_slice(ascii, cases[i][1]);
	}
}
END_TEST

START_TEST(finds_fields_and_the_body)
{
	struct ph_slice rest = PH_LIT("Subject: a\r\n b\r\nno field\r\n"
	                              "X-Y :c\nTo:\r\n\r\nbody\r\n");
	struct ph_header_field field;

	ck_assert_uint_eq(ph_header_size(rest), rest.n - 6);
	ck_assert(ph_header_find(rest, "tO", &field));
	ck_assert(!ph_header_find(rest, "body", &field));
	ck_assert(ph_header_next(&rest, &field));
	ck_assert_slice(field.name, "Subject");
	ck_assert_slice(field.value, " a\r\n b");
	ck_assert_slice(field.whole, "Subject: a\r\n b\r\n");
	ck_assert_slice(ph_header_unfold(arena, field.value), "a b");
	ck_assert(ph_header_next(&rest, &field));
	ck_assert(field.name.p == NULL);
	ck_assert_slice(field.whole, "no field\r\n");
	ck_assert(ph_header_next(&rest, &field));
	ck_assert_slice(field.name, "X-Y");
	ck_assert_slice(field.value, "c");
	ck_assert(ph_header_next(&rest, &field));
	ck_assert(field.value.n == 0);
	ck_assert(!ph_header_next(&rest, &field));
	ck_assert_slice(rest, "body\r\n");
}
END_TEST

START_TEST(header_ends_where_the_text_does)
{
	struct ph_slice rest = PH_LIT("A: b");
	struct ph_header_field field;

	ck_assert(ph_header_next(&rest, &field));
	ck_assert_slice(field.value, " b");
	ck_assert(!ph_header_next(&rest, &field));
	ck_assert_uint_eq(ph_header_size(PH_LIT("")), 0);
	ck_assert_uint_eq(ph_header_size(PH_LIT("\n\n")), 1);
	/* CVE-2011-1929: a NUL in the name makes it no field */
	rest = PH_LIT("a\0b: c\r\n\r\n");
	ck_assert(ph_header_next(&rest, &field));
	ck_assert(field.name.p == NULL && field.whole.n == 8);
}
END_TEST

/* display|route|local|domain of each; "-" absent */
static const char *
show_list(struct ph_slice text, size_t limit)
{
	const struct ph_mailbox_addr *list;
	size_t n = ph_address_list(arena, text, limit, &list);
	struct ph_buf buf;

	ph_buf_init(&buf, arena, 1 << 20);
	for (size_t i = 0; i < n; i++) {
		const struct ph_slice *part[] = { &list[i].display,
			&list[i].route, &list[i].local, &list[i].domain };

		for (size_t k = 0; k < 4; k++) {
			if (part[k]->p == NULL)
				ph_buf_char(&buf, '-');
			else
				ph_buf_slice(&buf, *part[k]);
			ph_buf_char(&buf, k < 3 ? '|' : '\n');
		}
	}
	ph_buf_char(&buf, '\0');
	return buf.p;
}

static const char *const address_lists[][2] = {
	{ "", "" },
	{ "alice@x", "-|-|alice|x\n" },
	{ "Alice <alice@x>", "Alice|-|alice|x\n" },
	{ "\"Smith, Al\" <a@x>, b@y", "Smith, Al|-|a|x\n-|-|b|y\n" },
	{ "a@x (Alice (the) first)", "Alice (the) first|-|a|x\n" },
	{ "Alice B. Smith <a@x>", "Alice B. Smith|-|a|x\n" },
	{ "  A\r\n  B  <a . b @ x . y>", "A B|-|a.b|x.y\n" },
	{ "<@r1,@r2:a@x>", "-|@r1,@r2|a|x\n" },
	{ "friends: a@x, B <b@y>;, c@z",
	    "-|-|friends|-\n-|-|a|x\nB|-|b|y\n-|-|-|-\n-|-|c|z\n" },
	{ "undisclosed-recipients:;",
	    "-|-|undisclosed-recipients|-\n-|-|-|-\n" },
	{ "unclosed: a@x", "-|-|unclosed|-\n-|-|a|x\n-|-|-|-\n" },
	{ "root", "-|-|root|\n" },
	{ "two words", "" },
	{ ",,a@x,,", "-|-|a|x\n" },
	{ "\"a b\"@x", "-|-|a b|x\n" },
	{ "a@[192.0.2.1]", "-|-|a|[192.0.2.1]\n" },
	{ "a@x <b@y>", "a@x|-|b|y\n" },
	{ "<>", "" },
	{ "<@>", "" },
	{ "a <b@c@d>, e@f", "-|-|e|f\n" },
	{ "a <b@c> junk \"q,q\" , e@f", "a|-|b|c\n-|-|e|f\n" },
	{ "=?utf-8?q?J=C3=B6?= <j@x>", "=?utf-8?q?J=C3=B6?=|-|j|x\n" },
	{ "J\xc3\xb6 <j@x>", "J\xc3\xb6|-|j|x\n" },
	{ "(unclosed a@x", "" },
	{ "\"unclosed a@x", "-|-|unclosed a@x|\n" },
	{ "<unclosed@x", "-|-|unclosed|x\n" },
	{ "a@", "-|-|a|\n" },
	{ "@x", "" },
};

START_TEST(reads_address_lists)
{
	ck_assert_str_eq(show_list(ph_slice_str(address_lists[_i][0]), 100),
	    address_lists[_i][1]);
}
END_TEST

START_TEST(strict_lists_have_nothing_skipped)
{
	static const char *const sound[] = { "", "a@x", "A <a@x>, b@y,",
		"g: a@x;, b@y", "g:;", "\"q, (\" <a@x> (c (d) \\) )",
		"a . b @ x . y", "root", "b@y <a@x>", "<@r:a@x>",
		"a@[192.0.2.1]", "J\xc3\xb6 <j@x>", " (only a comment) ",
		"A\r\n B <a@x>" };
	static const char *const broken[] = { "two words", "<>", "<a@x> <b@y>",
		"<a@x> b", "a@x@y", "<a@x@y>", "a@x, \"b", "a@x (b", "a@x, <b@y",
		"a@x\x01", "@x", "a@x, b c", "a@x, <>", "a@x, (\\" };
	const struct ph_mailbox_addr *list;
	struct ph_slice big;
	size_t count;

	for (size_t i = 0; i < sizeof(sound) / sizeof(sound[0]); i++)
		ck_assert_msg(ph_address_list_strict(arena,
		    ph_slice_str(sound[i]), 9, &list, &count), "%s", sound[i]);
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++)
		ck_assert_msg(!ph_address_list_strict(arena,
		    ph_slice_str(broken[i]), 9, &list, &count), "%s",
		    broken[i]);
	ck_assert(!ph_address_list_strict(arena, PH_LIT("\"a\0\"@x"), 9, &list,
	    &count));
	ck_assert(ph_address_list_strict(arena, PH_LIT("a@x,b@y"), 2, &list,
	    &count));
	ck_assert_uint_eq(count, 2);
	ck_assert(!ph_address_list_strict(arena, PH_LIT("a@x,b@y,c@z"), 2,
	    &list, &count));
	/* an atom that does not fit must not vanish */
	big = repeat("a", 70000);
	ck_assert(!ph_address_list_strict(arena, ph_slice_str(cat("a@x", big,
	    "")), 9, &list, &count));
}
END_TEST

/* Seconds of processor time that fn needs at most; generous, for sanitizers. */
#define ck_assert_quick(start) \
	ck_assert_double_lt((double)(clock() - (start)) / CLOCKS_PER_SEC, 20)

START_TEST(CVE_2024_23184_long_address_lists_cost_their_length)
{
	static const char *const items[] = { "a@b,", "a b,", "@", "<", "a:",
		"(", "\"", "a@", "<a@b@c>,", "\\", "<@", ";", "a:;", "[" };
	const struct ph_mailbox_addr *list;

	for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++) {
		struct ph_arena *own = ph_arena_create(NULL);
		struct ph_slice text = repeat(items[i], 400000);
		clock_t start = clock();

		ck_assert_uint_le(ph_address_list(own, text, 1000, &list),
		    1000);
		ck_assert_uint_le(ph_arena_size(own), 40 * text.n + 65536);
		ck_assert_quick(start);
		ph_arena_free(own);
	}
}
END_TEST

START_TEST(CVE_2024_23185_giant_headers_cost_their_length)
{
	struct ph_slice text = repeat("A: b\r\n", 500000), folded, name;
	struct ph_header_field field;
	clock_t start = clock();

	ck_assert_uint_eq(ph_header_size(text), text.n);
	folded = ph_slice_str(cat("S: x\r\n", repeat(" y\r\n", 500000), ""));
	ck_assert(ph_header_find(folded, "S", &field));
	ck_assert_uint_eq(field.whole.n, folded.n);
	ck_assert_uint_lt(ph_header_unfold(arena, field.value).n, folded.n);
	name = repeat("A", 4000000);
	ck_assert_uint_eq(ph_header_size(name), name.n);
	ck_assert_quick(start);
}
END_TEST

static const struct {
	const char *text;
	int64_t time; /* -1: none */
	int zone;
} dates[] = {
	{ "Mon, 23 Nov 2026 08:47:00 +0000", 1795423620, 0 },
	{ "Mon, 23 Nov 2026 10:47:00 +0200", 1795423620, 120 },
	{ "23 Nov 26 08:47 GMT", 1795423620, 0 },
	{ "Fri, 21 Nov 97 09:55:06 -0600", 880127706, -360 },
	{ "Thu,\r\n 13\r\n Feb\r\n 1969\r\n 23:32\r\n -0330 (Newfoundland)",
	    -27723480, -210 },
	{ "1 Jan 1970 00:00:00 EST", 18000, -300 },
	{ "29 Feb 2000 12:00:00 +0000", 951825600, 0 },
	{ "31 Dec 2016 23:59:60 +0000", 1483228800, 0 },
	{ "1 Jan 0100 00:00:00 +0000", -59011459200, 0 },
	{ "1 Jan 100 00:00:00 +0000", 946684800, 0 },
	{ "1 Jan 1970 00:00:00", 0, 0 },
	{ "1 Jan 1970 00:00:00 -0000 (-0000", 0, 0 },
	{ "29 Feb 2001 12:00:00 +0000", -1, 0 },
	{ "32 Jan 2001 12:00:00 +0000", -1, 0 },
	{ "1 Foo 2001 12:00:00 +0000", -1, 0 },
	{ "1 Jan 2001 24:00:00 +0000", -1, 0 },
	{ "1 Jan 2001 12:61:00 +0000", -1, 0 },
	{ "1 Jan 2001 12:00:00 +00", -1, 0 },
	{ "1 Jan 20010 12:00:00 +0000", -1, 0 },
	{ "", -1, 0 },
	{ "(((", -1, 0 },
	{ "Mon,", -1, 0 },
};

START_TEST(reads_dates)
{
	int64_t time = -1;
	int zone = 0;
	bool is_date = ph_date_parse(ph_slice_str(dates[_i].text), &time, &zone);

	ck_assert_int_eq(time, dates[_i].time);
	ck_assert_int_eq(zone, dates[_i].zone);
	ck_assert_int_eq(is_date, dates[_i].time != -1);
}
END_TEST

START_TEST(writes_dates)
{
	char text[PH_DATE_MAX];
	int64_t back;
	int zone;

	ph_date_format(1795423620, text);
	ck_assert_str_eq(text, "Mon, 23 Nov 2026 08:47:00 +0000");
	ph_date_format(-1, text);
	ck_assert_str_eq(text, "Wed, 31 Dec 1969 23:59:59 +0000");
	ph_date_format(INT64_MAX, text);
	ck_assert_str_eq(text, "Fri, 31 Dec 9999 23:59:59 +0000");
	ph_date_format(INT64_MIN, text);
	ck_assert_str_eq(text, "Mon, 01 Jan 0001 00:00:00 +0000");
	for (int64_t t = -59011459200; t < 100000000000; t += 86399 * 977) {
		ph_date_format(t, text);
		ck_assert(ph_date_parse(ph_slice_str(text), &back, &zone));
		ck_assert_int_eq(back, t);
	}
}
END_TEST

static const char *const word_pairs[][2] = {
	{ "plain", "plain" },
	{ "=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Gr\xc3\xbc\xc3\x9f" "e" },
	{ "=?ISO-8859-1?Q?a?= b", "a b" },
	{ "=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab" },
	{ "=?ISO-8859-1?Q?a?=\r\n  =?utf-8?Q?b?=", "ab" },
	{ "=?ISO-8859-1?Q?a_b?=", "a b" },
	{ "x =?iso-8859-1?q?J=F6rg?= y", "x J\xc3\xb6rg y" },
	{ "=?utf-8?B?R3LDvMOfZQ==?=", "Gr\xc3\xbc\xc3\x9f" "e" },
	{ "=?utf-8*de?B?R3LDvMOfZQ==?=", "Gr\xc3\xbc\xc3\x9f" "e" },
	/* a character cut in two */
	{ "=?utf-8?q?=C3?= =?utf-8?q?=BC?=", "\xc3\xbc" },
	{ "=?utf-8?q?=C3?=", "\xef\xbf\xbd" },
	{ "=?no-such-set?q?a?= b", "=?no-such-set?q?a?= b" },
	{ "=?../../x?q?a?=", "=?../../x?q?a?=" },
	{ "=?utf-8//TRANSLIT?q?a?=", "=?utf-8//TRANSLIT?q?a?=" },
	{ "=?utf-8?x?a?=", "=?utf-8?x?a?=" },
	{ "=?utf-8?q?a?", "=?utf-8?q?a?" },
	{ "=?", "=?" },
	/* no forged fields */
	{ "=?utf-8?q?a=0D=0ABcc:_b?=", "a  Bcc: b" },
	{ "=?utf-8?q?a=00b?=", "a b" },
};

START_TEST(decodes_encoded_words)
{
	ck_assert_slice(ph_encoded_words(arena,
	    ph_slice_str(word_pairs[_i][0])), word_pairs[_i][1]);
}
END_TEST

START_TEST(encoded_words_cost_their_length)
{
	static const char *const items[] = { "=?", "=?a?q?", "=?a?q?b?",
		"=?utf-8?q?a?= ", "=?latin1?q?a?= =?koi8-r?q?a?= ", "=?x?=" };

	for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++) {
		struct ph_slice text = repeat(items[i], 100000);
		clock_t start = clock();

		ph_encoded_words(arena, text);
		ck_assert_quick(start);
	}
}
END_TEST

#define LOOP(t, fn, table) \
	tcase_add_loop_test(t, fn, 0, (int)(sizeof(table) / sizeof(table[0])))

int
main(void)
{
	Suite *suite = suite_create("mail");
	TCase *t = tcase_create("mail");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	LOOP(t, reads_paths, good_paths);
	LOOP(t, refuses_what_is_no_path, bad_paths);
	tcase_add_test(t, refuses_nul_in_a_path);
	tcase_add_test(t, holds_the_limits_of_a_path);
	tcase_add_test(t, formats_addresses_for_smtp);
	tcase_add_test(t, writes_an_address_in_ascii_where_it_can_be);
	tcase_add_test(t, finds_fields_and_the_body);
	tcase_add_test(t, header_ends_where_the_text_does);
	LOOP(t, reads_address_lists, address_lists);
	tcase_add_test(t, strict_lists_have_nothing_skipped);
	tcase_add_test(t, CVE_2024_23184_long_address_lists_cost_their_length);
	tcase_add_test(t, CVE_2024_23185_giant_headers_cost_their_length);
	LOOP(t, reads_dates, dates);
	tcase_add_test(t, writes_dates);
	LOOP(t, decodes_encoded_words, word_pairs);
	tcase_add_test(t, encoded_words_cost_their_length);
	suite_add_tcase(suite, t);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
