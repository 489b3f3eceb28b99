/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clients.h - the page on which the edge processes count their connections
 * together (role/client_counts.h); what a dead one counted is taken off here.
 */
#ifndef CORE_MASTER_CLIENTS_H
#define CORE_MASTER_CLIENTS_H

#include "master/master.h"

/* Make the page for as many as master.sizes says, none for one alone. 0, or
 * PH_IO with err filled. */
int clients_begin(struct ph_err *err);
/* Lend it to this edge process, which has no socket yet. */
void clients_tell(unsigned edge_index);
/* This edge process has ended. */
void clients_gone(unsigned edge_index);

#endif
