/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fair.c - start-time fair queueing, in levels of priority. Of the levels that
 * wait in a line the highest is served, but after FAIR_IN_A_ROW jobs while others
 * wait it is the turn of whichever was served longest ago. So none starves, and
 * the highest never waits for more than a job.
 *
 * In a level, each sender has a count of what it was
 * served, for each kind of mail: small and fresh, large, and tried before. A
 * job is charged when it begins, by its recipients and octets; the least
 * charged flow is next. Who was away keeps no credit: the charge begins at
 * what the last job began with. The count is the same in all levels: who sends
 * mail of a high priority pays with his other mail.
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

/* The recipients of one sender and kind that wait in one level of a line. */
struct flow {
	struct flow *next_hash;
	struct fair_line *line;
	struct fair_level *level;
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

/* --- levels --- */

/* Where the level is in the list, or would be. */
static struct fair_level **
find_level(struct fair_line *line, int priority)
{
	struct fair_level **at = &line->levels;

	while (*at != NULL && (*at)->priority > priority)
		at = &(*at)->next;
	return at;
}

static struct fair_level *
obtain_level(struct fair_line *line, int priority)
{
	struct fair_level **at = find_level(line, priority), *level = *at;

	if (level != NULL && level->priority == priority)
		return level;
	level = priority == 0 ? &line->normal : calloc(1, sizeof(*level));
	ph_assert(level != NULL);
	level->priority = (int8_t)priority;
	level->last = line->turn;
	level->next = *at;
	*at = level;
	return level;
}

static void
put_level_if_empty(struct fair_line *line, struct fair_level *level)
{
	if (level->flows.count > 0)
		return;
	heap_fini(&level->flows);
	*find_level(line, level->priority) = level->next;
	if (level != &line->normal)
		free(level);
}

/* Whose turn it is; NULL: nothing waits. */
static struct fair_level *
next_level(const struct fair_line *line)
{
	struct fair_level *next = line->levels;

	if (next == NULL || line->in_a_row < FAIR_IN_A_ROW)
		return next;
	for (struct fair_level *at = next->next; at != NULL; at = at->next)
		if ((int32_t)(at->last - next->last) < 0)
			next = at;
	return next;
}

static void
note_turn(struct fair_line *line, struct fair_level *level)
{
	bool others_wait = line->levels->next != NULL;

	level->last = ++line->turn;
	line->in_a_row = others_wait && line->in_a_row < FAIR_IN_A_ROW ?
	    (uint8_t)(line->in_a_row + 1) : 0;
}

/* --- flows --- */

static struct flow **
find(const struct fair_level *level, unsigned payer)
{
	uintptr_t h = (uintptr_t)level / 8 * 31 + payer;
	struct flow **at = &all.flow[(h ^ h >> 17) % FLOWS];

	while (*at != NULL && ((*at)->level != level || (*at)->payer != payer))
		at = &(*at)->next_hash;
	return at;
}

static struct flow *
obtain(struct fair_line *line, int priority, unsigned payer)
{
	struct fair_level *level = obtain_level(line, priority);
	struct flow **at = find(level, payer), *flow = *at;

	if (flow != NULL)
		return flow;
	flow = calloc(1, sizeof(*flow));
	ph_assert(flow != NULL);
	flow->line = line;
	flow->level = level;
	flow->payer = payer;
	flow->node.key = all.served[payer];
	flow->node.tie = ++all.turn;
	*at = flow;
	heap_add(&level->flows, &flow->node);
	return flow;
}

static void
put_if_empty(struct flow *flow)
{
	struct flow **at;

	if (flow->first != NULL)
		return;
	at = find(flow->level, flow->payer);
	*at = flow->next_hash;
	heap_remove(&flow->level->flows, &flow->node);
	put_level_if_empty(flow->line, flow->level);
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
	struct flow *flow = obtain(line, entry_of(r)->priority, payer_of(r));

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
	struct fair_level *level = *find_level(line, entry_of(r)->priority);
	struct flow *flow = *find(level, payer_of(r));

	unlink_from(flow, r);
	put_if_empty(flow);
}

/* The first with its true key. */
static struct flow *
first_of(struct fair_level *level)
{
	for (;;) {
		struct heap_node *node = heap_first(&level->flows);
		struct flow *flow = HEAP_OF(node, struct flow, node);

		if (node->key == all.served[flow->payer])
			return flow;
		node->key = all.served[flow->payer];
		heap_settle(&level->flows, node);
	}
}

bool
fair_next(struct fair_line *line, struct fair_first *first_out)
{
	struct fair_level *level = next_level(line);

	if (level == NULL)
		return false;
	*first_out = (struct fair_first){ line->levels->priority,
		first_of(level)->node.key };
	return true;
}

struct queue_recipient *
fair_peek(struct fair_line *line)
{
	struct fair_level *level = next_level(line);

	note_turn(line, level);
	return first_of(level)->first;
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
	struct fair_level *level = next_level(line);
	struct flow *flow = first_of(level);
	size_t n = 0;

	note_turn(line, level);
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
	heap_settle(&level->flows, &flow->node);
	put_if_empty(flow);
}
