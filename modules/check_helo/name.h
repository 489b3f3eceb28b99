/* SPDX-License-Identifier: Apache-2.0 */
/*
 * name.h - what a client calls itself, by its form alone (RFC 5321 s4.1.1.1).
 * Pure.
 */
#ifndef CHECK_HELO_NAME_H
#define CHECK_HELO_NAME_H

#include <posthouse/addr.h>

enum helo_form {
	HELO_NAME,         /* may be looked up */
	HELO_OURSELVES,    /* our own name or address, from elsewhere */
	HELO_UNQUALIFIED,  /* no dot: "localhost", "pc17" */
	HELO_BARE_ADDRESS, /* an address without its brackets */
	HELO_LITERAL,      /* the client's own address */
	HELO_WRONG_LITERAL, /* another's */
};

struct helo_known {
	const struct ph_addr *client, *local;
	const char *hostname; /* ours */
};

enum helo_form helo_form_of(struct ph_slice helo,
    const struct helo_known *known);

#endif
