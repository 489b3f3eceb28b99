/* SPDX-License-Identifier: Apache-2.0 */
/*
 * args.h - arguments of SMTP commands: syntax alone. Pure: slice in, struct
 * out; each parser returns NULL, or the reply that says what is wrong.
 */
#ifndef SMTP_ENGINE_ARGS_H
#define SMTP_ENGINE_ARGS_H

#include <posthouse/mail.h>

#include "reply.h"

/* MAIL FROM:<path> and its parameters; absent slices were not given. */
struct smtp_mail_args {
	struct ph_path path;
	bool has_params;
	bool has_size;
	uint64_t size;          /* RFC 1870 */
	bool smtputf8;          /* RFC 6531 */
	struct ph_slice body;   /* "7BIT", "8BITMIME", "BINARYMIME" */
	struct ph_slice ret;    /* RFC 3461: "FULL", "HDRS" */
	struct ph_slice envid;  /* xtext */
	struct ph_slice auth;   /* RFC 4954 s5: xtext or "<>" */
	int64_t hold_for;       /* RFC 4865: seconds; 0: not given */
	int64_t hold_until;     /* seconds since 1970; 0: not given */
};

struct smtp_rcpt_args {
	struct ph_path path;    /* address "postmaster" when only that */
	bool is_postmaster;     /* <Postmaster>, no domain */
	bool has_params;
	struct ph_slice notify; /* RFC 3461 */
	struct ph_slice orcpt;
};

struct smtp_bdat_args {
	uint64_t size;
	bool last;
};

/* XCLIENT: a client as a front end saw it; family 0: it does not say. */
struct smtp_xclient_args {
	struct ph_addr addr;
	uint16_t port;
	struct ph_slice helo;
};

/* arena: where unquoted local parts go. text: what follows the verb. strict:
 * an address has to stand in brackets. */
const struct smtp_reply *smtp_mail_parse(struct ph_arena *arena, bool strict,
    struct ph_slice text, struct smtp_mail_args *args_out);
const struct smtp_reply *smtp_rcpt_parse(struct ph_arena *arena, bool strict,
    struct ph_slice text, struct smtp_rcpt_args *args_out);
const struct smtp_reply *smtp_bdat_parse(struct ph_slice text,
    struct smtp_bdat_args *args_out);
/* A host name or address literal, wide enough for what clients say of
 * themselves ("my_pc", "[IPv6:fe80::1%eth0]"), narrow enough for a Received field. */
const struct smtp_reply *smtp_helo_parse(struct ph_slice text,
    struct ph_slice *name_out);
/* AUTH mechanism [initial-response]; initial absent when not given. */
const struct smtp_reply *smtp_auth_parse(struct ph_slice text,
    struct ph_slice *mechanism_out, struct ph_slice *initial_out);
/* RFC 3461 s4: printable without "+" and "=", which are "+HH". */
bool smtp_xtext_is_valid(struct ph_slice text);
/* Past blanks at the start. */
void smtp_skip_blanks(struct ph_slice *text);

#endif
