/* SPDX-License-Identifier: Apache-2.0 */
/* header_edit.c - see header_edit.h. */
#include "pipeline/header_edit.h"

#include "base/record.h"
#include "pipeline/field.h"
#include "role/messages.h"

/* The fields as a list: what is changed is relinked, nothing is moved. */
struct line {
	struct line *next;
	struct ph_slice text; /* with its folds and line ends */
};

static const char *
end_of_field(const char *p, const char *end)
{
	while (p < end) {
		const char *newline = memchr(p, '\n', (size_t)(end - p));

		p = newline != NULL ? newline + 1 : end;
		if (p == end || (*p != ' ' && *p != '\t'))
			break;
	}
	return p;
}

static struct line *
cut(struct ph_arena *arena, struct ph_slice header, struct ph_slice *rest_out)
{
	struct line *first = NULL, **last = &first;
	const char *p = header.p, *end = header.p + header.n;

	while (p < end && *p != '\r' && *p != '\n') {
		const char *next = end_of_field(p, end);

		*last = ph_arena_alloc(arena, sizeof(**last));
		(*last)->text = (struct ph_slice){ p, (size_t)(next - p) };
		last = &(*last)->next;
		p = next;
	}
	*rest_out = (struct ph_slice){ p, (size_t)(end - p) };
	return first;
}

static bool
has_name(const struct line *line, struct ph_slice name)
{
	struct ph_slice rest = line->text, own = ph_slice_cut(&rest, ':');

	while (own.n > 0 && (own.p[own.n - 1] == ' ' ||
	    own.p[own.n - 1] == '\t'))
		own.n--; /* RFC 5322 s4.5: obsolete, and read by many */
	return rest.p != NULL && ph_slice_eq_nocase(own, name);
}

/* Where the n-th of that name stands; at the end when there is none. */
static struct line **
find(struct line **at, struct ph_slice name, uint64_t n)
{
	for (; *at != NULL; at = &(*at)->next)
		if (has_name(*at, name) && --n == 0)
			break;
	return at;
}

static bool
has_end(struct ph_slice text)
{
	return text.n > 0 && text.p[text.n - 1] == '\n';
}

static void
insert(struct ph_arena *arena, struct line **at, struct ph_slice field,
    uint64_t number)
{
	struct line *line = ph_arena_alloc(arena, sizeof(*line));

	while (*at != NULL && --number > 0)
		at = &(*at)->next;
	line->text = field;
	line->next = *at;
	*at = line;
}

static void
apply(struct ph_arena *arena, struct line **first, struct ph_slice edit)
{
	struct ph_slice name = record_get(edit, F_NAME);
	struct ph_slice field = record_get(edit, F_TEXT);
	uint64_t n = record_get_u64(edit, F_NUMBER, 1);
	struct line **at = first;

	switch (record_get_u64(edit, F_OP, 0)) {
	case FIELD_INSERT:
		insert(arena, first, field, n);
		break;
	case FIELD_CHANGE:
		at = find(first, name, n);
		if (*at != NULL)
			(*at)->text = field;
		break;
	case FIELD_REMOVE:
		while (*(at = find(at, name, n == 0 ? 1 : n)) != NULL) {
			*at = (*at)->next;
			if (n != 0)
				break;
		}
		break;
	default:
		break;
	}
}

bool
header_edit_is_any(struct ph_slice changes)
{
	struct record_field field;

	while (record_next(&changes, &field))
		if (field.tag == F_EDIT || field.tag == F_ADD_HEADER)
			return true;
	return false;
}

bool
header_edit_is_sound(struct ph_slice edit)
{
	uint64_t op = record_get_u64(edit, F_OP, 0);
	struct ph_slice name = record_get(edit, F_NAME);

	if (!record_is_sound(edit) || name.n == 0 || name.n > 64)
		return false;
	if (op == FIELD_REMOVE)
		return true;
	return (op == FIELD_INSERT || op == FIELD_CHANGE) &&
	    record_get_u64(edit, F_NUMBER, 0) > 0 &&
	    field_is_whole(record_get(edit, F_TEXT));
}

void
header_edit_apply(struct ph_slice header, struct ph_slice changes,
    struct ph_buf *out)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct record_field field;
	struct ph_slice rest;
	struct line *first = cut(arena, header, &rest);

	while (record_next(&changes, &field))
		if (field.tag == F_EDIT)
			apply(arena, &first, field.value);
		else if (field.tag == F_ADD_HEADER)
			insert(arena, &first, field.value, 1);
	for (; first != NULL; first = first->next) {
		ph_buf_slice(out, first->text);
		if (first->next != NULL && !has_end(first->text))
			ph_buf_str(out, "\r\n"); /* it was the last of all */
	}
	ph_buf_slice(out, rest);
	ph_arena_free(arena);
}

void
header_edit_end(struct ph_slice header, struct ph_buf *out)
{
	struct ph_slice rest = header, line = { NULL, 0 };

	while (rest.p != NULL && rest.n > 0)
		line = ph_slice_cut(&rest, '\n');
	ph_buf_slice(out, header);
	if (header.n > 0 && !has_end(header))
		ph_buf_str(out, "\r\n");
	if (header.n == 0 || !has_end(header) ||
	    !(line.n == 0 || ph_slice_eq(line, PH_LIT("\r"))))
		ph_buf_str(out, "\r\n");
}
