/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rule.h - a line of a user's filter: "TEST: ACTION". Pure.
 *
 *     header NAME PATTERN: ...    a field of that name fits
 *     from PATTERN: to PATTERN:   the envelope's address fits
 *     score POINTS: size OCTETS:  it has so much, or more
 *     any: ...
 */
#ifndef CHECK_FILER_RULE_H
#define CHECK_FILER_RULE_H

#include <posthouse/arena.h>

enum rule_test { TEST_HEADER, TEST_FROM, TEST_TO, TEST_SCORE, TEST_SIZE,
	TEST_ANY };
enum rule_action { ACTION_FILE, ACTION_KEEP, ACTION_REDIRECT, ACTION_DISCARD,
	ACTION_REJECT, ACTION_ANSWER, ACTION_STOP };

struct rule {
	enum rule_test test;
	const char *name;    /* of the field */
	const char *pattern; /* as of fnmatch(3), letters folded */
	uint64_t number;
	enum rule_action action;
	const char *what;    /* mailbox, address, text */
	uint32_t flags;      /* PH_SEEN ... */
	const char *const *keywords; /* ends with NULL */
	uint64_t days;       /* between two answers */
};

/* NULL, or what is wrong with the line. */
const char *rule_parse(struct ph_arena *arena, struct ph_slice line,
    struct rule *rule_out);

#endif
