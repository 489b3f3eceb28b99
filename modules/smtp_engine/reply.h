/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reply.h - a reply as data, and its form on the wire.
 */
#ifndef SMTP_ENGINE_REPLY_H
#define SMTP_ENGINE_REPLY_H

#include <posthouse/session.h>

/* Lines of text are separated by "\n". code 0: nothing is to be sent. */
struct smtp_reply {
	int code;
	const char *enhanced; /* RFC 3463 "5.7.1"; NULL for greeting and EHLO */
	const char *text;
	bool has_token; /* the text names a token for `posthousectl trace` */
};

/*
 * "550-5.7.1 one\r\n550 5.7.1 two (TOKEN)\r\n". Octets that are not printable
 * ASCII become "?", lines are cut at 512 octets (RFC 5321 s4.5.3.1.5). The
 * token is added to refusals that have none.
 */
void smtp_reply_format(const struct smtp_reply *reply, const char *token,
    struct ph_buf *out);

#endif
