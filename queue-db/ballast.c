/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ballast.c - two files that only take room. Berkeley DB can't recover on a full
 * disk, and a queue that can't write can't forget what it delivered. So when
 * the disk is full one goes, new messages are refused until it lies there
 * again, and everything that drains the queue goes on, careful of the room
 * (commit.c). The other goes only when recovery would find no room.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "inner.h"

enum { LOOK_MS = 1000, RECOVERY_BYTES = 2 * LOG_FILE_BYTES };

static const char ballast_first[] = "ballast";
static const char ballast_recovery[] = "ballast.recovery";

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
		(void)ballast_for_recovery(db);
}

bool
ballast_for_recovery(struct queue_db *db)
{
	bool first = unlinkat(db->dir_fd, ballast_first, 0) == 0;
	bool second = unlinkat(db->dir_fd, ballast_recovery, 0) == 0;

	return first || second;
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
	unlinkat(db->dir_fd, ballast_first, 0);
	queue_report(db, PH_FULL, ENOSPC, "the disk of %s is full: the ballast "
	    "is given up and new messages are refused until there is room",
	    db->dir);
}

/* Each of the two is half of it. */
static uint64_t
half_bytes(const struct queue_db *db)
{
	return (db->options.ballast_bytes + 1) / 2;
}

static bool
file_lies(struct queue_db *db, const char *name)
{
	const int64_t size = (int64_t)half_bytes(db);
	struct stat st;

	return fstatat(db->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    S_ISREG(st.st_mode) && st.st_size == size &&
	    (int64_t)st.st_blocks * 512 >= size;
}

static bool
file_write(struct queue_db *db, const char *name)
{
	const off_t size = (off_t)half_bytes(db);
	int fd = openat(db->dir_fd, name,
	    O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	bool lies;

	if (fd < 0)
		return false;
	lies = ftruncate(fd, size) == 0 && posix_fallocate(fd, 0, size) == 0;
	close(fd);
	if (!lies)
		unlinkat(db->dir_fd, name, 0);
	return lies;
}

/* Lay the file unless that would leave less than `leave` free. */
static bool
file_put(struct queue_db *db, const char *name, uint64_t leave)
{
	if (file_lies(db, name))
		return true;
	return disk_free(db) >= half_bytes(db) + leave && file_write(db, name);
}

void
ballast_put(struct queue_db *db)
{
	bool lies;

	if (db->options.ballast_bytes == 0)
		return;
	lies = file_put(db, ballast_recovery, RECOVERY_BYTES) &&
	    file_put(db, ballast_first,
	        RECOVERY_BYTES + db->options.soft_free_bytes);
	pthread_mutex_lock(&db->lock);
	db->ballast_lies = lies;
	pthread_mutex_unlock(&db->lock);
}
