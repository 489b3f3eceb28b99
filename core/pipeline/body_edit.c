/* SPDX-License-Identifier: Apache-2.0 */
/*
 * body_edit.c - another body for a message. It gathers in a memory file, which
 * is sealed and goes to edge as it is: nothing of it is copied on the way there,
 * and modules of later orders are shown the same pages.
 */
#include "pipeline/pipeline.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "pipeline/envelope_edit.h"

enum { DIRECTLY_MAX = 64 << 10 }; /* written without a thread */

struct body_edit {
	int fd;
	uint64_t size;
	struct body_scan scan;
	struct ph_slice next; /* to be added */
	int status;           /* sticky */
};

static void
body_close(void *object)
{
	struct body_edit *body = object;

	if (body->fd >= 0)
		close(body->fd);
}

static struct body_edit *
body_create(struct ph_arena *arena)
{
	struct body_edit *body = ph_arena_alloc(arena, sizeof(*body));

	body->fd = memfd_create("body", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	body->status = body->fd >= 0 ? PH_OK : PH_IO;
	ph_arena_on_end(arena, body_close, body);
	return body;
}

/* In the thread pool when there is much. */
static void
body_write(void *arg)
{
	struct body_edit *body = arg;
	const char *p = body->next.p;
	size_t left = body->next.n;

	body_scan_next(&body->scan, body->next);
	if (body->scan.is_bad)
		body->status = PH_INVALID;
	while (body->status == PH_OK && left > 0) {
		ssize_t put = write(body->fd, p, left);

		if (put < 0 && errno == EINTR)
			continue;
		if (put <= 0)
			body->status = PH_IO;
		p += put > 0 ? put : 0;
		left -= put > 0 ? (size_t)put : 0;
	}
}

int
body_edit_add(struct ph_call *call, struct ph_slice octets)
{
	uint64_t limit = call->session->generation->core.message_limit_bytes;
	struct body_edit *body = call->body;

	if (body == NULL)
		call->body = body = body_create(call->arena);
	if (octets.n > limit - body->size && body->status == PH_OK)
		body->status = PH_TOO_BIG;
	if (body->status != PH_OK)
		return body->status;
	body->size += octets.n;
	body->next = octets;
	if (octets.n > DIRECTLY_MAX)
		ph_work(body_write, body);
	else
		body_write(body);
	return body->status;
}

bool
body_edit_end(struct body_edit *body)
{
	return body->status == PH_OK && body_scan_end(&body->scan) &&
	    fcntl(body->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW |
	        F_SEAL_WRITE | F_SEAL_SEAL) == 0;
}

int
body_edit_fd(const struct body_edit *body)
{
	return body->fd;
}
