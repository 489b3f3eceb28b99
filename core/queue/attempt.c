/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attempt.c - one job: hand an entry's recipients to mail or relay, record what
 * came of it, report what the sender must hear, forget what is done.
 */
#include "queue/attempt.h"

#include <posthouse/transport.h>

#include "base/record.h"
#include "log/log.h"
#include "loop/fiber.h"

enum {
	LOCAL_MS = 120000,
	REMOTE_MORE_MS = 300000, /* for relay to end the attempt and say so */
	AGAIN_MS = 1000,        /* nobody was there to take it */
	AGAIN_DOUBLINGS = 8,    /* of it, when that goes on */
	TROUBLE_MS = 60000,     /* the store would not take the outcome */
};

bool
attempt_has(const struct attempt *a, const struct queue_recipient *r)
{
	return r->where == AT_WORK && r->job == a->job;
}

/* His outcome is the next one's to say. */
static bool
is_open(const struct attempt *a, const struct queue_recipient *r)
{
	return attempt_has(a, r) && !hooks_decided(a, r);
}

/* --- asking --- */

static int
find_content(struct attempt *a)
{
	struct queue_db_message message = { .body.fd = -1 };
	const struct kept *kept = a->entry->kept;
	int status;

	a->fd = -1;
	if (kept != NULL) {
		const char *at = kept->octets;

		a->facts = (struct ph_slice){ at, kept->facts_n };
		if (kept->origin_n > 0)
			a->origin = (struct ph_slice){ at + kept->facts_n,
				kept->origin_n };
		a->octets = (struct ph_slice){ at + kept->facts_n +
			kept->origin_n, kept->content_n };
		return PH_OK;
	}
	status = queue_read(a->entry->id, a->arena, &message);
	if (status != PH_OK)
		return status;
	a->facts = envelope_facts(a->arena, message.envelope);
	a->origin = envelope_origin(message.envelope);
	a->octets = message.body.octets.p != NULL ? message.body.octets :
	    PH_LIT("");
	a->fd = message.body.fd;
	return PH_OK;
}

static void
put_recipients(const struct attempt *a, struct ph_buf *buf)
{
	for (size_t i = 0; i < a->entry->recipient_count; i++) {
		const struct queue_recipient *r = &a->entry->recipients[i];
		size_t mark;

		if (!is_open(a, r))
			continue;
		mark = record_begin(buf, F_RCPT);
		record_put_u64(buf, F_NUMBER, r->number);
		record_put_str(buf, F_ADDRESS, r->address);
		if (r->user != NULL)
			record_put_str(buf, F_USER, r->user);
		if (r->more->notify != NULL)
			record_put_str(buf, F_DSN_NOTIFY, r->more->notify);
		if (r->more->orcpt != NULL)
			record_put_str(buf, F_ORCPT, r->more->orcpt);
		if (a->job->lane->is_local)
			hooks_put_places(a, r, buf);
		record_end(buf, mark);
	}
}

static int
ask(struct attempt *a, struct bus_message *reply)
{
	const struct entry *entry = a->entry;
	const struct lane *lane = a->job->lane;
	unsigned timeout_ms =
	    generation_current()->core.queue.attempt_timeout_ms;
	struct ph_buf buf;
	int status;

	ph_buf_init(&buf, NULL, BUS_MESSAGE_LIMIT);
	record_put_u64(&buf, F_QUEUE_ID, entry->id);
	record_put_str(&buf, F_SENDER, entry->sender);
	record_put_u64(&buf, F_RECEIVED_AT, (uint64_t)entry->received_at);
	if (!lane->is_local) {
		if (lane->transport_n > 0)
			record_put(&buf, F_TRANSPORT, (struct ph_slice){
			    lane->name, lane->transport_n });
		record_put_u64(&buf, F_TIMEOUT, timeout_ms);
		record_put_str(&buf, F_DESTINATION, lane->name +
		    (lane->transport_n > 0 ? lane->transport_n + 1 : 0));
		ph_buf_slice(&buf, a->facts);
	}
	put_recipients(a, &buf);
	record_put(&buf, F_CONTENT, a->octets);
	if (buf.full)
		status = PH_TOO_BIG;
	else if (lane->is_local)
		status = bus_call(ROLE_MAIL, lane->shard, MSG_DELIVER,
		    ph_buf_content(&buf), &a->fd, a->fd >= 0 ? 1 : 0,
		    LOCAL_MS, a->arena, reply);
	else
		status = bus_call(ROLE_RELAY, BUS_ANY_SHARD, MSG_ATTEMPT,
		    ph_buf_content(&buf), &a->fd, a->fd >= 0 ? 1 : 0,
		    timeout_ms + REMOTE_MORE_MS, a->arena, reply);
	ph_buf_fini(&buf);
	return status;
}

/* --- what came of it --- */

static void
log_outcome(const struct attempt *a, const struct queue_recipient *r,
    struct ph_slice uid)
{
	const struct entry *entry = a->entry;
	bool delivered = r->state == QUEUE_DB_DELIVERED;
	bool failed = r->state == QUEUE_DB_FAILED;

	ph_log(delivered ? PH_INFO : failed ? PH_NOTICE : PH_WARN,
	    delivered ? "delivered" : failed ? "bounced" : "deferred",
	    ph_f_str("queue", entry_name(entry)),
	    ph_f_str("session", entry_session(entry)),
	    ph_f_str("from", entry->sender[0] != '\0' ? entry->sender : "<>"),
	    ph_f_str("to", r->address),
	    ph_f_str("mailbox", r->user),
	    ph_f_slice("uid", uid),
	    ph_f_str("host", said_host(r->said)),
	    ph_f_str("status", r->said->reply->enhanced),
	    ph_f_str("reason", r->said->reply->reason),
	    ph_f_int("attempts", r->attempts),
	    ph_f_int("delay_ms", fiber_wall_ms() - id_wall_ms(entry->id)),
	    ph_f_slice("next_ms", delivered || failed ?
	        (struct ph_slice){ NULL, 0 } :
	        ph_slice_str(ph_arena_printf(a->arena, "%lld",
	            (long long)(r->next_ms - fiber_wall_ms())))));
}

static void
take_local(struct attempt *a, struct queue_recipient *r,
    struct ph_slice result)
{
	int status = (int)(int64_t)record_get_u64(result, F_STATUS,
	    (uint64_t)(int64_t)PH_UNAVAILABLE);
	struct ph_slice text = record_get(result, F_TEXT);

	recipient_tried(r);
	if (status == PH_OK) {
		r->state = QUEUE_DB_DELIVERED;
		return;
	}
	if (text.p == NULL)
		text = ph_slice_str(ph_status_name(status));
	if (ph_status_is_temporary(status) || status == PH_IO ||
	    status == PH_FULL || status == PH_DEFECT) {
		recipient_say(r, 451, PH_LIT("4.2.0"), PH_LIT("mailbox"),
		    text);
		attempt_defer(a, r);
	} else {
		recipient_say(r, 550, PH_LIT("5.2.0"), PH_LIT("mailbox"),
		    text);
		r->state = QUEUE_DB_FAILED;
	}
}

/* RFC 5321 s4.5.3.1.10: so many recipients in a transaction and no more. As long
 * as each attempt gets rid of some, the others go on at once. */
static bool
was_one_too_many(const struct attempt *a, const struct queue_recipient *r)
{
	const struct reply *said = r->said->reply;

	return a->any_delivered && r->state == QUEUE_DB_WAITING &&
	    (said->code == 552 || (said->code == 452 &&
	        (said->enhanced == NULL ||
	        strcmp(said->enhanced, "4.5.3") == 0)));
}

static void
take_remote(struct attempt *a, struct queue_recipient *r,
    struct ph_slice result)
{
	uint64_t delivery = record_get_u64(result, F_DELIVERY, PH_DEFERRED);
	int code = (int)record_get_u64(result, F_CODE, 0);

	recipient_tried(r);
	recipient_say(r, code, record_get(result, F_ENHANCED),
	    record_get(result, F_HOST), record_get(result, F_TEXT));
	if (delivery == PH_DELIVERED) {
		r->state = QUEUE_DB_DELIVERED;
		queue.relayed++;
		a->end = PACE_ANSWERED;
	} else if (delivery == PH_FAILED) {
		r->state = QUEUE_DB_FAILED;
		a->end = PACE_ANSWERED;
	} else {
		if (code == 421 && a->end == PACE_NO_ANSWER)
			a->end = PACE_BUSY;
		else if (code != 0) /* somebody was there and said so */
			a->end = PACE_ANSWERED;
		attempt_defer(a, r);
		if (was_one_too_many(a, r))
			r->next_ms = fiber_wall_ms();
	}
}

static bool
has_delivered(struct ph_slice record)
{
	struct record_field field;

	while (record_next(&record, &field))
		if (field.tag == F_RESULT && record_get_u64(field.value,
		        F_DELIVERY, PH_DEFERRED) == PH_DELIVERED)
			return true;
	return false;
}

static uint8_t
onward_of(struct ph_slice result)
{
	uint64_t onward = record_get_u64(result, F_ONWARD, PH_ONWARD_SILENT);

	return onward <= PH_ONWARD_END ? (uint8_t)onward : PH_ONWARD_SILENT;
}

static struct queue_recipient *
find_recipient(struct attempt *a, uint64_t number, size_t *index_out)
{
	for (size_t i = 0; i < a->entry->recipient_count; i++) {
		struct queue_recipient *r = &a->entry->recipients[i];

		if (r->number == number && attempt_has(a, r)) {
			*index_out = i;
			return r;
		}
	}
	return NULL;
}

static void
count_outcome(const struct attempt *a, const struct queue_recipient *r,
    struct ph_slice uid)
{
	queue.delivered += r->state == QUEUE_DB_DELIVERED;
	queue.bounced += r->state == QUEUE_DB_FAILED;
	queue.deferred += r->state == QUEUE_DB_WAITING;
	log_outcome(a, r, uid);
}

/* A check is done with it, and nobody is to hear. */
static void
discard(struct attempt *a, struct queue_recipient *r,
    const struct hook_answer *answer)
{
	r->state = QUEUE_DB_DELIVERED;
	a->onward[r->index] = PH_ONWARD_REPORTS; /* so we don't */
	ph_log(PH_NOTICE, "discarded",
	    ph_f_str("queue", entry_name(a->entry)),
	    ph_f_str("session", entry_session(a->entry)),
	    ph_f_str("from", a->entry->sender),
	    ph_f_str("to", r->address),
	    ph_f_slice("module", answer->module),
	    ph_f_slice("reason", answer->text));
}

static void
take_verdict(struct attempt *a, struct queue_recipient *r,
    const struct hook_answer *answer)
{
	a->changed[r->index] = true;
	if (answer->verdict == PH_QUARANTINE) { /* it goes on as another */
		r->state = QUEUE_DB_REPLACED;
		return;
	}
	if (answer->verdict == PH_DISCARD) {
		discard(a, r, answer);
		return;
	}
	recipient_tried(r);
	recipient_say(r, answer->code, answer->enhanced,
	    (struct ph_slice){ NULL, 0 }, answer->text);
	if (answer->verdict == PH_REJECT)
		r->state = QUEUE_DB_FAILED;
	else
		attempt_defer(a, r);
	count_outcome(a, r, (struct ph_slice){ NULL, 0 });
}

static void
take_verdicts(struct attempt *a)
{
	for (size_t i = 0; i < a->entry->recipient_count; i++) {
		struct queue_recipient *r = &a->entry->recipients[i];

		if (attempt_has(a, r) && hooks_decided(a, r))
			take_verdict(a, r, &a->answers[i]);
	}
}

/* For those of whom the answer says nothing; else they would be due at once,
 * again and again. */
static void
defer_rest(struct attempt *a, const char *reason)
{
	for (size_t i = 0; i < a->entry->recipient_count; i++) {
		struct queue_recipient *r = &a->entry->recipients[i];

		if (!attempt_has(a, r) || a->changed[i])
			continue;
		a->changed[i] = true;
		recipient_tried(r);
		recipient_say(r, 0, PH_LIT("4.3.0"),
		    (struct ph_slice){ NULL, 0 }, ph_slice_str(reason));
		attempt_defer(a, r);
		count_outcome(a, r, (struct ph_slice){ NULL, 0 });
	}
}

static void
take_results(struct attempt *a, struct ph_slice record)
{
	bool is_local = a->job->lane->is_local;
	struct record_field field;

	a->end = is_local ? PACE_ANSWERED : PACE_NO_ANSWER;
	a->entry->troubles = 0;
	a->any_delivered = !is_local && has_delivered(record);
	while (record_next(&record, &field)) {
		struct queue_recipient *r;
		struct ph_slice uid = { NULL, 0 };
		size_t i;

		if (field.tag != F_RESULT)
			continue;
		r = find_recipient(a, record_get_u64(field.value, F_NUMBER,
		    UINT64_MAX), &i);
		if (r == NULL || a->changed[i])
			continue;
		a->changed[i] = true;
		a->onward[i] = is_local ? PH_ONWARD_END :
		                          onward_of(field.value);
		if (is_local)
			take_local(a, r, field.value);
		else
			take_remote(a, r, field.value);
		if (is_local && r->state == QUEUE_DB_DELIVERED)
			uid = ph_slice_str(ph_arena_printf(a->arena, "%llu",
			    (unsigned long long)record_get_u64(field.value,
			        F_UID, 0)));
		count_outcome(a, r, uid);
	}
	defer_rest(a, "no result came");
}

/*
 * Nobody took the job, or who took it died: no attempt is counted, the next
 * one is soon. Soon is later each time, for the job itself may be what kills.
 * A job that was refused as a whole is an attempt; it ends with its lifetime.
 */
static void
not_taken(struct attempt *a, int status)
{
	unsigned doublings = a->entry->troubles < AGAIN_DOUBLINGS ?
	    a->entry->troubles++ : AGAIN_DOUBLINGS;
	int64_t next_ms = fiber_wall_ms() + ((int64_t)AGAIN_MS << doublings);

	if (status != PH_UNAVAILABLE && status != PH_TIMEOUT &&
	    status != PH_CANCELED && status != PH_BUSY) {
		defer_rest(a, ph_arena_printf(a->arena,
		    "the delivery was refused: %s", ph_status_name(status)));
		return;
	}
	a->end = PACE_NOTHING;
	a->is_nobody = true;
	for (size_t i = 0; i < a->entry->recipient_count; i++)
		if (attempt_has(a, &a->entry->recipients[i]))
			a->entry->recipients[i].next_ms = next_ms;
	ph_log(PH_WARN, "not_handed_over", ph_f_str("queue", entry_name(a->entry)),
	    ph_f_str("to", a->job->lane->name),
	    ph_f_str("reason", ph_status_name(status)));
}

/* --- recording it --- */

/*
 * One outcome of an entry at a time. Who finds every recipient done removes the
 * message; were another's outcome still on its way to the disk, its report
 * would be refused together with it, for a message that is not there.
 */
static void
outcome_begin(struct entry *entry)
{
	while (entry->is_recording)
		ph_event_wait(&queue.recorded, PH_NO_LIMIT_MS);
	entry->is_recording = true;
}

static void
outcome_end(struct entry *entry)
{
	entry->is_recording = false;
	ph_event_signal(&queue.recorded);
}

static bool
is_finished(const struct entry *entry)
{
	for (size_t i = 0; i < entry->recipient_count; i++)
		if (entry->recipients[i].state == QUEUE_DB_WAITING)
			return false;
	return true;
}

static bool
is_of_report(const struct attempt *a, size_t i, enum report_action action)
{
	const struct queue_recipient *r = &a->entry->recipients[i];
	const struct core_queue *conf = &generation_current()->core.queue;
	int64_t age_ms = fiber_wall_ms() - (int64_t)a->entry->received_at * 1000;

	switch (action) {
	case REPORT_FAILED:
		return r->state == QUEUE_DB_FAILED;
	case REPORT_DELIVERED:
		return r->state == QUEUE_DB_DELIVERED &&
		    a->onward[i] != PH_ONWARD_REPORTS;
	default:
		return r->state == QUEUE_DB_WAITING && !r->is_warned &&
		    conf->delay_warning_ms > 0 &&
		    age_ms >= conf->delay_warning_ms;
	}
}

/*
 * Who the sender is can't be told now (auth is down, or unsure). What was
 * delivered stays so, or it would be sent twice; a failure is found again at
 * the next attempt, and its report with it; a warning waits for that, too.
 */
static void
report_later(struct attempt *a, enum report_action action,
    const bool *concerned)
{
	for (size_t i = 0; i < a->entry->recipient_count; i++) {
		struct queue_recipient *r = &a->entry->recipients[i];

		if (!concerned[i] || action != REPORT_FAILED)
			continue;
		r->state = QUEUE_DB_WAITING;
		r->next_ms = fiber_wall_ms() + TROUBLE_MS;
	}
	ph_log(PH_WARN, "report_not_made", ph_f_str("queue", entry_name(a->entry)),
	    ph_f_str("to", a->entry->sender),
	    ph_f_str("counts_as", action == REPORT_FAILED ? "deferred" :
	        action == REPORT_DELIVERED ? "delivered" : "not warned"));
}

/* Add the report of one kind, if any recipient changed so. */
static void
add_report(struct attempt *a, enum report_action action,
    struct queue_db_op *op, struct entry **made)
{
	size_t n = a->entry->recipient_count;
	bool *concerned = ph_arena_array(a->arena, n, sizeof(*concerned));
	bool any = false;
	struct report report = { .about = a->entry, .action = action,
		.concerned = concerned, .onward = a->onward };

	for (size_t i = 0; i < n; i++) {
		const struct queue_recipient *r = &a->entry->recipients[i];

		concerned[i] = a->changed[i] && is_of_report(a, i, action) &&
		    report_is_wanted(a->entry, r, action);
		any = any || concerned[i];
	}
	if (!any)
		return;
	report.facts = a->facts;
	report.content = report_content(a->arena, a->octets, a->fd);
	if (report_make(&report, op, a->arena, made) == REPORT_LATER) {
		report_later(a, action, concerned);
		return;
	}
	for (size_t i = 0; i < n; i++)
		if (concerned[i] && action == REPORT_DELAYED)
			a->entry->recipients[i].is_warned = true;
}

static void
put_updates(struct attempt *a, struct queue_db_op *op)
{
	for (size_t i = 0; i < a->entry->recipient_count; i++) {
		const struct queue_recipient *r = &a->entry->recipients[i];
		struct queue_db_update update = { .number = r->number,
			.state = r->state, .attempts = r->attempts,
			.next_ms = r->next_ms };

		if (!a->changed[i])
			continue;
		update.record = recipient_record(a->arena, r);
		queue_db_op_update(op, a->entry->id, &update);
	}
}

/* The store could not take it: as if it had not happened. A
 * local delivery is repeated into its own file; a remote one may double. */
static void
take_back(struct attempt *a)
{
	for (size_t i = 0; i < a->entry->recipient_count; i++) {
		struct queue_recipient *r = &a->entry->recipients[i];

		if (!a->changed[i])
			continue;
		r->state = QUEUE_DB_WAITING;
		r->next_ms = fiber_wall_ms() + TROUBLE_MS;
	}
}

static const enum report_action actions[] = { REPORT_FAILED,
	REPORT_DELIVERED, REPORT_DELAYED };
enum { ACTIONS = sizeof(actions) / sizeof(actions[0]) };

/* The outcome and its reports in one op; a status when it did not happen. */
static int
submit_outcome(struct attempt *a, struct entry *made[ACTIONS],
    bool *finished_out)
{
	struct queue_db_op *op = queue_db_op_create();
	bool any = false;

	for (size_t i = 0; i < ACTIONS; i++) {
		add_report(a, actions[i], op, &made[i]);
		any = any || made[i] != NULL;
	}
	*finished_out = is_finished(a->entry);
	if (*finished_out)
		queue_db_op_remove(op, a->entry->id);
	else
		put_updates(a, op);
	onward_add(a, op);
	if (!a->job->lane->is_local || any || onward_any(a))
		return queue_submit(op, QUEUE_DB_DURABLE);
	if (hooks_are_told()) /* of what has happened */
		return queue_submit(op, QUEUE_DB_LAZY);
	queue_submit_later(op, a->entry->id);
	return PH_OK;
}

/* True: nothing is left to do, the message is removed. */
static bool
record_outcome(struct attempt *a)
{
	struct entry *made[ACTIONS] = { NULL };
	bool finished;
	int status = submit_outcome(a, made, &finished);

	if (status != PH_OK) {
		ph_log(PH_ERROR, "outcome_not_recorded",
		    ph_f_str("queue", entry_name(a->entry)),
		    ph_f_str("reason", ph_status_name(status)));
		for (size_t i = 0; i < ACTIONS; i++)
			entry_free(made[i]);
		onward_done(a, false);
		take_back(a);
		return false;
	}
	for (size_t i = 0; i < ACTIONS; i++) {
		if (made[i] == NULL)
			continue;
		schedule_new(made[i]);
	}
	onward_done(a, true);
	hooks_tell(a);
	return finished;
}

static bool
any_changed(const struct attempt *a)
{
	for (size_t i = 0; i < a->entry->recipient_count; i++)
		if (a->changed[i])
			return true;
	return false;
}

/* An operator said so: nobody is asked. */
static void
bounce(struct attempt *a)
{
	for (size_t i = 0; i < a->entry->recipient_count; i++) {
		struct queue_recipient *r = &a->entry->recipients[i];

		if (!attempt_has(a, r))
			continue;
		r->state = QUEUE_DB_FAILED;
		if (r->said->reply->reason == NULL)
			recipient_say(r, 0, PH_LIT("5.7.0"),
			    (struct ph_slice){ NULL, 0 },
			    PH_LIT("returned by the postmaster"));
		a->changed[i] = true;
		queue.bounced++;
		log_outcome(a, r, (struct ph_slice){ NULL, 0 });
	}
}

/* It stood in the line of a destination that does not answer: what is known of
 * that is its outcome. Or nobody is to have it. */
static void
give_up_waiting(struct attempt *a)
{
	struct said *said = a->job->lane->said;

	if (said != NULL) /* the lane may get others on the way */
		said_get(said);
	for (size_t i = 0; i < a->entry->recipient_count; i++) {
		struct queue_recipient *r = &a->entry->recipients[i];

		if (!attempt_has(a, r))
			continue;
		if (r->said->reply->reason == NULL && said != NULL &&
		    !r->is_nobody)
			recipient_say(r, said->reply->code,
			    ph_slice_str(said->reply->enhanced),
			    ph_slice_str(said_host(said)),
			    ph_slice_str(said->reply->reason));
		a->changed[i] = true;
		if (!r->is_nobody) {
			attempt_defer(a, r);
		} else {
			recipient_say(r, 550, PH_LIT("5.1.1"),
			    (struct ph_slice){ NULL, 0 },
			    PH_LIT("there is nobody of that name any more"));
			r->state = QUEUE_DB_FAILED;
		}
		count_outcome(a, r, (struct ph_slice){ NULL, 0 });
	}
	if (said != NULL)
		said_put(said);
}

/* Rows that can't be read: an operator must look, nothing is thrown away. */
static void
set_aside(struct attempt *a, int status)
{
	ph_log(PH_ERROR, "message_unreadable",
	    ph_f_str("queue", entry_name(a->entry)),
	    ph_f_str("reason", ph_status_name(status)));
	if (status == PH_DEFECT || status == PH_NOT_FOUND)
		a->entry->is_held = true;
	for (size_t i = 0; i < a->entry->recipient_count; i++)
		if (attempt_has(a, &a->entry->recipients[i]))
			a->entry->recipients[i].next_ms = fiber_wall_ms() +
			    TROUBLE_MS;
}

static bool
any_open(const struct attempt *a)
{
	for (size_t i = 0; i < a->entry->recipient_count; i++)
		if (is_open(a, &a->entry->recipients[i]))
			return true;
	return false;
}

/* PH_CANCELED: somebody took it away, or wants it held. */
static int
still_wanted(const struct entry *entry)
{
	return entry->is_removed || entry->is_held ? PH_CANCELED : PH_OK;
}

/* Ask, and take what was answered; on return the outcome is begun. */
static void
try_once(struct attempt *a)
{
	struct entry *entry = a->entry;
	struct bus_message reply;
	int status = still_wanted(entry);
	bool is_asked, is_open = false;

	if (status == PH_OK)
		status = find_content(a);
	if (status == PH_OK)
		status = hooks_begin(a);
	is_asked = status == PH_OK && !a->job->is_silent;
	if (is_asked)
		status = hooks_ask(a); /* which may take its time */
	if (is_asked && still_wanted(entry) != PH_OK) {
		status = PH_CANCELED;
		is_asked = false;
	}
	if (is_asked && status == PH_OK) {
		onward_prepare(a); /* and so may this */
		is_open = any_open(a);
	}
	if (is_asked && still_wanted(entry) != PH_OK) {
		status = PH_CANCELED;
		is_asked = is_open = false;
	}
	if (is_open)
		status = ask(a, &reply);
	outcome_begin(entry);
	if (is_asked && status == PH_OK)
		take_verdicts(a);
	if (is_open && status == PH_OK)
		take_results(a, reply.record);
	else if (is_asked && status == PH_OK)
		; /* checks said it all */
	else if (is_asked)
		not_taken(a, status);
	else if (status == PH_OK && entry->is_bounced)
		bounce(a);
	else if (status == PH_OK)
		give_up_waiting(a);
	else if (status != PH_CANCELED)
		set_aside(a, status);
}

static void
attempt_main(void *arg)
{
	struct job *job = arg;
	struct entry *entry = job->entry;
	struct attempt a = { .job = job, .entry = entry,
		.arena = ph_arena_create(NULL), .fd = -1,
		.end = PACE_NOTHING };
	bool finished = false;

	a.changed = ph_arena_array(a.arena, entry->recipient_count,
	    sizeof(*a.changed));
	a.onward = ph_arena_array(a.arena, entry->recipient_count,
	    sizeof(*a.onward));
	try_once(&a);
	if (any_changed(&a) && !entry->is_removed)
		finished = record_outcome(&a);
	outcome_end(entry);
	for (size_t i = 0; i < entry->recipient_count; i++)
		if (attempt_has(&a, &entry->recipients[i]))
			entry->recipients[i].where = AT_REST;
	entry->jobs--;
	if (finished || entry->is_removed) {
		entry_remove(entry);
	} else {
		if (entry->jobs == 0)
			entry_drop_content(entry);
		schedule_entry(entry);
	}
	lane_job_done(job, a.end, a.is_nobody);
	ph_arena_free(a.arena);
}

void
attempt_begin(struct job *job)
{
	fiber_start(attempt_main, job);
}
