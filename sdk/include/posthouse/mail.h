/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posthouse/mail.h - addresses and header fields, parsed (RFC 5321, RFC 5322,
 * RFC 6531/6532). Pure: slice in, struct out, nothing suspends.
 */
#ifndef POSTHOUSE_MAIL_H
#define POSTHOUSE_MAIL_H

#include <posthouse/addr.h>
#include <posthouse/arena.h>
#include <posthouse/domain.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- envelope addresses, RFC 5321 s4.1.2 --- */

struct ph_path {
	struct ph_slice local;  /* unquoted, in the arena or the input */
	struct ph_slice domain; /* as written; "[192.0.2.1]" for a literal */
	struct ph_slice address; /* local@domain: unquoted, the domain in its
	                          * canonical form; "" for <> */
	bool is_null;           /* <> */
	bool is_literal;
	bool has_utf8;          /* as written: it needs SMTPUTF8 */
	bool was_quoted;        /* a quoted local part */
	bool had_route;         /* a source route was there and ignored */
};
/*
 * A Path in angle brackets at the start of text; *rest_out is what follows.
 * Limits: local part 64, domain 255, path 256 octets (PH_TOO_BIG), and what is
 * outside ASCII in the domain must be a name for IDNA. PH_INVALID
 * with *error_at_out (may be NULL) the offset of the first wrong octet.
 * <postmaster> (any case, RFC 5321 s4.1.1.3) is the one without a domain: absent
 * there, the address is "postmaster". An empty local part is refused.
 */
PH_EXPORT int ph_path_parse(struct ph_arena *arena, struct ph_slice text,
    struct ph_path *path_out, struct ph_slice *rest_out, size_t *error_at_out);
/* The address in SMTP syntax without brackets: local part quoted if needed. */
PH_EXPORT struct ph_slice ph_path_format(struct ph_arena *arena,
    struct ph_slice address);
/* Domain of local@domain (after the last @), or absent. */
PH_EXPORT struct ph_slice ph_address_domain(struct ph_slice address);
/* What is before the last @ of local@domain, or absent. */
PH_EXPORT struct ph_slice ph_address_local(struct ph_slice address);
/*
 * local@domain with A-labels in place of U-labels (IDNA 2008), as it may stand
 * where SMTPUTF8 is not spoken; an address in ASCII comes back as it is. Absent:
 * the local part is outside ASCII, or the domain has no such form. Pure.
 */
PH_EXPORT struct ph_slice ph_address_to_ascii(struct ph_arena *arena,
    struct ph_slice address);
/* A host name: labels of letters, digits, "-", "_" or UTF-8; 1..255 octets,
 * labels 1..63. */
PH_EXPORT bool ph_domain_is_valid(struct ph_slice domain);
/* "[192.0.2.1]", "[IPv6:2001:db8::1]". */
PH_EXPORT bool ph_address_literal_parse(struct ph_slice text,
    struct ph_addr *addr_out);

/*
 * RFC 6533 s3: an address where only ASCII may stand, as "\\x{HEXPOINT}"; with
 * keep_utf8 only what ORCPT forbids is written so. Absent: it is no UTF-8.
 */
PH_EXPORT struct ph_slice ph_unitext_encode(struct ph_arena *arena,
    struct ph_slice text, bool keep_utf8);
/* The way back; what is no such code stays. */
PH_EXPORT struct ph_slice ph_unitext_decode(struct ph_arena *arena,
    struct ph_slice text);
/* RFC 3461 s4, "+XX"; what stands for a control character stays. */
PH_EXPORT struct ph_slice ph_xtext_decode(struct ph_arena *arena,
    struct ph_slice text);

/* --- header fields --- */

struct ph_header_field {
	struct ph_slice name;  /* "Subject" */
	struct ph_slice value; /* after the colon, unfolded only by the caller */
	struct ph_slice whole; /* name to the final line end, inclusive */
};
/*
 * Iterate: *rest starts as the message or header section and is advanced.
 * Returns false at the empty line or end; then *rest is the body (after the
 * empty line). A line that is no field is returned with an absent name.
 */
PH_EXPORT bool ph_header_next(struct ph_slice *rest,
    struct ph_header_field *field_out);
/* The first field of that name (case folded); false when there is none. */
PH_EXPORT bool ph_header_find(struct ph_slice message, const char *name,
    struct ph_header_field *field_out);
/* value without folds and surrounding white space. */
PH_EXPORT struct ph_slice ph_header_unfold(struct ph_arena *arena,
    struct ph_slice value);
/* Octets of the header section including the empty line. */
PH_EXPORT size_t ph_header_size(struct ph_slice message);

/* One mailbox or group mark of an address list, RFC 5322 s3.4 with s4.4. */
struct ph_mailbox_addr {
	struct ph_slice display; /* decoded quotes, encoded words kept; absent: none */
	struct ph_slice route;   /* obsolete source route; absent: none */
	struct ph_slice local;   /* unquoted; a group start has the name here and
	                          * an absent domain, a group end both absent */
	struct ph_slice domain; /* empty: a mailbox without one ("root") */
};
/* At most limit entries; malformed parts are skipped. Returns the count. */
PH_EXPORT size_t ph_address_list(struct ph_arena *arena, struct ph_slice value,
    size_t limit, const struct ph_mailbox_addr **list_out);
/* The same for who must know all of them: false when a part was malformed or
 * over the limit, so that another reader may find an address there. */
PH_EXPORT bool ph_address_list_strict(struct ph_arena *arena,
    struct ph_slice value, size_t limit,
    const struct ph_mailbox_addr **list_out, size_t *count_out);

/* "Mon, 23 Nov 2026 08:47:00 +0000", in UTC. */
#define PH_DATE_MAX 40
PH_EXPORT void ph_date_format(int64_t wall_time, char text[PH_DATE_MAX]);
/* RFC 5322 s3.3 with the obsolete forms. */
PH_EXPORT bool ph_date_parse(struct ph_slice text, int64_t *wall_time_out,
    int *zone_minutes_out);
/* Encoded words to UTF-8 (RFC 2047); what can't be decoded stays. */
PH_EXPORT struct ph_slice ph_encoded_words(struct ph_arena *arena,
    struct ph_slice value);

#ifdef __cplusplus
}
#endif
#endif
