/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_policy.c - the score of a message held against the section `policy`,
 * when a stage's checks have answered: what comes of it, and the line, header
 * field and trace that say so.
 */
#include "session/session.h"

#include <posthouse/mail.h>

#include "base/record.h"
#include "pipeline/field.h"
#include "pipeline/pipeline.h"
#include "session/mail.h"

struct judgement {
	struct ph_session *session;
	struct ph_mail *mail;
	enum ph_stage stage;
	struct ph_slice recipient; /* absent but at rcpt */
	enum policy_answer answer;
	const char *text;          /* the score with its shares */
};

static bool
is_postmaster(struct ph_slice address)
{
	struct ph_slice local = ph_address_local(address);

	return ph_slice_eq_nocase(local.p != NULL ? local : address,
	    PH_LIT("postmaster"));
}

/* RFC 5321 s4.5.1: postmaster is where one asks why mail is refused. */
static bool
is_for_postmaster(const struct judgement *j)
{
	size_t count = ph_mail_recipient_count(j->mail);

	if (j->recipient.p != NULL)
		return is_postmaster(j->recipient);
	for (size_t i = 0; i < count; i++)
		if (!is_postmaster(mail_recipients(j->mail)[i]))
			return false;
	return count > 0;
}

static enum ph_verdict
verdict_of(enum policy_answer answer)
{
	static const enum ph_verdict verdicts[] = { PH_ACCEPT, PH_ACCEPT,
		PH_QUARANTINE, PH_DEFER, PH_REJECT };

	return verdicts[answer];
}

static const char *
why(const struct judgement *j, const struct core_policy *policy)
{
	struct ph_arena *arena = ph_mail_arena(j->mail);

	if (j->answer == POLICY_PASS)
		return ph_arena_printf(arena, "score %s", j->text);
	return ph_arena_printf(arena, "score %s, %s %u", j->text,
	    policy_answer_name(j->answer), policy_limit(policy, j->answer));
}

static void
note(const struct judgement *j, const struct core_policy *policy)
{
	enum ph_verdict verdict = verdict_of(j->answer);
	bool is_shadow = policy->mode == MODE_SHADOW;
	struct ph_buf *trace = mail_trace(j->mail);
	const char *reason = why(j, policy);
	size_t mark = record_begin(trace, F_TRACE);

	record_put_str(trace, F_MODULE, "policy");
	record_put_u64(trace, F_STAGE, j->stage);
	record_put_u64(trace, F_VERDICT, verdict);
	record_put_str(trace, F_TEXT, reason);
	record_put_u64(trace, F_SHADOW, is_shadow);
	record_end(trace, mark);
	ph_log(verdict == PH_ACCEPT ? PH_INFO : PH_NOTICE, "policy",
	    ph_f_str("stage", ph_stage_name(j->stage)),
	    ph_f_str("verdict", j->answer == POLICY_TAG ? "tag" :
	        ph_verdict_name(verdict)),
	    ph_f_str("mode", is_shadow ? "shadow" : NULL),
	    ph_f_slice("to", j->recipient),
	    ph_f_str("reason", reason));
}

static void
refuse(const struct judgement *j, const struct core_policy *policy,
    struct ph_outcome *outcome)
{
	bool is_reject = j->answer == POLICY_REJECT;

	*outcome = (struct ph_outcome){
		.verdict = is_reject ? PH_REJECT : PH_DEFER,
		.code = is_reject ? 550 : 451,
		.enhanced = is_reject ? "5.7.1" : "4.7.1",
		.module = "policy",
		.text = ph_arena_printf(ph_mail_arena(j->mail), "%s (%s)",
		    is_reject ? policy->reject_text : policy->defer_text,
		    j->session->id) };
}

static void
put_field(struct ph_mail *mail, const char *name, const char *value)
{
	struct ph_buf field, change;

	ph_buf_init(&field, ph_mail_arena(mail), FIELD_MAX);
	ph_buf_init(&change, ph_mail_arena(mail), 2 * FIELD_MAX);
	if (!field_put(&field, name, value))
		return;
	record_put(&change, F_ADD_HEADER, ph_buf_content(&field));
	(void)mail_change_header(mail, ph_buf_content(&change));
}

/* The message is taken: hold it, mark it. */
static void
take(const struct judgement *j, const struct core_policy *policy,
    struct ph_outcome *outcome)
{
	if (policy->tag_at > 0 && policy->header[0] != '\0' &&
	    policy_answer(policy, mail_score(j->mail)->sum +
	        j->session->score.sum) >= POLICY_TAG)
		put_field(j->mail, policy->header, j->text);
	if (j->answer != POLICY_QUARANTINE)
		return;
	outcome->verdict = pipeline_stronger(outcome->verdict, PH_QUARANTINE);
	outcome->module = "policy";
	outcome->text = why(j, policy);
}

/* Refusals are for the first stage at which they can be told, the rest waits
 * for the last. */
static void
settle(struct judgement *j, const struct core_policy *policy,
    struct ph_outcome *outcome)
{
	bool is_last = j->stage == PH_AT_MESSAGE;

	if (j->answer >= POLICY_DEFER && policy->spare_postmaster &&
	    is_for_postmaster(j))
		j->answer = POLICY_TAG;
	if (j->answer < POLICY_DEFER && !is_last)
		return;
	j->text = score_text(ph_mail_arena(j->mail), &j->session->score,
	    mail_score(j->mail));
	note(j, policy);
	if (policy->mode == MODE_SHADOW)
		return;
	if (j->answer >= POLICY_DEFER)
		refuse(j, policy, outcome);
	else
		take(j, policy, outcome);
}

void
session_judge(struct ph_session *session, enum ph_stage stage,
    struct ph_mail *mail, struct ph_slice recipient,
    struct ph_outcome *outcome)
{
	const struct core_policy *policy = &session->generation->core.policy;
	struct judgement j = { .session = session, .mail = mail,
		.stage = stage, .recipient = recipient };

	if (mail == NULL || stage < PH_AT_RCPT ||
	    outcome->verdict == PH_REJECT || outcome->verdict == PH_DEFER ||
	    outcome->verdict == PH_DISCARD)
		return;
	if (session->score.shares == NULL && mail_score(mail)->shares == NULL)
		return;
	if (stage < policy_stage(policy, session_stages(session, mail)) ||
	    !session_policy_applies(session, mail, recipient))
		return;
	j.answer = policy_answer(policy, session->score.sum +
	    mail_score(mail)->sum);
	settle(&j, policy, outcome);
}

void
session_drop_forged(struct ph_session *session, struct ph_mail *mail)
{
	const struct core_policy *policy = &session->generation->core.policy;
	struct ph_header_field field;
	struct ph_buf change;

	if (policy->tag_at == 0 || policy->mode == MODE_SHADOW ||
	    policy->header[0] == '\0' ||
	    !ph_header_find(mail_header(mail), policy->header, &field))
		return;
	ph_buf_init(&change, ph_mail_arena(mail), FIELD_MAX);
	field_put_removal(&change, policy->header, 0);
	(void)mail_change_header(mail, ph_buf_content(&change));
}
