/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth_sasl.c - the table of exchanges and the steps of PLAIN and LOGIN.
 *
 * libgsasl asks its callback to judge user and password in the middle of a
 * step, where nothing may suspend. The callback only takes them down; the role
 * verifies afterwards in its fiber. All exchanges live equally long, so the
 * list in order of start is the list in order of expiry.
 */
#include "role/auth_sasl.h"

#include <gsasl.h>
#include <stdlib.h>

#include "role/auth_name.h"

enum { STEPS_MAX = 4, RESPONSE_MAX = 2 * AUTH_NAME_MAX + AUTH_PASSWORD_MAX + 2 };

/* The words that clients of LOGIN know; it has no standard, and some wait for
 * exactly these. NULL: libgsasl's challenge goes out. */
struct mechanism {
	const char *name;
	unsigned nuls;             /* in a response */
	const char *const *prompts;
};
static const char *const login_prompts[] = { "Username:", "Password:" };
static const struct mechanism mechanisms[] = {
	{ "PLAIN", 2, NULL },
	{ "LOGIN", 0, login_prompts },
};

struct auth_exchange {
	uint64_t number;
	unsigned edge;
	uint64_t ends_ms;
	unsigned steps;
	bool is_complete; /* the callback took user and password down */
	const struct mechanism *mechanism;
	struct auth_attempt *attempt;
	Gsasl_session *gsasl;
	struct auth_exchange *next, *prev; /* in order of start */
};

struct auth_sasl {
	Gsasl *gsasl;
	uint64_t last_number;
	unsigned count;
	struct auth_exchange *slot[AUTH_SASL_EXCHANGES]; /* number % size */
	struct auth_exchange *first, *last;
};

struct auth_attempt *
auth_attempt_create(void)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct auth_attempt *attempt = ph_arena_alloc(arena, sizeof(*attempt));

	attempt->arena = arena;
	return attempt;
}

void
auth_attempt_free(struct auth_attempt *attempt)
{
	if (attempt == NULL)
		return;
	ph_wipe((char *)(uintptr_t)attempt->password.p, attempt->password.n);
	ph_arena_free(attempt->arena);
}

struct ph_slice
auth_prepare(struct ph_arena *arena, struct ph_slice text)
{
	struct ph_slice copy = ph_arena_slice(arena, text), prepared;
	char *out = NULL;

	if (memchr(copy.p, '\0', copy.n) != NULL ||
	    gsasl_saslprep(copy.p, GSASL_ALLOW_UNASSIGNED, &out, NULL) !=
	        GSASL_OK)
		return copy;
	ph_wipe((char *)(uintptr_t)copy.p, copy.n);
	prepared = ph_arena_slice(arena, ph_slice_str(out));
	ph_wipe(out, strlen(out));
	gsasl_free(out);
	return prepared;
}

/* --- what libgsasl asks --- */

static void
take_down(Gsasl_session *session, Gsasl_property property,
    struct ph_arena *arena, struct ph_slice *slice_out)
{
	const char *text = gsasl_property_fast(session, property);

	if (text != NULL)
		*slice_out = auth_prepare(arena, ph_slice_str(text));
}

static int
on_gsasl(Gsasl *gsasl, Gsasl_session *session, Gsasl_property property)
{
	struct auth_exchange *exchange = gsasl_session_hook_get(session);
	struct auth_attempt *attempt = exchange->attempt;
	char *password;

	(void)gsasl;
	if (property != GSASL_VALIDATE_SIMPLE)
		return GSASL_NO_CALLBACK;
	take_down(session, GSASL_AUTHID, attempt->arena, &attempt->user);
	take_down(session, GSASL_AUTHZID, attempt->arena, &attempt->acting_as);
	take_down(session, GSASL_PASSWORD, attempt->arena, &attempt->password);
	password = (char *)(uintptr_t)gsasl_property_fast(session,
	    GSASL_PASSWORD);
	if (password != NULL)
		ph_wipe(password, strlen(password));
	exchange->is_complete = attempt->user.p != NULL &&
	    attempt->password.p != NULL;
	return GSASL_OK;
}

/* --- the table --- */

struct auth_sasl *
auth_sasl_create(void)
{
	struct auth_sasl *table = calloc(1, sizeof(*table));

	if (table == NULL)
		return NULL;
	if (gsasl_init(&table->gsasl) != GSASL_OK) {
		free(table);
		return NULL;
	}
	gsasl_callback_set(table->gsasl, on_gsasl);
	return table;
}

static void
unlink_exchange(struct auth_sasl *table, struct auth_exchange *exchange)
{
	if (exchange->prev != NULL)
		exchange->prev->next = exchange->next;
	else
		table->first = exchange->next;
	if (exchange->next != NULL)
		exchange->next->prev = exchange->prev;
	else
		table->last = exchange->prev;
	table->slot[exchange->number % AUTH_SASL_EXCHANGES] = NULL;
	table->count--;
}

struct auth_attempt *
auth_sasl_end(struct auth_sasl *table, struct auth_exchange *exchange)
{
	struct auth_attempt *attempt = exchange->attempt;

	unlink_exchange(table, exchange);
	gsasl_finish(exchange->gsasl);
	free(exchange);
	return attempt;
}

static void
expire(struct auth_sasl *table, uint64_t now_ms)
{
	while (table->first != NULL && table->first->ends_ms <= now_ms)
		auth_attempt_free(auth_sasl_end(table, table->first));
}

void
auth_sasl_forget(struct auth_sasl *table, unsigned edge)
{
	struct auth_exchange *exchange, *next;

	for (exchange = table->first; exchange != NULL; exchange = next) {
		next = exchange->next;
		if (exchange->edge == edge)
			auth_attempt_free(auth_sasl_end(table, exchange));
	}
}

void
auth_sasl_free(struct auth_sasl *table)
{
	if (table == NULL)
		return;
	expire(table, UINT64_MAX);
	gsasl_done(table->gsasl);
	free(table);
}

unsigned
auth_sasl_count(const struct auth_sasl *table)
{
	return table->count;
}

static bool
is_full(const struct auth_sasl *table, unsigned edge)
{
	const struct auth_exchange *exchange;
	unsigned count = 0;

	if (table->count >= AUTH_SASL_EXCHANGES)
		return true;
	if (table->count < AUTH_SASL_EDGE)
		return false;
	for (exchange = table->first; exchange != NULL;
	     exchange = exchange->next)
		count += exchange->edge == edge;
	return count >= AUTH_SASL_EDGE;
}

/* The next number whose slot is free; there is one. */
static uint64_t
next_number(struct auth_sasl *table)
{
	do
		table->last_number++;
	while (table->slot[table->last_number % AUTH_SASL_EXCHANGES] != NULL);
	return table->last_number;
}

static void
append(struct auth_sasl *table, struct auth_exchange *exchange)
{
	exchange->number = next_number(table);
	table->slot[exchange->number % AUTH_SASL_EXCHANGES] = exchange;
	exchange->prev = table->last;
	if (table->last != NULL)
		table->last->next = exchange;
	else
		table->first = exchange;
	table->last = exchange;
	table->count++;
}

static const struct mechanism *
mechanism_named(struct ph_slice name)
{
	for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++)
		if (ph_slice_eq_nocase(name, ph_slice_str(mechanisms[i].name)))
			return &mechanisms[i];
	return NULL;
}

enum ph_auth_result
auth_sasl_start(struct auth_sasl *table, unsigned edge, uint64_t now_ms,
    struct auth_attempt *attempt, struct auth_exchange **exchange_out)
{
	const struct mechanism *mechanism = mechanism_named(attempt->mechanism);
	struct auth_exchange *exchange;

	if (mechanism == NULL)
		return PH_AUTH_UNKNOWN_MECHANISM;
	expire(table, now_ms);
	if (is_full(table, edge))
		return PH_AUTH_UNAVAILABLE;
	exchange = calloc(1, sizeof(*exchange));
	if (exchange == NULL ||
	    gsasl_server_start(table->gsasl, mechanism->name,
	        &exchange->gsasl) != GSASL_OK) {
		free(exchange);
		return PH_AUTH_UNAVAILABLE;
	}
	gsasl_session_hook_set(exchange->gsasl, exchange);
	exchange->edge = edge;
	exchange->ends_ms = now_ms + AUTH_SASL_MS;
	exchange->mechanism = mechanism;
	exchange->attempt = attempt;
	append(table, exchange);
	*exchange_out = exchange;
	return PH_AUTH_CONTINUE;
}

struct auth_exchange *
auth_sasl_find(struct auth_sasl *table, unsigned edge, uint64_t number,
    uint64_t now_ms)
{
	struct auth_exchange *exchange;

	expire(table, now_ms);
	exchange = table->slot[number % AUTH_SASL_EXCHANGES];
	if (exchange == NULL || exchange->number != number ||
	    exchange->edge != edge)
		return NULL;
	return exchange;
}

uint64_t
auth_exchange_number(const struct auth_exchange *exchange)
{
	return exchange->number;
}

/* --- steps --- */

/* libgsasl would cut a password at a NUL. */
static bool
response_is_sound(const struct mechanism *mechanism, struct ph_slice response)
{
	unsigned nuls = 0;

	if (response.n > RESPONSE_MAX)
		return false;
	for (size_t i = 0; i < response.n; i++)
		nuls += response.p[i] == '\0';
	return nuls == mechanism->nuls && response.n > 0;
}

static enum ph_auth_result
step(struct auth_exchange *exchange, struct ph_slice response,
    struct ph_slice *challenge_out)
{
	const char *const *prompts = exchange->mechanism->prompts;
	char *out = NULL;
	size_t n = 0;
	int rc = gsasl_step(exchange->gsasl, response.p, response.n, &out, &n);

	if (rc == GSASL_NEEDS_MORE && exchange->steps < STEPS_MAX) {
		struct ph_slice challenge = prompts != NULL &&
		        exchange->steps < 2 ?
		    ph_slice_str(prompts[exchange->steps]) :
		    (struct ph_slice){ out, n };

		*challenge_out = ph_arena_slice(exchange->attempt->arena,
		    challenge.p != NULL ? challenge : PH_LIT(""));
	}
	gsasl_free(out);
	exchange->steps++;
	if (rc == GSASL_NEEDS_MORE && exchange->steps <= STEPS_MAX)
		return PH_AUTH_CONTINUE;
	return rc == GSASL_OK && exchange->is_complete ? PH_AUTH_OK :
	                                                 PH_AUTH_MALFORMED;
}

/* LOGIN speaks first: an initial response answers its first challenge. */
enum ph_auth_result
auth_sasl_step(struct auth_exchange *exchange, struct ph_slice response,
    struct ph_slice *challenge_out)
{
	bool is_first = exchange->steps == 0;
	enum ph_auth_result result;

	if (response.p == NULL && !is_first)
		return PH_AUTH_MALFORMED;
	if (response.p != NULL &&
	    !response_is_sound(exchange->mechanism, response))
		return PH_AUTH_MALFORMED;
	if (is_first && (response.p == NULL ||
	        exchange->mechanism->prompts != NULL)) {
		result = step(exchange, PH_LIT(""), challenge_out);
		if (result != PH_AUTH_CONTINUE || response.p == NULL)
			return result;
	}
	return step(exchange, response, challenge_out);
}
