/* SPDX-License-Identifier: Apache-2.0 */
/*
 * names.h - mailbox names: matching LIST patterns and writing them. Pure.
 */
#ifndef IMAP_NAMES_H
#define IMAP_NAMES_H

#include <posthouse/arena.h>

/* A pattern of RFC 3501 s6.3.8, made ready: "*" any octets, "%" any but "/". */
struct pattern {
	const char *p; /* no two wildcards side by side */
	size_t n;
	unsigned char *now, *next; /* states, n + 1 each */
};
enum { PATTERN_MAX = 300 };

/* False: longer than PATTERN_MAX. */
bool pattern_init(struct ph_arena *arena, struct ph_slice text,
    struct pattern *pattern_out);
/*
 * At most n * name.n steps, whatever the wildcards (CVE-2026-33607). INBOX
 * matches in any case.
 */
bool pattern_matches(struct pattern *pattern, struct ph_slice name);

/* Appends a UTF-8 name as a quoted string in its wire form. */
void name_format(struct ph_arena *arena, struct ph_slice name,
    struct ph_buf *buf);
/* "\Sent" for a well-known name, else NULL (RFC 6154). */
const char *name_special_use(struct ph_slice name);

#endif
