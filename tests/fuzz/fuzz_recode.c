/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_recode.c - any content: when it can be written in ASCII at all, its parts
 * decode to the same octets. */
#include <stdlib.h>

#include "../../modules/smtp_client/recode_fixture.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct ph_slice in = { (const char *)data, size };
	bool is_binary = size > 0 && data[0] % 4 == 0;
	const struct recode_plan *plan;
	const char *why;

	plan = recode_make(arena, in, is_binary, &why);
	if (plan != NULL && recode_differs(arena, in, recode_all(arena, plan,
	        size > 1 ? 128u + data[1] : 128u)) != NULL)
		abort();
	ph_arena_free(arena);
	return 0;
}
