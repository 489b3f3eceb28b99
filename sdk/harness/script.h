/* SPDX-License-Identifier: Apache-2.0 */
/*
 * script.h - a session file as a list of commands. A line is a command: its
 * first word, the rest of the line, and the indented lines below as its block.
 * A line that begins with # is a comment. Pure but for reading the file.
 */
#ifndef SDK_HARNESS_SCRIPT_H
#define SDK_HARNESS_SCRIPT_H

#include <posthouse/arena.h>

struct script_command {
	const char *word;
	const char *rest;  /* without surrounding blanks; may be empty */
	const char *block; /* lines, each with its newline; may be empty */
	unsigned line;
	struct script_command *next;
};

struct script {
	const char *path;
	struct script_command *first;
	unsigned last_line;
};

/* PH_NOT_FOUND, PH_TOO_BIG (1 MiB), PH_INVALID with err's text. */
int script_read(struct ph_arena *arena, const char *path,
    struct script *script_out, struct ph_err *err);

/* Cut the first word off *rest (blanks separate); "" at the end. */
const char *script_word(struct ph_arena *arena, const char **rest);
/* text with every "$DIR" replaced. */
const char *script_expand(struct ph_arena *arena, const char *text,
    const char *dir);

#endif
