/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reply.h - replies of an SMTP server (RFC 5321 s4.2), read line by line. Pure.
 */
#ifndef SMTP_CLIENT_REPLY_H
#define SMTP_CLIENT_REPLY_H

#include <posthouse/base.h>

enum {
	REPLY_LINE_MAX = 2048,  /* RFC 5321 s4.5.3.1.5 says 512 */
	REPLY_LINES_MAX = 128,
	REPLY_TEXT_MAX = 400,
};

struct smtp_reply {
	int code;           /* 200..599 */
	char enhanced[12];  /* RFC 3463, "" when there is none */
	char text[REPLY_TEXT_MAX]; /* the lines without codes, joined by SP */
	size_t text_n;
	unsigned lines;
};

enum reply_step { REPLY_MORE, REPLY_COMPLETE, REPLY_BROKEN };

void reply_init(struct smtp_reply *reply);
/*
 * Take one line without its line end. *text_out (may be NULL) is what follows
 * the code, as it came. Broken: no reply line, codes that differ, too many.
 */
enum reply_step reply_line(struct smtp_reply *reply, struct ph_slice line,
    struct ph_slice *text_out);

#endif
