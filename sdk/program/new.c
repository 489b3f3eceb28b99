/* SPDX-License-Identifier: Apache-2.0 */
/*
 * new.c - posthouse-sdk new: the first files of a check, from the templates in
 * sdk/template, which the build puts into this program.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "fakes.h"
#include "template.h"

enum { NAME_MAX_OCTETS = 48 };

struct names {
	const char *name, *nick;
	char upper[NAME_MAX_OCTETS + 1];
};

/* Only what is good in C, in a file's name and as a section. */
static bool
is_name(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");

	return name[n] == '\0' && n > 6 && n <= NAME_MAX_OCTETS &&
	    strncmp(name, "check_", 6) == 0 &&
	    strspn(name + 6, "0123456789_") == 0;
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

int
new_main(int argc, char **argv)
{
	struct names names = { .name = argc == 2 ? argv[1] : "" };

	if (!is_name(names.name)) {
		fputs("usage: posthouse-sdk new NAME\n"
		      "NAME is check_ and lower-case letters, digits, _\n",
		    stderr);
		return 2;
	}
	names.nick = names.name + 6;
	for (size_t i = 0; names.name[i] != '\0'; i++)
		names.upper[i] = names.name[i] >= 'a' && names.name[i] <= 'z' ?
		    (char)(names.name[i] - 'a' + 'A') : names.name[i];
	if (mkdir(names.name, 0777) != 0) {
		fprintf(stderr, "posthouse-sdk: %s: %s\n", names.name,
		    strerror(errno));
		return EXIT_FAILURE;
	}
	for (const struct template *at = templates; at->path != NULL; at++)
		if (!put_file(at, &names))
			return EXIT_FAILURE;
	printf("%s/ is made: cd %s && make check\n", names.name, names.name);
	return EXIT_SUCCESS;
}
