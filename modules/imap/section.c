/* SPDX-License-Identifier: Apache-2.0 */
/* section.c - see section.h. RFC 3501 s6.4.5. */
#include "section.h"

#include <posthouse/mail.h>

static const char *const what_names[] = {
	[SECTION_WHOLE] = "",
	[SECTION_HEADER] = "HEADER",
	[SECTION_FIELDS] = "HEADER.FIELDS",
	[SECTION_FIELDS_NOT] = "HEADER.FIELDS.NOT",
	[SECTION_TEXT] = "TEXT",
	[SECTION_MIME] = "MIME",
};

/* --- text --- */

/* A name that can stand in a header: it goes back to the client. */
static bool
is_field_name(struct ph_slice name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] > '~' || name.p[i] == ':')
			return false;
	return name.n > 0;
}

/* header-list = "(" header-fld-name *(SP header-fld-name) ")" */
static bool
take_fields(struct lex *lex, struct section *section)
{
	struct ph_slice *fields = ph_arena_array(lex->arena,
	    SECTION_FIELDS_MAX, sizeof(*fields));

	if (!lex_space(lex) || !lex_char(lex, '('))
		return false;
	do {
		if (section->field_count == SECTION_FIELDS_MAX ||
		    !lex_astring(lex, &fields[section->field_count]) ||
		    !is_field_name(fields[section->field_count]))
			return false;
		section->field_count++;
	} while (lex_space(lex));
	section->fields = fields;
	return lex_char(lex, ')');
}

static bool
take_what(struct lex *lex, struct section *section)
{
	struct ph_slice word;

	if (!lex_item(lex, &word))
		return false;
	for (int i = SECTION_HEADER; i <= SECTION_MIME; i++) {
		if (!ph_slice_eq_nocase(word, ph_slice_str(what_names[i])))
			continue;
		section->what = (enum section_what)i;
		if (i == SECTION_MIME)
			return section->depth > 0;
		return (i != SECTION_FIELDS && i != SECTION_FIELDS_NOT) ||
		    take_fields(lex, section);
	}
	return false;
}

/* section-part = nz-number *("." nz-number); the path grows as it is read, so
 * that a long one costs its length. */
static bool
take_path(struct lex *lex, struct section *section, bool *more_out)
{
	uint32_t path[SECTION_DEPTH_MAX], *copy;
	uint64_t number;

	*more_out = true;
	while (lex_number(lex, UINT32_MAX, &number)) {
		if (number == 0 || section->depth == SECTION_DEPTH_MAX)
			return false;
		path[section->depth++] = (uint32_t)number;
		*more_out = lex_char(lex, '.');
		if (!*more_out)
			break;
	}
	if (section->depth == 0)
		return true;
	copy = ph_arena_array(lex->arena, section->depth, sizeof(*copy));
	memcpy(copy, path, section->depth * sizeof(*copy));
	section->path = copy;
	return true;
}

/* section = "[" [section-spec] "]" */
bool
section_parse(struct lex *lex, struct section *section_out)
{
	struct section section = { .what = SECTION_WHOLE };
	bool more;

	if (!lex_char(lex, '['))
		return false;
	if (lex_peek(lex) != ']' && (!take_path(lex, &section, &more) ||
	                                (more && !take_what(lex, &section))))
		return false;
	if (!lex_char(lex, ']'))
		return false;
	*section_out = section;
	return true;
}

static void
put_field_name(struct ph_buf *buf, struct ph_slice name)
{
	bool atom = true;

	for (size_t i = 0; i < name.n; i++)
		atom = atom && strchr("(){%*\"\\]", name.p[i]) == NULL;
	if (atom) {
		ph_buf_slice(buf, name);
		return;
	}
	ph_buf_char(buf, '"');
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] == '"' || name.p[i] == '\\')
			ph_buf_char(buf, '\\');
		ph_buf_char(buf, name.p[i]);
	}
	ph_buf_char(buf, '"');
}

void
section_format(const struct section *section, struct ph_buf *buf)
{
	for (size_t i = 0; i < section->depth; i++)
		ph_buf_printf(buf, "%s%u", i > 0 ? "." : "", section->path[i]);
	if (section->what == SECTION_WHOLE)
		return;
	ph_buf_printf(buf, "%s%s", section->depth > 0 ? "." : "",
	    what_names[section->what]);
	for (size_t i = 0; i < section->field_count; i++) {
		ph_buf_str(buf, i == 0 ? " (" : " ");
		put_field_name(buf, section->fields[i]);
	}
	if (section->field_count > 0)
		ph_buf_char(buf, ')');
}

bool
section_eq(const struct section *a, const struct section *b)
{
	if (a->what != b->what || a->depth != b->depth ||
	    a->field_count != b->field_count)
		return false;
	for (size_t i = 0; i < a->depth; i++)
		if (a->path[i] != b->path[i])
			return false;
	for (size_t i = 0; i < a->field_count; i++)
		if (!ph_slice_eq(a->fields[i], b->fields[i]))
			return false;
	return true;
}

/* --- parts --- */

static bool
is_message(const struct ph_mime_part *part)
{
	return part->child_count == 1 &&
	    ph_slice_eq_nocase(part->type, PH_LIT("message"));
}

/* Part n of a message whose topmost part is top: RFC 3501 s6.4.5, "every
 * message has at least one part number". */
static const struct ph_mime_part *
part_of_message(const struct ph_mime_part *top, uint32_t n)
{
	if (top->child_count > 0 && !is_message(top))
		return n <= top->child_count ? &top->children[n - 1] : NULL;
	return n == 1 ? top : NULL;
}

static const struct ph_mime_part *
find_part(const struct section *section, const struct ph_mime_part *root)
{
	const struct ph_mime_part *part;

	if (section->depth == 0)
		return root;
	part = part_of_message(root, section->path[0]);
	for (size_t i = 1; i < section->depth && part != NULL; i++) {
		if (is_message(part))
			part = part_of_message(&part->children[0],
			    section->path[i]);
		else if (section->path[i] <= part->child_count)
			part = &part->children[section->path[i] - 1];
		else
			part = NULL;
	}
	return part;
}

static struct ph_slice
piece(struct ph_slice content, uint64_t start, uint64_t end)
{
	if (start > end || end > content.n)
		return (struct ph_slice){ NULL, 0 };
	return (struct ph_slice){ content.p + start, end - start };
}

static bool
is_listed(const struct section *section, struct ph_slice name)
{
	for (size_t i = 0; i < section->field_count; i++)
		if (ph_slice_eq_nocase(section->fields[i], name))
			return true;
	return false;
}

struct ph_slice
section_fields(struct ph_arena *arena, const struct section *section,
    struct ph_slice header)
{
	bool wanted = section->what == SECTION_FIELDS;
	struct ph_slice rest = header;
	struct ph_header_field field;
	struct ph_buf buf;

	ph_buf_init(&buf, arena, header.n + 4);
	while (ph_header_next(&rest, &field))
		if (is_listed(section, field.name) == wanted)
			ph_buf_slice(&buf, field.whole);
	if (buf.n > 0 && buf.p[buf.n - 1] != '\n')
		ph_buf_str(&buf, "\r\n");
	ph_buf_str(&buf, "\r\n");
	return ph_buf_content(&buf);
}

/* The message whose header or text is meant: the whole one, or the one inside
 * a message/rfc822 part. */
static struct ph_slice
find_in_message(struct ph_arena *arena, const struct section *section,
    struct ph_slice message)
{
	size_t body_at = ph_header_size(message);
	struct ph_slice header = { message.p, body_at };

	switch (section->what) {
	case SECTION_HEADER:
		return header;
	case SECTION_TEXT:
		return (struct ph_slice){ message.p + body_at,
			message.n - body_at };
	case SECTION_FIELDS:
	case SECTION_FIELDS_NOT:
		return section_fields(arena, section, header);
	default:
		return message;
	}
}

struct ph_slice
section_find(struct ph_arena *arena, const struct section *section,
    const struct ph_mime_part *root, struct ph_slice content)
{
	const struct ph_mime_part *part;
	struct ph_slice inner;

	if (section->depth == 0)
		return find_in_message(arena, section, content);
	part = find_part(section, root);
	if (part == NULL)
		return (struct ph_slice){ NULL, 0 };
	if (section->what == SECTION_WHOLE)
		return piece(content, part->body_at, part->end);
	if (section->what == SECTION_MIME)
		return piece(content, part->header_at, part->body_at);
	if (!is_message(part))
		return (struct ph_slice){ NULL, 0 };
	inner = piece(content, part->children[0].header_at,
	    part->children[0].end);
	return inner.p == NULL ? inner :
	                         find_in_message(arena, section, inner);
}
