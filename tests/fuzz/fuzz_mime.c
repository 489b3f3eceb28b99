/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_mime.c - the tree of a hostile message is sound, and its record gives
 * the same tree back; a hostile record is refused or sound.
 */
#include <stdlib.h>

#include <posthouse/mime.h>

static void
check_part(const struct ph_mime_part *part, uint64_t size, size_t depth)
{
	uint64_t at = part->body_at;

	if (depth >= 100 || part->header_at > part->body_at ||
	    part->body_at > part->end || part->end > size)
		abort();
	for (size_t i = 0; i < part->child_count; i++) {
		if (part->children[i].header_at < at)
			abort();
		at = part->children[i].end;
		check_part(&part->children[i], part->end, depth + 1);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct ph_slice content = { (const char *)data, size }, record, body;
	const struct ph_mime_part *root, *again;

	root = ph_mime_parse(arena, content);
	check_part(root, size, 0);
	record = ph_mime_encode(arena, root);
	if (ph_mime_decode(arena, record, &again) != PH_OK)
		abort();
	check_part(again, size, 0);
	if (!ph_slice_eq(record, ph_mime_encode(arena, again)))
		abort();
	ph_mime_decode(arena, content, &again);
	body = ph_mime_decode_body(arena, root->encoding, content, 4096);
	if (body.n > 4096 && body.p != content.p)
		abort();
	ph_mime_decode_body(arena, PH_LIT("base64"), content, 4096);
	ph_mime_decode_body(arena, PH_LIT("quoted-printable"), content, 4096);
	ph_charset_to_utf8(arena, PH_LIT("iso-2022-jp"), body, 4096);
	ph_charset_to_utf8(arena, PH_LIT("utf-7"), body, 4096);
	ph_arena_free(arena);
	return 0;
}
