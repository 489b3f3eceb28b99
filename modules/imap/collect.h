/* SPDX-License-Identifier: Apache-2.0 */
/*
 * collect.h - a command gathered from octets as they arrive.
 *
 * A command is a line, or lines joined by literals (RFC 3501 s4.3, RFC 7888).
 * The collector only counts and copies; it never waits and never makes room
 * for an announced number. What it holds is the command as on the wire, with
 * literals as "{n}" CRLF and n octets, for lex.h to read.
 */
#ifndef IMAP_COLLECT_H
#define IMAP_COLLECT_H

#include <posthouse/arena.h>

enum collect_result {
	COLLECT_MORE,    /* all taken, not complete */
	COLLECT_LITERAL, /* a literal is announced: accept it or take it over */
	COLLECT_DONE,    /* the text is complete */
	COLLECT_TOO_BIG, /* over the limit: what follows can't be told apart */
};

struct collect {
	struct ph_buf buf;
	size_t line_at;         /* start of the open line in buf */
	uint64_t literal_left;  /* octets still to be copied */
	uint64_t literal_size;  /* announced, at COLLECT_LITERAL */
	bool literal_is_sync;   /* wants a "+" before the client sends it */
	bool announced;
};

void collect_init(struct collect *c, size_t limit_bytes);
void collect_fini(struct collect *c);
/* Forget the command, and wipe it: it may hold a password. */
void collect_reset(struct collect *c);
/* Take octets of in up to the next result; *taken_out of them were used. */
enum collect_result collect_feed(struct collect *c, struct ph_slice in,
    size_t *taken_out);
/* After COLLECT_LITERAL: whether the literal fits; then it is copied. */
bool collect_accept(struct collect *c, uint64_t literal_limit);
/* After COLLECT_LITERAL, the literal may be taken over instead: copy the text,
 * reset, and read the octets yourself. */
/* The text so far, without the last line end; borrowed till the next call. */
struct ph_slice collect_text(const struct collect *c);

#endif
