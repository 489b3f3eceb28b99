/* SPDX-License-Identifier: Apache-2.0 */
/*
 * arrival.h - a batch of deliveries, as deliver.c gathers it and gives it rows
 * and arrival.c puts its files into the folders.
 */
#ifndef STORE_MAILDIR_ARRIVAL_H
#define STORE_MAILDIR_ARRIVAL_H

#include "link.h"
#include "share.h"
#include "store.h"

struct delivery {
	struct line_job line;
	struct ph_delivery_job *job;
	/* which of the job's targets: those of this partition */
	size_t *targets;
	size_t count;
	struct place_list *places; /* as targets; NULL: INBOXes */
	struct share *share; /* NULL: each file has its own content */
	struct link_file *links; /* by file system; NULL: each is its own */
};

/* One file of the batch. */
struct arrival {
	struct ph_delivery_job *job;
	struct ph_delivery_target *target;
	struct share *share;
	struct link_file *link; /* NULL: a file of its own */
	bool is_linked;
	bool is_not_durable; /* there, and the disk may not have it */
	const struct place *place; /* NULL: the INBOX, as it is */
	struct box_ref ref;
	struct hot_folder *folder;
	struct ph_slice head;
	struct index_message message;
	struct ph_message_summary summary;
	int fd; /* -1: closed */
};

/* All that came for one mailbox, an INBOX as a rule. */
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

/* Its target has failed, with status and a sentence that stays. */
void arrival_fail(struct arrival *arrival, int status, const char *detail);
/* Where its file is below the folder, once it is written. */
const char *arrival_path(const struct arrival *arrival,
    char path[FOLDER_PATH_MAX]);
/* Its files have names, and none is there so far. */
void delivery_announce(struct partition *partition,
    const struct delivery_batch *batch);
/* Of a batch, in a thread: every file durable in its place, or its target
 * failed. */
void delivery_files(void *batch);

#endif
