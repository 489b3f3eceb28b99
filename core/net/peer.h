/* SPDX-License-Identifier: Apache-2.0 */
/* peer.h - who the system says is at the other end of a connection. */
#ifndef CORE_NET_PEER_H
#define CORE_NET_PEER_H

#include <posthouse/addr.h>

struct sockaddr_storage;

/* IPv4 inside IPv6 is IPv4; of another family: none, and port 0. */
void peer_of_sockaddr(const struct sockaddr_storage *from,
    struct ph_addr *addr_out, uint16_t *port_out);
/* Of a TCP connection that was accepted, or was once. 0, PH_UNAVAILABLE when
 * it is gone, PH_INVALID when it is no such thing. */
int peer_of_fd(int fd, struct ph_addr *addr_out);

#endif
