/* SPDX-License-Identifier: Apache-2.0 */
/*
 * roles.c - the names of the roles, as in --role, logs and user names.
 */
#include "bus/bus.h"

static const char *const role_names[ROLES] = {
	[ROLE_MASTER] = "master",
	[ROLE_EDGE] = "edge",
	[ROLE_CHECK] = "check",
	[ROLE_AUTH] = "auth",
	[ROLE_QUEUE] = "queue",
	[ROLE_MAIL] = "mail",
	[ROLE_RELAY] = "relay",
};

const char *
role_name(enum role role)
{
	return (unsigned)role < ROLES ? role_names[role] : "none";
}

bool
role_parse(struct ph_slice name, enum role *role_out)
{
	for (unsigned i = 0; i < ROLES; i++) {
		if (ph_slice_eq(name, ph_slice_str(role_names[i]))) {
			*role_out = (enum role)i;
			return true;
		}
	}
	return false;
}
