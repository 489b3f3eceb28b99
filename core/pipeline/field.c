/* SPDX-License-Identifier: Apache-2.0 */
/* field.c - see field.h. */
#include "pipeline/field.h"

enum { LINE = 78 };

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
