/* SPDX-License-Identifier: Apache-2.0 */
/*
 * report.c - delivery status notifications (RFC 3461, RFC 3464): who wants to
 * hear, and the multipart/report that tells it. A report about a report is
 * never made.
 */
#include "queue/queue.h"

#include <stdio.h>
#include <strings.h>

#include <posthouse/auth.h>
#include <posthouse/mail.h>

#include "base/record.h"
#include "log/log.h"
#include "role/route.h"
#include "queue/envelope.h"

enum {
	LOOKUP_MS = 10000,
	RETURN_MAX = 48 << 10, /* a longer message comes back as its header */
	REPORT_MAX = QUEUE_DB_INLINE_MAX,
	/* Everybody is in the report that programs read, with what was said
	 * while there is room: 100 addresses of 320 octets fit behind these. */
	WORDS_MAX = 12 << 10,
	DETAILS_MAX = 20 << 10,
	END_MAX = 256, /* the last part's header and the last boundary */
};

/* What is said of each kind of report. */
static const struct {
	const char *notify;  /* the word of RFC 3461 that asks for it */
	const char *action;  /* RFC 3464 s2.3.3; remote delivery: "relayed" */
	const char *subject, *words;
} kinds[] = {
	[REPORT_FAILED] = { "FAILURE", "failed",
		"Undelivered mail returned to sender",
		"Your message could not be delivered to one or more "
		"recipients. It is returned\r\nbelow. Please ask the "
		"recipients by another way, or show this report to your\r\n"
		"postmaster." },
	[REPORT_DELIVERED] = { "SUCCESS", "delivered",
		"Your message was delivered",
		"Your message was delivered to the recipients below. This "
		"report was asked for\r\nby the sender of the message." },
	[REPORT_DELAYED] = { "DELAY", "delayed",
		"Your message is delayed",
		"Your message could not be delivered yet to the recipients "
		"below. You need do\r\nnothing: it is tried again until it "
		"is delivered or too old, and then you are told." },
};

static bool
has_word(const char *list, const char *word)
{
	struct ph_slice rest = ph_slice_str(list);

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
	if (recipient->notify != NULL)
		return has_word(recipient->notify, kinds[action].notify);
	/* Warnings unasked only to our own users: other senders may be forged. */
	return action == REPORT_FAILED ||
	    (action == REPORT_DELAYED && entry->is_by_user);
}

/* --- who is the sender --- */

/* As find_sender, for a server with routers: the first of those that the sender
 * stands for has the report, be it here or elsewhere. */
static enum report_result
find_routed(const char **sender, struct ph_arena *arena,
    const char **user_out)
{
	struct ph_slice address = ph_slice_str(*sender);
	const struct route_result *results;
	size_t count;

	if (route_ask(PH_LIT(""), &address, 1, arena, &results, &count) !=
	    PH_OK)
		return REPORT_LATER;
	for (size_t i = 0; i < count; i++) {
		if (results[i].answer == ROUTE_UNSURE)
			return REPORT_LATER;
		if (results[i].answer == ROUTE_NO_USER)
			continue;
		if (results[i].is_replaced)
			*sender = ph_arena_slice(arena, results[i].address).p;
		if (results[i].answer == ROUTE_LOCAL)
			*user_out = ph_arena_slice(arena, results[i].user).p;
		return REPORT_MADE;
	}
	return REPORT_NOBODY;
}

/* user_out: canonical, or NULL for a remote sender. */
static enum report_result
find_mailbox(const char *sender, struct ph_arena *arena, const char **user_out)
{
	struct ph_slice domain = ph_address_domain(ph_slice_str(sender));
	struct bus_message reply;
	struct ph_buf buf;

	*user_out = NULL;
	if (domain.p != NULL &&
	    !core_is_local_domain(&generation_current()->core, domain))
		return REPORT_MADE;
	ph_buf_init(&buf, arena, 1024);
	record_put_str(&buf, F_ADDRESS, sender);
	if (bus_call(ROLE_AUTH, 0, MSG_LOOKUP, ph_buf_content(&buf), NULL, 0,
	        LOOKUP_MS, arena, &reply) != PH_OK)
		return REPORT_LATER;
	switch (record_get_u64(reply.record, F_ANSWER, PH_USER_UNSURE)) {
	case PH_USER_OK:
		*user_out = ph_arena_slice(arena,
		    record_get(reply.record, F_USER)).p;
		return *user_out != NULL ? REPORT_MADE : REPORT_LATER;
	case PH_USER_UNKNOWN:
	case PH_USER_WRONG:
		return REPORT_NOBODY;
	default:
		return REPORT_LATER;
	}
}

/* --- the text --- */

static void
put_recipient_line(const struct queue_recipient *r, struct ph_buf *buf)
{
	ph_buf_printf(buf, "  <%s>", r->address);
	if (r->said->host != NULL)
		ph_buf_printf(buf, ": host %s said", r->said->host);
	if (r->said->reason != NULL)
		ph_buf_printf(buf, ":\r\n    %s", r->said->reason);
	ph_buf_str(buf, "\r\n\r\n");
}

static void
put_words(const struct report *report, const char *hostname,
    struct ph_buf *buf)
{
	ph_buf_printf(buf, "This is the mail system at %s.\r\n\r\n%s\r\n\r\n",
	    hostname, kinds[report->action].words);
	for (size_t i = 0; i < report->about->recipient_count; i++) {
		if (!report->concerned[i])
			continue;
		if (buf->n > WORDS_MAX) {
			ph_buf_str(buf, "  and others; all are named in the "
			    "next part.\r\n\r\n");
			return;
		}
		put_recipient_line(&report->about->recipients[i], buf);
	}
}

/* RFC 3464 s2.3.4: a delivered message's status is 2.x.x. */
static const char *
status_of(const struct report *report, const struct queue_recipient *r)
{
	const char *enhanced = r->said->enhanced;
	char class = enhanced != NULL ? enhanced[0] : '\0';

	switch (report->action) {
	case REPORT_DELIVERED:
		return class == '2' ? enhanced : "2.0.0";
	case REPORT_DELAYED:
		return class == '4' ? enhanced : "4.4.1";
	default: /* 4.4.7: it was tried long enough */
		return class == '4' || class == '5' ? enhanced : "5.0.0";
	}
}

static void
put_details(const struct queue_recipient *r, struct ph_buf *buf)
{
	const struct said *said = r->said;

	if (said->host != NULL && r->user == NULL)
		ph_buf_printf(buf, "Remote-MTA: dns; %s\r\n", said->host);
	if (said->reason != NULL && said->code != 0)
		ph_buf_printf(buf, "Diagnostic-Code: smtp; %d %s %s\r\n",
		    said->code, said->enhanced != NULL ? said->enhanced : "",
		    said->reason);
	else if (said->reason != NULL)
		ph_buf_printf(buf, "Diagnostic-Code: X-Posthouse; %s\r\n",
		    said->reason);
}

static void
put_status(const struct report *report, const char *hostname,
    struct ph_buf *buf)
{
	const struct entry *entry = report->about;
	struct ph_slice envid = fact_of(report->facts, "envid");
	char date[PH_DATE_MAX];

	ph_date_format(entry->received_at, date);
	if (envid.p != NULL)
		ph_buf_printf(buf, "Original-Envelope-Id: " PH_SLICE_FMT
		    "\r\n", PH_SLICE_ARG(envid));
	ph_buf_printf(buf, "Reporting-MTA: dns; %s\r\nArrival-Date: %s\r\n"
	    "X-Queue-Id: %s\r\n\r\n", hostname, date, entry->name);
	for (size_t i = 0; i < entry->recipient_count; i++) {
		const struct queue_recipient *r = &entry->recipients[i];

		if (!report->concerned[i])
			continue;
		if (r->orcpt != NULL && buf->n < DETAILS_MAX)
			ph_buf_printf(buf, "Original-Recipient: %s\r\n",
			    r->orcpt);
		ph_buf_printf(buf, "Final-Recipient: rfc822; %s\r\n"
		    "Action: %s\r\nStatus: %s\r\n", r->address,
		    report->action == REPORT_DELIVERED && r->user == NULL ?
		    "relayed" : kinds[report->action].action,
		    status_of(report, r));
		if (report->action == REPORT_DELAYED) {
			ph_date_format(entry->received_at + (int64_t)
			    (generation_current()->core.queue.lifetime_ms /
			    1000), date);
			ph_buf_printf(buf, "Will-Retry-Until: %s\r\n", date);
		}
		if (buf->n < DETAILS_MAX)
			put_details(r, buf);
		ph_buf_str(buf, "\r\n");
	}
}

static struct ph_slice
make_text(const struct report *report, const char *hostname,
    struct ph_arena *arena)
{
	const struct entry *entry = report->about;
	struct ph_slice content = report->content;
	size_t header = ph_header_size(content);
	bool whole = report->action == REPORT_FAILED &&
	    content.n <= RETURN_MAX && content.n == entry->size_bytes &&
	    !ph_slice_eq_nocase(fact_of(report->facts, "ret"), PH_LIT("HDRS"));
	size_t room;
	char boundary[64], date[PH_DATE_MAX], id[ID_TEXT_MAX];
	struct ph_buf buf;

	id_format(id_create(), id);
	snprintf(boundary, sizeof(boundary), "=_%s_%s", id, entry->name);
	ph_date_format(ph_wall_time(), date);
	ph_buf_init(&buf, arena, REPORT_MAX);
	ph_buf_printf(&buf,
	    "Date: %s\r\nFrom: Mail system <MAILER-DAEMON@%s>\r\nTo: <%s>\r\n"
	    "Subject: %s\r\nMessage-ID: <%s@%s>\r\n"
	    "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
	    "Content-Type: multipart/report; report-type=delivery-status;\r\n"
	    "\tboundary=\"%s\"\r\n\r\n",
	    date, hostname, entry->sender,
	    kinds[report->action].subject, id, hostname, boundary);
	ph_buf_printf(&buf, "--%s\r\nContent-Type: text/plain; "
	    "charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
	    boundary);
	put_words(report, hostname, &buf);
	ph_buf_printf(&buf, "--%s\r\nContent-Type: message/delivery-status"
	    "\r\n\r\n", boundary);
	put_status(report, hostname, &buf);
	room = REPORT_MAX - END_MAX > buf.n ? REPORT_MAX - END_MAX - buf.n : 0;
	whole = whole && content.n <= room;
	ph_buf_printf(&buf, "--%s\r\nContent-Type: %s\r\n"
	    "Content-Transfer-Encoding: 8bit\r\n\r\n", boundary,
	    whole ? "message/rfc822" : "text/rfc822-headers");
	room = room < RETURN_MAX / 3 ? room : RETURN_MAX / 3;
	if (!whole)
		content.n = header < room ? header : room;
	ph_buf_slice(&buf, content);
	ph_buf_printf(&buf, "\r\n--%s--\r\n", boundary);
	return ph_buf_content(&buf);
}

/* --- the message --- */

static struct ph_slice
make_envelope(const struct entry *about, struct ph_arena *arena)
{
	struct ph_buf buf;

	ph_buf_init(&buf, arena, 4096);
	record_put_str(&buf, ENV_SENDER, "");
	record_put_str(&buf, ENV_SESSION, about->session != NULL ?
	    about->session : "");
	record_put_str(&buf, ENV_SERVICE, "report");
	record_put_u64(&buf, ENV_RECEIVED_AT, (uint64_t)ph_wall_time());
	return ph_buf_content(&buf);
}

/* *sender: who is to have the report. */
static enum report_result
find_sender(const char **sender, struct ph_arena *arena,
    const char **user_out)
{
	*user_out = NULL;
	return generation_current()->router_count > 0 ?
	    find_routed(sender, arena, user_out) :
	    find_mailbox(*sender, arena, user_out);
}

enum report_result
report_make(const struct report *report, struct queue_db_op *op,
    struct ph_arena *arena, struct entry **entry_out)
{
	const struct entry *about = report->about;
	struct queue_recipient memory = { .notify = "NEVER" };
	struct queue_db_recipient recipient = { .state = QUEUE_DB_WAITING };
	struct queue_db_message message = { .body.fd = -1 };
	const char *sender = about->sender;
	enum report_result result = find_sender(&sender, arena,
	    &memory.user);
	struct entry *entry;

	if (result == REPORT_NOBODY)
		ph_log(PH_NOTICE, "report_dropped",
		    ph_f_str("queue", about->name),
		    ph_f_str("to", about->sender),
		    ph_f_str("reason", "the sender has no mailbox here"));
	if (result != REPORT_MADE)
		return result;
	message.id = id_create_above(about->id);
	message.envelope = make_envelope(about, arena);
	message.trace = PH_LIT("");
	message.body.octets = make_text(report,
	    generation_current()->core.hostname, arena);
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
	ph_log(PH_INFO, "reported", ph_f_str("queue", about->name),
	    ph_f_str("report", entry->name),
	    ph_f_str("action", kinds[report->action].action),
	    ph_f_str("to", about->sender));
	*entry_out = entry;
	return REPORT_MADE;
}
