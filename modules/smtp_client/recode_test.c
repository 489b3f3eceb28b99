/* SPDX-License-Identifier: Apache-2.0 */
/* recode_test.c - what a host without 8BITMIME gets, and what it never gets. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "recode_fixture.h"

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
recoded(struct ph_slice content, bool is_binary)
{
	const char *why = NULL;
	const struct recode_plan *plan = recode_make(arena, content, is_binary,
	    &why);
	struct ph_slice out;

	ck_assert_msg(plan != NULL, "%s", why);
	out = recode_all(arena, plan, 128);
	ck_assert(ph_slice_eq(out, recode_all(arena, plan, 16384)));
	ck_assert_uint_ge(plan->size_bytes, out.n);
	return out;
}

START_TEST(encodes_what_needs_it_and_nothing_else)
{
	static const char *const cases[][2] = {
		/* no MIME at all */
		{ "Subject: x\r\n\r\n\303\274ber\r\n",
		    "Subject: x\r\nMIME-Version: 1.0\r\n"
		    "Content-Type: text/plain; charset=unknown-8bit\r\n"
		    "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
		    "=C3=BCber\r\n" },
		/* the field that is there is replaced, others stay */
		{ "mime-version: 1.0\r\nCONTENT-transfer-encoding:\r\n 8bit\r\n"
		    "Content-Type: text/plain;\r\n charset=utf-8\r\n\r\n"
		    "a=b \r\n\303\274 \r\n",
		    "mime-version: 1.0\r\n"
		    "Content-Transfer-Encoding: quoted-printable\r\n"
		    "Content-Type: text/plain;\r\n charset=utf-8\r\n\r\n"
		    "a=3Db=20\r\n=C3=BC=20\r\n" },
		/* nothing to do */
		{ "Subject: x\r\n\r\nplain\r\n", "Subject: x\r\n\r\nplain\r\n" },
		/* a label that promised more */
		{ "MIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
		    "plain\r\n",
		    "MIME-Version: 1.0\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
		    "plain\r\n" },
		/* parts */
		{ "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; "
		    "boundary=b\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
		    "pre\303\274\r\n--b\r\n\r\nascii\r\n--b\r\n"
		    "Content-Type: image/x\r\n\r\n\377\0011\r\n--b--\r\n",
		    "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; "
		    "boundary=b\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
		    "pre??\r\n--b\r\n\r\nascii\r\n--b\r\n"
		    "Content-Type: image/x\r\n"
		    "Content-Transfer-Encoding: base64\r\n\r\n/wEx\r\n--b--\r\n" },
		/* a message within is no body: its own body is */
		{ "MIME-Version: 1.0\r\nContent-Type: message/rfc822\r\n"
		    "Content-Transfer-Encoding: 8bit\r\n\r\n"
		    "Subject: in\r\n\r\n"
		    "\303\274\303\274\303\274\303\274\303\274\303\274"
		    "\303\274\303\274\303\274\303\274\r\n",
		    "MIME-Version: 1.0\r\nContent-Type: message/rfc822\r\n"
		    "Content-Transfer-Encoding: 7bit\r\n\r\n"
		    "Subject: in\r\nMIME-Version: 1.0\r\n"
		    "Content-Type: text/plain; charset=unknown-8bit\r\n"
		    "Content-Transfer-Encoding: base64\r\n\r\nw7zDvMO8w7zDvMO8w7zDvMO8w7wNCg==" },
		/* encoded already, with stray octets */
		{ "MIME-Version: 1.0\r\n"
		    "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
		    "=C3=BC \374\r\n",
		    "MIME-Version: 1.0\r\n"
		    "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
		    "=C3=BC =FC\r\n" },
		/* RFC 6533 s4.4 */
		{ "MIME-Version: 1.0\r\nContent-Type: message/global\r\n\r\n"
		    "Subject: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\303\274\r\n\r\nx\r\n",
		    "MIME-Version: 1.0\r\nContent-Type: message/global\r\n"
		    "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
		    "Subject: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=C3=BC\r\n"
		    "\r\nx\r\n" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ph_slice in = ph_slice_str(cases[i][0]);
		struct ph_slice out = recoded(in, false);

		ck_assert_msg(ph_slice_eq(out, ph_slice_str(cases[i][1])),
		    "%zu: %.*s", i, PH_SLICE_ARG(out));
		ck_assert_ptr_null(recode_differs(arena, in, out));
	}
}
END_TEST

START_TEST(has_no_plan_for_what_has_no_other_form)
{
#define IN(type) "MIME-Version: 1.0\r\nContent-Type: " type "\r\n\r\n"
	static const char *const cases[] = {
		IN("multipart/signed; boundary=b")
		    "--b\r\n\r\n\303\274\r\n--b\r\n\r\nsig\r\n--b--\r\n",
		IN("multipart/mixed; boundary=o") "--o\r\n"
		    "Content-Type: multipart/encrypted; boundary=b\r\n\r\n"
		    "--b\r\n\r\n\303\274\r\n--b--\r\n--o--\r\n",
		IN("message/delivery-status") "Status: \303\274\r\n",
		IN("message/partial") "\303\274\r\n",
		IN("multipart/mixed") "\303\274\r\n",
		/* parts that only another reader may find */
		IN("multipart/mixed; boundary*=us-ascii''b") "--b\r\n\r\n"
		    "\303\274\r\n--b--\r\n",
		IN("multipart/mixed; boundary=\"b \"") "--b\r\n\r\n"
		    "\303\274\r\n--b--\r\n",
		"MIME-Version: 1.0\r\nContent-Transfer-Encoding: x-uuencode"
		    "\r\n\r\nbegin 644 x\r\n\303\274\r\nend\r\n",
		"MIME-Version: 1.0\r\nContent-Type: message/rfc822\r\n"
		    "Content-Transfer-Encoding: base64\r\n\r\nQUJD\303\274\r\n",
		"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b"
		    "\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
		    "--b\r\n\r\n\303\274\r\n--b--\r\n",
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *why = NULL;

		ck_assert_ptr_null(recode_make(arena, ph_slice_str(cases[i]),
		    false, &why));
		ck_assert_ptr_nonnull(why);
	}
}
END_TEST

/* Where parts begin and end decides what is encoded, and what is left as it is to
 * the octet. */
START_TEST(finds_parts_however_they_are_marked)
{
	static const char *const cases[][2] = {
		{ "multipart/mixed; boundary=\"a b:c\"", "a b:c" },
		{ "multipart/mixed (x; boundary=no); boundary=bb (yes)", "bb" },
		{ "multipart/mixed; (c) boundary (c) = (c) bb", "bb" },
		{ "multipart/mixed; boundary*0=\"a\"; boundary*1=b", "ab" },
		{ "multipart/mixed; boundary*1=b; boundary*0=a", "ab" },
		{ "multipart/mixed; boundary=\"a\\\"b\"", "a\"b" },
		{ "multipart/mixed;\r\n\tboundary=\r\n bb", "bb" },
		{ "multipart/mixed; boundary=\"a\r\n b\"", "a b" },
		{ "MULTIPART/MIXED; BOUNDARY=BB", "BB" },
		{ "multipart/mixed; boundary=aa; boundary=bb", "aa" },
		{ "multipart/mixed; boundary=a; x=\"; boundary=b\"", "a" },
	};
	static const char part[] = "Content-Type: image/x\r\n"
	    "Content-Transfer-Encoding: BASE64 \r\nX:  y\r\n\r\nQUJD\r\n";

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *b = cases[i][1];
		const char *in = ph_arena_printf(arena, "MIME-Version: 1.0\r\n"
		    "Content-Type: %s\r\n\r\npre\r\n--%s\r\n%s\r\n--%s  \r\n"
		    "\r\n\303\274ber\r\n--%sx\r\n--%s--\r\nepilogue \303\274\r\n",
		    cases[i][0], b, part, b, b, b);
		struct ph_slice out = recoded(ph_slice_str(in), false);

		ck_assert_ptr_null(recode_differs(arena, ph_slice_str(in),
		    out));
		ck_assert_msg(memmem(out.p, out.n, part, strlen(part)) != NULL,
		    "%s", cases[i][0]);
		ck_assert_msg(memmem(out.p, out.n, "=C3=BCber", 9) != NULL,
		    "%s", cases[i][0]);
	}
}
END_TEST

/* Quoted-printable with stray octets grows to a third, and is lines still. */
START_TEST(lines_that_grow_are_divided)
{
	char in[8000] = "MIME-Version: 1.0\r\n"
	    "Content-Transfer-Encoding: quoted-printable\r\n\r\n";
	size_t n = strlen(in), line = 0;
	struct ph_slice content, out;
	char long_line[998]; /* as long as it may be, and stays */

	memset(long_line, 'x', sizeof(long_line));
	memcpy(in + n, long_line, sizeof(long_line));
	n += sizeof(long_line);
	n += (size_t)sprintf(in + n, "\r\n");
	memset(in + n, 0xfc, 998);
	n += 998;
	n += (size_t)sprintf(in + n, "\r\n\374");
	for (unsigned i = 0; i < 331; i++)
		n += (size_t)sprintf(in + n, "=3D");
	n += (size_t)sprintf(in + n, " =\r\n");
	for (unsigned i = 0; i < 490; i++)
		n += (size_t)sprintf(in + n, "=\374");
	n += (size_t)sprintf(in + n, "\r\nend\r\n");
	content = (struct ph_slice){ in, n };
	out = recoded(content, false);
	ck_assert_ptr_null(recode_differs(arena, content, out));
	ck_assert_ptr_nonnull(memmem(out.p, out.n, long_line,
	    sizeof(long_line)));
	for (size_t i = 0; i < out.n; i++, line++) {
		ck_assert_uint_le(line, 1000); /* 998 and CRLF */
		if (out.p[i] == '\n')
			line = 0;
	}
}
END_TEST

START_TEST(leaves_what_is_signed_alone)
{
	static const char in[] = IN("multipart/mixed; boundary=o") "--o\r\n"
	    "Content-Type: multipart/signed; boundary=b\r\n"
	    "Content-Transfer-Encoding: 8bit\r\n\r\n"
	    "--b\r\n Content-Transfer-Encoding: 8bit\r\n\r\nall ASCII\r\n"
	    "--b\r\n\r\nsig\r\n--b--\r\n--o\r\n\r\n\303\274ber\r\n--o--\r\n";
	struct ph_slice out = recoded(ph_slice_str(in), false);
	const char *from = strstr(in, "Content-Type: multipart/signed");
	const char *to = strstr(in, "\r\n--o\r\n\r\n\303");

	ck_assert_ptr_nonnull(memmem(out.p, out.n, from,
	    (size_t)(to - from)));
	ck_assert_ptr_nonnull(memmem(out.p, out.n, "=C3=BCber", 9));
}
END_TEST

START_TEST(binary_content_goes_as_base64)
{
	char in[600] = IN("application/x");
	size_t n = strlen(in);
	struct ph_slice out, content;

	for (unsigned i = 0; i < 256; i++)
		in[n++] = (char)i;
	memcpy(in + n, "\n.\n\r.\r", 6);
	content = (struct ph_slice){ in, n + 6 };
	out = recoded(content, true);
	ck_assert_ptr_nonnull(memmem(out.p, out.n, "base64", 6));
	ck_assert_ptr_null(recode_differs(arena, content, out));
	for (size_t i = 0; i < out.n; i++)
		ck_assert(out.p[i] != '\n' || (i > 0 && out.p[i - 1] == '\r'));
	/* text, too, when its lines are none of SMTP's */
	content = PH_LIT(IN("text/plain") "a\nb\n");
	out = recoded(content, true);
	ck_assert_ptr_nonnull(memmem(out.p, out.n, "YQpiCg==", 8));
}
END_TEST

START_TEST(lines_are_short_and_none_becomes_a_boundary)
{
	char in[4000] = IN("multipart/mixed; boundary=bound") "--bound\r\n\r\n";
	size_t n = strlen(in), line = 0;
	struct ph_slice out, content;

	for (unsigned i = 0; i < 40; i++)
		n += (size_t)sprintf(in + n, "\303\274%0*d--bound--bound\r\n",
		    (int)i + 30, 0);
	n += (size_t)sprintf(in + n, "\r\n--bound--\r\n");
	content = (struct ph_slice){ in, n };
	out = recoded(content, false);
	ck_assert_ptr_null(recode_differs(arena, content, out));
	for (size_t i = 0; i < out.n; i++, line++) {
		ck_assert_uint_le(line, 78);
		if (out.p[i] == '\n')
			line = 0;
	}
}
END_TEST

/* Pieces of mail put together at random: whatever has a plan decodes alike. */
START_TEST(random_mail_decodes_alike)
{
	static const char *const pieces[] = { "\r\n", "\r\n", "--b\r\n",
		"--b--\r\n", "--c\r\n", "--c--\r\n", "\303\274", "text ",
		"Content-Type: text/html\r\n", "=3D", "=", " \r\n", "\t",
		"Content-Type: multipart/mixed; boundary=b\r\n",
		"Content-Type: multipart/digest; boundary=c\r\n",
		"Content-Type: message/rfc822\r\n", "\377\376\1", "---",
		"Content-Transfer-Encoding: base64\r\n", "QUJD\r\n",
		"Content-Transfer-Encoding: quoted-printable\r\n",
		"Content-Transfer-Encoding: 8bit\r\n", "From: x\r\n",
		"Content-Type: image/png\r\n", "MIME-Version: 1.0\r\n" };
	unsigned planned = 0;

	for (unsigned round = 0; round < 20000; round++) {
		struct ph_arena *own = ph_arena_create(arena);
		const struct recode_plan *plan;
		const char *why = NULL, *wrong;
		struct ph_slice in, out;
		struct ph_buf buf;

		ph_buf_init(&buf, own, 4096);
		for (int i = rand() % 40; i >= 0; i--)
			ph_buf_str(&buf, pieces[(size_t)rand() %
			    (sizeof(pieces) / sizeof(pieces[0]))]);
		in = ph_buf_content(&buf);
		plan = recode_make(own, in, false, &why);
		if (plan != NULL) {
			out = recode_all(own, plan, 128 +
			    (size_t)rand() % 100);
			wrong = recode_differs(own, in, out);
			ck_assert_msg(wrong == NULL, "%s: %.*s\n>>>\n%.*s",
			    wrong, PH_SLICE_ARG(in), PH_SLICE_ARG(out));
			planned++;
		}
		ph_arena_free(own);
	}
	ck_assert_uint_gt(planned, 10000);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("recode");
	TCase *tcase = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 200);
	tcase_add_test(tcase, encodes_what_needs_it_and_nothing_else);
	tcase_add_test(tcase, has_no_plan_for_what_has_no_other_form);
	tcase_add_test(tcase, finds_parts_however_they_are_marked);
	tcase_add_test(tcase, lines_that_grow_are_divided);
	tcase_add_test(tcase, leaves_what_is_signed_alone);
	tcase_add_test(tcase, binary_content_goes_as_base64);
	tcase_add_test(tcase, lines_are_short_and_none_becomes_a_boundary);
	tcase_add_test(tcase, random_mail_decodes_alike);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
