/* SPDX-License-Identifier: Apache-2.0 */
/*
 * verify.c - is the whole queue sound? Rows and bodies are read as the server
 * reads them; pages are checked by Berkeley DB, which wants the environment
 * closed for that.
 */
#include <stdio.h>

#include "inner.h"
#include "queue_db_tools.h"

enum { IDS_AT_ONCE = 1024, PAIRS_AT_ONCE = 1000 };

static int
verify_message(struct queue_db *db, uint64_t id, struct queue_db_tally *tally)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct queue_db_message m;
	int rc = queue_db_get(db, id, true, arena, &m);

	if (rc == 0) {
		tally->messages++;
		tally->recipients += m.recipient_count;
		tally->content_bytes += m.size_bytes;
	}
	tally->damaged += rc == PH_DEFECT;
	ph_arena_free(arena);
	return rc == PH_DEFECT || rc == PH_NOT_FOUND ? 0 : rc;
}

static int
verify_messages(struct queue_db *db, struct queue_db_tally *tally)
{
	uint64_t ids[IDS_AT_ONCE], after = 0;
	size_t n;
	int rc;

	do {
		rc = read_ids(db, after, UP, ids, IDS_AT_ONCE, &n);
		for (size_t i = 0; rc == 0 && i < n; i++)
			rc = verify_message(db, ids[i], tally);
		if (n > 0)
			after = ids[n - 1];
	} while (rc == 0 && n > 0);
	return rc;
}

/* Rows that belong to no message: nobody would ever look at them. */
static int
count_strays(struct queue_db *db, enum table table,
    struct queue_db_tally *tally)
{
	struct row_buf buf = { 0 };
	struct ph_slice key, row;
	uint64_t last = 0;
	struct range range;
	int rc = range_open(db, NULL, table, PH_LIT(""), &range);

	if (rc != 0)
		return rc;
	range.row.flags |= DB_DBT_PARTIAL; /* keys only */
	while ((rc = range_next(&range, &key, &row)) == 0) {
		if (key.n < KEY_ID || id_of_key(key) == last)
			continue;
		last = id_of_key(key);
		rc = table_get(db, NULL, T_MESSAGES,
		    (struct ph_slice){ key.p, KEY_ID }, &buf, false);
		tally->strays += rc == PH_NOT_FOUND;
		if (rc != 0 && rc != PH_NOT_FOUND)
			break;
	}
	(void)range_close(&range);
	row_buf_fini(&buf);
	return rc == PH_NOT_FOUND ? 0 : rc;
}

static int
verify_pairs(struct queue_db *db, struct queue_db_tally *tally)
{
	struct ph_slice key, row;
	struct range range;
	struct row_pair pair;
	int rc = range_open(db, NULL, T_KV, PH_LIT(""), &range);

	if (rc != 0)
		return rc;
	while ((rc = range_next(&range, &key, &row)) == 0) {
		if (row_to_pair(key, row, &pair) == 0) {
			tally->pairs++;
		} else {
			tally->damaged++;
			aside_pair(db, key);
		}
	}
	(void)range_close(&range);
	return rc == PH_NOT_FOUND ? 0 : rc;
}

static int
count_aside(struct queue_db *db, struct queue_db_tally *tally)
{
	struct ph_slice key, row;
	struct range range;
	int rc = range_open(db, NULL, T_ASIDE, PH_LIT(""), &range);

	if (rc != 0)
		return rc;
	while ((rc = range_next(&range, &key, &row)) == 0)
		tally->aside++;
	(void)range_close(&range);
	return rc == PH_NOT_FOUND ? 0 : rc;
}

/* Until all that was set aside lies there. */
static void
settle(struct queue_db *db)
{
	pthread_mutex_lock(&db->lock);
	while (db->stats.waiting > 0)
		pthread_cond_wait(&db->idle, &db->lock);
	pthread_mutex_unlock(&db->lock);
}

int
queue_db_verify(struct queue_db *db, struct queue_db_tally *tally_out,
    struct ph_err *err)
{
	struct queue_db_tally tally = { 0 };
	int rc = verify_messages(db, &tally);

	if (rc == 0)
		rc = verify_pairs(db, &tally);
	settle(db);
	if (rc == 0)
		rc = count_strays(db, T_RECIPIENTS, &tally);
	if (rc == 0)
		rc = count_strays(db, T_BODIES, &tally);
	if (rc == 0)
		rc = count_aside(db, &tally);
	if (rc != 0)
		return ph_err_set(err, rc, 0, "the queue can't be read to its "
		    "end: %s", ph_status_name(rc));
	*tally_out = tally;
	return 0;
}

int
queue_db_verify_pages(const char *dir,
    void (*words)(void *arg, const char *text), void *arg)
{
	int worst = 0;

	for (int i = 0; i < TABLES; i++) {
		const char *name = table_file((enum table)i);
		char path[4096], text[4300];
		DB *handle;
		int rc;

		if (snprintf(path, sizeof(path), "%s/%s", dir, name) >=
		        (int)sizeof(path) ||
		    db_create(&handle, NULL, 0) != 0)
			return PH_IO;
		handle->set_errfile(handle, NULL);
		rc = handle->verify(handle, path, NULL, NULL, 0);
		if (rc == 0)
			continue;
		snprintf(text, sizeof(text), "%s: %s", name, db_strerror(rc));
		words(arg, text);
		worst = rc == DB_VERIFY_BAD ? PH_DEFECT : PH_IO;
	}
	return worst;
}
