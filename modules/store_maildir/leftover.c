/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leftover.c - what a crash left of deliveries, expunges and copies, told from
 * what somebody put there: by the file's name, its times and its other names.
 */
#include "leftover.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "parse.h"

enum {
	TMP_KEPT_S = 36 * 3600,
	TORN_S = 3600, /* until then the queue has repeated it */
	DELIVERY_S = 60, /* likewise */
};

/* The queue repeats what a crash ended as soon as the server is up again. */
static bool
was_opened_within(const struct partition *partition, int64_t seconds)
{
	return partition->opened_at + seconds > ph_wall_time();
}

/* The ctime of a file that has other names, in the mailboxes of others too, is
 * that of whatever was done to one of them: then only what is found first after
 * a start can be what a crash left. */
static bool
is_unfinished_expunge(const struct leftover_place *place,
    const struct index_name *name, const struct stat *st)
{
	return st->st_ctim.tv_sec <= name->expunged_at ||
	    (st->st_nlink > 1 && place->is_first);
}

/* That of a delivery under way is there, too. One with flags is in cur/. */
static bool
is_underway(const struct leftover_place *place, struct ph_slice file)
{
	struct ph_slice key = { file.p, file_key_n(file) };

	return delivery_is_underway(place->partition, place->path, key);
}

static bool
was_there_at_start(const struct leftover_place *place, const struct stat *st)
{
	return st->st_ctim.tv_sec <= place->partition->opened_at ||
	    (st->st_nlink > 1 && place->is_first);
}

/* One that is repeated: now, or before a crash that it did not outlive. */
static bool
may_be_delivery(const struct leftover_place *place, struct ph_slice file,
    const struct stat *st)
{
	if (!file_is_delivery(file))
		return false;
	return is_underway(place, file) ||
	    ((st->st_ctim.tv_sec <= place->partition->opened_at ||
	        st->st_nlink > 1) &&
	        was_opened_within(place->partition, DELIVERY_S));
}

static bool
stat_regular(const struct leftover_place *place, struct ph_slice file,
    bool in_new, struct stat *st_out)
{
	char path[FOLDER_PATH_MAX];

	return fstatat(place->fd, folder_path(path, folder_sub(in_new), file),
	    st_out, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st_out->st_mode);
}

static void
remove_file(const struct leftover_place *place, struct ph_slice file,
    bool in_new)
{
	char path[FOLDER_PATH_MAX];

	unlinkat(place->fd, folder_path(path, folder_sub(in_new), file), 0);
}

enum leftover
leftover_of(const struct leftover_place *place, struct ph_slice file,
    bool in_new, const struct index_name *name)
{
	struct stat st;

	if (!stat_regular(place, file, in_new, &st))
		return LEFTOVER_NOT;
	if (name->state == INDEX_NAME_EXPUNGED &&
	    is_unfinished_expunge(place, name, &st)) {
		remove_file(place, file, in_new);
		return LEFTOVER_OF_EXPUNGE;
	}
	return may_be_delivery(place, file, &st) ? LEFTOVER_OF_DELIVERY :
	                                           LEFTOVER_NOT;
}

void
leftover_remove_double(const struct leftover_place *place,
    struct ph_slice file, bool in_new)
{
	struct stat st;

	if (file_is_delivery(file) && stat_regular(place, file, in_new, &st) &&
	    (was_there_at_start(place, &st) || is_underway(place, file)))
		remove_file(place, file, in_new);
}

bool
leftover_is_torn(const struct partition *partition, struct ph_slice file,
    const struct folder_file *read)
{
	uint64_t named;
	int64_t time;

	if (!file_is_ours(file, &time) || !file_size_in_name(file, &named))
		return false;
	return named != read->octets.n ||
	    ((read->mtime + TORN_S > ph_wall_time() ||
	        was_opened_within(partition, TORN_S)) &&
	        parse_has_hole(read->octets));
}

struct tmp_sweep {
	const struct leftover_place *place;
	uint64_t box_id;
	struct ph_buf old; /* of names, each with its NUL */
};

static int
tmp_look(void *arg, const char *name)
{
	struct tmp_sweep *sweep = arg;
	struct ph_slice file = ph_slice_str(name);
	char path[FOLDER_PATH_MAX];
	struct index_name known;
	struct stat st;

	folder_path(path, "tmp", file);
	if (fstatat(sweep->place->fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    st.st_ctim.tv_sec + TMP_KEPT_S < ph_wall_time() &&
	    (file_is_delivery(file) ||
	        (mail_index_name_find(sweep->place->partition->mi,
	            sweep->box_id, file, &known) == PH_OK &&
	            known.state != INDEX_NAME_LIVE)))
		ph_buf_add(&sweep->old, path, strlen(path) + 1);
	return PH_OK;
}

void
leftover_sweep_tmp(const struct leftover_place *place, struct ph_arena *arena,
    uint64_t box_id)
{
	struct tmp_sweep sweep = { .place = place, .box_id = box_id };

	ph_buf_init(&sweep.old, arena, SIZE_MAX / 4);
	if (folder_each(place->fd, "tmp", tmp_look, &sweep) != PH_OK)
		return;
	for (size_t at = 0; at < sweep.old.n;
	     at += strlen(sweep.old.p + at) + 1)
		unlinkat(place->fd, sweep.old.p + at, 0);
}
