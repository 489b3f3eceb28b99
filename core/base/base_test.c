/* SPDX-License-Identifier: Apache-2.0 */
/* base_test.c - slices, arenas, buffers, addresses, records and ids. */
#include <check.h>
#include <stdlib.h>
#include <time.h>
#include <stdlib.h>

#include <posthouse/addr.h>
#include <posthouse/arena.h>

#include "base/id.h"
#include "base/record.h"

START_TEST(cuts_and_trims_slices)
{
	struct ph_slice rest = PH_LIT("a:b::");

	ck_assert(ph_slice_eq(ph_slice_cut(&rest, ':'), PH_LIT("a")));
	ck_assert(ph_slice_eq(ph_slice_cut(&rest, ':'), PH_LIT("b")));
	ck_assert(ph_slice_eq(ph_slice_cut(&rest, ':'), PH_LIT("")));
	ck_assert(rest.p != NULL && rest.n == 0);
	ck_assert(ph_slice_eq(ph_slice_trim(PH_LIT(" \tx y\r\n")),
	    PH_LIT("x y")));
	ck_assert(ph_slice_eq_nocase(PH_LIT("EhLo"), PH_LIT("ehlO")));
	ck_assert(!ph_slice_eq_nocase(PH_LIT("["), PH_LIT("{")));
}
END_TEST

START_TEST(reads_numbers_within_their_range)
{
	uint64_t n = 7;

	ck_assert(ph_slice_number(PH_LIT("18446744073709551615"), UINT64_MAX,
	    &n));
	ck_assert(n == UINT64_MAX);
	ck_assert(!ph_slice_number(PH_LIT("18446744073709551616"), UINT64_MAX,
	    &n));
	ck_assert(!ph_slice_number(PH_LIT(""), 10, &n));
	ck_assert(!ph_slice_number(PH_LIT("11"), 10, &n));
	ck_assert(!ph_slice_number(PH_LIT("+1"), 10, &n));
	ck_assert(!ph_slice_number(PH_LIT("1 "), 10, &n));
}
END_TEST

static int ended;

static void
on_end(void *object)
{
	ck_assert_int_eq(ended, *(int *)object);
	ended++;
}

START_TEST(arena_runs_cleanups_in_reverse_and_ends_children)
{
	static int order[] = { 2, 1, 0 };
	struct ph_arena *arena = ph_arena_create(NULL);
	struct ph_arena *child = ph_arena_create(arena);

	ph_arena_on_end(arena, on_end, &order[0]);
	ph_arena_on_end(arena, on_end, &order[1]);
	ph_arena_on_end(child, on_end, &order[2]);
	for (size_t i = 1; i < 40000; i = i * 3 + 1) {
		char *p = ph_arena_alloc(child, i);

		for (size_t j = 0; j < i; j++)
			ck_assert(p[j] == 0);
		memset(p, 'x', i);
		ck_assert((uintptr_t)p % 16 == 0);
	}
	ck_assert_str_eq(ph_arena_printf(arena, "%d-%s", 5, "x"), "5-x");
	for (int n = 250; n < 260; n++) {
		const char *text = ph_arena_printf(arena, "%*d", n, 5);

		ck_assert_uint_eq(strlen(text), (size_t)n);
		ck_assert_int_eq(text[n - 1], '5');
	}
	ph_arena_free(arena);
	ck_assert_int_eq(ended, 3);
}
END_TEST

START_TEST(buffer_stops_at_its_cap)
{
	struct ph_buf buf;

	ph_buf_init(&buf, NULL, 300);
	for (int i = 0; i < 299; i++)
		ph_buf_char(&buf, 'a');
	ck_assert(!buf.full);
	ph_buf_str(&buf, "bc");
	ck_assert(buf.full);
	ck_assert_uint_eq(buf.n, 299);
	ph_buf_char(&buf, 'd');
	ck_assert_uint_eq(buf.n, 299);
	ph_buf_fini(&buf);
	ph_buf_init(&buf, NULL, 4096);
	ph_buf_printf(&buf, "%0500d", 7);
	ck_assert_uint_eq(buf.n, 500);
	ph_buf_fini(&buf);
}
END_TEST

START_TEST(networks_hold_their_addresses)
{
	static const struct {
		const char *net, *addr;
		bool in;
	} row[] = {
		{ "192.0.2.0/24", "192.0.2.255", true },
		{ "192.0.2.0/24", "192.0.3.0", false },
		{ "192.0.2.128/25", "192.0.2.127", false },
		{ "192.0.2.1", "192.0.2.1", true },
		{ "0.0.0.0/0", "255.1.2.3", true },
		{ "0.0.0.0/0", "::1", false },
		{ "2001:db8::/33", "2001:db8:7fff::1", true },
		{ "2001:db8::/33", "2001:db8:8000::1", false },
		{ "127.0.0.0/8", "::ffff:127.0.0.1", true },
	};
	static const char *const bad[] = { "", "192.0.2.1/24", "1.2.3.4/33",
		"1.2.3", "::/129", "1.2.3.4/", "1.2.3.4/0024", "::1%lo" };
	struct ph_addr addr;
	struct ph_net net;

	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		ck_assert(ph_addr_parse(ph_slice_str(row[i].addr), &addr));
		ck_assert(ph_net_parse(ph_slice_str(row[i].net), &net));
		ck_assert_msg(ph_net_has(&net, &addr) == row[i].in, "%s %s",
		    row[i].net, row[i].addr);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		ck_assert_msg(!ph_net_parse(ph_slice_str(bad[i]), &net), "%s",
		    bad[i]);
}
END_TEST

START_TEST(record_round_trips_and_refuses_damage)
{
	struct record_field field;
	struct ph_slice all, rest;
	struct ph_buf buf;
	size_t mark;

	ph_buf_init(&buf, NULL, 1024);
	record_put_str(&buf, 1, "alice");
	mark = record_begin(&buf, 2);
	record_put_u64(&buf, 3, 0x1122334455667788ull);
	record_end(&buf, mark);
	record_put(&buf, 4, PH_LIT(""));
	all = ph_buf_content(&buf);
	ck_assert(record_is_sound(all));
	ck_assert(ph_slice_eq(record_get(all, 1), PH_LIT("alice")));
	ck_assert(record_get_u64(record_get(all, 2), 3, 0) ==
	    0x1122334455667788ull);
	ck_assert(record_get(all, 9).p == NULL);
	ck_assert(record_get(all, 4).p != NULL);
	/* every cut but those between fields is damage */
	for (size_t n = 0; n < all.n; n++) {
		rest = (struct ph_slice){ all.p, n };
		while (record_next(&rest, &field))
			continue;
		ck_assert_msg((rest.p != NULL) ==
		    (n == 0 || n == 11 || n == 31), "%zu", n);
	}
	ph_buf_fini(&buf);
}
END_TEST

START_TEST(ids_ascend_and_round_trip)
{
	char text[ID_TEXT_MAX], before[ID_TEXT_MAX] = "";
	uint64_t last = 0, back;

	for (int i = 0; i < 100000; i++) {
		uint64_t id = id_create();

		ck_assert(id > last);
		last = id;
		id_format(id, text);
		ck_assert(strcmp(text, before) > 0);
		memcpy(before, text, sizeof(text));
		ck_assert(id_parse(ph_slice_str(text), &back) && back == id);
	}
	ck_assert(llabs(id_wall_ms(last) / 1000 - (int64_t)time(NULL)) <= 1);
	ck_assert(id_create_above(last + (1ull << 40)) > last + (1ull << 40));
	ck_assert(!id_parse(PH_LIT("zzzzzzzzzzzzz"), &back));
	ck_assert(!id_parse(PH_LIT("short"), &back));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("base");
	TCase *tc = tcase_create("base");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, cuts_and_trims_slices);
	tcase_add_test(tc, reads_numbers_within_their_range);
	tcase_add_test(tc, arena_runs_cleanups_in_reverse_and_ends_children);
	tcase_add_test(tc, buffer_stops_at_its_cap);
	tcase_add_test(tc, networks_hold_their_addresses);
	tcase_add_test(tc, record_round_trips_and_refuses_damage);
	tcase_add_test(tc, ids_ascend_and_round_trip);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
