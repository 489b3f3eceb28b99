/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_delivery.c - the hooks behind the queue: of a few recipients at a time,
 * each through the pipeline by himself. What is asked is answered; what is only
 * told runs while there is room, and is counted as missed where there is none.
 */
#include "role/check.h"

#include <stdio.h>
#include <unistd.h>

#include "base/record.h"
#include "loop/fiber.h"
#include "pipeline/asked.h"
#include "pipeline/pipeline.h"
#include "role/content.h"

enum {
	RECIPIENTS_MAX = 16, /* of one message; as queue/hooks.c has it */
	TOLD_AT_ONCE = 256,  /* messages */
};

static struct {
	uint64_t asked, told, calls;
	unsigned telling;
} self;

/* A message, and what is the same for each of its recipients. */
struct subject {
	struct ph_arena *arena;
	struct generation *generation;
	struct ph_session *session;
	struct ph_slice sender, header, content;
	struct ph_slice origin;
	struct ph_slice crashed;
	const char *queue_name;
	int64_t received_at;
};

/* One recipient under way. */
struct turn {
	const struct subject *subject;
	struct ph_slice record; /* his F_RCPT */
	struct ph_buf reply;
	struct ph_buf before; /* F_TRACE* of the stages before */
	enum ph_stage stage; /* that the reply is of */
};

/* With the empty line behind it. */
static struct ph_slice
header_of(struct ph_slice content)
{
	const char *end = content.n >= 2 && memcmp(content.p, "\r\n", 2) == 0 ?
	    content.p : memmem(content.p, content.n, "\r\n\r\n", 4);

	if (end == NULL)
		return content;
	return (struct ph_slice){ content.p, (size_t)(end - content.p) +
		(end == content.p ? 2 : 4) };
}

static bool
take_subject(struct bus_request *request, struct subject *subject)
{
	struct ph_slice record = request->message.record;
	char *name = ph_arena_alloc(request->arena, ID_TEXT_MAX);

	subject->origin = record_get(record, F_ORIGIN);
	if (record_get(record, F_CRASHED).p != NULL)
		subject->crashed = record;
	subject->queue_name = id_format(record_get_u64(record, F_QUEUE_ID, 0),
	    name);
	subject->sender = record_get(record, F_SENDER);
	subject->received_at = (int64_t)record_get_u64(record, F_RECEIVED_AT,
	    0);
	return record_is_sound(record) && subject->sender.p != NULL &&
	    record_is_sound(subject->origin) &&
	    session_take(subject->session, subject->origin) == PH_OK;
}

static void
take_notes(struct session_state *state, struct ph_arena *arena,
    struct ph_slice origin)
{
	struct record_field field;

	while (record_next(&origin, &field))
		if (field.tag == F_NOTE)
			session_state_note(state, ph_arena_slice(arena,
			    record_get(field.value, F_NAME)).p,
			    ph_arena_slice(arena,
			        record_get(field.value, F_TEXT)).p, false);
}

/* Memory of modules for one recipient's hooks. */
static struct session_state *
begin_state(const struct subject *subject, char name[ID_TEXT_MAX])
{
	struct session_state *state;

	snprintf(name, ID_TEXT_MAX, "d%llx", (unsigned long long)++self.calls);
	state = session_state_obtain(ph_slice_str(name));
	session_state_message(state, 1);
	session_state_get(state);
	take_notes(state, subject->arena, subject->origin);
	return state;
}

const struct ph_decision *
check_decision(struct ph_arena *arena, struct ph_slice record)
{
	struct ph_slice from = record_get(record, F_DECISION);
	uint64_t verdict = record_get_u64(from, F_VERDICT, PH_NEXT);
	struct ph_decision *decision;

	if (from.p == NULL)
		return NULL;
	decision = ph_arena_alloc(arena, sizeof(*decision));
	decision->verdict = verdict <= PH_QUARANTINE ?
	    (enum ph_verdict)verdict : PH_NEXT;
	decision->code = (int)record_get_u64(from, F_CODE, 0);
	decision->enhanced = record_get(from, F_ENHANCED);
	decision->text = record_get(from, F_TEXT);
	decision->module = record_get(from, F_MODULE);
	return decision;
}

static const struct ph_delivery_facts *
take_delivery(const struct subject *subject, struct ph_slice record)
{
	struct ph_delivery_facts *delivery = ph_arena_alloc(subject->arena,
	    sizeof(*delivery));

	delivery->queue_id = subject->queue_name;
	delivery->user = record_get(record, F_USER);
	delivery->destination = record_get(record, F_DESTINATION);
	delivery->received_at = subject->received_at;
	delivery->attempts = (unsigned)record_get_u64(record, F_ATTEMPTS, 0);
	delivery->code = (int)record_get_u64(record, F_CODE, 0);
	delivery->enhanced = record_get(record, F_ENHANCED);
	delivery->host = record_get(record, F_HOST);
	delivery->text = record_get(record, F_TEXT);
	return delivery;
}

/* The reply is not the last. */
static void
keep_trace(struct turn *turn)
{
	struct ph_slice reply = ph_buf_content(&turn->reply);
	struct record_field field;

	while (record_next(&reply, &field))
		if (field.tag == F_TRACE)
			record_put(&turn->before, F_TRACE, field.value);
}

/* His stages, until one of them says more than "next". */
static void
turn_main(void *arg)
{
	struct turn *turn = arg;
	const struct subject *subject = turn->subject;
	uint64_t stages = record_get_u64(turn->record, F_STAGES, 0);
	struct ph_call call = { .arena = subject->arena,
		.session = subject->session, .sender = subject->sender,
		.recipient = record_get(turn->record, F_ADDRESS),
		.header = subject->header, .content = subject->content,
		.recipient_count = 1,
		.content_fd = -1, .crashed = subject->crashed,
		.score_so_far = (int64_t)record_get_u64(subject->origin,
		    F_SCORE, 0),
		.delivery = take_delivery(subject, turn->record),
		.decision = check_decision(subject->arena, turn->record) };
	char name[ID_TEXT_MAX];

	call.recipients = &call.recipient;
	call.recipients_known = 1;
	call.state = begin_state(subject, name);
	for (unsigned stage = PH_AT_ROUTE; stage < PH_STAGES_ALL; stage++) {
		if ((stages >> stage & 1) == 0)
			continue;
		keep_trace(turn);
		call.stage = turn->stage = (enum ph_stage)stage;
		turn->reply.n = 0;
		pipeline_run(subject->generation, &call, &turn->reply,
		    NULL);
		if (record_get_u64(ph_buf_content(&turn->reply), F_VERDICT,
		        PH_NEXT) != PH_ACCEPT)
			break;
	}
	session_state_put(call.state);
	session_state_drop(ph_slice_str(name));
}

/* All recipients together. */
static bool
run_turns(const struct subject *subject, struct ph_slice record,
    struct ph_buf *reply)
{
	struct turn turns[RECIPIENTS_MAX];
	struct record_field field;
	struct ph_scope scope;
	size_t n = 0;

	ph_scope_begin(&scope);
	while (record_next(&record, &field)) {
		struct turn *turn = &turns[n];

		if (field.tag != F_RCPT || n == RECIPIENTS_MAX)
			continue;
		*turn = (struct turn){ subject, .record = field.value };
		ph_buf_init(&turn->reply, subject->arena,
		    BUS_MESSAGE_LIMIT / 2);
		ph_buf_init(&turn->before, subject->arena,
		    BUS_MESSAGE_LIMIT / 2);
		ph_scope_spawn(&scope, turn_main, turn);
		n++;
	}
	ph_scope_wait(&scope);
	ph_scope_end(&scope);
	for (size_t i = 0; i < n; i++) {
		size_t mark = record_begin(reply, F_RESULT);

		record_put_u64(reply, F_NUMBER,
		    record_get_u64(turns[i].record, F_NUMBER, 0));
		record_put_u64(reply, F_STAGE, turns[i].stage);
		ph_buf_slice(reply, ph_buf_content(&turns[i].before));
		ph_buf_slice(reply, ph_buf_content(&turns[i].reply));
		record_end(reply, mark);
		reply->full = reply->full || turns[i].reply.full;
	}
	return !reply->full;
}

static int
run(struct bus_request *request, bool with_content, struct ph_buf *reply)
{
	struct generation *generation = generation_get(generation_current());
	struct subject subject = { .arena = request->arena,
		.generation = generation,
		.session = session_create(generation, NULL) };
	int status = with_content ? content_take(request, &subject.content) :
	                            PH_OK;

	if (with_content && status == PH_OK)
		subject.header = header_of(subject.content);
	if (status == PH_OK && !take_subject(request, &subject))
		status = PH_INVALID;
	if (status == PH_OK && !run_turns(&subject, request->message.record,
	        reply))
		status = PH_TOO_BIG;
	session_free(subject.session);
	generation_put(generation);
	return status;
}

static void
on_ask(struct bus_request *request)
{
	struct ph_buf reply;
	int status = PH_BUSY;

	ph_buf_init(&reply, request->arena, BUS_MESSAGE_LIMIT);
	if (check_begin()) {
		self.asked++;
		status = run(request, true, &reply);
		check_end();
	} else if (request->message.fds[0] >= 0) {
		close(request->message.fds[0]);
	}
	bus_reply(request, status, status == PH_OK ? ph_buf_content(&reply) :
	    PH_LIT(""), NULL, 0);
}

static unsigned
stages_of(struct ph_slice record)
{
	uint64_t stages = 0;
	struct record_field field;

	while (record_next(&record, &field))
		if (field.tag == F_RCPT)
			stages |= record_get_u64(field.value, F_STAGES, 0);
	return (unsigned)stages;
}

/* Nobody waits, so nothing else holds back who tells. */
bool
check_tell_begin(unsigned stages)
{
	if (self.telling >= TOLD_AT_ONCE || !check_begin()) {
		asked_missed(generation_current(), stages);
		return false;
	}
	self.telling++;
	self.told++;
	return true;
}

void
check_tell_end(void)
{
	self.telling--;
	check_end();
}

static void
on_tell(struct bus_request *request)
{
	struct ph_buf reply;

	if (!check_tell_begin(stages_of(request->message.record)))
		return;
	ph_buf_init(&reply, request->arena, BUS_MESSAGE_LIMIT);
	run(request, false, &reply);
	check_tell_end();
}

void
check_delivery_serve(void)
{
	bus_serve(MSG_DELIVERY_ASK, ROLE_BIT(ROLE_QUEUE), on_ask);
	bus_serve(MSG_DELIVERY_TELL, ROLE_BIT(ROLE_QUEUE), on_tell);
}

void
check_delivery_status(struct ph_buf *items)
{
	role_status_item(items, "delivery_asked", "%llu",
	    (unsigned long long)self.asked);
	role_status_item(items, "told", "%llu",
	    (unsigned long long)self.told);
}
