/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_stage.c - edge's end of the pipeline: is anybody interested in this
 * stage, what did they say, and what counts when check could not answer.
 */
#include "session/session.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/record.h"
#include "pipeline/asked.h"
#include "pipeline/field.h"
#include "pipeline/pipeline.h"
#include "pipeline/header_edit.h"
#include "role/check.h"
#include "session/mail.h"

enum { NOTE_ROOM = 16 }; /* octets of a field beside its value */

/* Whom the conditions are about: the session, the message if there is one. */
static struct when_facts
known_of(const struct ph_session *session, struct ph_mail *mail,
    const struct ph_slice *recipient)
{
	struct when_facts known = { .listener = session->listener,
		.is_authenticated = session->user != NULL,
		.client = &session->client };

	if (mail != NULL) {
		known.sender = mail_sender(mail);
		known.recipients = mail_recipients(mail);
		known.recipient_count = ph_mail_recipient_count(mail);
	}
	if (recipient->p != NULL) {
		known.recipients = recipient;
		known.recipient_count = 1;
	}
	return known;
}

unsigned
session_stages(const struct ph_session *session, struct ph_mail *mail)
{
	const struct generation *generation = session->generation;
	struct when_facts known = known_of(session, mail,
	    &(struct ph_slice){ NULL, 0 });
	unsigned stages = 0;

	for (size_t i = 0; i < generation->check_count; i++) {
		const struct check_facts *check = &generation->checks[i];

		if (check->mode == MODE_ENFORCE && asked_is(check, &known))
			stages |= check->stages;
	}
	return stages;
}

bool
session_policy_applies(const struct ph_session *session, struct ph_mail *mail,
    struct ph_slice recipient)
{
	const struct when *when = &session->generation->core.policy.when;
	struct when_facts known = known_of(session, mail, &recipient);

	return !when_is_set(when) || when_holds(when, &known);
}

static struct ph_outcome
unanswered(struct ph_session *session, unsigned on_failure, int status)
{
	struct ph_outcome outcome = { .verdict = PH_ACCEPT };

	ph_log(PH_WARN, "checks_unanswered",
	    ph_f_str("reason", ph_status_name(status)),
	    ph_f_str("counts_as", on_failure == ON_FAILURE_NEXT ? "next" :
	        on_failure == ON_FAILURE_REJECT ? "reject" : "defer"));
	if (on_failure == ON_FAILURE_NEXT)
		return outcome;
	outcome.verdict = on_failure == ON_FAILURE_REJECT ? PH_REJECT :
	    PH_DEFER;
	outcome.code = on_failure == ON_FAILURE_REJECT ? 550 : 451;
	outcome.enhanced = on_failure == ON_FAILURE_REJECT ? "5.7.1" :
	    "4.7.1";
	outcome.text = ph_arena_printf(session->arena,
	    "A check could not answer, %s (%s)",
	    on_failure == ON_FAILURE_REJECT ? "so this is refused" :
	    "try again later", session->id);
	return outcome;
}

/* Not the checks' failure: however they fail, unseen it must not get in. */
static struct ph_outcome
not_shown(const struct ph_session *session, int status)
{
	ph_log(PH_WARN, status == PH_FULL ? "content_memory_full" :
	                                    "content_not_copied",
	    ph_f_str("reason", ph_status_name(status)));
	return (struct ph_outcome){ .verdict = PH_DEFER, .code = 452,
		.enhanced = "4.3.1",
		.text = ph_arena_printf(session->arena,
		    "Too much mail at a time, try again later (%s)",
		    session->id) };
}

/* The last word under each key; when there is no room, it is dropped whole. */
static void
keep_note(struct ph_buf *notes, struct ph_slice note)
{
	const struct ph_slice key = record_get(note, F_NAME);
	struct ph_slice rest = ph_buf_content(notes);
	struct record_field field;
	const char *at = rest.p;

	while (record_next(&rest, &field)) {
		if (ph_slice_eq(record_get(field.value, F_NAME), key)) {
			memmove(notes->p + (at - notes->p), rest.p, rest.n);
			notes->n -= (size_t)(rest.p - at);
			break;
		}
		at = rest.p;
	}
	if (key.p != NULL && record_is_sound(note) &&
	    notes->n + note.n + NOTE_ROOM <= notes->limit)
		record_put(notes, F_NOTE, note);
}

/* Those that can be applied. */
static struct ph_slice
sound_changes(struct ph_arena *arena, struct ph_slice record)
{
	struct record_field field;
	struct ph_buf changes;

	ph_buf_init(&changes, arena, record.n + 1);
	while (record_next(&record, &field))
		if ((field.tag == F_ADD_HEADER &&
		        field_is_whole(field.value)) ||
		    (field.tag == F_EDIT && header_edit_is_sound(field.value)))
			record_put(&changes, field.tag, field.value);
	return ph_buf_content(&changes);
}

/* Before there is a header section to put them in front of: the newest first,
 * as there. */
static void
keep_fields(struct ph_arena *arena, struct ph_slice record,
    struct ph_buf *headers)
{
	struct record_field field;
	struct ph_slice former;

	while (record_next(&record, &field)) {
		if (field.tag != F_ADD_HEADER || !field_is_whole(field.value) ||
		    field.value.n > headers->limit - headers->n)
			continue;
		former = ph_arena_slice(arena, ph_buf_content(headers));
		headers->n = 0;
		ph_buf_slice(headers, field.value);
		ph_buf_slice(headers, former);
	}
}

static void
keep_changes(struct ph_session *session, enum ph_stage stage,
    struct ph_mail *mail, struct ph_slice record)
{
	struct ph_arena *arena;

	if (!header_edit_is_any(record))
		return;
	arena = ph_arena_create(NULL);
	if (mail == NULL)
		keep_fields(arena, record, &session->headers);
	else if (stage < PH_AT_DATA)
		keep_fields(arena, record, mail_headers(mail));
	else if (!mail_change_header(mail, sound_changes(arena, record)))
		ph_log(PH_ERROR, "header_not_changed",
		    ph_f_str("reason", "the changes add too much"));
	ph_arena_free(arena);
}

/* What is written down of the answer, on the message or the session. */
static void
keep_notes(struct ph_session *session, struct ph_mail *mail,
    struct ph_slice record)
{
	struct ph_buf *trace = mail != NULL ? mail_trace(mail) :
	    &session->trace;
	struct ph_buf *notes = mail != NULL ? mail_notes(mail) :
	    &session->notes;
	struct score *score = mail != NULL ? mail_score(mail) :
	    &session->score;
	struct ph_arena *arena = mail != NULL ? ph_mail_arena(mail) :
	    session->arena;
	struct record_field field;

	score_add_sum(score, (int64_t)record_get_u64(record, F_SCORE, 0));
	while (record_next(&record, &field)) {
		if (field.tag == F_NOTE)
			keep_note(notes, field.value);
		if (field.tag != F_TRACE)
			continue;
		record_put(trace, F_TRACE, field.value);
		if (record_get_u64(field.value, F_SHADOW, 0) == 0)
			score_add_share(arena, score,
			    record_get(field.value, F_MODULE),
			    (int64_t)record_get_u64(field.value, F_SCORE, 0));
	}
}

static const char *
copy_text(struct ph_arena *arena, struct ph_slice record, uint16_t tag)
{
	return ph_arena_slice(arena, record_get(record, tag)).p;
}

int
session_take_outcome(struct ph_session *session, enum ph_stage stage,
    struct ph_mail *mail, struct ph_slice record,
    struct ph_outcome *outcome_out)
{
	struct ph_arena *arena = mail != NULL ? ph_mail_arena(mail) :
	    session->arena;
	struct ph_outcome outcome = { .verdict = PH_ACCEPT };
	uint64_t verdict = record_get_u64(record, F_VERDICT, PH_NEXT);
	int class;

	if (verdict == PH_NEXT || verdict > PH_QUARANTINE ||
	    !pipeline_honours(stage, (enum ph_verdict)verdict))
		return PH_DEFECT;
	outcome.verdict = (enum ph_verdict)verdict;
	outcome.module = copy_text(arena, record, F_MODULE);
	if (verdict == PH_QUARANTINE)
		outcome.text = copy_text(arena, record, F_TEXT);
	if (verdict == PH_REJECT || verdict == PH_DEFER) {
		class = verdict == PH_REJECT ? 5 : 4;
		outcome.code = (int)record_get_u64(record, F_CODE, 0);
		outcome.enhanced = copy_text(arena, record, F_ENHANCED);
		outcome.text = copy_text(arena, record, F_TEXT);
		if (outcome.code / 100 != class)
			outcome.code = class == 5 ? 550 : 451;
		if (outcome.enhanced == NULL ||
		    outcome.enhanced[0] != '0' + class)
			outcome.enhanced = class == 5 ? "5.7.1" : "4.7.1";
		if (outcome.text == NULL)
			outcome.text = ph_arena_printf(arena,
			    "Refused by policy (%s)", session->id);
	}
	keep_changes(session, stage, mail, record);
	keep_notes(session, mail, record);
	*outcome_out = outcome;
	return PH_OK;
}

static void
put_request(struct ph_buf *buf, const struct ph_session *session,
    enum ph_stage stage, struct ph_mail *mail, struct ph_slice recipient)
{
	int64_t score = session->score.sum +
	    (mail != NULL ? mail_score(mail)->sum : 0);

	session_put(session, buf);
	record_put_u64(buf, F_STAGE, stage);
	if (score != 0)
		record_put_u64(buf, F_SCORE, (uint64_t)score);
	if (recipient.p != NULL)
		record_put(buf, F_RECIPIENT, recipient);
	if (mail != NULL)
		mail_put_envelope(mail, stage >= PH_AT_DATA, buf);
}

static bool
is_taken(const struct ph_outcome *outcome)
{
	return outcome->verdict == PH_ACCEPT ||
	    outcome->verdict == PH_QUARANTINE;
}

/* Another body, if one came; a message that is refused keeps it, too. */
static int
take_body(enum ph_stage stage, struct ph_mail *mail,
    const struct bus_message *reply)
{
	int fd = reply->fds[0];

	if (fd < 0)
		return PH_OK;
	if (stage == PH_AT_MESSAGE && mail != NULL)
		return mail_replace_body(mail, fd);
	close(fd);
	return PH_DEFECT;
}

static struct ph_outcome
ask(struct ph_session *session, enum ph_stage stage, struct ph_mail *mail,
    struct ph_slice recipient)
{
	const struct when_facts known = known_of(session, mail, &recipient);
	const struct asked facts = asked_at(session->generation, stage,
	    &known);
	struct ph_outcome outcome = { .verdict = PH_ACCEPT };
	struct bus_message reply;
	struct ph_arena *arena;
	struct ph_buf buf;
	int status = PH_OK, fd = -1;

	if (!facts.is_any)
		return outcome;
	if (stage == PH_AT_MESSAGE && mail != NULL)
		status = mail_content_get(mail, &fd);
	if (status != PH_OK)
		return not_shown(session, status);
	arena = ph_arena_create(NULL);
	ph_buf_init(&buf, arena, BUS_MESSAGE_LIMIT);
	put_request(&buf, session, stage, mail, recipient);
	session->was_asked = true;
	status = buf.full ? PH_TOO_BIG :
	    check_ask(record_crc(0, session->id, strlen(session->id)),
	        &(struct check_question){ MSG_STAGE, session->id, &buf, fd,
	            facts.budget_ms }, arena, &reply);
	if (fd >= 0)
		mail_content_put(mail, fd);
	if (status == PH_OK)
		status = take_body(stage, mail, &reply);
	if (status == PH_OK)
		status = session_take_outcome(session, stage, mail,
		    reply.record, &outcome);
	if (status == PH_OK && stage == PH_AT_MESSAGE && mail != NULL &&
	    is_taken(&outcome))
		mail_change_envelope(mail, reply.record);
	if (status != PH_OK && mail != NULL)
		mail_restore_body(mail);
	if (status != PH_OK)
		outcome = unanswered(session, facts.on_failure, status);
	ph_arena_free(arena);
	return outcome;
}

/* Those who only observe hear of it, when it is decided. */
static void
observe(struct ph_session *session, enum ph_stage stage,
    struct ph_mail *mail, struct ph_slice recipient,
    const struct ph_outcome *outcome)
{
	const struct when_facts known = known_of(session, mail, &recipient);
	struct ph_buf buf;
	size_t mark;

	if (!asked_observers(session->generation, stage, &known))
		return;
	ph_buf_init(&buf, NULL, BUS_MESSAGE_LIMIT);
	put_request(&buf, session, stage, mail, recipient);
	mark = record_begin(&buf, F_DECISION);
	record_put_u64(&buf, F_VERDICT, outcome->verdict);
	record_put_u64(&buf, F_CODE, (uint64_t)outcome->code);
	if (outcome->enhanced != NULL)
		record_put_str(&buf, F_ENHANCED, outcome->enhanced);
	if (outcome->text != NULL)
		record_put_str(&buf, F_TEXT, outcome->text);
	if (outcome->module != NULL)
		record_put_str(&buf, F_MODULE, outcome->module);
	record_end(&buf, mark);
	session->was_asked = true;
	if (buf.full || !bus_notify(ROLE_CHECK, record_crc(0, session->id,
	        strlen(session->id)), MSG_OBSERVE, ph_buf_content(&buf)))
		asked_missed(session->generation, 1u << stage);
	ph_buf_fini(&buf);
}

struct ph_outcome
ph_session_stage(struct ph_session *session, enum ph_stage stage,
    struct ph_mail *mail, struct ph_slice recipient)
{
	struct ph_outcome outcome;

	if (mail != NULL && stage >= PH_AT_DATA) {
		mail_begin_header(mail);
		session_drop_forged(session, mail);
	}
	outcome = ask(session, stage, mail, recipient);
	if (mail != NULL && stage == PH_AT_MESSAGE && is_taken(&outcome) &&
	    ph_mail_recipient_count(mail) == 0) {
		ph_log(PH_NOTICE, "no_recipient_left");
		outcome.verdict = PH_DISCARD;
	}
	session_judge(session, stage, mail, recipient, &outcome);
	observe(session, stage, mail, recipient, &outcome);
	if (outcome.verdict == PH_QUARANTINE && mail != NULL)
		mail_hold(mail, ph_arena_printf(ph_mail_arena(mail), "%s%s%s",
		    outcome.module != NULL ? outcome.module : "check",
		    outcome.text != NULL ? ": " : "",
		    outcome.text != NULL ? outcome.text : ""));
	return outcome;
}

void
session_end_checks(struct ph_session *session)
{
	struct ph_buf buf;

	if (!session->was_asked)
		return;
	ph_buf_init(&buf, session->arena, 256);
	record_put_str(&buf, F_SESSION, session->id);
	bus_notify(ROLE_CHECK,
	    record_crc(0, session->id, strlen(session->id)), MSG_SESSION_END,
	    ph_buf_content(&buf));
}
