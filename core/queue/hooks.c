/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hooks.c - the hooks of checks around an attempt: asked in the check role
 * before it, told after it. Without a module that has one, no message is sent.
 * Check hosts code of others, so what it answers is looked at.
 */
#include "queue/attempt.h"

#include "base/record.h"
#include "log/log.h"
#include "pipeline/asked.h"
#include "pipeline/pipeline.h"
#include "queue/envelope.h"
#include "queue/routing.h"
#include "queue/verdicts.h"
#include "role/check.h"

enum {
	AT_ONCE = 16, /* recipients of one question */
	BEFORE = 1u << PH_AT_ROUTE | 1u << PH_AT_DELIVER,
	TEXT_MAX = 512,
	PLACES_OCTETS_MAX = 128 << 10, /* of one attempt */
	NAME_MAX_OCTETS = 64, /* of a module's section */
};

/* A question under way. */
struct question {
	struct attempt *a;
	struct ph_buf rcpts;         /* F_RCPT* */
	size_t index[AT_ONCE], count; /* of the recipients */
	unsigned stages;             /* of any of them */
	unsigned budget_ms, on_failure;
};

static bool
is_hooked(unsigned stages)
{
	return (generation_current()->stages & stages) != 0;
}

/* --- what they are shown --- */

/* Of a message that came without: made here, or before such a hook was on. */
static struct ph_slice
plain_origin(const struct attempt *a, struct ph_slice envelope)
{
	struct ph_slice service = record_get(envelope, ENV_SERVICE);
	struct ph_slice client = record_get(envelope, ENV_CLIENT);
	struct ph_slice user = record_get(envelope, ENV_AUTH_USER);
	struct ph_buf buf;

	ph_buf_init(&buf, a->arena, 4096);
	record_put_str(&buf, F_SESSION, a->entry->session != 0 ?
	    entry_session(a->entry) : entry_name(a->entry));
	record_put(&buf, F_LISTENER, PH_LIT(""));
	record_put(&buf, F_SERVICE, service.p != NULL ? service : PH_LIT(""));
	if (client.p != NULL)
		record_put(&buf, F_CLIENT, client);
	if (user.p != NULL)
		record_put(&buf, F_USER, user);
	return ph_buf_content(&buf);
}

int
hooks_begin(struct attempt *a)
{
	struct queue_db_message message = { .body.fd = -1 };
	int status;

	if (!is_hooked(~0u << PH_STAGES)) {
		a->origin = (struct ph_slice){ NULL, 0 };
		return PH_OK;
	}
	if (a->origin.p != NULL)
		return PH_OK;
	status = queue_read(a->entry->id, a->arena, &message);
	if (status != PH_OK)
		return status;
	a->origin = envelope_origin(message.envelope);
	if (a->origin.p == NULL)
		a->origin = plain_origin(a, message.envelope);
	return PH_OK;
}

static struct when_facts
known_of(const struct attempt *a, const struct ph_slice *address,
    struct ph_addr *client)
{
	struct ph_slice listener = record_get(a->origin, F_LISTENER);

	if (!ph_addr_parse(record_get(a->origin, F_CLIENT), client))
		*client = (struct ph_addr){ 0 };
	return (struct when_facts){
		.listener = ph_arena_slice(a->arena, listener).p,
		.is_authenticated = record_get(a->origin, F_USER).p != NULL,
		.client = client, .sender = ph_slice_str(a->entry->sender),
		.recipients = address, .recipient_count = 1 };
}

static void
put_said(struct ph_buf *buf, const struct said *said)
{
	if (said->reply->code != 0)
		record_put_u64(buf, F_CODE, (uint64_t)said->reply->code);
	if (said->reply->enhanced != NULL)
		record_put_str(buf, F_ENHANCED, said->reply->enhanced);
	if (said->has_host)
		record_put_str(buf, F_HOST, said->host);
	if (said->reply->reason != NULL)
		record_put_str(buf, F_TEXT, said->reply->reason);
}

/* For observers, of an answer. */
static void
put_decision(struct ph_buf *buf, const struct hook_answer *answer)
{
	bool is_refusal = answer->verdict == PH_REJECT ||
	    answer->verdict == PH_DEFER;
	size_t mark = record_begin(buf, F_DECISION);

	record_put_u64(buf, F_VERDICT, answer->verdict == PH_NEXT ?
	    PH_ACCEPT : answer->verdict);
	if (is_refusal)
		record_put_u64(buf, F_CODE, (uint64_t)answer->code);
	if (is_refusal && answer->enhanced.p != NULL)
		record_put(buf, F_ENHANCED, answer->enhanced);
	if (answer->verdict != PH_NEXT && answer->text.p != NULL)
		record_put(buf, F_TEXT, answer->text);
	if (answer->module.p != NULL)
		record_put(buf, F_MODULE, answer->module);
	record_end(buf, mark);
}

static void
put_recipient(const struct attempt *a, const struct queue_recipient *r,
    unsigned stages, const struct hook_answer *decided, struct ph_buf *buf)
{
	const struct lane *lane = a->job->lane;
	size_t mark = record_begin(buf, F_RCPT);

	record_put_u64(buf, F_NUMBER, r->number);
	record_put_str(buf, F_ADDRESS, r->address);
	record_put_u64(buf, F_STAGES, stages);
	if (r->user != NULL)
		record_put_str(buf, F_USER, r->user);
	if (!lane->is_local)
		record_put_str(buf, F_DESTINATION, lane->name +
		    (lane->transport_n > 0 ? lane->transport_n + 1 : 0));
	record_put_u64(buf, F_ATTEMPTS, r->attempts);
	put_said(buf, r->said);
	if (decided != NULL)
		put_decision(buf, decided);
	record_end(buf, mark);
}

static void
put_message(const struct attempt *a, struct ph_buf *buf)
{
	record_put_u64(buf, F_QUEUE_ID, a->entry->id);
	record_put_str(buf, F_SENDER, a->entry->sender);
	record_put_u64(buf, F_RECEIVED_AT, (uint64_t)a->entry->received_at);
	record_put(buf, F_ORIGIN, a->origin);
}

/* --- what they answered --- */

void
hooks_take_answer(struct ph_slice result, struct hook_answer *answer)
{
	uint64_t verdict = record_get_u64(result, F_VERDICT, PH_NEXT);
	int class = verdict == PH_REJECT ? 5 : 4;

	answer->asks = result;
	answer->is_unrouted = verdict == PH_DEFER &&
	    record_get_u64(result, F_STAGE, PH_AT_ROUTE) == PH_AT_ROUTE;
	answer->module = record_get(result, F_MODULE);
	answer->text = record_get(result, F_TEXT);
	answer->code = (int)record_get_u64(result, F_CODE, 0);
	answer->enhanced = record_get(result, F_ENHANCED);
	if (!routing_is_sane(answer->module, NAME_MAX_OCTETS))
		answer->module = PH_LIT("check");
	if (!routing_is_sane(answer->text, TEXT_MAX))
		answer->text = PH_LIT("refused by policy");
	if (answer->code / 100 != class)
		answer->code = class == 5 ? 550 : 451;
	if (answer->enhanced.n < 5 || answer->enhanced.n > 11 ||
	    answer->enhanced.p[0] != '0' + class ||
	    !routing_is_sane(answer->enhanced, 11))
		answer->enhanced = class == 5 ? PH_LIT("5.7.1") :
		                                PH_LIT("4.7.1");
	answer->verdict = verdict == PH_ACCEPT ? PH_NEXT :
	                                         (enum ph_verdict)verdict;
}

static bool
is_answer(struct ph_slice result)
{
	uint64_t verdict = record_get_u64(result, F_VERDICT, PH_NEXT);

	return record_is_sound(result) && verdict != PH_NEXT &&
	    verdict <= PH_QUARANTINE &&
	    pipeline_honours(PH_AT_DELIVER, (enum ph_verdict)verdict);
}

/* PH_DEFECT: not one for each that was asked about. */
static int
take_answers(const struct question *q, struct ph_slice record)
{
	struct record_field field;
	size_t seen = 0;

	while (record_next(&record, &field)) {
		const struct queue_recipient *r;

		if (field.tag != F_RESULT)
			continue;
		if (seen == q->count)
			return PH_DEFECT;
		r = &q->a->entry->recipients[q->index[seen]];
		if (!is_answer(field.value) || record_get_u64(field.value,
		        F_NUMBER, UINT64_MAX) != r->number)
			return PH_DEFECT;
		hooks_take_answer(field.value,
		    &q->a->answers[q->index[seen++]]);
		verdicts_put(&q->a->verdicts, field.value, r->address,
		    r->attempts + 1);
	}
	if (seen != q->count)
		return PH_DEFECT;
	for (size_t i = 0; i < q->count; i++)
		q->a->entry->recipients[q->index[i]].is_routed |=
		    !q->a->answers[q->index[i]].is_unrouted;
	return PH_OK;
}

/* PH_OK: this counts as their answer. */
static int
unanswered(const struct question *q, int status)
{
	struct hook_answer answer = { .verdict = PH_NEXT };
	bool is_gone = status == PH_UNAVAILABLE || status == PH_BUSY ||
	    status == PH_CANCELED;

	ph_log(PH_WARN, "checks_unanswered",
	    ph_f_str("queue", entry_name(q->a->entry)),
	    ph_f_str("reason", ph_status_name(status)),
	    ph_f_str("counts_as", q->on_failure == ON_FAILURE_NEXT ? "next" :
	        q->on_failure == ON_FAILURE_REJECT ? "reject" : "defer"));
	if (q->on_failure == ON_FAILURE_DEFER && is_gone)
		return status; /* soon there is another */
	if (q->on_failure == ON_FAILURE_DEFER)
		answer = (struct hook_answer){ .verdict = PH_DEFER,
			.is_unrouted = true,
			.code = 451, .enhanced = PH_LIT("4.7.1"),
			.text = PH_LIT("a check could not answer") };
	if (q->on_failure == ON_FAILURE_REJECT)
		answer = (struct hook_answer){ .verdict = PH_REJECT,
			.code = 550, .enhanced = PH_LIT("5.7.1"),
			.text = PH_LIT("a check could not answer, so this is "
			    "refused") };
	for (size_t i = 0; i < q->count; i++)
		q->a->answers[q->index[i]] = answer;
	return PH_OK;
}

/* --- asking --- */

static int
question_send(struct question *q)
{
	struct attempt *a = q->a;
	struct bus_message reply;
	char name[ID_TEXT_MAX]; /* for as long as the checks take */
	struct ph_buf buf;
	int status;

	ph_buf_init(&buf, NULL, BUS_MESSAGE_LIMIT);
	put_message(a, &buf);
	ph_buf_slice(&buf, ph_buf_content(&q->rcpts));
	record_put(&buf, F_CONTENT, a->octets);
	status = buf.full ? PH_TOO_BIG : check_ask(BUS_ANY_SHARD,
	    &(struct check_question){ MSG_DELIVERY_ASK,
	        id_format(a->entry->id, name), &buf, a->fd, q->budget_ms },
	    a->arena, &reply);
	ph_buf_fini(&buf);
	if (status == PH_OK)
		status = take_answers(q, reply.record);
	return status;
}

static void
question_begin(struct question *q, struct attempt *a)
{
	*q = (struct question){ .a = a, .on_failure = ON_FAILURE_NEXT };
	ph_buf_init(&q->rcpts, a->arena, BUS_MESSAGE_LIMIT);
}

static void
question_add(struct question *q, size_t index)
{
	const struct generation *generation = generation_current();
	struct attempt *a = q->a;
	const struct queue_recipient *r = &a->entry->recipients[index];
	const struct ph_slice address = ph_slice_str(r->address);
	struct ph_addr client;
	const struct when_facts known = known_of(a, &address, &client);
	unsigned stages = 0, budget_ms = 0;

	for (enum ph_stage stage = PH_AT_ROUTE; stage <= PH_AT_DELIVER;
	     stage++) {
		struct asked asked = asked_at(generation, stage, &known);

		if (!asked.is_any || (stage == PH_AT_ROUTE && r->is_routed))
			continue;
		stages |= 1u << stage;
		budget_ms += asked.budget_ms;
		q->on_failure = asked_stricter(q->on_failure,
		    asked.on_failure);
	}
	if (stages == 0)
		return;
	if (budget_ms > q->budget_ms)
		q->budget_ms = budget_ms;
	put_recipient(a, r, stages, NULL, &q->rcpts);
	q->index[q->count++] = index;
}

/* What is too much for one message may be little enough for several. */
static int
question_ask_each(const struct question *q)
{
	int status = PH_OK;

	for (size_t i = 0; status == PH_OK && i < q->count; i++) {
		struct question one;

		question_begin(&one, q->a);
		question_add(&one, q->index[i]);
		status = question_send(&one);
		if (status != PH_OK)
			status = unanswered(&one, status);
	}
	return status;
}

static int
question_ask(struct question *q)
{
	int status = q->count > 0 ? question_send(q) : PH_OK;

	if (status == PH_TOO_BIG && q->count > 1)
		return question_ask_each(q);
	return status == PH_OK ? PH_OK : unanswered(q, status);
}

static int
ask_all(struct attempt *a)
{
	struct question q;
	int status = PH_OK;

	a->answers = ph_arena_array(a->arena, a->entry->recipient_count,
	    sizeof(*a->answers));
	ph_buf_init(&a->verdicts, a->arena, VERDICTS_MAX);
	question_begin(&q, a);
	for (size_t i = 0; i < a->entry->recipient_count; i++) {
		if (!attempt_has(a, &a->entry->recipients[i]))
			continue;
		question_add(&q, i);
		if (q.count < AT_ONCE)
			continue;
		status = question_ask(&q);
		if (status != PH_OK)
			return status;
		question_begin(&q, a);
	}
	return question_ask(&q);
}

bool
hooks_decided(const struct attempt *a, const struct queue_recipient *r)
{
	return a->answers != NULL && a->answers[r->index].verdict != PH_NEXT;
}

/* --- where it is put --- */

static size_t
put_places(struct ph_slice asks, struct ph_buf *buf)
{
	struct record_field field;
	size_t octets = 0;

	while (record_next(&asks, &field)) {
		if (field.tag != F_PLACE)
			continue;
		octets += field.value.n;
		if (buf != NULL)
			record_put(buf, F_PLACE, field.value);
	}
	return octets;
}

void
hooks_put_places(const struct attempt *a, const struct queue_recipient *r,
    struct ph_buf *buf)
{
	if (a->answers != NULL)
		put_places(a->answers[r->index].asks, buf);
}

/* One message to mail names them all: who has no room in it is next. */
static void
bound_places(struct attempt *a)
{
	size_t octets = 0;

	for (size_t i = 0; i < a->entry->recipient_count; i++) {
		struct hook_answer *answer = &a->answers[i];
		size_t more = put_places(answer->asks, NULL);

		if (more == 0 || answer->verdict != PH_NEXT)
			continue;
		if (octets + more <= PLACES_OCTETS_MAX) {
			octets += more;
			continue;
		}
		*answer = (struct hook_answer){ .verdict = PH_DEFER,
			.code = 451, .enhanced = PH_LIT("4.3.1"), .text =
			    PH_LIT("others of this message come first") };
	}
}

/* --- telling --- */

bool
hooks_are_told(void)
{
	return is_hooked(~0u << PH_AT_DELIVERED);
}

/* Which of them hears of it; PH_STAGES_ALL: none. */
static enum ph_stage
stage_of(const struct attempt *a, size_t i)
{
	const struct queue_recipient *r = &a->entry->recipients[i];

	if (!a->changed[i] || (a->answers != NULL &&
	        a->answers[i].verdict == PH_DISCARD))
		return PH_STAGES_ALL;
	switch (r->state) {
	case QUEUE_DB_DELIVERED:
		return PH_AT_DELIVERED;
	case QUEUE_DB_WAITING:
		return PH_AT_DEFERRED;
	case QUEUE_DB_FAILED:
		return PH_AT_BOUNCED;
	default:
		return PH_STAGES_ALL;
	}
}

static void
question_tell(struct question *q)
{
	struct ph_buf buf;

	if (q->count == 0)
		return;
	ph_buf_init(&buf, NULL, BUS_MESSAGE_LIMIT);
	put_message(q->a, &buf);
	ph_buf_slice(&buf, ph_buf_content(&q->rcpts));
	if (buf.full || !bus_notify(ROLE_CHECK, BUS_ANY_SHARD,
	        MSG_DELIVERY_TELL, ph_buf_content(&buf)))
		asked_missed(generation_current(), q->stages);
	ph_buf_fini(&buf);
}

/* One more recipient, of these stages. */
static void
question_tell_of(struct question *q, size_t index, unsigned stages,
    const struct hook_answer *decided)
{
	put_recipient(q->a, &q->a->entry->recipients[index], stages, decided,
	    &q->rcpts);
	q->stages |= stages;
	if (++q->count < AT_ONCE)
		return;
	question_tell(q);
	question_begin(q, q->a);
}

void
hooks_tell(struct attempt *a)
{
	struct question q;

	if (!hooks_are_told() || a->origin.p == NULL)
		return;
	question_begin(&q, a);
	for (size_t i = 0; i < a->entry->recipient_count; i++) {
		const struct ph_slice address =
		    ph_slice_str(a->entry->recipients[i].address);
		enum ph_stage stage = stage_of(a, i);
		struct ph_addr client;
		struct when_facts known;

		if (stage == PH_STAGES_ALL || !is_hooked(1u << stage))
			continue;
		known = known_of(a, &address, &client);
		if (asked_at(generation_current(), stage, &known).is_any)
			question_tell_of(&q, i, 1u << stage, NULL);
	}
	question_tell(&q);
}

/* --- before an attempt --- */

/* Of what the others said, and for whom it was new where his mail goes. */
static void
observe(struct attempt *a, const bool *was_routed)
{
	const struct generation *generation = generation_current();
	struct question q;

	question_begin(&q, a);
	for (size_t i = 0; i < a->entry->recipient_count; i++) {
		struct queue_recipient *r = &a->entry->recipients[i];
		const struct ph_slice address = ph_slice_str(r->address);
		struct ph_addr client;
		struct when_facts known;
		unsigned stages = 0;

		if (!attempt_has(a, r))
			continue;
		known = known_of(a, &address, &client);
		if (!was_routed[i] &&
		    asked_observers(generation, PH_AT_ROUTE, &known))
			stages |= 1u << PH_AT_ROUTE;
		if (asked_observers(generation, PH_AT_DELIVER, &known))
			stages |= 1u << PH_AT_DELIVER;
		r->is_routed |= !a->answers[i].is_unrouted;
		if (stages != 0)
			question_tell_of(&q, i, stages, &a->answers[i]);
	}
	question_tell(&q);
}

int
hooks_ask(struct attempt *a)
{
	size_t n = a->entry->recipient_count;
	bool *was_routed;
	int status;

	if (!is_hooked(BEFORE) || a->origin.p == NULL)
		return PH_OK;
	was_routed = ph_arena_array(a->arena, n, sizeof(*was_routed));
	for (size_t i = 0; i < n; i++)
		was_routed[i] = a->entry->recipients[i].is_routed;
	status = ask_all(a);
	if (status == PH_OK)
		bound_places(a);
	if (status == PH_OK && (generation_current()->observed & BEFORE) != 0)
		observe(a, was_routed);
	return status;
}
