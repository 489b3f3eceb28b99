/* SPDX-License-Identifier: Apache-2.0 */
/*
 * accept_recipients.c - the recipients of a commit, from what edge claims to the
 * rows of the store: who needs a right and has it, and whom the routers put in
 * their place, each final one once.
 */
#include "queue/accept.h"

#include <posthouse/mail.h>

#include "base/record.h"
#include "log/log.h"
#include "queue/routing.h"

enum { RECIPIENTS_MAX = 10000 };

/* --- what edge claims --- */

static bool
is_sane_or_absent(struct ph_slice text, size_t max)
{
	return text.p == NULL || routing_is_sane(text, max);
}

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

int
accept_recipients(struct accepting *accepting)
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
		    accept_release_at(request->message.record) * 1000;
	message->recipients = r.all;
	message->recipient_count = r.count;
	accepting->claims = claims;
	accepting->claim_count = n;
	return status;
}
