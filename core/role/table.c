/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.c - the roles of this program.
 */
#include "role/role.h"

static const struct role_ops *const all_ops[ROLES] = {
	[ROLE_EDGE] = &role_edge,
	[ROLE_CHECK] = &role_check,
	[ROLE_AUTH] = &role_auth,
	[ROLE_QUEUE] = &role_queue,
	[ROLE_MAIL] = &role_mail,
	[ROLE_RELAY] = &role_relay,
};

const struct role_ops *
role_ops_of(enum role role)
{
	return (unsigned)role < ROLES ? all_ops[role] : NULL;
}
