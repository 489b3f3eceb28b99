/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tally.c - counters of modules. Latencies go into buckets that grow with the
 * value, four to each power of two: a quarter is as exact as an operator asks,
 * and a hook's histogram takes half a kilobyte for ever.
 */
#include "role/tally.h"

#include <time.h>

#include "log/log.h"
#include "loop/fiber.h"
#include "role/role.h"

enum { EXACT = 8, EXACT_BITS = 3 }; /* buckets of one microsecond each */

struct tally *
tally_of(const char *module)
{
	struct tally *all = role_activity()->tally, *free_one = NULL;
	size_t n = strlen(module);

	if (n == 0 || n >= sizeof(all->module))
		return NULL;
	for (unsigned i = 0; i < TALLIES; i++) {
		if (strncmp(all[i].module, module, sizeof(all->module)) == 0)
			return &all[i];
		if (free_one == NULL && all[i].module[0] == '\0')
			free_one = &all[i];
	}
	if (free_one != NULL)
		memcpy(free_one->module, module, n + 1);
	return free_one;
}

uint64_t
tally_micros(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static unsigned
bucket_of(uint64_t micros)
{
	unsigned octave, i;

	if (micros < EXACT)
		return (unsigned)micros;
	octave = 63 - (unsigned)__builtin_clzll(micros);
	i = EXACT + (octave - EXACT_BITS) * 4 +
	    (unsigned)(micros >> (octave - 2) & 3);
	return i < TALLY_BUCKETS ? i : TALLY_BUCKETS - 1;
}

/* The largest value that falls into it. */
static uint64_t
bucket_end(unsigned i)
{
	unsigned octave, quarter;

	if (i < EXACT)
		return i;
	octave = EXACT_BITS + (i - EXACT) / 4;
	quarter = (i - EXACT) % 4;
	return ((uint64_t)(4 + quarter + 1) << (octave - 2)) - 1;
}

void
tally_begin(struct tally *tally)
{
	if (tally != NULL)
		tally->begun++;
}

void
tally_end(struct tally *tally, unsigned hook, uint64_t micros,
    enum tally_end end)
{
	if (tally == NULL)
		return;
	tally->ended++;
	tally->ends[end]++;
	tally->hook[hook].calls++;
	tally->hook[hook].bucket[bucket_of(micros)]++;
}

void
tally_skip(struct tally *tally)
{
	if (tally != NULL)
		tally->ends[TALLY_OUT]++;
}

void
tally_miss(struct tally *tally)
{
	if (tally != NULL)
		tally->missed++;
}

static bool
is_counter(const char *name)
{
	size_t n = strnlen(name, PH_COUNTER_NAME_MAX + 1);

	return n > 0 && n <= PH_COUNTER_NAME_MAX &&
	    strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == n;
}

void
tally_own(struct tally *tally, const char *name, uint64_t n)
{
	struct tally_own *at = tally != NULL ? tally->own : NULL;
	const struct tally_own *end = at + TALLY_OWN;

	if (at == NULL || !is_counter(name))
		return;
	while (at != end && at->name[0] != '\0' &&
	    strncmp(at->name, name, sizeof(at->name)) != 0)
		at++;
	if (at == end)
		return;
	if (at->name[0] == '\0')
		memcpy(at->name, name, strlen(name) + 1);
	at->n += n;
}

void
ph_count(const char *name, uint64_t n)
{
	const struct log_context *context = fiber_context();

	if (context != NULL && context->module != NULL)
		tally_own(tally_of(context->module), name, n);
}

/* Another process may have them in another order, and none may be trusted. */
static void
add_own(struct tally *sum, const struct tally *page)
{
	for (unsigned i = 0; i < TALLY_OWN; i++) {
		char name[sizeof(page->own[i].name) + 1] = "";

		memcpy(name, page->own[i].name, sizeof(page->own[i].name));
		tally_own(sum, name, page->own[i].n);
	}
}

void
tally_add(struct tally *sum, const struct tally *page)
{
	sum->begun += page->begun;
	sum->ended += page->ended;
	sum->missed += page->missed;
	sum->grown += page->grown;
	for (unsigned i = 0; i < TALLY_ENDS; i++)
		sum->ends[i] += page->ends[i];
	for (unsigned h = 0; h < TALLY_HOOKS; h++) {
		sum->hook[h].calls += page->hook[h].calls;
		for (unsigned i = 0; i < TALLY_BUCKETS; i++)
			sum->hook[h].bucket[i] += page->hook[h].bucket[i];
	}
	add_own(sum, page);
}

uint64_t
tally_percentile(const struct tally_hook *hook, unsigned percent)
{
	uint64_t all = 0, seen = 0, wanted;

	for (unsigned i = 0; i < TALLY_BUCKETS; i++)
		all += hook->bucket[i];
	wanted = (all * percent + 99) / 100;
	for (unsigned i = 0; i < TALLY_BUCKETS && all > 0; i++) {
		seen += hook->bucket[i];
		if (seen >= wanted)
			return bucket_end(i);
	}
	return 0;
}
