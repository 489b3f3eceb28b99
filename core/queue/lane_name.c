/* SPDX-License-Identifier: Apache-2.0 */
/* lane_name.c - where a recipient's mail goes, as the name of a lane. */
#include "queue/lane_name.h"

#include <posthouse/mail.h>

#include <stdio.h>

#include "bus/bus.h"
#include "role/generation.h"
#include "role/role.h"

/* That of what is relayed: with a slash behind the transport. */
static unsigned
write_remote(const struct queue_recipient *recipient, char *to)
{
	const struct recipient_more *more = recipient->more;
	struct ph_slice domain = more->destination != NULL ?
	    ph_slice_str(more->destination) :
	    ph_address_domain(ph_slice_str(recipient->address));
	size_t n = more->transport != NULL ?
	    strnlen(more->transport, QUEUE_RCPT_MAX) : 0;
	size_t room = LANE_NAME_MAX - n - 2;

	if (n > 0) {
		memcpy(to, more->transport, n);
		to[n] = '/';
		to += n + 1;
	}
	if (domain.n > room)
		domain.n = room;
	if (domain.n > 0)
		memcpy(to, domain.p, domain.n);
	to[domain.n] = '\0';
	/* "mail" is no transport's name: the core has a section of it. */
	ph_lower_in_place(to, domain.n);
	return (unsigned)n;
}

struct lane_target
lane_name_write(const struct queue_recipient *recipient,
    char name[LANE_NAME_MAX])
{
	const struct core_conf *core = &generation_current()->core;
	struct lane_target is = { .is_local = recipient->user != NULL };
	unsigned processes;

	if (!is.is_local) {
		is.transport_n = write_remote(recipient, name);
		return is;
	}
	/* That run: a reload may name another number. */
	processes = bus_role_size(ROLE_MAIL);
	is.shard = partition_of(ph_slice_str(recipient->user),
	    core->mail.partitions) % (processes > 0 ? processes : 1);
	/* '/' is in no domain. One for each mail process. */
	snprintf(name, LANE_NAME_MAX, "mail/%u", is.shard);
	return is;
}

const char *
lane_name(const struct queue_recipient *recipient, char room[LANE_NAME_MAX])
{
	if (lane_of(recipient) != NULL)
		return recipient->lane->name;
	lane_name_write(recipient, room);
	return room;
}

struct lane *
lane_of(const struct queue_recipient *recipient)
{
	struct lane *lane = recipient->lane;

	return lane != NULL && !lane->is_backlog ? lane : NULL;
}

bool
lane_is_for(const struct lane *lane, const struct queue_recipient *recipient)
{
	const struct recipient_more *more = recipient->more;
	char name[LANE_NAME_MAX];

	if (lane_of(recipient) != NULL)
		return recipient->lane == lane;
	if (recipient->user == NULL && more->transport == NULL &&
	    more->destination == NULL) /* most are asked about so */
		return lane->transport_n == 0 && ph_slice_eq_nocase(
		    ph_address_domain(ph_slice_str(recipient->address)),
		    ph_slice_str(lane->name));
	lane_name_write(recipient, name);
	return strcmp(name, lane->name) == 0;
}
