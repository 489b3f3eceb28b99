/* SPDX-License-Identifier: Apache-2.0 */
/* edit.c - users files rewritten line by line. */
#include "edit.h"

#include <posthouse/domain.h>

#include "users.h"

/* A line with its end; absent *rest: none is left. */
static struct ph_slice
next_line(struct ph_slice *rest)
{
	const char *end = memchr(rest->p, '\n', rest->n);
	size_t n = end != NULL ? (size_t)(end - rest->p) + 1 : rest->n;
	struct ph_slice line = { rest->p, n };

	rest->p += n;
	rest->n -= n;
	return line;
}

static bool
is_of(struct ph_slice line, struct ph_slice name, struct users_line *parts_out)
{
	const char *why;

	return users_parse_line(line, parts_out, &why) == USERS_USER &&
	    ph_address_eq(parts_out->name, name);
}

static bool
has_alias(struct ph_slice line, struct ph_slice name)
{
	struct users_line parts;
	const char *why;

	if (users_parse_line(line, &parts, &why) != USERS_USER)
		return false;
	while (parts.aliases.p != NULL)
		if (ph_address_eq(name,
		        ph_slice_trim(ph_slice_cut(&parts.aliases, ','))))
			return true;
	return false;
}

int
edit_add(struct ph_slice text, struct ph_slice name, struct ph_slice hash,
    struct ph_buf *out)
{
	struct ph_slice rest = text;
	struct users_line parts;

	while (rest.n > 0) {
		struct ph_slice line = next_line(&rest);

		if (is_of(line, name, &parts) || has_alias(line, name))
			return PH_EXISTS;
	}
	ph_buf_slice(out, text);
	if (text.n > 0 && text.p[text.n - 1] != '\n')
		ph_buf_char(out, '\n');
	ph_buf_slice(out, name);
	ph_buf_char(out, ':');
	ph_buf_slice(out, hash);
	ph_buf_char(out, '\n');
	return out->full ? PH_TOO_BIG : PH_OK;
}

/* The first line of the name is the one that counts; a later one is an error
 * for users_parse and goes with it when the user is deleted. */
int
edit_passwd(struct ph_slice text, struct ph_slice name, struct ph_slice hash,
    struct ph_buf *out)
{
	bool done = false;

	while (text.n > 0) {
		struct ph_slice line = next_line(&text);
		struct users_line parts;
		size_t upto;

		if (done || !is_of(line, name, &parts)) {
			ph_buf_slice(out, line);
			continue;
		}
		upto = (size_t)(parts.hash.p - line.p);
		ph_buf_add(out, line.p, upto);
		ph_buf_slice(out, hash);
		ph_buf_add(out, line.p + upto + parts.hash.n,
		    line.n - upto - parts.hash.n);
		done = true;
	}
	if (!done)
		return PH_NOT_FOUND;
	return out->full ? PH_TOO_BIG : PH_OK;
}

int
edit_del(struct ph_slice text, struct ph_slice name, struct ph_buf *out)
{
	bool done = false;

	while (text.n > 0) {
		struct ph_slice line = next_line(&text);
		struct users_line parts;

		if (is_of(line, name, &parts))
			done = true;
		else
			ph_buf_slice(out, line);
	}
	if (!done)
		return PH_NOT_FOUND;
	return out->full ? PH_TOO_BIG : PH_OK;
}
