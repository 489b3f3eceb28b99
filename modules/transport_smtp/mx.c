/* SPDX-License-Identifier: Apache-2.0 */
/* mx.c - the order in which mail hosts are tried. */
#include "mx.h"

#include <stdlib.h>

static void
shuffle(struct ph_dns_mx *mx, size_t count)
{
	for (size_t i = count; i > 1; i--) {
		size_t other = arc4random_uniform((uint32_t)i);
		struct ph_dns_mx was = mx[i - 1];

		mx[i - 1] = mx[other];
		mx[other] = was;
	}
}

static bool
is_own(const struct ph_dns_mx *mx, const char *own)
{
	return own != NULL &&
	    ph_slice_eq_nocase(ph_slice_str(mx->host), ph_slice_str(own));
}

/* RFC 5321 s5.1: our own preference and all behind it would lead back here. */
static size_t
count_before_own(const struct ph_dns_mx *mx, size_t count, const char *own)
{
	size_t before = count;

	for (size_t i = 0; i < count && before == count; i++)
		if (is_own(&mx[i], own))
			before = i;
	while (before > 0 && before < count &&
	    mx[before - 1].preference == mx[before].preference)
		before--;
	return before;
}

enum mx_answer
mx_order(struct ph_dns_mx *mx, size_t count, const char *own,
    size_t *count_out)
{
	size_t kept = 0;

	for (size_t i = 0; i < count; i++)
		if (mx[i].host[0] != '\0')
			mx[kept++] = mx[i];
	if (kept == 0)
		return MX_NULL;
	count = count_before_own(mx, kept, own);
	if (count == 0)
		return MX_OURSELVES;
	for (size_t i = 0, run; i < count; i += run) {
		for (run = 1; i + run < count &&
		    mx[i + run].preference == mx[i].preference; run++)
			;
		shuffle(mx + i, run);
	}
	*count_out = count;
	return MX_HOSTS;
}
