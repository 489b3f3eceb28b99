/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth_backends.h - the auth modules of one generation, and asking them.
 *
 * They are asked in their order and the first that knows the user decides. One
 * that can't tell, or was taken out, makes the answer "unsure": a later one
 * must not answer for it.
 */
#ifndef CORE_ROLE_AUTH_BACKENDS_H
#define CORE_ROLE_AUTH_BACKENDS_H

#include <posthouse/auth.h>

#include "role/role.h"

struct auth_backend {
	const struct module_instance *instance;
	const struct ph_auth_ops *ops;
	struct ph_auth *state;
	struct auth_backend *next;
};

/* Holds a reference of the generation. */
struct auth_backends {
	struct ph_arena *arena;
	struct generation *generation;
	struct auth_backend *first;
	unsigned references;
};

/* In a fiber; may suspend. One reference is the caller's. */
int auth_backends_open(struct generation *generation,
    struct auth_backends **backends_out, struct ph_err *err);
struct auth_backends *auth_backends_get(struct auth_backends *backends);
void auth_backends_put(struct auth_backends *backends);

/* user is canonical. PH_USER_OK fills *user_out. Suspends. */
enum ph_user_answer auth_verify(struct auth_backends *backends,
    struct ph_arena *arena, struct ph_slice user, struct ph_slice password,
    struct ph_user *user_out);
/*
 * Any address or login name: made canonical, without its detail if it has one
 * that is no user, postmaster as the configuration says. Suspends.
 */
enum ph_user_answer auth_lookup(struct auth_backends *backends,
    struct ph_arena *arena, struct ph_slice address,
    struct ph_user *user_out);

/* Around a call into a backend: what the master reads after a crash, what is
 * counted, and the module's budget of time. */
struct auth_visit {
	const struct auth_backend *backend;
	uint64_t deadline_ms, start; /* the outer one; microseconds */
};
struct auth_visit auth_backend_enter(const struct auth_backend *backend,
    const char *operation);
void auth_backend_leave(const struct auth_visit *visit);

#endif
