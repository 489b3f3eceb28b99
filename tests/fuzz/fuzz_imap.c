/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_imap.c - a command is gathered alike however it is split, and its
 * arguments are parsed without harm by each parser there is.
 */
#include <stdlib.h>

#include "collect.h"
#include "imap.h"
#include "mutf7.h"
#include "names.h"
#include "wire.h"

static enum collect_result
gather(struct collect *c, struct ph_slice in, unsigned seed, size_t *at)
{
	enum collect_result result = COLLECT_MORE;
	size_t taken;

	for (*at = 0; *at < in.n && result == COLLECT_MORE; *at += taken) {
		size_t n = seed == 0 ? in.n : 1 + seed % 13;

		seed = seed * 1103515245u + (seed != 0) * 12345u;
		if (n > in.n - *at)
			n = in.n - *at;
		result = collect_feed(c, (struct ph_slice){ in.p + *at, n },
		    &taken);
		if (taken > n)
			abort();
		if (result == COLLECT_LITERAL && collect_accept(c, 500))
			result = COLLECT_MORE;
	}
	return result;
}

static void
parse_as(struct ph_slice text, bool (*parse)(struct command *))
{
	static const struct command_row row = { .name = "UID FETCH",
		.uid = true };
	struct ph_arena *arena = ph_arena_create(NULL);
	struct command command = { .row = &row, .arena = arena,
		.has_literal = true, .lex = { text, 0, arena } };

	parse(&command);
	if (command.lex.at > text.n)
		abort();
	ph_arena_free(arena);
}

static void
check_name(struct ph_slice text)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct pattern pattern;
	struct ph_slice name, again;
	struct ph_buf buf;

	if (mutf7_decode(arena, text, &name)) {
		if (!mutf7_decode(arena, mutf7_encode(arena, name), &again) ||
		    !ph_slice_eq(name, again))
			abort();
		if (pattern_init(arena, name, &pattern))
			pattern_matches(&pattern, text);
	}
	ph_buf_init(&buf, arena, 1 << 24);
	wire_envelope(arena, text, &buf);
	wire_body(arena, ph_mime_parse(arena, text), text, true, &buf);
	ph_arena_free(arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool (*const parsers[])(struct command *) = { imap_parse_fetch,
		imap_parse_search };
	struct ph_slice in = { (const char *)data, size };
	struct collect whole, split;
	size_t at[2];

	collect_init(&whole, 2000);
	collect_init(&split, 2000);
	if (gather(&whole, in, 0, &at[0]) !=
	    gather(&split, in, (unsigned)size * 7 + 1, &at[1]))
		abort();
	if (!whole.buf.full && (at[0] != at[1] ||
	        !ph_slice_eq(collect_text(&whole), collect_text(&split))))
		abort();
	collect_fini(&whole);
	collect_fini(&split);
	for (size_t i = 0; i < sizeof(parsers) / sizeof(parsers[0]); i++)
		parse_as(in, parsers[i]);
	check_name(in);
	return 0;
}
