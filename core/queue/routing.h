/* SPDX-License-Identifier: Apache-2.0 */
/*
 * routing.h - who takes a recipient's mail, when it is accepted and, since that
 * may change while it waits, before it is tried again.
 */
#ifndef CORE_QUEUE_ROUTING_H
#define CORE_QUEUE_ROUTING_H

#include "queue/queue.h"
#include "role/route.h"

/* --- routing.c --- */

/* No control characters, and not too long. */
bool routing_is_sane(struct ph_slice text, size_t max);
/* Whether mail for the address is for mailboxes here. */
bool routing_is_ours(struct ph_slice address);
/* Whether a result is one that accept.c would take, too. */
bool routing_is_sound(const struct route_result *result);
/*
 * The value of ORCPT for a recipient that is replaced, so that a report can name
 * it (RFC 3461 s4.2, RFC 6533 s3). Absent: it can't be written.
 */
struct ph_slice routing_original(struct ph_arena *arena,
    struct ph_slice address);
/*
 * As route_ask, with texts that are sane; without routers each address has one
 * result, by its domain and mailbox. Suspends.
 */
int routing_ask(struct ph_slice sender, const struct ph_slice *addresses,
    size_t count, struct ph_arena *arena,
    const struct route_result **results_out, size_t *count_out);

/* --- reroute.c --- */

/* From now on routes are as the current generation has them; later the same
 * after a reload: what waits is asked about anew before it is tried. */
void reroute_start(void);
void reroute_reload(void);
/*
 * True: routes may have changed since the entry had its own, and they are asked
 * for now; schedule_due is called when they are known. It is the first thing
 * that schedule_due does.
 */
bool reroute_begin(struct entry *entry);

#endif
