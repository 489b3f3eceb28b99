/* SPDX-License-Identifier: Apache-2.0 */
/*
 * deliver.c - messages into mailboxes, INBOXes as a rule, many at a time.
 *
 * One batch: each file is written, its write-out started; then all are synced,
 * and each folder once (arrival.c); then one transaction writes the rows. While a batch is synced the next one gathers. Nothing is
 * reported before the files are durable. The rows need not be: a row that a
 * power failure takes back is made again by the next scan, and its UID was
 * shown to no one (where a session watches, the index is flushed).
 *
 * The name follows from the queue's id and the recipient, so a delivery that is
 * repeated replaces its own file.
 */
#include "arrival.h"

#include <posthouse/mail.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

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

/* --- rows, in the index line's thread --- */

/* Delivered before, and moved to where it has its flags: put it there. */
static int
replace_in_place(struct partition *partition, const struct arrival *arrival,
    const struct index_message *message)
{
	char from[FOLDER_PATH_MAX], to[FOLDER_PATH_MAX];
	int fd, status = PH_OK;

	arrival_path(arrival, from);
	folder_path(to, folder_sub(message->in_new), message->file);
	if (strcmp(from, to) == 0)
		return PH_OK; /* the first rename did it */
	fd = folder_open(partition->fd, arrival->ref.path);
	if (fd < 0)
		return fd;
	if (renameat(fd, from, fd, to) != 0 && errno != ENOENT)
		status = folder_status(errno);
	if (status == PH_OK)
		status = folder_sync(fd, folder_sub(message->in_new));
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
	unlinkat(fd, arrival_path(arrival, path), 0);
	/* or a power failure would bring it back as a new message */
	(void)folder_sync(fd, folder_sub(arrival->message.in_new));
	folder_close(fd);
}

/* Whether the file is that of a message that clients may know: a delivery is
 * repeated in its place, or a scan was quicker. In doubt it is. */
static bool
is_of_row(const struct partition *partition, const struct arrival *arrival,
    struct ph_arena *arena)
{
	struct mail_index *mi = partition->mi;
	struct index_message message;
	struct index_name name;
	struct index_box row;
	int status = mail_index_box_get(mi, arrival->ref.user,
	    arrival->ref.name, arena, &row);

	if (status == PH_OK)
		status = mail_index_name_find(mi, row.id,
		    index_message_key(&arrival->message), &name);
	if (status != PH_OK)
		return status != PH_NOT_FOUND;
	if (name.state != INDEX_NAME_LIVE)
		return false;
	return mail_index_message_get(mi, row.id, name.uid, arena, &message) !=
	        PH_OK ||
	    (message.in_new == arrival->message.in_new &&
	        ph_slice_eq(message.file, arrival->message.file));
}

/* What is not durable is no message; one that is known keeps its file, or it
 * would be taken for removed by others, and what the queue repeats with it. */
static void
remove_not_durable(struct partition *partition, const struct arrival *arrival,
    struct ph_arena *arena)
{
	if (!is_of_row(partition, arrival, arena))
		remove_again(partition, arrival);
}

/* It was written, but a mailbox that is no INBOX may have been deleted or
 * renamed since, and another made in its place. */
static int
check_file(struct partition *partition, const struct arrival *arrival)
{
	char path[FOLDER_PATH_MAX];
	int fd, status;

	if (name_is_inbox(arrival->ref.name))
		return PH_OK;
	fd = folder_open(partition->fd, arrival->ref.path);
	if (fd < 0)
		return fd;
	status = faccessat(fd, arrival_path(arrival, path), F_OK, 0) == 0 ?
	    PH_OK : folder_status(errno);
	folder_close(fd);
	return status;
}

static uint64_t
keywords_of(struct index_box *row, const struct place *place)
{
	uint64_t keywords = 0;

	for (size_t i = 0; place != NULL && i < place->keyword_count; i++) {
		int bit = row_keyword(row, place->keywords[i]);

		if (bit >= 0)
			keywords |= 1ull << bit;
	}
	return keywords;
}

/* It has its row: of a delivery before this, or a scan was quicker. What has
 * another size is as good, and stays: clients may know it. */
static int
row_again(struct partition *partition, struct inbox *inbox,
    struct arrival *arrival, const struct index_message *was)
{
	struct index_box *row = &inbox->change.row;
	struct index_message is = *was;
	bool is_other_size = !ph_slice_eq(index_message_base(was),
	    index_message_base(&arrival->message));
	int status = PH_OK;

	if (is_other_size)
		remove_again(partition, arrival);
	else
		status = replace_in_place(partition, arrival, was);
	is.meta.keywords |= keywords_of(row, arrival->place);
	if (status == PH_OK && is.meta.keywords != was->meta.keywords) {
		is.meta.modseq = ++row->modseq;
		status = mail_index_message_put(partition->mi, row, was, &is);
		box_change_meta(&inbox->change, &is.meta);
	}
	/* what a scan read there may have been torn */
	return status == PH_OK && !is_other_size ? mail_index_summary_put(partition->mi,
	    row->id, was->meta.uid, &arrival->summary) : status;
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
	    index_message_key(&arrival->message), &name);

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
		return row_again(partition, inbox, arrival, &message);
	}
	status = check_file(partition, arrival);
	if (status != PH_OK)
		return status;
	arrival->message.meta.keywords = keywords_of(row, arrival->place);
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
	status = name_is_inbox(inbox->ref.name) ?
	    mail_index_box_get(partition->mi, inbox->ref.user,
	        inbox->ref.name, batch->arena, &inbox->change.row) :
	    PH_NOT_FOUND;
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
			arrival_fail(arrival, status == PH_FULL ? status : PH_IO,
			    "the mailbox's index can't be written");
	}
}

static int
delivery_rows(struct index_job *job)
{
	struct delivery_batch *batch = (struct delivery_batch *)job;
	int status;

	for (size_t i = 0; i < batch->count; i++)
		if (batch->arrivals[i].is_not_durable)
			remove_not_durable(job->partition, &batch->arrivals[i],
			    batch->arena);
	status = mail_index_begin(job->partition->mi);
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
		/* keywords are nowhere else */
		if (arrival->place != NULL && arrival->place->keyword_count > 0)
			batch->index.durable = true;
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

/* False: its target has failed. */
static bool
arrival_begin(struct delivery_batch *batch, const struct delivery *delivery,
    size_t i, const struct place *place, struct arrival *arrival)
{
	struct ph_delivery_target *target =
	    &delivery->job->targets[delivery->targets[i]];

	arrival->fd = -1;
	arrival->job = delivery->job;
	arrival->share = delivery->share;
	arrival->link = delivery->links != NULL &&
	        batch->index.partition->can_link ?
	    &delivery->links[batch->index.partition->link_group] : NULL;
	arrival->target = target;
	arrival->place = place;
	if (place != NULL)
		arrival->ref = place->ref;
	target->status = place != NULL ? PH_OK : box_ref_of(batch->arena,
	    target->user, PH_LIT("INBOX"), &arrival->ref);
	if (target->status == PH_OK && address_is_sound(target->recipient) &&
	    address_is_sound(delivery->job->sender))
		return true;
	arrival_fail(arrival, PH_INVALID, "an address no mailbox can have");
	return false;
}

static size_t
copies_of(const struct delivery *delivery, size_t i)
{
	return delivery->places != NULL && delivery->places[i].count > 0 ?
	    delivery->places[i].count : 1;
}

static size_t
copies(const struct delivery *delivery)
{
	size_t n = 0;

	for (size_t i = 0; i < delivery->count; i++)
		n += copies_of(delivery, i);
	return n;
}

static void
batch_gather(struct delivery_batch *batch)
{
	size_t at = 0;

	for (struct line_job *job = batch->jobs; job != NULL; job = job->next)
		batch->count += copies(delivery_of(job));
	batch->arrivals = ph_arena_array(batch->arena, batch->count,
	    sizeof(*batch->arrivals));
	for (struct line_job *job = batch->jobs; job != NULL;
	     job = job->next) {
		struct delivery *delivery = delivery_of(job);

		for (size_t i = 0; i < delivery->count; i++) {
			struct place *places = delivery->places != NULL ?
			    delivery->places[i].item : NULL;

			for (size_t n = copies_of(delivery, i); n-- > 0;)
				at += arrival_begin(batch, delivery, i,
				    places != NULL ? &places[n] : NULL,
				    &batch->arrivals[at]);
		}
	}
	batch->count = at;
}

void
delivery_announce(struct partition *partition,
    const struct delivery_batch *batch)
{
	pthread_mutex_lock(&partition->underway_lock);
	partition->underway = batch;
	pthread_mutex_unlock(&partition->underway_lock);
}

bool
delivery_is_underway(struct partition *partition, const char *path,
    struct ph_slice key)
{
	const struct delivery_batch *batch;
	bool found = false;

	pthread_mutex_lock(&partition->underway_lock);
	batch = partition->underway;
	for (size_t i = 0; batch != NULL && i < batch->count && !found; i++) {
		const struct arrival *arrival = &batch->arrivals[i];

		found = strcmp(arrival->ref.path, path) == 0 &&
		    ph_slice_eq(index_message_key(&arrival->message), key);
	}
	pthread_mutex_unlock(&partition->underway_lock);
	return found;
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
				arrival_fail(&batch->arrivals[i], status == PH_FULL ?
				    status : PH_IO,
				    "the mailbox's index can't be written");
		delivery_announce(partition, NULL);
	}
	ph_arena_free(arena);
}

/* --- one job --- */

/* Whose mailboxes are there, or can be, is one of those to deliver to. */
static void
add_target(struct partition *partition, struct delivery *delivery,
    struct ph_arena *arena, size_t index)
{
	struct ph_delivery_job *job = delivery->job;
	struct ph_delivery_target *target = &job->targets[index];
	const struct ph_delivery_places *places = job->places != NULL ?
	    &job->places[index] : NULL;

	if (places != NULL && places->count > 0 && partition->mine) {
		if (delivery->places == NULL)
			delivery->places = ph_arena_array(arena,
			    job->target_count, sizeof(*delivery->places));
		target->status = place_list_of(partition, arena, target->user,
		    places, &delivery->places[delivery->count]);
		if (target->status != PH_OK) {
			target->detail = "a mailbox can't be made now";
			return;
		}
	}
	delivery->targets[delivery->count++] = index;
}

/* How a job's recipients come to have its content on disk once. */
struct sharing {
	struct share share;
	bool by_clone;
	struct link_file *links; /* by the partitions' group; NULL: none */
};

/* For the log: "Lists/A, INBOX"; NULL: the INBOX alone. */
static const char *
names_of(struct ph_arena *arena, const struct place_list *list)
{
	struct ph_buf names;

	if (list->count == 0 ||
	    (list->count == 1 && name_is_inbox(list->item[0].ref.name)))
		return NULL;
	ph_buf_init(&names, arena, SIZE_MAX / 4);
	for (size_t i = 0; i < list->count; i++) {
		if (i > 0)
			ph_buf_str(&names, ", ");
		ph_buf_slice(&names, list->item[i].ref.name);
	}
	ph_buf_char(&names, '\0');
	return names.p;
}

static void
tell_places(const struct delivery *delivery)
{
	struct ph_delivery_job *job = delivery->job;

	for (size_t i = 0; delivery->places != NULL && i < delivery->count;
	     i++) {
		struct ph_delivery_target *target =
		    &job->targets[delivery->targets[i]];

		if (target->status == PH_OK)
			target->detail = names_of(job->arena,
			    &delivery->places[i]);
	}
}

static int
deliver_to_partition(struct ph_store *store, struct ph_delivery_job *job,
    struct sharing *sharing, unsigned number)
{
	struct partition *partition = &store->partitions[number];
	struct ph_arena *arena = ph_arena_create(NULL);
	struct delivery *delivery = ph_arena_alloc(arena, sizeof(*delivery));
	int status = PH_OK;

	_Static_assert(offsetof(struct delivery, line) == 0,
	    "a line job is cast back to its delivery");
	delivery->job = job;
	delivery->share = sharing->by_clone ? &sharing->share : NULL;
	delivery->links = sharing->links;
	delivery->targets = ph_arena_array(arena, job->target_count,
	    sizeof(*delivery->targets));
	for (size_t i = 0; i < job->target_count; i++)
		if (name_partition(job->targets[i].user,
		        store->partition_count) == number)
			add_target(partition, delivery, arena, i);
	if (delivery->count > 0 && partition->mine) {
		size_t weight = copies(delivery);

		delivery->line.weight = weight < UINT_MAX ?
		    (unsigned)weight : UINT_MAX;
		status = line_do(&partition->delivery_line, &delivery->line,
		    false);
		tell_places(delivery);
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
	struct sharing *sharing;
	unsigned number;
};

static void
deliver_part(void *arg)
{
	struct part_delivery *part = arg;

	deliver_to_partition(part->store, part->job, part->sharing,
	    part->number);
}

/* Heads that are all as long let what is behind them be shared. */
static bool
clones_begin(struct share *share, const struct ph_store *store,
    const struct ph_delivery_job *job, struct ph_arena *arena)
{
	bool can_share = false;

	for (unsigned i = 0; i < store->partition_count; i++)
		can_share |= store->partitions[i].can_share;
	if (!can_share || job->target_count < 2 ||
	    job->content.n < SHARE_LEAST_BYTES)
		return false;
	for (size_t i = 0; i < job->target_count; i++) {
		struct ph_slice to = job->targets[i].recipient;

		if (!address_is_sound(to)) /* it gets nothing */
			continue;
		to = ph_path_format(arena, to);
		if (to.n > share->longest_bytes)
			share->longest_bytes = to.n;
	}
	return true;
}

/* NULL: nobody's file could be another's, or that would spare too little. */
static struct link_file *
links_begin(const struct ph_store *store, const struct ph_delivery_job *job,
    struct ph_arena *arena)
{
	struct link_file *links;
	size_t count = 0;

	for (size_t i = 0; i < job->target_count; i++)
		count += store->partitions[name_partition(job->targets[i].user,
		    store->partition_count)].can_link;
	if (count < 2 || (count - 1) * job->content.n <
	        store->conf.hard_links_from)
		return NULL;
	links = ph_arena_array(arena, store->partition_count, sizeof(*links));
	for (unsigned i = 0; i < store->partition_count; i++)
		link_file_init(&links[i]);
	return links;
}

static void
sharing_begin(struct sharing *sharing, const struct ph_store *store,
    const struct ph_delivery_job *job, struct ph_arena *arena)
{
	share_init(&sharing->share);
	sharing->by_clone = clones_begin(&sharing->share, store, job, arena);
	sharing->links = sharing->by_clone ? NULL :
	    links_begin(store, job, arena);
}

static void
sharing_end(struct sharing *sharing, const struct ph_store *store)
{
	for (unsigned i = 0; i < store->partition_count &&
	     sharing->links != NULL; i++)
		link_file_fini(&sharing->links[i]);
	share_fini(&sharing->share);
}

void
maildir_deliver(struct ph_store *store, struct ph_delivery_job *job)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct sharing sharing;
	bool *asked = ph_arena_array(arena, store->partition_count,
	    sizeof(*asked));
	struct part_delivery *parts = ph_arena_array(arena,
	    store->partition_count, sizeof(*parts));
	unsigned count = 0;

	sharing_begin(&sharing, store, job, arena);
	for (size_t i = 0; i < job->target_count; i++) {
		unsigned number = name_partition(job->targets[i].user,
		    store->partition_count);

		job->targets[i].status = PH_UNAVAILABLE;
		job->targets[i].detail = NULL;
		if (!asked[number])
			parts[count++] = (struct part_delivery){ store, job,
				&sharing, number };
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
	sharing_end(&sharing, store);
	ph_arena_free(arena);
}
