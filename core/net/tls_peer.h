/* SPDX-License-Identifier: Apache-2.0 */
/* tls_peer.h - the certificate that a client showed, as text for logs. */
#ifndef CORE_NET_TLS_PEER_H
#define CORE_NET_TLS_PEER_H

#include <posthouse/arena.h>

struct tls_peer {
	const char *fingerprint;      /* SHA-256 in hex */
	const char *subject, *issuer; /* common names: printable ASCII without
	                               * quotes, parentheses, backslashes; "" */
	bool is_verified;             /* by one of the CAs for clients */
};

struct ssl_st;
/* NULL: it showed none. In the arena. */
const struct tls_peer *tls_peer_of(struct ph_arena *arena,
    const struct ssl_st *ssl);

#endif
