/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_address.c - a path that is taken is taken again, unchanged, in the form
 * we would write it; lists hold their limit.
 */
#include <stdlib.h>

#include <posthouse/mail.h>

static void
check_path(struct ph_arena *arena, struct ph_slice text)
{
	struct ph_path path, again;
	struct ph_slice rest, written;
	size_t at = 0;

	if (ph_path_parse(arena, text, &path, &rest, &at) != PH_OK) {
		if (at > text.n)
			abort();
		return;
	}
	if (rest.p + rest.n != text.p + text.n)
		abort();
	written = ph_path_format(arena, path.address);
	written = ph_slice_str(ph_arena_printf(arena, "<" PH_SLICE_FMT ">",
	    PH_SLICE_ARG(written)));
	if (ph_path_parse(arena, written, &again, &rest, NULL) != PH_OK ||
	    !ph_slice_eq(path.address, again.address))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct ph_slice text = { (const char *)data, size };
	const struct ph_mailbox_addr *list, *strict;
	struct ph_addr addr;
	size_t count, sound;

	check_path(arena, text);
	count = ph_address_list(arena, text, 50, &list);
	if (count > 50 ||
	    (ph_address_list_strict(arena, text, 50, &strict, &sound) &&
	        sound != count))
		abort();
	ph_domain_is_valid(text);
	ph_address_literal_parse(text, &addr);
	ph_arena_free(arena);
	return 0;
}
