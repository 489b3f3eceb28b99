/* SPDX-License-Identifier: Apache-2.0 */
/* stuff.c - dots doubled at the start of lines, without copying. */
#include "stuff.h"

void
stuff_begin(struct stuff *stuff, struct ph_slice content)
{
	stuff->rest = content;
	stuff->at_line = true;
	stuff->doubled = false;
	stuff->any = false;
	stuff->last[0] = stuff->last[1] = '\0';
}

void
stuff_more(struct stuff *stuff, struct ph_slice content)
{
	stuff->rest = content;
}

static bool
ends_line(char c)
{
	return c == '\r' || c == '\n';
}

bool
stuff_next(struct stuff *stuff, size_t limit, struct ph_slice *piece_out)
{
	struct ph_slice rest = stuff->rest;
	const char *dot;
	size_t n = rest.n < limit ? rest.n : limit, from = 0;

	if (rest.n == 0)
		return false;
	if (rest.p[0] == '.' && stuff->at_line && !stuff->doubled) {
		stuff->doubled = true;
		*piece_out = PH_LIT(".");
		return true;
	}
	/* up to the next dot that begins a line; one at 0 was dealt with */
	for (from = 1; from < n; from++) {
		dot = memchr(rest.p + from, '.', n - from);
		if (dot == NULL)
			break;
		from = (size_t)(dot - rest.p);
		if (ends_line(dot[-1])) {
			n = from;
			break;
		}
	}
	*piece_out = (struct ph_slice){ rest.p, n };
	stuff->at_line = ends_line(rest.p[n - 1]);
	stuff->last[0] = n > 1 ? rest.p[n - 2] : stuff->last[1];
	stuff->last[1] = rest.p[n - 1];
	stuff->any = true;
	stuff->doubled = false;
	stuff->rest.p += n;
	stuff->rest.n -= n;
	return true;
}

struct ph_slice
stuff_end(const struct stuff *stuff)
{
	if (!stuff->any ||
	    (stuff->last[0] == '\r' && stuff->last[1] == '\n'))
		return PH_LIT(".\r\n");
	return PH_LIT("\r\n.\r\n");
}
