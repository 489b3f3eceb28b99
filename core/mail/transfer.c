/* SPDX-License-Identifier: Apache-2.0 */
/* transfer.c - content-transfer-decoding, RFC 2045 s6. */
#include "mail/transfer.h"

#include <posthouse/mime.h>

#include "mail/octet.h"

static int
base64_value(int c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (octet_is_digit(c))
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

void
transfer_base64(struct ph_slice text, struct ph_buf *buf)
{
	unsigned bits = 0, held = 0;

	for (size_t i = 0; i < text.n && !buf->full; i++) {
		int value = base64_value((unsigned char)text.p[i]);

		if (text.p[i] == '=') {
			bits = held = 0;
			continue;
		}
		if (value < 0)
			continue;
		bits = (bits << 6 | (unsigned)value) & 0xffffff;
		held += 6;
		if (held >= 8) {
			held -= 8;
			ph_buf_char(buf, (char)(bits >> held & 0xff));
		}
	}
}

static int
hex_pair(struct ph_slice text, size_t at)
{
	int high, low;

	if (at + 2 > text.n)
		return -1;
	high = octet_hex((unsigned char)text.p[at]);
	low = octet_hex((unsigned char)text.p[at + 1]);
	return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* Octets of a soft line break behind "=": blanks and a line end; 0: none. */
static size_t
soft_break(struct ph_slice text, size_t at)
{
	size_t i = at;

	while (i < text.n && i - at < 80 && (text.p[i] == ' ' ||
	                                        text.p[i] == '\t'))
		i++;
	if (i < text.n && text.p[i] == '\r')
		i++;
	if (i < text.n && text.p[i] == '\n')
		return i + 1 - at;
	return i == text.n ? i - at : 0;
}

void
transfer_quoted_printable(struct ph_slice text, struct ph_buf *buf)
{
	for (size_t i = 0; i < text.n && !buf->full; i++) {
		int value;
		size_t n;

		if (text.p[i] != '=') {
			ph_buf_char(buf, text.p[i]);
			continue;
		}
		value = hex_pair(text, i + 1);
		n = value < 0 ? soft_break(text, i + 1) : 2;
		if (value >= 0)
			ph_buf_char(buf, (char)value);
		else if (n == 0 && i + 1 < text.n)
			ph_buf_char(buf, '=');
		i += n;
	}
}

void
transfer_q(struct ph_slice text, struct ph_buf *buf)
{
	for (size_t i = 0; i < text.n && !buf->full; i++) {
		int value = text.p[i] == '=' ? hex_pair(text, i + 1) : -1;

		if (value >= 0)
			i += 2;
		else
			value = text.p[i] == '_' ? ' ' :
			                           (unsigned char)text.p[i];
		ph_buf_char(buf, (char)value);
	}
}

struct ph_slice
ph_mime_decode_body(struct ph_arena *arena, struct ph_slice encoding,
    struct ph_slice body, size_t limit)
{
	struct ph_buf buf;

	ph_buf_init(&buf, arena, limit);
	if (ph_slice_eq_nocase(encoding, PH_LIT("base64")))
		transfer_base64(body, &buf);
	else if (ph_slice_eq_nocase(encoding, PH_LIT("quoted-printable")))
		transfer_quoted_printable(body, &buf);
	else
		return (struct ph_slice){ body.p,
			body.n < limit ? body.n : limit };
	return ph_buf_content(&buf);
}
