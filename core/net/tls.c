/* SPDX-License-Identifier: Apache-2.0 */
/* tls.c - what both sides of TLS share: handshake, records, the end. */
#include "net/stream_inner.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>

const char *
tls_reason(char *text, size_t size)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;

	snprintf(text, size, "%s", reason != NULL ? reason :
	    errno != 0 ? strerror(errno) : "closed by the peer");
	ERR_clear_error();
	return text;
}

/* What OpenSSL's result means: 0 and *want, or a status. */
static int
tls_outcome(struct ph_stream *stream, int result, enum poll_side *want)
{
	int error = SSL_get_error(stream->ssl, result);
	bool truncated = error == SSL_ERROR_SSL &&
	    ERR_GET_REASON(ERR_peek_error()) ==
	        SSL_R_UNEXPECTED_EOF_WHILE_READING;

	*want = POLL_INPUT;
	switch (error) {
	case SSL_ERROR_WANT_READ:
		return 0;
	case SSL_ERROR_WANT_WRITE:
		*want = POLL_OUTPUT;
		return 0;
	case SSL_ERROR_ZERO_RETURN:
		return PH_EOF;
	case SSL_ERROR_SYSCALL:
		ERR_clear_error();
		return errno == 0 || errno == ECONNRESET || errno == EPIPE ?
		    PH_EOF : PH_IO;
	default:
		ERR_clear_error();
		return truncated ? PH_EOF : PH_TLS;
	}
}

ssize_t
tls_read(struct ph_stream *stream, void *p, size_t n, enum poll_side *want)
{
	size_t all = 0;
	int status = 0;

	errno = 0;
	while (all < n) {
		size_t got = 0;
		int result = SSL_read_ex(stream->ssl, (char *)p + all,
		    n - all, &got);

		if (result <= 0) {
			status = tls_outcome(stream, result, want);
			break;
		}
		all += got;
		if (!SSL_has_pending(stream->ssl))
			break;
	}
	return all > 0 ? (ssize_t)all : status;
}

ssize_t
tls_write(struct ph_stream *stream, const void *p, size_t n,
    enum poll_side *want)
{
	size_t put = 0;
	int result;

	errno = 0;
	result = SSL_write_ex(stream->ssl, p, n, &put);
	if (result > 0)
		return (ssize_t)put;
	return tls_outcome(stream, result, want);
}

bool
tls_pending(const struct ph_stream *stream)
{
	return stream->ssl != NULL && SSL_has_pending(stream->ssl);
}

void
tls_close(struct ph_stream *stream, bool orderly)
{
	if (stream->ssl == NULL)
		return;
	if (orderly && stream->failed == PH_OK)
		SSL_shutdown(stream->ssl);
	ERR_clear_error();
	SSL_free(stream->ssl);
	stream->ssl = NULL;
	tls_server_free(stream->server);
	stream->server = NULL;
}

static int
shake(struct ph_stream *stream, unsigned timeout_ms)
{
	uint64_t start = ph_now_ms();

	for (;;) {
		enum poll_side want;
		unsigned left = stream_time_left(start, timeout_ms);
		int result, status;

		errno = 0;
		ERR_clear_error();
		result = SSL_do_handshake(stream->ssl);
		if (result == 1)
			return PH_OK;
		if (SSL_get_error(stream->ssl, result) == SSL_ERROR_SSL)
			return PH_TLS; /* the queue keeps the reason */
		status = tls_outcome(stream, result, &want);
		if (status != 0)
			return status;
		status = left == 0 ? PH_TIMEOUT :
		    poll_wait(stream->poll, want, left);
		if (status != PH_OK)
			return status;
	}
}

int
tls_handshake(struct ph_stream *stream, SSL *ssl, unsigned timeout_ms)
{
	int status;

	/* Input from before the handshake was in the clear: anybody's. */
	stream->in.at = stream->in.n;
	octets_drop(&stream->in);
	stream->more = false;
	SSL_set_fd(ssl, stream->fd);
	stream->ssl = ssl;
	status = shake(stream, timeout_ms);
	if (status != PH_OK) {
		stream->failed = status;
		return status;
	}
	stream->tls_name = ph_arena_printf(stream->arena, "%s %s",
	    SSL_get_version(ssl), SSL_get_cipher_name(ssl));
	return PH_OK;
}

bool
ph_stream_is_tls(const struct ph_stream *stream)
{
	return stream->tls_name != NULL;
}

const struct tls_peer *
stream_tls_peer(const struct ph_stream *stream)
{
	return stream->tls_peer;
}

const char *
ph_stream_tls_name(const struct ph_stream *stream)
{
	return stream->tls_name;
}
