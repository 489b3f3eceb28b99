/* SPDX-License-Identifier: Apache-2.0 */
/* agree.h - do the client's names and the sender's domain belong together?
 * Pure. */
#ifndef CHECK_PTR_MX_AGREE_H
#define CHECK_PTR_MX_AGREE_H

#include <posthouse/dns.h>

enum agree_answer { AGREE_YES, AGREE_NO, AGREE_UNSURE };

/* Case and a trailing dot aside. */
bool is_same_name(struct ph_slice a, struct ph_slice b);
/* name is the domain, or below it. */
bool is_below(struct ph_slice name, struct ph_slice domain);

/*
 * Whether one of the names is among the domain's MX hosts; a domain without MX
 * records is its own (RFC 5321 s5.1). with_domain: or is below the domain.
 */
enum agree_answer mx_agrees(const char *const *names, size_t count,
    struct ph_slice domain, const struct ph_dns_answer *mx, bool with_domain);

#endif
