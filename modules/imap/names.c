/* SPDX-License-Identifier: Apache-2.0 */
/* names.c - see names.h. */
#include "names.h"

#include "mutf7.h"

bool
pattern_init(struct ph_arena *arena, struct ph_slice text,
    struct pattern *pattern_out)
{
	char *p;
	size_t n = 0;

	if (text.n > PATTERN_MAX)
		return false;
	p = ph_arena_alloc(arena, text.n + 1);
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		char last = n > 0 ? p[n - 1] : '\0';

		/* "%*", "*%" and "**" are "*"; "%%" is "%" */
		if ((c == '*' || c == '%') && (last == '*' || last == '%')) {
			if (c == '*')
				p[n - 1] = '*';
			continue;
		}
		p[n++] = c;
	}
	*pattern_out = (struct pattern){
		.p = p,
		.n = n,
		.now = ph_arena_alloc(arena, n + 1),
		.next = ph_arena_alloc(arena, n + 1),
	};
	return true;
}

/* State i: the first i octets of the pattern are used up. A wildcard may stand
 * for nothing, so its state passes on to the next. */
static void
enter(const struct pattern *pattern, unsigned char *states, size_t i)
{
	while (!states[i]) {
		states[i] = 1;
		if (i == pattern->n ||
		    (pattern->p[i] != '*' && pattern->p[i] != '%'))
			return;
		i++;
	}
}

static bool
step(struct pattern *pattern, char c, bool fold)
{
	unsigned char *swap = pattern->now;
	bool alive = false;

	memset(pattern->next, 0, pattern->n + 1);
	for (size_t i = 0; i < pattern->n; i++) {
		char want = pattern->p[i];

		if (!pattern->now[i])
			continue;
		if (want == '*' || (want == '%' && c != '/'))
			enter(pattern, pattern->next, i);
		else if (want == '%')
			continue;
		else if (want == c || (fold && ph_lower(want) == ph_lower(c)))
			enter(pattern, pattern->next, i + 1);
		else
			continue;
		alive = true;
	}
	pattern->now = pattern->next;
	pattern->next = swap;
	return alive;
}

bool
pattern_matches(struct pattern *pattern, struct ph_slice name)
{
	bool fold = ph_slice_eq(name, PH_LIT("INBOX"));

	memset(pattern->now, 0, pattern->n + 1);
	enter(pattern, pattern->now, 0);
	for (size_t i = 0; i < name.n; i++)
		if (!step(pattern, name.p[i], fold))
			return false;
	return pattern->now[pattern->n] != 0;
}

void
name_format(struct ph_arena *arena, struct ph_slice name, struct ph_buf *buf)
{
	struct ph_slice wire = mutf7_encode(arena, name);

	ph_buf_char(buf, '"');
	for (size_t i = 0; i < wire.n; i++) {
		if (wire.p[i] == '"' || wire.p[i] == '\\')
			ph_buf_char(buf, '\\');
		ph_buf_char(buf, wire.p[i]);
	}
	ph_buf_char(buf, '"');
}

const char *
name_special_use(struct ph_slice name)
{
	static const struct {
		const char *name, *use;
	} uses[] = {
		{ "Drafts", "\\Drafts" }, { "Sent", "\\Sent" },
		{ "Sent Items", "\\Sent" }, { "Sent Messages", "\\Sent" },
		{ "Trash", "\\Trash" }, { "Deleted Items", "\\Trash" },
		{ "Deleted Messages", "\\Trash" }, { "Junk", "\\Junk" },
		{ "Spam", "\\Junk" }, { "Archive", "\\Archive" },
	};

	for (size_t i = 0; i < sizeof(uses) / sizeof(uses[0]); i++)
		if (ph_slice_eq_nocase(name, ph_slice_str(uses[i].name)))
			return uses[i].use;
	return NULL;
}
