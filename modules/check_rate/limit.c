/* SPDX-License-Identifier: Apache-2.0 */
/* limit.c - see limit.h. */
#include "limit.h"

static const char *const what_names[] = { "connections", "messages",
	"recipients" };
static const char *const whom_names[] = { "client", "user", "sender",
	"recipient" };

const char *
rate_what_name(enum rate_what what)
{
	return what_names[what];
}

const char *
rate_whom_name(enum rate_whom whom)
{
	return whom_names[whom];
}

/* The next of words separated by spaces; empty at the end. */
static struct ph_slice
next_word(struct ph_slice *rest)
{
	struct ph_slice word = { "", 0 };

	while (rest->p != NULL && word.n == 0)
		word = ph_slice_cut(rest, ' ');
	return word;
}

static bool
find(struct ph_slice word, const char *const *names, size_t count,
    unsigned *index_out)
{
	for (size_t i = 0; i < count; i++) {
		if (ph_slice_eq(word, ph_slice_str(names[i]))) {
			*index_out = (unsigned)i;
			return true;
		}
	}
	return false;
}

static bool
parse_window(struct ph_slice text, uint64_t *ms_out)
{
	uint64_t number, unit_ms;

	if (text.n < 2)
		return false;
	switch (text.p[text.n - 1]) {
	case 's':
		unit_ms = 1000;
		break;
	case 'm':
		unit_ms = 60000;
		break;
	case 'h':
		unit_ms = 3600000;
		break;
	case 'd':
		unit_ms = 86400000;
		break;
	default:
		return false;
	}
	text.n--;
	if (!ph_slice_number(text, 366 * 86400, &number) || number == 0)
		return false;
	*ms_out = number * unit_ms;
	return *ms_out <= 366 * (uint64_t)86400000;
}

const char *
rate_limit_parse(const char *text, struct rate_limit *limit_out)
{
	struct ph_slice rest = ph_slice_str(text), number, window, last;
	struct rate_limit limit = { .is_final = false };
	unsigned what, whom;

	if (!find(next_word(&rest), what_names, 3, &what))
		return "it begins with connections, messages or recipients";
	if (!ph_slice_eq(next_word(&rest), PH_LIT("per")) ||
	    !find(next_word(&rest), whom_names, 4, &whom))
		return "then comes per client, user, sender or recipient";
	window = next_word(&rest);
	number = ph_slice_cut(&window, '/');
	if (!ph_slice_number(number, 1000000000, &limit.count) ||
	    window.p == NULL || !parse_window(window, &limit.window_ms))
		return "then comes how many in what time, as 100/1h";
	last = next_word(&rest);
	limit.is_final = ph_slice_eq(last, PH_LIT("reject"));
	if ((last.n > 0 && !limit.is_final &&
	        !ph_slice_eq(last, PH_LIT("defer"))) ||
	    next_word(&rest).n > 0)
		return "it ends with reject, defer or nothing";
	limit.what = (enum rate_what)what;
	limit.whom = (enum rate_whom)whom;
	if (limit.what == RATE_CONNECTIONS && limit.whom != RATE_CLIENT)
		return "connections are counted per client only";
	if (limit.whom == RATE_RECIPIENT && limit.what != RATE_RECIPIENTS)
		return "per recipient only recipients are counted";
	*limit_out = limit;
	return NULL;
}
