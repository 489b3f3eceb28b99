/* SPDX-License-Identifier: Apache-2.0 */
/*
 * share.h - the content of one message for many mailboxes, on disk once.
 *
 * Where the file system can clone (FICLONE: XFS, Btrfs) the content is written to
 * a file without a name, and each mailbox's file shares its blocks but for the
 * first, which holds the file's own header fields. Each is a file of its own: it
 * has its own times, is renamed, read and removed like any other.
 */
#ifndef STORE_MAILDIR_SHARE_H
#define STORE_MAILDIR_SHARE_H

#include <posthouse/base.h>

#include <pthread.h>

/* Smaller contents are not worth it. */
enum { SHARE_LEAST_BYTES = 64 << 10 };

struct share {
	pthread_mutex_t lock; /* partitions write at the same time */
	int fd;               /* -1: not written so far */
	size_t head_bytes;    /* of every file, once it is written */
	size_t longest_bytes; /* the caller's: of the recipients' addresses */
};

void share_init(struct share *share);
void share_fini(struct share *share);

/* Whether files in the folder can share blocks. */
bool share_is_possible(int folder_fd);
/* Make fd, empty and open for both, a file of head (always as long) and content;
 * folder_fd is one of its file system. False: write it as any other; whatever
 * is in it is shorter or as long, and its offset is 0. */
bool share_write(struct share *share, int folder_fd, int fd,
    struct ph_slice head, struct ph_slice content);

#endif
