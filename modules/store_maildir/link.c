/* SPDX-License-Identifier: Apache-2.0 */
/*
 * link.c - names for a file that was written without one.
 *
 * As it had none, no crash leaves a part of it, and no scan finds it before all
 * of it is there. Whatever fails here costs a copy, never a message.
 */
#include "link.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "store.h"

void
link_file_init(struct link_file *file)
{
	*file = (struct link_file){ .fd = -1 };
	pthread_mutex_init(&file->lock, NULL);
}

void
link_file_fini(struct link_file *file)
{
	if (file->fd >= 0)
		close(file->fd);
	pthread_mutex_destroy(&file->lock);
}

/* linkat(2): without a capability a file that has no name is reached so. */
static int
name_fd(int fd, int to_fd, const char *to)
{
	char from[32];

	snprintf(from, sizeof(from), "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, from, to_fd, to, AT_SYMLINK_FOLLOW);
}

bool
link_is_possible(int folder_fd, const char *inner)
{
	static const char probe[] = ".link-probe";
	int fd = openat(folder_fd, inner, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	bool possible;

	if (fd < 0)
		return false;
	unlinkat(folder_fd, probe, 0);
	possible = name_fd(fd, folder_fd, probe) == 0;
	unlinkat(folder_fd, probe, 0);
	close(fd);
	return possible;
}

static int
create(int folder_fd, struct ph_slice head, struct ph_slice content)
{
	int fd = openat(folder_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0 && folder_write(fd, head, content) != PH_OK) {
		close(fd);
		fd = -1;
	}
	if (fd >= 0) /* while the names are given */
		(void)sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	return fd;
}

bool
link_file_write(struct link_file *file, int folder_fd, struct ph_slice head,
    struct ph_slice content)
{
	bool good;

	pthread_mutex_lock(&file->lock);
	if (file->fd < 0 && !file->failed) {
		file->fd = create(folder_fd, head, content);
		file->failed = file->fd < 0;
		store_step("link-written");
	}
	good = file->fd >= 0;
	pthread_mutex_unlock(&file->lock);
	return good;
}

bool
link_file_name(const struct link_file *file, int to_fd, const char *tmp,
    const char *to)
{
	bool good;

	if (name_fd(file->fd, to_fd, to) == 0)
		return true;
	if (errno != EEXIST)
		return false;
	/* Delivered before: that one may have been torn. */
	unlinkat(to_fd, tmp, 0);
	if (name_fd(file->fd, to_fd, tmp) != 0)
		return false;
	store_step("link-in-tmp");
	good = renameat(to_fd, tmp, to_fd, to) == 0;
	/* rename(2) of two names of one file leaves both */
	unlinkat(to_fd, tmp, 0);
	return good;
}

int
link_file_sync(struct link_file *file)
{
	int status;

	pthread_mutex_lock(&file->lock);
	if (!file->is_synced) {
		file->sync_status = fdatasync(file->fd) == 0 ? PH_OK : PH_IO;
		file->is_synced = true;
	}
	status = file->sync_status;
	pthread_mutex_unlock(&file->lock);
	return status;
}
