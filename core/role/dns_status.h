/* SPDX-License-Identifier: Apache-2.0 */
/* dns_status.h - what `posthousectl status` says of a role that asks DNS. */
#ifndef CORE_ROLE_DNS_STATUS_H
#define CORE_ROLE_DNS_STATUS_H

#include <posthouse/arena.h>

/* Append the items: questions open, names looked up, joined, out of the cache. */
void role_status_dns(struct ph_buf *items);

#endif
