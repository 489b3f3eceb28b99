/* SPDX-License-Identifier: Apache-2.0 */
/*
 * results.c - what an attempt says of each of its recipients: the answers of mail
 * and relay, the verdicts of checks, and what it means that there is none. Only
 * memory is changed here; outcome.c makes it durable.
 */
#include "queue/attempt.h"

#include <posthouse/transport.h>

#include "base/record.h"
#include "log/log.h"
#include "loop/fiber.h"

enum {
	AGAIN_MS = 1000,        /* nobody was there to take it */
	AGAIN_DOUBLINGS = 8,    /* of it, when that goes on */
};

/* Where a local delivery put the message. */
struct landed {
	struct ph_slice uid;
	struct ph_slice into; /* mailboxes; absent: the INBOX */
};
static const struct landed nowhere = { { NULL, 0 }, { NULL, 0 } };

static void
log_outcome(const struct attempt *a, const struct queue_recipient *r,
    const struct landed *landed)
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
	    ph_f_slice("into", landed->into),
	    ph_f_slice("uid", landed->uid),
	    ph_f_str("host", said_host(r->said)),
	    ph_f_str("status", r->said->reply->enhanced),
	    ph_f_str("reason", r->said->reply->reason),
	    ph_f_str("given_up", recipient_given_up(entry, r)),
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
		else if (code != 0 || a->onward[r->index] == PH_ONWARD_END)
			/* somebody was there and said so */
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
    const struct landed *landed)
{
	queue.delivered += r->state == QUEUE_DB_DELIVERED;
	queue.bounced += r->state == QUEUE_DB_FAILED;
	queue.deferred += r->state == QUEUE_DB_WAITING;
	log_outcome(a, r, landed);
}

static struct landed
landed_of(const struct attempt *a, struct ph_slice result)
{
	return (struct landed){
		.uid = ph_slice_str(ph_arena_printf(a->arena, "%llu",
		    (unsigned long long)record_get_u64(result, F_UID, 0))),
		.into = record_get(result, F_TEXT) };
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
	count_outcome(a, r, &nowhere);
}

void
results_take_verdicts(struct attempt *a)
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
		count_outcome(a, r, &nowhere);
	}
}

void
results_take(struct attempt *a, struct ph_slice record)
{
	bool is_local = a->job->lane->is_local;
	struct record_field field;

	a->end = is_local ? PACE_ANSWERED : PACE_NO_ANSWER;
	a->entry->troubles = 0;
	a->any_delivered = !is_local && has_delivered(record);
	while (record_next(&record, &field)) {
		struct queue_recipient *r;
		struct landed landed = nowhere;
		size_t i;

		if (field.tag != F_RESULT)
			continue;
		r = find_recipient(a, record_get_u64(field.value, F_NUMBER,
		    UINT64_MAX), &i);
		if (r == NULL || a->changed[i])
			continue;
		a->changed[i] = a->attempted[i] = true;
		a->onward[i] = is_local ? PH_ONWARD_END :
		                          onward_of(field.value);
		if (is_local)
			take_local(a, r, field.value);
		else
			take_remote(a, r, field.value);
		if (is_local && r->state == QUEUE_DB_DELIVERED)
			landed = landed_of(a, field.value);
		count_outcome(a, r, &landed);
	}
	defer_rest(a, "no result came");
}

/*
 * Nobody took the job, or who took it died: no attempt is counted, the next
 * one is soon. Soon is later each time, for the job itself may be what kills.
 * A job that was refused as a whole is an attempt; it ends with its lifetime.
 */
void
results_not_taken(struct attempt *a, int status)
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

/* An operator said so: nobody is asked. */
void
results_bounce(struct attempt *a)
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
		log_outcome(a, r, &nowhere);
	}
}

/* It stood in the line of a destination that does not answer: what is known of
 * that is its outcome. Or nobody is to have it. */
void
results_give_up(struct attempt *a)
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
		count_outcome(a, r, &nowhere);
	}
	if (said != NULL)
		said_put(said);
}
