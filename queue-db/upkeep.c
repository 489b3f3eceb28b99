/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upkeep.c - what must happen now and then, away from the commit path:
 * checkpoints, the flush that lazy ops may wait for, the ballast's return,
 * the removal of expired pairs.
 */
#include <stdlib.h>
#include <time.h>

#include "inner.h"

enum { BUSY_MS = 200, IDLE_MS = 1000, EXPIRE_MS = 60000, EXPIRE_ROWS = 1000 };

/* What was committed lazily so far gets to the disk; then the files of removed
 * messages may go. */
static void
flush_lazy(struct queue_db *db)
{
	struct gone *gone;
	bool dirty;

	pthread_mutex_lock(&db->lock);
	dirty = db->lazy_unflushed;
	gone = db->gone_unflushed;
	db->gone_unflushed = NULL;
	db->lazy_unflushed = false;
	pthread_mutex_unlock(&db->lock);
	if (!dirty)
		return;
	step("lazy flush");
	if (db->env->log_flush(db->env, NULL) != 0) {
		/* the disk is full: keep the files, try again */
		pthread_mutex_lock(&db->lock);
		while (gone != NULL) {
			struct gone *next = gone->next;

			gone->next = db->gone_unflushed;
			db->gone_unflushed = gone;
			gone = next;
		}
		db->lazy_unflushed = true;
		pthread_mutex_unlock(&db->lock);
		return;
	}
	pthread_mutex_lock(&db->lock);
	body_unlink_later(db, gone);
	pthread_mutex_unlock(&db->lock);
}

void
queue_checkpoint(struct queue_db *db, uint32_t kilobytes)
{
	int rc;

	step("checkpoint");
	rc = db->env->txn_checkpoint(db->env, kilobytes, 0, 0);
	step("checkpoint done");
	if (rc == 0)
		return;
	if (status_of_db(rc) == PH_FULL)
		ballast_give_up(db);
	queue_report_some(db, status_of_db(rc), "a checkpoint failed, it is "
	    "tried again");
}

/* Berkeley DB decides whether 16 MiB were written; see whether it did. */
static bool
note_checkpoint(struct queue_db *db, DB_LSN *last)
{
	DB_TXN_STAT *stat;
	bool made;

	if (db->env->txn_stat(db->env, &stat, 0) != 0)
		return false;
	made = log_compare(&stat->st_last_ckp, last) != 0;
	*last = stat->st_last_ckp;
	if (made) {
		pthread_mutex_lock(&db->lock);
		db->stats.checkpoints++;
		db->stats.last_checkpoint_ms = wall_ms();
		pthread_mutex_unlock(&db->lock);
	}
	free(stat);
	return made;
}

/* True: time to end. */
static bool
upkeep_wait(struct queue_db *db, uint64_t *batches)
{
	struct timespec until;
	bool stop;
	int64_t ms;

	pthread_mutex_lock(&db->lock);
	ms = monotonic_ms() + (*batches != db->stats.batches ? BUSY_MS :
	    IDLE_MS);
	*batches = db->stats.batches;
	until = (struct timespec){ ms / 1000, ms % 1000 * 1000000 };
	if (!db->upkeep_stop)
		pthread_cond_timedwait(&db->upkeep_wake, &db->lock, &until);
	stop = db->upkeep_stop;
	pthread_mutex_unlock(&db->lock);
	return stop;
}

void *
upkeep_main(void *arg)
{
	struct queue_db *db = arg;
	int64_t now = monotonic_ms();
	int64_t checkpointed = now, expired = now, flushed = now;
	uint64_t batches = 0;
	DB_LSN last = { 0, 0 };

	note_checkpoint(db, &last);
	pthread_mutex_lock(&db->lock);
	db->stats.checkpoints = 0;
	db->stats.last_checkpoint_ms = 0;
	pthread_mutex_unlock(&db->lock);
	while (!upkeep_wait(db, &batches)) {
		now = monotonic_ms();
		if (now - flushed >= IDLE_MS - BUSY_MS) {
			flush_lazy(db);
			flushed = now;
		}
		queue_checkpoint(db, now - checkpointed >= CHECKPOINT_MS ? 0 :
		    CHECKPOINT_BYTES / 1024);
		if (note_checkpoint(db, &last) ||
		    now - checkpointed >= CHECKPOINT_MS)
			checkpointed = now;
		if (now - expired >= EXPIRE_MS) {
			queue_db_kv_sweep(db, EXPIRE_ROWS, wall_ms());
			expired = now;
		}
		if (ballast_is_used(db))
			ballast_put(db);
	}
	return NULL;
}
