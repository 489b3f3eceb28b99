/* SPDX-License-Identifier: Apache-2.0 */
/*
 * domain.c - <posthouse/domain.h>, over libidn2. What is ASCII never gets there:
 * nearly all domains are, and comparing them is on the path of each recipient.
 *
 * What comes out of the mapping of UTS #46 is looked at again: it makes "@", "/"
 * and dots of characters that look like them, and a name that holds such a thing
 * is no domain.
 */
#include "base/domain.h"

#include <idn2.h>

enum {
	LABEL_MAX = 63,
	INPUT_MAX = 4 * (DOMAIN_TEXT - 1), /* octets of as many characters */
};

static bool
is_ascii(struct ph_slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return false;
	return true;
}

static struct ph_slice
without_dot(struct ph_slice domain)
{
	if (domain.n > 1 && domain.p[domain.n - 1] == '.')
		domain.n--;
	return domain;
}

static bool
is_label_octet(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
	    c == '_';
}

/* Takes a mapped name as its own: lower-case, without the dot at its end. */
static bool
take_name(const char *name, char text[DOMAIN_TEXT])
{
	struct ph_slice from = without_dot(ph_slice_str(name));
	size_t label = 0;

	if (from.n >= DOMAIN_TEXT)
		return false;
	for (size_t i = 0; i < from.n; i++) {
		text[i] = ph_lower(from.p[i]);
		if (text[i] == '.' ? label == 0 :
		    !is_label_octet(text[i]) || label == LABEL_MAX)
			return false;
		label = text[i] == '.' ? 0 : label + 1;
	}
	text[from.n] = '\0';
	return label > 0;
}

bool
domain_to_ascii(struct ph_slice domain, char text[DOMAIN_TEXT])
{
	char name[INPUT_MAX + 1], *ascii;
	bool is_good;

	if (domain.n == 0 || domain.n > INPUT_MAX ||
	    memchr(domain.p, '\0', domain.n) != NULL)
		return false;
	memcpy(name, domain.p, domain.n);
	name[domain.n] = '\0';
	if (idn2_to_ascii_8z(name, &ascii,
	        IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) != IDN2_OK)
		return false;
	is_good = take_name(ascii, text);
	idn2_free(ascii);
	return is_good;
}

struct ph_slice
ph_domain_canonical(struct ph_arena *arena, struct ph_slice domain)
{
	char text[DOMAIN_TEXT];

	domain = without_dot(domain);
	return !is_ascii(domain) && domain_to_ascii(domain, text) ?
	    ph_slice_str(ph_arena_strdup(arena, text)) :
	    ph_arena_lower(arena, domain);
}

struct ph_slice
domain_comparable(struct ph_slice domain, char text[DOMAIN_TEXT])
{
	domain = without_dot(domain);
	return !is_ascii(domain) && domain_to_ascii(domain, text) ?
	    ph_slice_str(text) : domain;
}

bool
ph_domain_eq(struct ph_slice a, struct ph_slice b)
{
	char text[2][DOMAIN_TEXT];

	return ph_slice_eq_nocase(domain_comparable(a, text[0]),
	    domain_comparable(b, text[1]));
}

bool
ph_domain_fits(struct ph_slice pattern, struct ph_slice domain)
{
	char text[2][DOMAIN_TEXT];
	struct ph_slice above, end;

	if (pattern.n == 0 || pattern.p[0] != '.')
		return ph_domain_eq(pattern, domain);
	above = domain_comparable((struct ph_slice){ pattern.p + 1, pattern.n - 1 },
	    text[0]);
	domain = domain_comparable(domain, text[1]);
	if (above.n == 0 || domain.n < above.n + 2)
		return false;
	end = (struct ph_slice){ domain.p + domain.n - above.n, above.n };
	return end.p[-1] == '.' && ph_slice_eq_nocase(end, above);
}

/* --- addresses --- */

/* The domain's place in local@domain, or n. */
static size_t
domain_at(struct ph_slice address)
{
	size_t at = address.n;

	while (at > 0 && address.p[at - 1] != '@')
		at--;
	return at > 0 ? at : address.n;
}

static struct ph_slice
cut_domain(struct ph_slice address, struct ph_slice *local_out)
{
	size_t at = domain_at(address);

	*local_out = (struct ph_slice){ address.p, at };
	return (struct ph_slice){ address.p + at, address.n - at };
}

struct ph_slice
address_fold_into(char *text, size_t n, struct ph_slice address)
{
	char ascii[DOMAIN_TEXT];
	struct ph_slice local;
	struct ph_slice domain = domain_comparable(cut_domain(address, &local), ascii);

	if (local.n + domain.n > n)
		return (struct ph_slice){ NULL, 0 };
	n = local.n + domain.n;
	memcpy(text, local.p, local.n);
	memcpy(text + local.n, domain.p, domain.n);
	ph_lower_in_place(text, n);
	text[n] = '\0';
	return (struct ph_slice){ text, n };
}

struct ph_slice
ph_address_fold(struct ph_arena *arena, struct ph_slice address)
{
	/* Not longer than it is, or than its domain's A-labels are. */
	const size_t n = address.n + DOMAIN_TEXT;

	return address.p == NULL ? address :
	    address_fold_into(ph_arena_alloc(arena, n + 1), n, address);
}

bool
ph_address_eq(struct ph_slice a, struct ph_slice b)
{
	struct ph_slice domain[2], local[2];

	domain[0] = cut_domain(a, &local[0]);
	domain[1] = cut_domain(b, &local[1]);
	return ph_slice_eq_nocase(local[0], local[1]) &&
	    ph_domain_eq(domain[0], domain[1]);
}
