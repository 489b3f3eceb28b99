/* SPDX-License-Identifier: Apache-2.0 */
/*
 * list.c - many messages at once, without their bodies. A page of ids is read
 * with one cursor, then all recipients of it with one, then all messages with
 * one: a million messages are three walks, not three million searches.
 *
 * The message's own row is read last, for the reason read.c gives. What is
 * damaged is left to queue_db_get.
 */
#include <stdlib.h>

#include "inner.h"

enum { READ_TRIES = 1000, LIST_PAGE = 1024 };

/* --- ids --- */

static int
read_ids_once(struct queue_db *db, uint64_t from, enum direction direction,
    uint64_t *ids, size_t n, size_t *count_out)
{
	struct ph_slice key, row;
	struct range range;
	char at[KEY_ID];
	size_t count = 0;
	int rc;

	key_of_id(direction == UP ? from + 1 : from, at);
	rc = range_open(db, NULL, T_MESSAGES, (struct ph_slice){ at, KEY_ID },
	    &range);
	if (rc != 0)
		return rc;
	range.row.flags |= DB_DBT_PARTIAL; /* keys only */
	if (direction == DOWN) { /* to the first not below it, or the end */
		rc = range_next(&range, &key, &row);
		range.step = rc == PH_NOT_FOUND ? DB_LAST : DB_PREV;
		range.back = true;
	}
	if (rc == PH_NOT_FOUND)
		rc = 0;
	while (rc == 0 && count < n &&
	    (rc = range_next(&range, &key, &row)) == 0)
		if (key.n == KEY_ID)
			ids[count++] = id_of_key(key);
	(void)range_close(&range);
	*count_out = count;
	return rc == PH_NOT_FOUND ? 0 : rc;
}

int
read_ids(struct queue_db *db, uint64_t from, enum direction direction,
    uint64_t *ids, size_t n, size_t *count_out)
{
	int rc, tries = 0;

	*count_out = 0;
	if (from == (direction == UP ? UINT64_MAX : 0))
		return 0;
	do
		rc = read_ids_once(db, from, direction, ids, n, count_out);
	while (rc == PH_BUSY && ++tries < READ_TRIES);
	return rc == PH_BUSY ? PH_IO : rc;
}

/* --- a page --- */

struct slot {
	uint64_t id;
	int status; /* PH_NOT_FOUND until its own row was read */
	bool is_damaged;
	struct recipient_list recipients;
	struct queue_db_message message;
};

struct page {
	struct queue_db *db;
	struct ph_arena *arena;
	struct slot *slot; /* by id, ascending */
	size_t n;
};

/* Takes one row of a slot's message. */
typedef void (*take_fn)(struct page *page, struct slot *slot,
    struct ph_slice key, struct ph_slice row);

static void
take_recipient(struct page *page, struct slot *slot, struct ph_slice key,
    struct ph_slice row)
{
	struct queue_db_recipient recipient;

	if (row_to_recipient(key, row, &recipient) != 0)
		slot->is_damaged = true;
	else
		recipient_add(page->arena, &slot->recipients, &recipient);
}

static void
take_message(struct page *page, struct slot *slot, struct ph_slice key,
    struct ph_slice row)
{
	struct queue_db_message *message = &slot->message;
	struct row_message from;

	slot->status = 0;
	if (row_to_message(key, row, &from) != 0) {
		slot->is_damaged = true;
		return;
	}
	*message = (struct queue_db_message){ .id = slot->id, .body.fd = -1 };
	message_from_row(message, page->arena, &from);
	message->recipients = slot->recipients.item;
	message->recipient_count = slot->recipients.n;
}

/* Every row of the table that belongs to a slot. */
static int
walk_once(struct page *page, enum table table, take_fn take)
{
	struct slot *slot = page->slot, *end = slot + page->n;
	struct ph_slice key, row;
	struct range range;
	char from[KEY_ID];
	int rc;

	key_of_id(slot->id, from);
	rc = range_open(page->db, NULL, table,
	    (struct ph_slice){ from, KEY_ID }, &range);
	if (rc != 0)
		return rc;
	while ((rc = range_next(&range, &key, &row)) == 0) {
		uint64_t id = id_of_key(key);

		while (slot < end && slot->id < id)
			slot++;
		if (slot == end)
			break;
		if (slot->id == id && key.n >= KEY_ID)
			take(page, slot, key, row);
	}
	(void)range_close(&range);
	return rc == PH_NOT_FOUND ? 0 : rc;
}

static int
walk(struct page *page, enum table table, take_fn take)
{
	int rc, tries = 0;

	do {
		for (size_t i = 0; i < page->n; i++) {
			if (table == T_RECIPIENTS)
				page->slot[i].recipients.n = 0;
			page->slot[i].status = PH_NOT_FOUND;
		}
		rc = walk_once(page, table, take);
	} while (rc == PH_BUSY && ++tries < READ_TRIES);
	return rc == PH_BUSY ? PH_IO : rc;
}

static int
read_page(struct page *page, const uint64_t *ids, enum direction direction)
{
	size_t n = page->n;
	int rc;

	page->slot = ph_arena_array(page->arena, n, sizeof(*page->slot));
	for (size_t i = 0; i < n; i++)
		page->slot[direction == UP ? i : n - 1 - i].id = ids[i];
	rc = walk(page, T_RECIPIENTS, take_recipient);
	return rc != 0 ? rc : walk(page, T_MESSAGES, take_message);
}

/* The messages of a page that are there, in the direction. */
static int
take_page(struct page *page, enum direction direction,
    struct queue_db_message *list, size_t *count)
{
	for (size_t i = 0; i < page->n; i++) {
		struct slot *slot = &page->slot[direction == UP ? i :
		    page->n - 1 - i];
		int rc = slot->status;

		if (slot->is_damaged)
			rc = queue_db_get(page->db, slot->id, false,
			    page->arena, &slot->message);
		if (rc == 0)
			list[(*count)++] = slot->message;
		else if (rc != PH_NOT_FOUND && rc != PH_DEFECT)
			return rc;
	}
	return 0;
}

static int
read_list(struct page *page, uint64_t from, enum direction direction,
    size_t limit, const struct queue_db_message **list_out, size_t *count_out)
{
	struct queue_db_message *list = ph_arena_array(page->arena, limit,
	    sizeof(*list));
	uint64_t ids[LIST_PAGE];
	size_t count = 0;
	int rc;

	while (count < limit) {
		rc = read_ids(page->db, from, direction, ids,
		    limit - count < LIST_PAGE ? limit - count : LIST_PAGE,
		    &page->n);
		if (rc == 0 && page->n == 0)
			break;
		if (rc == 0)
			rc = read_page(page, ids, direction);
		if (rc == 0)
			rc = take_page(page, direction, list, &count);
		if (rc != 0)
			return rc;
		from = ids[page->n - 1];
	}
	*list_out = list;
	*count_out = count;
	return 0;
}

int
queue_db_list(struct queue_db *db, uint64_t after, size_t limit,
    struct ph_arena *arena, const struct queue_db_message **list_out,
    size_t *count_out)
{
	struct page page = { .db = db, .arena = arena };

	return read_list(&page, after, UP, limit, list_out, count_out);
}

int
queue_db_list_down(struct queue_db *db, uint64_t before, size_t limit,
    struct ph_arena *arena, const struct queue_db_message **list_out,
    size_t *count_out)
{
	struct page page = { .db = db, .arena = arena };

	return read_list(&page, before, DOWN, limit, list_out, count_out);
}
