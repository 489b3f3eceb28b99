/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peers.c - who may talk to whom, as a table, and the socket pairs for it. The
 * master tells each end who sits at the other: that can't be forged.
 */
#include "master/master.h"

#include <posthouse/log.h>

#include <unistd.h>

#include "base/record.h"
#include "role/messages.h"

static const struct {
	enum role a, b;
} talking[] = {
	{ ROLE_EDGE, ROLE_AUTH },   /* logins, recipients */
	{ ROLE_EDGE, ROLE_CHECK },  /* stages */
	{ ROLE_EDGE, ROLE_QUEUE },  /* spools, commits */
	{ ROLE_EDGE, ROLE_MAIL },   /* connections after login */
	{ ROLE_QUEUE, ROLE_MAIL },  /* deliveries */
	{ ROLE_QUEUE, ROLE_RELAY }, /* attempts */
	{ ROLE_QUEUE, ROLE_AUTH },  /* recipients */
	{ ROLE_QUEUE, ROLE_CHECK }, /* the expiring key-value store */
	{ ROLE_CHECK, ROLE_AUTH },  /* recipients */
	{ ROLE_MAIL, ROLE_AUTH },   /* recipients */
};

bool
peers_may_talk(enum role a, enum role b)
{
	for (size_t i = 0; i < sizeof(talking) / sizeof(talking[0]); i++)
		if ((talking[i].a == a && talking[i].b == b) ||
		    (talking[i].a == b && talking[i].b == a))
			return true;
	return false;
}

static void
tell(const struct process *to, const struct process *of, int fd)
{
	struct ph_buf record;

	ph_buf_init(&record, NULL, 64);
	record_put_u64(&record, F_ROLE, of->role);
	record_put_u64(&record, F_INDEX, of->index);
	bus_notify_fd(to->role, to->index, MSG_PEER, ph_buf_content(&record),
	    fd);
	ph_buf_fini(&record);
}

void
peers_link(const struct process *process)
{
	for (size_t i = 0; i < master.process_count; i++) {
		const struct process *other = &master.processes[i];
		struct ph_err err;
		int pair[2];

		if (other->state != PROCESS_READY || other == process ||
		    !peers_may_talk(process->role, other->role))
			continue;
		if (child_socket_pair(pair, &err) != PH_OK) {
			ph_log(PH_ERROR, "not_linked",
			    ph_f_str("role", role_name(process->role)),
			    ph_f_str("peer", role_name(other->role)),
			    ph_f_str("reason", err.text));
			continue;
		}
		tell(process, other, pair[0]);
		tell(other, process, pair[1]);
		close(pair[0]);
		close(pair[1]);
	}
}
