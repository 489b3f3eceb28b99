/* SPDX-License-Identifier: Apache-2.0 */
/* check_rbl_test.c - lists parsed, answers weighed, and the hooks over a fake
 * call. */
#include <check.h>
#include <stdlib.h>

#include "fake_check.h"
#include "known.h"
#include "tally.h"

extern const struct ph_module check_rbl_LTX_ph_module;

/* As in check_rbl.c. */
struct rbl_conf {
	const char *const *lists;
	struct rbl_limits limits;
	unsigned score, at;
	bool spare_postmaster, explain;
	unsigned timeout_ms, cache_ms;
	struct ph_net_list exempt;
};

START_TEST(reads_lists_and_says_what_is_wrong)
{
	static const struct {
		const char *text;
		bool is_good;
	} row[] = {
		{ "zen.example.org", true },
		{ " zen.example.org  weight=-5 action=accept v6 ", true },
		{ "a.test codes=127.0.0.2,127.0.0.4-127.0.0.8,127.1.0.0/16",
		    true },
		{ "", false },
		{ "weight=1", false },
		{ "a.test weight=", false },
		{ "a.test weight=1001", false },
		{ "a.test weight=--1", false },
		{ "a.test action=shout", false },
		{ "a.test codes=", false },
		{ "a.test codes=127.0.0.9-127.0.0.2", false },
		{ "a.test codes=::1", false },
		{ "a.test codes=1.2.3.4", false },
		{ "a.test codes=128.0.0.0/1", false },
		{ "a.test codes=127.0.0.2,,127.0.0.3", false },
		{ "a.test codes=127.0.0.2,127.0.0.2,127.0.0.2,127.0.0.2,127.0.0.2,"
		  "127.0.0.2,127.0.0.2,127.0.0.2,127.0.0.2", false },
		{ "a.test v5", false },
		{ "a..test", false },
	};
	struct rbl_list list;

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		ck_assert_msg((rbl_list_parse(row[i].text, &list) == NULL) ==
		    row[i].is_good, "%s", row[i].text);
	ck_assert_ptr_null(rbl_list_parse(row[1].text, &list));
	ck_assert_int_eq(list.weight, -5);
	ck_assert_int_eq(list.action, RBL_ACCEPT);
	ck_assert(list.v6 && !list.v4);
}
END_TEST

START_TEST(only_listed_codes_of_127_8_count)
{
	static const struct {
		const char *list, *addr;
		bool has;
	} row[] = {
		{ "a.test", "127.0.0.2", true },
		{ "a.test", "127.255.255.254", false },
		{ "a.test", "192.0.2.1", false },
		{ "a.test", "127.0.0.1", false },
		{ "a.test codes=127.0.0.1", "127.0.0.1", true },
		{ "a.test codes=127.0.0.2", "127.0.0.2", true },
		{ "a.test codes=127.0.0.2", "127.0.0.3", false },
		{ "a.test codes=127.0.0.2-127.0.0.4", "127.0.0.4", true },
		{ "a.test codes=127.0.0.2-127.0.0.4", "127.0.0.5", false },
		{ "a.test codes=127.0.1.0/24", "127.0.1.255", true },
		{ "a.test codes=127.0.1.0/24", "127.0.2.0", false },
		{ "a.test codes=0.0.0.0/0", "10.0.0.1", false },
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct ph_dns_answer answer = { .result = PH_DNS_OK,
			.count = 1 };
		struct rbl_list list;
		struct ph_addr addr;

		ck_assert_ptr_null(rbl_list_parse(row[i].list, &list));
		ck_assert(ph_addr_parse(ph_slice_str(row[i].addr), &addr));
		answer.addr = &addr;
		ck_assert_msg((rbl_list_code(&list, &answer) != NULL) ==
		    row[i].has,
		    "%s %s", row[i].list, row[i].addr);
		answer.result = PH_DNS_NO_ANSWER;
		ck_assert_ptr_null(rbl_list_code(&list, &answer));
	}
}
END_TEST

START_TEST(weighs_and_knows_when_nothing_can_change)
{
	static const struct {
		const char *states; /* l listed, f free, o open, - not asked */
		enum rbl_outcome outcome;
		bool is_settled;
	} row[] = { /* weights 2 1 -3, the last: accept */
		{ "----", RBL_CLEAN, true },
		{ "oooo", RBL_CLEAN, false },
		{ "ffff", RBL_CLEAN, true },
		{ "lfff", RBL_DEFERRED, true },
		{ "lofo", RBL_DEFERRED, false },
		{ "llff", RBL_REJECTED, true },
		{ "llof", RBL_REJECTED, false },
		{ "llfo", RBL_REJECTED, false },
		{ "lllf", RBL_CLEAN, true },
		{ "lllo", RBL_CLEAN, false },
		{ "oool", RBL_ALLOWED, true },
		{ "foff", RBL_CLEAN, true },
	};
	const struct rbl_limits limits = { 0, 2, 3, false },
	    exact = { 0, 2, 3, true };
	struct rbl_list lists[4] = { { .weight = 2 }, { .weight = 1 },
		{ .weight = -3 }, { .weight = 0, .action = RBL_ACCEPT } };

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		enum rbl_state states[4];
		struct rbl_tally tally;

		for (size_t k = 0; k < 4; k++)
			states[k] = row[i].states[k] == 'l' ? RBL_LISTED :
			    row[i].states[k] == 'f' ? RBL_FREE :
			    row[i].states[k] == 'o' ? RBL_OPEN : RBL_NOT_ASKED;
		tally = rbl_count(lists, states, 4, &limits);
		ck_assert_msg(tally.outcome == row[i].outcome, "%s: %d",
		    row[i].states, tally.outcome);
		ck_assert_msg(tally.is_settled == row[i].is_settled, "%s",
		    row[i].states);
		tally = rbl_count(lists, states, 4, &exact);
		ck_assert_msg(tally.is_settled == (row[i].is_settled &&
		    (tally.outcome >= RBL_DEFERRED ||
		        strchr(row[i].states, 'o') == NULL)), "exact: %s",
		    row[i].states);
	}
}
END_TEST

static const char *const lists[] = { "bad.test", "dead.test",
	"grey.test codes=127.0.0.4", "v6.test v6", "good.test action=accept",
	"liar.test weight=9", "far.test", NULL };
static const char zone[] =
    "1.2.0.192.bad.test A 127.0.0.2\n"
    "1.2.0.192.bad.test TXT sent spam\n"
    "2.2.0.192.bad.test A 127.255.255.254\n"
    "3.2.0.192.bad.test A 127.0.0.2\n"
    "3.2.0.192.good.test A 127.0.0.9\n"
    "4.2.0.192.grey.test A 127.0.0.4\n"
    "5.2.0.192.grey.test A 127.0.0.5\n"
    "1.0.0.127.liar.test A 127.0.0.2\n"
    "6.2.0.192.liar.test A 127.0.0.2\n"
    "7.2.0.192.far.test A 198.51.100.1\n"
    "1.2.0.192.dead.test RCODE SERVFAIL\n";

static enum ph_verdict
at(enum ph_stage stage, const struct rbl_conf *conf)
{
	fake_check_next();
	fake_check.stage = stage;
	return check_rbl_LTX_ph_module.check->at[stage](fake_call, conf);
}

static enum ph_verdict
session(const char *client, const struct rbl_conf *conf)
{
	fake_check_session();
	fake_check_client(client);
	ck_assert_int_eq(at(PH_AT_CONNECT, conf), PH_NEXT);
	ck_assert_int_eq(at(PH_AT_MAIL, conf), PH_NEXT);
	return at(PH_AT_RCPT, conf);
}

static struct rbl_conf
usual(void)
{
	return (struct rbl_conf){ .lists = lists, .limits = { 0, 0, 1, false },
		.score = 2, .at = 2, .spare_postmaster = true,
		.explain = true, .timeout_ms = 1000, .cache_ms = 60000 };
}

START_TEST(refuses_whom_a_list_names)
{
	static const struct {
		const char *client;
		enum ph_verdict verdict;
	} row[] = {
		{ "192.0.2.1", PH_REJECT },
		{ "192.0.2.2", PH_NEXT }, /* the list does not serve us */
		{ "192.0.2.3", PH_NEXT }, /* an allow list overrules */
		{ "192.0.2.4", PH_REJECT },
		{ "192.0.2.5", PH_NEXT }, /* a code that was not asked for */
		{ "192.0.2.6", PH_NEXT }, /* a list that names everybody */
		{ "192.0.2.7", PH_NEXT }, /* a parked zone */
		{ "192.0.2.8", PH_NEXT },
	};
	struct rbl_conf conf = usual();

	fake_check_begin();
	fake_check.zone = zone;
	fake_check.recipient = "bob@example.test";
	for (unsigned round = 0; round < 2; round++) /* asked, then known */
		for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
			ck_assert_msg(session(row[i].client, &conf) ==
			    row[i].verdict, "%s", row[i].client);
	session("192.0.2.1", &conf);
	ck_assert_int_eq(fake_check.code, 550);
	ck_assert_str_eq(fake_check.text,
	    "192.0.2.1 is listed by bad.test: sent spam");
	fake_check_end();
}
END_TEST

START_TEST(an_outcome_is_known_until_its_time_is_over)
{
	struct rbl_conf conf = usual();
	unsigned asked;

	fake_check_begin();
	fake_check.zone = zone;
	session("192.0.2.4", &conf);
	asked = fake_check.asked;
	ck_assert_int_eq(session("192.0.2.4", &conf), PH_REJECT);
	ck_assert_uint_eq(fake_check.asked, asked);
	conf.limits.reject_at = 2; /* another configuration */
	ck_assert_int_eq(session("192.0.2.4", &conf), PH_NEXT);
	ck_assert_double_eq(fake_check.score, 2);
	ck_assert_uint_gt(fake_check.asked, asked);
	asked = fake_check.asked;
	fake_check.wall_s += 61;
	session("192.0.2.4", &conf);
	ck_assert_uint_gt(fake_check.asked, asked);
	fake_check_end();
}
END_TEST

START_TEST(a_dead_list_is_left_alone_and_keeps_nothing_from_being_decided)
{
	static const char *const dead[] = { "dead.test", "bad.test", NULL };
	struct rbl_conf conf = usual();
	unsigned asked;

	conf.lists = dead;
	conf.limits.reject_at = 2;
	fake_check_begin();
	fake_check.zone = zone;
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(session("192.0.2.1", &conf), PH_NEXT);
	ck_assert(!fake_check_kv_has("client"));
	ck_assert(fake_check_kv_has("dead dead.test"));
	asked = fake_check.asked;
	session("192.0.2.1", &conf);
	ck_assert_uint_eq(fake_check.asked, asked + 2); /* bad.test: twice */
	fake_check_end();
}
END_TEST

START_TEST(the_store_is_asked_once_whatever_the_number_of_lists)
{
	struct rbl_conf conf = usual();

	fake_check_begin();
	fake_check.zone = zone;
	session("192.0.2.8", &conf); /* the lists are tested */
	fake_check.kv_trips = fake_check.asked = 0;
	session("192.0.2.9", &conf);
	ck_assert_uint_eq(fake_check.kv_trips, 2); /* and the outcome kept */
	ck_assert_uint_eq(fake_check.asked, 5); /* v6.test, liar.test: not */
	session("192.0.2.9", &conf);
	ck_assert_uint_eq(fake_check.kv_trips, 3);
	ck_assert_uint_eq(fake_check.asked, 5);
	fake_check_end();
}
END_TEST

START_TEST(a_list_that_begins_to_name_everybody_is_noticed_at_once)
{
	static const char *const one[] = { "new.test", "new.test codes=127.0.0.9",
		NULL };
	struct rbl_conf conf = usual();

	conf.lists = one;
	fake_check_begin();
	fake_check.zone = "8.2.0.192.new.test A 127.0.0.2\n"
	    "2.0.0.127.new.test A 127.0.0.2\n";
	ck_assert_int_eq(session("192.0.2.8", &conf), PH_REJECT);
	fake_check.zone = "9.2.0.192.new.test A 127.0.0.2\n"
	    "1.0.0.127.new.test A 127.0.0.2\n";
	ck_assert_int_eq(session("192.0.2.9", &conf), PH_NEXT);
	fake_check.asked = 0;
	ck_assert_int_eq(session("192.0.2.10", &conf), PH_NEXT);
	ck_assert_uint_eq(fake_check.asked, 0);
	fake_check_end();
}
END_TEST

START_TEST(lists_of_ipv6_have_test_points_of_their_own)
{
	static const char *const six[] = { "six.test v6", NULL };
	struct rbl_conf conf = usual();
	struct ph_addr client;
	const char *name;

	conf.lists = six;
	fake_check_begin();
	ck_assert(ph_addr_parse(PH_LIT("2001:db8::9"), &client));
	name = ph_dns_reverse(fake_check.arena, &client, "six.test");
	fake_check.zone = ph_arena_printf(fake_check.arena,
	    "%s A 127.0.0.2\n", name);
	ck_assert_int_eq(session("2001:db8::9", &conf), PH_REJECT);
	fake_check_end();
	fake_check_begin();
	fake_check.zone = ph_arena_printf(fake_check.arena,
	    "%s A 127.0.0.2\n1.0.0.0.0.0.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0."
	    "0.0.0.0.0.0.0.0.six.test A 127.0.0.2\n",
	    ph_dns_reverse(fake_check.arena, &client, "six.test"));
	ck_assert_int_eq(session("2001:db8::9", &conf), PH_NEXT);
	fake_check_end();
}
END_TEST

START_TEST(works_without_a_store)
{
	struct rbl_conf conf = usual();

	fake_check_begin();
	fake_check.zone = zone;
	fake_check.kv_status = PH_UNAVAILABLE;
	ck_assert_int_eq(session("192.0.2.1", &conf), PH_REJECT);
	ck_assert_int_eq(session("192.0.2.6", &conf), PH_NEXT);
	ck_assert_int_eq(session("192.0.2.8", &conf), PH_NEXT);
	fake_check_end();
}
END_TEST

START_TEST(postmaster_is_spared_and_points_are_given_once)
{
	struct rbl_conf conf = usual();

	fake_check_begin();
	fake_check.zone = zone;
	fake_check.recipient = "Postmaster@example.test";
	ck_assert_int_eq(session("192.0.2.1", &conf), PH_NEXT);
	ck_assert_double_eq(fake_check.score, 2);
	ck_assert_int_eq(at(PH_AT_RCPT, &conf), PH_NEXT);
	ck_assert_double_eq(fake_check.score, 0);
	fake_check.recipient = "bob@example.test";
	ck_assert_int_eq(at(PH_AT_RCPT, &conf), PH_REJECT);
	conf.at = 0;
	fake_check_session();
	ck_assert_int_eq(at(PH_AT_CONNECT, &conf), PH_REJECT);
	ck_assert_int_eq(fake_check.code, 554);
	fake_check_session();
	fake_check_client("192.0.2.3");
	ck_assert_int_eq(at(PH_AT_CONNECT, &conf), PH_ACCEPT);
	fake_check_end();
}
END_TEST

START_TEST(users_and_sessions_it_never_saw_pass)
{
	struct rbl_conf conf = usual();

	fake_check_begin();
	fake_check.zone = zone;
	ck_assert_int_eq(at(PH_AT_RCPT, &conf), PH_NEXT);
	fake_check.service = "submission";
	ck_assert_int_eq(session("192.0.2.1", &conf), PH_NEXT);
	ck_assert_uint_eq(fake_check.asked, 0);
	fake_check_end();
}
END_TEST

int
main(void)
{
	TCase *tc = tcase_create("check_rbl");

	tcase_add_test(tc, reads_lists_and_says_what_is_wrong);
	tcase_add_test(tc, only_listed_codes_of_127_8_count);
	tcase_add_test(tc, weighs_and_knows_when_nothing_can_change);
	tcase_add_test(tc, refuses_whom_a_list_names);
	tcase_add_test(tc, an_outcome_is_known_until_its_time_is_over);
	tcase_add_test(tc,
	    a_dead_list_is_left_alone_and_keeps_nothing_from_being_decided);
	tcase_add_test(tc, the_store_is_asked_once_whatever_the_number_of_lists);
	tcase_add_test(tc,
	    a_list_that_begins_to_name_everybody_is_noticed_at_once);
	tcase_add_test(tc, lists_of_ipv6_have_test_points_of_their_own);
	tcase_add_test(tc, works_without_a_store);
	tcase_add_test(tc, postmaster_is_spared_and_points_are_given_once);
	tcase_add_test(tc, users_and_sessions_it_never_saw_pass);
	return fake_check_run(tc);
}
