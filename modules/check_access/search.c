/* SPDX-License-Identifier: Apache-2.0 */
/* search.c - see search.h. */
#include "search.h"

#include <posthouse/fiber.h>
#include <posthouse/lines.h>

enum { LINES_AT_ONCE = 1000 }; /* more would hold other sessions up */

static enum rule_form
try_line(struct search *search, struct ph_slice line, bool is_of_file)
{
	struct rule rule;
	enum rule_form form = rule_parse(line, &rule);

	if (form != RULE_GOOD)
		return form;
	search->asks_host |= rule.what == RULE_HOST;
	if (!search->is_found && rule_fits(&rule, &search->question)) {
		search->is_found = true;
		search->is_of_file = is_of_file;
		search->rule = rule;
	}
	return form;
}

/* Perhaps in a worker thread: the lines are pinned by the arena. */
static void
search_lines(void *arg)
{
	struct search *search = arg;
	const size_t count = ph_lines_count(search->lines);

	for (size_t i = 0; i < count; i++) {
		struct ph_slice line = ph_lines_at(search->lines, i);

		if (try_line(search, line, true) == RULE_WRONG &&
		    search->wrong.p == NULL)
			search->wrong = line;
	}
}

void
search_run(struct search *search)
{
	for (const char *const *at = search->rules; *at != NULL; at++)
		(void)try_line(search, ph_slice_str(*at), false);
	if (search->file[0] == '\0' || search->is_found ||
	    ph_lines_read(search->arena, search->file, &search->lines,
	        &search->err) != PH_OK)
		return;
	if (ph_lines_count(search->lines) > LINES_AT_ONCE)
		ph_work(search_lines, search);
	else
		search_lines(search);
}
