/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.h - the inner shape of the Maildir store.
 *
 * A partition has an index and two lines. The index line is the only place
 * where the index is used and where files in cur/ get other names; its jobs run
 * in a thread, their results reach the memory of open mailboxes on the loop, in
 * the same order. The delivery line writes and syncs files and then hands rows
 * to the index line.
 *
 * `work` functions run in a thread and read of a box only user, name, path and
 * id; these change only in `done` of a job that runs alone.
 */
#ifndef STORE_MAILDIR_STORE_H
#define STORE_MAILDIR_STORE_H

#include <posthouse/store.h>

#include <pthread.h>

#include "folder.h"
#include "line.h"
#include "mail_index/mail_index.h"
#include "names.h"

enum store_sync { SYNC_FILES, SYNC_FILESYSTEM };

struct maildir_conf {
	uint64_t cache_bytes;  /* of an index, each partition's */
	unsigned sync;         /* enum store_sync */
	unsigned history_ms;   /* how long expunged names are remembered */
	unsigned batch_files;
	uint64_t reserve_bytes; /* of the disk, left to the index */
	unsigned open_folders; /* kept open for delivery, in all */
	bool hard_links;
	uint64_t hard_links_from; /* octets spared */
};

struct partition {
	struct ph_store *store;
	unsigned number;
	bool mine;
	int fd; /* DIR/<number> */
	int64_t opened_at; /* seconds since 1970 */
	bool can_share; /* see share.h */
	bool can_link;  /* see link.h */
	unsigned link_group; /* first partition of its file system */
	uint64_t device;
	struct mail_index *mi;
	struct line index_line, delivery_line;
	pthread_mutex_t underway_lock;
	const struct delivery_batch *underway; /* its files are being made */
	struct folder_cache folders; /* of the delivery line's thread */
	uint64_t names_given;        /* on the loop; see store_base */
};

enum { BOX_BUCKETS = 1024 };

struct ph_store {
	struct ph_arena *arena;
	struct maildir_conf conf; /* a copy: the store outlives a generation */
	unsigned partition_count;
	struct partition *partitions;
	struct ph_scope index_scope, delivery_scope;
	struct box *boxes[BOX_BUCKETS]; /* those that are open */
};

/* --- index jobs --- */

struct index_job {
	struct line_job line;
	struct partition *partition;
	/* In a thread. A transaction left open is undone. */
	int (*work)(struct index_job *job);
	/* In the thread, when what work committed is as durable as asked. Only
	 * after a work that returned 0. NULL: nothing. */
	void (*after)(struct index_job *job);
	/* On the loop, whatever the status. NULL: nothing. */
	void (*done)(struct index_job *job);
	bool durable; /* flush the index before after() and done() */
	int status;   /* what work returned */
};

enum { INDEX_BATCH = 64, INDEX_ALONE = INDEX_BATCH };

/* Suspends; the job's status, or why it was not begun. */
int index_do(struct partition *partition, struct index_job *job);
int index_do_hard(struct partition *partition, struct index_job *job);
void index_run(struct line *line, struct line_job *jobs);
/* Commit what work did when status is 0, undo it otherwise. */
int index_finish(struct mail_index *mi, int status);

/* The partition of a user; NULL: another process owns it. */
struct partition *store_partition(struct ph_store *store, struct ph_slice user);
/* A base name no file had before: "<now>.E<epoch>N<number>.posthouse,S=<size>",
 * number being one of those that names_given counted. */
struct ph_slice store_base(struct partition *partition,
    struct ph_arena *arena, uint64_t number, uint64_t size);
/* For tests: called at each step that a crash may fall between. */
void store_step(const char *step);

/* --- open mailboxes (box.c) --- */

/* What all sessions of a mailbox share. */
struct box {
	struct box *next; /* of the bucket */
	struct partition *partition;
	unsigned refs;
	bool loading, loaded, gone;
	int load_status;
	struct ph_event load_event;
	struct ph_arena *arena; /* keywords; names when renamed */
	struct ph_slice user, name;
	const char *path; /* below the partition: "d/u/Maildir/.A" */
	uint64_t id;
	uint32_t uid_validity, uid_next, recent_from;
	uint32_t unseen, deleted;
	uint64_t size, modseq, history_floor;
	struct ph_message_meta *metas; /* ascending by UID */
	size_t count, capacity;
	struct index_expunged *expunged; /* ascending by modseq */
	size_t expunged_count, expunged_capacity;
	const char *keywords[MAIL_INDEX_KEYWORDS];
	unsigned keyword_count;
	struct ph_event changed;
	struct folder_stamps stamps; /* when last scanned, or changed by us */
	uint64_t scanned_at_ms;
	bool own_changed; /* since: the stamps may hide another's change */
};

struct ph_store_mailbox {
	struct ph_store *store;
	struct box *box;
	bool read_only;
	struct ph_buf recent; /* of struct uid_range: first seen here */
	struct summary_ahead *ahead;
};

struct uid_range {
	uint32_t from, to; /* to is not in it */
};

/* What a job did to one mailbox, collected in its thread. */
struct box_change {
	struct index_box row;    /* as it is now */
	struct ph_buf metas;     /* struct ph_message_meta: new or changed */
	struct ph_buf expunged;  /* struct index_expunged, all one modseq */
	bool has_stamps;
	struct folder_stamps stamps_before, stamps; /* around our own changes */
};
void box_change_init(struct box_change *change, struct ph_arena *arena);
void box_change_meta(struct box_change *change,
    const struct ph_message_meta *meta);
void box_change_expunged(struct box_change *change, uint32_t uid);

/* NULL: not open, or not yet loaded. */
struct box *box_find(struct partition *partition, struct ph_slice user,
    struct ph_slice name);
/* Bring an open box up to date and tell its sessions; box may be NULL. */
void box_apply(struct box *box, const struct box_change *change);
/* After a rename: the box answers to another name. */
void box_rename(struct box *box, struct ph_slice name, const char *path);
void box_set_gone(struct box *box);
/* The UIDs in the box whose message has all of the flags; in the arena. */
size_t box_uids(const struct box *box, const uint32_t *among, size_t count,
    uint32_t flags, struct ph_arena *arena, const uint32_t **uids_out);
const struct ph_message_meta *box_meta(const struct box *box, uint32_t uid);

/* --- jobs' common steps, in a thread (row.c) --- */

/* Which mailbox, for the thread. */
struct box_ref {
	struct ph_slice user, name; /* canonical */
	const char *path;
};
int box_ref_of(struct ph_arena *arena, struct ph_slice user,
    struct ph_slice name, struct box_ref *ref_out);
struct box_ref box_ref(const struct box *box);

/*
 * The row of a mailbox that lives, its folders in place, inside the open
 * transaction. INBOX, and a folder that another program made, get their row
 * here. PH_NOT_FOUND.
 */
int row_open_box(struct partition *partition, const struct box_ref *ref,
    struct ph_arena *arena, struct index_box *row_out);
/* Create the row and the folders. PH_EXISTS. */
int row_create_box(struct partition *partition, const struct box_ref *ref,
    struct index_box *row_out);
/* Finish what a crash left of the user's renames and deletes. */
int row_settle_user(struct partition *partition, struct ph_slice user);
/* The row of an open mailbox that is still the one with this id. */
int row_of_id(struct partition *partition, const struct box_ref *ref,
    uint64_t id, struct ph_arena *arena, struct index_box *row_out);
/* The bit of a keyword in the row, added when there is room; -1. */
int row_keyword(struct index_box *row, struct ph_slice name);

/* --- place.c --- */

/* PH_OK: the mailbox is there, its folders with it; PH_NOT_FOUND. Suspends. */
int box_is_there(struct partition *partition, const struct box_ref *ref,
    struct ph_arena *arena);

/* The mailboxes one message is delivered to, each once. */
struct place_list {
	struct place {
		struct box_ref ref;
		uint32_t flags;
		const struct ph_slice *keywords; /* borrowed */
		size_t keyword_count;
	} *item;
	size_t count;
};
/* Those named, made where they are missing. Else a failure that passes.
 * Suspends. */
int place_list_of(struct partition *partition, struct ph_arena *arena,
    struct ph_slice user, const struct ph_delivery_places *from,
    struct place_list *list_out);

/* --- scan.c --- */

/* Compare folders and index; adopt and drop what others changed. Suspends. */
int box_scan(struct box *box);
/* What scan and open share: find changes inside an index job's work. */
struct scan {
	struct ph_arena *arena;
	struct box_ref ref;
	struct ph_buf unknown; /* struct scan_entry: files without a row */
};
struct scan_entry {
	const char *file;
	bool in_new;
};
/* Whether the folders may differ from what the row says. */
bool scan_is_due(struct partition *partition, const struct box_ref *ref,
    const struct index_box *row);
int scan_folders(struct partition *partition, struct scan *scan,
    struct box_change *change);
/* Give the unknown files UIDs. Suspends. */
int scan_adopt(struct partition *partition, struct scan *scan);

/* --- content.c --- */

/* Where a message's file is now, when not where the row says: in the
 * mailbox's folder by its base, or, copied or appended, in tmp/.
 * PH_NOT_FOUND. */
int file_search(int folder_fd, struct ph_slice base, struct ph_arena *arena,
    const char **path_out);
struct summary_ahead;
void summary_ahead_free(struct summary_ahead *ahead);

/* --- the operations, by file --- */

void maildir_deliver(struct ph_store *store, struct ph_delivery_job *job);
void delivery_run(struct line *line, struct line_job *jobs);
/* Whether a file with this key is being delivered into the folder: it is there,
 * maybe, and has no row so far. In a thread. */
bool delivery_is_underway(struct partition *partition, const char *path,
    struct ph_slice key);

extern const struct ph_store_ops maildir_ops;
int maildir_open(struct ph_arena *arena, const void *conf, const char *dir,
    unsigned partition_count, unsigned share, unsigned shares,
    struct ph_store **store_out, struct ph_err *err);
void maildir_close(struct ph_store *store);

int maildir_list(struct ph_store *store, struct ph_slice user,
    struct ph_arena *arena, const struct ph_mailbox_name **names_out,
    size_t *count_out);
int maildir_create(struct ph_store *store, struct ph_slice user,
    struct ph_slice name);
int maildir_del(struct ph_store *store, struct ph_slice user,
    struct ph_slice name);
int maildir_rename(struct ph_store *store, struct ph_slice user,
    struct ph_slice from, struct ph_slice to);
int maildir_subscribe(struct ph_store *store, struct ph_slice user,
    struct ph_slice name, bool on);
int maildir_status_of(struct ph_store *store, struct ph_slice user,
    struct ph_slice name, struct ph_mailbox_status *status_out);

int maildir_mailbox_open(struct ph_store *store, struct ph_slice user,
    struct ph_slice name, bool read_only,
    struct ph_store_mailbox **mailbox_out);
void maildir_mailbox_close(struct ph_store_mailbox *mailbox);
void maildir_mailbox_status(struct ph_store_mailbox *mailbox,
    struct ph_mailbox_status *status_out);
size_t maildir_keywords(struct ph_store_mailbox *mailbox,
    const char *const **names_out);
size_t maildir_messages(struct ph_store_mailbox *mailbox,
    struct ph_arena *arena, const struct ph_message_meta **metas_out);
void maildir_changes(struct ph_store_mailbox *mailbox, uint64_t since,
    struct ph_arena *arena, struct ph_mailbox_changes *changes_out);
int maildir_refresh(struct ph_store_mailbox *mailbox);
struct ph_event *maildir_event(struct ph_store_mailbox *mailbox);

int maildir_keyword(struct ph_store_mailbox *mailbox, struct ph_slice name,
    bool create);
int maildir_store_flags(struct ph_store_mailbox *mailbox, const uint32_t *uids,
    size_t count, enum ph_flag_op op, uint32_t flags, uint64_t keywords,
    uint64_t unchanged_since, struct ph_arena *arena,
    const uint32_t **modified_out, size_t *modified_count_out);
int maildir_expunge(struct ph_store_mailbox *mailbox, const uint32_t *uids,
    size_t count);
int maildir_remove(struct ph_store_mailbox *mailbox, const uint32_t *uids,
    size_t count);
int maildir_copy(struct ph_store_mailbox *mailbox, const uint32_t *uids,
    size_t count, struct ph_slice to, struct ph_arena *arena,
    struct ph_uid_map *map_out);
int maildir_content(struct ph_store_mailbox *mailbox, uint32_t uid,
    struct ph_arena *arena, struct ph_content *content_out);
int maildir_summary(struct ph_store_mailbox *mailbox, uint32_t uid,
    struct ph_arena *arena, struct ph_message_summary *summary_out);

int maildir_append_begin(struct ph_store *store, struct ph_slice user,
    struct ph_slice mailbox, uint32_t flags, const struct ph_slice *keywords,
    size_t keyword_count, int64_t internal_date,
    struct ph_append **append_out);
int maildir_append_write(struct ph_append *append, const void *p, size_t n);
int maildir_append_commit(struct ph_append *append, struct ph_arena *arena,
    struct ph_uid_map *map_out);
void maildir_append_abort(struct ph_append *append);

#endif
