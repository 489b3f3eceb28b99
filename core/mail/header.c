/* SPDX-License-Identifier: Apache-2.0 */
/*
 * header.c - the fields of a header section, found by line ends alone.
 *
 * Lines end with LF, with or without CR. Whatever stands before the first
 * empty line is the header section, also lines that are no fields: so the
 * start of the body never depends on what a line says.
 */
#include <posthouse/mail.h>

#include "mail/octet.h"

/* Octets of the first line, its line end included. */
static size_t
line_size(struct ph_slice text)
{
	const char *lf = memchr(text.p, '\n', text.n);

	return lf != NULL ? (size_t)(lf - text.p) + 1 : text.n;
}

static struct ph_slice
without_line_end(struct ph_slice text)
{
	if (text.n > 0 && text.p[text.n - 1] == '\n')
		text.n--;
	if (text.n > 0 && text.p[text.n - 1] == '\r')
		text.n--;
	return text;
}

/*
 * field-name = 1*ftext, obs: followed by WSP; ftext = %d33-57 / %d59-126.
 * RFC 5322 s3.6.8, s4.5.8. RFC 6532 leaves names ASCII.
 */
static void
split_field(struct ph_slice whole, struct ph_header_field *field)
{
	struct ph_slice text = without_line_end(whole);
	size_t n = 0, colon;

	field->whole = whole;
	field->name = (struct ph_slice){ NULL, 0 };
	field->value = text;
	while (n < text.n && text.p[n] > ' ' && text.p[n] < 0x7f &&
	    text.p[n] != ':')
		n++;
	colon = n;
	while (colon < text.n && (text.p[colon] == ' ' ||
	                             text.p[colon] == '\t'))
		colon++;
	if (n == 0 || colon == text.n || text.p[colon] != ':')
		return;
	field->name = (struct ph_slice){ text.p, n };
	field->value = (struct ph_slice){ text.p + colon + 1,
		text.n - colon - 1 };
}

bool
ph_header_next(struct ph_slice *rest, struct ph_header_field *field_out)
{
	struct ph_slice text = *rest;
	size_t n;

	if (text.n == 0)
		return false;
	n = line_size(text);
	if (without_line_end((struct ph_slice){ text.p, n }).n == 0) {
		*rest = (struct ph_slice){ text.p + n, text.n - n };
		return false;
	}
	while (n < text.n && (text.p[n] == ' ' || text.p[n] == '\t'))
		n += line_size((struct ph_slice){ text.p + n, text.n - n });
	split_field((struct ph_slice){ text.p, n }, field_out);
	*rest = (struct ph_slice){ text.p + n, text.n - n };
	return true;
}

bool
ph_header_find(struct ph_slice message, const char *name,
    struct ph_header_field *field_out)
{
	struct ph_slice rest = message, wanted = ph_slice_str(name);
	struct ph_header_field field;

	while (ph_header_next(&rest, &field)) {
		if (ph_slice_eq_nocase(field.name, wanted)) {
			*field_out = field;
			return true;
		}
	}
	return false;
}

struct ph_slice
ph_header_unfold(struct ph_arena *arena, struct ph_slice value)
{
	struct ph_slice text = ph_slice_trim(value);
	size_t n = 0;
	char *p;

	if (text.n == 0)
		return PH_LIT("");
	if (memchr(text.p, '\n', text.n) == NULL &&
	    memchr(text.p, '\r', text.n) == NULL)
		return text;
	p = ph_arena_alloc(arena, text.n + 1);
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] != '\r' && text.p[i] != '\n')
			p[n++] = text.p[i];
	return (struct ph_slice){ p, n };
}

size_t
ph_header_size(struct ph_slice message)
{
	struct ph_slice rest = message;
	struct ph_header_field field;

	while (ph_header_next(&rest, &field))
		;
	return message.n - rest.n;
}
