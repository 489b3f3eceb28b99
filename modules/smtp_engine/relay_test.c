/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay_test.c - the forms of an open relay: each is parsed and decided for a
 * stranger, for a client that may relay, and never reaches another host by the
 * back door of a local address.
 */
#include <check.h>

#include "args.h"
#include "fake_session.h"
#include "recipient.h"

enum want {
	DENY,   /* a stranger is refused with a 5xx; the trusted may send */
	NEVER,  /* refused for everyone */
	TAKE,   /* ours */
};

static const struct {
	const char *argument;
	enum want want;
} form[] = {
	{ "TO:<victim@elsewhere.test>", DENY },
	{ "TO:<VICTIM@ELSEWHERE.TEST>", DENY },
	{ "TO:<victim@elsewhere.test.>", DENY },
	{ "TO:<victim@sub.example.test>", DENY },
	{ "TO:<victim@example.test.elsewhere.test>", DENY },
	{ "TO:<victim@xexample.test>", DENY },
	{ "TO:<victim@test>", DENY },
	{ "TO:<victim%elsewhere.test@example.test>", NEVER },
	{ "TO:<alice%elsewhere.test@example.test>", NEVER },
	{ "TO:<victim%elsewhere.test%third.test@example.test>", NEVER },
	{ "TO:<\"victim%elsewhere.test\"@example.test>", NEVER },
	{ "TO:<victim%elsewhere.test@EXAMPLE.TEST.>", NEVER },
	{ "TO:<victim%elsewhere.test@>", NEVER },
	{ "TO:<victim%elsewhere.test>", NEVER },
	{ "TO:<elsewhere.test!victim>", NEVER },
	{ "TO:<elsewhere.test!victim@example.test>", NEVER },
	{ "TO:<\"elsewhere.test!victim\"@example.test>", NEVER },
	{ "TO:<example.test!elsewhere.test!victim@example.test>", NEVER },
	{ "TO:<example.test!victim@elsewhere.test>", DENY },
	{ "TO:<@example.test:victim@elsewhere.test>", DENY },
	{ "TO:<@example.test,@third.test:victim@elsewhere.test>", DENY },
	{ "TO:<@example.test:elsewhere.test!victim@example.test>", NEVER },
	{ "TO:<@elsewhere.test:alice@example.test>", TAKE },
	{ "TO:<@example.test:@elsewhere.test:victim@elsewhere.test>", NEVER },
	{ "TO:<\"victim@elsewhere.test\"@example.test>", NEVER },
	{ "TO:<\"victim@elsewhere.test\">", NEVER },
	{ "TO:\"victim@elsewhere.test\"", NEVER },
	{ "TO:victim@elsewhere.test", NEVER },
	{ "TO:<\"victim\\@elsewhere.test\"@example.test>", NEVER },
	{ "TO:<victim\\@elsewhere.test@example.test>", NEVER },
	{ "TO:<victim@elsewhere.test@example.test>", NEVER },
	{ "TO:<victim@example.test@elsewhere.test>", NEVER },
	{ "TO:<example.test:victim@elsewhere.test>", NEVER },
	{ "TO:<victim@[203.0.113.9]>", DENY },
	{ "TO:<victim@[IPv6:2001:db8::9]>", DENY },
	{ "TO:<victim@[127.0.0.1]>", NEVER },
	{ "TO:<victim@[0.0.0.0]>", NEVER },
	{ "TO:<victim@[IPv6:::1]>", NEVER },
	{ "TO:<victim@[IPv6:::ffff:127.0.0.1]>", NEVER },
	{ "TO:<victim@[198.51.100.1]>", NEVER },
	{ "TO:<victim%elsewhere.test@[198.51.100.1]>", NEVER },
	{ "TO:<victim@[elsewhere.test]>", NEVER },
	{ "TO:<victim@127.0.0.1>", DENY },
	{ "TO:<victim@localhost>", DENY },
	{ "TO:<victim@ex\xd0\xb0mple.test>", DENY }, /* Cyrillic a */
	{ "TO:<victim@example.test\xe3\x80\x82" "elsewhere.test>", DENY },
	{ "TO:<\"\"@elsewhere.test>", NEVER },
	{ "TO:<\"\"@example.test>", NEVER },
	{ "TO:<\" \"@example.test>", NEVER },
	{ "TO:<victim @example.test>", NEVER },
	{ "TO:<>", NEVER },
	{ "TO:<@>", NEVER },
	{ "TO:<@example.test>", NEVER },
	{ "TO:<postmaster@elsewhere.test>", DENY },
	{ "TO:<postmaster%elsewhere.test>", NEVER },
	{ "TO:<nobody@example.test>", NEVER },
	{ "TO:<alice@example.test>", TAKE },
	{ "TO:<alice@EXAMPLE.test.>", TAKE },
	{ "TO:<\"alice\"@example.test>", TAKE },
	{ "TO:<postmaster>", TAKE },
	{ "TO: <PostMaster>", TAKE },
	{ "TO:<postmaster@example.test>", TAKE },
};

static const struct smtp_reply *
decide(const char *argument, bool may_relay)
{
	struct smtp_rcpt_args args;
	const struct smtp_reply *wrong =
	    smtp_rcpt_parse(fake.arena, true, ph_slice_str(argument),
	        &args);
	struct smtp_rcpt_facts facts = { .path = &args.path,
		.may_relay = may_relay };

	if (wrong != NULL)
		return wrong;
	facts.is_own_literal = args.path.is_literal &&
	    smtp_literal_is_own(args.path.domain, &fake.local);
	facts.found = ph_recipient_lookup(NULL, args.path.address);
	return smtp_rcpt_decide(&facts);
}

START_TEST(open_relay_forms_are_denied)
{
	fake_reset();
	ck_assert_uint_ge(sizeof(form) / sizeof(form[0]), 40);
	for (size_t i = 0; i < sizeof(form) / sizeof(form[0]); i++) {
		const struct smtp_reply *stranger =
		    decide(form[i].argument, false);
		const struct smtp_reply *trusted =
		    decide(form[i].argument, true);

		ck_assert_msg((stranger == NULL) == (form[i].want == TAKE),
		    "stranger: %s", form[i].argument);
		ck_assert_msg(stranger == NULL ||
		        (stranger->code >= 500 && stranger->code < 600),
		    "code: %s", form[i].argument);
		ck_assert_msg((trusted != NULL) == (form[i].want == NEVER),
		    "trusted: %s", form[i].argument);
	}
}
END_TEST

START_TEST(what_could_not_be_told_is_temporary)
{
	fake_reset();
	ck_assert_int_eq(decide("TO:<unsure@example.test>", false)->code, 451);
	ck_assert_int_eq(
	    decide("TO:<unsure%x.test@example.test>", false)->code, 550);
}
END_TEST

Suite *relay_suite(void);
Suite *
relay_suite(void)
{
	Suite *suite = suite_create("relay");
	TCase *tc = tcase_create("relay");

	tcase_add_test(tc, open_relay_forms_are_denied);
	tcase_add_test(tc, what_could_not_be_told_is_temporary);
	suite_add_tcase(suite, tc);
	return suite;
}
