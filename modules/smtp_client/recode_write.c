/* SPDX-License-Identifier: Apache-2.0 */
/* recode_write.c - the octets of a plan, a few at a time. */
#include "recode.h"

#include <openssl/evp.h>

enum {
	LINE_MAX_OCTETS = 76, /* RFC 2045 s6.7, s6.8 */
	BASE64_LINE = 57,     /* octets that fill one line */
	SMTP_LINE_MAX = 998,  /* RFC 5321 s4.5.3.1.6, without the CRLF */
	STEP_MAX = 8,         /* octets that one octet, or CRLF, becomes */
};

void
recode_begin(struct recode *recode, const struct recode_plan *plan)
{
	recode->plan = plan;
	recode->step = recode->at = recode->column = 0;
}

static size_t
put_code(char *to, char c)
{
	static const char digits[] = "0123456789ABCDEF";

	to[0] = '=';
	to[1] = digits[(unsigned char)c >> 4];
	to[2] = digits[c & 15];
	return 3;
}

static bool
is_line_end(struct ph_slice s, size_t at)
{
	return at + 1 < s.n && s.p[at] == '\r' && s.p[at + 1] == '\n';
}

/* RFC 2045 s6.7: rules 1 and 2, and blanks that would stand at a line's end. A
 * line that a soft break began must not look like a boundary. */
static bool
is_literal(struct ph_slice s, size_t at, size_t column)
{
	unsigned char c = (unsigned char)s.p[at];

	if (c == ' ' || c == '\t')
		return at + 1 < s.n && !is_line_end(s, at + 1);
	if (c == '-')
		return column > 0;
	return c > ' ' && c < 0x7f && c != '=';
}

/* One octet or line end of the step; returns the octets put. */
static size_t
put_printable(struct recode *recode, struct ph_slice s, char *to)
{
	size_t n = 0, width;
	bool literal;

	if (is_line_end(s, recode->at)) {
		memcpy(to, "\r\n", 2);
		recode->at += 2;
		recode->column = 0;
		return 2;
	}
	/* one column is left for the "=" of a soft break */
	if (recode->column + 3 > LINE_MAX_OCTETS - 1) {
		memcpy(to, "=\r\n", 3);
		n = 3;
		recode->column = 0;
	}
	literal = is_literal(s, recode->at, recode->column);
	width = literal ? 1 : 3;
	if (literal)
		to[n] = s.p[recode->at];
	else
		put_code(to + n, s.p[recode->at]);
	recode->at++;
	recode->column += width;
	return n + width;
}

static bool
is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'F') ||
	    (c >= 'a' && c <= 'f');
}

/* A digit of "=XX". */
static bool
is_in_code(struct ph_slice s, size_t at)
{
	return at > 0 && is_hex(s.p[at]) && (s.p[at - 1] == '=' ||
	    (at > 1 && is_hex(s.p[at - 1]) && s.p[at - 2] == '='));
}

/* What is not ASCII, and a "=" in front of it: that would be one of "==", which
 * decoders do not agree upon. */
static bool
is_to_escape(struct ph_slice s, size_t at)
{
	return (unsigned char)s.p[at] >= 0x80 || (s.p[at] == '=' &&
	    at + 1 < s.n && (unsigned char)s.p[at + 1] >= 0x80);
}

/* Octets up to the next place where a soft break may stand, and the break. */
static size_t
room_needed(struct ph_slice s, size_t at)
{
	size_t n = 1, out = is_to_escape(s, at) ? 3 : 1;

	for (; at + n < s.n && is_in_code(s, at + n); n++)
		out++;
	return out + (at + n < s.n && !is_line_end(s, at + n));
}

/* Codes make lines longer; one that is too long for SMTP then is divided. */
static size_t
put_escaped(struct recode *recode, struct ph_slice s, char *to)
{
	size_t n = 0;
	char c = s.p[recode->at];

	if (is_line_end(s, recode->at)) {
		memcpy(to, "\r\n", 2);
		recode->at += 2;
		recode->column = 0;
		return 2;
	}
	if (!is_in_code(s, recode->at) && recode->column +
	    room_needed(s, recode->at) > SMTP_LINE_MAX) {
		memcpy(to, "=\r\n", 3);
		n = 3;
		recode->column = 0;
	}
	if (is_to_escape(s, recode->at++)) {
		recode->column += 3;
		return n + put_code(to + n, c);
	}
	recode->column++;
	to[n] = c;
	return n + 1;
}

static size_t
put_masked(struct recode *recode, struct ph_slice s, char *to)
{
	char c = s.p[recode->at++];

	*to = (unsigned char)c >= 0x80 ? '?' : c;
	return 1;
}

/* A line of base64; the last has no line end, for that follows the part. */
static size_t
put_base64(struct recode *recode, struct ph_slice s, char *to)
{
	size_t left = s.n - recode->at;
	size_t take = left < BASE64_LINE ? left : BASE64_LINE;
	size_t n = (size_t)EVP_EncodeBlock((unsigned char *)to,
	    (const unsigned char *)s.p + recode->at, (int)take);

	recode->at += take;
	if (take == left)
		return n;
	memcpy(to + n, "\r\n", 2);
	return n + 2;
}

static struct ph_slice
encode(struct recode *recode, const struct recode_step *step, size_t limit)
{
	size_t (*put)(struct recode *, struct ph_slice, char *) =
	    step->way == RECODE_PRINTABLE ? put_printable :
	    step->way == RECODE_ESCAPE ? put_escaped :
	    step->way == RECODE_MASK ? put_masked : put_base64;
	size_t needs = step->way == RECODE_BASE64 ?
	    LINE_MAX_OCTETS + 3 : STEP_MAX, n = 0;

	if (limit > sizeof(recode->room))
		limit = sizeof(recode->room);
	while (recode->at < step->octets.n && n + needs <= limit)
		n += put(recode, step->octets, recode->room + n);
	return (struct ph_slice){ recode->room, n };
}

bool
recode_next(struct recode *recode, size_t limit, struct ph_slice *piece_out)
{
	const struct recode_step *step;
	size_t left;

	while (recode->step < recode->plan->count &&
	    recode->at ==
	        recode->plan->steps[recode->step].octets.n) {
		recode->step++;
		recode->at = recode->column = 0;
	}
	if (recode->step == recode->plan->count)
		return false;
	step = &recode->plan->steps[recode->step];
	if (step->way != RECODE_COPY) {
		*piece_out = encode(recode, step, limit);
		return true;
	}
	left = step->octets.n - recode->at;
	piece_out->p = step->octets.p + recode->at;
	piece_out->n = left < limit ? left : limit;
	recode->at += piece_out->n;
	return true;
}
