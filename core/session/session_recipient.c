/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session_recipient.c - is an address ours, and whose. Positive answers of
 * auth are kept for a few seconds: a burst of mail to one user asks once.
 */
#include "session/session.h"

#include <posthouse/auth.h>
#include <posthouse/mail.h>

#include "base/domain.h"
#include "base/record.h"
#include "role/route.h"

enum { KEPT = 1024, KEPT_MS = 5000, ADDRESS_MAX = 320 };

/* Direct-mapped; one entry is the last address that hashed there. */
static struct kept {
	uint64_t until_ms;
	char address[ADDRESS_MAX + 1], user[ADDRESS_MAX + 1];
} *kept;

static struct kept *
kept_slot(struct ph_slice address)
{
	static struct ph_arena *arena;

	if (arena == NULL) { /* read, so it stays reachable */
		arena = ph_arena_create(NULL);
		kept = ph_arena_array(arena, KEPT, sizeof(*kept));
	}
	return &kept[record_crc(0, address.p, address.n) % KEPT];
}

/* What the session asked last, so that another session's question can't take
 * the answer away between RCPT and its reply. */
struct last_recipient {
	char address[ADDRESS_MAX + 1], user[ADDRESS_MAX + 1];
};

const char *
recipient_user(const struct ph_session *session, struct ph_slice address)
{
	const struct last_recipient *last = session->last_recipient;

	return last != NULL && last->user[0] != '\0' &&
	    ph_address_eq(ph_slice_str(last->address), address) ?
	    last->user : NULL;
}

static void
remember(struct ph_session *session, const struct kept *slot)
{
	struct last_recipient *last = session->last_recipient;

	if (last == NULL)
		session->last_recipient = last = ph_arena_alloc(session->arena,
		    sizeof(*last));
	memcpy(last->address, slot->address, sizeof(last->address));
	memcpy(last->user, slot->user, sizeof(last->user));
}

/*
 * The routers decide. What they replaced is ours to take from anybody if only
 * one of its replacements can be reached; the queue asks again and does it.
 */
static enum ph_recipient
judge(const struct route_result *results, size_t count,
    const struct route_result **only_out)
{
	bool is_good = false;

	for (size_t i = 0; i < count; i++) {
		if (results[i].answer == ROUTE_UNSURE)
			return PH_RCPT_UNSURE;
		is_good = is_good || results[i].answer != ROUTE_NO_USER;
	}
	if (!is_good)
		return PH_RCPT_NO_USER;
	if (count > 1 || results[0].is_replaced || results[0].is_accepted)
		return PH_RCPT_LOCAL;
	*only_out = &results[0];
	return results[0].answer == ROUTE_LOCAL ? PH_RCPT_LOCAL :
	                                          PH_RCPT_REMOTE;
}

static enum ph_recipient
ask_routers(struct ph_session *session, struct ph_slice address,
    struct kept *slot)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	const struct route_result *results, *only = NULL;
	const struct ph_slice none = { NULL, 0 };
	enum ph_recipient found = PH_RCPT_UNSURE;
	size_t count;

	if (route_ask(none, &address, 1, arena, &results, &count) == PH_OK)
		found = judge(results, count, &only);
	if (found == PH_RCPT_LOCAL) {
		struct ph_slice user = only != NULL ? only->user : PH_LIT("");


		memcpy(slot->address, address.p, address.n);
		slot->address[address.n] = '\0';
		memcpy(slot->user, user.p, user.n);
		slot->user[user.n] = '\0';
		slot->until_ms = ph_now_ms() + KEPT_MS;
		remember(session, slot);
	}
	ph_arena_free(arena);
	return found;
}

static enum ph_recipient
ask_auth(struct ph_session *session, struct ph_slice address,
    struct kept *slot)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	enum ph_recipient result = PH_RCPT_UNSURE;
	struct bus_message reply;
	struct ph_slice user;
	struct ph_buf buf;

	ph_buf_init(&buf, arena, 4096);
	record_put(&buf, F_ADDRESS, address);
	if (bus_call(ROLE_AUTH, 0, MSG_LOOKUP, ph_buf_content(&buf), NULL, 0,
	        BUS_LOOKUP_MS, arena, &reply) == PH_OK) {
		user = record_get(reply.record, F_USER);
		switch (record_get_u64(reply.record, F_ANSWER, 99)) {
		case PH_USER_OK:
			if (user.n == 0 || user.n > ADDRESS_MAX)
				break;
			memcpy(slot->address, address.p, address.n);
			slot->address[address.n] = '\0';
			memcpy(slot->user, user.p, user.n);
			slot->user[user.n] = '\0';
			slot->until_ms = ph_now_ms() + KEPT_MS;
			remember(session, slot);
			result = PH_RCPT_LOCAL;
			break;
		case PH_USER_UNKNOWN:
		case PH_USER_WRONG:
			result = PH_RCPT_NO_USER;
			break;
		default:
			break;
		}
	}
	ph_arena_free(arena);
	return result;
}

enum ph_recipient
ph_recipient_lookup(struct ph_session *session, struct ph_slice address)
{
	const struct core_conf *core = &session->generation->core;
	struct ph_slice domain = ph_address_domain(address), folded;
	char text[ADDRESS_MAX + 1];
	struct kept *slot;

	if (domain.p != NULL && !core_is_local_domain(core, domain) &&
	    session->generation->router_count == 0)
		return PH_RCPT_REMOTE;
	if (address.n == 0 || address.n > ADDRESS_MAX)
		return PH_RCPT_NO_USER;
	folded = address_fold_into(text, ADDRESS_MAX, address);
	if (folded.p == NULL)
		return PH_RCPT_NO_USER;
	slot = kept_slot(folded);
	if (slot->until_ms > ph_now_ms() &&
	    ph_slice_eq(ph_slice_str(slot->address), folded)) {
		remember(session, slot);
		return PH_RCPT_LOCAL;
	}
	return session->generation->router_count > 0 ?
	    ask_routers(session, folded, slot) :
	    ask_auth(session, folded, slot);
}

/* alice+shop@example.test is alice's, RFC 5233. */
static bool
is_detail_of(struct ph_slice address, const char *user)
{
	struct ph_slice local = ph_address_local(address);
	const char *plus = memchr(local.p, '+', local.n);
	struct ph_slice whole = ph_slice_str(user);
	size_t n = plus != NULL ? (size_t)(plus - local.p) : 0;

	return n > 0 && whole.n > n && whole.p[n] == '@' &&
	    ph_slice_eq_nocase((struct ph_slice){ whole.p, n },
	        (struct ph_slice){ local.p, n }) &&
	    ph_domain_eq(ph_address_domain(whole),
	        ph_address_domain(address));
}

/* What needs nobody asked. */
static bool
is_own(const struct ph_session *session, struct ph_slice address)
{
	const struct core_conf *core = &session->generation->core;

	if (ph_address_eq(address, ph_slice_str(session->user)) ||
	    (address.p != NULL && is_detail_of(address, session->user)))
		return true;
	for (size_t i = 0; i < session->alias_count; i++)
		if (ph_address_eq(address, session->aliases[i]))
			return true;
	return ph_slice_eq_nocase(ph_address_local(address),
	        PH_LIT("postmaster")) &&
	    core_is_local_domain(core, ph_address_domain(address)) &&
	    strcmp(session->user, core->postmaster) == 0;
}

/* One of those that get what is sent to the address may send as it. */
static enum ph_ownership
ask_where_it_leads(struct ph_session *session, struct ph_slice address)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	const struct ph_slice none = { NULL, 0 };
	const struct route_result *results;
	enum ph_ownership owned = PH_OWNED_UNSURE;
	char text[ADDRESS_MAX + 1];
	struct ph_slice folded = address_fold_into(text, ADDRESS_MAX, address);
	size_t count;

	if (folded.p != NULL && route_ask(none, &folded, 1, arena, &results, &count) == PH_OK) {
		owned = PH_NOT_OWNED;
		for (size_t i = 0; i < count && owned != PH_OWNED; i++)
			if (results[i].answer == ROUTE_UNSURE)
				owned = PH_OWNED_UNSURE;
			else if (results[i].answer == ROUTE_LOCAL &&
			    ph_slice_eq_nocase(results[i].user,
			        ph_slice_str(session->user)))
				owned = PH_OWNED;
	}
	ph_arena_free(arena);
	return owned;
}

enum ph_ownership
ph_session_owns_address(struct ph_session *session, struct ph_slice address)
{
	if (address.n == 0)
		return PH_OWNED;
	if (session->user == NULL || address.n > ADDRESS_MAX)
		return PH_NOT_OWNED;
	if (is_own(session, address))
		return PH_OWNED;
	return session->generation->router_count > 0 ?
	    ask_where_it_leads(session, address) : PH_NOT_OWNED;
}
