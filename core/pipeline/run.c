/* SPDX-License-Identifier: Apache-2.0 */
/* run.c - the hooks of a stage: together by order, strongest verdict wins. */
#include <stdio.h>
#include <stdlib.h>

#include "base/record.h"
#include "log/log.h"
#include "loop/fiber.h"
#include "pipeline/pipeline.h"
#include "pipeline/view.h"

enum {
	CHANGES_MAX = 64 << 10, /* of one module at one stage */
	RECORD_FIELD_MIN = 6,   /* octets of one: its tag and length */
};

/* The rest of one order has nothing to add any more. */
struct group {
	struct ph_call *calls;
	size_t count;
	struct ph_scope scope;
	struct ph_event moved;
	size_t answered;
	bool is_decided;
};

struct member {
	struct group *group;
	struct ph_call *call;
};

enum ph_verdict
pipeline_stronger(enum ph_verdict a, enum ph_verdict b)
{
	static const unsigned strength[] = { [PH_NEXT] = 0, [PH_ACCEPT] = 1,
		[PH_QUARANTINE] = 2, [PH_DISCARD] = 3, [PH_DEFER] = 4,
		[PH_REJECT] = 5 };

	return strength[a] >= strength[b] ? a : b;
}

bool
pipeline_is_told(enum ph_stage stage)
{
	return stage >= PH_AT_DELIVERED;
}

bool
pipeline_only_tells(const struct ph_call *call)
{
	return call->decision != NULL || pipeline_is_told(call->stage);
}

bool
pipeline_honours(enum ph_stage stage, enum ph_verdict verdict)
{
	if ((unsigned)verdict > PH_QUARANTINE)
		return false;
	if (pipeline_is_told(stage))
		return verdict == PH_NEXT;
	return (verdict != PH_DISCARD && verdict != PH_QUARANTINE) ||
	    stage >= PH_AT_RCPT;
}

/* A module that could not answer: its on_failure speaks for it, and what it
 * said so far is void. */
static void
fail(struct ph_call *call, const char *why)
{
	call->failed = true;
	call->failure = why;
	call->text = NULL;
	call->score = 0;
	call->changes.n = 0;
	call->body = NULL;
	if (pipeline_only_tells(call)) {
		call->verdict = PH_NEXT;
		return;
	}
	switch (call->instance->common.on_failure) {
	case ON_FAILURE_NEXT:
		call->verdict = PH_NEXT;
		return;
	case ON_FAILURE_REJECT:
		call->verdict = ph_reject(call, 550, "5.7.1",
		    "A check failed, so this is refused");
		return;
	default:
		call->verdict = ph_defer(call, 451, "4.7.1",
		    "A check could not answer, try again later");
		return;
	}
}

/* A refusal has a reply, and one of its class. */
static bool
has_reply(const struct ph_call *call)
{
	if (call->verdict != PH_REJECT && call->verdict != PH_DEFER)
		return true;
	return call->code / 100 == (call->verdict == PH_REJECT ? 5 : 4);
}

/* What ph_reject and ph_defer say is to be returned; the last one counts. */
static const char *
fault_of(const struct ph_call *call)
{
	bool refuses = call->verdict == PH_REJECT || call->verdict == PH_DEFER;

	return call->answers <= refuses ? NULL : refuses ?
	    "answered more than once" : "a refusal that it did not return";
}

/* What the hook answered, or why that is none. */
static enum tally_end
judge(struct ph_call *call)
{
	enum ph_verdict verdict = call->verdict;

	if (fiber_is_canceled()) {
		call->cut_short = true;
		return TALLY_CUT;
	}
	if (fiber_deadline() <= ph_now_ms()) {
		fail(call, "out of time");
		return TALLY_LATE;
	}
	if (!pipeline_honours(call->stage, verdict) ||
	    (pipeline_only_tells(call) && verdict != PH_NEXT)) {
		fail(call, "a verdict that the stage does not honour");
		return TALLY_GARBAGE;
	}
	if (!has_reply(call)) {
		fail(call, "a refusal without a reply of its class");
		return TALLY_GARBAGE;
	}
	if (call->body != NULL && !body_edit_end(call->body)) {
		fail(call, "a body that can't be one");
		return TALLY_GARBAGE;
	}
	if (call->changes.full) {
		fail(call, "more changes than a message may have");
		return TALLY_GARBAGE;
	}
	return (enum tally_end)verdict;
}

static const char *
queue_id_of(const struct ph_call *call)
{
	return call->delivery != NULL ? call->delivery->queue_id : NULL;
}

/* Whether the module's process died over this before. */
static bool
has_crashed(const struct ph_call *call)
{
	struct ph_slice record = call->crashed;
	struct record_field field;

	while (record_next(&record, &field))
		if (field.tag == F_CRASHED && ph_slice_eq(field.value,
		        ph_slice_str(call->instance->name)))
			return true;
	return false;
}

static void
run_hook(struct ph_call *call)
{
	const struct module_instance *instance = call->instance;
	ph_hook *hook = module_hook(instance->module, call->stage);
	uint64_t start = tally_micros();

	if (role_module_is_out(instance->name)) {
		tally_skip(instance->tally);
		fail(call, "taken out after crashes");
		return;
	}
	if (has_crashed(call)) {
		fail(call, "crashed");
		return;
	}
	call->log = (struct log_context){ .session = call->session->id,
		.queue = queue_id_of(call),
		.module = instance->name, .hook = ph_stage_name(call->stage) };
	fiber_context_set(&call->log);
	ph_deadline_push(instance->common.timeout_ms);
	tally_begin(instance->tally);
	call->verdict = hook(call, instance->conf);
	if (!role_is_linked())
		abort(); /* while it is known who closed it */
	call->micros = tally_micros() - start;
	call->fault = fault_of(call);
	tally_end(instance->tally, call->stage, call->micros, judge(call));
	fiber_context_set(NULL);
}

static bool
counts(const struct ph_call *call)
{
	return call->instance->common.mode == MODE_ENFORCE;
}

static void
member_main(void *arg)
{
	struct member *member = arg;
	struct group *group = member->group;

	run_hook(member->call);
	group->answered++;
	if (counts(member->call) && !member->call->cut_short &&
	    member->call->verdict == PH_REJECT)
		group->is_decided = true;
	ph_event_signal(&group->moved);
}

static void
run_group(struct group *group, struct ph_arena *arena)
{
	if (group->count == 1) { /* no need for a fiber of its own */
		uint64_t deadline = fiber_deadline();
		void *context = fiber_context();

		run_hook(&group->calls[0]);
		ph_deadline_restore(deadline);
		fiber_context_set(context);
		return;
	}
	ph_scope_begin(&group->scope);
	for (size_t i = 0; i < group->count; i++) {
		struct member *member = ph_arena_alloc(arena, sizeof(*member));

		*member = (struct member){ group, &group->calls[i] };
		ph_scope_spawn(&group->scope, member_main, member);
	}
	while (group->answered < group->count && !group->is_decided &&
	    ph_event_wait(&group->moved, PH_NO_LIMIT_MS) == PH_OK)
		;
	ph_scope_end(&group->scope);
}

static int64_t
points_of(const struct ph_call *call)
{
	return (int64_t)(call->score * 1000);
}

static const char *
mode_of(const struct ph_call *call)
{
	return counts(call) ? NULL :
	    call->instance->common.mode == MODE_OBSERVE ? "observe" :
	                                                  "shadow";
}

static void
log_verdict(const struct ph_call *call)
{
	const struct module_instance *instance = call->instance;
	enum ph_level level = call->failed || call->fault != NULL ? PH_WARN :
	    call->verdict == PH_NEXT ? PH_DEBUG :
	    call->verdict == PH_ACCEPT ? PH_INFO : PH_NOTICE;

	ph_log(level, "verdict", ph_f_str("session", call->session->id),
	    ph_f_str("queue", queue_id_of(call)),
	    ph_f_str("module", instance->name),
	    ph_f_str("stage", ph_stage_name(call->stage)),
	    ph_f_str("verdict", ph_verdict_name(call->verdict)),
	    ph_f_str("mode", mode_of(call)),
	    ph_f_str("failure", call->failure),
	    ph_f_str("fault", call->fault),
	    ph_f_str("reason", call->text),
	    ph_f_int("us", (int64_t)call->micros));
}

static void
put_trace(const struct ph_call *call, struct ph_buf *reply)
{
	size_t mark = record_begin(reply, F_TRACE);

	record_put_str(reply, F_MODULE, call->instance->name);
	record_put_u64(reply, F_STAGE, call->stage);
	record_put_u64(reply, F_VERDICT, call->verdict);
	if (call->text != NULL)
		record_put_str(reply, F_TEXT, call->text);
	record_put_u64(reply, F_MICROSECONDS, call->micros);
	record_put_u64(reply, F_SHADOW, !counts(call));
	if (points_of(call) != 0)
		record_put_u64(reply, F_SCORE, (uint64_t)points_of(call));
	record_end(reply, mark);
}

/* Take the group's answers into the reply; the call that decides, or NULL. */
static const struct ph_call *
settle(const struct group *group, const struct ph_call *best, int64_t *points,
    struct ph_buf *reply)
{
	for (size_t i = 0; i < group->count; i++) {
		const struct ph_call *call = &group->calls[i];

		if (call->cut_short)
			continue;
		log_verdict(call);
		put_trace(call, reply);
		if (!counts(call))
			continue;
		*points += points_of(call);
		if (best == NULL ||
		    (pipeline_stronger(best->verdict, call->verdict) ==
		        call->verdict && best->verdict != call->verdict))
			best = call;
	}
	return best;
}

/* Calls of the group whose changes count, one after the other. */
static const struct ph_call *
next_change(const struct group *group, size_t *i)
{
	while (*i < group->count) {
		const struct ph_call *call = &group->calls[(*i)++];

		if (!call->cut_short && counts(call) && call->changes.n > 0)
			return call;
	}
	return NULL;
}

/*
 * What the group changes, in the order in which it is applied. Each saw the
 * header without the fields that the others add, so these come last; and as
 * each is put in front of all, they come last one first.
 */
static void
put_changes(const struct group *group, struct ph_arena *arena,
    struct ph_buf *reply)
{
	const struct ph_call *call;
	struct record_field field;
	struct ph_slice *added;
	size_t i = 0, n = 0;

	while ((call = next_change(group, &i)) != NULL)
		n += call->changes.n / RECORD_FIELD_MIN;
	if (n == 0)
		return;
	added = ph_arena_array(arena, n, sizeof(*added));
	i = n = 0;
	while ((call = next_change(group, &i)) != NULL) {
		struct ph_slice rest = ph_buf_content(&call->changes);

		while (record_next(&rest, &field))
			if (field.tag == F_ADD_HEADER)
				added[n++] = field.value;
			else
				record_put(reply, field.tag, field.value);
	}
	while (n > 0)
		record_put(reply, F_ADD_HEADER, added[--n]);
}

static void
put_outcome(const struct ph_call *best, int64_t points, struct ph_buf *reply)
{
	enum ph_verdict verdict = best != NULL && best->verdict != PH_NEXT ?
	    best->verdict : PH_ACCEPT;

	record_put_u64(reply, F_VERDICT, verdict);
	record_put_u64(reply, F_SCORE, (uint64_t)points);
	if (best == NULL || best->verdict == PH_NEXT)
		return;
	record_put_str(reply, F_MODULE, best->instance->name);
	if (verdict == PH_QUARANTINE && best->text != NULL)
		record_put_str(reply, F_TEXT, best->text);
	if (verdict != PH_REJECT && verdict != PH_DEFER)
		return;
	record_put_u64(reply, F_CODE, (uint64_t)best->code);
	record_put_str(reply, F_ENHANCED, best->enhanced);
	record_put_str(reply, F_TEXT, ph_arena_printf(best->arena, "%s (%s)",
	    best->text, best->delivery != NULL ? best->delivery->queue_id :
	        best->session->id));
}

static struct when_facts
known_of(const struct ph_call *call)
{
	bool is_one = call->recipient.p != NULL;

	return (struct when_facts){ .listener = call->session->listener,
		.is_authenticated = call->session->user != NULL,
		.client = &call->session->client, .sender = call->sender,
		.recipients = is_one ? &call->recipient : call->recipients,
		.recipient_count = is_one ? 1 : call->recipients_known };
}

/* Whether the module has something to say at the stage, and about this one. */
static bool
hooks(const struct module_instance *instance, const struct ph_call *request)
{
	struct when_facts known;

	/* of outcomes all are told alike */
	if (!pipeline_is_told(request->stage) &&
	    (instance->common.mode == MODE_OBSERVE) !=
	        (request->decision != NULL))
		return false;
	if ((instance->module->kinds & PH_KIND_CHECK) == 0 ||
	    module_hook(instance->module, request->stage) == NULL ||
	    role_module_state(instance->name) == MODULE_OFF)
		return false;
	if (!when_is_set(&instance->common.when))
		return true;
	known = known_of(request);
	return when_holds(&instance->common.when, &known);
}

/* The modules that begin at *at and share its order. */
static struct group
next_group(const struct module_instance **at, const struct ph_call *request)
{
	unsigned order = (*at)->common.order;
	const struct module_instance *first = *at;
	struct group group = { 0 };

	for (; *at != NULL && (*at)->common.order == order; *at = (*at)->next)
		group.count += hooks(*at, request);
	group.calls = ph_arena_array(request->arena, group.count,
	    sizeof(*group.calls));
	group.count = 0;
	for (; first != *at; first = first->next)
		if (hooks(first, request))
			group.calls[group.count++].instance = first;
	return group;
}

/* The body that is to be stored, of the last section that gave one. */
static int
replaced_body(const struct group *group, int former)
{
	for (size_t i = 0; i < group->count; i++) {
		const struct ph_call *call = &group->calls[i];

		if (!call->cut_short && counts(call) && call->body != NULL)
			former = body_edit_fd(call->body);
	}
	return former;
}

/* Show the group the message as those before it left it. Each has memory of its
 * own: one may use it in a thread while the others run. */
static void
show(const struct group *group, const struct ph_call *now)
{
	for (size_t i = 0; i < group->count; i++) {
		struct ph_call *call = &group->calls[i];
		const struct module_instance *instance = call->instance;

		*call = *now;
		call->instance = instance;
		call->arena = ph_arena_create(now->arena);
		ph_buf_init(&call->changes, call->arena, CHANGES_MAX);
	}
}

void
pipeline_run(const struct generation *generation,
    const struct ph_call *request, struct ph_buf *reply, int *body_fd_out)
{
	const struct module_instance *at = generation->modules.first;
	const struct ph_call *best = NULL;
	struct ph_call now = *request;
	size_t shown = 0; /* of the reply */
	int64_t points = 0;
	int body_fd = -1, shown_body = -1;

	while (at != NULL) {
		/* conditions are about what came, as edge holds them */
		struct group group = next_group(&at, request);

		if (group.count == 0)
			continue;
		if (reply->n > shown)
			view_change(&now, (struct ph_slice){
			    reply->p + shown, reply->n - shown },
			    body_fd != shown_body ? body_fd : -1);
		shown = reply->n;
		shown_body = body_fd;
		now.score_so_far = request->score_so_far + points;
		show(&group, &now);
		run_group(&group, request->arena);
		best = settle(&group, best, &points, reply);
		put_changes(&group, request->arena, reply);
		body_fd = replaced_body(&group, body_fd);
		if (best != NULL && best->verdict != PH_NEXT &&
		    best->verdict != PH_QUARANTINE)
			break;
	}
	put_outcome(best, points, reply);
	if (body_fd_out != NULL)
		*body_fd_out = body_fd;
}
