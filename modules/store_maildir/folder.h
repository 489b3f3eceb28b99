/* SPDX-License-Identifier: Apache-2.0 */
/*
 * folder.h - Maildir folders and files. Everything blocks; for threads.
 *
 * A folder is opened beneath its partition without following a symbolic link;
 * files are then reached as "new/x", "cur/x", "tmp/x" from it.
 */
#ifndef STORE_MAILDIR_FOLDER_H
#define STORE_MAILDIR_FOLDER_H

#include <posthouse/arena.h>

#include <sys/stat.h>

/* PH_NOT_FOUND, PH_FULL (disk, quota), PH_DENIED or PH_IO, by errno. */
int folder_status(int errnum);

/* A descriptor to reach files from, or a status. path is below partition_fd. */
int folder_open(int partition_fd, const char *path);
void folder_close(int folder_fd);
/* Create it with new/, cur/, tmp/ and what leads there, durably; 0 or a
 * status. */
int folder_ensure(int partition_fd, const char *path);
/* The folder and the mail in it. 0 when it is not there. */
int folder_remove(int partition_fd, const char *path);

/* When the folders last changed, in nanoseconds; 0: not known. */
struct folder_stamps {
	int64_t new_ns, cur_ns;
};
int folder_stamps(int folder_fd, struct folder_stamps *stamps_out);
/* A file could still be added without the stamp changing: clocks of files
 * advance in steps. */
bool folder_stamp_is_fresh(int64_t stamp_ns);

/* PH_FULL when less than so many octets are free on the file system. */
int folder_room(int fd, uint64_t least_bytes);

/* Now, on the clock of the files' ctime: what is changed from here on has no
 * earlier one. */
int64_t folder_clock(void);

/* fsync of the folder's subfolder. */
int folder_sync(int folder_fd, const char *sub);

static inline const char *
folder_sub(bool in_new)
{
	return in_new ? "new" : "cur";
}
/* "cur/name"; the name has at most 255 octets. */
enum { FOLDER_PATH_MAX = 264 };
const char *folder_path(char path[FOLDER_PATH_MAX], const char *sub,
    struct ph_slice name);

/* Call each for the files of a subfolder, dot files apart; 0 or a status. */
int folder_each(int folder_fd, const char *sub,
    int (*each)(void *arg, const char *name), void *arg);

/* Both to the file, from where its offset is; 0 or a status. */
int folder_write(int fd, struct ph_slice head, struct ph_slice content);

/* fdatasync of a file. */
int folder_sync_file(int folder_fd, const char *path);

/* The octets of a file, in the arena or mapped until it ends. PH_NOT_FOUND;
 * PH_INVALID: no regular file. */
struct folder_file {
	struct ph_slice octets;
	int64_t mtime; /* seconds since 1970 */
};
int folder_read(int folder_fd, const char *path, struct ph_arena *arena,
    struct folder_file *file_out);

/* --- the folders deliveries go to --- */

/* A mailbox's folder while a batch is delivered; an INBOX is kept open. */
struct hot_folder {
	char *path;
	int fd, new_fd;
	struct stat new_st; /* of new_fd, when it was opened */
	uint64_t used;  /* the batch that last used it */
	bool touched;   /* a file was put into new/ in this batch */
	bool cur_touched;
	bool is_inbox;  /* else its name may soon be another's */
};
struct folder_cache {
	struct hot_folder **item;
	size_t count, capacity;
	size_t limit; /* kept between batches */
	uint64_t batch;
};
/* Created when it isn't there. Valid until folder_cache_trim. */
int folder_cache_get(struct folder_cache *cache, int partition_fd,
    const char *path, struct hot_folder **folder_out);
/* The folder vanished from under us: forget it. */
void folder_cache_drop(struct folder_cache *cache, struct hot_folder *folder);
/* End of a batch: close all but INBOXes, and the longest unused of these above
 * the limit. */
void folder_cache_trim(struct folder_cache *cache);
void folder_cache_fini(struct folder_cache *cache);

#endif
