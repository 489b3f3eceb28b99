/* SPDX-License-Identifier: Apache-2.0 */
/* tickets.c - see tickets.h. A key opens recorded sessions: it must not live
 * long, and is never written anywhere. */
#include "master/tickets.h"

#include <posthouse/log.h>

#include <errno.h>
#include <sys/random.h>

#include "base/record.h"
#include "net/tls_tickets.h"

static struct {
	uint8_t key[TLS_TICKET_KEYS][TLS_TICKET_KEY]; /* newest first */
	size_t count;
	uint64_t made_ms;
} ring;

static bool
add_key(void)
{
	uint8_t key[TLS_TICKET_KEY];

	if (getrandom(key, sizeof(key), 0) != (ssize_t)sizeof(key))
		return false;
	memmove(ring.key[1], ring.key[0], sizeof(ring.key[0]));
	memcpy(ring.key[0], key, sizeof(key));
	ph_wipe(key, sizeof(key));
	if (ring.count < TLS_TICKET_KEYS)
		ring.count++;
	ring.made_ms = ph_now_ms();
	return true;
}

int
tickets_begin(struct ph_err *err)
{
	return add_key() ? PH_OK :
	                   ph_err_set(err, PH_IO, errno, "no random octets");
}

struct ph_slice
tickets_keys(void)
{
	return (struct ph_slice){ (const char *)ring.key,
		ring.count * TLS_TICKET_KEY };
}

void
tickets_tell(const struct process *process)
{
	struct ph_buf record;

	if (process->role != ROLE_EDGE)
		return;
	ph_buf_init(&record, NULL, 512);
	ph_buf_reserve(&record, 256); /* one copy to wipe */
	record_put(&record, F_TICKETS, tickets_keys());
	bus_notify(process->role, process->index, MSG_TICKETS,
	    ph_buf_content(&record));
	ph_wipe(record.p, record.n);
	ph_buf_fini(&record);
}

void
tickets_look(void)
{
	if (ph_now_ms() - ring.made_ms <
	        master.plan->core.tls.ticket_rotation_ms ||
	    !add_key()) /* then it is tried again */
		return;
	for (size_t i = 0; i < master.process_count; i++)
		if (master.processes[i].state == PROCESS_READY)
			tickets_tell(&master.processes[i]);
	ph_log(PH_INFO, "ticket_key_made");
}
