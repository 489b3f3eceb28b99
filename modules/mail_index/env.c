/* SPDX-License-Identifier: Apache-2.0 */
/*
 * env.c - the Berkeley DB environment of a partition and its one btree.
 *
 * Private regions and recovery at every open: nothing of a dead process is in
 * the way. No lock subsystem: one thread at a time. A failed fsync ends the
 * process, for Berkeley DB would retry it and believe the second answer.
 */
#include "mail_index/inner.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	PAGE_BYTES = 16 * 1024,
	LOG_BUFFER_BYTES = 1024 * 1024,
	CHECKPOINT_MINUTES = 1,
	ROW_MAX = MAIL_INDEX_HEADER_MAX + MAIL_INDEX_MIME_MAX + 65536,
	EXIT_UNSOUND = 70,
};

enum { META_EPOCH = 1, META_NEXT_BOX = 2, META_LAST_VALIDITY = 3 };

static const struct index_key meta_key = { "0meta", 5 };

_Noreturn static void
end_process(const char *why, int rc)
{
	dprintf(STDERR_FILENO, "mail index: %s: %s\n", why, db_strerror(rc));
	_exit(EXIT_UNSOUND);
}

static int
sync_or_end(int fd)
{
	if (fdatasync(fd) != 0)
		end_process("fsync failed", errno);
	return 0;
}

int
index_status(int rc)
{
	switch (rc) {
	case 0:
		return PH_OK;
	case DB_NOTFOUND:
		return PH_NOT_FOUND;
	case DB_KEYEXIST:
		return PH_EXISTS;
	case ENOSPC:
	case EDQUOT:
		return PH_FULL;
	case DB_RUNRECOVERY:
		end_process("the environment is damaged", rc);
	default:
		return PH_IO;
	}
}

/* --- keys --- */

static void
key_number(struct index_key *key, uint64_t value, size_t n)
{
	for (size_t i = 0; i < n; i++)
		key->p[key->n++] =
		    (char)(unsigned char)(value >> (8 * (n - 1 - i)));
}

uint64_t
key_u64(const char *p, size_t n)
{
	uint64_t value = 0;

	for (size_t i = 0; i < n; i++)
		value = value << 8 | (unsigned char)p[i];
	return value;
}

void
key_box(struct index_key *key, char table, uint64_t box)
{
	key->p[0] = table;
	key->n = 1;
	key_number(key, box, 8);
}

void
key_uid(struct index_key *key, char table, uint64_t box, uint32_t uid)
{
	key_box(key, table, box);
	key_number(key, uid, 4);
}

void
key_history(struct index_key *key, uint64_t box, uint64_t modseq, uint32_t uid)
{
	key_box(key, 'H', box);
	key_number(key, modseq, 8);
	key_number(key, uid, 4);
}

int
key_file(struct index_key *key, uint64_t box, struct ph_slice name)
{
	if (name.n == 0 || name.n > MAIL_INDEX_FILE_MAX)
		return PH_INVALID;
	key_box(key, 'N', box);
	memcpy(key->p + key->n, name.p, name.n);
	key->n += name.n;
	return PH_OK;
}

int
key_name(struct index_key *key, char table, struct ph_slice user,
    struct ph_slice name)
{
	if (user.n == 0 || user.n + name.n + 2 > sizeof(key->p) ||
	    memchr(user.p, '\0', user.n) != NULL ||
	    (name.n > 0 && memchr(name.p, '\0', name.n) != NULL))
		return PH_INVALID;
	key->p[0] = table;
	memcpy(key->p + 1, user.p, user.n);
	key->p[1 + user.n] = '\0';
	if (name.n > 0)
		memcpy(key->p + 2 + user.n, name.p, name.n);
	key->n = user.n + name.n + 2;
	return PH_OK;
}

/* --- rows --- */

static DBT
dbt_of(struct ph_slice s)
{
	DBT dbt = { 0 };

	dbt.data = (void *)(uintptr_t)s.p;
	dbt.size = dbt.ulen = (uint32_t)s.n;
	dbt.flags = DB_DBT_USERMEM;
	return dbt;
}

static DBT
value_dbt(struct mail_index *mi)
{
	DBT dbt = { 0 };

	dbt.data = mi->value;
	dbt.ulen = mi->value_capacity;
	dbt.flags = DB_DBT_USERMEM;
	return dbt;
}

static void
value_grow(struct mail_index *mi, uint32_t need)
{
	mi->value_capacity = need + need / 2;
	free(mi->value);
	mi->value = malloc(mi->value_capacity);
	ph_assert(mi->value != NULL);
}

int
index_get(struct mail_index *mi, const struct index_key *key,
    struct ph_slice *fields_out)
{
	DBT k = dbt_of(key_slice(key));

	for (;;) {
		DBT v = value_dbt(mi);
		int rc = mi->db->get(mi->db, mi->txn, &k, &v, 0);

		if (rc == DB_BUFFER_SMALL) {
			value_grow(mi, v.size);
			continue;
		}
		if (rc != 0)
			return index_status(rc);
		return row_open(key_slice(key),
		    (struct ph_slice){ v.data, v.size }, fields_out);
	}
}

struct ph_buf *
index_row(struct mail_index *mi)
{
	mi->row.n = 0;
	mi->row.full = false;
	row_begin(&mi->row);
	return &mi->row;
}

int
index_put(struct mail_index *mi, const struct index_key *key)
{
	DBT k = dbt_of(key_slice(key)), v;

	ph_assert(mi->txn != NULL);
	row_end(&mi->row, key_slice(key));
	if (mi->row.full)
		return PH_TOO_BIG;
	v = dbt_of(ph_buf_content(&mi->row));
	return index_status(mi->db->put(mi->db, mi->txn, &k, &v, 0));
}

int
index_del(struct mail_index *mi, const struct index_key *key)
{
	DBT k = dbt_of(key_slice(key));

	ph_assert(mi->txn != NULL);
	return index_status(mi->db->del(mi->db, mi->txn, &k, 0));
}

static int
walk_next(struct mail_index *mi, DBC *cursor, struct index_key *at,
    uint32_t move, DBT *value_out)
{
	for (;;) {
		DBT k = { .data = at->p, .size = (uint32_t)at->n,
			.ulen = sizeof(at->p), .flags = DB_DBT_USERMEM };
		DBT v = value_dbt(mi);
		int rc = cursor->get(cursor, &k, &v, move);

		if (rc == DB_BUFFER_SMALL && v.size > mi->value_capacity) {
			value_grow(mi, v.size);
			continue;
		}
		if (rc != 0)
			return index_status(rc);
		at->n = k.size;
		*value_out = v;
		return PH_OK;
	}
}

int
index_walk(struct mail_index *mi, const struct index_key *prefix,
    const struct index_key *first, bool remove,
    int (*each)(void *, struct ph_slice, struct ph_slice), void *arg)
{
	struct index_key at = first != NULL ? *first : *prefix;
	uint32_t move = DB_SET_RANGE;
	DBC *cursor;
	DBT v;
	int status = index_status(mi->db->cursor(mi->db, mi->txn, &cursor, 0));

	if (status != PH_OK)
		return status;
	while ((status = walk_next(mi, cursor, &at, move, &v)) == PH_OK) {
		struct ph_slice fields, row = { v.data, v.size };

		if (at.n < prefix->n ||
		    memcmp(at.p, prefix->p, prefix->n) != 0)
			break;
		if (row_open(key_slice(&at), row, &fields) != PH_OK)
			fields = (struct ph_slice){ NULL, 0 };
		status = each != NULL ? each(arg, key_slice(&at), fields) :
		                        PH_OK;
		if (status != PH_OK)
			break;
		if (remove)
			status = index_status(cursor->del(cursor, 0));
		if (status != PH_OK)
			break;
		move = DB_NEXT;
	}
	cursor->close(cursor);
	return status == PH_NOT_FOUND ? PH_OK : status;
}

/* --- transactions --- */

int
mail_index_begin(struct mail_index *mi)
{
	ph_assert(mi->txn == NULL);
	return index_status(mi->env->txn_begin(mi->env, NULL, &mi->txn, 0));
}

int
mail_index_commit(struct mail_index *mi)
{
	DB_TXN *txn = mi->txn;

	ph_assert(txn != NULL);
	mi->txn = NULL;
	mi->unflushed = true;
	return index_status(txn->commit(txn, DB_TXN_WRITE_NOSYNC));
}

void
mail_index_abort(struct mail_index *mi)
{
	DB_TXN *txn = mi->txn;
	int rc;

	if (txn == NULL)
		return;
	mi->txn = NULL;
	rc = txn->abort(txn);
	if (rc != 0)
		end_process("a transaction could not be undone", rc);
}

int
mail_index_flush(struct mail_index *mi)
{
	int status;

	if (!mi->unflushed)
		return PH_OK;
	status = index_status(mi->env->log_flush(mi->env, NULL));
	if (status == PH_OK)
		mi->unflushed = false;
	return status;
}

void
mail_index_checkpoint(struct mail_index *mi)
{
	struct timespec now;

	/* Berkeley DB looks for old log files each time it is asked. */
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (now.tv_sec == mi->checkpoint_asked_s)
		return;
	mi->checkpoint_asked_s = now.tv_sec;
	/* What fails here fails again, louder, at the next commit. */
	(void)index_status(mi->env->txn_checkpoint(mi->env,
	    (uint32_t)(mi->checkpoint_bytes / 1024), CHECKPOINT_MINUTES, 0));
}

uint64_t
mail_index_epoch(const struct mail_index *mi)
{
	return mi->epoch;
}

/* --- opening --- */

int
index_meta_put(struct mail_index *mi)
{
	struct ph_buf *row = index_row(mi);

	row_put_u64(row, META_EPOCH, mi->epoch);
	row_put_u64(row, META_NEXT_BOX, mi->next_box);
	row_put_u64(row, META_LAST_VALIDITY, mi->last_validity);
	return index_put(mi, &meta_key);
}

static int
meta_load(struct mail_index *mi)
{
	struct ph_slice fields;
	struct row_field field;
	uint64_t now = (uint64_t)time(NULL);
	int status = index_get(mi, &meta_key, &fields);

	mi->next_box = 1;
	if (status == PH_OK)
		while (row_next(&fields, &field)) {
			uint64_t value = row_u64(field.value);

			if (field.tag == META_EPOCH)
				mi->epoch = value;
			else if (field.tag == META_NEXT_BOX)
				mi->next_box = value;
			else if (field.tag == META_LAST_VALIDITY)
				mi->last_validity = (uint32_t)value;
		}
	else if (status != PH_NOT_FOUND)
		return status;
	mi->epoch = now > mi->epoch ? now : mi->epoch + 1;
	status = mail_index_begin(mi);
	if (status == PH_OK)
		status = index_meta_put(mi);
	if (status != PH_OK) {
		mail_index_abort(mi);
		return status;
	}
	status = mail_index_commit(mi);
	return status == PH_OK ? mail_index_flush(mi) : status;
}

static void
on_db_error(const DB_ENV *env, const char *prefix, const char *text)
{
	(void)env;
	(void)prefix;
	dprintf(STDERR_FILENO, "mail index: %s\n", text);
}

static int
env_open(struct mail_index *mi, const char *home,
    const struct mail_index_conf *conf)
{
	const uint32_t flags = DB_CREATE | DB_RECOVER | DB_PRIVATE | DB_THREAD |
	    DB_INIT_TXN | DB_INIT_LOG | DB_INIT_MPOOL;
	int rc = db_env_set_func_fsync(sync_or_end);

	if (rc == 0)
		rc = db_env_create(&mi->env, 0);
	if (rc != 0) {
		mi->env = NULL;
		return rc;
	}
	mi->env->set_errcall(mi->env, on_db_error);
	rc = mi->env->set_cachesize(mi->env,
	    (uint32_t)(conf->cache_bytes >> 30),
	    (uint32_t)(conf->cache_bytes & 0x3fffffff), 1);
	if (rc == 0)
		rc = mi->env->set_lg_bsize(mi->env, LOG_BUFFER_BYTES);
	if (rc == 0)
		rc = mi->env->set_lg_max(mi->env,
		    (uint32_t)conf->log_file_bytes);
	if (rc == 0)
		rc = mi->env->log_set_config(mi->env, DB_LOG_AUTO_REMOVE, 1);
	if (rc == 0)
		rc = mi->env->open(mi->env, home, flags, 0600);
	return rc;
}

static int
db_open(struct mail_index *mi)
{
	int rc = db_create(&mi->db, mi->env, 0);

	if (rc != 0) {
		mi->db = NULL;
		return rc;
	}
	rc = mi->db->set_pagesize(mi->db, PAGE_BYTES);
	if (rc == 0)
		rc = mi->db->set_flags(mi->db, DB_CHKSUM);
	if (rc == 0)
		rc = mi->db->open(mi->db, NULL, "mail.db", NULL, DB_BTREE,
		    DB_CREATE | DB_THREAD | DB_AUTO_COMMIT, 0600);
	return rc;
}

void
mail_index_close(struct mail_index *mi)
{
	if (mi == NULL)
		return;
	mail_index_abort(mi);
	if (mi->db != NULL)
		mi->db->close(mi->db, 0);
	if (mi->env != NULL) {
		mi->env->txn_checkpoint(mi->env, 0, 0, 0);
		mi->env->close(mi->env, 0);
	}
	ph_buf_fini(&mi->row);
	free(mi->value);
	free(mi);
}

int
mail_index_open(const char *home, const struct mail_index_conf *conf,
    struct mail_index **index_out, struct ph_err *err)
{
	struct mail_index *mi = calloc(1, sizeof(*mi));
	char path[4096];
	struct stat st;
	int rc, status;

	ph_assert(mi != NULL);
	ph_buf_init(&mi->row, NULL, ROW_MAX);
	mi->checkpoint_bytes = conf->checkpoint_bytes;
	snprintf(path, sizeof(path), "%s/DB_CONFIG", home);
	if (home[0] != '/' || lstat(path, &st) == 0) {
		free(mi);
		return ph_err_set(err, PH_DENIED, 0,
		    "%s: not absolute, or it has a DB_CONFIG file", home);
	}
	rc = env_open(mi, home, conf);
	if (rc == 0)
		rc = db_open(mi);
	if (rc != 0) {
		if (mi->env != NULL && mi->db == NULL) {
			mi->env->close(mi->env, 0);
			mi->env = NULL;
		}
		mail_index_close(mi);
		return ph_err_set(err, rc == ENOSPC ? PH_FULL : PH_IO,
		    rc > 0 ? rc : 0, "the index in %s can't be opened: %s",
		    home, db_strerror(rc));
	}
	status = meta_load(mi);
	if (status != PH_OK) {
		mail_index_close(mi);
		return ph_err_set(err, status, 0,
		    "the index in %s has no sound first row", home);
	}
	*index_out = mi;
	return PH_OK;
}
