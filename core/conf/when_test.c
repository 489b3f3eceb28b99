/* SPDX-License-Identifier: Apache-2.0 */
/* when_test.c - whom conditions keep out, and what is not known yet. */
#include "conf/when.h"

#include <check.h>
#include <stdlib.h>

#include "base/record.h"

static const char *const none[] = { NULL };
static const char *const inbound[] = { "smtp_inbound", "other", NULL };
static const char *const domains[] = { "example.org", ".below.test", NULL };
static const char *const nobody[] = { "nobody.test", NULL };

static struct when
anybody(void)
{
	struct when_group group = { none, 0, { NULL, 0 }, none, none };

	return (struct when){ group, group };
}

static struct when_facts
stranger(void)
{
	static const struct ph_addr client = { 4, { 192, 0, 2, 1 } };

	return (struct when_facts){ .listener = "smtp_inbound",
		.client = &client };
}

/* Both as they are, and as they come from the bus. */
static bool
holds(const struct when *when, const struct when_facts *facts)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	bool answer = when_holds(when, facts);
	struct when copy;
	struct ph_buf buf;

	ph_buf_init(&buf, arena, 1 << 16);
	when_encode(when, &buf);
	when_decode(arena, ph_buf_content(&buf), &copy);
	ck_assert_int_eq(when_is_set(&copy), when_is_set(when));
	ck_assert_int_eq(when_holds(&copy, facts), answer);
	ph_arena_free(arena);
	return answer;
}

START_TEST(nothing_said_concerns_everybody)
{
	struct when when = anybody(), unset = { 0 };
	struct when_facts facts = stranger();

	ck_assert(!when_is_set(&when));
	ck_assert(!when_is_set(&unset));
	ck_assert(holds(&when, &facts));
}
END_TEST

START_TEST(all_of_when_and_nothing_of_unless_must_hold)
{
	struct ph_net net = { { 4, { 192, 0, 2, 0 } }, 24 };
	struct when_facts facts = stranger();
	struct when when = anybody();

	when.when.listeners = inbound;
	when.when.clients = (struct ph_net_list){ &net, 1 };
	when.when.authenticated = 1; /* no */
	ck_assert(when_is_set(&when));
	ck_assert(holds(&when, &facts));
	facts.is_authenticated = true;
	ck_assert(!holds(&when, &facts));
	facts.is_authenticated = false;
	facts.listener = "smtp_submission";
	ck_assert(!holds(&when, &facts));
	facts.listener = "other";
	ck_assert(holds(&when, &facts));
	when.unless.authenticated = 2; /* yes */
	ck_assert(holds(&when, &facts));
	when.unless.clients = when.when.clients;
	ck_assert(!holds(&when, &facts));
}
END_TEST

START_TEST(what_is_not_known_keeps_nobody_out)
{
	struct when_facts facts = stranger();
	struct when when = anybody();

	when.when.sender_domains = nobody;
	when.unless.recipient_domains = domains;
	ck_assert(holds(&when, &facts));
	facts.sender = PH_LIT("x@example.org");
	ck_assert(!holds(&when, &facts));
	facts.sender = PH_LIT(""); /* the null sender has no domain */
	ck_assert(!holds(&when, &facts));
	facts.sender = PH_LIT("x@NOBODY.test");
	ck_assert(holds(&when, &facts));
}
END_TEST

START_TEST(one_recipient_who_is_concerned_is_enough)
{
	static const struct {
		struct ph_slice to[2];
		size_t count;
		bool when, unless;
	} row[] = {
		{ { PH_LIT("a@example.org") }, 1, true, false },
		{ { PH_LIT("a@Example.ORG") }, 1, true, false },
		{ { PH_LIT("a@x.below.test") }, 1, true, false },
		{ { PH_LIT("a@below.test") }, 1, false, true },
		{ { PH_LIT("a@xexample.org") }, 1, false, true },
		{ { PH_LIT("a@x.example.org") }, 1, false, true },
		{ { PH_LIT("postmaster") }, 1, false, true },
		{ { PH_LIT("a@example.org"), PH_LIT("b@far.test") }, 2, true,
		    true },
		{ { PH_LIT("b@far.test"), PH_LIT("a@example.org") }, 2, true,
		    true },
		{ { PH_LIT("b@x.below.test"), PH_LIT("a@example.org") }, 2,
		    true, false },
	};
	struct when when = anybody(), unless = anybody();

	when.when.recipient_domains = domains;
	unless.unless.recipient_domains = domains;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct when_facts facts = stranger();

		facts.recipients = row[i].to;
		facts.recipient_count = row[i].count;
		ck_assert_msg(holds(&when, &facts) == row[i].when,
		    "when %zu", i);
		ck_assert_msg(holds(&unless, &facts) == row[i].unless,
		    "unless %zu", i);
	}
}
END_TEST

START_TEST(a_damaged_record_says_nothing)
{
	static const char junk[] = "\1\0\377\377\377\377junk";
	struct ph_arena *arena = ph_arena_create(NULL);
	struct when when;

	when_decode(arena, (struct ph_slice){ junk, sizeof(junk) }, &when);
	ck_assert(!when_is_set(&when));
	when_decode(arena, (struct ph_slice){ NULL, 0 }, &when);
	ck_assert(!when_is_set(&when));
	ph_arena_free(arena);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("when");
	TCase *tcase = tcase_create("when");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tcase, nothing_said_concerns_everybody);
	tcase_add_test(tcase, all_of_when_and_nothing_of_unless_must_hold);
	tcase_add_test(tcase, what_is_not_known_keeps_nobody_out);
	tcase_add_test(tcase, one_recipient_who_is_concerned_is_enough);
	tcase_add_test(tcase, a_damaged_record_says_nothing);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
