/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_handover.c - an authenticated connection goes to the mail process
 * that owns the user: the descriptor itself, or behind TLS one end of a socket
 * pair whose other end edge relays.
 */
#include "session/session.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/record.h"
#include "loop/fiber.h"
#include "net/stream.h"

enum { FIBERS_SPARE = 2000 };

static int
give(struct ph_session *session, struct ph_slice state,
    struct ph_slice unread, int fd)
{
	const struct core_conf *core = &session->generation->core;
	struct bus_message reply;
	struct ph_buf buf;

	ph_buf_init(&buf, session->arena, BUS_MESSAGE_LIMIT);
	session_put(session, &buf);
	record_put(&buf, F_TOKEN, session->token);
	record_put(&buf, F_STATE, state);
	record_put(&buf, F_UNREAD, unread);
	return bus_call(ROLE_MAIL, partition_of(ph_slice_str(session->user),
	    core->mail.partitions), MSG_HANDOVER, ph_buf_content(&buf), &fd, 1,
	    BUS_HANDOVER_MS, session->arena, &reply);
}

static int
give_relayed(struct ph_session *session, struct ph_slice state)
{
	int pair[2], status;

	if (!fiber_has_room(FIBERS_SPARE)) /* relaying takes another one */
		return PH_UNAVAILABLE;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
	        pair) != 0)
		return PH_UNAVAILABLE;
	status = give(session, state, PH_LIT(""), pair[1]);
	close(pair[1]);
	if (status != PH_OK) {
		close(pair[0]);
		return PH_UNAVAILABLE;
	}
	session->relay_fd = pair[0];
	session->is_handed_over = true;
	return PH_OK;
}

int
ph_session_handover(struct ph_session *session, struct ph_slice state)
{
	int status;

	if (session->user == NULL)
		return PH_DENIED;
	status = ph_stream_flush(session->stream);
	if (status != PH_OK)
		return status;
	if (session->tls != NULL)
		return give_relayed(session, state);
	status = give(session, state, ph_stream_buffered(session->stream),
	    stream_fd(session->stream));
	/* After a timeout it may be theirs: it can't be ours any more. */
	if (status != PH_OK && status != PH_TIMEOUT)
		return PH_UNAVAILABLE;
	ph_stream_close(session->stream);
	session->is_handed_over = true;
	return PH_OK;
}
