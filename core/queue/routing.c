/* SPDX-License-Identifier: Apache-2.0 */
/*
 * routing.c - who takes a recipient's mail: what the routers say, or, where none
 * is on, the domain and the mailbox. Check hosts code of others, so its answer
 * is looked at before it gets into rows.
 */
#include "queue/routing.h"

#include <posthouse/auth.h>
#include <posthouse/mail.h>

#include "base/record.h"
#include "mail/octet.h"

enum { LOOKUP_MS = 10000 };

bool
routing_is_sane(struct ph_slice text, size_t max)
{
	if (text.p == NULL || text.n > max)
		return false;
	for (size_t i = 0; i < text.n; i++)
		if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f)
			return false;
	return true;
}

bool
routing_is_ours(struct ph_slice address)
{
	struct ph_slice domain = ph_address_domain(address);

	return domain.p == NULL || core_is_local_domain(
	    &generation_current()->core, domain);
}

bool
routing_is_sound(const struct route_result *result)
{
	if (result->answer == ROUTE_LOCAL)
		return core_is_local_domain(&generation_current()->core,
		    ph_address_domain(result->user));
	return result->answer != ROUTE_UNSURE &&
	    (result->answer == ROUTE_NO_USER || result->transport.p != NULL ||
	        !routing_is_ours(result->address));
}

struct ph_slice
routing_original(struct ph_arena *arena, struct ph_slice address)
{
	struct ph_slice unitext;
	struct ph_buf buf;

	ph_buf_init(&buf, arena, 500);
	if (octet_any_high(address)) {
		unitext = ph_unitext_encode(arena, address, true);
		ph_buf_str(&buf, "utf-8;");
		ph_buf_slice(&buf, unitext);
		return unitext.p == NULL || buf.full ?
		    (struct ph_slice){ NULL, 0 } : ph_buf_content(&buf);
	}
	ph_buf_str(&buf, "rfc822;");
	for (size_t i = 0; i < address.n; i++) {
		unsigned char c = (unsigned char)address.p[i];

		if (c <= 0x20 || c == '+' || c == '=' || c == 0x7f)
			ph_buf_printf(&buf, "+%02X", c);
		else
			ph_buf_char(&buf, (char)c);
	}
	return buf.full ? (struct ph_slice){ NULL, 0 } :
	                  ph_buf_content(&buf);
}

static bool
is_sane_or_absent(struct ph_slice text, size_t max)
{
	return text.p == NULL || routing_is_sane(text, max);
}

static int
check(const struct route_result *results, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct route_result *r = &results[i];

		if (!routing_is_sane(r->address, QUEUE_RCPT_MAX) ||
		    !is_sane_or_absent(r->user, QUEUE_RCPT_MAX) ||
		    !is_sane_or_absent(r->transport, 64) ||
		    !is_sane_or_absent(r->destination, 255))
			return PH_INVALID;
	}
	return PH_OK;
}

/* --- without routers --- */

static enum route_answer
find_mailbox(struct ph_slice address, struct ph_arena *arena,
    struct ph_slice *user_out)
{
	struct bus_message reply;
	struct ph_buf buf;

	ph_buf_init(&buf, arena, 1024);
	record_put(&buf, F_ADDRESS, address);
	if (bus_call(ROLE_AUTH, 0, MSG_LOOKUP, ph_buf_content(&buf), NULL, 0,
	        LOOKUP_MS, arena, &reply) != PH_OK)
		return ROUTE_UNSURE;
	switch (record_get_u64(reply.record, F_ANSWER, PH_USER_UNSURE)) {
	case PH_USER_OK:
		*user_out = record_get(reply.record, F_USER);
		return user_out->n > 0 ? ROUTE_LOCAL : ROUTE_UNSURE;
	case PH_USER_UNKNOWN:
	case PH_USER_WRONG:
		return ROUTE_NO_USER;
	default:
		return ROUTE_UNSURE;
	}
}

static int
ask_for_mailboxes(const struct ph_slice *addresses, size_t count,
    struct ph_arena *arena, const struct route_result **results_out,
    size_t *count_out)
{
	struct route_result *results = ph_arena_array(arena, count,
	    sizeof(*results));

	for (size_t i = 0; i < count; i++) {
		struct route_result *r = &results[i];

		r->asked = i;
		r->address = addresses[i];
		r->answer = !routing_is_ours(addresses[i]) ? ROUTE_REMOTE :
		    find_mailbox(addresses[i], arena, &r->user);
	}
	*results_out = results;
	*count_out = count;
	return PH_OK;
}

int
routing_ask(struct ph_slice sender, const struct ph_slice *addresses,
    size_t count, struct ph_arena *arena,
    const struct route_result **results_out, size_t *count_out)
{
	int status = generation_current()->router_count > 0 ?
	    route_ask(sender, addresses, count, arena, results_out,
	        count_out) :
	    ask_for_mailboxes(addresses, count, arena, results_out,
	        count_out);

	return status == PH_OK ? check(*results_out, *count_out) : status;
}
