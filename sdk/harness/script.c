/* SPDX-License-Identifier: Apache-2.0 */
/* script.c - see script.h. */
#include "script.h"

#include <errno.h>
#include <stdio.h>

enum { SCRIPT_MAX = 1 << 20 };

static int
read_file(struct ph_arena *arena, const char *path, struct ph_slice *text_out,
    struct ph_err *err)
{
	char *text = ph_arena_alloc(arena, SCRIPT_MAX + 1);
	FILE *file = fopen(path, "re");
	size_t n;

	if (file == NULL)
		return ph_err_set(err, PH_NOT_FOUND, errno, "%s: %s", path,
		    strerror(errno));
	n = fread(text, 1, SCRIPT_MAX + 1, file);
	fclose(file);
	if (n > SCRIPT_MAX)
		return ph_err_set(err, PH_TOO_BIG, 0, "%s: over 1 MiB", path);
	*text_out = (struct ph_slice){ text, n };
	return PH_OK;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool
is_indented(struct ph_slice line)
{
	return line.n > 0 && is_blank(line.p[0]);
}

/* Blanks before the first line of a block are taken from all its lines. */
static struct ph_slice
without_indent(struct ph_slice line, size_t indent)
{
	while (indent-- > 0 && is_indented(line)) {
		line.p++;
		line.n--;
	}
	return line;
}

/* The indented lines that *rest begins with; an empty line belongs to them
 * when another indented one follows. */
static const char *
take_block(struct ph_arena *arena, struct ph_slice *rest, unsigned *number)
{
	struct ph_slice ahead = *rest;
	unsigned empty = 0, lines = 0;
	size_t indent = 0;
	struct ph_buf block;

	ph_buf_init(&block, arena, SCRIPT_MAX);
	while (ahead.p != NULL && ahead.n > 0) {
		struct ph_slice line = ph_slice_cut(&ahead, '\n');

		lines++;
		if (ph_slice_trim(line).n == 0) {
			empty++;
			continue;
		}
		if (!is_indented(line))
			break;
		while (indent == 0 || (block.n == 0 && indent < line.n &&
		    is_blank(line.p[indent])))
			indent++;
		for (; empty > 0; empty--)
			ph_buf_char(&block, '\n');
		ph_buf_slice(&block, without_indent(line, indent));
		ph_buf_char(&block, '\n');
		*rest = ahead;
		*number += lines;
		lines = 0;
	}
	ph_buf_char(&block, '\0');
	return block.p;
}

int
script_read(struct ph_arena *arena, const char *path,
    struct script *script_out, struct ph_err *err)
{
	struct script script = { .path = ph_arena_strdup(arena, path) };
	struct script_command **end = &script.first, *command;
	struct ph_slice rest, line;
	unsigned number = 0;
	const char *text;
	int status = read_file(arena, path, &rest, err);

	if (status != PH_OK)
		return status;
	while (rest.p != NULL && rest.n > 0) {
		line = ph_slice_cut(&rest, '\n');
		number++;
		if (ph_slice_trim(line).n == 0 || line.p[0] == '#')
			continue;
		if (is_indented(line))
			return ph_err_set(err, PH_INVALID, 0,
			    "%s:%u: indented, but there is no command above",
			    path, number);
		command = ph_arena_alloc(arena, sizeof(*command));
		text = ph_arena_slice(arena, ph_slice_trim(line)).p;
		command->line = number;
		command->word = script_word(arena, &text);
		command->rest = text;
		command->block = take_block(arena, &rest, &number);
		*end = command;
		end = &command->next;
	}
	script.last_line = number;
	*script_out = script;
	return PH_OK;
}

const char *
script_word(struct ph_arena *arena, const char **rest)
{
	size_t n = strcspn(*rest, " \t");
	const char *word = ph_arena_slice(arena,
	    (struct ph_slice){ *rest, n }).p;

	*rest += n + strspn(*rest + n, " \t");
	return word;
}

const char *
script_expand(struct ph_arena *arena, const char *text, const char *dir)
{
	struct ph_buf buf;
	const char *at;

	ph_buf_init(&buf, arena, SCRIPT_MAX * 2);
	while ((at = strstr(text, "$DIR")) != NULL) {
		ph_buf_add(&buf, text, (size_t)(at - text));
		ph_buf_str(&buf, dir);
		text = at + 4;
	}
	ph_buf_str(&buf, text);
	ph_buf_char(&buf, '\0');
	return buf.p;
}
