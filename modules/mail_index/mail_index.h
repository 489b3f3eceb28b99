/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mail_index/mail_index.h - what is known of the mailboxes of one partition,
 * in one Berkeley DB environment: mailboxes, messages, names of files, expunge
 * history, parsed summaries, subscriptions. It knows nothing of where bodies
 * lie: a file name is text to it.
 *
 * One thread at a time uses an index (the caller's order); then there are no
 * locks and no deadlocks. Reads need no transaction. Every write is in the one
 * transaction that is open. Everything blocks: call it inside ph_work.
 *
 * Statuses: PH_NOT_FOUND, PH_EXISTS, PH_FULL (disk), PH_DEFECT (a row's
 * checksum), PH_IO. When the log can't be written or the environment is
 * damaged the process ends with status 70: going on would forget what was
 * promised, and recovery at the next start is sound.
 */
#ifndef MAIL_INDEX_H
#define MAIL_INDEX_H

#include <posthouse/arena.h>
#include <posthouse/mailbox.h>

enum {
	MAIL_INDEX_KEYWORDS = 64,
	MAIL_INDEX_HEADER_MAX = 100 * 1024,  /* of a summary, more is cut */
	MAIL_INDEX_MIME_MAX = 1024 * 1024,   /* more is not kept */
	MAIL_INDEX_FILE_MAX = 255,
};

struct mail_index;

struct mail_index_conf {
	uint64_t cache_bytes;
	uint64_t log_file_bytes;
	uint64_t checkpoint_bytes;
};

/* Open or create the environment in the folder home (absolute, exists), with
 * recovery. */
int mail_index_open(const char *home, const struct mail_index_conf *conf,
    struct mail_index **index_out, struct ph_err *err);
/* Checkpoints and closes. NULL is fine. */
void mail_index_close(struct mail_index *mi);
/* A number that grew with this opening: seconds of wall time or more. */
uint64_t mail_index_epoch(const struct mail_index *mi);

int mail_index_begin(struct mail_index *mi);
/* In the log, which is not yet flushed: a crash of the process keeps it, one
 * of the machine may not. Ends the transaction in any case. */
int mail_index_commit(struct mail_index *mi);
void mail_index_abort(struct mail_index *mi);
/* Make all that was committed durable; no work when nothing is new. */
int mail_index_flush(struct mail_index *mi);
/* When enough log was written or a minute passed; cheap otherwise. */
void mail_index_checkpoint(struct mail_index *mi);

/* --- mailboxes --- */

/* Slices live in the arena of the call that filled it. Written back by the
 * caller with mail_index_box_put after message calls changed it. */
struct index_box {
	uint64_t id; /* never used again */
	uint32_t uid_validity, uid_next;
	uint32_t recent_from; /* UIDs from here on were seen by no session */
	uint32_t messages, unseen, deleted;
	uint64_t size;
	uint64_t modseq;        /* the highest given */
	uint64_t history_floor; /* the history is whole above it */
	int64_t new_stamp, cur_stamp; /* of the folders when last scanned */
	uint64_t scan_epoch;          /* the epoch of that scan */
	struct ph_slice moved_from;   /* the folder it had, until moved */
	bool dead;                    /* deleted; its folder may be there */
	unsigned keyword_count;
	struct ph_slice keywords[MAIL_INDEX_KEYWORDS];
};

struct index_box_name {
	struct ph_slice name;
	bool dead;
	struct ph_slice moved_from;
};

/* Dead ones are found too. */
int mail_index_box_get(struct mail_index *mi, struct ph_slice user,
    struct ph_slice name, struct ph_arena *arena, struct index_box *box_out);
/* PH_EXISTS: one that lives. Its UIDVALIDITY is greater than every one given
 * in this index before. */
int mail_index_box_create(struct mail_index *mi, struct ph_slice user,
    struct ph_slice name, int64_t now, struct index_box *box_out);
int mail_index_box_put(struct mail_index *mi, struct ph_slice user,
    struct ph_slice name, const struct index_box *box);
/* Remove its messages, keep a dead row until mail_index_box_forget. */
int mail_index_box_bury(struct mail_index *mi, struct ph_slice user,
    struct ph_slice name);
int mail_index_box_forget(struct mail_index *mi, struct ph_slice user,
    struct ph_slice name);
/* The mailboxes of a user, by name. */
int mail_index_box_list(struct mail_index *mi, struct ph_slice user,
    struct ph_arena *arena, struct index_box_name **names_out,
    size_t *count_out);
/* The bit of a keyword; -1: none. */
int index_box_keyword(const struct index_box *box, struct ph_slice name);

int mail_index_subscribe(struct mail_index *mi, struct ph_slice user,
    struct ph_slice name, bool on);
int mail_index_subscriptions(struct mail_index *mi, struct ph_slice user,
    struct ph_arena *arena, struct ph_slice **names_out, size_t *count_out);

/* --- messages --- */

struct index_message {
	struct ph_message_meta meta;
	struct ph_slice file; /* name as it is on the disk */
	size_t base_n;        /* the part of it that never changes */
	size_t key_n;         /* of that what tells it from others; 0: all */
	bool in_new;          /* in the folder new/, else in cur/ */
	bool bare_lf;         /* the file's lines end in LF alone */
	int64_t renamed_ns;   /* when we last gave the file another name; 0 */
};

static inline struct ph_slice
index_message_base(const struct index_message *message)
{
	return (struct ph_slice){ message->file.p, message->base_n };
}

/* What its name is known by. */
static inline struct ph_slice
index_message_key(const struct index_message *message)
{
	return (struct ph_slice){ message->file.p,
		message->key_n > 0 ? message->key_n : message->base_n };
}

/* Gives the message the next UID and modseq of box and counts it there.
 * PH_FULL: no UID is left. */
int mail_index_message_add(struct mail_index *mi, struct index_box *box,
    struct index_message *message, const struct ph_message_summary *summary);
int mail_index_message_get(struct mail_index *mi, uint64_t box_id,
    uint32_t uid, struct ph_arena *arena, struct index_message *message_out);
/* `was` is the row it replaces, for the counts. */
int mail_index_message_put(struct mail_index *mi, struct index_box *box,
    const struct index_message *was, const struct index_message *message);
/* With modseq box->modseq, which the caller advanced. vanished: its file was
 * found gone, nobody asked us. */
int mail_index_message_expunge(struct mail_index *mi, struct index_box *box,
    const struct index_message *message, int64_t now, bool vanished);
/* Calls each in UID order, from a UID on, until it returns non-zero, and
 * returns that. The slices are valid during the call. Rows that are damaged are
 * passed over. */
int mail_index_messages(struct mail_index *mi, uint64_t box_id, uint32_t from,
    int (*each)(void *arg, const struct index_message *message), void *arg);
int mail_index_summary_put(struct mail_index *mi, uint64_t box_id,
    uint32_t uid, const struct ph_message_summary *summary);
int mail_index_summary(struct mail_index *mi, uint64_t box_id, uint32_t uid,
    struct ph_arena *arena, struct ph_message_summary *summary_out);

/* What became of a name in a mailbox: of a file's key. */
enum index_name_state {
	INDEX_NAME_NONE,
	INDEX_NAME_LIVE,
	INDEX_NAME_EXPUNGED, /* by us: a file of the name is left over */
	INDEX_NAME_VANISHED, /* by others: they may put it back */
};
struct index_name {
	enum index_name_state state;
	uint32_t uid;
	int64_t expunged_at;
};
int mail_index_name_find(struct mail_index *mi, uint64_t box_id,
    struct ph_slice file_key, struct index_name *name_out);
/* Forget that an expunged name was there, so that it may come again. */
int mail_index_name_forget(struct mail_index *mi, uint64_t box_id,
    struct ph_slice file_key);

/* --- expunge history --- */

struct index_expunged {
	uint64_t modseq;
	uint32_t uid;
};
/* All that is known, in order of modseq; malloc'ed, the caller frees. */
int mail_index_history(struct mail_index *mi, uint64_t box_id,
    struct index_expunged **list_out, size_t *count_out);
/* Forget up to `most` entries older than the time `before`. */
int mail_index_history_prune(struct mail_index *mi, struct index_box *box,
    int64_t before, size_t most);

#endif
