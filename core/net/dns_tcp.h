/* SPDX-License-Identifier: Apache-2.0 */
/* dns_tcp.h - a question asked over TCP, when UDP truncated its answer. */
#ifndef CORE_NET_DNS_TCP_H
#define CORE_NET_DNS_TCP_H

#include "net/dns_packet.h"

/*
 * Ask server:port until end_ms on ph_now_ms's clock. The packet lives in the
 * arena; its id is checked, nothing else. Suspends. Statuses as ph_connect.
 */
int dns_tcp_ask(struct ph_arena *arena, const struct ph_addr *server,
    uint16_t port, const char *name, enum dns_kind kind, uint64_t end_ms,
    struct ph_slice *packet_out);

#endif
