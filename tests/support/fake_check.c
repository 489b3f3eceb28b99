/* SPDX-License-Identifier: Apache-2.0 */
/* fake_check.c - see fake_check.h. */
#include "fake_check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include <posthouse/kv.h>

enum { KV_MAX = 256, BATCH_MAX = 128, NAME_SIZE = 300 };

struct fake_check fake_check;

static struct fake_pair {
	struct ph_slice key, value; /* key absent: free */
	int64_t expires_s;
} pairs[KV_MAX];

static char call_token;
struct ph_call *const fake_call = (struct ph_call *)&call_token;

/* --- the test's side --- */

void
fake_check_begin(void)
{
	memset(&fake_check, 0, sizeof(fake_check));
	memset(pairs, 0, sizeof(pairs));
	fake_check.arena = ph_arena_create(NULL);
	fake_check.service = "smtp";
	fake_check.hostname = "mail.example.test";
	fake_check.zone = "";
	fake_check.wall_s = 1000000;
	fake_check_client("192.0.2.1");
}

void
fake_check_end(void)
{
	ph_arena_free(fake_check.arena);
}

void
fake_check_client(const char *addr)
{
	ck_assert(ph_addr_parse(ph_slice_str(addr), &fake_check.client));
}

void
fake_check_next(void)
{
	fake_check.code = 0;
	fake_check.enhanced = fake_check.text = fake_check.header = NULL;
	fake_check.score = 0;
}

void
fake_check_session(void)
{
	fake_check_next();
	fake_check.state = NULL;
}

int
fake_check_run(TCase *tcase)
{
	Suite *suite = suite_create("check");
	SRunner *runner;
	int failed;

	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* --- posthouse/check.h, session.h --- */

struct ph_arena *
ph_call_arena(struct ph_call *call)
{
	(void)call;
	return fake_check.arena;
}

struct ph_arena *
ph_call_session_arena(struct ph_call *call)
{
	return ph_call_arena(call);
}

void *
ph_call_session_state(struct ph_call *call, size_t size)
{
	(void)call;
	if (fake_check.state == NULL)
		fake_check.state = ph_arena_alloc(fake_check.arena, size);
	return fake_check.state;
}

const struct ph_session *
ph_call_session(const struct ph_call *call)
{
	return (const struct ph_session *)call;
}

enum ph_stage
ph_call_stage(const struct ph_call *call)
{
	(void)call;
	return fake_check.stage;
}

const struct ph_addr *
ph_call_client(const struct ph_call *call)
{
	(void)call;
	return &fake_check.client;
}

struct ph_slice
ph_call_sender(const struct ph_call *call)
{
	(void)call;
	return ph_slice_str(fake_check.sender);
}

struct ph_slice
ph_call_recipient(const struct ph_call *call)
{
	(void)call;
	return ph_slice_str(fake_check.recipient);
}

const struct ph_addr *
ph_session_client(const struct ph_session *session)
{
	(void)session;
	return &fake_check.client;
}

const struct ph_addr *
ph_session_local(const struct ph_session *session)
{
	(void)session;
	return &fake_check.local;
}

const char *
ph_session_service(const struct ph_session *session)
{
	(void)session;
	return fake_check.service;
}

const char *
ph_session_user(const struct ph_session *session)
{
	(void)session;
	return fake_check.user;
}

bool
ph_session_may_relay(const struct ph_session *session)
{
	(void)session;
	return fake_check.may_relay;
}

bool
ph_session_is_local_domain(const struct ph_session *session,
    struct ph_slice domain)
{
	(void)session;
	return fake_check.local_domain != NULL && ph_slice_eq_nocase(domain,
	    ph_slice_str(fake_check.local_domain));
}

const char *
ph_session_hostname(const struct ph_session *session)
{
	(void)session;
	return fake_check.hostname;
}

struct ph_slice
ph_session_helo(const struct ph_session *session)
{
	(void)session;
	return ph_slice_str(fake_check.helo);
}

static void
say(int code, const char *enhanced, const char *fmt, va_list args)
{
	fake_check.code = code;
	fake_check.enhanced = enhanced != NULL ?
	    ph_arena_strdup(fake_check.arena, enhanced) : NULL;
	fake_check.text = ph_arena_vprintf(fake_check.arena, fmt, args);
}

enum ph_verdict
ph_reject(struct ph_call *call, int code, const char *enhanced,
    const char *fmt, ...)
{
	va_list args;

	(void)call;
	ck_assert_int_eq(code / 100, 5);
	ck_assert_int_eq(enhanced[0], '5');
	va_start(args, fmt);
	say(code, enhanced, fmt, args);
	va_end(args);
	return PH_REJECT;
}

enum ph_verdict
ph_defer(struct ph_call *call, int code, const char *enhanced,
    const char *fmt, ...)
{
	va_list args;

	(void)call;
	ck_assert_int_eq(code / 100, 4);
	ck_assert_int_eq(enhanced[0], '4');
	va_start(args, fmt);
	say(code, enhanced, fmt, args);
	va_end(args);
	return PH_DEFER;
}

void
ph_reason(struct ph_call *call, const char *fmt, ...)
{
	va_list args;

	(void)call;
	va_start(args, fmt);
	say(0, NULL, fmt, args);
	va_end(args);
}

void
ph_score(struct ph_call *call, double points)
{
	(void)call;
	fake_check.score += points;
}

void
ph_add_header(struct ph_call *call, const char *name, const char *fmt, ...)
{
	va_list args;

	(void)call;
	va_start(args, fmt);
	fake_check.header = ph_arena_printf(fake_check.arena, "%s: %s", name,
	    ph_arena_vprintf(fake_check.arena, fmt, args));
	va_end(args);
}

/* --- posthouse/fiber.h, log.h --- */

int64_t
ph_wall_time(void)
{
	return fake_check.wall_s;
}

uint64_t
ph_deadline_push(unsigned ms)
{
	(void)ms;
	return UINT64_MAX;
}

void
ph_deadline_restore(uint64_t deadline_ms)
{
	(void)deadline_ms;
}

void
ph_log_fields(enum ph_level level, const char *event,
    const struct ph_field *fields)
{
	(void)level;
	(void)event;
	(void)fields;
}

/* --- posthouse/dns.h --- */

/* The next "NAME TYPE VALUE" of the zone; value to the line's end. */
static bool
next_row(const char **at, char name[NAME_SIZE], char type[16],
    char value[NAME_SIZE])
{
	while (**at != '\0') {
		int got = sscanf(*at, " %299s %15s %299[^\n]", name, type,
		    value);
		const char *end = strchr(*at, '\n');

		*at = end != NULL ? end + 1 : *at + strlen(*at);
		if (got == 3)
			return true;
	}
	return false;
}

static void
put_record(struct ph_dns_answer *answer, const char *type, const char *value)
{
	struct ph_arena *arena = fake_check.arena;
	size_t n = answer->count++;

	if (strcmp(type, "MX") == 0) {
		struct ph_dns_mx *mx = (struct ph_dns_mx *)(uintptr_t)answer->mx;
		char host[NAME_SIZE];
		unsigned preference;

		ck_assert_int_eq(sscanf(value, "%u %299s", &preference, host),
		    2);
		mx[n].preference = (uint16_t)preference;
		mx[n].host = strcmp(host, ".") == 0 ? "" :
		    ph_arena_strdup(arena, host);
	} else if (strcmp(type, "PTR") == 0) {
		((const char **)(uintptr_t)answer->ptr)[n] =
		    ph_arena_strdup(arena, value);
	} else if (strcmp(type, "TXT") == 0) {
		((struct ph_slice *)(uintptr_t)answer->txt)[n] =
		    ph_slice_str(ph_arena_strdup(arena, value));
	} else {
		ck_assert(ph_addr_parse(ph_slice_str(value),
		    &((struct ph_addr *)(uintptr_t)answer->addr)[n]));
	}
}

/* Records of one or (for a host) two types. */
static const struct ph_dns_answer *
look_up(struct ph_arena *arena, const char *asked, const char *type,
    const char *other)
{
	struct ph_dns_answer *answer = ph_arena_alloc(arena, sizeof(*answer));
	char name[NAME_SIZE], kind[16], value[NAME_SIZE];
	const char *at = fake_check.zone;

	fake_check.asked++;
	answer->result = PH_DNS_NO_NAME;
	answer->name = ph_arena_strdup(arena, asked);
	if (strcmp(type, "MX") == 0)
		answer->mx = ph_arena_array(arena, 32, sizeof(*answer->mx));
	else if (strcmp(type, "PTR") == 0)
		answer->ptr = ph_arena_array(arena, 32, sizeof(char *));
	else if (strcmp(type, "TXT") == 0)
		answer->txt = ph_arena_array(arena, 32, sizeof(*answer->txt));
	else
		answer->addr = ph_arena_array(arena, 32,
		    sizeof(*answer->addr));
	while (next_row(&at, name, kind, value)) {
		if (strcasecmp(name, asked) != 0)
			continue;
		if (strcmp(kind, "RCODE") == 0) {
			answer->result = strcmp(value, "NXDOMAIN") == 0 ?
			    PH_DNS_NO_NAME : PH_DNS_NO_ANSWER;
			return answer;
		}
		if (answer->result == PH_DNS_NO_NAME)
			answer->result = PH_DNS_NO_DATA;
		if (strcmp(kind, type) == 0 || strcmp(kind, other) == 0)
			put_record(answer, kind, value);
	}
	if (answer->count > 0) {
		answer->result = PH_DNS_OK;
		answer->ttl_s = 300;
	}
	return answer;
}

const struct ph_dns_answer *
ph_dns_a(struct ph_arena *arena, const char *name)
{
	return look_up(arena, name, "A", "");
}

const struct ph_dns_answer *
ph_dns_aaaa(struct ph_arena *arena, const char *name)
{
	return look_up(arena, name, "AAAA", "");
}

const struct ph_dns_answer *
ph_dns_host(struct ph_arena *arena, const char *name)
{
	return look_up(arena, name, "AAAA", "A");
}

const struct ph_dns_answer *
ph_dns_mx(struct ph_arena *arena, const char *name)
{
	return look_up(arena, name, "MX", "");
}

const struct ph_dns_answer *
ph_dns_txt(struct ph_arena *arena, const char *name)
{
	return look_up(arena, name, "TXT", "");
}

const struct ph_dns_answer *
ph_dns_ptr(struct ph_arena *arena, const struct ph_addr *addr)
{
	return look_up(arena, ph_dns_reverse(arena, addr,
	    addr->family == 4 ? "in-addr.arpa" : "ip6.arpa"), "PTR", "");
}

struct ph_dns_batch {
	struct ph_arena *arena;
	const struct ph_dns_answer *answer[BATCH_MAX];
	size_t count, taken;
};

struct ph_dns_batch *
ph_dns_batch(struct ph_arena *arena, unsigned timeout_ms)
{
	struct ph_dns_batch *batch = ph_arena_alloc(arena, sizeof(*batch));

	(void)timeout_ms;
	batch->arena = arena;
	return batch;
}

static void
batch_add(struct ph_dns_batch *batch, const struct ph_dns_answer *answer)
{
	ck_assert_uint_lt(batch->count, BATCH_MAX);
	batch->answer[batch->count++] = answer;
}

void
ph_dns_batch_a(struct ph_dns_batch *batch, const char *name)
{
	batch_add(batch, ph_dns_a(batch->arena, name));
}

void
ph_dns_batch_aaaa(struct ph_dns_batch *batch, const char *name)
{
	batch_add(batch, ph_dns_aaaa(batch->arena, name));
}

void
ph_dns_batch_mx(struct ph_dns_batch *batch, const char *name)
{
	batch_add(batch, ph_dns_mx(batch->arena, name));
}

void
ph_dns_batch_txt(struct ph_dns_batch *batch, const char *name)
{
	batch_add(batch, ph_dns_txt(batch->arena, name));
}

void
ph_dns_batch_ptr(struct ph_dns_batch *batch, const struct ph_addr *addr)
{
	batch_add(batch, ph_dns_ptr(batch->arena, addr));
}

const struct ph_dns_answer *
ph_dns_batch_next(struct ph_dns_batch *batch)
{
	return batch->taken < batch->count ? batch->answer[batch->taken++] :
	                                     NULL;
}

/* --- posthouse/kv.h --- */

static struct fake_pair *
pair_of(struct ph_slice key)
{
	for (size_t i = 0; i < KV_MAX; i++)
		if (pairs[i].key.p != NULL && ph_slice_eq(pairs[i].key, key) &&
		    pairs[i].expires_s > fake_check.wall_s)
			return &pairs[i];
	return NULL;
}

bool
fake_check_kv_has(const char *key)
{
	return pair_of(ph_slice_str(key)) != NULL;
}

int
ph_kv_get(struct ph_arena *arena, struct ph_slice key,
    struct ph_slice *value_out)
{
	const struct fake_pair *pair = pair_of(key);

	fake_check.kv_trips++;
	if (fake_check.kv_status != PH_OK)
		return fake_check.kv_status;
	if (pair == NULL)
		return PH_NOT_FOUND;
	*value_out = ph_arena_slice(arena, pair->value);
	return PH_OK;
}

int
ph_kv_get_many(struct ph_arena *arena, const struct ph_slice *keys,
    size_t count, struct ph_slice *values_out)
{
	ck_assert_uint_le(count, PH_KV_KEYS_MAX);
	fake_check.kv_trips++;
	if (fake_check.kv_status != PH_OK)
		return fake_check.kv_status;
	for (size_t i = 0; i < count; i++) {
		const struct fake_pair *pair = pair_of(keys[i]);

		values_out[i] = pair == NULL ? (struct ph_slice){ NULL, 0 } :
		    ph_arena_slice(arena, pair->value);
	}
	return PH_OK;
}

int
ph_kv_put(struct ph_slice key, struct ph_slice value, uint64_t ttl_ms)
{
	struct fake_pair *pair = pair_of(key);

	ck_assert_uint_gt(ttl_ms, 0);
	ck_assert(key.n > 0 && key.n <= PH_KV_KEY_MAX);
	ck_assert_uint_le(value.n, PH_KV_VALUE_MAX);
	fake_check.kv_trips++;
	if (fake_check.kv_status != PH_OK)
		return fake_check.kv_status;
	for (size_t i = 0; pair == NULL; i++) {
		ck_assert_uint_lt(i, KV_MAX);
		if (pairs[i].key.p == NULL ||
		    pairs[i].expires_s <= fake_check.wall_s)
			pair = &pairs[i];
	}
	*pair = (struct fake_pair){ ph_arena_slice(fake_check.arena, key),
		ph_arena_slice(fake_check.arena, value),
		fake_check.wall_s + (int64_t)(ttl_ms / 1000) };
	return PH_OK;
}

int
ph_kv_delete(struct ph_slice key)
{
	struct fake_pair *pair = pair_of(key);

	if (fake_check.kv_status == PH_OK && pair != NULL)
		pair->key.p = NULL;
	return fake_check.kv_status;
}

int
ph_kv_add(struct ph_slice key, int64_t n, uint64_t ttl_ms, int64_t *sum_out)
{
	const struct fake_pair *pair = pair_of(key);
	uint64_t left_ms = ttl_ms;
	int64_t sum = 0;
	int status;

	if (pair != NULL) {
		ck_assert_uint_eq(pair->value.n, sizeof(sum));
		memcpy(&sum, pair->value.p, sizeof(sum));
		left_ms = (uint64_t)(pair->expires_s - fake_check.wall_s) *
		    1000;
	}
	sum += n;
	status = ph_kv_put(key,
	    (struct ph_slice){ (const char *)&sum, sizeof(sum) }, left_ms);
	if (status == PH_OK)
		*sum_out = sum;
	return status;
}

int
ph_kv_rate(struct ph_slice key, uint64_t limit, uint64_t window_ms,
    bool *over_out)
{
	int64_t sum;
	int status = ph_kv_add(key, 1, window_ms, &sum);

	if (status == PH_OK)
		*over_out = (uint64_t)sum > limit;
	return status;
}
