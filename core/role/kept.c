/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kept.c - objects that outlive the attempt that made them: open connections to
 * a host, for the next message there.
 *
 * Each has a fiber that waits for its end. An object is in the list as long as
 * it can be taken; who takes it out of the list decides what becomes of it.
 */
#include "role/kept.h"

#include <stdlib.h>

#include "loop/fiber.h"

enum { END_MS = 3000 }; /* for end(object) */

struct kept {
	struct kept *next, *prev; /* newest first */
	struct ph_arena *arena;
	void *object;
	void (*end)(void *object);
	char *key;
	unsigned idle_ms;
	bool is_listed, was_taken;
	struct ph_event moved; /* out of the list */
};

static struct {
	struct kept *newest, *oldest;
	size_t count;  /* in the list */
	size_t fibers; /* that have not returned */
	bool is_stopping;
	struct ph_event ended;
} all;

static void
list_add(struct kept *kept)
{
	kept->next = all.newest;
	if (all.newest != NULL)
		all.newest->prev = kept;
	else
		all.oldest = kept;
	all.newest = kept;
	all.count++;
	kept->is_listed = true;
}

static void
list_remove(struct kept *kept)
{
	if (!kept->is_listed)
		return;
	if (kept->prev != NULL)
		kept->prev->next = kept->next;
	else
		all.newest = kept->next;
	if (kept->next != NULL)
		kept->next->prev = kept->prev;
	else
		all.oldest = kept->prev;
	all.count--;
	kept->is_listed = false;
	ph_event_signal(&kept->moved);
}

static void
kept_main(void *arg)
{
	struct kept *kept = arg;

	fiber_deadline_set(UINT64_MAX);
	if (kept->is_listed)
		ph_event_wait(&kept->moved, kept->idle_ms);
	list_remove(kept);
	if (!kept->was_taken) {
		fiber_deadline_set(ph_now_ms() + END_MS);
		kept->end(kept->object);
		ph_arena_free(kept->arena);
	}
	free(kept->key);
	free(kept);
	all.fibers--;
	ph_event_signal(&all.ended);
}

void
ph_keep(struct ph_arena *arena, void *object, const char *key,
    unsigned idle_ms, void (*end)(void *object))
{
	struct kept *kept = calloc(1, sizeof(*kept));
	void *context = fiber_context();

	ph_assert(kept != NULL);
	kept->arena = arena;
	kept->object = object;
	kept->end = end;
	kept->idle_ms = idle_ms;
	kept->key = strdup(key);
	ph_assert(kept->key != NULL);
	if (all.count >= KEPT_MAX)
		list_remove(all.oldest);
	if (!all.is_stopping)
		list_add(kept);
	all.fibers++;
	/* it outlives the attempt, and so what the context points to */
	fiber_context_set(NULL);
	fiber_start(kept_main, kept);
	fiber_context_set(context);
}

void *
ph_kept_take(const char *key, struct ph_arena **arena_out)
{
	struct kept *kept = all.newest;

	while (kept != NULL && strcmp(kept->key, key) != 0)
		kept = kept->next;
	if (kept == NULL)
		return NULL;
	kept->was_taken = true;
	list_remove(kept);
	*arena_out = kept->arena;
	return kept->object;
}

size_t
kept_count(void)
{
	return all.count;
}

void
kept_end_all(unsigned ms)
{
	uint64_t end = ph_now_ms() + ms;

	all.is_stopping = true;
	while (all.oldest != NULL)
		list_remove(all.oldest);
	while (all.fibers > 0) {
		uint64_t now = ph_now_ms();

		if (now >= end || ph_event_wait(&all.ended,
		        (unsigned)(end - now)) != PH_OK)
			break;
	}
	all.is_stopping = false;
}
