/* SPDX-License-Identifier: Apache-2.0 */
/* route_ask.c - the question of edge and queue to the routers. Check hosts code
 * of others: its reply is no more than a claim until it has been looked at. */
#include "base/record.h"
#include "role/check.h"
#include "role/route.h"

enum { ASK_MS = 60000 };

static bool
take_result(struct ph_slice record, size_t asked, struct route_result *result)
{
	uint64_t answer = record_get_u64(record, F_ANSWER, 0);

	result->asked = (size_t)record_get_u64(record, F_NUMBER, UINT64_MAX);
	result->address = record_get(record, F_ADDRESS);
	result->user = record_get(record, F_USER);
	result->transport = record_get(record, F_TRANSPORT);
	result->destination = record_get(record, F_DESTINATION);
	result->is_accepted = record_get_u64(record, F_ACCEPTED, 0) != 0;
	result->is_replaced = record_get_u64(record, F_FLAG, 0) != 0;
	result->is_copy = record_get_u64(record, F_FLAG, 0) == 2;
	result->answer = (enum route_answer)answer;
	return answer >= ROUTE_LOCAL && answer <= ROUTE_UNSURE &&
	    result->asked < asked && result->address.n > 0 &&
	    result->address.n <= ROUTE_ADDRESS_MAX &&
	    result->user.n <= ROUTE_ADDRESS_MAX &&
	    (answer == ROUTE_LOCAL) == (result->user.n > 0);
}

static int
take_reply(struct ph_slice record, size_t asked, struct ph_arena *arena,
    const struct route_result **results_out, size_t *count_out)
{
	struct ph_slice rest = record;
	struct record_field field;
	struct route_result *all;
	size_t n = 0, seen = 0;

	while (record_next(&rest, &field))
		n += field.tag == F_RESULT;
	all = ph_arena_array(arena, n, sizeof(*all));
	n = 0;
	while (record_next(&record, &field)) {
		if (field.tag != F_RESULT)
			continue;
		if (!take_result(field.value, asked, &all[n]) ||
		    all[n].asked + 1 < seen || all[n].asked > seen)
			return PH_DEFECT;
		seen = all[n++].asked + 1;
	}
	if (record.p == NULL || seen != asked)
		return PH_DEFECT;
	*results_out = all;
	*count_out = n;
	return PH_OK;
}

int
route_ask(struct ph_slice sender, const struct ph_slice *addresses,
    size_t count, struct ph_arena *arena, const struct route_result **results_out,
    size_t *count_out)
{
	struct bus_message reply;
	struct ph_buf buf;
	int status;

	ph_buf_init(&buf, arena, BUS_MESSAGE_LIMIT);
	if (sender.p != NULL)
		record_put(&buf, F_SENDER, sender);
	for (size_t i = 0; i < count; i++)
		record_put(&buf, F_RECIPIENT, addresses[i]);
	status = check_ask(BUS_ANY_SHARD, &(struct check_question){
	    MSG_ROUTE, NULL, &buf, -1, ASK_MS }, arena, &reply);
	return status != PH_OK ? status : take_reply(reply.record, count,
	    arena, results_out, count_out);
}
