/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value.h - what a check says of a header field's value, as it may stand in
 * one: a single line, in ASCII. Pure.
 */
#ifndef CORE_PIPELINE_VALUE_H
#define CORE_PIPELINE_VALUE_H

#include <posthouse/arena.h>

enum { VALUE_MAX = 8192 }; /* octets that a check may give */

/*
 * text, cut at VALUE_MAX: a line end and the blanks around it become one blank,
 * words with UTF-8 become encoded words (RFC 2047), other octets that are not
 * printable "?". What is longer than twice VALUE_MAX then is cut.
 */
const char *value_clean(struct ph_arena *arena, struct ph_slice text);

#endif
