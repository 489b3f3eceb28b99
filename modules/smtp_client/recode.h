/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recode.h - a message in octets that a host takes which knows neither 8BITMIME
 * nor BINARYMIME (RFC 6152 s3, RFC 3030 s3). Pure.
 *
 * Bodies that are no parts themselves are written in quoted-printable or base64
 * and say so in their Content-Transfer-Encoding; nothing else changes. What is
 * decoded is what was sent. What is signed or encrypted as it stands
 * and messages that tell of others (message/delivery-status and its like) have
 * no other form: then there is no plan, and the message has to go back.
 */
#ifndef SMTP_CLIENT_RECODE_H
#define SMTP_CLIENT_RECODE_H

#include <posthouse/arena.h>

enum recode_way {
	RECODE_COPY,
	RECODE_PRINTABLE, /* RFC 2045 s6.7, of text */
	RECODE_BASE64,
	RECODE_ESCAPE, /* quoted-printable already, but for stray octets */
	RECODE_MASK,   /* a "?" for each octet outside ASCII */
};

struct recode_step {
	enum recode_way way;
	struct ph_slice octets; /* of the content, or words of ours */
};

struct recode_plan {
	const struct recode_step *steps;
	size_t count;
	uint64_t size_bytes; /* of what comes out, or somewhat more */
};

/*
 * A plan for the content (borrowed, with line ends of CRLF unless is_binary), in
 * the arena. NULL: it can't be written otherwise; *why_out is a sentence.
 */
const struct recode_plan *recode_make(struct ph_arena *arena,
    struct ph_slice content, bool is_binary, const char **why_out);

/* Whether the part is a message of the kinds that may be encoded (RFC 6532 s3.7,
 * RFC 6533 s4.4): message/global and its like. */
struct ph_mime_part;
bool recode_is_global(const struct ph_mime_part *part);

/* What comes out, piece by piece. */
struct recode {
	const struct recode_plan *plan;
	size_t step, at; /* at: in the step's octets */
	size_t column;   /* RECODE_PRINTABLE, RECODE_ESCAPE: of the line */
	char room[4096];
};
void recode_begin(struct recode *recode, const struct recode_plan *plan);
/* The next piece, at most limit octets, valid until the next call; false at
 * the end. */
bool recode_next(struct recode *recode, size_t limit,
    struct ph_slice *piece_out);

#endif
