/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conf_load.c - finding the files and merging them by name: the main file first,
 * then conf.d in the order of its names, the later one wins.
 */
#include "conf/conf_inner.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	FILE_MAX = 1 << 20,  /* octets of one file */
	FILES_MAX = 1000,    /* in conf.d */
};

/* The text of a file, or NULL with an error added. */
static const char *
slurp(struct ph_arena *arena, const char *file, struct conf_errors *errors)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	size_t n = 0;
	char *text;

	if (fd < 0 || fstat(fd, &st) != 0) {
		conf_error_add(errors, file, 0, "%s", strerror(errno));
		if (fd >= 0)
			close(fd);
		return NULL;
	}
	if (!S_ISREG(st.st_mode) || st.st_size > FILE_MAX) {
		conf_error_add(errors, file, 0, S_ISREG(st.st_mode) ?
		    "the file is over 1 MiB" : "not a regular file");
		close(fd);
		return NULL;
	}
	text = ph_arena_alloc(arena, (size_t)st.st_size + 1);
	for (ssize_t got = 1; got > 0 && n < (size_t)st.st_size;) {
		got = read(fd, text + n, (size_t)st.st_size - n);
		n += got > 0 ? (size_t)got : 0;
	}
	close(fd);
	if (memchr(text, '\0', n) != NULL) {
		conf_error_add(errors, file, 0, "the file holds a NUL octet");
		return NULL;
	}
	return text;
}

static void
read_file(struct ph_arena *arena, struct conf *conf, const char *file,
    struct conf_errors *errors)
{
	const char *text = slurp(arena, file, errors);

	if (text != NULL)
		conf_read(arena, conf, file, text, errors);
}

static int
is_snippet(const struct dirent *entry)
{
	size_t n = strlen(entry->d_name);

	return entry->d_name[0] != '.' && n > 5 &&
	    strcmp(entry->d_name + n - 5, ".conf") == 0;
}

static int
by_octets(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void
read_dir(struct ph_arena *arena, struct conf *conf, const char *dir,
    bool must_exist, struct conf_errors *errors)
{
	struct dirent **names;
	int n = scandir(dir, &names, is_snippet, by_octets);

	if (n < 0) {
		if (must_exist || errno != ENOENT)
			conf_error_add(errors, dir, 0, "%s", strerror(errno));
		return;
	}
	for (int i = 0; i < n; i++) {
		if (i < FILES_MAX)
			read_file(arena, conf, ph_arena_printf(arena, "%s/%s",
			    dir, names[i]->d_name), errors);
		free(names[i]);
	}
	free(names);
	if (n > FILES_MAX)
		conf_error_add(errors, dir, 0, "over %d files", FILES_MAX);
}

int
conf_load(struct ph_arena *arena, const char *main_file, struct conf **conf_out,
    struct conf_errors *errors)
{
	struct conf *conf = ph_arena_alloc(arena, sizeof(*conf));
	const struct conf_setting *include;
	const char *slash = strrchr(main_file, '/'), *dir = "conf.d";
	size_t before = errors->count;

	conf->main_file = ph_arena_strdup(arena, main_file);
	conf_section_obtain(arena, conf, "", conf->main_file, 1);
	read_file(arena, conf, conf->main_file, errors);
	include = conf_setting(conf_section(conf, ""), "include_dir");
	if (include != NULL && include->type == CONF_TEXT)
		dir = include->text;
	if (dir[0] != '/' && slash != NULL)
		dir = ph_arena_printf(arena, "%.*s/%s",
		    (int)(slash - main_file), main_file, dir);
	read_dir(arena, conf, dir, include != NULL, errors);
	if (errors->count > before)
		return PH_INVALID;
	*conf_out = conf;
	return PH_OK;
}
