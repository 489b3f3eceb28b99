/* SPDX-License-Identifier: Apache-2.0 */
/*
 * params.c - parameters of MIME header fields.
 *
 * What a field may cost is bounded by PARAMS_MAX before anything is joined
 * (CVE-2026-27859), and joining looks at numbers before names.
 */
#include "mail/params.h"

#include "mail/octet.h"

/* One parameter as written: name[*section][*]=value, RFC 2231 s7. */
struct piece {
	struct ph_slice name; /* without section and star */
	struct ph_slice value;
	int section; /* -1: not a continuation */
	bool extended;
	bool used;
};

static int
peek(const struct params_cursor *c)
{
	return c->at < c->text.n ? (unsigned char)c->text.p[c->at] : -1;
}

static void
skip_cfws(struct params_cursor *c)
{
	size_t depth = 0;

	for (; c->at < c->text.n; c->at++) {
		int octet = peek(c);

		if (octet == '(')
			depth++;
		else if (octet == ')' && depth > 0)
			depth--;
		else if (octet == '\\' && depth > 0 && c->at + 1 < c->text.n)
			c->at++;
		else if (depth == 0 && !octet_is_blank(octet))
			break;
	}
}

struct ph_slice
params_token(struct params_cursor *c)
{
	size_t start;

	skip_cfws(c);
	start = c->at;
	while (octet_is_token(peek(c)))
		c->at++;
	return (struct ph_slice){ c->text.p + start, c->at - start };
}

bool
params_skip(struct params_cursor *c, char octet)
{
	skip_cfws(c);
	if (peek(c) != (unsigned char)octet)
		return false;
	c->at++;
	return true;
}

/* quoted-string, its opening quote skipped. */
static struct ph_slice
take_quoted(struct ph_arena *arena, struct params_cursor *c)
{
	struct ph_slice value;
	size_t start = c->at, n = 0;
	char *p;

	while (peek(c) >= 0 && peek(c) != '"') {
		c->at += peek(c) == '\\' && c->at + 1 < c->text.n ? 2 : 1;
		n++;
	}
	p = ph_arena_alloc(arena, n + 1);
	value = (struct ph_slice){ p, n };
	for (size_t i = start; i < c->at; i++) {
		if (c->text.p[i] == '\\' && i + 1 < c->at)
			i++;
		*p++ = c->text.p[i];
	}
	c->at += peek(c) == '"';
	return value;
}

/* value = token / quoted-string; octets that should have been quoted are
 * taken as they are, up to the ";": mailers forget the quotes. */
static struct ph_slice
take_value(struct ph_arena *arena, struct params_cursor *c)
{
	size_t start;

	skip_cfws(c);
	if (peek(c) == '"') {
		c->at++;
		return take_quoted(arena, c);
	}
	start = c->at;
	while (peek(c) >= 0 && peek(c) != ';' && !octet_is_blank(peek(c)))
		c->at++;
	return ph_arena_slice(arena, (struct ph_slice){ c->text.p + start,
	                          c->at - start });
}

/* Take "*", "*3" or "*3*" off the name. */
static void
split_section(struct piece *piece)
{
	struct ph_slice name = piece->name, section;
	const char *star;
	uint64_t number;

	piece->section = -1;
	if (name.n > 1 && name.p[name.n - 1] == '*') {
		piece->extended = true;
		piece->name.n = --name.n;
	}
	star = memrchr(name.p, '*', name.n);
	if (star == NULL || star == name.p)
		return;
	section = (struct ph_slice){ star + 1,
		(size_t)(name.p + name.n - star - 1) };
	if (section.n > 3 || !ph_slice_number(section, 999, &number))
		return;
	piece->section = (int)number;
	piece->name.n = (size_t)(star - name.p);
}

static bool
take_piece(struct ph_arena *arena, struct params_cursor *c,
    struct piece *piece)
{
	*piece = (struct piece){ .name = params_token(c) };
	if (piece->name.n == 0 || !params_skip(c, '='))
		return false;
	piece->name = ph_arena_slice(arena, piece->name);
	piece->value = take_value(arena, c);
	split_section(piece);
	return true;
}

static struct piece *
find_section(struct piece *pieces, size_t count, struct ph_slice name,
    int section)
{
	for (size_t i = 0; i < count; i++)
		if (pieces[i].section == section && !pieces[i].used &&
		    ph_slice_eq_nocase(pieces[i].name, name))
			return &pieces[i];
	return NULL;
}

/* attribute-char of RFC 2231 s7. */
static bool
is_attribute_char(int c)
{
	return octet_is_token(c) && c < 0x80 && c != '*' && c != '\'' &&
	    c != '%';
}

static void
add_section(struct ph_buf *buf, const struct piece *piece, bool extended)
{
	if (piece->extended || !extended) {
		ph_buf_slice(buf, piece->value);
		return;
	}
	for (size_t i = 0; i < piece->value.n; i++) {
		int c = (unsigned char)piece->value.p[i];

		if (is_attribute_char(c))
			ph_buf_char(buf, (char)c);
		else
			ph_buf_printf(buf, "%%%02X", (unsigned)c);
	}
}

static struct ph_slice
starred(struct ph_arena *arena, struct ph_slice name, bool extended)
{
	char *p;

	if (!extended)
		return name;
	p = ph_arena_alloc(arena, name.n + 2);
	memcpy(p, name.p, name.n);
	p[name.n] = '*';
	return (struct ph_slice){ p, name.n + 1 };
}

/* Sections 0, 1, 2 ... of one name, as one parameter. */
static struct ph_mime_param
join(struct ph_arena *arena, struct piece *pieces, size_t count,
    struct piece *first)
{
	struct ph_mime_param param;
	struct piece *piece = first;
	bool extended = first->extended;
	struct ph_buf buf;

	ph_buf_init(&buf, arena, 256 * 1024);
	for (int section = 1; piece != NULL; section++) {
		piece->used = true;
		add_section(&buf, piece, extended);
		piece = find_section(pieces, count, first->name, section);
	}
	param.name = starred(arena, first->name, extended);
	param.value = ph_buf_content(&buf);
	return param;
}

static struct ph_mime_param
single(struct ph_arena *arena, const struct piece *piece)
{
	struct ph_mime_param param = { piece->name, piece->value };

	if (piece->section >= 0)
		param.name = ph_slice_str(ph_arena_printf(arena,
		    PH_SLICE_FMT "*%d%s", PH_SLICE_ARG(piece->name),
		    piece->section, piece->extended ? "*" : ""));
	else
		param.name = starred(arena, piece->name, piece->extended);
	return param;
}

size_t
params_parse(struct ph_arena *arena, struct params_cursor *c,
    const struct ph_mime_param **params_out)
{
	struct piece pieces[PARAMS_MAX];
	struct ph_mime_param *params;
	size_t count = 0, n = 0;

	while (count < PARAMS_MAX && peek(c) >= 0) {
		if (!params_skip(c, ';')) {
			c->at++; /* stray octets before the next ";" */
			continue;
		}
		count += take_piece(arena, c, &pieces[count]);
	}
	*params_out = NULL;
	if (count == 0)
		return 0;
	params = ph_arena_array(arena, count, sizeof(*params));
	for (size_t i = 0; i < count; i++)
		if (pieces[i].section == 0 && !pieces[i].used)
			params[n++] = join(arena, pieces, count, &pieces[i]);
		else if (pieces[i].section < 0)
			params[n++] = single(arena, &pieces[i]);
	/* sections that have no beginning, as they are */
	for (size_t i = 0; i < count; i++)
		if (pieces[i].section >= 0 && !pieces[i].used)
			params[n++] = single(arena, &pieces[i]);
	*params_out = params;
	return n;
}
