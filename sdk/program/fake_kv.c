/* SPDX-License-Identifier: Apache-2.0 */
/* fake_kv.c - <posthouse/kv.h> as a list that the stepped clock expires. */
#include <posthouse/fiber.h>
#include <posthouse/kv.h>

#include "fakes.h"

enum { ANSWER_MS = 1, SILENT_MS = 2000 };

static struct {
	struct pair {
		struct pair *next;
		struct ph_slice key, value;
		uint64_t end_ms;
	} *first;
	int status; /* what every call answers, if not PH_OK */
} store;

void
fake_kv_reset(void)
{
	store.first = NULL;
	store.status = fakes_fault() == HARNESS_STORE_DOWN ? PH_UNAVAILABLE :
	                                                     PH_OK;
}

/* "down", "full", "slow", "up" */
const char *
fake_kv_line(const char *line)
{
	static const struct {
		const char *word;
		int status;
	} all[] = { { "up", PH_OK }, { "down", PH_UNAVAILABLE },
		{ "slow", PH_TIMEOUT }, { "full", PH_FULL } };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (strcmp(line, all[i].word) == 0) {
			if (fakes_fault() == HARNESS_SOUND)
				store.status = all[i].status;
			return NULL;
		}
	return "wanted up, down, slow or full";
}

static struct pair *
find(struct ph_slice key)
{
	struct pair *at = store.first;

	while (at != NULL && (at->end_ms <= ph_now_ms() ||
	    !ph_slice_eq(at->key, key)))
		at = at->next;
	return at;
}

struct ph_slice
fake_kv_value(const char *key)
{
	const struct pair *pair = find(ph_slice_str(key));

	return pair != NULL ? pair->value : (struct ph_slice){ NULL, 0 };
}

/* The wait that each call is; a status other than PH_OK is its answer. */
static int
begin(struct ph_slice key, bool writes)
{
	bool is_silent = fakes_fault() == HARNESS_SILENCE ||
	    store.status == PH_TIMEOUT;
	int status;

	if (key.n == 0)
		return PH_INVALID;
	if (key.n > PH_KV_KEY_MAX)
		return PH_TOO_BIG;
	if (store.status == PH_UNAVAILABLE)
		return PH_UNAVAILABLE;
	status = ph_sleep_ms(is_silent ? SILENT_MS : ANSWER_MS);
	if (status != PH_OK)
		return status;
	if (is_silent)
		return PH_TIMEOUT;
	return writes ? store.status : PH_OK;
}

int
ph_kv_get(struct ph_arena *arena, struct ph_slice key,
    struct ph_slice *value_out)
{
	int status = begin(key, false);
	const struct pair *pair;

	if (status != PH_OK)
		return status;
	pair = find(key);
	if (pair == NULL)
		return PH_NOT_FOUND;
	*value_out = ph_arena_slice(arena, pair->value);
	return PH_OK;
}

int
ph_kv_get_many(struct ph_arena *arena, const struct ph_slice *keys,
    size_t count, struct ph_slice *values_out)
{
	int status = count > PH_KV_KEYS_MAX ? PH_TOO_BIG :
	    count > 0 ? begin(keys[0], false) : PH_OK;

	for (size_t i = 0; status == PH_OK && i < count; i++) {
		const struct pair *pair = find(keys[i]);

		if (keys[i].n == 0 || keys[i].n > PH_KV_KEY_MAX)
			return keys[i].n == 0 ? PH_INVALID : PH_TOO_BIG;
		values_out[i] = pair != NULL ?
		    ph_arena_slice(arena, pair->value) :
		    (struct ph_slice){ NULL, 0 };
	}
	return status;
}

static struct pair *
put(struct ph_slice key, struct ph_slice value, uint64_t ttl_ms)
{
	struct pair *pair = find(key);

	if (pair == NULL) {
		pair = ph_arena_alloc(fakes_arena(), sizeof(*pair));
		pair->next = store.first;
		store.first = pair;
		pair->key = ph_arena_slice(fakes_arena(), key);
	}
	pair->value = ph_arena_slice(fakes_arena(), value);
	pair->end_ms = ph_now_ms() + ttl_ms;
	return pair;
}

int
ph_kv_put(struct ph_slice key, struct ph_slice value, uint64_t ttl_ms)
{
	int status;

	if (ttl_ms == 0)
		return PH_INVALID;
	if (value.n > PH_KV_VALUE_MAX)
		return PH_TOO_BIG;
	status = begin(key, true);
	if (status == PH_OK)
		put(key, value.p != NULL ? value : PH_LIT(""), ttl_ms);
	return status;
}

int
ph_kv_delete(struct ph_slice key)
{
	int status = begin(key, true);
	struct pair *pair = status == PH_OK ? find(key) : NULL;

	if (pair != NULL)
		pair->end_ms = 0;
	return status;
}

static int64_t
number_of(struct ph_slice value)
{
	uint64_t number = 0;

	for (size_t i = 0; i < 8; i++)
		number |= (uint64_t)(unsigned char)value.p[i] << (8 * i);
	return (int64_t)number;
}

int
ph_kv_add(struct ph_slice key, int64_t n, uint64_t ttl_ms, int64_t *sum_out)
{
	int status = ttl_ms == 0 ? PH_INVALID : begin(key, true);
	struct pair *pair;
	uint64_t end_ms;
	int64_t sum = 0;
	char octet[8];

	if (status != PH_OK)
		return status;
	pair = find(key);
	if (pair != NULL && pair->value.n != sizeof(octet))
		return PH_INVALID;
	end_ms = pair != NULL ? pair->end_ms : ph_now_ms() + ttl_ms;
	if (pair != NULL)
		sum = number_of(pair->value);
	if (__builtin_add_overflow(sum, n, &sum))
		sum = n > 0 ? INT64_MAX : INT64_MIN;
	for (size_t i = 0; i < sizeof(octet); i++)
		octet[i] = (char)((uint64_t)sum >> (8 * i));
	put(key, (struct ph_slice){ octet, sizeof(octet) }, 1)->end_ms =
	    end_ms;
	*sum_out = sum;
	return PH_OK;
}

int
ph_kv_rate(struct ph_slice key, uint64_t limit, uint64_t window_ms,
    bool *over_out)
{
	int64_t sum;
	int status = ph_kv_add(key, 1, window_ms, &sum);

	if (status == PH_OK)
		*over_out = sum > 0 && (uint64_t)sum > limit;
	return status;
}
