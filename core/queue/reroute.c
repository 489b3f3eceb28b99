/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reroute.c - what waits takes the routes of today: before a message is tried
 * for the first time after a start, a reload that changed routes, or by hand,
 * its recipients are asked about again.
 *
 * A recipient may get another transport or mailbox, become others (each once,
 * and nobody who is a recipient already), or be nobody any more. What changes
 * is one transaction; only then the message is read again, and scheduled. While
 * it is asked about nothing of it is in a line. Where the answer can't be had
 * the message waits, but for one at the end of its life.
 */
#include "queue/routing.h"

#include <posthouse/mail.h>
#include <stdlib.h>

#include "base/record.h"
#include "log/log.h"
#include "loop/fiber.h"

enum {
	WORKERS_MAX = 16,
	RECIPIENTS_MAX = 10000, /* as accept.c has it */
	LATER_MS = 60000, /* the answer can't be had now */
};

/* Ids of those to ask about, a ring. */
static struct {
	uint64_t *ids;
	size_t first, count, room;
	unsigned workers;
	uint64_t sum; /* of what routes are made from */
} to_ask;

/* One message under way. */
struct rerouting {
	struct entry *entry;
	struct ph_arena *arena;
	struct queue_db_op *op;
	struct ph_slice *added; /* mailbox or address of each new recipient */
	size_t added_count, added_room;
	uint32_t next_number;
	size_t left; /* recipients that wait, when it is done */
	bool is_changed, is_unsure;
};

/* --- what came of one recipient --- */

static struct ph_slice
where_of(const struct route_result *result)
{
	return result->user.p != NULL ? result->user : result->address;
}

static bool
is_recipient(const struct rerouting *r, struct ph_slice where)
{
	for (size_t i = 0; i < r->entry->recipient_count; i++) {
		const struct queue_recipient *one = &r->entry->recipients[i];

		if (ph_slice_eq_nocase(where, ph_slice_str(
		        one->user != NULL ? one->user : one->address)))
			return true;
	}
	for (size_t i = 0; i < r->added_count; i++)
		if (ph_slice_eq_nocase(where, r->added[i]))
			return true;
	return false;
}

static const char *
text_of(struct rerouting *r, struct ph_slice text)
{
	return text.p != NULL ? ph_arena_slice(r->arena, text).p : NULL;
}

/* As one that waits, with what a result says of it; more is to live as long. */
static struct queue_recipient
routed(struct rerouting *r, const struct queue_recipient *was,
    const struct route_result *result, struct recipient_more *more)
{
	struct queue_recipient now = *was;

	*more = *was->more;
	more->transport = text_of(r, result->transport);
	more->destination = text_of(r, result->destination);
	now.user = text_of(r, result->user);
	now.more = more;
	return now;
}

static void
update(struct rerouting *r, const struct queue_recipient *was,
    enum queue_db_state state, const struct queue_recipient *now)
{
	struct queue_db_update change = { .number = was->number,
		.state = state, .attempts = was->attempts,
		.next_ms = was->next_ms,
		.record = recipient_record(r->arena, now) };

	queue_db_op_update(r->op, r->entry->id, &change);
	r->is_changed = true;
}

static bool
is_same(const char *was, struct ph_slice now)
{
	return (was == NULL) == (now.p == NULL) &&
	    (was == NULL || ph_slice_eq(ph_slice_str(was), now));
}

static void
take_own(struct rerouting *r, struct queue_recipient *was,
    const struct route_result *result)
{
	struct recipient_more more;
	struct queue_recipient now;

	if (is_same(was->user, result->user) &&
	    is_same(was->more->transport, result->transport) &&
	    is_same(was->more->destination, result->destination))
		return;
	now = routed(r, was, result, &more);
	update(r, was, QUEUE_DB_WAITING, &now);
	ph_log(PH_INFO, "rerouted", ph_f_str("queue", entry_name(r->entry)),
	    ph_f_str("to", was->address), ph_f_str("mailbox", now.user),
	    ph_f_str("transport", more.transport),
	    ph_f_str("destination", more.destination));
}

static void
remember(struct rerouting *r, struct ph_slice where)
{
	if (r->added_count == r->added_room) {
		size_t room = r->added_room > 0 ? r->added_room * 2 : 16;
		struct ph_slice *wider = ph_arena_array(r->arena, room,
		    sizeof(*wider));

		if (r->added_count > 0)
			memcpy(wider, r->added,
			    r->added_count * sizeof(*wider));
		r->added = wider;
		r->added_room = room;
	}
	r->added[r->added_count++] = where;
}

static void
add(struct rerouting *r, const struct queue_recipient *was,
    const struct route_result *result)
{
	struct queue_db_recipient row = { .number = r->next_number,
		.state = QUEUE_DB_WAITING, .next_ms = was->next_ms,
		.address = result->address,
		.destination = result->user.p != NULL ? PH_LIT("") :
		    ph_address_domain(result->address) };
	struct recipient_more more;
	struct queue_recipient now = routed(r, was, result, &more);

	if (is_recipient(r, where_of(result)))
		return;
	if (r->entry->recipient_count + r->added_count == RECIPIENTS_MAX) {
		r->is_unsure = true; /* and waits until it is too old */
		return;
	}
	if (more.orcpt == NULL)
		more.orcpt = text_of(r, routing_original(r->arena,
		    ph_slice_str(was->address)));
	row.record = recipient_record(r->arena, &now);
	queue_db_op_recipient(r->op, r->entry->id, &row);
	remember(r, where_of(result));
	r->next_number++;
	r->left++;
	ph_log(PH_INFO, "rerouted", ph_f_str("queue", entry_name(r->entry)),
	    ph_f_str("to", was->address),
	    ph_f_slice("now", result->address));
}

/* It went to others. */
static void
take_heirs(struct rerouting *r, struct queue_recipient *was,
    const struct route_result *results, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (results[i].answer != ROUTE_NO_USER)
			add(r, was, &results[i]);
	update(r, was, QUEUE_DB_REPLACED, was);
	r->left--;
}

static void
take_results(struct rerouting *r, struct queue_recipient *was,
    const struct route_result *results, size_t count)
{
	const struct route_result *own = NULL;
	size_t good = 0;

	for (size_t i = 0; i < count; i++) {
		if (results[i].is_copy)
			continue;
		if (!routing_is_sound(&results[i])) {
			r->is_unsure = true;
			return;
		}
		good += results[i].answer != ROUTE_NO_USER;
		if (own == NULL && ph_slice_eq_nocase(results[i].address,
		        ph_slice_str(was->address)))
			own = &results[i];
	}
	was->is_nobody = good == 0;
	if (good > 0 && own != NULL && own->answer != ROUTE_NO_USER)
		take_own(r, was, own);
	else if (good > 0)
		take_heirs(r, was, results, count);
}

/* --- one message --- */

/* Of up to ROUTE_ASKED_MAX recipients that wait, from index *at on. */
static int
ask_some(struct rerouting *r, size_t *at)
{
	struct entry *entry = r->entry;
	struct ph_slice addresses[ROUTE_ASKED_MAX];
	struct queue_recipient *whom[ROUTE_ASKED_MAX];
	const struct route_result *results;
	size_t n = 0, count, i, next;
	int status;

	for (; *at < entry->recipient_count && n < ROUTE_ASKED_MAX; (*at)++) {
		struct queue_recipient *one = &entry->recipients[*at];

		if (one->state != QUEUE_DB_WAITING)
			continue;
		addresses[n] = ph_slice_str(one->address);
		whom[n++] = one;
	}
	if (n == 0)
		return PH_OK;
	status = routing_ask(ph_slice_str(entry->sender), addresses, n,
	    r->arena, &results, &count);
	for (i = 0; status == PH_OK && i < count; i = next) {
		for (next = i + 1; next < count &&
		    results[next].asked == results[i].asked; next++)
			;
		take_results(r, whom[results[i].asked], results + i,
		    next - i);
	}
	return status;
}

static bool
is_old(const struct entry *entry)
{
	return fiber_wall_ms() - (int64_t)entry->received_at * 1000 >=
	    generation_current()->core.queue.lifetime_ms;
}

/* PH_OK: the routes are known, and durable where they changed. */
static int
ask(struct rerouting *r)
{
	int status = PH_OK;
	size_t at = 0;

	while (status == PH_OK && at < r->entry->recipient_count &&
	    !r->entry->is_removed)
		status = ask_some(r, &at);
	if (status == PH_OK && r->is_unsure)
		status = PH_UNAVAILABLE;
	if (status != PH_OK && is_old(r->entry)) {
		r->is_changed = false; /* let it end as it is */
		status = PH_OK;
	}
	if (status != PH_OK || !r->is_changed || r->entry->is_removed) {
		queue_db_op_free(r->op);
		return status;
	}
	if (r->left == 0) /* all that it became had it already */
		queue_db_op_remove(r->op, r->entry->id);
	return queue_submit(r->op, QUEUE_DB_DURABLE);
}

/* What memory knows better than the store. */
static void
carry_over(const struct entry *from, struct entry *to)
{
	to->is_held = from->is_held;
	to->is_bounced = from->is_bounced;
	to->priority = from->priority;
	to->troubles = from->troubles;
	for (size_t i = 0; i < to->recipient_count; i++) {
		struct queue_recipient *new = &to->recipients[i];

		for (size_t k = 0; k < from->recipient_count; k++) {
			const struct queue_recipient *old =
			    &from->recipients[k];

			if (old->number != new->number)
				continue;
			new->next_ms = old->next_ms;
			new->is_nobody = old->is_nobody;
		}
	}
}

/* The entry anew, as the store has it now; NULL: it can't be read. */
static struct entry *
read_again(struct rerouting *r)
{
	struct queue_db_message message = { .body.fd = -1 };
	int status = queue_read(r->entry->id, r->arena, &message);
	struct entry *entry = status == PH_OK ? entry_create(&message) : NULL;

	if (entry != NULL)
		carry_over(r->entry, entry);
	else if (!r->entry->is_removed)
		ph_log(PH_ERROR, "message_unreadable",
		    ph_f_str("queue", entry_name(r->entry)),
		    ph_f_str("reason", ph_status_name(status)));
	return entry;
}

static void
put_off(struct entry *entry, int status)
{
	int64_t next_ms = fiber_wall_ms() + LATER_MS;

	for (size_t i = 0; i < entry->recipient_count; i++)
		if (entry->recipients[i].next_ms < next_ms)
			entry->recipients[i].next_ms = next_ms;
	ph_log(PH_WARN, "not_rerouted", ph_f_str("queue", entry_name(entry)),
	    ph_f_str("reason", ph_status_name(status)));
	schedule_entry(entry);
}

static void
reroute(struct entry *entry)
{
	uint16_t routes = queue.routes;
	struct rerouting r = { .entry = entry,
		.arena = ph_arena_create(NULL), .op = queue_db_op_create() };
	struct entry *again = NULL;
	int status;

	for (size_t i = 0; i < entry->recipient_count; i++) {
		r.left += entry->recipients[i].state == QUEUE_DB_WAITING;
		if (entry->recipients[i].number >= r.next_number)
			r.next_number = entry->recipients[i].number + 1;
	}
	queue.running++;
	entry->jobs++;
	status = ask(&r);
	if (status == PH_OK && r.is_changed && r.left > 0 &&
	    !entry->is_removed)
		again = read_again(&r);
	entry->jobs--;
	queue.running--;
	entry->is_routing = false;
	if (entry->is_removed) {
		entry_free(again);
		entry_remove(entry);
	} else if (status != PH_OK) {
		put_off(entry, status);
	} else if (!r.is_changed) {
		entry->routes = routes;
		schedule_due(entry);
	} else {
		entry_remove(entry);
		if (again != NULL) {
			again->routes = routes;
			entry_add(again);
			schedule_due(again);
		}
	}
	ph_arena_free(r.arena);
	ph_event_signal(&queue.moved);
}

/* --- whose turn it is --- */

static void
worker_main(void *arg)
{
	(void)arg;
	fiber_deadline_set(UINT64_MAX);
	while (to_ask.count > 0 && !queue.is_stopping) {
		struct entry *entry = entry_find(to_ask.ids[to_ask.first]);

		to_ask.first = (to_ask.first + 1) % to_ask.room;
		to_ask.count--;
		if (entry != NULL && entry->is_routing)
			reroute(entry);
	}
	to_ask.workers--;
}

static void
put(uint64_t id)
{
	if (to_ask.count == to_ask.room) {
		size_t room = to_ask.room > 0 ? to_ask.room * 2 : 1024;
		uint64_t *ids = calloc(room, sizeof(*ids));

		ph_assert(ids != NULL);
		for (size_t i = 0; i < to_ask.count; i++)
			ids[i] = to_ask.ids[(to_ask.first + i) %
			    to_ask.room];
		free(to_ask.ids);
		to_ask.ids = ids;
		to_ask.first = 0;
		to_ask.room = room;
	}
	to_ask.ids[(to_ask.first + to_ask.count++) % to_ask.room] = id;
	if (to_ask.workers < WORKERS_MAX) {
		to_ask.workers++;
		fiber_start(worker_main, NULL);
	}
}

/* Without routers nobody need be asked whether a route is still good. */
static bool
is_plainly_routed(const struct entry *entry)
{
	if (generation_current()->router_count > 0)
		return false;
	for (size_t i = 0; i < entry->recipient_count; i++) {
		const struct queue_recipient *one = &entry->recipients[i];

		if (one->state == QUEUE_DB_WAITING &&
		    (one->more->transport != NULL || (one->user != NULL) !=
		        routing_is_ours(ph_slice_str(one->address))))
			return false;
	}
	return true;
}

bool
reroute_begin(struct entry *entry)
{
	if (entry->is_routing)
		return true;
	if (entry->routes == queue.routes || entry->jobs > 0 ||
	    entry->is_bounced)
		return false;
	if (is_plainly_routed(entry)) {
		entry->routes = queue.routes;
		return false;
	}
	for (size_t i = 0; i < entry->recipient_count; i++)
		if (entry->recipients[i].where == IN_LINE)
			lane_withdraw(&entry->recipients[i]);
	entry->is_routing = true;
	put(entry->id);
	return true;
}

void
reroute_start(void)
{
	to_ask.sum = generation_current()->routes_sum;
	queue.routes = 1;
}

/* What stands in the line of a destination that rests would stay there for a
 * while; what rests by itself is asked about when it is due. */
void
reroute_reload(void)
{
	struct entry *next;

	if (to_ask.sum == generation_current()->routes_sum)
		return;
	to_ask.sum = generation_current()->routes_sum;
	if (++queue.routes == 0)
		queue.routes = 1;
	for (struct entry *at = queue.oldest; at != NULL; at = next) {
		bool in_line = false;

		next = at->next_all;
		for (size_t i = 0; i < at->recipient_count; i++)
			in_line = in_line ||
			    at->recipients[i].where == IN_LINE;
		if (in_line)
			schedule_due(at);
	}
	lane_forgive_all();
}
