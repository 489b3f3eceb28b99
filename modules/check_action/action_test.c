/* SPDX-License-Identifier: Apache-2.0 */
/* action_test.c - findings become one answer; who is a stranger. */
#include <check.h>
#include <stdlib.h>

#include "action.h"
#include "fake_check.h"
#include "stranger.h"

START_TEST(the_hardest_finding_decides_and_points_add_up)
{
	static const struct {
		enum action a, b;
		enum ph_verdict verdict;
		int code;
		double score;
		const char *enhanced, *text;
	} row[] = {
		{ ACTION_OFF, ACTION_OFF, PH_NEXT, 0, 0, NULL, NULL },
		{ ACTION_OFF, ACTION_SCORE, PH_NEXT, 0, 3, NULL, "two" },
		{ ACTION_SCORE, ACTION_SCORE, PH_NEXT, 0, 5, NULL,
		    "one; two" },
		{ ACTION_TAG, ACTION_OFF, PH_NEXT, 0, 2, NULL, "one" },
		{ ACTION_DEFER, ACTION_SCORE, PH_DEFER, 450, 3, "4.7.1",
		    "one" },
		{ ACTION_DEFER, ACTION_REJECT, PH_REJECT, 550, 0, "5.1.8",
		    "two" },
		{ ACTION_REJECT, ACTION_REJECT, PH_REJECT, 550, 0, "5.7.1",
		    "one" },
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		const struct finding both[] = {
			{ row[i].a, 2, "7.1", "one" },
			{ row[i].b, 3, "1.8", "two" },
		};

		fake_check_begin();
		ck_assert_int_eq(action_conclude(fake_call, both, 2),
		    row[i].verdict);
		ck_assert_int_eq(fake_check.code, row[i].code);
		ck_assert_double_eq(fake_check.score, row[i].score);
		ck_assert_pstr_eq(fake_check.enhanced, row[i].enhanced);
		ck_assert_pstr_eq(fake_check.text, row[i].text);
		ck_assert_pstr_eq(fake_check.header, row[i].a == ACTION_TAG ?
		    "X-Posthouse-Check: one" : NULL);
		fake_check_end();
	}
}
END_TEST

START_TEST(nothing_found_is_nothing_said)
{
	fake_check_begin();
	ck_assert_int_eq(action_conclude(fake_call, NULL, 0), PH_NEXT);
	ck_assert_ptr_null(fake_check.text);
	fake_check_end();
}
END_TEST

START_TEST(users_other_services_and_exempt_networks_are_no_strangers)
{
	struct ph_net net;
	struct ph_net_list exempt = { &net, 1 };

	ck_assert(ph_net_parse(PH_LIT("192.0.2.0/25"), &net));
	fake_check_begin();
	fake_check_client("192.0.2.200");
	ck_assert(is_stranger(fake_call, &exempt));
	fake_check.user = "alice@example.test";
	ck_assert(!is_stranger(fake_call, &exempt));
	fake_check.user = NULL;
	fake_check.service = "submission";
	ck_assert(!is_stranger(fake_call, &exempt));
	fake_check.service = "smtp";
	fake_check_client("192.0.2.20");
	ck_assert(!is_stranger(fake_call, &exempt));
	fake_check_client("192.0.2.200");
	fake_check.may_relay = true;
	ck_assert(!is_stranger(fake_call, &exempt));
	fake_check.may_relay = false;
	fake_check.client = (struct ph_addr){ 0 };
	ck_assert(!is_stranger(fake_call, &exempt));
	fake_check_end();
}
END_TEST

int
main(void)
{
	TCase *tc = tcase_create("check_action");

	tcase_add_test(tc, the_hardest_finding_decides_and_points_add_up);
	tcase_add_test(tc, nothing_found_is_nothing_said);
	tcase_add_test(tc,
	    users_other_services_and_exempt_networks_are_no_strangers);
	return fake_check_run(tc);
}
