/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parse.h - what the index keeps of a message's content. Pure; runs in the
 * thread that has the content at hand.
 */
#ifndef STORE_MAILDIR_PARSE_H
#define STORE_MAILDIR_PARSE_H

#include <posthouse/mailbox.h>
#include <posthouse/mime.h>

/* How many bare LFs the octets have; 0: CRLF everywhere. */
uint64_t parse_bare_lfs(struct ph_slice octets);
/* Whether a whole block of the file is NULs: what a power failure leaves where
 * octets were never written. */
bool parse_has_hole(struct ph_slice octets);
/* With CRLF for each bare LF; the same slice when there are none. */
struct ph_slice parse_with_crlf(struct ph_arena *arena, struct ph_slice octets);

/* The fields ph_message_summary names, whole and in their order. */
struct ph_slice parse_header(struct ph_arena *arena, struct ph_slice content);
struct ph_message_summary parse_summary(struct ph_arena *arena,
    struct ph_slice content);
/* The encoded tree of content with `before` octets of header fields set in
 * front of it. */
struct ph_slice parse_mime_behind(struct ph_arena *arena,
    const struct ph_mime_part *root, uint64_t before);

#endif
