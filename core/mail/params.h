/* SPDX-License-Identifier: Apache-2.0 */
/*
 * params.h - structured values of MIME header fields: a token and parameters
 * (RFC 2045 s5.1, RFC 2183, RFC 2231).
 */
#ifndef CORE_MAIL_PARAMS_H
#define CORE_MAIL_PARAMS_H

#include <posthouse/mime.h>

enum { PARAMS_MAX = 64 };

/* A cursor over an unfolded value. */
struct params_cursor {
	struct ph_slice text;
	size_t at;
};

/* The next token, comments and blanks before it skipped; may be empty. */
struct ph_slice params_token(struct params_cursor *c);
/* Whether octet comes next, after comments and blanks; then it is skipped. */
bool params_skip(struct params_cursor *c, char octet);
/*
 * The parameters from here to the end: at most PARAMS_MAX are read, RFC 2231
 * parts joined. A joined value that has a charset or octets in hexadecimal is
 * named with "*" behind and keeps that form. Names and values are copied.
 */
size_t params_parse(struct ph_arena *arena, struct params_cursor *c,
    const struct ph_mime_param **params_out);

#endif
