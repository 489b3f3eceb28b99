/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logs.c - finding and reading the parts of a log; zlib reads plain files, too.
 * A part may be renamed or compressed while we read: what was open stays
 * readable, what was not is found by the next call.
 */
#include "ctl/logs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { PARTS_MAX = 1000, LINE_MAX_BYTES = 256 << 10 };

struct part {
	const char *path;
	struct timespec changed;
};

static int
by_change(const void *a, const void *b)
{
	const struct timespec *x = &((const struct part *)a)->changed;
	const struct timespec *y = &((const struct part *)b)->changed;

	if (x->tv_sec != y->tv_sec)
		return (x->tv_sec > y->tv_sec) - (x->tv_sec < y->tv_sec);
	return (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

/* NAME, a dot or a hyphen, and something behind it. */
static bool
is_part_of(const char *name, const char *log_name)
{
	size_t n = strlen(log_name);

	return strncmp(name, log_name, n) == 0 &&
	    (name[n] == '.' || name[n] == '-') && name[n + 1] != '\0';
}

/* X.gz beside X: it is being made, or X is being removed. */
static bool
is_half_compressed(int dir_fd, const char *name)
{
	char plain[NAME_MAX + 1];
	size_t n = strlen(name);

	if (n < 4 || strcmp(name + n - 3, ".gz") != 0)
		return false;
	memcpy(plain, name, n - 3);
	plain[n - 3] = '\0';
	return faccessat(dir_fd, plain, F_OK, 0) == 0;
}

static size_t
parts_in(DIR *dir, const char *folder, const char *log_name, int64_t since_ms,
    struct ph_arena *arena, struct part parts[PARTS_MAX])
{
	const struct dirent *entry;
	struct stat st;
	size_t n = 0;

	while (n < PARTS_MAX && (entry = readdir(dir)) != NULL) {
		if (!is_part_of(entry->d_name, log_name) ||
		    fstatat(dirfd(dir), entry->d_name, &st,
		        AT_SYMLINK_NOFOLLOW) != 0 ||
		    !S_ISREG(st.st_mode) ||
		    is_half_compressed(dirfd(dir), entry->d_name) ||
		    ((int64_t)st.st_mtim.tv_sec + 1) * 1000 < since_ms)
			continue;
		parts[n].path = ph_arena_printf(arena, "%s/%s", folder,
		    entry->d_name);
		parts[n++].changed = st.st_mtim;
	}
	return n;
}

int
logs_find(struct ph_arena *arena, const char *log, int64_t since_ms,
    struct logs *logs_out)
{
	const char *slash = strrchr(log, '/');
	const char *folder = slash == NULL ? "." : ph_arena_slice(arena,
	    (struct ph_slice){ log, (size_t)(slash - log) }).p;
	struct part *parts = ph_arena_array(arena, PARTS_MAX, sizeof(*parts));
	size_t n = 0;
	DIR *dir;

	if (access(log, R_OK) != 0)
		return PH_IO;
	dir = opendir(*folder != '\0' ? folder : "/");
	if (dir != NULL) { /* else the log alone */
		n = parts_in(dir, folder, slash == NULL ? log : slash + 1,
		    since_ms, arena, parts);
		closedir(dir);
	}
	qsort(parts, n, sizeof(*parts), by_change);
	logs_out->path = ph_arena_array(arena, n + 1, sizeof(char *));
	for (size_t i = 0; i < n; i++)
		logs_out->path[i] = parts[i].path;
	logs_out->path[n] = log;
	logs_out->n = n + 1;
	return 0;
}

static int
read_part(gzFile part, char *text,
    void (*line)(void *arg, struct ph_slice line), void *arg)
{
	int error;

	while (gzgets(part, text, LINE_MAX_BYTES) != NULL) {
		struct ph_slice whole = ph_slice_str(text);

		if (whole.n > 0 && whole.p[whole.n - 1] == '\n')
			whole.n--;
		line(arg, whole);
	}
	gzerror(part, &error);
	return error == Z_OK || error == Z_STREAM_END ? 0 : PH_IO;
}

int
logs_read(const struct logs *logs,
    void (*line)(void *arg, struct ph_slice line), void *arg,
    const char **path_out)
{
	char *text = malloc(LINE_MAX_BYTES);
	int status = 0;

	ph_assert(text != NULL);
	for (size_t i = 0; status == 0 && i < logs->n; i++) {
		gzFile part = gzopen(logs->path[i], "rbe");

		if (part == NULL && errno == ENOENT)
			continue;
		status = part == NULL ? PH_IO : read_part(part, text, line, arg);
		if (part != NULL)
			gzclose_r(part);
		if (status != 0)
			*path_out = logs->path[i];
	}
	free(text);
	return status;
}
