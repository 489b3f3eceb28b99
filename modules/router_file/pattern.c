/* SPDX-License-Identifier: Apache-2.0 */
/* pattern.c - which addresses an entry of a list means. */
#include "pattern.h"

#include <posthouse/mail.h>

struct ph_slice
pattern_word(struct ph_slice *rest)
{
	struct ph_slice word;

	*rest = ph_slice_trim(*rest);
	word = ph_slice_cut(rest, ' ');
	if (rest->p == NULL)
		*rest = PH_LIT("");
	return word;
}

bool
pattern_fits(struct ph_slice pattern, struct ph_slice address)
{
	struct ph_slice domain = ph_address_domain(address);

	if (ph_slice_eq(pattern, PH_LIT("*")))
		return true;
	if (memchr(pattern.p, '@', pattern.n) != NULL)
		return ph_address_eq(pattern, address);
	return domain.p != NULL && ph_domain_fits(pattern, domain);
}
