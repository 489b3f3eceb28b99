/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stuff.h - content made transparent for DATA (RFC 5321 s4.5.2). Pure.
 *
 * A dot is doubled after CRLF, after a bare LF and after a bare CR: whatever
 * the peer takes for a line end, no line of ours is a lone dot (SMTP smuggling,
 * CVE-2023-51764, CVE-2026-33604).
 */
#ifndef SMTP_CLIENT_STUFF_H
#define SMTP_CLIENT_STUFF_H

#include <posthouse/base.h>

struct stuff {
	struct ph_slice rest;
	bool at_line; /* rest begins a line */
	bool doubled; /* its dot was doubled already */
	bool any;     /* something came before: it ended with */
	char last[2];
};

void stuff_begin(struct stuff *stuff, struct ph_slice content);
/* The next piece to send, at most limit octets, borrowed; false at the end. */
bool stuff_next(struct stuff *stuff, size_t limit, struct ph_slice *piece_out);
/* More content, when stuff_next has said false. */
void stuff_more(struct stuff *stuff, struct ph_slice content);
/* What ends the content: a line end if it has none, and the lone dot. */
struct ph_slice stuff_end(const struct stuff *stuff);

#endif
