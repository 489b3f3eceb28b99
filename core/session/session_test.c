/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_test.c - a session on the bus and back, what is believed of check's
 * answers, whose an address is. What waits for other processes is tested with
 * the whole program.
 */
#include "session/session.h"

#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/record.h"
#include "net/tls_peer.h"
#include "session/mail.h"

static struct ph_arena *arena;
static struct generation generation;
static struct ph_session *session;
static struct ph_buf buf;

static void
setup(void)
{
	static const char *const domains[] = { "example.test", "other.test",
		NULL };

	arena = ph_arena_create(NULL);
	generation = (struct generation){ .references = 1,
		.core = { .domains = domains, .message_limit_bytes = 1 << 20,
		    .postmaster = "alice@example.test" } };
	session = session_create(&generation, NULL);
	ck_assert_uint_eq(generation.references, 2);
	memcpy(session->id, "0000000000abc", 14);
	session->listener = "smtp_inbound";
	session->service = "smtp";
	ph_buf_init(&buf, arena, 1 << 16);
}

static void
teardown(void)
{
	session_free(session);
	ck_assert_uint_eq(generation.references, 1);
	ph_arena_free(arena);
}

/* --- the record --- */

START_TEST(a_session_comes_back_from_the_bus)
{
	static const struct tls_peer peer = { .fingerprint = "0a0b",
		.subject = "c.test", .issuer = "", .is_verified = true };
	struct ph_session *copy = session_create(&generation, NULL);

	ck_assert(ph_addr_parse(PH_LIT("2001:db8::1"), &session->client));
	ck_assert(ph_addr_parse(PH_LIT("192.0.2.1"), &session->local));
	ck_assert(ph_addr_parse(PH_LIT("192.0.2.8"), &session->peer));
	session->client_port = 65535;
	session->local_port = 25;
	session->helo = PH_LIT("client.test");
	session->tls = "TLSv1.3 X";
	session->tls_peer = &peer;
	session->user = "alice@example.test";
	session_put(session, &buf);
	ck_assert_int_eq(session_take(copy, ph_buf_content(&buf)), PH_OK);
	ck_assert_str_eq(copy->id, session->id);
	ck_assert_mem_eq(&copy->client, &session->client,
	    sizeof(copy->client));
	ck_assert_mem_eq(&copy->peer, &session->peer, sizeof(copy->peer));
	ck_assert_mem_eq(&copy->local, &session->local, sizeof(copy->local));
	ck_assert_uint_eq(copy->client_port, 65535);
	ck_assert_uint_eq(copy->local_port, 25);
	ck_assert(ph_slice_eq(copy->helo, PH_LIT("client.test")));
	ck_assert_str_eq(copy->tls, "TLSv1.3 X");
	ck_assert_str_eq(ph_session_certificate(copy), "0a0b");
	ck_assert_str_eq(ph_session_certificate_subject(copy), "c.test");
	ck_assert_str_eq(ph_session_certificate_issuer(copy), "");
	ck_assert(ph_session_certificate_is_verified(copy));
	ck_assert_str_eq(copy->user, "alice@example.test");
	ck_assert_str_eq(copy->listener, "smtp_inbound");
	ck_assert_str_eq(copy->service, "smtp");
	session_free(copy);
}
END_TEST

START_TEST(what_is_absent_stays_absent)
{
	struct ph_session *copy = session_create(&generation, NULL);

	session_put(session, &buf);
	ck_assert_int_eq(session_take(copy, ph_buf_content(&buf)), PH_OK);
	ck_assert_ptr_null(copy->user);
	ck_assert_ptr_null(copy->tls);
	ck_assert_ptr_null(ph_session_certificate(copy));
	ck_assert_ptr_null(ph_session_certificate_subject(copy));
	ck_assert_ptr_null(ph_session_certificate_issuer(copy));
	ck_assert(!ph_session_certificate_is_verified(copy));
	ck_assert_ptr_null(copy->helo.p);
	ck_assert_uint_eq(copy->client.family, 0);
	session_free(copy);
}
END_TEST

START_TEST(a_damaged_record_is_no_session)
{
	static const char *const ids[] = { "", "short", "0000000000ABCDEF",
		"00000000000\n1", "000000000000000000000000000000000" };
	struct ph_session *copy = session_create(&generation, NULL);

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		buf.n = 0;
		record_put_str(&buf, F_SESSION, ids[i]);
		record_put_str(&buf, F_LISTENER, "x");
		record_put_str(&buf, F_SERVICE, "x");
		ck_assert_int_eq(session_take(copy, ph_buf_content(&buf)),
		    PH_DEFECT);
	}
	buf.n = 0;
	record_put_str(&buf, F_SESSION, "0000000000abc");
	ck_assert_int_eq(session_take(copy, ph_buf_content(&buf)), PH_DEFECT);
	ck_assert_int_eq(session_take(copy, PH_LIT("")), PH_DEFECT);
	buf.n = 0;
	session_put(session, &buf);
	for (size_t n = 0; n < buf.n; n++)
		session_take(copy, (struct ph_slice){ buf.p, n });
	session_free(copy);
}
END_TEST

START_TEST(control_octets_are_not_taken)
{
	struct ph_session *copy = session_create(&generation, NULL);

	session->user = "alice\r\nQUIT";
	session->helo = PH_LIT("a\x1b[2J");
	session_put(session, &buf);
	ck_assert_int_eq(session_take(copy, ph_buf_content(&buf)), PH_OK);
	ck_assert_ptr_null(copy->user);
	ck_assert_ptr_null(copy->helo.p);
	session_free(copy);
}
END_TEST

/* --- check's answers --- */

static struct ph_outcome outcome;

static int
take(enum ph_stage stage)
{
	outcome = (struct ph_outcome){ .verdict = PH_NEXT };
	return session_take_outcome(session, stage, NULL,
	    ph_buf_content(&buf), &outcome);
}

static int
take_verdict(enum ph_stage stage, uint64_t verdict)
{
	buf.n = 0;
	record_put_u64(&buf, F_VERDICT, verdict);
	return take(stage);
}

START_TEST(an_answer_without_a_verdict_is_none)
{
	buf.n = 0;
	ck_assert_int_eq(take(PH_AT_RCPT), PH_DEFECT);
	ck_assert_int_eq(take_verdict(PH_AT_RCPT, PH_NEXT), PH_DEFECT);
	ck_assert_int_eq(take_verdict(PH_AT_RCPT, PH_QUARANTINE + 1),
	    PH_DEFECT);
	ck_assert_int_eq(take_verdict(PH_AT_RCPT, UINT64_MAX), PH_DEFECT);
	/* nothing may be dropped before there is a recipient */
	ck_assert_int_eq(take_verdict(PH_AT_MAIL, PH_DISCARD), PH_DEFECT);
	ck_assert_int_eq(take_verdict(PH_AT_CONNECT, PH_QUARANTINE),
	    PH_DEFECT);
	ck_assert_int_eq(outcome.verdict, PH_NEXT);
	ck_assert_int_eq(take_verdict(PH_AT_RCPT, PH_DISCARD), PH_OK);
	ck_assert_int_eq(outcome.verdict, PH_DISCARD);
	ck_assert_int_eq(take_verdict(PH_AT_CONNECT, PH_ACCEPT), PH_OK);
}
END_TEST

START_TEST(a_refusal_is_made_whole)
{
	ck_assert_int_eq(take_verdict(PH_AT_MAIL, PH_REJECT), PH_OK);
	ck_assert_int_eq(outcome.code, 550);
	ck_assert_str_eq(outcome.enhanced, "5.7.1");
	ck_assert_str_eq(outcome.text, "Refused by policy (0000000000abc)");
	record_put_u64(&buf, F_CODE, 250);
	record_put_str(&buf, F_ENHANCED, "2.0.0");
	ck_assert_int_eq(take(PH_AT_MAIL), PH_OK);
	ck_assert_int_eq(outcome.code, 550);
	ck_assert_str_eq(outcome.enhanced, "5.7.1");
	take_verdict(PH_AT_MAIL, PH_DEFER);
	record_put_u64(&buf, F_CODE, 421);
	record_put_str(&buf, F_ENHANCED, "4.3.2");
	record_put_str(&buf, F_TEXT, "later");
	record_put_str(&buf, F_MODULE, "check_x");
	ck_assert_int_eq(take(PH_AT_MAIL), PH_OK);
	ck_assert_int_eq(outcome.code, 421);
	ck_assert_str_eq(outcome.enhanced, "4.3.2");
	ck_assert_str_eq(outcome.text, "later");
	ck_assert_str_eq(outcome.module, "check_x");
}
END_TEST

START_TEST(only_whole_header_fields_are_added)
{
	static const struct {
		struct ph_slice field;
		bool is_good;
	} cases[] = {
		{ PH_LIT("X-A: b\r\n"), true },
		{ PH_LIT("X-A:\r\n"), true },
		{ PH_LIT("X-A: b\r\n c\r\n\td\r\n"), true },
		{ PH_LIT("X-A: b"), false },
		{ PH_LIT("X-A: b\n"), false },
		{ PH_LIT("X-A: b\r\nBcc: c\r\n"), false },
		{ PH_LIT("X-A: b\r\n\r\nbody\r\n"), false },
		{ PH_LIT("X-A: b\r\n\r\n"), false },
		{ PH_LIT("X-A: b\rc\r\n"), false },
		{ PH_LIT("X-A: b\nc\r\n"), false },
		{ PH_LIT("X-A: b\r\r\n"), false },
		{ PH_LIT("X-A: \0\r\n"), false },
		{ PH_LIT("X A: b\r\n"), false },
		{ PH_LIT(": b\r\n"), false },
		{ PH_LIT("X-A\r\n"), false },
		{ PH_LIT("\r\n"), false },
		{ PH_LIT(":"), false },
		{ PH_LIT(""), false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		session->headers.n = 0;
		take_verdict(PH_AT_CONNECT, PH_ACCEPT);
		record_put(&buf, F_ADD_HEADER, cases[i].field);
		ck_assert_int_eq(take(PH_AT_CONNECT), PH_OK);
		ck_assert_msg(session->headers.n == (cases[i].is_good ?
		    cases[i].field.n : 0), "case %zu", i);
	}
}
END_TEST

START_TEST(scores_add_up_and_stay_in_bounds)
{
	take_verdict(PH_AT_CONNECT, PH_ACCEPT);
	record_put_u64(&buf, F_SCORE, (uint64_t)-1500);
	ck_assert_int_eq(take(PH_AT_CONNECT), PH_OK);
	ck_assert_int_eq(take(PH_AT_CONNECT), PH_OK);
	ck_assert_int_eq(session->score.sum, -3000);
	take_verdict(PH_AT_CONNECT, PH_ACCEPT);
	record_put_u64(&buf, F_SCORE, (uint64_t)INT64_MIN);
	ck_assert_int_eq(take(PH_AT_CONNECT), PH_OK);
	ck_assert_int_eq(session->score.sum, -3000);
	take_verdict(PH_AT_CONNECT, PH_ACCEPT);
	record_put_u64(&buf, F_SCORE, 999999999);
	for (unsigned i = 0; i < 10; i++)
		ck_assert_int_eq(take(PH_AT_CONNECT), PH_OK);
	ck_assert_int_eq(session->score.sum, 1000000000);
}
END_TEST

START_TEST(traces_are_kept_with_the_session_or_the_message)
{
	struct ph_mail *mail = ph_mail_begin(session,
	    PH_LIT("a@outside.test"));

	take_verdict(PH_AT_CONNECT, PH_ACCEPT);
	record_put_str(&buf, F_TRACE, "one");
	ck_assert_int_eq(take(PH_AT_CONNECT), PH_OK);
	ck_assert(ph_slice_eq(record_get(ph_buf_content(&session->trace),
	    F_TRACE), PH_LIT("one")));
	ck_assert_int_eq(session_take_outcome(session, PH_AT_MAIL, mail,
	    ph_buf_content(&buf), &outcome), PH_OK);
	ck_assert(ph_slice_eq(record_get(ph_buf_content(mail_trace(mail)),
	    F_TRACE), PH_LIT("one")));
	ph_mail_abort(mail);
}
END_TEST

/* --- addresses --- */

static bool
owns(const char *address)
{
	return ph_session_owns_address(session, ph_slice_str(address)) ==
	    PH_OWNED;
}

START_TEST(a_user_owns_name_details_and_aliases)
{
	static const struct ph_slice aliases[] = {
		PH_LIT("sales@example.test") };

	ck_assert(!owns("bob@example.test")); /* nobody has logged in */
	ck_assert(owns(""));                  /* the null sender is anybody's */
	session->user = "bob@example.test";
	session->aliases = aliases;
	session->alias_count = 1;
	ck_assert(owns("bob@example.test"));
	ck_assert(owns("Bob@EXAMPLE.test"));
	ck_assert(owns("bob+shop@example.test"));
	ck_assert(owns("BOB+a+b@example.test"));
	ck_assert(owns("Sales@example.test"));
	ck_assert(!owns("bobby@example.test"));
	ck_assert(!owns("bo@example.test"));
	ck_assert(!owns("bob@other.test"));
	ck_assert(!owns("bob+shop@other.test"));
	ck_assert(!owns("+shop@example.test"));
	ck_assert(!owns("bob"));
	ck_assert(!owns("alice@example.test"));
}
END_TEST

START_TEST(postmaster_s_user_may_speak_as_postmaster)
{
	session->user = "bob@example.test";
	ck_assert(!owns("postmaster@example.test"));
	session->user = "alice@example.test";
	ck_assert(owns("postmaster@example.test"));
	ck_assert(owns("Postmaster@other.test"));
	ck_assert(!owns("postmaster@elsewhere.test"));
	ck_assert(!owns("bob@example.test"));
}
END_TEST

START_TEST(an_address_elsewhere_is_told_without_asking)
{
	ck_assert_int_eq(ph_recipient_lookup(session,
	    PH_LIT("x@elsewhere.test")), PH_RCPT_REMOTE);
	ck_assert_int_eq(ph_recipient_lookup(session,
	    PH_LIT("x@sub.example.test")), PH_RCPT_REMOTE);
	ck_assert_int_eq(ph_recipient_lookup(session, PH_LIT("")),
	    PH_RCPT_NO_USER);
}
END_TEST

/* --- content --- */

START_TEST(content_over_the_limit_is_too_big_for_good)
{
	struct ph_mail *mail = ph_mail_begin(session, PH_LIT(""));

	ph_mail_limit(mail, 10);
	ph_mail_limit(mail, 1000); /* it only sinks */
	ck_assert_int_eq(ph_mail_write(mail, "12345", 5), PH_OK);
	ck_assert_int_eq(ph_mail_write(mail, "67890", 5), PH_OK);
	ck_assert_uint_eq(ph_mail_size(mail), 10);
	ck_assert_int_eq(ph_mail_write(mail, "1", 1), PH_TOO_BIG);
	ck_assert_int_eq(ph_mail_write(mail, "", 0), PH_TOO_BIG);
	ph_mail_abort(mail);
	ph_mail_abort(NULL);
}
END_TEST

START_TEST(checks_see_the_envelope_and_the_header)
{
	struct ph_mail *mail = ph_mail_begin(session, PH_LIT("a@b.test"));
	struct ph_slice absent = { NULL, 0 }, record;

	ph_mail_add_recipient(mail, PH_LIT("x@example.test"), absent, absent);
	ph_mail_add_recipient(mail, PH_LIT("y@example.test"), absent, absent);
	ck_assert_uint_eq(ph_mail_recipient_count(mail), 2);
	ph_mail_write(mail, "A: b\r\n\r\nbody\r\n", 14);
	mail_put_envelope(mail, false, &buf);
	record = ph_buf_content(&buf);
	ck_assert(ph_slice_eq(record_get(record, F_SENDER),
	    PH_LIT("a@b.test")));
	ck_assert_uint_eq(record_get_u64(record, F_RECIPIENT_COUNT, 0), 2);
	ck_assert_ptr_null(record_get(record, F_HEADER).p);
	ck_assert_ptr_null(record_get(record, F_RECIPIENT_ALL).p);
	buf.n = 0;
	mail_put_envelope(mail, true, &buf);
	record = ph_buf_content(&buf);
	ck_assert(ph_slice_eq(record_get(record, F_RECIPIENT_ALL),
	    PH_LIT("x@example.test")));
	ck_assert(ph_slice_starts_nocase(record_get(record, F_HEADER),
	    "A: b\r\n"));
	ck_assert_uint_lt(record_get(record, F_HEADER).n, 9);
	ph_mail_abort(mail);
}
END_TEST

/* A file that is no memory file has no seals, and no word of that either. */
START_TEST(a_body_must_be_sealed)
{
	static const char body[] = "another one\r\n";
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	struct ph_mail *mail = ph_mail_begin(session, PH_LIT("a@b.test"));
	FILE *file = tmpfile();
	int fd = memfd_create("body", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	ck_assert(file != NULL && fputs(body, file) >= 0 &&
	    fflush(file) == 0);
	ck_assert_int_eq(mail_replace_body(mail, dup(fileno(file))),
	    PH_DEFECT);
	fclose(file);
	ck_assert_int_eq(write(fd, body, sizeof(body) - 1),
	    sizeof(body) - 1);
	ck_assert_int_eq(mail_replace_body(mail, dup(fd)), PH_DEFECT);
	ck_assert_int_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
	ck_assert_int_eq(mail_replace_body(mail, dup(fd)), PH_OK);
	mail_restore_body(mail);
	close(fd);
	ph_mail_abort(mail);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("session");
	TCase *tcase = tcase_create("session");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, a_session_comes_back_from_the_bus);
	tcase_add_test(tcase, what_is_absent_stays_absent);
	tcase_add_test(tcase, a_damaged_record_is_no_session);
	tcase_add_test(tcase, control_octets_are_not_taken);
	tcase_add_test(tcase, an_answer_without_a_verdict_is_none);
	tcase_add_test(tcase, a_refusal_is_made_whole);
	tcase_add_test(tcase, only_whole_header_fields_are_added);
	tcase_add_test(tcase, scores_add_up_and_stay_in_bounds);
	tcase_add_test(tcase, traces_are_kept_with_the_session_or_the_message);
	tcase_add_test(tcase, a_user_owns_name_details_and_aliases);
	tcase_add_test(tcase, postmaster_s_user_may_speak_as_postmaster);
	tcase_add_test(tcase, an_address_elsewhere_is_told_without_asking);
	tcase_add_test(tcase, content_over_the_limit_is_too_big_for_good);
	tcase_add_test(tcase, checks_see_the_envelope_and_the_header);
	tcase_add_test(tcase, a_body_must_be_sealed);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
