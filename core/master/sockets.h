/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sockets.h - the listening sockets: bound by the master, kept over restarts
 * of a role and over reloads, passed to every edge process.
 *
 * A reload prepares the new set first, so that an address in use refuses the
 * configuration before anything has changed; then it is committed or abandoned.
 */
#ifndef CORE_MASTER_SOCKETS_H
#define CORE_MASTER_SOCKETS_H

#include "master/plan.h"

/* Bind what the plan lists and is not bound yet. Suspends (an address may be
 * busy for a moment after a crash). 0, or PH_INVALID with errors at the
 * settings; nothing has changed then. */
int sockets_prepare(const struct plan *plan, struct conf_errors *errors);
/* Make the prepared set the current one: tell the edge processes what came and
 * went, close what went, write run_dir/ports. */
void sockets_commit(const struct plan *plan);
void sockets_abandon(void);
/* Send all current sockets to one edge process. */
void sockets_give(unsigned edge_index);

#endif
