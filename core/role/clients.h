/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clients.h - how many connections each client has open: an IPv4 address, or
 * the /64 of an IPv6 one; those of the other edge processes are counted with
 * them (client_counts.h). Memory is bounded by the connections counted here.
 */
#ifndef CORE_ROLE_CLIENTS_H
#define CORE_ROLE_CLIENTS_H

#include <posthouse/addr.h>

/* Count one more; false, and not counted, when limit (0: none) are there. */
bool clients_enter(const struct ph_addr *client, unsigned limit);
void clients_leave(const struct ph_addr *client);

/* The place of one connection, which may turn out to be another client's. */
struct client_place {
	struct ph_addr client;
	bool is_held;
};
/* Leave the former place, if any, and take one as the client's: false, and
 * none is held, when limit (0: none) are there. */
bool client_place_take(struct client_place *place,
    const struct ph_addr *client, unsigned limit);
void client_place_leave(struct client_place *place);

#endif
