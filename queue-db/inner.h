/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inner.h - what the files of queue-db share. Only they and their tests
 * include it.
 *
 * Three threads: bodies (syncs and links large bodies, unlinks removed ones),
 * commit (the only writer of tables), upkeep (checkpoints, lazy flushes, the
 * ballast, expired pairs). `lock` guards the queues between them and what is
 * marked so; the environment guards itself.
 */
#ifndef QUEUE_DB_INNER_H
#define QUEUE_DB_INNER_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include <db.h>

#include "base/id.h"
#include "base/record.h"
#include "queue_db.h"

enum {
	LOG_FILE_BYTES = 16 << 20,
	LOG_BUFFER_BYTES = 4 << 20,
	CHECKPOINT_BYTES = 16 << 20,
	CHECKPOINT_MS = 30000,
	TIGHT_CHECKPOINT_BYTES = 2 << 20, /* while the ballast is used */
	BATCH_MESSAGES = 64,
	BATCH_OPS = 512,
	BATCH_BYTES = 4 << 20,
	PAGE_BYTES = 16384,
	RESERVE_ROWS = 16,    /* pages: messages, recipients */
	RESERVE_BODIES = 64, /* pages */
};

enum table {
	T_MESSAGES,
	T_RECIPIENTS,
	T_BODIES,
	T_KV,
	T_ASIDE, /* damaged rows: table octet, old key, wall ms -> old row */
	TABLES,
};

/* --- rows (row.c, pure) --- */

enum {
	ROW_VERSION = 1,
	ROW_HEAD = 5, /* version, CRC-32 LE of table, key, version, payload */
	KEY_ID = 8,
	KEY_RECIPIENT = 12,
	KEY_KV_MAX = 1 + QUEUE_DB_KEY_MAX,
	KEY_MAX = KEY_KV_MAX + 16,
};

struct row_message {
	enum queue_db_order order;
	int8_t priority;
	bool has_file;
	uint64_t octet_bytes;
	uint64_t file_bytes;
	struct ph_slice envelope, trace;
};

struct row_pair {
	int64_t expires_ms;
	struct ph_slice value;
};

/* Keys ascend as octets when the numbers do. */
void key_of_id(uint64_t id, char key[KEY_ID]);
void key_of_recipient(uint64_t id, uint32_t number, char key[KEY_RECIPIENT]);
uint64_t id_of_key(struct ph_slice key);

/* The payload behind the head; PH_DEFECT for damage or another version. */
int row_open(enum table table, struct ph_slice key, struct ph_slice row,
    struct ph_slice *payload_out);
/* Each makes a whole row in the arena. */
struct ph_slice row_of_message(struct ph_arena *arena, struct ph_slice key,
    const struct row_message *message);
struct ph_slice row_of_recipient(struct ph_arena *arena, struct ph_slice key,
    const struct queue_db_recipient *recipient);
struct ph_slice row_of_octets(struct ph_arena *arena, enum table table,
    struct ph_slice key, struct ph_slice octets);
struct ph_slice row_of_pair(struct ph_arena *arena, struct ph_slice key,
    const struct row_pair *pair);
/* Slices point into the row. PH_DEFECT. */
int row_to_message(struct ph_slice key, struct ph_slice row,
    struct row_message *message_out);
int row_to_recipient(struct ph_slice key, struct ph_slice row,
    struct queue_db_recipient *recipient_out);
int row_to_pair(struct ph_slice key, struct ph_slice row,
    struct row_pair *pair_out);

/* --- ops (op.c) --- */

enum action_kind {
	ADD_MESSAGE,
	ADD_RECIPIENT,
	UPDATE_RECIPIENT,
	ORDER_MESSAGE,
	PRIORITY_MESSAGE,
	TRACE_MESSAGE,
	REMOVE_MESSAGE,
	KV_PUT,
	KV_DELETE,
	KV_EXPIRE,      /* delete if it still is expired at now_ms */
	ASIDE_MESSAGE,  /* set all rows of id aside if one is damaged */
	ASIDE_PAIR,
};

struct row_put {
	enum table table;
	struct ph_slice key, row;
};

struct action {
	struct action *next;
	enum action_kind kind;
	uint64_t id;
	struct ph_slice key;       /* of a pair */
	int64_t now_ms;
	struct queue_db_update update;
	enum queue_db_order order;
	int8_t priority;
	struct ph_slice more;      /* for the trace */
	queue_db_merge merge;
	struct row_put *puts;      /* rows that must not be there yet */
	size_t put_count;
	int fd;                    /* spool file, or -1 */
	bool linked;
	uint64_t file_bytes;
	uint64_t size_bytes;
};

struct gone { /* a body file to unlink when its removal is flushed */
	struct gone *next;
	uint64_t id;
};

struct queue_db_op {
	struct queue_db_op *next;
	struct ph_arena *arena;
	struct action *first, **last;
	int status;
	size_t octets, limit;
	size_t messages;      /* new ones */
	bool has_files;
	enum queue_db_when when;
	queue_db_done done;   /* NULL: nobody asks */
	void *arg;
	/* what it did, set while it is applied */
	int64_t messages_delta, bytes_delta;
	uint64_t defects;
	struct gone *gone;    /* malloc */
};

struct op_queue {
	struct queue_db_op *first, **last;
};
void op_queue_init(struct op_queue *queue);
void op_queue_add(struct op_queue *queue, struct queue_db_op *op);
struct queue_db_op *op_queue_take(struct op_queue *queue);

/* Internal changes. */
void op_kv_expire(struct queue_db_op *op, struct ph_slice key, int64_t now_ms);
/* Damage was seen: submit its setting aside; nobody waits for it. */
void aside_message(struct queue_db *db, uint64_t id);
void aside_pair(struct queue_db *db, struct ph_slice key);

/* --- the queue --- */

struct queue_db {
	struct queue_db_options options;
	char *dir;
	int dir_fd, bodies_fd, lock_fd;
	DB_ENV *env;
	DB *table[TABLES];

	pthread_t commit_thread, body_thread, upkeep_thread;
	bool commit_runs, body_runs, upkeep_runs;
	pthread_mutex_t lock;
	pthread_cond_t commit_wake, body_wake, upkeep_wake, idle;
	/* under lock */
	struct op_queue commit_queue, body_queue;
	struct gone *gone_unflushed; /* removed, the removal not yet flushed */
	struct gone *gone_unlink;    /* for the body thread */
	bool upkeep_stop;
	bool closing;                /* nothing more is submitted */
	bool lazy_unflushed;
	bool ballast_lies;
	uint64_t log_since_checkpoint;
	struct queue_db_stats stats;

	pthread_mutex_t room_lock;
	int64_t room_looked_ms;      /* monotonic; under room_lock */
	uint64_t room_bytes;         /* under room_lock */

	pthread_mutex_t words_lock;
	int64_t words_since_ms;      /* of queue_report_some */
	unsigned words;

	pthread_mutex_t sweep_lock;
	char sweep_key[KEY_KV_MAX];  /* where the next sweep begins */
	size_t sweep_key_n;
};

/* env.c */
const char *table_file(enum table table);
int64_t monotonic_ms(void);
int64_t wall_ms(void);
/* Tell the operator. */
void queue_report(struct queue_db *db, int status, int errnum, const char *fmt,
    ...) PH_PRINTF(4, 5);
/* The same for what may come in hundreds: a few a minute get through. */
void queue_report_some(struct queue_db *db, int status, const char *text);
/* End the process: what is in memory can't be trusted any more. */
_Noreturn void queue_die(const char *what, int errnum);
/* Sync a file or directory of ours by the same rules as the environment's:
 * counted, skipped when options.fsync is false. 0 or errno; never ends us. */
int queue_sync(struct queue_db *db, int fd, bool data_only);
uint64_t queue_sync_count(void);
/* The status of a Berkeley DB return value; PH_BUSY: a deadlock, do it again.
 * Does not return when the environment is lost. */
int status_of_db(int rc);
int status_of_errno(int errnum);

/* tables.c: one row, or a range of rows in key order. */
struct row_buf { /* zero it first; grows as needed */
	void *p;
	size_t n, capacity;
};
void row_buf_fini(struct row_buf *buf);
struct ph_slice row_buf_content(const struct row_buf *buf);
/* for_change: lock it as a writer does. txn NULL: deadlocks are retried here.
 * PH_NOT_FOUND. */
int table_get(struct queue_db *db, DB_TXN *txn, enum table table,
    struct ph_slice key, struct row_buf *buf, bool for_change);
int table_put(struct queue_db *db, DB_TXN *txn, enum table table,
    struct ph_slice key, struct ph_slice row, bool must_be_new);
int table_delete(struct queue_db *db, DB_TXN *txn, enum table table,
    struct ph_slice key);

/* Give a new table that many free pages, so that removals need no flush. */
int table_reserve(struct queue_db *db, enum table table, uint32_t pages);

struct range {
	DBC *cursor;
	DBT key, row;
	uint32_t step;
	bool for_change;
	bool back; /* downwards from the second row on */
};
/* Rows from the first key >= from. Close it in any case. */
int range_open(struct queue_db *db, DB_TXN *txn, enum table table,
    struct ph_slice from, struct range *range_out);
/* PH_NOT_FOUND at the end. The slices live until the next call. */
int range_next(struct range *range, struct ph_slice *key_out,
    struct ph_slice *row_out);
int range_delete(struct range *range); /* the row range_next gave */
/* Inside a transaction its failure (PH_BUSY too) must abort it. */
int range_close(struct range *range);

/* read.c: parts of a message, copied into the arena. */
struct recipient_list {
	struct queue_db_recipient *item;
	size_t n, capacity;
};
void recipient_add(struct ph_arena *arena, struct recipient_list *list,
    const struct queue_db_recipient *borrowed);
void message_from_row(struct queue_db_message *message, struct ph_arena *arena,
    const struct row_message *row);

/* list.c: up to n ids above `from`, ascending; or below it, descending. */
enum direction { UP, DOWN };
int read_ids(struct queue_db *db, uint64_t from, enum direction direction,
    uint64_t *ids, size_t n, size_t *count_out);

/* commit.c */
void *commit_main(void *db);
/* apply.c: 0 or why not; then the transaction must be aborted. */
int apply_op(struct queue_db *db, DB_TXN *txn, struct queue_db_op *op);

/* body.c */
void *body_main(void *db);
int body_open_dirs(struct queue_db *db, struct ph_err *err);
/* Unlink files that no row names. */
int body_sweep(struct queue_db *db, struct ph_err *err);
int body_open_file(struct queue_db *db, uint64_t id, uint64_t file_bytes,
    int *fd_out);
/* Take back what was linked for an op that failed. */
void body_undo(struct queue_db *db, struct queue_db_op *op);
/* Under lock: the removals of these are on disk. */
void body_unlink_later(struct queue_db *db, struct gone *gone);

/* ballast.c */
uint64_t disk_free(struct queue_db *db);
/* Before recovery: give it up if the disk is so full that recovery may fail. */
void ballast_before_recovery(struct queue_db *db);
/* All of it; false when there was none. */
bool ballast_for_recovery(struct queue_db *db);
void ballast_give_up(struct queue_db *db);
/* It was given up (or never found room). */
bool ballast_is_used(struct queue_db *db);
/* Put it (back) when there is room. */
void ballast_put(struct queue_db *db);

/* upkeep.c */
/* When the log grew by kilobytes since the last one; 0: when it grew at all. */
void queue_checkpoint(struct queue_db *db, uint32_t kilobytes);
void *upkeep_main(void *db);

/* Tests stop the process at the n-th step; NULL otherwise. Called between all
 * transitions of README.md's table. */
extern void (*_Atomic queue_db_test_step)(const char *name);
static inline void
step(const char *name)
{
	void (*hook)(const char *) = atomic_load_explicit(&queue_db_test_step,
	    memory_order_acquire);

	if (__builtin_expect(hook != NULL, 0))
		hook(name);
}

#endif
