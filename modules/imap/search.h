/* SPDX-License-Identifier: Apache-2.0 */
/*
 * search.h - what a SEARCH looks for, and whether a message is it.
 *
 * A key is decided with as little as possible: numbers and flags first, then
 * the header fields that the index holds, then the content. An answer is yes,
 * no, or not yet known, so AND, OR and NOT stop as soon as it is settled.
 */
#ifndef IMAP_SEARCH_H
#define IMAP_SEARCH_H

#include <posthouse/mime.h>

#include "imap.h"

enum search_op {
	SEARCH_ALL,
	SEARCH_FLAG,    /* flags & mask == value */
	SEARCH_KEYWORD, /* name */
	SEARCH_SET,     /* by number */
	SEARCH_UID,
	SEARCH_DAY,     /* first <= day <= last, of the internal date */
	SEARCH_SENT,    /* of the Date field */
	SEARCH_SIZE,    /* first <= size <= last */
	SEARCH_HEADER,  /* needle in the fields of that name */
	SEARCH_BODY,
	SEARCH_TEXT,
	SEARCH_AND,     /* all of the children */
	SEARCH_OR,      /* one of them */
};

struct search_key {
	enum search_op op;
	bool negate;
	uint32_t mask, value;
	struct ph_slice name;
	struct ph_slice needle; /* folded */
	struct ph_slice phrase; /* the needle, squeezed */
	int64_t first, last;
	struct seqset set;      /* resolved before the search */
	uint64_t keyword;       /* bit, resolved; 0: no message has it */
	struct search_key *child, *next;
};

enum { SEARCH_DEPTH_MAX = 50, SEARCH_KEYS_MAX = 1000 };

enum verdict { SEARCH_NO, SEARCH_YES, SEARCH_UNKNOWN };

/* What is at hand of a message; absent and NULL: not loaded. */
struct search_facts {
	struct ph_arena *arena;
	uint32_t number;
	struct ph_message_meta meta;
	struct ph_slice summary; /* the index's header fields */
	struct ph_slice content;
	const struct ph_mime_part *tree; /* with content */
	/* of the content, made when first needed: */
	const struct ph_slice *texts; /* decoded and folded */
	size_t text_count;
	size_t budget;
};
enum { SEARCH_BUDGET = 32 << 20 }; /* octets decoded of one message */

enum verdict search_decide(const struct search_key *key,
    struct search_facts *facts);

/* Lower case, octet for octet where that is possible: ASCII, Latin, Greek,
 * Cyrillic. A copy. */
struct ph_slice search_fold(struct ph_arena *arena, struct ph_slice text);

/* Each run of blanks and line ends as one space: a field is found however its
 * sender or a relay folded it. A copy. */
struct ph_slice search_squeeze(struct ph_arena *arena, struct ph_slice text);

#endif
