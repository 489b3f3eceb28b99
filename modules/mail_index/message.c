/* SPDX-License-Identifier: Apache-2.0 */
/*
 * message.c - the rows of messages, of what their files are called, of what
 * was expunged, and of what their headers said.
 *
 * A name's row outlives its message for as long as the history does: a
 * delivery that is repeated after the reader expunged it, and a file that a
 * crash left behind, are recognised by it.
 */
#include "mail_index/inner.h"

#include <stdlib.h>

enum {
	MESSAGE_FLAGS = 1,
	MESSAGE_KEYWORDS = 2,
	MESSAGE_MODSEQ = 3,
	MESSAGE_DATE = 4,
	MESSAGE_SIZE = 5,
	MESSAGE_FILE = 6,
	MESSAGE_BASE_N = 7,
	MESSAGE_PLACE = 8, /* bits below */
	MESSAGE_RENAMED = 9,
	MESSAGE_KEY_N = 10,
};
enum { PLACE_NEW = 1, PLACE_BARE_LF = 2 };
enum { NAME_UID = 1, NAME_EXPUNGED_AT = 2, NAME_VANISHED = 3 };
enum { HISTORY_TIME = 1, HISTORY_NAME = 2 };
enum { SUMMARY_HEADER = 1, SUMMARY_MIME = 2 };

/* --- message rows --- */

static int
message_write(struct mail_index *mi, uint64_t box_id,
    const struct index_message *message)
{
	const struct ph_message_meta *meta = &message->meta;
	struct ph_buf *row = index_row(mi);
	struct index_key key;

	key_uid(&key, 'M', box_id, meta->uid);
	row_put_u64(row, MESSAGE_FLAGS, meta->flags & ~(uint32_t)PH_RECENT);
	row_put_u64(row, MESSAGE_KEYWORDS, meta->keywords);
	row_put_u64(row, MESSAGE_MODSEQ, meta->modseq);
	row_put_u64(row, MESSAGE_DATE, (uint64_t)meta->internal_date);
	row_put_u64(row, MESSAGE_SIZE, meta->size);
	row_put(row, MESSAGE_FILE, message->file);
	row_put_u64(row, MESSAGE_BASE_N, message->base_n);
	row_put_u64(row, MESSAGE_PLACE,
	    (message->in_new ? PLACE_NEW : 0u) |
	        (message->bare_lf ? PLACE_BARE_LF : 0u));
	row_put_u64(row, MESSAGE_RENAMED, (uint64_t)message->renamed_ns);
	if (message->key_n > 0)
		row_put_u64(row, MESSAGE_KEY_N, message->key_n);
	return index_put(mi, &key);
}

static int
message_read(uint32_t uid, struct ph_slice fields, struct index_message *m)
{
	struct row_field field;
	uint64_t place = 0;

	*m = (struct index_message){ .meta = { .uid = uid } };
	while (row_next(&fields, &field)) {
		uint64_t value = row_u64(field.value);

		if (field.tag == MESSAGE_FLAGS)
			m->meta.flags = (uint32_t)value;
		else if (field.tag == MESSAGE_KEYWORDS)
			m->meta.keywords = value;
		else if (field.tag == MESSAGE_MODSEQ)
			m->meta.modseq = value;
		else if (field.tag == MESSAGE_DATE)
			m->meta.internal_date = (int64_t)value;
		else if (field.tag == MESSAGE_SIZE)
			m->meta.size = value;
		else if (field.tag == MESSAGE_FILE)
			m->file = field.value;
		else if (field.tag == MESSAGE_BASE_N)
			m->base_n = value;
		else if (field.tag == MESSAGE_PLACE)
			place = value;
		else if (field.tag == MESSAGE_RENAMED)
			m->renamed_ns = (int64_t)value;
		else if (field.tag == MESSAGE_KEY_N)
			m->key_n = value;
	}
	m->in_new = (place & PLACE_NEW) != 0;
	m->bare_lf = (place & PLACE_BARE_LF) != 0;
	return uid == 0 || m->file.n == 0 || m->base_n == 0 ||
	        m->base_n > m->file.n || m->key_n > m->base_n ?
	    PH_DEFECT : PH_OK;
}

static void
box_count(struct index_box *box, const struct ph_message_meta *meta, bool in)
{
	uint32_t one = in ? 1u : UINT32_MAX; /* wraps to minus one */

	box->messages += one;
	if (!(meta->flags & PH_SEEN))
		box->unseen += one;
	if (meta->flags & PH_DELETED)
		box->deleted += one;
	box->size = in ? box->size + meta->size : box->size - meta->size;
}

/* --- summaries --- */

int
mail_index_summary_put(struct mail_index *mi, uint64_t box_id, uint32_t uid,
    const struct ph_message_summary *summary)
{
	struct ph_buf *row = index_row(mi);
	struct ph_slice header = summary->header;
	struct index_key key;

	if (header.n > MAIL_INDEX_HEADER_MAX)
		header.n = MAIL_INDEX_HEADER_MAX;
	key_uid(&key, 'S', box_id, uid);
	row_put(row, SUMMARY_HEADER, header);
	if (summary->mime.n <= MAIL_INDEX_MIME_MAX)
		row_put(row, SUMMARY_MIME, summary->mime);
	return index_put(mi, &key);
}

int
mail_index_summary(struct mail_index *mi, uint64_t box_id, uint32_t uid,
    struct ph_arena *arena, struct ph_message_summary *summary_out)
{
	struct ph_message_summary summary = { { "", 0 }, { NULL, 0 } };
	struct index_key key;
	struct ph_slice fields;
	struct row_field field;
	int status;

	key_uid(&key, 'S', box_id, uid);
	status = index_get(mi, &key, &fields);
	if (status != PH_OK)
		return status;
	while (row_next(&fields, &field))
		if (field.tag == SUMMARY_HEADER)
			summary.header = ph_arena_slice(arena, field.value);
		else if (field.tag == SUMMARY_MIME)
			summary.mime = ph_arena_slice(arena, field.value);
	*summary_out = summary;
	return PH_OK;
}

/* --- names --- */

static int
name_write(struct mail_index *mi, uint64_t box_id, struct ph_slice name,
    uint32_t uid, int64_t expunged_at, bool vanished)
{
	struct index_key key;
	struct ph_buf *row;
	int status = key_file(&key, box_id, name);

	if (status != PH_OK)
		return status;
	row = index_row(mi);
	row_put_u64(row, NAME_UID, uid);
	row_put_u64(row, NAME_EXPUNGED_AT, (uint64_t)expunged_at);
	row_put_u64(row, NAME_VANISHED, vanished);
	return index_put(mi, &key);
}

int
mail_index_name_find(struct mail_index *mi, uint64_t box_id,
    struct ph_slice file_key, struct index_name *name_out)
{
	struct index_name name = { .state = INDEX_NAME_LIVE };
	struct index_key key;
	struct ph_slice fields;
	struct row_field field;
	bool vanished = false;
	int status = key_file(&key, box_id, file_key);

	if (status == PH_OK)
		status = index_get(mi, &key, &fields);
	if (status == PH_NOT_FOUND) {
		*name_out = (struct index_name){ .state = INDEX_NAME_NONE };
		return PH_OK;
	}
	if (status != PH_OK)
		return status;
	while (row_next(&fields, &field))
		if (field.tag == NAME_UID)
			name.uid = (uint32_t)row_u64(field.value);
		else if (field.tag == NAME_EXPUNGED_AT)
			name.expunged_at = (int64_t)row_u64(field.value);
		else if (field.tag == NAME_VANISHED)
			vanished = row_u64(field.value) != 0;
	if (name.expunged_at != 0)
		name.state = vanished ? INDEX_NAME_VANISHED :
		                        INDEX_NAME_EXPUNGED;
	*name_out = name;
	return PH_OK;
}

int
mail_index_name_forget(struct mail_index *mi, uint64_t box_id,
    struct ph_slice file_key)
{
	struct index_key key;
	int status = key_file(&key, box_id, file_key);

	if (status == PH_OK)
		status = index_del(mi, &key);
	return status == PH_NOT_FOUND ? PH_OK : status;
}

/* --- changes --- */

int
mail_index_message_add(struct mail_index *mi, struct index_box *box,
    struct index_message *message, const struct ph_message_summary *summary)
{
	int status;

	if (box->uid_next == UINT32_MAX || box->messages == UINT32_MAX)
		return PH_FULL;
	if (message->base_n == 0 || message->base_n > message->file.n ||
	    message->key_n > message->base_n ||
	    message->file.n > MAIL_INDEX_FILE_MAX)
		return PH_INVALID;
	message->meta.uid = box->uid_next;
	message->meta.modseq = box->modseq + 1;
	status = message_write(mi, box->id, message);
	if (status == PH_OK)
		status = name_write(mi, box->id, index_message_key(message),
		    message->meta.uid, 0, false);
	if (status == PH_OK && summary != NULL)
		status = mail_index_summary_put(mi, box->id,
		    message->meta.uid, summary);
	if (status != PH_OK)
		return status;
	box->uid_next++;
	box->modseq++;
	box_count(box, &message->meta, true);
	return PH_OK;
}

int
mail_index_message_get(struct mail_index *mi, uint64_t box_id, uint32_t uid,
    struct ph_arena *arena, struct index_message *message_out)
{
	struct index_message message;
	struct index_key key;
	struct ph_slice fields;
	int status;

	key_uid(&key, 'M', box_id, uid);
	status = index_get(mi, &key, &fields);
	if (status == PH_OK)
		status = message_read(uid, fields, &message);
	if (status != PH_OK)
		return status;
	message.file = ph_arena_slice(arena, message.file);
	*message_out = message;
	return PH_OK;
}

int
mail_index_message_put(struct mail_index *mi, struct index_box *box,
    const struct index_message *was, const struct index_message *message)
{
	int status;

	if (message->file.n > MAIL_INDEX_FILE_MAX)
		return PH_INVALID;
	status = message_write(mi, box->id, message);
	if (status == PH_OK) {
		box_count(box, &was->meta, false);
		box_count(box, &message->meta, true);
	}
	return status;
}

int
mail_index_message_expunge(struct mail_index *mi, struct index_box *box,
    const struct index_message *message, int64_t now, bool vanished)
{
	struct index_key key;
	struct ph_buf *row;
	int status;

	key_uid(&key, 'M', box->id, message->meta.uid);
	status = index_del(mi, &key);
	if (status != PH_OK)
		return status;
	box_count(box, &message->meta, false);
	key_uid(&key, 'S', box->id, message->meta.uid);
	status = index_del(mi, &key);
	if (status != PH_OK && status != PH_NOT_FOUND)
		return status;
	status = name_write(mi, box->id, index_message_key(message),
	    message->meta.uid, now != 0 ? now : 1, vanished);
	if (status != PH_OK)
		return status;
	key_history(&key, box->id, box->modseq, message->meta.uid);
	row = index_row(mi);
	row_put_u64(row, HISTORY_TIME, (uint64_t)now);
	row_put(row, HISTORY_NAME, index_message_key(message));
	return index_put(mi, &key);
}

/* --- walks --- */

struct message_walk {
	int (*each)(void *arg, const struct index_message *message);
	void *arg;
};

enum { UID_AT = 9, MODSEQ_AT = 9, HISTORY_UID_AT = 17 };

static int
walk_message(void *arg, struct ph_slice key, struct ph_slice fields)
{
	struct message_walk *walk = arg;
	struct index_message message;

	if (key.n != UID_AT + 4 || fields.p == NULL ||
	    message_read((uint32_t)key_u64(key.p + UID_AT, 4), fields,
	        &message) != PH_OK)
		return PH_OK;
	return walk->each(walk->arg, &message);
}

int
mail_index_messages(struct mail_index *mi, uint64_t box_id, uint32_t from,
    int (*each)(void *, const struct index_message *), void *arg)
{
	struct message_walk walk = { each, arg };
	struct index_key prefix, first;

	key_box(&prefix, 'M', box_id);
	key_uid(&first, 'M', box_id, from);
	return index_walk(mi, &prefix, &first, false, walk_message, &walk);
}

static int
walk_history(void *arg, struct ph_slice key, struct ph_slice fields)
{
	struct ph_buf *list = arg;
	struct index_expunged entry;

	(void)fields; /* what is needed stands in the key */
	if (key.n != HISTORY_UID_AT + 4)
		return PH_OK;
	entry = (struct index_expunged){
		.modseq = key_u64(key.p + MODSEQ_AT, 8),
		.uid = (uint32_t)key_u64(key.p + HISTORY_UID_AT, 4) };
	ph_buf_add(list, &entry, sizeof(entry));
	return PH_OK;
}

int
mail_index_history(struct mail_index *mi, uint64_t box_id,
    struct index_expunged **list_out, size_t *count_out)
{
	struct index_key prefix;
	struct ph_buf list;
	int status;

	ph_buf_init(&list, NULL, SIZE_MAX / 4);
	key_box(&prefix, 'H', box_id);
	status = index_walk(mi, &prefix, NULL, false, walk_history, &list);
	if (status != PH_OK) {
		ph_buf_fini(&list);
		return status;
	}
	*list_out = (struct index_expunged *)(void *)list.p;
	*count_out = list.n / sizeof(struct index_expunged);
	return PH_OK;
}

struct prune_walk {
	struct mail_index *mi;
	struct index_box *box;
	int64_t before;
	size_t left;
};

enum { PRUNE_ENOUGH = 1 };

static int
prune_entry(void *arg, struct ph_slice key, struct ph_slice fields)
{
	struct prune_walk *walk = arg;
	struct ph_slice base = { NULL, 0 };
	struct index_name name;
	struct row_field field;
	int64_t time = 0;
	uint64_t modseq;

	while (fields.p != NULL && row_next(&fields, &field))
		if (field.tag == HISTORY_TIME)
			time = (int64_t)row_u64(field.value);
		else if (field.tag == HISTORY_NAME)
			base = field.value;
	if (time >= walk->before || walk->left == 0 ||
	    key.n != HISTORY_UID_AT + 4)
		return PRUNE_ENOUGH;
	walk->left--;
	modseq = key_u64(key.p + MODSEQ_AT, 8);
	if (modseq > walk->box->history_floor)
		walk->box->history_floor = modseq;
	if (base.n > 0 && base.n <= MAIL_INDEX_FILE_MAX) {
		char copy[MAIL_INDEX_FILE_MAX]; /* gets reuse the memory */
		struct ph_slice kept = { copy, base.n };

		memcpy(copy, base.p, base.n);
		if (mail_index_name_find(walk->mi, walk->box->id, kept,
		        &name) == PH_OK &&
		    (name.state == INDEX_NAME_EXPUNGED ||
		        name.state == INDEX_NAME_VANISHED))
			return mail_index_name_forget(walk->mi, walk->box->id,
			    kept);
	}
	return PH_OK;
}

int
mail_index_history_prune(struct mail_index *mi, struct index_box *box,
    int64_t before, size_t most)
{
	struct prune_walk walk = { mi, box, before, most };
	struct index_key prefix;
	int status;

	key_box(&prefix, 'H', box->id);
	status = index_walk(mi, &prefix, NULL, true, prune_entry, &walk);
	return status == PRUNE_ENOUGH ? PH_OK : status;
}
