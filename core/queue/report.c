/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report.c - delivery status notifications (RFC 3461): who wants to hear, and
 * the message that brings it there; report_text.c has what it says. A report
 * about a report is never made.
 */
#include "queue/routing.h"

#include <posthouse/mail.h>

#include "base/record.h"
#include "log/log.h"
#include "mail/octet.h"
#include "queue/envelope.h"

/* The word of RFC 3461 that asks for it, and how the log calls it. */
static const struct {
	const char *notify, *action;
} kinds[] = {
	[REPORT_FAILED] = { "FAILURE", "failed" },
	[REPORT_DELIVERED] = { "SUCCESS", "delivered" },
	[REPORT_DELAYED] = { "DELAY", "delayed" },
	[REPORT_EXPANDED] = { "SUCCESS", "expanded" },
};

bool
report_notify_has(struct ph_slice notify, const char *word)
{
	struct ph_slice rest = notify;

	while (rest.p != NULL) {
		struct ph_slice one = ph_slice_trim(ph_slice_cut(&rest, ','));

		if (ph_slice_eq_nocase(one, ph_slice_str(word)))
			return true;
	}
	return false;
}

bool
report_is_wanted(const struct entry *entry,
    const struct queue_recipient *recipient, enum report_action action)
{
	if (entry->sender[0] == '\0')
		return false;
	if (recipient->more->notify != NULL)
		return report_notify_has(ph_slice_str(recipient->more->notify),
		    kinds[action].notify);
	/* Warnings unasked only to our own users: other senders may be forged. */
	return action == REPORT_FAILED ||
	    (action == REPORT_DELAYED && entry->is_by_user);
}

/* --- who is the sender --- */

/* The first of those that the sender stands for has the report, be it here or
 * elsewhere. */
static enum report_result
find_sender(const char **sender, struct ph_arena *arena,
    struct queue_recipient *to, struct recipient_more *more)
{
	struct ph_slice address = ph_slice_str(*sender);
	const struct route_result *results;
	size_t count;

	if (routing_ask(PH_LIT(""), &address, 1, arena, &results, &count) !=
	    PH_OK)
		return REPORT_LATER;
	for (size_t i = 0; i < count; i++) {
		const struct route_result *r = &results[i];

		if (r->answer == ROUTE_UNSURE)
			return REPORT_LATER;
		if (r->answer == ROUTE_NO_USER || r->is_copy)
			continue;
		if (r->is_replaced)
			*sender = ph_arena_slice(arena, r->address).p;
		if (r->answer == ROUTE_LOCAL)
			to->user = ph_arena_slice(arena, r->user).p;
		if (r->transport.p != NULL)
			more->transport = ph_arena_slice(arena,
			    r->transport).p;
		if (r->destination.p != NULL)
			more->destination = ph_arena_slice(arena,
			    r->destination).p;
		return REPORT_MADE;
	}
	return REPORT_NOBODY;
}

/* --- the message --- */

/* RFC 6533: its header names the sender, its parts are in UTF-8. */
static bool
is_in_utf8(const struct report *report, const char *to, struct ph_slice text)
{
	return octet_any_high(ph_slice_str(report->about->sender)) ||
	    octet_any_high(ph_slice_str(to)) ||
	    (fact_of(report->facts, "smtputf8").p != NULL &&
	        octet_any_high(text));
}

static struct ph_slice
make_envelope(const struct report *report, const char *to,
    struct ph_slice text, struct ph_arena *arena)
{
	const struct entry *about = report->about;
	struct ph_buf buf;
	size_t mark;

	ph_buf_init(&buf, arena, 4096);
	record_put_str(&buf, ENV_SENDER, "");
	record_put_str(&buf, ENV_SESSION, about->session != 0 ?
	    entry_session(about) : "");
	record_put_str(&buf, ENV_SERVICE, "report");
	record_put_u64(&buf, ENV_RECEIVED_AT, (uint64_t)ph_wall_time());
	if (is_in_utf8(report, to, text)) {
		mark = record_begin(&buf, ENV_FACT);
		record_put_str(&buf, F_NAME, "smtputf8");
		record_put_str(&buf, F_TEXT, "1");
		record_end(&buf, mark);
	}
	return ph_buf_content(&buf);
}

enum report_result
report_make(const struct report *report, struct queue_db_op *op,
    struct ph_arena *arena, struct entry **entry_out)
{
	const struct entry *about = report->about;
	struct recipient_more more = { .notify = "NEVER" };
	struct queue_recipient memory = { .more = &more };
	struct queue_db_recipient recipient = { .state = QUEUE_DB_WAITING };
	struct queue_db_message message = { .body.fd = -1 };
	const char *sender = about->sender;
	enum report_result result = find_sender(&sender, arena, &memory,
	    &more);
	struct entry *entry;

	if (result == REPORT_NOBODY)
		ph_log(PH_NOTICE, "report_dropped",
		    ph_f_str("queue", entry_name(about)),
		    ph_f_str("to", about->sender),
		    ph_f_str("reason", "the sender has no mailbox here"));
	if (result != REPORT_MADE)
		return result;
	message.id = id_create_above(about->id);
	message.body.octets = report_text(report, arena);
	message.envelope = make_envelope(report, sender, message.body.octets,
	    arena);
	message.trace = PH_LIT("");
	message.size_bytes = message.body.octets.n;
	recipient.address = ph_slice_str(sender);
	recipient.destination = memory.user != NULL ? PH_LIT("") :
	    ph_address_domain(recipient.address);
	recipient.record = recipient_record(arena, &memory);
	message.recipients = &recipient;
	message.recipient_count = 1;
	queue_db_op_message(op, &message);
	entry = entry_create(&message);
	ph_assert(entry != NULL);
	entry_keep_content(entry, message.envelope, message.body.octets);
	ph_log(PH_INFO, "reported", ph_f_str("queue", entry_name(about)),
	    ph_f_str("report", entry_name(entry)),
	    ph_f_str("action", kinds[report->action].action),
	    ph_f_str("to", about->sender));
	*entry_out = entry;
	return REPORT_MADE;
}
