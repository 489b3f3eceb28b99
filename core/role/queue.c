/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue.c - the role that owns the durable queue: opens and recovers it, has
 * the schedule filled, and tells edge when there is no room.
 */
#include "queue/routing.h"
#include "queue/backup.h"
#include "queue/kv.h"

#include <uv.h>

#include "base/record.h"
#include "log/log.h"
#include "loop/fiber.h"

enum { ROOM_EVERY_MS = 1000 };

static uv_timer_t room_timer;

/* --- room --- */

static void
tell_room(void)
{
	struct ph_buf buf;

	ph_buf_init(&buf, NULL, 64);
	record_put_u64(&buf, F_FLAG, queue.is_full);
	for (unsigned i = 0; i < bus_role_size(ROLE_EDGE); i++)
		bus_notify(ROLE_EDGE, i, MSG_ROOM, ph_buf_content(&buf));
	ph_buf_fini(&buf);
}

static void
on_room_timer(uv_timer_t *timer)
{
	bool is_full = !queue_db_has_room(queue.db, 0);

	(void)timer;
	if (is_full != queue.is_full)
		ph_log(is_full ? PH_ERROR : PH_NOTICE,
		    is_full ? "disk_full" : "disk_has_room");
	if (is_full || is_full != queue.is_full) { /* new edges, too */
		queue.is_full = is_full;
		tell_room();
	}
}

/* --- the role --- */

static int
queue_start(struct generation *generation, struct ph_err *err)
{
	struct queue_db_stats stats;
	int status = queue_open(role_dir(), &generation->core.queue, err);

	if (status == PH_OK)
		status = suspend_load(err);
	if (status != PH_OK)
		return status;
	queue_db_stats(queue.db, &stats);
	ph_log(PH_INFO, "queue_open", ph_f_int("messages",
	    (int64_t)stats.messages),
	    ph_f_int("recovery_ms", (int64_t)stats.recovery_ms),
	    ph_f_int("defects", (int64_t)stats.defects));
	uv_timer_init(fiber_loop(), &room_timer);
	uv_timer_start(&room_timer, on_room_timer, 0, ROOM_EVERY_MS);
	uv_unref((uv_handle_t *)&room_timer);
	accept_serve();
	admin_serve();
	kv_serve();
	reroute_start();
	schedule_start();
	load_start(); /* nothing was accepted so far */
	return PH_OK;
}

static void
queue_reload(struct generation *generation)
{
	(void)generation;
	reroute_reload(); /* first: what is in line may be in the wrong one */
	lane_reload();
}

static void
queue_stop(unsigned timeout_ms)
{
	uint64_t end = ph_now_ms() + timeout_ms;

	queue.is_stopping = true;
	schedule_stop();
	backup_stop();
	uv_timer_stop(&room_timer);
	while (queue.running > 0 && ph_now_ms() < end)
		ph_event_wait(&queue.moved, (unsigned)(end - ph_now_ms()));
	kv_serve_stop();
	while ((queue.users > 0 || queue.is_loading) && ph_now_ms() < end)
		ph_event_wait(&queue.moved, (unsigned)(end - ph_now_ms()));
	if (queue.running == 0 && queue.users == 0 && !queue.is_loading) {
		queue_close();
		return;
	}
	ph_log(PH_WARN, "queue_not_closed", ph_f_int("running", queue.running),
	    ph_f_int("users", queue.users),
	    ph_f_int("loading", queue.is_loading));
}

static void
queue_status(struct ph_buf *items)
{
	struct queue_db_stats stats;
	struct kv_stats kv;

	if (queue.db == NULL) /* closed */
		return;
	queue_db_stats(queue.db, &stats);
	role_status_item(items, "messages", "%zu", queue.count);
	role_status_item(items, "running", "%u", queue.running);
	role_status_item(items, "destinations", "%zu", lane_count());
	role_status_item(items, "accepted", "%llu",
	    (unsigned long long)queue.accepted);
	role_status_item(items, "delivered", "%llu",
	    (unsigned long long)queue.delivered);
	role_status_item(items, "relayed", "%llu",
	    (unsigned long long)queue.relayed);
	role_status_item(items, "deferred", "%llu",
	    (unsigned long long)queue.deferred);
	role_status_item(items, "bounced", "%llu",
	    (unsigned long long)queue.bounced);
	role_status_item(items, "commits", "%llu",
	    (unsigned long long)stats.commits);
	role_status_item(items, "batches", "%llu",
	    (unsigned long long)stats.batches);
	role_status_item(items, "fsyncs", "%llu",
	    (unsigned long long)stats.flushes);
	kv_stats(&kv);
	role_status_item(items, "kv_questions", "%llu",
	    (unsigned long long)kv.questions);
	role_status_item(items, "kv_reads", "%llu",
	    (unsigned long long)kv.reads);
	role_status_item(items, "kv_pairs", "%zu", kv.pairs);
	role_status_item(items, "kv_unwritten", "%zu", kv.dirty);
	role_status_item(items, "room", "%s", queue.is_full ? "no" : "yes");
}

const struct role_ops role_queue = {
	.role = ROLE_QUEUE,
	.kinds = 0,
	.start = queue_start,
	.reload = queue_reload,
	.stop = queue_stop,
	.status = queue_status,
};
