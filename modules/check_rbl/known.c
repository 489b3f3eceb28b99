/* SPDX-License-Identifier: Apache-2.0 */
/* known.c - see known.h. */
#include "known.h"

#include <stdlib.h>

#include <posthouse/kv.h>
#include <posthouse/log.h>

enum {
	DEAD_AFTER = 3,
	DEAD_MS = 60000,
	HEALTH_MS = 600000,
	KEYS_MAX = 1 + 2 * RBL_LISTS_MAX,
};
_Static_assert(KEYS_MAX <= PH_KV_KEYS_MAX, "one trip");

static struct ph_slice
client_key(struct ph_arena *arena, const struct ph_addr *client,
    uint64_t config)
{
	char text[PH_ADDR_TEXT_MAX];

	return ph_slice_str(ph_arena_printf(arena, "client %s %016llx",
	    ph_addr_format(client, text), (unsigned long long)config));
}

static struct ph_slice
zone_key(struct ph_arena *arena, const char *what, struct ph_slice zone)
{
	return ph_slice_str(ph_arena_printf(arena, "%s %.*s", what,
	    PH_SLICE_ARG(zone)));
}

static bool
parse_client(struct ph_slice value, struct rbl_known *known_out)
{
	char *end;
	long outcome, sum;

	if (value.p == NULL)
		return false;
	outcome = strtol(value.p, &end, 10); /* a NUL stands behind it */
	sum = strtol(end, &end, 10);
	if (outcome < RBL_CLEAN || outcome > RBL_ALLOWED || *end != ' ' ||
	    labs(sum) > RBL_LISTS_MAX * RBL_WEIGHT_MAX)
		return false;
	*known_out = (struct rbl_known){ (enum rbl_outcome)outcome, (int)sum,
		ph_slice_str(end + 1) };
	return true;
}

void
rbl_remember(struct ph_arena *arena, const struct ph_addr *client,
    uint64_t config, const struct rbl_list *lists, size_t count,
    struct rbl_memory *memory_out)
{
	struct ph_slice keys[KEYS_MAX], values[KEYS_MAX];

	*memory_out = (struct rbl_memory){ .knows_client = false };
	keys[0] = client_key(arena, client, config);
	for (size_t i = 0; i < count; i++) {
		keys[1 + 2 * i] = zone_key(arena, "dead", lists[i].zone);
		keys[2 + 2 * i] = zone_key(arena, "health", lists[i].zone);
	}
	if (ph_kv_get_many(arena, keys, 1 + 2 * count, values) != PH_OK)
		return;
	memory_out->knows_client = parse_client(values[0],
	    &memory_out->client);
	for (size_t i = 0; i < count; i++) {
		struct ph_slice dead = values[1 + 2 * i],
		    health = values[2 + 2 * i];

		memory_out->is_dead[i] = dead.n == 8 &&
		    (uint8_t)dead.p[0] >= DEAD_AFTER;
		if (health.n == 1)
			memory_out->health[i] = health.p[0] == 'l' ?
			    RBL_LYING : RBL_HONEST;
	}
}

void
rbl_know_client(struct ph_arena *arena, const struct ph_addr *client,
    uint64_t config, const struct rbl_known *known, uint64_t ttl_ms)
{
	if (ttl_ms > 0)
		(void)ph_kv_put(client_key(arena, client, config),
		    ph_slice_str(ph_arena_printf(arena, "%d %d %.*s",
		        known->outcome, known->sum,
		        PH_SLICE_ARG(known->why))), ttl_ms);
}

void
rbl_note_failure(struct ph_arena *arena, struct ph_slice zone)
{
	int64_t failures;

	if (ph_kv_add(zone_key(arena, "dead", zone), 1, DEAD_MS, &failures) ==
	        PH_OK && failures == DEAD_AFTER)
		ph_log(PH_WARN, "list_dead", ph_f_slice("zone", zone));
}

void
rbl_know_health(struct ph_arena *arena, struct ph_slice zone, bool lies)
{
	(void)ph_kv_put(zone_key(arena, "health", zone), lies ? PH_LIT("l") :
	    PH_LIT("h"), HEALTH_MS);
}

void
rbl_tell(struct ph_arena *arena, const char *event, struct ph_slice zone,
    const char *reason)
{
	bool is_over = false;

	if (ph_kv_rate(zone_key(arena, event, zone), 1, HEALTH_MS, &is_over) ==
	        PH_OK && is_over)
		return;
	ph_log(PH_WARN, event, ph_f_slice("zone", zone),
	    ph_f_str("reason", reason));
}
