/* SPDX-License-Identifier: Apache-2.0 */
/*
 * append.c - APPEND: octets as they come, in memory while they are few and in a
 * file of tmp/ from then on; named, synced and given a row at the end.
 */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "parse.h"

enum { APPEND_IN_MEMORY = 64 * 1024 };

struct ph_append {
	struct partition *partition;
	struct ph_arena *arena;
	struct box_ref ref;
	uint32_t flags;
	const struct ph_slice *keywords;
	size_t keyword_count;
	int64_t internal_date;
	struct ph_buf pending; /* not yet in the file */
	char last;             /* octet written, to see a bare LF */
	uint64_t size;
	uint64_t number;       /* of the base name */
	int folder_fd, fd;     /* -1: nothing spooled yet */
	char tmp[FOLDER_PATH_MAX];
	int status;            /* of the spool */
	struct ph_slice base, file;
	struct ph_message_summary summary;
};

/* --- begin --- */

int
maildir_append_begin(struct ph_store *store, struct ph_slice user,
    struct ph_slice mailbox, uint32_t flags, const struct ph_slice *keywords,
    size_t keyword_count, int64_t internal_date,
    struct ph_append **append_out)
{
	struct partition *partition = store_partition(store, user);
	struct ph_arena *arena = ph_arena_create(NULL);
	struct ph_append *append = ph_arena_alloc(arena, sizeof(*append));
	struct ph_slice *names = ph_arena_array(arena, keyword_count,
	    sizeof(*names));
	int status = partition == NULL ? PH_UNAVAILABLE :
	    box_ref_of(arena, user, mailbox, &append->ref);

	if (status == PH_OK)
		status = box_is_there(partition, &append->ref, arena);
	if (status != PH_OK) {
		ph_arena_free(arena);
		return status;
	}
	for (size_t i = 0; i < keyword_count; i++)
		names[i] = ph_arena_slice(arena, keywords[i]);
	append->partition = partition;
	append->arena = arena;
	append->flags = flags & (PH_SEEN | PH_ANSWERED | PH_FLAGGED |
	    PH_DELETED | PH_DRAFT);
	append->keywords = names;
	append->keyword_count = keyword_count;
	append->internal_date = internal_date;
	append->number = ++partition->names_given;
	append->folder_fd = append->fd = -1;
	ph_buf_init(&append->pending, NULL, SIZE_MAX / 4);
	*append_out = append;
	return PH_OK;
}

/* --- writing --- */

static void
append_end(struct ph_append *append)
{
	if (append->fd >= 0)
		close(append->fd);
	if (append->folder_fd >= 0)
		folder_close(append->folder_fd);
	ph_buf_fini(&append->pending);
	ph_arena_free(append->arena);
}

static int
spool_open(struct ph_append *append)
{
	char name[64];

	append->folder_fd = folder_open(append->partition->fd,
	    append->ref.path);
	if (append->folder_fd < 0)
		return append->folder_fd;
	snprintf(name, sizeof(name), "append.%llx.%llx",
	    (unsigned long long)mail_index_epoch(append->partition->mi),
	    (unsigned long long)append->number);
	folder_path(append->tmp, "tmp", ph_slice_str(name));
	append->fd = openat(append->folder_fd, append->tmp,
	    O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	return append->fd >= 0 ? PH_OK : folder_status(errno);
}

/* In a thread: what is pending, to the file. */
static void
spool(void *arg)
{
	struct ph_append *append = arg;
	size_t at = 0;

	if (append->status == PH_OK && append->fd < 0)
		append->status = spool_open(append);
	if (append->status == PH_OK)
		append->status = folder_room(append->partition->fd,
		    append->partition->store->conf.reserve_bytes);
	while (append->status == PH_OK && at < append->pending.n) {
		ssize_t n = write(append->fd, append->pending.p + at,
		    append->pending.n - at);

		if (n >= 0)
			at += (size_t)n;
		else if (errno != EINTR)
			append->status = folder_status(errno);
	}
	append->pending.n = 0;
}

int
maildir_append_write(struct ph_append *append, const void *p, size_t n)
{
	const char *at = p, *end = at + n;

	while (at < end) {
		const char *lf = memchr(at, '\n', (size_t)(end - at));
		size_t part = (size_t)((lf != NULL ? lf : end) - at);

		if (part > 0) {
			ph_buf_add(&append->pending, at, part);
			append->last = at[part - 1];
		}
		if (lf == NULL)
			break;
		if (append->last != '\r')
			ph_buf_char(&append->pending, '\r');
		ph_buf_char(&append->pending, '\n');
		append->last = '\n';
		at = lf + 1;
	}
	if (append->pending.n > APPEND_IN_MEMORY) {
		append->size += append->pending.n;
		ph_work(spool, append);
	}
	return append->status;
}

/* --- commit --- */

static void
append_parse(struct ph_append *append, struct ph_slice whole)
{
	append->summary = parse_summary(append->arena, whole);
}

static int
parse_spooled(struct ph_append *append)
{
	struct ph_slice whole = { "", append->size };

	if (whole.n == 0) {
		append_parse(append, whole);
		return PH_OK;
	}
	whole.p = mmap(NULL, whole.n, PROT_READ, MAP_PRIVATE, append->fd, 0);
	if (whole.p == MAP_FAILED)
		return folder_status(errno);
	append_parse(append, whole);
	munmap((void *)(uintptr_t)whole.p, whole.n);
	return PH_OK;
}

/* In a thread: the file is whole, named and durable in tmp/. */
static void
append_settle(void *arg)
{
	struct ph_append *append = arg;
	struct partition *partition = append->partition;
	char path[FOLDER_PATH_MAX];

	append->size += append->pending.n;
	if (append->fd < 0 && append->status == PH_OK)
		append_parse(append, ph_buf_content(&append->pending));
	else if (append->status == PH_OK)
		append->summary.header.p = NULL; /* below, from the file */
	spool(append);
	if (append->status == PH_OK && append->summary.header.p == NULL)
		append->status = parse_spooled(append);
	append->base = store_base(partition, append->arena, append->number,
	    append->size);
	if (append->status == PH_OK)
		append->status = file_with_flags(append->arena, append->base,
		    append->flags, append->base, &append->file);
	if (append->status == PH_OK && fdatasync(append->fd) != 0)
		append->status = folder_status(errno);
	if (append->status == PH_OK) {
		folder_path(path, "tmp", append->base);
		if (renameat(append->folder_fd, append->tmp,
		        append->folder_fd, path) != 0)
			append->status = folder_status(errno);
		else
			strcpy(append->tmp, path);
	}
	if (append->status == PH_OK)
		append->status = folder_sync(append->folder_fd, "tmp");
	store_step("append-synced");
}

struct append_job {
	struct index_job job;
	struct ph_append *append;
	struct box_change change;
	uint32_t uid;
};

/* The folder could have been deleted and made again meanwhile; the file would
 * be in the old one. */
static int
check_folder(const struct ph_append *append)
{
	struct stat mine, now;
	int fd = folder_open(append->partition->fd, append->ref.path);
	bool same;

	if (fd < 0)
		return fd;
	same = fstat(fd, &now) == 0 && fstat(append->folder_fd, &mine) == 0 &&
	    mine.st_dev == now.st_dev && mine.st_ino == now.st_ino;
	folder_close(fd);
	return same ? PH_OK : PH_NOT_FOUND;
}

static int
append_row(struct append_job *job)
{
	struct ph_append *append = job->append;
	struct index_box *row = &job->change.row;
	struct index_message message = { .file = append->file,
		.base_n = append->base.n,
		.meta = { .flags = append->flags, .size = append->size,
		    .internal_date = append->internal_date } };
	int status = row_open_box(append->partition, &append->ref,
	    append->arena, row);

	if (status == PH_OK)
		status = check_folder(append);
	for (size_t i = 0; i < append->keyword_count && status == PH_OK; i++) {
		int bit = row_keyword(row, append->keywords[i]);

		if (bit >= 0)
			message.meta.keywords |= 1ull << bit;
	}
	if (status == PH_OK)
		status = mail_index_message_add(append->partition->mi, row,
		    &message, &append->summary);
	if (status == PH_OK)
		status = mail_index_box_put(append->partition->mi,
		    append->ref.user, append->ref.name, row);
	if (status == PH_OK) {
		job->uid = message.meta.uid;
		box_change_meta(&job->change, &message.meta);
	}
	return status;
}

static int
append_work(struct index_job *index_job)
{
	struct append_job *job = (struct append_job *)index_job;
	int status = mail_index_begin(index_job->partition->mi);

	if (status != PH_OK)
		return status;
	return index_finish(index_job->partition->mi, append_row(job));
}

static void
append_after(struct index_job *index_job)
{
	struct append_job *job = (struct append_job *)index_job;
	struct ph_append *append = job->append;
	struct box_change *change = &job->change;
	char path[FOLDER_PATH_MAX];
	int ignored;

	store_step("append-committed");
	change->has_stamps = folder_stamps(append->folder_fd,
	    &change->stamps_before) == PH_OK;
	ignored = renameat(append->folder_fd, append->tmp, append->folder_fd,
	    folder_path(path, "cur", append->file));
	(void)ignored; /* the scan does it then */
	change->has_stamps &= folder_stamps(append->folder_fd,
	    &change->stamps) == PH_OK;
}

static void
append_done(struct index_job *index_job)
{
	struct append_job *job = (struct append_job *)index_job;

	if (index_job->status == PH_OK)
		box_apply(box_find(index_job->partition, job->append->ref.user,
		    job->append->ref.name), &job->change);
}

static void
spool_remove(void *arg)
{
	struct ph_append *append = arg;

	unlinkat(append->folder_fd, append->tmp, 0);
}

int
maildir_append_commit(struct ph_append *append, struct ph_arena *arena,
    struct ph_uid_map *map_out)
{
	struct append_job *job = ph_arena_alloc(append->arena, sizeof(*job));
	uint32_t *uid;
	int status;

	job->job.work = append_work;
	job->job.after = append_after;
	job->job.done = append_done;
	job->job.durable = true;
	job->append = append;
	box_change_init(&job->change, append->arena);
	ph_work(append_settle, append);
	status = append->status;
	if (status == PH_OK)
		status = index_do(append->partition, &job->job);
	if (status == PH_OK) {
		uid = ph_arena_alloc(arena, sizeof(*uid));
		*uid = job->uid;
		*map_out = (struct ph_uid_map){
			.uid_validity = job->change.row.uid_validity,
			.to = uid, .count = 1 };
		append_end(append);
	} else {
		maildir_append_abort(append);
	}
	return status;
}

void
maildir_append_abort(struct ph_append *append)
{
	if (append == NULL)
		return;
	if (append->fd >= 0)
		ph_work(spool_remove, append);
	append_end(append);
}
