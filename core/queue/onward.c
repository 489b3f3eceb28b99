/* SPDX-License-Identifier: Apache-2.0 */
/*
 * onward.c - messages that an attempt gives rise to because a check said so: a
 * recipient's copy that is held, or sent on to others, and answers. Each is a
 * message of its own, put into the transaction that records the outcome of whom
 * it is about: a crash neither loses nor doubles it. Whatever may fail is done
 * before that.
 */
#include "queue/attempt.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <posthouse/mail.h>

#include "base/record.h"
#include "log/log.h"
#include "mail/octet.h"
#include "pipeline/reply.h"
#include "queue/envelope.h"
#include "queue/routing.h"
#include "queue/verdicts.h"

enum {
	ENVELOPE_MORE = 2048, /* octets that a message on has, not its parent */
	/* of one recipient's attempt, by all modules */
	REDIRECTS_MAX = 64,
	REPLIES_OF_ALL_MAX = 4 * REPLIES_MAX,
	RECIPIENTS_MAX = 2000, /* that addresses of one answer may become */
	TIMES_MAX = 10,     /* that a message is sent on */
	BLOCK = 64 << 10,
	ROWS_MAX = QUEUE_DB_OP_MAX / 2, /* octets in the op of one outcome */
	ROW_MORE = 64,      /* of each recipient, beside his texts */
};

struct onward {
	struct onward *next;
	const struct queue_recipient *of;
	struct queue_db_message message;
	struct entry *entry; /* NULL: not in the op */
	const char *event; /* for the log */
};

/* --- the content, once more --- */

struct copying {
	int from, to, status;
	uint64_t bytes;
};

/* In the thread pool. */
static void
copy_file(void *arg)
{
	struct copying *copying = arg;
	char *block = malloc(BLOCK);

	ph_assert(block != NULL);
	copying->status = queue_db_spool(queue.db, &copying->to);
	while (copying->status == PH_OK) {
		ssize_t got = pread(copying->from, block, BLOCK,
		    (off_t)copying->bytes);

		if (got == 0)
			break;
		if (got < 0 || pwrite(copying->to, block, (size_t)got,
		        (off_t)copying->bytes) != got)
			copying->status = errno == ENOSPC ? PH_FULL : PH_IO;
		else
			copying->bytes += (uint64_t)got;
	}
	free(block);
}

/* A file belongs to one message: another needs its own. */
static int
copy_body(struct attempt *a, struct queue_db_body *body)
{
	struct copying copying = { .from = body->fd, .to = -1 };

	if (body->fd < 0)
		return PH_OK;
	if (queue.db == NULL)
		return PH_UNAVAILABLE;
	queue.users++;
	ph_work(copy_file, &copying);
	queue.users--;
	ph_event_signal(&queue.moved);
	if (copying.to >= 0)
		ph_arena_own_fd(a->arena, copying.to);
	body->fd = copying.to;
	body->file_bytes = copying.bytes;
	return copying.status;
}

/* Of what has no file of its own. */
static size_t
octets_of(const struct queue_db_message *message)
{
	size_t octets = message->envelope.n + message->trace.n +
	    message->body.octets.n;

	for (size_t i = 0; i < message->recipient_count; i++)
		octets += message->recipients[i].address.n +
		    message->recipients[i].destination.n +
		    message->recipients[i].record.n + ROW_MORE;
	return octets;
}

/* One more message. More than there is room for would spoil the op: PH_BUSY,
 * with the next attempt; PH_TOO_BIG when it is too much by itself. */
static int
take(struct attempt *a, struct onward *onward)
{
	size_t octets = octets_of(&onward->message);

	for (const struct onward *at = a->made; at != NULL; at = at->next)
		octets += octets_of(&at->message);
	if (octets > ROWS_MAX)
		return a->made != NULL ? PH_BUSY : PH_TOO_BIG;
	onward->next = a->made;
	a->made = onward;
	return PH_OK;
}

/* The same, of one with the body of its parent. Suspends. */
static int
take_copy(struct attempt *a, struct onward *onward)
{
	int status = take(a, onward);

	return status == PH_OK ? copy_body(a, &onward->message.body) : status;
}

/* --- held --- */

static const struct queue_db_recipient *
row_of(const struct queue_db_message *parent, uint32_t number)
{
	for (size_t i = 0; i < parent->recipient_count; i++)
		if (parent->recipients[i].number == number)
			return &parent->recipients[i];
	return NULL;
}

static struct ph_slice
held_envelope(struct attempt *a, struct ph_slice envelope,
    const struct hook_answer *answer)
{
	struct ph_buf buf;

	ph_buf_init(&buf, a->arena, envelope.n + ENVELOPE_MORE);
	ph_buf_slice(&buf, envelope);
	record_put_str(&buf, ENV_QUARANTINE, ph_arena_printf(a->arena,
	    PH_SLICE_FMT ": " PH_SLICE_FMT, PH_SLICE_ARG(answer->module),
	    PH_SLICE_ARG(answer->text)));
	return ph_buf_content(&buf);
}

/* With what was said of him before this, and now. */
static struct ph_slice
trace_of(struct attempt *a, const struct queue_db_message *parent,
    const struct queue_recipient *r)
{
	return verdicts_of(a->arena, verdicts_merge(a->arena, parent->trace,
	    ph_buf_content(&a->verdicts)), r->address);
}

/* The message again, for him alone, and nobody tries it. */
static int
hold(struct attempt *a, const struct queue_db_message *parent,
    const struct queue_recipient *r)
{
	const struct queue_db_recipient *row = row_of(parent, r->number);
	struct queue_db_recipient *to = ph_arena_alloc(a->arena, sizeof(*to));
	struct onward *onward = ph_arena_alloc(a->arena, sizeof(*onward));

	if (row == NULL)
		return PH_DEFECT;
	*to = *row;
	to->number = 0;
	to->state = QUEUE_DB_WAITING;
	to->next_ms = 0;
	onward->of = r;
	onward->message = *parent;
	onward->event = "quarantined";
	onward->message.order = QUEUE_DB_HELD;
	onward->message.recipients = to;
	onward->message.recipient_count = 1;
	onward->message.trace = trace_of(a, parent, r);
	onward->message.envelope = held_envelope(a, parent->envelope,
	    &a->answers[r->index]);
	return take_copy(a, onward);
}

/* --- sent on --- */

/* Who got it already, himself among them. */
static bool
was_there(const struct queue_db_message *parent,
    const struct queue_recipient *r, struct ph_slice address)
{
	struct ph_slice rest = parent->envelope;
	struct record_field field;
	unsigned times = 0;

	if (ph_slice_eq_nocase(address, ph_slice_str(r->address)) ||
	    (r->user != NULL &&
	        ph_slice_eq_nocase(address, ph_slice_str(r->user))))
		return true;
	while (record_next(&rest, &field)) {
		if (field.tag != ENV_REDIRECTED)
			continue;
		if (++times == TIMES_MAX ||
		    ph_slice_eq_nocase(field.value, address))
			return true;
	}
	return false;
}

static void
put_row(struct attempt *a, const struct route_result *result,
    const char *notify, struct queue_db_recipient *to)
{
	struct recipient_more more = { .notify = notify };
	struct queue_recipient memory = { .more = &more };

	if (result->user.p != NULL)
		memory.user = ph_arena_slice(a->arena, result->user).p;
	if (result->transport.p != NULL)
		more.transport = ph_arena_slice(a->arena,
		    result->transport).p;
	if (result->destination.p != NULL)
		more.destination = ph_arena_slice(a->arena,
		    result->destination).p;
	to->state = QUEUE_DB_WAITING;
	to->address = result->address;
	to->destination = result->user.p != NULL ? PH_LIT("") :
	    ph_address_domain(result->address);
	to->record = recipient_record(a->arena, &memory);
}

/* Whom one message on goes to. */
struct rows {
	const char *sender;
	struct queue_db_recipient *all;
	struct ph_slice *where; /* the same: a mailbox, or an address */
	size_t count, room;
};

static void
rows_reserve(struct rows *rows, struct ph_arena *arena, size_t more)
{
	struct rows wider = *rows;

	if (rows->count + more <= rows->room)
		return;
	wider.room = rows->count + more;
	wider.all = ph_arena_array(arena, wider.room, sizeof(*wider.all));
	wider.where = ph_arena_array(arena, wider.room,
	    sizeof(*wider.where));
	for (size_t i = 0; i < rows->count; i++) {
		wider.all[i] = rows->all[i];
		wider.where[i] = rows->where[i];
	}
	*rows = wider;
}

/* Once, however many ways lead to him. */
static void
rows_add(struct rows *rows, struct attempt *a,
    const struct route_result *result)
{
	struct ph_slice where = result->user.p != NULL ? result->user :
	    result->address;

	for (size_t i = 0; i < rows->count; i++)
		if (ph_slice_eq_nocase(rows->where[i], where))
			return;
	rows->all[rows->count].number = (uint32_t)rows->count;
	put_row(a, result, rows->sender[0] != '\0' ? "FAILURE,DELAY" :
	    "NEVER", &rows->all[rows->count]);
	rows->where[rows->count++] = where;
}

/* What an address leads to, as rows. PH_OK, also for nobody. */
static int
route(struct attempt *a, struct ph_slice address, struct rows *rows)
{
	const struct route_result *results;
	size_t n;
	int status = routing_ask(ph_slice_str(rows->sender), &address, 1,
	    a->arena, &results, &n);

	if (status != PH_OK)
		return status;
	if (n > RECIPIENTS_MAX - rows->count)
		return PH_TOO_BIG; /* some would be left out */
	rows_reserve(rows, a->arena, n);
	for (size_t i = 0; i < n; i++) {
		if (!routing_is_sound(&results[i]))
			return PH_UNAVAILABLE;
		if (results[i].answer != ROUTE_NO_USER && !results[i].is_copy)
			rows_add(rows, a, &results[i]);
	}
	return PH_OK;
}

static int
find_rows(struct attempt *a, const struct queue_db_message *parent,
    const struct queue_recipient *r, struct rows *rows)
{
	struct ph_slice asks = a->answers[r->index].asks;
	struct record_field field;
	unsigned asked = 0;
	int status = PH_OK;

	while (status == PH_OK && record_next(&asks, &field)) {
		size_t before = rows->count;

		if (field.tag != F_REDIRECT ||
		    !routing_is_sane(field.value, QUEUE_RCPT_MAX))
			continue;
		if (asked++ == REDIRECTS_MAX)
			return PH_TOO_BIG; /* some would be left out */
		if (!was_there(parent, r, field.value))
			status = route(a, field.value, rows);
		if (status == PH_OK && rows->count == before)
			ph_log(PH_WARN, "not_sent_on",
			    ph_f_str("queue", entry_name(a->entry)),
			    ph_f_str("of", r->address),
			    ph_f_slice("to", field.value),
			    ph_f_str("reason", "it was there, or nobody is"));
	}
	return status;
}

static int
send_on(struct attempt *a, const struct queue_db_message *parent,
    const struct queue_recipient *r)
{
	struct hook_answer *answer = &a->answers[r->index];
	struct onward *onward = ph_arena_alloc(a->arena, sizeof(*onward));
	struct rows rows = { .sender = a->entry->sender };
	int status = find_rows(a, parent, r, &rows);
	struct ph_buf buf;

	if (status != PH_OK)
		return status;
	if (rows.count == 0) { /* not lost for that */
		answer->verdict = PH_NEXT;
		return PH_OK;
	}
	ph_buf_init(&buf, a->arena, parent->envelope.n + ENVELOPE_MORE);
	ph_buf_slice(&buf, parent->envelope);
	record_put_str(&buf, ENV_REDIRECTED, r->address);
	onward->of = r;
	onward->event = "redirected";
	onward->message = *parent;
	onward->message.order = QUEUE_DB_READY;
	onward->message.recipients = rows.all;
	onward->message.recipient_count = rows.count;
	onward->message.trace = trace_of(a, parent, r);
	onward->message.envelope = ph_buf_content(&buf);
	return take_copy(a, onward);
}

/* --- answers --- */

static struct ph_slice
reply_envelope(struct attempt *a, struct ph_slice address,
    struct ph_slice content)
{
	struct ph_buf buf;
	size_t mark;

	ph_buf_init(&buf, a->arena, 4096);
	record_put_str(&buf, ENV_SENDER, "");
	record_put_str(&buf, ENV_SESSION, a->entry->session != 0 ?
	    entry_session(a->entry) : "");
	record_put_str(&buf, ENV_SERVICE, "reply");
	record_put_u64(&buf, ENV_RECEIVED_AT, (uint64_t)ph_wall_time());
	content.n = ph_header_size(content);
	if (octet_any_high(address) || octet_any_high(content)) {
		mark = record_begin(&buf, ENV_FACT);
		record_put_str(&buf, F_NAME, "smtputf8");
		record_put_str(&buf, F_TEXT, "1");
		record_end(&buf, mark);
	}
	return ph_buf_content(&buf);
}

/* With the fields that every message has. */
static struct ph_slice
reply_content(struct attempt *a, struct ph_slice content)
{
	struct ph_header_field field;
	char id[ID_TEXT_MAX], date[PH_DATE_MAX];
	struct ph_buf buf;

	ph_buf_init(&buf, a->arena, content.n + 1024);
	ph_date_format(ph_wall_time(), date);
	if (!ph_header_find(content, "Date", &field))
		ph_buf_printf(&buf, "Date: %s\r\n", date);
	if (!ph_header_find(content, "Message-ID", &field))
		ph_buf_printf(&buf, "Message-ID: <%s@%s>\r\n",
		    id_format(id_create(), id),
		    generation_current()->core.hostname);
	ph_buf_slice(&buf, content);
	return ph_buf_content(&buf);
}

static int
reply(struct attempt *a, const struct queue_recipient *r,
    struct ph_slice address, struct ph_slice content)
{
	struct onward *onward = ph_arena_alloc(a->arena, sizeof(*onward));
	struct rows rows = { .sender = "" };
	int status = route(a, address, &rows);

	if (status != PH_OK)
		return status;
	if (rows.count == 0) {
		ph_log(PH_NOTICE, "not_replied",
		    ph_f_str("queue", entry_name(a->entry)),
		    ph_f_str("of", r->address), ph_f_slice("to", address),
		    ph_f_str("reason", "nobody is there"));
		return PH_OK;
	}
	onward->of = r;
	onward->event = "replied";
	onward->message = (struct queue_db_message){ .order = QUEUE_DB_READY,
		.envelope = reply_envelope(a, address, content),
		.trace = PH_LIT(""), .recipients = rows.all,
		.recipient_count = rows.count, .body.fd = -1,
		.body.octets = reply_content(a, content) };
	onward->message.size_bytes = onward->message.body.octets.n;
	return take(a, onward);
}

/* RFC 3834 s2: a null sender is never answered, whatever check says. */
static int
reply_all(struct attempt *a, const struct queue_recipient *r)
{
	struct ph_slice asks = a->answers[r->index].asks;
	struct record_field field;
	unsigned asked = 0;
	int status = PH_OK;

	while (status == PH_OK && a->entry->sender[0] != '\0' &&
	    record_next(&asks, &field)) {
		struct ph_slice address, content;

		if (field.tag != F_REPLY || asked++ >= REPLIES_OF_ALL_MAX)
			continue;
		address = record_get(field.value, F_ADDRESS);
		content = record_get(field.value, F_CONTENT);
		if (routing_is_sane(address, QUEUE_RCPT_MAX) &&
		    reply_is_sound(content))
			status = reply(a, r, address, content);
	}
	return status;
}

/* --- for the attempt --- */

/* Somebody let it go. */
static void
hold_no_more(struct attempt *a, const struct queue_recipient *r)
{
	struct hook_answer *answer = &a->answers[r->index];

	ph_log(PH_NOTICE, "not_held_again",
	    ph_f_str("queue", entry_name(a->entry)),
	    ph_f_str("to", r->address),
	    ph_f_slice("module", answer->module));
	answer->verdict = PH_NEXT;
}

static void
prepare(struct attempt *a, const struct queue_db_message *parent,
    const struct queue_recipient *r)
{
	struct hook_answer *answer = &a->answers[r->index];
	int status = PH_OK;

	if (parent->id == 0)
		status = PH_UNAVAILABLE;
	else if (answer->verdict == PH_QUARANTINE)
		status = hold(a, parent, r);
	else if (record_get(answer->asks, F_REDIRECT).p != NULL)
		status = send_on(a, parent, r);
	if (status == PH_OK && answer->verdict != PH_QUARANTINE)
		status = reply_all(a, r);
	if (status == PH_OK)
		return;
	ph_log(status == PH_BUSY ? PH_INFO : PH_ERROR, "not_set_aside",
	    ph_f_str("queue", entry_name(a->entry)),
	    ph_f_str("reason", ph_status_name(status)));
	while (a->made != NULL && a->made->of == r)
		a->made = a->made->next;
	*answer = (struct hook_answer){ .verdict = PH_DEFER, .code = 451,
		.enhanced = PH_LIT("4.3.0"),
		.text = PH_LIT("the message can't be set aside now") };
}

static bool
asks_for_more(const struct hook_answer *answer)
{
	return answer->verdict == PH_QUARANTINE ||
	    ((answer->verdict == PH_NEXT || answer->verdict == PH_DISCARD) &&
	        (record_get(answer->asks, F_REDIRECT).p != NULL ||
	            record_get(answer->asks, F_REPLY).p != NULL));
}

void
onward_prepare(struct attempt *a)
{
	struct queue_db_message parent = { .body.fd = -1 };
	bool is_read = false;

	for (size_t i = 0; i < a->entry->recipient_count; i++) {
		const struct queue_recipient *r = &a->entry->recipients[i];

		if (a->answers == NULL || !asks_for_more(&a->answers[i]))
			continue;
		if (a->answers[i].verdict == PH_QUARANTINE &&
		    entry_quarantine(a->entry) != NULL)
			hold_no_more(a, r);
		if (!asks_for_more(&a->answers[i]))
			continue;
		if (!is_read && queue_read(a->entry->id, a->arena, &parent) !=
		    PH_OK)
			parent.id = 0;
		is_read = true;
		prepare(a, &parent, r);
	}
}

void
onward_add(struct attempt *a, struct queue_db_op *op)
{
	for (struct onward *at = a->made; at != NULL; at = at->next) {
		if (at->of->state != QUEUE_DB_DELIVERED &&
		    at->of->state != QUEUE_DB_REPLACED)
			continue; /* with the attempt that ends well */
		at->message.id = id_create_above(a->entry->id);
		queue_db_op_message(op, &at->message);
		at->entry = entry_create(&at->message);
		ph_assert(at->entry != NULL);
	}
}

bool
onward_any(const struct attempt *a)
{
	for (const struct onward *at = a->made; at != NULL; at = at->next)
		if (at->entry != NULL)
			return true;
	return false;
}

void
onward_done(struct attempt *a, bool happened)
{
	for (struct onward *at = a->made; at != NULL; at = at->next) {
		if (at->entry == NULL)
			continue;
		if (!happened) {
			entry_free(at->entry);
			continue;
		}
		ph_log(at->message.order == QUEUE_DB_HELD ? PH_NOTICE :
		                                            PH_INFO, at->event,
		    ph_f_str("queue", entry_name(at->entry)),
		    ph_f_str("of", entry_name(a->entry)),
		    ph_f_str("session", entry_session(a->entry)),
		    ph_f_str("from", a->entry->sender),
		    ph_f_str("to", at->of->address),
		    ph_f_str("reason", entry_quarantine(at->entry)));
		schedule_new(at->entry);
	}
}
