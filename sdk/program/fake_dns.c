/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_dns.c - <posthouse/dns.h> from the lines of a session file. A name of
 * which nothing is said does not exist. An answer is made when it is asked for
 * and has the time at which it comes; to wait for it is to sleep.
 */
#include <posthouse/dns.h>
#include <posthouse/fiber.h>

#include "fakes.h"

enum {
	ANSWER_MS = 1,
	TIMEOUT_MS = 5000, /* the dns section's default */
	ALIASES_MAX = 8,
	RECORDS_MAX = 256,
};

enum kind { KIND_A, KIND_AAAA, KIND_MX, KIND_TXT, KIND_PTR, KIND_CNAME,
	KINDS, KIND_NXDOMAIN = KINDS, KIND_NODATA, KIND_SERVFAIL, KIND_TIMEOUT,
	KIND_GONE, KINDS_AND_RESULTS };

static const char *const kind_names[] = { "A", "AAAA", "MX", "TXT", "PTR",
	"CNAME", "NXDOMAIN", "NODATA", "SERVFAIL", "TIMEOUT", "gone" };

struct row {
	struct row *next;
	const char *name;
	enum kind kind;
	struct ph_slice value; /* after KIND_MX: "10 host" */
	uint64_t after_ms;
};

static struct {
	struct row *first, **end;
	unsigned asked;
} zone;

void
fake_dns_reset(void)
{
	zone.first = NULL;
	zone.end = &zone.first;
	zone.asked = 0;
}

unsigned
fake_dns_asked(void)
{
	return zone.asked;
}

/* --- the session's lines --- */

static struct ph_slice
without_dot(struct ph_slice name)
{
	if (name.n > 1 && name.p[name.n - 1] == '.')
		name.n--;
	return name;
}

static bool
is_value(enum kind kind, struct ph_slice value)
{
	struct ph_addr addr;
	uint64_t number;

	switch (kind) {
	case KIND_A:
		return ph_addr_parse(value, &addr) && addr.family == 4;
	case KIND_AAAA:
		return ph_addr_parse(value, &addr) && addr.family == 6;
	case KIND_MX:
		return ph_slice_number(fakes_word(&value), 65535, &number) &&
		    value.n > 0;
	default:
		return value.n > 0 || kind >= KINDS;
	}
}

/* Take " after 100ms" off the end. */
static uint64_t
take_after(struct ph_slice *rest)
{
	uint64_t ms = ANSWER_MS;

	for (size_t i = rest->n; i > 6; i--) {
		struct ph_slice tail = { rest->p + i, rest->n - i };

		if (memcmp(rest->p + i - 6, "after ", 6) == 0 &&
		    (i == 6 || rest->p[i - 7] == ' ') &&
		    fakes_duration(tail, &ms)) {
			rest->n = i - 6;
			*rest = ph_slice_trim(*rest);
			break;
		}
	}
	return ms;
}

static void
forget(struct ph_slice name)
{
	struct row **at = &zone.first;

	while (*at != NULL)
		if (ph_slice_eq_nocase(ph_slice_str((*at)->name), name))
			*at = (*at)->next;
		else
			at = &(*at)->next;
	zone.end = at;
}

static const char *
name_of(struct ph_slice word, enum kind kind)
{
	struct ph_addr addr;

	if (kind == KIND_PTR && ph_addr_parse(word, &addr))
		return ph_dns_reverse(fakes_arena(), &addr,
		    addr.family == 4 ? "in-addr.arpa" : "ip6.arpa");
	return ph_arena_slice(fakes_arena(), without_dot(word)).p;
}

const char *
fake_dns_line(const char *line)
{
	static const char usage[] = "wanted NAME A|AAAA|MX|TXT|PTR|CNAME "
	    "VALUE [after TIME], or NAME NXDOMAIN|NODATA|SERVFAIL|TIMEOUT|gone";
	struct ph_slice rest = ph_slice_str(line), name, word;
	unsigned kind = 0;
	struct row *row;

	name = fakes_word(&rest);
	word = fakes_word(&rest);
	while (kind < KINDS_AND_RESULTS &&
	    !ph_slice_eq(word, ph_slice_str(kind_names[kind])))
		kind++;
	if (kind == KINDS_AND_RESULTS)
		return usage;
	row = ph_arena_alloc(fakes_arena(), sizeof(*row));
	row->kind = (enum kind)kind;
	row->name = name_of(name, row->kind);
	row->after_ms = take_after(&rest);
	if (!is_value(row->kind, rest))
		return usage;
	row->value = ph_arena_slice(fakes_arena(), rest);
	if (kind >= KINDS)
		forget(ph_slice_str(row->name));
	if (kind == KIND_GONE)
		return NULL;
	*zone.end = row;
	zone.end = &row->next;
	return NULL;
}

/* --- answers --- */

struct come {
	struct ph_dns_answer answer;
	enum kind kind;
	uint64_t at_ms; /* UINT64_MAX: never */
};

static void
add_record(struct ph_arena *arena, struct ph_dns_answer *answer,
    const struct row *row)
{
	struct ph_slice rest = row->value;
	struct ph_slice word = ph_arena_slice(arena, without_dot(rest));
	size_t n = answer->count++;
	uint64_t number;

	switch (row->kind) {
	case KIND_MX:
		ph_slice_number(fakes_word(&rest), 65535, &number);
		((struct ph_dns_mx *)(uintptr_t)answer->mx)[n] =
		    (struct ph_dns_mx){ (uint16_t)number,
			    ph_slice_eq(rest, PH_LIT(".")) ? "" :
		            ph_arena_slice(arena, without_dot(rest)).p };
		return;
	case KIND_TXT:
		((struct ph_slice *)(uintptr_t)answer->txt)[n] =
		    ph_arena_slice(arena, rest);
		return;
	case KIND_PTR:
		((const char **)(uintptr_t)answer->ptr)[n] = word.p;
		return;
	default:
		ph_addr_parse(word, &((struct ph_addr *)
		        (uintptr_t)answer->addr)[n]);
	}
}

static void
sort_mx(struct ph_dns_answer *answer)
{
	struct ph_dns_mx *mx = (struct ph_dns_mx *)(uintptr_t)answer->mx;

	for (size_t i = 1; i < answer->count; i++)
		for (size_t k = i; k > 0 &&
		     mx[k].preference < mx[k - 1].preference; k--) {
			struct ph_dns_mx swap = mx[k];

			mx[k] = mx[k - 1];
			mx[k - 1] = swap;
		}
}

static enum ph_dns_result
result_of(enum kind kind)
{
	return kind == KIND_NXDOMAIN ? PH_DNS_NO_NAME :
	    kind == KIND_NODATA ? PH_DNS_NO_DATA : PH_DNS_NO_ANSWER;
}

/* What is said of one name; returns its alias, or NULL. */
static const char *
look_up(struct ph_arena *arena, const char *name, struct come *come)
{
	struct ph_dns_answer *answer = &come->answer;
	const char *alias = NULL;

	answer->result = PH_DNS_NO_NAME;
	for (const struct row *row = zone.first; row != NULL; row = row->next) {
		if (!ph_slice_eq_nocase(ph_slice_str(row->name),
		        without_dot(ph_slice_str(name))))
			continue;
		if (row->after_ms > come->at_ms)
			come->at_ms = row->after_ms;
		if (row->kind >= KINDS) {
			answer->result = result_of(row->kind);
			if (row->kind == KIND_TIMEOUT)
				come->at_ms = UINT64_MAX;
			return NULL;
		}
		if (answer->result == PH_DNS_NO_NAME)
			answer->result = PH_DNS_NO_DATA;
		if (row->kind == KIND_CNAME)
			alias = row->value.p;
		else if (row->kind == come->kind &&
		    answer->count < RECORDS_MAX)
			add_record(arena, answer, row);
	}
	return answer->count == 0 ? alias : NULL;
}

/* The answer, and when it will be there. */
static struct come *
ask(struct ph_arena *arena, const char *name, enum kind kind)
{
	struct come *come = ph_arena_alloc(arena, sizeof(*come));
	struct ph_dns_answer *answer = &come->answer;
	const char *at = name;

	zone.asked++;
	come->kind = kind;
	answer->name = ph_arena_strdup(arena, name);
	if (kind == KIND_A || kind == KIND_AAAA)
		answer->addr = ph_arena_array(arena, RECORDS_MAX,
		    sizeof(*answer->addr));
	if (kind == KIND_MX)
		answer->mx = ph_arena_array(arena, RECORDS_MAX,
		    sizeof(*answer->mx));
	if (kind == KIND_TXT)
		answer->txt = ph_arena_array(arena, RECORDS_MAX,
		    sizeof(*answer->txt));
	if (kind == KIND_PTR)
		answer->ptr = ph_arena_array(arena, RECORDS_MAX,
		    sizeof(*answer->ptr));
	for (unsigned i = 0; at != NULL && i < ALIASES_MAX; i++)
		at = look_up(arena, at, come);
	if (answer->count > 0) {
		answer->result = PH_DNS_OK;
		answer->ttl_s = 300;
	}
	if (kind == KIND_MX)
		sort_mx(answer);
	if (fakes_fault() == HARNESS_DNS_FAILS ||
	    fakes_fault() == HARNESS_SILENCE) {
		answer->result = PH_DNS_NO_ANSWER;
		answer->count = 0;
		come->at_ms = fakes_fault() == HARNESS_SILENCE ? UINT64_MAX :
		                                                 ANSWER_MS;
	}
	if (come->at_ms < ANSWER_MS)
		come->at_ms = ANSWER_MS;
	if (come->at_ms != UINT64_MAX)
		come->at_ms += ph_now_ms();
	return come;
}

/* Sleep until it is there; NO_ANSWER when that can't be. */
static void
await(struct come *come, uint64_t end_ms)
{
	uint64_t until = come->at_ms < end_ms ? come->at_ms : end_ms;
	uint64_t now = ph_now_ms();

	if ((until > now && ph_sleep_ms((unsigned)(until - now)) != PH_OK) ||
	    come->at_ms > end_ms) {
		come->answer.result = PH_DNS_NO_ANSWER;
		come->answer.count = 0;
	}
}

static const struct ph_dns_answer *
ask_one(struct ph_arena *arena, const char *name, enum kind kind)
{
	struct come *come = ask(arena, name, kind);

	await(come, ph_now_ms() + TIMEOUT_MS);
	return &come->answer;
}

const struct ph_dns_answer *
ph_dns_a(struct ph_arena *arena, const char *name)
{
	return ask_one(arena, name, KIND_A);
}

const struct ph_dns_answer *
ph_dns_aaaa(struct ph_arena *arena, const char *name)
{
	return ask_one(arena, name, KIND_AAAA);
}

const struct ph_dns_answer *
ph_dns_mx(struct ph_arena *arena, const char *name)
{
	return ask_one(arena, name, KIND_MX);
}

const struct ph_dns_answer *
ph_dns_txt(struct ph_arena *arena, const char *name)
{
	return ask_one(arena, name, KIND_TXT);
}

static const char *
reverse_of(struct ph_arena *arena, const struct ph_addr *addr)
{
	return ph_dns_reverse(arena, addr,
	    addr->family == 4 ? "in-addr.arpa" : "ip6.arpa");
}

const struct ph_dns_answer *
ph_dns_ptr(struct ph_arena *arena, const struct ph_addr *addr)
{
	return ask_one(arena, reverse_of(arena, addr), KIND_PTR);
}

const struct ph_dns_answer *
ph_dns_host(struct ph_arena *arena, const char *name)
{
	struct come *six = ask(arena, name, KIND_AAAA);
	struct come *four = ask(arena, name, KIND_A);
	struct ph_dns_answer *answer = &six->answer;
	uint64_t end_ms = ph_now_ms() + TIMEOUT_MS;

	await(six, end_ms);
	await(four, end_ms);
	if (four->answer.count == 0) {
		if (answer->count == 0 &&
		    four->answer.result == PH_DNS_NO_ANSWER)
			answer->result = PH_DNS_NO_ANSWER;
		return answer;
	}
	for (size_t i = 0; i < four->answer.count &&
	     answer->count < RECORDS_MAX; i++)
		((struct ph_addr *)(uintptr_t)answer->addr)[answer->count++] =
		    four->answer.addr[i];
	answer->result = PH_DNS_OK;
	answer->ttl_s = 300;
	return answer;
}

/* --- several at once --- */

struct ph_dns_batch {
	struct ph_arena *arena;
	uint64_t end_ms;
	struct asked {
		struct asked *next;
		struct come *come;
	} *open;
};

struct ph_dns_batch *
ph_dns_batch(struct ph_arena *arena, unsigned timeout_ms)
{
	struct ph_dns_batch *batch = ph_arena_alloc(arena, sizeof(*batch));

	batch->arena = arena;
	batch->end_ms = ph_now_ms() + (timeout_ms < TIMEOUT_MS ? timeout_ms :
	                                                         TIMEOUT_MS);
	return batch;
}

static void
batch_ask(struct ph_dns_batch *batch, const char *name, enum kind kind)
{
	struct asked *asked = ph_arena_alloc(batch->arena, sizeof(*asked));
	struct asked **end = &batch->open;

	while (*end != NULL)
		end = &(*end)->next;
	asked->come = ask(batch->arena, name, kind);
	*end = asked;
}

void
ph_dns_batch_a(struct ph_dns_batch *batch, const char *name)
{
	batch_ask(batch, name, KIND_A);
}

void
ph_dns_batch_aaaa(struct ph_dns_batch *batch, const char *name)
{
	batch_ask(batch, name, KIND_AAAA);
}

void
ph_dns_batch_mx(struct ph_dns_batch *batch, const char *name)
{
	batch_ask(batch, name, KIND_MX);
}

void
ph_dns_batch_txt(struct ph_dns_batch *batch, const char *name)
{
	batch_ask(batch, name, KIND_TXT);
}

void
ph_dns_batch_ptr(struct ph_dns_batch *batch, const struct ph_addr *addr)
{
	batch_ask(batch, reverse_of(batch->arena, addr), KIND_PTR);
}

const struct ph_dns_answer *
ph_dns_batch_next(struct ph_dns_batch *batch)
{
	struct asked **first = &batch->open, *taken;
	uint64_t now = ph_now_ms();

	for (struct asked **at = first; *at != NULL; at = &(*at)->next)
		if ((*at)->come->at_ms < (*first)->come->at_ms)
			first = at;
	taken = *first;
	if (taken == NULL)
		return NULL;
	if (taken->come->at_ms > batch->end_ms) {
		/* that those which are open say so takes no longer */
		if (batch->end_ms > now &&
		    ph_sleep_ms((unsigned)(batch->end_ms - now)) != PH_OK)
			return NULL;
		taken->come->answer.result = PH_DNS_NO_ANSWER;
		taken->come->answer.count = 0;
	} else if (taken->come->at_ms > now &&
	    ph_sleep_ms((unsigned)(taken->come->at_ms - now)) != PH_OK) {
		return NULL;
	}
	*first = taken->next;
	return &taken->come->answer;
}
