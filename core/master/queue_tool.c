/* SPDX-License-Identifier: Apache-2.0 */
/*
 * queue_tool.c - the queue as a whole, while no server has it open; the lock
 * of its folder sees to that. Started by root it opens the file it was given
 * and then becomes the queue's user for good: what it makes in the queue's
 * folder the server must be able to open.
 */
#include "master/queue_tool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "master/dirs.h"
#include "queue_db_tools.h"
#include "role/confine.h"

enum { EXIT_REFUSED = 1, EXIT_DAMAGED = 3 };

struct tool {
	enum queue_tool tool;
	const char *name; /* of the file */
	FILE *file;
	char dir[1024];
	struct queue_db *db;
	struct queue_db_tally tally;
	bool is_damaged;
};

static void
on_report(void *arg, const struct ph_err *err)
{
	(void)arg;
	fprintf(stderr, "posthouse: %s\n", err->text);
}

static void
on_words(void *arg, const char *text)
{
	(void)arg;
	fprintf(stderr, "posthouse: %s\n", text);
}

static bool
read_conf(struct ph_arena *arena, const char *main_file,
    struct core_conf *core)
{
	struct conf_errors errors = { .arena = arena };
	struct conf *conf;
	bool good = conf_load(arena, main_file, &conf, &errors) == PH_OK &&
	    core_conf_fill(arena, conf, core, &errors) == PH_OK;

	for (size_t i = 0; i < errors.count; i++)
		fprintf(stderr, "%s:%u: %s\n", errors.error[i].file != NULL ?
		    errors.error[i].file : main_file, errors.error[i].line,
		    errors.error[i].text);
	return good;
}

/* An export is new and nobody else's; nothing is ever overwritten. */
static int
open_file(struct tool *t, struct ph_err *err)
{
	bool is_export = t->tool == QUEUE_EXPORT;
	struct stat st;
	int fd;

	if (t->tool == QUEUE_VERIFY)
		return PH_OK;
	fd = open(t->name, is_export ? O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC :
	    O_RDONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		return ph_err_set(err, PH_IO, errno, "%s: %s", t->name,
		    strerror(errno));
	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return ph_err_set(err, PH_INVALID, 0, "%s is not a regular "
		    "file", t->name);
	}
	t->file = fdopen(fd, is_export ? "w+" : "r");
	ph_assert(t->file != NULL);
	return PH_OK;
}

/* The queue's folder, made when an import comes before the first start. */
static int
become_owner(struct tool *t, const struct core_conf *core, struct ph_err *err)
{
	struct role_start as = { .role = ROLE_QUEUE };
	struct role_user users[ROLES];
	int status = dirs_users(core, users, err);

	if (status == PH_OK)
		status = dirs_make_data(core, users, err);
	if (status != PH_OK)
		return status;
	if (snprintf(t->dir, sizeof(t->dir), "%s/%s", core->data_dir,
	        role_name(ROLE_QUEUE)) >= (int)sizeof(t->dir))
		return ph_err_set(err, PH_INVALID, 0, "data_dir is too long");
	as.drop = users[ROLE_QUEUE].drop;
	as.uid = users[ROLE_QUEUE].uid;
	as.gid = users[ROLE_QUEUE].gid;
	return confine_user(&as, err);
}

static int
export(struct tool *t, struct ph_err *err)
{
	int status = queue_db_export(t->db, t->file, &t->tally, err);

	if (status == PH_OK && fsync(fileno(t->file)) != 0)
		return ph_err_set(err, PH_IO, errno, "%s: %s", t->name,
		    strerror(errno));
	return status;
}

static int
work(struct tool *t, struct ph_err *err)
{
	int status;

	if (t->tool == QUEUE_EXPORT)
		return export(t, err);
	if (t->tool == QUEUE_IMPORT)
		return queue_db_import(t->db, t->file, &t->tally, err);
	status = queue_db_verify(t->db, &t->tally, err);
	queue_db_close(t->db);
	t->db = NULL;
	if (status == PH_OK && queue_db_verify_pages(t->dir, on_words, NULL) !=
	        PH_OK)
		t->is_damaged = true;
	return status;
}

static int
run(struct tool *t, const struct core_conf *core, struct ph_err *err)
{
	struct queue_db_options options = {
		.cache_bytes = core->queue.cache_bytes,
		.ballast_bytes = core->queue.ballast_bytes,
		.soft_free_bytes = core->queue.soft_free_bytes,
		.fsync = core->queue.fsync,
		.report = on_report,
	};
	int status = open_file(t, err);

	if (status == PH_OK)
		status = become_owner(t, core, err);
	if (status == PH_OK)
		status = queue_db_open(t->dir, &options, &t->db, err);
	if (status == PH_BUSY)
		ph_err_set(err, PH_BUSY, 0, "%s is in use: stop the server "
		    "first", t->dir);
	if (status == PH_OK)
		status = work(t, err);
	queue_db_close(t->db);
	return status;
}

static void
tell(const struct tool *t)
{
	const struct queue_db_tally *y = &t->tally;

	printf("%" PRIu64 " messages, %" PRIu64 " recipients, %" PRIu64
	    " octets of content, %" PRIu64 " pairs", y->messages,
	    y->recipients, y->content_bytes, y->pairs);
	if (t->tool == QUEUE_IMPORT)
		printf("; %" PRIu64 " messages were there already",
		    y->present);
	else
		printf("; %" PRIu64 " damaged", y->damaged);
	if (t->tool == QUEUE_VERIFY)
		printf(", %" PRIu64 " rows lie aside, %" PRIu64
		    " rows of no message", y->aside, y->strays);
	putchar('\n');
}

int
queue_tool_run(enum queue_tool tool, const char *main_file, const char *file)
{
	struct tool t = { .tool = tool, .name = file };
	struct ph_arena *arena = ph_arena_create(NULL);
	struct core_conf core = { 0 };
	struct ph_err err = { 0 };
	int status;

	if (!read_conf(arena, main_file, &core)) {
		ph_arena_free(arena);
		return EXIT_REFUSED;
	}
	status = run(&t, &core, &err);
	if (status == PH_OK)
		tell(&t);
	else
		fprintf(stderr, "posthouse: %s\n", err.text);
	/* we may not be who may unlink it: leave nothing that looks whole */
	if (status != PH_OK && tool == QUEUE_EXPORT && t.file != NULL &&
	    ftruncate(fileno(t.file), 0) != 0)
		fprintf(stderr, "posthouse: %s: %s\n", file, strerror(errno));
	if (t.file != NULL)
		fclose(t.file);
	ph_arena_free(arena);
	if (status != PH_OK)
		return EXIT_REFUSED;
	return t.is_damaged || t.tally.damaged + t.tally.strays > 0 ?
	    EXIT_DAMAGED : EXIT_SUCCESS;
}
