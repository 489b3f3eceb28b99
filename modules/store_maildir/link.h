/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link.h - one file for many mailboxes, where files can't be cloned (share.h).
 *
 * The message is written to a file without a name, and each mailbox gets a name
 * of it. So all see the same octets: the file must say nothing of one recipient,
 * and nobody may ever write into it again. Its times and its number of names are
 * those of all its mailboxes together.
 */
#ifndef STORE_MAILDIR_LINK_H
#define STORE_MAILDIR_LINK_H

#include <posthouse/base.h>

#include <pthread.h>

struct link_file {
	pthread_mutex_t lock; /* partitions deliver at the same time */
	int fd;               /* -1: not written */
	bool failed;          /* it can't be: everybody writes his own */
	bool is_synced;
	int sync_status;
};

/* Whether files made in the folder can get names in other folders: inner is one
 * below it. */
bool link_is_possible(int folder_fd, const char *inner);

void link_file_init(struct link_file *file);
void link_file_fini(struct link_file *file);

/* Write it, unless that was done: head and content, by which folder_fd's file
 * system has it. False: it can't be. */
bool link_file_write(struct link_file *file, int folder_fd,
    struct ph_slice head, struct ph_slice content);
/* Give it the name `to` below to_fd; one that is there is replaced, by way of
 * `tmp`. False: no such name was given, for whatever reason. */
bool link_file_name(const struct link_file *file, int to_fd, const char *tmp,
    const char *to);
/* Its octets are durable, or a status; asked of the disk once. */
int link_file_sync(struct link_file *file);

#endif
