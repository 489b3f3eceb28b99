/* SPDX-License-Identifier: Apache-2.0 */
/*
 * view.h - the selected mailbox as the client knows it: which message has
 * which number, and what is still to be told.
 *
 * The numbers change only in view_report, when the client is told.
 */
#ifndef IMAP_VIEW_H
#define IMAP_VIEW_H

#include "imap.h"

struct view_message {
	struct ph_message_meta meta;
	bool dirty; /* flags changed, the client does not know */
	bool gone;  /* expunged, the client does not know */
};

struct view {
	struct ph_mailbox *mailbox;
	struct ph_arena *arena;
	struct ph_slice name;
	bool read_only;
	struct view_message *message; /* ascending by UID */
	size_t count, capacity;
	size_t told;        /* what the last EXISTS said, less EXPUNGEs */
	uint32_t recent;    /* messages with PH_RECENT */
	uint32_t recent_told;
	size_t gone_count, dirty_count;
	size_t keywords_told;
	uint64_t modseq;
};

/* Open for the session; status of ph_mailbox_open. Suspends. */
int view_open(struct imap *imap, struct ph_slice name, bool read_only);
void view_close(struct imap *imap);

/* Take in what changed; nothing is told. False: the mailbox is gone and the
 * session ended. */
bool view_pull(struct imap *imap);
/* Tell what is to be told. EXPUNGE only when allowed. Suspends. */
void view_report(struct imap *imap, bool expunge);
/* Whether the client has to be told of the message's flags. */
void view_mark(struct view *view, size_t index, bool dirty);
/* "* FLAGS (...)", when there are new keywords or always. */
void view_tell_flags(struct imap *imap, bool always);
/* "(\Seen $Junk)" */
void view_format_flags(struct imap *imap, const struct view_message *message,
    struct ph_buf *buf);

/* A message may be looked at: it is not expunged. */
struct view_picks {
	const uint32_t *index; /* into view->message, ascending */
	const uint32_t *uid;   /* the same messages */
	size_t count;
};
/*
 * The messages of a command's set, by number or UID. False: a number that the
 * client can't know (only for numbers).
 */
bool view_pick(struct imap *imap, struct command *command,
    struct view_picks *picks_out);
/* The index of that UID, or of the first one over it (count: none). */
size_t view_find(const struct view *view, uint32_t uid);

#endif
