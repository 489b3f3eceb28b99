/* SPDX-License-Identifier: Apache-2.0 */
/*
 * op.c - gather changes and hand them over. Rows are encoded here, in the
 * submitting thread, so that the commit thread has little to do but put them.
 * Limits are checked here too: what reaches the tables fits them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "inner.h"

struct queue_db_op *
queue_db_op_create(void)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct queue_db_op *op = ph_arena_alloc(arena, sizeof(*op));

	op->arena = arena;
	op->last = &op->first;
	op->limit = QUEUE_DB_OP_MAX;
	return op;
}

void
queue_db_op_free(struct queue_db_op *op)
{
	if (op == NULL)
		return;
	while (op->gone != NULL) {
		struct gone *gone = op->gone;

		op->gone = gone->next;
		free(gone);
	}
	ph_arena_free(op->arena);
}

static void
op_spoil(struct queue_db_op *op, int status)
{
	if (op->status == 0)
		op->status = status;
}

static struct action *
op_action(struct queue_db_op *op, enum action_kind kind, uint64_t id)
{
	struct action *action = ph_arena_alloc(op->arena, sizeof(*action));

	action->kind = kind;
	action->id = id;
	action->fd = -1;
	*op->last = action;
	op->last = &action->next;
	op->octets += 128; /* what a change without content costs in the log */
	return action;
}

static void
op_weigh(struct queue_db_op *op, size_t n)
{
	op->octets += n;
	if (op->octets > op->limit)
		op_spoil(op, PH_TOO_BIG);
}

static bool
slice_fits(struct ph_slice s, size_t max)
{
	return s.n <= max && (s.p != NULL || s.n == 0);
}

static struct ph_slice
key_slice(struct queue_db_op *op, const char *key, size_t n)
{
	return ph_arena_slice(op->arena, (struct ph_slice){ key, n });
}

static int
recipient_check(const struct queue_db_recipient *recipient)
{
	if (!slice_fits(recipient->address, QUEUE_DB_ADDRESS_MAX) ||
	    !slice_fits(recipient->destination, QUEUE_DB_ADDRESS_MAX) ||
	    !slice_fits(recipient->record, QUEUE_DB_RECORD_MAX))
		return PH_TOO_BIG;
	return recipient->state < QUEUE_DB_WAITING ||
	    recipient->state > QUEUE_DB_REPLACED ? PH_INVALID : 0;
}

static void
put_recipient(struct queue_db_op *op, struct action *action, uint64_t id,
    const struct queue_db_recipient *recipient)
{
	struct row_put *put = &action->puts[action->put_count++];
	char key[KEY_RECIPIENT];

	key_of_recipient(id, recipient->number, key);
	put->table = T_RECIPIENTS;
	put->key = key_slice(op, key, sizeof(key));
	put->row = row_of_recipient(op->arena, put->key, recipient);
	op_weigh(op, put->row.n);
}

static bool
is_priority(int priority)
{
	return priority >= -QUEUE_DB_PRIORITY_MAX &&
	    priority <= QUEUE_DB_PRIORITY_MAX;
}

static int
message_check(const struct queue_db_message *message)
{
	const struct queue_db_body *body = &message->body;

	if (!slice_fits(message->envelope, QUEUE_DB_RECORD_MAX) ||
	    !slice_fits(message->trace, QUEUE_DB_RECORD_MAX) ||
	    !slice_fits(body->octets, QUEUE_DB_INLINE_MAX) ||
	    message->recipient_count > QUEUE_DB_RECIPIENTS_MAX)
		return PH_TOO_BIG;
	if (message->id == 0 || body->file_bytes > INT64_MAX ||
	    !is_priority(message->priority))
		return PH_INVALID;
	for (size_t i = 0; i < message->recipient_count; i++) {
		int rc = recipient_check(&message->recipients[i]);

		if (rc != 0)
			return rc;
		if (i > 0 && message->recipients[i].number <=
		    message->recipients[i - 1].number)
			return PH_INVALID;
	}
	return 0;
}

static void
message_take_file(struct queue_db_op *op, struct action *action,
    const struct queue_db_body *body)
{
	action->fd = fcntl(body->fd, F_DUPFD_CLOEXEC, 0);
	if (action->fd < 0) {
		op_spoil(op, PH_IO);
		return;
	}
	ph_arena_own_fd(op->arena, action->fd);
	action->file_bytes = body->file_bytes;
	op->has_files = true;
}

static void
put_message(struct queue_db_op *op, struct action *action,
    const struct queue_db_message *message)
{
	struct row_put *put = &action->puts[action->put_count++];
	struct row_message row = { 0 };
	char key[KEY_ID];

	key_of_id(message->id, key);
	row.order = message->order;
	row.priority = message->priority;
	row.octet_bytes = message->body.octets.n;
	row.has_file = message->body.fd >= 0;
	row.file_bytes = row.has_file ? message->body.file_bytes : 0;
	row.envelope = message->envelope;
	row.trace = message->trace;
	put->table = T_MESSAGES;
	put->key = key_slice(op, key, sizeof(key));
	put->row = row_of_message(op->arena, put->key, &row);
	op_weigh(op, put->row.n);
	action->size_bytes = row.octet_bytes + row.file_bytes;
	if (row.octet_bytes == 0)
		return;
	put = &action->puts[action->put_count++];
	put->table = T_BODIES;
	put->key = action->puts[0].key;
	put->row = row_of_octets(op->arena, T_BODIES, put->key,
	    message->body.octets);
	op_weigh(op, put->row.n);
}

void
queue_db_op_message(struct queue_db_op *op,
    const struct queue_db_message *message)
{
	struct action *action;
	int rc = message_check(message);

	if (rc != 0) {
		op_spoil(op, rc);
		return;
	}
	action = op_action(op, ADD_MESSAGE, message->id);
	action->puts = ph_arena_array(op->arena, message->recipient_count + 2,
	    sizeof(*action->puts));
	op->messages++;
	put_message(op, action, message);
	for (size_t i = 0; i < message->recipient_count && op->status == 0; i++)
		put_recipient(op, action, message->id, &message->recipients[i]);
	if (message->body.fd >= 0)
		message_take_file(op, action, &message->body);
}

void
queue_db_op_recipient(struct queue_db_op *op, uint64_t id,
    const struct queue_db_recipient *recipient)
{
	struct action *action;
	int rc = recipient_check(recipient);

	if (rc != 0) {
		op_spoil(op, rc);
		return;
	}
	action = op_action(op, ADD_RECIPIENT, id);
	action->puts = ph_arena_array(op->arena, 1, sizeof(*action->puts));
	put_recipient(op, action, id, recipient);
}

void
queue_db_op_update(struct queue_db_op *op, uint64_t id,
    const struct queue_db_update *update)
{
	struct action *action;

	if (!slice_fits(update->record, QUEUE_DB_RECORD_MAX)) {
		op_spoil(op, PH_TOO_BIG);
		return;
	}
	if (update->state < QUEUE_DB_WAITING ||
	    update->state > QUEUE_DB_REPLACED) {
		op_spoil(op, PH_INVALID);
		return;
	}
	action = op_action(op, UPDATE_RECIPIENT, id);
	action->update = *update;
	if (update->record.p != NULL)
		action->update.record = ph_arena_slice(op->arena,
		    update->record);
	op_weigh(op, update->record.n);
}

void
queue_db_op_order(struct queue_db_op *op, uint64_t id,
    enum queue_db_order order)
{
	op_action(op, ORDER_MESSAGE, id)->order = order;
	op_weigh(op, 0);
}

void
queue_db_op_priority(struct queue_db_op *op, uint64_t id, int priority)
{
	if (!is_priority(priority)) {
		op_spoil(op, PH_INVALID);
		return;
	}
	op_action(op, PRIORITY_MESSAGE, id)->priority = (int8_t)priority;
	op_weigh(op, 0);
}

void
queue_db_op_trace(struct queue_db_op *op, uint64_t id, struct ph_slice more,
    queue_db_merge merge)
{
	struct action *action;

	if (!slice_fits(more, QUEUE_DB_RECORD_MAX)) {
		op_spoil(op, PH_TOO_BIG);
		return;
	}
	action = op_action(op, TRACE_MESSAGE, id);
	action->more = ph_arena_slice(op->arena, more);
	action->merge = merge;
	op_weigh(op, more.n);
}

void
queue_db_op_remove(struct queue_db_op *op, uint64_t id)
{
	op_action(op, REMOVE_MESSAGE, id);
	op_weigh(op, 0);
}

/* The key of a pair, its space in front; absent when it is out of limits. */
static struct ph_slice
pair_key(struct queue_db_op *op, uint8_t space, struct ph_slice key)
{
	struct ph_buf buf;

	if (!slice_fits(key, QUEUE_DB_KEY_MAX)) {
		op_spoil(op, PH_TOO_BIG);
		return (struct ph_slice){ NULL, 0 };
	}
	ph_buf_init(&buf, op->arena, KEY_KV_MAX);
	ph_buf_char(&buf, (char)space);
	ph_buf_slice(&buf, key);
	return ph_buf_content(&buf);
}

void
queue_db_op_kv_put(struct queue_db_op *op, uint8_t space, struct ph_slice key,
    struct ph_slice value, int64_t expires_ms)
{
	struct row_pair pair = { expires_ms, value };
	struct action *action;

	key = pair_key(op, space, key);
	if (!slice_fits(value, QUEUE_DB_VALUE_MAX))
		op_spoil(op, PH_TOO_BIG);
	if (op->status != 0)
		return;
	action = op_action(op, KV_PUT, 0);
	action->key = key;
	action->puts = ph_arena_array(op->arena, 1, sizeof(*action->puts));
	action->puts[0] = (struct row_put){ T_KV, key,
		row_of_pair(op->arena, key, &pair) };
	action->put_count = 1;
	op_weigh(op, action->puts[0].row.n);
}

void
queue_db_op_kv_delete(struct queue_db_op *op, uint8_t space,
    struct ph_slice key)
{
	key = pair_key(op, space, key);
	if (key.p != NULL)
		op_action(op, KV_DELETE, 0)->key = key;
	op_weigh(op, key.n);
}

void
op_kv_expire(struct queue_db_op *op, struct ph_slice key, int64_t now_ms)
{
	struct action *action = op_action(op, KV_EXPIRE, 0);

	action->key = ph_arena_slice(op->arena, key);
	action->now_ms = now_ms;
	op_weigh(op, key.n);
}

void
aside_message(struct queue_db *db, uint64_t id)
{
	struct queue_db_op *op = queue_db_op_create();

	op_action(op, ASIDE_MESSAGE, id);
	(void)queue_db_submit(db, op, QUEUE_DB_DURABLE, NULL, NULL);
}

void
aside_pair(struct queue_db *db, struct ph_slice key)
{
	struct queue_db_op *op = queue_db_op_create();

	op_action(op, ASIDE_PAIR, 0)->key = ph_arena_slice(op->arena, key);
	(void)queue_db_submit(db, op, QUEUE_DB_DURABLE, NULL, NULL);
}

void
op_queue_init(struct op_queue *queue)
{
	queue->first = NULL;
	queue->last = &queue->first;
}

void
op_queue_add(struct op_queue *queue, struct queue_db_op *op)
{
	op->next = NULL;
	*queue->last = op;
	queue->last = &op->next;
}

struct queue_db_op *
op_queue_take(struct op_queue *queue)
{
	struct queue_db_op *op = queue->first;

	if (op != NULL) {
		queue->first = op->next;
		if (queue->first == NULL)
			queue->last = &queue->first;
		op->next = NULL;
	}
	return op;
}

int
queue_db_submit(struct queue_db *db, struct queue_db_op *op,
    enum queue_db_when when, queue_db_done done, void *arg)
{
	int status = op->status;

	if (status != 0) {
		queue_db_op_free(op);
		return status;
	}
	op->when = op->messages > 0 ? QUEUE_DB_DURABLE : when;
	op->done = done;
	op->arg = arg;
	step("submitted");
	pthread_mutex_lock(&db->lock);
	ph_assert(!db->closing);
	db->stats.waiting++;
	if (op->has_files) {
		op_queue_add(&db->body_queue, op);
		pthread_cond_signal(&db->body_wake);
	} else {
		op_queue_add(&db->commit_queue, op);
		pthread_cond_signal(&db->commit_wake);
	}
	pthread_mutex_unlock(&db->lock);
	return 0;
}
