/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns.h - what the core adds to <posthouse/dns.h>: which servers are asked.
 *
 * The words begin with resolver_, since libudns owns dns_.
 */
#ifndef CORE_NET_DNS_H
#define CORE_NET_DNS_H

#include <posthouse/dns.h>

/*
 * Set or replace the servers: "192.0.2.1", "192.0.2.1:5353", "[::1]:5353", at
 * most six; an empty list takes those of /etc/resolv.conf (read now). Questions
 * under way go on with what was set before. 0, or PH_INVALID.
 */
int resolver_init(const char *const *servers, unsigned timeout_ms,
    unsigned attempts, struct ph_err *err);
void resolver_fini(void);
/* Questions being asked, for `posthousectl status`. */
unsigned resolver_open_questions(void);

#endif
