/* SPDX-License-Identifier: Apache-2.0 */
/*
 * admin.c - what `posthousectl queue` and `posthousectl trace` ask of the
 * queue, and the changes they make: every one is logged with its id.
 */
#include "queue/admin_text.h"
#include "queue/backup.h"

#include <stdio.h>
#include <unistd.h>

#include <posthouse/domain.h>

#include "base/record.h"
#include "log/log.h"

enum {
	LOADING_MS = 60000,
	CHANGES_MS = 20000,      /* then the caller must hear something */
	CHANGES_AT_ONCE = 64,    /* which share a flush */
	CHANGES_IN_A_ROW = 256,  /* then others have a turn */
};

struct admin {
	struct ph_slice record;
	int fd; /* of the caller's connection; -1: not given */
	struct ph_arena *arena;
	struct selection selection;
	struct ph_buf text;
};

/* --- one message --- */

/* All that waits is due now. */
static int
retry(struct entry *entry)
{
	for (size_t i = 0; i < entry->recipient_count; i++)
		if (entry->recipients[i].state == QUEUE_DB_WAITING)
			entry->recipients[i].next_ms = 0;
	if (!entry->is_held)
		schedule_due(entry);
	return PH_OK;
}

/* The same, but where to is asked first. */
static int
reroute(struct entry *entry)
{
	entry->routes = 0;
	return retry(entry);
}

static int
delete(struct entry *entry)
{
	struct queue_db_op *op = queue_db_op_create();
	uint64_t id = entry->id;
	int status;

	queue_db_op_remove(op, id);
	status = queue_submit(op, QUEUE_DB_DURABLE);
	entry = entry_find(id);
	if (status == PH_OK && entry != NULL)
		entry_remove(entry);
	return status;
}

static int
set_order(struct entry *entry, enum queue_db_order order)
{
	struct queue_db_op *op = queue_db_op_create();
	uint64_t id = entry->id;
	int status;

	queue_db_op_order(op, id, order);
	status = queue_submit(op, QUEUE_DB_DURABLE);
	entry = entry_find(id);
	if (status != PH_OK || entry == NULL)
		return status != PH_OK ? status : PH_NOT_FOUND;
	entry->is_held = order == QUEUE_DB_HELD;
	entry->is_bounced = order == QUEUE_DB_RETURNED;
	if (!entry->is_held)
		return retry(entry);
	schedule_entry(entry);
	return PH_OK;
}

static int
hold(struct entry *entry)
{
	return set_order(entry, QUEUE_DB_HELD);
}

/* What is to be returned is not held. */
static int
release(struct entry *entry)
{
	return entry->is_bounced ? retry(entry) :
	                           set_order(entry, QUEUE_DB_READY);
}

/* What waits fails at its next attempt, which is now and asks nobody. */
static int
bounce(struct entry *entry)
{
	return set_order(entry, QUEUE_DB_RETURNED);
}

static int
set_priority(struct entry *entry, int priority)
{
	struct queue_db_op *op = queue_db_op_create();
	uint64_t id = entry->id;
	int status;

	queue_db_op_priority(op, id, priority);
	status = queue_submit(op, QUEUE_DB_DURABLE);
	entry = entry_find(id);
	if (status != PH_OK || entry == NULL)
		return status != PH_OK ? status : PH_NOT_FOUND;
	schedule_priority(entry, priority);
	return PH_OK;
}

/* --- what is selected --- */

static const struct change {
	const char *op, *done; /* the log's event and the answer's word */
	int (*run)(struct entry *entry); /* NULL: it takes a level */
} changes[] = {
	{ "retry", "retried", retry },
	{ "reroute", "rerouted_by_hand", reroute },
	{ "delete", "deleted", delete },
	{ "hold", "held", hold },
	{ "release", "released", release },
	{ "bounce", "bounced_by_hand", bounce },
	{ "priority", "priority_set", NULL },
};

/* What keeps a message where it is, although it was told to go. */
static const char *
what_stays(const struct change *change, uint64_t id)
{
	const struct entry *entry = entry_find(id);

	if (entry == NULL || (change->run != retry && change->run != reroute &&
	        change->run != release))
		return "";
	if (entry->is_held)
		return entry_quarantine(entry) != NULL ?
		    ", but it is in quarantine: queue release" :
		    ", but it is held: queue release";
	for (size_t i = 0; i < entry->recipient_count; i++)
		if (entry->recipients[i].state == QUEUE_DB_WAITING &&
		    suspend_holds(&entry->recipients[i]))
			return ", but a destination is suspended: queue resume";
	return "";
}

static int
change_one(struct admin *a, const struct change *change, uint64_t id)
{
	struct entry *entry = entry_find(id);
	char name[ID_TEXT_MAX], level[8] = "";
	int status;

	if (entry == NULL)
		return PH_NOT_FOUND;
	id_format(id, name);
	if (change->run == NULL)
		snprintf(level, sizeof(level), "%d", a->selection.level);
	status = change->run != NULL ? change->run(entry) :
	                               set_priority(entry, a->selection.level);
	if (status != PH_OK)
		return status;
	ph_log(PH_NOTICE, change->done, ph_f_str("queue", name),
	    ph_f_str("priority", level[0] != '\0' ? level : NULL));
	if (a->text.n + 1024 < ADMIN_TEXT_MAX)
		ph_buf_printf(&a->text, "%s %s%s%s%s\n", name, change->done,
		    level[0] != '\0' ? " " : "", level,
		    what_stays(change, id));
	return PH_OK;
}

struct changes {
	struct admin *a;
	const struct change *change;
	const uint64_t *ids;
	size_t count, at, done;
	uint64_t end_ms;
};

static void
change_next(void *arg)
{
	struct changes *c = arg;

	while (c->at < c->count && ph_now_ms() < c->end_ms) {
		uint64_t id = c->ids[c->at++];

		int status = change_one(c->a, c->change, id);
		char name[ID_TEXT_MAX];

		c->done += status == PH_OK;
		if (status == PH_NOT_FOUND && c->a->selection.id_count > 0)
			ph_buf_printf(&c->a->text, "%s is not in the queue\n",
			    id_format(id, name));
		if (c->at % CHANGES_IN_A_ROW == 0 && ph_sleep_ms(1) != PH_OK)
			return;
	}
}

/* The ids first: entries may go while a change waits for the disk. */
static void
find_selected(const struct admin *a, struct changes *c)
{
	const struct selection *s = &a->selection;
	size_t most = s->limit > 0 && s->limit < queue.count ?
	    (size_t)s->limit : queue.count;
	int64_t now = ph_wall_time() * 1000;
	uint64_t *ids;

	if (s->id_count > 0) { /* also those that are not there */
		c->ids = s->ids;
		c->count = s->id_count;
		return;
	}
	ids = ph_arena_array(a->arena, most, sizeof(*ids));
	for (const struct entry *at = queue.oldest; at != NULL &&
	     c->count < most; at = at->next_all)
		if (select_has(s, at, now))
			ids[c->count++] = at->id;
	c->ids = ids;
}

static int
change_selected(struct admin *a, const struct change *change)
{
	const struct selection *s = &a->selection;
	struct changes c = { .a = a, .change = change };
	struct ph_scope scope;

	if (s->id_count == 1)
		return change_one(a, change, s->ids[0]);
	if (!s->all && !s->is_filtered && s->id_count == 0) {
		ph_buf_printf(&a->text, "queue %s needs an id, \"all\" or a "
		    "selection like --domain=example.org\n", change->op);
		return PH_INVALID;
	}
	find_selected(a, &c);
	c.end_ms = ph_now_ms() + CHANGES_MS;
	ph_scope_begin(&scope);
	for (unsigned i = 0; i < CHANGES_AT_ONCE && i < c.count; i++)
		ph_scope_spawn(&scope, change_next, &c);
	ph_scope_wait(&scope);
	ph_scope_end(&scope);
	ph_buf_printf(&a->text, "%zu of %zu messages.\n", c.done, c.count);
	if (c.at < c.count)
		ph_buf_printf(&a->text, "The others: queue %s again.\n",
		    change->op);
	return c.done == c.count ? PH_OK : PH_BUSY;
}

/* The newest message of a session: both have ids of the same form. */
static struct entry *
find_session(uint64_t id)
{
	struct entry *at = queue.newest;

	while (at != NULL && at->session != id)
		at = at->prev_all;
	return at;
}

static int
show(struct admin *a, struct entry *entry, bool with_content)
{
	struct queue_db_message message = { .body.fd = -1 };
	uint64_t id;
	int status;

	if (entry == NULL)
		return PH_NOT_FOUND;
	id = entry->id;
	status = queue_read(id, a->arena, &message);
	entry = entry_find(id); /* it may be gone by now */
	if (entry == NULL)
		return PH_NOT_FOUND;
	(a->selection.json ? text_show_json : text_show)(entry, &message,
	    with_content, &a->text);
	return status;
}

/* --- destinations --- */

static int
for_destination(struct admin *a, struct ph_slice op)
{
	struct ph_slice name = record_get(a->record, F_DESTINATION);
	bool flush = ph_slice_eq(op, PH_LIT("flush"));
	bool suspend = ph_slice_eq(op, PH_LIT("suspend"));
	const char *text;
	int status = PH_OK;

	if (name.n == 0 || name.n > QUEUE_RCPT_MAX) {
		ph_buf_printf(&a->text, "queue " PH_SLICE_FMT " needs a "
		    "destination\n", PH_SLICE_ARG(op));
		return PH_INVALID;
	}
	text = ph_domain_canonical(a->arena, name).p;
	if (flush) {
		a->selection = (struct selection){ .is_filtered = true,
			.destination = ph_slice_str(text) };
		lane_forgive(text);
		return change_selected(a, &changes[0]);
	}
	if (!suspend && !suspend_has(ph_slice_str(text))) {
		ph_buf_printf(&a->text, "%s was not suspended.\n", text);
		return PH_OK;
	}
	status = suspend_set(text, suspend);
	if (status != PH_OK)
		return status;
	ph_log(PH_NOTICE, suspend ? "destination_suspended" :
	    "destination_resumed", ph_f_str("destination", text));
	ph_buf_printf(&a->text, "%s is %s.\n", text,
	    suspend ? "suspended" : "resumed");
	return PH_OK;
}

/* What is not a look at many needs all that is in the store. */
static void
wait_for_load(struct ph_slice op)
{
	uint64_t end = ph_now_ms() + LOADING_MS;

	if (ph_slice_eq(op, PH_LIT("list")) ||
	    ph_slice_eq(op, PH_LIT("counts")) ||
	    ph_slice_eq(op, PH_LIT("backup")))
		return;
	while (queue.is_loading && ph_now_ms() < end &&
	    ph_event_wait(&queue.moved, 1000) != PH_CANCELED)
		continue;
}

static int
list(struct admin *a, struct entry *entry)
{
	(void)entry;
	text_list(&a->selection, &a->text);
	return PH_OK;
}

static int
counts(struct admin *a, struct entry *entry)
{
	(void)entry;
	text_counts(&a->selection, &a->text);
	return PH_OK;
}

static int
show_whole(struct admin *a, struct entry *entry)
{
	return show(a, entry, true);
}

static int
show_trace(struct admin *a, struct entry *entry)
{
	return show(a, entry != NULL ? entry : find_session(a->selection.ids[0]),
	    false);
}

static int
why(struct admin *a, struct entry *entry)
{
	if (entry == NULL)
		return PH_NOT_FOUND;
	text_why(entry, a->selection.json, &a->text);
	return PH_OK;
}

static const struct look {
	const char *op;
	bool needs_id;
	/* entry NULL: the one with the id is not there, or none is asked */
	int (*run)(struct admin *a, struct entry *entry);
} looks[] = {
	{ "list", false, list },
	{ "counts", false, counts },
	{ "show", true, show_whole },
	{ "trace", true, show_trace },
	{ "why", true, why },
};

static const struct look *
look_of(struct ph_slice op)
{
	for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++)
		if (ph_slice_eq(op, ph_slice_str(looks[i].op)))
			return &looks[i];
	return NULL;
}

static const struct change *
change_of(struct ph_slice op)
{
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
		if (ph_slice_eq(op, ph_slice_str(changes[i].op)))
			return &changes[i];
	return NULL;
}

static int
serve(struct admin *a)
{
	struct ph_slice op = record_get(a->record, F_OP);
	const struct change *change = change_of(op);
	const struct look *look = look_of(op);
	char wrong[200];

	wait_for_load(op);
	if (ph_slice_eq(op, PH_LIT("backup")))
		return backup_run(a->fd, &a->text);
	if (ph_slice_eq(op, PH_LIT("flush")) ||
	    ph_slice_eq(op, PH_LIT("suspend")) ||
	    ph_slice_eq(op, PH_LIT("resume")))
		return for_destination(a, op);
	if (look == NULL && change == NULL) {
		ph_buf_printf(&a->text, "queue: " PH_SLICE_FMT
		    " is no command\n", PH_SLICE_ARG(op));
		return PH_INVALID;
	}
	if (!select_parse(a->record, change != NULL && change->run == NULL,
	        &a->selection, wrong)) {
		ph_buf_printf(&a->text, "%s\n", wrong);
		return PH_INVALID;
	}
	if (a->selection.json && look == NULL) {
		ph_buf_printf(&a->text, "queue " PH_SLICE_FMT " has no JSON; "
		    "list, counts, show and why have\n", PH_SLICE_ARG(op));
		return PH_INVALID;
	}
	if (change != NULL)
		return change_selected(a, change);
	if (a->selection.id_count != 1 && look->needs_id) {
		ph_buf_printf(&a->text, "queue " PH_SLICE_FMT " needs one id\n",
		    PH_SLICE_ARG(op));
		return PH_INVALID;
	}
	return look->run(a, a->selection.id_count > 0 ?
	    entry_find(a->selection.ids[0]) : NULL);
}

static void
on_admin(struct bus_request *request)
{
	struct admin a = { .record = request->message.record,
		.fd = request->message.fds[0], .arena = request->arena };
	struct ph_buf reply;
	int status;

	ph_buf_init(&a.text, request->arena, ADMIN_TEXT_MAX);
	status = serve(&a);
	if (a.fd >= 0)
		close(a.fd);
	if (status == PH_NOT_FOUND && a.text.n == 0)
		ph_buf_str(&a.text,
		    "There is no such message in the queue.\n");
	ph_buf_init(&reply, request->arena, BUS_MESSAGE_LIMIT);
	record_put(&reply, F_TEXT, ph_buf_content(&a.text));
	bus_reply(request, status, ph_buf_content(&reply), NULL, 0);
}

void
admin_serve(void)
{
	bus_limit_fds(MSG_QUEUE_ADMIN, 1, 0);
	bus_serve(MSG_QUEUE_ADMIN, ROLE_BIT(ROLE_MASTER), on_admin);
}
