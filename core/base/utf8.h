/* SPDX-License-Identifier: Apache-2.0 */
/* utf8.h - what is well-formed UTF-8. */
#ifndef CORE_BASE_UTF8_H
#define CORE_BASE_UTF8_H

#include <posthouse/base.h>

/* Octets of the well-formed UTF-8 character at p (n > 0), or 0: RFC 3629,
 * without overlong forms, surrogates and what lies over U+10FFFF. */
size_t utf8_length(const char *p, size_t n);
bool utf8_is_valid(struct ph_slice s);

#endif
