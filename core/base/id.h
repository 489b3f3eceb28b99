/* SPDX-License-Identifier: Apache-2.0 */
/*
 * id.h - 64-bit time-ordered ids and their 13-character text.
 *
 * 42 bits of milliseconds since 2020, 22 bits that make them unique: a counter
 * seeded at random per process. Text is Crockford base 32, lower case, so ids
 * sort as text too.
 */
#ifndef CORE_BASE_ID_H
#define CORE_BASE_ID_H

#include <posthouse/base.h>

#define ID_TEXT_MAX 14 /* 13 characters and the NUL */

/* Strictly greater than every id this process made before. */
uint64_t id_create(void);
/* The same, also greater than floor (the last id before a restart). */
uint64_t id_create_above(uint64_t floor);
const char *id_format(uint64_t id, char text[ID_TEXT_MAX]);
/* When it was made: milliseconds since 1970, UTC. */
int64_t id_wall_ms(uint64_t id);
bool id_parse(struct ph_slice text, uint64_t *id_out);

#endif
