/* SPDX-License-Identifier: Apache-2.0 */
/*
 * select.h - which messages a command of posthousectl means: the words after
 * its name, parsed, and the test of an entry. Pure.
 */
#ifndef CORE_QUEUE_SELECT_H
#define CORE_QUEUE_SELECT_H

#include "queue/queue.h"

enum { SELECT_IDS_MAX = 64 };

struct selection {
	uint64_t ids[SELECT_IDS_MAX]; /* these messages, */
	size_t id_count;          /* 0: by the rest */
	bool all;                 /* the word "all" was there */
	struct ph_slice sender, recipient, domain; /* absent: any */
	struct ph_slice destination; /* of a recipient, or its domain; absent: any */
	struct ph_slice state;    /* a word of select_state, of one that waits */
	int64_t older_ms, younger_ms; /* 0: any age */
	uint64_t after;           /* ids above; 0: from the first */
	uint64_t limit;           /* of messages; 0: the default of a list */
	int level;                /* of priority */
	bool json;
	bool is_filtered;         /* any of sender ... younger was there */
};

/* with_level: the last word is one. False, with a sentence in wrong, when a word
 * means nothing. */
bool select_parse(struct ph_slice record, bool with_level,
    struct selection *selection, char wrong[200]);
bool select_has(const struct selection *selection, const struct entry *entry,
    int64_t now_ms);
/* What a recipient is doing, in one word. */
const char *select_state(const struct entry *entry,
    const struct queue_recipient *recipient);

#endif
