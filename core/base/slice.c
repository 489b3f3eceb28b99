/* SPDX-License-Identifier: Apache-2.0 */
/*
 * slice.c - comparing and cutting octets. Case is ASCII's, never the
 * locale's: protocol words are ASCII and everything else must match exactly.
 */
#include <posthouse/base.h>

bool
ph_slice_eq(struct ph_slice a, struct ph_slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool
ph_slice_eq_nocase(struct ph_slice a, struct ph_slice b)
{
	if (a.n != b.n)
		return false;
	for (size_t i = 0; i < a.n; i++)
		if (ph_lower(a.p[i]) != ph_lower(b.p[i]))
			return false;
	return true;
}

bool
ph_slice_starts_nocase(struct ph_slice s, const char *prefix)
{
	size_t n = strlen(prefix);

	return s.n >= n &&
	    ph_slice_eq_nocase((struct ph_slice){ s.p, n },
	        (struct ph_slice){ prefix, n });
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct ph_slice
ph_slice_trim(struct ph_slice s)
{
	while (s.n > 0 && is_blank(s.p[0])) {
		s.p++;
		s.n--;
	}
	while (s.n > 0 && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

struct ph_slice
ph_slice_cut(struct ph_slice *rest, char sep)
{
	struct ph_slice head = *rest;
	const char *at;

	at = rest->n > 0 ? memchr(rest->p, sep, rest->n) : NULL;
	if (at == NULL) {
		*rest = (struct ph_slice){ NULL, 0 };
		return head;
	}
	head.n = (size_t)(at - head.p);
	rest->p = at + 1;
	rest->n -= head.n + 1;
	return head;
}

bool
ph_slice_number(struct ph_slice s, uint64_t max, uint64_t *number_out)
{
	uint64_t number = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned digit = (unsigned char)s.p[i] - (unsigned)'0';

		if (digit > 9 || __builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, digit, &number))
			return false;
	}
	if (number > max)
		return false;
	*number_out = number;
	return true;
}
