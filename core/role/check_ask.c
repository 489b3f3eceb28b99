/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check_ask.c - asking the checks. A process that is busy, as one is that makes
 * way for another, has not begun: it is asked again, within the time.
 */
#include "role/check.h"

enum { AGAIN_MS = 20 };

int
check_ask(uint32_t shard, uint16_t type, struct ph_slice record, int fd,
    unsigned timeout_ms, struct ph_arena *arena, struct bus_message *reply_out)
{
	uint64_t end = ph_now_ms() + timeout_ms;

	for (;;) {
		uint64_t now = ph_now_ms();
		unsigned left_ms = end > now ? (unsigned)(end - now) : 0;
		int status = bus_call(ROLE_CHECK, shard, type, record, &fd,
		    fd >= 0 ? 1 : 0, left_ms, arena, reply_out);

		if (status != PH_BUSY || left_ms <= AGAIN_MS ||
		    ph_sleep_ms(AGAIN_MS) != PH_OK)
			return status;
	}
}
