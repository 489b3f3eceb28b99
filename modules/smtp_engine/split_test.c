/* SPDX-License-Identifier: Apache-2.0 */
/*
 * split_test.c - the property that how the network cuts a session makes no
 * difference: 10,000 sessions, put together at random from good and bad
 * commands and content, are each run whole and in random pieces, and every
 * reply and every message must be the same. A failure names its seed.
 */
#include <check.h>

#include "conversation.h"
#include "fake_session.h"

enum { SESSIONS = 10000 };

static uint32_t seed;

/* xorshift32: the same sessions everywhere. */
static uint32_t
draw(uint32_t below)
{
	seed ^= seed << 13;
	seed ^= seed >> 17;
	seed ^= seed << 5;
	return seed % below;
}

/* With a length: some hold NUL. */
#define PIECE(s) { s, sizeof(s) - 1 }
static const struct ph_slice command[] = {
	PIECE("EHLO c.test\r\n"), PIECE("HELO c.test\r\n"),
	PIECE("EHLO d.test\r\n"), PIECE("DATA x\r\n"), PIECE("VRFY\t\r\n"),
	PIECE("MAIL FROM:<x@out.test> BODY=8BITMIME RET=HDRS\r\n"),
	PIECE("MAIL FROM:<alice@example.test> SIZE=77\r\n"),
	PIECE("RCPT TO:<alice@example.test> NOTIFY=NEVER\r\n"),
	PIECE("RCPT TO:<Postmaster>\r\n"), PIECE("RCPT TO:<no@one.test>\r\n"),
	PIECE("RCPT TO:<unsure@example.test>\r\n"), PIECE("DATA\r\n"),
	PIECE("AUTH PLAIN Z29vZA==\r\n"), PIECE("AUTH PLAIN\r\n"),
	PIECE("AUTH LOGIN\r\nYQ==\r\n*\r\n"), PIECE("*\r\n"),
	PIECE("BDAT 6\r\nA: b\r\n"), PIECE("BDAT 9\r\nQUIT\r\n.\r\n"),
	PIECE("BDAT 4 LAST\r\n\r\nx\r"), PIECE("BDAT 0 LAST\r\n"),
	PIECE("RSET\r\n"), PIECE("NOOP\r\n"), PIECE("VRFY x\r\n"),
	PIECE("XYZZY\r\n"), PIECE("STARTTLS\r\n"), PIECE("NOOP\n"),
	PIECE(".\r\n"), PIECE("QUIT\r\n"),
};

#define DIGITS "01234567890123456789012345678901234567890123456789"
static const struct ph_slice content[] = {
	PIECE("Subject: s\r\n\r\nbody\r\n"), PIECE("\r\n"), PIECE("\r\n"),
	PIECE("From: alice@example.test\r\n"),
	PIECE("From: alice@example.test\r\nDate: x\r\n\r\n"),
	PIECE("From bob Mon\r\n"), PIECE("From: bob@example.test\r\n"), PIECE("no field\r\n"),
	PIECE("Received: 1\r\nReceived: 2\r\nReceived: 3\r\n"),
	PIECE(" folded\r\n"), PIECE("..\r\n.x\r\n"), PIECE("a\nb\n.\n"),
	PIECE("\r"), PIECE("\n"), PIECE("\n.\r\n"), PIECE("\r.\r\n"),
	PIECE("\r\n.\n"), PIECE("\r\r\n.\r\r\n"), PIECE("\0\r\n"),
	PIECE("\xc3\xa9\r\n"), PIECE(DIGITS "\r\n"), PIECE("X: " DIGITS "\r\n"),
	PIECE("Y: " DIGITS DIGITS "\r\n"), PIECE(DIGITS DIGITS DIGITS),
};
#undef PIECE
#undef DIGITS

static const struct smtp_conf conf = {
	.message_size_bytes = 600,
	.header_limit_bytes = 150,
	.address_brackets = true,
	.max_recipients = 3,
	.max_hops = 3,
	.max_errors = 12,
	.max_unknown = 6,
	.max_idle_commands = 20,
	.command_timeout_ms = 1000,
	.data_timeout_ms = 1000000000,
	.auth = true,
	.allow_plain_auth = true,
	.sender_check = SMTP_SENDER_ALIASES,
	.rate_window_ms = 3600000,
	.check_from = true,
};

#define PICK(list) ((list)[draw(sizeof(list) / sizeof((list)[0]))])

static void
add_data(struct ph_buf *text)
{
	ph_buf_str(text, "DATA\r\n");
	for (uint32_t n = draw(7); n > 0; n--)
		ph_buf_slice(text, PICK(content));
	if (draw(8) > 0)
		ph_buf_str(text, "\r\n.\r\n");
}

static void
add_chunks(struct ph_buf *text)
{
	struct ph_slice chunk;

	for (uint32_t n = draw(6); n > 0; n--) {
		chunk = PICK(content);
		ph_buf_printf(text, "BDAT %zu\r\n", chunk.n);
		ph_buf_slice(text, chunk);
	}
	chunk = PICK(content);
	ph_buf_printf(text, "BDAT %zu LAST\r\n", chunk.n);
	ph_buf_slice(text, chunk);
}

static struct ph_slice
make_session(struct ph_arena *arena, bool login)
{
	struct ph_buf text;

	ph_buf_init(&text, arena, 1 << 16);
	ph_buf_str(&text, "EHLO c.test\r\n");
	if (login)
		ph_buf_str(&text, "AUTH PLAIN Z29vZA==\r\n");
	for (uint32_t n = 1 + draw(3); n > 0; n--) {
		for (uint32_t extra = draw(3); extra > 0; extra--)
			ph_buf_slice(&text, PICK(command));
		ph_buf_printf(&text, "MAIL FROM:<alice@example.test>%s\r\n"
		                     "RCPT TO:<alice@example.test>\r\n",
		    draw(4) > 0 ? "" : " BODY=BINARYMIME");
		if (draw(4) == 0)
			ph_buf_slice(&text, PICK(command));
		if (draw(2) > 0)
			add_data(&text);
		else
			add_chunks(&text);
	}
	for (uint32_t flips = draw(16); flips > 12; flips--)
		text.p[draw((uint32_t)text.n)] = (char)draw(256);
	return ph_buf_content(&text);
}

struct result {
	struct ph_slice replies, content, envelope;
	unsigned committed;
};

/* What the pipeline, the queue and the auth role say in one session of four. */
static void
set_outcomes(uint32_t n)
{
	static const enum ph_verdict verdict[] = { PH_REJECT, PH_DEFER,
		PH_DISCARD, PH_QUARANTINE };
	static const int status[] = { PH_FULL, PH_TOO_BIG, PH_UNAVAILABLE,
		PH_DENIED };

	if (n % 4 == 0)
		fake.outcome[n / 4 % PH_STAGES].verdict = verdict[n / 64 % 4];
	if (n % 16 == 1)
		fake.refused_helo = PH_LIT("d.test");
	if (n % 16 == 2)
		fake.commit_status = status[n / 16 % 4];
	if (n % 16 == 3) {
		fake.write_status = status[n / 16 % 4];
		fake.write_fails_from = n / 64 % 300;
	}
	if (n % 16 == 5)
		fake.room_status = status[n / 16 % 4];
	fake.may_relay = n % 16 == 6;
}

static struct result
run(struct ph_arena *arena, struct ph_slice text, uint32_t n, bool cut,
    const struct smtp_policy *policy)
{
	fake_reset();
	fake.cut = cut ? n : 0;
	set_outcomes(n);
	fake_input_octets(text.p, text.n);
	smtp_serve(fake_session(), &conf, policy);
	ck_assert_ptr_null(fake.mail);
	return (struct result){
		ph_arena_slice(arena, ph_buf_content(&fake.out)),
		ph_arena_slice(arena, ph_buf_content(&fake.content)),
		ph_arena_slice(arena, ph_buf_content(&fake.envelope)),
		fake.committed,
	};
}

START_TEST(random_splits_give_the_same_replies)
{
	static const struct smtp_policy inbound = { .submission = false };
	static const struct smtp_policy submission = { .submission = true };
	unsigned committed = 0;

	for (uint32_t n = 1; n <= SESSIONS; n++) {
		struct ph_arena *arena = ph_arena_create(NULL);
		const struct smtp_policy *policy =
		    n % 3 == 0 ? &submission : &inbound;
		struct ph_slice text;
		struct result whole, cut;

		seed = n * 2654435761u;
		text = make_session(arena, policy->submission);
		whole = run(arena, text, n, false, policy);
		cut = run(arena, text, n, true, policy);
		ck_assert_msg(ph_slice_eq(whole.replies, cut.replies) &&
		        ph_slice_eq(whole.content, cut.content) &&
		        ph_slice_eq(whole.envelope, cut.envelope) &&
		        whole.committed == cut.committed,
		    "session %u:\n" PH_SLICE_FMT "\nwhole:\n" PH_SLICE_FMT
		    "\ncut:\n" PH_SLICE_FMT, n, PH_SLICE_ARG(text),
		    PH_SLICE_ARG(whole.replies), PH_SLICE_ARG(cut.replies));
		committed += whole.committed;
		ph_arena_free(arena);
	}
	/* It would prove little if nothing were ever taken. */
	ck_assert_uint_gt(committed, SESSIONS / 10);
}
END_TEST

Suite *split_suite(void);

Suite *
split_suite(void)
{
	Suite *suite = suite_create("split");
	TCase *tcase = tcase_create("split");

	tcase_set_timeout(tcase, 200);
	tcase_add_test(tcase, random_splits_give_the_same_replies);
	suite_add_tcase(suite, tcase);
	return suite;
}
