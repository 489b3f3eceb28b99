/* SPDX-License-Identifier: Apache-2.0 */
/* multiline.c - see multiline.h. */
#include "multiline.h"

/* The first dot behind p that follows a CR or LF; end: none. Where the line
 * ends is remembered, or a line of many CR would be searched for each. */
static const char *
next_dot(struct multiline *walk, const char *p, const char *end)
{
	const char *cr;

	for (;;) {
		if (walk->lf == NULL || walk->lf < p)
			walk->lf = memchr(p, '\n', (size_t)(end - p));
		if (walk->lf == NULL)
			walk->lf = end;
		cr = memchr(p, '\r', (size_t)(walk->lf - p));
		while (cr != NULL) {
			if (++cr < end && *cr == '.')
				return cr;
			cr = memchr(cr, '\r', (size_t)(walk->lf - cr));
		}
		if (end - walk->lf < 2)
			return end;
		p = walk->lf + 1;
		if (p[0] == '.')
			return p;
	}
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
	stop = next_dot(walk, p, end);
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
