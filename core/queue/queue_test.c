/* SPDX-License-Identifier: Apache-2.0 */
/* queue_test.c - entries in memory, lanes, and what a report says. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <posthouse/mail.h>
#include <posthouse/mime.h>
#include <posthouse/transport.h>

#include "base/record.h"
#include "queue/attempt.h"
#include "queue/envelope.h"
#include "queue/notice.h"
#include "queue/select.h"
#include "role/generation.h"

static struct ph_arena *arena;
static struct generation *generation;
static struct notices notices;

static void
setup(void)
{
	static const char *const domains[] = { "example.test", NULL };
	static const char *const retry[] = { "5m", NULL };
	struct ph_arena *own = ph_arena_create(NULL);

	arena = ph_arena_create(NULL);
	generation = ph_arena_alloc(own, sizeof(*generation));
	generation->arena = own;
	generation->references = 1;
	generation->core.hostname = "mail.example.test";
	generation->core.domains = domains;
	generation->core.queue.retry = retry;
	generation->core.queue.bounce_limit_bytes = 48 << 10;
	ck_assert_int_eq(notices_parse(own, PH_LIT(""), &notices, NULL, NULL),
	    PH_OK);
	generation->notices = &notices;
	generation->core.queue.relay_concurrency = 10;
	generation->core.queue.destination_concurrency = 2;
	generation->core.queue.destination_start = 2;
	generation->core.mail.partitions = 8;
	generation->core.processes.mail = 2;
	generation_make_current(generation);
	queue.is_stopping = true; /* nothing is handed out here */
}

static void
teardown(void)
{
	while (queue.oldest != NULL) {
		queue.oldest->jobs = 0;
		entry_remove(queue.oldest);
	}
	generation_make_current(NULL);
	ph_arena_free(arena);
}

static struct queue_db_recipient
recipient(uint32_t number, const char *address, const char *user,
    const char *notify)
{
	const struct recipient_more more = { .notify = notify };
	struct queue_recipient memory = { .user = user, .more = &more };

	return (struct queue_db_recipient){ .number = number,
		.state = QUEUE_DB_WAITING,
		.address = ph_slice_str(address),
		.record = recipient_record(arena, &memory) };
}

static struct ph_slice
envelope(const char *sender)
{
	struct ph_buf buf;
	size_t mark;

	ph_buf_init(&buf, arena, 4096);
	record_put_str(&buf, ENV_SENDER, sender);
	record_put_str(&buf, ENV_SESSION, "0000000000001");
	record_put_u64(&buf, ENV_RECEIVED_AT, 1000);
	mark = record_begin(&buf, ENV_FACT);
	record_put_str(&buf, F_NAME, "envid");
	record_put_str(&buf, F_TEXT, "QQ314159");
	record_end(&buf, mark);
	return ph_buf_content(&buf);
}

static struct entry *
make(uint64_t id, const char *sender, const struct queue_db_recipient *list,
    size_t count)
{
	struct queue_db_message message = { .id = id, .body.fd = -1,
		.recipients = list, .recipient_count = count,
		.envelope = envelope(sender) };

	return entry_create(&message);
}

START_TEST(reads_back_what_it_wrote)
{
	struct queue_db_recipient list[] = {
		recipient(0, "bob@example.test", "bob@example.test", NULL),
		recipient(7, "x@far.test", NULL, "NEVER"),
	};
	struct entry *entry = make(5, "a@b.test", list, 2);
	struct queue_db_recipient again;
	char room[LANE_NAME_MAX];

	ck_assert_ptr_nonnull(entry);
	ck_assert_str_eq(entry->sender, "a@b.test");
	ck_assert_str_eq(entry->recipients[0].user, "bob@example.test");
	ck_assert_ptr_null(entry->recipients[1].user);
	ck_assert_str_eq(entry->recipients[1].more->notify, "NEVER");
	ck_assert_uint_eq(lane_count(), 0); /* none was needed yet */
	ck_assert_str_eq(lane_name(&entry->recipients[1], room), "far.test");
	for (unsigned i = 0; i < 2; i++)
		lane_join(&entry->recipients[i]);
	ck_assert(entry->recipients[0].lane->is_local);
	ck_assert_str_eq(entry->recipients[1].lane->name, "far.test");
	ck_assert_ptr_eq(lane_name(&entry->recipients[1], room),
	    entry->recipients[1].lane->name);
	recipient_say(&entry->recipients[1], 450, PH_LIT("4.2.1"),
	    PH_LIT("mx.far.test"), PH_LIT("come\r\nback"));
	again = recipient(7, "x@far.test", NULL, NULL);
	again.record = recipient_record(arena, &entry->recipients[1]);
	entry_free(entry);
	entry = make(6, "", &again, 1);
	ck_assert_int_eq(entry->recipients[0].said->reply->code, 450);
	ck_assert_str_eq(entry->recipients[0].said->reply->reason,
	    "come  back");
	entry_free(entry);
	ck_assert_uint_eq(lane_count(), 0);
}
END_TEST

START_TEST(keeps_what_was_said_once_for_all_who_were_told_so)
{
	struct queue_db_recipient list[] = {
		recipient(0, "x@far.test", NULL, NULL),
		recipient(1, "y@far.test", NULL, NULL),
		recipient(2, "z@near.test", NULL, NULL),
	};
	struct entry *entry = make(5, "a@b.test", list, 3);
	struct queue_recipient *r = entry->recipients;

	ck_assert_int_eq(r[0].said->reply->code, 0);
	ck_assert_ptr_null(r[0].said->reply->reason);
	for (size_t i = 0; i < 3; i++)
		recipient_say(&r[i], 450, PH_LIT("4.2.1"), PH_LIT("mx"),
		    PH_LIT("later"));
	ck_assert_ptr_eq(r[0].said, r[1].said);
	ck_assert_ptr_eq(r[0].said, r[2].said);
	recipient_say(&r[2], 450, PH_LIT("4.2.1"), PH_LIT("mx.near.test"),
	    PH_LIT("later"));
	ck_assert_ptr_ne(r[0].said, r[2].said);
	ck_assert_ptr_eq(r[0].said->reply, r[2].said->reply);
	ck_assert_str_eq(said_host(r[0].said), "mx");
	ck_assert_str_eq(said_host(r[2].said), "mx.near.test");
	recipient_say(&r[2], 450, PH_LIT("4.2.1"), (struct ph_slice){ NULL, 0 },
	    PH_LIT("later"));
	ck_assert_ptr_null(said_host(r[2].said));
	/* its own words may be said again, in part */
	recipient_say(&r[0], r[0].said->reply->code, PH_LIT("4.4.7"),
	    ph_slice_str(said_host(r[0].said)),
	    ph_slice_str(r[0].said->reply->reason));
	recipient_say(&r[1], 550, PH_LIT("5.1.1"), PH_LIT("mx"), PH_LIT("no"));
	ck_assert_str_eq(r[0].said->reply->reason, "later");
	ck_assert_str_eq(r[0].said->reply->enhanced, "4.4.7");
	ck_assert_str_eq(r[1].said->reply->reason, "no");
	entry_free(entry);
}
END_TEST

START_TEST(tells_apart_more_answers_than_it_finds_again)
{
	enum { ANSWERS = 70000, ROUND = 10000, LIST = 1000 };
	struct queue_db_recipient *list = ph_arena_array(arena, LIST,
	    sizeof(*list));
	struct entry *entries[ANSWERS / LIST];
	char text[40], *end;

	for (unsigned i = 0; i < LIST; i++)
		list[i] = recipient(i, "x@far.test", NULL, NULL);
	for (unsigned e = 0; e < ANSWERS / LIST; e++)
		entries[e] = make(5 + e, "a@b.test", list, LIST);
	for (unsigned i = 0; i < ANSWERS; i++) {
		end = text + snprintf(text, sizeof(text), "no, for %u",
		    i % ROUND + i / ROUND);
		recipient_say(&entries[i / LIST]->recipients[i % LIST], 550,
		    PH_LIT("5.7.1"), ph_slice_str(text),
		    (struct ph_slice){ text, (size_t)(end - text) });
	}
	for (unsigned i = 0; i < ANSWERS; i++) {
		const struct said *said =
		    entries[i / LIST]->recipients[i % LIST].said;

		snprintf(text, sizeof(text), "no, for %u",
		    i % ROUND + i / ROUND);
		ck_assert_str_eq(said->reply->reason, text);
		ck_assert_str_eq(said_host(said), text);
	}
	for (unsigned e = 0; e < ANSWERS / LIST; e++)
		entry_free(entries[e]);
}
END_TEST

START_TEST(says_why_it_came_held_after_the_sender)
{
	struct queue_db_recipient one = recipient(0, "x@far.test", NULL, NULL);
	struct queue_db_message message = { .id = 1, .recipients = &one,
		.recipient_count = 1, .body.fd = -1,
		.order = QUEUE_DB_HELD };
	struct entry *entry;
	struct ph_buf buf;

	ph_buf_init(&buf, arena, 4096);
	record_put_str(&buf, ENV_SENDER, "");
	message.envelope = ph_buf_content(&buf);
	entry = entry_create(&message);
	ck_assert_ptr_null(entry_quarantine(entry));
	entry_free(entry);
	record_put_str(&buf, ENV_QUARANTINE, "policy: score 5");
	message.envelope = ph_buf_content(&buf);
	entry = entry_create(&message);
	ck_assert_str_eq(entry->sender, "");
	ck_assert_str_eq(entry_quarantine(entry), "policy: score 5");
	ck_assert_str_eq(entry->recipients[0].address, "x@far.test");
	entry_free(entry);
}
END_TEST

START_TEST(takes_older_entries_after_newer_ones)
{
	struct queue_db_recipient one = recipient(0, "x@far.test", NULL, NULL);
	static const uint64_t ids[] = { 50, 40, 60, 30, 45, 10 };
	uint64_t last = 0;

	for (size_t i = 0; i < 6; i++)
		entry_add(make(ids[i], "a@b.test", &one, 1));
	for (struct entry *at = queue.oldest; at != NULL; at = at->next_all) {
		ck_assert_uint_gt(at->id, last);
		last = at->id;
	}
	ck_assert_uint_eq(last, 60);
	ck_assert_uint_eq(queue.count, 6);
}
END_TEST

START_TEST(refuses_a_damaged_envelope)
{
	struct queue_db_message message = { .id = 1,
		.envelope = PH_LIT("\1\0\377\377\377\377x") };

	ck_assert_ptr_null(entry_create(&message));
	message.envelope = PH_LIT("");
	ck_assert_ptr_null(entry_create(&message));
}
END_TEST

START_TEST(keeps_entries_by_id_until_their_jobs_end)
{
	struct queue_db_recipient one = recipient(0, "x@far.test", NULL, NULL);
	struct entry *second = make(20, "a@b.test", &one, 1);
	struct entry *first = make(10, "a@b.test", &one, 1);

	entry_add(second);
	entry_add(first);
	ck_assert_ptr_eq(queue.oldest, first);
	ck_assert_ptr_eq(queue.newest, second);
	ck_assert_ptr_eq(entry_find(20), second);
	entry_keep_content(second, PH_LIT(""), PH_LIT("content"));
	second->jobs = 1;
	entry_remove(second);
	ck_assert_ptr_null(entry_find(20));
	ck_assert_uint_eq(queue.count, 1);
	second->jobs = 0;
	entry_remove(second);
	ck_assert_uint_eq(queue.memory, 0);
	ck_assert_ptr_eq(queue.newest, first);
}
END_TEST

START_TEST(reports_to_who_wants_to_hear)
{
	static const struct {
		const char *sender, *notify;
		bool failed, delivered, delayed;
	} cases[] = {
		{ "a@b.test", NULL, true, false, false },
		{ "a@b.test", "NEVER", false, false, false },
		{ "a@b.test", "SUCCESS,FAILURE", true, true, false },
		{ "a@b.test", "success", false, true, false },
		{ "a@b.test", "DELAY", false, false, true },
		{ "", NULL, false, false, false },
		{ "", "SUCCESS,FAILURE,DELAY", false, false, false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct queue_db_recipient one = recipient(0, "x@far.test",
		    NULL, cases[i].notify);
		struct entry *entry = make(1, cases[i].sender, &one, 1);

		ck_assert(report_is_wanted(entry, &entry->recipients[0],
		    REPORT_FAILED) == cases[i].failed);
		ck_assert(report_is_wanted(entry, &entry->recipients[0],
		    REPORT_DELIVERED) == cases[i].delivered);
		ck_assert(report_is_wanted(entry, &entry->recipients[0],
		    REPORT_DELAYED) == cases[i].delayed);
		entry_free(entry);
	}
}
END_TEST

START_TEST(makes_a_report_that_parses)
{
	struct queue_db_recipient list[] = {
		recipient(0, "x@far.test", NULL, NULL),
		recipient(1, "y@far.test", NULL, NULL),
	};
	const bool concerned[] = { false, true };
	struct entry *entry = make(9, "a@b.test", list, 2), *made = NULL;
	struct report report = { .about = entry, .action = REPORT_FAILED,
		.concerned = concerned,
		.content = PH_LIT("Subject: lost\r\n\r\nbody\r\n"),
		.facts = envelope_facts(arena, envelope("a@b.test")) };
	struct queue_db_op *op = queue_db_op_create();
	const struct ph_mime_part *root;
	struct ph_slice text;

	entry->size_bytes = (uint32_t)report.content.n;
	recipient_say(&entry->recipients[1], 550, PH_LIT("5.1.1"),
	    PH_LIT("mx.far.test"), PH_LIT("no such user"));
	ck_assert_int_eq(report_make(&report, op, arena, &made), REPORT_MADE);
	text = (struct ph_slice){ made->kept->octets + made->kept->facts_n,
		made->kept->content_n };
	root = ph_mime_parse(arena, text);
	ck_assert(ph_slice_eq_nocase(root->subtype, PH_LIT("report")));
	ck_assert_uint_eq(root->child_count, 3);
	ck_assert(ph_slice_eq_nocase(root->children[1].subtype,
	    PH_LIT("delivery-status")));
	ck_assert(ph_slice_eq_nocase(root->children[2].subtype,
	    PH_LIT("rfc822")));
	ck_assert_ptr_nonnull(memmem(text.p, text.n,
	    "Final-Recipient: rfc822; y@far.test\r\nAction: failed\r\n"
	    "Status: 5.1.1\r\n", 68));
	ck_assert_ptr_null(memmem(text.p, text.n, "x@far.test", 10));
	ck_assert_ptr_nonnull(memmem(text.p, text.n,
	    "Original-Envelope-Id: QQ314159", 30));
	ck_assert_str_eq(made->sender, "");
	ck_assert_str_eq(made->recipients[0].address, "a@b.test");
	queue_db_op_free(op);
	entry_free(made);
	entry_free(entry);
}
END_TEST

static struct ph_slice
text_of(struct report *report, const char *facts)
{
	static bool concerned[] = { true, true };
	struct ph_slice rest = ph_slice_str(facts);
	struct ph_buf buf;

	ph_buf_init(&buf, arena, 4096);
	while (rest.p != NULL && rest.n > 0) {
		struct ph_slice fact = ph_slice_cut(&rest, ' ');
		struct ph_slice name = ph_slice_cut(&fact, '=');
		size_t mark = record_begin(&buf, F_FACT);

		record_put(&buf, F_NAME, name);
		record_put(&buf, F_TEXT, fact);
		record_end(&buf, mark);
	}
	report->facts = ph_buf_content(&buf);
	report->concerned = concerned;
	return report_text(report, arena);
}

static bool
has(struct ph_slice text, const char *words)
{
	return memmem(text.p, text.n, words, strlen(words)) != NULL;
}

START_TEST(reports_in_utf8_to_who_came_with_smtputf8)
{
	struct queue_db_recipient list[] = {
		recipient(0, "j\303\266rg@far.test", NULL, NULL),
	};
	struct entry *entry;
	struct report report = { .action = REPORT_FAILED,
		.content = PH_LIT("Subject: \303\266\r\n\r\nbody\r\n") };
	const struct recipient_more more = {
		.orcpt = "utf-8;\\x{FC}+2B@b.test" };
	struct queue_recipient memory = { .more = &more };
	struct ph_slice text;

	list[0].record = recipient_record(arena, &memory);
	entry = make(9, "\303\274@b.test", list, 1);
	report.about = entry;
	entry->size_bytes = (uint32_t)report.content.n;
	recipient_say(&entry->recipients[0], 550, PH_LIT("5.1.1"),
	    PH_LIT("mx"), PH_LIT("n\303\266"));
	text = text_of(&report, "smtputf8=1 envid=QQ+3Dx");
	ck_assert(has(text, "Content-Type: message/global-delivery-status"));
	ck_assert(has(text, "Content-Type: message/global\r\n"));
	ck_assert(has(text, "Final-Recipient: utf-8; j\303\266rg@far.test\r\n"));
	ck_assert(has(text, "Original-Recipient: utf-8; \303\274+2B@b.test"));
	ck_assert(has(text, "Original-Envelope-Id: QQ=x\r\n"));
	ck_assert(has(text, "550 5.1.1 n\303\266\r\n"));
	text = text_of(&report, "smtputf8=1 ret=HDRS");
	ck_assert(has(text, "Content-Type: message/global-headers\r\n"));
	text = text_of(&report, "");
	ck_assert(has(text, "Content-Type: message/delivery-status\r\n\r\n"));
	ck_assert(has(text, "Content-Type: message/rfc822\r\n"));
	ck_assert(has(text, "Final-Recipient: utf-8; j\\x{F6}rg@far.test\r\n"));
	ck_assert(has(text, "Original-Recipient: utf-8; \\x{FC}\\x{2B}2B@b"));
	ck_assert(has(text, "550 5.1.1 n??\r\n"));
	ck_assert(!has(text, "Future-Release-Request"));
	text = text_of(&report, "future_release=for;60");
	ck_assert(has(text, "\r\nFuture-Release-Request: for;60\r\n"));
	entry_free(entry);
}
END_TEST

START_TEST(names_only_what_has_a_name)
{
	static const struct {
		const char *host, *user, *remote; /* NULL: none */
		const char *diagnostic;
	} cases[] = {
		{ "mx.far.test", NULL, "Remote-MTA: dns; mx.far.test\r\n",
		    "Diagnostic-Code: smtp; 550 5.1.1 no\r\n" },
		{ "192.0.2.1", NULL, "Remote-MTA: dns; [192.0.2.1]\r\n",
		    "Diagnostic-Code: smtp; 550 5.1.1 no\r\n" },
		{ "2001:db8::1", NULL,
		    "Remote-MTA: dns; [IPv6:2001:db8::1]\r\n",
		    "Diagnostic-Code: smtp; 550 5.1.1 no\r\n" },
		{ "/usr/bin/tool", NULL, NULL,
		    "Diagnostic-Code: smtp; 550 5.1.1 no\r\n" },
		{ "mailbox", "x@example.test", NULL,
		    "Diagnostic-Code: X-Posthouse; no\r\n" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct queue_db_recipient one = recipient(0,
		    "o d@example.test", cases[i].user, NULL);
		struct entry *entry = make(9, "a b@b\303\274cher.test", &one,
		    1);
		struct report report = { .about = entry,
			.action = REPORT_FAILED, .content = PH_LIT("\r\n") };
		struct ph_slice text;

		recipient_say(&entry->recipients[0], 550, PH_LIT("5.1.1"),
		    ph_slice_str(cases[i].host), PH_LIT("no"));
		text = text_of(&report, "smtputf8=1");
		ck_assert(has(text, "To: <\"a b\"@xn--bcher-kva.test>\r\n"));
		ck_assert(has(text,
		    "Final-Recipient: rfc822; \"o d\"@example.test\r\n"));
		ck_assert_msg(has(text, "Remote-MTA") ==
		    (cases[i].remote != NULL), "%zu", i);
		ck_assert(cases[i].remote == NULL ||
		    has(text, cases[i].remote));
		ck_assert_msg(has(text, cases[i].diagnostic), "%zu", i);
		entry_free(entry);
	}
}
END_TEST

START_TEST(returns_as_much_as_was_asked_for_and_fits)
{
	static const struct {
		enum report_action action;
		const char *facts;
		uint64_t limit;
		bool whole;
	} cases[] = {
		{ REPORT_FAILED, "", 1000, true },
		{ REPORT_FAILED, "ret=FULL", 1000, true },
		{ REPORT_FAILED, "ret=FULL", 20, false },
		{ REPORT_FAILED, "ret=HDRS", 1000, false },
		{ REPORT_FAILED, "body=BINARYMIME", 1000, false },
		{ REPORT_DELAYED, "ret=FULL", 1000, false },
		{ REPORT_DELIVERED, "ret=FULL", 1000, false },
	};
	struct queue_db_recipient one = recipient(0, "x@far.test", NULL, NULL);
	struct entry *entry = make(9, "a@b.test", &one, 1);
	struct report report = { .about = entry,
		.content = PH_LIT("Subject: s\r\n\r\nthe body\r\n") };

	entry->size_bytes = (uint32_t)report.content.n;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ph_slice text;

		report.action = cases[i].action;
		generation->core.queue.bounce_limit_bytes = cases[i].limit;
		text = text_of(&report, cases[i].facts);
		ck_assert_msg(has(text, "the body") == cases[i].whole, "%zu",
		    i);
		ck_assert(has(text, "Subject: s\r\n"));
	}
	entry_free(entry);
}
END_TEST

START_TEST(says_what_became_of_a_delivery)
{
	static const struct {
		enum report_action action;
		uint8_t onward;
		const char *words;
	} cases[] = {
		{ REPORT_DELIVERED, PH_ONWARD_SILENT, "Action: relayed\r\n" },
		{ REPORT_DELIVERED, PH_ONWARD_END, "Action: delivered\r\n" },
		{ REPORT_EXPANDED, 0, "Action: expanded\r\n" },
	};
	struct queue_db_recipient one = recipient(0, "x@far.test", NULL,
	    "SUCCESS");
	struct entry *entry = make(9, "a@b.test", &one, 1);
	struct report report = { .about = entry, .content = PH_LIT("\r\n") };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		report.action = cases[i].action;
		report.onward = &cases[i].onward;
		ck_assert(has(text_of(&report, ""), cases[i].words));
	}
	entry_free(entry);
}
END_TEST

START_TEST(words_name_addresses_as_they_are_written)
{
	struct queue_db_recipient one = recipient(0, "a b@far.test", NULL,
	    NULL);
	struct entry *entry = make(9, "a@b.test", &one, 1);
	struct report report = { .about = entry, .action = REPORT_FAILED,
		.content = PH_LIT("\r\n") };

	ck_assert(has(text_of(&report, ""), "  <\"a b\"@far.test>"));
	entry_free(entry);
}
END_TEST

START_TEST(understands_selections)
{
	static const struct {
		const char *word;
		bool good, has; /* has: the entry below is meant */
	} cases[] = {
		{ "--sender=A@B.test", true, true },
		{ "--sender=A@B.test.", true, true },
		{ "--sender=<>", true, false },
		{ "--sender=<a@b.test>", true, true },
		{ "--recipient=q r@far.test", true, true },
		{ "--recipient=\"q r\"@FAR.test", true, true },
		{ "--recipient=<\"q\"@far.test>", true, false },
		{ "--recipient=x@far.test", true, true },
		{ "--domain=FAR.test", true, true },
		{ "--domain=near.test", true, false },
		{ "--state=waiting", true, true },
		{ "--state=held", true, false },
		{ "--state=odd", false, false },
		{ "--older=1h", true, false },
		{ "--older=soon", false, false },
		{ "--younger=1h", true, true },
		{ "--json", true, true }, { "--json=1", false, false },
		{ "--limit=x", false, false }, { "--nonsense", false, false },
		{ "all", true, true }, { "nonsense!", false, false },
	};
	struct queue_db_recipient two[] = {
		recipient(0, "x@far.test", NULL, NULL),
		recipient(1, "q r@far.test", NULL, NULL),
	};
	struct entry *entry = make(id_create(), "a@b.test", two, 2);
	int64_t now = ph_wall_time() * 1000;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct selection selection;
		char wrong[200] = "";
		struct ph_buf buf;

		ph_buf_init(&buf, arena, 1024);
		record_put_str(&buf, F_ARGUMENT, cases[i].word);
		ck_assert_msg(select_parse(ph_buf_content(&buf), false,
		    &selection, wrong) == cases[i].good, "%s",
		    cases[i].word);
		ck_assert(cases[i].good == (wrong[0] == '\0'));
		if (cases[i].good)
			ck_assert_msg(select_has(&selection, entry, now) ==
			    cases[i].has, "%s", cases[i].word);
	}
	entry_free(entry);
}
END_TEST

static bool
parse_words(const char *words, bool with_level, struct selection *selection)
{
	struct ph_slice rest = ph_slice_str(words);
	char wrong[200];
	struct ph_buf buf;

	ph_buf_init(&buf, arena, 8192);
	while (rest.p != NULL && rest.n > 0)
		record_put(&buf, F_ARGUMENT, ph_slice_cut(&rest, ' '));
	return select_parse(ph_buf_content(&buf), with_level, selection, wrong);
}

START_TEST(understands_ids_and_a_priority)
{
	static const char *const bad[] = { "", "all", "all x", "all 10",
		"all -10", "all --1", "all 1 2", "all 5x", "all -" };
	struct ph_buf many;
	struct selection s;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!parse_words(bad[i], true, &s), "%s", bad[i]);
	ck_assert(parse_words("0sapdkrm4amde -9", true, &s));
	ck_assert_int_eq(s.level, -9);
	ck_assert_uint_eq(s.id_count, 1);
	ck_assert(parse_words("0sapdkrm4amde 0sapdkrm4amdf +3", true, &s));
	ck_assert_int_eq(s.level, 3);
	ck_assert_uint_eq(s.id_count, 2);
	ck_assert_uint_eq(s.ids[1], s.ids[0] + 1);
	ck_assert(parse_words("--sender=a@b.test --limit=1 0", true, &s));
	ck_assert(s.is_filtered && s.level == 0 && s.limit == 1);
	ph_buf_init(&many, arena, 8192);
	for (size_t i = 0; i < SELECT_IDS_MAX; i++)
		ph_buf_str(&many, "0sapdkrm4amde ");
	ph_buf_char(&many, '\0');
	ck_assert(parse_words(many.p, false, &s));
	ck_assert_uint_eq(s.id_count, SELECT_IDS_MAX);
	many.n--;
	ph_buf_str(&many, "0sapdkrm4amde");
	ph_buf_char(&many, '\0');
	ck_assert(!parse_words(many.p, false, &s));
}
END_TEST

/* The words of a charset whose letters look like the inside of UTF-8. */
START_TEST(a_long_subject_in_any_charset_leaves_room)
{
	struct queue_db_recipient one = recipient(0, "x@far.test", NULL, NULL);
	struct entry *entry = make(9, "a@b.test", &one, 1);
	struct report report = { .about = entry, .action = REPORT_FAILED };
	char subject[880], *content = ph_arena_alloc(arena, 47 << 10);
	struct notices other;

	memset(subject, 0xb0, sizeof(subject));
	memset(content, 'x', 47 << 10);
	memcpy(content, "\r\n", 2);
	report.content = (struct ph_slice){ content, 47 << 10 };
	entry->size_bytes = (uint32_t)report.content.n;
	ck_assert_int_eq(notices_parse(arena, ph_slice_str(ph_arena_printf(
	    arena, "failure_template = <<END\nCharset: iso-8859-5\n"
	    "Subject: %.*s\n\nNo.\nEND\n", (int)sizeof(subject), subject)),
	    &other, NULL, NULL), PH_OK);
	generation->notices = &other;
	ck_assert(has(text_of(&report, ""), "xxx\r\n--=_"));
	entry_free(entry);
}
END_TEST

/* However many and long the addresses, each is named, and the report ends. */
START_TEST(makes_a_report_about_a_hundred_that_ends)
{
	static char content[40000];
	struct queue_db_recipient list[QUEUE_JOB_RCPTS];
	bool concerned[QUEUE_JOB_RCPTS];
	struct entry *entry, *made = NULL;
	struct report report = { .action = REPORT_FAILED,
		.concerned = concerned };
	struct queue_db_op *op = queue_db_op_create();
	struct ph_slice text;
	char last[QUEUE_RCPT_MAX + 1], said[400];

	memset(content, 'c', sizeof(content));
	memcpy(content, "Subject: x\r\n\r\n", 14);
	memset(last, 'a', sizeof(last));
	memset(said, 's', sizeof(said));
	last[QUEUE_RCPT_MAX] = '\0';
	memcpy(last + QUEUE_RCPT_MAX - 9, "@far.test", 9);
	for (unsigned i = 0; i < QUEUE_JOB_RCPTS; i++) {
		list[i] = recipient(i, ph_arena_strdup(arena, last), NULL,
		    NULL);
		snprintf((char *)(uintptr_t)list[i].address.p, 5, "%04u", i);
		*(char *)(uintptr_t)(list[i].address.p + 4) = 'x';
		concerned[i] = true;
	}
	report.about = entry = make(9, "a@b.test", list, QUEUE_JOB_RCPTS);
	report.content = (struct ph_slice){ content, sizeof(content) };
	entry->size_bytes = sizeof(content);
	for (size_t i = 0; i < QUEUE_JOB_RCPTS; i++)
		recipient_say(&entry->recipients[i], 550, PH_LIT("5.1.1"),
		    PH_LIT("mx.far.test"), (struct ph_slice){ said, 400 });
	ck_assert_int_eq(report_make(&report, op, arena, &made), REPORT_MADE);
	text = (struct ph_slice){ made->kept->octets + made->kept->facts_n,
		made->kept->content_n };
	ck_assert_uint_eq(ph_mime_parse(arena, text)->child_count, 3);
	ck_assert_ptr_nonnull(memmem(text.p, text.n, "; 0099x", 7));
	ck_assert_int_eq(memcmp(text.p + text.n - 4, "--\r\n", 4), 0);
	ck_assert_ptr_nonnull(memmem(text.p, text.n, "text/rfc822-headers", 19));
	queue_db_op_free(op);
	entry_free(made);
	entry_free(entry);
}
END_TEST

/* What a check process that is broken into may answer. */
START_TEST(makes_the_answer_of_a_check_harmless)
{
	static char longest[100000];
	const struct ph_slice names[] = { { longest, sizeof(longest) },
		PH_LIT("a\r\nb"), { NULL, 0 } };
	struct hook_answer answer;
	struct ph_buf buf;

	memset(longest, 'x', sizeof(longest));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		ph_buf_init(&buf, arena, 1 << 20);
		record_put_u64(&buf, F_VERDICT, PH_QUARANTINE);
		if (names[i].p != NULL) {
			record_put(&buf, F_MODULE, names[i]);
			record_put(&buf, F_TEXT, names[i]);
			record_put(&buf, F_ENHANCED, names[i]);
		}
		hooks_take_answer(ph_buf_content(&buf), &answer);
		ck_assert_int_eq(answer.verdict, PH_QUARANTINE);
		ck_assert(ph_slice_eq(answer.module, PH_LIT("check")));
		ck_assert(ph_slice_eq(answer.text,
		    PH_LIT("refused by policy")));
		ck_assert(ph_slice_eq(answer.enhanced, PH_LIT("4.7.1")));
	}
}
END_TEST

START_TEST(hands_a_user_to_a_process_that_runs)
{
	struct queue_db_recipient one = recipient(0, "bob@example.test",
	    "bob@example.test", NULL);
	struct entry *entry;

	/* A reload that asks for more processes does not start them. */
	bus_set_role_size(ROLE_MAIL, 2);
	generation->core.processes.mail = 8;
	entry = make(5, "a@b.test", &one, 1);
	lane_join(&entry->recipients[0]);
	ck_assert_uint_lt(entry->recipients[0].lane->shard, 2);
	entry_free(entry);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("queue");
	TCase *all = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(all, setup, teardown);
	tcase_add_test(all, reads_back_what_it_wrote);
	tcase_add_test(all, keeps_what_was_said_once_for_all_who_were_told_so);
	tcase_add_test(all, tells_apart_more_answers_than_it_finds_again);
	tcase_add_test(all, says_why_it_came_held_after_the_sender);
	tcase_add_test(all, takes_older_entries_after_newer_ones);
	tcase_add_test(all, refuses_a_damaged_envelope);
	tcase_add_test(all, keeps_entries_by_id_until_their_jobs_end);
	tcase_add_test(all, reports_to_who_wants_to_hear);
	tcase_add_test(all, makes_a_report_that_parses);
	tcase_add_test(all, reports_in_utf8_to_who_came_with_smtputf8);
	tcase_add_test(all, names_only_what_has_a_name);
	tcase_add_test(all, returns_as_much_as_was_asked_for_and_fits);
	tcase_add_test(all, says_what_became_of_a_delivery);
	tcase_add_test(all,
	    words_name_addresses_as_they_are_written);
	tcase_add_test(all, understands_selections);
	tcase_add_test(all, understands_ids_and_a_priority);
	tcase_add_test(all, a_long_subject_in_any_charset_leaves_room);
	tcase_add_test(all, makes_a_report_about_a_hundred_that_ends);
	tcase_add_test(all, makes_the_answer_of_a_check_harmless);
	tcase_add_test(all, hands_a_user_to_a_process_that_runs);
	suite_add_tcase(suite, all);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
