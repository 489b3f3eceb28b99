/* SPDX-License-Identifier: Apache-2.0 */
/*
 * source.c - reading in the thread pool; the new table takes the place of the
 * old one when it is whole. What could be read once stays when the file can't be
 * read later.
 */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <posthouse/fiber.h>
#include <posthouse/log.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	FRESH_MS = 1000,
	FILE_MAX = 64 << 20,
	FILES_MAX = 64, /* with those included */
};

/* How a file was when it was read. */
struct stamp {
	const char *path;
	struct stat st;
	bool exists;
};

/* One reading; its arena is the table's. */
struct reading {
	struct ph_arena *arena;
	const char *path;
	enum table_form form;
	struct table table;
	struct stamp stamps[FILES_MAX];
	size_t stamp_count;
	int error; /* errno of the main file */
};

struct source {
	const char *path;
	enum table_form form;
	struct reading *current; /* NULL: none was good yet */
	uint64_t checked_ms;
	int last_error;
	bool is_reading;
	struct ph_event read;
};

/* --- in the thread pool --- */

/* Malloc'd text, or NULL with errno. */
static char *
read_file(const char *path, struct stat *st, size_t *n_out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), error;
	char *text = NULL;
	size_t n = 0;
	ssize_t got = 0;

	if (fd < 0)
		return NULL;
	if (fstat(fd, st) != 0 || !S_ISREG(st->st_mode) ||
	    st->st_size > FILE_MAX)
		errno = EFBIG;
	else
		text = malloc((size_t)st->st_size + 1);
	while (text != NULL && n < (size_t)st->st_size &&
	    (got = read(fd, text + n, (size_t)st->st_size - n)) > 0)
		n += (size_t)got;
	error = text == NULL || got < 0 ? errno : 0;
	close(fd);
	if (error != 0) {
		free(text);
		text = NULL;
		errno = error;
	}
	*n_out = n;
	return text;
}

/* errno of what went wrong, or 0. */
static int
read_stamped(struct reading *reading, const char *path, char **text_out,
    size_t *n_out)
{
	struct stamp *stamp;
	int error = 0;

	if (reading->stamp_count == FILES_MAX)
		return EMFILE;
	stamp = &reading->stamps[reading->stamp_count++];
	stamp->path = path;
	*text_out = read_file(path, &stamp->st, n_out);
	if (*text_out == NULL)
		error = errno;
	stamp->exists = error == 0;
	return error;
}

static bool
on_include(void *arg, const char *path, struct target_list *list)
{
	struct reading *reading = arg;
	char *text;
	size_t n;

	if (path[0] != '/' || read_stamped(reading, path, &text, &n) != 0)
		return false;
	table_targets(list, (struct ph_slice){ text, n });
	free(text);
	return true;
}

static void
read_all(void *arg)
{
	struct reading *reading = arg;
	char *text = NULL;
	size_t n = 0;

	table_init(&reading->table, reading->arena);
	reading->error = read_stamped(reading, reading->path, &text, &n);
	if (reading->error == ENOENT)
		reading->error = 0;
	if (text != NULL)
		table_parse(&reading->table, (struct ph_slice){ text, n },
		    reading->form, reading->form == TABLE_COLON ? on_include :
		    NULL, reading);
	free(text);
}

static bool
is_same(const struct stamp *stamp)
{
	struct stat st;

	if (stat(stamp->path, &st) != 0)
		return !stamp->exists;
	return stamp->exists && st.st_ino == stamp->st.st_ino &&
	    st.st_dev == stamp->st.st_dev &&
	    st.st_size == stamp->st.st_size &&
	    st.st_mtim.tv_sec == stamp->st.st_mtim.tv_sec &&
	    st.st_mtim.tv_nsec == stamp->st.st_mtim.tv_nsec;
}

struct look {
	const struct reading *reading;
	bool is_same;
};

static void
look_at_files(void *arg)
{
	struct look *look = arg;

	look->is_same = true;
	for (size_t i = 0; i < look->reading->stamp_count && look->is_same;
	    i++)
		look->is_same = is_same(&look->reading->stamps[i]);
}

/* --- in a fiber --- */

static void
on_end(void *object)
{
	struct source *source = object;

	if (source->current != NULL)
		ph_arena_free(source->current->arena);
}

struct source *
source_open(struct ph_arena *arena, const char *path, enum table_form form)
{
	struct source *source = ph_arena_alloc(arena, sizeof(*source));

	source->path = ph_arena_strdup(arena, path);
	source->form = form;
	ph_arena_on_end(arena, on_end, source);
	return source;
}

static void
tell(struct source *source, const struct reading *reading)
{
	const struct table *table = &reading->table;

	if (reading->error != 0 && reading->error != source->last_error)
		ph_log(PH_ERROR, "table_unreadable",
		    ph_f_str("file", source->path),
		    ph_f_str("reason", strerror(reading->error)));
	source->last_error = reading->error;
	if (reading->error != 0)
		return;
	for (size_t i = 0; i < table->problem_count &&
	    i < TABLE_PROBLEMS_MAX; i++)
		ph_log(PH_WARN, "table_line_passed_over",
		    ph_f_str("file", source->path),
		    ph_f_str("reason", table->problems[i]));
	ph_log(PH_INFO, "table_read", ph_f_str("file", source->path),
	    ph_f_int("entries", (int64_t)table->count),
	    ph_f_int("passed_over", (int64_t)table->problem_count));
}

static void
read_anew(struct source *source)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct reading *reading = ph_arena_alloc(arena, sizeof(*reading));

	reading->arena = arena;
	reading->path = source->path;
	reading->form = source->form;
	ph_work(read_all, reading);
	tell(source, reading);
	if (reading->error != 0) {
		ph_arena_free(arena);
		return;
	}
	if (source->current != NULL)
		ph_arena_free(source->current->arena);
	source->current = reading;
}

static void
refresh(struct source *source)
{
	struct look look = { .reading = source->current, .is_same = false };

	source->is_reading = true;
	if (look.reading != NULL)
		ph_work(look_at_files, &look);
	if (!look.is_same)
		read_anew(source);
	source->checked_ms = ph_now_ms();
	source->is_reading = false;
	ph_event_signal(&source->read);
}

const struct table *
source_table(struct source *source)
{
	bool is_fresh = source->current != NULL &&
	    ph_now_ms() - source->checked_ms < FRESH_MS;

	if (!is_fresh && !source->is_reading)
		refresh(source);
	while (source->current == NULL && source->is_reading)
		if (ph_event_wait(&source->read, PH_NO_LIMIT_MS) != PH_OK)
			break;
	return source->current != NULL ? &source->current->table : NULL;
}
