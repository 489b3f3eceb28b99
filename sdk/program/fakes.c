/* SPDX-License-Identifier: Apache-2.0 */
/* fakes.c - see fakes.h; what the fakes share. */
#include "fakes.h"

static struct {
	struct ph_arena *arena;
	enum harness_fault fault;
} all;

static void
reset(enum harness_fault fault)
{
	ph_arena_free(all.arena);
	all.arena = ph_arena_create(NULL);
	all.fault = fault;
	fake_dns_reset();
	fake_kv_reset();
	fake_stream_reset();
}

struct ph_arena *
fakes_arena(void)
{
	return all.arena;
}

enum harness_fault
fakes_fault(void)
{
	return all.fault;
}

struct ph_slice
fakes_word(struct ph_slice *rest)
{
	struct ph_slice word;

	*rest = ph_slice_trim(*rest);
	word = ph_slice_cut(rest, ' ');
	if (rest->p == NULL)
		*rest = PH_LIT("");
	*rest = ph_slice_trim(*rest);
	return word.n > 0 ? word : (struct ph_slice){ NULL, 0 };
}

bool
fakes_duration(struct ph_slice text, uint64_t *ms_out)
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} units[] = { { "ms", 1 }, { "s", 1000 }, { "m", 60000 },
		{ "h", 3600000 }, { "d", 86400000 } };
	uint64_t number;

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		size_t n = strlen(units[i].unit);

		if (text.n > n && ph_slice_eq((struct ph_slice){
		        text.p + text.n - n, n }, ph_slice_str(units[i].unit)) &&
		    ph_slice_number((struct ph_slice){ text.p, text.n - n },
		        1000000, &number)) {
			*ms_out = number * units[i].ms;
			return true;
		}
	}
	return false;
}

const struct harness_fakes fakes = {
	.reset = reset,
	.dns = fake_dns_line,
	.store = fake_kv_line,
	.server = fake_stream_line,
	.dns_asked = fake_dns_asked,
	.stored = fake_kv_value,
	.server_missed = fake_stream_missed,
};
