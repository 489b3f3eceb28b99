/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outcome.c - the outcome of an attempt in one transaction: rows that changed or
 * the message's removal, the reports that the sender is to have, the messages
 * that checks made of it. What the store can't take did not happen.
 */
#include "queue/attempt.h"

#include <posthouse/transport.h>

#include "log/log.h"
#include "loop/fiber.h"
#include "queue/verdicts.h"

/*
 * One outcome of an entry at a time. Who finds every recipient done removes the
 * message; were another's outcome still on its way to the disk, its report
 * would be refused together with it, for a message that is not there.
 */
void
outcome_begin(struct entry *entry)
{
	while (entry->is_recording)
		ph_event_wait(&queue.recorded, PH_NO_LIMIT_MS);
	entry->is_recording = true;
}

void
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
	int64_t age_ms = fiber_wall_ms() - (int64_t)a->entry->begun_at * 1000;

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
		.concerned = concerned, .onward = a->onward,
		.attempted = a->attempted };

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
	if (a->verdicts.n > 0)
		queue_db_op_trace(op, a->entry->id,
		    ph_buf_content(&a->verdicts), verdicts_merge);
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
bool
outcome_record(struct attempt *a)
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
