/* SPDX-License-Identifier: Apache-2.0 */
/* check_rate_test.c - limits as they are written, and who is counted. */
#include <check.h>
#include <stdlib.h>

#include "fake_check.h"
#include "limit.h"

extern const struct ph_module check_rate_LTX_ph_module;

/* As in check_rate.c. */
struct rate_conf {
	const char *const *limits;
	unsigned v6_bits;
	struct ph_net_list exempt;
};

START_TEST(limits_are_read)
{
	static const struct {
		const char *text;
		bool is_good;
		uint64_t count, window_ms;
	} row[] = {
		{ "messages per client 100/1h", true, 100, 3600000 },
		{ " recipients  per user 5/30s  reject ", true, 5, 30000 },
		{ "connections per client 0/2d defer", true, 0, 172800000 },
		{ "recipients per recipient 9/1m", true, 9, 60000 },
		{ "messages per sender 9/366d", true, 9, 31622400000 },
		{ "", false, 0, 0 },
		{ "messages", false, 0, 0 },
		{ "messages per", false, 0, 0 },
		{ "messages per client", false, 0, 0 },
		{ "messages per client 100", false, 0, 0 },
		{ "messages per client 100/", false, 0, 0 },
		{ "messages per client 100/h", false, 0, 0 },
		{ "messages per client 100/0h", false, 0, 0 },
		{ "messages per client 100/1w", false, 0, 0 },
		{ "messages per client -1/1h", false, 0, 0 },
		{ "messages per client 1/367d", false, 0, 0 },
		{ "messages per client 1/1h maybe", false, 0, 0 },
		{ "messages per client 1/1h reject now", false, 0, 0 },
		{ "messages per recipient 1/1h", false, 0, 0 },
		{ "connections per user 1/1h", false, 0, 0 },
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct rate_limit limit;

		ck_assert_msg((rate_limit_parse(row[i].text, &limit) == NULL) ==
		    row[i].is_good, "%s", row[i].text);
		if (row[i].is_good) {
			ck_assert_uint_eq(limit.count, row[i].count);
			ck_assert_uint_eq(limit.window_ms, row[i].window_ms);
		}
	}
}
END_TEST

static const char *const limits[] = { "connections per client 2/1m",
	"messages per client 2/1m", "messages per user 1/1h reject",
	"messages per sender 1/1h", "recipients per recipient 1/1m", NULL };
static const struct rate_conf usual = { limits, 64, { NULL, 0 } };

static enum ph_verdict
at(enum ph_stage stage)
{
	fake_check_next();
	fake_check.stage = stage;
	return check_rate_LTX_ph_module.check->at[stage](fake_call, &usual);
}

START_TEST(each_is_counted_by_itself_and_in_its_time)
{
	fake_check_begin();
	ck_assert_int_eq(at(PH_AT_CONNECT), PH_NEXT);
	ck_assert_int_eq(at(PH_AT_CONNECT), PH_NEXT);
	ck_assert_int_eq(at(PH_AT_CONNECT), PH_DEFER);
	ck_assert_int_eq(fake_check.code, 421);
	fake_check_client("192.0.2.2");
	ck_assert_int_eq(at(PH_AT_CONNECT), PH_NEXT);
	fake_check_client("192.0.2.1");
	fake_check.wall_s += 60;
	ck_assert_int_eq(at(PH_AT_CONNECT), PH_NEXT);
	fake_check.sender = "X@a.test";
	ck_assert_int_eq(at(PH_AT_MAIL), PH_NEXT);
	fake_check.sender = "x@A.test";
	ck_assert_int_eq(at(PH_AT_MAIL), PH_DEFER);
	ck_assert_str_eq(fake_check.text, "too many messages of the sender "
	    "x@A.test: more than 1 within 3600 seconds");
	fake_check.sender = "";
	ck_assert_int_eq(at(PH_AT_MAIL), PH_DEFER); /* the client's third */
	fake_check.recipient = "bob@example.test";
	ck_assert_int_eq(at(PH_AT_RCPT), PH_NEXT);
	ck_assert_int_eq(at(PH_AT_RCPT), PH_DEFER);
	fake_check_end();
}
END_TEST

START_TEST(users_count_as_users)
{
	fake_check_begin();
	fake_check.user = "alice@example.test";
	fake_check.service = "submission";
	fake_check.sender = "alice@example.test";
	ck_assert_int_eq(at(PH_AT_MAIL), PH_NEXT);
	ck_assert_int_eq(at(PH_AT_MAIL), PH_REJECT);
	ck_assert_int_eq(fake_check.code, 550);
	fake_check.user = "bob@example.test";
	ck_assert_int_eq(at(PH_AT_MAIL), PH_NEXT);
	fake_check_end();
}
END_TEST

START_TEST(an_ipv6_network_is_a_client)
{
	fake_check_begin();
	fake_check_client("2001:db8:1:2::1");
	ck_assert_int_eq(at(PH_AT_CONNECT), PH_NEXT);
	fake_check_client("2001:db8:1:2::2");
	ck_assert_int_eq(at(PH_AT_CONNECT), PH_NEXT);
	fake_check_client("2001:db8:1:2:ffff::3");
	ck_assert_int_eq(at(PH_AT_CONNECT), PH_DEFER);
	fake_check_client("2001:db8:1:3::1");
	ck_assert_int_eq(at(PH_AT_CONNECT), PH_NEXT);
	fake_check_end();
}
END_TEST

START_TEST(without_a_store_nobody_is_refused)
{
	fake_check_begin();
	fake_check.kv_status = PH_UNAVAILABLE;
	for (unsigned i = 0; i < 5; i++)
		ck_assert_int_eq(at(PH_AT_CONNECT), PH_NEXT);
	fake_check_end();
}
END_TEST

int
main(void)
{
	TCase *tc = tcase_create("check_rate");

	tcase_add_test(tc, limits_are_read);
	tcase_add_test(tc, each_is_counted_by_itself_and_in_its_time);
	tcase_add_test(tc, users_count_as_users);
	tcase_add_test(tc, an_ipv6_network_is_a_client);
	tcase_add_test(tc, without_a_store_nobody_is_refused);
	return fake_check_run(tc);
}
