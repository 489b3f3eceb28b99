/* SPDX-License-Identifier: Apache-2.0 */
/*
 * read.c - messages as callers see them, without transactions.
 *
 * The message's own row is read last: ids are never used again and a removal
 * takes all rows at once, so if that row is there, all that was read before it
 * belonged to a living message.
 */
#include <stdlib.h>
#include <unistd.h>

#include "inner.h"

enum { READ_TRIES = 1000 };

void
recipient_add(struct ph_arena *arena, struct recipient_list *list,
    const struct queue_db_recipient *borrowed)
{
	struct queue_db_recipient *copy;

	if (list->n == list->capacity) {
		size_t capacity = list->capacity == 0 ? 4 : list->capacity * 2;
		struct queue_db_recipient *item = ph_arena_array(arena,
		    capacity, sizeof(*item));

		if (list->n > 0)
			memcpy(item, list->item, list->n * sizeof(*item));
		list->item = item;
		list->capacity = capacity;
	}
	copy = &list->item[list->n++];
	*copy = *borrowed;
	copy->address = ph_arena_slice(arena, borrowed->address);
	copy->destination = ph_arena_slice(arena, borrowed->destination);
	copy->record = ph_arena_slice(arena, borrowed->record);
}

static int
read_recipients_once(struct queue_db *db, uint64_t id, struct ph_arena *arena,
    struct recipient_list *list)
{
	struct queue_db_recipient recipient;
	struct ph_slice key, row;
	struct range range;
	char from[KEY_ID];
	int rc;

	list->n = 0;
	key_of_id(id, from);
	rc = range_open(db, NULL, T_RECIPIENTS,
	    (struct ph_slice){ from, KEY_ID }, &range);
	if (rc != 0)
		return rc;
	while ((rc = range_next(&range, &key, &row)) == 0 &&
	    key.n >= KEY_ID && memcmp(key.p, from, KEY_ID) == 0) {
		rc = row_to_recipient(key, row, &recipient);
		if (rc != 0)
			break;
		recipient_add(arena, list, &recipient);
	}
	(void)range_close(&range);
	return rc == PH_NOT_FOUND ? 0 : rc;
}

static int
read_recipients(struct queue_db *db, uint64_t id, struct ph_arena *arena,
    struct queue_db_message *message)
{
	struct recipient_list list = { 0 };
	int rc, tries = 0;

	do
		rc = read_recipients_once(db, id, arena, &list);
	while (rc == PH_BUSY && ++tries < READ_TRIES);
	message->recipients = list.item;
	message->recipient_count = list.n;
	return rc;
}

/* Absent octets when there is no row; that may be right. */
static int
read_octets(struct queue_db *db, uint64_t id, struct row_buf *buf,
    struct ph_arena *arena, struct ph_slice *octets_out)
{
	char key[KEY_ID];
	struct ph_slice k = { key, sizeof(key) }, octets = { NULL, 0 };
	int rc;

	key_of_id(id, key);
	rc = table_get(db, NULL, T_BODIES, k, buf, false);
	if (rc == 0)
		rc = row_open(T_BODIES, k, row_buf_content(buf), &octets);
	*octets_out = rc == 0 ? ph_arena_slice(arena, octets) :
	    (struct ph_slice){ NULL, 0 };
	return rc == PH_NOT_FOUND ? 0 : rc;
}

static int
read_row(struct queue_db *db, uint64_t id, struct row_buf *buf,
    struct row_message *row_out)
{
	char key[KEY_ID];
	struct ph_slice k = { key, sizeof(key) };
	int rc;

	key_of_id(id, key);
	rc = table_get(db, NULL, T_MESSAGES, k, buf, false);
	return rc != 0 ? rc : row_to_message(k, row_buf_content(buf), row_out);
}

void
message_from_row(struct queue_db_message *message, struct ph_arena *arena,
    const struct row_message *row)
{
	message->order = row->order;
	message->priority = row->priority;
	message->envelope = ph_arena_slice(arena, row->envelope);
	message->trace = ph_arena_slice(arena, row->trace);
	message->size_bytes = row->octet_bytes + row->file_bytes;
	message->body.file_bytes = row->file_bytes;
}

/* octets and file of a message whose row was read. */
static int
finish_body(struct queue_db *db, const struct row_message *row,
    struct ph_arena *arena, struct queue_db_message *message)
{
	struct queue_db_body *body = &message->body;
	int rc;

	if (body->octets.n != row->octet_bytes)
		return PH_DEFECT;
	if (body->octets.p == NULL)
		body->octets = PH_LIT("");
	if (!row->has_file)
		return 0;
	rc = body_open_file(db, message->id, row->file_bytes, &body->fd);
	if (rc == 0)
		ph_arena_own_fd(arena, body->fd);
	return rc;
}

static int
read_message(struct queue_db *db, uint64_t id, bool with_body,
    struct ph_arena *arena, struct queue_db_message *message_out)
{
	struct queue_db_message message = { .id = id, .body.fd = -1 };
	struct row_message row = { 0 };
	struct row_buf buf = { 0 };
	int rc, damaged = read_recipients(db, id, arena, &message);

	if (with_body && damaged == 0)
		damaged = read_octets(db, id, &buf, arena,
		    &message.body.octets);
	rc = read_row(db, id, &buf, &row);
	if (rc == 0)
		rc = damaged;
	if (rc == 0)
		message_from_row(&message, arena, &row);
	if (rc == 0 && with_body)
		rc = finish_body(db, &row, arena, &message);
	/* it may have been removed since its row was read */
	if (rc == PH_DEFECT && read_row(db, id, &buf, &row) == PH_NOT_FOUND)
		rc = PH_NOT_FOUND;
	row_buf_fini(&buf);
	if (rc == 0)
		*message_out = message;
	return rc == PH_BUSY || rc == PH_NO_MEMORY ? PH_IO : rc;
}

int
queue_db_get(struct queue_db *db, uint64_t id, bool with_body,
    struct ph_arena *arena, struct queue_db_message *message_out)
{
	int rc = read_message(db, id, with_body, arena, message_out);

	if (rc == PH_DEFECT)
		aside_message(db, id);
	return rc;
}

uint64_t
queue_db_last_id(struct queue_db *db)
{
	struct ph_slice key, row;
	struct range range;
	uint64_t id = 0;
	int rc, tries = 0;

	do {
		rc = range_open(db, NULL, T_MESSAGES, PH_LIT(""), &range);
		if (rc != 0)
			return 0;
		range.step = DB_LAST;
		rc = range_next(&range, &key, &row);
		if (rc == 0)
			id = id_of_key(key);
		(void)range_close(&range);
	} while (rc == PH_BUSY && ++tries < READ_TRIES);
	return id;
}
