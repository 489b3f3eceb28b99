/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recode.c - the plan: a walk over the message's parts that leaves a list of
 * pieces to copy and pieces to encode. Nothing is copied here.
 */
#include "recode.h"

#include <posthouse/mail.h>
#include <posthouse/mime.h>

enum {
	LINE_OCTETS_MAX = 998, /* RFC 5322 s2.1.1 */
	/* The parser cuts at 10,000 parts: what lies between the parts of a
	 * message so large may be parts. */
	PARTS_MAX = 9000,
};

struct walk {
	struct ph_arena *arena;
	struct ph_slice content;
	bool is_binary;
	struct recode_step *steps;
	size_t count, room;
	size_t parts;
	uint64_t size_bytes;
	const char *why; /* NULL: all is well */
};

/* --- what octets need --- */

static bool
is_high(struct ph_slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return true;
	return false;
}

/* RFC 2045 s2.9: NUL, CR and LF apart, or lines too long for SMTP. */
static bool
is_unlined(struct ph_slice s)
{
	size_t line = 0;

	for (size_t i = 0; i < s.n; i++, line++) {
		if (s.p[i] == '\0' || line > LINE_OCTETS_MAX ||
		    (s.p[i] == '\n' && (i == 0 || s.p[i - 1] != '\r')) ||
		    (s.p[i] == '\r' && (i + 1 == s.n || s.p[i + 1] != '\n')))
			return true;
		if (s.p[i] == '\n')
			line = 0;
	}
	return false;
}

static bool
needs_encoding(const struct walk *walk, struct ph_slice s)
{
	return is_high(s) || (walk->is_binary && is_unlined(s));
}

static struct ph_slice
octets(const struct walk *walk, uint64_t from, uint64_t to)
{
	return (struct ph_slice){ walk->content.p + from,
		(size_t)(to > from ? to - from : 0) };
}

/* --- steps --- */

/* Whether quoted-printable writes it as it is, nearly always. */
static bool
is_plain(struct ph_slice s, size_t at)
{
	unsigned char c = (unsigned char)s.p[at];

	if (c == ' ' || c == '\t')
		return at + 1 < s.n && s.p[at + 1] != '\r';
	return (c > ' ' && c < 0x7f && c != '=' &&
	           (c != '-' || (at > 0 && s.p[at - 1] != '\n'))) ||
	    c == '\r' || c == '\n';
}

static uint64_t
size_of(enum recode_way way, struct ph_slice s)
{
	uint64_t out = 0;

	if (way == RECODE_BASE64)
		return (s.n + 2) / 3 * 4 + s.n / 57 * 2;
	if (way == RECODE_COPY || way == RECODE_MASK)
		return s.n;
	for (size_t i = 0; i < s.n; i++)
		out += is_plain(s, i) ? 1 : 3;
	return out + out / 72 * 5 + 2; /* soft breaks */
}

static void
add(struct walk *walk, enum recode_way way, struct ph_slice s)
{
	struct recode_step *wider;

	if (s.n == 0)
		return;
	if (walk->count == walk->room) {
		walk->room = walk->room > 0 ? walk->room * 2 : 32;
		wider = ph_arena_array(walk->arena, walk->room,
		    sizeof(*wider));
		if (walk->count > 0)
			memcpy(wider, walk->steps,
			    walk->count * sizeof(*wider));
		walk->steps = wider;
	}
	walk->steps[walk->count++] = (struct recode_step){ way, s };
	walk->size_bytes += size_of(way, s);
}

static bool
refuse(struct walk *walk, const char *why)
{
	walk->why = why;
	return false;
}

/* --- the header of a part --- */

static bool
is_encoding(const struct ph_mime_part *part, const char *name)
{
	return ph_slice_eq_nocase(part->encoding, ph_slice_str(name));
}

static const char *
label_of(enum recode_way way, const struct ph_mime_part *part)
{
	switch (way) {
	case RECODE_PRINTABLE:
		return "quoted-printable";
	case RECODE_BASE64:
		return "base64";
	default:
		return is_encoding(part, "8bit") ||
		    is_encoding(part, "binary") ? "7bit" : NULL;
	}
}

/* RFC 2045 s4: without MIME-Version nothing of it counts. The charset is what
 * gateways write where nobody told one. */
static void
add_missing(struct walk *walk, struct ph_slice header)
{
	struct ph_header_field field;

	if (!ph_header_find(header, "MIME-Version", &field))
		add(walk, RECODE_COPY, PH_LIT("MIME-Version: 1.0\r\n"));
	if (!ph_header_find(header, "Content-Type", &field))
		add(walk, RECODE_COPY, PH_LIT("Content-Type: text/plain; "
		    "charset=unknown-8bit\r\n"));
}

/* The header with the encoding named so (NULL: as it is) in the field that is
 * there, or in one before the empty line. */
static bool
add_header(struct walk *walk, const struct ph_mime_part *part,
    const char *label, bool is_message)
{
	struct ph_slice all = octets(walk, part->header_at, part->body_at);
	struct ph_slice rest = all, words = { NULL, 0 };
	struct ph_header_field field;
	const char *from = all.p;

	if (walk->is_binary && is_unlined(all))
		return refuse(walk, "its header has no lines of SMTP");
	if (label != NULL)
		words = ph_slice_str(ph_arena_printf(walk->arena,
		    "Content-Transfer-Encoding: %s\r\n", label));
	while (label != NULL && ph_header_next(&rest, &field)) {
		if (!ph_slice_eq_nocase(field.name,
		        PH_LIT("Content-Transfer-Encoding")))
			continue;
		add(walk, RECODE_COPY, (struct ph_slice){ from,
		    (size_t)(field.whole.p - from) });
		add(walk, RECODE_COPY, words);
		words.n = 0;
		from = field.whole.p + field.whole.n;
	}
	rest = (struct ph_slice){ from, (size_t)(all.p + all.n - from) };
	if (label == NULL || part->body_at == part->end) {
		add(walk, RECODE_COPY, rest);
		return true;
	}
	/* behind the last field is the empty line */
	if (rest.n < 2 || memcmp(rest.p + rest.n - 2, "\r\n", 2) != 0)
		return refuse(walk, "its header has no end");
	add(walk, RECODE_COPY, (struct ph_slice){ rest.p, rest.n - 2 });
	if (is_message && strcmp(label, "7bit") != 0)
		add_missing(walk, all);
	add(walk, RECODE_COPY, words);
	add(walk, RECODE_COPY, PH_LIT("\r\n"));
	return true;
}

/* --- parts --- */

static bool
is_type(const struct ph_mime_part *part, const char *type)
{
	return ph_slice_eq_nocase(part->type, ph_slice_str(type));
}

bool
recode_is_global(const struct ph_mime_part *part)
{
	return is_type(part, "message") &&
	    ph_slice_starts_nocase(part->subtype, "global");
}

/* The parser's memory is bounded, and it may know less than the header says. */
static bool
is_what_it_says(const struct walk *walk, const struct ph_mime_part *part)
{
	struct ph_header_field field;

	if (!ph_header_find(octets(walk, part->header_at, part->body_at),
	        "Content-Type", &field))
		return true;
	field.value = ph_slice_trim(field.value);
	return ph_slice_starts_nocase(field.value, "multipart/") ==
	    is_type(part, "multipart") &&
	    ph_slice_starts_nocase(field.value, "message/") ==
	    is_type(part, "message");
}

/* Quoted-printable where people can read it, unless it is far longer. */
static bool
is_readable(struct ph_slice body)
{
	uint64_t other = size_of(RECODE_BASE64, body);

	return !is_unlined(body) &&
	    size_of(RECODE_PRINTABLE, body) <= other + other / 4 + 16;
}

static enum recode_way
way_for(const struct ph_mime_part *part, struct ph_slice body)
{
	bool is_text = is_type(part, "text") || is_type(part, "message");

	if (is_encoding(part, "quoted-printable"))
		return RECODE_ESCAPE;
	if (is_encoding(part, "base64"))
		return RECODE_MASK; /* such octets are passed over */
	return is_text && is_readable(body) ? RECODE_PRINTABLE :
	                                      RECODE_BASE64;
}

/* RFC 2045 s6.3: what is encoded in a way of somebody's own is not in 8 bits, and
 * would be in no way that he knows behind another label. */
static bool
is_foreign(const struct ph_mime_part *part)
{
	return ph_slice_starts_nocase(part->encoding, "x-");
}

static bool
walk_leaf(struct walk *walk, const struct ph_mime_part *part,
    bool is_message)
{
	struct ph_slice body = octets(walk, part->body_at, part->end);
	enum recode_way way = RECODE_COPY;

	if (needs_encoding(walk, body)) {
		if (!is_what_it_says(walk, part) || is_foreign(part) ||
		    is_type(part, "multipart") ||
		    (is_type(part, "message") && !recode_is_global(part)))
			return refuse(walk, "a part of it has no other form");
		way = way_for(part, body);
	}
	if (!add_header(walk, part, label_of(way, part), is_message))
		return false;
	add(walk, way, body);
	return true;
}

/* What lies between parts is for nobody to read. */
static bool
walk_between(struct walk *walk, uint64_t from, uint64_t to)
{
	struct ph_slice between = octets(walk, from, to);

	if (walk->is_binary && is_unlined(between))
		return refuse(walk, "its parts are not divided by lines");
	if (is_high(between) && walk->parts > PARTS_MAX)
		return refuse(walk, "it has too many parts");
	add(walk, RECODE_MASK, between);
	return true;
}

static bool
is_protected(const struct ph_mime_part *part)
{
	return is_type(part, "multipart") &&
	    (ph_slice_eq_nocase(part->subtype, PH_LIT("signed")) ||
	        ph_slice_eq_nocase(part->subtype, PH_LIT("encrypted")));
}

static bool walk_part(struct walk *walk, const struct ph_mime_part *part,
    bool is_message);

static bool
walk_children(struct walk *walk, const struct ph_mime_part *part)
{
	bool is_message = is_type(part, "message");
	uint64_t at = part->body_at;

	for (size_t i = 0; i < part->child_count; i++) {
		const struct ph_mime_part *child = &part->children[i];

		if (!walk_between(walk, at, child->header_at) ||
		    !walk_part(walk, child, is_message))
			return false;
		at = child->end;
	}
	return walk_between(walk, at, part->end);
}

/* is_message: the header is that of a message, with MIME-Version. */
static bool
walk_part(struct walk *walk, const struct ph_mime_part *part,
    bool is_message)
{
	if (++walk->parts > PARTS_MAX)
		return refuse(walk, "it has too many parts");
	if (part->child_count == 0 || is_encoding(part, "quoted-printable"))
		return walk_leaf(walk, part, is_message);
	if (is_protected(part)) {
		if (needs_encoding(walk, octets(walk, part->body_at,
		        part->end)))
			return refuse(walk,
			    "a part of it is signed or encrypted as it is");
		add(walk, RECODE_COPY, octets(walk, part->header_at,
		    part->end));
		return true;
	}
	return add_header(walk, part, label_of(RECODE_COPY, part),
	           is_message) && walk_children(walk, part);
}

const struct recode_plan *
recode_make(struct ph_arena *arena, struct ph_slice content, bool is_binary,
    const char **why_out)
{
	const struct ph_mime_part *root = ph_mime_parse(arena, content);
	struct walk walk = { .arena = arena, .content = content,
		.is_binary = is_binary };
	struct recode_plan *plan;

	if (!walk_part(&walk, root, true)) {
		*why_out = walk.why;
		return NULL;
	}
	plan = ph_arena_alloc(arena, sizeof(*plan));
	plan->steps = walk.steps;
	plan->count = walk.count;
	plan->size_bytes = walk.size_bytes;
	return plan;
}
