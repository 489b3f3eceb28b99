/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leftover.h - files that a crash left, for the scan that meets them. In a
 * thread, inside an index job's work.
 */
#ifndef STORE_MAILDIR_LEFTOVER_H
#define STORE_MAILDIR_LEFTOVER_H

#include "store.h"

/* The folder that is looked at. */
struct leftover_place {
	struct partition *partition;
	const char *path;
	int fd;
	bool is_first; /* look at it since the partition was opened */
};

enum leftover {
	LEFTOVER_NOT,         /* somebody put it there */
	LEFTOVER_OF_EXPUNGE,  /* removed now */
	LEFTOVER_OF_DELIVERY, /* that is repeated, and removes it */
};

/* What a file is whose name was expunged or vanished. */
enum leftover leftover_of(const struct leftover_place *place,
    struct ph_slice file, bool in_new, const struct index_name *name);

/* A file without a row whose key has one, by another base. A delivery that is
 * repeated may be of another size, if its head or its content changed, and a
 * crash has then left both files: the one with the row stays. What may be
 * another program's new version of the message is not touched. */
void leftover_remove_double(const struct leftover_place *place,
    struct ph_slice file, bool in_new);

/*
 * A file of ours that is not as long as its name says, or has a hole, was torn
 * by a power failure: the queue still has the message and will write it again,
 * soon. Shown before, it could be fetched and expunged, and the message with
 * it. A hole that is still there later was sent so.
 */
bool leftover_is_torn(const struct partition *partition, struct ph_slice file,
    const struct folder_file *read);

/* Remove what crashes left in tmp/, a day and a half ago or more. */
void leftover_sweep_tmp(const struct leftover_place *place,
    struct ph_arena *arena, uint64_t box_id);

#endif
