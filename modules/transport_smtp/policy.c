/* SPDX-License-Identifier: Apache-2.0 */
/* policy.c - the list tls_policy. */
#include "policy.h"

#include <posthouse/mail.h>

const char *const tls_mode_names[] = { "none", "may", "encrypt", "verify",
	NULL };

/* Space and tabs between the two words. */
static bool
parse(const char *entry, struct ph_slice *name_out, enum tls_mode *mode_out)
{
	struct ph_slice rest = ph_slice_trim(ph_slice_str(entry));
	struct ph_slice name = ph_slice_cut(&rest, ' ');
	struct ph_slice word = ph_slice_trim(rest);

	for (unsigned i = 0; word.p != NULL && tls_mode_names[i] != NULL; i++) {
		if (!ph_slice_eq(word, ph_slice_str(tls_mode_names[i])))
			continue;
		*name_out = name;
		*mode_out = (enum tls_mode)i;
		return true;
	}
	return false;
}

bool
policy_is_entry(const char *entry)
{
	struct ph_slice name;
	enum tls_mode mode;

	if (!parse(entry, &name, &mode) || name.n == 0)
		return false;
	if (name.p[0] == '.') {
		name.p++;
		name.n--;
	}
	return ph_domain_is_valid(name);
}

enum tls_mode
policy_find(const char *const *entries, struct ph_slice name,
    enum tls_mode otherwise)
{
	struct ph_slice pattern;
	enum tls_mode mode;

	for (; *entries != NULL; entries++)
		if (parse(*entries, &pattern, &mode) && ph_domain_fits(pattern, name))
			return mode;
	return otherwise;
}
