/* SPDX-License-Identifier: Apache-2.0 */
/*
 * step.c - one stage through the server's pipeline, in a fiber of a scope, so
 * that it can be canceled while it waits; and what came of it.
 */
#include <sys/stat.h>
#include <unistd.h>

#include <posthouse/mail.h>

#include "base/record.h"
#include "log/log.h"
#include "loop/fiber.h"
#include "pipeline/envelope_edit.h"
#include "pipeline/field.h"
#include "pipeline/place.h"
#include "run.h"

enum { REPLY_MAX = 1 << 20, LOG_MAX = 4 << 20 };

static struct step {
	struct run *run;
	void (*fn)(void *arg);
	void *arg;
	struct ph_event moved;
	unsigned line, waits;
	bool is_done, is_canceled;
} *step_now;

static void
step_main(void *arg)
{
	struct step *step = arg;

	step->fn(step->arg);
	step->is_done = true;
	ph_event_signal(&step->moved);
}

bool
run_on_idle(void)
{
	struct step *step = step_now;

	if (step == NULL || step->is_canceled)
		return false;
	step->waits++;
	if (step->run->cancel_line != step->line ||
	    step->run->cancel_at != step->waits)
		return false;
	step->is_canceled = true;
	ph_event_signal(&step->moved);
	return true;
}

/* The lines since the last step. */
static struct ph_slice
new_log(struct run *run)
{
	struct stat st;
	char *text;
	ssize_t n;

	log_flush();
	if (fstat(run->log_fd, &st) != 0 || st.st_size <= run->log_at ||
	    st.st_size - run->log_at > LOG_MAX)
		return PH_LIT("");
	text = ph_arena_alloc(run->arena, (size_t)(st.st_size - run->log_at));
	n = pread(run->log_fd, text, (size_t)(st.st_size - run->log_at),
	    run->log_at);
	run->log_at = st.st_size;
	return (struct ph_slice){ text, n > 0 ? (size_t)n : 0 };
}

static const char *
text_of(struct ph_arena *arena, struct ph_slice record, uint16_t tag)
{
	struct ph_slice text = record_get(record, tag);

	return text.p != NULL ? ph_arena_slice(arena, text).p : NULL;
}

/* "Name: value\r\n", folded, becomes "Name: value\n". */
static void
add_header(struct ph_buf *headers, struct ph_slice field)
{
	for (size_t i = 0; i < field.n; i++)
		if (field.p[i] != '\r' &&
		    (field.p[i] != '\n' || i + 1 == field.n))
			ph_buf_char(headers, field.p[i]);
}

static void
add_text(struct ph_buf *lines, struct ph_slice text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] != '\r')
			ph_buf_char(lines, text.p[i]);
}

/* "insert 1 Name: value", "change 2 Name: value", "remove 0 Name" */
static void
add_edit(struct ph_buf *edits, struct ph_slice edit)
{
	static const char *const words[] = { [FIELD_INSERT] = "insert",
		[FIELD_CHANGE] = "change", [FIELD_REMOVE] = "remove" };
	uint64_t op = record_get_u64(edit, F_OP, 0);
	struct ph_slice field = record_get(edit, F_TEXT);

	if (op < FIELD_INSERT || op > FIELD_REMOVE)
		return;
	ph_buf_printf(edits, "%s %llu ", words[op],
	    (unsigned long long)record_get_u64(edit, F_NUMBER, 0));
	if (op != FIELD_REMOVE) {
		add_header(edits, field);
		return;
	}
	ph_buf_slice(edits, record_get(edit, F_NAME));
	ph_buf_char(edits, '\n');
}

/* "recipient add ADDRESS [NOTIFY [ORCPT]]", "recipient remove ADDRESS", "sender
 * ADDRESS" */
static void
add_envelope(struct ph_arena *arena, struct ph_buf *edits,
    struct ph_slice record)
{
	static const char *const words[] = { [ENVELOPE_ADD] = "recipient add",
		[ENVELOPE_REMOVE] = "recipient remove",
		[ENVELOPE_SENDER] = "sender" };
	struct envelope_edit edit;

	if (envelope_edit_take(arena, record, &edit) != PH_OK)
		return;
	ph_buf_printf(edits, "%s " PH_SLICE_FMT, words[edit.op],
	    PH_SLICE_ARG(edit.address));
	if (edit.notify.p != NULL || edit.orcpt.p != NULL)
		ph_buf_printf(edits, " " PH_SLICE_FMT, edit.notify.p != NULL ?
		    (int)edit.notify.n : 1, edit.notify.p != NULL ?
		    edit.notify.p : "-");
	if (edit.orcpt.p != NULL)
		ph_buf_printf(edits, " " PH_SLICE_FMT,
		    PH_SLICE_ARG(edit.orcpt));
	ph_buf_char(edits, '\n');
}

/* "file MAILBOX [\\Seen] ... [KEYWORD] ..." */
static void
add_place(struct ph_arena *arena, struct ph_buf *edits, struct ph_slice record)
{
	static const char *const flags[] = { "\\Seen", "\\Answered",
		"\\Flagged", "\\Deleted", "\\Draft" };
	struct ph_delivery_place place;

	if (!place_take(arena, record, &place))
		return;
	ph_buf_printf(edits, "file " PH_SLICE_FMT,
	    PH_SLICE_ARG(place.mailbox));
	for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if ((place.flags >> i & 1) != 0)
			ph_buf_printf(edits, " %s", flags[i]);
	for (size_t i = 0; i < place.keyword_count; i++)
		ph_buf_printf(edits, " " PH_SLICE_FMT,
		    PH_SLICE_ARG(place.keywords[i]));
	ph_buf_char(edits, '\n');
}

/* "reply ADDRESS SUBJECT" */
static void
add_reply(struct ph_arena *arena, struct ph_buf *edits, struct ph_slice record)
{
	struct ph_header_field subject;
	bool has = ph_header_find(record_get(record, F_CONTENT), "Subject",
	    &subject);

	ph_buf_printf(edits, "reply " PH_SLICE_FMT " " PH_SLICE_FMT "\n",
	    PH_SLICE_ARG(record_get(record, F_ADDRESS)), PH_SLICE_ARG(has ?
	    ph_header_unfold(arena, subject.value) : PH_LIT("")));
}

/* Its lines, each with \n. */
static void
take_body(struct run *run, int fd, struct run_outcome *outcome)
{
	struct ph_buf lines;
	struct stat st;
	char *text;

	if (fd < 0 || fstat(fd, &st) != 0)
		return;
	text = ph_arena_alloc(run->arena, (size_t)st.st_size + 1);
	ph_buf_init(&lines, run->arena, (size_t)st.st_size + 1);
	if (pread(fd, text, (size_t)st.st_size, 0) == st.st_size)
		add_text(&lines, (struct ph_slice){ text,
		    (size_t)st.st_size });
	outcome->body = ph_buf_content(&lines);
	outcome->is_replaced = true;
}

static void
take_trace(struct run *run, struct ph_slice trace, struct run_outcome *outcome)
{
	if (!ph_slice_eq(record_get(trace, F_MODULE),
	        ph_slice_str(run->section)))
		return;
	outcome->verdict = (enum ph_verdict)record_get_u64(trace, F_VERDICT,
	    PH_NEXT);
	outcome->text = text_of(run->arena, trace, F_TEXT);
}

static void
take_reply(struct run *run, struct ph_slice reply, struct run_outcome *outcome)
{
	struct ph_slice rest = reply;
	struct record_field field;
	struct ph_buf headers, edits;

	ph_buf_init(&headers, run->arena, REPLY_MAX);
	ph_buf_init(&edits, run->arena, REPLY_MAX);
	outcome->outcome = (enum ph_verdict)record_get_u64(reply, F_VERDICT,
	    PH_ACCEPT);
	outcome->points = (int64_t)record_get_u64(reply, F_SCORE, 0);
	outcome->code = (int)record_get_u64(reply, F_CODE, 0);
	outcome->enhanced = text_of(run->arena, reply, F_ENHANCED);
	while (record_next(&rest, &field))
		if (field.tag == F_TRACE)
			take_trace(run, field.value, outcome);
		else if (field.tag == F_ADD_HEADER)
			add_header(&headers, field.value);
		else if (field.tag == F_EDIT)
			add_edit(&edits, field.value);
		else if (field.tag == F_ENVELOPE)
			add_envelope(run->arena, &edits, field.value);
		else if (field.tag == F_PLACE)
			add_place(run->arena, &edits, field.value);
		else if (field.tag == F_REDIRECT)
			ph_buf_printf(&edits, "redirect " PH_SLICE_FMT "\n",
			    PH_SLICE_ARG(field.value));
		else if (field.tag == F_REPLY)
			add_reply(run->arena, &edits, field.value);
	outcome->headers = ph_buf_content(&headers);
	outcome->edits = ph_buf_content(&edits);
}

/* Why the module's on_failure spoke for it, or what its code does wrong, as the
 * log tells. */
static void
take_faults(struct run *run, struct run_outcome *outcome)
{
	struct ph_slice rest = outcome->log;

	while (rest.p != NULL && rest.n > 0) {
		struct ph_slice line = ph_slice_cut(&rest, '\n');
		const char *module;

		if (!ph_slice_eq(run_log_event(line), PH_LIT("verdict")))
			continue;
		module = run_log_field(run->arena, line, "module");
		if (module == NULL || strcmp(module, run->section) != 0)
			continue;
		outcome->failure = run_log_field(run->arena, line, "failure");
		if (outcome->failure == NULL)
			outcome->failure = run_log_field(run->arena, line,
			    "fault");
	}
}

static void
run_scope(struct step *step)
{
	struct ph_scope scope;

	ph_scope_begin(&scope);
	ph_scope_spawn(&scope, step_main, step);
	step_now = step;
	while (!step->is_done && !step->is_canceled)
		(void)ph_event_wait(&step->moved, PH_NO_LIMIT_MS);
	ph_scope_end(&scope); /* returns when the hook has */
	step_now = NULL;
}

void
run_measured(struct run *run, const struct script_command *at,
    const char *name, void (*fn)(void *arg), void *arg,
    struct run_outcome *outcome_out)
{
	struct step step = { .run = run, .fn = fn, .arg = arg,
		.line = at->line };
	uint64_t start = ph_now_ms();
	unsigned asked = run->fakes->dns_asked();

	run->progress->stage = name;
	run_scope(&step);
	run->progress->stage = NULL;
	if (run->is_plain && at->line < RUN_LINES_MAX)
		run->progress->waits[at->line] = step.waits;
	*outcome_out = (struct run_outcome){ .took_ms = ph_now_ms() - start,
		.asked = run->fakes->dns_asked() - asked,
		.log = new_log(run) };
}

/* --- a stage --- */

struct staging {
	struct run *run;
	struct ph_call call;
	struct ph_buf reply;
	int body_fd; /* -1: as it came */
};

static void
run_pipeline(void *arg)
{
	struct staging *staging = arg;

	pipeline_run(staging->run->generation, &staging->call,
	    &staging->reply, &staging->body_fd);
}

void
run_stage(struct run *run, const struct script_command *at,
    enum ph_stage stage, const struct ph_call *like,
    struct run_outcome *outcome_out)
{
	struct ph_arena *arena = ph_arena_create(run->arena);
	struct staging staging = { .run = run, .call = *like, .body_fd = -1 };
	struct ph_call *call = &staging.call;

	call->arena = arena;
	call->content_fd = -1;
	call->session = run->session;
	call->state = session_state_obtain(ph_slice_str(run->session->id));
	session_state_message(call->state, run->transaction);
	session_state_get(call->state);
	call->stage = stage;
	call->score_so_far = stage < PH_STAGES ? run->session_score +
	    run->score : run->taken_score;
	if (stage < PH_STAGES) {
		call->sender = run->sender;
		call->recipient_count = run->recipient_count;
	}
	if (stage == PH_AT_DATA || stage == PH_AT_MESSAGE) {
		call->recipients = run->recipients;
		call->recipients_known = run->recipient_count;
	}
	ph_buf_init(&staging.reply, arena, REPLY_MAX);
	run_measured(run, at, ph_stage_name(stage), run_pipeline, &staging,
	    outcome_out);
	session_state_put(call->state);
	take_reply(run, ph_buf_content(&staging.reply), outcome_out);
	take_body(run, staging.body_fd, outcome_out);
	take_faults(run, outcome_out);
	if (stage < PH_STAGES)
		run_add_score(run, outcome_out->points);
	ph_arena_free(arena);
}
