/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy.c - see proxy.h. The socket is looked at before it is read, so that
 * what follows the header (perhaps a TLS handshake) stays where it is.
 */
#include "net/proxy.h"

#include <errno.h>
#include <sys/socket.h>

#include "net/stream_inner.h"

/* Take n octets that are known to be there. */
static bool
take(int fd, char *p, size_t n)
{
	return recv(fd, p, n, MSG_DONTWAIT) == (ssize_t)n;
}

int
proxy_read(struct ph_stream *stream, unsigned timeout_ms,
    struct proxy_header *header_out)
{
	const uint64_t start = ph_now_ms();
	char text[PROXY_HEADER_MAX];
	size_t have = 0, used;

	for (;;) {
		unsigned left = stream_time_left(start, timeout_ms);
		ssize_t n = recv(stream->fd, text + have, sizeof(text) - have,
		    MSG_PEEK | MSG_DONTWAIT);
		int status;

		if (n == 0)
			return PH_EOF;
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return PH_IO;
		if (n < 0) {
			status = left == 0 ? PH_TIMEOUT :
			    poll_wait(stream->poll, POLL_INPUT, left);
			if (status != PH_OK)
				return status;
			continue;
		}
		switch (proxy_parse((struct ph_slice){ text, have + (size_t)n },
		    header_out, &used)) {
		case PROXY_WHOLE:
			return take(stream->fd, text, used - have) ? PH_OK :
			    PH_IO;
		case PROXY_BROKEN:
			return PH_DEFECT;
		case PROXY_MORE: /* all of it belongs to the header */
			if (!take(stream->fd, text + have, (size_t)n))
				return PH_IO;
			have += (size_t)n;
			break;
		}
	}
}
