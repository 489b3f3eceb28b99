/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth_admin.c - `posthousectl user`: the first backend that is managed from
 * here gets new users; others are changed where they are known.
 */
#include "base/record.h"
#include "role/auth_name.h"
#include "role/auth_sasl.h"
#include "role/auth_serve.h"

#include <stdlib.h>

/* A page of a list leaves room in the message. */
enum { LIST_MAX = 400 << 10 };

struct admin {
	struct bus_request *request;
	struct auth_backends *backends;
	struct ph_arena *arena;
	struct ph_slice user;     /* canonical; absent: none or unusable */
	struct ph_slice after;    /* of list: as given */
	struct ph_slice password; /* absent: none */
	struct ph_err err;
};

static void
reply_error(struct admin *admin, int status)
{
	struct ph_buf buf;

	ph_buf_init(&buf, admin->arena, 4096);
	record_put_str(&buf, F_TEXT, admin->err.text[0] != '\0' ?
	    admin->err.text : ph_status_name(status));
	bus_reply(admin->request, status, ph_buf_content(&buf), NULL, 0);
}

/* --- one user --- */

/* The backend that has the user; NULL with err filled. */
static const struct auth_backend *
backend_of(struct admin *admin)
{
	const struct auth_backend *backend;
	struct ph_user user;

	for (backend = admin->backends->first; backend != NULL;
	     backend = backend->next) {
		struct auth_visit visit = auth_backend_enter(backend, "lookup");
		enum ph_user_answer answer = backend->ops->lookup(
		    backend->state, admin->arena, admin->user, &user);

		auth_backend_leave(&visit);
		if (answer == PH_USER_OK &&
		    ph_slice_eq(user.name, admin->user))
			return backend;
	}
	ph_err_set(&admin->err, PH_NOT_FOUND, 0, "no such user");
	return NULL;
}

/* For changes: the one that knows the user and can be changed. */
static const struct auth_backend *
backend_to_change(struct admin *admin, bool is_new)
{
	const struct auth_backend *backend = is_new ? admin->backends->first :
	                                              backend_of(admin);

	while (is_new && backend != NULL && backend->ops->add == NULL)
		backend = backend->next;
	if (is_new && backend == NULL)
		ph_err_set(&admin->err, PH_UNAVAILABLE, 0,
		    "no auth module that keeps users itself is enabled");
	if (backend == NULL || backend->ops->add != NULL)
		return backend;
	ph_err_set(&admin->err, PH_DENIED, 0, "users of %s are kept elsewhere",
	    backend->instance->name);
	return NULL;
}

/* A new user needs a name that may become a folder, in a domain of ours. */
static bool
user_is_usable(struct admin *admin, bool is_new)
{
	const char *const *domains = admin->backends->generation->core.domains;

	if (admin->user.p == NULL)
		ph_err_set(&admin->err, PH_INVALID, 0, "not a user name");
	else if (is_new && !auth_is_local(admin->user, domains))
		ph_err_set(&admin->err, PH_INVALID, 0,
		    "its domain is none of the setting `domains`");
	else if (is_new && !auth_user_is_safe(admin->user, domains))
		ph_err_set(&admin->err, PH_INVALID, 0,
		    "the name has a character that a user's can't have");
	else
		return true;
	return false;
}

static bool
password_is_usable(struct admin *admin)
{
	struct ph_slice password = admin->password;

	if (password.n > 0 && password.n <= AUTH_PASSWORD_MAX &&
	    memchr(password.p, '\0', password.n) == NULL)
		return true;
	ph_err_set(&admin->err, PH_INVALID, 0,
	    "a password has 1 to %d octets and no NUL", AUTH_PASSWORD_MAX);
	return false;
}

static int
change(struct admin *admin, struct ph_slice op)
{
	bool is_new = ph_slice_eq(op, PH_LIT("add"));
	bool is_del = ph_slice_eq(op, PH_LIT("del"));
	const struct auth_backend *backend;
	struct ph_slice password;
	struct auth_visit visit;
	int status;

	if (!user_is_usable(admin, is_new) ||
	    (!is_del && !password_is_usable(admin)))
		return PH_INVALID;
	backend = backend_to_change(admin, is_new);
	if (backend == NULL)
		return admin->err.status;
	visit = auth_backend_enter(backend, "change");
	if (is_del) {
		status = backend->ops->del(backend->state, admin->arena,
		    admin->user, &admin->err);
	} else {
		/* as logins are prepared */
		password = auth_prepare(admin->arena, admin->password);
		status = (is_new ? backend->ops->add : backend->ops->passwd)(
		    backend->state, admin->arena, admin->user, password,
		    &admin->err);
		ph_wipe((char *)(uintptr_t)password.p, password.n);
	}
	auth_backend_leave(&visit);
	return status;
}

static void
reply_change(struct admin *admin, struct ph_slice op)
{
	int status = change(admin, op);

	if (status != PH_OK) {
		reply_error(admin, status);
		return;
	}
	ph_log(PH_INFO, "user_changed", ph_f_slice("operation", op),
	    ph_f_slice("user", admin->user));
	bus_reply(admin->request, PH_OK, PH_LIT(""), NULL, 0);
}

/* --- lists --- */

static int
compare_names(const void *a, const void *b)
{
	const struct ph_slice *x = a, *y = b;
	int order = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);

	return order != 0 ? order : (x->n > y->n) - (x->n < y->n);
}

/* The users of one backend, behind those that are there. */
static int
add_list(struct admin *admin, const struct auth_backend *backend,
    struct ph_slice **names, size_t *count)
{
	const struct ph_user *users = NULL;
	struct ph_slice *all;
	size_t more = 0;
	struct auth_visit visit = auth_backend_enter(backend, "list");
	int status = backend->ops->list(backend->state, admin->arena, &users,
	    &more, &admin->err);

	auth_backend_leave(&visit);
	if (status != PH_OK)
		return status;
	all = ph_arena_array(admin->arena, *count + more + 1, sizeof(*all));
	if (*count > 0)
		memcpy(all, *names, *count * sizeof(*all));
	for (size_t i = 0; i < more; i++)
		all[*count + i] = users[i].name;
	*names = all;
	*count += more;
	return PH_OK;
}

/* In order of names, behind the one that was given; F_FLAG 1: there are more
 * than fit, ask again behind the last. */
static void
reply_list(struct admin *admin)
{
	const struct auth_backend *backend;
	struct ph_slice *names = NULL;
	size_t count = 0;
	struct ph_buf buf;

	for (backend = admin->backends->first; backend != NULL;
	     backend = backend->next) {
		int status = backend->ops->list == NULL ? PH_OK :
		    add_list(admin, backend, &names, &count);

		if (status != PH_OK) {
			reply_error(admin, status);
			return;
		}
	}
	if (count > 0)
		qsort(names, count, sizeof(*names), compare_names);
	ph_buf_init(&buf, admin->arena, BUS_MESSAGE_LIMIT);
	for (size_t i = 0; i < count; i++) {
		if (admin->after.p != NULL &&
		    compare_names(&names[i], &admin->after) <= 0)
			continue;
		if (buf.n > LIST_MAX) {
			record_put_u64(&buf, F_FLAG, 1);
			break;
		}
		record_put(&buf, F_USER, names[i]);
	}
	bus_reply(admin->request, PH_OK, ph_buf_content(&buf), NULL, 0);
}

void
auth_on_user_admin(struct bus_request *request)
{
	struct ph_slice record = request->message.record;
	struct ph_slice op = ph_arena_slice(request->arena,
	    record_get(record, F_OP));
	struct ph_slice user = record_get(record, F_USER);
	struct admin admin = {
		.request = request,
		.backends = auth_backends_get(auth_current()),
		.arena = request->arena,
		.after = user,
		.password = record_get(record, F_PASSWORD),
	};

	if (user.p != NULL)
		admin.user = auth_canonical(admin.arena, user,
		    admin.backends->generation->core.domains);
	if (ph_slice_eq(op, PH_LIT("list"))) {
		reply_list(&admin);
	} else if (ph_slice_eq(op, PH_LIT("add")) ||
	    ph_slice_eq(op, PH_LIT("passwd")) ||
	    ph_slice_eq(op, PH_LIT("del"))) {
		reply_change(&admin, op);
	} else {
		ph_err_set(&admin.err, PH_INVALID, 0, "unknown operation");
		reply_error(&admin, PH_INVALID);
	}
	auth_wipe_request(request);
	auth_backends_put(admin.backends);
}
