/* SPDX-License-Identifier: Apache-2.0 */
/*
 * peers.c - who may talk to whom, as a table, and the socket pairs for it. The
 * master tells each end who sits at the other: that can't be forged.
 */
#include "master/master.h"

#include <posthouse/fiber.h>
#include <posthouse/log.h>

#include <unistd.h>

#include "base/record.h"
#include "role/messages.h"

enum {
	MAX_INDEX = 64,
	DEAF_MS = 3000, /* a loop that is held by a hook sees it later */
};

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

static void
link_pair(const struct process *a, const struct process *b)
{
	struct ph_err err;
	int pair[2];

	if (child_socket_pair(pair, &err) != PH_OK) {
		ph_log(PH_ERROR, "not_linked",
		    ph_f_str("role", role_name(a->role)),
		    ph_f_str("peer", role_name(b->role)),
		    ph_f_str("reason", err.text));
		return;
	}
	tell(a, b, pair[0]);
	tell(b, a, pair[1]);
	close(pair[0]);
	close(pair[1]);
}

static uint64_t
bit_of(const struct process *process)
{
	return UINT64_C(1) << process->index;
}

static void
forget_lost(struct process *of, const struct process *peer)
{
	of->lost_links[peer->role] &= ~bit_of(peer);
}

void
peers_link(struct process *process)
{
	memset(process->lost_links, 0, sizeof(process->lost_links));
	for (size_t i = 0; i < master.process_count; i++) {
		struct process *other = &master.processes[i];

		forget_lost(other, process);
		if (other->state == PROCESS_READY && other != process &&
		    peers_may_talk(process->role, other->role))
			link_pair(process, other);
	}
}

/* --- links that broke between two that live --- */

/*
 * A process of the checks that goes on and misses nothing, though its peer does:
 * a module closed the descriptor under the loop, which nobody sees from inside.
 */
static void
end_if_deaf(const struct process *from, struct process *check)
{
	int pid = check->child.pid;

	ph_sleep_ms(DEAF_MS);
	if (check->state != PROCESS_READY || check->child.pid != pid ||
	    !(from->lost_links[check->role] & bit_of(check)))
		return;
	check->is_deaf = true;
	child_kill(&check->child);
}

/* Who is dead tells nothing: a link that both ends miss broke between two that
 * live. */
static void
on_link_down(struct bus_request *request)
{
	struct ph_slice record = request->message.record;
	uint64_t role = record_get_u64(record, F_ROLE, ROLES);
	uint64_t index = record_get_u64(record, F_INDEX, MAX_INDEX);
	struct process *from = process_of(request->from, request->from_index);
	struct process *other = role < ROLES && index < MAX_INDEX ?
	    process_of((enum role)role, (unsigned)index) : NULL;

	if (from == NULL || other == NULL ||
	    !peers_may_talk(from->role, other->role))
		return;
	from->lost_links[other->role] |= bit_of(other);
	if (from->state != PROCESS_READY || other->state != PROCESS_READY)
		return;
	if (!(other->lost_links[from->role] & bit_of(from))) {
		if (other->role == ROLE_CHECK)
			end_if_deaf(from, other);
		return;
	}
	forget_lost(from, other);
	forget_lost(other, from);
	ph_log(PH_WARN, "linked_again", ph_f_str("role", role_name(from->role)),
	    ph_f_int("index", from->index),
	    ph_f_str("peer", role_name(other->role)),
	    ph_f_int("peer_index", other->index));
	link_pair(from, other);
}

void
peers_serve(void)
{
	bus_serve(MSG_LINK_DOWN, ~ROLE_BIT(ROLE_MASTER), on_link_down);
}
