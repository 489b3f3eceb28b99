/* SPDX-License-Identifier: Apache-2.0 */
/* place.c - see place.h. */
#include "place.h"

#include <posthouse/fiber.h>
#include <posthouse/kv.h>

/* A counter at 1, as ph_kv_get shows it: who counts one more knows it is not
 * the first. */
static const char held[8] = "\1";

static const char *
claim(const struct ph_slice *keys, const struct ph_slice *values, size_t count,
    unsigned ms)
{
	int64_t sum;

	for (size_t i = 0; i < count; i++) {
		if (values[i].p != NULL)
			continue;
		if (ph_kv_add(keys[i], 1, ms, &sum) != PH_OK)
			return "";
		if (sum == 1)
			return keys[i].p;
	}
	return NULL;
}

bool
place_take(struct ph_arena *arena, const char *server, unsigned limit,
    unsigned ms, const char **key_out)
{
	struct ph_slice keys[PH_KV_KEYS_MAX], values[PH_KV_KEYS_MAX];
	size_t count = limit < PH_KV_KEYS_MAX ? limit : PH_KV_KEYS_MAX;
	uint64_t first = limit > count ? ph_now_ms() : 0; /* any will do */
	const char *key;

	for (size_t i = 0; i < count; i++)
		keys[i] = ph_slice_str(ph_arena_printf(arena, "place %s %u",
		    server, (unsigned)((first + i) % limit)));
	if (ph_kv_get_many(arena, keys, count, values) != PH_OK)
		key = "";
	else
		key = claim(keys, values, count, ms);
	if (key == NULL)
		return false;
	*key_out = key;
	return true;
}

void
place_hold(const char *key, unsigned ms)
{
	if (key[0] != '\0')
		(void)ph_kv_put(ph_slice_str(key),
		    (struct ph_slice){ held, sizeof(held) }, ms);
}

void
place_leave(const char *key)
{
	if (key[0] != '\0')
		(void)ph_kv_delete(ph_slice_str(key));
}
