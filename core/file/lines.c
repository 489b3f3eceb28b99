/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lines.c - <posthouse/lines.h>: a table of files, each with its newest content.
 * A content is an arena that ends with its last user; a new one is made, whole,
 * in the thread pool and then takes the place of the old.
 */
#include <posthouse/lines.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <posthouse/fiber.h>
#include <posthouse/log.h>

enum {
	FILES_MAX = 64, /* then the one longest unused is forgotten */
	LOOK_EVERY_MS = 1000,
};

struct ph_lines {
	struct ph_arena *arena;
	unsigned users;
	struct ph_slice *line;
	size_t count;
	uint32_t *slots; /* line number + 1, by hash; 0: free */
	size_t slot_mask;
};

/* By what a change is seen. */
struct look {
	struct timespec mtime, ctime;
	off_t size;
	ino_t inode;
	dev_t device;
};

struct file {
	struct file *next;
	char *path;
	struct ph_arena *arena;
	struct look look;
	struct ph_lines *lines; /* NULL: never read */
	uint64_t looked_ms, used_ms;
	unsigned users;         /* fibers that look at it or wait for it */
	bool is_looking, was_told;
	struct ph_err err;
	struct ph_event looked;
};

static struct file *files;

/* --- contents --- */

static uint64_t
hash_of(struct ph_slice text)
{
	uint64_t hash = 14695981039346656037u;

	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)ph_lower(text.p[i]);

		hash = (hash ^ c) * 1099511628211u;
	}
	return hash ^ hash >> 32;
}

/* The slot of the text, or the free one where it would be. */
static size_t
slot_of(const struct ph_lines *lines, struct ph_slice text)
{
	size_t at = (size_t)hash_of(text) & lines->slot_mask;

	while (lines->slots[at] != 0 && !ph_slice_eq_nocase(
	    lines->line[lines->slots[at] - 1], text))
		at = (at + 1) & lines->slot_mask;
	return at;
}

static bool
next_line(struct ph_slice *rest, struct ph_slice *line_out)
{
	while (rest->p != NULL && rest->n > 0) {
		struct ph_slice line = ph_slice_trim(ph_slice_cut(rest, '\n'));

		if (line.n > 0 && line.p[0] != '#') {
			*line_out = line;
			return true;
		}
	}
	return false;
}

static void
take_lines(struct ph_lines *lines, struct ph_slice text)
{
	struct ph_slice rest = text, line;
	size_t slots = 16;

	while (next_line(&rest, &line))
		lines->count++;
	while (slots < lines->count * 2)
		slots *= 2;
	lines->line = ph_arena_array(lines->arena, lines->count,
	    sizeof(*lines->line));
	lines->slots = ph_arena_array(lines->arena, slots,
	    sizeof(*lines->slots));
	lines->slot_mask = slots - 1;
	rest = text;
	for (uint32_t i = 0; next_line(&rest, &line); i++) {
		lines->line[i] = line;
		lines->slots[slot_of(lines, line)] = i + 1;
	}
}

static struct ph_lines *
lines_create(void)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct ph_lines *lines = ph_arena_alloc(arena, sizeof(*lines));

	lines->arena = arena;
	lines->users = 1;
	return lines;
}

static void
lines_put(void *object)
{
	struct ph_lines *lines = object;

	if (lines != NULL && --lines->users == 0)
		ph_arena_free(lines->arena);
}

/* --- looking at a file, in the thread pool --- */

struct looking {
	const char *path;
	struct look look;       /* in: the last; out: this one */
	struct ph_lines *lines; /* out: NULL when it has not changed */
	struct ph_err err;
	bool has_content;       /* the last look gave one */
};

static int
status_of(int error)
{
	return error == ENOENT || error == ENOTDIR ? PH_NOT_FOUND :
	    error == EACCES || error == EPERM ? PH_DENIED : PH_IO;
}

static bool
is_same(const struct look *a, const struct look *b)
{
	return a->mtime.tv_sec == b->mtime.tv_sec &&
	    a->mtime.tv_nsec == b->mtime.tv_nsec &&
	    a->ctime.tv_sec == b->ctime.tv_sec &&
	    a->ctime.tv_nsec == b->ctime.tv_nsec && a->size == b->size &&
	    a->inode == b->inode && a->device == b->device;
}

/* Copied, not mapped: a file that shrinks under a mapping is deadly. */
static int
read_all(struct looking *looking, int fd, size_t size)
{
	struct ph_lines *lines = lines_create();
	char *text = ph_arena_alloc(lines->arena, size + 1);
	size_t n = 0;
	ssize_t got = 1;

	while (n < size && got > 0) {
		got = pread(fd, text + n, size - n, (off_t)n);
		if (got > 0)
			n += (size_t)got;
		else if (got < 0 && errno == EINTR)
			got = 1;
	}
	if (got < 0) {
		int error = errno;

		lines_put(lines);
		return ph_err_set(&looking->err, PH_IO, error, "%s: %s",
		    looking->path, strerror(error));
	}
	take_lines(lines, (struct ph_slice){ text, n });
	looking->lines = lines;
	return PH_OK;
}

static int
look_open(struct looking *looking, int fd)
{
	struct stat st;
	struct look now;

	if (fstat(fd, &st) != 0)
		return ph_err_set(&looking->err, PH_IO, errno, "%s: %s",
		    looking->path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return ph_err_set(&looking->err, PH_INVALID, 0,
		    "%s: not a file", looking->path);
	if (st.st_size > (off_t)PH_LINES_OCTETS_MAX)
		return ph_err_set(&looking->err, PH_TOO_BIG, 0,
		    "%s: %lld octets, more than %u", looking->path,
		    (long long)st.st_size, PH_LINES_OCTETS_MAX);
	now = (struct look){ st.st_mtim, st.st_ctim, st.st_size, st.st_ino,
		st.st_dev };
	if (looking->has_content && is_same(&now, &looking->look))
		return PH_OK;
	looking->look = now;
	return read_all(looking, fd, (size_t)st.st_size);
}

static void
look_work(void *arg)
{
	struct looking *looking = arg;
	int fd = open(looking->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0) {
		ph_err_set(&looking->err, status_of(errno), errno, "%s: %s",
		    looking->path, strerror(errno));
		return;
	}
	look_open(looking, fd);
	close(fd);
}

/* --- the table --- */

static void
look(struct file *file)
{
	struct looking looking = { .path = file->path, .look = file->look,
		.has_content = file->lines != NULL };

	file->is_looking = true;
	ph_work(look_work, &looking);
	file->is_looking = false;
	file->looked_ms = ph_now_ms();
	file->err = looking.err;
	if (looking.err.status == PH_OK) {
		file->look = looking.look;
		file->was_told = false;
		if (looking.lines != NULL) {
			lines_put(file->lines);
			file->lines = looking.lines;
		}
	} else if (file->lines != NULL && !file->was_told) {
		file->was_told = true;
		ph_log(PH_WARN, "file_stays_as_it_was",
		    ph_f_str("reason", looking.err.text));
	}
	ph_event_signal(&file->looked);
}

static void
drop(struct file **at)
{
	struct file *file = *at;

	*at = file->next;
	lines_put(file->lines);
	ph_arena_free(file->arena);
}

/* The file longest unused goes when there are too many. */
static void
make_room(void)
{
	struct file **oldest = NULL;
	unsigned count = 0;

	for (struct file **at = &files; *at != NULL; at = &(*at)->next) {
		count++;
		if ((*at)->users == 0 &&
		    (oldest == NULL || (*at)->used_ms < (*oldest)->used_ms))
			oldest = at;
	}
	if (count >= FILES_MAX && oldest != NULL)
		drop(oldest);
}

static struct file *
file_of(const char *path)
{
	struct file *file = files;
	struct ph_arena *arena;

	while (file != NULL && strcmp(file->path, path) != 0)
		file = file->next;
	if (file != NULL)
		return file;
	make_room();
	arena = ph_arena_create(NULL);
	file = ph_arena_alloc(arena, sizeof(*file));
	file->arena = arena;
	file->path = ph_arena_strdup(arena, path);
	file->next = files;
	files = file;
	return file;
}

int
ph_lines_read(struct ph_arena *arena, const char *path,
    const struct ph_lines **lines_out, struct ph_err *err)
{
	struct file *file = file_of(path);
	int status = PH_OK;

	file->users++;
	while (status == PH_OK && file->is_looking && file->lines == NULL)
		status = ph_event_wait(&file->looked, PH_NO_LIMIT_MS);
	if (status == PH_OK && !file->is_looking && (file->looked_ms == 0 ||
	    ph_now_ms() - file->looked_ms >= LOOK_EVERY_MS))
		look(file);
	file->users--;
	file->used_ms = ph_now_ms();
	if (status != PH_OK)
		return ph_err_set(err, status, 0, "%s: %s", path,
		    ph_status_name(status));
	if (file->lines == NULL) {
		if (err != NULL)
			*err = file->err;
		return file->err.status;
	}
	file->lines->users++;
	ph_arena_on_end(arena, lines_put, file->lines);
	*lines_out = file->lines;
	return PH_OK;
}

bool
ph_lines_has(const struct ph_lines *lines, struct ph_slice text)
{
	return lines->slots[slot_of(lines, text)] != 0;
}

size_t
ph_lines_count(const struct ph_lines *lines)
{
	return lines->count;
}

struct ph_slice
ph_lines_at(const struct ph_lines *lines, size_t i)
{
	ph_assert(i < lines->count);
	return lines->line[i];
}
