/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commit.c - the one writer: takes all ops that wait, puts them into one
 * transaction, flushes once, answers all. There is no timer: while one flush
 * is under way the next batch gathers by itself.
 *
 * When anything in a batch fails the transaction is aborted and each op tried
 * alone, so that only those fail that must.
 */
#include <stdlib.h>
#include <unistd.h>

#include "inner.h"

enum { DEADLOCK_TRIES = 1000 };

struct batch {
	struct queue_db_op *op[BATCH_OPS];
	size_t n;
	bool tight; /* the ballast is used */
	bool sync;  /* flushed when committed */
};

/* Under lock. */
static void
batch_take(struct queue_db *db, struct batch *batch)
{
	size_t messages = 0, octets = 0;
	struct queue_db_op *op;

	batch->n = 0;
	while (batch->n < BATCH_OPS && (op = db->commit_queue.first) != NULL) {
		messages += op->messages;
		octets += op->octets;
		if (batch->n > 0 && (messages > BATCH_MESSAGES ||
		    octets > BATCH_BYTES))
			break;
		batch->op[batch->n++] = op_queue_take(&db->commit_queue);
	}
}

static bool
batch_is_durable(struct queue_db_op *const *op, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (op[i]->when == QUEUE_DB_DURABLE)
			return true;
	return false;
}

static int
commit_end(DB_TXN *txn, bool sync)
{
	int rc;

	step("applied");
	rc = txn->commit(txn, sync ? DB_TXN_SYNC : DB_TXN_WRITE_NOSYNC);
	step("committed");
	/* A commit that found the disk full was undone by the library; after
	 * any other failure what is on disk is not known. */
	if (rc != 0 && status_of_errno(rc) != PH_FULL)
		queue_die("commit", rc);
	return status_of_db(rc);
}

static int
commit_try(struct queue_db *db, struct queue_db_op *const *op, size_t n,
    bool sync)
{
	DB_TXN *txn;
	int rc = status_of_db(db->env->txn_begin(db->env, NULL, &txn, 0));

	if (rc != 0)
		return rc;
	step("begun");
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = apply_op(db, txn, op[i]);
	if (rc == 0)
		return commit_end(txn, sync);
	step("failed");
	n = (size_t)txn->abort(txn);
	if (n != 0)
		queue_die("abort", (int)n);
	return rc;
}

static void
commit_ops(struct queue_db *db, struct queue_db_op **op, size_t n, bool sync)
{
	int rc, tries = 0;

	do
		rc = commit_try(db, op, n, sync);
	while (rc == PH_BUSY && ++tries < DEADLOCK_TRIES);
	if (rc == PH_FULL) {
		/* the room of the ballast, and of the log before a checkpoint */
		ballast_give_up(db);
		queue_checkpoint(db, 0);
		/* what frees room or only notes progress may use it */
		if (n == 1 && op[0]->messages == 0)
			rc = commit_try(db, op, n, sync);
	}
	if (rc == 0)
		return;
	if (n == 1)
		op[0]->status = rc == PH_BUSY ? PH_IO : rc;
	for (size_t i = 0; n > 1 && i < n; i++)
		commit_ops(db, &op[i], 1, sync);
}

static void
gone_append(struct gone **list, struct gone *gone)
{
	while (*list != NULL)
		list = &(*list)->next;
	*list = gone;
}

static void
report_defects(struct queue_db *db, const struct queue_db_op *op)
{
	char text[ID_TEXT_MAX];

	for (const struct action *a = op->first; a != NULL; a = a->next) {
		if (a->kind == ASIDE_MESSAGE)
			queue_report(db, PH_DEFECT, 0, "message %s is damaged: "
			    "set aside, nothing of it was deleted",
			    id_format(a->id, text));
		if (a->kind == ASIDE_PAIR)
			queue_report(db, PH_DEFECT, 0, "a key-value row is "
			    "damaged: set aside");
	}
}

/* Under lock: an op that happened. */
static void
count_op(struct queue_db *db, struct queue_db_op *op)
{
	db->stats.messages += (uint64_t)op->messages_delta;
	db->stats.content_bytes += (uint64_t)op->bytes_delta;
	db->stats.commits += op->messages;
	db->stats.defects += op->defects;
	gone_append(&op->gone, db->gone_unflushed);
	db->gone_unflushed = op->gone;
	op->gone = NULL;
}

static void
commit_settle(struct queue_db *db, const struct batch *batch)
{
	struct gone *flushed = NULL;
	bool wrote = false;

	pthread_mutex_lock(&db->lock);
	for (size_t i = 0; i < batch->n; i++) {
		struct queue_db_op *op = batch->op[i];

		db->stats.ops++;
		db->stats.ops_failed += op->status != 0;
		if (op->status != 0)
			continue;
		wrote |= op->messages > 0 || op->messages_delta != 0;
		count_op(db, op);
	}
	db->stats.batches++;
	/* With the batch all before it was flushed, unless there was nothing
	 * to write. */
	if (batch->sync && wrote) {
		flushed = db->gone_unflushed;
		db->gone_unflushed = NULL;
		db->lazy_unflushed = false;
	} else {
		db->lazy_unflushed = true;
	}
	body_unlink_later(db, flushed);
	pthread_mutex_unlock(&db->lock);
}

static void
commit_answer(struct queue_db *db, struct queue_db_op *op)
{
	if (op->status != 0)
		body_undo(db, op);
	else if (op->defects > 0)
		report_defects(db, op);
	step("answering");
	if (op->done != NULL)
		op->done(op->arg, op->status);
	queue_db_op_free(op);
	step("answered");
}

static void
commit_batch(struct queue_db *db, struct batch *batch)
{
	struct queue_db_op *op[BATCH_OPS];
	size_t n = 0;

	/* When room is short, what was removed must give its room back. */
	batch->tight = ballast_is_used(db);
	batch->sync = batch->tight || batch_is_durable(batch->op, batch->n);
	for (size_t i = 0; i < batch->n; i++) {
		if (batch->tight && batch->op[i]->messages > 0 &&
		    batch->op[i]->status == 0)
			batch->op[i]->status = PH_FULL;
		if (batch->op[i]->status == 0)
			op[n++] = batch->op[i];
	}
	if (n > 0)
		commit_ops(db, op, n, batch->sync);
	commit_settle(db, batch);
	for (size_t i = 0; i < batch->n; i++)
		commit_answer(db, batch->op[i]);
	if (batch->tight)
		queue_checkpoint(db, TIGHT_CHECKPOINT_BYTES / 1024);
	pthread_mutex_lock(&db->lock);
	db->stats.waiting -= batch->n;
	if (db->stats.waiting == 0)
		pthread_cond_broadcast(&db->idle);
	pthread_mutex_unlock(&db->lock);
}

void *
commit_main(void *arg)
{
	struct queue_db *db = arg;
	struct batch batch;

	for (;;) {
		pthread_mutex_lock(&db->lock);
		while (db->commit_queue.first == NULL && !db->closing)
			pthread_cond_wait(&db->commit_wake, &db->lock);
		batch_take(db, &batch);
		pthread_mutex_unlock(&db->lock);
		if (batch.n == 0)
			return NULL;
		step("taken");
		commit_batch(db, &batch);
	}
}
