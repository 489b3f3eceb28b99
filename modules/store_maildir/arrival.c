/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arrival.c - the files of a batch, in a thread: written to tmp/, moved into new/
 * (with flags: cur/), synced, each folder once.
 */
#include "arrival.h"

#include <posthouse/mail.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "parse.h"

void
arrival_fail(struct arrival *arrival, int status, const char *detail)
{
	arrival->target->status = status;
	arrival->target->detail = detail;
}

const char *
arrival_path(const struct arrival *arrival, char path[FOLDER_PATH_MAX])
{
	return folder_path(path, folder_sub(arrival->message.in_new),
	    arrival->message.file);
}

/* Return-Path, and Delivered-To in a file that is one recipient's alone. */
static struct ph_slice
head_of(struct ph_arena *arena, const struct arrival *arrival)
{
	const struct ph_slice from = ph_path_format(arena,
	    arrival->job->sender);
	const struct ph_slice to = ph_path_format(arena,
	    arrival->target->recipient);
	size_t pad = arrival->share != NULL ?
	    arrival->share->longest_bytes - to.n : 0;

	if (arrival->link != NULL)
		return ph_slice_str(ph_arena_printf(arena,
		    "Return-Path: <" PH_SLICE_FMT ">\r\n",
		    PH_SLICE_ARG(from)));
	return ph_slice_str(ph_arena_printf(arena,
	    "Return-Path: <" PH_SLICE_FMT ">\r\nDelivered-To: " PH_SLICE_FMT
	    "%*s\r\n", PH_SLICE_ARG(from), PH_SLICE_ARG(to), (int)pad, ""));
}

/* What the job's arrivals have in common. */
struct parsed {
	const struct ph_delivery_job *job;
	const struct ph_mime_part *mime;
	struct ph_slice header;
	struct ph_slice head, mime_behind; /* of those that are linked */
};

static void
parse(struct ph_arena *arena, const struct ph_delivery_job *job,
    struct parsed *parsed)
{
	*parsed = (struct parsed){ .job = job,
		.mime = ph_mime_parse(arena, job->content),
		.header = parse_header(arena, job->content) };
}

static void
head_and_summary(struct ph_arena *arena, struct parsed *parsed,
    struct arrival *arrival)
{
	bool again = arrival->link != NULL && parsed->head.p != NULL;

	arrival->head = again ? parsed->head : head_of(arena, arrival);
	arrival->summary.header = parsed->header;
	arrival->summary.mime = again ? parsed->mime_behind :
	    parse_mime_behind(arena, parsed->mime, arrival->head.n);
	if (arrival->link != NULL) {
		parsed->head = arrival->head;
		parsed->mime_behind = arrival->summary.mime;
	}
}

static void
arrival_prepare(struct ph_arena *arena, struct parsed *parsed,
    struct arrival *arrival)
{
	struct ph_delivery_job *job = arrival->job;
	struct index_message *message = &arrival->message;

	if (parsed->job != job)
		parse(arena, job, parsed);
	head_and_summary(arena, parsed, arrival);
	message->meta.size = arrival->head.n + job->content.n;
	message->meta.internal_date = job->received_at;
	message->file = ph_slice_str(ph_arena_printf(arena,
	    "%lld.Q%llxR%u.posthouse,S=%llu", (long long)job->received_at,
	    (unsigned long long)job->queue_id, arrival->target->recipient_no,
	    (unsigned long long)message->meta.size));
	message->base_n = message->file.n;
	message->key_n = file_key_n(message->file);
	message->in_new = true;
	if (arrival->place != NULL && arrival->place->flags != 0 &&
	    file_with_flags(arena, message->file, arrival->place->flags,
	        message->file, &message->file) == PH_OK) {
		message->in_new = false;
		message->meta.flags = arrival->place->flags;
	}
}

static int
arrival_fill(struct partition *partition, struct arrival *arrival)
{
	struct ph_slice content = arrival->job->content;

	if (arrival->share != NULL && partition->can_share &&
	    share_write(arrival->share, partition->fd, arrival->fd,
	        arrival->head, content))
		return PH_OK;
	return folder_write(arrival->fd, arrival->head, content);
}

/* What a crash left under the name may be a name of other mailboxes' file, too:
 * it is removed, never written over. */
static int
create_file(int folder_fd, const char *path)
{
	const int flags = O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(folder_fd, path, flags, 0600);

	if (fd >= 0 || errno != EEXIST)
		return fd;
	if (unlinkat(folder_fd, path, 0) != 0)
		return -1;
	return openat(folder_fd, path, flags, 0600);
}

static int
open_tmp(struct partition *partition, struct arrival *arrival,
    const char *path)
{
	int status = folder_cache_get(&partition->folders, partition->fd,
	    arrival->ref.path, &arrival->folder);

	if (status != PH_OK)
		return status;
	arrival->fd = create_file(arrival->folder->fd, path);
	if (arrival->fd < 0 && errno == ENOENT) {
		/* the Maildir was taken away: make it again */
		folder_cache_drop(&partition->folders, arrival->folder);
		status = folder_ensure(partition->fd, arrival->ref.path);
		if (status == PH_OK)
			status = folder_cache_get(&partition->folders,
			    partition->fd, arrival->ref.path,
			    &arrival->folder);
		if (status != PH_OK)
			return status;
		arrival->fd = create_file(arrival->folder->fd, path);
	}
	return arrival->fd >= 0 ? PH_OK : folder_status(errno);
}

static void
arrival_touch(struct arrival *arrival)
{
	arrival->folder->is_inbox = name_is_inbox(arrival->ref.name);
	arrival->folder->touched |= arrival->message.in_new;
	arrival->folder->cur_touched |= !arrival->message.in_new;
}

/* False: it is to be a file of its own. */
static bool
arrival_link(struct partition *partition, struct arrival *arrival,
    const char *tmp, const char *name)
{
	if (arrival->link == NULL ||
	    !link_file_write(arrival->link, partition->fd, arrival->head,
	        arrival->job->content) ||
	    folder_cache_get(&partition->folders, partition->fd,
	        arrival->ref.path, &arrival->folder) != PH_OK ||
	    !link_file_name(arrival->link, arrival->folder->fd, tmp, name))
		return false;
	arrival->is_linked = true;
	arrival_touch(arrival);
	store_step("linked");
	return true;
}

static void
arrival_write(struct partition *partition, struct arrival *arrival)
{
	char tmp[FOLDER_PATH_MAX], name[FOLDER_PATH_MAX];
	int status;

	folder_path(tmp, "tmp", index_message_base(&arrival->message));
	arrival_path(arrival, name);
	if (arrival_link(partition, arrival, tmp, name))
		return;
	status = open_tmp(partition, arrival, tmp);
	if (status != PH_OK) {
		arrival_fail(arrival, status == PH_FULL ? status : PH_IO,
		    "the mailbox's folder can't be written");
		return;
	}
	store_step("created");
	status = arrival_fill(partition, arrival);
	store_step("written");
	if (status == PH_OK && renameat(arrival->folder->fd, tmp,
	        arrival->folder->fd, name) != 0)
		status = folder_status(errno);
	if (status != PH_OK) {
		unlinkat(arrival->folder->fd, tmp, 0);
		close(arrival->fd);
		arrival->fd = -1;
		arrival_fail(arrival, status == PH_FULL ? status : PH_IO,
		    status == PH_FULL ? "no room for the message" :
		                        "the message can't be written");
		return;
	}
	arrival_touch(arrival);
	store_step("renamed");
	if (partition->store->conf.sync == SYNC_FILES)
		(void)sync_file_range(arrival->fd, 0, 0,
		    SYNC_FILE_RANGE_WRITE);
}

/* It is removed where it is known whether a row has it: see deliver.c. */
static void
arrival_not_durable(struct arrival *arrival)
{
	arrival_fail(arrival, PH_IO, "the message can't be made durable");
	arrival->is_not_durable = true;
}

static void
sync_each_file(struct delivery_batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		struct arrival *arrival = &batch->arrivals[i];

		if (arrival->is_linked &&
		    link_file_sync(arrival->link) != PH_OK)
			arrival_not_durable(arrival);
		if (arrival->fd < 0)
			continue;
		if (fdatasync(arrival->fd) != 0)
			arrival_not_durable(arrival);
		close(arrival->fd);
		arrival->fd = -1;
	}
}

/* What fails here is reported for every file in the folder: a later fsync
 * could answer well and mean nothing. */
static void
sync_folders(struct partition *partition, struct delivery_batch *batch)
{
	struct folder_cache *cache = &partition->folders;

	for (size_t i = 0; i < cache->count; i++) {
		struct hot_folder *folder = cache->item[i];
		bool good = (!folder->touched || fsync(folder->new_fd) == 0) &&
		    (!folder->cur_touched ||
		        folder_sync(folder->fd, "cur") == PH_OK);

		folder->touched = folder->cur_touched = false;
		if (good)
			continue;
		for (size_t n = 0; n < batch->count; n++)
			if (batch->arrivals[n].target->status == PH_OK &&
			    strcmp(batch->arrivals[n].ref.path,
			        folder->path) == 0)
				arrival_not_durable(
				    &batch->arrivals[n]);
	}
}

static void
sync_file_system(struct partition *partition, struct delivery_batch *batch)
{
	int fd = openat(partition->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool good = fd >= 0 && syncfs(fd) == 0;

	for (size_t i = 0; i < batch->count; i++) {
		struct arrival *arrival = &batch->arrivals[i];

		if (arrival->fd >= 0)
			close(arrival->fd);
		if ((arrival->fd >= 0 || arrival->is_linked) && !good)
			arrival_not_durable(arrival);
		arrival->fd = -1;
	}
	for (size_t i = 0; i < partition->folders.count; i++)
		partition->folders.item[i]->touched =
		    partition->folders.item[i]->cur_touched = false;
	if (fd >= 0)
		close(fd);
}

static void
prepare_all(struct delivery_batch *batch)
{
	struct parsed parsed = { .job = NULL };

	for (size_t i = 0; i < batch->count; i++)
		arrival_prepare(batch->arena, &parsed, &batch->arrivals[i]);
}

void
delivery_files(void *arg)
{
	struct delivery_batch *batch = arg;
	struct partition *partition = batch->index.partition;

	int room;

	prepare_all(batch);
	delivery_announce(partition, batch);
	room = folder_room(partition->fd, partition->store->conf.reserve_bytes);
	for (size_t i = 0; i < batch->count; i++) {
		struct arrival *arrival = &batch->arrivals[i];

		if (room != PH_OK)
			arrival_fail(arrival, room, "the disk is nearly full");
		else if (arrival->target->status == PH_OK)
			arrival_write(partition, arrival);
	}
	store_step("all-renamed");
	if (partition->store->conf.sync == SYNC_FILES) {
		sync_each_file(batch);
		store_step("files-synced");
		sync_folders(partition, batch);
	} else {
		sync_file_system(partition, batch);
	}
	store_step("folders-synced");
	folder_cache_trim(&partition->folders);
}
