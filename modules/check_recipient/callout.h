/* SPDX-License-Identifier: Apache-2.0 */
/*
 * callout.h - a conversation with the next server that never comes to DATA. Its
 * connection is kept for a while: the next recipient is one more of the same
 * transaction, and costs one round trip. A server that says more than it was
 * asked is not believed: whose reply would the next one be?
 */
#ifndef CHECK_RECIPIENT_CALLOUT_H
#define CHECK_RECIPIENT_CALLOUT_H

#include <posthouse/arena.h>

#include "server.h"

struct callout {
	const struct next_server *server;
	const char *hostname;      /* ours, for EHLO */
	struct ph_slice recipient; /* ASCII, no control octets */
	unsigned timeout_ms;       /* for a place, then for all of it */
	unsigned connections;      /* to the server, in all processes */
};

/* Ask whether it takes mail for the recipient, from the null sender. server: the
 * server as a text of its own. What it said, or why it could not be asked, in the
 * arena. Suspends. */
enum call_answer callout_ask(struct ph_arena *arena,
    const struct callout *callout, const char *server, const char **said_out);

#endif
