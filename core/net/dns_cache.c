/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_cache.c - answers by name and type, each in an arena of its own, in a
 * hash table and in the order of their last use. Bounded by the octets of the
 * arenas; one answer may have a sixteenth.
 */
#include "net/dns_cache.h"

#include <posthouse/fiber.h>

#include "base/hash.h"

enum {
	BUCKETS = 4096,
	SHARE = 16,
	KEPT_S_MAX = 86400, /* whatever the zone says */
};

struct entry {
	struct entry *next;           /* in its bucket */
	struct entry *newer, *older;  /* by last use */
	struct ph_arena *arena;
	uint64_t since_ms, end_ms;
	enum dns_kind kind;
	const char *name;
	struct ph_dns_answer answer;
};

static struct {
	uint64_t limit_bytes, held_bytes;
	struct entry *bucket[BUCKETS];
	struct entry *newest, *oldest;
} cache;

/* --- copies --- */

static const void *
copy_array(struct ph_arena *arena, const void *p, size_t count, size_t size)
{
	void *copy;

	if (p == NULL || count == 0)
		return NULL;
	copy = ph_arena_array(arena, count, size);
	return memcpy(copy, p, count * size);
}

void
dns_answer_copy(struct ph_arena *arena, struct ph_dns_answer *to,
    const struct ph_dns_answer *from)
{
	const size_t count = from->count;
	struct ph_slice *txt;
	struct ph_dns_mx *mx;
	const char **ptr;

	to->result = from->result;
	to->count = count;
	to->ttl_s = from->ttl_s;
	to->addr = copy_array(arena, from->addr, count, sizeof(*from->addr));
	to->txt = txt = (struct ph_slice *)(uintptr_t)copy_array(arena,
	    from->txt, count, sizeof(*txt));
	to->mx = mx = (struct ph_dns_mx *)(uintptr_t)copy_array(arena,
	    from->mx, count, sizeof(*mx));
	ptr = (const char **)(uintptr_t)copy_array(arena, from->ptr, count,
	    sizeof(*ptr));
	to->ptr = ptr;
	for (size_t i = 0; i < count; i++) {
		if (txt != NULL)
			txt[i] = ph_arena_slice(arena, txt[i]);
		if (mx != NULL)
			mx[i].host = ph_arena_strdup(arena, mx[i].host);
		if (ptr != NULL)
			ptr[i] = ph_arena_strdup(arena, ptr[i]);
	}
}

/* --- entries --- */

static struct entry **
bucket_of(const char *name)
{
	return &cache.bucket[hash_of(name, strlen(name)) % BUCKETS];
}

static void
unuse(struct entry *entry)
{
	if (entry->newer != NULL)
		entry->newer->older = entry->older;
	else
		cache.newest = entry->older;
	if (entry->older != NULL)
		entry->older->newer = entry->newer;
	else
		cache.oldest = entry->newer;
}

static void
use(struct entry *entry)
{
	entry->newer = NULL;
	entry->older = cache.newest;
	if (cache.newest != NULL)
		cache.newest->newer = entry;
	else
		cache.oldest = entry;
	cache.newest = entry;
}

static void
drop(struct entry *entry)
{
	struct entry **at = bucket_of(entry->name);

	while (*at != entry)
		at = &(*at)->next;
	*at = entry->next;
	unuse(entry);
	cache.held_bytes -= ph_arena_size(entry->arena);
	ph_arena_free(entry->arena);
}

static struct entry *
find(const char *name, enum dns_kind kind)
{
	struct entry *entry = *bucket_of(name);

	while (entry != NULL &&
	    (entry->kind != kind || strcmp(entry->name, name) != 0))
		entry = entry->next;
	return entry;
}

void
dns_cache_reset(uint64_t limit_bytes)
{
	while (cache.oldest != NULL)
		drop(cache.oldest);
	cache.limit_bytes = limit_bytes;
}

void
dns_cache_put(const char *name, enum dns_kind kind,
    const struct ph_dns_answer *answer)
{
	uint32_t kept_s = answer->ttl_s < KEPT_S_MAX ? answer->ttl_s :
	                                               KEPT_S_MAX;
	struct entry *entry = find(name, kind), **bucket = bucket_of(name);
	struct ph_arena *arena;

	if (entry != NULL)
		drop(entry);
	if (answer->result == PH_DNS_NO_ANSWER || kept_s == 0 ||
	    cache.limit_bytes == 0)
		return;
	arena = ph_arena_create(NULL);
	entry = ph_arena_alloc(arena, sizeof(*entry));
	entry->arena = arena;
	entry->name = ph_arena_strdup(arena, name);
	entry->kind = kind;
	entry->since_ms = ph_now_ms();
	entry->end_ms = entry->since_ms + (uint64_t)kept_s * 1000;
	dns_answer_copy(arena, &entry->answer, answer);
	if (ph_arena_size(arena) > cache.limit_bytes / SHARE) {
		ph_arena_free(arena);
		return;
	}
	entry->next = *bucket;
	*bucket = entry;
	use(entry);
	cache.held_bytes += ph_arena_size(arena);
	while (cache.held_bytes > cache.limit_bytes)
		drop(cache.oldest);
}

const struct ph_dns_answer *
dns_cache_get(const char *name, enum dns_kind kind, uint32_t *ttl_s_out)
{
	struct entry *entry = find(name, kind);
	uint64_t now = ph_now_ms();

	if (entry == NULL)
		return NULL;
	if (now >= entry->end_ms) {
		drop(entry);
		return NULL;
	}
	unuse(entry);
	use(entry);
	*ttl_s_out = entry->answer.ttl_s -
	    (uint32_t)((now - entry->since_ms) / 1000);
	return &entry->answer;
}
