/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns.c - <posthouse/dns.h>: questions alone, several at once, both families.
 *
 * dns_lookup.c looks up, once for all who ask the same; here is who waits for
 * it and for how long.
 */
#include "net/dns.h"

#include "loop/fiber.h"
#include "net/dns_cache.h"
#include "net/dns_lookup.h"
#include "net/dns_udp.h"

static struct {
	bool ready;
	unsigned timeout_ms;
} resolver;

int
resolver_init(const char *const *servers, unsigned timeout_ms,
    unsigned attempts, uint64_t cache_bytes, struct ph_err *err)
{
	int status = dns_udp_init(servers, timeout_ms, attempts, err);

	if (status != PH_OK)
		return status;
	dns_lookup_forget();
	dns_cache_reset(cache_bytes);
	resolver.timeout_ms = timeout_ms;
	resolver.ready = true;
	return PH_OK;
}

void
resolver_close(void)
{
	dns_udp_close();
}

void
resolver_fini(void)
{
	dns_lookup_forget();
	dns_cache_reset(0);
	dns_udp_fini();
	resolver.ready = false;
}

void
resolver_counts(struct resolver_counts *counts_out)
{
	const struct dns_lookup_counts *lookups = dns_lookup_counts();

	counts_out->open = dns_udp_open_questions();
	counts_out->asked = lookups->asked;
	counts_out->joined = lookups->joined;
	counts_out->kept = lookups->kept;
}

/* --- one question --- */

static uint64_t
end_of_question(unsigned timeout_ms)
{
	unsigned ms = timeout_ms < resolver.timeout_ms ? timeout_ms :
	                                                 resolver.timeout_ms;
	uint64_t end_ms = ph_now_ms() + ms;

	return end_ms < fiber_deadline() ? end_ms : fiber_deadline();
}

/* False, and the answer is there, when there is nothing to ask. */
static bool
is_askable(const char *name, char text[DNS_NAME_TEXT],
    struct ph_dns_answer *answer)
{
	answer->result = PH_DNS_NO_ANSWER;
	if (!resolver.ready)
		return false;
	if (!dns_name_canonical(name, text)) {
		answer->result = PH_DNS_NO_NAME;
		return false;
	}
	return true;
}

struct waiter {
	struct dns_asker asker; /* first */
	struct ph_arena *arena;
	struct ph_dns_answer *answer;
	bool answered;
	struct ph_event came;
};

static void
on_single_answer(struct dns_asker *asker, const struct ph_dns_answer *answer)
{
	struct waiter *waiter = (struct waiter *)asker;

	dns_answer_copy(waiter->arena, waiter->answer, answer);
	waiter->answered = true;
	ph_event_signal(&waiter->came);
}

static void
look_up(struct ph_arena *arena, const char *name, enum dns_kind kind,
    struct ph_dns_answer *answer)
{
	struct waiter waiter = { .asker.on_answer = on_single_answer,
		.arena = arena, .answer = answer };
	const uint64_t end_ms = end_of_question(PH_NO_LIMIT_MS);
	uint64_t now;

	if (dns_lookup_join(&waiter.asker, arena, name, kind, end_ms, answer))
		return;
	while (!waiter.answered && (now = ph_now_ms()) < end_ms &&
	    ph_event_wait(&waiter.came, (unsigned)(end_ms - now)) !=
	        PH_CANCELED)
		;
	dns_asker_leave(&waiter.asker);
}

static const struct ph_dns_answer *
ask(struct ph_arena *arena, const char *name, enum dns_kind kind)
{
	struct ph_dns_answer *answer = ph_arena_alloc(arena, sizeof(*answer));
	char text[DNS_NAME_TEXT];

	answer->name = ph_arena_strdup(arena, name);
	if (is_askable(name, text, answer))
		look_up(arena, text, kind, answer);
	return answer;
}

const struct ph_dns_answer *
ph_dns_a(struct ph_arena *arena, const char *name)
{
	return ask(arena, name, DNS_KIND_A);
}

const struct ph_dns_answer *
ph_dns_aaaa(struct ph_arena *arena, const char *name)
{
	return ask(arena, name, DNS_KIND_AAAA);
}

const struct ph_dns_answer *
ph_dns_mx(struct ph_arena *arena, const char *name)
{
	return ask(arena, name, DNS_KIND_MX);
}

const struct ph_dns_answer *
ph_dns_txt(struct ph_arena *arena, const char *name)
{
	return ask(arena, name, DNS_KIND_TXT);
}

static const char *
reverse_name(struct ph_arena *arena, const struct ph_addr *addr)
{
	return ph_dns_reverse(arena, addr,
	    addr->family == 4 ? "in-addr.arpa" : "ip6.arpa");
}

const struct ph_dns_answer *
ph_dns_ptr(struct ph_arena *arena, const struct ph_addr *addr)
{
	return ask(arena, reverse_name(arena, addr), DNS_KIND_PTR);
}

/* --- several at once --- */

struct asked {
	struct dns_asker asker;    /* first */
	struct asked *next, *prev; /* open ones of the batch */
	struct ph_dns_batch *batch;
	const char *name;
	enum dns_kind kind;
};

struct answered {
	struct answered *next;
	struct ph_dns_answer answer;
	enum dns_kind kind;
};

struct ph_dns_batch {
	struct ph_arena *arena;
	uint64_t end_ms;
	struct asked *open;
	struct answered *first, *last; /* come and not taken */
	struct ph_event came;
};

static void
batch_put(struct ph_dns_batch *batch, const char *name, enum dns_kind kind,
    const struct ph_dns_answer *answer)
{
	struct answered *to = ph_arena_alloc(batch->arena, sizeof(*to));

	to->kind = kind;
	dns_answer_copy(batch->arena, &to->answer, answer);
	to->answer.name = name;
	if (batch->last != NULL)
		batch->last->next = to;
	else
		batch->first = to;
	batch->last = to;
	ph_event_signal(&batch->came);
}

static void
asked_leave(struct asked *asked)
{
	struct ph_dns_batch *batch = asked->batch;

	if (asked->prev != NULL)
		asked->prev->next = asked->next;
	else
		batch->open = asked->next;
	if (asked->next != NULL)
		asked->next->prev = asked->prev;
}

static void
on_batch_answer(struct dns_asker *asker, const struct ph_dns_answer *answer)
{
	struct asked *asked = (struct asked *)asker;

	asked_leave(asked);
	batch_put(asked->batch, asked->name, asked->kind, answer);
}

static void
batch_drop(void *object)
{
	struct ph_dns_batch *batch = object;

	for (; batch->open != NULL; batch->open = batch->open->next)
		dns_asker_leave(&batch->open->asker);
}

/* What is still open could not be told in the batch's time. */
static void
batch_give_up(struct ph_dns_batch *batch)
{
	static const struct ph_dns_answer none = {
		.result = PH_DNS_NO_ANSWER
	};

	for (; batch->open != NULL; batch->open = batch->open->next) {
		dns_asker_leave(&batch->open->asker);
		batch_put(batch, batch->open->name, batch->open->kind, &none);
	}
}

struct ph_dns_batch *
ph_dns_batch(struct ph_arena *arena, unsigned timeout_ms)
{
	struct ph_dns_batch *batch = ph_arena_alloc(arena, sizeof(*batch));

	batch->arena = arena;
	batch->end_ms = end_of_question(timeout_ms);
	ph_arena_on_end(arena, batch_drop, batch);
	return batch;
}

static void
batch_ask(struct ph_dns_batch *batch, const char *name, enum dns_kind kind)
{
	struct ph_dns_answer answer = { .result = PH_DNS_NO_ANSWER };
	char text[DNS_NAME_TEXT];
	const char *copy = ph_arena_strdup(batch->arena, name);
	struct asked *asked;

	if (!is_askable(name, text, &answer)) {
		batch_put(batch, copy, kind, &answer);
		return;
	}
	asked = ph_arena_alloc(batch->arena, sizeof(*asked));
	asked->asker.on_answer = on_batch_answer;
	asked->batch = batch;
	asked->name = copy;
	asked->kind = kind;
	if (dns_lookup_join(&asked->asker, batch->arena, text, kind,
	        batch->end_ms, &answer)) {
		batch_put(batch, copy, kind, &answer);
		return;
	}
	asked->next = batch->open;
	if (batch->open != NULL)
		batch->open->prev = asked;
	batch->open = asked;
}

void
ph_dns_batch_a(struct ph_dns_batch *batch, const char *name)
{
	batch_ask(batch, name, DNS_KIND_A);
}

void
ph_dns_batch_txt(struct ph_dns_batch *batch, const char *name)
{
	batch_ask(batch, name, DNS_KIND_TXT);
}

void
ph_dns_batch_aaaa(struct ph_dns_batch *batch, const char *name)
{
	batch_ask(batch, name, DNS_KIND_AAAA);
}

void
ph_dns_batch_mx(struct ph_dns_batch *batch, const char *name)
{
	batch_ask(batch, name, DNS_KIND_MX);
}

void
ph_dns_batch_ptr(struct ph_dns_batch *batch, const struct ph_addr *addr)
{
	batch_ask(batch, reverse_name(batch->arena, addr), DNS_KIND_PTR);
}

static struct answered *
batch_take(struct ph_dns_batch *batch)
{
	struct answered *taken;

	while (batch->first == NULL) {
		uint64_t now = ph_now_ms();

		if (batch->open == NULL)
			return NULL;
		if (now >= batch->end_ms)
			batch_give_up(batch);
		else if (ph_event_wait(&batch->came,
		             (unsigned)(batch->end_ms - now)) != PH_OK &&
		    ph_now_ms() < batch->end_ms)
			return NULL; /* the caller's end */
	}
	taken = batch->first;
	batch->first = taken->next;
	if (batch->first == NULL)
		batch->last = NULL;
	return taken;
}

const struct ph_dns_answer *
ph_dns_batch_next(struct ph_dns_batch *batch)
{
	struct answered *taken = batch_take(batch);

	return taken != NULL ? &taken->answer : NULL;
}

/* --- both families --- */

static enum ph_dns_result
result_of_both(enum ph_dns_result a, enum ph_dns_result b)
{
	if (a == PH_DNS_NO_ANSWER || b == PH_DNS_NO_ANSWER)
		return PH_DNS_NO_ANSWER;
	return a == PH_DNS_NO_NAME && b == PH_DNS_NO_NAME ? PH_DNS_NO_NAME :
	                                                    PH_DNS_NO_DATA;
}

const struct ph_dns_answer *
ph_dns_host(struct ph_arena *arena, const char *name)
{
	struct ph_dns_answer *answer = ph_arena_alloc(arena, sizeof(*answer));
	struct ph_dns_batch *batch = ph_dns_batch(arena, PH_NO_LIMIT_MS);
	struct ph_dns_answer got[2] = { { .result = PH_DNS_NO_ANSWER },
		{ .result = PH_DNS_NO_ANSWER } };
	struct answered *taken;
	struct ph_addr *addr;

	batch_ask(batch, name, DNS_KIND_AAAA);
	batch_ask(batch, name, DNS_KIND_A);
	while ((taken = batch_take(batch)) != NULL)
		got[taken->kind == DNS_KIND_A] = taken->answer;
	batch_drop(batch); /* canceled: nothing goes on for the arena's life */
	answer->name = ph_arena_strdup(arena, name);
	answer->count = got[0].count + got[1].count;
	if (answer->count > DNS_RECORDS_MAX)
		answer->count = DNS_RECORDS_MAX;
	if (answer->count == 0) {
		answer->result = result_of_both(got[0].result, got[1].result);
		if (answer->result != PH_DNS_NO_ANSWER)
			answer->ttl_s = got[got[1].ttl_s < got[0].ttl_s].ttl_s;
		return answer;
	}
	addr = ph_arena_array(arena, answer->count, sizeof(*addr));
	for (size_t i = 0; i < answer->count; i++)
		addr[i] = i < got[0].count ? got[0].addr[i] :
		                             got[1].addr[i - got[0].count];
	answer->addr = addr;
	answer->ttl_s = got[0].count == 0 || (got[1].count > 0 &&
	    got[1].ttl_s < got[0].ttl_s) ? got[1].ttl_s : got[0].ttl_s;
	return answer;
}
