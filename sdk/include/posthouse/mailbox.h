/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posthouse/mailbox.h - a user's mailboxes as a POP3 or IMAP session sees
 * them. In the mail role only, in user_session. The core passes each call to
 * the store module that is configured.
 *
 * Names are UTF-8, hierarchy separator "/", INBOX in any case. Messages are
 * named by UID. What a call returned as done is durable. Calls marked (s)
 * suspend. Results live in the arena given.
 */
#ifndef POSTHOUSE_MAILBOX_H
#define POSTHOUSE_MAILBOX_H

#include <posthouse/fiber.h>
#include <posthouse/session.h>

#ifdef __cplusplus
extern "C" {
#endif

/* System flags, RFC 3501 s2.3.2. */
enum {
	PH_SEEN = 1 << 0,
	PH_ANSWERED = 1 << 1,
	PH_FLAGGED = 1 << 2,
	PH_DELETED = 1 << 3,
	PH_DRAFT = 1 << 4,
	PH_RECENT = 1 << 5, /* set in what ph_mailbox_messages returns when this
	                     * open of the mailbox is the first to see it */
};

/* One message's numbers; plain data. */
struct ph_message_meta {
	uint32_t uid;
	uint32_t flags;
	uint64_t keywords; /* bit i: name i of ph_mailbox_keywords */
	uint64_t modseq;
	int64_t internal_date; /* seconds since 1970 */
	uint64_t size;         /* octets, as RFC822.SIZE */
};

struct ph_mailbox_name {
	struct ph_slice name;
	bool subscribed;
	bool selectable;    /* false: only a parent of others, or only subscribed */
	bool exists;        /* false: subscribed but gone */
	bool has_children;
};

/* Counts, RFC 3501 s6.3.10 and more. */
struct ph_mailbox_status {
	uint32_t messages, recent, unseen, deleted;
	uint32_t uid_next, uid_validity;
	uint64_t highest_modseq;
	uint64_t size; /* octets of all messages */
};

struct ph_mailbox;

/* --- names; statuses: PH_NOT_FOUND, PH_EXISTS, PH_INVALID (a bad name),
 * PH_DENIED (INBOX), PH_FULL, PH_IO --- */

/* All mailboxes and subscriptions, by name. (s) */
PH_EXPORT int ph_mailbox_list(struct ph_session *session,
    struct ph_arena *arena, const struct ph_mailbox_name **names_out,
    size_t *count_out);
/* Make a mailbox, its parents too. (s) */
PH_EXPORT int ph_mailbox_create(struct ph_session *session,
    struct ph_slice name);
/* Remove a mailbox with all its messages. (s) */
PH_EXPORT int ph_mailbox_delete(struct ph_session *session,
    struct ph_slice name);
/* Rename it with what is below; INBOX stays, and its mail moves. (s) */
PH_EXPORT int ph_mailbox_rename(struct ph_session *session,
    struct ph_slice from, struct ph_slice to);
/* Subscribe to a name, or no more; it need not exist. (s) */
PH_EXPORT int ph_mailbox_subscribe(struct ph_session *session,
    struct ph_slice name, bool on);
/* The counts of a mailbox that is not open. (s) */
PH_EXPORT int ph_mailbox_status_of(struct ph_session *session,
    struct ph_slice name, struct ph_mailbox_status *status_out);

/* --- an open mailbox --- */

/* Ends with ph_mailbox_close or the session. read_only: EXAMINE. (s) */
PH_EXPORT int ph_mailbox_open(struct ph_session *session,
    struct ph_slice name, bool read_only, struct ph_mailbox **mailbox_out);
/* Nothing is expunged. NULL is fine. */
PH_EXPORT void ph_mailbox_close(struct ph_mailbox *mailbox);
/* The counts of an open mailbox, as of now. */
PH_EXPORT void ph_mailbox_status(struct ph_mailbox *mailbox,
    struct ph_mailbox_status *status_out);
/* Names of the keywords, in bit order; at most 64. Grows over time. */
PH_EXPORT size_t ph_mailbox_keywords(struct ph_mailbox *mailbox,
    const char *const **names_out);
/* The bit of a keyword, created when `create`. -1: none, or all 64 in use. (s) */
PH_EXPORT int ph_mailbox_keyword(struct ph_mailbox *mailbox,
    struct ph_slice name, bool create);
/* Every message, ascending by UID, as it is now. */
PH_EXPORT size_t ph_mailbox_messages(struct ph_mailbox *mailbox,
    struct ph_arena *arena, const struct ph_message_meta **metas_out);

/* What changed with a modseq over `since`: new and changed messages, and the
 * UIDs expunged since (ascending). */
struct ph_mailbox_changes {
	const struct ph_message_meta *changed;
	size_t changed_count;
	const uint32_t *vanished;
	size_t vanished_count;
	uint64_t modseq; /* pass it as `since` next time */
	bool gone;       /* the mailbox was deleted: end the selection */
};
PH_EXPORT void ph_mailbox_changes(struct ph_mailbox *mailbox, uint64_t since,
    struct ph_arena *arena, struct ph_mailbox_changes *changes_out);
/* Look at the disk for changes by other programs; cheap when there are none. (s) */
PH_EXPORT int ph_mailbox_refresh(struct ph_mailbox *mailbox);
/* Signalled whenever the mailbox changes; for ph_stream_wait and IDLE. */
struct ph_event;
PH_EXPORT struct ph_event *ph_mailbox_event(struct ph_mailbox *mailbox);

enum ph_flag_op { PH_FLAGS_SET, PH_FLAGS_ADD, PH_FLAGS_REMOVE };
/*
 * Change flags of count UIDs (ascending); unknown UIDs are passed over. Those
 * with a modseq over unchanged_since (UINT64_MAX: no condition) are left alone
 * and returned as modified_out (may be NULL). (s)
 */
PH_EXPORT int ph_mailbox_store_flags(struct ph_mailbox *mailbox,
    const uint32_t *uids, size_t count, enum ph_flag_op op, uint32_t flags,
    uint64_t keywords, uint64_t unchanged_since, struct ph_arena *arena,
    const uint32_t **modified_out, size_t *modified_count_out);
/* Remove messages with \Deleted: all (uids NULL) or those of the list. (s) */
PH_EXPORT int ph_mailbox_expunge(struct ph_mailbox *mailbox,
    const uint32_t *uids, size_t count);
/* Remove these whether \Deleted or not: POP3, MOVE. (s) */
PH_EXPORT int ph_mailbox_remove(struct ph_mailbox *mailbox,
    const uint32_t *uids, size_t count);

/* Where copied or appended messages went: COPYUID, APPENDUID. */
struct ph_uid_map {
	uint32_t uid_validity;
	const uint32_t *from, *to; /* pairs; appends have no from */
	size_t count;
};
/* All or nothing. PH_NOT_FOUND: no such mailbox (TRYCREATE). (s) */
PH_EXPORT int ph_mailbox_copy(struct ph_mailbox *mailbox,
    const uint32_t *uids, size_t count, struct ph_slice to,
    struct ph_arena *arena, struct ph_uid_map *map_out);

/* --- content --- */

/* The content of a message, CRLF line ends. */
struct ph_content {
	struct ph_slice octets; /* a read-only mapping or memory */
	void *impl;
};
/* PH_NOT_FOUND: expunged meanwhile. Ends with the arena. (s) */
PH_EXPORT int ph_message_content(struct ph_mailbox *mailbox, uint32_t uid,
    struct ph_arena *arena, struct ph_content *content_out);
/*
 * What the index holds of a message, no file opened: the raw header fields
 * From To Cc Bcc Sender Reply-To Subject Date Message-ID In-Reply-To
 * References, and List-Id, and the encoded struct ph_mime_part. (s)
 */
struct ph_message_summary {
	struct ph_slice header;
	struct ph_slice mime;
};
PH_EXPORT int ph_message_summary(struct ph_mailbox *mailbox, uint32_t uid,
    struct ph_arena *arena, struct ph_message_summary *summary_out);

/* --- APPEND --- */

struct ph_append;
/* Begin; PH_NOT_FOUND: no such mailbox. keywords by name. (s) */
PH_EXPORT int ph_append_begin(struct ph_session *session,
    struct ph_slice mailbox, uint32_t flags, const struct ph_slice *keywords,
    size_t keyword_count, int64_t internal_date, struct ph_append **append_out);
/* Octets as they come; bare LF becomes CRLF. (s) */
PH_EXPORT int ph_append_write(struct ph_append *append, const void *p,
    size_t n);
/* Durable on 0. Ends the append in any case. (s) */
PH_EXPORT int ph_append_commit(struct ph_append *append,
    struct ph_arena *arena, struct ph_uid_map *map_out);
/* Forget what was written. */
PH_EXPORT void ph_append_abort(struct ph_append *append);

#ifdef __cplusplus
}
#endif
#endif
