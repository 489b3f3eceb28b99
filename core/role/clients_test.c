/* SPDX-License-Identifier: Apache-2.0 */
/* clients_test.c - who counts as one client, and that counts come down. */
#include "role/clients.h"

#include <check.h>
#include <stdlib.h>

static struct ph_addr
addr(const char *text)
{
	struct ph_addr parsed;

	ck_assert(ph_addr_parse(ph_slice_str(text), &parsed));
	return parsed;
}

static bool
enter(const char *text, unsigned limit)
{
	struct ph_addr client = addr(text);

	return clients_enter(&client, limit);
}

static void
leave(const char *text)
{
	struct ph_addr client = addr(text);

	clients_leave(&client);
}

START_TEST(takes_up_to_the_limit_and_again_after_a_leave)
{
	for (unsigned i = 0; i < 3; i++)
		ck_assert(enter("192.0.2.1", 3));
	for (unsigned i = 0; i < 5; i++) /* the refused are not counted */
		ck_assert(!enter("192.0.2.1", 3));
	leave("192.0.2.1");
	ck_assert(enter("192.0.2.1", 3));
	ck_assert(!enter("192.0.2.1", 3));
	for (unsigned i = 0; i < 3; i++)
		leave("192.0.2.1");
	ck_assert(enter("192.0.2.1", 1));
	leave("192.0.2.1");
}
END_TEST

START_TEST(a_place_moves_to_another_client)
{
	struct ph_addr front = addr("192.0.2.1"), client = addr("192.0.2.2");
	struct client_place place = { 0 };

	ck_assert(client_place_take(&place, &front, 1));
	ck_assert(client_place_take(&place, &client, 1));
	ck_assert(enter("192.0.2.1", 1)); /* it was given back */
	ck_assert(!enter("192.0.2.2", 1));
	ck_assert(!client_place_take(&place, &front, 1));
	ck_assert(!place.is_held);
	ck_assert(enter("192.0.2.2", 1));
	client_place_leave(&place); /* holds none */
	leave("192.0.2.1");
	leave("192.0.2.2");
}
END_TEST

START_TEST(no_limit_still_counts)
{
	for (unsigned i = 0; i < 1000; i++)
		ck_assert(enter("192.0.2.1", 0));
	ck_assert(!enter("192.0.2.1", 1000)); /* a reload set one */
	ck_assert(enter("192.0.2.1", 1001));
	for (unsigned i = 0; i < 1001; i++)
		leave("192.0.2.1");
	ck_assert(enter("192.0.2.1", 1));
	leave("192.0.2.1");
}
END_TEST

START_TEST(an_ipv4_client_is_an_address)
{
	ck_assert(enter("192.0.2.1", 1));
	ck_assert(enter("192.0.2.2", 1));
	ck_assert(!enter("192.0.2.1", 1));
	leave("192.0.2.1");
	leave("192.0.2.2");
}
END_TEST

START_TEST(an_ipv6_client_is_a_64)
{
	ck_assert(enter("2001:db8:1:2::1", 1));
	ck_assert(!enter("2001:db8:1:2:ffff::2", 1));
	ck_assert(enter("2001:db8:1:3::1", 1));
	leave("2001:db8:1:2:aaaa::1");
	ck_assert(enter("2001:db8:1:2::5", 1));
	leave("2001:db8:1:2::5");
	leave("2001:db8:1:3::1");
}
END_TEST

START_TEST(families_do_not_meet)
{
	/* the same first octets */
	ck_assert(enter("32.1.13.184", 1));
	ck_assert(enter("2001:db8::1", 1));
	leave("32.1.13.184");
	leave("2001:db8::1");
}
END_TEST

START_TEST(many_clients_share_buckets)
{
	struct ph_addr client = { .family = 4, .octet = { 10 } };

	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 20000; i++) {
			client.octet[1] = (uint8_t)(i >> 8);
			client.octet[2] = (uint8_t)i;
			ck_assert(clients_enter(&client, 1));
		}
		for (unsigned i = 20000; i-- > 0;) {
			client.octet[1] = (uint8_t)(i >> 8);
			client.octet[2] = (uint8_t)i;
			ck_assert(!clients_enter(&client, 1));
			clients_leave(&client);
		}
	}
}
END_TEST

START_TEST(leaving_without_having_come_is_nothing)
{
	leave("192.0.2.9");
	ck_assert(enter("192.0.2.9", 1));
	ck_assert(!enter("192.0.2.9", 1));
	leave("192.0.2.9");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("clients");
	TCase *tcase = tcase_create("clients");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tcase, takes_up_to_the_limit_and_again_after_a_leave);
	tcase_add_test(tcase, no_limit_still_counts);
	tcase_add_test(tcase, a_place_moves_to_another_client);
	tcase_add_test(tcase, an_ipv4_client_is_an_address);
	tcase_add_test(tcase, an_ipv6_client_is_a_64);
	tcase_add_test(tcase, families_do_not_meet);
	tcase_add_test(tcase, many_clients_share_buckets);
	tcase_add_test(tcase, leaving_without_having_come_is_nothing);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
