/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dns_cache.h - answers that are still true: for as long as their TTL says.
 *
 * Names are canonical (dns_name_canonical). What could not be told is never
 * kept.
 */
#ifndef CORE_NET_DNS_CACHE_H
#define CORE_NET_DNS_CACHE_H

#include "net/dns_packet.h"

/* Forget all; keep at most that much from now on, 0: nothing. */
void dns_cache_reset(uint64_t limit_bytes);

/* Copied; what is kept longest unused makes room. */
void dns_cache_put(const char *name, enum dns_kind kind,
    const struct ph_dns_answer *answer);
/*
 * Borrowed, until the next call of this header; NULL: it is not there. *ttl_s_out
 * is what is left of its TTL.
 */
const struct ph_dns_answer *dns_cache_get(const char *name, enum dns_kind kind,
    uint32_t *ttl_s_out);

/* All of an answer but its name, in another arena. */
void dns_answer_copy(struct ph_arena *arena, struct ph_dns_answer *to,
    const struct ph_dns_answer *from);

#endif
