/* SPDX-License-Identifier: Apache-2.0 */
/* multiline.c - see multiline.h. */
#include "multiline.h"

/* The first dot at or behind from that follows newline; end: none. */
static const char *
find_dot(const char *from, const char *end, const char newline)
{
	const char pair[2] = { newline, '.' };
	const char *at = memmem(from, (size_t)(end - from), pair, 2);

	return at != NULL ? at + 1 : end;
}

bool
multiline_next(struct multiline *walk, struct ph_slice *run_out,
    bool *stuff_out)
{
	const char *p = walk->rest.p, *end = p + walk->rest.n, *stop;

	if (walk->rest.n == 0)
		return false;
	/* Every run but the first begins at a dot that was found. */
	*stuff_out = walk->begun || p[0] == '.';
	walk->begun = true;
	if (walk->after_lf == NULL || walk->after_lf <= p)
		walk->after_lf = find_dot(p, end, '\n');
	if (walk->after_cr == NULL || walk->after_cr <= p)
		walk->after_cr = find_dot(p, end, '\r');
	stop = walk->after_lf < walk->after_cr ? walk->after_lf :
	                                         walk->after_cr;
	*run_out = (struct ph_slice){ p, (size_t)(stop - p) };
	walk->rest = (struct ph_slice){ stop, (size_t)(end - stop) };
	return true;
}

size_t
multiline_top(struct ph_slice content, size_t header, uint64_t count)
{
	size_t at = header;

	while (count > 0 && at < content.n) {
		const char *lf = memchr(content.p + at, '\n', content.n - at);

		if (lf == NULL)
			return content.n;
		at = (size_t)(lf - content.p) + 1;
		count--;
	}
	return at;
}
