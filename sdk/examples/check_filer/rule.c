/* SPDX-License-Identifier: Apache-2.0 */
/* rule.c - see rule.h. */
#include "rule.h"

#include <posthouse/mailbox.h>

enum { KEYWORDS_MAX = 16 };

static struct ph_slice
word(struct ph_slice *rest)
{
	struct ph_slice first;

	*rest = ph_slice_trim(*rest);
	first = ph_slice_cut(rest, ' ');
	*rest = ph_slice_trim(*rest);
	return first;
}

static bool
is(struct ph_slice text, const char *what)
{
	return ph_slice_eq_nocase(text, ph_slice_str(what));
}

static const char *
parse_test(struct ph_arena *arena, struct ph_slice text, struct rule *rule)
{
	struct ph_slice what = word(&text);

	if (is(what, "header")) {
		rule->test = TEST_HEADER;
		rule->name = ph_arena_slice(arena, word(&text)).p;
	} else if (is(what, "from") || is(what, "to")) {
		rule->test = is(what, "to") ? TEST_TO : TEST_FROM;
	} else if (is(what, "score") || is(what, "size")) {
		rule->test = is(what, "size") ? TEST_SIZE : TEST_SCORE;
		return ph_slice_number(text, INT64_MAX, &rule->number) ? NULL :
		                                      "wanted a number";
	} else if (is(what, "any")) {
		rule->test = TEST_ANY;
		return NULL;
	} else {
		return "wanted header, from, to, score, size or any";
	}
	rule->pattern = ph_arena_slice(arena, text).p;
	return text.n > 0 ? NULL : "wanted a pattern";
}

/* "\Seen \Flagged $Later" */
static const char *
parse_flags(struct ph_arena *arena, struct ph_slice rest, struct rule *rule)
{
	static const struct {
		const char *name;
		uint32_t flag;
	} flags[] = { { "\\Seen", PH_SEEN }, { "\\Answered", PH_ANSWERED },
		{ "\\Flagged", PH_FLAGGED }, { "\\Deleted", PH_DELETED },
		{ "\\Draft", PH_DRAFT } };
	const char **keywords = ph_arena_array(arena, KEYWORDS_MAX + 1,
	    sizeof(*keywords));
	size_t count = 0;

	while (rest.p != NULL && rest.n > 0) {
		struct ph_slice one = word(&rest);
		size_t i = 0;

		while (i < 5 && !is(one, flags[i].name))
			i++;
		if (i < 5)
			rule->flags |= flags[i].flag;
		else if (one.p[0] == '\\' || count == KEYWORDS_MAX)
			return "no such flag, or too many";
		else
			keywords[count++] = ph_arena_slice(arena, one).p;
	}
	rule->keywords = keywords;
	return NULL;
}

static const char *
parse_action(struct ph_arena *arena, struct ph_slice text, struct rule *rule)
{
	static const char *const names[] = { "file", "keep", "redirect",
		"discard", "reject", "answer", "stop" };
	struct ph_slice what = word(&text);
	unsigned i = ACTION_FILE;

	while (i <= ACTION_STOP && !is(what, names[i]))
		i++;
	if (i > ACTION_STOP)
		return "wanted file, keep, redirect, discard, reject, answer "
		       "or stop";
	rule->action = (enum rule_action)i;
	if (i == ACTION_DISCARD || i == ACTION_STOP)
		return text.n == 0 ? NULL : "wanted nothing behind it";
	if (i == ACTION_ANSWER && (!ph_slice_number(word(&text), 365,
	        &rule->days) || rule->days == 0))
		return "wanted a number of days";
	if (i == ACTION_KEEP)
		return parse_flags(arena, text, rule);
	if (text.n == 0 || text.p == NULL)
		return "wanted a mailbox, an address or a text";
	if (i == ACTION_FILE) {
		rule->what = ph_arena_slice(arena, word(&text)).p;
		return parse_flags(arena, text, rule);
	}
	rule->what = ph_arena_slice(arena, text).p;
	return NULL;
}

const char *
rule_parse(struct ph_arena *arena, struct ph_slice line, struct rule *rule_out)
{
	struct ph_slice test = line, action;
	struct rule rule = { .test = TEST_ANY };
	const char *wrong;

	for (size_t i = 0; i + 1 < line.n; i++)
		if (line.p[i] == ':' && line.p[i + 1] == ' ') {
			test.n = i;
			break;
		}
	if (test.n == line.n)
		return "wanted TEST: ACTION";
	action = (struct ph_slice){ line.p + test.n + 1, line.n - test.n - 1 };
	wrong = parse_test(arena, test, &rule);
	if (wrong == NULL)
		wrong = parse_action(arena, action, &rule);
	if (wrong == NULL)
		*rule_out = rule;
	return wrong;
}
