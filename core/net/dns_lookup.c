/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_lookup.c - equal questions in flight are one, and answers are kept while
 * their TTL lasts.
 *
 * A look-up is a fiber with an arena of its own; who asks is entered with it
 * and owns nothing of it. It goes on as long as the latest of them may wait and
 * ends with the last, so nobody's cancel or deadline is another's. That equal
 * questions are not asked twice at a time also denies who forges answers the
 * odds of the birthday paradox (RFC 5452 s5).
 */
#include "net/dns_lookup.h"

#include "base/hash.h"
#include "loop/fiber.h"
#include "net/dns_cache.h"
#include "net/dns_tcp.h"
#include "net/dns_udp.h"

enum { BUCKETS = 1024 };

struct dns_lookup {
	struct dns_lookup *next, **at; /* at NULL: may not be joined */
	struct ph_arena *arena;
	struct fiber *fiber;
	struct dns_asker *askers;
	uint64_t end_ms; /* the latest asker's */
	enum dns_kind kind;
	char name[DNS_NAME_TEXT];
	struct ph_dns_answer answer;
};

static struct {
	struct dns_lookup *bucket[BUCKETS];
	struct dns_lookup_counts counts;
} lookups;

/* --- one question, whatever it takes --- */

/* Ask once, over UDP and if need be TCP; sets *alias_out as dns_packet_parse. */
static void
ask_once(struct dns_lookup *lookup, const char *name, unsigned *cnames,
    const char **alias_out)
{
	struct ph_dns_answer *answer = &lookup->answer;
	struct dns_udp_answer udp;

	*alias_out = NULL;
	dns_udp_ask(lookup->arena, name, lookup->kind, &lookup->end_ms, &udp);
	if (udp.truncated)
		dns_tcp_ask(lookup->arena, &udp.server, udp.port, name,
		    lookup->kind, lookup->end_ms, &udp.packet);
	if (udp.packet.p != NULL) {
		dns_packet_parse(lookup->arena, udp.packet, name, lookup->kind,
		    cnames, answer, alias_out);
	} else if (udp.result != PH_DNS_NO_ANSWER) {
		answer->result = udp.result;
		if (udp.negative_s < answer->ttl_s)
			answer->ttl_s = udp.negative_s;
	}
}

/* Aliases are followed over packets as within one, DNS_CNAMES_MAX in all. */
static void
resolve(struct dns_lookup *lookup)
{
	struct ph_dns_answer *answer = &lookup->answer;
	const char *alias = lookup->name;
	unsigned cnames = 0;

	answer->ttl_s = UINT32_MAX;
	while (alias != NULL) {
		answer->result = PH_DNS_NO_ANSWER;
		answer->count = 0;
		if (cnames > DNS_CNAMES_MAX || fiber_is_canceled() ||
		    ph_now_ms() >= lookup->end_ms)
			break;
		ask_once(lookup, alias, &cnames, &alias);
	}
	if (answer->result == PH_DNS_NO_ANSWER)
		answer->ttl_s = 0;
}

/* --- shared --- */

static struct dns_lookup **
bucket_of(const char *name)
{
	return &lookups.bucket[hash_of(name, strlen(name)) % BUCKETS];
}

static void
unlist(struct dns_lookup *lookup)
{
	if (lookup->at == NULL)
		return;
	*lookup->at = lookup->next;
	if (lookup->next != NULL)
		lookup->next->at = lookup->at;
	lookup->at = NULL;
}

static void
unlink_asker(struct dns_asker *asker)
{
	if (asker->prev != NULL)
		asker->prev->next = asker->next;
	else
		asker->lookup->askers = asker->next;
	if (asker->next != NULL)
		asker->next->prev = asker->prev;
	asker->lookup = NULL;
}

static void
lookup_run(void *arg)
{
	struct dns_lookup *lookup = arg;
	struct dns_asker *asker;

	fiber_context_set(NULL); /* the caller's may end before us */
	resolve(lookup);
	if (lookup->at != NULL)
		dns_cache_put(lookup->name, lookup->kind, &lookup->answer);
	unlist(lookup);
	while ((asker = lookup->askers) != NULL) {
		unlink_asker(asker);
		asker->on_answer(asker, &lookup->answer);
	}
	ph_arena_free(lookup->arena);
}

static struct dns_lookup *
lookup_start(const char *name, enum dns_kind kind)
{
	struct dns_lookup **bucket = bucket_of(name);
	struct ph_arena *arena = ph_arena_create(NULL);
	struct dns_lookup *lookup = ph_arena_alloc(arena, sizeof(*lookup));

	lookup->arena = arena;
	lookup->kind = kind;
	memcpy(lookup->name, name, strlen(name) + 1);
	lookup->next = *bucket;
	if (lookup->next != NULL)
		lookup->next->at = &lookup->next;
	lookup->at = bucket;
	*bucket = lookup;
	lookup->fiber = fiber_start(lookup_run, lookup);
	lookups.counts.asked++;
	return lookup;
}

static struct dns_lookup *
lookup_find(const char *name, enum dns_kind kind)
{
	struct dns_lookup *lookup = *bucket_of(name);

	while (lookup != NULL &&
	    (lookup->kind != kind || strcmp(lookup->name, name) != 0))
		lookup = lookup->next;
	return lookup;
}

bool
dns_lookup_join(struct dns_asker *asker, struct ph_arena *arena,
    const char *name, enum dns_kind kind, uint64_t end_ms,
    struct ph_dns_answer *answer_out)
{
	uint32_t ttl_s;
	const struct ph_dns_answer *kept = dns_cache_get(name, kind, &ttl_s);
	struct dns_lookup *lookup;

	asker->lookup = NULL;
	if (kept != NULL) {
		dns_answer_copy(arena, answer_out, kept);
		answer_out->ttl_s = ttl_s;
		lookups.counts.kept++;
		return true;
	}
	lookup = lookup_find(name, kind);
	if (lookup != NULL)
		lookups.counts.joined++;
	else
		lookup = lookup_start(name, kind);
	if (lookup->end_ms < end_ms)
		lookup->end_ms = end_ms;
	asker->lookup = lookup;
	asker->prev = NULL;
	asker->next = lookup->askers;
	if (asker->next != NULL)
		asker->next->prev = asker;
	lookup->askers = asker;
	return false;
}

void
dns_asker_leave(struct dns_asker *asker)
{
	struct dns_lookup *lookup = asker->lookup;

	if (lookup == NULL)
		return;
	unlink_asker(asker);
	if (lookup->askers != NULL)
		return;
	unlist(lookup);
	fiber_cancel(lookup->fiber);
}

void
dns_lookup_forget(void)
{
	for (size_t i = 0; i < BUCKETS; i++)
		while (lookups.bucket[i] != NULL)
			unlist(lookups.bucket[i]);
}

const struct dns_lookup_counts *
dns_lookup_counts(void)
{
	return &lookups.counts;
}
