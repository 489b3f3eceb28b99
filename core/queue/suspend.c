/* SPDX-License-Identifier: Apache-2.0 */
/*
 * suspend.c - destinations that nothing is handed out to, by hand and durably.
 *
 * What goes to one stands in the line of its lane, and the lane begins nothing.
 * A domain's mail may also go by lanes that it shares with others: with a
 * mailbox, or a route of its own. There its recipients stay out of the line.
 */
#include "queue/queue.h"

#include <posthouse/mail.h>

#include <stdlib.h>
#include <strings.h>

enum { SUSPENDED_SPACE = 2, SUSPENDED_MAX = 10000 }; /* of queue-db */

static struct {
	char **names; /* in order; whether a lane is there or not */
	size_t count;
} suspended;

static int
compare(struct ph_slice a, const char *b)
{
	size_t b_n = strlen(b);
	int order = strncasecmp(a.p, b, a.n < b_n ? a.n : b_n);

	return order != 0 ? order : (a.n > b_n) - (a.n < b_n);
}

/* Where it is, or has its place. */
static size_t
find(struct ph_slice name, bool *is_there_out)
{
	size_t low = 0, high = suspended.count;

	*is_there_out = false;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = compare(name, suspended.names[middle]);

		if (order == 0) {
			*is_there_out = true;
			return middle;
		}
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

bool
suspend_has(struct ph_slice name)
{
	bool is_there;

	find(name, &is_there);
	return is_there;
}

static bool
is_lane_suspended(const struct queue_recipient *recipient)
{
	char name[LANE_NAME_MAX];

	if (lane_of(recipient) != NULL)
		return recipient->lane->is_suspended;
	return suspended.count > 0 &&
	    suspend_has(ph_slice_str(lane_name(recipient, name)));
}

bool
suspend_keeps_out(const struct queue_recipient *recipient)
{
	return suspended.count > 0 && !is_lane_suspended(recipient) &&
	    suspend_has(ph_address_domain(ph_slice_str(recipient->address)));
}

bool
suspend_holds(const struct queue_recipient *recipient)
{
	return is_lane_suspended(recipient) || suspend_keeps_out(recipient);
}

static void
remember(const char *name, bool on)
{
	bool is_there;
	size_t at = find(ph_slice_str(name), &is_there);

	if (on && !is_there) {
		suspended.names = realloc(suspended.names,
		    (suspended.count + 1) * sizeof(*suspended.names));
		ph_assert(suspended.names != NULL);
		memmove(&suspended.names[at + 1], &suspended.names[at],
		    (suspended.count++ - at) * sizeof(*suspended.names));
		suspended.names[at] = strdup(name);
		ph_assert(suspended.names[at] != NULL);
	} else if (!on && is_there) {
		free(suspended.names[at]);
		memmove(&suspended.names[at], &suspended.names[at + 1],
		    (--suspended.count - at) * sizeof(*suspended.names));
	}
	lane_set_suspended(name, on);
}

/* Recipients of the domain that share a lane with others leave its line, or
 * have a time again. */
static void
apply(const char *domain)
{
	for (struct entry *at = queue.oldest; at != NULL; at = at->next_all) {
		bool any = false;

		for (size_t i = 0; i < at->recipient_count; i++) {
			struct queue_recipient *r = &at->recipients[i];

			/* also for another name that is suspended */
			bool is_kept = r->where == IN_LINE &&
			    suspend_keeps_out(r);

			if (r->state != QUEUE_DB_WAITING || (!is_kept &&
			    !ph_slice_eq_nocase(ph_slice_str(domain),
			        ph_address_domain(ph_slice_str(r->address)))))
				continue;
			if (is_kept)
				lane_withdraw(r);
			any = true;
		}
		if (any)
			schedule_entry(at);
	}
}

struct suspended_list {
	struct ph_arena *arena;
	const struct queue_db_pair *list;
	size_t count;
	int status;
};

static void
read_list(void *arg)
{
	struct suspended_list *l = arg;

	l->status = queue_db_kv_list(queue.db, SUSPENDED_SPACE,
	    (struct ph_slice){ NULL, 0 }, SUSPENDED_MAX,
	    ph_wall_time() * 1000, l->arena, &l->list, &l->count);
}

int
suspend_load(struct ph_err *err)
{
	struct suspended_list l = { .arena = ph_arena_create(NULL) };

	ph_work(read_list, &l);
	for (size_t i = 0; l.status == PH_OK && i < l.count; i++)
		remember(ph_arena_slice(l.arena, l.list[i].key).p, true);
	ph_arena_free(l.arena);
	return l.status == PH_OK ? PH_OK : ph_err_set(err, l.status, 0,
	    "the suspended destinations can't be read: %s",
	    ph_status_name(l.status));
}

int
suspend_set(const char *name, bool on)
{
	struct queue_db_op *op;
	int status;

	if (on && suspended.count >= SUSPENDED_MAX)
		return PH_FULL;
	op = queue_db_op_create();
	if (on)
		queue_db_op_kv_put(op, SUSPENDED_SPACE, ph_slice_str(name),
		    PH_LIT("1"), 0);
	else
		queue_db_op_kv_delete(op, SUSPENDED_SPACE, ph_slice_str(name));
	status = queue_submit(op, QUEUE_DB_DURABLE);
	if (status != PH_OK)
		return status;
	remember(name, on);
	apply(name);
	if (!on)
		lane_forgive(name);
	return PH_OK;
}
