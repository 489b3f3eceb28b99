/* SPDX-License-Identifier: Apache-2.0 */
/*
 * accept.h - one commit from edge, as those see it who have a part in it: the
 * file of its body, its recipients, and the report that they became several.
 */
#ifndef CORE_QUEUE_ACCEPT_H
#define CORE_QUEUE_ACCEPT_H

#include "queue/queue.h"

/* What edge, and the routers, say of one recipient. */
struct claim {
	struct ph_slice address, user, notify, orcpt;
	struct ph_slice transport, destination; /* of the routers alone */
	size_t expanded; /* into so many recipients, and is reported so */
};

/* A commit under way. */
struct accepting {
	struct bus_request *request;
	bool relay; /* its right is proven */
	struct queue_db_message message; /* body.fd is ours to close */
	struct claim *claims;
	size_t claim_count;
	struct entry *report; /* NULL: none is made */
};

/* When it may be tried first, in seconds; 0: at once. */
int64_t accept_release_at(struct ph_slice record);

/* --- spool.c --- */

void spool_serve(void);
/* The descriptor of the file that this edge was given under the number, the
 * caller's to close; -1: there is none. */
int spool_take(uint64_t number, unsigned edge);

/* --- accept_recipients.c --- */

/* Claims, and the rows of the message. PH_DENIED: no right to one; suspends. */
int accept_recipients(struct accepting *accepting);

/* --- accept_expanded.c --- */

/* Into the op that makes the message durable, when one is wanted. Suspends. */
int accept_report_expanded(struct accepting *accepting,
    struct queue_db_op *op);

#endif
