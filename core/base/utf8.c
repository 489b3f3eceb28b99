/* SPDX-License-Identifier: Apache-2.0 */
/* utf8.c - what is well-formed UTF-8 (RFC 3629 s4) and what is not. */
#include "base/utf8.h"

static bool
is_tail(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

size_t
utf8_length(const char *p, size_t n)
{
	unsigned char lead = (unsigned char)p[0];
	unsigned char next = n > 1 ? (unsigned char)p[1] : 0;
	size_t length;

	if (lead < 0x80)
		return 1;
	if (lead < 0xc2 || lead > 0xf4)
		return 0;
	length = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
	if (n < length)
		return 0;
	for (size_t i = 1; i < length; i++)
		if (!is_tail(p[i]))
			return 0;
	if ((lead == 0xe0 && next < 0xa0) || (lead == 0xed && next > 0x9f) ||
	    (lead == 0xf0 && next < 0x90) || (lead == 0xf4 && next > 0x8f))
		return 0;
	return length;
}

bool
utf8_is_valid(struct ph_slice s)
{
	size_t i = 0;

	while (i < s.n) {
		size_t length = utf8_length(s.p + i, s.n - i);

		if (length == 0)
			return false;
		i += length;
	}
	return true;
}
