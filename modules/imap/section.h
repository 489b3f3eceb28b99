/* SPDX-License-Identifier: Apache-2.0 */
/*
 * section.h - BODY[section]: its text, and what it names in a message. Pure.
 */
#ifndef IMAP_SECTION_H
#define IMAP_SECTION_H

#include <posthouse/mime.h>

#include "lex.h"

enum section_what {
	SECTION_WHOLE,
	SECTION_HEADER,
	SECTION_FIELDS,
	SECTION_FIELDS_NOT,
	SECTION_TEXT,
	SECTION_MIME,
};
enum { SECTION_DEPTH_MAX = 100, SECTION_FIELDS_MAX = 100 };

struct section {
	const uint32_t *path; /* part numbers */
	size_t depth;
	enum section_what what;
	const struct ph_slice *fields;
	size_t field_count;
};

/* From "[" to "]". */
bool section_parse(struct lex *lex, struct section *section_out);
/* "1.2.HEADER.FIELDS (From To)" */
void section_format(const struct section *section, struct ph_buf *buf);
bool section_eq(const struct section *a, const struct section *b);
/*
 * What it names in the content: a piece of it, or fields copied to the arena;
 * absent when there is no such part. root may be NULL when depth is 0.
 */
struct ph_slice section_find(struct ph_arena *arena,
    const struct section *section, const struct ph_mime_part *root,
    struct ph_slice content);
/* The fields of a header section that the list names, and an empty line. */
struct ph_slice section_fields(struct ph_arena *arena,
    const struct section *section, struct ph_slice header);

#endif
