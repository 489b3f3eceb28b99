/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mailbox.h - the one store of a mail process behind <posthouse/mailbox.h>.
 */
#ifndef CORE_ROLE_MAILBOX_H
#define CORE_ROLE_MAILBOX_H

#include <posthouse/store.h>

#include "role/role.h"

/* Open the store that the generation configures; it must outlive the store. */
int mailbox_start(const struct generation *generation, const char *dir,
    unsigned shares, struct ph_err *err);
void mailbox_stop(void);
/* The store's module and state, while it is open; NULL: none is configured. */
const struct module_instance *mailbox_store(void);
struct ph_store *mailbox_state(void);
/* Close what a session left open. */
void mailbox_close_all(struct ph_session *session);

#endif
