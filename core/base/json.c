/* SPDX-License-Identifier: Apache-2.0 */
/* json.c - what a JSON string may hold: no control octet, quote or backslash. */
#include "base/json.h"

#include "base/utf8.h"

enum { C1_FIRST = 0x80, C1_LAST = 0x9f, LEAD_OF_C1 = 0xc2 };

/* Of one character of n octets; terminals obey the C1 controls, too. */
static void
put_character(struct ph_buf *buf, const unsigned char *p, size_t n)
{
	if (n == 0)
		ph_buf_str(buf, "\\ufffd");
	else if (*p == '"' || *p == '\\')
		ph_buf_printf(buf, "\\%c", *p);
	else if (*p < 0x20 || *p == 0x7f)
		ph_buf_printf(buf, "\\u%04x", *p);
	else if (n == 2 && p[0] == LEAD_OF_C1 && p[1] >= C1_FIRST &&
	    p[1] <= C1_LAST)
		ph_buf_printf(buf, "\\u%04x", p[1]);
	else
		ph_buf_add(buf, (const char *)p, n);
}

void
json_slice(struct ph_buf *buf, struct ph_slice text)
{
	ph_buf_char(buf, '"');
	for (size_t i = 0, n; i < text.n; i += n > 0 ? n : 1) {
		n = utf8_length(text.p + i, text.n - i);
		put_character(buf, (const unsigned char *)text.p + i, n);
	}
	ph_buf_char(buf, '"');
}

void
json_string(struct ph_buf *buf, const char *text)
{
	json_slice(buf, ph_slice_str(text));
}
