/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tls_tickets.h - the keys of session tickets: all processes have the same, so
 * that each resumes what another began. Keys are the process's; they change
 * under connections and configurations.
 */
#ifndef CORE_NET_TLS_TICKETS_H
#define CORE_NET_TLS_TICKETS_H

#include <posthouse/arena.h>

enum { TLS_TICKET_KEY = 80, TLS_TICKET_KEYS = 2 };

/* One key or two, copied: the first seals new tickets, each opens its own.
 * PH_DEFECT, and nothing changes, when it is something else. */
int tls_tickets_use(struct ph_slice keys);
/* Seal and open no more. */
void tls_tickets_forget(void);

struct ssl_ctx_st;
/* Let this context use the keys there are at any time. */
void tls_tickets_attach(struct ssl_ctx_st *ctx);

#endif
