/* SPDX-License-Identifier: Apache-2.0 */
/* check_ptr_mx_test.c - names that agree, and sessions over a fake DNS. */
#include <check.h>
#include <stdlib.h>

#include "action.h"
#include "agree.h"
#include "fake_check.h"

extern const struct ph_module check_ptr_mx_LTX_ph_module;

/* As in check_ptr_mx.c. */
struct ptr_conf {
	unsigned missing, unconfirmed, mx, points;
	bool with_domain;
	struct ph_net_list exempt;
};

START_TEST(names_below_a_domain)
{
	static const struct {
		const char *name, *domain;
		bool is_below;
	} row[] = {
		{ "a.test", "a.test", true },
		{ "Mail.A.Test.", "a.test", true },
		{ "mail.a.test", "a.test.", true },
		{ "bada.test", "a.test", false },
		{ "a.test.evil", "a.test", false },
		{ "test", "a.test", false },
		{ "a.test", "", false },
		{ "", "a.test", false },
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		ck_assert_msg(is_below(ph_slice_str(row[i].name),
		    ph_slice_str(row[i].domain)) == row[i].is_below, "%s %s",
		    row[i].name, row[i].domain);
}
END_TEST

static const char zone[] =
    "1.2.0.192.in-addr.arpa PTR mx.good.test\n"
    "mx.good.test A 192.0.2.1\n"
    "good.test MX 10 MX.good.test.\n"
    "2.2.0.192.in-addr.arpa PTR forged.good.test\n"
    "forged.good.test A 192.0.2.99\n"
    "3.2.0.192.in-addr.arpa PTR out.host.test\n"
    "out.host.test A 192.0.2.3\n"
    "hosted.test MX 10 out.host.test\n"
    "out.host.test TXT x\n"
    "4.2.0.192.in-addr.arpa RCODE SERVFAIL\n"
    "5.2.0.192.in-addr.arpa PTR broken.test\n"
    "broken.test RCODE SERVFAIL\n"
    "null.test MX 0 .\n";

static enum ph_verdict
at(enum ph_stage stage, const struct ptr_conf *conf)
{
	fake_check_next();
	return check_ptr_mx_LTX_ph_module.check->at[stage](fake_call, conf);
}

static enum ph_verdict
talk(const char *client, const char *helo, const char *sender,
    const struct ptr_conf *conf)
{
	fake_check_session();
	fake_check_client(client);
	fake_check.helo = helo;
	fake_check.sender = sender;
	ck_assert_int_eq(at(PH_AT_CONNECT, conf), PH_NEXT);
	ck_assert_int_eq(at(PH_AT_HELO, conf), PH_NEXT);
	ck_assert_int_eq(at(PH_AT_MAIL, conf), PH_NEXT);
	return at(PH_AT_RCPT, conf);
}

START_TEST(each_finding_scores)
{
	static const struct {
		const char *client, *helo, *sender;
		double score;
	} row[] = {
		{ "192.0.2.1", "mx.good.test", "x@good.test", 0 },
		{ "192.0.2.1", "other.test", "x@good.test", 0 },
		{ "192.0.2.1", "other.test", "x@hosted.test", 1 },
		{ "192.0.2.1", "[192.0.2.1]", "", 0 },
		{ "192.0.2.2", "x.test", "x@good.test", 1 },
		{ "192.0.2.2", "forged.good.test", "x@hosted.test", 2 },
		{ "192.0.2.3", "out.host.test", "x@hosted.test", 0 },
		{ "192.0.2.3", "out.host.test", "x@out.host.test", 0 },
		{ "192.0.2.3", "out.host.test", "x@null.test", 1 },
		{ "192.0.2.3", "out.host.test", "x@broken.test", 0 },
		{ "192.0.2.4", "x.test", "x@good.test", 0 },
		{ "192.0.2.5", "x.test", "x@broken.test", 0 },
		{ "192.0.2.9", "x.test", "x@good.test", 1 },
		{ "2001:db8::1", "x.test", "x@good.test", 1 },
	};
	const struct ptr_conf conf = { ACTION_SCORE, ACTION_SCORE,
		ACTION_SCORE, 1, true, { NULL, 0 } };

	fake_check_begin();
	fake_check.zone = zone;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		ck_assert_int_eq(talk(row[i].client, row[i].helo,
		    row[i].sender, &conf), PH_NEXT);
		ck_assert_msg(fake_check.score == row[i].score, "%s %s: %s",
		    row[i].client, row[i].sender, fake_check.text);
		ck_assert_int_eq(at(PH_AT_RCPT, &conf), PH_NEXT);
		ck_assert_double_eq(fake_check.score, 0);
	}
	fake_check_end();
}
END_TEST

START_TEST(strict_agreement_is_one_word_away)
{
	const struct ptr_conf conf = { ACTION_DEFER, ACTION_OFF,
		ACTION_REJECT, 1, false, { NULL, 0 } };

	fake_check_begin();
	fake_check.zone = zone;
	ck_assert_int_eq(talk("192.0.2.1", "x.test", "x@hosted.test", &conf),
	    PH_REJECT);
	ck_assert_str_eq(fake_check.enhanced, "5.7.25");
	ck_assert_str_eq(fake_check.text,
	    "mx.good.test (192.0.2.1) is no MX host of hosted.test");
	ck_assert_int_eq(at(PH_AT_RCPT, &conf), PH_REJECT);
	fake_check.sender = "x@good.test"; /* the next message is another */
	ck_assert_int_eq(at(PH_AT_MAIL, &conf), PH_NEXT);
	ck_assert_int_eq(at(PH_AT_RCPT, &conf), PH_NEXT);
	ck_assert_int_eq(talk("192.0.2.2", "x.test", "x@good.test", &conf),
	    PH_REJECT);
	ck_assert_int_eq(talk("192.0.2.9", "x.test", "x@good.test", &conf),
	    PH_DEFER);
	fake_check_end();
}
END_TEST

START_TEST(users_and_sessions_it_never_saw_pass)
{
	const struct ptr_conf conf = { ACTION_REJECT, ACTION_REJECT,
		ACTION_REJECT, 1, true, { NULL, 0 } };

	fake_check_begin();
	fake_check.sender = "x@good.test";
	ck_assert_int_eq(at(PH_AT_HELO, &conf), PH_NEXT);
	ck_assert_int_eq(at(PH_AT_MAIL, &conf), PH_NEXT);
	ck_assert_int_eq(at(PH_AT_RCPT, &conf), PH_NEXT);
	fake_check.service = "submission";
	ck_assert_int_eq(talk("192.0.2.9", "x.test", "x@good.test", &conf),
	    PH_NEXT);
	ck_assert_uint_eq(fake_check.asked, 0);
	fake_check_end();
}
END_TEST

int
main(void)
{
	TCase *tc = tcase_create("check_ptr_mx");

	tcase_add_test(tc, names_below_a_domain);
	tcase_add_test(tc, each_finding_scores);
	tcase_add_test(tc, strict_agreement_is_one_word_away);
	tcase_add_test(tc, users_and_sessions_it_never_saw_pass);
	return fake_check_run(tc);
}
