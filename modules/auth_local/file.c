/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file.c - a temporary file beside the real one, fsync, rename, fsync of the
 * folder. Mode and owner of the old file are kept where the system allows it.
 */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { YOUNG_S = 2, LOCK_STEP_MS = 20 };

static int
fail(struct ph_err *err, const char *doing, const char *path)
{
	int errnum = errno;

	return ph_err_set(err, errnum == ENOENT ? PH_NOT_FOUND : PH_IO, errnum,
	    "%s %s: %s", doing, path, strerror(errnum));
}

/* --- reading --- */

static struct file_stamp
stamp_of(const struct stat *st)
{
	return (struct file_stamp){ st->st_dev, st->st_ino, st->st_size,
		st->st_mode, st->st_mtim, st->st_ctim,
		st->st_mtim.tv_sec + YOUNG_S >= time(NULL) };
}

static bool
time_eq(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool
file_stamp_eq(const struct file_stamp *a, const struct file_stamp *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	    a->mode == b->mode && time_eq(&a->modified, &b->modified) &&
	    time_eq(&a->changed, &b->changed);
}

int
file_stat(const char *path, struct file_stamp *stamp_out, struct ph_err *err)
{
	struct stat st;

	if (stat(path, &st) != 0)
		return fail(err, "can't look at", path);
	*stamp_out = stamp_of(&st);
	return PH_OK;
}

/* Exactly n octets; false: the file ended or failed. */
static bool
read_all(int fd, char *p, size_t n)
{
	while (n > 0) {
		ssize_t got = read(fd, p, n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		p += got;
		n -= (size_t)got;
	}
	return true;
}

static int
read_open(struct ph_arena *arena, int fd, const char *path,
    struct ph_slice *text_out, struct file_stamp *stamp_out,
    struct ph_err *err)
{
	struct stat st;
	char *p;

	if (fstat(fd, &st) != 0)
		return fail(err, "can't look at", path);
	if (!S_ISREG(st.st_mode))
		return ph_err_set(err, PH_IO, 0, "%s is not a file", path);
	if (st.st_size > FILE_LIMIT_BYTES)
		return ph_err_set(err, PH_TOO_BIG, 0, "%s is over %d octets",
		    path, FILE_LIMIT_BYTES);
	p = ph_arena_alloc(arena, (size_t)st.st_size + 1);
	if (!read_all(fd, p, (size_t)st.st_size))
		return ph_err_set(err, PH_IO, errno,
		    "%s could not be read whole", path);
	*text_out = (struct ph_slice){ p, (size_t)st.st_size };
	*stamp_out = stamp_of(&st);
	return PH_OK;
}

int
file_read(struct ph_arena *arena, const char *path, struct ph_slice *text_out,
    struct file_stamp *stamp_out, struct ph_err *err)
{
	int status, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return fail(err, "can't open", path);
	status = read_open(arena, fd, path, text_out, stamp_out, err);
	close(fd);
	return status;
}

/* --- replacing --- */

/* The descriptor that holds the lock, or -1 with err filled. */
static int
lock(struct ph_arena *arena, const char *path, struct ph_err *err)
{
	const char *name = ph_arena_printf(arena, "%s.lock", path);
	const struct timespec step = { 0, LOCK_STEP_MS * 1000000L };
	int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0) {
		ph_err_set(err, PH_IO, errno, "can't open %s: %s", name,
		    strerror(errno));
		return -1;
	}
	for (int ms = 0; flock(fd, LOCK_EX | LOCK_NB) != 0;
	     ms += LOCK_STEP_MS) {
		if (ms < FILE_LOCK_MS && (errno == EWOULDBLOCK ||
		        errno == EINTR)) {
			nanosleep(&step, NULL);
			continue;
		}
		ph_err_set(err, PH_BUSY, errno, "%s is locked", path);
		close(fd);
		return -1;
	}
	return fd;
}

static bool
write_all(int fd, struct ph_slice text)
{
	while (text.n > 0) {
		ssize_t put = write(fd, text.p, text.n);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return false;
		text.p += put;
		text.n -= (size_t)put;
	}
	return true;
}

/* The owner changes only for root, and need not: the mode matters. */
static bool
fill(int fd, struct ph_slice text, const struct stat *old)
{
	if (old != NULL && fchown(fd, old->st_uid, old->st_gid) != 0 &&
	    errno != EPERM)
		return false;
	return fchmod(fd, old != NULL ? old->st_mode & 07777 : 0600) == 0 &&
	    write_all(fd, text) && fsync(fd) == 0;
}

static bool
sync_folder_of(struct ph_arena *arena, const char *path)
{
	char *folder = dirname(ph_arena_strdup(arena, path));
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	bool ok = fd >= 0 && fsync(fd) == 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

static int
replace(struct ph_arena *arena, const char *path, struct ph_slice text,
    struct ph_err *err)
{
	const char *name = ph_arena_printf(arena, "%s.new", path);
	struct stat st;
	bool exists = stat(path, &st) == 0;
	int fd;

	unlink(name); /* of one that did not get to its end; we hold the lock */
	fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
	    0600);
	if (fd < 0)
		return ph_err_set(err, PH_IO, errno, "can't create %s: %s",
		    name, strerror(errno));
	if (!fill(fd, text, exists ? &st : NULL) || rename(name, path) != 0) {
		ph_err_set(err, errno == ENOSPC || errno == EDQUOT ? PH_FULL :
		                                                     PH_IO,
		    errno, "can't write %s: %s", name, strerror(errno));
		close(fd);
		unlink(name);
		return err != NULL ? err->status : PH_IO;
	}
	close(fd);
	if (!sync_folder_of(arena, path))
		return ph_err_set(err, PH_IO, errno,
		    "can't sync the folder of %s: %s", path, strerror(errno));
	return PH_OK;
}

static int
change_locked(struct ph_arena *arena, const char *path,
    int (*change)(void *arg, struct ph_slice text, struct ph_buf *out),
    void *arg, struct ph_err *err)
{
	struct ph_slice text = PH_LIT("");
	struct file_stamp stamp;
	struct ph_buf out;
	int status = file_read(arena, path, &text, &stamp, err);

	if (status != PH_OK && status != PH_NOT_FOUND)
		return status;
	ph_buf_init(&out, NULL, FILE_LIMIT_BYTES);
	ph_buf_reserve(&out, text.n + 1024);
	status = change(arg, text, &out);
	if (status == PH_OK)
		status = replace(arena, path, ph_buf_content(&out), err);
	ph_wipe((char *)(uintptr_t)text.p, text.n);
	ph_wipe(out.p, out.n);
	ph_buf_fini(&out);
	return status;
}

/* A symbolic link stays one: what it leads to is replaced. */
int
file_change(struct ph_arena *arena, const char *path,
    int (*change)(void *arg, struct ph_slice text, struct ph_buf *out),
    void *arg, struct ph_err *err)
{
	char *target = realpath(path, NULL);
	const char *real = ph_arena_strdup(arena,
	    target != NULL ? target : path);
	int status, fd;

	free(target);
	fd = lock(arena, real, err);
	if (fd < 0)
		return err != NULL ? err->status : PH_IO;
	status = change_locked(arena, real, change, arg, err);
	close(fd);
	return status;
}
