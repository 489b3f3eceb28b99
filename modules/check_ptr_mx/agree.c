/* SPDX-License-Identifier: Apache-2.0 */
/* agree.c - see agree.h. */
#include "agree.h"

static struct ph_slice
without_dot(struct ph_slice name)
{
	if (name.n > 0 && name.p[name.n - 1] == '.')
		name.n--;
	return name;
}

bool
is_same_name(struct ph_slice a, struct ph_slice b)
{
	return ph_slice_eq_nocase(without_dot(a), without_dot(b));
}

bool
is_below(struct ph_slice name, struct ph_slice domain)
{
	struct ph_slice tail;

	name = without_dot(name);
	domain = without_dot(domain);
	if (domain.n == 0 || name.n < domain.n)
		return false;
	tail = (struct ph_slice){ name.p + name.n - domain.n, domain.n };
	return ph_slice_eq_nocase(tail, domain) &&
	    (name.n == domain.n || tail.p[-1] == '.');
}

static bool
is_mx(struct ph_slice name, const struct ph_dns_answer *mx)
{
	for (size_t i = 0; i < mx->count; i++)
		if (is_same_name(name, ph_slice_str(mx->mx[i].host)))
			return true;
	return false;
}

enum agree_answer
mx_agrees(const char *const *names, size_t count, struct ph_slice domain,
    const struct ph_dns_answer *mx, bool with_domain)
{
	for (size_t i = 0; i < count; i++) {
		struct ph_slice name = ph_slice_str(names[i]);

		if (with_domain && is_below(name, domain))
			return AGREE_YES;
		if (mx->result == PH_DNS_OK ? is_mx(name, mx) :
		        mx->result == PH_DNS_NO_DATA &&
		            is_same_name(name, domain))
			return AGREE_YES;
	}
	return mx->result == PH_DNS_NO_ANSWER ? AGREE_UNSURE : AGREE_NO;
}
