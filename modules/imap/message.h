/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message.h - what FETCH and SEARCH need of one message, fetched when it is
 * first asked for: summary from the index, tree of parts, content.
 */
#ifndef IMAP_MESSAGE_H
#define IMAP_MESSAGE_H

#include <posthouse/mime.h>

#include "imap.h"

struct message {
	struct ph_mailbox *mailbox;
	struct ph_arena *arena; /* of this message */
	uint32_t uid;
	bool has_summary, has_content;
	struct ph_message_summary summary;
	struct ph_content content;
	const struct ph_mime_part *tree; /* NULL: not yet */
};

/* All suspend and return a status of the store; done twice they cost nothing. */
int message_load_summary(struct message *message);
int message_load_content(struct message *message);
/* The tree fits the content when that is loaded. */
int message_load_tree(struct message *message);
/* Bring a piece of the mapped content into memory, off the loop. */
void message_touch(struct ph_slice piece);

#endif
