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
#include "session/mail.h"

enum { STAGE_MARGIN_MS = 2000 };

/* What the F_CHECK facts say of one stage. */
struct stage_facts {
	bool is_hooked;
	unsigned budget_ms;
	unsigned on_failure; /* the strictest of the enforcing modules */
};

static unsigned
stricter(unsigned a, unsigned b)
{
	static const unsigned strictness[] = { [ON_FAILURE_NEXT] = 0,
		[ON_FAILURE_DEFER] = 1, [ON_FAILURE_REJECT] = 2 };

	if (a > ON_FAILURE_REJECT || b > ON_FAILURE_REJECT)
		return ON_FAILURE_DEFER;
	return strictness[a] >= strictness[b] ? a : b;
}

/* Modules of one order run together, orders one after the other. */
static struct stage_facts
facts_of(const struct generation *generation, enum ph_stage stage)
{
	struct stage_facts facts = { .on_failure = ON_FAILURE_NEXT };
	struct ph_slice rest = generation->checks;
	struct record_field field;
	uint64_t order = UINT64_MAX;
	unsigned slowest = 0;

	while (rest.n > 0 && record_next(&rest, &field)) {
		struct ph_slice check = field.value;
		uint64_t stages = record_get_u64(check, F_STAGES, 0);
		struct ph_slice name = record_get(check, F_SECTION);
		unsigned timeout_ms = (unsigned)record_get_u64(check,
		    F_TIMEOUT, 20000);
		char section[64];

		if ((stages >> stage & 1) == 0)
			continue;
		snprintf(section, sizeof(section), "%.*s",
		    PH_SLICE_ARG(name));
		if (role_module_is_out(section) &&
		    record_get_u64(check, F_ON_FAILURE, 0) == ON_FAILURE_NEXT)
			continue;
		facts.is_hooked = true;
		if (record_get_u64(check, F_ORDER, 0) != order) {
			order = record_get_u64(check, F_ORDER, 0);
			facts.budget_ms += slowest;
			slowest = 0;
		}
		slowest = timeout_ms > slowest ? timeout_ms : slowest;
		if (record_get_u64(check, F_MODE, 0) == MODE_ENFORCE)
			facts.on_failure = stricter(facts.on_failure,
			    (unsigned)record_get_u64(check, F_ON_FAILURE, 0));
	}
	facts.budget_ms += slowest + STAGE_MARGIN_MS;
	return facts;
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

static struct ph_outcome
take_outcome(struct ph_session *session, struct ph_mail *mail,
    struct ph_slice record)
{
	struct ph_arena *arena = mail != NULL ? ph_mail_arena(mail) :
	    session->arena;
	struct ph_outcome outcome = { .verdict = PH_ACCEPT };
	struct ph_slice rest = record, module;
	struct record_field field;
	uint64_t verdict = record_get_u64(record, F_VERDICT, PH_ACCEPT);

	if (verdict <= PH_QUARANTINE && verdict != PH_NEXT)
		outcome.verdict = (enum ph_verdict)verdict;
	outcome.code = (int)record_get_u64(record, F_CODE, 0);
	outcome.enhanced = ph_arena_slice(arena,
	    record_get(record, F_ENHANCED)).p;
	outcome.text = ph_arena_slice(arena, record_get(record, F_TEXT)).p;
	module = record_get(record, F_MODULE);
	outcome.module = module.p != NULL ?
	    ph_arena_slice(arena, module).p : NULL;
	if (outcome.verdict == PH_REJECT || outcome.verdict == PH_DEFER) {
		int class = outcome.verdict == PH_REJECT ? 5 : 4;

		if (outcome.code / 100 != class)
			outcome.code = class == 5 ? 550 : 451;
		if (outcome.enhanced == NULL)
			outcome.enhanced = class == 5 ? "5.7.1" : "4.7.1";
		if (outcome.text == NULL)
			outcome.text = ph_arena_printf(arena,
			    "Refused by policy (%s)", session->id);
	}
	while (record_next(&rest, &field)) {
		struct ph_buf *headers = mail != NULL ? mail_headers(mail) :
		    &session->headers;
		struct ph_buf *trace = mail != NULL ? mail_trace(mail) :
		    &session->trace;

		if (field.tag == F_ADD_HEADER)
			ph_buf_slice(headers, field.value);
		if (field.tag == F_TRACE)
			record_put(trace, F_TRACE, field.value);
	}
	session->score += (int64_t)record_get_u64(record, F_SCORE, 0);
	return outcome;
}

static void
put_envelope(struct ph_buf *buf, enum ph_stage stage, struct ph_mail *mail,
    struct ph_slice recipient)
{
	record_put_u64(buf, F_STAGE, stage);
	if (recipient.p != NULL)
		record_put(buf, F_RECIPIENT, recipient);
	if (mail != NULL)
		mail_put_envelope(mail, stage >= PH_AT_DATA, buf);
}

struct ph_outcome
ph_session_stage(struct ph_session *session, enum ph_stage stage,
    struct ph_mail *mail, struct ph_slice recipient)
{
	struct stage_facts facts = facts_of(session->generation, stage);
	struct ph_outcome outcome = { .verdict = PH_ACCEPT };
	struct bus_message reply;
	struct ph_arena *arena;
	struct ph_buf buf;
	int status, fd = -1;

	if (!facts.is_hooked)
		return outcome;
	arena = ph_arena_create(NULL);
	ph_buf_init(&buf, arena, BUS_MESSAGE_LIMIT);
	session_put(session, &buf);
	put_envelope(&buf, stage, mail, recipient);
	if (stage == PH_AT_MESSAGE && mail != NULL) {
		fd = mail_content_fd(mail);
		if (fd < 0)
			buf.full = true;
	}
	session->was_asked = true;
	status = buf.full ? PH_TOO_BIG : bus_call(ROLE_CHECK,
	    record_crc(0, session->id, strlen(session->id)), MSG_STAGE,
	    ph_buf_content(&buf), &fd, fd >= 0 ? 1 : 0, facts.budget_ms, arena,
	    &reply);
	if (fd >= 0)
		close(fd);
	outcome = status == PH_OK ? take_outcome(session, mail, reply.record) :
	    unanswered(session, facts.on_failure, status);
	if (outcome.verdict == PH_QUARANTINE && mail != NULL)
		mail_hold(mail);
	ph_arena_free(arena);
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
