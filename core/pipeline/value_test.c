/* SPDX-License-Identifier: Apache-2.0 */
/* value_test.c - values of header fields, as checks say them. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include <posthouse/mail.h>

#include "pipeline/field.h"
#include "pipeline/value.h"

static struct ph_arena *arena;

static void
set_up(void)
{
	arena = ph_arena_create(NULL);
}

static void
tear_down(void)
{
	ph_arena_free(arena);
}

START_TEST(what_may_stand_in_a_field_stands_there)
{
	static const struct {
		const char *given, *written;
	} table[] = {
		{ "", "" },
		{ "plain  words ", "plain  words " },
		{ "a=1;\r\n\tb=2;\n c", "a=1; b=2; c" },
		{ "a\tb", "a b" },
		{ "bell\a \x7f", "bell? ?" },
		{ "\xff one", "? one" },
		{ "\xc3\xa4", "=?UTF-8?B?w6Q=?=" },
		{ "a \xc3\xa4 b", "a =?UTF-8?B?w6Q=?= b" },
		/* what is between two of them is lost where they meet */
		{ "\xc3\xa4 \xc3\xa4", "=?UTF-8?B?w6Qgw6Q=?=" },
		{ "\xc3\xa4  \xc3\xa4",
		    "=?UTF-8?B?w6Q=?=  =?UTF-8?B?w6Q=?=" },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		ck_assert_str_eq(value_clean(arena,
		    ph_slice_str(table[i].given)), table[i].written);
}
END_TEST

START_TEST(long_text_in_utf8_comes_back)
{
	char text[1000];
	const char *written;
	struct ph_slice back;

	for (size_t at = 0; at < 999; at += 3)
		memcpy(text + at, "\xe2\x82\xac", 3);
	text[999] = '\0';
	written = value_clean(arena, ph_slice_str(text));
	for (const char *at = written; *at != '\0'; at += strspn(at, " ")) {
		ck_assert_uint_le(strcspn(at, " "), 75);
		at += strcspn(at, " ");
	}
	back = ph_encoded_words(arena, ph_slice_str(written));
	ck_assert(ph_slice_eq(back, ph_slice_str(text)));
}
END_TEST

/* A signature is longer than what a person reads. */
START_TEST(a_long_value_is_a_field_of_short_lines)
{
	char text[12000];
	struct ph_slice rest;
	struct ph_buf buf;
	const char *value;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	value = value_clean(arena, ph_slice_str(text));
	ck_assert_uint_eq(strlen(value), VALUE_MAX);
	ph_buf_init(&buf, arena, FIELD_MAX);
	ck_assert(field_put(&buf, "X-Long", value));
	rest = ph_buf_content(&buf);
	ck_assert(field_is_whole(rest));
	while (rest.p != NULL && rest.n > 0)
		ck_assert_uint_le(ph_slice_cut(&rest, '\n').n, 999);
	for (size_t i = 30; i < sizeof(text); i += 31)
		text[i] = ' ';
	buf.n = 0;
	ck_assert(field_put(&buf, "X-Long", value_clean(arena,
	    ph_slice_str(text))));
	rest = ph_buf_content(&buf);
	while (rest.p != NULL && rest.n > 0)
		ck_assert_uint_le(ph_slice_cut(&rest, '\n').n, 79);
}
END_TEST

/* As many encoded words as there may be octets: what has no room is cut. */
START_TEST(what_grows_too_long_ends_all_the_same)
{
	char text[VALUE_MAX + 1];
	size_t n = 0;

	for (; n < 3640; n += 4)
		memcpy(text + n, "\xc3\xa4  ", 4);
	memset(text + n, ' ', sizeof(text) - n);
	text[sizeof(text) - 1] = '\0';
	for (size_t at = n; at < n + 8; at++) {
		struct ph_slice cut = { text, at };
		const char *value = value_clean(arena, cut);

		ck_assert_uint_le(strlen(value), 2 * VALUE_MAX);
		ck_assert_uint_ge(strlen(value), 16380);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("value");
	TCase *tcase = tcase_create("value");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, what_may_stand_in_a_field_stands_there);
	tcase_add_test(tcase, long_text_in_utf8_comes_back);
	tcase_add_test(tcase, a_long_value_is_a_field_of_short_lines);
	tcase_add_test(tcase, what_grows_too_long_ends_all_the_same);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
