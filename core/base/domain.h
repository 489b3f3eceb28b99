/* SPDX-License-Identifier: Apache-2.0 */
/* domain.h - the canonical form without an arena, for who has room already. */
#ifndef CORE_BASE_DOMAIN_H
#define CORE_BASE_DOMAIN_H

#include <posthouse/domain.h>

enum { DOMAIN_TEXT = 254 }; /* 253 octets and a NUL */

/* Of a domain with octets outside ASCII: its A-labels, lower-case, without a
 * dot at the end, NUL-terminated. Letters, digits, "-", "_" and dots are all
 * that can come out, labels have 1 to 63 octets. False: IDNA does not know it. */
bool domain_to_ascii(struct ph_slice domain, char text[DOMAIN_TEXT]);
/* What of it there is to compare with ASCII letters folded: its octets without
 * a dot at the end, or its A-labels in text. */
struct ph_slice domain_comparable(struct ph_slice domain,
    char text[DOMAIN_TEXT]);
/* ph_address_fold into room for n octets and a NUL; absent: that is too little. */
struct ph_slice address_fold_into(char *text, size_t n,
    struct ph_slice address);

#endif
