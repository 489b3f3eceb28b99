/* SPDX-License-Identifier: Apache-2.0 */
/*
 * copy.c - messages to another mailbox of the user, all or none.
 *
 * The files are hard links, made in the target's tmp/ and synced there; one
 * transaction writes all rows; then they move to cur/. Before the commit a
 * crash leaves nothing that a scan would take for mail; after it the scan
 * finishes the moves.
 */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

struct copied {
	struct ph_slice base, file;
};

struct copy_job {
	struct index_job job;
	struct box *box;
	struct ph_arena *arena; /* of the job */
	const uint32_t *uids;
	size_t count;
	uint64_t first_number; /* of the new base names */
	struct box_ref to;
	bool same; /* to the mailbox itself */
	struct index_box source;
	struct box_change change; /* of the target */
	int source_fd, to_fd;
	struct copied *copied;
	uint32_t *from_uids, *to_uids;
	size_t done;
};

/* Where hard links can't be made the octets are copied. */
static int
copy_octets(int from_dir, const char *from, int to_dir, const char *to)
{
	int in = openat(from_dir, from, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	int out, status = PH_OK;
	char buf[16384];
	ssize_t n;

	if (in < 0)
		return folder_status(errno);
	out = openat(to_dir, to,
	    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (out < 0) {
		status = folder_status(errno);
		close(in);
		return status;
	}
	while (status == PH_OK && (n = read(in, buf, sizeof(buf))) != 0) {
		if (n < 0 || write(out, buf, (size_t)n) != n)
			status = errno == ENOSPC || errno == EDQUOT ? PH_FULL :
			                                              PH_IO;
	}
	if (status == PH_OK && fdatasync(out) != 0)
		status = PH_IO;
	close(in);
	close(out);
	return status;
}

static int
link_file(int from_dir, const char *from, int to_dir, const char *to)
{
	if (linkat(from_dir, from, to_dir, to, 0) == 0)
		return PH_OK;
	if (errno == EMLINK || errno == EPERM || errno == EXDEV ||
	    errno == EOPNOTSUPP)
		return copy_octets(from_dir, from, to_dir, to);
	return folder_status(errno);
}

/* The path of the source's file as it is now, and its octets. */
static int
source_path(struct copy_job *job, const struct index_message *message,
    const char **path_out, uint64_t *size_out)
{
	char path[FOLDER_PATH_MAX];
	const char *at = ph_arena_strdup(job->arena, folder_path(path,
	    folder_sub(message->in_new), message->file));
	struct stat st;
	int status = PH_OK;

	if (fstatat(job->source_fd, at, &st, AT_SYMLINK_NOFOLLOW) != 0) {
		status = file_search(job->source_fd,
		    index_message_base(message), job->arena, &at);
		if (status == PH_OK && fstatat(job->source_fd, at, &st,
		        AT_SYMLINK_NOFOLLOW) != 0)
			status = folder_status(errno);
	}
	if (status == PH_OK && !S_ISREG(st.st_mode))
		status = PH_INVALID;
	if (status != PH_OK)
		return status;
	*path_out = at;
	*size_out = (uint64_t)st.st_size;
	return PH_OK;
}

/* The same keywords by the target's bits; one there is no room for is lost. */
static uint64_t
map_keywords(struct copy_job *job, uint64_t keywords)
{
	struct index_box *row = &job->change.row;
	uint64_t mapped = 0;

	if (job->same)
		return keywords;
	for (unsigned i = 0; i < job->source.keyword_count; i++)
		if (keywords >> i & 1) {
			int bit = row_keyword(row, job->source.keywords[i]);

			if (bit >= 0)
				mapped |= 1ull << bit;
		}
	return mapped;
}

static int
copy_one(struct copy_job *job, uint32_t uid)
{
	struct partition *partition = job->job.partition;
	struct copied *copied = &job->copied[job->done];
	struct ph_message_summary summary;
	struct index_message from, to = { 0 };
	char tmp[FOLDER_PATH_MAX];
	const char *path;
	uint64_t size;
	int status = mail_index_message_get(partition->mi, job->source.id,
	    uid, job->arena, &from);

	if (status == PH_NOT_FOUND)
		return PH_OK; /* expunged: not among what can be copied */
	if (status == PH_OK)
		status = source_path(job, &from, &path, &size);
	if (status != PH_OK)
		return status;
	copied->base = store_base(partition, job->arena,
	    job->first_number + job->done, size);
	status = file_with_flags(job->arena, copied->base, from.meta.flags,
	    from.file, &copied->file);
	if (status == PH_OK)
		status = link_file(job->source_fd, path, job->to_fd,
		    folder_path(tmp, "tmp", copied->base));
	if (status != PH_OK)
		return status;
	job->from_uids[job->done] = uid;
	job->done++; /* from here on it is undone */
	store_step("copy-linked");
	to.meta = from.meta;
	to.meta.keywords = map_keywords(job, from.meta.keywords);
	to.file = copied->file;
	to.base_n = copied->base.n;
	to.bare_lf = from.bare_lf;
	status = mail_index_summary(partition->mi, job->source.id, uid,
	    job->arena, &summary);
	if (status == PH_OK || status == PH_NOT_FOUND)
		status = mail_index_message_add(partition->mi,
		    &job->change.row, &to, status == PH_OK ? &summary : NULL);
	if (status == PH_OK) {
		job->to_uids[job->done - 1] = to.meta.uid;
		box_change_meta(&job->change, &to.meta);
	}
	return status;
}

static int
copy_rows(struct copy_job *job)
{
	struct partition *partition = job->job.partition;
	struct box_ref source = box_ref(job->box);
	int status = row_of_id(partition, &source, job->box->id, job->arena,
	    &job->source);

	if (status == PH_OK)
		status = row_open_box(partition, &job->to, job->arena,
		    &job->change.row);
	if (status != PH_OK)
		return status;
	status = folder_room(partition->fd,
	    partition->store->conf.reserve_bytes);
	if (status != PH_OK)
		return status;
	job->same = job->source.id == job->change.row.id;
	job->source_fd = folder_open(partition->fd, source.path);
	if (job->source_fd < 0)
		return job->source_fd;
	job->to_fd = folder_open(partition->fd, job->to.path);
	if (job->to_fd < 0)
		return job->to_fd;
	for (size_t i = 0; i < job->count && status == PH_OK; i++)
		status = copy_one(job, job->uids[i]);
	if (status == PH_OK && job->done > 0)
		status = folder_sync(job->to_fd, "tmp");
	store_step("copy-synced");
	return status == PH_OK ? mail_index_box_put(partition->mi,
	    job->to.user, job->to.name, &job->change.row) : status;
}

static int
copy_work(struct index_job *index_job)
{
	struct copy_job *job = (struct copy_job *)index_job;
	struct mail_index *mi = index_job->partition->mi;
	char tmp[FOLDER_PATH_MAX];
	int status;

	job->source_fd = job->to_fd = -1;
	status = mail_index_begin(mi);
	if (status == PH_OK)
		status = index_finish(mi, copy_rows(job));
	for (size_t i = 0; i < job->done && status != PH_OK; i++)
		unlinkat(job->to_fd,
		    folder_path(tmp, "tmp", job->copied[i].base), 0);
	if (job->source_fd >= 0)
		folder_close(job->source_fd);
	if (job->to_fd >= 0)
		folder_close(job->to_fd);
	return status;
}

/* Out of tmp/; a crash leaves this to the scan. */
static void
copy_after(struct index_job *index_job)
{
	struct copy_job *job = (struct copy_job *)index_job;
	struct box_change *change = &job->change;
	int fd = folder_open(index_job->partition->fd, job->to.path);

	store_step("copy-committed");
	if (fd < 0)
		return;
	change->has_stamps = folder_stamps(fd, &change->stamps_before) ==
	    PH_OK;
	for (size_t i = 0; i < job->done; i++) {
		char from[FOLDER_PATH_MAX], to[FOLDER_PATH_MAX];
		int ignored = renameat(fd,
		    folder_path(from, "tmp", job->copied[i].base), fd,
		    folder_path(to, "cur", job->copied[i].file));

		(void)ignored;
	}
	change->has_stamps &= folder_stamps(fd, &change->stamps) == PH_OK;
	folder_close(fd);
}

static void
copy_done(struct index_job *index_job)
{
	struct copy_job *job = (struct copy_job *)index_job;

	if (index_job->status == PH_OK)
		box_apply(box_find(index_job->partition, job->to.user,
		    job->to.name), &job->change);
}

static struct copy_job *
copy_job_create(struct ph_store_mailbox *mailbox, const uint32_t *uids,
    size_t count, struct ph_arena *own, struct ph_arena *arena)
{
	struct copy_job *job = ph_arena_alloc(own, sizeof(*job));
	struct box *box = mailbox->box;

	job->job.work = copy_work;
	job->job.after = copy_after;
	job->job.done = copy_done;
	job->job.durable = true;
	job->box = box;
	job->arena = own;
	job->count = box_uids(box, uids, count, 0, own, &job->uids);
	job->first_number = box->partition->names_given + 1;
	box->partition->names_given += job->count;
	job->copied = ph_arena_array(own, job->count, sizeof(*job->copied));
	job->from_uids = ph_arena_array(arena, job->count,
	    sizeof(*job->from_uids));
	job->to_uids = ph_arena_array(arena, job->count,
	    sizeof(*job->to_uids));
	box_change_init(&job->change, own);
	return job;
}

int
maildir_copy(struct ph_store_mailbox *mailbox, const uint32_t *uids,
    size_t count, struct ph_slice to, struct ph_arena *arena,
    struct ph_uid_map *map_out)
{
	struct ph_arena *own = ph_arena_create(NULL);
	struct copy_job *job = copy_job_create(mailbox, uids, count, own,
	    arena);
	int status = mailbox->box->gone ? PH_NOT_FOUND :
	    box_ref_of(own, mailbox->box->user, to, &job->to);

	if (status == PH_OK)
		status = index_do(mailbox->box->partition, &job->job);
	if (status == PH_OK)
		*map_out = (struct ph_uid_map){
			.uid_validity = job->change.row.uid_validity,
			.from = job->from_uids, .to = job->to_uids,
			.count = job->done };
	ph_arena_free(own);
	return status;
}
