/* SPDX-License-Identifier: Apache-2.0 */
/*
 * users.h - the users file as a table. Pure: text in, table out.
 *
 * A line is "user@domain:hash[:alias,alias...]"; "#" starts a comment line. A
 * line that is none of these is reported and passed over: one slip must not
 * lock everybody out.
 */
#ifndef AUTH_LOCAL_USERS_H
#define AUTH_LOCAL_USERS_H

#include <posthouse/arena.h>

enum { USERS_ERRORS_MAX = 20, USERS_NAME_MAX = 320, USERS_HASH_MAX = 384 };

struct users_line {
	struct ph_slice name, hash;
	struct ph_slice aliases; /* absent: none */
};
enum users_line_kind { USERS_BLANK, USERS_USER, USERS_WRONG };
/* Take a line (without its end) apart; USERS_WRONG sets *why_out. The slices
 * lie in the line, in the case it has. */
enum users_line_kind users_parse_line(struct ph_slice line,
    struct users_line *line_out, const char **why_out);
/* local@domain with a dot-atom without "/" (UTF-8 allowed) and a host name. */
bool users_name_is_valid(struct ph_slice name);

struct users_entry {
	struct ph_slice name; /* lower case */
	struct ph_slice hash; /* NUL-terminated */
	struct ph_slice *aliases;
	size_t alias_count;
	unsigned line;
};

struct users_error {
	unsigned line;
	const char *why;
};

struct users {
	struct ph_arena *arena;
	struct users_entry *entries;
	size_t count;
	struct users_slot *slots; /* by name and alias */
	size_t slot_count;        /* a power of two */
	uint64_t seed;
	struct users_error errors[USERS_ERRORS_MAX];
	size_t error_count;       /* may exceed what is kept */
	/* A hash as most users have it: what an unknown user costs. Empty when
	 * there are no users. */
	char usual_hash[USERS_HASH_MAX + 1];
};

/* Everything is copied into the arena (which wipes the hashes at its end). */
struct users *users_parse(struct ph_arena *arena, struct ph_slice text,
    uint64_t seed);
/* By name or alias, in lower case; NULL: none. */
const struct users_entry *users_find(const struct users *users,
    struct ph_slice address);

#endif
