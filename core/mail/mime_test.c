/* SPDX-License-Identifier: Apache-2.0 */
/* mime_test.c - the tree of parts, its record, transfer codes and charsets. */
#include <check.h>
#include <stdlib.h>
#include <time.h>

#include <posthouse/mime.h>

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

static struct ph_slice
repeat(const char *text, size_t count)
{
	size_t n = strlen(text);
	char *p = ph_arena_alloc(arena, n * count + 1);

	for (size_t i = 0; i < count; i++)
		memcpy(p + i * n, text, n);
	return (struct ph_slice){ p, n * count };
}

static void
show_params(struct ph_buf *buf, const struct ph_mime_param *params,
    size_t count)
{
	for (size_t i = 0; i < count; i++)
		ph_buf_printf(buf, ";" PH_SLICE_FMT "=" PH_SLICE_FMT,
		    PH_SLICE_ARG(params[i].name),
		    PH_SLICE_ARG(params[i].value));
}

/* type/subtype;params[body|lines](children) */
static void
show(struct ph_buf *buf, struct ph_slice content,
    const struct ph_mime_part *part)
{
	struct ph_slice body = { content.p + part->body_at,
		part->end - part->body_at };

	ph_buf_printf(buf, PH_SLICE_FMT "/" PH_SLICE_FMT,
	    PH_SLICE_ARG(part->type), PH_SLICE_ARG(part->subtype));
	show_params(buf, part->params, part->param_count);
	if (part->child_count == 0)
		ph_buf_printf(buf, "[" PH_SLICE_FMT "|%d]",
		    PH_SLICE_ARG(body), (int)part->lines);
	for (size_t i = 0; i < part->child_count; i++) {
		ph_buf_char(buf, i == 0 ? '(' : ' ');
		show(buf, content, &part->children[i]);
	}
	if (part->child_count > 0)
		ph_buf_char(buf, ')');
}

static const char *
shown(struct ph_slice content, const struct ph_mime_part *root)
{
	struct ph_buf buf;

	ph_buf_init(&buf, arena, 1 << 20);
	show(&buf, content, root);
	ph_buf_char(&buf, '\0');
	return buf.p;
}

/* Every part lies in its parent, in order, and none overlaps the next. */
static void
assert_sound(const struct ph_mime_part *part, size_t depth)
{
	uint64_t at = part->body_at;

	ck_assert_uint_lt(depth, 100);
	ck_assert(part->header_at <= part->body_at);
	ck_assert(part->body_at <= part->end);
	for (size_t i = 0; i < part->child_count; i++) {
		ck_assert(part->children[i].header_at >= at);
		at = part->children[i].end;
		ck_assert(at <= part->end);
		assert_sound(&part->children[i], depth + 1);
	}
}

#define MULTI(b) "Content-Type: multipart/mixed; boundary=" b "\r\n\r\n"
#define ASCII ";charset=us-ascii"

static const char *const messages[][2] = {
	{ "", "text/plain" ASCII "[|0]" },
	{ "Subject: x\r\n\r\na\r\nb\r\n", "text/plain" ASCII "[a\r\nb\r\n|2]" },
	{ "Subject: x\r\n", "text/plain" ASCII "[|0]" },
	{ "Content-Type: text/html; charset=\"utf-8\"\r\n\r\nx",
	    "text/html;charset=utf-8[x|0]" },
	{ "Content-Type: Text (c) / (d) HTML ; a = b\r\n\r\n",
	    "Text/HTML;a=b[|0]" },
	{ "Content-Type: broken\r\n\r\n", "text/plain" ASCII "[|0]" },
	{ "Content-Type:\r\n\r\n", "text/plain" ASCII "[|0]" },
	{ MULTI("b") "pre\r\n--b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--\r\npost",
	    "multipart/mixed;boundary=b(text/plain" ASCII "[one|0] text/plain"
	    ASCII "[two|0])" },
	/* no closing delimiter; padding; LF only */
	{ "Content-Type: multipart/mixed; boundary=\"b c\"\n\n--b c  \n\none\n"
	  "two\n--b c\t\n\nthree\n",
	    "multipart/mixed;boundary=b c(text/plain" ASCII "[one\ntwo|1] "
	    "text/plain" ASCII "[three\n|1])" },
	/* an outer delimiter ends the inner parts; prefixes are others */
	{ MULTI("b") "--b\r\n" MULTI("bb") "--bb\r\n\r\nx\r\n--bbb\r\n--b\r\n"
	  "\r\ny\r\n--b--\r\n",
	    "multipart/mixed;boundary=b(multipart/mixed;boundary=bb(text/plain"
	    ASCII "[x\r\n--bbb|1]) text/plain" ASCII "[y|0])" },
	/* a header that a delimiter cuts short */
	{ MULTI("b") "--b\r\nA: b\r\n--b\r\n--b--\r\n",
	    "multipart/mixed;boundary=b(text/plain" ASCII "[|0] text/plain"
	    ASCII "[|0])" },
	{ "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\n"
	  "Subject: in\r\n\r\nbody\r\n--b--",
	    "multipart/digest;boundary=b(message/rfc822(text/plain" ASCII
	    "[body|0]))" },
	{ MULTI("b") "--b\r\nContent-Type: message/rfc822\r\n\r\nS: x\r\n\r\n"
	  "--b--\r\n",
	    "multipart/mixed;boundary=b(message/rfc822(text/plain" ASCII
	    "[|0]))" },
	{ MULTI("b") "--b\r\nContent-Type: message/rfc822\r\n\r\nS: x\r\n"
	  "--b--\r\n",
	    "multipart/mixed;boundary=b(message/rfc822(text/plain" ASCII
	    "[|0]))" },
	{ MULTI("b") "nothing", "multipart/mixed;boundary=b[nothing|0]" },
	{ "Content-Type: multipart/mixed\r\n\r\n--\r\n",
	    "multipart/mixed[--\r\n|1]" },
	{ "Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n--\r\n--\r\n",
	    "multipart/mixed;boundary=[--\r\n--\r\n|2]" },
	/* the same boundary again inside: the innermost takes it */
	{ MULTI("b") "--b\r\n" MULTI("b") "--b\r\n\r\nx\r\n--b--\r\n",
	    "multipart/mixed;boundary=b(multipart/mixed;boundary=b(text/plain"
	    ASCII "[x|0]))" },
	/* the first field counts */
	{ "Content-Type: a/b\r\nContent-Type: c/d\r\n\r\n", "a/b[|0]" },
};

START_TEST(finds_the_parts)
{
	struct ph_slice content = ph_slice_str(messages[_i][0]), record;
	const struct ph_mime_part *root = ph_mime_parse(arena, content);
	const struct ph_mime_part *again;

	ck_assert_str_eq(shown(content, root), messages[_i][1]);
	assert_sound(root, 0);
	ck_assert_uint_eq(root->end, content.n);
	record = ph_mime_encode(arena, root);
	ck_assert_int_eq(ph_mime_decode(arena, record, &again), PH_OK);
	ck_assert_str_eq(shown(content, again), messages[_i][1]);
	/* cut anywhere, it is a record or damage, never more */
	for (size_t n = 0; n < record.n; n++) {
		struct ph_slice cut = { record.p, n };

		if (ph_mime_decode(arena, cut, &again) == PH_OK)
			assert_sound(again, 0);
	}
}
END_TEST

static const char *const params[][2] = {
	{ "", "" },
	{ "; a=b;c=\"d;e\"", ";a=b;c=d;e" },
	{ "; a=\"q\\\"r\\\\s\"", ";a=q\"r\\s" },
	{ ";; ;a=b;", ";a=b" },
	{ "; name=my file.txt; x=y", ";name=my;x=y" },
	{ "; name=[a]=b", ";name=[a]=b" },
	{ "; a", "" },
	{ "; a=", ";a=" },
	{ "; =b; c=d", ";c=d" },
	{ "; a=\"unclosed", ";a=unclosed" },
	{ "; a=\"unclosed\\", ";a=unclosed\\" },
	{ "; a (comment) = (c) b (d)", ";a=b" },
	{ "; f*0=one; f*1=two; f*2=three", ";f=onetwothree" },
	{ "; f*1=two; f*0=one", ";f=onetwo" },
	{ "; f*=utf-8''%C3%BC", ";f*=utf-8''%C3%BC" },
	{ "; f*0*=utf-8''%C3; f*1*=%BC; f*2=\"a b\"",
	    ";f*=utf-8''%C3%BCa%20b" },
	{ "; f*0=a; f*2=c", ";f=a;f*2=c" },
	{ "; f*1=b", ";f*1=b" },
	{ "; f*0=a; f*0=b", ";f=a;f=b" },
	{ "; f*99999999999=a", ";f*99999999999=a" },
};

START_TEST(reads_parameters)
{
	struct ph_slice content = ph_slice_str(ph_arena_printf(arena,
	    "Content-Disposition: attachment%s\r\n\r\n", params[_i][0]));
	const struct ph_mime_part *root = ph_mime_parse(arena, content);
	struct ph_buf buf;

	ph_buf_init(&buf, arena, 1 << 16);
	show_params(&buf, root->disposition_params,
	    root->disposition_param_count);
	ck_assert_slice(ph_buf_content(&buf), params[_i][1]);
	ck_assert_slice(root->disposition, "attachment");
}
END_TEST

START_TEST(keeps_the_other_fields)
{
	const struct ph_mime_part *root = ph_mime_parse(arena,
	    PH_LIT("Content-ID: <a@b>\r\nContent-Description: folded\r\n text\r\n"
	           "Content-MD5: md\r\nContent-Language: de, en\r\n"
	           "Content-Location: x/y\r\n"
	           "Content-Transfer-Encoding: (c) BASE64 \r\n\r\n"));
	const struct ph_mime_part *again;

	ck_assert_int_eq(ph_mime_decode(arena, ph_mime_encode(arena, root),
	    &again), PH_OK);
	for (int i = 0; i < 2; i++, root = again) {
		ck_assert_slice(root->id, "<a@b>");
		ck_assert_slice(root->description, "folded text");
		ck_assert_slice(root->md5, "md");
		ck_assert_slice(root->language, "de, en");
		ck_assert_slice(root->location, "x/y");
		ck_assert_slice(root->encoding, "BASE64");
		ck_assert(root->disposition.p == NULL);
	}
}
END_TEST

#define ck_assert_quick(start) \
	ck_assert_double_lt((double)(clock() - (start)) / CLOCKS_PER_SEC, 20)

static size_t
count_parts(const struct ph_mime_part *part)
{
	size_t n = 1;

	for (size_t i = 0; i < part->child_count; i++)
		n += count_parts(&part->children[i]);
	return n;
}

static const char *const floods[] = {
	"--b\r\n\r\nx\r\n",                              /* parts */
	"--b\r\n",
	"--b\r\nContent-Type: message/rfc822\r\n\r\n",   /* depth */
	"--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n",
	"--b\r\nContent-Type: a/b;a=b;c=d;e=f\r\n\r\n",
	"--c                                          \r\n",
	"--b--\r\n",
	"Content-Type: message/rfc822\r\n\r\n",
};

START_TEST(CVE_2020_12100_many_and_deep_parts_cost_their_length)
{
	struct ph_slice body = repeat(floods[_i], 50000), content, record;
	struct ph_arena *own = ph_arena_create(NULL);
	const struct ph_mime_part *root, *again;
	clock_t start = clock();

	content = ph_slice_str(ph_arena_printf(arena, MULTI("b") PH_SLICE_FMT,
	    PH_SLICE_ARG(body)));
	root = ph_mime_parse(own, content);
	assert_sound(root, 0);
	ck_assert_uint_le(count_parts(root), 10000);
	record = ph_mime_encode(own, root);
	ck_assert_int_eq(ph_mime_decode(own, record, &again), PH_OK);
	ck_assert_uint_eq(count_parts(again), count_parts(root));
	ck_assert_uint_le(ph_arena_size(own), 64 << 20);
	ck_assert_quick(start);
	ph_arena_free(own);
}
END_TEST

START_TEST(distinct_nested_boundaries_cost_their_length)
{
	struct ph_buf buf;
	const struct ph_mime_part *root;
	clock_t start = clock();

	ph_buf_init(&buf, arena, 64 << 20);
	for (int i = 0; i < 300; i++)
		ph_buf_printf(&buf, "Content-Type: multipart/mixed; "
		    "boundary=%060d\r\n\r\n--%060d\r\n", i, i);
	for (int i = 0; i < 200000; i++)
		ph_buf_printf(&buf, "--%060d\r\n", 1000 + i);
	root = ph_mime_parse(arena, ph_buf_content(&buf));
	assert_sound(root, 0);
	ck_assert_quick(start);
}
END_TEST

START_TEST(CVE_2026_27859_parameter_floods_are_cut)
{
	struct ph_buf buf;
	const struct ph_mime_part *root;
	clock_t start = clock();

	ph_buf_init(&buf, arena, 64 << 20);
	ph_buf_str(&buf, "Content-Type: text/plain");
	for (int i = 0; i < 100000; i++)
		ph_buf_printf(&buf, ";\r\n name*%d*=x%%20", i);
	ph_buf_str(&buf, "\r\nContent-Disposition: a");
	for (int i = 0; i < 100000; i++)
		ph_buf_printf(&buf, "; n%d=x", i);
	ph_buf_str(&buf, "\r\n\r\n");
	root = ph_mime_parse(arena, ph_buf_content(&buf));
	ck_assert_uint_eq(root->param_count, 1);
	ck_assert_uint_eq(root->disposition_param_count, 64);
	ck_assert_quick(start);
}
END_TEST

START_TEST(refuses_damaged_records)
{
	struct ph_slice content = ph_slice_str(messages[9][0]);
	struct ph_slice record = ph_mime_encode(arena,
	    ph_mime_parse(arena, content));
	const struct ph_mime_part *root;
	char *p = ph_arena_alloc(arena, record.n);

	ck_assert_int_eq(ph_mime_decode(arena,
	    (struct ph_slice){ NULL, 0 }, &root), PH_DEFECT);
	for (size_t i = 0; i < record.n; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			memcpy(p, record.p, record.n);
			p[i] = (char)(p[i] ^ (1 << bit));
			if (ph_mime_decode(arena,
			        (struct ph_slice){ p, record.n }, &root) ==
			    PH_OK)
				ck_assert(root->body_at <= root->end);
		}
	}
}
END_TEST

static const char *const bodies[][3] = {
	{ "base64", "aGVs\r\nbG8=\r\n", "hello" },
	{ "BASE64", "aGVsbG8", "hello" },
	{ "base64", "aA==aQ==", "hi" },
	{ "base64", "*&a^G V s b%G8", "hello" },
	{ "quoted-printable", "a=3Db=\r\nc =  \r\nd", "a=bc d" },
	{ "quoted-printable", "a=zz=", "a=zz" },
	{ "quoted-printable", "=4", "=4" },
	{ "7bit", "a=3D", "a=3D" },
	{ "x-unknown", "a=3D", "a=3D" },
};

START_TEST(decodes_bodies)
{
	ck_assert_slice(ph_mime_decode_body(arena, ph_slice_str(bodies[_i][0]),
	    ph_slice_str(bodies[_i][1]), 1000), bodies[_i][2]);
	ck_assert_uint_le(ph_mime_decode_body(arena,
	    ph_slice_str(bodies[_i][0]), ph_slice_str(bodies[_i][1]), 2).n, 2);
}
END_TEST

START_TEST(converts_charsets)
{
	ck_assert_slice(ph_charset_to_utf8(arena, PH_LIT("iso-8859-1"),
	    PH_LIT("J\xf6rg"), 100), "J\xc3\xb6rg");
	ck_assert_slice(ph_charset_to_utf8(arena, PH_LIT("utf-16le"),
	    PH_LIT("a\0b\0\x01"), 100), "ab\xef\xbf\xbd");
	ck_assert_slice(ph_charset_to_utf8(arena, PH_LIT("utf-8"),
	    PH_LIT("a\xff" "b\xe2\x82"), 100),
	    "a\xef\xbf\xbd" "b\xef\xbf\xbd\xef\xbf\xbd");
	ck_assert_slice(ph_charset_to_utf8(arena, PH_LIT("../etc/x"),
	    PH_LIT("a\xff"), 100), "a\xff");
	ck_assert_slice(ph_charset_to_utf8(arena, PH_LIT(""),
	    PH_LIT("abc"), 2), "ab");
}
END_TEST

#define MULTIPART "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
static const struct {
	const char *content;
	bool is_ascii;
} headers[] = {
	{ "Subject: x\r\n\r\n\303\274\r\n", true },
	{ "Subject: \303\274\r\n\r\nx\r\n", false },
	{ MULTIPART "\303\274\r\n--b\r\nX: y\r\n\r\n\303\274\r\n--b--\r\n\303\274", true },
	{ MULTIPART "--b\r\nX: y\r\n\r\n--b\r\nX: \303\274\r\n\r\n--b--\r\n",
	    false },
	{ MULTIPART "--b\r\nContent-Type: message/rfc822\r\n\r\n"
	            "Subject: \303\274\r\n\r\nx\r\n--b--\r\n", false },
	{ "Content-Type: multipart/mixed\r\n\r\n\303\274", false },
	{ "Content-Type: message/rfc822\r\n"
	  "Content-Transfer-Encoding: base64\r\n\r\nU3ViamVjdDogeA==", true },
};

START_TEST(tells_headers_in_ascii_from_others)
{
	struct ph_slice content = ph_slice_str(headers[_i].content);

	ck_assert(ph_mime_header_is_ascii(ph_mime_parse(arena, content),
	    content) == headers[_i].is_ascii);
}
END_TEST

#define LOOP(t, fn, table) \
	tcase_add_loop_test(t, fn, 0, (int)(sizeof(table) / sizeof(table[0])))

int
main(void)
{
	Suite *suite = suite_create("mime");
	TCase *t = tcase_create("mime");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	LOOP(t, finds_the_parts, messages);
	LOOP(t, reads_parameters, params);
	LOOP(t, tells_headers_in_ascii_from_others, headers);
	tcase_add_test(t, keeps_the_other_fields);
	LOOP(t, CVE_2020_12100_many_and_deep_parts_cost_their_length, floods);
	tcase_add_test(t, distinct_nested_boundaries_cost_their_length);
	tcase_add_test(t, CVE_2026_27859_parameter_floods_are_cut);
	tcase_add_test(t, refuses_damaged_records);
	LOOP(t, decodes_bodies, bodies);
	tcase_add_test(t, converts_charsets);
	suite_add_tcase(suite, t);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
