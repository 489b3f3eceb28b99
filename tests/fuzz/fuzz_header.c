/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_header.c - fields cover the header section without a gap; what comes
 * out of unfolding and encoded words has no line end; dates that are read can
 * be written.
 */
#include <stdlib.h>

#include <posthouse/mail.h>

static void
check_value(struct ph_arena *arena, struct ph_slice value)
{
	struct ph_slice text = ph_header_unfold(arena, value);
	int64_t time;
	char date[PH_DATE_MAX];
	int zone;

	text = ph_encoded_words(arena, text);
	if (text.n > 0 && (memchr(text.p, '\n', text.n) != NULL ||
	                      memchr(text.p, '\r', text.n) != NULL))
		abort();
	if (ph_date_parse(value, &time, &zone))
		ph_date_format(time, date);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct ph_slice rest = { (const char *)data, size };
	struct ph_header_field field;
	size_t at = 0, header = ph_header_size(rest);

	while (ph_header_next(&rest, &field)) {
		if (field.whole.p != (const char *)data + at)
			abort();
		at += field.whole.n;
		check_value(arena, field.value);
	}
	if (header < at || header > at + 2)
		abort();
	ph_arena_free(arena);
	return 0;
}
