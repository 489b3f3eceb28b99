/* SPDX-License-Identifier: Apache-2.0 */
/* field.c - see field.h. */
#include "pipeline/field.h"

#include "base/record.h"
#include "role/messages.h"

enum {
	LINE = 78,
	LINE_MAX_OCTETS = 998, /* RFC 5322 s2.1.1 */
};

static bool
is_field_name(const char *name)
{
	size_t n = strlen(name);

	for (size_t i = 0; i < n; i++)
		if (name[i] <= ' ' || name[i] >= 0x7f || name[i] == ':')
			return false;
	return n > 0 && n < 64;
}

bool
field_put(struct ph_buf *buf, const char *name, const char *value)
{
	struct ph_buf field;
	bool good;
	size_t line = strlen(name) + 2;

	if (!is_field_name(name))
		return false;
	ph_buf_init(&field, NULL, FIELD_MAX);
	ph_buf_printf(&field, "%s: ", name);
	while (*value != '\0') {
		size_t n = strcspn(value + 1, " ") + 1;

		if (line + n > LINE && *value == ' ') {
			ph_buf_str(&field, "\r\n");
			line = 0;
		}
		if (line + n > LINE_MAX_OCTETS && line < LINE_MAX_OCTETS) {
			n = LINE_MAX_OCTETS - line;
		} else if (line == LINE_MAX_OCTETS) {
			ph_buf_str(&field, "\r\n ");
			line = 1;
			continue;
		}
		ph_buf_add(&field, value, n);
		line += n;
		value += n;
	}
	ph_buf_str(&field, "\r\n");
	good = !field.full;
	if (good)
		ph_buf_slice(buf, ph_buf_content(&field));
	ph_buf_fini(&field);
	return good;
}

bool
field_is_whole(struct ph_slice field)
{
	size_t name = 0;

	while (name < field.n && field.p[name] > ' ' && field.p[name] < 0x7f &&
	    field.p[name] != ':')
		name++;
	if (name == 0 || name == field.n || field.p[name] != ':' ||
	    field.n < 2 || memcmp(field.p + field.n - 2, "\r\n", 2) != 0)
		return false;
	for (size_t i = name; i < field.n - 2; i++) {
		bool is_fold = field.p[i] == '\r' && field.p[i + 1] == '\n' &&
		    (field.p[i + 2] == ' ' || field.p[i + 2] == '\t');

		if (is_fold)
			i++;
		else if (field.p[i] == '\r' || field.p[i] == '\n' ||
		    field.p[i] == '\0')
			return false;
	}
	return true;
}

static size_t
begin_edit(struct ph_buf *buf, enum field_change change, const char *name,
    unsigned n)
{
	size_t mark = record_begin(buf, F_EDIT);

	record_put_u64(buf, F_OP, change);
	record_put_str(buf, F_NAME, name);
	record_put_u64(buf, F_NUMBER, n);
	return mark;
}

void
field_put_removal(struct ph_buf *buf, const char *name, unsigned n)
{
	if (is_field_name(name))
		record_end(buf, begin_edit(buf, FIELD_REMOVE, name, n));
}

void
field_put_change(struct ph_buf *buf, enum field_change change, unsigned at,
    const char *name, const char *value)
{
	struct ph_buf field;
	size_t mark;

	ph_buf_init(&field, NULL, FIELD_MAX);
	if (field_put(&field, name, value)) {
		mark = begin_edit(buf, change, name, at > 0 ? at : 1);
		record_put(buf, F_TEXT, ph_buf_content(&field));
		record_end(buf, mark);
	}
	ph_buf_fini(&field);
}
