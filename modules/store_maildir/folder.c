/* SPDX-License-Identifier: Apache-2.0 */
/*
 * folder.c - opening, making, listing and syncing Maildir folders, reading
 * their files. Whatever lies in them may have been put there by others.
 */
#include "folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
	READ_INTO_MEMORY_MAX = 64 * 1024,
	FRESH_NS = 50 * 1000 * 1000,
	PATH_OCTETS_MAX = 1200,
	TRASH_DEPTH_MAX = 4,
};

static const char *const subfolders[] = { "tmp", "new", "cur" };

int
folder_status(int errnum)
{
	switch (errnum) {
	case 0:
		return PH_OK;
	case ENOENT:
	case ENOTDIR:
		return PH_NOT_FOUND;
	case ENOSPC:
	case EDQUOT:
		return PH_FULL;
	case EACCES:
	case EPERM:
	case ELOOP:
	case EXDEV:
		return PH_DENIED;
	case ENOMEM:
		return PH_NO_MEMORY;
	default:
		return PH_IO;
	}
}

static int
open_beneath(int fd, const char *path, int flags)
{
	struct open_how how = {
		.flags = (unsigned)flags | (unsigned)O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
	long got = syscall(SYS_openat2, fd, path, &how, sizeof(how));

	if (got < 0 && errno == ENOSYS)
		got = openat(fd, path, flags | O_CLOEXEC | O_NOFOLLOW);
	return (int)got;
}

int
folder_open(int partition_fd, const char *path)
{
	int fd = open_beneath(partition_fd, path, O_PATH | O_DIRECTORY);

	return fd >= 0 ? fd : folder_status(errno);
}

void
folder_close(int folder_fd)
{
	close(folder_fd);
}

/* --- making and removing --- */

static int
sync_folder_at(int fd, const char *path)
{
	int folder = open_beneath(fd, path, O_RDONLY | O_DIRECTORY);
	int errnum;

	if (folder < 0)
		return folder_status(errno);
	errnum = fsync(folder) == 0 ? 0 : errno;
	close(folder);
	return folder_status(errnum);
}

int
folder_sync(int folder_fd, const char *sub)
{
	return sync_folder_at(folder_fd, sub);
}

/* Make each folder of the path that isn't there, and sync where it is noted. */
static int
make_path(int fd, const char *path)
{
	char part[PATH_OCTETS_MAX], above[PATH_OCTETS_MAX] = ".";
	size_t n = strlen(path);

	if (n >= sizeof(part))
		return PH_INVALID;
	for (size_t i = 1; i <= n; i++) {
		if (path[i] != '/' && path[i] != '\0')
			continue;
		memcpy(part, path, i);
		part[i] = '\0';
		if (mkdirat(fd, part, 0700) == 0) {
			int status = sync_folder_at(fd, above);

			if (status != PH_OK)
				return status;
		} else if (errno != EEXIST) {
			return folder_status(errno);
		}
		memcpy(above, part, i + 1);
	}
	return PH_OK;
}

int
folder_ensure(int partition_fd, const char *path)
{
	int status = make_path(partition_fd, path), fd;
	bool made = false;

	if (status != PH_OK)
		return status;
	fd = folder_open(partition_fd, path);
	if (fd < 0)
		return fd;
	for (size_t i = 0; i < 3 && status == PH_OK; i++) {
		if (mkdirat(fd, subfolders[i], 0700) == 0)
			made = true;
		else if (errno != EEXIST)
			status = folder_status(errno);
	}
	/* Maildir++: how a folder is told from the Maildir itself. */
	if (status == PH_OK && made && strstr(path, "/Maildir/.") != NULL) {
		int file = openat(fd, "maildirfolder",
		    O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

		if (file >= 0)
			close(file);
	}
	if (status == PH_OK && made)
		status = sync_folder_at(fd, ".");
	close(fd);
	return status;
}

static int
remove_tree(int above, const char *name, unsigned depth)
{
	int fd = open_beneath(above, name, O_RDONLY | O_DIRECTORY);
	struct dirent *entry;
	DIR *dir;

	if (fd < 0)
		return errno == ENOENT ? PH_OK : folder_status(errno);
	dir = fdopendir(fd);
	if (dir == NULL) {
		close(fd);
		return PH_NO_MEMORY;
	}
	while ((entry = readdir(dir)) != NULL) {
		if (strcmp(entry->d_name, ".") == 0 ||
		    strcmp(entry->d_name, "..") == 0)
			continue;
		if (unlinkat(fd, entry->d_name, 0) != 0 &&
		    (errno == EISDIR || errno == EPERM) &&
		    depth < TRASH_DEPTH_MAX)
			remove_tree(fd, entry->d_name, depth + 1);
	}
	closedir(dir);
	if (unlinkat(above, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return PH_OK;
	return folder_status(errno);
}

int
folder_remove(int partition_fd, const char *path)
{
	return remove_tree(partition_fd, path, 0);
}

/* --- looking --- */

int
folder_room(int fd, uint64_t least_bytes)
{
	struct statvfs fs;

	if (fstatvfs(fd, &fs) != 0)
		return folder_status(errno);
	return fs.f_frsize != 0 && fs.f_bavail < least_bytes / fs.f_frsize ?
	    PH_FULL : PH_OK;
}

int
folder_stamps(int folder_fd, struct folder_stamps *stamps_out)
{
	struct stat st[2];

	if (fstatat(folder_fd, "new", &st[0], AT_SYMLINK_NOFOLLOW) != 0 ||
	    fstatat(folder_fd, "cur", &st[1], AT_SYMLINK_NOFOLLOW) != 0)
		return folder_status(errno);
	stamps_out->new_ns =
	    st[0].st_mtim.tv_sec * 1000000000 + st[0].st_mtim.tv_nsec;
	stamps_out->cur_ns =
	    st[1].st_mtim.tv_sec * 1000000000 + st[1].st_mtim.tv_nsec;
	return PH_OK;
}

int64_t
folder_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME_COARSE, &now);
	return now.tv_sec * 1000000000 + now.tv_nsec;
}

bool
folder_stamp_is_fresh(int64_t stamp_ns)
{
	struct timespec now;
	int64_t age;

	clock_gettime(CLOCK_REALTIME, &now);
	age = now.tv_sec * 1000000000 + now.tv_nsec - stamp_ns;
	return age < FRESH_NS;
}

const char *
folder_path(char path[FOLDER_PATH_MAX], const char *sub, struct ph_slice name)
{
	snprintf(path, FOLDER_PATH_MAX, "%s/%.*s", sub, (int)name.n, name.p);
	return path;
}

int
folder_each(int folder_fd, const char *sub,
    int (*each)(void *, const char *), void *arg)
{
	int fd = open_beneath(folder_fd, sub, O_RDONLY | O_DIRECTORY);
	struct dirent *entry;
	int status = PH_OK;
	DIR *dir;

	if (fd < 0)
		return folder_status(errno);
	dir = fdopendir(fd);
	if (dir == NULL) {
		close(fd);
		return PH_NO_MEMORY;
	}
	errno = 0;
	while (status == PH_OK && (entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] != '.')
			status = each(arg, entry->d_name);
		errno = 0;
	}
	if (status == PH_OK && errno != 0)
		status = folder_status(errno);
	closedir(dir);
	return status;
}

/* --- writing --- */

int
folder_write(int fd, struct ph_slice head, struct ph_slice content)
{
	while (head.n + content.n > 0) {
		struct iovec io[2] = {
			{ (void *)(uintptr_t)head.p, head.n },
			{ (void *)(uintptr_t)content.p, content.n } };
		ssize_t n = writev(fd, io, 2);
		size_t of_head;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return folder_status(errno);
		of_head = (size_t)n < head.n ? (size_t)n : head.n;
		head.p += of_head;
		head.n -= of_head;
		content.p += (size_t)n - of_head;
		content.n -= (size_t)n - of_head;
	}
	return PH_OK;
}

/* --- reading --- */

int
folder_sync_file(int folder_fd, const char *path)
{
	int fd = openat(folder_fd, path,
	    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	int errnum;

	if (fd < 0)
		return folder_status(errno);
	errnum = fdatasync(fd) == 0 ? 0 : errno;
	close(fd);
	return folder_status(errnum);
}

struct mapping {
	void *p;
	size_t n;
};

static void
mapping_end(void *object)
{
	struct mapping *mapping = object;

	munmap(mapping->p, mapping->n);
}

static int
read_all(int fd, size_t n, struct ph_arena *arena, struct ph_slice *octets_out)
{
	char *p = ph_arena_alloc(arena, n);
	size_t have = 0;

	while (have < n) {
		ssize_t got = read(fd, p + have, n - have);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return folder_status(errno);
		if (got == 0)
			break; /* somebody cut it: what there is */
		have += (size_t)got;
	}
	*octets_out = (struct ph_slice){ p, have };
	return PH_OK;
}

static int
map_all(int fd, size_t n, struct ph_arena *arena, struct ph_slice *octets_out)
{
	struct mapping *mapping;
	void *p = mmap(NULL, n, PROT_READ, MAP_PRIVATE, fd, 0);

	if (p == MAP_FAILED)
		return folder_status(errno);
	mapping = ph_arena_alloc(arena, sizeof(*mapping));
	*mapping = (struct mapping){ p, n };
	ph_arena_on_end(arena, mapping_end, mapping);
	*octets_out = (struct ph_slice){ p, n };
	return PH_OK;
}

int
folder_read(int folder_fd, const char *path, struct ph_arena *arena,
    struct folder_file *file_out)
{
	struct folder_file file;
	struct stat st;
	size_t n;
	int status;
	/* O_NONBLOCK: a FIFO put there must not hold the thread */
	int fd = openat(folder_fd, path,
	    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return folder_status(errno);
	if (fstat(fd, &st) != 0) {
		status = folder_status(errno);
		close(fd);
		return status;
	}
	if (!S_ISREG(st.st_mode)) {
		close(fd);
		return PH_INVALID;
	}
	n = (size_t)st.st_size;
	file.mtime = st.st_mtim.tv_sec;
	status = n <= READ_INTO_MEMORY_MAX ?
	    read_all(fd, n, arena, &file.octets) :
	    map_all(fd, n, arena, &file.octets);
	close(fd);
	if (status == PH_OK)
		*file_out = file;
	return status;
}

/* --- hot folders --- */

static void
hot_folder_free(struct hot_folder *folder)
{
	close(folder->fd);
	close(folder->new_fd);
	free(folder->path);
	free(folder);
}

static int
hot_folder_open(int partition_fd, const char *path, struct hot_folder **out)
{
	struct hot_folder *folder;
	int new_fd, fd = folder_open(partition_fd, path);

	if (fd < 0)
		return fd;
	new_fd = open_beneath(fd, "new", O_RDONLY | O_DIRECTORY);
	if (new_fd < 0) {
		int status = folder_status(errno);

		close(fd);
		return status;
	}
	folder = calloc(1, sizeof(*folder));
	ph_assert(folder != NULL);
	folder->path = strdup(path);
	ph_assert(folder->path != NULL);
	folder->fd = fd;
	folder->new_fd = new_fd;
	if (fstat(new_fd, &folder->new_st) != 0) {
		int status = folder_status(errno);

		hot_folder_free(folder);
		return status;
	}
	*out = folder;
	return PH_OK;
}

void
folder_cache_drop(struct folder_cache *cache, struct hot_folder *folder)
{
	for (size_t i = 0; i < cache->count; i++)
		if (cache->item[i] == folder) {
			cache->item[i] = cache->item[--cache->count];
			hot_folder_free(folder);
			return;
		}
}

/* Another may be in its place by now, or only its new/ be another. */
static bool
is_still_there(const struct hot_folder *folder, int partition_fd)
{
	char path[PATH_OCTETS_MAX];
	struct stat st;
	int n = snprintf(path, sizeof(path), "%s/new", folder->path);

	return n < (int)sizeof(path) &&
	    fstatat(partition_fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    st.st_ino == folder->new_st.st_ino &&
	    st.st_dev == folder->new_st.st_dev;
}

static struct hot_folder *
find_hot(struct folder_cache *cache, int partition_fd, const char *path)
{
	struct hot_folder *folder = NULL;

	for (size_t i = 0; i < cache->count && folder == NULL; i++)
		if (strcmp(cache->item[i]->path, path) == 0)
			folder = cache->item[i];
	if (folder == NULL || folder->used == cache->batch ||
	    is_still_there(folder, partition_fd))
		return folder;
	folder_cache_drop(cache, folder);
	return NULL;
}

int
folder_cache_get(struct folder_cache *cache, int partition_fd,
    const char *path, struct hot_folder **folder_out)
{
	struct hot_folder *folder = find_hot(cache, partition_fd, path);
	int status;

	if (folder == NULL) {
		status = hot_folder_open(partition_fd, path, &folder);
		if (status == PH_NOT_FOUND) {
			status = folder_ensure(partition_fd, path);
			if (status == PH_OK)
				status = hot_folder_open(partition_fd, path,
				    &folder);
		}
		if (status != PH_OK)
			return status;
		if (cache->count == cache->capacity) {
			cache->capacity = cache->capacity * 2 + 16;
			cache->item = realloc(cache->item,
			    cache->capacity * sizeof(*cache->item));
			ph_assert(cache->item != NULL);
		}
		cache->item[cache->count++] = folder;
	}
	folder->used = cache->batch;
	*folder_out = folder;
	return PH_OK;
}

void
folder_cache_trim(struct folder_cache *cache)
{
	for (size_t i = cache->count; i-- > 0;)
		if (!cache->item[i]->is_inbox)
			folder_cache_drop(cache, cache->item[i]);
	while (cache->count > cache->limit) {
		struct hot_folder *oldest = cache->item[0];

		for (size_t i = 1; i < cache->count; i++)
			if (cache->item[i]->used < oldest->used)
				oldest = cache->item[i];
		folder_cache_drop(cache, oldest);
	}
	cache->batch++;
}

void
folder_cache_fini(struct folder_cache *cache)
{
	cache->limit = 0;
	folder_cache_trim(cache);
	free(cache->item);
	cache->item = NULL;
	cache->capacity = 0;
}
