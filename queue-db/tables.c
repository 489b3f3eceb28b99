/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tables.c - single rows and ranges of rows, in statuses instead of Berkeley
 * DB's return values. Deadlocks can only be between the commit thread and a
 * reader; the reader is chosen to give way and simply asks again.
 */
#include <errno.h>
#include <stdlib.h>

#include "inner.h"

enum { DEADLOCK_TRIES = 1000 };

void
row_buf_fini(struct row_buf *buf)
{
	free(buf->p);
	*buf = (struct row_buf){ 0 };
}

struct ph_slice
row_buf_content(const struct row_buf *buf)
{
	return (struct ph_slice){ buf->p != NULL ? buf->p : "", buf->n };
}

static DBT
dbt_of(struct ph_slice s)
{
	DBT dbt = { 0 };

	dbt.data = (void *)(uintptr_t)s.p;
	dbt.size = (uint32_t)s.n;
	return dbt;
}

static int
get_once(struct queue_db *db, DB_TXN *txn, enum table table,
    struct ph_slice key, struct row_buf *buf, uint32_t flags)
{
	DBT k = dbt_of(key), row = { 0 };
	int rc;

	row.flags = DB_DBT_USERMEM;
	row.data = buf->p;
	row.ulen = (uint32_t)buf->capacity;
	rc = db->table[table]->get(db->table[table], txn, &k, &row, flags);
	if (rc == DB_BUFFER_SMALL) {
		void *p = realloc(buf->p, row.size);

		if (p == NULL)
			return ENOMEM;
		buf->p = p;
		buf->capacity = row.size;
		row.data = p;
		row.ulen = row.size;
		rc = db->table[table]->get(db->table[table], txn, &k, &row,
		    flags);
	}
	if (rc == 0)
		buf->n = row.size;
	return rc;
}

int
table_get(struct queue_db *db, DB_TXN *txn, enum table table,
    struct ph_slice key, struct row_buf *buf, bool for_change)
{
	int rc, tries = 0;

	if (buf->p == NULL) {
		buf->capacity = 2048;
		buf->p = malloc(buf->capacity);
		if (buf->p == NULL)
			return PH_NO_MEMORY;
	}
	/* a row without a transaction may grow between the two looks */
	do
		rc = get_once(db, txn, table, key, buf,
		    for_change ? DB_RMW : 0);
	while ((rc == DB_BUFFER_SMALL || (txn == NULL &&
	    (rc == DB_LOCK_DEADLOCK || rc == DB_LOCK_NOTGRANTED))) &&
	    ++tries < DEADLOCK_TRIES);
	return status_of_db(rc);
}

int
table_put(struct queue_db *db, DB_TXN *txn, enum table table,
    struct ph_slice key, struct ph_slice row, bool must_be_new)
{
	DBT k = dbt_of(key), r = dbt_of(row);

	return status_of_db(db->table[table]->put(db->table[table], txn, &k, &r,
	    must_be_new ? DB_NOOVERWRITE : 0));
}

int
table_delete(struct queue_db *db, DB_TXN *txn, enum table table,
    struct ph_slice key)
{
	DBT k = dbt_of(key);

	return status_of_db(db->table[table]->del(db->table[table], txn, &k,
	    0));
}

/*
 * Berkeley DB flushes its log whenever the last page of a file becomes free,
 * because it cuts the file. In a queue that is nearly empty each removal would
 * do that. So a row that is never removed lies at the end of some free pages.
 * Its key is shorter than an id and sorts before all of them.
 */
int
table_reserve(struct queue_db *db, enum table table, uint32_t pages)
{
	const size_t n = (size_t)pages * PAGE_BYTES;
	DB *handle = db->table[table];
	DB_BTREE_STAT *stat;
	DB_TXN *txn;
	char *zeros;
	uint32_t have;
	int rc = handle->stat(handle, NULL, &stat, DB_FAST_STAT);

	if (rc != 0)
		return status_of_db(rc);
	have = stat->bt_pagecnt;
	free(stat);
	if (have >= pages)
		return 0;
	zeros = calloc(1, n);
	if (zeros == NULL)
		return PH_NO_MEMORY;
	rc = status_of_db(db->env->txn_begin(db->env, NULL, &txn, 0));
	if (rc == 0) {
		rc = table_put(db, txn, table, PH_LIT("\0"),
		    (struct ph_slice){ zeros, n }, false);
		if (rc == 0)
			rc = table_put(db, txn, table, PH_LIT("\0\0"),
			    (struct ph_slice){ zeros, PAGE_BYTES / 2 }, false);
		if (rc == 0)
			rc = table_delete(db, txn, table, PH_LIT("\0"));
		if (rc == 0)
			rc = status_of_db(txn->commit(txn, DB_TXN_WRITE_NOSYNC));
		else
			txn->abort(txn);
	}
	free(zeros);
	return rc;
}

int
range_open(struct queue_db *db, DB_TXN *txn, enum table table,
    struct ph_slice from, struct range *range_out)
{
	struct range range = { .step = DB_SET_RANGE, .for_change = txn != NULL };
	int rc;

	range.key.flags = DB_DBT_REALLOC;
	range.row.flags = DB_DBT_REALLOC;
	range.key.data = malloc(KEY_MAX);
	if (range.key.data == NULL)
		return PH_NO_MEMORY;
	ph_assert(from.n <= KEY_MAX);
	if (from.n > 0)
		memcpy(range.key.data, from.p, from.n);
	range.key.size = (uint32_t)from.n;
	rc = db->table[table]->cursor(db->table[table], txn, &range.cursor, 0);
	if (rc != 0)
		free(range.key.data);
	else
		*range_out = range;
	return status_of_db(rc);
}

int
range_next(struct range *range, struct ph_slice *key_out,
    struct ph_slice *row_out)
{
	int rc = range->cursor->get(range->cursor, &range->key, &range->row,
	    range->step | (range->for_change ? DB_RMW : 0));

	if (rc != 0)
		return status_of_db(rc);
	range->step = range->back ? DB_PREV : DB_NEXT;
	*key_out = (struct ph_slice){ range->key.data, range->key.size };
	*row_out = (struct ph_slice){ range->row.data, range->row.size };
	return 0;
}

int
range_delete(struct range *range)
{
	return status_of_db(range->cursor->del(range->cursor, 0));
}

int
range_close(struct range *range)
{
	int rc = 0;

	if (range->cursor != NULL)
		rc = range->cursor->close(range->cursor);
	free(range->key.data);
	free(range->row.data);
	*range = (struct range){ 0 };
	return status_of_db(rc);
}
