/* SPDX-License-Identifier: Apache-2.0 */
/* auth_name.c - canonical names of users: ph_address_fold's, with a domain. */
#include "role/auth_name.h"

#include <posthouse/domain.h>

/* The offset of the last "@", or n. */
static size_t
find_at(struct ph_slice name)
{
	for (size_t i = name.n; i > 0; i--)
		if (name.p[i - 1] == '@')
			return i - 1;
	return name.n;
}

static bool
has_control(struct ph_slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return true;
	return false;
}

struct ph_slice
auth_canonical(struct ph_arena *arena, struct ph_slice name,
    const char *const *domains)
{
	size_t at = find_at(name);

	if (at == 0 || name.n > AUTH_NAME_MAX || has_control(name) ||
	    at + 1 == name.n ||
	    (at == name.n && (domains == NULL || domains[0] == NULL)))
		return (struct ph_slice){ NULL, 0 };
	if (at == name.n)
		name = ph_slice_str(ph_arena_printf(arena, "%.*s@%s",
		    PH_SLICE_ARG(name), domains[0]));
	name = ph_address_fold(arena, name);
	return name.n <= AUTH_NAME_MAX ? name : (struct ph_slice){ NULL, 0 };
}

bool
auth_is_local(struct ph_slice canonical, const char *const *domains)
{
	size_t at = find_at(canonical);
	struct ph_slice domain;

	if (at == canonical.n || domains == NULL)
		return false;
	domain = (struct ph_slice){ canonical.p + at + 1,
		canonical.n - at - 1 };
	for (; *domains != NULL; domains++)
		if (ph_domain_eq(domain, ph_slice_str(*domains)))
			return true;
	return false;
}

struct ph_slice
auth_without_detail(struct ph_arena *arena, struct ph_slice canonical)
{
	size_t at = find_at(canonical);
	const char *plus = at > 1 ? memchr(canonical.p + 1, '+', at - 1) : NULL;
	struct ph_buf buf;

	if (plus == NULL)
		return (struct ph_slice){ NULL, 0 };
	ph_buf_init(&buf, arena, canonical.n);
	ph_buf_add(&buf, canonical.p, (size_t)(plus - canonical.p));
	ph_buf_add(&buf, canonical.p + at, canonical.n - at);
	return ph_buf_content(&buf);
}

bool
auth_is_postmaster(struct ph_slice canonical)
{
	return ph_slice_starts_nocase(canonical, "postmaster@");
}

bool
auth_user_is_safe(struct ph_slice user, const char *const *domains)
{
	size_t at = find_at(user);

	if (at == 0 || at == user.n || user.n > AUTH_NAME_MAX ||
	    user.p[0] == '.' || has_control(user) ||
	    !auth_is_local(user, domains))
		return false;
	for (size_t i = 0; i < user.n; i++)
		if (user.p[i] == '/' || user.p[i] == '\\' ||
		    (user.p[i] >= 'A' && user.p[i] <= 'Z') ||
		    (user.p[i] == '@' && i != at))
			return false;
	return true;
}
