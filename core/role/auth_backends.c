/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth_backends.c - opening the auth modules and asking one after the other.
 * What they answer is checked like any input: a name becomes a folder.
 */
#include "role/auth_backends.h"

#include "role/auth_name.h"

static const struct ph_slice absent = { NULL, 0 };

struct auth_visit
auth_backend_enter(const struct auth_backend *backend, const char *operation)
{
	const struct module_instance *instance = backend->instance;
	struct auth_visit visit = { .backend = backend };

	role_note(instance->name, operation);
	tally_begin(instance->tally);
	visit.start = tally_micros();
	visit.deadline_ms = ph_deadline_push(instance->common.timeout_ms);
	return visit;
}

void
auth_backend_leave(const struct auth_visit *visit)
{
	ph_deadline_restore(visit->deadline_ms);
	tally_end(visit->backend->instance->tally, TALLY_WORK,
	    tally_micros() - visit->start, TALLY_WORKED);
	role_note(NULL, NULL);
}

/* --- opening --- */

static int
open_backend(struct auth_backends *backends,
    const struct module_instance *instance, struct ph_err *err)
{
	struct auth_backend *backend = ph_arena_alloc(backends->arena,
	    sizeof(*backend));
	struct auth_backend **end = &backends->first;
	int status;

	backend->instance = instance;
	backend->ops = instance->module->auth;
	role_note(instance->name, "open");
	status = backend->ops->open(backends->arena, instance->conf,
	    &backend->state, err);
	role_note(NULL, NULL);
	if (status != PH_OK)
		return status;
	while (*end != NULL)
		end = &(*end)->next;
	*end = backend;
	return PH_OK;
}

int
auth_backends_open(struct generation *generation,
    struct auth_backends **backends_out, struct ph_err *err)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct auth_backends *backends = ph_arena_alloc(arena,
	    sizeof(*backends));
	const struct module_instance *instance;
	int status = PH_OK;

	backends->arena = arena;
	backends->references = 1;
	backends->generation = generation_get(generation);
	for (instance = generation->modules.first;
	     instance != NULL && status == PH_OK; instance = instance->next)
		if ((instance->module->kinds & PH_KIND_AUTH) &&
		    instance->module->auth != NULL)
			status = open_backend(backends, instance, err);
	if (status != PH_OK) {
		auth_backends_put(backends);
		return status;
	}
	*backends_out = backends;
	return PH_OK;
}

struct auth_backends *
auth_backends_get(struct auth_backends *backends)
{
	backends->references++;
	return backends;
}

void
auth_backends_put(struct auth_backends *backends)
{
	struct auth_backend *backend;

	if (backends == NULL || --backends->references > 0)
		return;
	for (backend = backends->first; backend != NULL;
	     backend = backend->next)
		if (backend->ops->close != NULL)
			backend->ops->close(backend->state);
	generation_put(backends->generation);
	ph_arena_free(backends->arena);
}

/* --- asking --- */

static enum ph_user_answer
check_answer(const struct auth_backends *backends,
    const struct auth_backend *backend, enum ph_user_answer answer,
    const struct ph_user *user)
{
	if (answer == PH_USER_OK &&
	    !auth_user_is_safe(user->name, backends->generation->core.domains)) {
		ph_log(PH_ERROR, "user_name_refused",
		    ph_f_str("module", backend->instance->name),
		    ph_f_slice("user", user->name));
		return PH_USER_UNSURE;
	}
	return (unsigned)answer <= PH_USER_UNSURE ? answer : PH_USER_UNSURE;
}

static enum ph_user_answer
ask_lookup(struct auth_backends *backends, const struct auth_backend *backend,
    struct ph_arena *arena, struct ph_slice address, struct ph_user *user_out)
{
	enum ph_user_answer answer;
	struct ph_user user = { .name = absent };
	struct auth_visit visit;

	if (role_module_is_out(backend->instance->name))
		return PH_USER_UNSURE;
	visit = auth_backend_enter(backend, "lookup");
	answer = backend->ops->lookup(backend->state, arena, address, &user);
	auth_backend_leave(&visit);
	answer = check_answer(backends, backend, answer, &user);
	if (answer == PH_USER_OK)
		*user_out = user;
	return answer;
}

static enum ph_user_answer
ask_verify(const struct auth_backend *backend, struct ph_arena *arena,
    struct ph_slice user, struct ph_slice password)
{
	enum ph_user_answer answer;
	struct auth_visit visit;

	if (role_module_is_out(backend->instance->name))
		return PH_USER_UNSURE;
	visit = auth_backend_enter(backend, "verify");
	answer = backend->ops->verify(backend->state, arena, user, password);
	auth_backend_leave(&visit);
	return (unsigned)answer <= PH_USER_UNSURE ? answer : PH_USER_UNSURE;
}

enum ph_user_answer
auth_verify(struct auth_backends *backends, struct ph_arena *arena,
    struct ph_slice user, struct ph_slice password, struct ph_user *user_out)
{
	const struct auth_backend *backend;

	for (backend = backends->first; backend != NULL;
	     backend = backend->next) {
		enum ph_user_answer answer = ask_verify(backend, arena, user,
		    password);

		if (answer == PH_USER_UNKNOWN)
			continue;
		if (answer != PH_USER_OK)
			return answer;
		/* its addresses, and the proof that it is a user of ours */
		return ask_lookup(backends, backend, arena, user, user_out);
	}
	return PH_USER_UNKNOWN;
}

/* A canonical address, as it stands. */
static enum ph_user_answer
lookup_exact(struct auth_backends *backends, struct ph_arena *arena,
    struct ph_slice address, struct ph_user *user_out)
{
	const struct auth_backend *backend;

	for (backend = backends->first; backend != NULL;
	     backend = backend->next) {
		enum ph_user_answer answer = ask_lookup(backends, backend,
		    arena, address, user_out);

		if (answer != PH_USER_UNKNOWN)
			return answer;
	}
	return PH_USER_UNKNOWN;
}

enum ph_user_answer
auth_lookup(struct auth_backends *backends, struct ph_arena *arena,
    struct ph_slice address, struct ph_user *user_out)
{
	const struct core_conf *core = &backends->generation->core;
	struct ph_slice name = auth_canonical(arena, address, core->domains);
	struct ph_slice base = absent, postmaster = absent;
	enum ph_user_answer answer;

	if (name.p == NULL || !auth_is_local(name, core->domains))
		return PH_USER_UNKNOWN;
	answer = lookup_exact(backends, arena, name, user_out);
	if (answer == PH_USER_UNKNOWN) {
		base = auth_without_detail(arena, name);
		if (base.p != NULL)
			answer = lookup_exact(backends, arena, base, user_out);
	}
	/* RFC 5321 s4.5.1: postmaster must be reachable */
	if (answer == PH_USER_UNKNOWN &&
	    auth_is_postmaster(base.p != NULL ? base : name) &&
	    core->postmaster != NULL && core->postmaster[0] != '\0')
		postmaster = auth_canonical(arena,
		    ph_slice_str(core->postmaster), core->domains);
	if (postmaster.p != NULL)
		answer = lookup_exact(backends, arena, postmaster, user_out);
	return answer;
}
