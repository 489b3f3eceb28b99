/* SPDX-License-Identifier: Apache-2.0 */
/*
 * print.c - an answer holds addresses, reasons and content that strangers
 * wrote: what a terminal would obey is shown, not sent. Ends of lines and tabs
 * stay, and so does UTF-8.
 */
#include "ctl/print.h"

/* C1 controls have two octets in UTF-8. */
static bool
is_c1(const char *p, size_t left)
{
	return left > 1 && (unsigned char)p[0] == 0xc2 &&
	    (unsigned char)p[1] >= 0x80 && (unsigned char)p[1] < 0xa0;
}

void
print_text(struct ph_slice text, FILE *out)
{
	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c == '\r' && i + 1 < text.n && text.p[i + 1] == '\n')
			continue; /* the end of a line of mail */
		if (is_c1(text.p + i, text.n - i)) {
			fprintf(out, "\\x%02x", (unsigned char)text.p[++i]);
		} else if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f) {
			fprintf(out, "\\x%02x", c);
		} else {
			putc(c, out);
		}
	}
}
