/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mime_record.c - the tree of parts as a record for the mailbox's index.
 *
 * Common values (text, plain, 7bit) and empty ones are left out. Decoding
 * trusts nothing: it is cut at the parser's limits and each part must lie
 * inside its parent, so that offsets are safe to use on content of that size.
 */
#include <posthouse/mime.h>

#include "base/record.h"

enum {
	/* Tags are on disk: never reuse a number. */
	T_TYPE = 1,
	T_SUBTYPE = 2,
	T_PARAM = 3,
	T_ID = 4,
	T_DESCRIPTION = 5,
	T_MD5 = 6,
	T_LANGUAGE = 7,
	T_LOCATION = 8,
	T_ENCODING = 9,
	T_DISPOSITION = 10,
	T_DISPOSITION_PARAM = 11,
	T_HEADER_AT = 12,
	T_BODY_AT = 13,
	T_END = 14,
	T_LINES = 15,
	T_CHILD = 16,

	T_PARAM_NAME = 1,
	T_PARAM_VALUE = 2,

	DEPTH_MAX = 100,
	PARTS_MAX = 10000,
	FIELDS_MAX = 200, /* of one part, children apart */
	RECORD_MAX = 32 << 20,
};

static void
put_present(struct ph_buf *buf, uint16_t tag, struct ph_slice value)
{
	if (value.p != NULL)
		record_put(buf, tag, value);
}

static void
put_unless(struct ph_buf *buf, uint16_t tag, struct ph_slice value,
    const char *usual)
{
	if (!ph_slice_eq(value, ph_slice_str(usual)))
		record_put(buf, tag, value);
}

static void
put_params(struct ph_buf *buf, uint16_t tag, const struct ph_mime_param *params,
    size_t count)
{
	for (size_t i = 0; i < count; i++) {
		size_t mark = record_begin(buf, tag);

		record_put(buf, T_PARAM_NAME, params[i].name);
		record_put(buf, T_PARAM_VALUE, params[i].value);
		record_end(buf, mark);
	}
}

static void
put_part(struct ph_buf *buf, const struct ph_mime_part *part,
    bool with_children)
{
	put_unless(buf, T_TYPE, part->type, "text");
	put_unless(buf, T_SUBTYPE, part->subtype, "plain");
	put_params(buf, T_PARAM, part->params, part->param_count);
	put_present(buf, T_ID, part->id);
	put_present(buf, T_DESCRIPTION, part->description);
	put_present(buf, T_MD5, part->md5);
	put_present(buf, T_LANGUAGE, part->language);
	put_present(buf, T_LOCATION, part->location);
	put_unless(buf, T_ENCODING, part->encoding, "7bit");
	put_present(buf, T_DISPOSITION, part->disposition);
	put_params(buf, T_DISPOSITION_PARAM, part->disposition_params,
	    part->disposition_param_count);
	if (part->header_at != 0)
		record_put_u64(buf, T_HEADER_AT, part->header_at);
	record_put_u64(buf, T_BODY_AT, part->body_at);
	record_put_u64(buf, T_END, part->end);
	record_put_u64(buf, T_LINES, part->lines);
	for (size_t i = 0; with_children && i < part->child_count; i++) {
		size_t mark = record_begin(buf, T_CHILD);

		put_part(buf, &part->children[i], true);
		record_end(buf, mark);
	}
}

struct ph_slice
ph_mime_encode(struct ph_arena *arena, const struct ph_mime_part *root)
{
	struct ph_buf buf;

	ph_buf_init(&buf, arena, RECORD_MAX);
	put_part(&buf, root, true);
	if (buf.full) {
		ph_buf_init(&buf, arena, RECORD_MAX);
		put_part(&buf, root, false);
	}
	return ph_buf_content(&buf);
}

struct counts {
	size_t params, disposition_params, children, others;
};

struct decoder {
	struct ph_arena *arena;
	size_t parts;
};

static int
count_fields(struct ph_slice record, struct counts *counts)
{
	struct ph_slice rest = record;
	struct record_field field;

	while (record_next(&rest, &field)) {
		if (field.tag == T_PARAM)
			counts->params++;
		else if (field.tag == T_DISPOSITION_PARAM)
			counts->disposition_params++;
		else if (field.tag == T_CHILD)
			counts->children++;
		else
			counts->others++;
	}
	return rest.p == NULL || counts->params > FIELDS_MAX ||
	        counts->disposition_params > FIELDS_MAX ||
	        counts->children > PARTS_MAX || counts->others > FIELDS_MAX ?
	    PH_DEFECT : PH_OK;
}

static struct ph_mime_param
get_param(struct ph_arena *arena, struct ph_slice record)
{
	struct ph_slice name = record_get(record, T_PARAM_NAME);
	struct ph_slice value = record_get(record, T_PARAM_VALUE);

	return (struct ph_mime_param){
		name.p != NULL ? ph_arena_slice(arena, name) : PH_LIT(""),
		value.p != NULL ? ph_arena_slice(arena, value) : PH_LIT(""),
	};
}

static struct ph_slice *
text_of(struct ph_mime_part *part, uint16_t tag)
{
	switch (tag) {
	case T_TYPE:
		return &part->type;
	case T_SUBTYPE:
		return &part->subtype;
	case T_ID:
		return &part->id;
	case T_DESCRIPTION:
		return &part->description;
	case T_MD5:
		return &part->md5;
	case T_LANGUAGE:
		return &part->language;
	case T_LOCATION:
		return &part->location;
	case T_ENCODING:
		return &part->encoding;
	case T_DISPOSITION:
		return &part->disposition;
	default:
		return NULL;
	}
}

static int get_part(struct decoder *d, struct ph_slice record,
    const struct ph_mime_part *parent, size_t depth,
    struct ph_mime_part *part);

/* Fields that lie flat: all but parameters and children. */
static void
get_flat(struct decoder *d, struct ph_slice record, struct ph_mime_part *part)
{
	struct ph_slice rest = record;
	struct record_field field;

	while (record_next(&rest, &field)) {
		struct ph_slice *text = text_of(part, field.tag);

		if (text != NULL)
			*text = ph_arena_slice(d->arena, field.value);
		else if (field.tag == T_HEADER_AT)
			part->header_at = record_u64(&field);
		else if (field.tag == T_BODY_AT)
			part->body_at = record_u64(&field);
		else if (field.tag == T_END)
			part->end = record_u64(&field);
		else if (field.tag == T_LINES)
			part->lines = record_u64(&field);
	}
}

static int
get_lists(struct decoder *d, struct ph_slice record, size_t depth,
    struct ph_mime_part *part, const struct counts *counts)
{
	struct ph_mime_param *params = ph_arena_array(d->arena,
	    counts->params + counts->disposition_params, sizeof(*params));
	struct ph_mime_param *disposition = params + counts->params;
	struct ph_mime_part *children = counts->children == 0 ? NULL :
	    ph_arena_array(d->arena, counts->children, sizeof(*children));
	struct ph_slice rest = record;
	struct record_field field;

	part->params = params;
	part->disposition_params = disposition;
	part->children = children;
	while (record_next(&rest, &field)) {
		int rc = PH_OK;

		if (field.tag == T_PARAM)
			params[part->param_count++] = get_param(d->arena,
			    field.value);
		else if (field.tag == T_DISPOSITION_PARAM)
			disposition[part->disposition_param_count++] =
			    get_param(d->arena, field.value);
		else if (field.tag == T_CHILD)
			rc = get_part(d, field.value, part, depth + 1,
			    &children[part->child_count++]);
		if (rc != PH_OK)
			return rc;
	}
	return PH_OK;
}

static int
get_part(struct decoder *d, struct ph_slice record,
    const struct ph_mime_part *parent, size_t depth, struct ph_mime_part *part)
{
	struct counts counts = { 0 };

	if (depth >= DEPTH_MAX || ++d->parts > PARTS_MAX ||
	    count_fields(record, &counts) != PH_OK)
		return PH_DEFECT;
	part->type = PH_LIT("text");
	part->subtype = PH_LIT("plain");
	part->encoding = PH_LIT("7bit");
	get_flat(d, record, part);
	if (part->header_at > part->body_at || part->body_at > part->end)
		return PH_DEFECT;
	if (parent != NULL && (part->header_at < parent->body_at ||
	                          part->end > parent->end))
		return PH_DEFECT;
	return get_lists(d, record, depth, part, &counts);
}

int
ph_mime_decode(struct ph_arena *arena, struct ph_slice record,
    const struct ph_mime_part **root_out)
{
	struct decoder d = { arena, 0 };
	struct ph_mime_part *root = ph_arena_alloc(arena, sizeof(*root));
	int rc = record.p == NULL ? PH_DEFECT :
	                            get_part(&d, record, NULL, 0, root);

	if (rc == PH_OK)
		*root_out = root;
	return rc;
}
