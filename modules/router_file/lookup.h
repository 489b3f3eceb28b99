/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lookup.h - the entry for an address, with and without its detail
 * (alice+shop@example.test, RFC 5233). Pure.
 */
#ifndef ROUTER_FILE_LOOKUP_H
#define ROUTER_FILE_LOOKUP_H

#include "table.h"

/* address in lower case. by_name: the local part alone is a key, too. */
const struct table_entry *lookup_address(const struct table *table,
    struct ph_arena *arena, struct ph_slice address, bool by_name);
/* The entry "@domain". */
const struct table_entry *lookup_domain(const struct table *table,
    struct ph_arena *arena, struct ph_slice address);

#endif
