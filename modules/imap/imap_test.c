/* SPDX-License-Identifier: Apache-2.0 */
/* imap_test.c - the pure parts: gathering, words, sets, names, sections. */
#include <check.h>
#include <stdlib.h>
#include <time.h>

#include "collect.h"
#include "fetch.h"
#include "mutf7.h"
#include "names.h"
#include "search.h"
#include "wire.h"

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

static struct lex
lex_of(const char *text)
{
	return (struct lex){ .text = ph_slice_str(text), .arena = arena };
}

static struct ph_slice
repeat(const char *text, size_t count)
{
	size_t n = strlen(text);
	char *p = ph_arena_alloc(arena, n * count + 1);

	for (size_t i = 0; i < count; i++)
		memcpy(p + i * n, text, n);
	return (struct ph_slice){ p, n * count };
}

/* --- collect --- */

static const struct {
	const char *in, *text;
	enum collect_result result;
	size_t taken;
} gathered[] = {
	{ "a NOOP\r\nb", "a NOOP", COLLECT_DONE, 8 },
	{ "a NOOP\n", "a NOOP", COLLECT_DONE, 7 },
	{ "\r\n", "", COLLECT_DONE, 2 },
	{ "a NOOP", "a NOOP", COLLECT_MORE, 6 },
	{ "a LOGIN {3}\r\nbob {6+}\r\nsecret\r\nx",
	    "a LOGIN {3}\r\nbob {6+}\r\nsecret", COLLECT_DONE, 31 },
	{ "a LOGIN {0}\r\n x\r\n", "a LOGIN {0}\r\n x", COLLECT_DONE, 17 },
	{ "a {5}\r\n{3}\r\n\r\n", "a {5}\r\n{3}\r\n", COLLECT_DONE, 14 },
	{ "a {x}\r\n", "a {x}", COLLECT_DONE, 7 },
	{ "a {}\r\n", "a {}", COLLECT_DONE, 6 },
	{ "a {+}\r\n", "a {+}", COLLECT_DONE, 7 },
	{ "a {3}x\r\n", "a {3}x", COLLECT_DONE, 8 },
	{ "a {99}\r\n", "a {99}", COLLECT_LITERAL, 8 },
	{ "a {99999999999999999999999}\r\n", "a {99999999999999999999999}",
	    COLLECT_LITERAL, 29 },
};

static enum collect_result
gather(struct collect *c, struct ph_slice in, size_t piece, size_t *taken_out)
{
	enum collect_result result = COLLECT_MORE;
	size_t at = 0, taken;

	while (at < in.n && result == COLLECT_MORE) {
		struct ph_slice next = { in.p + at,
			in.n - at < piece ? in.n - at : piece };

		result = collect_feed(c, next, &taken);
		ck_assert_uint_le(taken, next.n);
		at += taken;
		if (result == COLLECT_LITERAL && collect_accept(c, 50))
			result = COLLECT_MORE;
	}
	*taken_out = at;
	return result;
}

START_TEST(gathers_commands_however_they_are_split)
{
	for (size_t piece = 1; piece < 40; piece++) {
		struct collect c;
		size_t taken;

		collect_init(&c, 200);
		ck_assert_int_eq(gather(&c, ph_slice_str(gathered[_i].in),
		    piece, &taken), gathered[_i].result);
		ck_assert_slice(collect_text(&c), gathered[_i].text);
		ck_assert_uint_eq(taken, gathered[_i].taken);
		collect_fini(&c);
	}
}
END_TEST

START_TEST(gathering_ends_at_its_limit)
{
	struct collect c;
	size_t taken;

	collect_init(&c, 100);
	ck_assert_int_eq(gather(&c, repeat("x", 101), 7, &taken),
	    COLLECT_TOO_BIG);
	collect_reset(&c);
	ck_assert_int_eq(gather(&c, repeat("a {50}\r\n", 30), 9, &taken),
	    COLLECT_LITERAL);
	ck_assert(!collect_accept(&c, 50));
	collect_reset(&c);
	ck_assert_int_eq(gather(&c, PH_LIT("a {3+}\r\nabc{3}\r\n"), 1, &taken),
	    COLLECT_MORE);
	collect_fini(&c);
}
END_TEST

/* --- lex --- */

static const char *const strings[][2] = {
	{ "abc d", "abc" }, { "\"a b\" c", "a b" }, { "\"a\\\"b\\\\\"", "a\"b\\" },
	{ "\"\"", "" }, { "{3}\r\nabc", "abc" }, { "{3+}\r\nabcd", "abc" },
	{ "{0}\r\n", "" }, { "a]b", "a]b" }, { "\"gr\xc3\xbc\xc3\x9f\"",
	    "gr\xc3\xbc\xc3\x9f" },
	{ "\"open", NULL }, { "\"a\\b\"", NULL }, { "\"a\\", NULL },
	{ "{4}\r\nabc", NULL }, { "{3}abc", NULL }, { "{99999999999}\r\na", NULL },
	{ "(a", NULL }, { "", NULL }, { " a", NULL }, { "%a", NULL },
};

START_TEST(reads_astrings)
{
	struct lex lex = lex_of(strings[_i][0]);
	struct ph_slice got;
	bool taken = lex_astring(&lex, &got);

	ck_assert_int_eq(taken, strings[_i][1] != NULL);
	if (taken)
		ck_assert_slice(got, strings[_i][1]);
	else
		ck_assert_uint_eq(lex.at, 0);
}
END_TEST

START_TEST(CVE_2019_11500_no_nul_in_strings)
{
	struct ph_slice got;
	struct lex lex = { .text = PH_LIT("\"a\0b\""), .arena = arena };

	ck_assert(!lex_astring(&lex, &got));
	lex.text = PH_LIT("{3}\r\na\0b");
	ck_assert(!lex_astring(&lex, &got));
	lex.text = PH_LIT("a\0b");
	ck_assert(lex_astring(&lex, &got));
	ck_assert_slice(got, "a");
}
END_TEST

START_TEST(reads_flags)
{
	struct lex lex = lex_of("(\\seen \\Recent $Junk \\Draft $junk)");
	struct flag_list flags;

	ck_assert(lex_flags(&lex, false, &flags));
	ck_assert_uint_eq(flags.flags, PH_SEEN | PH_DRAFT);
	ck_assert_uint_eq(flags.keyword_count, 1);
	lex = lex_of("\\Deleted x");
	ck_assert(!lex_flags(&lex, false, &flags));
	ck_assert(lex_flags(&lex, true, &flags));
	ck_assert_uint_eq(flags.keyword_count, 1);
	lex = lex_of("()");
	ck_assert(lex_flags(&lex, false, &flags));
	lex = lex_of("(\\Nonsense)");
	ck_assert(!lex_flags(&lex, false, &flags));
	lex = lex_of("(a b");
	ck_assert(!lex_flags(&lex, false, &flags));
}
END_TEST

START_TEST(reads_dates)
{
	struct lex lex = lex_of("\"23-Nov-2026 08:47:00 +0000\"");
	int64_t time;

	ck_assert(lex_date_time(&lex, &time));
	ck_assert_int_eq(time, 1795423620);
	lex = lex_of("\" 1-Jan-1970 00:00:00 -0130\"");
	ck_assert(lex_date_time(&lex, &time));
	ck_assert_int_eq(time, 5400);
	lex = lex_of("\"31-Feb-2026 08:47:00 +0000\"");
	ck_assert(!lex_date_time(&lex, &time));
	lex = lex_of("2-jan-1970");
	ck_assert(lex_date(&lex, &time));
	ck_assert_int_eq(time, 1);
	lex = lex_of("\"1-Jan-1970\"");
	ck_assert(lex_date(&lex, &time));
	lex = lex_of("\"1-Jan-1970");
	ck_assert(!lex_date(&lex, &time));
	lex = lex_of("1-Ja");
	ck_assert(!lex_date(&lex, &time));
}
END_TEST

/* --- names --- */

static const char *const names[][2] = {
	{ "INBOX", "INBOX" }, { "inbox", "INBOX" }, { "Sent", "Sent" },
	{ "Entw&APw-rfe", "Entw\xc3\xbcrfe" }, { "a&-b", "a&b" },
	{ "~peter/mail/&U,BTFw-/&ZeVnLIqe-",
	    "~peter/mail/\xe5\x8f\xb0\xe5\x8c\x97/\xe6\x97\xa5\xe6\x9c\xac"
	    "\xe8\xaa\x9e" },
	{ "&2D3cAA-", "\xf0\x9f\x90\x80" }, { "", "" },
	{ "gr\xc3\xbcn", "gr\xc3\xbcn" },
	{ "&AC8-", NULL },        /* a second way to say "/" */
	{ "&AGE-", NULL }, { "&AAA-", NULL }, { "&AA0ACg-", NULL },
	{ "&", NULL }, { "&APw", NULL }, { "&AP-", NULL }, { "&APw&-", NULL },
	{ "&2D0-", NULL }, { "&3AA-", NULL }, { "a\x01", NULL },
	{ "a\xff", NULL }, { "\xc3\xbc&APw-", NULL }, { "&APw-&APw-", NULL },
};

START_TEST(turns_names_into_utf8_and_back)
{
	struct ph_slice wire = ph_slice_str(names[_i][0]), name;
	bool taken = mutf7_decode(arena, wire, &name);

	ck_assert_int_eq(taken, names[_i][1] != NULL);
	if (!taken)
		return;
	ck_assert_slice(name, names[_i][1]);
	ck_assert(mutf7_decode(arena, mutf7_encode(arena, name), &wire));
	ck_assert_slice(wire, names[_i][1]);
}
END_TEST

static const struct {
	const char *pattern, *name;
	bool matches;
} patterns[] = {
	{ "*", "a/b", true }, { "%", "a/b", false }, { "%", "a", true },
	{ "a%", "ab", true }, { "a%", "a/b", false }, { "a*", "a/b", true },
	{ "a/%", "a/b", true }, { "a/%", "a/b/c", false },
	{ "%/%", "a/b", true }, { "*b", "a/b", true }, { "%b", "a/b", false },
	{ "", "", true }, { "", "a", false }, { "a", "", false },
	{ "*%", "a/b", true }, { "%*", "a/b", true }, { "%%", "ab", true },
	{ "inbox", "INBOX", true }, { "in%x", "INBOX", true },
	{ "sent", "Sent", false }, { "*a*b*", "xaxbx", true },
	{ "*a*b*", "xbxax", false }, { "%a%", "bab/a", false },
};

START_TEST(matches_patterns)
{
	struct pattern pattern;

	ck_assert(pattern_init(arena, ph_slice_str(patterns[_i].pattern),
	    &pattern));
	ck_assert_int_eq(pattern_matches(&pattern,
	    ph_slice_str(patterns[_i].name)), patterns[_i].matches);
}
END_TEST

#define ck_assert_quick(start) \
	ck_assert_double_lt((double)(clock() - (start)) / CLOCKS_PER_SEC, 20)

START_TEST(CVE_2026_33607_wildcards_cost_little)
{
	struct ph_slice name = repeat("a", 1000);
	struct pattern pattern;
	clock_t start = clock();

	for (int i = 0; i < 200; i++) {
		ck_assert(pattern_init(arena, repeat("*a", 150), &pattern));
		ck_assert(pattern_matches(&pattern, name));
		ck_assert(pattern_init(arena, repeat("*%a", 99), &pattern));
		ck_assert(!pattern_matches(&pattern, ph_slice_str(
		    ph_arena_printf(arena, PH_SLICE_FMT "b",
		        PH_SLICE_ARG(name)))));
	}
	ck_assert(!pattern_init(arena, repeat("*", 301), &pattern));
	ck_assert_quick(start);
}
END_TEST

/* --- sets --- */

static const struct {
	const char *text;
	uint32_t star;
	const char *resolved; /* NULL: refused */
} sets[] = {
	{ "1", 9, "1-1" }, { "1:3,2:5", 9, "1-5" }, { "*", 9, "9-9" },
	{ "*:4", 9, "4-9" }, { "12:*", 9, "9-12" }, { "5,1", 9, "1-1 5-5" },
	{ "4294967295", 9, "9-9" }, { "3:1", 9, "1-3" },
	{ "", 9, NULL }, { "0", 9, NULL }, { "1,", 9, NULL },
	{ "1:", 9, NULL }, { ":1", 9, NULL }, { "1:2:3", 9, NULL },
	{ "4294967296", 9, NULL }, { "**", 9, NULL }, { "-1", 9, NULL },
};

START_TEST(reads_sequence_sets)
{
	struct seqset set;
	struct ph_buf buf;

	if (!seqset_parse(arena, ph_slice_str(sets[_i].text), &set)) {
		ck_assert_ptr_null(sets[_i].resolved);
		return;
	}
	ck_assert_ptr_nonnull(sets[_i].resolved);
	set = seqset_resolve(arena, set, sets[_i].star);
	ph_buf_init(&buf, arena, 1000);
	for (size_t i = 0; i < set.count; i++)
		ph_buf_printf(&buf, "%s%u-%u", i > 0 ? " " : "",
		    set.range[i].low, set.range[i].high);
	ck_assert_slice(ph_buf_content(&buf), sets[_i].resolved);
	for (uint32_t n = 0; n < 20; n++) {
		bool has = false;

		for (size_t i = 0; i < set.count; i++)
			has = has || (n >= set.range[i].low &&
			                 n <= set.range[i].high);
		ck_assert_int_eq(seqset_has(set, n), has);
	}
}
END_TEST

START_TEST(writes_sets_in_their_order)
{
	static const uint32_t numbers[] = { 1, 2, 3, 7, 5, 6, UINT32_MAX };
	struct ph_buf buf;

	ph_buf_init(&buf, arena, 1000);
	seqset_format(&buf, numbers, 7);
	ck_assert_slice(ph_buf_content(&buf), "1:3,7,5:6,4294967295");
}
END_TEST

/* --- fetch --- */

static const char *const fetches[][2] = {
	{ " 1 FLAGS", "FLAGS" },
	{ " 1 (FLAGS UID FLAGS)", "FLAGS UID" },
	{ " 1 ALL", "FLAGS INTERNALDATE RFC822.SIZE ENVELOPE" },
	{ " 1 full", "FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODY" },
	{ " 1 (BODY BODYSTRUCTURE)", "BODY BODYSTRUCTURE" },
	{ " 1 BODY[]", "BODY[]" },
	{ " 1 body.peek[1.2.mime]<0.10>", "BODY[1.2.MIME]<0>" },
	{ " 1 BODY[HEADER.FIELDS (From \"X-A(\")]",
	    "BODY[HEADER.FIELDS (From \"X-A(\")]" },
	{ " 1 BODY[1.HEADER.FIELDS.NOT (a)]", "BODY[1.HEADER.FIELDS.NOT (a)]" },
	{ " 1 (RFC822 RFC822.TEXT RFC822.HEADER RFC822.SIZE)",
	    "RFC822 RFC822.TEXT RFC822.HEADER RFC822.SIZE" },
	{ " 1 BODY[1]<0.0>", NULL }, { " 1 BODY[0]", NULL },
	{ " 1 BODY[1.]", NULL }, { " 1 BODY[.1]", NULL },
	{ " 1 BODY[MIME]", NULL }, { " 1 BODY[TEXT", NULL },
	{ " 1 BODY[HEADER.FIELDS]", NULL },
	{ " 1 BODY[HEADER.FIELDS ()]", NULL },
	{ " 1 BODY[HEADER.FIELDS (\"a\r\nb\")]", NULL },
	{ " 1 BODY[HEADER.FIELDS ({2}\r\n\r\n)]", NULL },
	{ " 1 BODY[]<1>", NULL }, { " 1 BODY[]<4294967296.1>", NULL },
	{ " 1 RFC822[]", NULL }, { " 1 (ALL)", NULL }, { " 1 ()", NULL },
	{ " 1 NONSENSE", NULL }, { " 1", NULL }, { " x FLAGS", NULL },
	{ " 1 (FLAGS", NULL },
};

static bool
parse_fetch(const char *text, struct command *command)
{
	static const struct command_row row = { .name = "FETCH" };

	*command = (struct command){ .row = &row, .arena = arena,
		.lex = lex_of(text) };
	return imap_parse_fetch(command) && lex_end(&command->lex);
}

START_TEST(reads_fetch_items)
{
	struct command command;
	struct ph_buf buf;

	if (!parse_fetch(fetches[_i][0], &command)) {
		ck_assert_ptr_null(fetches[_i][1]);
		return;
	}
	ck_assert_ptr_nonnull(fetches[_i][1]);
	ph_buf_init(&buf, arena, 1000);
	for (size_t i = 0; i < command.fetch->count; i++)
		ph_buf_printf(&buf, "%s" PH_SLICE_FMT, i > 0 ? " " : "",
		    PH_SLICE_ARG(command.fetch->item[i].label));
	ck_assert_slice(ph_buf_content(&buf), fetches[_i][1]);
}
END_TEST

START_TEST(long_fetches_are_cut_short)
{
	struct command command;
	const char *text;

	text = ph_arena_printf(arena, " 1 BODY[1" PH_SLICE_FMT "]",
	    PH_SLICE_ARG(repeat(".1", 99)));
	ck_assert(parse_fetch(text, &command));
	text = ph_arena_printf(arena, " 1 BODY[1" PH_SLICE_FMT "]",
	    PH_SLICE_ARG(repeat(".1", 100)));
	ck_assert(!parse_fetch(text, &command));
	text = ph_arena_printf(arena, " 1 (UID" PH_SLICE_FMT ")",
	    PH_SLICE_ARG(repeat(" BODY[]", 5000)));
	ck_assert(parse_fetch(text, &command));
	ck_assert_uint_eq(command.fetch->count, 2);
}
END_TEST

/* --- search --- */

static bool
parse_search(const char *text, struct command *command)
{
	static const struct command_row row = { .name = "SEARCH" };

	*command = (struct command){ .row = &row, .arena = arena,
		.lex = lex_of(text) };
	return imap_parse_search(command) && lex_end(&command->lex);
}

START_TEST(reads_search_keys)
{
	static const struct {
		const char *text;
		bool sound;
	} keys[] = {
		{ " ALL", true }, { " OR SEEN UNSEEN 1:* UID 5", true },
		{ " NOT (FROM a TO \"b c\")", true },
		{ " CHARSET utf-8 BODY {2}\r\nab", true },
		{ " SINCE 1-Jan-2026 LARGER 5", true },
		{ " HEADER X-Y \"\"", true }, { " KEYWORD $x", true },
		{ "", false }, { " ", false }, { " ()", false },
		{ " NOT", false }, { " OR SEEN", false }, { " FROM", false },
		{ " (ALL", false }, { " ALL)", false },
		{ " SINCE yesterday", false }, { " LARGER x", false },
		{ " NONSENSE", false }, { " UID x", false },
	};
	struct command command;

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		ck_assert_msg(parse_search(keys[i].text, &command) ==
		        keys[i].sound, "%s", keys[i].text);
}
END_TEST

START_TEST(CVE_2026_27857_nesting_is_limited)
{
	struct command command;

	ck_assert(parse_search(ph_arena_printf(arena,
	    " " PH_SLICE_FMT "ALL" PH_SLICE_FMT,
	    PH_SLICE_ARG(repeat("(", 49)), PH_SLICE_ARG(repeat(")", 49))),
	    &command));
	ck_assert(!parse_search(ph_arena_printf(arena,
	    " " PH_SLICE_FMT "ALL" PH_SLICE_FMT,
	    PH_SLICE_ARG(repeat("(", 51)), PH_SLICE_ARG(repeat(")", 51))),
	    &command));
	ck_assert(!parse_search(ph_arena_printf(arena, " " PH_SLICE_FMT "ALL",
	    PH_SLICE_ARG(repeat("NOT ", 30000))), &command));
	ck_assert(!parse_search(ph_arena_printf(arena, " ALL" PH_SLICE_FMT,
	    PH_SLICE_ARG(repeat(" ALL", 2000))), &command));
}
END_TEST

START_TEST(folds_case)
{
	ck_assert_slice(search_fold(arena,
	    PH_LIT("ABC \xc3\x84\xc3\x97\xc3\x9f \xce\x91\xce\xa9 \xd0\x90"
	           "\xd0\xaf\xd0\x81 \xc4\x80\xc5\xbd \xff\xc3")),
	    "abc \xc3\xa4\xc3\x97\xc3\x9f \xce\xb1\xcf\x89 \xd0\xb0"
	    "\xd1\x8f\xd1\x91 \xc4\x81\xc5\xbe \xff\xc3");
}
END_TEST

START_TEST(squeezes_blanks)
{
	ck_assert_slice(search_squeeze(arena,
	    PH_LIT(" a \t b\r\n\tc  d\n")), " a b c d ");
	ck_assert_slice(search_squeeze(arena, PH_LIT("")), "");
}
END_TEST

/* --- writing --- */

START_TEST(writes_strings_that_can_be_read)
{
	struct ph_buf buf;

	ph_buf_init(&buf, arena, 1000);
	wire_nstring(&buf, (struct ph_slice){ NULL, 0 });
	wire_nstring(&buf, PH_LIT(""));
	wire_nstring(&buf, PH_LIT("a\"b\\"));
	wire_nstring(&buf, PH_LIT("a\r\nb"));
	wire_nstring(&buf, PH_LIT("a\0b"));
	ck_assert_slice(ph_buf_content(&buf),
	    "NIL\"\"\"a\\\"b\\\\\"{4}\r\na\r\nb{3}\r\na b");
	buf.n = 0;
	wire_date_time(&buf, 0);
	ck_assert_slice(ph_buf_content(&buf), "\"01-Jan-1970 00:00:00 +0000\"");
}
END_TEST

static void
assert_body(const char *message, const char *want)
{
	struct ph_slice content = ph_slice_str(message);
	const struct ph_mime_part *root = ph_mime_parse(arena, content);
	struct ph_buf buf;

	ph_buf_init(&buf, arena, 100000);
	wire_body(arena, root, content, false, &buf);
	ck_assert_slice(ph_buf_content(&buf), want);
}

START_TEST(shows_structures)
{
	assert_body("Content-Type: multipart/mixed; boundary=b\r\n\r\nnone\r\n",
	    "(\"text\" \"plain\" (\"boundary\" \"b\") NIL NIL \"7bit\" 6 1)");
	assert_body("Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\ny",
	    "(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 15 (NIL \"x\" NIL NIL "
	    "NIL NIL NIL NIL NIL NIL) (\"text\" \"plain\" (\"charset\" "
	    "\"us-ascii\") NIL NIL \"7bit\" 1 0) 2)");
	assert_body("Content-Type: message/rfc822\r\nContent-Transfer-Encoding:"
	            " base64\r\n\r\nxx",
	    "(\"application\" \"octet-stream\" NIL NIL NIL \"base64\" 2)");
	assert_body("Content-Type: text/html\r\n\r\n<p>",
	    "(\"text\" \"html\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" "
	    "3 0)");
	assert_body("Content-Type: image/png\r\nContent-ID: <a>\r\n"
	            "Content-Description: d\r\n\r\n",
	    "(\"image\" \"png\" NIL \"<a>\" \"d\" \"7bit\" 0)");
}
END_TEST

START_TEST(finds_sections_of_a_message_that_is_a_message)
{
	struct ph_slice content = PH_LIT("Content-Type: message/rfc822\r\n\r\n"
	                                 "Subject: in\r\n\r\nbody");
	const struct ph_mime_part *root = ph_mime_parse(arena, content);
	static const char *const found[][2] = {
		{ "[1]", "Subject: in\r\n\r\nbody" },
		{ "[1.HEADER]", "Subject: in\r\n\r\n" }, { "[1.1]", "body" },
		{ "[1.TEXT]", "body" }, { "[TEXT]", "Subject: in\r\n\r\nbody" },
		{ "[1.1.1]", NULL }, { "[2]", NULL }, { "[1.1.HEADER]", NULL },
	};

	for (size_t i = 0; i < sizeof(found) / sizeof(found[0]); i++) {
		struct lex lex = lex_of(found[i][0]);
		struct section section;
		struct ph_slice got;

		ck_assert(section_parse(&lex, &section));
		got = section_find(arena, &section, root, content);
		if (found[i][1] == NULL)
			ck_assert(got.p == NULL);
		else
			ck_assert_slice(got, found[i][1]);
	}
}
END_TEST

#define LOOP(t, fn, table) \
	tcase_add_loop_test(t, fn, 0, (int)(sizeof(table) / sizeof(table[0])))

int
main(void)
{
	Suite *suite = suite_create("imap");
	TCase *t = tcase_create("imap");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	LOOP(t, gathers_commands_however_they_are_split, gathered);
	tcase_add_test(t, gathering_ends_at_its_limit);
	LOOP(t, reads_astrings, strings);
	tcase_add_test(t, CVE_2019_11500_no_nul_in_strings);
	tcase_add_test(t, reads_flags);
	tcase_add_test(t, reads_dates);
	LOOP(t, turns_names_into_utf8_and_back, names);
	LOOP(t, matches_patterns, patterns);
	tcase_add_test(t, CVE_2026_33607_wildcards_cost_little);
	LOOP(t, reads_sequence_sets, sets);
	tcase_add_test(t, writes_sets_in_their_order);
	LOOP(t, reads_fetch_items, fetches);
	tcase_add_test(t, long_fetches_are_cut_short);
	tcase_add_test(t, reads_search_keys);
	tcase_add_test(t, CVE_2026_27857_nesting_is_limited);
	tcase_add_test(t, folds_case);
	tcase_add_test(t, squeezes_blanks);
	tcase_add_test(t, writes_strings_that_can_be_read);
	tcase_add_test(t, shows_structures);
	tcase_add_test(t, finds_sections_of_a_message_that_is_a_message);
	suite_add_tcase(suite, t);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
