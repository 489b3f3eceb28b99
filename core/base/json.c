/* SPDX-License-Identifier: Apache-2.0 */
/* json.c - what a JSON string may hold: no control octet, quote or backslash. */
#include "base/json.h"

void
json_string(struct ph_buf *buf, const char *text)
{
	ph_buf_char(buf, '"');
	for (const char *at = text; *at != '\0'; at++) {
		unsigned char c = (unsigned char)*at;

		if (c == '"' || c == '\\')
			ph_buf_printf(buf, "\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			ph_buf_printf(buf, "\\u%04x", c < 0x80 ? c : 0xfffd);
		else
			ph_buf_char(buf, (char)c);
	}
	ph_buf_char(buf, '"');
}
