/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peer.c - addresses of connections. What getpeername says of a descriptor is
 * the kernel's word: who passes the descriptor on can't make it say another.
 */
#include "net/peer.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

void
peer_of_sockaddr(const struct sockaddr_storage *from, struct ph_addr *addr_out,
    uint16_t *port_out)
{
	memset(addr_out, 0, sizeof(*addr_out));
	*port_out = 0;
	if (from->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)from;

		addr_out->family = 4;
		memcpy(addr_out->octet, &in->sin_addr, 4);
		*port_out = ntohs(in->sin_port);
	} else if (from->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)from;
		bool mapped = IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);

		addr_out->family = mapped ? 4 : 6;
		memcpy(addr_out->octet, (const char *)&in6->sin6_addr +
		    (mapped ? 12 : 0), mapped ? 4 : 16);
		*port_out = ntohs(in6->sin6_port);
	}
}

int
peer_of_fd(int fd, struct ph_addr *addr_out)
{
	struct sockaddr_storage from = { 0 };
	socklen_t n = sizeof(from), size = sizeof(int);
	uint16_t port;
	int type = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 ||
	    type != SOCK_STREAM)
		return PH_INVALID;
	if (getpeername(fd, (struct sockaddr *)&from, &n) != 0)
		return errno == ENOTCONN ? PH_UNAVAILABLE : PH_INVALID;
	peer_of_sockaddr(&from, addr_out, &port);
	return addr_out->family != 0 ? PH_OK : PH_INVALID;
}
