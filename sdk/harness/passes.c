/* SPDX-License-Identifier: Apache-2.0 */
/*
 * passes.c - posthouse-sdk run: the session as it is written, then over and
 * over in ways that a module's author would not think of: ten times for leaks,
 * canceled at each wait, with DNS, the store or all of the outside failing.
 * Each pass is a process of its own, so that a module may crash in it.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run.h"

enum { ROUNDS = 10, WAITS_MAX = 12, CANCELS_MAX = 200 };

struct passes {
	struct run run;
	unsigned count;
	unsigned failures;
};

static bool
is_skipped(const struct run *run, const char *pass)
{
	for (const struct script_command *at = run->script->first; at != NULL;
	     at = at->next) {
		size_t n = strcspn(at->rest, " \t#");

		if (strcmp(at->word, "skip") == 0 && strlen(pass) == n &&
		    strncmp(at->rest, pass, n) == 0)
			return true;
	}
	return false;
}

/* How a process of ours that did not come to its end died. */
static void
tell_death(struct run *run, int status, const char *what)
{
	const struct run_progress *progress = run->progress;
	const char *stage = progress->stage != NULL ?
	    ph_arena_printf(run->arena, "in its %s hook", progress->stage) :
	    "outside a hook";

	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
		run_fail(run, progress->line, "%s: the module held its "
		    "process for %d s %s: it neither waits nor returns", what,
		    RUN_HELD_S, stage);
	else if (WIFSIGNALED(status))
		run_fail(run, progress->line, "%s: the module crashed %s: %s",
		    what, stage, strsignal(WTERMSIG(status)));
	else
		run_fail(run, progress->line, "%s: the module ended its "
		    "process %s, status %d", what, stage,
		    WEXITSTATUS(status));
}

/* What leaves no room to tell: the child's words are on its own stdout. */
static bool
pass_run(struct passes *passes, const char *what)
{
	struct run *run = &passes->run;
	struct run_progress *progress = run->progress;
	unsigned before = progress->failures;
	int status = 0;
	pid_t child;

	progress->is_finished = false;
	progress->stage = NULL;
	fflush(stdout);
	child = fork();
	if (child == 0) {
		const struct rlimit none = { 0, 0 };

		setrlimit(RLIMIT_CORE, &none);
		run_main(run);
		fflush(stdout);
		_exit(0);
	}
	if (child < 0) {
		run_fail(run, 0, "fork: %s", strerror(errno));
		return false;
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	passes->count++;
	if (!progress->is_finished && progress->failures == before)
		tell_death(run, status, what);
	return progress->failures == before;
}

/* At each wait of each step: the hook must return, whatever it waited for. */
static void
pass_cancel(struct passes *passes)
{
	struct run *run = &passes->run;
	unsigned cancels = 0;
	bool is_good = true;

	for (unsigned line = 1; line < RUN_LINES_MAX && is_good; line++) {
		unsigned waits = run->progress->waits[line];

		for (unsigned at = 1; at <= waits && at <= WAITS_MAX &&
		     cancels < CANCELS_MAX && is_good; at++, cancels++) {
			run->cancel_line = line;
			run->cancel_at = at;
			run->what = ph_arena_printf(run->arena,
			    "canceled at wait %u of line %u", at, line);
			is_good = pass_run(passes, run->what);
		}
	}
	run->cancel_line = run->cancel_at = 0;
	run->what = NULL;
}

static void
pass_all(struct passes *passes)
{
	static const struct {
		const char *name, *what;
		enum harness_fault fault;
	} faults[] = {
		{ "dns", "DNS fails", HARNESS_DNS_FAILS },
		{ "silence", "nothing outside answers", HARNESS_SILENCE },
		{ "store", "the key-value store is down", HARNESS_STORE_DOWN },
	};
	struct run *run = &passes->run;
	bool is_told = run->is_told;

	run->is_plain = true;
	run->rounds = 1;
	if (!pass_run(passes, "as written"))
		return; /* the rest would only repeat it */
	run->is_plain = run->is_told = false;
	if (!is_skipped(run, "leak")) {
		run->rounds = ROUNDS; /* what is cut short may leak, too */
		if (!pass_run(passes, "again and again"))
			run->rounds = 1; /* told once is enough */
	}
	if (!is_skipped(run, "cancel"))
		pass_cancel(passes);
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		run->fault = faults[i].fault;
		run->what = faults[i].what;
		if (!is_skipped(run, faults[i].name))
			pass_run(passes, faults[i].what);
	}
	run->fault = HARNESS_SOUND;
	run->what = NULL;
	run->is_told = is_told;
}

/* --- one session file --- */

static void
remove_files(struct ph_arena *arena, const char *dir, const struct script *s)
{
	for (const struct script_command *at = s->first; at != NULL;
	     at = at->next)
		if (strcmp(at->word, "file") == 0 &&
		    strchr(at->rest, '/') == NULL)
			unlink(ph_arena_printf(arena, "%s/%s", dir, at->rest));
	unlink(ph_arena_printf(arena, "%s/conf.d/option.conf", dir));
	unlink(ph_arena_printf(arena, "%s/conf.d/conf.conf", dir));
	unlink(ph_arena_printf(arena, "%s/base.conf", dir));
	rmdir(ph_arena_printf(arena, "%s/conf.d", dir));
	rmdir(dir);
}

/* The module's name is its file's. */
static const char *
section_of(struct ph_arena *arena, const char *path)
{
	const char *base = strrchr(path, '/');
	char *name = ph_arena_strdup(arena, base != NULL ? base + 1 : path);
	char *dot = strstr(name, ".so");

	if (dot != NULL)
		*dot = '\0';
	return name;
}

static bool
run_file(const struct harness_fakes *fakes, const char *module,
    const char *path, bool is_told)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	char dir[] = "/tmp/posthouse-sdk-XXXXXX";
	struct script script;
	struct ph_err err = { 0 };
	struct passes passes = { .run = { .arena = arena, .fakes = fakes,
	    .script = &script, .module_path = module, .is_told = is_told,
	    .section = section_of(arena, module), .dir = dir } };
	bool is_good = false;

	if (script_read(arena, path, &script, &err) != PH_OK) {
		fprintf(stderr, "posthouse-sdk: %s\n", err.text);
	} else if (mkdtemp(dir) == NULL) {
		fprintf(stderr, "posthouse-sdk: %s: %s\n", dir,
		    strerror(errno));
	} else {
		passes.run.progress = mmap(NULL, sizeof(struct run_progress),
		    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		ph_assert(passes.run.progress != MAP_FAILED);
		pass_all(&passes);
		is_good = passes.run.progress->failures == 0;
		printf("%s: %s: %u steps, %u runs\n", path,
		    is_good ? "ok" : "FAILED", passes.run.progress->steps,
		    passes.count);
		munmap(passes.run.progress, sizeof(struct run_progress));
		remove_files(arena, dir, &script);
	}
	ph_arena_free(arena);
	return is_good;
}

int
posthouse_sdk_run(const struct harness_fakes *fakes, int argc, char **argv)
{
	bool is_told = argc > 1 && strcmp(argv[1], "-v") == 0, is_good = true;
	char module[PATH_MAX];
	int first = is_told ? 2 : 1;

	if (argc < first + 2) {
		fprintf(stderr,
		    "usage: posthouse-sdk run [-v] MODULE SESSION...\n");
		return 2;
	}
	if (realpath(argv[first], module) == NULL) {
		fprintf(stderr, "posthouse-sdk: %s: %s\n", argv[first],
		    strerror(errno));
		return 2;
	}
	if (strlen(module) < 3 ||
	    strcmp(module + strlen(module) - 3, ".so") != 0) {
		fprintf(stderr, "posthouse-sdk: %s: a module's file ends in "
		    ".so\n", argv[first]);
		return 2;
	}
	for (int i = first + 1; i < argc; i++)
		is_good &= run_file(fakes, module, argv[i], is_told);
	return is_good ? EXIT_SUCCESS : EXIT_FAILURE;
}
