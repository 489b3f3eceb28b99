/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reply.c - replies on the wire (RFC 5321 s4.2, RFC 2034). The one place where
 * text becomes protocol, so the one place where it is made harmless.
 */
#include "reply.h"

enum { REPLY_LINE_MAX = 512 };

static void
add_line(const struct smtp_reply *reply, struct ph_slice text, bool is_last,
    const char *token, struct ph_buf *out)
{
	const size_t start = out->n;
	const char code[] = { (char)('0' + reply->code / 100 % 10),
		(char)('0' + reply->code / 10 % 10),
		(char)('0' + reply->code % 10), is_last ? ' ' : '-' };
	size_t room;
	char *to;

	ph_buf_add(out, code, sizeof(code));
	if (reply->enhanced != NULL) {
		ph_buf_str(out, reply->enhanced);
		ph_buf_char(out, ' ');
	}
	room = REPLY_LINE_MAX - 2 - (out->n - start) - strlen(token);
	if (text.n > room)
		text.n = room;
	to = ph_buf_reserve(out, text.n);
	for (size_t i = 0; to != NULL && i < text.n; i++)
		to[i] = text.p[i] >= 0x20 && text.p[i] < 0x7f ? text.p[i] : '?';
	ph_buf_commit(out, to != NULL ? text.n : 0);
	ph_buf_str(out, token);
	ph_buf_str(out, "\r\n");
}

void
smtp_reply_format(const struct smtp_reply *reply, const char *token,
    struct ph_buf *out)
{
	struct ph_slice rest = ph_slice_str(reply->text), line;
	char tail[40] = "";

	if (reply->code >= 400 && !reply->has_token && strlen(token) < 32) {
		memcpy(tail, " (", 2);
		memcpy(tail + 2, token, strlen(token));
		memcpy(tail + 2 + strlen(token), ")", 2);
	}
	do {
		line = ph_slice_cut(&rest, '\n');
		add_line(reply, line, rest.p == NULL,
		    rest.p == NULL ? tail : "", out);
	} while (rest.p != NULL);
}
