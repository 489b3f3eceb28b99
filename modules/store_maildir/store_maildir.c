/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_maildir.c - the module: options, opening and closing, the table of
 * operations.
 */
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "link.h"
#include "share.h"

enum {
	LOG_FILE_BYTES = 4 * 1024 * 1024,
	CHECKPOINT_BYTES = 8 * 1024 * 1024,
	OPEN_FOLDERS_LEAST = 8,
};

/* --- opening --- */

struct opening {
	struct ph_store *store;
	struct partition *partition;
	const char *above, *dir; /* of all partitions, and of this one */
	int status;
	struct ph_err err;
};

static int
partition_folders(struct opening *opening)
{
	struct partition *partition = opening->partition;
	struct stat st;

	if (mkdir(opening->above, 0700) != 0 && errno != EEXIST)
		return errno;
	if (mkdir(opening->dir, 0700) != 0 && errno != EEXIST)
		return errno;
	partition->fd = open(opening->dir,
	    O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (partition->fd < 0)
		return errno;
	if (mkdirat(partition->fd, "index", 0700) != 0 && errno != EEXIST)
		return errno;
	partition->can_share = share_is_possible(partition->fd);
	partition->can_link = opening->store->conf.hard_links &&
	    link_is_possible(partition->fd, "index");
	if (fstat(partition->fd, &st) != 0 || fsync(partition->fd) != 0)
		return errno;
	partition->device = st.st_dev;
	return 0;
}

/* In a thread: recovery may take seconds. */
static void
partition_open(void *arg)
{
	struct opening *opening = arg;
	struct mail_index_conf conf = {
		.cache_bytes = opening->store->conf.cache_bytes,
		.log_file_bytes = LOG_FILE_BYTES,
		.checkpoint_bytes = CHECKPOINT_BYTES };
	char home[4096];
	int errnum;

	snprintf(home, sizeof(home), "%s/index", opening->dir);
	errnum = partition_folders(opening);
	if (errnum != 0)
		opening->status = ph_err_set(&opening->err, PH_IO, errnum,
		    "the folder %s can't be used", opening->dir);
	else
		opening->status = mail_index_open(home, &conf,
		    &opening->partition->mi, &opening->err);
}

static int
open_partition(struct ph_store *store, struct partition *partition,
    const char *dir, struct ph_err *err)
{
	struct opening opening = { .store = store, .partition = partition,
		.above = dir, .dir = ph_arena_printf(store->arena, "%s/%u", dir,
		    partition->number) };

	ph_work(partition_open, &opening);
	if (opening.status != PH_OK && err != NULL)
		*err = opening.err;
	if (opening.status != PH_OK)
		return opening.status;
	partition->index_line.batch_weight = INDEX_BATCH;
	partition->index_line.run = index_run;
	line_start(&partition->index_line, &store->index_scope);
	partition->delivery_line.batch_weight = store->conf.batch_files;
	partition->delivery_line.run = delivery_run;
	line_start(&partition->delivery_line, &store->delivery_scope);
	return PH_OK;
}

/* A file has names on its own file system only. */
static void
group_partitions(struct ph_store *store)
{
	for (unsigned i = 0; i < store->partition_count; i++) {
		struct partition *partition = &store->partitions[i];
		unsigned first = 0;

		while (first < i && (!store->partitions[first].mine ||
		    store->partitions[first].device != partition->device))
			first++;
		partition->link_group = first;
		if (partition->mine && store->conf.hard_links &&
		    !partition->can_link && !partition->can_share)
			ph_log(PH_NOTICE, "no_hard_links",
			    ph_f_int("partition", i),
			    ph_f_str("reason", "the file system has none, or "
			        "lets no file be made without a name"));
	}
}

int
maildir_open(struct ph_arena *arena, const void *conf, const char *dir,
    unsigned partition_count, unsigned share, unsigned shares,
    struct ph_store **store_out, struct ph_err *err)
{
	struct ph_store *store;
	unsigned mine = 0;
	int status = PH_OK;

	if (partition_count == 0 || shares == 0 || share >= shares)
		return ph_err_set(err, PH_INVALID, 0,
		    "share %u of %u of %u partitions", share, shares,
		    partition_count);
	store = ph_arena_alloc(arena, sizeof(*store));
	store->arena = arena;
	store->conf = *(const struct maildir_conf *)conf;
	store->partition_count = partition_count;
	store->partitions = ph_arena_array(arena, partition_count,
	    sizeof(*store->partitions));
	ph_scope_begin(&store->index_scope);
	ph_scope_begin(&store->delivery_scope);
	for (unsigned i = 0; i < partition_count; i++) {
		struct partition *partition = &store->partitions[i];

		partition->store = store;
		partition->number = i;
		partition->fd = -1;
		partition->mine = i % shares == share;
		partition->opened_at = ph_wall_time();
		pthread_mutex_init(&partition->underway_lock, NULL);
		mine += partition->mine;
	}
	for (unsigned i = 0; i < partition_count && status == PH_OK; i++) {
		struct partition *partition = &store->partitions[i];

		if (!partition->mine)
			continue;
		partition->folders.limit = store->conf.open_folders / mine;
		if (partition->folders.limit < OPEN_FOLDERS_LEAST)
			partition->folders.limit = OPEN_FOLDERS_LEAST;
		status = open_partition(store, partition, dir, err);
	}
	if (status != PH_OK) {
		maildir_close(store);
		return status;
	}
	group_partitions(store);
	*store_out = store;
	return PH_OK;
}

static void
partition_close(void *arg)
{
	struct partition *partition = arg;

	mail_index_close(partition->mi);
	partition->mi = NULL;
	folder_cache_fini(&partition->folders);
	if (partition->fd >= 0)
		close(partition->fd);
	partition->fd = -1;
}

void
maildir_close(struct ph_store *store)
{
	if (store == NULL)
		return;
	/* deliveries first: their rows still need the index line */
	ph_scope_end(&store->delivery_scope);
	ph_scope_end(&store->index_scope);
	for (unsigned i = 0; i < store->partition_count; i++) {
		if (store->partitions[i].mine)
			ph_work(partition_close, &store->partitions[i]);
		pthread_mutex_destroy(&store->partitions[i].underway_lock);
	}
}

/* --- the module --- */

static const char *const sync_choices[] = { "files", "filesystem", NULL };

static const struct ph_option maildir_options[] = {
	PH_OPT_BYTES("cache", struct maildir_conf, cache_bytes, 1 << 20,
	    1 << 30, "8M", "memory for the index of each partition"),
	PH_OPT_CHOICE("sync", struct maildir_conf, sync, sync_choices,
	    "files",
	    "what is flushed for a batch: its files, or the whole file system"),
	PH_OPT_MSEC("history", struct maildir_conf, history_ms, 60000,
	    4000000000, "30d",
	    "how long it is remembered what was expunged"),
	PH_OPT_UINT("batch", struct maildir_conf, batch_files, 1, 1024, "64",
	    "files that are made durable together, at most"),
	PH_OPT_BYTES("reserve", struct maildir_conf, reserve_bytes, 0,
	    1ll << 40, "32M",
	    "free space below which no mail is taken: the index needs it"),
	PH_OPT_UINT("open_folders", struct maildir_conf, open_folders, 8, 8192,
	    "256", "INBOXes kept open for deliveries, in each process"),
	PH_OPT_BOOL("hard_links", struct maildir_conf, hard_links, "true",
	    "a message for several users is one file, without Delivered-To"),
	PH_OPT_BYTES("hard_links_from", struct maildir_conf, hard_links_from,
	    0, 1ll << 40, "64K", "when that spares so many octets"),
	PH_OPT_END,
};

const struct ph_store_ops maildir_ops = {
	.open = maildir_open,
	.close = maildir_close,
	.deliver = maildir_deliver,
	.list = maildir_list,
	.create = maildir_create,
	.del = maildir_del,
	.rename = maildir_rename,
	.subscribe = maildir_subscribe,
	.status_of = maildir_status_of,
	.mailbox_open = maildir_mailbox_open,
	.mailbox_close = maildir_mailbox_close,
	.mailbox_status = maildir_mailbox_status,
	.keywords = maildir_keywords,
	.keyword = maildir_keyword,
	.messages = maildir_messages,
	.changes = maildir_changes,
	.refresh = maildir_refresh,
	.event = maildir_event,
	.store_flags = maildir_store_flags,
	.expunge = maildir_expunge,
	.remove = maildir_remove,
	.copy = maildir_copy,
	.content = maildir_content,
	.summary = maildir_summary,
	.append_begin = maildir_append_begin,
	.append_write = maildir_append_write,
	.append_commit = maildir_append_commit,
	.append_abort = maildir_append_abort,
};

PH_MODULE(store_maildir) = {
	.abi = PH_ABI,
	.name = "store_maildir",
	.kinds = PH_KIND_STORE,
	.conf_size = sizeof(struct maildir_conf),
	.options = maildir_options,
	.doc = "mailboxes as Maildir++ folders with an index",
	.store = &maildir_ops,
};
