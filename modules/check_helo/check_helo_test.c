/* SPDX-License-Identifier: Apache-2.0 */
/* check_helo_test.c - names by their form, and by a fake DNS. */
#include <check.h>
#include <stdlib.h>

#include "action.h"
#include "fake_check.h"
#include "name.h"

extern const struct ph_module check_helo_LTX_ph_module;

/* As in check_helo.c. */
struct helo_conf {
	unsigned ourselves, unqualified, address, literal, unknown, mismatch;
	unsigned points;
	struct ph_net_list exempt;
};

static const struct helo_conf strict = { ACTION_REJECT, ACTION_REJECT,
	ACTION_REJECT, ACTION_REJECT, ACTION_REJECT, ACTION_REJECT, 1,
	{ NULL, 0 } };
static const char zone[] = "good.test A 192.0.2.1\n"
    "good.test AAAA 2001:db8::1\n"
    "other.test A 192.0.2.99\n"
    "mxonly.test MX 10 good.test\n"
    "half.test A 192.0.2.99\n"
    "text.test TXT nothing\n"
    "broken.test RCODE SERVFAIL\n";

START_TEST(tells_forms_apart)
{
	static const struct {
		const char *helo;
		enum helo_form form;
	} row[] = {
		{ "mail.remote.test", HELO_NAME },
		{ "mail.remote.test.", HELO_NAME },
		{ "Mail.Example.TEST", HELO_OURSELVES },
		{ "mail.example.test.", HELO_OURSELVES },
		{ "mail.example.test.evil", HELO_NAME },
		{ "localhost", HELO_UNQUALIFIED },
		{ "", HELO_UNQUALIFIED },
		{ ".", HELO_UNQUALIFIED },
		{ "192.0.2.1", HELO_BARE_ADDRESS },
		{ "2001:db8::1", HELO_BARE_ADDRESS },
		{ "[192.0.2.1]", HELO_LITERAL },
		{ "[192.0.2.2]", HELO_WRONG_LITERAL },
		{ "[192.0.2.25]", HELO_OURSELVES },
		{ "[IPv6:2001:db8::1]", HELO_WRONG_LITERAL },
		{ "[", HELO_WRONG_LITERAL },
	};
	struct helo_known known = { .hostname = "mail.example.test" };
	struct ph_addr client, local;

	ck_assert(ph_addr_parse(PH_LIT("192.0.2.1"), &client));
	ck_assert(ph_addr_parse(PH_LIT("192.0.2.25"), &local));
	known.client = &client;
	known.local = &local;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		ck_assert_msg(helo_form_of(ph_slice_str(row[i].helo), &known) ==
		    row[i].form, "%s", row[i].helo);
}
END_TEST

static enum ph_verdict
at(enum ph_stage stage, const struct helo_conf *conf)
{
	fake_check_next();
	return check_helo_LTX_ph_module.check->at[stage](fake_call, conf);
}

static enum ph_verdict
say(const char *helo, const struct helo_conf *conf)
{
	enum ph_verdict verdict;

	fake_check.helo = helo;
	verdict = at(PH_AT_HELO, conf);
	return verdict != PH_NEXT ? verdict : at(PH_AT_MAIL, conf);
}

START_TEST(names_are_looked_up)
{
	static const struct {
		const char *helo;
		enum ph_verdict verdict;
	} row[] = {
		{ "good.test", PH_NEXT },
		{ "other.test", PH_REJECT },
		{ "none.test", PH_REJECT },
		{ "text.test", PH_REJECT },
		{ "mxonly.test", PH_NEXT },
		{ "broken.test", PH_NEXT },
		{ "[192.0.2.1]", PH_NEXT },
		{ "mail.example.test", PH_REJECT },
	};

	fake_check_begin();
	fake_check.zone = zone;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		ck_assert_msg(say(row[i].helo, &strict) == row[i].verdict,
		    "%s", row[i].helo);
	fake_check_end();
}
END_TEST

START_TEST(what_was_found_holds_for_each_message_until_the_next_helo)
{
	struct helo_conf conf = strict;

	conf.unknown = ACTION_SCORE;
	conf.mismatch = ACTION_OFF;
	fake_check_begin();
	fake_check.zone = zone;
	ck_assert_int_eq(say("none.test", &conf), PH_NEXT);
	ck_assert_double_eq(fake_check.score, 1);
	ck_assert_str_eq(fake_check.text, "HELO none.test: no such name in DNS");
	ck_assert_int_eq(at(PH_AT_MAIL, &conf), PH_NEXT);
	ck_assert_double_eq(fake_check.score, 1);
	ck_assert_int_eq(say("other.test", &conf), PH_NEXT);
	ck_assert_double_eq(fake_check.score, 0);
	conf.unknown = ACTION_OFF;
	fake_check.asked = 0;
	ck_assert_int_eq(say("none.test", &conf), PH_NEXT);
	ck_assert_uint_eq(fake_check.asked, 0);
	fake_check.user = "alice@example.test";
	ck_assert_int_eq(say("localhost", &strict), PH_NEXT);
	fake_check_end();
}
END_TEST

int
main(void)
{
	TCase *tc = tcase_create("check_helo");

	tcase_add_test(tc, tells_forms_apart);
	tcase_add_test(tc, names_are_looked_up);
	tcase_add_test(tc,
	    what_was_found_holds_for_each_message_until_the_next_helo);
	return fake_check_run(tc);
}
