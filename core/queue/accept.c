/* SPDX-License-Identifier: Apache-2.0 */
/*
 * accept.c - messages from edge: is it allowed, is there room, make it durable,
 * answer, and only then begin to deliver. Edge may be broken into: what it
 * claims is checked, the right to relay most of all.
 */
#include "queue/accept.h"

#include <unistd.h>

#include "base/record.h"
#include "log/log.h"
#include "net/peer.h"
#include "queue/envelope.h"
#include "queue/routing.h"
#include "role/token.h"

enum {
	ENVELOPE_MAX = 128 << 10,
	ORIGIN_MAX = 64 << 10,
	TRACE_MAX = 128 << 10,
	RELEASE_WITHIN_S = 31 * 86400, /* nothing is held longer by wish */
};

static uint64_t last_id;

/* --- the right to relay --- */

/* By its network: edge may say what it likes of a client, but the connection
 * that it passes tells who is there. */
static int
right_by_network(const struct bus_request *request, int connection)
{
	const struct core_conf *core = &generation_current()->core;
	struct ph_slice client = record_get(request->message.record, F_CLIENT);
	struct ph_addr peer, named;
	int status = peer_of_fd(connection, &peer);

	if (status == PH_OK && (!ph_addr_parse(client, &named) ||
	        !core_may_relay(core, &peer, &named)))
		status = PH_DENIED;
	if (status != PH_OK)
		ph_log(PH_WARN, "relay_right_denied",
		    ph_f_slice("session", record_get(request->message.record,
		        F_SESSION)),
		    ph_f_slice("client", client),
		    ph_f_str("reason", ph_status_name(status)));
	return status == PH_INVALID ? PH_DENIED : status;
}

/* Proven by auth's token or by the connection, which is closed here. PH_DENIED:
 * no right; PH_UNAVAILABLE: the connection is gone. */
static int
relay_right(struct bus_request *request)
{
	struct ph_slice record = request->message.record;
	struct ph_slice user = record_get(record, F_AUTH_USER);
	int connection = request->message.fds[0];
	int status = PH_DENIED;

	if (user.p != NULL &&
	    token_check(generation_current()->key, record_get(record, F_TOKEN),
	        user, record_get(record, F_SESSION), ph_wall_time()))
		status = PH_OK;
	if (connection < 0)
		return status;
	if (user.p == NULL)
		status = right_by_network(request, connection);
	close(connection);
	return status;
}

/* --- the message --- */

int64_t
accept_release_at(struct ph_slice record)
{
	const uint64_t at = record_get_u64(record, F_RELEASE_AT, 0);
	const uint64_t now = (uint64_t)ph_wall_time();

	return at <= now                  ? 0 :
	    at > now + RELEASE_WITHIN_S   ? (int64_t)(now + RELEASE_WITHIN_S) :
	                                    (int64_t)at;
}

/* Looked at again by whom it is shown to. */
static void
put_origin(struct ph_buf *buf, struct ph_slice origin)
{
	if (origin.p != NULL && origin.n <= ORIGIN_MAX &&
	    record_is_sound(origin))
		record_put(buf, ENV_ORIGIN, origin);
}

static int
take_envelope(struct bus_request *request, struct queue_db_message *message)
{
	struct ph_slice record = request->message.record, rest = record;
	struct ph_slice sender = record_get(record, F_SENDER);
	struct ph_slice session = record_get(record, F_SESSION);
	struct record_field field;
	struct ph_buf buf, trace;

	if (!routing_is_sane(sender, QUEUE_RCPT_MAX) ||
	    !routing_is_sane(session, 64))
		return PH_INVALID;
	ph_buf_init(&buf, request->arena, ENVELOPE_MAX);
	ph_buf_init(&trace, request->arena, TRACE_MAX);
	record_put(&buf, ENV_SENDER, sender);
	record_put(&buf, ENV_SESSION, session);
	if (routing_is_sane(record_get(record, F_CLIENT), 64))
		record_put(&buf, ENV_CLIENT, record_get(record, F_CLIENT));
	if (routing_is_sane(record_get(record, F_SERVICE), 32))
		record_put(&buf, ENV_SERVICE, record_get(record, F_SERVICE));
	if (routing_is_sane(record_get(record, F_AUTH_USER), QUEUE_RCPT_MAX))
		record_put(&buf, ENV_AUTH_USER,
		    record_get(record, F_AUTH_USER));
	if (record_get_u64(record, F_HOLD, 0) != 0)
		message->order = QUEUE_DB_HELD;
	if (message->order == QUEUE_DB_HELD)
		record_put(&buf, ENV_QUARANTINE,
		    routing_is_sane(record_get(record, F_TEXT), 512) ?
		    record_get(record, F_TEXT) : PH_LIT("a check said so"));
	record_put_u64(&buf, ENV_RECEIVED_AT, (uint64_t)ph_wall_time());
	if (accept_release_at(record) > 0)
		record_put_u64(&buf, ENV_RELEASE_AT,
		    (uint64_t)accept_release_at(record));
	put_origin(&buf, record_get(record, F_ORIGIN));
	while (record_next(&rest, &field)) {
		if (field.tag == F_FACT &&
		    routing_is_sane(record_get(field.value, F_NAME), 32) &&
		    routing_is_sane(record_get(field.value, F_TEXT), 512))
			record_put(&buf, ENV_FACT, field.value);
		if (field.tag == F_TRACE)
			record_put(&trace, F_TRACE, field.value);
	}
	if (buf.full)
		return PH_TOO_BIG;
	message->envelope = ph_buf_content(&buf);
	message->trace = ph_buf_content(&trace);
	return PH_OK;
}

/* body.fd is the caller's to close. */
static int
take_body(struct bus_request *request, struct queue_db_message *message)
{
	struct ph_slice record = request->message.record;
	uint64_t limit = generation_current()->core.message_limit_bytes;
	uint64_t spool = record_get_u64(record, F_SPOOL, 0);
	struct queue_db_body *body = &message->body;

	body->fd = -1;
	body->octets = record_get(record, F_CONTENT);
	if (spool != 0) {
		body->octets = record_get(record, F_PREFIX);
		body->fd = spool_take(spool, request->from_index);
		body->file_bytes = record_get_u64(record, F_SIZE, 0);
		if (body->fd < 0)
			return PH_INVALID;
	} else if (body->octets.p == NULL) {
		return PH_INVALID;
	}
	if (body->octets.p == NULL)
		body->octets = PH_LIT("");
	message->size_bytes = body->octets.n + body->file_bytes;
	if (body->octets.n > QUEUE_DB_INLINE_MAX ||
	    body->file_bytes > limit + (1 << 20))
		return PH_TOO_BIG;
	return queue_db_has_room(queue.db, message->size_bytes) ? PH_OK :
	    PH_FULL;
}

static int
make_durable(struct accepting *accepting)
{
	struct bus_request *request = accepting->request;
	struct queue_db_message *message = &accepting->message;
	struct queue_db_op *op;
	int status = relay_right(request);

	accepting->relay = status == PH_OK;
	if (queue.is_stopping || status == PH_UNAVAILABLE)
		return PH_UNAVAILABLE;
	status = take_envelope(request, message);
	if (status == PH_OK)
		status = accept_recipients(accepting);
	if (status == PH_OK)
		status = queue.is_stopping ? PH_UNAVAILABLE :
		                             take_body(request, message);
	if (status != PH_OK)
		return status;
	last_id = id_create_above(last_id);
	message->id = last_id;
	op = queue_db_op_create();
	queue_db_op_message(op, message);
	status = accept_report_expanded(accepting, op);
	if (status != PH_OK) {
		queue_db_op_free(op);
		return status;
	}
	return queue_submit(op, QUEUE_DB_DURABLE);
}

static void
begin_delivery(const struct queue_db_message *message)
{
	struct entry *entry = entry_create(message);

	ph_assert(entry != NULL); /* encoded by ourselves just now */
	if (message->body.fd < 0 && entry->begun_at == entry->received_at)
		entry_keep_content(entry, message->envelope,
		    message->body.octets);
	queue.accepted++;
	if (entry->is_held)
		ph_log(PH_NOTICE, "quarantined",
		    ph_f_str("queue", entry_name(entry)),
		    ph_f_str("session", entry_session(entry)),
		    ph_f_str("from", entry->sender),
		    ph_f_str("reason", entry_quarantine(entry)));
	schedule_new(entry);
}

static void
on_commit(struct bus_request *request)
{
	struct accepting accepting = { .request = request,
		.message.body.fd = -1 };
	struct queue_db_message *message = &accepting.message;
	struct ph_slice session = record_get(request->message.record,
	    F_SESSION);
	int status = make_durable(&accepting);
	struct ph_buf buf;

	if (message->body.fd >= 0)
		close(message->body.fd);
	if (status != PH_OK) {
		entry_free(accepting.report);
		ph_log(status == PH_FULL ? PH_ERROR : PH_WARN, "not_queued",
		    ph_f_slice("session", session),
		    ph_f_str("reason", ph_status_name(status)));
		bus_reply(request, status, PH_LIT(""), NULL, 0);
		return;
	}
	ph_buf_init(&buf, request->arena, 64);
	record_put_u64(&buf, F_QUEUE_ID, message->id);
	bus_reply(request, PH_OK, ph_buf_content(&buf), NULL, 0);
	begin_delivery(message);
	if (accepting.report != NULL)
		schedule_new(accepting.report);
}

void
accept_serve(void)
{
	last_id = queue_db_last_id(queue.db);
	spool_serve();
	bus_serve(MSG_COMMIT, ROLE_BIT(ROLE_EDGE), on_commit);
}
