/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tickets.h - the keys of TLS session tickets, made here for all edge
 * processes: a new one every `ticket_rotation`, the former accepted as long.
 */
#ifndef CORE_MASTER_TICKETS_H
#define CORE_MASTER_TICKETS_H

#include "master/master.h"

/* The first key. 0, or PH_IO with err filled. */
int tickets_begin(struct ph_err *err);
/* Make a new key when it is time, and tell edge. Never suspends. */
void tickets_look(void);
/* What edge is told, borrowed until tickets_look: newest first. */
struct ph_slice tickets_keys(void);
/* To an edge process that is ready: what changed while it started. */
void tickets_tell(const struct process *process);

#endif
