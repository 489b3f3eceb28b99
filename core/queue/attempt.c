/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attempt.c - one job: hand an entry's recipients to mail or relay, with the
 * hooks of checks before that, and have what came of it recorded.
 */
#include "queue/attempt.h"

#include <posthouse/transport.h>

#include "base/record.h"
#include "log/log.h"
#include "loop/fiber.h"

enum {
	LOCAL_MS = 120000,
	REMOTE_MORE_MS = 300000, /* for relay to end the attempt and say so */
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

/* --- the attempt --- */

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
		results_take_verdicts(a);
	if (is_open && status == PH_OK)
		results_take(a, reply.record);
	else if (is_asked && status == PH_OK)
		; /* checks said it all */
	else if (is_asked)
		results_not_taken(a, status);
	else if (status == PH_OK && entry->is_bounced)
		results_bounce(a);
	else if (status == PH_OK)
		results_give_up(a);
	else if (status != PH_CANCELED)
		set_aside(a, status);
}

static bool
any_changed(const struct attempt *a)
{
	for (size_t i = 0; i < a->entry->recipient_count; i++)
		if (a->changed[i])
			return true;
	return false;
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
	a.attempted = ph_arena_array(a.arena, entry->recipient_count,
	    sizeof(*a.attempted));
	a.onward = ph_arena_array(a.arena, entry->recipient_count,
	    sizeof(*a.onward));
	try_once(&a);
	if (any_changed(&a) && !entry->is_removed)
		finished = outcome_record(&a);
	outcome_end(entry);
	for (size_t i = 0; i < entry->recipient_count; i++)
		if (attempt_has(&a, &entry->recipients[i])) {
			entry->recipients[i].where = AT_REST;
			lane_leave(&entry->recipients[i]);
		}
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
