/* SPDX-License-Identifier: Apache-2.0 */
/*
 * env.c - open, recover and close the environment; the flush hook.
 *
 * Berkeley DB forgets a failed flush: it retries, and the pages the system
 * dropped meanwhile are lost while later commits say 0. So its flushes go
 * through on_fsync, which ends the process instead.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "inner.h"

enum { WORDS_MS = 60000, WORDS_MAX = 6, LOCK_BUCKETS = 16381 };

void (*_Atomic queue_db_test_step)(const char *name);

static atomic_bool sync_wanted;
static atomic_ullong sync_made;

static const char *const table_files[TABLES] = {
	[T_MESSAGES] = "messages.db",
	[T_RECIPIENTS] = "recipients.db",
	[T_BODIES] = "bodies.db",
	[T_KV] = "pairs.db",
	[T_ASIDE] = "damaged.db",
};

const char *
table_file(enum table table)
{
	return table_files[table];
}

static int64_t
clock_ms(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t
monotonic_ms(void)
{
	return clock_ms(CLOCK_MONOTONIC);
}

int64_t
wall_ms(void)
{
	return clock_ms(CLOCK_REALTIME);
}

void
queue_report(struct queue_db *db, int status, int errnum, const char *fmt, ...)
{
	struct ph_err err = { .status = status, .errnum = errnum };
	va_list args;

	va_start(args, fmt);
	vsnprintf(err.text, sizeof(err.text), fmt, args);
	va_end(args);
	if (db->options.report != NULL)
		db->options.report(db->options.report_arg, &err);
	else
		fprintf(stderr, "queue-db: %s\n", err.text);
}

void
queue_die(const char *what, int errnum)
{
	char text[200];
	int n = snprintf(text, sizeof(text), "queue-db: %s failed: %s; ending, "
	    "what was answered is on disk\n", what,
	    errnum != 0 ? db_strerror(errnum) : "environment lost");
	ssize_t ignored = write(STDERR_FILENO, text, (size_t)n);

	(void)ignored;
	_exit(QUEUE_DB_EXIT);
}

static int
sync_fd(int fd, bool data_only)
{
	int rc;

	if (!atomic_load_explicit(&sync_wanted, memory_order_relaxed))
		return 0;
	atomic_fetch_add_explicit(&sync_made, 1, memory_order_relaxed);
	do
		rc = data_only ? fdatasync(fd) : fsync(fd);
	while (rc != 0 && errno == EINTR);
	return rc != 0 ? errno : 0;
}

/* Berkeley DB's flush of a log or table. */
static int
on_fsync(int fd)
{
	int error = sync_fd(fd, true);

	if (error != 0)
		queue_die("flush", error);
	return 0;
}

int
queue_sync(struct queue_db *db, int fd, bool data_only)
{
	(void)db;
	return sync_fd(fd, data_only);
}

int
status_of_errno(int errnum)
{
	switch (errnum) {
	case 0:
		return 0;
	case ENOSPC:
	case EDQUOT:
		return PH_FULL;
	case ENOMEM:
		return PH_NO_MEMORY;
	case EEXIST:
		return PH_EXISTS;
	default:
		return PH_IO;
	}
}

int
status_of_db(int rc)
{
	switch (rc) {
	case DB_NOTFOUND:
	case DB_KEYEMPTY:
		return PH_NOT_FOUND;
	case DB_KEYEXIST:
		return PH_EXISTS;
	case DB_LOCK_DEADLOCK:
	case DB_LOCK_NOTGRANTED:
		return PH_BUSY;
	case DB_RUNRECOVERY:
		queue_die("the environment", rc);
	default:
		return status_of_errno(rc);
	}
}

/* On a full disk there are three lines a page: the first ones tell enough. */
void
queue_report_some(struct queue_db *db, int status, const char *text)
{
	int64_t now = monotonic_ms();
	unsigned nth;

	pthread_mutex_lock(&db->words_lock);
	if (now - db->words_since_ms >= WORDS_MS) {
		db->words_since_ms = now;
		db->words = 0;
	}
	nth = db->words++;
	pthread_mutex_unlock(&db->words_lock);
	if (nth < WORDS_MAX)
		queue_report(db, status, 0, "%s%s", text,
		    nth + 1 == WORDS_MAX ? " (more is not shown)" : "");
}

static void
on_env_error(const DB_ENV *env, const char *prefix, const char *text)
{
	(void)prefix;
	queue_report_some(env->app_private, PH_IO, text);
}

static int
env_configure(struct queue_db *db, DB_ENV *env)
{
	const uint64_t cache = db->options.cache_bytes;
	int rc;

	env->app_private = db;
	env->set_errcall(env, on_env_error);
	if ((rc = env->set_cachesize(env, (uint32_t)(cache >> 30),
	         (uint32_t)(cache & ((1u << 30) - 1)), 1)) != 0 ||
	    (rc = env->set_lg_bsize(env, LOG_BUFFER_BYTES)) != 0 ||
	    (rc = env->set_lg_max(env, LOG_FILE_BYTES)) != 0 ||
	    (rc = env->log_set_config(env, DB_LOG_AUTO_REMOVE, 1)) != 0 ||
	    (rc = env->set_lk_detect(env, DB_LOCK_MINWRITE)) != 0 ||
	    (rc = env->set_lk_max_locks(env, 200000)) != 0 ||
	    (rc = env->set_lk_max_objects(env, 200000)) != 0 ||
	    /* else one bucket an object, 25 MiB that are never used */
	    (rc = env->set_lk_tablesize(env, LOCK_BUCKETS)) != 0 ||
	    (rc = env->set_lk_max_lockers(env, 20000)) != 0 ||
	    (rc = env->set_tx_max(env, 2000)) != 0)
		return rc;
	return 0;
}

/* 0 or Berkeley DB's value. */
static int
env_open_once(struct queue_db *db)
{
	DB_ENV *env;
	int rc = db_env_create(&env, 0);

	if (rc == 0)
		rc = env_configure(db, env);
	if (rc == 0)
		rc = env->open(env, db->dir, DB_CREATE | DB_RECOVER |
		    DB_PRIVATE | DB_THREAD | DB_INIT_TXN | DB_INIT_LOG |
		    DB_INIT_LOCK | DB_INIT_MPOOL, 0600);
	if (rc == 0)
		db->env = env;
	else
		env->close(env, 0);
	return rc;
}

static int
env_open(struct queue_db *db, struct ph_err *err)
{
	int rc;

	db_env_set_func_fsync(on_fsync);
	ballast_before_recovery(db);
	rc = env_open_once(db);
	if (rc != 0 && ballast_for_recovery(db))
		rc = env_open_once(db);
	if (rc != 0)
		return ph_err_set(err, rc == DB_RUNRECOVERY ? PH_DEFECT :
		    status_of_errno(rc), rc > 0 ? rc : 0,
		    "%s: recovery failed: %s", db->dir, db_strerror(rc));
	return 0;
}

static int
table_open(struct queue_db *db, enum table table)
{
	DB *handle;
	int rc = db_create(&handle, db->env, 0);

	if (rc != 0)
		return rc;
	rc = handle->set_pagesize(handle, PAGE_BYTES);
	if (rc == 0)
		rc = handle->set_flags(handle, DB_CHKSUM);
	if (rc == 0)
		rc = handle->open(handle, NULL, table_files[table], NULL,
		    DB_BTREE, DB_CREATE | DB_AUTO_COMMIT | DB_THREAD, 0600);
	if (rc == 0)
		db->table[table] = handle;
	else
		handle->close(handle, 0);
	return rc;
}

static int
tables_open(struct queue_db *db, struct ph_err *err)
{
	for (int i = 0; i < TABLES; i++) {
		int rc = table_open(db, (enum table)i);

		if (rc != 0)
			return ph_err_set(err, rc == DB_RUNRECOVERY ?
			    PH_DEFECT : status_of_errno(rc), rc > 0 ? rc : 0,
			    "%s/%s: %s", db->dir, table_files[i],
			    db_strerror(rc));
	}
	if (table_reserve(db, T_MESSAGES, RESERVE_ROWS) != 0 ||
	    table_reserve(db, T_RECIPIENTS, RESERVE_ROWS) != 0 ||
	    table_reserve(db, T_BODIES, RESERVE_BODIES) != 0)
		return ph_err_set(err, PH_FULL, 0, "%s: no room for tables",
		    db->dir);
	if (queue_sync(db, db->dir_fd, false) != 0)
		return ph_err_set(err, PH_IO, errno, "%s: %s", db->dir,
		    strerror(errno));
	return 0;
}

/* The directory, ours alone while lock_fd is open. */
static int
dir_open(struct queue_db *db, struct ph_err *err)
{
	if ((mkdir(db->dir, 0700) != 0 && errno != EEXIST) ||
	    (db->dir_fd = open(db->dir, O_RDONLY | O_DIRECTORY |
	        O_CLOEXEC)) < 0 ||
	    (db->lock_fd = openat(db->dir_fd, "lock", O_RDWR | O_CREAT |
	        O_CLOEXEC | O_NOFOLLOW, 0600)) < 0)
		return ph_err_set(err, status_of_errno(errno), errno, "%s: %s",
		    db->dir, strerror(errno));
	if (flock(db->lock_fd, LOCK_EX | LOCK_NB) != 0)
		return ph_err_set(err, PH_BUSY, errno,
		    "%s is open in another process", db->dir);
	return 0;
}

/* How much is there; damaged rows are found again when they are read. */
static int
count_messages(struct queue_db *db, struct ph_err *err)
{
	struct row_message message;
	struct ph_slice key, row;
	struct range range;
	int rc = range_open(db, NULL, T_MESSAGES, PH_LIT(""), &range);

	if (rc != 0)
		return ph_err_set(err, rc, 0, "%s can't be read", db->dir);
	while ((rc = range_next(&range, &key, &row)) == 0) {
		if (key.n != KEY_ID) /* not a message: table_reserve */
			continue;
		db->stats.messages++;
		if (row_to_message(key, row, &message) == 0)
			db->stats.content_bytes += message.octet_bytes +
			    message.file_bytes;
	}
	(void)range_close(&range);
	return rc == PH_NOT_FOUND ? 0 :
	    ph_err_set(err, rc, 0, "%s can't be read", db->dir);
}

static bool
thread_start(pthread_t *thread, void *(*main)(void *), struct queue_db *db)
{
	return pthread_create(thread, NULL, main, db) == 0;
}

/* Signals are the caller's business: none arrives in these threads. */
static int
threads_start(struct queue_db *db, struct ph_err *err)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	db->commit_runs = thread_start(&db->commit_thread, commit_main, db);
	db->body_runs = thread_start(&db->body_thread, body_main, db);
	db->upkeep_runs = thread_start(&db->upkeep_thread, upkeep_main, db);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (!db->commit_runs || !db->body_runs || !db->upkeep_runs)
		return ph_err_set(err, PH_NO_MEMORY, EAGAIN,
		    "queue threads can't be started");
	return 0;
}

static void
threads_stop(struct queue_db *db)
{
	pthread_mutex_lock(&db->lock);
	db->upkeep_stop = true;
	pthread_cond_signal(&db->upkeep_wake);
	pthread_mutex_unlock(&db->lock);
	if (db->upkeep_runs)
		pthread_join(db->upkeep_thread, NULL);
	pthread_mutex_lock(&db->lock);
	while (db->stats.waiting > 0 && db->commit_runs && db->body_runs)
		pthread_cond_wait(&db->idle, &db->lock);
	db->closing = true;
	/* what was removed lazily must be on disk before its files go */
	if (db->gone_unflushed != NULL &&
	    db->env->log_flush(db->env, NULL) == 0) {
		body_unlink_later(db, db->gone_unflushed);
		db->gone_unflushed = NULL;
	}
	pthread_cond_signal(&db->commit_wake);
	pthread_cond_signal(&db->body_wake);
	pthread_mutex_unlock(&db->lock);
	if (db->body_runs)
		pthread_join(db->body_thread, NULL);
	if (db->commit_runs)
		pthread_join(db->commit_thread, NULL);
}

static void
env_close(struct queue_db *db)
{
	int rc;

	if (db->env == NULL)
		return;
	step("closing");
	rc = db->env->txn_checkpoint(db->env, 0, 0, 0);
	if (rc != 0)
		queue_report(db, status_of_errno(rc), rc,
		    "last checkpoint: %s", db_strerror(rc));
	for (int i = 0; i < TABLES; i++)
		if (db->table[i] != NULL)
			db->table[i]->close(db->table[i], 0);
	db->env->close(db->env, 0);
	step("closed");
}

void
queue_db_close(struct queue_db *db)
{
	if (db == NULL)
		return;
	threads_stop(db);
	env_close(db);
	while (db->gone_unflushed != NULL) { /* swept at the next open */
		struct gone *gone = db->gone_unflushed;

		db->gone_unflushed = gone->next;
		free(gone);
	}
	for (size_t i = 0; i < 3; i++) {
		int fd = (int[]){ db->bodies_fd, db->lock_fd, db->dir_fd }[i];

		if (fd >= 0)
			close(fd);
	}
	pthread_mutex_destroy(&db->lock);
	pthread_mutex_destroy(&db->room_lock);
	pthread_mutex_destroy(&db->sweep_lock);
	pthread_mutex_destroy(&db->words_lock);
	pthread_cond_destroy(&db->commit_wake);
	pthread_cond_destroy(&db->body_wake);
	pthread_cond_destroy(&db->upkeep_wake);
	pthread_cond_destroy(&db->idle);
	free(db->dir);
	free(db);
}

static struct queue_db *
queue_create(const char *dir, const struct queue_db_options *options)
{
	struct queue_db *db = calloc(1, sizeof(*db));
	pthread_condattr_t attr;

	if (db == NULL)
		return NULL;
	db->dir = strdup(dir);
	if (db->dir == NULL) {
		free(db);
		return NULL;
	}
	db->options = *options;
	if (db->options.cache_bytes == 0)
		db->options.cache_bytes = 64 << 20;
	db->words_since_ms = INT64_MIN / 2;
	db->dir_fd = db->bodies_fd = db->lock_fd = -1;
	op_queue_init(&db->commit_queue);
	op_queue_init(&db->body_queue);
	pthread_mutex_init(&db->lock, NULL);
	pthread_mutex_init(&db->room_lock, NULL);
	pthread_mutex_init(&db->sweep_lock, NULL);
	pthread_mutex_init(&db->words_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&db->commit_wake, &attr);
	pthread_cond_init(&db->body_wake, &attr);
	pthread_cond_init(&db->upkeep_wake, &attr);
	pthread_cond_init(&db->idle, &attr);
	pthread_condattr_destroy(&attr);
	return db;
}

int
queue_db_open(const char *dir, const struct queue_db_options *options,
    struct queue_db **db_out, struct ph_err *err)
{
	struct queue_db *db = queue_create(dir, options);
	int64_t began = monotonic_ms();
	int rc;

	if (db == NULL)
		return ph_err_set(err, PH_NO_MEMORY, ENOMEM, "out of memory");
	atomic_store(&sync_wanted, options->fsync);
	atomic_store(&sync_made, 0);
	if ((rc = dir_open(db, err)) != 0 ||
	    (rc = body_open_dirs(db, err)) != 0)
		goto fail;
	step("opening");
	if ((rc = env_open(db, err)) != 0)
		goto fail;
	step("recovered");
	if ((rc = tables_open(db, err)) != 0)
		goto fail;
	step("tables open");
	if ((rc = count_messages(db, err)) != 0 ||
	    (rc = body_sweep(db, err)) != 0)
		goto fail;
	step("swept");
	ballast_put(db);
	if ((rc = threads_start(db, err)) != 0)
		goto fail;
	db->stats.recovery_ms = (uint64_t)(monotonic_ms() - began);
	*db_out = db;
	return 0;
fail:
	queue_db_close(db);
	return rc;
}

void
queue_db_stats(struct queue_db *db, struct queue_db_stats *stats_out)
{
	pthread_mutex_lock(&db->lock);
	*stats_out = db->stats;
	stats_out->ballast = db->ballast_lies;
	pthread_mutex_unlock(&db->lock);
	stats_out->flushes = atomic_load(&sync_made);
}
