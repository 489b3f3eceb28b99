/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posthouse/mime.h - the structure of a message (RFC 2045, 2046, 2183, 2231).
 *
 * Parsed once at delivery, encoded into the mailbox's index, decoded for
 * BODYSTRUCTURE, BODY[1.2] and SEARCH without opening the file again. Hostile
 * input is cut at the limits, never refused: nesting 100, parts 10,000,
 * parameters 64 a field. Pure; nothing suspends.
 */
#ifndef POSTHOUSE_MIME_H
#define POSTHOUSE_MIME_H

#include <posthouse/arena.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ph_mime_param {
	struct ph_slice name;  /* as written */
	struct ph_slice value; /* unquoted, RFC 2231 parts joined; with a charset
	                        * or %XX it stays so and the name ends in "*" */
};

/* Offsets are octets from the start of the message. */
struct ph_mime_part {
	struct ph_slice type;    /* "text"; defaults filled in */
	struct ph_slice subtype; /* "plain" */
	const struct ph_mime_param *params;
	size_t param_count;
	struct ph_slice id, description, md5, language, location; /* absent: none */
	struct ph_slice encoding; /* "7bit" when not given */
	struct ph_slice disposition; /* absent: none */
	const struct ph_mime_param *disposition_params;
	size_t disposition_param_count;
	uint64_t header_at, body_at, end; /* body_at: after the empty line */
	uint64_t lines;                   /* of the body */
	const struct ph_mime_part *children; /* multipart: parts; message/rfc822: 1 */
	size_t child_count;
};

/* Never fails; the root covers the whole content. All in the arena: content may
 * go. Without a Content-Type the part has charset=us-ascii. */
PH_EXPORT const struct ph_mime_part *ph_mime_parse(struct ph_arena *arena,
    struct ph_slice content);

/*
 * Whether all headers of the tree over content are ASCII: those of parts and of
 * messages within, too. Where none are and a message may have them as they are,
 * it needs SMTPUTF8 (RFC 6531 s3.2). What lies beyond the limits of the parser
 * counts as a header when it is not ASCII. Since minor 4.
 */
PH_EXPORT bool ph_mime_header_is_ascii(const struct ph_mime_part *root,
    struct ph_slice content);

/* A compact record of the tree, to be kept; in the arena. */
PH_EXPORT struct ph_slice ph_mime_encode(struct ph_arena *arena,
    const struct ph_mime_part *root);
/* The tree of a record. 0, or PH_DEFECT when it is damaged. */
PH_EXPORT int ph_mime_decode(struct ph_arena *arena, struct ph_slice record,
    const struct ph_mime_part **root_out);

/*
 * Content-transfer-decoding for SEARCH: base64, quoted-printable, others as
 * they are; at most limit octets come out.
 */
PH_EXPORT struct ph_slice ph_mime_decode_body(struct ph_arena *arena,
    struct ph_slice encoding, struct ph_slice body, size_t limit);
/* To UTF-8 for SEARCH (iconv); unknown charsets come back as they are. */
PH_EXPORT struct ph_slice ph_charset_to_utf8(struct ph_arena *arena,
    struct ph_slice charset, struct ph_slice text, size_t limit);

#ifdef __cplusplus
}
#endif
#endif
