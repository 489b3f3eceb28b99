/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - the options of posthouse(8), and which of its lives begins: the
 * master, a role, the checker, or a question answered at once.
 */
#include "master/main.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "master/checker.h"
#include "master/master.h"
#include "master/programs.h"
#include "master/queue_tool.h"
#include "module/loader.h"

enum { EXIT_REFUSED = 1, EXIT_USAGE = 2 };

struct options {
	const char *file;
	bool is_file_said; /* by -c */
	const char *describe;
	bool describe_mdoc;
	bool test, foreground, check_facts, has_role;
	enum queue_tool queue_tool;
	const char *queue_file;
	struct role_start start;
};

enum long_option {
	OPT_VERSION = 256,
	OPT_HELP,
	OPT_DESCRIBE,
	OPT_DESCRIBE_MDOC,
	OPT_QUEUE_VERIFY,
	OPT_QUEUE_EXPORT,
	OPT_QUEUE_IMPORT,
	OPT_CHECK_FACTS,
	OPT_ROLE,
	OPT_INDEX,
	OPT_UID,
	OPT_GID,
};

static const struct option long_options[] = {
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "describe", required_argument, NULL, OPT_DESCRIBE },
	{ "describe-mdoc", required_argument, NULL, OPT_DESCRIBE_MDOC },
	{ "queue-verify", no_argument, NULL, OPT_QUEUE_VERIFY },
	{ "queue-export", required_argument, NULL, OPT_QUEUE_EXPORT },
	{ "queue-import", required_argument, NULL, OPT_QUEUE_IMPORT },
	/* what the master starts itself with */
	{ "check-facts", no_argument, NULL, OPT_CHECK_FACTS },
	{ "role", required_argument, NULL, OPT_ROLE },
	{ "index", required_argument, NULL, OPT_INDEX },
	{ "uid", required_argument, NULL, OPT_UID },
	{ "gid", required_argument, NULL, OPT_GID },
	{ NULL, 0, NULL, 0 },
};

static int
usage(FILE *to)
{
	fputs("usage: posthouse [-F] [-c file]\n"
	      "       posthouse -t [-c file]\n"
	      "       posthouse --queue-verify [-c file]\n"
	      "       posthouse --queue-export queue-file [-c file]\n"
	      "       posthouse --queue-import queue-file [-c file]\n"
	      "       posthouse --describe module | core [-c file]\n"
	      "       posthouse --describe-mdoc module | core [-c file]\n"
	      "       posthouse --version\n",
	    to);
	return to == stdout ? EXIT_SUCCESS : EXIT_USAGE;
}

static bool
number(const char *text, unsigned *number_out)
{
	uint64_t value;

	if (!ph_slice_number(ph_slice_str(text), UINT32_MAX - 1, &value))
		return false;
	*number_out = (unsigned)value;
	return true;
}

/* False: a bad value. */
static bool
take_internal(int option, const char *value, struct options *options)
{
	struct role_start *start = &options->start;

	switch (option) {
	case OPT_CHECK_FACTS:
		return options->check_facts = true;
	case OPT_ROLE:
		options->has_role = true;
		return role_parse(ph_slice_str(value), &start->role) &&
		    start->role != ROLE_MASTER;
	case OPT_INDEX:
		return number(value, &start->index);
	case OPT_UID:
		start->drop = true;
		return number(value, &start->uid);
	case OPT_GID:
		return number(value, &start->gid);
	default:
		return false;
	}
}

/* -1: go on; else the exit status. */
static int
take_options(int argc, char **argv, struct options *options)
{
	int option;

	while ((option = getopt_long(argc, argv, "c:tF", long_options, NULL)) !=
	    -1) {
		switch (option) {
		case 'c':
			options->file = optarg;
			options->is_file_said = true;
			break;
		case 't':
			options->test = true;
			break;
		case 'F':
			options->foreground = true;
			break;
		case OPT_VERSION:
			puts("posthouse " PH_VERSION);
			return EXIT_SUCCESS;
		case OPT_HELP:
			return usage(stdout);
		case OPT_DESCRIBE:
		case OPT_DESCRIBE_MDOC:
			options->describe = optarg;
			options->describe_mdoc = option == OPT_DESCRIBE_MDOC;
			break;
		case OPT_QUEUE_VERIFY:
			options->queue_tool = QUEUE_VERIFY;
			break;
		case OPT_QUEUE_EXPORT:
		case OPT_QUEUE_IMPORT:
			options->queue_tool = option == OPT_QUEUE_EXPORT ?
			    QUEUE_EXPORT : QUEUE_IMPORT;
			options->queue_file = optarg;
			break;
		default:
			if (!take_internal(option, optarg, options))
				return usage(stderr);
		}
	}
	return optind == argc ? -1 : usage(stderr);
}

static void
tell_errors(const struct conf_errors *errors)
{
	for (size_t i = 0; i < errors->count; i++) {
		const struct conf_error *e = &errors->error[i];

		if (e->file != NULL)
			fprintf(stderr, "%s:%u: %s\n", e->file, e->line,
			    e->text);
		else
			fprintf(stderr, "posthouse: %s\n", e->text);
	}
}

static int
test(const char *file)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct conf_errors errors = { .arena = arena };
	int status = checker_test(file, arena, &errors);

	tell_errors(&errors);
	if (status == PH_OK)
		printf("configuration %s is good\n", file);
	ph_arena_free(arena);
	return status == PH_OK ? EXIT_SUCCESS : EXIT_REFUSED;
}

/*
 * Where the configuration says that modules are: that of -c, which must be
 * right, or the usual one, if there is one that can be read. NULL: errors tell.
 */
static const char *
module_dir_of(struct ph_arena *arena, const struct options *options,
    struct conf_errors *errors)
{
	struct core_conf core = { 0 };
	struct conf *conf;

	if (!options->is_file_said && access(options->file, R_OK) != 0)
		return PH_MODULE_DIR;
	if (conf_load(arena, options->file, &conf, errors) == PH_OK &&
	    core_conf_fill(arena, conf, &core, errors) == PH_OK)
		return core.module_dir;
	return options->is_file_said ? NULL : PH_MODULE_DIR;
}

/* name: a .so's path, or a module of the folder. */
static const struct ph_module *
find_module(const char *name, const char *dir, struct ph_err *err)
{
	char path[PATH_MAX];

	if (strchr(name, '/') != NULL ? realpath(name, path) == NULL :
	    snprintf(path, sizeof(path), "%s/%s.so", dir, name) >=
	        (int)sizeof(path)) {
		ph_err_set(err, PH_NOT_FOUND, errno, "%s: %s", name,
		    strerror(errno));
		return NULL;
	}
	return loader_open(path, err);
}

/* False: stderr tells. */
static bool
describe_module(struct ph_arena *arena, const struct options *options,
    struct ph_buf *text)
{
	struct conf_errors errors = { .arena = arena };
	const struct ph_module *module;
	struct ph_err err = { 0 };
	const char *dir = PH_MODULE_DIR;

	if (strchr(options->describe, '/') == NULL)
		dir = module_dir_of(arena, options, &errors);
	if (dir == NULL) {
		tell_errors(&errors);
		return false;
	}
	module = find_module(options->describe, dir, &err);
	if (module == NULL)
		fprintf(stderr, "posthouse: %s\n", err.text);
	else if (options->describe_mdoc)
		module_describe_mdoc(module->name, module->options, text);
	else
		module_describe_snippet(module, text);
	return module != NULL;
}

static int
describe(const struct options *options)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	bool good = true;
	struct ph_buf text;

	ph_buf_init(&text, arena, 1 << 20);
	if (strcmp(options->describe, "core") != 0)
		good = describe_module(arena, options, &text);
	else if (options->describe_mdoc)
		core_describe_mdoc(&text);
	else
		core_describe_file(&text);
	if (good)
		fwrite(text.p, 1, text.n, stdout);
	ph_arena_free(arena);
	return good ? EXIT_SUCCESS : EXIT_REFUSED;
}

static int
be_role(const struct role_start *start)
{
	char name[16];

	snprintf(name, sizeof(name), "posthouse-%s", role_name(start->role));
	prctl(PR_SET_NAME, name, 0, 0, 0);
	return role_main(start);
}

/* The descriptors 0 to 2 must be something, or a socket would take their
 * place. */
static bool
have_standard_fds(void)
{
	struct stat st;

	for (int fd = 0; fd < 3; fd++)
		if (fstat(fd, &st) != 0 && open("/dev/null", O_RDWR) != fd)
			return false;
	return true;
}

int
posthouse_main(int argc, char **argv)
{
	struct options options = { .file = PH_CONF_FILE };
	char *file;
	int status;

	if (argc > 1 && strcmp(argv[1], PROGRAMS_WORD) == 0)
		return programs_main(argc - 2, argv + 2);
	status = take_options(argc, argv, &options);
	if (status >= 0)
		return status;
	if (!have_standard_fds())
		return EX_OSERR;
	if (options.has_role)
		return be_role(&options.start);
	if (options.check_facts)
		return checker_main(&options.start);
	if (options.describe != NULL)
		return describe(&options);
	file = realpath(options.file, NULL);
	if (file == NULL) {
		fprintf(stderr, "posthouse: %s: %s\n", options.file,
		    strerror(errno));
		return EXIT_REFUSED;
	}
	if (options.queue_tool != QUEUE_TOOL_NONE)
		status = queue_tool_run(options.queue_tool, file,
		    options.queue_file);
	else
		status = options.test ? test(file) :
		                        master_main(file, !options.foreground);
	free(file);
	return status;
}
