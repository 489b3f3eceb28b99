/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_proxy.c - PROXY headers of a front end: what is whole is so in one way
 * only, however it was cut, and nothing of what follows it is taken.
 */
#include <stdlib.h>

#include "net/proxy_header.h"

static bool
is_same(const struct proxy_header *a, const struct proxy_header *b)
{
	return a->is_known == b->is_known && ph_addr_eq(&a->client, &b->client) &&
	    ph_addr_eq(&a->local, &b->local) &&
	    a->client_port == b->client_port && a->local_port == b->local_port;
}

/* An allocation of its own for each piece, so that reading past it shows. */
static enum proxy_answer
parse(const uint8_t *data, size_t n, struct proxy_header *header, size_t *used)
{
	char *copy = malloc(n + (n == 0));
	enum proxy_answer answer;

	if (n > 0)
		memcpy(copy, data, n);
	answer = proxy_parse((struct ph_slice){ copy, n }, header, used);
	free(copy);
	return answer;
}

static void
check_whole(const uint8_t *data, const struct proxy_header *header, size_t used)
{
	struct proxy_header alone = { 0 };
	size_t n = 0;

	if (used < 15 || used > PROXY_HEADER_MAX)
		abort();
	if (parse(data, used, &alone, &n) != PROXY_WHOLE || n != used ||
	    !is_same(&alone, header))
		abort();
	if (header->is_known !=
	    (header->client.family != 0 && header->local.family != 0))
		abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxy_header header = { 0 }, part;
	enum proxy_answer answer, last = PROXY_MORE;
	size_t used = 0, cut, n;

	if (size > PROXY_HEADER_MAX + 16)
		return 0;
	answer = parse(data, size, &header, &used);
	if (answer == PROXY_WHOLE)
		check_whole(data, &header, used);
	/* Each piece, from the shortest: more, until it is decided once. */
	for (cut = 0; cut <= size && last == PROXY_MORE; cut++)
		last = parse(data, cut, &part, &n);
	if (last != answer ||
	    (answer == PROXY_WHOLE && (n != used || n != cut - 1)))
		abort();
	if (answer == PROXY_MORE && size >= PROXY_HEADER_MAX)
		abort();
	return 0;
}
