/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bodystructure.c - BODY and BODYSTRUCTURE of a tree of parts. A multipart
 * that has no parts is shown as the text it is, and so section.c counts it.
 */
#include "wire.h"

#include <posthouse/mail.h>

static void
put_params(struct ph_buf *buf, const struct ph_mime_param *params,
    size_t count)
{
	if (count == 0) {
		ph_buf_str(buf, "NIL");
		return;
	}
	for (size_t i = 0; i < count; i++) {
		ph_buf_char(buf, i == 0 ? '(' : ' ');
		wire_nstring(buf, params[i].name);
		ph_buf_char(buf, ' ');
		wire_nstring(buf, params[i].value);
	}
	ph_buf_char(buf, ')');
}

/* body-fld-dsp = "(" string SP body-fld-param ")" / nil */
static void
put_disposition(struct ph_buf *buf, const struct ph_mime_part *part)
{
	if (part->disposition.p == NULL) {
		ph_buf_str(buf, " NIL");
		return;
	}
	ph_buf_str(buf, " (");
	wire_nstring(buf, part->disposition);
	ph_buf_char(buf, ' ');
	put_params(buf, part->disposition_params,
	    part->disposition_param_count);
	ph_buf_char(buf, ')');
}

/* body-fld-lang = nstring / "(" string *(SP string) ")" */
static void
put_language(struct ph_buf *buf, struct ph_slice language)
{
	struct ph_slice rest = language;
	bool any = false;

	ph_buf_char(buf, ' ');
	while (rest.p != NULL) {
		struct ph_slice one = ph_slice_trim(ph_slice_cut(&rest, ','));

		if (one.n == 0)
			continue;
		ph_buf_char(buf, any ? ' ' : '(');
		wire_nstring(buf, one);
		any = true;
	}
	ph_buf_str(buf, any ? ")" : "NIL");
}

/* What ends both body-ext-1part and body-ext-mpart. */
static void
put_extension(struct ph_buf *buf, const struct ph_mime_part *part)
{
	put_disposition(buf, part);
	put_language(buf, part->language);
	ph_buf_char(buf, ' ');
	wire_nstring(buf, part->location);
}

static bool
is_message(const struct ph_mime_part *part)
{
	return part->child_count == 1 &&
	    ph_slice_eq_nocase(part->type, PH_LIT("message"));
}

bool
wire_has_message(const struct ph_mime_part *part)
{
	if (is_message(part))
		return true;
	for (size_t i = 0; i < part->child_count; i++)
		if (wire_has_message(&part->children[i]))
			return true;
	return false;
}

/* media and subtype; one that the client would expect more of than there is
 * (a multipart without parts, a message that was not opened) is renamed. */
static void
put_type(struct ph_buf *buf, const struct ph_mime_part *part)
{
	struct ph_slice type = part->type, subtype = part->subtype;

	if (ph_slice_eq_nocase(type, PH_LIT("multipart"))) {
		type = PH_LIT("text");
		subtype = PH_LIT("plain");
	} else if (!is_message(part) &&
	    ph_slice_eq_nocase(type, PH_LIT("message")) &&
	    ph_slice_eq_nocase(subtype, PH_LIT("rfc822"))) {
		type = PH_LIT("application");
		subtype = PH_LIT("octet-stream");
	}
	wire_nstring(buf, type);
	ph_buf_char(buf, ' ');
	wire_nstring(buf, subtype);
}

static struct ph_slice
header_of(const struct ph_mime_part *part, struct ph_slice content)
{
	if (content.p == NULL || part->body_at > content.n)
		return PH_LIT("");
	return (struct ph_slice){ content.p + part->header_at,
		part->body_at - part->header_at };
}

/* body-type-1part */
static void
put_single(struct ph_arena *arena, const struct ph_mime_part *part,
    struct ph_slice content, bool extended, struct ph_buf *buf)
{
	bool is_text = ph_slice_eq_nocase(part->type, PH_LIT("text")) ||
	    ph_slice_eq_nocase(part->type, PH_LIT("multipart"));

	put_type(buf, part);
	ph_buf_char(buf, ' ');
	if (is_text && part->param_count == 0) /* RFC 2045 s5.2 */
		ph_buf_str(buf, "(\"charset\" \"us-ascii\")");
	else
		put_params(buf, part->params, part->param_count);
	ph_buf_char(buf, ' ');
	wire_nstring(buf, part->id);
	ph_buf_char(buf, ' ');
	wire_nstring(buf, part->description);
	ph_buf_char(buf, ' ');
	wire_nstring(buf, part->encoding);
	ph_buf_printf(buf, " %llu",
	    (unsigned long long)(part->end - part->body_at));
	if (is_message(part)) {
		ph_buf_char(buf, ' ');
		wire_envelope(arena, header_of(&part->children[0], content),
		    buf);
		ph_buf_char(buf, ' ');
		wire_body(arena, &part->children[0], content, extended, buf);
	}
	if (is_text || is_message(part))
		ph_buf_printf(buf, " %llu", (unsigned long long)part->lines);
	if (!extended)
		return;
	ph_buf_char(buf, ' ');
	wire_nstring(buf, part->md5);
	put_extension(buf, part);
}

void
wire_body(struct ph_arena *arena, const struct ph_mime_part *part,
    struct ph_slice content, bool extended, struct ph_buf *buf)
{
	bool multi = part->child_count > 0 && !is_message(part);

	ph_buf_char(buf, '(');
	if (!multi) {
		put_single(arena, part, content, extended, buf);
		ph_buf_char(buf, ')');
		return;
	}
	for (size_t i = 0; i < part->child_count; i++)
		wire_body(arena, &part->children[i], content, extended, buf);
	ph_buf_char(buf, ' ');
	wire_nstring(buf, part->subtype);
	if (extended) {
		ph_buf_char(buf, ' ');
		put_params(buf, part->params, part->param_count);
		put_extension(buf, part);
	}
	ph_buf_char(buf, ')');
}
