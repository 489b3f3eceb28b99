/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mime.c - the tree of a message's parts, in one pass over its lines.
 *
 * The cursor never goes back. Only lines that begin with "--" are looked at,
 * and these are compared by length and hash with the boundaries that are open,
 * the innermost first; an outer one ends all inside it. So neither nesting nor
 * many parts cost more than the octets they are written with (CVE-2020-12100).
 * A boundary is the whole line but for blanks at its end: a prefix is not
 * enough, or "b" would end "bb".
 */
#include <posthouse/mime.h>

#include <posthouse/mail.h>

#include "mail/octet.h"
#include "mail/params.h"

enum {
	DEPTH_MAX = 100,
	PARTS_MAX = 10000,
	PARAM_BUDGET = 50000,   /* of all fields of a message */
	BOUNDARY_MAX = 256,     /* RFC 2046 s5.1.1 says 70 */
	FIELD_MAX = 64 * 1024,  /* what is kept of one field */
	TEXT_BUDGET = 4 << 20,  /* of all fields of a message */
};

struct boundary {
	struct ph_slice text;
	uint32_t hash;
};

struct node {
	struct ph_mime_part part;
	struct node *next;
};

struct parser {
	struct ph_arena *arena;
	struct ph_slice content;
	size_t at;        /* start of the next line */
	uint64_t lines;   /* line ends before it */
	struct boundary open[DEPTH_MAX];
	size_t open_count;
	size_t part_count;
	size_t param_budget, text_budget;
	/* the delimiter at the cursor, when there is one: */
	int found; /* index into open; -1: none */
	bool found_close;
	size_t found_size; /* of its line */
};

static uint32_t
hash_of(struct ph_slice s)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	for (size_t i = 0; i < s.n; i++)
		hash = (hash ^ (unsigned char)s.p[i]) * 16777619u;
	return hash;
}

static int
find_boundary(const struct parser *p, struct ph_slice text)
{
	uint32_t hash;

	if (text.n == 0 || text.n > BOUNDARY_MAX)
		return -1;
	hash = hash_of(text);
	for (size_t i = p->open_count; i-- > 0;)
		if (p->open[i].hash == hash &&
		    ph_slice_eq(p->open[i].text, text))
			return (int)i;
	return -1;
}

static struct ph_slice
line_at(const struct parser *p)
{
	const char *start = p->content.p + p->at;
	size_t left = p->content.n - p->at;
	const char *lf = left > 0 ? memchr(start, '\n', left) : NULL;

	return (struct ph_slice){ start,
		lf != NULL ? (size_t)(lf - start) + 1 : left };
}

/* delimiter := "--" boundary; close-delimiter := delimiter "--";
 * then transport padding. RFC 2046 s5.1.1 */
static bool
is_delimiter(struct parser *p, struct ph_slice line)
{
	struct ph_slice text = line;

	if (p->open_count == 0 || line.n < 3 || line.p[0] != '-' ||
	    line.p[1] != '-')
		return false;
	text.p += 2;
	text.n -= 2;
	while (text.n > 0 && octet_is_blank((unsigned char)text.p[text.n - 1]))
		text.n--;
	p->found_size = line.n;
	p->found_close = false;
	p->found = find_boundary(p, text);
	if (p->found < 0 && text.n > 2 && text.p[text.n - 1] == '-' &&
	    text.p[text.n - 2] == '-') {
		text.n -= 2;
		p->found = find_boundary(p, text);
		p->found_close = p->found >= 0;
	}
	return p->found >= 0;
}

static void
skip_line(struct parser *p, size_t n)
{
	p->at += n;
	p->lines += n > 0 && p->content.p[p->at - 1] == '\n';
}

/* Advance to the next delimiter; false at the end of the content. */
static bool
skip_to_delimiter(struct parser *p)
{
	p->found = -1;
	if (p->open_count == 0) {
		const char *rest = p->content.p + p->at;
		const char *end = p->content.p + p->content.n;

		while (rest < end &&
		    (rest = memchr(rest, '\n', (size_t)(end - rest))) != NULL) {
			p->lines++;
			rest++;
		}
		p->at = p->content.n;
		return false;
	}
	while (p->at < p->content.n) {
		struct ph_slice line = line_at(p);

		if (is_delimiter(p, line))
			return true;
		skip_line(p, line.n);
	}
	return false;
}

/* --- header fields --- */

static struct ph_slice
keep(struct parser *p, struct ph_slice text)
{
	if (text.n > p->text_budget)
		return (struct ph_slice){ NULL, 0 };
	p->text_budget -= text.n;
	return ph_arena_slice(p->arena, text);
}

static size_t
take_params(struct parser *p, struct params_cursor *c,
    const struct ph_mime_param **params_out)
{
	size_t count;

	*params_out = NULL;
	if (p->param_budget < PARAMS_MAX || p->text_budget < c->text.n)
		return 0;
	p->text_budget -= c->text.n;
	count = params_parse(p->arena, c, params_out);
	p->param_budget -= count;
	return count;
}

/* content := "Content-Type" ":" type "/" subtype *(";" parameter) */
static void
take_type(struct parser *p, struct ph_mime_part *part, struct ph_slice text)
{
	struct params_cursor c = { text, 0 };
	struct ph_slice type = params_token(&c), subtype;

	if (type.n == 0 || !params_skip(&c, '/'))
		return;
	subtype = params_token(&c);
	if (subtype.n == 0)
		return;
	part->type = keep(p, type);
	part->subtype = keep(p, subtype);
	if (part->type.p == NULL || part->subtype.p == NULL) {
		part->type = PH_LIT("text");
		part->subtype = PH_LIT("plain");
	}
	part->param_count = take_params(p, &c, &part->params);
}

static void
take_disposition(struct parser *p, struct ph_mime_part *part,
    struct ph_slice text)
{
	struct params_cursor c = { text, 0 };
	struct ph_slice token = params_token(&c);

	if (token.n == 0)
		return;
	part->disposition = keep(p, token);
	part->disposition_param_count = take_params(p, &c,
	    &part->disposition_params);
}

static void
take_encoding(struct parser *p, struct ph_mime_part *part,
    struct ph_slice text)
{
	struct params_cursor c = { text, 0 };
	struct ph_slice token = params_token(&c);

	if (token.n > 0)
		part->encoding = keep(p, token);
}

static void
take_field(struct parser *p, struct ph_mime_part *part,
    const struct ph_header_field *field, bool *has_type)
{
	struct ph_slice name = field->name, text = field->value, *plain = NULL;

	if (!ph_slice_starts_nocase(name, "Content-"))
		return;
	if (text.n > FIELD_MAX)
		text.n = FIELD_MAX;
	name.p += 8;
	name.n -= 8;
	text = ph_header_unfold(p->arena, text);
	if (ph_slice_eq_nocase(name, PH_LIT("Type"))) {
		if (!*has_type)
			take_type(p, part, text);
		*has_type = true;
	} else if (ph_slice_eq_nocase(name, PH_LIT("Transfer-Encoding"))) {
		if (part->encoding.p == NULL)
			take_encoding(p, part, text);
	} else if (ph_slice_eq_nocase(name, PH_LIT("Disposition"))) {
		if (part->disposition.p == NULL)
			take_disposition(p, part, text);
	} else if (ph_slice_eq_nocase(name, PH_LIT("ID"))) {
		plain = &part->id;
	} else if (ph_slice_eq_nocase(name, PH_LIT("Description"))) {
		plain = &part->description;
	} else if (ph_slice_eq_nocase(name, PH_LIT("MD5"))) {
		plain = &part->md5;
	} else if (ph_slice_eq_nocase(name, PH_LIT("Language"))) {
		plain = &part->language;
	} else if (ph_slice_eq_nocase(name, PH_LIT("Location"))) {
		plain = &part->location;
	}
	if (plain != NULL && plain->p == NULL)
		*plain = keep(p, text);
}

/* RFC 2045 s5.2; in multipart/digest RFC 2046 s5.1.5. */
static void
default_type(struct ph_mime_part *part, bool in_digest)
{
	static const struct ph_mime_param ascii[] = { { { "charset", 7 },
		{ "us-ascii", 8 } } };

	part->type = in_digest ? PH_LIT("message") : PH_LIT("text");
	part->subtype = in_digest ? PH_LIT("rfc822") : PH_LIT("plain");
	part->params = in_digest ? NULL : ascii;
	part->param_count = in_digest ? 0 : 1;
}

/*
 * The header section from the cursor: to behind its empty line, or to the
 * delimiter that cuts it short (found is set then).
 */
static void
parse_header(struct parser *p, struct ph_mime_part *part, bool in_digest)
{
	struct ph_slice rest;
	struct ph_header_field field;
	bool has_type = false;

	part->header_at = p->at;
	p->found = -1;
	while (p->at < p->content.n) {
		struct ph_slice line = line_at(p);

		if (is_delimiter(p, line))
			break;
		skip_line(p, line.n);
		if (line.n == 1 ? line.p[0] == '\n' :
		                  line.n == 2 && line.p[0] == '\r' &&
		            line.p[1] == '\n')
			break;
	}
	part->body_at = p->at;
	rest = (struct ph_slice){ p->content.p + part->header_at,
		part->body_at - part->header_at };
	default_type(part, in_digest);
	while (ph_header_next(&rest, &field))
		take_field(p, part, &field, &has_type);
	if (part->encoding.p == NULL)
		part->encoding = PH_LIT("7bit");
}

/* --- parts --- */

static const struct ph_mime_param *
find_param(const struct ph_mime_part *part, struct ph_slice name)
{
	for (size_t i = 0; i < part->param_count; i++)
		if (ph_slice_eq_nocase(part->params[i].name, name))
			return &part->params[i];
	return NULL;
}

static void parse_part(struct parser *p, struct ph_mime_part *part,
    bool in_digest, size_t depth);

static const struct ph_mime_part *
flatten(struct parser *p, const struct node *first, size_t count)
{
	struct ph_mime_part *parts = ph_arena_array(p->arena, count,
	    sizeof(*parts));

	for (size_t i = 0; i < count; i++, first = first->next)
		parts[i] = first->part;
	return parts;
}

/* encapsulation := delimiter CRLF body-part; to the delimiter of an enclosing
 * part, which stays at the cursor. */
static void
parse_multipart(struct parser *p, struct ph_mime_part *part,
    struct ph_slice boundary, size_t depth)
{
	bool digest = ph_slice_eq_nocase(part->subtype, PH_LIT("digest"));
	struct node *first = NULL, **last = &first;
	int own = (int)p->open_count;
	size_t count = 0;
	bool more;

	p->open[own] = (struct boundary){ boundary, hash_of(boundary) };
	p->open_count++;
	more = p->found >= 0 || skip_to_delimiter(p);
	while (more && p->found == own && !p->found_close &&
	    p->part_count < PARTS_MAX) {
		struct node *node = ph_arena_alloc(p->arena, sizeof(*node));

		skip_line(p, p->found_size);
		parse_part(p, &node->part, digest, depth + 1);
		*last = node;
		last = &node->next;
		count++;
		more = p->found >= 0;
	}
	p->open_count--;
	/* the epilogue, and parts over the limit */
	if (more && p->found == own)
		skip_to_delimiter(p);
	part->child_count = count;
	if (count > 0)
		part->children = flatten(p, first, count);
}

/* The line end before a delimiter belongs to it, unless it is the empty line
 * of this part's header or of the message in it. */
static void
set_end(struct parser *p, struct ph_mime_part *part, uint64_t lines_before)
{
	size_t end = p->at, least = part->body_at;

	if (part->child_count > 0)
		least = part->children[part->child_count - 1].end;
	part->lines = p->lines - lines_before;
	if (p->found >= 0 && end > least && p->content.p[end - 1] == '\n') {
		end--;
		part->lines--;
		if (end > least && p->content.p[end - 1] == '\r')
			end--;
	}
	part->end = end;
}

/*
 * One part, up to the delimiter of an enclosing one or the end of the content;
 * p->found tells which.
 */
static void
parse_part(struct parser *p, struct ph_mime_part *part, bool in_digest,
    size_t depth)
{
	const struct ph_mime_param *boundary;
	uint64_t lines;

	p->part_count++;
	parse_header(p, part, in_digest);
	lines = p->lines;
	if (p->found >= 0) {
		set_end(p, part, lines);
		return;
	}
	boundary = ph_slice_eq_nocase(part->type, PH_LIT("multipart")) ?
	    find_param(part, PH_LIT("boundary")) : NULL;
	if (depth + 1 < DEPTH_MAX && boundary != NULL &&
	    boundary->value.n > 0 && boundary->value.n <= BOUNDARY_MAX) {
		parse_multipart(p, part, boundary->value, depth);
	} else if (depth + 1 < DEPTH_MAX && p->part_count < PARTS_MAX &&
	    ph_slice_eq_nocase(part->type, PH_LIT("message")) &&
	    ph_slice_eq_nocase(part->subtype, PH_LIT("rfc822")) &&
	    !ph_slice_eq_nocase(part->encoding, PH_LIT("base64"))) {
		struct ph_mime_part *child = ph_arena_alloc(p->arena,
		    sizeof(*child));

		parse_part(p, child, false, depth + 1);
		part->children = child;
		part->child_count = 1;
	} else {
		skip_to_delimiter(p);
	}
	set_end(p, part, lines);
}

const struct ph_mime_part *
ph_mime_parse(struct ph_arena *arena, struct ph_slice content)
{
	struct ph_mime_part *root = ph_arena_alloc(arena, sizeof(*root));
	struct parser *p = ph_arena_alloc(arena, sizeof(*p));

	p->arena = arena;
	p->content = content;
	if (content.p == NULL)
		p->content.p = "";
	p->param_budget = PARAM_BUDGET;
	p->text_budget = TEXT_BUDGET;
	p->found = -1;
	parse_part(p, root, false, 0);
	return root;
}

/* --- what is in UTF-8 --- */

static bool
is_ascii_between(struct ph_slice content, uint64_t from, uint64_t to)
{
	return !octet_any_high((struct ph_slice){ content.p + from,
	    (size_t)(to - from) });
}

/* A part that would have parts, if the parser had not stopped at it. */
static bool
is_opaque(const struct ph_mime_part *part)
{
	return part->child_count == 0 &&
	    (ph_slice_eq_nocase(part->type, PH_LIT("multipart")) ||
	        (ph_slice_eq_nocase(part->type, PH_LIT("message")) &&
	            ph_slice_eq_nocase(part->subtype, PH_LIT("rfc822"))));
}

static bool
is_ascii_in(const struct ph_mime_part *part, struct ph_slice content,
    size_t *count)
{
	if (!is_ascii_between(content, part->header_at, part->body_at) ||
	    (is_opaque(part) &&
	        !is_ascii_between(content, part->body_at, part->end)))
		return false;
	*count += 1;
	for (size_t i = 0; i < part->child_count; i++)
		if (!is_ascii_in(&part->children[i], content, count))
			return false;
	return true;
}

bool
ph_mime_header_is_ascii(const struct ph_mime_part *root,
    struct ph_slice content)
{
	size_t count = 0;

	return is_ascii_in(root, content, &count) &&
	    (count < PARTS_MAX ||
	        is_ascii_between(content, root->body_at, root->end));
}
