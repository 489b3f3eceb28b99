/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pipeline_test.c - a stage with modules that play a part: who runs with whom,
 * whose word counts, and what a module that fails can do to the others.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/record.h"
#include "loop/fiber.h"
#include "pipeline/pipeline.h"

/* The configuration of the fake module: what its hook does. */
struct part {
	enum ph_verdict verdict;
	int code;                 /* 0: answers without ph_reject/ph_defer */
	const char *reason, *header;
	double score;
	struct ph_event *signals; /* before it answers */
	struct ph_event *awaits;  /* before that */
	unsigned spin_us;         /* keeps the processor so long */
};

struct outcome {
	enum ph_verdict verdict;
	uint64_t code, took_ms;
	int64_t score;
	char module[32], text[256], enhanced[16], headers[256];
	char traces[256]; /* "name=verdict " each, shadows in brackets */
};

enum { SHORT_MS = 30, LONG_MS = 30000 };

static char order_of_calls[64];
static double score_seen; /* by the last one */
static struct ph_arena *arena_seen; /* the same */
static struct ph_event never;

static void
spin(unsigned us)
{
	uint64_t end = ph_now_ms() + (us + 999) / 1000;

	while (us > 0 && ph_now_ms() < end)
		;
}

static enum ph_verdict
play(struct ph_call *call, const void *conf)
{
	const struct part *part = conf;
	size_t n = strlen(order_of_calls);

	snprintf(order_of_calls + n, sizeof(order_of_calls) - n, "%s ",
	    call->instance->name);
	if (part->awaits != NULL)
		ph_event_wait(part->awaits, PH_NO_LIMIT_MS);
	if (part->signals != NULL)
		ph_event_signal(part->signals);
	spin(part->spin_us);
	if (part->score > 0 || part->score < 0)
		ph_score(call, part->score);
	score_seen = ph_call_score(call);
	ck_assert_ptr_ne(ph_call_arena(call), arena_seen); /* its own */
	arena_seen = ph_call_arena(call);
	if (part->header != NULL)
		ph_add_header(call, "X-Part", "%s", part->header);
	if (part->code >= 500)
		ph_reject(call, part->code, "5.7.9", "%s", part->reason);
	else if (part->code >= 400)
		ph_defer(call, part->code, "4.7.9", "%s", part->reason);
	else if (part->reason != NULL)
		ph_reason(call, "%s", part->reason);
	return part->verdict;
}

static const struct ph_check_ops check_ops = { .at = {
	[PH_AT_CONNECT] = play, [PH_AT_RCPT] = play } };
static const struct ph_module fake = { .abi = PH_ABI, .name = "fake",
	.kinds = PH_KIND_CHECK, .conf_size = sizeof(struct part),
	.check = &check_ops };

/* --- the stage --- */

struct run {
	struct module_instance *first;
	enum ph_stage stage;
	struct outcome outcome;
};

static void
take_traces(struct ph_slice reply, char *to, size_t size)
{
	struct record_field field;

	while (record_next(&reply, &field)) {
		bool shadow;
		size_t n = strlen(to);

		if (field.tag != F_TRACE)
			continue;
		shadow = record_get_u64(field.value, F_SHADOW, 2) == 1;
		snprintf(to + n, size - n, "%s%.*s=%s%s ", shadow ? "(" : "",
		    PH_SLICE_ARG(record_get(field.value, F_MODULE)),
		    ph_verdict_name((enum ph_verdict)record_get_u64(
		        field.value, F_VERDICT, 99)), shadow ? ")" : "");
	}
}

static void
take_text(struct ph_slice reply, uint16_t tag, char *to, size_t size)
{
	struct record_field field;
	size_t n = 0;

	while (record_next(&reply, &field)) {
		if (field.tag != tag)
			continue;
		snprintf(to + n, size - n, PH_SLICE_FMT,
		    PH_SLICE_ARG(field.value));
		n = strlen(to);
	}
}

static void
take(struct outcome *outcome, struct ph_slice reply)
{
	outcome->verdict = (enum ph_verdict)record_get_u64(reply, F_VERDICT,
	    99);
	outcome->code = record_get_u64(reply, F_CODE, 0);
	outcome->score = (int64_t)record_get_u64(reply, F_SCORE, 0);
	take_text(reply, F_MODULE, outcome->module, sizeof(outcome->module));
	take_text(reply, F_TEXT, outcome->text, sizeof(outcome->text));
	take_text(reply, F_ENHANCED, outcome->enhanced,
	    sizeof(outcome->enhanced));
	take_text(reply, F_ADD_HEADER, outcome->headers,
	    sizeof(outcome->headers));
	take_traces(reply, outcome->traces, sizeof(outcome->traces));
}

static void
run_main(void *arg)
{
	struct run *run = arg;
	struct ph_arena *arena = ph_arena_create(NULL);
	struct generation generation = { .references = 1,
		.modules = { arena, run->first } };
	struct ph_session *session = session_create(&generation, NULL);
	struct ph_call call = { .arena = arena, .session = session,
		.content_fd = -1, .stage = run->stage };
	struct ph_buf reply;
	uint64_t start = ph_now_ms();
	int body_fd;

	snprintf(session->id, sizeof(session->id), "0000000000abc");
	ph_buf_init(&reply, arena, 1 << 20);
	pipeline_run(&generation, &call, &reply, &body_fd);
	ck_assert_int_eq(body_fd, -1);
	ck_assert(!reply.full);
	ck_assert(record_is_sound(ph_buf_content(&reply)));
	ck_assert_uint_eq(fiber_deadline(), UINT64_MAX);
	ck_assert_ptr_null(fiber_context());
	take(&run->outcome, ph_buf_content(&reply));
	run->outcome.took_ms = ph_now_ms() - start;
	session_free(session);
	ph_arena_free(arena);
	fiber_runtime_stop();
}

static struct module_instance
module_of(const char *name, unsigned order, const struct part *part)
{
	return (struct module_instance){ .name = name, .module = &fake,
		.conf = part, .common = { .enabled = true, .order = order,
		    .timeout_ms = LONG_MS } };
}

/* Run modules, given in their order, up to the one without a name. */
static struct outcome
at_stage(enum ph_stage stage, struct module_instance *modules)
{
	struct run run = { .stage = stage,
		.first = modules[0].name != NULL ? modules : NULL };

	for (; modules[0].name != NULL; modules++)
		modules[0].next = modules[1].name != NULL ? &modules[1] : NULL;
	order_of_calls[0] = '\0';
	arena_seen = NULL;
	fiber_start(run_main, &run);
	fiber_runtime_run();
	return run.outcome;
}

/* --- pure --- */

START_TEST(the_stronger_verdict_wins_from_either_side)
{
	static const enum ph_verdict by_strength[] = { PH_NEXT, PH_ACCEPT,
		PH_QUARANTINE, PH_DISCARD, PH_DEFER, PH_REJECT };

	for (size_t i = 0; i < 6; i++) {
		for (size_t k = 0; k < 6; k++) {
			size_t stronger = i > k ? i : k;

			ck_assert_int_eq(pipeline_stronger(by_strength[i],
			    by_strength[k]), by_strength[stronger]);
		}
	}
}
END_TEST

START_TEST(nothing_is_dropped_or_held_before_there_is_a_recipient)
{
	for (unsigned stage = 0; stage < PH_STAGES; stage++) {
		enum ph_stage at = (enum ph_stage)stage;

		ck_assert(pipeline_honours(at, PH_NEXT));
		ck_assert(pipeline_honours(at, PH_ACCEPT));
		ck_assert(pipeline_honours(at, PH_DEFER));
		ck_assert(pipeline_honours(at, PH_REJECT));
		ck_assert_int_eq(pipeline_honours(at, PH_DISCARD),
		    stage >= PH_AT_RCPT);
		ck_assert_int_eq(pipeline_honours(at, PH_QUARANTINE),
		    stage >= PH_AT_RCPT);
		ck_assert(!pipeline_honours(at, (enum ph_verdict)6));
		ck_assert(!pipeline_honours(at, (enum ph_verdict)-1));
	}
}
END_TEST

/* --- running --- */

START_TEST(a_stage_that_nobody_refuses_is_accepted)
{
	struct part nothing = { .verdict = PH_NEXT };
	struct module_instance modules[] = { module_of("a", 10, &nothing),
		module_of("b", 20, &nothing), { 0 } };
	struct module_instance none[] = { { 0 } };
	struct outcome outcome = at_stage(PH_AT_CONNECT, modules);

	ck_assert_int_eq(outcome.verdict, PH_ACCEPT);
	ck_assert_str_eq(outcome.module, "");
	ck_assert_str_eq(outcome.traces, "a=next b=next ");
	ck_assert_str_eq(order_of_calls, "a b ");
	ck_assert_int_eq(at_stage(PH_AT_CONNECT, none).verdict, PH_ACCEPT);
	/* the modules have nothing to say here */
	outcome = at_stage(PH_AT_HELO, modules);
	ck_assert_int_eq(outcome.verdict, PH_ACCEPT);
	ck_assert_str_eq(outcome.traces, "");
}
END_TEST

START_TEST(a_refusal_carries_its_reply_and_the_session)
{
	struct part no = { .verdict = PH_REJECT, .code = 554,
		.reason = "not\r\n you" };
	struct part later = { .verdict = PH_DEFER, .code = 450,
		.reason = "soon" };
	struct module_instance refuse[] = { module_of("no", 10, &no), { 0 } };
	struct module_instance defer[] = { module_of("later", 10, &later),
		{ 0 } };
	struct outcome outcome = at_stage(PH_AT_CONNECT, refuse);

	ck_assert_int_eq(outcome.verdict, PH_REJECT);
	ck_assert_uint_eq(outcome.code, 554);
	ck_assert_str_eq(outcome.enhanced, "5.7.9");
	ck_assert_str_eq(outcome.module, "no");
	ck_assert_str_eq(outcome.text, "not?? you (0000000000abc)");
	outcome = at_stage(PH_AT_CONNECT, defer);
	ck_assert_int_eq(outcome.verdict, PH_DEFER);
	ck_assert_uint_eq(outcome.code, 450);
	ck_assert_str_eq(outcome.text, "soon (0000000000abc)");
}
END_TEST

START_TEST(modules_of_one_order_run_together)
{
	struct ph_event there = { NULL }, back = { NULL };
	struct part first = { .verdict = PH_NEXT, .awaits = &there,
		.signals = &back };
	struct part second = { .verdict = PH_NEXT, .signals = &there };
	struct part third = { .verdict = PH_NEXT, .awaits = &back };
	struct module_instance modules[] = { module_of("a", 10, &first),
		module_of("b", 10, &third), module_of("c", 10, &second),
		{ 0 } };
	struct outcome outcome = at_stage(PH_AT_CONNECT, modules);

	ck_assert_int_eq(outcome.verdict, PH_ACCEPT);
	ck_assert_str_eq(outcome.traces, "a=next b=next c=next ");
	ck_assert_str_eq(order_of_calls, "a b c ");
	ck_assert_uint_lt(outcome.took_ms, LONG_MS / 2);
}
END_TEST

START_TEST(a_later_order_waits_for_the_earlier)
{
	struct ph_event there = { NULL };
	struct part waits = { .verdict = PH_NEXT, .awaits = &there };
	struct part wakes = { .verdict = PH_NEXT, .signals = &there };
	struct part last = { .verdict = PH_DEFER, .code = 451,
		.reason = "last" };
	struct module_instance modules[] = { module_of("a", 10, &waits),
		module_of("b", 10, &wakes), module_of("c", 20, &last),
		{ 0 } };
	struct outcome outcome = at_stage(PH_AT_CONNECT, modules);

	ck_assert_int_eq(outcome.verdict, PH_DEFER);
	ck_assert_str_eq(order_of_calls, "a b c ");
	ck_assert_str_eq(outcome.traces, "a=next b=next c=defer ");
}
END_TEST

START_TEST(accept_and_refusals_end_the_stage_after_their_order)
{
	static const enum ph_verdict enders[] = { PH_ACCEPT, PH_DEFER,
		PH_REJECT, PH_DISCARD };

	for (size_t i = 0; i < 4; i++) {
		struct part ends = { .verdict = enders[i], .reason = "r",
			.code = enders[i] == PH_DEFER ? 450 :
			    enders[i] == PH_REJECT ? 550 : 0 };
		struct part refuses = { .verdict = PH_REJECT, .code = 550,
			.reason = "too late" };
		struct module_instance modules[] = {
			module_of("a", 10, &ends), module_of("b", 20, &refuses),
			{ 0 } };
		struct outcome outcome = at_stage(PH_AT_RCPT, modules);

		ck_assert_int_eq(outcome.verdict, enders[i]);
		ck_assert_str_eq(outcome.module, "a");
		ck_assert_str_eq(order_of_calls, "a ");
	}
}
END_TEST

START_TEST(what_is_quarantined_may_still_be_refused)
{
	struct part holds = { .verdict = PH_QUARANTINE };
	struct part no = { .verdict = PH_REJECT, .code = 550, .reason = "no" };
	struct part yes = { .verdict = PH_ACCEPT };
	struct module_instance refused[] = { module_of("a", 10, &holds),
		module_of("b", 20, &no), { 0 } };
	struct module_instance held[] = { module_of("a", 10, &holds),
		module_of("b", 20, &yes), { 0 } };

	ck_assert_int_eq(at_stage(PH_AT_RCPT, refused).verdict, PH_REJECT);
	ck_assert_int_eq(at_stage(PH_AT_RCPT, held).verdict, PH_QUARANTINE);
}
END_TEST

START_TEST(the_strongest_of_an_order_wins)
{
	struct part yes = { .verdict = PH_ACCEPT };
	struct part later = { .verdict = PH_DEFER, .code = 450,
		.reason = "later" };
	struct part drops = { .verdict = PH_DISCARD };
	struct module_instance modules[] = { module_of("a", 10, &yes),
		module_of("b", 10, &later), module_of("c", 10, &drops),
		{ 0 } };
	struct outcome outcome = at_stage(PH_AT_RCPT, modules);

	ck_assert_int_eq(outcome.verdict, PH_DEFER);
	ck_assert_str_eq(outcome.module, "b");
	ck_assert_str_eq(outcome.traces, "a=accept b=defer c=discard ");
}
END_TEST

START_TEST(a_reject_ends_the_wait_for_the_others)
{
	struct part waits = { .verdict = PH_NEXT, .awaits = &never,
		.score = 5, .header = "late" };
	struct part no = { .verdict = PH_REJECT, .code = 550, .reason = "no" };
	struct module_instance modules[] = { module_of("slow", 10, &waits),
		module_of("quick", 10, &no), { 0 } };
	struct outcome outcome = at_stage(PH_AT_CONNECT, modules);

	ck_assert_int_eq(outcome.verdict, PH_REJECT);
	ck_assert_str_eq(outcome.module, "quick");
	ck_assert_uint_lt(outcome.took_ms, LONG_MS / 2);
	/* who was cut short said nothing */
	ck_assert_str_eq(outcome.traces, "quick=reject ");
	ck_assert_int_eq(outcome.score, 0);
	ck_assert_str_eq(outcome.headers, "");
}
END_TEST

START_TEST(a_reject_counts_however_fast_it_came)
{
	struct part no = { .verdict = PH_REJECT, .code = 550, .reason = "no" };
	struct part nothing = { .verdict = PH_NEXT };
	struct module_instance modules[] = { module_of("a", 10, &no),
		module_of("b", 10, &nothing), { 0 } };

	for (unsigned i = 0; i < 200; i++) {
		struct outcome outcome = at_stage(PH_AT_CONNECT, modules);

		ck_assert_int_eq(outcome.verdict, PH_REJECT);
		ck_assert_str_eq(outcome.module, "a");
	}
}
END_TEST

/* --- modules that fail --- */

static struct outcome
with_failure(const struct part *part, unsigned on_failure, unsigned mode)
{
	struct module_instance modules[] = { module_of("bad", 10, part),
		{ 0 } };

	modules[0].common.on_failure = on_failure;
	modules[0].common.mode = mode;
	modules[0].common.timeout_ms = SHORT_MS;
	return at_stage(PH_AT_CONNECT, modules);
}

static void
expect_on_failure(const struct part *part)
{
	struct outcome outcome = with_failure(part, ON_FAILURE_DEFER,
	    MODE_ENFORCE);

	ck_assert_int_eq(outcome.verdict, PH_DEFER);
	ck_assert_uint_eq(outcome.code, 451);
	ck_assert_str_eq(outcome.module, "bad");
	outcome = with_failure(part, ON_FAILURE_REJECT, MODE_ENFORCE);
	ck_assert_int_eq(outcome.verdict, PH_REJECT);
	ck_assert_uint_eq(outcome.code, 550);
	outcome = with_failure(part, ON_FAILURE_NEXT, MODE_ENFORCE);
	ck_assert_int_eq(outcome.verdict, PH_ACCEPT);
	ck_assert_str_eq(outcome.traces, "bad=next ");
	ck_assert_int_eq(outcome.score, 0);
	ck_assert_str_eq(outcome.headers, "");
}

START_TEST(a_module_that_is_late_counts_as_its_on_failure)
{
	struct part waits = { .verdict = PH_ACCEPT, .awaits = &never,
		.score = 3, .header = "x" };
	struct part spins = { .verdict = PH_ACCEPT,
		.spin_us = (SHORT_MS + 10) * 1000 };

	expect_on_failure(&waits);
	expect_on_failure(&spins);
	ck_assert_uint_lt(with_failure(&waits, ON_FAILURE_DEFER,
	    MODE_ENFORCE).took_ms, LONG_MS / 2);
}
END_TEST

START_TEST(a_late_module_delays_only_its_own_order_and_is_told)
{
	struct part waits = { .verdict = PH_ACCEPT, .awaits = &never };
	struct part scores = { .verdict = PH_NEXT, .score = 1.5,
		.header = "kept" };
	struct module_instance modules[] = { module_of("late", 10, &waits),
		module_of("other", 10, &scores), module_of("after", 20,
		    &scores), { 0 } };
	struct outcome outcome;

	modules[0].common.timeout_ms = SHORT_MS;
	modules[0].common.on_failure = ON_FAILURE_NEXT;
	outcome = at_stage(PH_AT_CONNECT, modules);
	ck_assert_int_eq(outcome.verdict, PH_ACCEPT);
	ck_assert_str_eq(outcome.traces, "late=next other=next after=next ");
	ck_assert_int_eq(outcome.score, 3000);
	ck_assert_str_eq(outcome.headers,
	    "X-Part: kept\r\nX-Part: kept\r\n");
}
END_TEST

START_TEST(an_answer_that_can_not_be_honoured_counts_as_on_failure)
{
	struct part discards = { .verdict = PH_DISCARD };
	struct part invents = { .verdict = (enum ph_verdict)77 };
	struct part is_mute = { .verdict = PH_REJECT };
	struct part contradicts = { .verdict = PH_REJECT, .code = 450,
		.reason = "4 or 5?" };

	expect_on_failure(&discards);
	expect_on_failure(&invents);
	expect_on_failure(&is_mute);
	expect_on_failure(&contradicts);
}
END_TEST

START_TEST(a_shadow_is_recorded_and_changes_nothing)
{
	struct part no = { .verdict = PH_REJECT, .code = 550, .reason = "no",
		.score = 7, .header = "shadow" };
	struct part waits = { .verdict = PH_NEXT, .awaits = &never };
	struct part holds = { .verdict = PH_NEXT, .score = -0.5 };
	struct module_instance modules[] = { module_of("shadow", 10, &no),
		module_of("real", 10, &holds), module_of("after", 20, &holds),
		{ 0 } };
	struct outcome outcome;

	modules[0].common.mode = MODE_SHADOW;
	outcome = at_stage(PH_AT_CONNECT, modules);
	ck_assert_int_eq(outcome.verdict, PH_ACCEPT);
	ck_assert_str_eq(outcome.traces,
	    "(shadow=reject) real=next after=next ");
	ck_assert_int_eq(outcome.score, -1000);
	/* what others of its order say is not known yet, nor a shadow's */
	ck_assert(score_seen < -0.99 && score_seen > -1.01);
	ck_assert_str_eq(outcome.headers, "");
	ck_assert_str_eq(outcome.text, "");
	outcome = with_failure(&waits, ON_FAILURE_REJECT, MODE_SHADOW);
	ck_assert_int_eq(outcome.verdict, PH_ACCEPT);
	ck_assert_str_eq(outcome.traces, "(bad=reject) ");
}
END_TEST

/* --- what modules keep --- */

static const struct module_instance one = { .name = "one", .module = &fake };

START_TEST(a_session_keeps_the_memory_of_each_section)
{
	const struct module_instance other = { .name = "other",
		.module = &fake };
	const struct module_instance reloaded = { .name = "one",
		.module = &fake };
	struct ph_slice id = PH_LIT("0000000000001");
	struct session_state *state = session_state_obtain(id);
	unsigned *mine = session_state_of(state, &one, sizeof(*mine));
	unsigned *others = session_state_of(state, &other, sizeof(*others));

	ck_assert_uint_eq(*mine, 0);
	*mine = 1;
	*others = 2;
	ck_assert_ptr_eq(session_state_obtain(id), state);
	ck_assert_ptr_eq(session_state_of(state, &one, sizeof(*mine)), mine);
	ck_assert_ptr_eq(session_state_of(state, &reloaded, sizeof(*mine)),
	    mine);
	ck_assert_ptr_ne(session_state_obtain(PH_LIT("0000000000002")), state);
	session_state_get(state);
	session_state_drop(id);
	ck_assert_uint_eq(*mine, 1); /* a call still uses it */
	ck_assert_uint_eq(*(unsigned *)session_state_of(
	    session_state_obtain(id), &one, sizeof(*mine)), 0);
	session_state_put(state);
	session_state_drop(id);
	session_state_drop(id);
	session_state_drop(PH_LIT("0000000000002"));
}
END_TEST

START_TEST(a_message_has_memory_and_words_of_its_own)
{
	struct ph_slice id = PH_LIT("0000000000001");
	struct session_state *state = session_state_obtain(id);
	unsigned *mine;
	char key[80];

	session_state_note(state, "helo", "good", false);
	session_state_message(state, 1);
	mine = message_state_of(state, &one, sizeof(*mine));
	*mine = 7;
	session_state_note(state, "spf", "fail", false);
	session_state_note(state, "spf", "pass", false);
	session_state_note(state, "dkim", "tried", true);
	session_state_note(state, "helo", "bad", true);
	session_state_message(state, 1);
	ck_assert_uint_eq(*(unsigned *)message_state_of(state, &one,
	    sizeof(*mine)), 7);
	ck_assert_str_eq(session_state_noted(state, "spf", false), "pass");
	ck_assert_str_eq(session_state_noted(state, "spf", true), "pass");
	ck_assert_ptr_null(session_state_noted(state, "dkim", false));
	ck_assert_str_eq(session_state_noted(state, "dkim", true), "tried");
	ck_assert_str_eq(session_state_noted(state, "helo", false), "good");
	ck_assert_str_eq(session_state_noted(state, "helo", true), "bad");
	session_state_message(state, 2);
	ck_assert_uint_eq(*(unsigned *)message_state_of(state, &one,
	    sizeof(*mine)), 0);
	ck_assert_ptr_null(session_state_noted(state, "spf", false));
	ck_assert_str_eq(session_state_noted(state, "helo", true), "good");
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "key%u", i % 100);
		session_state_note(state, key, "text", false);
	}
	ck_assert_ptr_nonnull(session_state_noted(state, "key63", false));
	ck_assert_ptr_null(session_state_noted(state, "key64", false));
	memset(key, 'k', 70);
	key[70] = '\0';
	session_state_message(state, 3);
	session_state_note(state, key, "text", false);
	ck_assert_ptr_null(session_state_noted(state, key, false));
	session_state_drop(id);
}
END_TEST

START_TEST(the_oldest_sessions_make_room)
{
	enum { MORE_THAN_KEPT = 50010 };
	struct session_state *state;
	char id[16];

	for (unsigned i = 0; i < MORE_THAN_KEPT; i++) {
		snprintf(id, sizeof(id), "%013u", i);
		state = session_state_obtain(ph_slice_str(id));
		*(unsigned *)session_state_of(state, &one,
		    sizeof(unsigned)) = i + 1;
		if (i > 0) /* the first stays in use */
			session_state_obtain(PH_LIT("0000000000000"));
	}
	state = session_state_obtain(PH_LIT("0000000000000"));
	ck_assert_uint_eq(*(unsigned *)session_state_of(state, &one,
	    sizeof(unsigned)), 1);
	state = session_state_obtain(PH_LIT("0000000000001"));
	ck_assert_uint_eq(*(unsigned *)session_state_of(state, &one,
	    sizeof(unsigned)), 0);
	for (unsigned i = 0; i < MORE_THAN_KEPT; i++) {
		snprintf(id, sizeof(id), "%013u", i);
		session_state_drop(ph_slice_str(id));
	}
}
END_TEST

static void
add_running(TCase *tcase)
{
	tcase_add_checked_fixture(tcase, fiber_runtime_init,
	    fiber_runtime_fini);
	tcase_add_test(tcase, a_stage_that_nobody_refuses_is_accepted);
	tcase_add_test(tcase, a_refusal_carries_its_reply_and_the_session);
	tcase_add_test(tcase, modules_of_one_order_run_together);
	tcase_add_test(tcase, a_later_order_waits_for_the_earlier);
	tcase_add_test(tcase,
	    accept_and_refusals_end_the_stage_after_their_order);
	tcase_add_test(tcase, what_is_quarantined_may_still_be_refused);
	tcase_add_test(tcase, the_strongest_of_an_order_wins);
	tcase_add_test(tcase, a_reject_ends_the_wait_for_the_others);
	tcase_add_test(tcase, a_reject_counts_however_fast_it_came);
	tcase_add_test(tcase, a_module_that_is_late_counts_as_its_on_failure);
	tcase_add_test(tcase,
	    a_late_module_delays_only_its_own_order_and_is_told);
	tcase_add_test(tcase,
	    an_answer_that_can_not_be_honoured_counts_as_on_failure);
	tcase_add_test(tcase, a_shadow_is_recorded_and_changes_nothing);
}

int
main(void)
{
	Suite *suite = suite_create("pipeline");
	TCase *pure = tcase_create("pure"), *running = tcase_create("running");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(pure, the_stronger_verdict_wins_from_either_side);
	tcase_add_test(pure,
	    nothing_is_dropped_or_held_before_there_is_a_recipient);
	tcase_add_test(pure, a_session_keeps_the_memory_of_each_section);
	tcase_add_test(pure, a_message_has_memory_and_words_of_its_own);
	tcase_add_test(pure, the_oldest_sessions_make_room);
	add_running(running);
	suite_add_tcase(suite, pure);
	suite_add_tcase(suite, running);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
