/* SPDX-License-Identifier: Apache-2.0 */
/* reply_test.c - what may be an answer, what may be answered, and places. */
#include <check.h>
#include <stdlib.h>

#include "base/record.h"
#include "pipeline/place.h"
#include "pipeline/reply.h"
#include "role/messages.h"

#define AUTO "From: b@example.test\r\nAuto-Submitted: auto-replied\r\n"

START_TEST(an_answer_says_what_it_is)
{
	static const struct {
		const char *text;
		bool is_sound;
	} rows[] = { { AUTO "\r\nbody\r\n", true }, { AUTO, true },
		{ AUTO "\r\n", true }, { "", false }, { "\r\nbody\r\n", false },
		{ "From: b@example.test\r\n\r\nbody\r\n", false },
		{ "From: b\r\nAuto-Submitted: no\r\n\r\nbody\r\n", false },
		{ "From: b\r\nAuto-Submitted: No (x)\r\n\r\nbody\r\n", true },
		{ "Auto-Submitted: auto-replied\r\n\r\nbody\r\n", false },
		{ "From: b\r\n\r\nAuto-Submitted: x\r\n", false },
		{ AUTO "no field\r\n\r\nbody\r\n", false },
		{ AUTO "\r\nbare\nlf\r\n", false },
		{ AUTO "\r\nbare\rcr\r\n", false },
		{ AUTO "\r\nno end", false } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		ck_assert_msg(reply_is_sound(ph_slice_str(rows[i].text)) ==
		    rows[i].is_sound, "%s", rows[i].text);
}
END_TEST

START_TEST(an_answer_is_small_and_has_short_lines)
{
	static char text[REPLY_OCTETS_MAX + 3] = AUTO "\r\n";
	size_t start = strlen(text), n = start;

	memset(text + n, 'x', 998);
	memcpy(text + n + 998, "\r\n", 2);
	ck_assert(reply_is_sound((struct ph_slice){ text, n + 1000 }));
	memcpy(text + n + 998, "x\r\n", 3);
	ck_assert(!reply_is_sound((struct ph_slice){ text, n + 1001 }));
	while (n + 2 <= sizeof(text)) {
		memcpy(text + n, "\r\n", 2);
		n += 2;
	}
	ck_assert_uint_gt(n, REPLY_OCTETS_MAX);
	ck_assert(!reply_is_sound((struct ph_slice){ text, n }));
}
END_TEST

START_TEST(a_place_comes_back_as_it_was_and_damage_does_not)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	const struct ph_slice words[] = { PH_LIT("$a"), PH_LIT("b") };
	struct ph_delivery_place place = { .mailbox = PH_LIT("A/B"),
		.flags = PH_SEEN | PH_RECENT, .keywords = words,
		.keyword_count = 2 }, back;
	static const char *const bad[] = { "", "a b", "(", "a\\", "\xc3\xa4",
		"%" };
	struct ph_slice record, word;
	struct ph_buf buf;

	ph_buf_init(&buf, arena, 4096);
	ck_assert(place_put(&buf, &place));
	record = record_get(ph_buf_content(&buf), F_PLACE);
	ck_assert(place_take(arena, record, &back));
	ck_assert(ph_slice_eq(back.mailbox, place.mailbox));
	ck_assert_uint_eq(back.flags, PH_SEEN);
	ck_assert_uint_eq(back.keyword_count, 2);
	ck_assert(ph_slice_eq(back.keywords[1], words[1]));
	for (size_t n = 0; n < record.n; n++)
		(void)place_take(arena, (struct ph_slice){ record.p, n },
		    &back);
	place.keywords = &word;
	place.keyword_count = 1;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		word = ph_slice_str(bad[i]);
		ck_assert_msg(!place_put(&buf, &place), "%s", bad[i]);
	}
	ph_arena_free(arena);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("pipeline: replies and places");
	TCase *tcase = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, an_answer_says_what_it_is);
	tcase_add_test(tcase, an_answer_is_small_and_has_short_lines);
	tcase_add_test(tcase, a_place_comes_back_as_it_was_and_damage_does_not);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
