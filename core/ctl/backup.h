/* SPDX-License-Identifier: Apache-2.0 */
/*
 * backup.h - `queue backup FILE`: what the server sends, into a file of the
 * caller's. It has another name until it is whole and on disk, and nothing is
 * ever overwritten.
 */
#ifndef CORE_CTL_BACKUP_H
#define CORE_CTL_BACKUP_H

#include <posthouse/arena.h>

struct backup {
	const char *name; /* "-": standard output */
	char part[1024];
	int fd;
};

/* Says on standard error why not. */
bool backup_open(const char *name, struct backup *backup_out);
/* Write all that comes; the reply behind it lies in the arena. 0 or a status:
 * PH_DENIED, said on standard error: the file can't be written. */
int backup_receive(struct backup *backup, int fd, struct ph_arena *arena,
    struct ph_slice *reply_out);
/* Give a whole one its name, for good; remove another. */
bool backup_close(struct backup *backup, bool is_whole);

#endif
