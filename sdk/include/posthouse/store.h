/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posthouse/store.h - what a store module implements.
 *
 * Runs in the mail role. One mail process owns a partition: no other touches
 * it, so state in memory is the truth and sessions share it. Operations run in
 * fibers of one loop; files and Berkeley DB are touched inside ph_work. Every
 * operation of mailbox.h has its twin here with the same promise.
 */
#ifndef POSTHOUSE_STORE_H
#define POSTHOUSE_STORE_H

#include <posthouse/log.h>
#include <posthouse/mailbox.h>
#include <posthouse/module.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The store's own state of one process; created by open. */
struct ph_store;
/* An open mailbox of one session; created by mailbox_open. */
struct ph_store_mailbox;

/* One message for one or more users of this process. Borrowed for the call; made
 * by the core, grows at its end. */
struct ph_delivery_job {
	uint64_t queue_id;     /* file names derive from it and the recipient */
	const char *queue_name; /* the id as logged */
	struct ph_slice sender; /* Return-Path, without brackets */
	int64_t received_at;   /* seconds since 1970: the internal date */
	struct ph_slice content;
	struct ph_arena *arena;
	struct ph_delivery_target {
		struct ph_slice user;      /* canonical: whose INBOX */
		struct ph_slice recipient; /* Delivered-To */
		uint32_t recipient_no;     /* unique within the message */
		/* set by the store: */
		int status;   /* 0: durable; temporary or not by ph_status */
		uint32_t uid; /* for the log */
		const char *detail; /* see below */
	} *targets;
	size_t target_count;
	/*
	 * A target's detail is one sentence for a failure, for a success the
	 * mailboxes the message is in when that isn't just the INBOX, or NULL.
	 */
	/*
	 * Where each target's message goes, as targets are; NULL, or no item of
	 * his: into his INBOX. A mailbox that is missing is made; the INBOX
	 * stands for one that can't be. One message in one mailbox, also when
	 * that is named twice; the target's status speaks of all of them.
	 */
	struct ph_delivery_places {
		const struct ph_delivery_place {
			struct ph_slice mailbox; /* as a user wrote it */
			uint32_t flags;          /* of mailbox.h */
			const struct ph_slice *keywords;
			size_t keyword_count;
		} *item;
		size_t count;
	} *places;
};

struct ph_store_ops {
	/*
	 * Once per process: partition_count folders dir/0 .. dir/N-1 exist or
	 * are created; this process owns those with (p % shares) == share.
	 * Recovery happens here, and may take seconds. May suspend.
	 */
	int (*open)(struct ph_arena *arena, const void *conf, const char *dir,
	    unsigned partition_count, unsigned share, unsigned shares,
	    struct ph_store **store_out, struct ph_err *err);
	/* Sessions are gone; close environments cleanly. May suspend. */
	void (*close)(struct ph_store *store);
	/*
	 * Suspends until every target is durable or has failed; many calls run
	 * at once and are batched by the store (64 files or 50 ms). A delivery
	 * repeated after a crash replaces its own file and is there once.
	 */
	void (*deliver)(struct ph_store *store, struct ph_delivery_job *job);

	int (*list)(struct ph_store *store, struct ph_slice user,
	    struct ph_arena *arena, const struct ph_mailbox_name **names_out,
	    size_t *count_out);
	int (*create)(struct ph_store *store, struct ph_slice user,
	    struct ph_slice name);
	int (*del)(struct ph_store *store, struct ph_slice user,
	    struct ph_slice name);
	int (*rename)(struct ph_store *store, struct ph_slice user,
	    struct ph_slice from, struct ph_slice to);
	int (*subscribe)(struct ph_store *store, struct ph_slice user,
	    struct ph_slice name, bool on);
	int (*status_of)(struct ph_store *store, struct ph_slice user,
	    struct ph_slice name, struct ph_mailbox_status *status_out);

	int (*mailbox_open)(struct ph_store *store, struct ph_slice user,
	    struct ph_slice name, bool read_only,
	    struct ph_store_mailbox **mailbox_out);
	void (*mailbox_close)(struct ph_store_mailbox *mailbox);
	void (*mailbox_status)(struct ph_store_mailbox *mailbox,
	    struct ph_mailbox_status *status_out);
	size_t (*keywords)(struct ph_store_mailbox *mailbox,
	    const char *const **names_out);
	int (*keyword)(struct ph_store_mailbox *mailbox, struct ph_slice name,
	    bool create);
	size_t (*messages)(struct ph_store_mailbox *mailbox,
	    struct ph_arena *arena, const struct ph_message_meta **metas_out);
	void (*changes)(struct ph_store_mailbox *mailbox, uint64_t since,
	    struct ph_arena *arena, struct ph_mailbox_changes *changes_out);
	int (*refresh)(struct ph_store_mailbox *mailbox);
	struct ph_event *(*event)(struct ph_store_mailbox *mailbox);
	int (*store_flags)(struct ph_store_mailbox *mailbox,
	    const uint32_t *uids, size_t count, enum ph_flag_op op,
	    uint32_t flags, uint64_t keywords, uint64_t unchanged_since,
	    struct ph_arena *arena, const uint32_t **modified_out,
	    size_t *modified_count_out);
	int (*expunge)(struct ph_store_mailbox *mailbox, const uint32_t *uids,
	    size_t count);
	int (*remove)(struct ph_store_mailbox *mailbox, const uint32_t *uids,
	    size_t count);
	int (*copy)(struct ph_store_mailbox *mailbox, const uint32_t *uids,
	    size_t count, struct ph_slice to, struct ph_arena *arena,
	    struct ph_uid_map *map_out);
	int (*content)(struct ph_store_mailbox *mailbox, uint32_t uid,
	    struct ph_arena *arena, struct ph_content *content_out);
	int (*summary)(struct ph_store_mailbox *mailbox, uint32_t uid,
	    struct ph_arena *arena, struct ph_message_summary *summary_out);

	int (*append_begin)(struct ph_store *store, struct ph_slice user,
	    struct ph_slice mailbox, uint32_t flags,
	    const struct ph_slice *keywords, size_t keyword_count,
	    int64_t internal_date, struct ph_append **append_out);
	int (*append_write)(struct ph_append *append, const void *p, size_t n);
	int (*append_commit)(struct ph_append *append, struct ph_arena *arena,
	    struct ph_uid_map *map_out);
	void (*append_abort)(struct ph_append *append);
};

#ifdef __cplusplus
}
#endif
#endif
