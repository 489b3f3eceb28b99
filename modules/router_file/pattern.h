/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pattern.h - entries of lists that begin with a pattern: an address, a domain,
 * ".domain" for those below it, or "*". Pure.
 */
#ifndef ROUTER_FILE_PATTERN_H
#define ROUTER_FILE_PATTERN_H

#include <posthouse/base.h>

/* The next word of an entry, cut off; empty at its end. */
struct ph_slice pattern_word(struct ph_slice *rest);
bool pattern_fits(struct ph_slice pattern, struct ph_slice address);

#endif
