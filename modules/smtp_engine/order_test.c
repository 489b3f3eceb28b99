/* SPDX-License-Identifier: Apache-2.0 */
/*
 * order_test.c - the table of commands walked: every verb in every state, what
 * is answered and where that leads; and how a command may be written.
 */
#include "engine_fixture.h"

#include <stdio.h>
#include <stdlib.h>

static void
setup(void)
{
	fake_reset();
	conf = (struct smtp_conf){
		FIXTURE_CONF,
		.auth = true,
		.allow_plain_auth = true,
	};
	fake.has_tls = true;
}

/* --- every verb in every state --- */

enum { COLUMNS = 8 };

/* Columns: greeted, ready, mail, rcpt, bdat, refused; ready after HELO, ready
 * after a login. */
static const char *const way_to[COLUMNS] = {
	"", "EHLO c.test\r\n", OPENING, TO_ALICE, TO_ALICE "BDAT 2\r\nA:", "",
	"HELO c.test\r\n", "EHLO c.test\r\nAUTH PLAIN Z29vZA==\r\n",
};

/* after: the state each leads to, as a letter of probes. */
static const struct {
	const char *line;
	int code[COLUMNS];
	const char *after;
} order[] = {
	{ "EHLO c.test", { 250, 250, 250, 250, 250, 503, 250, 250 }, "YYYYYXYY" },
	{ "HELO c.test", { 250, 250, 250, 250, 250, 503, 250, 250 }, "YYYYYXYY" },
	{ "STARTTLS", { 220, 220, 503, 503, 503, 503, 220, 503 }, "GGMRBXGY" },
	{ "AUTH PLAIN Z29vZA==", { 503, 235, 503, 503, 503, 503, 503, 503 },
	    "GYMRBXYY" },
	{ "AUTH PLAIN YmFk", { 503, 535, 503, 503, 503, 503, 503, 503 },
	    "GYMRBXYY" },
	{ "MAIL FROM:<x@out.test>", { 503, 250, 503, 503, 503, 503, 250, 250 },
	    "GMMRBXMM" },
	{ "MAIL FROM:<x", { 503, 501, 503, 503, 503, 503, 501, 501 },
	    "GYMRBXYY" },
	{ "RCPT TO:<bob@example.test>",
	    { 503, 503, 250, 250, 503, 503, 503, 503 }, "GYRRBXYY" },
	{ "RCPT TO:<eve@example.test>",
	    { 503, 503, 550, 550, 503, 503, 503, 503 }, "GYMRBXYY" },
	{ "DATA", { 503, 503, 554, 354, 503, 503, 503, 503 }, "GYMDBXYY" },
	{ "DATA x", { 503, 503, 501, 501, 503, 503, 503, 503 }, "GYMRBXYY" },
	{ "BDAT 0", { 503, 503, 554, 250, 250, 503, 503, 503 }, "GYMBBXYY" },
	{ "BDAT 0 LAST", { 503, 503, 554, 250, 250, 503, 503, 503 },
	    "GYMYYXYY" },
	{ "BDAT x", { 501, 501, 501, 501, 501, 503, 501, 501 }, "CCCCCXCC" },
	{ "RSET", { 250, 250, 250, 250, 250, 503, 250, 250 }, "GYYYYXYY" },
	{ "XCLIENT ADDR=192.0.2.8", { 550, 550, 503, 503, 503, 503, 550, 550 },
	    "GYMRBXYY" },
	{ "NOOP", { 250, 250, 250, 250, 250, 503, 250, 250 }, "GYMRBXYY" },
	{ "HELP", { 214, 214, 214, 214, 214, 503, 214, 214 }, "GYMRBXYY" },
	{ "VRFY alice", { 252, 252, 252, 252, 252, 503, 252, 252 }, "GYMRBXYY" },
	{ "EXPN all", { 502, 502, 502, 502, 502, 503, 502, 502 }, "GYMRBXYY" },
	{ "QUIT", { 221, 221, 221, 221, 221, 221, 221, 221 }, "CCCCCCCC" },
	{ "XYZZY", { 500, 500, 500, 500, 500, 503, 500, 500 }, "GYMRBXYY" },
	{ "GET / HTTP/1.1", { 0, 0, 0, 0, 0, 503, 0, 0 }, "CCCCCXCC" },
};

/* What the four commands are answered with tells the state they began in. */
static const char probe[] = "MAIL FROM:<>\r\nDATA\r\nBDAT 0 LAST\r\n"
    "EHLO c.test\r\n";
static const struct {
	char state;
	const char *codes;
} probes[] = {
	{ 'G', " 503 503 503 250" }, { 'Y', " 250 554 554 250" },
	{ 'M', " 503 554 554 250" }, { 'R', " 503 354" },
	{ 'B', " 503 503 250 250" }, { 'X', " 503 503 503 503" },
	{ 'D', "" }, { 'C', "" },
};

static const char *
probe_codes(char state)
{
	for (size_t i = 0; i < sizeof(probes) / sizeof(probes[0]); i++)
		if (probes[i].state == state)
			return probes[i].codes;
	ck_abort_msg("no state %c", state);
}

static void
walk_one(size_t v, size_t column)
{
	char want[128], code[8] = "";
	const char *codes;
	size_t before = 0;

	setup();
	if (column == 5)
		fake.outcome[PH_AT_CONNECT].verdict = PH_REJECT;
	for (const char *p = way_to[column]; *p != '\0'; p++)
		before += *p == '\n';
	fake_input(way_to[column]);
	fake_input(order[v].line);
	fake_input("\r\n");
	codes = talk(probe);
	if (order[v].code[column] != 0)
		snprintf(code, sizeof(code), " %d", order[v].code[column]);
	snprintf(want, sizeof(want), "%s%s", code,
	    probe_codes(order[v].after[column]));
	ck_assert_msg(strlen(codes) >= 3 + 4 * before &&
	        strcmp(codes + 3 + 4 * before, want) == 0,
	    "%s in state %zu: %s, want%s", order[v].line, column, codes, want);
}

START_TEST(every_verb_in_every_state)
{
	for (size_t v = 0; v < sizeof(order) / sizeof(order[0]); v++)
		for (size_t column = 0; column < COLUMNS; column++)
			walk_one(v, column);
}
END_TEST

START_TEST(the_walk_leaves_no_verb_out)
{
	for (const struct smtp_command *row = smtp_commands; row->verb != NULL;
	     row++) {
		bool walked = false;

		for (size_t v = 0; v < sizeof(order) / sizeof(order[0]); v++) {
			struct ph_slice rest = ph_slice_str(order[v].line);

			walked |= ph_slice_eq(ph_slice_cut(&rest, ' '),
			    ph_slice_str(row->verb));
		}
		ck_assert_msg(walked, "%s", row->verb);
	}
}
END_TEST

START_TEST(each_row_of_the_table_can_be_found)
{
	for (const struct smtp_command *row = smtp_commands; row->verb != NULL;
	     row++) {
		bool reached = false;
		const char *known;

		ck_assert_ptr_nonnull(row->act);
		ck_assert_ptr_nonnull(row->parse);
		for (int s = 0; s < SMTP_STATES; s++)
			reached |= smtp_command_find(ph_slice_str(row->verb),
			               (enum smtp_state)s, &known) == row;
		ck_assert_msg(reached, "%s", row->verb);
	}
	for (int s = 0; s < SMTP_STATES; s++)
		ck_assert_str_ne(smtp_state_name((enum smtp_state)s), "?");
}
END_TEST

/* --- how a command may be written --- */

START_TEST(blanks_around_words_are_passed)
{
	ck_assert_str_eq(talk(" ehlo   c.test  \r\n"
	                      "mail  from:  <x@out.test>  size=7 \t \r\n"
	                      "Rcpt   To: <alice@example.test>\t\r\n"
	                      "Bdat  2   last \r\n\r\n"
	                      "rset \r\nquit\t\r\n"),
	    "220 250 250 250 250 250 221");
	setup();
	ck_assert_str_eq(talk("EHLO c\r\nAUTH  PLAIN   Z29vZA== \r\n"),
	    "220 250 235");
}
END_TEST

START_TEST(arguments_that_must_or_may_not_be)
{
	static const struct {
		const char *line;
		int code;
	} row[] = {
		{ "EHLO", 501 }, { "EHLO ", 501 }, { "HELO", 501 },
		{ "EHLO a b", 501 }, { "MAIL", 501 }, { "MAIL FROM:", 501 },
		{ "RSET x", 501 }, { "QUIT x", 501 }, { "STARTTLS x", 501 },
		{ "VRFY", 501 }, { "VRFY x y", 252 }, { "EXPN", 502 },
		{ "HELP", 214 }, { "HELP x", 214 }, { "NOOP x y", 250 },
		{ "AUTH", 501 }, { "BDAT", 501 }, { "", 500 }, { " ", 500 },
		{ "MAIL<x@y>", 500 }, { "EHLOc", 500 },
	};
	char want[16];

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		setup();
		fake_input("EHLO c\r\n");
		fake_input(row[i].line);
		snprintf(want, sizeof(want), "220 250 %d", row[i].code);
		ck_assert_msg(strcmp(talk("\r\n"), want) == 0, "%s: %s",
		    row[i].line, fake_codes());
	}
}
END_TEST

START_TEST(a_broken_command_leaves_the_transaction_as_it_was)
{
	ck_assert_str_eq(talk(TO_ALICE "DATA x\r\nEHLO\r\nEHLO a b\r\nRSET x\r\n"
	                               "RCPT TO:<x>\r\nMAIL FROM:<>\r\n"
	                               "DATA\r\n" MESSAGE ".\r\n"),
	    "220 250 250 250 501 501 501 501 501 503 354 250");
	ck_assert_str_eq(fake_text(&fake.envelope),
	    "x@out.test|alice@example.test|");
}
END_TEST

START_TEST(a_refused_name_ends_the_transaction)
{
	static const char *const again[] = { "EHLO d\r\n", "HELO d\r\n" };
	static const char *const way[] = { OPENING, TO_ALICE,
		TO_ALICE "BDAT 2\r\nA:" };

	for (size_t i = 0; i < 6; i++) {
		setup();
		fake.refused_helo = PH_LIT("d");
		fake_input(way[i / 2]);
		fake_input(again[i % 2]);
		talk("RCPT TO:<bob@example.test>\r\nDATA\r\nBDAT 0 LAST\r\n"
		     "EHLO c\r\nDATA\r\nQUIT\r\n");
		ck_assert_msg(strstr(fake_codes(),
		    " 550 503 503 503 250 503 221") != NULL, "%s",
		    fake_codes());
		ck_assert_uint_eq(fake.aborted, 1);
	}
}
END_TEST

Suite *order_suite(void);

Suite *
order_suite(void)
{
	Suite *suite = suite_create("order");
	TCase *tc = tcase_create("order");

	tcase_add_checked_fixture(tc, setup, NULL);
	tcase_add_test(tc, every_verb_in_every_state);
	tcase_add_test(tc, the_walk_leaves_no_verb_out);
	tcase_add_test(tc, each_row_of_the_table_can_be_found);
	tcase_add_test(tc, blanks_around_words_are_passed);
	tcase_add_test(tc, arguments_that_must_or_may_not_be);
	tcase_add_test(tc, a_broken_command_leaves_the_transaction_as_it_was);
	tcase_add_test(tc, a_refused_name_ends_the_transaction);
	suite_add_tcase(suite, tc);
	return suite;
}
