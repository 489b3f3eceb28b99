/* SPDX-License-Identifier: Apache-2.0 */
/*
 * content.c - the octets of a message, and what the index holds of its header.
 *
 * Other programs may have renamed the file since the index was told; then it is
 * looked for by its base before the mailbox is scanned.
 */
#include "store.h"

#include "parse.h"

#include <stdlib.h>
#include <unistd.h>

/* --- finding a file that moved --- */

struct search {
	struct ph_slice base;
	struct ph_arena *arena;
	const char *sub, *path;
};

enum { SEARCH_FOUND = 1 };

static int
search_look(void *arg, const char *name)
{
	struct search *search = arg;
	struct ph_slice file = ph_slice_str(name);

	file.n = file_base_n(file);
	if (!ph_slice_eq(file, search->base))
		return PH_OK;
	search->path = ph_arena_printf(search->arena, "%s/%s", search->sub,
	    name);
	return SEARCH_FOUND;
}

int
file_search(int folder_fd, struct ph_slice base, struct ph_arena *arena,
    const char **path_out)
{
	static const char *const subs[] = { "tmp", "new", "cur" };
	struct search search = { .base = base, .arena = arena };

	/* what a delivery left in tmp/ may be a part of a file */
	for (size_t i = file_is_delivery(base) ? 1 : 0; i < 3; i++) {
		int status;

		search.sub = subs[i];
		status = folder_each(folder_fd, subs[i], search_look, &search);
		if (status == SEARCH_FOUND) {
			*path_out = search.path;
			return PH_OK;
		}
		if (status != PH_OK)
			return status;
	}
	return PH_NOT_FOUND;
}

/* --- content --- */

struct content_job {
	struct index_job job;
	struct box_ref ref;
	uint64_t box_id;
	uint32_t uid;
	struct ph_arena *arena; /* of the caller */
	struct index_message message;
	struct ph_slice octets;
	int read_status;
};

static int
content_row(struct index_job *job)
{
	struct content_job *content = (struct content_job *)job;

	return mail_index_message_get(job->partition->mi, content->box_id,
	    content->uid, content->arena, &content->message);
}

static void
content_read(void *arg)
{
	struct content_job *content = arg;
	const struct index_message *message = &content->message;
	char path[FOLDER_PATH_MAX];
	struct folder_file file;
	const char *moved;
	int status, fd = folder_open(content->job.partition->fd,
	    content->ref.path);

	content->read_status = fd;
	if (fd < 0)
		return;
	folder_path(path, folder_sub(message->in_new), message->file);
	status = folder_read(fd, path, content->arena, &file);
	if (status == PH_NOT_FOUND) {
		status = file_search(fd, index_message_base(message),
		    content->arena, &moved);
		if (status == PH_OK)
			status = folder_read(fd, moved, content->arena, &file);
	}
	folder_close(fd);
	if (status == PH_OK)
		content->octets = message->bare_lf ||
		        file.octets.n != message->meta.size ?
		    parse_with_crlf(content->arena, file.octets) :
		    file.octets;
	content->read_status = status;
}

static int
content_get(struct box *box, uint32_t uid, struct ph_arena *arena,
    struct ph_slice *octets_out)
{
	struct content_job *content = ph_arena_alloc(arena, sizeof(*content));
	int status;

	if (box->gone || box_meta(box, uid) == NULL)
		return PH_NOT_FOUND;
	content->job.work = content_row;
	content->arena = arena;
	content->ref = (struct box_ref){ box->user, box->name,
		ph_arena_strdup(arena, box->path) };
	content->box_id = box->id;
	content->uid = uid;
	status = index_do(box->partition, &content->job);
	if (status != PH_OK)
		return status;
	ph_work(content_read, content);
	if (content->read_status == PH_NOT_FOUND)
		(void)box_scan(box); /* sessions are told it is gone */
	if (content->read_status == PH_OK)
		*octets_out = content->octets;
	return content->read_status;
}

int
maildir_content(struct ph_store_mailbox *mailbox, uint32_t uid,
    struct ph_arena *arena, struct ph_content *content_out)
{
	struct ph_content content = { .impl = NULL };
	int status = content_get(mailbox->box, uid, arena, &content.octets);

	if (status == PH_OK)
		*content_out = content;
	return status;
}

/* --- summaries --- */

enum {
	AHEAD_COUNT = 64,
	AHEAD_OCTETS = 128 * 1024,
};

/* Summaries read before they are asked for: clients ask for them in a row. */
struct summary_ahead {
	struct ph_arena *arena; /* of the portion at hand */
	uint32_t last_uid;
	size_t count;
	uint32_t uid[AHEAD_COUNT];
	struct ph_message_summary summary[AHEAD_COUNT];
};

struct summary_job {
	struct index_job job;
	uint64_t box_id;
	size_t wanted; /* of the ahead's uid */
	struct summary_ahead *ahead;
	struct ph_arena *arena;
	struct summary_ahead read;
};

void
summary_ahead_free(struct summary_ahead *ahead)
{
	if (ahead == NULL)
		return;
	ph_arena_free(ahead->arena);
	free(ahead);
}

static int
summary_work(struct index_job *job)
{
	struct summary_job *summary = (struct summary_job *)job;
	struct summary_ahead *read = &summary->read;
	size_t octets = 0, i;

	for (i = 0; i < summary->wanted && octets < AHEAD_OCTETS; i++) {
		int status = mail_index_summary(job->partition->mi,
		    summary->box_id, read->uid[i], summary->arena,
		    &read->summary[i]);

		if (status != PH_OK && i == 0)
			return status;
		if (status != PH_OK)
			break;
		octets += read->summary[i].header.n +
		    read->summary[i].mime.n;
	}
	read->count = i;
	return PH_OK;
}

/* The UIDs to read: this one, and those behind it when it was asked for right
 * after the one before it. */
static size_t
summary_uids(const struct box *box, const struct summary_ahead *ahead,
    uint32_t uid, uint32_t *uids)
{
	const struct ph_message_meta *meta = box_meta(box, uid);
	size_t at = (size_t)(meta - box->metas), n = 0;
	bool in_a_row = at > 0 && box->metas[at - 1].uid == ahead->last_uid;

	while (n < (in_a_row ? AHEAD_COUNT : 1) && at < box->count)
		uids[n++] = box->metas[at++].uid;
	return n;
}

static bool
summary_at_hand(const struct summary_ahead *ahead, uint32_t uid,
    struct ph_arena *arena, struct ph_message_summary *summary_out)
{
	for (size_t i = 0; i < ahead->count; i++)
		if (ahead->uid[i] == uid) {
			summary_out->header = ph_arena_slice(arena,
			    ahead->summary[i].header);
			summary_out->mime = ph_arena_slice(arena,
			    ahead->summary[i].mime);
			return true;
		}
	return false;
}

static int
summary_read(struct ph_store_mailbox *mailbox, uint32_t uid)
{
	struct box *box = mailbox->box;
	struct summary_ahead *ahead = mailbox->ahead;
	struct ph_arena *arena = ph_arena_create(NULL);
	struct summary_job *summary = ph_arena_alloc(arena, sizeof(*summary));
	int status;

	summary->job.work = summary_work;
	summary->box_id = box->id;
	summary->arena = arena;
	summary->wanted = summary_uids(box, ahead, uid, summary->read.uid);
	status = index_do(box->partition, &summary->job);
	if (status != PH_OK) {
		ph_arena_free(arena);
		return status;
	}
	ph_arena_free(ahead->arena);
	summary->read.arena = arena;
	summary->read.last_uid = ahead->last_uid;
	*ahead = summary->read;
	return PH_OK;
}

struct summary_of_content {
	struct ph_slice octets;
	struct ph_arena *arena;
	struct ph_message_summary summary;
};

static void
summary_parse(void *arg)
{
	struct summary_of_content *s = arg;

	s->summary = parse_summary(s->arena, s->octets);
}

int
maildir_summary(struct ph_store_mailbox *mailbox, uint32_t uid,
    struct ph_arena *arena, struct ph_message_summary *summary_out)
{
	struct summary_of_content parsed = { .arena = arena };
	int status = PH_OK;

	if (mailbox->box->gone || box_meta(mailbox->box, uid) == NULL)
		return PH_NOT_FOUND;
	if (mailbox->ahead == NULL) {
		mailbox->ahead = calloc(1, sizeof(*mailbox->ahead));
		ph_assert(mailbox->ahead != NULL);
	}
	if (!summary_at_hand(mailbox->ahead, uid, arena, summary_out)) {
		status = summary_read(mailbox, uid);
		if (status == PH_OK)
			summary_at_hand(mailbox->ahead, uid, arena,
			    summary_out);
	}
	mailbox->ahead->last_uid = uid;
	if (status != PH_NOT_FOUND && status != PH_DEFECT)
		return status;
	/* The row is missing or damaged: the file knows. */
	status = content_get(mailbox->box, uid, arena, &parsed.octets);
	if (status != PH_OK)
		return status;
	ph_work(summary_parse, &parsed);
	*summary_out = parsed.summary;
	return PH_OK;
}
