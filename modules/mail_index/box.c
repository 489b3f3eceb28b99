/* SPDX-License-Identifier: Apache-2.0 */
/*
 * box.c - the rows of mailboxes and subscriptions.
 *
 * A mailbox is named by its id everywhere but in its own row, so a rename
 * touches one row. Its counts are kept in the row: STATUS reads nothing else.
 */
#include "mail_index/inner.h"

enum {
	BOX_ID = 1,
	BOX_UID_VALIDITY = 2,
	BOX_UID_NEXT = 3,
	BOX_RECENT_FROM = 4,
	BOX_MESSAGES = 5,
	BOX_UNSEEN = 6,
	BOX_DELETED = 7,
	BOX_SIZE = 8,
	BOX_MODSEQ = 9,
	BOX_HISTORY_FLOOR = 10,
	BOX_NEW_STAMP = 11,
	BOX_CUR_STAMP = 12,
	BOX_SCAN_EPOCH = 13,
	BOX_MOVED_FROM = 14,
	BOX_DEAD = 15,
	BOX_KEYWORD = 16, /* once for each, in bit order */
};

/* Kept in the arena: the row's memory is used again by the next get. */
static void
box_field_text(struct ph_arena *arena, const struct row_field *field,
    struct index_box *box)
{
	if (field->tag == BOX_MOVED_FROM)
		box->moved_from = ph_arena_slice(arena, field->value);
	else if (field->tag == BOX_KEYWORD &&
	    box->keyword_count < MAIL_INDEX_KEYWORDS)
		box->keywords[box->keyword_count++] =
		    ph_arena_slice(arena, field->value);
}

static void
box_field(const struct row_field *field, struct index_box *box)
{
	uint64_t value = row_u64(field->value);

	switch (field->tag) {
	case BOX_ID:
		box->id = value;
		break;
	case BOX_UID_VALIDITY:
		box->uid_validity = (uint32_t)value;
		break;
	case BOX_UID_NEXT:
		box->uid_next = (uint32_t)value;
		break;
	case BOX_RECENT_FROM:
		box->recent_from = (uint32_t)value;
		break;
	case BOX_MESSAGES:
		box->messages = (uint32_t)value;
		break;
	case BOX_UNSEEN:
		box->unseen = (uint32_t)value;
		break;
	case BOX_DELETED:
		box->deleted = (uint32_t)value;
		break;
	case BOX_SIZE:
		box->size = value;
		break;
	case BOX_MODSEQ:
		box->modseq = value;
		break;
	case BOX_HISTORY_FLOOR:
		box->history_floor = value;
		break;
	case BOX_NEW_STAMP:
		box->new_stamp = (int64_t)value;
		break;
	case BOX_CUR_STAMP:
		box->cur_stamp = (int64_t)value;
		break;
	case BOX_SCAN_EPOCH:
		box->scan_epoch = value;
		break;
	case BOX_DEAD:
		box->dead = value != 0;
		break;
	default:
		break;
	}
}

int
mail_index_box_get(struct mail_index *mi, struct ph_slice user,
    struct ph_slice name, struct ph_arena *arena, struct index_box *box_out)
{
	struct index_key key;
	struct ph_slice fields;
	struct row_field field;
	int status = key_name(&key, 'B', user, name);

	if (status == PH_OK)
		status = index_get(mi, &key, &fields);
	if (status != PH_OK)
		return status;
	*box_out = (struct index_box){ .uid_next = 1 };
	while (row_next(&fields, &field)) {
		box_field(&field, box_out);
		box_field_text(arena, &field, box_out);
	}
	return box_out->id != 0 && box_out->uid_next != 0 ? PH_OK : PH_DEFECT;
}

int
mail_index_box_put(struct mail_index *mi, struct ph_slice user,
    struct ph_slice name, const struct index_box *box)
{
	struct index_key key;
	struct ph_buf *row;
	int status = key_name(&key, 'B', user, name);

	if (status != PH_OK)
		return status;
	row = index_row(mi);
	row_put_u64(row, BOX_ID, box->id);
	row_put_u64(row, BOX_UID_VALIDITY, box->uid_validity);
	row_put_u64(row, BOX_UID_NEXT, box->uid_next);
	row_put_u64(row, BOX_RECENT_FROM, box->recent_from);
	row_put_u64(row, BOX_MESSAGES, box->messages);
	row_put_u64(row, BOX_UNSEEN, box->unseen);
	row_put_u64(row, BOX_DELETED, box->deleted);
	row_put_u64(row, BOX_SIZE, box->size);
	row_put_u64(row, BOX_MODSEQ, box->modseq);
	row_put_u64(row, BOX_HISTORY_FLOOR, box->history_floor);
	row_put_u64(row, BOX_NEW_STAMP, (uint64_t)box->new_stamp);
	row_put_u64(row, BOX_CUR_STAMP, (uint64_t)box->cur_stamp);
	row_put_u64(row, BOX_SCAN_EPOCH, box->scan_epoch);
	row_put_u64(row, BOX_DEAD, box->dead);
	if (box->moved_from.n > 0)
		row_put(row, BOX_MOVED_FROM, box->moved_from);
	for (unsigned i = 0; i < box->keyword_count; i++)
		row_put(row, BOX_KEYWORD, box->keywords[i]);
	return index_put(mi, &key);
}

int
mail_index_box_create(struct mail_index *mi, struct ph_slice user,
    struct ph_slice name, int64_t now, struct index_box *box_out)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct index_box box;
	int status = mail_index_box_get(mi, user, name, arena, &box);
	bool there = status == PH_OK && !box.dead;

	ph_arena_free(arena);
	if (there)
		return PH_EXISTS;
	if (status != PH_OK && status != PH_NOT_FOUND)
		return status;
	if (mi->last_validity == UINT32_MAX)
		return PH_FULL;
	mi->last_validity = now > (int64_t)mi->last_validity &&
	        now < (int64_t)UINT32_MAX ?
	    (uint32_t)now : mi->last_validity + 1;
	box = (struct index_box){ .id = mi->next_box++, .uid_next = 1,
		.uid_validity = mi->last_validity, .recent_from = 1,
		.modseq = 1, .history_floor = 1 };
	status = index_meta_put(mi);
	if (status == PH_OK)
		status = mail_index_box_put(mi, user, name, &box);
	if (status == PH_OK)
		*box_out = box;
	return status;
}

int
mail_index_box_bury(struct mail_index *mi, struct ph_slice user,
    struct ph_slice name)
{
	static const char tables[] = "MSNH";
	struct ph_arena *arena = ph_arena_create(NULL);
	struct index_box box;
	struct index_key key;
	int status = mail_index_box_get(mi, user, name, arena, &box);

	for (const char *table = tables; *table != '\0' && status == PH_OK;
	     table++) {
		key_box(&key, *table, box.id);
		status = index_walk(mi, &key, NULL, true, NULL, NULL);
	}
	if (status == PH_OK) {
		box = (struct index_box){ .id = box.id, .dead = true,
			.uid_next = 1, .uid_validity = box.uid_validity,
			.moved_from = box.moved_from };
		status = mail_index_box_put(mi, user, name, &box);
	}
	ph_arena_free(arena);
	return status;
}

int
mail_index_box_forget(struct mail_index *mi, struct ph_slice user,
    struct ph_slice name)
{
	struct index_key key;
	int status = key_name(&key, 'B', user, name);

	return status == PH_OK ? index_del(mi, &key) : status;
}

int
index_box_keyword(const struct index_box *box, struct ph_slice name)
{
	for (unsigned i = 0; i < box->keyword_count; i++)
		if (ph_slice_eq_nocase(box->keywords[i], name))
			return (int)i;
	return -1;
}

/* --- lists --- */

struct name_list {
	struct ph_arena *arena;
	size_t prefix_n;
	struct ph_buf items; /* of index_box_name or ph_slice */
};

static int
add_box_name(void *arg, struct ph_slice key, struct ph_slice fields)
{
	struct name_list *list = arg;
	struct index_box_name item = { .name = ph_arena_slice(list->arena,
		(struct ph_slice){ key.p + list->prefix_n,
		    key.n - list->prefix_n }) };
	struct row_field field;

	if (fields.p == NULL)
		return PH_OK;
	while (row_next(&fields, &field))
		if (field.tag == BOX_DEAD)
			item.dead = row_u64(field.value) != 0;
		else if (field.tag == BOX_MOVED_FROM)
			item.moved_from =
			    ph_arena_slice(list->arena, field.value);
	ph_buf_add(&list->items, &item, sizeof(item));
	return PH_OK;
}

static int
add_subscription(void *arg, struct ph_slice key, struct ph_slice fields)
{
	struct name_list *list = arg;
	struct ph_slice item = ph_arena_slice(list->arena,
	    (struct ph_slice){ key.p + list->prefix_n,
	        key.n - list->prefix_n });

	(void)fields;
	ph_buf_add(&list->items, &item, sizeof(item));
	return PH_OK;
}

static int
list_names(struct mail_index *mi, char table, struct ph_slice user,
    int (*each)(void *, struct ph_slice, struct ph_slice),
    struct name_list *list)
{
	struct index_key prefix;
	int status = key_name(&prefix, table, user,
	    (struct ph_slice){ "", 0 });

	if (status != PH_OK)
		return status;
	list->prefix_n = prefix.n;
	ph_buf_init(&list->items, list->arena, SIZE_MAX / 4);
	return index_walk(mi, &prefix, NULL, false, each, list);
}

int
mail_index_box_list(struct mail_index *mi, struct ph_slice user,
    struct ph_arena *arena, struct index_box_name **names_out,
    size_t *count_out)
{
	struct name_list list = { .arena = arena };
	int status = list_names(mi, 'B', user, add_box_name, &list);

	if (status != PH_OK)
		return status;
	*names_out = (struct index_box_name *)(void *)list.items.p;
	*count_out = list.items.n / sizeof(struct index_box_name);
	return PH_OK;
}

int
mail_index_subscribe(struct mail_index *mi, struct ph_slice user,
    struct ph_slice name, bool on)
{
	struct index_key key;
	int status = key_name(&key, 'U', user, name);

	if (status != PH_OK)
		return status;
	if (on) {
		index_row(mi);
		return index_put(mi, &key);
	}
	status = index_del(mi, &key);
	return status == PH_NOT_FOUND ? PH_OK : status;
}

int
mail_index_subscriptions(struct mail_index *mi, struct ph_slice user,
    struct ph_arena *arena, struct ph_slice **names_out, size_t *count_out)
{
	struct name_list list = { .arena = arena };
	int status = list_names(mi, 'U', user, add_subscription, &list);

	if (status != PH_OK)
		return status;
	*names_out = (struct ph_slice *)(void *)list.items.p;
	*count_out = list.items.n / sizeof(struct ph_slice);
	return PH_OK;
}
