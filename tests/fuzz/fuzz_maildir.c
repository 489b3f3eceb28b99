/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_maildir.c - no name leads out of its folder and each comes back from the
 * folder it has; rows of the index are read within their bounds; content with
 * CRLF has no bare LF.
 */
#include <stdlib.h>
#include <string.h>

#include "mail_index/row.h"
#include "names.h"
#include "parse.h"

static void
must(bool good)
{
	if (!good)
		abort();
}

/* A path of so many folders, none of which is empty or leads up. */
static void
check_path(const char *path, size_t folders)
{
	struct ph_slice rest = ph_slice_str(path);
	size_t n = 0;

	while (rest.p != NULL) {
		struct ph_slice part = ph_slice_cut(&rest, '/');

		must(part.n > 0 && part.n <= FOLDER_OCTETS_MAX);
		must(!ph_slice_eq(part, PH_LIT(".")) &&
		    !ph_slice_eq(part, PH_LIT("..")));
		n++;
	}
	must(n == folders);
}

static void
check_names(struct ph_arena *arena, struct ph_slice text)
{
	struct ph_slice name, back;
	const char *folder, *copy = ph_arena_slice(arena, text).p;

	if (name_canonical(arena, text, &name) == PH_OK &&
	    name_to_folder(arena, name, &folder) == PH_OK &&
	    folder[0] != '\0') {
		check_path(folder, 1);
		must(folder[0] == '.');
		must(name_from_folder(arena, folder, &back) == PH_OK);
		must(ph_slice_eq(name, back));
	}
	if (name_from_folder(arena, copy, &name) == PH_OK) {
		must(name_to_folder(arena, name, &folder) == PH_OK);
		must(strcmp(folder, copy) == 0);
	}
	if (name_user_folder(arena, text, &folder) == PH_OK)
		check_path(folder, 3);
}

static void
check_file(struct ph_arena *arena, struct ph_slice text)
{
	struct ph_slice base = { text.p, file_base_n(text) }, file;
	uint32_t flags = file_flags(text);
	uint64_t size;
	int64_t time;

	(void)file_size_in_name(text, &size);
	(void)file_is_ours(text, &time);
	if (file_with_flags(arena, base, flags, text, &file) == PH_OK) {
		must(file_flags(file) == flags);
		must(file_base_n(file) == base.n);
	}
}

static void
check_fields(struct ph_slice fields)
{
	const char *end = fields.p + fields.n;
	struct row_field field;

	while (row_next(&fields, &field)) {
		must(field.value.p + field.value.n <= end);
		(void)row_u64(field.value);
	}
}

static void
check_row(struct ph_arena *arena, struct ph_slice text)
{
	struct ph_slice key = PH_LIT("key"), fields;
	struct ph_buf row;

	if (row_open(key, text, &fields) == PH_OK)
		check_fields(fields);
	/* the same octets as fields, under a checksum that is right */
	ph_buf_init(&row, arena, text.n + 64);
	row_begin(&row);
	ph_buf_slice(&row, text);
	row_end(&row, key);
	if (row_open(key, ph_buf_content(&row), &fields) == PH_OK)
		check_fields(fields);
	check_fields(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct ph_slice text = { (const char *)data, size };
	struct ph_slice crlf = parse_with_crlf(arena, text);

	must(parse_bare_lfs(crlf) == 0);
	must(crlf.n == text.n + parse_bare_lfs(text));
	(void)parse_has_hole(text);
	must(parse_header(arena, text).n <= 100 * 1024);
	check_names(arena, text);
	check_file(arena, text);
	check_row(arena, text);
	ph_arena_free(arena);
	return 0;
}
