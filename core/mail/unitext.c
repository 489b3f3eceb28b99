/* SPDX-License-Identifier: Apache-2.0 */
/*
 * unitext.c - addresses outside ASCII where only ASCII may stand (RFC 6533 s3):
 * "\x{HEXPOINT}" in the place of a character.
 */
#include <posthouse/mail.h>

#include "mail/octet.h"

/* QCHAR = %x21-2a / %x2c-3c / %x3e-5b / %x5d-7e */
static bool
is_qchar(unsigned char c)
{
	return c > 0x20 && c < 0x7f && c != '+' && c != '=' && c != '\\';
}

static uint32_t
point_of(const char *p, size_t n)
{
	static const unsigned char lead_bits[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
	uint32_t point = (unsigned char)p[0] & lead_bits[n];

	for (size_t i = 1; i < n; i++)
		point = point << 6 | ((unsigned char)p[i] & 0x3f);
	return point;
}

struct ph_slice
ph_unitext_encode(struct ph_arena *arena, struct ph_slice text,
    bool keep_utf8)
{
	struct ph_buf buf;
	size_t n;

	ph_buf_init(&buf, arena, text.n * 10 + 16);
	for (size_t i = 0; i < text.n; i += n) {
		n = utf8_length(text.p + i, text.n - i);
		if (n == 0)
			return (struct ph_slice){ NULL, 0 };
		if ((n == 1 && is_qchar((unsigned char)text.p[i])) ||
		    (n > 1 && keep_utf8))
			ph_buf_add(&buf, text.p + i, n);
		else
			ph_buf_printf(&buf, "\\x{%02X}",
			    (unsigned)point_of(text.p + i, n));
	}
	return ph_buf_content(&buf);
}

static int
hex_at(struct ph_slice text, size_t i)
{
	return i < text.n ? octet_hex((unsigned char)text.p[i]) : -1;
}

/* EmbeddedUnicodeChar = %x5C.78 "{" HEXPOINT "}"; its length, 0: it is none. */
static size_t
embedded(struct ph_slice text, uint32_t *point_out)
{
	uint32_t point = 0;
	size_t i = 3;

	if (text.n < 6 || memcmp(text.p, "\\x{", 3) != 0)
		return 0;
	while (i < 9 && hex_at(text, i) >= 0)
		point = point << 4 | (uint32_t)hex_at(text, i++);
	if (i < 5 || i == text.n || text.p[i] != '}' || point > 0x10ffff ||
	    point < 0x20 || point == 0x7f || (point >= 0xd800 && point < 0xe000))
		return 0;
	*point_out = point;
	return i + 1;
}

static void
put_point(struct ph_buf *buf, uint32_t point)
{
	if (point < 0x80) {
		ph_buf_char(buf, (char)point);
		return;
	}
	if (point < 0x800) {
		ph_buf_char(buf, (char)(0xc0 | point >> 6));
	} else if (point < 0x10000) {
		ph_buf_char(buf, (char)(0xe0 | point >> 12));
		ph_buf_char(buf, (char)(0x80 | (point >> 6 & 0x3f)));
	} else {
		ph_buf_char(buf, (char)(0xf0 | point >> 18));
		ph_buf_char(buf, (char)(0x80 | (point >> 12 & 0x3f)));
		ph_buf_char(buf, (char)(0x80 | (point >> 6 & 0x3f)));
	}
	ph_buf_char(buf, (char)(0x80 | (point & 0x3f)));
}

struct ph_slice
ph_unitext_decode(struct ph_arena *arena, struct ph_slice text)
{
	struct ph_buf buf;
	size_t n;

	ph_buf_init(&buf, arena, text.n + 1);
	for (size_t i = 0; i < text.n; i += n) {
		uint32_t point;

		n = embedded((struct ph_slice){ text.p + i, text.n - i },
		    &point);
		if (n > 0) {
			put_point(&buf, point);
			continue;
		}
		n = 1;
		ph_buf_char(&buf, text.p[i]);
	}
	return ph_buf_content(&buf);
}

/* xtext = *( xchar / hexchar ), RFC 3461 s4; what is no code stays. */
struct ph_slice
ph_xtext_decode(struct ph_arena *arena, struct ph_slice text)
{
	struct ph_buf buf;

	ph_buf_init(&buf, arena, text.n + 1);
	for (size_t i = 0; i < text.n; i++) {
		int high = hex_at(text, i + 1);
		int low = hex_at(text, i + 2);
		int c = high * 16 + low;

		if (text.p[i] != '+' || high < 0 || low < 0 || c < 0x20 ||
		    c > 0x7e) {
			ph_buf_char(&buf, text.p[i]);
			continue;
		}
		ph_buf_char(&buf, (char)c);
		i += 2;
	}
	return ph_buf_content(&buf);
}
