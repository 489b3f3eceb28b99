/* SPDX-License-Identifier: Apache-2.0 */
/*
 * new.c - posthouse-sdk new: the first files of a module, from the templates in
 * sdk/template, which the build puts into this program.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fakes.h"
#include "template.h"

enum { NAME_MAX_OCTETS = 48 };

/* What it can begin, and how names of the kind do. */
static const struct kind {
	const char *word, *prefix;
} kinds[] = { { "check", "check_" }, { "delivery", "check_" },
	{ "router", "router_" }, { NULL, NULL } };

struct names {
	const char *name, *nick;
	char upper[NAME_MAX_OCTETS + 1];
};

/* Only what is good in C, in a file's name and as a section. */
static bool
is_name(const char *name, const struct kind *kind)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
	size_t skip = strlen(kind->prefix);

	return name[n] == '\0' && n > skip && n <= NAME_MAX_OCTETS &&
	    strncmp(name, kind->prefix, skip) == 0 &&
	    strspn(name + skip, "0123456789_") == 0;
}

/* text with @NAME@, @NICK@ and @UPPER@ in place. */
static void
put_text(FILE *file, const char *text, const struct names *names)
{
	const struct {
		const char *mark, *text;
	} marks[] = { { "@NAME@", names->name }, { "@NICK@", names->nick },
		{ "@UPPER@", names->upper } };

	while (*text != '\0') {
		size_t skip = 0;

		for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
			if (strncmp(text, marks[i].mark,
			        strlen(marks[i].mark)) == 0) {
				fputs(marks[i].text, file);
				skip = strlen(marks[i].mark);
			}
		if (skip == 0)
			putc(*text++, file);
		text += skip;
	}
}

static bool
put_file(const struct template *template, const struct names *names)
{
	char path[4 * NAME_MAX_OCTETS];
	FILE *file;
	bool is_put;

	snprintf(path, sizeof(path), "%s/", names->name);
	file = fmemopen(path + strlen(path), sizeof(path) - strlen(path), "w");
	if (file == NULL)
		return false;
	put_text(file, template->path, names);
	fclose(file);
	file = fopen(path, "wxe");
	if (file == NULL) {
		fprintf(stderr, "posthouse-sdk: %s: %s\n", path,
		    strerror(errno));
		return false;
	}
	put_text(file, template->text, names);
	is_put = ferror(file) == 0;
	return fclose(file) == 0 && is_put;
}

static int
usage(void)
{
	fputs("usage: posthouse-sdk new [--kind check | delivery | router] "
	      "NAME\n"
	      "NAME is check_ (of a router: router_) and lower-case letters, "
	      "digits, _\n",
	    stderr);
	return 2;
}

/* NULL: there is none of that name. */
static const struct kind *
kind_of(const char *word)
{
	const struct kind *kind = kinds;

	while (kind->word != NULL && strcmp(kind->word, word) != 0)
		kind++;
	return kind->word != NULL ? kind : NULL;
}

/* NULL: they are wrong. */
static const struct kind *
take_arguments(int argc, char **argv)
{
	static const struct option options[] = {
		{ "kind", required_argument, NULL, 'k' }, { 0 } };
	const struct kind *kind = kinds;
	int option;

	while (kind != NULL &&
	    (option = getopt_long(argc, argv, "", options, NULL)) != -1)
		kind = option == 'k' ? kind_of(optarg) : NULL;
	return kind != NULL && optind == argc - 1 &&
	    is_name(argv[optind], kind) ? kind : NULL;
}

/* That stderr tells when not. */
static bool
put_files(const struct kind *kind, const struct names *names)
{
	if (mkdir(names->name, 0777) != 0) {
		fprintf(stderr, "posthouse-sdk: %s: %s\n", names->name,
		    strerror(errno));
		return false;
	}
	for (const struct template *at = templates; at->path != NULL; at++)
		if ((strcmp(at->kind, kind->word) == 0 ||
		        strcmp(at->kind, "any") == 0) && !put_file(at, names))
			return false;
	return true;
}

int
new_main(int argc, char **argv)
{
	const struct kind *kind = take_arguments(argc, argv);
	struct names names;

	if (kind == NULL)
		return usage();
	names.name = argv[optind];
	names.nick = names.name + strlen(kind->prefix);
	memset(names.upper, 0, sizeof(names.upper));
	for (size_t i = 0; names.name[i] != '\0'; i++)
		names.upper[i] = names.name[i] >= 'a' && names.name[i] <= 'z' ?
		    (char)(names.name[i] - 'a' + 'A') : names.name[i];
	if (!put_files(kind, &names))
		return EXIT_FAILURE;
	printf("%s/ is made: cd %s && make check\n", names.name, names.name);
	return EXIT_SUCCESS;
}
