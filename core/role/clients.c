/* SPDX-License-Identifier: Apache-2.0 */
/* clients.c - counts of connections by client, in chained buckets. */
#include "role/clients.h"

#include <stdlib.h>

#include "base/hash.h"
#include "role/client_counts.h"

enum { BUCKETS = 4096, NET_OCTETS = 8 };

static struct client {
	struct client *next;
	uint8_t octet[1 + NET_OCTETS]; /* the family first */
	unsigned count;
} *buckets[BUCKETS];

static struct client
key_of(const struct ph_addr *addr)
{
	struct client key = { .octet = { addr->family } };

	memcpy(key.octet + 1, addr->octet, addr->family == 4 ? 4 : NET_OCTETS);
	return key;
}

static struct client **
find(const struct client *key)
{
	struct client **at = &buckets[hash_of(key->octet,
	    sizeof(key->octet)) % BUCKETS];

	while (*at != NULL &&
	    memcmp((*at)->octet, key->octet, sizeof(key->octet)) != 0)
		at = &(*at)->next;
	return at;
}

static void
leave(struct client **at)
{
	struct client *client = *at;

	client_counts_take(client->octet, sizeof(client->octet));
	if (--client->count > 0)
		return;
	*at = client->next;
	free(client);
}

bool
clients_enter(const struct ph_addr *addr, unsigned limit)
{
	struct client key = key_of(addr);
	struct client **at = find(&key), *client = *at;

	if (client == NULL) {
		client = *at = calloc(1, sizeof(key));
		ph_assert(client != NULL);
		*client = key;
	}
	client->count++;
	client_counts_add(client->octet, sizeof(client->octet));
	if (limit == 0 || (client->count <= limit && client->count +
	        client_counts_elsewhere(client->octet,
	            sizeof(client->octet)) <= limit))
		return true;
	leave(at);
	return false;
}

void
clients_leave(const struct ph_addr *addr)
{
	struct client key = key_of(addr);
	struct client **at = find(&key);

	if (*at != NULL)
		leave(at);
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
