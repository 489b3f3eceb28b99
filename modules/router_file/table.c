/* SPDX-License-Identifier: Apache-2.0 */
/* table.c - parsing and finding. Lines that are wrong are passed over and told:
 * one slip of the pen must not stop all mail. */
#include "table.h"

#include <posthouse/domain.h>
#include <posthouse/mail.h>

#include <stdlib.h>

struct target_list {
	struct table *table;
	unsigned line;
	table_include *include;
	void *arg;
	struct ph_slice *targets;
	size_t count, room;
	bool is_broken;
};

void
table_init(struct table *table, struct ph_arena *arena)
{
	memset(table, 0, sizeof(*table));
	table->arena = arena;
}

static void
problem(struct table *table, unsigned line, const char *text,
    struct ph_slice what)
{
	if (table->problem_count < TABLE_PROBLEMS_MAX)
		table->problems[table->problem_count] = ph_arena_printf(
		    table->arena, "line %u: %s: \"%.*s\"", line, text,
		    (int)(what.n < 100 ? what.n : 100), what.p);
	table->problem_count++;
}

/* --- addresses --- */

static bool
is_domain(struct ph_slice text)
{
	struct ph_addr addr;

	return ph_domain_is_valid(text) ||
	    ph_address_literal_parse(text, &addr);
}

/* A name, an address or "@domain", in which nothing needs quotes. */
static bool
is_plain(struct ph_slice text)
{
	struct ph_slice domain = ph_address_domain(text);
	size_t n = domain.p == NULL ? text.n : text.n - domain.n;

	for (size_t i = 0; i < n; i++)
		if ((unsigned char)text.p[i] <= ' ' || text.p[i] == 0x7f ||
		    memchr("\"(),:;<>[\\]", text.p[i], 11) != NULL ||
		    (text.p[i] == '@' && i + 1 < n))
			return false;
	return n > 0 && (domain.p == NULL || is_domain(domain));
}

/*
 * A name, an address or "@domain" as they may be written in aliases(5): in
 * quotes, or as in a header, "Carol <carol@example.test>". Unquoted and
 * without a domain where none is there; absent when it is none of these.
 */
static struct ph_slice
read_address(struct ph_arena *arena, struct ph_slice text)
{
	const struct ph_mailbox_addr *one;
	struct ph_slice none = { NULL, 0 };
	size_t count;

	if (text.n > 1 && text.p[0] == '"' &&
	    memchr(text.p + 1, '"', text.n - 1) == text.p + text.n - 1)
		return (struct ph_slice){ text.p + 1, text.n - 2 };
	if (is_plain(text))
		return text;
	if (!ph_address_list_strict(arena, text, 1, &one, &count) ||
	    count != 1 || one->local.n == 0 || one->domain.p == NULL)
		return none;
	if (one->domain.n == 0)
		return one->local;
	return !is_domain(one->domain) ? none : ph_slice_str(ph_arena_printf(arena, "%.*s@%.*s",
	    PH_SLICE_ARG(one->local), PH_SLICE_ARG(one->domain)));
}

/* --- targets --- */

static void
list_add(struct target_list *list, struct ph_slice target)
{
	if (list->count == TABLE_TARGETS_MAX) {
		list->is_broken = true; /* better late than in part */
		return;
	}
	if (list->count == list->room) {
		size_t room = list->room > 0 ? list->room * 2 : 2;
		struct ph_slice *wider = ph_arena_array(list->table->arena,
		    room, sizeof(*wider));

		if (list->count > 0)
			memcpy(wider, list->targets,
			    list->count * sizeof(*wider));
		list->targets = wider;
		list->room = room;
	}
	list->targets[list->count++] = ph_arena_slice(list->table->arena,
	    target);
}

static void
take_target(struct target_list *list, struct ph_slice target)
{
	static const char include[] = ":include:";
	size_t n = sizeof(include) - 1;

	struct ph_slice address;

	target = ph_slice_trim(target);
	address = read_address(list->table->arena, target);
	if (address.p != NULL) /* what quotes are around may be no address */
		target = address;
	if (target.n == 0)
		return;
	if (ph_slice_starts_nocase(target, include) && list->include != NULL) {
		struct ph_slice path = ph_slice_trim((struct ph_slice){
		    target.p + n, target.n - n });

		if (!list->include(list->arg, ph_arena_slice(
		        list->table->arena, path).p, list)) {
			problem(list->table, list->line, "can't be read",
			    path);
			list->is_broken = true;
		}
	} else if (target.p[0] == '|' || target.p[0] == '/' ||
	    target.p[0] == ':' || address.p == NULL) {
		problem(list->table, list->line, "no address", target);
	} else {
		list_add(list, target);
	}
}

/* Up to a comma that is not between quotes. */
static struct ph_slice
cut_target(struct ph_slice *rest)
{
	struct ph_slice target = { rest->p, 0 };
	bool quoted = false;

	while (target.n < rest->n && (quoted || rest->p[target.n] != ',')) {
		if (rest->p[target.n] == '"')
			quoted = !quoted;
		target.n++;
	}
	rest->p += target.n;
	rest->n -= target.n;
	if (rest->n > 0) {
		rest->p++;
		rest->n--;
	}
	return target;
}

static void
take_targets(struct target_list *list, struct ph_slice text)
{
	while (text.n > 0)
		take_target(list, cut_target(&text));
}

void
table_targets(struct target_list *list, struct ph_slice text)
{
	table_include *include = list->include;

	list->include = NULL; /* one file names no other */
	while (text.n > 0) {
		struct ph_slice line = ph_slice_trim(ph_slice_cut(&text,
		    '\n'));

		if (line.n > 0 && line.p[0] != '#')
			take_targets(list, line);
	}
	list->include = include;
}

/* --- lines --- */

/* The key before the colon or white space. */
static bool
cut_key(struct ph_slice *line, enum table_form form, struct ph_arena *arena,
    struct ph_slice *key_out)
{
	bool quoted = false;
	size_t n = 0;

	for (; n < line->n; n++) {
		char c = line->p[n];

		if (c == '"')
			quoted = !quoted;
		else if (!quoted && (form == TABLE_COLON ? c == ':' :
		    c == ' ' || c == '\t'))
			break;
	}
	if (n == line->n)
		return false;
	*key_out = read_address(arena, ph_slice_trim((struct ph_slice){
	    line->p, n }));
	line->p += n + 1;
	line->n -= n + 1;
	return key_out->n > 0;
}

static struct table_entry *
new_entry(struct table *table)
{
	if (table->count == table->room) {
		size_t room = table->room > 0 ? table->room * 2 : 64;
		struct table_entry *wider = ph_arena_array(table->arena, room,
		    sizeof(*wider));

		if (table->count > 0)
			memcpy(wider, table->entries,
			    table->count * sizeof(*wider));
		table->entries = wider;
		table->room = room;
	}
	return &table->entries[table->count++];
}

static void
take_line(struct table *table, struct target_list *list, struct ph_slice line,
    enum table_form form)
{
	struct ph_slice whole = line, key;
	struct table_entry *entry;

	list->targets = NULL;
	list->count = list->room = 0;
	list->is_broken = false;
	if (table->count == TABLE_ENTRIES_MAX || !cut_key(&line, form,
	        table->arena, &key)) {
		problem(table, list->line, "no entry", whole);
		return;
	}
	take_targets(list, line);
	if (list->count == 0 && !list->is_broken) {
		problem(table, list->line, "stands for no address", key);
		return;
	}
	entry = new_entry(table);
	entry->number = table->count;
	entry->key = ph_address_fold(table->arena, key);
	entry->targets = list->targets;
	entry->count = list->count;
	entry->is_broken = list->is_broken;
}

static bool
goes_on(struct ph_slice rest)
{
	return rest.n > 0 && (rest.p[0] == ' ' || rest.p[0] == '\t');
}

static int
compare(const void *left, const void *right)
{
	const struct table_entry *a = left, *b = right;
	size_t n = a->key.n < b->key.n ? a->key.n : b->key.n;
	int order = memcmp(a->key.p, b->key.p, n);

	return order != 0 ? order : (a->key.n > b->key.n) -
	    (a->key.n < b->key.n);
}

static int
compare_in_order(const void *left, const void *right)
{
	const struct table_entry *a = left, *b = right;
	int order = compare(a, b);

	return order != 0 ? order : (a->number > b->number) -
	    (a->number < b->number);
}

/* By key; of equal ones the first stays. */
static void
finish(struct table *table)
{
	size_t kept = 0;

	if (table->count == 0)
		return;
	qsort(table->entries, table->count, sizeof(*table->entries),
	    compare_in_order);
	for (size_t i = 1; i < table->count; i++)
		if (compare(&table->entries[kept], &table->entries[i]) != 0)
			table->entries[++kept] = table->entries[i];
	table->count = kept + 1;
}

void
table_parse(struct table *table, struct ph_slice text, enum table_form form,
    table_include *include, void *arg)
{
	struct target_list list = { .table = table, .include = include,
		.arg = arg };
	unsigned number = 0;

	while (text.n > 0) {
		struct ph_slice line = ph_slice_cut(&text, '\n');

		list.line = ++number;
		while (goes_on(text)) {
			struct ph_slice more = ph_slice_cut(&text, '\n');

			line.n = (size_t)(more.p + more.n - line.p);
			number++;
		}
		line = ph_slice_trim(line);
		if (line.n > 0 && line.p[0] != '#')
			take_line(table, &list, line, form);
	}
	finish(table);
}

const struct table_entry *
table_find(const struct table *table, struct ph_slice key)
{
	struct table_entry wanted = { .key = key };

	return table->count == 0 ? NULL : bsearch(&wanted, table->entries,
	    table->count, sizeof(wanted), compare);
}
