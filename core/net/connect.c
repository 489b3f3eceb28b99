/* SPDX-License-Identifier: Apache-2.0 */
/* connect.c - opening a connection to another server. */
#include "net/stream_inner.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static socklen_t
socket_address(const struct ph_addr *addr, uint16_t port,
    struct sockaddr_storage *storage)
{
	memset(storage, 0, sizeof(*storage));
	if (addr->family == 4) {
		struct sockaddr_in *in = (struct sockaddr_in *)storage;

		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		memcpy(&in->sin_addr, addr->octet, 4);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)storage;

	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	memcpy(&in6->sin6_addr, addr->octet, 16);
	return sizeof(*in6);
}

/* Wait for the connect begun on the stream's socket. */
static int
finish_connect(struct ph_stream *stream, unsigned timeout_ms,
    struct ph_err *err)
{
	int status = poll_wait(stream->poll, POLL_OUTPUT, timeout_ms);
	int error = 0;
	socklen_t n = sizeof(error);

	if (status != PH_OK)
		return ph_err_set(err, status, 0, "%s",
		    status == PH_TIMEOUT ? "connection timed out" :
		    ph_status_name(status));
	getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &n);
	if (error != 0)
		return ph_err_set(err, PH_IO, error, "%s", strerror(error));
	return PH_OK;
}

static int
open_stream(struct ph_arena *arena, const struct sockaddr *address,
    socklen_t n, unsigned timeout_ms, struct ph_stream **stream_out,
    struct ph_err *err)
{
	struct ph_stream *stream;
	int status = PH_OK, fd;

	fd = socket(address->sa_family,
	    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return ph_err_set(err, PH_IO, errno, "socket: %s",
		    strerror(errno));
	if (connect(fd, address, n) != 0 && errno != EINPROGRESS) {
		status = ph_err_set(err, PH_IO, errno, "%s", strerror(errno));
		close(fd);
		return status;
	}
	stream = stream_create(arena, fd);
	status = stream->poll == NULL ?
	    ph_err_set(err, PH_IO, 0, "cannot watch the socket") :
	    finish_connect(stream, timeout_ms, err);
	if (status != PH_OK)
		ph_stream_close(stream);
	else
		*stream_out = stream;
	return status;
}

int
ph_connect(struct ph_arena *arena, const struct ph_addr *addr, uint16_t port,
    unsigned timeout_ms, struct ph_stream **stream_out, struct ph_err *err)
{
	struct sockaddr_storage storage;
	socklen_t n = socket_address(addr, port, &storage);

	return open_stream(arena, (struct sockaddr *)&storage, n, timeout_ms,
	    stream_out, err);
}

int
ph_connect_unix(struct ph_arena *arena, const char *path, unsigned timeout_ms,
    struct ph_stream **stream_out, struct ph_err *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t n = strlen(path);

	if (n == 0 || n >= sizeof(address.sun_path))
		return ph_err_set(err, PH_INVALID, 0,
		    "no path of a Unix socket");
	memcpy(address.sun_path, path, n + 1);
	return open_stream(arena, (struct sockaddr *)&address,
	    sizeof(address), timeout_ms, stream_out, err);
}
