/* SPDX-License-Identifier: Apache-2.0 */
/*
 * route.h - recipients through the routers: the check role answers MSG_ROUTE,
 * edge and queue ask.
 */
#ifndef CORE_ROLE_ROUTE_H
#define CORE_ROLE_ROUTE_H

#include "role/role.h"

enum {
	ROUTE_ASKED_MAX = 200,   /* recipients of one question */
	ROUTE_ADDRESS_MAX = 320,
};

/* What a recipient came to be; on the bus, never renumbered. */
enum route_answer {
	ROUTE_LOCAL = 1, /* a mailbox: F_USER */
	ROUTE_REMOTE,    /* to be sent: F_TRANSPORT? F_DESTINATION? */
	ROUTE_NO_USER,   /* nobody */
	ROUTE_UNSURE,    /* can't be told now */
};

/* One of those that a recipient came to be. Borrowed from the reply. */
struct route_result {
	size_t asked; /* index of the recipient */
	enum route_answer answer;
	bool is_replaced; /* a router put it in the recipient's place */
	bool is_copy;     /* a blind copy, of which nobody hears */
	bool is_accepted; /* a router says that it is ours to take */
	struct ph_slice address, user;
	struct ph_slice transport, destination; /* absent: not chosen */
};

/* Check: answer MSG_ROUTE. */
void route_serve(void);

/* Which mailbox an address of ours is: ROUTE_LOCAL with the user, ROUTE_NO_USER
 * or ROUTE_UNSURE. The role asks auth; the plugin harness has its own. */
typedef enum route_answer route_lookup(struct ph_arena *arena,
    struct ph_slice address, struct ph_slice *user_out);

struct route_question {
	struct ph_arena *arena;
	struct generation *generation;
	struct ph_slice sender; /* absent: only a recipient is named */
	route_lookup *look_up;
};
/* What one recipient comes to, as F_RESULTs with its number. Suspends. */
void route_recipient(const struct route_question *question, size_t number,
    struct ph_slice address, struct ph_buf *reply);

/*
 * The sender may be absent. Ask for count (<= ROUTE_ASKED_MAX) addresses. Each has at least one result,
 * in order. PH_OK, or a status when nobody could tell. Suspends.
 */
int route_ask(struct ph_slice sender, const struct ph_slice *addresses,
    size_t count, struct ph_arena *arena, const struct route_result **results_out,
    size_t *count_out);

#endif
