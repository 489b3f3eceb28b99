/* SPDX-License-Identifier: Apache-2.0 */
/*
 * program.c - a program run as another user: relay has no right to, so the
 * master is asked. It kills what it started when we are gone.
 */
#include <posthouse/transport.h>

#include "base/record.h"
#include "bus/bus.h"
#include "role/attempt.h"
#include "role/messages.h"

enum { GRACE_MS = 10000 }; /* for the master to kill what is late */

static void
put_request(const struct ph_attempt *attempt, size_t i,
    const char *const *argv, struct ph_buf *record)
{
	record_put_str(record, F_SECTION, attempt->section);
	for (; *argv != NULL; argv++)
		record_put_str(record, F_ARGUMENT, *argv);
	record_put(record, F_SENDER, attempt->sender);
	record_put(record, F_RECIPIENT, attempt->recipients[i].address);
	record_put_str(record, F_NAME, attempt->queue_id);
}

static void
tell_end(uint64_t number)
{
	struct ph_buf record;

	ph_buf_init(&record, NULL, 64);
	record_put_u64(&record, F_NUMBER, number);
	bus_notify(ROLE_MASTER, 0, MSG_RUN_END, ph_buf_content(&record));
	ph_buf_fini(&record);
}

int
ph_attempt_run(struct ph_attempt *attempt, size_t i,
    const char *const *argv, const int fds[2], unsigned timeout_ms,
    int *end_out)
{
	static uint64_t last_number;
	uint64_t number = ++last_number;
	struct bus_message reply;
	struct ph_buf record;
	int status;

	ph_assert(i < attempt->recipient_count);
	ph_buf_init(&record, attempt->arena, BUS_MESSAGE_LIMIT);
	record_put_u64(&record, F_NUMBER, number);
	record_put_u64(&record, F_TIMEOUT, timeout_ms);
	put_request(attempt, i, argv, &record);
	if (record.full)
		return PH_TOO_BIG;
	status = bus_call(ROLE_MASTER, 0, MSG_RUN, ph_buf_content(&record),
	    fds, 2, timeout_ms + GRACE_MS, attempt->arena, &reply);
	if (status == PH_OK)
		*end_out = (int)record_get_u64(reply.record, F_EXIT, 0);
	else if (status == PH_TIMEOUT || status == PH_CANCELED)
		tell_end(number);
	return status;
}
