/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue_db.h - the durable queue: messages, recipients, bodies, and small
 * values that expire. Berkeley DB stands behind it; nothing here says so.
 *
 * Changes are gathered in an *op*, which happens whole or not at all. One
 * commit thread puts all ops that wait into one transaction and one flush and
 * then calls each op's done. Reads are plain calls that may wait for the disk
 * and for a commit under way: make them from a worker thread, not the loop.
 *
 * Every function may be called from any thread, except that an op belongs to
 * one thread at a time. No fibers, no loop, no modules are known here.
 *
 * When a flush fails, or the environment can no longer be trusted, the process
 * ends at once with exit status 70 (QUEUE_DB_EXIT): what was answered before is
 * on disk, what was not was never promised. Opening again recovers.
 */
#ifndef QUEUE_DB_H
#define QUEUE_DB_H

#include <posthouse/arena.h>

enum {
	QUEUE_DB_EXIT = 70,
	QUEUE_DB_INLINE_MAX = 65536,     /* body octets kept in a row */
	QUEUE_DB_RECORD_MAX = 262144,    /* envelope, trace, recipient record */
	QUEUE_DB_ADDRESS_MAX = 1024,     /* address, destination */
	QUEUE_DB_RECIPIENTS_MAX = 10000, /* of one message */
	QUEUE_DB_KEY_MAX = 1024,         /* of the key-value store */
	QUEUE_DB_VALUE_MAX = 65536,
	QUEUE_DB_OP_MAX = 3 << 20,       /* octets of all rows of one op */
	QUEUE_DB_PRIORITY_MAX = 9,       /* and -9 the least, as RFC 6710 has it */
};

struct queue_db;

struct queue_db_options {
	uint64_t cache_bytes;     /* 0: 64 MiB */
	uint64_t ballast_bytes;   /* 0: none; 64 MiB is right for a server: half
	                           * for a full disk, half for recovery on it */
	uint64_t soft_free_bytes; /* below it queue_db_has_room says no */
	bool fsync;               /* false: tests only, power failure loses */
	/* Where an operator should look: damage set aside, a full disk, a failed
	 * checkpoint. From any thread. NULL: a line on standard error. */
	void (*report)(void *arg, const struct ph_err *err);
	void *report_arg;
};

/*
 * Open or create the queue in dir (absolute, 0700, ours alone; created when
 * missing) and recover it. Starts threads: call it after the process confined
 * itself. One open queue a process; the directory is locked against a second
 * process (PH_BUSY). On failure err says why: PH_IO, PH_FULL, PH_DEFECT.
 */
int queue_db_open(const char *dir, const struct queue_db_options *options,
    struct queue_db **db_out, struct ph_err *err);
/* Finishes what was submitted (each done is called), makes it durable, writes a
 * checkpoint, ends the threads. NULL is fine. No other call may be under way. */
void queue_db_close(struct queue_db *db);

/* --- what is stored --- */

enum queue_db_state {
	QUEUE_DB_WAITING = 1, /* to be tried at next_ms */
	QUEUE_DB_DELIVERED,
	QUEUE_DB_FAILED,      /* for good; its bounce was in the same op */
	QUEUE_DB_REPLACED,    /* by other recipients (aliases), in the same op */
};

/* What an operator decided about a message, or a check that held it. */
enum queue_db_order {
	QUEUE_DB_READY,    /* nothing: it is tried */
	QUEUE_DB_HELD,     /* it is kept, and tried by nobody */
	QUEUE_DB_RETURNED, /* what waits is to fail, and asks nobody */
	QUEUE_DB_ORDERS,
};

struct queue_db_recipient {
	uint32_t number;             /* unique in the message, never reused */
	enum queue_db_state state;
	uint32_t attempts;
	int64_t next_ms;             /* wall time of the next attempt, ms */
	struct ph_slice address;
	struct ph_slice destination; /* what is scheduled together; may be "" */
	struct ph_slice record;      /* the caller's: DSN wishes, last answer */
};

/*
 * The content is octets followed by the file, if there is one. Up to
 * QUEUE_DB_INLINE_MAX in octets; more goes to the file that queue_db_spool
 * made, of which octets may be the header fields put in front.
 */
struct queue_db_body {
	struct ph_slice octets;
	int fd;              /* -1: no file */
	uint64_t file_bytes; /* the file's exact size */
};

struct queue_db_message {
	uint64_t id;              /* id_create; not 0 */
	enum queue_db_order order;
	int8_t priority;          /* 0 normal, more is sooner */
	struct ph_slice envelope; /* the caller's */
	struct ph_slice trace;    /* the caller's */
	struct queue_db_body body;
	const struct queue_db_recipient *recipients; /* by number, ascending */
	size_t recipient_count;
	uint64_t size_bytes;      /* of the content; only read */
};

/* A change of a recipient; the address stays. */
struct queue_db_update {
	uint32_t number;
	enum queue_db_state state;
	uint32_t attempts;
	int64_t next_ms;
	struct ph_slice record; /* absent: keep the old one */
};

/* --- changes --- */

struct queue_db_op;

/* An empty op; memory of its own. Everything added is copied. */
struct queue_db_op *queue_db_op_create(void);
/* Only for an op that was not submitted. NULL is fine. */
void queue_db_op_free(struct queue_db_op *op);

/*
 * Each adds one change. The first that is out of its limits spoils the op:
 * queue_db_submit answers it, so a chain of calls is checked once.
 * What the store itself decides comes to done: PH_EXISTS, PH_NOT_FOUND.
 */
/* A new message. body.fd is duplicated and, until done, must not be written. */
void queue_db_op_message(struct queue_db_op *op,
    const struct queue_db_message *message);
/* One more recipient of a message that is there. */
void queue_db_op_recipient(struct queue_db_op *op, uint64_t id,
    const struct queue_db_recipient *recipient);
void queue_db_op_update(struct queue_db_op *op, uint64_t id,
    const struct queue_db_update *update);
void queue_db_op_order(struct queue_db_op *op, uint64_t id,
    enum queue_db_order order);
/*
 * Change the trace to what merge makes of it and of more (copied): in the arena,
 * or the trace itself, and then no row is written. It is called from the commit
 * thread, maybe more than once: pure, and quick. A result that is too large for a
 * row leaves the trace as it is.
 */
typedef struct ph_slice (*queue_db_merge)(struct ph_arena *arena,
    struct ph_slice trace, struct ph_slice more);
void queue_db_op_trace(struct queue_db_op *op, uint64_t id,
    struct ph_slice more, queue_db_merge merge);
/* From -QUEUE_DB_PRIORITY_MAX to QUEUE_DB_PRIORITY_MAX, else PH_INVALID. */
void queue_db_op_priority(struct queue_db_op *op, uint64_t id, int priority);
/* Message, recipients, body; a missing one is PH_NOT_FOUND. */
void queue_db_op_remove(struct queue_db_op *op, uint64_t id);
/* A space keeps one user's keys apart. expires_ms: wall time, 0 never. */
void queue_db_op_kv_put(struct queue_db_op *op, uint8_t space,
    struct ph_slice key, struct ph_slice value, int64_t expires_ms);
/* A missing key is fine. */
void queue_db_op_kv_delete(struct queue_db_op *op, uint8_t space,
    struct ph_slice key);

enum queue_db_when {
	/* done when flushed: survives power failure. A new message is always so. */
	QUEUE_DB_DURABLE,
	/* done when the system has it: survives kill -9; power failure may undo
	 * it (whole) until the next flush, at most a second later. */
	QUEUE_DB_LAZY,
};

/*
 * Called once for each submitted op, always from the commit thread: be short,
 * never wait, and wake your loop (uv_async_send). It may submit more.
 * status: 0 it happened; else nothing of it did: PH_EXISTS, PH_NOT_FOUND,
 * PH_FULL (no room: disk), PH_IO, PH_DEFECT (the row to change is damaged),
 * PH_INVALID (the spool file is not file_bytes long, or not a spool file).
 */
typedef void (*queue_db_done)(void *arg, int status);

/*
 * Takes the op, in any case. 0: done will be called. PH_TOO_BIG, PH_INVALID,
 * PH_IO (no descriptor): the op was spoiled, nothing happens, done is not
 * called. Ops happen in the order in which they are submitted, except that one
 * with a spool file may be overtaken while its file is synced.
 */
int queue_db_submit(struct queue_db *db, struct queue_db_op *op,
    enum queue_db_when when, queue_db_done done, void *arg);

/*
 * An unlinked file for a large body, open for reading and writing, empty. Pass
 * it (or a duplicate) in queue_db_body.fd; closed without that, it is gone.
 * PH_FULL, PH_IO with errno.
 */
int queue_db_spool(struct queue_db *db, int *fd_out);

/* Whether bytes more would leave soft_free_bytes. Looks at the disk at most
 * once a second; never waits otherwise. False also while the ballast is used. */
bool queue_db_has_room(struct queue_db *db, uint64_t bytes);

/* --- reads --- */

/*
 * A message with recipients in the order of their numbers, and, with_body, its
 * content: octets, and the file open for reading (the arena closes it), else
 * octets absent and fd -1. All in the arena. PH_NOT_FOUND, PH_IO; PH_DEFECT:
 * a row of it is damaged, all rows of the message were set aside.
 */
int queue_db_get(struct queue_db *db, uint64_t id, bool with_body,
    struct ph_arena *arena, struct queue_db_message *message_out);
/*
 * Up to limit messages with ids above after, ascending, with recipients and
 * without bodies. *count_out is 0 at the end. Damaged ones are set aside,
 * reported and skipped.
 */
int queue_db_list(struct queue_db *db, uint64_t after, size_t limit,
    struct ph_arena *arena, const struct queue_db_message **list_out,
    size_t *count_out);
/* The same from the other end: ids below `before`, descending. Filling the
 * schedule is a loop of this, for what is fresh is due first. */
int queue_db_list_down(struct queue_db *db, uint64_t before, size_t limit,
    struct ph_arena *arena, const struct queue_db_message **list_out,
    size_t *count_out);
/* The greatest id in the store, 0 when empty: the floor of id_create_above. */
uint64_t queue_db_last_id(struct queue_db *db);

/* PH_NOT_FOUND also when it expired before now_ms. PH_DEFECT: set aside. */
int queue_db_kv_get(struct queue_db *db, uint8_t space, struct ph_slice key,
    int64_t now_ms, struct ph_arena *arena, struct ph_slice *value_out,
    int64_t *expires_ms_out);

struct queue_db_pair {
	struct ph_slice key;
	struct ph_slice value;
	int64_t expires_ms;
};
/* Up to limit pairs of a space with keys above after (absent: from the first),
 * in octet order, without expired ones. *count_out is 0 at the end. */
int queue_db_kv_list(struct queue_db *db, uint8_t space, struct ph_slice after,
    size_t limit, int64_t now_ms, struct ph_arena *arena,
    const struct queue_db_pair **list_out, size_t *count_out);
/* Looks at up to limit pairs from where the last sweep ended and submits the
 * removal of expired ones; the count of those. A thread of the library does it
 * each minute anyway. */
size_t queue_db_kv_sweep(struct queue_db *db, size_t limit, int64_t now_ms);

struct queue_db_stats {
	uint64_t messages;       /* in the store */
	uint64_t content_bytes;  /* of their contents */
	uint64_t waiting;        /* ops submitted, not done */
	uint64_t ops;            /* done, since open: all */
	uint64_t ops_failed;
	uint64_t batches;        /* transactions */
	uint64_t flushes;        /* fsyncs, of log, tables, bodies */
	uint64_t commits;        /* messages made durable, since open */
	uint64_t defects;        /* rows set aside, since open */
	uint64_t orphans;        /* body files swept at open */
	uint64_t checkpoints;
	int64_t last_checkpoint_ms; /* wall time; 0 none since open */
	uint64_t recovery_ms;    /* how long open took */
	bool ballast;            /* whether it lies there */
};
void queue_db_stats(struct queue_db *db, struct queue_db_stats *stats_out);

#endif
