/* SPDX-License-Identifier: Apache-2.0 */
/*
 * posthouse/stream.h - a connection as ordered octets, in the clear or TLS.
 *
 * Reading is a look at a buffer: fill it, look, consume. Writing goes to a
 * buffer that is sent when the stream next waits for input, when it is flushed
 * or when it grows over 16 KiB; so pipelined replies leave in one write.
 * A stream belongs to one reading fiber; one other fiber may write.
 */
#ifndef POSTHOUSE_STREAM_H
#define POSTHOUSE_STREAM_H

#include <posthouse/addr.h>
#include <posthouse/arena.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ph_stream;

/*
 * The next line, without its line end, borrowed until the next call on the
 * stream. Ends at LF; *bare_lf_out (may be NULL) tells that no CR stood before
 * it. A line over limit octets (line end included): PH_TOO_BIG, and its octets
 * up to and including the line end are swallowed first. Suspends; PH_EOF,
 * PH_TIMEOUT after timeout_ms in total, PH_CANCELED, PH_IO, PH_TLS.
 */
PH_EXPORT int ph_stream_read_line(struct ph_stream *stream, size_t limit,
    unsigned timeout_ms, struct ph_slice *line_out, bool *bare_lf_out);

/*
 * What is buffered (may be empty), borrowed until the next call; never
 * suspends.
 */
PH_EXPORT struct ph_slice ph_stream_buffered(struct ph_stream *stream);
/* Forget the first n buffered octets. */
PH_EXPORT void ph_stream_consume(struct ph_stream *stream, size_t n);
/*
 * Wait until more octets than now are buffered. Suspends; statuses as above,
 * PH_TOO_BIG when 64 KiB are buffered and none was consumed.
 */
PH_EXPORT int ph_stream_fill(struct ph_stream *stream, unsigned timeout_ms);
/*
 * Take what came without having waited for it; never suspends. PH_OK: something
 * is buffered. PH_TIMEOUT: nothing is there. Else as ph_stream_fill. Since
 * minor 4.
 */
PH_EXPORT int ph_stream_look(struct ph_stream *stream);
/*
 * Wait until `event` is signalled or input is there: IDLE. Suspends. PH_OK:
 * look at both; else as ph_stream_fill.
 */
struct ph_event;
PH_EXPORT int ph_stream_wait(struct ph_stream *stream, struct ph_event *event,
    unsigned timeout_ms);

/* Queue n octets (copied). May suspend when much is queued: back-pressure. 0, or
 * as ph_stream_flush. */
PH_EXPORT int ph_stream_write(struct ph_stream *stream, const void *p, size_t n);
/* Queue a C string, as ph_stream_write. */
PH_EXPORT int ph_stream_puts(struct ph_stream *stream, const char *s);
/* Queue what printf(3) would write, as ph_stream_write. */
PH_EXPORT int ph_stream_printf(struct ph_stream *stream, const char *fmt, ...)
    PH_PRINTF(2, 3);
/* Send what is queued. Suspends. 0, PH_TIMEOUT, PH_CANCELED, PH_IO, PH_TLS. */
PH_EXPORT int ph_stream_flush(struct ph_stream *stream);
/* How long one write may be stuck before PH_TIMEOUT; default 60 s. */
PH_EXPORT void ph_stream_write_timeout(struct ph_stream *stream,
    unsigned timeout_ms);

/* Whether a TLS handshake was done. */
PH_EXPORT bool ph_stream_is_tls(const struct ph_stream *stream);
/* "TLSv1.3 TLS_AES_256_GCM_SHA384", or NULL in the clear; borrowed. */
PH_EXPORT const char *ph_stream_tls_name(const struct ph_stream *stream);
/* Octets received since the start, for the summary line. */
PH_EXPORT uint64_t ph_stream_octets_in(const struct ph_stream *stream);
/* Octets sent since the start. */
PH_EXPORT uint64_t ph_stream_octets_out(const struct ph_stream *stream);

/* --- connections we open: transports and checks alone --- */

/*
 * Connect to addr:port. The stream ends with the arena. Suspends, at most for
 * timeout_ms and the fiber's deadline. 0, or with err (may be NULL) filled: PH_IO
 * when it was refused or can't be reached, PH_TIMEOUT, PH_CANCELED.
 */
PH_EXPORT int ph_connect(struct ph_arena *arena, const struct ph_addr *addr,
    uint16_t port, unsigned timeout_ms, struct ph_stream **stream_out,
    struct ph_err *err);

/* The same to the Unix socket at path (under 108 octets, else PH_INVALID). */
PH_EXPORT int ph_connect_unix(struct ph_arena *arena, const char *path,
    unsigned timeout_ms, struct ph_stream **stream_out, struct ph_err *err);

enum ph_tls_verify {
	PH_TLS_ANY,    /* encrypt, accept any certificate */
	PH_TLS_VERIFY, /* chain to the system's CAs and the name must fit */
};
/*
 * Become the TLS client. Input that was buffered before is discarded (response
 * injection after STARTTLS). name is sent as SNI, and with PH_TLS_VERIFY it is
 * the name that must fit. Suspends. 0, or with err filled: PH_TLS when
 * the handshake failed or the certificate does not do, and what reading and
 * writing may end in. After a failure the stream is of no more use.
 */
PH_EXPORT int ph_stream_tls_client(struct ph_stream *stream, const char *name,
    enum ph_tls_verify verify, unsigned timeout_ms, struct ph_err *err);
/* Close the connection now; what is queued is dropped. The arena does it
 * otherwise. */
PH_EXPORT void ph_stream_close(struct ph_stream *stream);

#ifdef __cplusplus
}
#endif
#endif
