/* SPDX-License-Identifier: Apache-2.0 */
/*
 * accept.c - messages from edge: is it allowed, is there room, make it durable,
 * answer, and only then begin to deliver. Edge may be broken into: what it
 * claims is checked, the right to relay most of all.
 */
#include <posthouse/mail.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/record.h"
#include "log/log.h"
#include "net/peer.h"
#include "queue/envelope.h"
#include "queue/routing.h"
#include "role/token.h"

enum {
	SPOOLS_MAX = 4096,
	SPOOL_LIFE_MS = 4 * 3600 * 1000, /* of one that nobody commits */
	RECIPIENTS_MAX = 10000,
	ENVELOPE_MAX = 128 << 10,
	ORIGIN_MAX = 64 << 10,
	TRACE_MAX = 128 << 10,
	RELEASE_WITHIN_S = 31 * 86400, /* nothing is held longer by wish */
};

/* A file for a large body that edge writes now. */
struct spool {
	struct spool *next;
	uint64_t number, made_ms;
	unsigned edge;
	int fd;
};

static struct {
	struct spool *spools;
	unsigned spool_count;
	uint64_t spool_number, last_id;
} self;

/* --- spool files --- */

struct spooling {
	int status, fd;
};

/* An edge whose question was cut short never learns the number. */
static void
drop_old_spools(void)
{
	for (struct spool **at = &self.spools; *at != NULL;) {
		struct spool *spool = *at;

		if (spool->made_ms + SPOOL_LIFE_MS > ph_now_ms()) {
			at = &spool->next;
			continue;
		}
		*at = spool->next;
		close(spool->fd);
		free(spool);
		self.spool_count--;
	}
}

static void
make_spool(void *arg)
{
	struct spooling *s = arg;

	s->status = queue_db_spool(queue.db, &s->fd);
}

static void
on_spool(struct bus_request *request)
{
	struct spooling s = { PH_UNAVAILABLE, -1 };
	struct spool *spool;
	struct ph_buf buf;

	if (self.spool_count >= SPOOLS_MAX)
		drop_old_spools();
	if (!queue.is_stopping && self.spool_count < SPOOLS_MAX) {
		queue.users++;
		ph_work(make_spool, &s);
		queue.users--;
		ph_event_signal(&queue.moved);
	}
	if (s.status != PH_OK) {
		bus_reply(request, s.status, PH_LIT(""), NULL, 0);
		return;
	}
	spool = calloc(1, sizeof(*spool));
	ph_assert(spool != NULL);
	spool->number = ++self.spool_number;
	spool->made_ms = ph_now_ms();
	spool->edge = request->from_index;
	spool->fd = s.fd;
	spool->next = self.spools;
	self.spools = spool;
	self.spool_count++;
	ph_buf_init(&buf, request->arena, 64);
	record_put_u64(&buf, F_SPOOL, spool->number);
	bus_reply(request, PH_OK, ph_buf_content(&buf), &s.fd, 1);
}

static int
take_spool(uint64_t number, unsigned edge)
{
	for (struct spool **at = &self.spools; *at != NULL;
	     at = &(*at)->next) {
		struct spool *spool = *at;
		int fd = spool->fd;

		if (spool->number != number || spool->edge != edge)
			continue;
		*at = spool->next;
		free(spool);
		self.spool_count--;
		return fd;
	}
	return -1;
}

static void
on_spool_drop(struct bus_request *request)
{
	int fd = take_spool(record_get_u64(request->message.record, F_SPOOL,
	    0), request->from_index);

	if (fd >= 0)
		close(fd);
}

static void
on_peer_down(enum role role, unsigned index)
{
	for (struct spool **at = &self.spools; *at != NULL;) {
		struct spool *spool = *at;

		if (role != ROLE_EDGE || spool->edge != index) {
			at = &spool->next;
			continue;
		}
		*at = spool->next;
		close(spool->fd);
		free(spool);
		self.spool_count--;
	}
}

/* --- what a commit claims --- */

static bool
is_sane_or_absent(struct ph_slice text, size_t max)
{
	return text.p == NULL || routing_is_sane(text, max);
}

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

/* What edge, and the routers, say of one recipient. */
struct claim {
	struct ph_slice address, user, notify, orcpt;
	struct ph_slice transport, destination; /* of the routers alone */
	size_t expanded; /* into so many recipients, and is reported so */
};

static bool
take_claim(struct ph_slice from, struct claim *claim)
{
	claim->address = record_get(from, F_ADDRESS);
	claim->user = record_get(from, F_USER);
	claim->notify = record_get(from, F_DSN_NOTIFY);
	claim->orcpt = record_get(from, F_ORCPT);
	claim->transport = claim->destination = (struct ph_slice){ NULL, 0 };
	claim->expanded = 0;
	return routing_is_sane(claim->address, QUEUE_RCPT_MAX) &&
	    claim->address.n > 0 &&
	    is_sane_or_absent(claim->user, QUEUE_RCPT_MAX) &&
	    is_sane_or_absent(claim->notify, 64) &&
	    is_sane_or_absent(claim->orcpt, 512);
}

/* A local recipient needs no right, but its mailbox must be in our domains; a
 * remote one must not be. */
static int
take_recipient(struct ph_arena *arena, const struct claim *claim, bool relay,
    struct queue_db_recipient *to)
{
	struct ph_slice user = claim->user;
	struct ph_slice domain = ph_address_domain(claim->address);
	const struct core_conf *core = &generation_current()->core;
	struct recipient_more more = { .notify = NULL };
	struct queue_recipient memory = { .more = &more };

	if (user.p != NULL &&
	    !core_is_local_domain(core, ph_address_domain(user)))
		return PH_DENIED;
	if (user.p == NULL && (domain.p == NULL || !relay ||
	        (core_is_local_domain(core, domain) &&
	        claim->transport.p == NULL)))
		return PH_DENIED;
	if (user.p != NULL)
		memory.user = ph_arena_slice(arena, user).p;
	if (claim->notify.p != NULL)
		more.notify = ph_arena_slice(arena, claim->notify).p;
	if (claim->orcpt.p != NULL)
		more.orcpt = ph_arena_slice(arena, claim->orcpt).p;
	if (claim->transport.p != NULL)
		more.transport = ph_arena_slice(arena, claim->transport).p;
	if (claim->destination.p != NULL)
		more.destination = ph_arena_slice(arena,
		    claim->destination).p;
	to->state = QUEUE_DB_WAITING;
	to->address = claim->address;
	to->destination = user.p != NULL ? PH_LIT("") : domain;
	to->record = recipient_record(arena, &memory);
	return PH_OK;
}

/* --- routers --- */

/* RFC 3461 s5.2.7.3: what goes on behind an "expanded" report. */
static struct ph_slice
notify_without_success(struct ph_slice notify)
{
	bool failure = report_notify_has(notify, "FAILURE");
	bool delay = report_notify_has(notify, "DELAY");

	return failure && delay ? PH_LIT("FAILURE,DELAY") :
	    failure ? PH_LIT("FAILURE") :
	    delay ? PH_LIT("DELAY") : PH_LIT("NEVER");
}

/* A commit under way. */
struct accepting {
	struct bus_request *request;
	bool relay; /* its right is proven */
	struct queue_db_message message; /* body.fd is ours to close */
	struct claim *claims;
	size_t claim_count;
	struct entry *report; /* NULL: none is made */
};

/* The recipients under way from claims to rows. */
struct routed {
	struct ph_arena *arena;
	bool relay;
	struct ph_slice sender;
	struct claim *claims;
	struct queue_db_recipient *all;
	struct ph_slice *where; /* mailbox or address of each, for doubles */
	size_t count, room;
	const struct route_result **copies; /* blind ones, for after all others */
	size_t copy_count, copy_room;
};

static void
make_room(struct routed *r)
{
	size_t room = r->room > 0 ? r->room * 2 : 16;
	struct queue_db_recipient *all = ph_arena_array(r->arena, room,
	    sizeof(*all));
	struct ph_slice *where = ph_arena_array(r->arena, room,
	    sizeof(*where));

	if (r->count > 0) {
		memcpy(all, r->all, r->count * sizeof(*all));
		memcpy(where, r->where, r->count * sizeof(*where));
	}
	r->all = all;
	r->where = where;
	r->room = room;
}

/* Delivered once, however many ways lead to it. */
static bool
is_double(const struct routed *r, struct ph_slice where)
{
	for (size_t i = 0; i < r->count; i++)
		if (ph_slice_eq_nocase(r->where[i], where))
			return true;
	return false;
}

static int
take_routed(struct routed *r, const struct claim *asked,
    const struct route_result *result)
{
	struct claim claim = { .address = ph_arena_slice(r->arena,
		result->address), .user = result->user,
		.notify = asked->expanded > 0 ?
		    notify_without_success(asked->notify) : asked->notify,
		.orcpt = asked->orcpt,
		.transport = result->transport,
		.destination = result->destination };
	struct ph_slice where = result->user.p != NULL ? result->user :
	    claim.address;
	int status;

	if (!result->is_replaced)
		claim.address = asked->address; /* as it was written */
	else if (claim.orcpt.p == NULL && !result->is_copy)
		claim.orcpt = routing_original(r->arena, asked->address);
	if (is_double(r, where))
		return PH_OK;
	if (r->count == RECIPIENTS_MAX)
		return PH_TOO_BIG;
	if (r->count == r->room)
		make_room(r);
	status = take_recipient(r->arena, &claim,
	    r->relay || result->is_replaced || result->is_accepted,
	    &r->all[r->count]);
	if (status != PH_OK)
		return status;
	r->all[r->count].number = (uint32_t)r->count;
	r->where[r->count++] = where;
	return PH_OK;
}

/* How many recipients one came to be, of results that begin with its first. */
static size_t
count_heirs(const struct route_result *results, size_t count)
{
	size_t heirs = 0;

	for (size_t i = 0; i < count && results[i].asked == results[0].asked;
	     i++)
		heirs += results[i].answer != ROUTE_NO_USER &&
		    !results[i].is_copy;
	return heirs;
}

/* Its sender hears that the message went on to several, and not of each. */
static void
note_expansion(const struct routed *r, struct claim *claim, size_t heirs)
{
	if (heirs > 1 && r->sender.n > 0 &&
	    report_notify_has(claim->notify, "SUCCESS"))
		claim->expanded = heirs;
}

static void
keep_copy(struct routed *r, const struct route_result *result)
{
	if (r->copy_count == r->copy_room) {
		size_t room = r->copy_room > 0 ? r->copy_room * 2 : 16;
		const struct route_result **all = ph_arena_array(r->arena,
		    room, sizeof(const struct route_result *));

		for (size_t i = 0; i < r->copy_count; i++)
			all[i] = r->copies[i];
		r->copies = all;
		r->copy_room = room;
	}
	r->copies[r->copy_count++] = result;
}

/* Nobody hears of them, and who is a recipient already has his own wishes. */
static int
take_copies(struct routed *r)
{
	struct claim claim = { .notify = PH_LIT("NEVER") };
	int status = PH_OK;

	for (size_t i = 0; i < r->copy_count && status == PH_OK; i++)
		status = take_routed(r, &claim, r->copies[i]);
	return status;
}

/* Nobody is behind a recipient that was accepted: what it stood for is gone
 * since RCPT. The client may name it again and hear so. */
static int
route_some(struct routed *r, struct claim *claims, size_t n)
{
	struct ph_slice *addresses = ph_arena_array(r->arena, n,
	    sizeof(*addresses));
	const struct route_result *results;
	size_t count, good = 0;
	int status;

	for (size_t i = 0; i < n; i++)
		addresses[i] = claims[i].address;
	status = routing_ask(r->sender, addresses, n, r->arena, &results,
	    &count);
	for (size_t i = 0; i < count && status == PH_OK; i++) {
		bool is_first = i == 0 ||
		    results[i - 1].asked != results[i].asked;
		bool is_last = i + 1 == count ||
		    results[i + 1].asked != results[i].asked;

		if (is_first)
			note_expansion(r, &claims[results[i].asked],
			    count_heirs(results + i, count - i));
		if (results[i].answer == ROUTE_UNSURE)
			return PH_UNAVAILABLE;
		if (results[i].is_copy &&
		    results[i].answer != ROUTE_NO_USER) {
			keep_copy(r, &results[i]);
		} else if (results[i].answer != ROUTE_NO_USER) {
			good++;
			status = take_routed(r, &claims[results[i].asked],
			    &results[i]);
		} else {
			ph_log(PH_WARN, "route_leads_nowhere",
			    ph_f_slice("recipient",
			        addresses[results[i].asked]),
			    ph_f_slice("to", results[i].address));
		}
		if (is_last && good == 0)
			return PH_UNAVAILABLE;
		if (is_last)
			good = 0;
	}
	return status;
}

static int
route_all(struct routed *r, size_t n)
{
	int status = PH_OK;

	for (size_t i = 0; i < n && status == PH_OK; i += ROUTE_ASKED_MAX)
		status = route_some(r, r->claims + i,
		    n - i < ROUTE_ASKED_MAX ? n - i : ROUTE_ASKED_MAX);
	return status;
}

/* When it may be tried first, in seconds; 0: at once. */
static int64_t
release_at(struct ph_slice record)
{
	const uint64_t at = record_get_u64(record, F_RELEASE_AT, 0);
	const uint64_t now = (uint64_t)ph_wall_time();

	return at <= now                  ? 0 :
	    at > now + RELEASE_WITHIN_S   ? (int64_t)(now + RELEASE_WITHIN_S) :
	                                    (int64_t)at;
}

static int
take_recipients(struct accepting *accepting)
{
	struct bus_request *request = accepting->request;
	struct queue_db_message *message = &accepting->message;
	struct ph_slice rest = request->message.record;
	struct routed r = { .arena = request->arena,
		.relay = accepting->relay,
		.sender = record_get(rest, F_SENDER) };
	struct record_field field;
	struct claim *claims;
	int status = PH_OK;
	size_t n = 0;

	while (record_next(&rest, &field))
		n += field.tag == F_RCPT;
	if (n == 0 || n > RECIPIENTS_MAX)
		return PH_INVALID;
	claims = ph_arena_array(request->arena, n, sizeof(*claims));
	rest = request->message.record;
	n = 0;
	while (record_next(&rest, &field))
		if (field.tag == F_RCPT && !take_claim(field.value,
		        &claims[n++]))
			return PH_INVALID;
	r.claims = claims;
	if (generation_current()->router_count > 0) {
		status = route_all(&r, n);
		if (status == PH_OK)
			status = take_copies(&r);
	} else {
		r.all = ph_arena_array(request->arena, n, sizeof(*r.all));
		for (; r.count < n && status == PH_OK; r.count++) {
			status = take_recipient(request->arena,
			    &claims[r.count], r.relay, &r.all[r.count]);
			r.all[r.count].number = (uint32_t)r.count;
		}
	}
	for (size_t i = 0; i < r.count; i++)
		r.all[i].next_ms =
		    release_at(request->message.record) * 1000;
	message->recipients = r.all;
	message->recipient_count = r.count;
	accepting->claims = claims;
	accepting->claim_count = n;
	return status;
}

/* --- "expanded", RFC 3461 s5.2.7.3 --- */

/* The message as it was before: with the recipients that became several. */
static struct entry *
entry_of_expanded(const struct accepting *accepting)
{
	struct queue_db_message before = accepting->message;
	struct ph_arena *arena = accepting->request->arena;
	struct queue_db_recipient *all = ph_arena_array(arena,
	    accepting->claim_count, sizeof(*all));
	size_t n = 0;

	for (size_t i = 0; i < accepting->claim_count; i++) {
		const struct claim *claim = &accepting->claims[i];
		struct recipient_more more = { .notify = "SUCCESS" };
		struct queue_recipient memory = { .more = &more };

		if (claim->expanded == 0)
			continue;
		if (claim->orcpt.p != NULL)
			more.orcpt = ph_arena_slice(arena, claim->orcpt).p;
		all[n] = (struct queue_db_recipient){ .number = (uint32_t)n,
			.state = QUEUE_DB_DELIVERED,
			.address = claim->address,
			.record = recipient_record(arena, &memory) };
		n++;
	}
	before.recipients = all;
	before.recipient_count = n;
	return n > 0 ? entry_create(&before) : NULL;
}

static void
say_expanded(const struct accepting *accepting, struct entry *about)
{
	struct queue_recipient *r = about->recipients;

	for (size_t i = 0; i < accepting->claim_count; i++) {
		const struct claim *claim = &accepting->claims[i];
		char words[80];

		if (claim->expanded == 0)
			continue;
		snprintf(words, sizeof(words), "sent on to %zu recipients",
		    claim->expanded);
		recipient_say(r++, 0, PH_LIT("2.1.5"),
		    (struct ph_slice){ NULL, 0 }, ph_slice_str(words));
	}
}

/* In the op that makes the message durable. Suspends. */
static int
report_expanded(struct accepting *accepting, struct queue_db_op *op)
{
	const struct queue_db_message *message = &accepting->message;
	struct ph_arena *arena = accepting->request->arena;
	struct entry *about = entry_of_expanded(accepting);
	struct report report = { .about = about,
		.action = REPORT_EXPANDED };
	enum report_result result;
	bool *concerned;

	if (about == NULL)
		return PH_OK;
	say_expanded(accepting, about);
	concerned = ph_arena_array(arena, about->recipient_count,
	    sizeof(*concerned));
	memset(concerned, true, about->recipient_count * sizeof(*concerned));
	report.concerned = concerned;
	report.facts = envelope_facts(arena, message->envelope);
	report.content = report_content(arena, message->body.octets,
	    message->body.fd);
	result = report_make(&report, op, arena, &accepting->report);
	entry_free(about);
	return result == REPORT_LATER ? PH_UNAVAILABLE : PH_OK;
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
	if (release_at(record) > 0)
		record_put_u64(&buf, ENV_RELEASE_AT,
		    (uint64_t)release_at(record));
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
		body->fd = take_spool(spool, request->from_index);
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
		status = take_recipients(accepting);
	if (status == PH_OK)
		status = queue.is_stopping ? PH_UNAVAILABLE :
		                             take_body(request, message);
	if (status != PH_OK)
		return status;
	self.last_id = id_create_above(self.last_id);
	message->id = self.last_id;
	op = queue_db_op_create();
	queue_db_op_message(op, message);
	status = report_expanded(accepting, op);
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
	self.last_id = queue_db_last_id(queue.db);
	bus_serve(MSG_SPOOL, ROLE_BIT(ROLE_EDGE), on_spool);
	bus_serve(MSG_SPOOL_DROP, ROLE_BIT(ROLE_EDGE), on_spool_drop);
	bus_serve(MSG_COMMIT, ROLE_BIT(ROLE_EDGE), on_commit);
	bus_on_peer_down(on_peer_down);
}
