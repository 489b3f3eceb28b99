/* SPDX-License-Identifier: Apache-2.0 */
/* clients.c - counts of connections by client, in chained buckets. */
#include "role/clients.h"

#include <stdlib.h>

#include "base/hash.h"

enum { BUCKETS = 4096, NET_OCTETS = 8 };

static struct client {
	struct client *next;
	uint8_t family, octet[NET_OCTETS];
	unsigned count;
} *buckets[BUCKETS];

static struct client
key_of(const struct ph_addr *addr)
{
	struct client key = { .family = addr->family };

	memcpy(key.octet, addr->octet, addr->family == 4 ? 4 : NET_OCTETS);
	return key;
}

static struct client **
find(const struct client *key)
{
	struct client **at = &buckets[hash_of(key->octet, NET_OCTETS) %
	    BUCKETS];

	while (*at != NULL && ((*at)->family != key->family ||
	    memcmp((*at)->octet, key->octet, NET_OCTETS) != 0))
		at = &(*at)->next;
	return at;
}

bool
clients_enter(const struct ph_addr *addr, unsigned limit)
{
	struct client key = key_of(addr);
	struct client **at = find(&key);

	if (*at == NULL) {
		*at = calloc(1, sizeof(key));
		ph_assert(*at != NULL);
		**at = key;
	}
	if (limit > 0 && (*at)->count >= limit)
		return false;
	(*at)->count++;
	return true;
}

void
clients_leave(const struct ph_addr *addr)
{
	struct client key = key_of(addr);
	struct client **at = find(&key), *client = *at;

	if (client == NULL || --client->count > 0)
		return;
	*at = client->next;
	free(client);
}

void
client_place_leave(struct client_place *place)
{
	if (place->is_held)
		clients_leave(&place->client);
	place->is_held = false;
}

bool
client_place_take(struct client_place *place, const struct ph_addr *client,
    unsigned limit)
{
	client_place_leave(place);
	place->client = *client;
	place->is_held = clients_enter(client, limit);
	return place->is_held;
}
