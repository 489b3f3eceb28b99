/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deliver.c - messages into INBOXes, many at a time.
 *
 * One batch: each file is written to tmp/, moved into new/ and its write-out
 * started; then all are synced, and each folder once; then one transaction
 * writes the rows. While a batch is synced the next one gathers. Nothing is
 * reported before the files are durable. The rows need not be: a row that a
 * power failure takes back is made again by the next scan, and its UID was
 * shown to no one (where a session watches, the index is flushed).
 *
 * The name follows from the queue's id and the recipient, so a delivery that is
 * repeated replaces its own file.
 */
#include "store.h"

#include <posthouse/mail.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "parse.h"
#include "share.h"

struct delivery {
	struct line_job line;
	struct ph_delivery_job *job;
	/* which of the job's targets: those of this partition */
	size_t *targets;
	size_t count;
	struct share *share; /* NULL: each file has its own content */
};

/* One file of the batch. */
struct arrival {
	struct ph_delivery_job *job;
	struct ph_delivery_target *target;
	struct share *share;
	struct box_ref ref;
	struct hot_folder *folder;
	struct ph_slice head;
	struct index_message message;
	struct ph_message_summary summary;
	int fd; /* -1: closed */
};

/* All that came for one INBOX. */
struct inbox {
	struct box_ref ref;
	struct box_change change;
	size_t first, count; /* in batch->order */
};

struct delivery_batch {
	struct index_job index; /* for the rows */
	struct ph_arena *arena;
	struct line_job *jobs;
	struct arrival *arrivals;
	size_t count;
	struct arrival **order; /* by user */
	struct inbox *inboxes;
	size_t inbox_count;
};

static void
fail(struct arrival *arrival, int status, const char *detail)
{
	arrival->target->status = status;
	arrival->target->detail = detail;
}

/* --- files, in a thread --- */

static void
arrival_prepare(struct delivery_batch *batch, struct arrival *arrival,
    const struct ph_mime_part *mime, struct ph_slice header)
{
	struct ph_delivery_job *job = arrival->job;
	struct index_message *message = &arrival->message;
	const struct ph_slice from = ph_path_format(batch->arena, job->sender);
	const struct ph_slice to = ph_path_format(batch->arena,
	    arrival->target->recipient);
	size_t pad = arrival->share != NULL ?
	    arrival->share->longest_bytes - to.n : 0;

	arrival->head = ph_slice_str(ph_arena_printf(batch->arena,
	    "Return-Path: <" PH_SLICE_FMT ">\r\nDelivered-To: " PH_SLICE_FMT
	    "%*s\r\n", PH_SLICE_ARG(from), PH_SLICE_ARG(to), (int)pad, ""));
	message->meta.size = arrival->head.n + job->content.n;
	message->meta.internal_date = job->received_at;
	message->file = ph_slice_str(ph_arena_printf(batch->arena,
	    "%lld.Q%llxR%u.posthouse,S=%llu", (long long)job->received_at,
	    (unsigned long long)job->queue_id, arrival->target->recipient_no,
	    (unsigned long long)message->meta.size));
	message->base_n = message->file.n;
	message->in_new = true;
	arrival->summary.header = header;
	arrival->summary.mime = parse_mime_behind(batch->arena, mime,
	    arrival->head.n);
}

/* A CR, LF or NUL in an address would write header fields of its own. */
static bool
address_is_sound(struct ph_slice address)
{
	for (size_t i = 0; i < address.n; i++)
		if (address.p[i] == '\r' || address.p[i] == '\n' ||
		    address.p[i] == '\0')
			return false;
	return address.n <= 1024;
}

static int
write_all(int fd, struct ph_slice head, struct ph_slice content)
{
	while (head.n + content.n > 0) {
		struct iovec io[2] = {
			{ (void *)(uintptr_t)head.p, head.n },
			{ (void *)(uintptr_t)content.p, content.n } };
		ssize_t n = writev(fd, io, 2);
		size_t of_head;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return folder_status(errno);
		of_head = (size_t)n < head.n ? (size_t)n : head.n;
		head.p += of_head;
		head.n -= of_head;
		content.p += (size_t)n - of_head;
		content.n -= (size_t)n - of_head;
	}
	return PH_OK;
}

static int
arrival_fill(struct partition *partition, struct arrival *arrival)
{
	struct ph_slice content = arrival->job->content;

	if (arrival->share != NULL && partition->can_share &&
	    share_write(arrival->share, partition->fd, arrival->fd,
	        arrival->head, content))
		return PH_OK;
	return write_all(arrival->fd, arrival->head, content);
}

static int
open_tmp(struct partition *partition, struct arrival *arrival,
    const char *path)
{
	const int flags = O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC;
	int status = folder_cache_get(&partition->folders, partition->fd,
	    arrival->ref.path, &arrival->folder);

	if (status != PH_OK)
		return status;
	arrival->fd = openat(arrival->folder->fd, path, flags, 0600);
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
		arrival->fd = openat(arrival->folder->fd, path, flags, 0600);
	}
	return arrival->fd >= 0 ? PH_OK : folder_status(errno);
}

static void
arrival_write(struct partition *partition, struct arrival *arrival)
{
	char tmp[FOLDER_PATH_MAX], name[FOLDER_PATH_MAX];
	int status;

	folder_path(tmp, "tmp", arrival->message.file);
	folder_path(name, "new", arrival->message.file);
	status = open_tmp(partition, arrival, tmp);
	if (status != PH_OK) {
		fail(arrival, status == PH_FULL ? status : PH_IO,
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
		fail(arrival, status == PH_FULL ? status : PH_IO,
		    status == PH_FULL ? "no room for the message" :
		                        "the message can't be written");
		return;
	}
	arrival->folder->touched = true;
	store_step("renamed");
	if (partition->store->conf.sync == SYNC_FILES)
		(void)sync_file_range(arrival->fd, 0, 0,
		    SYNC_FILE_RANGE_WRITE);
}

static void
arrival_undo(struct partition *partition, struct arrival *arrival)
{
	char path[FOLDER_PATH_MAX];
	int fd = folder_open(partition->fd, arrival->ref.path);

	fail(arrival, PH_IO, "the message can't be made durable");
	if (fd < 0)
		return;
	unlinkat(fd, folder_path(path, "new", arrival->message.file), 0);
	folder_close(fd);
}

static void
sync_each_file(struct partition *partition, struct delivery_batch *batch)
{
	for (size_t i = 0; i < batch->count; i++) {
		struct arrival *arrival = &batch->arrivals[i];

		if (arrival->fd < 0)
			continue;
		if (fdatasync(arrival->fd) != 0)
			arrival_undo(partition, arrival);
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

		if (!folder->touched)
			continue;
		folder->touched = false;
		if (fsync(folder->new_fd) == 0)
			continue;
		for (size_t n = 0; n < batch->count; n++)
			if (batch->arrivals[n].target->status == PH_OK &&
			    strcmp(batch->arrivals[n].ref.path,
			        folder->path) == 0)
				arrival_undo(partition, &batch->arrivals[n]);
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
		if (arrival->fd >= 0 && !good)
			arrival_undo(partition, arrival);
		arrival->fd = -1;
	}
	for (size_t i = 0; i < partition->folders.count; i++)
		partition->folders.item[i]->touched = false;
	if (fd >= 0)
		close(fd);
}

static void
prepare_all(struct delivery_batch *batch)
{
	const struct ph_delivery_job *job = NULL;
	const struct ph_mime_part *mime = NULL;
	struct ph_slice header = { NULL, 0 };

	for (size_t i = 0; i < batch->count; i++) {
		struct arrival *arrival = &batch->arrivals[i];

		if (arrival->job != job) { /* parsed once for its targets */
			job = arrival->job;
			mime = ph_mime_parse(batch->arena, job->content);
			header = parse_header(batch->arena, job->content);
		}
		arrival_prepare(batch, arrival, mime, header);
	}
}

static void
delivery_files(void *arg)
{
	struct delivery_batch *batch = arg;
	struct partition *partition = batch->index.partition;

	int room;

	prepare_all(batch);
	room = folder_room(partition->fd, partition->store->conf.reserve_bytes);
	for (size_t i = 0; i < batch->count; i++) {
		struct arrival *arrival = &batch->arrivals[i];

		if (room != PH_OK)
			fail(arrival, room, "the disk is nearly full");
		else if (arrival->target->status == PH_OK)
			arrival_write(partition, arrival);
	}
	store_step("all-renamed");
	if (partition->store->conf.sync == SYNC_FILES) {
		sync_each_file(partition, batch);
		store_step("files-synced");
		sync_folders(partition, batch);
	} else {
		sync_file_system(partition, batch);
	}
	store_step("folders-synced");
	folder_cache_trim(&partition->folders);
}

/* --- rows, in the index line's thread --- */

/* Delivered before, and moved to where it has its flags: put it there. */
static int
replace_in_place(struct partition *partition, const struct arrival *arrival,
    const struct index_message *message)
{
	char from[FOLDER_PATH_MAX], to[FOLDER_PATH_MAX];
	int fd, status = PH_OK;

	if (message->in_new)
		return PH_OK; /* the rename into new/ did it */
	fd = folder_open(partition->fd, arrival->ref.path);
	if (fd < 0)
		return fd;
	if (renameat(fd, folder_path(from, "new", arrival->message.file), fd,
	        folder_path(to, "cur", message->file)) != 0 && errno != ENOENT)
		status = folder_status(errno);
	if (status == PH_OK)
		status = folder_sync(fd, "cur");
	folder_close(fd);
	return status;
}

static void
remove_again(struct partition *partition, const struct arrival *arrival)
{
	char path[FOLDER_PATH_MAX];
	int fd = folder_open(partition->fd, arrival->ref.path);

	if (fd < 0)
		return;
	unlinkat(fd, folder_path(path, "new", arrival->message.file), 0);
	/* or a power failure would bring it back as a new message */
	(void)folder_sync(fd, "new");
	folder_close(fd);
}

static int
row_of_arrival(struct partition *partition, struct inbox *inbox,
    struct arrival *arrival, struct ph_arena *arena)
{
	struct mail_index *mi = partition->mi;
	struct index_box *row = &inbox->change.row;
	struct index_message message;
	struct index_name name;
	int status = mail_index_name_find(mi, row->id,
	    index_message_base(&arrival->message), &name);

	if (status != PH_OK)
		return status;
	if (name.state == INDEX_NAME_EXPUNGED ||
	    name.state == INDEX_NAME_VANISHED) {
		remove_again(partition, arrival);
		arrival->target->uid = name.uid;
		return PH_OK;
	}
	if (name.state == INDEX_NAME_LIVE &&
	    mail_index_message_get(mi, row->id, name.uid, arena, &message) ==
	        PH_OK) {
		arrival->target->uid = name.uid;
		status = replace_in_place(partition, arrival, &message);
		/* what a scan read there may have been torn */
		return status == PH_OK ? mail_index_summary_put(mi, row->id,
		    name.uid, &arrival->summary) : status;
	}
	status = mail_index_message_add(mi, row, &arrival->message,
	    &arrival->summary);
	if (status != PH_OK)
		return status;
	arrival->target->uid = arrival->message.meta.uid;
	box_change_meta(&inbox->change, &arrival->message.meta);
	return PH_OK;
}

static int
rows_of_inbox(struct delivery_batch *batch, struct inbox *inbox)
{
	struct partition *partition = batch->index.partition;
	int status = PH_OK;
	bool any = false;

	for (size_t i = 0; i < inbox->count; i++)
		any |= batch->order[inbox->first + i]->target->status == PH_OK;
	if (!any)
		return PH_OK;
	/* Its folder is there: a file was just put into it. */
	status = mail_index_box_get(partition->mi, inbox->ref.user,
	    inbox->ref.name, batch->arena, &inbox->change.row);
	if (status == PH_NOT_FOUND)
		status = row_open_box(partition, &inbox->ref, batch->arena,
		    &inbox->change.row);
	for (size_t i = 0; i < inbox->count && status == PH_OK; i++) {
		struct arrival *arrival = batch->order[inbox->first + i];

		if (arrival->target->status == PH_OK)
			status = row_of_arrival(partition, inbox, arrival,
			    batch->arena);
	}
	return status == PH_OK ?
	    mail_index_box_put(partition->mi, inbox->ref.user,
	        inbox->ref.name, &inbox->change.row) : status;
}

/* In a transaction of its own: a mailbox whose rows are damaged must not stop
 * the mail of others. */
static void
rows_alone(struct delivery_batch *batch, struct inbox *inbox)
{
	struct mail_index *mi = batch->index.partition->mi;
	int status = mail_index_begin(mi);

	box_change_init(&inbox->change, batch->arena);
	if (status == PH_OK)
		status = index_finish(mi, rows_of_inbox(batch, inbox));
	if (status == PH_OK)
		return;
	inbox->change.row.id = 0; /* nothing to apply */
	for (size_t i = 0; i < inbox->count; i++) {
		struct arrival *arrival = batch->order[inbox->first + i];

		if (arrival->target->status == PH_OK)
			fail(arrival, status == PH_FULL ? status : PH_IO,
			    "the mailbox's index can't be written");
	}
}

static int
delivery_rows(struct index_job *job)
{
	struct delivery_batch *batch = (struct delivery_batch *)job;
	int status = mail_index_begin(job->partition->mi);

	for (size_t i = 0; i < batch->inbox_count && status == PH_OK; i++)
		status = rows_of_inbox(batch, &batch->inboxes[i]);
	store_step("rows-written");
	status = index_finish(job->partition->mi, status);
	for (size_t i = 0; i < batch->inbox_count && status != PH_OK; i++)
		rows_alone(batch, &batch->inboxes[i]);
	return PH_OK;
}

static void
delivery_rows_done(struct index_job *job)
{
	struct delivery_batch *batch = (struct delivery_batch *)job;

	for (size_t i = 0; i < batch->inbox_count && job->status == PH_OK;
	     i++) {
		struct inbox *inbox = &batch->inboxes[i];

		if (inbox->change.row.id != 0)
			box_apply(box_find(job->partition, inbox->ref.user,
			    inbox->ref.name), &inbox->change);
	}
}

/* --- the batch, on the loop --- */

static int
compare_arrivals(const void *a, const void *b)
{
	const struct arrival *x = *(struct arrival *const *)a;
	const struct arrival *y = *(struct arrival *const *)b;
	int order = strcmp(x->ref.path, y->ref.path);

	return order != 0 ? order : x < y ? -1 : x > y; /* arrival order */
}

static void
batch_group(struct delivery_batch *batch)
{
	struct inbox *inbox = NULL;

	batch->order = ph_arena_array(batch->arena, batch->count,
	    sizeof(*batch->order));
	batch->inboxes = ph_arena_array(batch->arena, batch->count,
	    sizeof(*batch->inboxes));
	for (size_t i = 0; i < batch->count; i++)
		batch->order[i] = &batch->arrivals[i];
	qsort(batch->order, batch->count, sizeof(*batch->order),
	    compare_arrivals);
	for (size_t i = 0; i < batch->count; i++) {
		struct arrival *arrival = batch->order[i];

		if (inbox == NULL ||
		    strcmp(inbox->ref.path, arrival->ref.path) != 0) {
			inbox = &batch->inboxes[batch->inbox_count++];
			inbox->ref = arrival->ref;
			inbox->first = i;
			box_change_init(&inbox->change, batch->arena);
		}
		inbox->count++;
		if (box_find(batch->index.partition, inbox->ref.user,
		        inbox->ref.name) != NULL)
			batch->index.durable = true;
	}
}

static struct delivery *
delivery_of(struct line_job *job)
{
	return (struct delivery *)(void *)job;
}

static void
batch_gather(struct delivery_batch *batch)
{
	size_t at = 0;

	for (struct line_job *job = batch->jobs; job != NULL; job = job->next)
		batch->count += delivery_of(job)->count;
	batch->arrivals = ph_arena_array(batch->arena, batch->count,
	    sizeof(*batch->arrivals));
	for (struct line_job *job = batch->jobs; job != NULL;
	     job = job->next) {
		struct delivery *delivery = delivery_of(job);

		for (size_t i = 0; i < delivery->count; i++) {
			struct arrival *arrival = &batch->arrivals[at];
			struct ph_delivery_target *target =
			    &delivery->job->targets[delivery->targets[i]];

			arrival->fd = -1;
			arrival->job = delivery->job;
			arrival->share = delivery->share;
			arrival->target = target;
			target->status = box_ref_of(batch->arena, target->user,
			    PH_LIT("INBOX"), &arrival->ref);
			if (target->status != PH_OK ||
			    !address_is_sound(target->recipient) ||
			    !address_is_sound(delivery->job->sender))
				fail(arrival, PH_INVALID,
				    "an address no mailbox can have");
			else
				at++;
		}
	}
	batch->count = at;
}

void
delivery_run(struct line *line, struct line_job *jobs)
{
	struct partition *partition = (struct partition *)(void *)(
		(char *)line - offsetof(struct partition, delivery_line));
	struct ph_arena *arena = ph_arena_create(NULL);
	struct delivery_batch *batch = ph_arena_alloc(arena, sizeof(*batch));
	int status;

	batch->arena = arena;
	batch->jobs = jobs;
	batch->index.partition = partition;
	batch->index.work = delivery_rows;
	batch->index.done = delivery_rows_done;
	batch_gather(batch);
	if (batch->count > 0) {
		ph_work(delivery_files, batch);
		batch_group(batch);
		status = index_do_hard(partition, &batch->index);
		for (size_t i = 0; i < batch->count && status != PH_OK; i++)
			if (batch->arrivals[i].target->status == PH_OK)
				fail(&batch->arrivals[i], status == PH_FULL ?
				    status : PH_IO,
				    "the mailbox's index can't be written");
	}
	ph_arena_free(arena);
}

/* --- one job --- */

static int
deliver_to_partition(struct ph_store *store, struct ph_delivery_job *job,
    struct share *share, unsigned number)
{
	struct partition *partition = &store->partitions[number];
	struct ph_arena *arena = ph_arena_create(NULL);
	struct delivery *delivery = ph_arena_alloc(arena, sizeof(*delivery));
	int status = PH_OK;

	_Static_assert(offsetof(struct delivery, line) == 0,
	    "a line job is cast back to its delivery");
	delivery->job = job;
	delivery->share = share;
	delivery->targets = ph_arena_array(arena, job->target_count,
	    sizeof(*delivery->targets));
	for (size_t i = 0; i < job->target_count; i++)
		if (name_partition(job->targets[i].user,
		        store->partition_count) == number)
			delivery->targets[delivery->count++] = i;
	if (delivery->count > 0 && partition->mine) {
		delivery->line.weight = delivery->count < UINT_MAX ?
		    (unsigned)delivery->count : UINT_MAX;
		status = line_do(&partition->delivery_line, &delivery->line,
		    false);
	} else if (delivery->count > 0) {
		status = PH_UNAVAILABLE;
	}
	for (size_t i = 0; i < delivery->count && status != PH_OK; i++) {
		struct ph_delivery_target *target =
		    &job->targets[delivery->targets[i]];

		target->status = status;
		target->detail = "the mailbox is not served here now";
	}
	ph_arena_free(arena);
	return status;
}

struct part_delivery {
	struct ph_store *store;
	struct ph_delivery_job *job;
	struct share *share;
	unsigned number;
};

static void
deliver_part(void *arg)
{
	struct part_delivery *part = arg;

	deliver_to_partition(part->store, part->job, part->share,
	    part->number);
}

/* Heads that are all as long let what is behind them be shared; NULL when
 * nothing can be, or is worth it. */
static struct share *
share_begin(struct share *share, const struct ph_store *store,
    const struct ph_delivery_job *job, struct ph_arena *arena)
{
	bool can_share = false;

	share_init(share);
	for (unsigned i = 0; i < store->partition_count; i++)
		can_share |= store->partitions[i].can_share;
	if (!can_share || job->target_count < 2 ||
	    job->content.n < SHARE_LEAST_BYTES)
		return NULL;
	for (size_t i = 0; i < job->target_count; i++) {
		struct ph_slice to = job->targets[i].recipient;

		if (!address_is_sound(to)) /* it gets nothing */
			continue;
		to = ph_path_format(arena, to);
		if (to.n > share->longest_bytes)
			share->longest_bytes = to.n;
	}
	return share;
}

void
maildir_deliver(struct ph_store *store, struct ph_delivery_job *job)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct share share, *shared = share_begin(&share, store, job, arena);
	bool *asked = ph_arena_array(arena, store->partition_count,
	    sizeof(*asked));
	struct part_delivery *parts = ph_arena_array(arena,
	    store->partition_count, sizeof(*parts));
	unsigned count = 0;

	for (size_t i = 0; i < job->target_count; i++) {
		unsigned number = name_partition(job->targets[i].user,
		    store->partition_count);

		job->targets[i].status = PH_UNAVAILABLE;
		job->targets[i].detail = NULL;
		if (!asked[number])
			parts[count++] = (struct part_delivery){ store, job,
				shared, number };
		asked[number] = true;
	}
	if (count == 1) {
		deliver_part(&parts[0]);
	} else if (count > 1) {
		struct ph_scope scope;

		ph_scope_begin(&scope);
		for (unsigned i = 0; i < count; i++)
			ph_scope_spawn(&scope, deliver_part, &parts[i]);
		ph_scope_wait(&scope);
		ph_scope_end(&scope);
	}
	share_fini(&share);
	ph_arena_free(arena);
}
