/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fold.c - case folding for SEARCH. Only characters whose lower case has as
 * many octets are folded: so it is one pass without growth, and needle and
 * text are treated alike. No locale. Squeezing is for header fields, where a
 * line may be folded at any blank.
 */
#include "search.h"

static uint32_t
fold_two(uint32_t c)
{
	if (c >= 0xc0 && c <= 0xde && c != 0xd7) /* Latin-1 */
		return c + 0x20;
	/* Latin Extended-A: pairs, upper even or upper odd */
	if ((c >= 0x100 && c <= 0x12f) || (c >= 0x132 && c <= 0x137) ||
	    (c >= 0x14a && c <= 0x177))
		return c | 1;
	if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17e))
		return c + (c & 1);
	if (c >= 0x391 && c <= 0x3ab && c != 0x3a2) /* Greek */
		return c + 0x20;
	if (c >= 0x410 && c <= 0x42f) /* Cyrillic */
		return c + 0x20;
	if (c >= 0x400 && c <= 0x40f)
		return c + 0x50;
	return c;
}

struct ph_slice
search_fold(struct ph_arena *arena, struct ph_slice text)
{
	char *p = ph_arena_alloc(arena, text.n + 1);

	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c >= 'A' && c <= 'Z') {
			p[i] = (char)(c | 0x20);
		} else if (c >= 0xc3 && c <= 0xd1 && i + 1 < text.n &&
		    ((unsigned char)text.p[i + 1] & 0xc0) == 0x80) {
			uint32_t folded = fold_two((c & 0x1fu) << 6 |
			    ((unsigned char)text.p[i + 1] & 0x3fu));

			p[i] = (char)(0xc0 | folded >> 6);
			p[i + 1] = (char)(0x80 | (folded & 0x3f));
			i++;
		} else {
			p[i] = (char)c;
		}
	}
	return (struct ph_slice){ p, text.n };
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct ph_slice
search_squeeze(struct ph_arena *arena, struct ph_slice text)
{
	char *p = ph_arena_alloc(arena, text.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++) {
		if (!is_blank(text.p[i]))
			p[n++] = text.p[i];
		else if (i == 0 || !is_blank(text.p[i - 1]))
			p[n++] = ' ';
	}
	return (struct ph_slice){ p, n };
}
