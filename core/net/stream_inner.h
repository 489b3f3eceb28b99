/* SPDX-License-Identifier: Apache-2.0 */
/* stream_inner.h - what a stream is, for the files of this folder. */
#ifndef CORE_NET_STREAM_INNER_H
#define CORE_NET_STREAM_INNER_H

#include <openssl/ssl.h>

#include "loop/fiber.h"
#include "net/poll.h"
#include "net/stream.h"

enum {
	STREAM_READ = 64 << 10,     /* one read takes at most this */
	STREAM_BUFFER = 64 << 10,   /* unread octets held */
	STREAM_OUT_SOFT = 16 << 10, /* queued octets that are sent at once */
	STREAM_KEPT = 1 << 20,      /* unsent ones that outlive a canceled fiber */
	STREAM_WRITE_MS = 60000,
};

/* Octets between at and n are live; memory exists only while some are. */
struct octets {
	char *p;
	size_t at, n, capacity;
};

struct ph_stream {
	struct ph_arena *arena;
	int fd; /* -1: closed or given away */
	struct poll_watch *poll;
	SSL *ssl;
	struct tls_server *server; /* referenced */
	const char *alpn;          /* the one protocol, while the handshake */
	const char *tls_name;
	const struct tls_peer *tls_peer; /* NULL: showed none */
	struct octets in, out;
	bool more;     /* the last read was full: another may be at once */
	bool flushing; /* a fiber sends; others wait for it */
	struct ph_event flushed;
	int failed;    /* the status that ended it for writing */
	unsigned write_timeout_ms;
	uint64_t octets_in, octets_out;
};

/* Append a copy; false when there is no memory. Drop frees what is empty. */
void octets_add(struct octets *octets, const void *p, size_t n);
void octets_drop(struct octets *octets);
static inline size_t
octets_live(const struct octets *octets)
{
	return octets->n - octets->at;
}

/* What is left of a time that began at start_ms; 0 when it is over. */
unsigned stream_time_left(uint64_t start_ms, unsigned timeout_ms);

/*
 * One attempt each, never suspending: octets moved, or 0 with *want set to the
 * side that must be ready first, or a negative status.
 */
ssize_t stream_raw_read(struct ph_stream *stream, void *p, size_t n,
    enum poll_side *want);
ssize_t stream_raw_write(struct ph_stream *stream, const void *p, size_t n,
    enum poll_side *want);
ssize_t tls_read(struct ph_stream *stream, void *p, size_t n,
    enum poll_side *want);
ssize_t tls_write(struct ph_stream *stream, const void *p, size_t n,
    enum poll_side *want);
/* Whether decrypted or received octets wait inside TLS. */
bool tls_pending(const struct ph_stream *stream);
/* close_notify, once and without waiting; then free. */
void tls_close(struct ph_stream *stream, bool orderly);

/* Shared by both directions of TLS. Takes ssl; runs the handshake. Suspends. */
int tls_handshake(struct ph_stream *stream, SSL *ssl, unsigned timeout_ms);
/* The newest error of OpenSSL as a sentence; empties its queue. */
const char *tls_reason(char *text, size_t size);

#endif
