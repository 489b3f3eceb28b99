/* SPDX-License-Identifier: Apache-2.0 */
/*
 * apply.c - what each change does to the tables, inside a transaction that
 * the commit thread began and will end. A change that fails leaves the
 * transaction to be aborted; what an op did besides rows (files to unlink,
 * counts) is noted in it and takes effect after the commit.
 */
#include <stdlib.h>
#include <unistd.h>

#include "inner.h"

static int
apply_puts(struct queue_db *db, DB_TXN *txn, const struct action *action,
    bool must_be_new)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < action->put_count; i++)
		rc = table_put(db, txn, action->puts[i].table,
		    action->puts[i].key, action->puts[i].row, must_be_new);
	return rc;
}

/* The message's row, locked for a change; *buf holds it. */
static int
get_message(struct queue_db *db, DB_TXN *txn, uint64_t id, struct row_buf *buf,
    struct row_message *message_out)
{
	char key[KEY_ID];
	struct ph_slice k = { key, sizeof(key) };
	int rc;

	key_of_id(id, key);
	rc = table_get(db, txn, T_MESSAGES, k, buf, true);
	return rc != 0 ? rc :
	    row_to_message(k, row_buf_content(buf), message_out);
}

static int
apply_add_message(struct queue_db *db, DB_TXN *txn, struct queue_db_op *op,
    const struct action *action)
{
	int rc = apply_puts(db, txn, action, true);

	op->messages_delta++;
	op->bytes_delta += (int64_t)action->size_bytes;
	return rc;
}

static int
apply_add_recipient(struct queue_db *db, DB_TXN *txn,
    const struct action *action)
{
	struct row_buf buf = { 0 };
	struct row_message message;
	int rc = get_message(db, txn, action->id, &buf, &message);

	row_buf_fini(&buf);
	return rc != 0 ? rc : apply_puts(db, txn, action, true);
}

static int
apply_update(struct queue_db *db, DB_TXN *txn, struct queue_db_op *op,
    const struct action *action)
{
	const struct queue_db_update *update = &action->update;
	struct queue_db_recipient recipient;
	struct row_buf buf = { 0 };
	char key[KEY_RECIPIENT];
	struct ph_slice k = { key, sizeof(key) };
	int rc;

	key_of_recipient(action->id, update->number, key);
	rc = table_get(db, txn, T_RECIPIENTS, k, &buf, true);
	if (rc == 0)
		rc = row_to_recipient(k, row_buf_content(&buf), &recipient);
	if (rc == 0) {
		recipient.state = update->state;
		recipient.attempts = update->attempts;
		recipient.next_ms = update->next_ms;
		if (update->record.p != NULL)
			recipient.record = update->record;
		rc = table_put(db, txn, T_RECIPIENTS, k,
		    row_of_recipient(op->arena, k, &recipient), false);
	}
	row_buf_fini(&buf);
	return rc;
}

static bool
change_trace(struct ph_arena *arena, const struct action *action,
    struct row_message *message)
{
	struct ph_slice trace = action->merge(arena, message->trace,
	    action->more);

	if (trace.n > QUEUE_DB_RECORD_MAX || (trace.n == message->trace.n &&
	        memcmp(trace.p, message->trace.p, trace.n) == 0))
		return false;
	message->trace = trace;
	return true;
}

/* False: it says so already. */
static bool
change_row(struct ph_arena *arena, const struct action *action,
    struct row_message *message)
{
	if (action->kind == TRACE_MESSAGE)
		return change_trace(arena, action, message);
	if (action->kind == ORDER_MESSAGE) {
		if (message->order == action->order)
			return false;
		message->order = action->order;
		return true;
	}
	if (message->priority == action->priority)
		return false;
	message->priority = action->priority;
	return true;
}

static int
apply_change(struct queue_db *db, DB_TXN *txn, struct queue_db_op *op,
    const struct action *action)
{
	struct row_message message;
	struct row_buf buf = { 0 };
	char key[KEY_ID];
	struct ph_slice k = { key, sizeof(key) };
	int rc = get_message(db, txn, action->id, &buf, &message);

	if (rc == 0 && change_row(op->arena, action, &message)) {
		key_of_id(action->id, key);
		rc = table_put(db, txn, T_MESSAGES, k,
		    row_of_message(op->arena, k, &message), false);
	}
	row_buf_fini(&buf);
	return rc;
}

/* What happens to each row of a message. */
typedef int (*row_fn)(struct queue_db *db, DB_TXN *txn, enum table table,
    struct ph_slice key, struct ph_slice row);

/* All rows of the table whose keys begin with id: fn, then gone. Without fn
 * the rows themselves are not read. */
static int
take_rows(struct queue_db *db, DB_TXN *txn, enum table table, uint64_t id,
    row_fn fn)
{
	struct ph_slice key, row;
	struct range range;
	char from[KEY_ID];
	int rc, closed;

	key_of_id(id, from);
	rc = range_open(db, txn, table, (struct ph_slice){ from, KEY_ID },
	    &range);
	if (rc != 0)
		return rc;
	range.row.flags |= fn == NULL ? DB_DBT_PARTIAL : 0;
	while ((rc = range_next(&range, &key, &row)) == 0 &&
	    key.n >= KEY_ID && memcmp(key.p, from, KEY_ID) == 0) {
		if (fn != NULL)
			rc = fn(db, txn, table, key, row);
		if (rc == 0)
			rc = range_delete(&range);
		if (rc != 0)
			break;
	}
	closed = range_close(&range);
	if (rc == PH_NOT_FOUND)
		rc = 0;
	return rc != 0 ? rc : closed;
}

static int
delete_message(struct queue_db *db, DB_TXN *txn, uint64_t id, bool has_octets)
{
	char key[KEY_ID];
	struct ph_slice k = { key, sizeof(key) };
	int rc = take_rows(db, txn, T_RECIPIENTS, id, NULL);

	key_of_id(id, key);
	if (rc == 0 && has_octets)
		rc = table_delete(db, txn, T_BODIES, k);
	if (rc == 0 || rc == PH_NOT_FOUND)
		rc = table_delete(db, txn, T_MESSAGES, k);
	return rc;
}

static int
take_message(struct queue_db *db, DB_TXN *txn, uint64_t id, row_fn fn)
{
	static const enum table tables[] = { T_RECIPIENTS, T_BODIES,
		T_MESSAGES };
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < 3; i++)
		rc = take_rows(db, txn, tables[i], id, fn);
	return rc;
}

static int
apply_remove(struct queue_db *db, DB_TXN *txn, struct queue_db_op *op,
    const struct action *action)
{
	struct row_buf buf = { 0 };
	struct row_message message;
	struct gone *gone;
	int rc = get_message(db, txn, action->id, &buf, &message);

	row_buf_fini(&buf);
	if (rc == 0)
		rc = delete_message(db, txn, action->id,
		    message.octet_bytes > 0);
	if (rc != 0)
		return rc;
	op->messages_delta--;
	op->bytes_delta -= (int64_t)(message.octet_bytes + message.file_bytes);
	if (!message.has_file)
		return 0;
	gone = malloc(sizeof(*gone));
	if (gone == NULL)
		return PH_NO_MEMORY;
	*gone = (struct gone){ op->gone, action->id };
	op->gone = gone;
	return 0;
}

static int
apply_kv_delete(struct queue_db *db, DB_TXN *txn, const struct action *action)
{
	int rc = table_delete(db, txn, T_KV, action->key);

	return rc == PH_NOT_FOUND ? 0 : rc;
}

static int
apply_kv_expire(struct queue_db *db, DB_TXN *txn, const struct action *action)
{
	struct row_buf buf = { 0 };
	struct row_pair pair;
	int rc = table_get(db, txn, T_KV, action->key, &buf, true);

	if (rc == 0)
		rc = row_to_pair(action->key, row_buf_content(&buf), &pair);
	if (rc == 0 && pair.expires_ms != 0 &&
	    pair.expires_ms <= action->now_ms)
		rc = table_delete(db, txn, T_KV, action->key);
	row_buf_fini(&buf);
	return rc == PH_NOT_FOUND || rc == PH_DEFECT ? 0 : rc;
}

static int
put_aside(struct queue_db *db, DB_TXN *txn, enum table table,
    struct ph_slice key, struct ph_slice row)
{
	char text[1 + KEY_KV_MAX + 8];
	uint64_t now = (uint64_t)wall_ms();

	if (key.n > KEY_KV_MAX)
		return PH_TOO_BIG;
	text[0] = (char)table;
	memcpy(text + 1, key.p, key.n);
	key_of_id(now, text + 1 + key.n);
	return table_put(db, txn, T_ASIDE,
	    (struct ph_slice){ text, 1 + key.n + 8 }, row, false);
}

static bool
row_is_sound(enum table table, struct ph_slice key, struct ph_slice row)
{
	struct queue_db_recipient recipient;
	struct row_message message;
	struct ph_slice octets;

	switch (table) {
	case T_MESSAGES:
		return row_to_message(key, row, &message) == 0;
	case T_RECIPIENTS:
		return row_to_recipient(key, row, &recipient) == 0;
	default:
		return row_open(table, key, row, &octets) == 0;
	}
}

/* Count damaged rows of the table that belong to id. */
static int
count_damaged(struct queue_db *db, DB_TXN *txn, enum table table, uint64_t id,
    uint64_t *damaged)
{
	struct ph_slice key, row;
	struct range range;
	char from[KEY_ID];
	int rc, closed;

	key_of_id(id, from);
	rc = range_open(db, txn, table, (struct ph_slice){ from, KEY_ID },
	    &range);
	if (rc != 0)
		return rc;
	while ((rc = range_next(&range, &key, &row)) == 0 &&
	    key.n >= KEY_ID && memcmp(key.p, from, KEY_ID) == 0)
		*damaged += !row_is_sound(table, key, row);
	closed = range_close(&range);
	return rc != 0 && rc != PH_NOT_FOUND ? rc : closed;
}

/* Whether the content the message's row speaks of is not all there. */
static int
count_missing(struct queue_db *db, DB_TXN *txn, uint64_t id, uint64_t *missing)
{
	struct row_buf buf = { 0 };
	struct row_message message;
	char key[KEY_ID];
	struct ph_slice k = { key, sizeof(key) }, octets;
	int fd, rc = get_message(db, txn, id, &buf, &message);

	key_of_id(id, key);
	if (rc == 0 && message.octet_bytes > 0) {
		rc = table_get(db, txn, T_BODIES, k, &buf, true);
		*missing += rc == PH_NOT_FOUND || (rc == 0 &&
		    row_open(T_BODIES, k, row_buf_content(&buf),
		        &octets) == 0 && octets.n != message.octet_bytes);
	}
	if (rc == 0 && message.has_file) {
		rc = body_open_file(db, id, message.file_bytes, &fd);
		*missing += rc == PH_DEFECT;
		if (rc == 0)
			close(fd);
	}
	row_buf_fini(&buf);
	return rc == PH_NOT_FOUND || rc == PH_DEFECT ? 0 : rc;
}

static int
apply_aside_message(struct queue_db *db, DB_TXN *txn, struct queue_db_op *op,
    uint64_t id)
{
	struct row_buf buf = { 0 };
	struct row_message message;
	uint64_t damaged = 0;
	int rc, found;

	rc = count_damaged(db, txn, T_MESSAGES, id, &damaged);
	if (rc == 0)
		rc = count_damaged(db, txn, T_RECIPIENTS, id, &damaged);
	if (rc == 0)
		rc = count_damaged(db, txn, T_BODIES, id, &damaged);
	if (rc == 0)
		rc = count_missing(db, txn, id, &damaged);
	if (rc != 0 || damaged == 0)
		return rc;
	found = get_message(db, txn, id, &buf, &message);
	row_buf_fini(&buf);
	rc = take_message(db, txn, id, put_aside);
	if (rc != 0)
		return rc;
	op->defects += damaged;
	op->messages_delta -= found == 0 || found == PH_DEFECT;
	if (found == 0)
		op->bytes_delta -= (int64_t)(message.octet_bytes +
		    message.file_bytes);
	return 0;
}

static int
apply_aside_pair(struct queue_db *db, DB_TXN *txn, struct queue_db_op *op,
    struct ph_slice key)
{
	struct row_buf buf = { 0 };
	struct row_pair pair;
	int rc = table_get(db, txn, T_KV, key, &buf, true);

	if (rc == 0 && row_to_pair(key, row_buf_content(&buf), &pair) != 0) {
		rc = put_aside(db, txn, T_KV, key, row_buf_content(&buf));
		if (rc == 0)
			rc = table_delete(db, txn, T_KV, key);
		op->defects++;
	}
	row_buf_fini(&buf);
	return rc == PH_NOT_FOUND ? 0 : rc;
}

static int
apply_action(struct queue_db *db, DB_TXN *txn, struct queue_db_op *op,
    const struct action *action)
{
	switch (action->kind) {
	case ADD_MESSAGE:
		return apply_add_message(db, txn, op, action);
	case ADD_RECIPIENT:
		return apply_add_recipient(db, txn, action);
	case UPDATE_RECIPIENT:
		return apply_update(db, txn, op, action);
	case ORDER_MESSAGE:
	case PRIORITY_MESSAGE:
	case TRACE_MESSAGE:
		return apply_change(db, txn, op, action);
	case REMOVE_MESSAGE:
		return apply_remove(db, txn, op, action);
	case KV_PUT:
		return apply_puts(db, txn, action, false);
	case KV_DELETE:
		return apply_kv_delete(db, txn, action);
	case KV_EXPIRE:
		return apply_kv_expire(db, txn, action);
	case ASIDE_MESSAGE:
		return apply_aside_message(db, txn, op, action->id);
	case ASIDE_PAIR:
		return apply_aside_pair(db, txn, op, action->key);
	}
	return PH_INVALID;
}

int
apply_op(struct queue_db *db, DB_TXN *txn, struct queue_db_op *op)
{
	int rc = 0;

	op->messages_delta = op->bytes_delta = 0;
	op->defects = 0;
	while (op->gone != NULL) {
		struct gone *gone = op->gone;

		op->gone = gone->next;
		free(gone);
	}
	for (struct action *a = op->first; rc == 0 && a != NULL; a = a->next) {
		rc = apply_action(db, txn, op, a);
		if (rc == PH_DEFECT && a->kind != ADD_MESSAGE)
			aside_message(db, a->id);
	}
	return rc;
}
