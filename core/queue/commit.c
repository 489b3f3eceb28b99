/* SPDX-License-Identifier: Apache-2.0 */
/*
 * commit.c - the store from fibers: ops go to its commit thread, what comes
 * back crosses to the loop with one wake-up for all of a batch.
 */
#include "queue/queue.h"

#include <pthread.h>
#include <stdlib.h>
#include <uv.h>

#include "log/log.h"
#include "loop/fiber.h"

/* An op under way; of a fiber that waits, or of nobody. */
struct pending {
	struct pending *next;
	struct fiber *fiber; /* NULL: nobody waits, free it */
	uint64_t id;
	int status;
	bool is_done;
};

enum { REPORTS = 8 };

static struct {
	pthread_mutex_t lock;
	struct pending *done; /* newest first */
	struct ph_err report[REPORTS];
	unsigned reports;
	bool is_woken;
	uv_async_t async;
	unsigned open; /* ops nobody waits for */
} back = { .lock = PTHREAD_MUTEX_INITIALIZER };

static void
wake_loop(void) /* with the lock held */
{
	if (!back.is_woken) {
		back.is_woken = true;
		uv_async_send(&back.async);
	}
}

/* On the commit thread. */
static void
on_done(void *arg, int status)
{
	struct pending *pending = arg;

	pending->status = status;
	pthread_mutex_lock(&back.lock);
	pending->next = back.done;
	back.done = pending;
	wake_loop();
	pthread_mutex_unlock(&back.lock);
}

/* On any thread: the loop's is the one that logs. */
static void
on_report(void *arg, const struct ph_err *err)
{
	(void)arg;
	pthread_mutex_lock(&back.lock);
	if (back.reports < REPORTS)
		back.report[back.reports++] = *err;
	wake_loop();
	pthread_mutex_unlock(&back.lock);
}

static void
on_async(uv_async_t *async)
{
	struct pending *done, *ordered = NULL;
	struct ph_err report[REPORTS];
	unsigned reports;

	(void)async;
	pthread_mutex_lock(&back.lock);
	back.is_woken = false;
	done = back.done;
	back.done = NULL;
	reports = back.reports;
	memcpy(report, back.report, reports * sizeof(*report));
	back.reports = 0;
	pthread_mutex_unlock(&back.lock);
	for (unsigned i = 0; i < reports; i++)
		ph_log(PH_ERROR, "queue_store",
		    ph_f_str("reason", report[i].text));
	while (done != NULL) { /* oldest first */
		struct pending *next = done->next;

		done->next = ordered;
		ordered = done;
		done = next;
	}
	while (ordered != NULL) {
		struct pending *pending = ordered;

		ordered = pending->next;
		if (pending->fiber != NULL) {
			pending->is_done = true;
			fiber_wake(pending->fiber);
			continue;
		}
		back.open--;
		if (pending->status != PH_OK) {
			char name[ID_TEXT_MAX];

			ph_log(PH_ERROR, "queue_change_failed",
			    ph_f_str("queue", id_format(pending->id, name)),
			    ph_f_str("reason",
			        ph_status_name(pending->status)));
		}
		free(pending);
	}
	ph_event_signal(&queue.moved);
}

struct opening {
	const char *dir;
	struct queue_db_options options;
	struct ph_err *err;
	int status;
};

static void
open_db(void *arg)
{
	struct opening *o = arg;

	o->status = queue_db_open(o->dir, &o->options, &queue.db, o->err);
}

int
queue_open(const char *dir, const struct core_queue *conf, struct ph_err *err)
{
	struct opening o = { .dir = dir, .err = err, .options = {
		.cache_bytes = conf->cache_bytes,
		.ballast_bytes = conf->ballast_bytes,
		.soft_free_bytes = conf->soft_free_bytes,
		.fsync = conf->fsync,
		.report = on_report,
	} };

	uv_async_init(fiber_loop(), &back.async, on_async);
	uv_unref((uv_handle_t *)&back.async);
	ph_work(open_db, &o);
	return o.status;
}

static void
close_db(void *arg)
{
	queue_db_close(arg);
}

void
queue_close(void)
{
	struct queue_db *db = queue.db;

	queue.db = NULL; /* nobody begins to use it now */
	ph_work(close_db, db);
}

int
queue_submit(struct queue_db_op *op, enum queue_db_when when)
{
	struct pending pending = { .fiber = fiber_self() };
	int status;

	if (queue.db == NULL) { /* closed meanwhile */
		queue_db_op_free(op);
		return PH_UNAVAILABLE;
	}
	status = queue_db_submit(queue.db, op, when, on_done, &pending);
	if (status != PH_OK)
		return status;
	queue.users++;
	while (!pending.is_done)
		fiber_park_hard();
	queue.users--;
	ph_event_signal(&queue.moved);
	return pending.status;
}

void
queue_submit_later(struct queue_db_op *op, uint64_t id)
{
	struct pending *pending = calloc(1, sizeof(*pending));

	ph_assert(pending != NULL && queue.db != NULL);
	pending->id = id;
	back.open++;
	if (queue_db_submit(queue.db, op, QUEUE_DB_LAZY, on_done, pending) !=
	    PH_OK) {
		back.open--;
		free(pending);
		ph_log(PH_ERROR, "queue_change_failed",
		    ph_f_int("id", (int64_t)id));
	}
}

struct reading {
	uint64_t id;
	struct ph_arena *arena;
	struct queue_db_message *message;
	int status;
};

static void
read_db(void *arg)
{
	struct reading *r = arg;

	r->status = queue_db_get(queue.db, r->id, true, r->arena, r->message);
}

int
queue_read(uint64_t id, struct ph_arena *arena,
    struct queue_db_message *message_out)
{
	struct reading r = { id, arena, message_out, PH_IO };

	if (queue.db == NULL)
		return PH_UNAVAILABLE;
	queue.users++;
	ph_work(read_db, &r);
	queue.users--;
	ph_event_signal(&queue.moved);
	return r.status;
}
