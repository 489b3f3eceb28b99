/* SPDX-License-Identifier: Apache-2.0 */
/*
 * row.c - the row of a mailbox and the folder it speaks of, kept together.
 *
 * A rename or delete is a transaction first and work on folders after; the row
 * says what is still to be done, and whoever comes next does it.
 */
#include "store.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

int
box_ref_of(struct ph_arena *arena, struct ph_slice user, struct ph_slice name,
    struct box_ref *ref_out)
{
	const char *top, *folder;
	struct ph_slice canonical;
	int status = name_canonical(arena, name, &canonical);

	if (status == PH_OK)
		status = name_user_folder(arena, user, &top);
	if (status == PH_OK)
		status = name_to_folder(arena, canonical, &folder);
	if (status != PH_OK)
		return status;
	ref_out->user = ph_arena_slice(arena, user);
	ref_out->name = canonical;
	ref_out->path = folder[0] == '\0' ? top :
	    ph_arena_printf(arena, "%s/%s", top, folder);
	return PH_OK;
}

struct box_ref
box_ref(const struct box *box)
{
	return (struct box_ref){ box->user, box->name, box->path };
}

/* The folder that holds the mailbox's, "d/u/Maildir". */
static void
sync_above(int fd, const char *path)
{
	const char *slash = strrchr(path, '/');
	char above[1024];

	if (slash == NULL || (size_t)(slash - path) >= sizeof(above))
		return;
	snprintf(above, sizeof(above), "%.*s", (int)(slash - path), path);
	(void)folder_sync(fd, above);
}

static int
finish_move(struct partition *partition, const struct box_ref *ref,
    struct index_box *row)
{
	char from[1024];
	int status;

	if (row->moved_from.n >= sizeof(from))
		return PH_DEFECT;
	snprintf(from, sizeof(from), "%.*s", (int)row->moved_from.n,
	    row->moved_from.p);
	/* ENOENT: done before */
	if (renameat(partition->fd, from, partition->fd, ref->path) != 0 &&
	    errno != ENOENT)
		return folder_status(errno);
	sync_above(partition->fd, ref->path);
	row->moved_from = (struct ph_slice){ NULL, 0 };
	status = mail_index_box_put(partition->mi, ref->user, ref->name, row);
	return status;
}

static int
settle_one(struct partition *partition, const struct box_ref *ref)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct index_box row;
	int status = mail_index_box_get(partition->mi, ref->user, ref->name,
	    arena, &row);

	if (status == PH_OK && row.dead) {
		status = folder_remove(partition->fd, ref->path);
		if (status == PH_OK)
			status = mail_index_box_forget(partition->mi,
			    ref->user, ref->name);
	} else if (status == PH_OK && row.moved_from.n > 0) {
		status = finish_move(partition, ref, &row);
	}
	ph_arena_free(arena);
	return status;
}

int
row_settle_user(struct partition *partition, struct ph_slice user)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct index_box_name *names;
	size_t count;
	int status = mail_index_box_list(partition->mi, user, arena, &names,
	    &count);

	/* moves first: one may come out of a folder whose old name is dead */
	for (int dead = 0; dead <= 1; dead++)
		for (size_t i = 0; i < count && status == PH_OK; i++) {
			struct box_ref ref;

			if (names[i].dead != (dead == 1) ||
			    (!names[i].dead && names[i].moved_from.n == 0))
				continue;
			status = box_ref_of(arena, user, names[i].name, &ref);
			if (status == PH_OK)
				status = settle_one(partition, &ref);
		}
	ph_arena_free(arena);
	return status;
}

static bool
folder_is_there(struct partition *partition, const char *path)
{
	int fd = folder_open(partition->fd, path);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

int
row_create_box(struct partition *partition, const struct box_ref *ref,
    struct index_box *row_out)
{
	int status = folder_ensure(partition->fd, ref->path);

	return status == PH_OK ?
	    mail_index_box_create(partition->mi, ref->user, ref->name,
	        ph_wall_time(), row_out) : status;
}

int
row_open_box(struct partition *partition, const struct box_ref *ref,
    struct ph_arena *arena, struct index_box *row_out)
{
	int status = mail_index_box_get(partition->mi, ref->user, ref->name,
	    arena, row_out);

	if (status == PH_OK && !row_out->dead) {
		if (row_out->moved_from.n > 0)
			status = finish_move(partition, ref, row_out);
		if (status == PH_OK && !folder_is_there(partition, ref->path))
			status = folder_ensure(partition->fd, ref->path);
		return status;
	}
	if (status != PH_OK && status != PH_NOT_FOUND)
		return status;
	status = row_settle_user(partition, ref->user);
	if (status != PH_OK)
		return status;
	if (!name_is_inbox(ref->name) &&
	    !folder_is_there(partition, ref->path))
		return PH_NOT_FOUND;
	return row_create_box(partition, ref, row_out);
}

int
row_of_id(struct partition *partition, const struct box_ref *ref, uint64_t id,
    struct ph_arena *arena, struct index_box *row_out)
{
	int status = mail_index_box_get(partition->mi, ref->user, ref->name,
	    arena, row_out);

	return status == PH_OK && (row_out->dead || row_out->id != id) ?
	    PH_NOT_FOUND : status;
}

int
row_keyword(struct index_box *row, struct ph_slice name)
{
	int bit = index_box_keyword(row, name);

	if (bit >= 0 || row->keyword_count == MAIL_INDEX_KEYWORDS)
		return bit;
	row->keywords[row->keyword_count] = name;
	return (int)row->keyword_count++;
}
