/* SPDX-License-Identifier: Apache-2.0 */
/* check_sender_domain_test.c - domains over a fake DNS. */
#include <check.h>
#include <stdlib.h>

#include "action.h"
#include "fake_check.h"

extern const struct ph_module check_sender_domain_LTX_ph_module;

/* As in check_sender_domain.c. */
struct domain_conf {
	unsigned null_mx, unknown, unsure, points;
	const char *const *spare;
	struct ph_net_list exempt;
};

static const char *const spared[] = { "internal", NULL };
static const struct domain_conf usual = { ACTION_REJECT, ACTION_REJECT,
	ACTION_DEFER, 3, spared, { NULL, 0 } };
static const char zone[] = "mx.test MX 10 mail.mx.test\n"
    "a.test A 192.0.2.9\n"
    "aaaa.test AAAA 2001:db8::9\n"
    "under_score.test MX 10 mail_1.mx.test\n"
    "null.test MX 0 .\n"
    "odd.test MX 0 .\n"
    "odd.test MX 10 mail.mx.test\n"
    "number.test MX 10 192.0.2.1\n"
    "text.test TXT nothing else\n"
    "broken.test RCODE SERVFAIL\n";

static enum ph_verdict
mail_from(const char *sender, const struct domain_conf *conf)
{
	fake_check_session();
	fake_check.sender = sender;
	return check_sender_domain_LTX_ph_module.check->at[PH_AT_MAIL](
	    fake_call, conf);
}

START_TEST(mail_must_be_able_to_go_back)
{
	static const struct {
		const char *sender;
		int code;
		const char *enhanced;
	} row[] = {
		{ "", 0, NULL },
		{ "x@mx.test", 0, NULL },
		{ "x@a.test", 0, NULL },
		{ "x@aaaa.test", 0, NULL },
		{ "x@odd.test", 0, NULL },
		{ "x@under_score.test", 0, NULL },
		{ "x@internal", 0, NULL },
		{ "x@[192.0.2.1]", 0, NULL },
		{ "postmaster", 0, NULL },
		{ "x@Ours.test", 0, NULL },
		{ "x@null.test", 550, "5.7.27" },
		{ "x@none.test", 550, "5.1.8" },
		{ "x@text.test", 550, "5.1.8" },
		{ "x@number.test", 550, "5.1.8" },
		{ "x@broken.test", 450, "4.4.3" },
	};

	fake_check_begin();
	fake_check.zone = zone;
	fake_check.local_domain = "ours.test";
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		enum ph_verdict verdict = mail_from(row[i].sender, &usual);

		ck_assert_msg(verdict == (row[i].code == 0 ? PH_NEXT :
		    row[i].code == 450 ? PH_DEFER : PH_REJECT), "%s",
		    row[i].sender);
		ck_assert_int_eq(fake_check.code, row[i].code);
		ck_assert_pstr_eq(fake_check.enhanced, row[i].enhanced);
	}
	fake_check_end();
}
END_TEST

START_TEST(each_finding_has_its_own_action)
{
	struct domain_conf conf = usual;

	fake_check_begin();
	fake_check.zone = zone;
	conf.unknown = ACTION_SCORE;
	conf.null_mx = ACTION_OFF;
	conf.unsure = ACTION_OFF;
	ck_assert_int_eq(mail_from("x@none.test", &conf), PH_NEXT);
	ck_assert_double_eq(fake_check.score, 3);
	ck_assert_int_eq(mail_from("x@null.test", &conf), PH_NEXT);
	ck_assert_int_eq(mail_from("x@broken.test", &conf), PH_NEXT);
	ck_assert_double_eq(fake_check.score, 0);
	ck_assert_ptr_null(fake_check.text);
	fake_check.user = "alice@example.test";
	ck_assert_int_eq(mail_from("x@none.test", &usual), PH_NEXT);
	fake_check_end();
}
END_TEST

int
main(void)
{
	TCase *tc = tcase_create("check_sender_domain");

	tcase_add_test(tc, mail_must_be_able_to_go_back);
	tcase_add_test(tc, each_finding_has_its_own_action);
	return fake_check_run(tc);
}
