/* SPDX-License-Identifier: Apache-2.0 */
/*
 * imap_session_test.c - whole conversations. Each script is played at once and
 * octet by octet; the answers must be the same.
 */
#include <check.h>
#include <stdlib.h>

#include "fake_sdk.h"

#define GREETING \
	"* OK [CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID ENABLE IDLE " \
	"AUTH=PLAIN AUTH=LOGIN] mail.example.test ready\r\n"
#define LOGGED_IN "OK [CAPABILITY " IMAP_CAPABILITIES "] Logged in\r\n"
#define L "l LOGIN bob secret\r\n"
#define LS L "s SELECT INBOX\r\n"
#define FLAGS_(list, permanent) \
	"* FLAGS (" list ")\r\n* OK [PERMANENTFLAGS (" permanent \
	")] Flags that are kept\r\n"
#define SYSTEM "\\Answered \\Flagged \\Deleted \\Seen \\Draft"
#define SELECTED3 \
	FLAGS_(SYSTEM, SYSTEM " \\*") \
	"* 3 EXISTS\r\n* 3 RECENT\r\n* OK [UNSEEN 1] First unseen\r\n" \
	"* OK [UIDVALIDITY 7] UIDs valid\r\n* OK [UIDNEXT 4] Next UID\r\n" \
	"s OK [READ-WRITE] Selected\r\n"

struct talk {
	const char *name;
	const char *in;
	const char *out;    /* behind the greeting, and login and SELECT */
	const char *reason; /* NULL: disconnected */
};

static void
play(const struct talk *talk, const char *before, size_t piece)
{
	static const char *const bodies[] = { "one", "two", "three" };
	const char *script, *want;

	fake_begin();
	for (size_t i = 0; i < 3; i++)
		fake_deliver("INBOX", ph_slice_str(ph_arena_printf(fake.arena,
		    "Subject: %s\r\nFrom: a@b\r\n\r\n%s\r\n", bodies[i],
		    bodies[i])), 0);
	script = ph_arena_printf(fake.arena, "%s%s", before, talk->in);
	fake.script = script;
	fake.script_size = strlen(script);
	fake.piece = piece;
	fake_run();
	want = ph_arena_printf(fake.arena, GREETING "%s%s%s",
	    before[0] != '\0' ? "l " LOGGED_IN : "",
	    strcmp(before, LS) == 0 ? SELECTED3 : "", talk->out);
	ck_assert_msg(strcmp(fake.output.p, want) == 0,
	    "%s\n--- got\n%s\n--- want\n%s", talk->name, fake.output.p, want);
	ck_assert_str_eq(fake.reason, talk->reason != NULL ? talk->reason :
	                                                     "disconnected");
	fake_end();
}

static void
play_both(const struct talk *talk, const char *before)
{
	play(talk, before, SIZE_MAX);
	play(talk, before, 1);
}

static const struct talk before_login[] = {
	{ "basics", "a CAPABILITY\r\nb noop\r\nc ID NIL\r\nd LOGOUT\r\n",
	    "* CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID ENABLE IDLE AUTH=PLAIN "
	    "AUTH=LOGIN\r\na OK Done\r\nb OK Done\r\n* ID (\"name\" "
	    "\"posthouse\")\r\nc OK Done\r\n* BYE Logging out\r\nd OK Done\r\n",
	    "logout" },
	{ "no mailbox before login", "a SELECT INBOX\r\nb FETCH 1 FLAGS\r\n"
	                             "c STATUS INBOX (MESSAGES)\r\n",
	    "a BAD Unknown command, or log in first\r\n"
	    "b BAD Unknown command, or log in first\r\n"
	    "c BAD Unknown command, or log in first\r\n"
	    "* BYE Too many bad commands\r\n", "bad_commands" },
	{ "wrong password three times",
	    "a LOGIN bob x\r\nb LOGIN {3}\r\nbob {1+}\r\nx\r\n"
	    "c AUTHENTICATE PLAIN AHgAeA==\r\n",
	    "a NO [AUTHENTICATIONFAILED] Wrong user or password "
	    "(0123456789abc)\r\n+ OK\r\n"
	    "b NO [AUTHENTICATIONFAILED] Wrong user or password "
	    "(0123456789abc)\r\n"
	    "c NO [AUTHENTICATIONFAILED] Wrong user or password "
	    "(0123456789abc)\r\n* BYE Too many failed logins\r\n",
	    "login_failed" },
	{ "SASL with and without an initial response",
	    "a AUTHENTICATE PLAIN AGJvYgBzZWNyZXQ=\r\nb LOGOUT\r\n",
	    "a " LOGGED_IN "* BYE Logging out\r\nb OK Done\r\n", "logout" },
	{ "SASL in steps",
	    "a AUTHENTICATE PLAIN\r\nAGJvYgBzZWNyZXQ=\r\nb LOGOUT\r\n",
	    "+ \r\na " LOGGED_IN "* BYE Logging out\r\nb OK Done\r\n",
	    "logout" },
	{ "SASL given up", "a AUTHENTICATE PLAIN\r\n*\r\nb NOOP\r\n",
	    "+ \r\na BAD Malformed exchange\r\nb OK Done\r\n", NULL },
	{ "SASL unknown", "a AUTHENTICATE X-NO\r\n",
	    "a NO [CANNOT] Unknown mechanism\r\n", NULL },
	{ "literals over 4 KiB", "a LOGIN {4097}\r\n",
	    "* BYE Literal is too big\r\n", "too_big" },
	{ "CVE-2024-34055: a literal of any number", "a LOGIN "
	    "{99999999999999999999+}\r\n", "* BYE Literal is too big\r\n",
	    "too_big" },
	{ "a browser gets nothing", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "",
	    "http" },
	{ "no TLS to be had", "a STARTTLS\r\n", "a BAD TLS can't be started\r\n",
	    NULL },
	{ "junk", "\r\n+ x\r\n(\r\n", "* BAD Not a command\r\n"
	    "* BAD Not a command\r\n* BAD Not a command\r\n"
	    "* BYE Too many bad commands\r\n", "bad_commands" },
};

START_TEST(talks_before_login)
{
	play_both(&before_login[_i], "");
}
END_TEST

static const struct talk after_login[] = {
	{ "empty commands", "a NOOP\r\nb CHECK\r\nc NAMESPACE\r\n"
	    "d ENABLE CONDSTORE\r\ne ID (\"name\" NIL)\r\nf UNSELECT\r\n",
	    "a OK Done\r\nb BAD Select a mailbox first\r\n"
	    "* NAMESPACE ((\"\" \"/\")) NIL NIL\r\nc OK Done\r\n* ENABLED\r\n"
	    "d OK Done\r\n* ID (\"name\" \"posthouse\")\r\ne OK Done\r\n"
	    "f BAD Select a mailbox first\r\n", NULL },
	{ "wrong arguments", "a NOOP x\r\nb SELECT\r\nc SELECT &AC8-\r\n"
	    "d FETCH 1\r\ne STATUS INBOX ()\r\nf APPEND INBOX x\r\n",
	    "a BAD Wrong arguments\r\nb BAD Wrong arguments\r\n"
	    "c BAD Wrong arguments\r\nd BAD Select a mailbox first\r\n"
	    "e BAD Wrong arguments\r\nf BAD Wrong arguments\r\n", NULL },
	{ "mailboxes", "a CREATE Entw&APw-rfe/x/\r\nb CREATE Sent\r\n"
	    "c CREATE Sent\r\nd DELETE INBOX\r\ne DELETE no\r\n"
	    "f RENAME Sent Gone\r\ng SUBSCRIBE a/b\r\ni LIST \"\" *\r\n"
	    "j LSUB \"\" %\r\nk LIST \"\" \"\"\r\nm LIST Entw% \"*\"\r\n"
	    "n STATUS inbox (UIDNEXT MESSAGES)\r\no EXAMINE no\r\n",
	    "a OK Done\r\nb OK Done\r\nc NO [ALREADYEXISTS] It is there "
	    "already\r\nd NO [CANNOT] That can't be done with this mailbox\r\n"
	    "e NO [NONEXISTENT] No such mailbox\r\nf OK Done\r\ng OK Done\r\n"
	    "* LIST (\\HasNoChildren) \"/\" \"Entw&APw-rfe/x\"\r\n"
	    "* LIST (\\HasNoChildren) \"/\" \"Gone\"\r\n"
	    "* LIST (\\HasNoChildren) \"/\" \"INBOX\"\r\ni OK Done\r\n"
	    "* LSUB (\\Noselect) \"/\" \"a\"\r\nj OK Done\r\n"
	    "* LIST (\\Noselect) \"/\" \"\"\r\nk OK Done\r\nm BAD Wrong "
	    "arguments\r\n"
	    "* STATUS \"INBOX\" (MESSAGES 3 UIDNEXT 4)\r\nn OK Done\r\n"
	    "o NO [NONEXISTENT] No such mailbox\r\n", NULL },
	{ "APPEND", "a APPEND INBOX (\\Seen x) \" 1-Jan-1970 00:00:00 +0000\" "
	    "{5}\r\nabc\r\n\r\nb APPEND {5+}\r\ninbox {3+}\r\nxyz\r\n"
	    "c APPEND no {3+}\r\nxyz\r\nd APPEND no {3}\r\n"
	    "e APPEND INBOX {0}\r\nf APPEND INBOX {3+}\r\nxyz junk\r\n"
	    "g APPEND INBOX {999999999999}\r\n",
	    "+ OK\r\na OK [APPENDUID 7 4] Done\r\nb OK [APPENDUID 7 5] Done\r\n"
	    "c NO [TRYCREATE] No such mailbox\r\n"
	    "d NO [TRYCREATE] No such mailbox\r\n"
	    "e NO A message can't be empty\r\nf BAD Wrong arguments\r\n"
	    "g NO [TOOBIG] Message is too big\r\n", NULL },
	{ "a refused literal is not read as commands",
	    "a APPEND no {6+}\r\nx NOOPy\r\nb APPEND ( {6+}\r\nx NOOP\r\n"
	    "c NOOP\r\n",
	    "a NO [TRYCREATE] No such mailbox\r\nb BAD Wrong arguments\r\n"
	    "c OK Done\r\n", NULL },
	{ "a message of more literals", "a APPEND INBOX {1+}\r\nx {3+}\r\nabc"
	    "\r\nb NOOP\r\n", "a BAD Wrong arguments\r\nb OK Done\r\n",
	    NULL },
	{ "a command behind a message", "a APPEND INBOX {1+}\r\nxb APPEND x "
	    "{3+}\r\nabc\r\n", "", "protocol" },
	{ "IDLE without a mailbox", "a IDLE\r\ndone\r\nb IDLE\r\nNOOP\r\n",
	    "+ idling\r\na OK Done\r\n+ idling\r\nb BAD Expected DONE\r\n",
	    NULL },
	{ "logout", "a LOGOUT\r\nb NOOP\r\n",
	    "* BYE Logging out\r\na OK Done\r\n", "logout" },
};

START_TEST(talks_after_login)
{
	play_both(&after_login[_i], L);
}
END_TEST

#define F(n, uid, flags) \
	"* " n " FETCH (UID " uid " FLAGS (" flags "))\r\n"

static const struct talk selected[] = {
	{ "FETCH", "a FETCH 1:2 (UID FLAGS RFC822.SIZE)\r\n"
	    "b UID FETCH 3:* BODY.PEEK[TEXT]<0.2>\r\nc FETCH 2 BODY[TEXT]\r\n"
	    "d FETCH 4 FLAGS\r\ne UID FETCH 99 FLAGS\r\nf FETCH * UID\r\n",
	    "* 1 FETCH (UID 1 FLAGS (\\Recent) RFC822.SIZE 32)\r\n"
	    "* 2 FETCH (UID 2 FLAGS (\\Recent) RFC822.SIZE 32)\r\na OK Done\r\n"
	    "* 3 FETCH (BODY[TEXT]<0> {2}\r\nth UID 3)\r\nb OK Done\r\n"
	    "* 2 FETCH (FLAGS (\\Seen \\Recent) BODY[TEXT] {5}\r\ntwo\r\n)\r\n"
	    "c OK Done\r\nd BAD No message has that number\r\ne OK Done\r\n"
	    "* 3 FETCH (UID 3)\r\nf OK Done\r\n", NULL },
	{ "STORE", "a STORE 1 +FLAGS.SILENT (\\Seen)\r\n"
	    "b STORE 1:2 +FLAGS ($x)\r\nc UID STORE 2 -FLAGS $x\r\n"
	    "d STORE 1 FLAGS ()\r\ne STORE 1 FLAGS \\Bogus\r\n",
	    "a OK Done\r\n" FLAGS_(SYSTEM " $x", SYSTEM " $x \\*")
	    F("1", "1", "\\Seen \\Recent $x") F("2", "2", "\\Recent $x")
	    "b OK Done\r\n" F("2", "2", "\\Recent") "c OK Done\r\n"
	    F("1", "1", "\\Recent") "d OK Done\r\ne BAD Wrong arguments\r\n",
	    NULL },
	{ "COPY, MOVE, EXPUNGE", "a COPY 1:2 no\r\nb CREATE x\r\n"
	    "c COPY 1,3 x\r\nd UID MOVE 1 x\r\ne STORE 1:2 +FLAGS.SILENT "
	    "\\Deleted\r\nf UID EXPUNGE 2\r\ng EXPUNGE\r\nh UID EXPUNGE 7\r\n"
	    "i FETCH 1 FLAGS\r\n",
	    "a NO [TRYCREATE] No such mailbox\r\nb OK Done\r\n"
	    "c OK [COPYUID 8 1,3 1:2] Done\r\n* OK [COPYUID 8 1 3] Moved\r\n"
	    "* 1 EXPUNGE\r\n* 2 RECENT\r\nd OK Done\r\ne OK Done\r\n"
	    "* 1 EXPUNGE\r\n* 1 RECENT\r\nf OK Done\r\n* 1 EXPUNGE\r\n"
	    "* 0 RECENT\r\ng OK Done\r\nh OK Done\r\ni OK Done\r\n", NULL },
	{ "SEARCH", "a SEARCH SUBJECT two\r\nb UID SEARCH NOT 1\r\n"
	    "c SEARCH CHARSET latin1 ALL\r\nd SEARCH TEXT nothing\r\n"
	    "e SEARCH OR BODY ONE (BODY three UNSEEN)\r\n",
	    "* SEARCH 2\r\na OK Done\r\n* SEARCH 2 3\r\nb OK Done\r\n"
	    "c NO [BADCHARSET (US-ASCII UTF-8)] Unknown charset\r\n"
	    "* SEARCH\r\nd OK Done\r\n* SEARCH 1 3\r\ne OK Done\r\n", NULL },
	{ "others change the mailbox",
	    "!deliver x\r\n!flag 1\r\n!expunge 2\r\n"
	    "a FETCH 3 UID\r\nb NOOP\r\nc FETCH 3 UID\r\n",
	    "* 3 FETCH (UID 3)\r\n* 4 EXISTS\r\n* 4 RECENT\r\n"
	    F("1", "1", "\\Flagged \\Recent") "a OK Done\r\n"
	    "* 2 EXPUNGE\r\n* 3 RECENT\r\nb OK Done\r\n* 3 FETCH (UID 4)\r\n"
	    "c OK Done\r\n", NULL },
	{ "expunged but not yet told", "!expunge 2\r\na STORE 2 +FLAGS \\Seen"
	    "\r\nb FETCH 1:3 UID\r\nc SEARCH ALL\r\nd UID FETCH 1:* UID\r\n",
	    "a OK Done\r\n* 1 FETCH (UID 1)\r\n* 3 FETCH (UID 3)\r\n"
	    "b OK Done\r\n* SEARCH 1 3\r\nc OK Done\r\n* 1 FETCH (UID 1)\r\n"
	    "* 3 FETCH (UID 3)\r\n* 2 EXPUNGE\r\n* 2 RECENT\r\nd OK Done\r\n",
	    NULL },
	{ "IDLE tells at once", "a IDLE\r\n!deliver x\r\n!expunge 1\r\n"
	    "!flag 3\r\nDONE\r\nb NOOP\r\n",
	    "+ idling\r\n* 4 EXISTS\r\n* 4 RECENT\r\n* 1 EXPUNGE\r\n"
	    "* 3 RECENT\r\n" F("2", "3", "\\Flagged \\Recent")
	    "a OK Done\r\nb OK Done\r\n", NULL },
	{ "EXAMINE changes nothing", "a EXAMINE INBOX\r\nb FETCH 1 BODY[TEXT]"
	    "\r\nc STORE 1 FLAGS ()\r\nd EXPUNGE\r\ne MOVE 1 x\r\nf CLOSE\r\n",
	    "* FLAGS (" SYSTEM ")\r\n* OK [PERMANENTFLAGS ()] No change is kept"
	    "\r\n* 3 EXISTS\r\n* 3 RECENT\r\n* OK [UNSEEN 1] First unseen\r\n"
	    "* OK [UIDVALIDITY 7] UIDs valid\r\n* OK [UIDNEXT 4] Next UID\r\n"
	    "a OK [READ-ONLY] Selected\r\n"
	    "* 1 FETCH (BODY[TEXT] {5}\r\none\r\n)\r\nb OK Done\r\n"
	    "c NO [READ-ONLY] The mailbox is open for reading only\r\n"
	    "d NO [READ-ONLY] The mailbox is open for reading only\r\n"
	    "e NO [READ-ONLY] The mailbox is open for reading only\r\n"
	    "f OK Closed\r\n", NULL },
	{ "CLOSE expunges, UNSELECT does not",
	    "a STORE 1 +FLAGS.SILENT \\Deleted\r\nb UNSELECT\r\n"
	    "c STATUS INBOX (MESSAGES)\r\nd SELECT INBOX\r\ne CLOSE\r\n"
	    "f STATUS INBOX (MESSAGES)\r\n",
	    "a OK Done\r\nb OK Closed\r\n* STATUS \"INBOX\" (MESSAGES 3)\r\n"
	    "c OK Done\r\n" FLAGS_(SYSTEM, SYSTEM " \\*")
	    "* 3 EXISTS\r\n* 3 RECENT\r\n* OK [UNSEEN 1] First unseen\r\n"
	    "* OK [UIDVALIDITY 7] UIDs valid\r\n* OK [UIDNEXT 4] Next UID\r\n"
	    "d OK [READ-WRITE] Selected\r\ne OK Closed\r\n"
	    "* STATUS \"INBOX\" (MESSAGES 2)\r\nf OK Done\r\n", NULL },
	{ "the mailbox goes away", "!drop\r\na NOOP\r\nb NOOP\r\n",
	    "* BYE The selected mailbox was deleted\r\n", "mailbox_deleted" },
	{ "a failed SELECT ends the selection", "a SELECT no\r\nb CHECK\r\n",
	    "a NO [NONEXISTENT] No such mailbox\r\n"
	    "b BAD Select a mailbox first\r\n", NULL },
	{ "STORE on all and none", "a UID STORE 50:60 FLAGS \\Seen\r\n"
	    "b UID EXPUNGE 50\r\nc UID COPY 50 x\r\n",
	    "a OK No messages\r\nb OK Done\r\nc OK No messages\r\n", NULL },
	{ "header fields without opening the message",
	    "a FETCH 1 BODY.PEEK[HEADER.FIELDS (SUBJECT)]\r\n",
	    "* 1 FETCH (BODY[HEADER.FIELDS (SUBJECT)] {16}\r\nSubject: one\r\n"
	    "\r\n)\r\na OK Done\r\n", NULL },
};

START_TEST(talks_about_a_mailbox)
{
	play_both(&selected[_i], LS);
}
END_TEST

START_TEST(passwords_need_tls)
{
	fake_begin();
	fake.conf.allow_plain_auth = false;
	fake.has_tls = true;
	fake.script = "a LOGIN bob secret\r\nb AUTHENTICATE PLAIN\r\n"
	              "c STARTTLS\r\nd LOGOUT\r\n";
	fake.script_size = strlen(fake.script);
	/* CVE-2011-0411, CVE-2021-33515: "d LOGOUT" is never answered */
	fake_run();
	ck_assert_str_eq(fake.output.p,
	    "* OK [CAPABILITY IMAP4rev1 LITERAL+ SASL-IR ID ENABLE IDLE "
	    "STARTTLS LOGINDISABLED] mail.example.test ready\r\n"
	    "a NO [PRIVACYREQUIRED] Start TLS first\r\n"
	    "b NO [PRIVACYREQUIRED] Start TLS first\r\nc OK Begin TLS\r\n");
	fake_end();
}
END_TEST

START_TEST(refuses_nul_and_long_commands)
{
	static const char nul[] = L "a NO\0OP\r\nb NOOP\r\n";
	char *text;

	fake_begin();
	fake.script = nul;
	fake.script_size = sizeof(nul) - 1;
	fake_run();
	ck_assert_ptr_nonnull(strstr(fake.output.p,
	    "* BAD NUL in a command\r\nb OK Done\r\n"));
	fake_end();

	fake_begin();
	text = ph_arena_alloc(fake.arena, 200000);
	memset(text, 'x', 199999);
	memcpy(text, L, strlen(L));
	fake.script = text;
	fake.script_size = 199999;
	fake_run();
	ck_assert_ptr_nonnull(strstr(fake.output.p,
	    "* BYE Command is too long\r\n"));
	ck_assert_str_eq(fake.reason, "too_big");
	fake_end();
}
END_TEST

START_TEST(many_bad_commands_end_the_session)
{
	fake_begin();
	fake.conf.bad_commands = 2;
	fake.script = L "a X\r\nb NOOP\r\nc X\r\nd X\r\ne NOOP\r\n";
	fake.script_size = strlen(fake.script);
	fake_run();
	ck_assert_ptr_nonnull(strstr(fake.output.p, "b OK Done\r\nc BAD "
	    "Unknown command\r\nd BAD Unknown command\r\n* BYE Too many bad "
	    "commands\r\n"));
	ck_assert_ptr_null(strstr(fake.output.p, "e OK"));
	fake_end();
}
END_TEST

START_TEST(large_bodies_pass_whole)
{
	size_t n = 5 << 20;
	char *content;

	fake_begin();
	content = ph_arena_alloc(fake.arena, n);
	memset(content, 'x', n);
	memcpy(content, "Subject: y\r\n\r\n", 14);
	fake_deliver("INBOX", (struct ph_slice){ content, n }, 0);
	fake.script = LS "a FETCH 1 BODY.PEEK[]\r\n";
	fake.script_size = strlen(fake.script);
	fake_run();
	ck_assert_ptr_nonnull(memmem(fake.output.p, fake.output.n, content, n));
	ck_assert_ptr_nonnull(memmem(fake.output.p, fake.output.n,
	    "{5242880}\r\nSubject", 18));
	fake_end();
}
END_TEST

START_TEST(summaries_spare_the_content)
{
	fake_begin();
	fake_deliver("INBOX", PH_LIT("Subject: a\r\nDate: Mon, 23 Nov 2026 "
	                             "08:47:00 +0000\r\n\r\nb\r\n"), 0);
	fake.script = LS "a FETCH 1 (ENVELOPE BODYSTRUCTURE FLAGS "
	    "BODY.PEEK[HEADER.FIELDS (DATE)])\r\nb SEARCH OR SUBJECT a "
	    "SENTSINCE 1-Jan-2026\r\nc SEARCH SEEN BODY x\r\n";
	fake.script_size = strlen(fake.script);
	fake_run();
	ck_assert_uint_eq(fake.opened, 0);
	fake_end();
}
END_TEST

#define LOOP(t, fn, table) \
	tcase_add_loop_test(t, fn, 0, (int)(sizeof(table) / sizeof(table[0])))

int
main(void)
{
	Suite *suite = suite_create("imap_session");
	TCase *t = tcase_create("imap_session");
	SRunner *runner;
	int failed;

	LOOP(t, talks_before_login, before_login);
	LOOP(t, talks_after_login, after_login);
	LOOP(t, talks_about_a_mailbox, selected);
	tcase_add_test(t, passwords_need_tls);
	tcase_add_test(t, refuses_nul_and_long_commands);
	tcase_add_test(t, many_bad_commands_end_the_session);
	tcase_add_test(t, large_bodies_pass_whole);
	tcase_add_test(t, summaries_spare_the_content);
	suite_add_tcase(suite, t);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
