/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stream.h - what the core adds to <posthouse/stream.h>: making streams from
 * descriptors, server-side TLS, and taking a stream apart for the hand-over.
 */
#ifndef CORE_NET_STREAM_H
#define CORE_NET_STREAM_H

#include <posthouse/stream.h>

struct tls_peer;
struct tls_server;

/* Wrap a non-blocking connected socket (given). Ends with the arena, too. */
struct ph_stream *stream_create(struct ph_arena *arena, int fd);
/* Send what is queued (bounded by the write timeout), close TLS, close. */
void stream_end(struct ph_stream *stream);

/*
 * Server-side TLS. Certificates and keys come as PEM text (edge opens no
 * files).
 */
struct tls_server *tls_server_create(struct ph_slice certificate_pem,
    struct ph_slice key_pem, struct ph_err *err);
/* One more reference, which another tls_server_free gives back. */
void tls_server_get(struct tls_server *server);
/* One more certificate, chain and key, for clients that ask for a name it
 * holds (SNI). 0 or PH_TLS. */
int tls_server_add(struct tls_server *server, struct ph_slice pem,
    struct ph_err *err);
/* The CAs that clients' certificates are verified with, and are asked for: PEM.
 * Behind the last tls_server_add. 0, or PH_TLS and none is trusted. */
int tls_server_trust(struct tls_server *server, struct ph_slice ca_pem,
    struct ph_err *err);
void tls_server_free(struct tls_server *server);
/* Where ph_stream_tls_client finds CAs: a PEM file, "" for the system's. Read
 * now, before the process gives up its view of the file system. */
int tls_client_init(const char *ca_file, struct ph_err *err);
void tls_client_fini(void);
struct tls_wish {
	const char *alpn; /* the one protocol that a client that sends ALPN must
	                   * name; NULL: any */
	bool ask_client;  /* for a certificate, which it may refuse */
	unsigned timeout_ms;
};
/* Drop buffered input, do the handshake. Counts references on server; wish is
 * copied. Suspends. */
int stream_tls_server(struct ph_stream *stream, struct tls_server *server,
    const struct tls_wish *wish);

/* The certificate that the client showed; NULL: none. */
const struct tls_peer *stream_tls_peer(const struct ph_stream *stream);

/* The descriptor, borrowed; -1 when closed. Another process may go on with a
 * duplicate of it: give that what ph_stream_buffered holds, too, and close. */
int stream_fd(const struct ph_stream *stream);
/* Put octets in front of what is unread: on the other side of a hand-over. */
void stream_unread(struct ph_stream *stream, struct ph_slice octets);
/* Copy both ways between a (TLS) stream and a socket (given) until both sides
 * are closed or idle_ms pass; half-closes are passed on. Suspends. */
void stream_relay(struct ph_stream *stream, int fd, unsigned idle_ms);

#endif
