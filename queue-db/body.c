/* SPDX-License-Identifier: Apache-2.0 */
/*
 * body.c - large bodies as files bodies/xx/ID, xx from the time in the id so
 * that a batch shares a directory. A file has no name until all its octets are
 * on disk; its name is on disk before its row; it loses its name only after the
 * removal of its row is on disk. So a crash can leave files without rows
 * (swept at open), never rows without files.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inner.h"

enum { BODY_DIRS = 256, BODY_NAME_MAX = 3 + ID_TEXT_MAX, BODY_OPS = 64 };

static unsigned
body_dir(uint64_t id)
{
	return (unsigned)(id >> 32) & (BODY_DIRS - 1); /* about a second each */
}

static const char *
body_name(uint64_t id, char name[BODY_NAME_MAX])
{
	char text[ID_TEXT_MAX];

	snprintf(name, BODY_NAME_MAX, "%02x/%s", body_dir(id),
	    id_format(id, text));
	return name;
}

int
body_open_dirs(struct queue_db *db, struct ph_err *err)
{
	if ((mkdirat(db->dir_fd, "bodies", 0700) != 0 && errno != EEXIST) ||
	    (db->bodies_fd = openat(db->dir_fd, "bodies",
	        O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 ||
	    (mkdirat(db->bodies_fd, "tmp", 0700) != 0 && errno != EEXIST) ||
	    queue_sync(db, db->bodies_fd, false) != 0)
		return ph_err_set(err, status_of_errno(errno), errno,
		    "%s/bodies: %s", db->dir, strerror(errno));
	return 0;
}

int
queue_db_spool(struct queue_db *db, int *fd_out)
{
	int fd = openat(db->bodies_fd, "tmp", O_TMPFILE | O_RDWR | O_CLOEXEC,
	    0600);

	if (fd < 0)
		return status_of_errno(errno);
	*fd_out = fd;
	return 0;
}

int
body_open_file(struct queue_db *db, uint64_t id, uint64_t file_bytes,
    int *fd_out)
{
	char name[BODY_NAME_MAX];
	struct stat st;
	int fd = openat(db->bodies_fd, body_name(id, name),
	    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return errno == ENOENT || errno == ELOOP ? PH_DEFECT : PH_IO;
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ||
	    (uint64_t)st.st_size != file_bytes) {
		close(fd);
		return PH_DEFECT;
	}
	*fd_out = fd;
	return 0;
}

/* --- linking --- */

static int
body_check(struct queue_db *db, const struct action *action)
{
	struct stat st, dir;

	if (fstat(action->fd, &st) != 0 || fstat(db->bodies_fd, &dir) != 0)
		return PH_IO;
	return S_ISREG(st.st_mode) && st.st_nlink == 0 &&
	    st.st_dev == dir.st_dev &&
	    (uint64_t)st.st_size == action->file_bytes ? 0 : PH_INVALID;
}

static int
link_once(struct queue_db *db, int fd, const char *name)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, path, db->bodies_fd, name,
	        AT_SYMLINK_FOLLOW) == 0)
		return 0;
	return errno;
}

static int
body_link(struct queue_db *db, struct action *action)
{
	char name[BODY_NAME_MAX];
	int error = link_once(db, action->fd, body_name(action->id, name));

	if (error == ENOENT) { /* the first of its directory */
		char dir[3] = { name[0], name[1], '\0' };

		if (mkdirat(db->bodies_fd, dir, 0700) != 0 && errno != EEXIST)
			return status_of_errno(errno);
		error = queue_sync(db, db->bodies_fd, false);
		if (error == 0)
			error = link_once(db, action->fd, name);
	}
	action->linked = error == 0;
	return error == EEXIST ? PH_EXISTS : status_of_errno(error);
}

/* Sync and name each file of the op; marks the directories to sync. */
static int
body_prepare(struct queue_db *db, struct queue_db_op *op,
    bool dirty[BODY_DIRS])
{
	int rc = 0;

	for (struct action *a = op->first; rc == 0 && a != NULL; a = a->next) {
		if (a->fd < 0)
			continue;
		rc = status_of_errno(queue_sync(db, a->fd, true));
		if (rc == 0)
			rc = body_check(db, a);
		step("body synced");
		if (rc == 0)
			rc = body_link(db, a);
		step("body linked");
		dirty[body_dir(a->id)] = true;
	}
	return rc;
}

static int
dir_sync(struct queue_db *db, unsigned dir)
{
	char name[4];
	int fd, error;

	snprintf(name, sizeof(name), "%02x", dir);
	fd = openat(db->bodies_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : status_of_errno(errno);
	error = queue_sync(db, fd, false);
	close(fd);
	return status_of_errno(error);
}

static void
bodies_prepare(struct queue_db *db, struct queue_db_op **op, size_t n)
{
	bool dirty[BODY_DIRS] = { false };
	int rc = 0;

	for (size_t i = 0; i < n; i++)
		op[i]->status = body_prepare(db, op[i], dirty);
	for (unsigned dir = 0; rc == 0 && dir < BODY_DIRS; dir++)
		if (dirty[dir])
			rc = dir_sync(db, dir);
	step("body directories synced");
	for (size_t i = 0; rc != 0 && i < n; i++)
		if (op[i]->status == 0)
			op[i]->status = rc;
}

void
body_undo(struct queue_db *db, struct queue_db_op *op)
{
	char name[BODY_NAME_MAX];

	for (struct action *a = op->first; a != NULL; a = a->next) {
		if (a->linked)
			unlinkat(db->bodies_fd, body_name(a->id, name), 0);
		a->linked = false;
	}
}

void
body_unlink_later(struct queue_db *db, struct gone *gone)
{
	while (gone != NULL) {
		struct gone *next = gone->next;

		gone->next = db->gone_unlink;
		db->gone_unlink = gone;
		gone = next;
	}
	if (db->gone_unlink != NULL)
		pthread_cond_signal(&db->body_wake);
}

static void
bodies_unlink(struct queue_db *db, struct gone *gone)
{
	char name[BODY_NAME_MAX];

	while (gone != NULL) {
		struct gone *next = gone->next;

		step("body unlinking");
		unlinkat(db->bodies_fd, body_name(gone->id, name), 0);
		free(gone);
		gone = next;
	}
}

void *
body_main(void *arg)
{
	struct queue_db *db = arg;
	struct queue_db_op *op[BODY_OPS];
	struct gone *gone;
	size_t n;

	pthread_mutex_lock(&db->lock);
	for (;;) {
		while (db->body_queue.first == NULL &&
		    db->gone_unlink == NULL && !db->closing)
			pthread_cond_wait(&db->body_wake, &db->lock);
		if (db->body_queue.first == NULL && db->gone_unlink == NULL)
			break;
		for (n = 0; n < BODY_OPS && db->body_queue.first != NULL; n++)
			op[n] = op_queue_take(&db->body_queue);
		gone = db->gone_unlink;
		db->gone_unlink = NULL;
		pthread_mutex_unlock(&db->lock);
		bodies_prepare(db, op, n);
		pthread_mutex_lock(&db->lock);
		for (size_t i = 0; i < n; i++)
			op_queue_add(&db->commit_queue, op[i]);
		if (n > 0)
			pthread_cond_signal(&db->commit_wake);
		pthread_mutex_unlock(&db->lock);
		bodies_unlink(db, gone);
		pthread_mutex_lock(&db->lock);
	}
	pthread_mutex_unlock(&db->lock);
	return NULL;
}

/* --- sweeping --- */

/* Whether a message, sound or set aside, has the id. */
static int
body_is_wanted(struct queue_db *db, uint64_t id, bool *wanted_out)
{
	char key[1 + KEY_ID];
	struct row_buf buf = { 0 };
	struct ph_slice at, row;
	struct range range;
	int rc;

	key[0] = T_MESSAGES;
	key_of_id(id, key + 1);
	rc = table_get(db, NULL, T_MESSAGES,
	    (struct ph_slice){ key + 1, KEY_ID }, &buf, false);
	row_buf_fini(&buf);
	*wanted_out = rc == 0;
	if (rc != PH_NOT_FOUND)
		return rc;
	rc = range_open(db, NULL, T_ASIDE,
	    (struct ph_slice){ key, sizeof(key) }, &range);
	if (rc != 0)
		return rc;
	rc = range_next(&range, &at, &row);
	*wanted_out = rc == 0 && at.n >= sizeof(key) &&
	    memcmp(at.p, key, sizeof(key)) == 0;
	(void)range_close(&range);
	return rc == PH_NOT_FOUND ? 0 : rc;
}

static int
sweep_file(struct queue_db *db, int dir_fd, const char *file)
{
	uint64_t id;
	bool wanted;
	int rc;

	if (!id_parse(ph_slice_str(file), &id))
		return 0; /* not ours */
	rc = body_is_wanted(db, id, &wanted);
	if (rc == 0 && !wanted && unlinkat(dir_fd, file, 0) == 0)
		db->stats.orphans++;
	return rc;
}

static int
sweep_dir(struct queue_db *db, unsigned number)
{
	struct dirent *entry;
	char name[4];
	DIR *dir;
	int rc = 0, fd;

	snprintf(name, sizeof(name), "%02x", number);
	fd = openat(db->bodies_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : PH_IO;
	dir = fdopendir(fd);
	if (dir == NULL) {
		close(fd);
		return PH_NO_MEMORY;
	}
	while (rc == 0 && (entry = readdir(dir)) != NULL)
		rc = sweep_file(db, fd, entry->d_name);
	closedir(dir);
	return rc;
}

int
body_sweep(struct queue_db *db, struct ph_err *err)
{
	for (unsigned i = 0; i < BODY_DIRS; i++) {
		int rc = sweep_dir(db, i);

		if (rc != 0)
			return ph_err_set(err, rc, errno,
			    "%s/bodies/%02x can't be swept", db->dir, i);
	}
	return 0;
}
