/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posthouse/auth.h - users and their passwords.
 *
 * Runs in the auth role, the only one that may read password data. Modules are
 * asked in their order; the first that knows the user decides. Operations run
 * in a fiber: block only inside ph_work.
 *
 * A backend keeps what it must remember (a table read from a file, a pool of
 * connections) in the state that open makes; the module has no globals.
 */
#ifndef POSTHOUSE_AUTH_H
#define POSTHOUSE_AUTH_H

#include <posthouse/arena.h>
#include <posthouse/fiber.h>
#include <posthouse/log.h>
#include <posthouse/module.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ph_user_answer {
	PH_USER_OK,      /* known (and, for verify, the password is right) */
	PH_USER_WRONG,   /* known, the password is wrong */
	PH_USER_UNKNOWN, /* not ours: the next module is asked */
	PH_USER_UNSURE,  /* could not tell: temporary */
};

/* One user, for lists and look-ups; strings in the arena of the call. */
struct ph_user {
	struct ph_slice name; /* canonical, "alice@example.test" */
	const struct ph_slice *aliases; /* further addresses of this user */
	size_t alias_count;
};

/* The module's own state for one configuration generation; made by open. */
struct ph_auth;

struct ph_auth_ops {
	/*
	 * Once per generation, before any other operation. The arena ends after
	 * close. May suspend, and must not depend on a server that may be down:
	 * what can't be reached now is PH_USER_UNSURE later.
	 */
	int (*open)(struct ph_arena *arena, const void *conf,
	    struct ph_auth **auth_out, struct ph_err *err);
	/* No operation runs any more. Must not suspend. */
	void (*close)(struct ph_auth *auth);
	/*
	 * user is canonical: lower case, default domain added. password may hold
	 * any octet but NUL. An unknown user must cost the same time as a wrong
	 * password. Many calls run at once. May suspend.
	 */
	enum ph_user_answer (*verify)(struct ph_auth *auth,
	    struct ph_arena *arena, struct ph_slice user,
	    struct ph_slice password);
	/* Does the address (lower case, with a domain of ours) lead to a user of
	 * ours? PH_USER_OK fills *user_out. May suspend. */
	enum ph_user_answer (*lookup)(struct ph_auth *auth,
	    struct ph_arena *arena, struct ph_slice address,
	    struct ph_user *user_out);
	/*
	 * `posthousectl user`; all NULL when the backend is managed elsewhere.
	 * 0, PH_EXISTS, PH_NOT_FOUND, PH_INVALID, PH_IO with err filled.
	 */
	int (*add)(struct ph_auth *auth, struct ph_arena *arena,
	    struct ph_slice user, struct ph_slice password, struct ph_err *err);
	int (*passwd)(struct ph_auth *auth, struct ph_arena *arena,
	    struct ph_slice user, struct ph_slice password, struct ph_err *err);
	int (*del)(struct ph_auth *auth, struct ph_arena *arena,
	    struct ph_slice user, struct ph_err *err);
	int (*list)(struct ph_auth *auth, struct ph_arena *arena,
	    const struct ph_user **users_out, size_t *count_out,
	    struct ph_err *err);
};

/* The role's own folder, mode 0700; borrowed for ever. Not before open. */
PH_EXPORT const char *ph_auth_dir(void);

#ifdef __cplusplus
}
#endif
#endif
