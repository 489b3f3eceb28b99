/* SPDX-License-Identifier: Apache-2.0 */
/*
 * known.c - what is known of destinations that nothing waits for now: a table of
 * small marks, found by a hash of the name that nobody outside can work out. The
 * name itself is not kept: two of 2^64 may share a mark, and get each other's
 * pace. A mark that finds no place takes that of the one which ends first.
 */
#include "queue/known.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

enum {
	WAYS = 8,             /* marks of a set, any of which a name may have */
	SETS_MIN = 64,        /* powers of two */
	SETS_MAX = 1 << 17,   /* a million marks, 16 MiB */
	ANSWERED_MS = 3600000,
	FAILED_MS = 86400000,
	TICK_MS = 128,        /* so a process may last for 17 years */
	WINDOW_MAX = 1023,
	COUNT_MAX = 255,
	NAME_ROOM = 1024,
};

/* All zero: none. */
struct mark {
	uint64_t hash;
	uint32_t until;      /* ticks: it rests until then, or was made then */
	unsigned window : 10;
	unsigned patience : 4; /* 2 to the power of it */
	unsigned was_narrowed : 1;
	unsigned is_known : 1;
	unsigned failures : 8;
	unsigned rests : 8;
};

static struct {
	struct mark *marks;  /* in sets */
	size_t sets;
} all;

static uint64_t
name_hash(const char *name)
{
	char lower[NAME_ROOM];
	size_t n = strnlen(name, sizeof(lower));
	uint64_t hash;

	for (size_t i = 0; i < n; i++)
		lower[i] = ph_lower(name[i]);
	hash = hash_of(lower, n);
	return hash != 0 ? hash : 1;
}

static struct mark *
set_of(uint64_t hash)
{
	return &all.marks[(hash & (all.sets - 1)) * WAYS];
}

static struct mark *
find(uint64_t hash)
{
	struct mark *set = all.sets > 0 ? set_of(hash) : NULL;

	for (unsigned i = 0; set != NULL && i < WAYS; i++)
		if (set[i].hash == hash)
			return &set[i];
	return NULL;
}

static uint64_t
end_ms(const struct mark *mark)
{
	return (uint64_t)mark->until * TICK_MS +
	    (mark->failures > 0 || mark->rests > 0 ? FAILED_MS : ANSWERED_MS);
}

/* The one to be written over: its own, a free one, or that which ends first. */
static struct mark *
place_of(uint64_t hash)
{
	struct mark *set = set_of(hash), *first = set, *own = find(hash);

	for (unsigned i = 0; own == NULL && i < WAYS; i++) {
		if (set[i].hash == 0)
			return &set[i];
		if (end_ms(&set[i]) < end_ms(first))
			first = &set[i];
	}
	return own != NULL ? own : first;
}

static void
grow(void)
{
	struct mark *before = all.marks;
	size_t count = all.sets * WAYS;

	all.sets = all.sets > 0 ? 2 * all.sets : SETS_MIN;
	all.marks = calloc(all.sets * WAYS, sizeof(*all.marks));
	ph_assert(all.marks != NULL);
	for (size_t i = 0; i < count; i++)
		if (before[i].hash != 0)
			*place_of(before[i].hash) = before[i];
	free(before);
}

/* A place, in a larger table before one that is still good is lost. */
static struct mark *
obtain(uint64_t hash, uint64_t now_ms)
{
	struct mark *place = all.sets > 0 ? place_of(hash) : NULL;

	while (place == NULL || (place->hash != 0 && place->hash != hash &&
	    end_ms(place) > now_ms && all.sets < SETS_MAX)) {
		grow();
		place = place_of(hash);
	}
	return place;
}

static unsigned
bounded(unsigned value, unsigned most)
{
	return value < most ? value : most;
}

static bool
says_something(const struct pace *pace)
{
	return pace->is_known || pace->failures > 0 || pace->rests > 0 ||
	    pace->was_narrowed;
}

void
known_keep(const char *name, const struct pace *pace, uint64_t now_ms)
{
	uint64_t hash = name_hash(name), until = now_ms;
	unsigned patience = 0;
	struct mark *mark;

	if (!says_something(pace)) {
		mark = find(hash);
		if (mark != NULL)
			*mark = (struct mark){ 0 };
		return;
	}
	if (pace->rest_until_ms > until)
		until = pace->rest_until_ms;
	while (pace->patience >> (patience + 1) > 0)
		patience++;
	mark = obtain(hash, now_ms);
	*mark = (struct mark){ .hash = hash,
		.until = (uint32_t)((until + TICK_MS - 1) / TICK_MS),
		.window = bounded(pace->window, WINDOW_MAX) & WINDOW_MAX,
		.patience = patience & 15,
		.was_narrowed = pace->was_narrowed,
		.is_known = pace->is_known,
		.failures = bounded(pace->failures, COUNT_MAX) & COUNT_MAX,
		.rests = bounded(pace->rests, COUNT_MAX) & COUNT_MAX };
}

bool
known_find(const char *name, struct pace *pace_out, uint64_t now_ms)
{
	const struct mark *mark = find(name_hash(name));

	if (mark == NULL || end_ms(mark) <= now_ms)
		return false;
	*pace_out = (struct pace){ .window = mark->window,
		.patience = mark->patience > 0 ? 1u << mark->patience : 0,
		.was_narrowed = mark->was_narrowed,
		.is_known = mark->is_known,
		.failures = mark->failures, .rests = mark->rests,
		.rest_until_ms = mark->rests > 0 ?
		    (uint64_t)mark->until * TICK_MS : 0 };
	return true;
}

static void
forgive(struct mark *mark)
{
	mark->failures = mark->rests = 0;
}

void
known_forgive(const char *name)
{
	struct mark *mark = find(name_hash(name));

	if (mark != NULL)
		forgive(mark);
}

void
known_forgive_all(void)
{
	for (size_t i = 0; i < all.sets * WAYS; i++)
		forgive(&all.marks[i]);
}

size_t
known_octets(void)
{
	return all.sets * WAYS * sizeof(*all.marks);
}
