/* SPDX-License-Identifier: Apache-2.0 */
/* route_serve.c - recipients that other roles ask about, in the check role. */
#include <posthouse/auth.h>

#include "base/record.h"
#include "role/check.h"
#include "role/route.h"

enum { LOOKUP_MS = 20000 };

static enum route_answer
find_mailbox(struct ph_arena *arena, struct ph_slice address,
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
		return user_out->n > 0 && user_out->n <= ROUTE_ADDRESS_MAX ?
		    ROUTE_LOCAL : ROUTE_UNSURE;
	case PH_USER_UNKNOWN:
	case PH_USER_WRONG:
		return ROUTE_NO_USER;
	default:
		return ROUTE_UNSURE;
	}
}

static void
on_route(struct bus_request *request)
{
	struct generation *generation = generation_current();
	struct ph_slice rest = request->message.record;
	struct record_field field;
	struct route_question question = { request->arena, generation,
		record_get(rest, F_SENDER), find_mailbox };
	int status = PH_OK;
	struct ph_buf reply;
	size_t number = 0;

	if (!check_begin()) {
		bus_reply(request, PH_BUSY, PH_LIT(""), NULL, 0);
		return;
	}
	generation_get(generation);
	ph_buf_init(&reply, request->arena, BUS_MESSAGE_LIMIT);
	while (status == PH_OK && record_next(&rest, &field)) {
		if (field.tag != F_RECIPIENT)
			continue;
		if (field.value.n == 0 || number == ROUTE_ASKED_MAX ||
		    field.value.n > ROUTE_ADDRESS_MAX)
			status = PH_INVALID;
		else
			route_recipient(&question, number++, field.value,
			    &reply);
	}
	if (reply.full)
		status = PH_TOO_BIG;
	bus_reply(request, status, status == PH_OK ? ph_buf_content(&reply) :
	    PH_LIT(""), NULL, 0);
	generation_put(generation);
	check_end();
}

void
route_serve(void)
{
	bus_serve(MSG_ROUTE, ROLE_BIT(ROLE_EDGE) | ROLE_BIT(ROLE_QUEUE),
	    on_route);
}
