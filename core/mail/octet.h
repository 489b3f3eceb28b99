/* SPDX-License-Identifier: Apache-2.0 */
/*
 * octet.h - the character classes of RFC 5322 and RFC 2045, as ASCII and never
 * as the locale has them. Octets over 127 are text (RFC 6532). Arguments are
 * 0..255, or -1 for the end, which is in no class.
 */
#ifndef CORE_MAIL_OCTET_H
#define CORE_MAIL_OCTET_H

#include <posthouse/base.h>

#include "base/utf8.h"

static inline bool
octet_is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static inline bool
octet_is_alpha(int c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static inline bool
octet_is_alnum(int c)
{
	return octet_is_alpha(c) || octet_is_digit(c);
}

static inline bool
octet_is_control(int c)
{
	return (c >= 0 && c < ' ') || c == 0x7f;
}

static inline bool
octet_is_blank(int c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* RFC 5322 s3.2.3 with RFC 6532 s3.2. */
static inline bool
octet_is_atext(int c)
{
	return octet_is_alnum(c) || c >= 0x80 ||
	    (c > 0 && c < 0x80 && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

/* RFC 2045 s5.1: any CHAR but space, controls and tspecials. */
static inline bool
octet_is_token(int c)
{
	return c > ' ' && c != 0x7f &&
	    (c >= 0x80 || strchr("()<>@,;:\\\"/[]?=", c) == NULL);
}

/* The value of a hexadecimal digit, or -1. */
static inline int
octet_hex(int c)
{
	if (octet_is_digit(c))
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

static inline bool
octet_any_high(struct ph_slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return true;
	return false;
}

#endif
