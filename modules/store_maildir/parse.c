/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parse.c - line ends, and the summary of a message.
 */
#include "parse.h"

#include <posthouse/mail.h>

enum { HEADER_KEPT_MAX = 100 * 1024, BLOCK_OCTETS = 4096 };

static const char *const kept_fields[] = { "From", "To", "Cc", "Bcc", "Sender",
	"Reply-To", "Subject", "Date", "Message-ID", "In-Reply-To",
	"References", "List-Id" };

uint64_t
parse_bare_lfs(struct ph_slice octets)
{
	const char *at = octets.p, *end = octets.p + octets.n;
	uint64_t count = 0;

	while (at < end && (at = memchr(at, '\n', (size_t)(end - at)))) {
		if (at == octets.p || at[-1] != '\r')
			count++;
		at++;
	}
	return count;
}

struct ph_slice
parse_with_crlf(struct ph_arena *arena, struct ph_slice octets)
{
	uint64_t more = parse_bare_lfs(octets);
	const char *at = octets.p, *end = octets.p + octets.n;
	char *copy, *to;

	if (more == 0)
		return octets;
	to = copy = ph_arena_alloc(arena, octets.n + more);
	while (at < end) {
		const char *lf = memchr(at, '\n', (size_t)(end - at));
		size_t n = lf != NULL ? (size_t)(lf - at) : (size_t)(end - at);

		memcpy(to, at, n);
		to += n;
		if (lf == NULL)
			break;
		if (lf == octets.p || lf[-1] != '\r')
			*to++ = '\r';
		*to++ = '\n';
		at = lf + 1;
	}
	return (struct ph_slice){ copy, octets.n + more };
}

bool
parse_has_hole(struct ph_slice octets)
{
	static const char zeros[BLOCK_OCTETS];

	for (size_t at = 0; at < octets.n; at += BLOCK_OCTETS) {
		size_t n = octets.n - at < BLOCK_OCTETS ? octets.n - at :
		                                          BLOCK_OCTETS;

		if (memcmp(octets.p + at, zeros, n) == 0)
			return true;
	}
	return false;
}

static bool
is_kept(struct ph_slice name)
{
	for (size_t i = 0; i < sizeof(kept_fields) / sizeof(kept_fields[0]);
	     i++)
		if (ph_slice_eq_nocase(name, ph_slice_str(kept_fields[i])))
			return true;
	return false;
}

struct ph_slice
parse_header(struct ph_arena *arena, struct ph_slice content)
{
	struct ph_slice rest = content;
	struct ph_header_field field;
	struct ph_buf kept;

	ph_buf_init(&kept, arena, HEADER_KEPT_MAX);
	while (!kept.full && ph_header_next(&rest, &field))
		if (field.name.p != NULL && is_kept(field.name))
			ph_buf_slice(&kept, field.whole);
	return ph_buf_content(&kept);
}

struct ph_message_summary
parse_summary(struct ph_arena *arena, struct ph_slice content)
{
	return (struct ph_message_summary){
		.header = parse_header(arena, content),
		.mime = ph_mime_encode(arena, ph_mime_parse(arena, content)),
	};
}

/* Depth is bounded by what ph_mime_parse lets in. */
static struct ph_mime_part
part_behind(struct ph_arena *arena, const struct ph_mime_part *part,
    uint64_t before)
{
	struct ph_mime_part moved = *part;
	struct ph_mime_part *children = ph_arena_array(arena,
	    part->child_count, sizeof(*children));

	for (size_t i = 0; i < part->child_count; i++)
		children[i] = part_behind(arena, &part->children[i], before);
	moved.children = children;
	moved.header_at += before;
	moved.body_at += before;
	moved.end += before;
	return moved;
}

struct ph_slice
parse_mime_behind(struct ph_arena *arena, const struct ph_mime_part *root,
    uint64_t before)
{
	struct ph_mime_part moved = part_behind(arena, root, before);

	moved.header_at = root->header_at; /* the root begins with the file */
	return ph_mime_encode(arena, &moved);
}
