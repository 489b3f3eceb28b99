/* SPDX-License-Identifier: Apache-2.0 */
/* known.c - see known.h. */
#include "known.h"

#include <stdlib.h>

#include <posthouse/kv.h>
#include <posthouse/log.h>

enum {
	DEAD_AFTER = 3,
	DEAD_MS = 60000,
	LYING_MS = 600000,
};

static struct ph_slice
client_key(struct ph_arena *arena, const struct ph_addr *client,
    uint64_t config)
{
	char text[PH_ADDR_TEXT_MAX];

	return ph_slice_str(ph_arena_printf(arena, "client %s %016llx",
	    ph_addr_format(client, text), (unsigned long long)config));
}

bool
rbl_known_client(struct ph_arena *arena, const struct ph_addr *client,
    uint64_t config, struct rbl_known *known_out)
{
	struct ph_slice value;
	char *end;
	long outcome, sum;

	if (ph_kv_get(arena, client_key(arena, client, config), &value) !=
	    PH_OK)
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
rbl_know_client(struct ph_arena *arena, const struct ph_addr *client,
    uint64_t config, const struct rbl_known *known, unsigned ttl_ms)
{
	if (ttl_ms > 0)
		(void)ph_kv_put(client_key(arena, client, config),
		    ph_slice_str(ph_arena_printf(arena, "%d %d %.*s",
		        known->outcome, known->sum,
		        PH_SLICE_ARG(known->why))), ttl_ms);
}

static struct ph_slice
zone_key(struct ph_arena *arena, const char *what, struct ph_slice zone)
{
	return ph_slice_str(ph_arena_printf(arena, "%s %.*s", what,
	    PH_SLICE_ARG(zone)));
}

bool
rbl_is_dead(struct ph_arena *arena, struct ph_slice zone)
{
	struct ph_slice count;

	return ph_kv_get(arena, zone_key(arena, "dead", zone), &count) ==
	        PH_OK && count.n == 8 && (uint8_t)count.p[0] >= DEAD_AFTER;
}

void
rbl_note_failure(struct ph_arena *arena, struct ph_slice zone)
{
	int64_t failures;

	if (ph_kv_add(zone_key(arena, "dead", zone), 1, DEAD_MS, &failures) ==
	        PH_OK && failures == DEAD_AFTER)
		ph_log(PH_WARN, "list_dead", ph_f_slice("zone", zone));
}

bool
rbl_is_lying(struct ph_arena *arena, const struct rbl_list *list)
{
	const struct ph_addr ourselves = { 4, { 127, 0, 0, 1 } };
	struct ph_slice key = zone_key(arena, "lying", list->zone), value;
	const struct ph_dns_answer *answer;
	bool lies;

	if (ph_kv_get(arena, key, &value) == PH_OK)
		return value.n == 1 && value.p[0] == 'y';
	answer = ph_dns_a(arena, ph_dns_reverse(arena, &ourselves,
	    ph_arena_slice(arena, list->zone).p));
	lies = rbl_list_has(list, answer);
	if (lies)
		ph_log(PH_WARN, "list_names_everybody",
		    ph_f_slice("zone", list->zone));
	if (answer->result != PH_DNS_NO_ANSWER)
		(void)ph_kv_put(key, lies ? PH_LIT("y") : PH_LIT("n"),
		    LYING_MS);
	return lies;
}
