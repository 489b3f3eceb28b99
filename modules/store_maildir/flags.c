/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flags.c - flags, keywords, expunges.
 *
 * The index is the truth. A file's name follows it: renamed first and committed
 * then, so that a crash in between leaves a change another program might have
 * made. An expunge is committed first and the files removed then; a file that a
 * crash leaves is known by its expunged name.
 */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- keywords --- */

struct keyword_job {
	struct index_job job;
	struct box *box;
	struct ph_arena *arena;
	struct ph_slice name;
	struct box_change change;
	int bit;
};

enum { KEYWORD_OCTETS_MAX = 128 };

static int
keyword_work(struct index_job *job)
{
	struct keyword_job *keyword = (struct keyword_job *)job;
	struct box_ref ref = box_ref(keyword->box);
	struct index_box *row = &keyword->change.row;
	int status = mail_index_begin(job->partition->mi);

	if (status == PH_OK)
		status = row_of_id(job->partition, &ref, keyword->box->id,
		    keyword->arena, row);
	if (status == PH_OK) {
		keyword->bit = row_keyword(row, keyword->name);
		status = mail_index_box_put(job->partition->mi, ref.user,
		    ref.name, row);
	}
	return index_finish(job->partition->mi, status);
}

static void
keyword_done(struct index_job *job)
{
	struct keyword_job *keyword = (struct keyword_job *)job;

	if (job->status == PH_OK)
		box_apply(keyword->box, &keyword->change);
}

static bool
keyword_is_sound(struct ph_slice name)
{
	for (size_t i = 0; i < name.n; i++)
		if ((unsigned char)name.p[i] <= ' ' || name.p[i] == 0x7f)
			return false;
	return name.n > 0 && name.n <= KEYWORD_OCTETS_MAX;
}

int
maildir_keyword(struct ph_store_mailbox *mailbox, struct ph_slice name,
    bool create)
{
	struct box *box = mailbox->box;
	struct keyword_job *keyword;
	struct ph_arena *arena;
	int status, bit;

	for (unsigned i = 0; i < box->keyword_count; i++)
		if (ph_slice_eq_nocase(ph_slice_str(box->keywords[i]), name))
			return (int)i;
	if (!create || box->gone || mailbox->read_only ||
	    box->keyword_count == MAIL_INDEX_KEYWORDS ||
	    !keyword_is_sound(name))
		return -1;
	arena = ph_arena_create(NULL);
	keyword = ph_arena_alloc(arena, sizeof(*keyword));
	keyword->job.work = keyword_work;
	keyword->job.done = keyword_done;
	keyword->job.durable = true;
	keyword->box = box;
	keyword->arena = arena;
	keyword->name = ph_arena_slice(arena, name);
	box_change_init(&keyword->change, arena);
	status = index_do(box->partition, &keyword->job);
	bit = status == PH_OK ? keyword->bit : -1;
	ph_arena_free(arena);
	return bit;
}

/* --- flags --- */

struct flags_job {
	struct index_job job;
	struct box *box;
	struct ph_arena *arena;  /* of the job */
	const uint32_t *uids;
	size_t count;
	enum ph_flag_op op;
	uint32_t flags;
	uint64_t keywords;
	uint64_t unchanged_since;
	uint32_t *modified;
	size_t modified_count;
	struct box_change change;
	int fd;          /* of the folder */
	bool linked;     /* a file with several names was renamed */
	uint64_t modseq; /* of this change; 0: nothing changed yet */
};

static uint64_t
apply_op(enum ph_flag_op op, uint64_t was, uint64_t given)
{
	switch (op) {
	case PH_FLAGS_ADD:
		return was | given;
	case PH_FLAGS_REMOVE:
		return was & ~given;
	default:
		return given;
	}
}

static int
rename_to(int fd, const char *from, struct ph_slice to)
{
	char path[FOLDER_PATH_MAX];

	return renameat(fd, from, fd, folder_path(path, "cur", to)) == 0 ?
	    PH_OK : folder_status(errno);
}

/* The ctime of a file with other names does not tell when it was renamed. */
static bool
is_linked(int fd, struct ph_slice file)
{
	char path[FOLDER_PATH_MAX];
	struct stat st;

	return fstatat(fd, folder_path(path, "cur", file), &st,
	    AT_SYMLINK_NOFOLLOW) == 0 && st.st_nlink > 1;
}

/* Give the file the letters of its flags. Where that can't be done it keeps
 * its name; the index alone says then what is. */
static void
rename_for_flags(struct flags_job *job, struct index_message *message)
{
	char from[FOLDER_PATH_MAX];
	const char *moved;
	struct ph_slice file;
	int64_t before_ns;
	int status;

	if (file_flags(message->file) == message->meta.flags ||
	    file_with_flags(job->arena, index_message_base(message),
	        message->meta.flags, message->file, &file) != PH_OK)
		return;
	before_ns = folder_clock();
	folder_path(from, folder_sub(message->in_new), message->file);
	status = rename_to(job->fd, from, file);
	if (status == PH_NOT_FOUND &&
	    file_search(job->fd, index_message_base(message), job->arena,
	        &moved) == PH_OK)
		status = rename_to(job->fd, moved, file);
	if (status != PH_OK)
		return;
	if (is_linked(job->fd, file)) {
		job->linked = true;
		before_ns = 0; /* it will not be lost: see sync_linked */
	}
	message->renamed_ns = before_ns;
	message->file = file;
	message->in_new = false;
}

static int
flags_one(struct flags_job *job, uint32_t uid)
{
	const uint32_t settable = PH_SEEN | PH_ANSWERED | PH_FLAGGED |
	    PH_DELETED | PH_DRAFT;
	struct mail_index *mi = job->job.partition->mi;
	struct index_box *row = &job->change.row;
	struct index_message was, is;
	int status = mail_index_message_get(mi, row->id, uid, job->arena,
	    &was);

	if (status != PH_OK) /* expunged or damaged: passed over */
		return status == PH_NOT_FOUND || status == PH_DEFECT ? PH_OK :
		                                                       status;
	if (was.meta.modseq > job->unchanged_since) {
		job->modified[job->modified_count++] = uid;
		return PH_OK;
	}
	is = was;
	is.meta.flags = settable &
	    (uint32_t)apply_op(job->op, was.meta.flags, job->flags);
	is.meta.keywords = apply_op(job->op, was.meta.keywords, job->keywords);
	if (is.meta.flags == was.meta.flags &&
	    is.meta.keywords == was.meta.keywords)
		return PH_OK;
	if (job->modseq == 0)
		job->modseq = ++row->modseq;
	is.meta.modseq = job->modseq;
	rename_for_flags(job, &is);
	status = mail_index_message_put(mi, row, &was, &is);
	if (status == PH_OK)
		box_change_meta(&job->change, &is.meta);
	return status;
}

/* Durable before the rows are, as nobody could tell that it was lost. */
static int
sync_linked(const struct flags_job *job)
{
	int status = job->linked ? folder_sync(job->fd, "cur") : PH_OK;

	return status == PH_OK ? PH_OK : PH_IO;
}

static int
flags_work(struct index_job *index_job)
{
	struct flags_job *job = (struct flags_job *)index_job;
	struct partition *partition = index_job->partition;
	struct box_change *change = &job->change;
	struct box_ref ref = box_ref(job->box);
	int status = mail_index_begin(partition->mi);

	if (status == PH_OK)
		status = row_of_id(partition, &ref, job->box->id, job->arena,
		    &change->row);
	if (status != PH_OK)
		return index_finish(partition->mi, status);
	job->fd = folder_open(partition->fd, ref.path);
	if (job->fd < 0)
		return index_finish(partition->mi, job->fd);
	change->has_stamps = folder_stamps(job->fd, &change->stamps_before) ==
	    PH_OK;
	for (size_t i = 0; i < job->count && status == PH_OK; i++)
		status = flags_one(job, job->uids[i]);
	store_step("flags-renamed");
	if (status == PH_OK)
		status = sync_linked(job);
	if (status == PH_OK && job->modseq != 0)
		status = mail_index_box_put(partition->mi, ref.user, ref.name,
		    &change->row);
	status = index_finish(partition->mi, status);
	change->has_stamps &= folder_stamps(job->fd, &change->stamps) == PH_OK;
	folder_close(job->fd);
	return status;
}

static void
flags_done(struct index_job *index_job)
{
	struct flags_job *job = (struct flags_job *)index_job;

	if (index_job->status == PH_OK)
		box_apply(job->box, &job->change);
}

int
maildir_store_flags(struct ph_store_mailbox *mailbox, const uint32_t *uids,
    size_t count, enum ph_flag_op op, uint32_t flags, uint64_t keywords,
    uint64_t unchanged_since, struct ph_arena *arena,
    const uint32_t **modified_out, size_t *modified_count_out)
{
	struct ph_arena *own = ph_arena_create(NULL);
	struct flags_job *job = ph_arena_alloc(own, sizeof(*job));
	int status = mailbox->read_only ? PH_DENIED :
	    mailbox->box->gone ? PH_NOT_FOUND : PH_OK;

	job->job.work = flags_work;
	job->job.done = flags_done;
	job->job.durable = true;
	job->box = mailbox->box;
	job->arena = own;
	job->count = box_uids(mailbox->box, uids, count, 0, own, &job->uids);
	job->op = op;
	job->flags = flags;
	job->keywords = keywords;
	job->unchanged_since = unchanged_since;
	job->modified = ph_arena_array(arena != NULL ? arena : own, job->count,
	    sizeof(*job->modified));
	box_change_init(&job->change, own);
	if (status == PH_OK && job->count > 0)
		status = index_do(mailbox->box->partition, &job->job);
	if (status == PH_OK && modified_out != NULL) {
		*modified_out = job->modified;
		*modified_count_out = job->modified_count;
	}
	ph_arena_free(own);
	return status;
}

/* --- expunge --- */

struct expunge_job {
	struct index_job job;
	struct box *box;
	struct ph_arena *arena;
	const uint32_t *uids;
	size_t count;
	uint32_t flags; /* a message must have them */
	struct box_change change;
	struct ph_buf files; /* paths below the folder, each with its NUL */
	char *folder;
};

static int
expunge_one(struct expunge_job *job, uint32_t uid)
{
	struct mail_index *mi = job->job.partition->mi;
	struct index_box *row = &job->change.row;
	struct index_message message;
	char path[FOLDER_PATH_MAX];
	int status = mail_index_message_get(mi, row->id, uid, job->arena,
	    &message);

	if (status != PH_OK)
		return status == PH_NOT_FOUND || status == PH_DEFECT ? PH_OK :
		                                                       status;
	if ((message.meta.flags & job->flags) != job->flags)
		return PH_OK;
	if (job->files.n == 0)
		row->modseq++;
	status = mail_index_message_expunge(mi, row, &message,
	    ph_wall_time(), false);
	if (status != PH_OK)
		return status;
	folder_path(path, folder_sub(message.in_new), message.file);
	ph_buf_add(&job->files, path, strlen(path) + 1);
	box_change_expunged(&job->change, uid);
	return PH_OK;
}

static int
expunge_work(struct index_job *index_job)
{
	struct expunge_job *job = (struct expunge_job *)index_job;
	struct partition *partition = index_job->partition;
	struct box_ref ref = box_ref(job->box);
	int status = mail_index_begin(partition->mi);

	if (status == PH_OK)
		status = row_of_id(partition, &ref, job->box->id, job->arena,
		    &job->change.row);
	job->folder = ph_arena_strdup(job->arena, ref.path);
	for (size_t i = 0; i < job->count && status == PH_OK; i++)
		status = expunge_one(job, job->uids[i]);
	if (status == PH_OK && job->files.n > 0)
		status = mail_index_box_put(partition->mi, ref.user, ref.name,
		    &job->change.row);
	return index_finish(partition->mi, status);
}

/* One that another program moves just now is removed by the next scan. */
static void
remove_file(struct expunge_job *job, int fd, const char *path)
{
	struct ph_slice base = ph_slice_str(strchr(path, '/') + 1);
	const char *moved;

	base.n = file_base_n(base);
	if (unlinkat(fd, path, 0) != 0 && errno == ENOENT &&
	    file_search(fd, base, job->arena, &moved) == PH_OK)
		unlinkat(fd, moved, 0);
}

static void
expunge_after(struct index_job *index_job)
{
	struct expunge_job *job = (struct expunge_job *)index_job;
	struct box_change *change = &job->change;
	int fd = folder_open(index_job->partition->fd, job->folder);

	store_step("expunged");
	if (fd < 0)
		return;
	change->has_stamps = folder_stamps(fd, &change->stamps_before) ==
	    PH_OK;
	for (size_t at = 0; at < job->files.n;
	     at += strlen(job->files.p + at) + 1)
		remove_file(job, fd, job->files.p + at);
	change->has_stamps &= folder_stamps(fd, &change->stamps) == PH_OK;
	folder_close(fd);
}

static void
expunge_done(struct index_job *index_job)
{
	struct expunge_job *job = (struct expunge_job *)index_job;

	if (index_job->status == PH_OK)
		box_apply(job->box, &job->change);
}

static int
expunge(struct ph_store_mailbox *mailbox, const uint32_t *uids, size_t count,
    uint32_t flags)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct expunge_job *job = ph_arena_alloc(arena, sizeof(*job));
	int status = mailbox->read_only ? PH_DENIED :
	    mailbox->box->gone ? PH_NOT_FOUND : PH_OK;

	job->job.work = expunge_work;
	job->job.after = expunge_after;
	job->job.done = expunge_done;
	job->job.durable = true;
	job->box = mailbox->box;
	job->arena = arena;
	job->flags = flags;
	job->count = box_uids(mailbox->box, uids, count, flags, arena,
	    &job->uids);
	ph_buf_init(&job->files, arena, SIZE_MAX / 4);
	box_change_init(&job->change, arena);
	if (status == PH_OK && job->count > 0)
		status = index_do(mailbox->box->partition, &job->job);
	ph_arena_free(arena);
	return status;
}

int
maildir_expunge(struct ph_store_mailbox *mailbox, const uint32_t *uids,
    size_t count)
{
	return expunge(mailbox, uids, count, PH_DELETED);
}

int
maildir_remove(struct ph_store_mailbox *mailbox, const uint32_t *uids,
    size_t count)
{
	/* an empty list removes nothing, least of all everything */
	return uids == NULL || count == 0 ? PH_OK :
	                                    expunge(mailbox, uids, count, 0);
}
