/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fair.c - start-time fair queueing. Each sender has a count of what it was
 * served, for each kind of mail: small and fresh, large, and tried before. A
 * job is charged when it begins, by its recipients and octets; the least
 * charged flow is next. Who was away keeps no credit: the charge begins at
 * what the last job began with.
 *
 * Counts only grow, so the keys of the heaps may be old: each is looked at
 * again when it comes first.
 */
#include "queue/fair.h"

#include <stdlib.h>
#include <sys/random.h>

#include "queue/queue.h"

enum {
	PAYERS = 8192,
	FLOWS = 16384,          /* buckets */
	SMALL_RECIPIENTS = 10,
	SMALL_OCTETS = 1 << 20,
	CHARGE_OCTETS = 1 << 16, /* cost as much as a recipient */
};

enum kind { KIND_SMALL, KIND_LARGE, KIND_LATER, KINDS };

/* The recipients of one sender and kind that wait in one line. */
struct flow {
	struct flow *next_hash;
	struct fair_line *line;
	unsigned payer;          /* index of served */
	struct heap_node node;
	struct queue_recipient *first, *last;
};

static struct {
	int64_t served[PAYERS * KINDS];
	int64_t now;             /* what the last job began with */
	uint32_t turn;
	struct flow *flow[FLOWS];
} all;

/* --- who pays --- */

static uint32_t
hash(uint32_t h, struct ph_slice text)
{
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)ph_lower(text.p[i]);

		h = (h ^ c) * 16777619u;
	}
	return h ^ h >> 15;
}

/* Nobody outside can choose with whom to share. */
static uint32_t
salt(void)
{
	static uint32_t value;

	while (value == 0)
		if (getrandom(&value, sizeof(value), 0) != sizeof(value))
			value = 2166136261u;
	return value;
}

/* "list+bob=b.test@a.test" and "list@a.test" are one sender. */
static struct ph_slice
local_part(struct ph_slice *address)
{
	struct ph_slice local = ph_slice_cut(address, '@');

	for (size_t i = 1; i < local.n; i++)
		if (local.p[i] == '+' || local.p[i] == '=')
			local.n = i;
	return local;
}

uint16_t
fair_payer(struct ph_slice user, struct ph_slice sender)
{
	uint32_t h = salt();

	if (user.p != NULL) {
		h = hash(h, user);
	} else {
		h = hash(h, local_part(&sender));
		if (sender.p != NULL)
			h = hash(h ^ '@', sender);
	}
	return (uint16_t)(h % PAYERS);
}

static enum kind
kind_of(struct queue_recipient *r)
{
	const struct entry *entry = entry_of(r);

	if (r->attempts > 0)
		return KIND_LATER;
	return entry->recipient_count > SMALL_RECIPIENTS ||
	    entry->size_bytes > SMALL_OCTETS ? KIND_LARGE : KIND_SMALL;
}

const char *
fair_class(struct queue_recipient *r)
{
	static const char *const names[] = { [KIND_SMALL] = "small",
		[KIND_LARGE] = "large", [KIND_LATER] = "repeated" };

	return names[kind_of(r)];
}

static unsigned
payer_of(struct queue_recipient *r)
{
	return entry_of(r)->payer * KINDS + kind_of(r);
}

/* --- flows --- */

static struct flow **
find(const struct fair_line *line, unsigned payer)
{
	uintptr_t h = (uintptr_t)line / 64 * 31 + payer;
	struct flow **at = &all.flow[(h ^ h >> 17) % FLOWS];

	while (*at != NULL && ((*at)->line != line || (*at)->payer != payer))
		at = &(*at)->next_hash;
	return at;
}

static struct flow *
obtain(struct fair_line *line, unsigned payer)
{
	struct flow **at = find(line, payer), *flow = *at;

	if (flow != NULL)
		return flow;
	flow = calloc(1, sizeof(*flow));
	ph_assert(flow != NULL);
	flow->line = line;
	flow->payer = payer;
	flow->node.key = all.served[payer];
	flow->node.tie = ++all.turn;
	*at = flow;
	heap_add(&line->flows, &flow->node);
	return flow;
}

static void
put_if_empty(struct flow *flow)
{
	struct flow **at;

	if (flow->first != NULL)
		return;
	at = find(flow->line, flow->payer);
	*at = flow->next_hash;
	heap_remove(&flow->line->flows, &flow->node);
	if (flow->line->flows.count == 0)
		heap_fini(&flow->line->flows);
	free(flow);
}

static void
unlink_from(struct flow *flow, struct queue_recipient *r)
{
	*(r->prev != NULL ? &r->prev->next : &flow->first) = r->next;
	*(r->next != NULL ? &r->next->prev : &flow->last) = r->prev;
	r->next = r->prev = NULL;
	r->where = AT_REST;
	flow->line->count--;
}

void
fair_add(struct fair_line *line, struct queue_recipient *r)
{
	struct flow *flow = obtain(line, payer_of(r));

	r->where = IN_LINE;
	r->next = NULL;
	r->prev = flow->last;
	*(flow->last != NULL ? &flow->last->next : &flow->first) = r;
	flow->last = r;
	line->count++;
}

void
fair_remove(struct fair_line *line, struct queue_recipient *r)
{
	struct flow *flow = *find(line, payer_of(r));

	unlink_from(flow, r);
	put_if_empty(flow);
}

/* The first with its true key. */
static struct flow *
first_of(struct fair_line *line)
{
	struct heap_node *node;

	while ((node = heap_first(&line->flows)) != NULL) {
		struct flow *flow = HEAP_OF(node, struct flow, node);

		if (node->key == all.served[flow->payer])
			return flow;
		node->key = all.served[flow->payer];
		heap_settle(&line->flows, node);
	}
	return NULL;
}

bool
fair_next(struct fair_line *line, int64_t *served_out)
{
	struct flow *flow = first_of(line);

	if (flow != NULL)
		*served_out = flow->node.key;
	return flow != NULL;
}

/* Small and fresh mail counts half. */
static void
charge(unsigned payer, const struct entry *entry, size_t recipients)
{
	int64_t cost = (int64_t)recipients + (int64_t)(entry->size_bytes /
	    CHARGE_OCTETS);

	if (payer % KINDS != KIND_SMALL)
		cost *= 2;
	if (all.now < all.served[payer])
		all.now = all.served[payer];
	all.served[payer] = all.now + cost;
}

void
fair_take(struct fair_line *line, struct job *job)
{
	struct flow *flow = first_of(line);
	size_t n = 0;

	job->entry = entry_of(flow->first);
	do {
		struct queue_recipient *r = flow->first;

		unlink_from(flow, r);
		r->where = AT_WORK;
		r->job = job;
		n++;
	} while (n < QUEUE_JOB_RCPTS && flow->first != NULL &&
	    entry_of(flow->first) == job->entry);
	charge(flow->payer, job->entry, n);
	flow->node.key = all.served[flow->payer];
	flow->node.tie = ++all.turn;
	heap_settle(&line->flows, &flow->node);
	put_if_empty(flow);
}
