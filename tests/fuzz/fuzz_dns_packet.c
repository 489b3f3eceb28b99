/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_dns_packet.c - answers of a hostile resolver: header and question are
 * made to fit, so that the records are reached.
 */
#include <stdlib.h>

#include "net/dns_packet.h"

static const enum dns_kind kinds[] = { DNS_KIND_A, DNS_KIND_AAAA, DNS_KIND_MX,
	DNS_KIND_TXT, DNS_KIND_PTR };

static void
check(const struct ph_dns_answer *answer, const char *alias)
{
	char text[DNS_NAME_TEXT];

	if (answer->count > DNS_RECORDS_MAX ||
	    (answer->count > 0) != (answer->result == PH_DNS_OK))
		abort();
	if (alias != NULL && !dns_name_canonical(alias, text))
		abort();
	for (size_t i = 0; answer->mx != NULL && i < answer->count; i++)
		if (answer->mx[i].host[0] != '\0' &&
		    !dns_name_canonical(answer->mx[i].host, text))
			abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ph_dns_answer answer = { .ttl_s = UINT32_MAX };
	struct ph_arena *arena;
	const char *alias;
	unsigned cnames = 0;
	uint8_t *packet;
	size_t n;

	if (size < 2 || size > DNS_PACKET_MAX - DNS_QUERY_MAX)
		return 0;
	arena = ph_arena_create(NULL);
	packet = malloc(size + DNS_QUERY_MAX);
	n = dns_query_build(packet, 7, "a.test", kinds[data[0] % 5]);
	packet[2] = 0x81;
	packet[7] = data[1];
	memcpy(packet + n, data + 2, size - 2);
	packet = realloc(packet, n + size - 2);
	dns_packet_parse(arena,
	    (struct ph_slice){ (const char *)packet, n + size - 2 }, "a.test",
	    kinds[data[0] % 5], &cnames, &answer, &alias);
	check(&answer, alias);
	free(packet);
	ph_arena_free(arena);
	return 0;
}
