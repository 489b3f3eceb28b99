/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ballast.c - a file that only takes room. Berkeley DB can't recover on a full
 * disk, and a queue that can't write can't forget what it delivered. So when
 * the disk is full the ballast goes, new messages are refused until it lies
 * there again, and everything that drains the queue goes on.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "inner.h"

enum { LOOK_MS = 1000, RECOVERY_BYTES = 2 * LOG_FILE_BYTES };

uint64_t
disk_free(struct queue_db *db)
{
	struct statvfs vfs;

	if (fstatvfs(db->dir_fd, &vfs) != 0)
		return 0;
	return (uint64_t)vfs.f_bavail * vfs.f_frsize;
}

bool
ballast_is_used(struct queue_db *db)
{
	bool used;

	pthread_mutex_lock(&db->lock);
	used = db->options.ballast_bytes > 0 && !db->ballast_lies;
	pthread_mutex_unlock(&db->lock);
	return used;
}

bool
queue_db_has_room(struct queue_db *db, uint64_t bytes)
{
	uint64_t want = db->options.soft_free_bytes;
	int64_t now = monotonic_ms();
	bool room;

	pthread_mutex_lock(&db->room_lock);
	if (db->room_looked_ms == 0 || now - db->room_looked_ms >= LOOK_MS) {
		db->room_bytes = disk_free(db);
		db->room_looked_ms = now;
	}
	room = db->room_bytes >= want && db->room_bytes - want >= bytes;
	pthread_mutex_unlock(&db->room_lock);
	return room && !ballast_is_used(db);
}

void
ballast_before_recovery(struct queue_db *db)
{
	if (disk_free(db) < RECOVERY_BYTES)
		unlinkat(db->dir_fd, "ballast", 0);
}

void
ballast_give_up(struct queue_db *db)
{
	bool lay;

	pthread_mutex_lock(&db->lock);
	lay = db->ballast_lies;
	db->ballast_lies = false;
	pthread_mutex_unlock(&db->lock);
	if (!lay)
		return;
	unlinkat(db->dir_fd, "ballast", 0);
	queue_report(db, PH_FULL, ENOSPC, "the disk of %s is full: the ballast "
	    "is given up and new messages are refused until there is room",
	    db->dir);
}

static bool
ballast_write(struct queue_db *db)
{
	const off_t size = (off_t)db->options.ballast_bytes;
	struct stat st;
	int fd = openat(db->dir_fd, "ballast",
	    O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool lies;

	if (fd < 0)
		return false;
	lies = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    ((st.st_size == size && st.st_blocks * 512 >= size) ||
	        (ftruncate(fd, size) == 0 &&
	            posix_fallocate(fd, 0, size) == 0));
	close(fd);
	if (!lies)
		unlinkat(db->dir_fd, "ballast", 0);
	return lies;
}

void
ballast_put(struct queue_db *db)
{
	uint64_t size = db->options.ballast_bytes;
	struct stat st;
	bool lies;

	if (size == 0)
		return;
	/* one that is left from before needs no new room */
	if (fstatat(db->dir_fd, "ballast", &st, AT_SYMLINK_NOFOLLOW) != 0 &&
	    disk_free(db) < size + RECOVERY_BYTES + db->options.soft_free_bytes)
		return;
	lies = ballast_write(db);
	pthread_mutex_lock(&db->lock);
	db->ballast_lies = lies;
	pthread_mutex_unlock(&db->lock);
}
