/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin.c - what `posthousectl queue` and `posthousectl trace` ask of the
 * queue: texts for a person, one item a line.
 */
#include "queue/queue.h"

#include <stdio.h>
#include <sys/time.h>
#include <time.h>

#include "base/record.h"
#include "log/log.h"

#include <posthouse/session.h>

enum { TEXT_MAX = 400 << 10, LIST_MAX = 100000, SHOW_CONTENT = 4096 };

static const char *
when(int64_t wall_s, char text[32])
{
	time_t t = (time_t)wall_s;
	struct tm tm;

	strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
	return text;
}

static const char *
state_of(const struct entry *entry, const struct queue_recipient *r)
{
	switch (r->state) {
	case QUEUE_DB_DELIVERED:
		return "delivered";
	case QUEUE_DB_FAILED:
		return "failed";
	case QUEUE_DB_REPLACED:
		return "replaced";
	default:
		return entry->is_held ? "held" : r->job != NULL ? "active" :
		    r->attempts > 0 ? "deferred" : "waiting";
	}
}

static void
put_entry(const struct entry *entry, struct ph_buf *buf)
{
	char text[32];

	ph_buf_printf(buf, "%s %s %llu from=<%s>%s\n", entry->name,
	    when(entry->received_at, text),
	    (unsigned long long)entry->size_bytes, entry->sender,
	    entry->is_held ? " held" : "");
	for (size_t i = 0; i < entry->recipient_count; i++) {
		const struct queue_recipient *r = &entry->recipients[i];

		if (r->state != QUEUE_DB_WAITING)
			continue;
		ph_buf_printf(buf, "  to=<%s> %s attempts=%u", r->address,
		    state_of(entry, r), r->attempts);
		if (r->attempts > 0)
			ph_buf_printf(buf, " next=%s",
			    when(r->next_ms / 1000, text));
		if (r->reason != NULL)
			ph_buf_printf(buf, " reason=\"%s\"", r->reason);
		ph_buf_char(buf, '\n');
	}
}

static int
list(uint64_t limit, struct ph_buf *buf)
{
	size_t shown = 0;

	if (limit == 0 || limit > LIST_MAX)
		limit = LIST_MAX;
	for (const struct entry *at = queue.oldest; at != NULL &&
	     shown < limit && buf->n + 4096 < TEXT_MAX; at = at->next_all) {
		put_entry(at, buf);
		shown++;
	}
	if (queue.count == 0)
		ph_buf_str(buf, "The queue is empty.\n");
	else
		ph_buf_printf(buf, "%zu of %zu messages.\n", shown,
		    queue.count);
	return PH_OK;
}

static void
put_trace(struct ph_slice trace, struct ph_buf *buf)
{
	struct record_field field;

	while (record_next(&trace, &field)) {
		struct ph_slice in = field.value;
		struct ph_slice text = record_get(in, F_TEXT);

		if (field.tag != F_TRACE)
			continue;
		ph_buf_printf(buf, "verdict module=" PH_SLICE_FMT
		    " stage=%s verdict=%s us=%llu%s",
		    PH_SLICE_ARG(record_get(in, F_MODULE)),
		    ph_stage_name((enum ph_stage)record_get_u64(in, F_STAGE,
		        0)),
		    ph_verdict_name((enum ph_verdict)record_get_u64(in,
		        F_VERDICT, 0)),
		    (unsigned long long)record_get_u64(in, F_MICROSECONDS, 0),
		    record_get_u64(in, F_SHADOW, 0) != 0 ? " shadow" : "");
		if (text.p != NULL)
			ph_buf_printf(buf, " reason=\"" PH_SLICE_FMT "\"",
			    PH_SLICE_ARG(text));
		ph_buf_char(buf, '\n');
	}
}

static void
put_facts(const struct entry *entry, struct ph_buf *buf)
{
	struct ph_slice rest = entry->facts;
	struct record_field field;

	while (record_next(&rest, &field))
		ph_buf_printf(buf, PH_SLICE_FMT "=" PH_SLICE_FMT "\n",
		    PH_SLICE_ARG(record_get(field.value, F_NAME)),
		    PH_SLICE_ARG(record_get(field.value, F_TEXT)));
}

static int
show(struct bus_request *request, const struct entry *entry, bool with_content,
    struct ph_buf *buf)
{
	struct queue_db_message message = { .body.fd = -1 };
	uint64_t id = entry->id;
	char text[32];
	int status = queue_read(id, request->arena, &message);

	entry = entry_find(id); /* it may be gone by now */
	if (entry == NULL)
		return PH_NOT_FOUND;
	ph_buf_printf(buf, "queue=%s\nsession=%s\nreceived=%s\nsize=%llu\n"
	    "from=<%s>\nclient=%s\n", entry->name,
	    entry->session != NULL ? entry->session : "",
	    when(entry->received_at, text),
	    (unsigned long long)entry->size_bytes, entry->sender,
	    entry->client != NULL ? entry->client : "");
	if (entry->auth_user != NULL)
		ph_buf_printf(buf, "user=%s\n", entry->auth_user);
	put_facts(entry, buf);
	for (size_t i = 0; i < entry->recipient_count; i++) {
		const struct queue_recipient *r = &entry->recipients[i];

		ph_buf_printf(buf, "to=<%s> state=%s attempts=%u next=%s%s%s%s"
		    "\n", r->address, state_of(entry, r), r->attempts,
		    when(r->next_ms / 1000, text),
		    r->reason != NULL ? " reason=\"" : "",
		    r->reason != NULL ? r->reason : "",
		    r->reason != NULL ? "\"" : "");
	}
	if (status != PH_OK)
		return status;
	put_trace(message.trace, buf);
	if (with_content && message.body.octets.p != NULL) {
		struct ph_slice content = message.body.octets;

		if (content.n > SHOW_CONTENT)
			content.n = SHOW_CONTENT;
		ph_buf_char(buf, '\n');
		ph_buf_slice(buf, content);
	}
	return PH_OK;
}

/* All that waits is due now. */
static void
retry(struct entry *entry)
{
	for (size_t i = 0; i < entry->recipient_count; i++)
		if (entry->recipients[i].state == QUEUE_DB_WAITING)
			entry->recipients[i].next_ms = 0;
	if (!entry->is_held)
		schedule_due(entry);
}

static int
retry_all(struct ph_buf *buf)
{
	for (struct entry *at = queue.oldest; at != NULL; at = at->next_all)
		retry(at);
	ph_buf_printf(buf, "%zu messages are tried now.\n", queue.count);
	return PH_OK;
}

static int
delete(struct entry *entry, struct ph_buf *buf)
{
	struct queue_db_op *op = queue_db_op_create();
	uint64_t id = entry->id;
	char name[ID_TEXT_MAX];
	int status;

	queue_db_op_remove(op, id);
	status = queue_submit(op, QUEUE_DB_DURABLE);
	entry = entry_find(id);
	if (status != PH_OK)
		return status;
	id_format(id, name);
	ph_log(PH_NOTICE, "deleted", ph_f_str("queue", name));
	ph_buf_printf(buf, "%s is deleted.\n", name);
	if (entry != NULL)
		entry_remove(entry);
	return PH_OK;
}

static int
hold(struct entry *entry, bool on, struct ph_buf *buf)
{
	struct queue_db_op *op = queue_db_op_create();
	uint64_t id = entry->id;
	int status;

	queue_db_op_hold(op, id, on);
	status = queue_submit(op, QUEUE_DB_DURABLE);
	entry = entry_find(id);
	if (status != PH_OK || entry == NULL)
		return status != PH_OK ? status : PH_NOT_FOUND;
	entry->is_held = on;
	if (on)
		schedule_entry(entry);
	else
		retry(entry);
	ph_log(PH_NOTICE, on ? "held" : "released",
	    ph_f_str("queue", entry->name));
	ph_buf_printf(buf, "%s is %s.\n", entry->name,
	    on ? "held" : "released");
	return PH_OK;
}

static struct entry *
find_session(struct ph_slice session)
{
	struct entry *at = queue.newest;

	while (at != NULL && (at->session == NULL ||
	    !ph_slice_eq(ph_slice_str(at->session), session)))
		at = at->prev_all;
	return at;
}

static int
serve(struct bus_request *request, struct ph_buf *buf)
{
	struct ph_slice record = request->message.record;
	struct ph_slice op = record_get(record, F_OP);
	uint64_t id = record_get_u64(record, F_QUEUE_ID, 0);
	struct entry *entry = id != 0 ? entry_find(id) : NULL;

	if (ph_slice_eq(op, PH_LIT("list")))
		return list(record_get_u64(record, F_LIMIT, 0), buf);
	if (ph_slice_eq(op, PH_LIT("retry")) && id == 0)
		return retry_all(buf);
	if (ph_slice_eq(op, PH_LIT("trace")) && entry == NULL &&
	    record_get(record, F_SESSION).p != NULL)
		entry = find_session(record_get(record, F_SESSION));
	if (entry == NULL)
		return PH_NOT_FOUND;
	if (ph_slice_eq(op, PH_LIT("show")))
		return show(request, entry, true, buf);
	if (ph_slice_eq(op, PH_LIT("trace")))
		return show(request, entry, false, buf);
	if (ph_slice_eq(op, PH_LIT("retry"))) {
		retry(entry);
		ph_buf_printf(buf, "%s is tried now.\n", entry->name);
		return PH_OK;
	}
	if (ph_slice_eq(op, PH_LIT("delete")))
		return delete(entry, buf);
	if (ph_slice_eq(op, PH_LIT("hold")))
		return hold(entry, true, buf);
	if (ph_slice_eq(op, PH_LIT("release")))
		return hold(entry, false, buf);
	return PH_INVALID;
}

static void
on_admin(struct bus_request *request)
{
	struct ph_buf text, reply;
	int status;

	ph_buf_init(&text, request->arena, TEXT_MAX);
	status = serve(request, &text);
	if (status == PH_NOT_FOUND && text.n == 0)
		ph_buf_str(&text, "There is no such message in the queue.\n");
	ph_buf_init(&reply, request->arena, BUS_MESSAGE_LIMIT);
	record_put(&reply, F_TEXT, ph_buf_content(&text));
	bus_reply(request, status, ph_buf_content(&reply), NULL, 0);
}

void
admin_serve(void)
{
	bus_serve(MSG_QUEUE_ADMIN, ROLE_BIT(ROLE_MASTER), on_admin);
}
