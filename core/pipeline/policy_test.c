/* SPDX-License-Identifier: Apache-2.0 */
/* policy_test.c - sums, shares and limits. */
#include "pipeline/policy.h"

#include <check.h>
#include <stdio.h>

#include "pipeline/field.h"

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

START_TEST(the_highest_limit_reached_answers)
{
	static const struct {
		int64_t score;
		enum policy_answer all, gaps;
	} row[] = {
		{ -5000, POLICY_PASS, POLICY_PASS },
		{ 0, POLICY_PASS, POLICY_PASS },
		{ 1999, POLICY_PASS, POLICY_PASS },
		{ 2000, POLICY_TAG, POLICY_PASS },
		{ 4000, POLICY_QUARANTINE, POLICY_QUARANTINE },
		{ 8000, POLICY_DEFER, POLICY_QUARANTINE },
		{ 11999, POLICY_DEFER, POLICY_QUARANTINE },
		{ 12000, POLICY_REJECT, POLICY_QUARANTINE },
		{ 1000000000, POLICY_REJECT, POLICY_QUARANTINE },
	};
	struct core_policy all = { .tag_at = 2, .quarantine_at = 4,
		.defer_at = 8, .reject_at = 12 };
	struct core_policy gaps = { .quarantine_at = 4 }, off = { 0 };

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		ck_assert_int_eq(policy_answer(&all, row[i].score),
		    row[i].all);
		ck_assert_int_eq(policy_answer(&gaps, row[i].score),
		    row[i].gaps);
		ck_assert_int_eq(policy_answer(&off, row[i].score),
		    POLICY_PASS);
	}
}
END_TEST

START_TEST(it_is_settled_when_nobody_has_a_word_any_more)
{
	struct core_policy policy = { .stage = POLICY_AT_SETTLED };
	unsigned early = 1u << PH_AT_CONNECT | 1u << PH_AT_RCPT;

	ck_assert_int_eq(policy_stage(&policy, 0), PH_AT_RCPT);
	ck_assert_int_eq(policy_stage(&policy, early), PH_AT_RCPT);
	ck_assert_int_eq(policy_stage(&policy, early | 1u << PH_AT_DATA),
	    PH_AT_DATA);
	ck_assert_int_eq(policy_stage(&policy, early | 1u << PH_AT_MESSAGE),
	    PH_AT_MESSAGE);
	policy.stage = POLICY_AT_RCPT;
	ck_assert_int_eq(policy_stage(&policy, ~0u), PH_AT_RCPT);
	policy.stage = POLICY_AT_MESSAGE;
	ck_assert_int_eq(policy_stage(&policy, 0), PH_AT_MESSAGE);
}
END_TEST

START_TEST(shares_add_up_by_section_and_are_told)
{
	struct score a = { 0 }, b = { 0 };

	score_add_share(arena, &a, PH_LIT("check_rbl"), 5000);
	score_add_share(arena, &a, PH_LIT("check_helo"), 0);
	score_add_share(arena, &a, PH_LIT("check_rbl"), 2500);
	score_add_sum(&a, 7500);
	score_add_share(arena, &b, PH_LIT("allow"), -1050);
	score_add_sum(&b, -1050);
	ck_assert_str_eq(score_text(arena, &a, &b),
	    "6.45 (check_rbl 7.5, allow -1.05)");
	ck_assert_str_eq(score_text(arena, &(struct score){ 0 },
	    &(struct score){ 0 }), "0");
}
END_TEST

START_TEST(a_flood_of_shares_stays_small)
{
	struct score score = { 0 };
	char name[64];

	for (unsigned i = 0; i < 10000; i++) {
		snprintf(name, sizeof(name), "module_%u", i);
		score_add_share(arena, &score, ph_slice_str(name), 1000);
		score_add_sum(&score, 999999999);
	}
	ck_assert_int_eq(score.sum, 1000000000);
	ck_assert_uint_eq(score.count, 64);
	ck_assert_uint_lt(strlen(score_text(arena, &score, &score)), 400);
}
END_TEST

/* A word over what one field may have. */
static const char *
too_long(void)
{
	static char text[FIELD_MAX + 1];

	memset(text, 'x', FIELD_MAX);
	return text;
}

START_TEST(a_field_is_folded_and_whole)
{
	struct ph_buf buf;
	char text[2000];

	ph_buf_init(&buf, arena, 4096);
	ck_assert(field_put(&buf, "X-A", "short"));
	ck_assert(!field_put(&buf, "X A", "no name"));
	ck_assert(!field_put(&buf, "", "no name"));
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	ck_assert(!field_put(&buf, "X-A", too_long()));
	ck_assert(ph_slice_eq(ph_buf_content(&buf), PH_LIT("X-A: short\r\n")));
	buf.n = 0;
	ck_assert(field_put(&buf, "X-A", text)); /* one word, in three lines */
	ck_assert_uint_eq(buf.n, strlen("X-A: ") + strlen(text) +
	    2 * strlen("\r\n ") + strlen("\r\n"));
	ck_assert_ptr_eq(memmem(buf.p, buf.n, "\r\n ", 3), buf.p + 998);
	buf.n = 0;
	for (size_t i = 7; i < 200; i += 8)
		text[i] = ' ';
	text[200] = '\0';
	ck_assert(field_put(&buf, "X-A", text));
	for (const char *at = buf.p; at < buf.p + buf.n;) {
		const char *end = memchr(at, '\r', 100);

		ck_assert(end != NULL && end - at <= 78 && end[1] == '\n');
		ck_assert(at == buf.p || *at == ' ');
		at = end + 2;
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("policy");
	TCase *tcase = tcase_create("policy");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, the_highest_limit_reached_answers);
	tcase_add_test(tcase, it_is_settled_when_nobody_has_a_word_any_more);
	tcase_add_test(tcase, shares_add_up_by_section_and_are_told);
	tcase_add_test(tcase, a_flood_of_shares_stays_small);
	tcase_add_test(tcase, a_field_is_folded_and_whole);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
