/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.h - lines "KEY: TARGET, TARGET ..." (TABLE_COLON) or "KEY TARGET, ..."
 * (TABLE_SPACE) as a table. Pure.
 *
 * "#" begins a line that is passed over; a line that begins with white space
 * goes on with the one before. Keys and targets are names, addresses and
 * "@domain", as they stand, in double quotes, or as in a header ("Carol
 * <carol@x.test>"). Commands and files ("|program", "/path") are no targets
 * here. The first line of a key counts.
 */
#ifndef ROUTER_FILE_TABLE_H
#define ROUTER_FILE_TABLE_H

#include <posthouse/arena.h>

enum table_form { TABLE_COLON, TABLE_SPACE };

enum {
	TABLE_ENTRIES_MAX = 1000000,
	TABLE_TARGETS_MAX = 5000, /* of one key */
	TABLE_PROBLEMS_MAX = 8,
};

struct table_entry {
	struct ph_slice key; /* in lower case */
	const struct ph_slice *targets; /* unquoted: local@domain */
	size_t count;
	size_t number;  /* in the order of the file */
	bool is_broken; /* something it names can't be read now */
};

struct table {
	struct ph_arena *arena;
	struct table_entry *entries; /* sorted by key when it is finished */
	size_t count, room;
	const char *problems[TABLE_PROBLEMS_MAX]; /* of lines passed over */
	size_t problem_count; /* all of them */
};

/*
 * Called for ":include:PATH": targets of the file to add with table_target.
 * False: it can't be read.
 */
struct target_list;
typedef bool table_include(void *arg, const char *path,
    struct target_list *list);

void table_init(struct table *table, struct ph_arena *arena);
/* include NULL: such targets are problems. text may end when this returns. */
void table_parse(struct table *table, struct ph_slice text,
    enum table_form form, table_include *include, void *arg);
/* Comma- and line-separated targets of an included file. */
void table_targets(struct target_list *list, struct ph_slice text);
/* NULL: none. key in lower case. */
const struct table_entry *table_find(const struct table *table,
    struct ph_slice key);

#endif
