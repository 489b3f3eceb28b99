/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inner.h - between env.c (the environment), box.c and message.c (the rows).
 *
 * One btree holds all tables; the first octet of a key names its table:
 * '0' meta, 'B' mailboxes (user NUL name), 'U' subscriptions (user NUL name),
 * 'M' messages (box uid), 'S' summaries (box uid), 'N' file names (box key),
 * 'H' history (box modseq uid). Numbers in keys are big-endian, to sort.
 */
#ifndef MAIL_INDEX_INNER_H
#define MAIL_INDEX_INNER_H

#include <db.h>

#include "mail_index/mail_index.h"
#include "mail_index/row.h"

enum { INDEX_KEY_MAX = 1024 };

struct mail_index {
	DB_ENV *env;
	DB *db;
	DB_TXN *txn;       /* the open one, or NULL */
	void *value;       /* of the last get, grown by Berkeley DB */
	uint32_t value_capacity;
	struct ph_buf row; /* the row being written */
	bool unflushed;
	uint64_t epoch;
	uint64_t next_box;      /* in the meta row */
	uint32_t last_validity; /* in the meta row */
	uint64_t checkpoint_bytes;
	int64_t checkpoint_asked_s; /* at most once a second */
};

struct index_key {
	char p[INDEX_KEY_MAX];
	size_t n;
};

static inline struct ph_slice
key_slice(const struct index_key *key)
{
	return (struct ph_slice){ key->p, key->n };
}

/* Keys; PH_INVALID: too long, or a NUL in user or name. */
int key_name(struct index_key *key, char table, struct ph_slice user,
    struct ph_slice name);
int key_file(struct index_key *key, uint64_t box, struct ph_slice name);
void key_box(struct index_key *key, char table, uint64_t box);
void key_uid(struct index_key *key, char table, uint64_t box, uint32_t uid);
void key_history(struct index_key *key, uint64_t box, uint64_t modseq,
    uint32_t uid);
uint64_t key_u64(const char *p, size_t n);

int index_status(int rc);
/* The fields of the row; valid until the next get. */
int index_get(struct mail_index *mi, const struct index_key *key,
    struct ph_slice *fields_out);
/* Begin writing into mi->row; index_put writes it under the key. */
struct ph_buf *index_row(struct mail_index *mi);
int index_put(struct mail_index *mi, const struct index_key *key);
int index_del(struct mail_index *mi, const struct index_key *key);
/*
 * Call each for every row whose key starts with prefix, in order, from the key
 * first on (NULL: all), until it returns non-zero, which is returned (fields
 * absent: a damaged row). With remove the row is deleted after each returned 0.
 */
int index_walk(struct mail_index *mi, const struct index_key *prefix,
    const struct index_key *first, bool remove,
    int (*each)(void *arg, struct ph_slice key, struct ph_slice fields),
    void *arg);
int index_meta_put(struct mail_index *mi);

#endif
