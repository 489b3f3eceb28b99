/* SPDX-License-Identifier: Apache-2.0 */
/*
 * search.h - the first rule that fits, in the configuration and then in a file.
 * The file is in memory, and read again when it changed (posthouse/lines.h).
 */
#ifndef CHECK_ACCESS_SEARCH_H
#define CHECK_ACCESS_SEARCH_H

#include <posthouse/arena.h>

#include "rule.h"

struct ph_lines;

struct search {
	struct ph_arena *arena;
	const char *const *rules; /* NULL-terminated */
	const char *file;         /* "": none */
	struct rule_question question;
	/* the answer */
	bool is_found;
	struct rule rule;         /* its texts last as long as arena and rules */
	bool is_of_file;          /* the rule */
	bool asks_host;           /* there are rules about hosts */
	struct ph_slice wrong;    /* the first line of the file that is no rule */
	struct ph_err err;        /* status: PH_OK, the file was read */
	/* of the search itself */
	const struct ph_lines *lines;
};

/* Fills the answer. Suspends when there is a file. */
void search_run(struct search *search);

#endif
