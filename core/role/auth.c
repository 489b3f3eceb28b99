/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth.c - the auth role: who a client is, and which addresses are users.
 *
 * A login goes: is this client over its limit, wait for a turn, ask the
 * backends, answer with a token, or count the failure and let the client wait
 * for the answer. The wait is of this fiber alone. A refusal never says
 * whether the user or the password was wrong, nor does its time: that is
 * filled up to the same delay.
 *
 * In other files: names (auth_name), limits (auth_limit), turns (auth_gate),
 * exchanges (auth_sasl), backends (auth_backends), posthousectl (auth_admin).
 */
#include <posthouse/auth.h>
#include <posthouse/listener.h>

#include <malloc.h>
#include <sys/random.h>

#include "base/record.h"
#include "log/log.h"
#include "loop/fiber.h"
#include "role/auth_gate.h"
#include "role/auth_limit.h"
#include "role/auth_name.h"
#include "role/auth_sasl.h"
#include "role/auth_serve.h"

enum {
	/* As long as a submission session may reasonably go on sending; the
	 * token is worth nothing outside its session. */
	TOKEN_LIFETIME_S = 24 * 3600,
	TURN_MS = 20000,     /* then "temporarily unavailable" */
	LOGINS_MAX = 4096,   /* at work or waiting out a failure */
	LABEL_MAX = 128,     /* session, service, client, TLS: what we log */
	ALIASES_MAX = 256,
	FREED_FILL = 0xa5,
};

static struct {
	struct auth_backends *backends;
	struct auth_sasl *sasl;
	struct auth_limit *limit;
	struct auth_gate gate;
	struct ph_arena *arena; /* the process's */
	unsigned logins;        /* now */
	uint64_t succeeded, failed;
} self;

const char *
ph_auth_dir(void)
{
	return role_dir();
}

struct auth_backends *
auth_current(void)
{
	return self.backends;
}

void
auth_wipe_request(struct bus_request *request)
{
	struct ph_slice record = request->message.record;

	ph_wipe((char *)(uintptr_t)record.p, record.n);
}

/* --- from the records --- */

/* Cut, not refused: it only goes to the log and into the token. */
static struct ph_slice
take_label(struct ph_arena *arena, struct ph_slice record, uint16_t tag)
{
	struct ph_slice label = record_get(record, tag);

	if (label.n > LABEL_MAX)
		label.n = LABEL_MAX;
	return label.p != NULL ? ph_arena_slice(arena, label) : label;
}

static struct auth_attempt *
take_attempt(struct ph_slice record)
{
	struct auth_attempt *attempt = auth_attempt_create();
	struct ph_arena *arena = attempt->arena;

	attempt->session = take_label(arena, record, F_SESSION);
	attempt->service = take_label(arena, record, F_SERVICE);
	attempt->client = take_label(arena, record, F_CLIENT);
	attempt->tls = take_label(arena, record, F_TLS);
	attempt->mechanism = take_label(arena, record, F_MECHANISM);
	return attempt;
}

static uint64_t
client_of(const struct auth_attempt *attempt)
{
	struct ph_addr addr = { 0 };

	if (attempt->client.p != NULL)
		ph_addr_parse(attempt->client, &addr);
	return auth_limit_client(&addr);
}

/* --- answers --- */

static void
reply_result(struct bus_request *request, enum ph_auth_result result)
{
	struct ph_buf buf;

	ph_buf_init(&buf, request->arena, 64);
	record_put_u64(&buf, F_ANSWER, result);
	bus_reply(request, PH_OK, ph_buf_content(&buf), NULL, 0);
}

static void
reply_challenge(struct bus_request *request, uint64_t number,
    struct ph_slice challenge)
{
	struct ph_buf buf;

	ph_buf_init(&buf, request->arena, 4096);
	record_put_u64(&buf, F_ANSWER, PH_AUTH_CONTINUE);
	record_put_u64(&buf, F_EXCHANGE, number);
	record_put(&buf, F_CHALLENGE, challenge);
	bus_reply(request, PH_OK, ph_buf_content(&buf), NULL, 0);
}

static void
reply_user(struct bus_request *request, const struct auth_attempt *attempt,
    const struct ph_user *user, const uint8_t key[TOKEN_KEY_SIZE])
{
	size_t aliases = user->alias_count < ALIASES_MAX ? user->alias_count :
	                                                   ALIASES_MAX;
	struct ph_buf buf;

	ph_buf_init(&buf, request->arena, BUS_MESSAGE_LIMIT);
	record_put_u64(&buf, F_ANSWER, PH_AUTH_OK);
	record_put(&buf, F_USER, user->name);
	record_put(&buf, F_TOKEN,
	    token_make(request->arena, key, user->name, attempt->session,
	        ph_wall_time() + TOKEN_LIFETIME_S));
	for (size_t i = 0; i < aliases; i++)
		if (user->aliases[i].n <= AUTH_NAME_MAX)
			record_put(&buf, F_ALIAS, user->aliases[i]);
	bus_reply(request, PH_OK, ph_buf_content(&buf), NULL, 0);
}

static void
log_failure(const struct auth_attempt *attempt, const char *reason)
{
	struct log_context context = { 0 };
	void *outer = fiber_context();

	self.failed++;
	context.session = ph_arena_slice(attempt->arena, attempt->session).p;
	fiber_context_set(&context);
	ph_log(PH_NOTICE, "auth_failed",
	    ph_f_slice("client", attempt->client),
	    ph_f_slice("service", attempt->service),
	    ph_f_slice("user", attempt->user),
	    ph_f_slice("mechanism", attempt->mechanism),
	    ph_f_slice("tls", attempt->tls), ph_f_str("reason", reason));
	fiber_context_set(outer);
}

/* --- the login --- */

struct login {
	struct auth_attempt *attempt; /* owned */
	struct auth_backends *backends;
	struct auth_limit_keys keys;
	struct ph_slice name;  /* canonical; absent: none */
	struct ph_user user;  /* when it succeeded */
	const char *reason;   /* when it failed */
};

/* RFC 4616 s2: acting for somebody else is not offered. */
static bool
acts_for_itself(const struct login *login)
{
	const struct auth_attempt *attempt = login->attempt;
	struct ph_slice other;

	if (attempt->acting_as.n == 0)
		return true;
	other = auth_canonical(attempt->arena, attempt->acting_as,
	    login->backends->generation->core.domains);
	return other.p != NULL && ph_slice_eq(other, login->name);
}

static enum ph_auth_result
judge(struct login *login)
{
	struct auth_attempt *attempt = login->attempt;

	switch (auth_verify(login->backends, attempt->arena, login->name,
	    attempt->password, &login->user)) {
	case PH_USER_OK:
		return PH_AUTH_OK;
	case PH_USER_WRONG:
		login->reason = "wrong password";
		return PH_AUTH_REFUSED;
	case PH_USER_UNKNOWN:
		login->reason = "unknown user";
		return PH_AUTH_REFUSED;
	case PH_USER_UNSURE:
		break;
	}
	login->reason = "backend could not tell";
	return PH_AUTH_UNAVAILABLE;
}

/* What needs no password hashed. False: *result_out is the answer. */
static bool
may_be_judged(struct login *login, enum ph_auth_result *result_out)
{
	const struct auth_attempt *attempt = login->attempt;
	const struct core_conf *core = &login->backends->generation->core;

	*result_out = PH_AUTH_REFUSED;
	if (attempt->session.n == 0 || attempt->user.p == NULL ||
	    attempt->password.p == NULL ||
	    attempt->password.n > AUTH_PASSWORD_MAX ||
	    memchr(attempt->password.p, '\0', attempt->password.n) != NULL) {
		login->reason = "malformed";
		*result_out = PH_AUTH_MALFORMED;
	} else if (login->name.p == NULL || attempt->password.n == 0) {
		login->reason = "no user name or no password";
	} else if (!auth_is_local(login->name, core->domains)) {
		login->reason = "unknown domain";
	} else if (!acts_for_itself(login)) {
		login->reason = "acting for another user";
	} else {
		return true;
	}
	return false;
}

/* One failed login: count it, and answer late. */
static void
let_wait(const struct login *login, uint64_t since_ms)
{
	unsigned base_ms =
	    login->backends->generation->core.limits.auth_failure_delay_ms;
	uint64_t now_ms = ph_now_ms();
	unsigned count = auth_limit_fail(self.limit, &login->keys, now_ms);
	uint64_t until_ms = since_ms + auth_limit_delay(base_ms, count);

	if (until_ms > now_ms)
		ph_sleep_ms((unsigned)(until_ms - now_ms));
}

static bool
is_limited(const struct login *login)
{
	return auth_limit_is_reached(self.limit, &login->keys, ph_now_ms());
}

static enum ph_auth_result
login_run(struct login *login)
{
	enum ph_auth_result result = PH_AUTH_LIMITED;
	uint64_t since_ms = ph_now_ms();

	login->reason = "too many failures";
	if (is_limited(login))
		return PH_AUTH_LIMITED;
	if (may_be_judged(login, &result)) {
		if (auth_gate_enter(&self.gate, login->keys.client, TURN_MS) !=
		    PH_OK) {
			login->reason = "too many logins at once";
			return PH_AUTH_UNAVAILABLE;
		}
		since_ms = ph_now_ms();
		/* others of this client may have failed meanwhile */
		result = is_limited(login) ? PH_AUTH_LIMITED : judge(login);
		auth_gate_leave(&self.gate, login->keys.client);
	}
	if (result != PH_AUTH_OK)
		log_failure(login->attempt, login->reason);
	if (result == PH_AUTH_REFUSED || result == PH_AUTH_MALFORMED)
		let_wait(login, since_ms);
	return result;
}

static void
note_success(const struct login *login)
{
	const struct auth_attempt *attempt = login->attempt;

	self.succeeded++;
	auth_limit_trust(self.limit, &login->keys, ph_now_ms());
	ph_log(PH_INFO, "authenticated",
	    ph_f_slice("client", attempt->client),
	    ph_f_slice("service", attempt->service),
	    ph_f_slice("user", login->user.name),
	    ph_f_slice("mechanism", attempt->mechanism),
	    ph_f_slice("tls", attempt->tls));
}

/* The whole of it, to the reply. The attempt is taken. */
static void
log_in(struct bus_request *request, struct auth_attempt *attempt)
{
	struct log_context context = {
		.session = ph_arena_slice(request->arena, attempt->session).p,
	};
	struct login login = { .attempt = attempt };
	enum ph_auth_result result = PH_AUTH_UNAVAILABLE;
	void *outer = fiber_context();

	if (self.logins >= LOGINS_MAX) {
		auth_attempt_free(attempt);
		reply_result(request, result);
		return;
	}
	self.logins++;
	fiber_context_set(&context);
	login.backends = auth_backends_get(self.backends);
	if (attempt->user.p != NULL)
		login.name = auth_canonical(attempt->arena, attempt->user,
		    login.backends->generation->core.domains);
	login.keys = auth_limit_keys(self.limit, client_of(attempt),
	    login.name);
	result = login_run(&login);
	if (result == PH_AUTH_OK) {
		note_success(&login);
		reply_user(request, attempt, &login.user,
		    login.backends->generation->key);
	} else {
		reply_result(request, result);
	}
	auth_attempt_free(attempt);
	auth_backends_put(login.backends);
	fiber_context_set(outer);
	self.logins--;
}

static void
on_login(struct bus_request *request)
{
	struct ph_slice record = request->message.record;
	struct ph_slice user = record_get(record, F_USER);
	struct ph_slice password = record_get(record, F_PASSWORD);
	struct auth_attempt *attempt = take_attempt(record);

	attempt->mechanism = PH_LIT("clear");
	if (user.p != NULL && user.n <= AUTH_NAME_MAX)
		attempt->user = auth_prepare(attempt->arena, user);
	if (password.p != NULL && password.n <= AUTH_PASSWORD_MAX)
		attempt->password = auth_prepare(attempt->arena, password);
	auth_wipe_request(request);
	log_in(request, attempt);
}

/* --- SASL --- */

/* Go on with an exchange that is in the table. */
static void
sasl_go_on(struct bus_request *request, struct auth_exchange *exchange)
{
	struct ph_slice response = record_get(request->message.record,
	    F_RESPONSE);
	uint64_t number = auth_exchange_number(exchange);
	struct ph_slice challenge = PH_LIT("");
	enum ph_auth_result result = auth_sasl_step(exchange, response,
	    &challenge);
	struct auth_attempt *attempt;

	auth_wipe_request(request);
	if (result == PH_AUTH_CONTINUE) {
		reply_challenge(request, number, challenge);
		return;
	}
	attempt = auth_sasl_end(self.sasl, exchange);
	if (result == PH_AUTH_OK) {
		log_in(request, attempt);
		return;
	}
	log_failure(attempt, "broken exchange");
	auth_attempt_free(attempt);
	reply_result(request, result);
}

static void
on_sasl_start(struct bus_request *request)
{
	struct auth_attempt *attempt = take_attempt(request->message.record);
	struct auth_exchange *exchange;
	enum ph_auth_result result = auth_sasl_start(self.sasl,
	    request->from_index, ph_now_ms(), attempt, &exchange);

	if (result == PH_AUTH_CONTINUE) {
		sasl_go_on(request, exchange);
		return;
	}
	auth_attempt_free(attempt);
	auth_wipe_request(request);
	reply_result(request, result);
}

static void
on_sasl_step(struct bus_request *request)
{
	uint64_t number = record_get_u64(request->message.record, F_EXCHANGE,
	    0);
	struct auth_exchange *exchange = auth_sasl_find(self.sasl,
	    request->from_index, number, ph_now_ms());

	if (exchange != NULL) {
		sasl_go_on(request, exchange);
		return;
	}
	auth_wipe_request(request);
	reply_result(request, PH_AUTH_MALFORMED);
}

static void
on_sasl_abort(struct bus_request *request)
{
	uint64_t number = record_get_u64(request->message.record, F_EXCHANGE,
	    0);
	struct auth_exchange *exchange = auth_sasl_find(self.sasl,
	    request->from_index, number, ph_now_ms());

	if (exchange != NULL)
		auth_attempt_free(auth_sasl_end(self.sasl, exchange));
	bus_reply(request, PH_OK, PH_LIT(""), NULL, 0);
}

/* --- look-ups --- */

static void
on_lookup(struct bus_request *request)
{
	struct ph_slice address = record_get(request->message.record,
	    F_ADDRESS);
	struct auth_backends *backends = auth_backends_get(self.backends);
	enum ph_user_answer answer = PH_USER_UNKNOWN;
	struct ph_user user;
	struct ph_buf buf;

	if (address.p != NULL)
		answer = auth_lookup(backends, request->arena, address, &user);
	ph_buf_init(&buf, request->arena, 4096);
	record_put_u64(&buf, F_ANSWER, answer);
	if (answer == PH_USER_OK)
		record_put(&buf, F_USER, user.name);
	bus_reply(request, PH_OK, ph_buf_content(&buf), NULL, 0);
	auth_backends_put(backends);
}

/* --- the role --- */

static void
on_peer_down(enum role role, unsigned index)
{
	if (role == ROLE_EDGE)
		auth_sasl_forget(self.sasl, index);
}

static void
serve(void)
{
	static const unsigned edge = ROLE_BIT(ROLE_EDGE);
	static const unsigned askers = ROLE_BIT(ROLE_EDGE) |
	    ROLE_BIT(ROLE_QUEUE) | ROLE_BIT(ROLE_CHECK) | ROLE_BIT(ROLE_MAIL);

	bus_serve(MSG_SASL_START, edge, on_sasl_start);
	bus_serve(MSG_SASL_STEP, edge, on_sasl_step);
	bus_serve(MSG_SASL_ABORT, edge, on_sasl_abort);
	bus_serve(MSG_LOGIN, edge, on_login);
	bus_serve(MSG_LOOKUP, askers, on_lookup);
	bus_serve(MSG_USER_ADMIN, ROLE_BIT(ROLE_MASTER), auth_on_user_admin);
	bus_on_peer_down(on_peer_down);
}

/* libgsasl and libcrypt free what held a password without wiping it: let the
 * allocator overwrite all that is freed. */
static void
fill_freed_memory(void)
{
	mallopt(M_PERTURB, FREED_FILL);
}

static int
auth_start(struct generation *generation, struct ph_err *err)
{
	uint64_t seed = 0;
	int status;

	fill_freed_memory();
	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		return ph_err_set(err, PH_UNAVAILABLE, 0, "no random octets");
	self.arena = ph_arena_create(NULL);
	self.limit = auth_limit_create(self.arena, seed);
	self.sasl = auth_sasl_create();
	if (self.sasl == NULL)
		return ph_err_set(err, PH_UNAVAILABLE, 0,
		    "libgsasl does not start");
	status = auth_backends_open(generation, &self.backends, err);
	if (status != PH_OK)
		return status;
	if (self.backends->first == NULL)
		ph_log(PH_WARN, "no_users",
		    ph_f_str("reason", "no auth module is enabled"));
	serve();
	return PH_OK;
}

static void
auth_reload(struct generation *generation)
{
	struct auth_backends *old, *backends;
	struct ph_err err = { 0 };

	if (auth_backends_open(generation, &backends, &err) != PH_OK) {
		ph_log(PH_ERROR, "users_not_reloaded",
		    ph_f_str("reason", err.text));
		return;
	}
	/* another reload may have come while that suspended */
	old = self.backends;
	if (old->generation->number > generation->number) {
		auth_backends_put(backends);
		return;
	}
	self.backends = backends;
	auth_backends_put(old);
}

/* What was promised is promised by others; a login cut off is made again. */
static void
auth_stop(unsigned timeout_ms)
{
	(void)timeout_ms;
}

static void
auth_status(struct ph_buf *items)
{
	role_status_item(items, "logins", "%llu",
	    (unsigned long long)self.succeeded);
	role_status_item(items, "failures", "%llu",
	    (unsigned long long)self.failed);
	role_status_item(items, "exchanges", "%u", auth_sasl_count(self.sasl));
	role_status_item(items, "verifying", "%u", self.gate.running_count);
	role_status_item(items, "waiting", "%u", self.gate.waiting);
}

const struct role_ops role_auth = {
	.role = ROLE_AUTH,
	.kinds = PH_KIND_AUTH,
	.start = auth_start,
	.reload = auth_reload,
	.stop = auth_stop,
	.status = auth_status,
};
