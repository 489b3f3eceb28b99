/* SPDX-License-Identifier: Apache-2.0 */
/* dns_packet_test.c - how long there is nothing: answers without records. */
#include <check.h>
#include <stdlib.h>

#include "net/dns_packet.h"

enum { NXDOMAIN = 3 };

/* An answer about "no.test", with perhaps an alias and an SOA record. */
struct packet {
	uint8_t octet[256];
	size_t n;
};

static void
put(struct packet *packet, const char *octets, size_t n)
{
	memcpy(packet->octet + packet->n, octets, n);
	packet->n += n;
}
#define PUT(packet, text) put(packet, text, sizeof(text) - 1)

static void
put_u32(struct packet *packet, uint32_t value)
{
	for (unsigned i = 4; i-- > 0;)
		packet->octet[packet->n++] = (uint8_t)(value >> 8 * i);
}

static void
put_soa(struct packet *packet, uint32_t ttl_s, uint32_t minimum_s)
{
	PUT(packet, "\4test\0\0\6\0\1");
	put_u32(packet, ttl_s);
	PUT(packet, "\0\35\2ns\xc0\x0f\1h\xc0\x0f");
	for (uint32_t i = 0; i < 4; i++)
		put_u32(packet, i);
	put_u32(packet, minimum_s);
}

static struct packet
build(unsigned rcode, uint32_t alias_s, uint32_t ttl_s, uint32_t minimum_s)
{
	struct packet packet = { .n = 0 };

	PUT(&packet, "\0\7\x81\x80\0\1\0\0\0\0\0\0\2no\4test\0\0\1\0\1");
	packet.octet[3] |= (uint8_t)rcode;
	if (alias_s > 0) {
		packet.octet[7] = 1;
		PUT(&packet, "\xc0\x0c\0\5\0\1");
		put_u32(&packet, alias_s);
		PUT(&packet, "\0\4\1x\xc0\x0f");
	}
	if (ttl_s > 0) {
		packet.octet[9] = 1;
		put_soa(&packet, ttl_s, minimum_s);
	}
	return packet;
}

static struct ph_dns_answer
parse(struct ph_arena *arena, const struct packet *packet)
{
	struct ph_dns_answer answer = { .ttl_s = UINT32_MAX };
	unsigned cnames = 0;
	const char *alias;

	dns_packet_parse(arena, (struct ph_slice){ (const char *)packet->octet,
	    packet->n }, "no.test", DNS_KIND_A, &cnames, &answer, &alias);
	return answer;
}

START_TEST(there_is_nothing_for_as_long_as_the_zone_says)
{
	static const struct {
		unsigned rcode;
		uint32_t alias_s, ttl_s, minimum_s, nothing_s;
	} row[] = {
		{ NXDOMAIN, 0, 3600, 60, 60 },
		{ NXDOMAIN, 0, 30, 60, 30 },
		{ NXDOMAIN, 20, 3600, 60, 20 }, /* the alias may go first */
		{ NXDOMAIN, 0, 99999, 99999, DNS_NEGATIVE_S_MAX },
		{ NXDOMAIN, 0, 3600, 0, 0 },
		{ NXDOMAIN, 0, 0, 0, 0 },       /* no SOA */
		{ 0, 0, 3600, 60, 60 },
		{ 0, 0, 0, 0, 0 },
	};
	struct ph_arena *arena = ph_arena_create(NULL);

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct packet packet = build(row[i].rcode, row[i].alias_s,
		    row[i].ttl_s, row[i].minimum_s);
		struct ph_dns_answer answer = parse(arena, &packet);

		ck_assert_int_eq(answer.result, row[i].rcode == NXDOMAIN ?
		    PH_DNS_NO_NAME : PH_DNS_NO_DATA);
		ck_assert_msg(answer.ttl_s == row[i].nothing_s, "row %zu: %u",
		    i, answer.ttl_s);
	}
	ph_arena_free(arena);
}
END_TEST

START_TEST(damage_makes_it_no_longer_than_the_limit)
{
	struct packet packet = build(NXDOMAIN, 20, 3600, 60);

	for (size_t n = 0; n <= packet.n; n++) {
		char *cut = malloc(n + 1);

		memcpy(cut, packet.octet, n);
		ck_assert_uint_eq(dns_packet_negative_ttl((struct ph_slice){
		    cut, n }), n < packet.n ? 0 : 20);
		free(cut);
	}
	for (size_t i = 0; i < packet.n * 256; i++) {
		uint8_t was = packet.octet[i / 256];

		packet.octet[i / 256] = (uint8_t)i;
		ck_assert_uint_le(dns_packet_negative_ttl((struct ph_slice){
		    (const char *)packet.octet, packet.n }),
		    DNS_NEGATIVE_S_MAX);
		packet.octet[i / 256] = was;
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("dns_packet");
	TCase *tcase = tcase_create("negative");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tcase);
	tcase_add_test(tcase, there_is_nothing_for_as_long_as_the_zone_says);
	tcase_add_test(tcase, damage_makes_it_no_longer_than_the_limit);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
