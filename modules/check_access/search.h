/* SPDX-License-Identifier: Apache-2.0 */
/*
 * search.h - the first rule that fits, in the configuration and then in a file.
 * The file is read at each question, by a worker thread: what an administrator
 * changed in it counts from the next question on, and nothing is to be kept.
 */
#ifndef CHECK_ACCESS_SEARCH_H
#define CHECK_ACCESS_SEARCH_H

#include <posthouse/arena.h>

#include "rule.h"

enum { SEARCH_FILE_MAX = 16 << 20 };

struct search {
	struct ph_arena *arena;
	const char *const *rules; /* NULL-terminated */
	const char *file;         /* "": none */
	struct rule_question question;
	/* the answer */
	bool is_found;
	struct rule rule;         /* its texts in the arena */
	bool asks_host;           /* there are rules about hosts */
	unsigned wrong_line;      /* of the file; 0: none */
	int error;                /* errno of the file; 0: it was read */
};

/* Fills the answer. Suspends when there is a file to read. */
void search_run(struct search *search);

#endif
