/* SPDX-License-Identifier: Apache-2.0 */
/* access_test.c - the lists, rules, their file, and the hooks over a fake call. */
#include <check.h>
#include <stdlib.h>

#include <posthouse/lines.h>

#include "access.h"
#include "fake_check.h"
#include "rule.h"

extern const struct ph_module check_access_LTX_ph_module;

/* As in check_access.c. */
struct access_conf {
	struct access_lists lists;
	const char *const *rules;
	const char *file;
};

static const char *const no_rules[] = { NULL };

/* The thread pool of these tests. */
void
ph_work(void (*fn)(void *), void *arg)
{
	fn(arg);
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

static enum ph_verdict
at(enum ph_stage stage, const struct access_conf *conf)
{
	fake_check_next();
	fake_check.stage = stage;
	return check_access_LTX_ph_module.check->at[stage](fake_call, conf);
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
	struct access_conf conf = { .lists = {
		.allow = list(0, "192.0.2.77", "2001:db8:1::/48"),
		.deny = list(4, "192.0.2.0/25", "2001:db8::/32") },
		.rules = no_rules, .file = "" };

	fake_check_begin();
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		fake_check_session();
		fake_check_client(row[i].addr);
		ck_assert_msg(at(PH_AT_CONNECT, &conf) == row[i].verdict,
		    "%s", row[i].addr);
		ck_assert_int_eq(fake_check.code,
		    row[i].verdict == PH_REJECT ? 554 : 0);
		ck_assert(at(PH_AT_RCPT, &conf) == (row[i].verdict ==
		    PH_ACCEPT ? PH_ACCEPT : PH_NEXT));
	}
	fake_check_end();
}
END_TEST

START_TEST(allow_wins_over_the_same_network)
{
	struct access_lists lists = {
		.allow = list(0, "192.0.2.0/24", NULL),
		.deny = list(4, "192.0.2.0/24", NULL),
	};
	const struct ph_net *found = NULL;
	struct ph_addr client;

	ck_assert(ph_addr_parse(PH_LIT("192.0.2.1"), &client));
	ck_assert_int_eq(access_look_up(&lists, &client, &found),
	    ACCESS_ALLOWED);
	ck_assert_ptr_eq(found, &lists.allow.net[0]);
}
END_TEST

START_TEST(empty_lists_and_unix_clients_say_nothing)
{
	struct access_lists lists = { .deny = list(4, "0.0.0.0/0", "::/0") };
	struct ph_addr client = { 0 };
	const struct ph_net *found;

	ck_assert_int_eq(access_look_up(&lists, &client, &found),
	    ACCESS_UNLISTED);
	lists.deny.count = 0;
	ck_assert(ph_addr_parse(PH_LIT("192.0.2.1"), &client));
	ck_assert_int_eq(access_look_up(&lists, &client, &found),
	    ACCESS_UNLISTED);
}
END_TEST

START_TEST(rules_are_read)
{
	static const struct {
		const char *line;
		enum rule_form form;
	} row[] = {
		{ "", RULE_EMPTY }, { "  # all of it", RULE_EMPTY },
		{ "allow client 192.0.2.1", RULE_GOOD },
		{ "\tdeny  client 2001:db8::/32 go away\r", RULE_GOOD },
		{ "defer helo .dyn.test", RULE_GOOD },
		{ "deny sender <>", RULE_GOOD },
		{ "deny recipient info@", RULE_GOOD },
		{ "deny", RULE_WRONG }, { "deny client", RULE_WRONG },
		{ "deny client 192.0.2.1/24", RULE_WRONG },
		{ "refuse client 192.0.2.1", RULE_WRONG },
		{ "deny network 192.0.2.1", RULE_WRONG },
		{ "deny sender example.test", RULE_WRONG },
		{ "deny sender @", RULE_WRONG },
		{ "deny recipient <>", RULE_WRONG },
		{ "Deny client 192.0.2.1", RULE_WRONG },
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct rule rule;

		ck_assert_msg(rule_parse(ph_slice_str(row[i].line), &rule) ==
		    row[i].form, "%s", row[i].line);
	}
}
END_TEST

START_TEST(patterns_fit)
{
	static const struct {
		const char *rule, *text;
		bool fits;
	} row[] = {
		{ "deny helo a.test", "A.Test.", true },
		{ "deny helo a.test", "b.a.test", false },
		{ "deny helo .a.test", "b.a.test", true },
		{ "deny helo .a.test", "a.test", true },
		{ "deny helo .a.test", "ba.test", false },
		{ "deny helo .a.test", "", false },
		{ "deny sender x@a.test", "X@A.test", true },
		{ "deny sender x@a.test", "y@a.test", false },
		{ "deny sender @a.test", "any@a.test", true },
		{ "deny sender @a.test", "any@b.a.test", false },
		{ "deny sender @.a.test", "any@b.a.test", true },
		{ "deny sender @.a.test", "any@a.test", true },
		{ "deny sender info@", "Info@any.test", true },
		{ "deny sender info@", "infos@any.test", false },
		{ "deny sender @a.test", "", false },
		{ "deny sender <>", "", true },
		{ "deny sender <>", "x@a.test", false },
	};

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct rule_question question = { .text =
			ph_slice_str(row[i].text) };
		struct rule rule;

		ck_assert_int_eq(rule_parse(ph_slice_str(row[i].rule), &rule),
		    RULE_GOOD);
		question.what = rule.what;
		ck_assert_msg(rule_fits(&rule, &question) == row[i].fits,
		    "%s: %s", row[i].rule, row[i].text);
		question.what = RULE_RECIPIENT;
		ck_assert(!rule_fits(&rule, &question));
	}
}
END_TEST

static const char *const rules[] = { "allow client 192.0.2.9",
	"deny client 192.0.2.0/28 not you", "allow sender friend@a.test",
	"defer sender @a.test", "deny recipient gone@", "deny helo evil.test",
	"deny host .dyn.test", NULL };

static void
start(const char *client, const char *helo)
{
	fake_check_session();
	fake_check_client(client);
	fake_check.helo = helo;
}

START_TEST(the_first_rule_decides_and_what_is_allowed_stays_so)
{
	const struct access_conf conf = { .rules = rules, .file = "" };

	fake_check_begin();
	fake_check.zone = "77.2.0.192.in-addr.arpa PTR p77.dyn.test\n"
	    "p77.dyn.test A 192.0.2.77\n"
	    "78.2.0.192.in-addr.arpa PTR p77.dyn.test\n";
	start("192.0.2.1", "x.test");
	ck_assert_int_eq(at(PH_AT_CONNECT, &conf), PH_REJECT);
	ck_assert_str_eq(fake_check.text, "not you");
	start("192.0.2.9", "evil.test");
	fake_check.sender = "x@a.test";
	ck_assert_int_eq(at(PH_AT_CONNECT, &conf), PH_ACCEPT);
	ck_assert_int_eq(at(PH_AT_HELO, &conf), PH_ACCEPT);
	ck_assert_int_eq(at(PH_AT_MAIL, &conf), PH_ACCEPT);
	start("192.0.2.99", "evil.test");
	ck_assert_int_eq(at(PH_AT_CONNECT, &conf), PH_NEXT);
	ck_assert_int_eq(at(PH_AT_HELO, &conf), PH_REJECT);
	fake_check.helo = "x.test";
	ck_assert_int_eq(at(PH_AT_HELO, &conf), PH_NEXT);
	ck_assert_int_eq(at(PH_AT_MAIL, &conf), PH_DEFER);
	fake_check.sender = "friend@a.test";
	fake_check.recipient = "gone@b.test";
	ck_assert_int_eq(at(PH_AT_MAIL, &conf), PH_ACCEPT);
	ck_assert_int_eq(at(PH_AT_RCPT, &conf), PH_ACCEPT);
	fake_check.sender = "x@b.test"; /* of the next message */
	ck_assert_int_eq(at(PH_AT_MAIL, &conf), PH_NEXT);
	ck_assert_int_eq(at(PH_AT_RCPT, &conf), PH_REJECT);
	start("192.0.2.77", "x.test");
	ck_assert_int_eq(at(PH_AT_HELO, &conf), PH_REJECT);
	start("192.0.2.78", "x.test"); /* it is not its name */
	ck_assert_int_eq(at(PH_AT_HELO, &conf), PH_NEXT);
	fake_check_end();
}
END_TEST

/* --- the file, as posthouse/lines.h has it --- */

static const char *const *file_lines; /* NULL: it can't be read */

int
ph_lines_read(struct ph_arena *arena, const char *path,
    const struct ph_lines **lines_out, struct ph_err *err)
{
	(void)arena;
	if (file_lines == NULL)
		return ph_err_set(err, PH_NOT_FOUND, 0, "%s: no", path);
	*lines_out = (const struct ph_lines *)(const void *)file_lines;
	return PH_OK;
}

size_t
ph_lines_count(const struct ph_lines *lines)
{
	size_t n = 0;

	(void)lines;
	while (file_lines[n] != NULL)
		n++;
	return n;
}

struct ph_slice
ph_lines_at(const struct ph_lines *lines, size_t i)
{
	(void)lines;
	return ph_slice_str(file_lines[i]);
}

START_TEST(the_file_comes_after_the_rules)
{
	static const char *const bad[] = { "nonsense",
		"deny sender @c.test no spam here", NULL };
	static const char *const good[] = { "deny sender friend@a.test",
		"allow sender @c.test", NULL };
	const struct access_conf conf = { .rules = rules, .file = "/rules" };

	fake_check_begin();
	start("198.51.100.1", "x.test");
	fake_check.sender = "x@c.test";
	file_lines = NULL;
	ck_assert_int_eq(at(PH_AT_MAIL, &conf), PH_NEXT);
	file_lines = bad;
	ck_assert_int_eq(at(PH_AT_MAIL, &conf), PH_REJECT);
	ck_assert_str_eq(fake_check.text, "no spam here");
	file_lines = good;
	ck_assert_int_eq(at(PH_AT_MAIL, &conf), PH_ACCEPT);
	fake_check.sender = "friend@a.test";
	ck_assert_int_eq(at(PH_AT_MAIL, &conf), PH_ACCEPT);
	fake_check_end();
}
END_TEST

int
main(void)
{
	TCase *tc = tcase_create("check_access");

	tcase_add_test(tc, the_narrowest_network_decides);
	tcase_add_test(tc, allow_wins_over_the_same_network);
	tcase_add_test(tc, empty_lists_and_unix_clients_say_nothing);
	tcase_add_test(tc, rules_are_read);
	tcase_add_test(tc, patterns_fit);
	tcase_add_test(tc,
	    the_first_rule_decides_and_what_is_allowed_stays_so);
	tcase_add_test(tc, the_file_comes_after_the_rules);
	return fake_check_run(tc);
}
