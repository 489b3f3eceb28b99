/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reply.c - one reply of an SMTP server from its lines.
 *
 * What the peer says ends in bounces and logs: text is bounded and cut, never
 * trusted. Codes decide alone; an enhanced code counts only when its class is
 * that of the code.
 */
#include "reply.h"

void
reply_init(struct smtp_reply *reply)
{
	memset(reply, 0, sizeof(*reply));
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/*
 * status-code = class "." subject "." detail, RFC 3463 s2; returns its length,
 * 0 when the text does not begin with one of that class.
 */
static size_t
enhanced_length(struct ph_slice text, int class)
{
	size_t i = 2;

	if (text.n < 5 || text.p[0] != '0' + class || text.p[1] != '.')
		return 0;
	for (unsigned part = 0; part < 2; part++) {
		size_t start = i;

		while (i < text.n && is_digit(text.p[i]))
			i++;
		if (i == start || i - start > 3)
			return 0;
		if (part == 0) {
			if (i == text.n || text.p[i] != '.')
				return 0;
			i++;
		}
	}
	return i == text.n || text.p[i] == ' ' ? i : 0;
}

static void
add_text(struct smtp_reply *reply, struct ph_slice text)
{
	if (reply->text_n > 0 && reply->text_n + 1 < sizeof(reply->text))
		reply->text[reply->text_n++] = ' ';
	for (size_t i = 0; i < text.n &&
	    reply->text_n + 1 < sizeof(reply->text); i++)
		reply->text[reply->text_n++] = text.p[i] != '\0' ? text.p[i] :
		                                                   '?';
	reply->text[reply->text_n] = '\0';
}

static void
take_text(struct smtp_reply *reply, struct ph_slice text)
{
	size_t n = enhanced_length(text, reply->code / 100);

	if (n > 0 && n < sizeof(reply->enhanced)) {
		if (reply->enhanced[0] == '\0')
			memcpy(reply->enhanced, text.p, n);
		text.p += n;
		text.n -= n;
	}
	add_text(reply, ph_slice_trim(text));
}

/* Reply-line = *( Reply-code "-" [ textstring ] CRLF )
 *              Reply-code [ SP textstring ] CRLF */
enum reply_step
reply_line(struct smtp_reply *reply, struct ph_slice line,
    struct ph_slice *text_out)
{
	struct ph_slice text = { "", 0 };
	int code;

	if (line.n < 3 || line.p[0] < '2' || line.p[0] > '5' ||
	    !is_digit(line.p[1]) || !is_digit(line.p[2]) ||
	    (line.n > 3 && line.p[3] != ' ' && line.p[3] != '-') ||
	    ++reply->lines > REPLY_LINES_MAX)
		return REPLY_BROKEN;
	code = (line.p[0] - '0') * 100 + (line.p[1] - '0') * 10 +
	    (line.p[2] - '0');
	if (reply->lines > 1 && code != reply->code)
		return REPLY_BROKEN;
	reply->code = code;
	if (line.n > 4)
		text = (struct ph_slice){ line.p + 4, line.n - 4 };
	if (text_out != NULL)
		*text_out = text;
	take_text(reply, text);
	return line.n > 3 && line.p[3] == '-' ? REPLY_MORE : REPLY_COMPLETE;
}
