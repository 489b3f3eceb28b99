/* SPDX-License-Identifier: Apache-2.0 */
/* macro.h - macro strings of SPF records, RFC 7208 s7. Pure. */
#ifndef CHECK_SPF_MACRO_H
#define CHECK_SPF_MACRO_H

#include "spf.h"

/* text with its macros in place, of at most 253 octets; NULL: it is wrong.
 * domain is the one whose record it stands in. */
const char *macro_expand(const struct spf *spf, const char *domain,
    struct ph_slice text);

#endif
