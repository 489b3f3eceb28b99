/* SPDX-License-Identifier: Apache-2.0 */
/* auth_serve.h - what the parts of the auth role share. */
#ifndef CORE_ROLE_AUTH_SERVE_H
#define CORE_ROLE_AUTH_SERVE_H

#include "role/auth_backends.h"

/* The backends for work that begins now. */
struct auth_backends *auth_current(void);
/* Overwrite a request's record, which held a password. */
void auth_wipe_request(struct bus_request *request);

/* MSG_USER_ADMIN */
void auth_on_user_admin(struct bus_request *request);

#endif
