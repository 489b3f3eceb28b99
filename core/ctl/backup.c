/* SPDX-License-Identifier: Apache-2.0 */
/* backup.c - frames into a file; see backup.h. */
#include "ctl/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/record.h"
#include "master/frame.h"
#include "role/messages.h"

static bool
failed(const char *name)
{
	fprintf(stderr, "posthousectl: %s: %s\n", name, strerror(errno));
	return false;
}

static bool
is_stdout(const struct backup *backup)
{
	return strcmp(backup->name, "-") == 0;
}

bool
backup_open(const char *name, struct backup *backup)
{
	*backup = (struct backup){ .name = name, .fd = STDOUT_FILENO };
	if (is_stdout(backup))
		return true;
	errno = ENAMETOOLONG;
	if (snprintf(backup->part, sizeof(backup->part), "%s.part", name) >=
	    (int)sizeof(backup->part))
		return failed(name);
	errno = EEXIST;
	if (faccessat(AT_FDCWD, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return failed(name);
	backup->fd = open(backup->part, O_WRONLY | O_CREAT | O_TRUNC |
	    O_NOFOLLOW | O_CLOEXEC, 0600);
	if (backup->fd < 0 || fchmod(backup->fd, 0600) != 0)
		return failed(backup->part);
	return true;
}

static bool
write_all(int fd, struct ph_slice octets)
{
	while (octets.n > 0) {
		ssize_t n = write(fd, octets.p, octets.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		octets.p += n;
		octets.n -= (size_t)n;
	}
	return true;
}

int
backup_receive(struct backup *backup, int fd, struct ph_arena *arena,
    struct ph_slice *reply_out)
{
	for (;;) {
		struct ph_arena *frame = ph_arena_create(NULL);
		struct ph_slice record, content = { NULL, 0 };
		int status = frame_receive(fd, frame, FRAME_REPLY_LIMIT,
		    &record);

		if (status == PH_OK)
			content = record_get(record, F_CONTENT);
		if (status == PH_OK && content.p == NULL)
			*reply_out = ph_arena_slice(arena, record);
		else if (status == PH_OK && !write_all(backup->fd, content))
			status = PH_DENIED;
		if (status == PH_DENIED)
			failed(backup->name);
		ph_arena_free(frame);
		if (status != PH_OK || content.p == NULL)
			return status;
	}
}

/* The file's name, on disk. */
static bool
name_it(const struct backup *backup)
{
	char path[sizeof(backup->part)];
	bool done;
	int dir;

	if (linkat(AT_FDCWD, backup->part, AT_FDCWD, backup->name, 0) != 0)
		return failed(backup->name);
	memcpy(path, backup->part, sizeof(path));
	dir = open(dirname(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	done = dir >= 0 && fsync(dir) == 0;
	if (!done)
		failed(backup->name);
	if (dir >= 0)
		close(dir);
	return done;
}

bool
backup_close(struct backup *backup, bool is_whole)
{
	if (is_stdout(backup))
		return is_whole;
	if (is_whole && fsync(backup->fd) != 0)
		is_whole = failed(backup->name);
	close(backup->fd);
	if (is_whole)
		is_whole = name_it(backup);
	unlink(backup->part);
	return is_whole;
}
