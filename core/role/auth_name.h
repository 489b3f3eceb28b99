/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth_name.h - what a login name or an address means here. Pure.
 *
 * A canonical name is lower case and has a domain: it is the key of a user
 * everywhere, also in the paths of mailboxes.
 */
#ifndef CORE_ROLE_AUTH_NAME_H
#define CORE_ROLE_AUTH_NAME_H

#include <posthouse/arena.h>

enum {
	AUTH_NAME_MAX = 320,      /* 64 + "@" + 255 */
	AUTH_PASSWORD_MAX = 1024,
};

/*
 * The name in lower case, the first domain added when it has none. Absent when
 * it can't be a user's: empty parts, too long, control octets, or no domain to
 * add. In the arena.
 */
struct ph_slice auth_canonical(struct ph_arena *arena, struct ph_slice name,
    const char *const *domains);
/* Whether the domain of a canonical name is one of ours. */
bool auth_is_local(struct ph_slice canonical, const char *const *domains);
/* "user+detail@domain" as "user@domain" (RFC 5233); absent without a detail. */
struct ph_slice auth_without_detail(struct ph_arena *arena,
    struct ph_slice canonical);
bool auth_is_postmaster(struct ph_slice canonical);
/* Whether a backend's name of a user may leave the role: canonical, ours, one
 * "@" and nothing that means something in a path. */
bool auth_user_is_safe(struct ph_slice user, const char *const *domains);

#endif
