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
 * most six; an empty list takes those of /etc/resolv.conf (read now). Answers
 * that were kept are forgotten; new ones are as long as their TTL lasts, in
 * cache_bytes at most (0: none are). Questions under way go on with what was set
 * before. 0, or PH_INVALID.
 */
int resolver_init(const char *const *servers, unsigned timeout_ms,
    unsigned attempts, uint64_t cache_bytes, struct ph_err *err);
void resolver_fini(void);
/* Close the sockets; only while nothing is asked. For tests, whose loop ends
 * while the settings stay. */
void resolver_close(void);

/* For `posthousectl status`: but for open, since the start. */
struct resolver_counts {
	unsigned open;   /* questions being asked */
	uint64_t asked;  /* names looked up */
	uint64_t joined; /* asked while the same was being looked up */
	uint64_t kept;   /* answered from what was kept */
};
void resolver_counts(struct resolver_counts *counts_out);

#endif
