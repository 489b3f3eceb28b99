/* SPDX-License-Identifier: Apache-2.0 */
/*
 * share.c - clones.
 *
 * The first block of what is cloned is a hole, never another mailbox's: when
 * the power fails before a file's own first block is on disk, a block of NULs
 * tells that it is torn, and nobody sees whom else the message went to.
 */
#include "share.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "store.h"

enum { FIRST_BLOCK = 4096 };

void
share_init(struct share *share)
{
	pthread_mutex_init(&share->lock, NULL);
	share->fd = -1;
	share->head_bytes = 0;
	share->longest_bytes = 0;
}

void
share_fini(struct share *share)
{
	if (share->fd >= 0)
		close(share->fd);
	pthread_mutex_destroy(&share->lock);
}

static bool
write_at(int fd, const char *p, size_t n, off_t at)
{
	while (n > 0) {
		ssize_t done = pwrite(fd, p, n, at);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return false;
		p += done;
		n -= (size_t)done;
		at += done;
	}
	return true;
}

static int
open_nameless(int folder_fd)
{
	return openat(folder_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

bool
share_is_possible(int folder_fd)
{
	int from = open_nameless(folder_fd), to = open_nameless(folder_fd);
	bool possible = from >= 0 && to >= 0 && write_at(from, "x", 1, 0) &&
	    ioctl(to, FICLONE, from) == 0;

	if (from >= 0)
		close(from);
	if (to >= 0)
		close(to);
	return possible;
}

/* The content behind the first block, where all files have it. */
static int
origin_create(int folder_fd, size_t head_bytes, struct ph_slice content)
{
	size_t own = FIRST_BLOCK - head_bytes;
	int fd = open_nameless(folder_fd);

	if (fd >= 0 &&
	    !write_at(fd, content.p + own, content.n - own, FIRST_BLOCK)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

bool
share_write(struct share *share, int folder_fd, int fd, struct ph_slice head,
    struct ph_slice content)
{
	size_t own = FIRST_BLOCK - head.n;
	int from;

	if (head.n >= FIRST_BLOCK || content.n < SHARE_LEAST_BYTES)
		return false;
	pthread_mutex_lock(&share->lock);
	if (share->fd < 0) {
		share->fd = origin_create(folder_fd, head.n, content);
		share->head_bytes = head.n;
	}
	from = share->head_bytes == head.n ? share->fd : -1;
	pthread_mutex_unlock(&share->lock);
	if (from < 0 || ioctl(fd, FICLONE, from) != 0)
		return false;
	store_step("cloned");
	/* what there is of it is written over */
	return write_at(fd, head.p, head.n, 0) &&
	    write_at(fd, content.p, own, (off_t)head.n);
}
