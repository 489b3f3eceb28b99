/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kv.c - small values that expire: greylists, rates, back-off of destinations.
 * A key is its space's octet and then the caller's. Reading never shows an
 * expired pair; a sweep walks round the table and removes them.
 */
#include <stdlib.h>

#include "inner.h"

enum { READ_TRIES = 1000 };

static bool
pair_is_alive(const struct row_pair *pair, int64_t now_ms)
{
	return pair->expires_ms == 0 || pair->expires_ms > now_ms;
}

static size_t
pair_key(uint8_t space, struct ph_slice key, char key_out[KEY_KV_MAX])
{
	key_out[0] = (char)space;
	if (key.n > 0)
		memcpy(key_out + 1, key.p, key.n);
	return key.n + 1;
}

int
queue_db_kv_get(struct queue_db *db, uint8_t space, struct ph_slice key,
    int64_t now_ms, struct ph_arena *arena, struct ph_slice *value_out,
    int64_t *expires_ms_out)
{
	char text[KEY_KV_MAX];
	struct ph_slice k = { text, 0 };
	struct row_buf buf = { 0 };
	struct row_pair pair;
	int rc;

	if (key.n > QUEUE_DB_KEY_MAX)
		return PH_NOT_FOUND;
	k.n = pair_key(space, key, text);
	rc = table_get(db, NULL, T_KV, k, &buf, false);
	if (rc == 0)
		rc = row_to_pair(k, row_buf_content(&buf), &pair);
	if (rc == PH_DEFECT)
		aside_pair(db, k);
	if (rc == 0 && !pair_is_alive(&pair, now_ms))
		rc = PH_NOT_FOUND;
	if (rc == 0) {
		*value_out = ph_arena_slice(arena, pair.value);
		if (expires_ms_out != NULL)
			*expires_ms_out = pair.expires_ms;
	}
	row_buf_fini(&buf);
	return rc == PH_BUSY || rc == PH_NO_MEMORY ? PH_IO : rc;
}

struct pair_list {
	struct queue_db_pair *item;
	size_t n, limit;
	int64_t now_ms;
	struct ph_arena *arena;
};

/* Damaged rows are set aside and skipped. */
static void
pair_add(struct queue_db *db, struct pair_list *list, struct ph_slice key,
    struct ph_slice row)
{
	struct queue_db_pair *item = &list->item[list->n];
	struct row_pair pair;

	if (row_to_pair(key, row, &pair) != 0) {
		aside_pair(db, key);
	} else if (pair_is_alive(&pair, list->now_ms)) {
		item->key = ph_arena_slice(list->arena,
		    (struct ph_slice){ key.p + 1, key.n - 1 });
		item->value = ph_arena_slice(list->arena, pair.value);
		item->expires_ms = pair.expires_ms;
		list->n++;
	}
}

static int
list_once(struct queue_db *db, struct ph_slice from, bool skip_from,
    struct pair_list *list)
{
	struct ph_slice key, row;
	struct range range;
	int rc = range_open(db, NULL, T_KV, from, &range);

	list->n = 0;
	if (rc != 0)
		return rc;
	while (list->n < list->limit &&
	    (rc = range_next(&range, &key, &row)) == 0 && key.n > 0 &&
	    key.p[0] == from.p[0])
		if (!skip_from || !ph_slice_eq(key, from))
			pair_add(db, list, key, row);
	(void)range_close(&range);
	return rc == PH_NOT_FOUND ? 0 : rc;
}

int
queue_db_kv_list(struct queue_db *db, uint8_t space, struct ph_slice after,
    size_t limit, int64_t now_ms, struct ph_arena *arena,
    const struct queue_db_pair **list_out, size_t *count_out)
{
	struct pair_list list = { NULL, 0, limit, now_ms, arena };
	char text[KEY_KV_MAX];
	struct ph_slice from = { text, 0 };
	int rc, tries = 0;

	if (after.n > QUEUE_DB_KEY_MAX)
		return PH_INVALID;
	list.item = ph_arena_array(arena, limit, sizeof(*list.item));
	from.n = pair_key(space, after, text);
	do
		rc = list_once(db, from, after.p != NULL, &list);
	while (rc == PH_BUSY && ++tries < READ_TRIES);
	if (rc == 0) {
		*list_out = list.item;
		*count_out = list.n;
	}
	return rc == PH_BUSY || rc == PH_NO_MEMORY ? PH_IO : rc;
}

/* Under sweep_lock: note expired pairs in op; the count. */
static size_t
sweep_once(struct queue_db *db, size_t limit, int64_t now_ms,
    struct queue_db_op *op)
{
	struct ph_slice key, row;
	struct range range;
	struct row_pair pair;
	size_t seen, expired = 0;
	int rc = range_open(db, NULL, T_KV,
	    (struct ph_slice){ db->sweep_key, db->sweep_key_n }, &range);

	if (rc != 0)
		return 0;
	for (seen = 0; (rc = range_next(&range, &key, &row)) == 0; seen++) {
		if (key.n == 0 || key.n > KEY_KV_MAX)
			continue;
		if (seen == limit) { /* the next sweep begins here */
			memcpy(db->sweep_key, key.p, key.n);
			db->sweep_key_n = key.n;
			break;
		}
		if (row_to_pair(key, row, &pair) != 0) {
			aside_pair(db, key);
		} else if (!pair_is_alive(&pair, now_ms) &&
		    op->octets < QUEUE_DB_OP_MAX / 2) {
			op_kv_expire(op, key, now_ms);
			expired++;
		}
	}
	(void)range_close(&range);
	if (rc == PH_NOT_FOUND)
		db->sweep_key_n = 0;
	return expired;
}

size_t
queue_db_kv_sweep(struct queue_db *db, size_t limit, int64_t now_ms)
{
	struct queue_db_op *op = queue_db_op_create();
	size_t expired;

	pthread_mutex_lock(&db->sweep_lock);
	expired = sweep_once(db, limit, now_ms, op);
	pthread_mutex_unlock(&db->sweep_lock);
	if (expired == 0 ||
	    queue_db_submit(db, op, QUEUE_DB_LAZY, NULL, NULL) != 0) {
		if (expired == 0)
			queue_db_op_free(op);
		return 0;
	}
	return expired;
}
