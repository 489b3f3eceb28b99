/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scan.c - what other programs did to a mailbox's folders: new files, files
 * that are gone, flags changed by a rename. And what a crash of ours left.
 *
 * Names alone are compared; only a file without a row is opened. Nothing is
 * given up on the word of one listing: readdir may miss a file that is renamed
 * meanwhile, so what seems gone is looked for twice.
 */
#include "leftover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "parse.h"

enum {
	ADOPT_FILES = 64,              /* parsed in one go */
	ADOPT_OCTETS = 16 * 1024 * 1024,
	REFRESH_AGAIN_MS = 2000,
};

struct disk_file {
	struct ph_slice file;
	size_t base_n;
	bool in_new, known;
};

/* --- listings --- */

struct listing {
	struct ph_arena *arena;
	struct ph_buf files; /* struct disk_file, by base */
	bool in_new;
};

static int
listing_add(void *arg, const char *name)
{
	struct listing *listing = arg;
	struct disk_file file = { .in_new = listing->in_new };

	file.file = ph_slice_str(ph_arena_strdup(listing->arena, name));
	file.base_n = file_base_n(file.file);
	if (file.base_n > 0)
		ph_buf_add(&listing->files, &file, sizeof(file));
	return PH_OK;
}

static int
compare_bases(struct ph_slice a, struct ph_slice b)
{
	int order = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);

	return order != 0 ? order : a.n < b.n ? -1 : a.n > b.n;
}

static struct ph_slice
disk_base(const struct disk_file *file)
{
	return (struct ph_slice){ file->file.p, file->base_n };
}

static struct ph_slice
disk_key(const struct disk_file *file)
{
	return (struct ph_slice){ file->file.p, file_key_n(file->file) };
}

/* Of two files with one base that in cur/ comes first. */
static int
compare_files(const void *a, const void *b)
{
	const struct disk_file *x = a, *y = b;
	int order = compare_bases(disk_base(x), disk_base(y));

	return order != 0 ? order : (int)x->in_new - (int)y->in_new;
}

/* new/ before cur/: files move that way. */
static int
listing_make(int fd, struct ph_arena *arena, struct listing *listing)
{
	int status;

	listing->arena = arena;
	ph_buf_init(&listing->files, arena, SIZE_MAX / 4);
	listing->in_new = true;
	status = folder_each(fd, "new", listing_add, listing);
	listing->in_new = false;
	if (status == PH_OK)
		status = folder_each(fd, "cur", listing_add, listing);
	if (status == PH_OK && listing->files.n > 0)
		qsort(listing->files.p,
		    listing->files.n / sizeof(struct disk_file),
		    sizeof(struct disk_file), compare_files);
	return status;
}

static size_t
listing_count(const struct listing *listing)
{
	return listing->files.n / sizeof(struct disk_file);
}

static struct disk_file *
listing_at(const struct listing *listing, size_t i)
{
	return (struct disk_file *)(void *)listing->files.p + i;
}

/* The first with the base; the others are marked as known, too. */
static struct disk_file *
listing_find(const struct listing *listing, struct ph_slice base)
{
	size_t low = 0, high = listing_count(listing);
	struct disk_file *found;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_bases(disk_base(listing_at(listing, middle)),
		        base) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == listing_count(listing) ||
	    !ph_slice_eq(disk_base(listing_at(listing, low)), base))
		return NULL;
	found = listing_at(listing, low);
	for (; low < listing_count(listing) &&
	     ph_slice_eq(disk_base(listing_at(listing, low)), base); low++)
		listing_at(listing, low)->known = true;
	return found;
}

/* --- comparing --- */

struct compare {
	struct partition *partition;
	struct scan *scan;
	struct box_change *change;
	int fd;
	struct listing listing;
	struct ph_buf missing; /* struct index_message */
	struct ph_buf moved;   /* struct moved_message */
	uint64_t flags_modseq; /* one for all; 0: not yet taken */
	bool again;            /* something was left for the next scan */
	struct leftover_place place;
};

struct moved_message {
	struct index_message message;
	const struct disk_file *to;
};

static struct index_message
keep_message(struct ph_arena *arena, const struct index_message *message)
{
	struct index_message kept = *message;

	kept.file = ph_arena_slice(arena, message->file);
	return kept;
}

static int
compare_row(void *arg, const struct index_message *message)
{
	struct compare *c = arg;
	const struct disk_file *file = listing_find(&c->listing,
	    index_message_base(message));

	if (file == NULL) {
		struct index_message kept = keep_message(c->scan->arena,
		    message);

		ph_buf_add(&c->missing, &kept, sizeof(kept));
	} else if (file->in_new != message->in_new ||
	    !ph_slice_eq(file->file, message->file)) {
		struct moved_message moved = {
			keep_message(c->scan->arena, message), file };

		ph_buf_add(&c->moved, &moved, sizeof(moved));
	}
	return PH_OK;
}

static void
rename_file(int fd, const struct disk_file *from,
    const struct index_message *to)
{
	char a[FOLDER_PATH_MAX], b[FOLDER_PATH_MAX];
	int ignored = renameat(fd,
	    folder_path(a, folder_sub(from->in_new), from->file), fd,
	    folder_path(b, folder_sub(to->in_new), to->file));

	(void)ignored;
}

/* A rename of ours that a power failure took back: the file was last changed
 * before it. The row, and what the client was told, is right. */
static bool
is_lost_rename(const struct compare *c, const struct moved_message *moved)
{
	char path[FOLDER_PATH_MAX];
	struct stat st;

	return moved->message.renamed_ns != 0 &&
	    fstatat(c->fd, folder_path(path, folder_sub(moved->to->in_new),
	        moved->to->file), &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec <
	        moved->message.renamed_ns;
}

static int
take_moved(struct compare *c, const struct moved_message *moved)
{
	struct index_message message = moved->message;
	struct index_box *row = &c->change->row;
	int status;

	if (is_lost_rename(c, moved)) {
		/* when it fails content is found by the scan it causes */
		rename_file(c->fd, moved->to, &message);
		return PH_OK;
	}
	message.file = moved->to->file;
	message.in_new = moved->to->in_new;
	message.renamed_ns = 0;
	message.meta.flags = file_flags(message.file);
	if (message.meta.flags != moved->message.meta.flags) {
		if (c->flags_modseq == 0)
			c->flags_modseq = ++row->modseq;
		message.meta.modseq = c->flags_modseq;
	}
	status = mail_index_message_put(c->partition->mi, row,
	    &moved->message, &message);
	if (status == PH_OK &&
	    message.meta.flags != moved->message.meta.flags)
		box_change_meta(c->change, &message.meta);
	return status;
}

/* A copy or append that was committed and not yet moved out of tmp/. */
static bool
finish_arrival(struct compare *c, const struct index_message *message)
{
	char from[FOLDER_PATH_MAX], to[FOLDER_PATH_MAX];

	/* what a delivery left in tmp/ may be a part of a file */
	return !file_is_delivery(message->file) && renameat(c->fd,
	    folder_path(from, "tmp", index_message_base(message)), c->fd,
	    folder_path(to, folder_sub(message->in_new),
	        message->file)) == 0;
}

static int
take_missing(struct compare *c)
{
	const struct index_message *missing = (const void *)c->missing.p;
	size_t count = c->missing.n / sizeof(*missing), gone = 0;
	struct listing again;
	int status;

	if (count == 0)
		return PH_OK;
	status = listing_make(c->fd, c->scan->arena, &again);
	for (size_t i = 0; i < count && status == PH_OK; i++) {
		if (listing_find(&again, index_message_base(&missing[i])) !=
		        NULL || finish_arrival(c, &missing[i]))
			continue;
		if (gone++ == 0)
			c->change->row.modseq++;
		status = mail_index_message_expunge(c->partition->mi,
		    &c->change->row, &missing[i], ph_wall_time(), true);
		if (status == PH_OK)
			box_change_expunged(c->change, missing[i].meta.uid);
	}
	return status;
}

/* --- files without a row --- */

static int
take_unknown(struct compare *c, const struct disk_file *file)
{
	struct mail_index *mi = c->partition->mi;
	struct scan_entry entry = { file->file.p, file->in_new };
	struct index_message message;
	enum leftover left = LEFTOVER_NOT;
	struct index_name name;
	int status = mail_index_name_find(mi, c->change->row.id,
	    disk_key(file), &name);

	if (status != PH_OK && status != PH_DEFECT)
		return status;
	if (status == PH_OK && name.state == INDEX_NAME_LIVE &&
	    mail_index_message_get(mi, c->change->row.id, name.uid,
	        c->scan->arena, &message) == PH_OK) {
		if (!ph_slice_eq(disk_base(file),
		        index_message_base(&message)))
			leftover_remove_double(&c->place, file->file,
			    file->in_new);
		return PH_OK;
	}
	if (status == PH_OK && (name.state == INDEX_NAME_EXPUNGED ||
	    name.state == INDEX_NAME_VANISHED))
		left = leftover_of(&c->place, file->file, file->in_new, &name);
	if (left == LEFTOVER_OF_DELIVERY)
		c->again = true;
	if (left != LEFTOVER_NOT)
		return PH_OK;
	if (delivery_is_underway(c->partition, c->scan->ref.path,
	        disk_key(file))) {
		c->again = true; /* its row comes, and has the keywords */
		return PH_OK;
	}
	status = mail_index_name_forget(mi, c->change->row.id,
	    disk_key(file));
	ph_buf_add(&c->scan->unknown, &entry, sizeof(entry));
	return status;
}

static int
compare_all(struct compare *c)
{
	const struct moved_message *moved;
	int status = listing_make(c->fd, c->scan->arena, &c->listing);

	if (status == PH_OK)
		status = mail_index_messages(c->partition->mi,
		    c->change->row.id, 0, compare_row, c);
	moved = (const void *)c->moved.p;
	for (size_t i = 0; i < c->moved.n / sizeof(*moved) && status == PH_OK;
	     i++)
		status = take_moved(c, &moved[i]);
	if (status == PH_OK)
		status = take_missing(c);
	for (size_t i = 0; i < listing_count(&c->listing) && status == PH_OK;
	     i++)
		if (!listing_at(&c->listing, i)->known)
			status = take_unknown(c, listing_at(&c->listing, i));
	return status;
}

bool
scan_is_due(struct partition *partition, const struct box_ref *ref,
    const struct index_box *row)
{
	struct folder_stamps stamps;
	int fd = folder_open(partition->fd, ref->path);
	bool same = fd >= 0 && folder_stamps(fd, &stamps) == PH_OK &&
	    row->scan_epoch == mail_index_epoch(partition->mi) &&
	    row->new_stamp == stamps.new_ns && row->cur_stamp == stamps.cur_ns;

	if (fd >= 0)
		folder_close(fd);
	return !same;
}

int
scan_folders(struct partition *partition, struct scan *scan,
    struct box_change *change)
{
	struct compare c = { .partition = partition, .scan = scan,
		.change = change };
	struct folder_stamps stamps;
	int status;

	c.fd = folder_open(partition->fd, scan->ref.path);
	if (c.fd < 0)
		return c.fd;
	c.place = (struct leftover_place){ partition, scan->ref.path, c.fd,
		change->row.scan_epoch != mail_index_epoch(partition->mi) };
	ph_buf_init(&c.missing, scan->arena, SIZE_MAX / 4);
	ph_buf_init(&c.moved, scan->arena, SIZE_MAX / 4);
	status = folder_stamps(c.fd, &stamps);
	if (status == PH_OK)
		status = compare_all(&c);
	if (status == PH_OK && c.place.is_first)
		leftover_sweep_tmp(&c.place, scan->arena, change->row.id);
	folder_close(c.fd);
	if (status != PH_OK)
		return status;
	/* What can't be trusted to show the next change is looked at again. */
	c.again |= scan->unknown.n > 0;
	if (c.again || folder_stamp_is_fresh(stamps.new_ns))
		stamps.new_ns = 0;
	if (c.again || folder_stamp_is_fresh(stamps.cur_ns))
		stamps.cur_ns = 0;
	change->row.new_stamp = stamps.new_ns;
	change->row.cur_stamp = stamps.cur_ns;
	change->row.scan_epoch = mail_index_epoch(partition->mi);
	return PH_OK;
}

/* --- adopting --- */

struct adopted {
	struct index_message message;
	struct ph_message_summary summary;
	bool sound;
};

struct adopt {
	struct index_job job;
	struct scan *scan;
	struct ph_arena *arena; /* of this portion */
	const struct scan_entry *entries;
	size_t count; /* of entries; then of those looked at */
	struct adopted *adopted;
	struct box_change change;
};

static void
adopt_file(struct adopt *adopt, int fd, const struct scan_entry *entry,
    struct adopted *adopted)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct index_message *message = &adopted->message;
	struct ph_slice content, file = ph_slice_str(entry->file);
	struct ph_message_summary summary;
	char path[FOLDER_PATH_MAX];
	struct folder_file read;
	int64_t date;
	/* What we wrote is as it came: a bare LF in it is content. */
	const bool is_ours = file_is_ours(file, &date);

	if (folder_read(fd, folder_path(path, folder_sub(entry->in_new), file),
	        arena, &read) == PH_OK &&
	    !leftover_is_torn(adopt->job.partition, file, &read)) {
		content = is_ours ? read.octets :
		    parse_with_crlf(arena, read.octets);
		summary = parse_summary(arena, content);
		adopted->summary.header = ph_arena_slice(adopt->arena,
		    summary.header);
		adopted->summary.mime = ph_arena_slice(adopt->arena,
		    summary.mime);
		message->file = file;
		message->base_n = file_base_n(file);
		message->key_n = file_key_n(file);
		message->in_new = entry->in_new;
		message->bare_lf = content.p != read.octets.p;
		message->meta.flags = file_flags(file);
		message->meta.size = content.n;
		message->meta.internal_date = is_ours ? date : read.mtime;
		adopted->sound = true;
	}
	ph_arena_free(arena);
}

/* A row must not outlive its file: a delivery under way, or another program,
 * may not have synced it yet. */
static void
adopt_sync(struct adopt *adopt, int fd)
{
	bool good;

	for (size_t i = 0; i < adopt->count; i++) {
		struct adopted *adopted = &adopt->adopted[i];
		char path[FOLDER_PATH_MAX];

		if (adopted->sound)
			adopted->sound = folder_sync_file(fd,
			    folder_path(path,
			        folder_sub(adopted->message.in_new),
			        adopted->message.file)) == PH_OK;
	}
	good = folder_sync(fd, "new") == PH_OK;
	good &= folder_sync(fd, "cur") == PH_OK;
	for (size_t i = 0; i < adopt->count && !good; i++)
		adopt->adopted[i].sound = false;
}

static void
adopt_read(void *arg)
{
	struct adopt *adopt = arg;
	struct partition *partition = adopt->job.partition;
	int fd = folder_open(partition->fd, adopt->scan->ref.path);
	uint64_t octets = 0;
	size_t i = 0;

	for (; fd >= 0 && i < adopt->count && octets < ADOPT_OCTETS; i++) {
		adopt_file(adopt, fd, &adopt->entries[i], &adopt->adopted[i]);
		octets += adopt->adopted[i].message.meta.size;
	}
	if (fd >= 0) {
		adopt->count = i;
		adopt_sync(adopt, fd);
		folder_close(fd);
	}
}

static int
adopt_one(struct adopt *adopt, struct adopted *adopted)
{
	struct mail_index *mi = adopt->job.partition->mi;
	struct index_name name;
	int status = mail_index_name_find(mi, adopt->change.row.id,
	    index_message_key(&adopted->message), &name);

	/* Delivered or adopted meanwhile. */
	if (status != PH_OK || name.state != INDEX_NAME_NONE)
		return status;
	status = mail_index_message_add(mi, &adopt->change.row,
	    &adopted->message, &adopted->summary);
	if (status == PH_OK)
		box_change_meta(&adopt->change, &adopted->message.meta);
	return status;
}

static int
adopt_work(struct index_job *job)
{
	struct adopt *adopt = (struct adopt *)job;
	const struct box_ref *ref = &adopt->scan->ref;
	struct index_box *row = &adopt->change.row;
	int status = mail_index_begin(job->partition->mi);

	if (status == PH_OK)
		status = mail_index_box_get(job->partition->mi, ref->user,
		    ref->name, adopt->arena, row);
	if (status == PH_OK && row->dead)
		status = PH_NOT_FOUND;
	for (size_t i = 0; i < adopt->count && status == PH_OK; i++)
		if (adopt->adopted[i].sound)
			status = adopt_one(adopt, &adopt->adopted[i]);
	if (status == PH_OK)
		status = mail_index_box_put(job->partition->mi, ref->user,
		    ref->name, row);
	return index_finish(job->partition->mi, status);
}

static void
adopt_done(struct index_job *job)
{
	struct adopt *adopt = (struct adopt *)job;

	if (job->status == PH_OK)
		box_apply(box_find(job->partition, adopt->scan->ref.user,
		    adopt->scan->ref.name), &adopt->change);
}

static int
adopt_portion(struct partition *partition, struct scan *scan, size_t *at)
{
	const struct scan_entry *entries = (const void *)scan->unknown.p;
	size_t left = scan->unknown.n / sizeof(*entries) - *at;
	struct ph_arena *arena = ph_arena_create(NULL);
	struct adopt *adopt = ph_arena_alloc(arena, sizeof(*adopt));
	int status;

	adopt->job.partition = partition;
	adopt->job.work = adopt_work;
	adopt->job.done = adopt_done;
	adopt->job.durable = true;
	adopt->scan = scan;
	adopt->arena = arena;
	adopt->entries = entries + *at;
	adopt->count = left < ADOPT_FILES ? left : ADOPT_FILES;
	adopt->adopted = ph_arena_array(arena, adopt->count,
	    sizeof(*adopt->adopted));
	box_change_init(&adopt->change, arena);
	ph_work(adopt_read, adopt);
	*at += adopt->count;
	status = index_do(partition, &adopt->job);
	ph_arena_free(arena);
	return status;
}

int
scan_adopt(struct partition *partition, struct scan *scan)
{
	size_t at = 0, count = scan->unknown.n / sizeof(struct scan_entry);
	int status = PH_OK;

	while (at < count && status == PH_OK)
		status = adopt_portion(partition, scan, &at);
	return status;
}

/* --- refresh --- */

struct scan_job {
	struct index_job job;
	struct box *box;
	struct scan scan;
	struct box_change change;
};

static int
scan_work(struct index_job *job)
{
	struct scan_job *scan = (struct scan_job *)job;
	struct mail_index *mi = job->partition->mi;
	int status = mail_index_begin(mi);

	if (status == PH_OK)
		status = row_open_box(job->partition, &scan->scan.ref,
		    scan->scan.arena, &scan->change.row);
	if (status == PH_OK && scan->change.row.id != scan->box->id)
		status = PH_NOT_FOUND; /* deleted and made again */
	if (status == PH_OK)
		status = scan_folders(job->partition, &scan->scan,
		    &scan->change);
	if (status == PH_OK)
		status = mail_index_box_put(mi, scan->scan.ref.user,
		    scan->scan.ref.name, &scan->change.row);
	return index_finish(mi, status);
}

static void
scan_done(struct index_job *job)
{
	struct scan_job *scan = (struct scan_job *)job;
	struct box *box = scan->box;

	if (job->status != PH_OK)
		return;
	box_apply(box, &scan->change);
	box->stamps.new_ns = scan->change.row.new_stamp;
	box->stamps.cur_ns = scan->change.row.cur_stamp;
	box->scanned_at_ms = ph_now_ms();
	box->own_changed = false;
}

int
box_scan(struct box *box)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct scan_job *scan = ph_arena_alloc(arena, sizeof(*scan));
	int status;

	scan->job.work = scan_work;
	scan->job.done = scan_done;
	scan->job.durable = true;
	scan->box = box;
	scan->scan.arena = arena;
	scan->scan.ref = (struct box_ref){ ph_arena_slice(arena, box->user),
		ph_arena_slice(arena, box->name),
		ph_arena_strdup(arena, box->path) };
	ph_buf_init(&scan->scan.unknown, arena, SIZE_MAX / 4);
	box_change_init(&scan->change, arena);
	status = index_do(box->partition, &scan->job);
	if (status == PH_OK)
		status = scan_adopt(box->partition, &scan->scan);
	ph_arena_free(arena);
	return status;
}

struct look {
	int partition_fd;
	const char *path;
	struct folder_stamps stamps;
	int status;
};

static void
look_work(void *arg)
{
	struct look *look = arg;
	int fd = folder_open(look->partition_fd, look->path);

	if (fd < 0) {
		look->status = fd;
		return;
	}
	look->status = folder_stamps(fd, &look->stamps);
	folder_close(fd);
}

int
maildir_refresh(struct ph_store_mailbox *mailbox)
{
	struct box *box = mailbox->box;
	struct ph_arena *arena;
	struct look look;

	/* A session that looks around has done with what it read. */
	summary_ahead_free(mailbox->ahead);
	mailbox->ahead = NULL;
	if (box->gone)
		return PH_OK; /* ph_mailbox_changes says so */
	arena = ph_arena_create(NULL);
	look = (struct look){ .partition_fd = box->partition->fd,
		.path = ph_arena_strdup(arena, box->path) };
	ph_work(look_work, &look);
	ph_arena_free(arena);
	if (look.status != PH_OK && look.status != PH_NOT_FOUND)
		return look.status;
	if (look.status == PH_OK &&
	    look.stamps.new_ns == box->stamps.new_ns &&
	    look.stamps.cur_ns == box->stamps.cur_ns &&
	    !(box->own_changed &&
	        ph_now_ms() - box->scanned_at_ms > REFRESH_AGAIN_MS))
		return PH_OK;
	return box->gone ? PH_OK : box_scan(box);
}
