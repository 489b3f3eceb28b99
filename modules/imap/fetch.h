/* SPDX-License-Identifier: Apache-2.0 */
/* fetch.h - the data items of a FETCH, as parsed. */
#ifndef IMAP_FETCH_H
#define IMAP_FETCH_H

#include "imap.h"
#include "section.h"

enum fetch_kind {
	FETCH_FLAGS,
	FETCH_UID,
	FETCH_INTERNALDATE,
	FETCH_SIZE,
	FETCH_ENVELOPE,
	FETCH_BODY,
	FETCH_BODYSTRUCTURE,
	FETCH_SECTION, /* also RFC822, RFC822.HEADER, RFC822.TEXT */
};

struct fetch_item {
	enum fetch_kind kind;
	struct ph_slice label; /* as the response names it */
	struct section section;
	bool peek, partial;
	uint32_t origin, length;
};

enum { FETCH_ITEMS_MAX = 100 };

struct fetch_items {
	struct fetch_item *item;
	size_t count;
	bool marks_seen;
	/* what has to be at hand */
	bool needs_summary, needs_tree, needs_content;
};

/* Whether the mailbox's index holds all the fields the section names. */
bool fetch_in_summary(const struct section *section);

#endif
