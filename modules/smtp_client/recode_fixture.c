/* SPDX-License-Identifier: Apache-2.0 */
/* recode_fixture.c - the same parts, decoded alike, in ASCII. */
#include "recode_fixture.h"

#include <posthouse/mime.h>

enum { OUT_MAX = 64 << 20 };

struct ph_slice
recode_all(struct ph_arena *arena, const struct recode_plan *plan,
    size_t limit)
{
	struct recode *recode = ph_arena_alloc(arena, sizeof(*recode));
	struct ph_slice piece;
	struct ph_buf buf;

	ph_buf_init(&buf, arena, OUT_MAX);
	recode_begin(recode, plan);
	while (recode_next(recode, limit, &piece)) {
		ph_assert(piece.n > 0 && piece.n <= limit);
		ph_buf_slice(&buf, piece);
	}
	return ph_buf_content(&buf);
}

struct pair {
	struct ph_arena *arena;
	struct ph_slice in, out;
};

static struct ph_slice
decoded(struct ph_arena *arena, struct ph_slice content,
    const struct ph_mime_part *part)
{
	struct ph_slice body = { content.p + part->body_at,
		(size_t)(part->end - part->body_at) };

	return ph_mime_decode_body(arena, part->encoding, body, OUT_MAX);
}

static bool
is_ascii(struct ph_slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return false;
	return true;
}

static const char *
compare(const struct pair *pair, const struct ph_mime_part *a,
    const struct ph_mime_part *b)
{
	const char *wrong = NULL;

	if (!ph_slice_eq(a->type, b->type) ||
	    !ph_slice_eq(a->subtype, b->subtype))
		return "a type";
	if (a->child_count != b->child_count)
		return "the parts";
	for (size_t i = 0; i < a->child_count && wrong == NULL; i++)
		wrong = compare(pair, &a->children[i], &b->children[i]);
	if (wrong != NULL || a->child_count > 0)
		return wrong;
	if (!is_ascii((struct ph_slice){ pair->out.p + b->body_at,
	        (size_t)(b->end - b->body_at) }))
		return "a body that is not ASCII";
	return ph_slice_eq(decoded(pair->arena, pair->in, a),
	    decoded(pair->arena, pair->out, b)) ? NULL : "decoded octets";
}

const char *
recode_differs(struct ph_arena *arena, struct ph_slice content,
    struct ph_slice out)
{
	struct pair pair = { arena, content, out };

	return compare(&pair, ph_mime_parse(arena, content),
	    ph_mime_parse(arena, out));
}
