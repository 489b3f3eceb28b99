/* SPDX-License-Identifier: Apache-2.0 */
/* access_test.c - the lists, and the hook over a fake call. */
#include <check.h>
#include <stdlib.h>

#include <posthouse/check.h>

#include "access.h"

extern const struct ph_module check_access_LTX_ph_module;

static struct ph_addr client;
static int rejected_with;

const struct ph_addr *
ph_call_client(const struct ph_call *call)
{
	(void)call;
	return &client;
}

enum ph_verdict
ph_reject(struct ph_call *call, int code, const char *enhanced,
    const char *fmt, ...)
{
	(void)call;
	(void)fmt;
	ck_assert_str_eq(enhanced, "5.7.1");
	rejected_with = code;
	return PH_REJECT;
}

void
ph_reason(struct ph_call *call, const char *fmt, ...)
{
	(void)call;
	(void)fmt;
}

static struct ph_net net[8];

static struct ph_net_list
list(size_t at, const char *a, const char *b)
{
	size_t n = 0;

	if (a != NULL)
		ck_assert(ph_net_parse(ph_slice_str(a), &net[at + n++]));
	if (b != NULL)
		ck_assert(ph_net_parse(ph_slice_str(b), &net[at + n++]));
	return (struct ph_net_list){ &net[at], n };
}

START_TEST(the_narrowest_network_decides)
{
	static const struct {
		const char *addr;
		enum ph_verdict verdict;
	} row[] = {
		{ "192.0.2.1", PH_REJECT },
		{ "192.0.2.77", PH_ACCEPT },
		{ "192.0.2.129", PH_NEXT },
		{ "198.51.100.1", PH_NEXT },
		{ "2001:db8::1", PH_REJECT },
		{ "2001:db8:1::1", PH_ACCEPT },
		{ "::ffff:192.0.2.1", PH_REJECT },
	};
	struct access_lists lists = {
		.allow = list(0, "192.0.2.77", "2001:db8:1::/48"),
		.deny = list(4, "192.0.2.0/25", "2001:db8::/32"),
	};
	ph_hook *hook =
	    check_access_LTX_ph_module.check->at[PH_AT_CONNECT];

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		ck_assert(ph_addr_parse(ph_slice_str(row[i].addr), &client));
		rejected_with = 0;
		ck_assert_msg(hook(NULL, &lists) == row[i].verdict, "%s",
		    row[i].addr);
		ck_assert_int_eq(rejected_with,
		    row[i].verdict == PH_REJECT ? 554 : 0);
	}
}
END_TEST

START_TEST(allow_wins_over_the_same_network)
{
	struct access_lists lists = {
		.allow = list(0, "192.0.2.0/24", NULL),
		.deny = list(4, "192.0.2.0/24", NULL),
	};

	ck_assert(ph_addr_parse(PH_LIT("192.0.2.1"), &client));
	ck_assert_int_eq(access_look_up(&lists, &client), ACCESS_ALLOWED);
}
END_TEST

START_TEST(empty_lists_and_unix_clients_say_nothing)
{
	struct access_lists lists = { .deny = list(4, "0.0.0.0/0", "::/0") };

	client = (struct ph_addr){ 0 };
	ck_assert_int_eq(access_look_up(&lists, &client), ACCESS_UNLISTED);
	lists.deny.count = 0;
	ck_assert(ph_addr_parse(PH_LIT("192.0.2.1"), &client));
	ck_assert_int_eq(access_look_up(&lists, &client), ACCESS_UNLISTED);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("check_access");
	TCase *tc = tcase_create("check_access");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, the_narrowest_network_decides);
	tcase_add_test(tc, allow_wins_over_the_same_network);
	tcase_add_test(tc, empty_lists_and_unix_clients_say_nothing);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
