/* SPDX-License-Identifier: Apache-2.0 */
/* base_test.c - slices, arenas, buffers, addresses, records and ids. */
#include <check.h>
#include <dlfcn.h>
#include <idn2.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <posthouse/addr.h>
#include <posthouse/arena.h>
#include <posthouse/domain.h>

#include "base/hash.h"
#include "base/id.h"
#include "base/json.h"
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

START_TEST(lowers_ascii_and_nothing_else)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct ph_slice lower = ph_arena_lower(arena,
	    PH_LIT("@AZ[`az{\xc3\x84"));
	struct ph_buf buf;

	ck_assert(ph_slice_eq(lower, PH_LIT("@az[`az{\xc3\x84")));
	ck_assert_int_eq(lower.p[lower.n], '\0');
	ck_assert_ptr_null(ph_arena_lower(arena, (struct ph_slice){ 0 }).p);
	ph_buf_init(&buf, arena, 5);
	ph_buf_lower(&buf, PH_LIT("Ab"));
	ph_buf_lower(&buf, (struct ph_slice){ 0 });
	ph_buf_lower(&buf, PH_LIT("CDe"));
	ck_assert(ph_slice_eq(ph_buf_content(&buf), PH_LIT("abcde")));
	ph_buf_lower(&buf, PH_LIT("F"));
	ck_assert(buf.full && buf.n == 5);
	ph_arena_free(arena);
}
END_TEST

/* --- domains --- */

static unsigned idn_calls;

/* In the place of the library's, which it calls: who asks it is seen. */
int
idn2_to_ascii_8z(const char *input, char **output, int flags)
{
	int (*real)(const char *, char **, int);

	*(void **)&real = dlsym(RTLD_NEXT, "idn2_to_ascii_8z");
	ck_assert_ptr_nonnull(*(void **)&real);
	idn_calls++;
	return real(input, output, flags);
}

#define BUECHER "b\xc3\xbc" "cher.example"

static const struct {
	const char *domain, *canonical;
} domains[] = {
	{ "", "" },
	{ ".", "." },
	{ "Example.TEST.", "example.test" },
	{ "[IPv6:2001:DB8::1]", "[ipv6:2001:db8::1]" },
	{ "XN--Bcher-KVA.example", "xn--bcher-kva.example" },
	{ BUECHER, "xn--bcher-kva.example" },
	{ BUECHER ".", "xn--bcher-kva.example" },
	{ "B\xc3\x9c" "CHER.Example", "xn--bcher-kva.example" },
	{ "bu\xcc\x88" "cher.example", "xn--bcher-kva.example" }, /* NFD */
	{ "b\xc3\xbc" "cher\xe3\x80\x82" "example", /* ideographic stop */
	    "xn--bcher-kva.example" },
	{ "stra\xc3\x9f" "e.test", "xn--strae-oqa.test" }, /* not "strasse" */
	{ "\xef\xbd\x85xample.test", "example.test" }, /* full width */
	{ "exam\xc2\xadple.test", "example.test" }, /* a soft hyphen */
	/* What IDNA does not know stays, and is nobody else's. */
	{ "a\xef\xbc\xa0" "Example.test", "a\xef\xbc\xa0" "example.test" },
	{ "a\xe2\x84\x80.test", "a\xe2\x84\x80.test" }, /* "a/c" in one */
	{ "\xe2\x80\xae.test", "\xe2\x80\xae.test" },
	{ "\xc3.Test", "\xc3.test" },
	{ "a..\xc3\xbc", "a..\xc3\xbc" },
};

START_TEST(domains_have_one_form)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct ph_slice domain = ph_slice_str(domains[_i].domain);
	struct ph_slice wanted = ph_slice_str(domains[_i].canonical);
	struct ph_slice found = ph_domain_canonical(arena, domain);
	char text[100];

	ck_assert_msg(ph_slice_eq(found, wanted), "%s became %s",
	    domains[_i].domain, found.p);
	ck_assert(ph_domain_eq(domain, wanted));
	ck_assert(ph_domain_eq(wanted, domain));
	ck_assert(!ph_domain_eq(domain, PH_LIT("other.test")));
	ck_assert(ph_slice_eq(ph_domain_canonical(arena, found), found));
	snprintf(text, sizeof(text), "Jo@x@%s", domains[_i].domain);
	found = ph_address_fold(arena, ph_slice_str(text));
	ck_assert(ph_slice_starts_nocase(found, "jo@x@"));
	ck_assert(ph_slice_eq((struct ph_slice){ found.p + 5, found.n - 5 },
	    wanted));
	ck_assert_int_eq(found.p[found.n], '\0');
	ck_assert(ph_address_eq(ph_slice_str(text), found));
	ck_assert(!ph_address_eq(ph_slice_str(text + 1), found));
	ph_arena_free(arena);
}
END_TEST

START_TEST(patterns_of_domains_fit_below_their_dot)
{
	static const struct {
		const char *pattern, *domain;
		bool fits;
	} rows[] = {
		{ "example.test", "Example.Test.", true },
		{ "example.test", "a.example.test", false },
		{ ".example.test", "A.example.test.", true },
		{ ".example.test", "a.b.EXAMPLE.test", true },
		{ ".example.test", "example.test", false },
		{ ".example.test", "xexample.test", false },
		{ ".example.test", ".example.test", false },
		{ "." BUECHER, "a.xn--bcher-kva.example", true },
		{ ".xn--bcher-kva.example", "\xc3\xa4." BUECHER, true },
		{ ".example", BUECHER, true },
		{ BUECHER, "xn--bcher-kva.example", true },
		{ ".", "test", false },
		{ "", "test", false },
		{ ".test", "", false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		ck_assert_msg(ph_domain_fits(ph_slice_str(rows[i].pattern),
		    ph_slice_str(rows[i].domain)) == rows[i].fits, "%s %s",
		    rows[i].pattern, rows[i].domain);
}
END_TEST

START_TEST(asks_libidn2_only_outside_ascii)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	char odd[3000];

	idn_calls = 0;
	ph_domain_canonical(arena, PH_LIT("Mail.Example.TEST."));
	ph_domain_eq(PH_LIT("a.test"), PH_LIT("xn--bcher-kva.example"));
	ph_domain_fits(PH_LIT(".test"), PH_LIT("a.test"));
	ph_address_fold(arena, PH_LIT("Alice@Example.test"));
	/* a local part is none of its business */
	ph_address_eq(PH_LIT("j\xc3\xb6rg@a.test"), PH_LIT("x@a.test"));
	ck_assert_uint_eq(idn_calls, 0);
	ck_assert(ph_domain_eq(PH_LIT(BUECHER),
	    PH_LIT("xn--bcher-kva.example")));
	ck_assert_uint_eq(idn_calls, 1);
	/* Nor is what can be no domain at all. */
	memset(odd, 'a', sizeof(odd));
	memcpy(odd, "\xc3\xbc", 2);
	ck_assert_uint_eq(ph_domain_canonical(arena, (struct ph_slice){ odd,
	    sizeof(odd) }).n, sizeof(odd));
	odd[5] = '\0';
	ph_domain_canonical(arena, (struct ph_slice){ odd, 10 });
	ck_assert_uint_eq(idn_calls, 1);
	ph_arena_free(arena);
}
END_TEST

/* --- hashes --- */

START_TEST(hashes_as_siphash_is_published)
{
	static const struct {
		size_t n;
		uint64_t hash;
	} rows[] = { { 0, 0x726fdb47dd0e0e31u }, { 1, 0x74f839c593dc67fdu },
		{ 15, 0xa129ca6149be45e5u } };
	uint8_t key[HASH_KEY], octets[16];

	for (uint8_t i = 0; i < 16; i++)
		key[i] = octets[i] = i;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		ck_assert_uint_eq(hash_with(key, octets, rows[i].n),
		    rows[i].hash);
	ck_assert_uint_eq(hash_of("ab", 2), hash_of("ab", 2));
}
END_TEST

/* Domains that share a bucket by their CRC, which a sender can look for. */
START_TEST(chosen_names_share_no_bucket)
{
	enum { BUCKETS = 4096, NAMES = 256, MOST = 16 };
	static unsigned bucket[BUCKETS];
	unsigned found = 0;
	char name[32];

	for (unsigned i = 0; found < NAMES; i++) {
		int n = snprintf(name, sizeof(name), "%07u.test", i);

		if (record_crc(0, name, (size_t)n) % BUCKETS != 0)
			continue;
		found++;
		ck_assert_uint_lt(++bucket[hash_of(name, (size_t)n) % BUCKETS],
		    MOST);
	}
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

START_TEST(json_holds_what_strangers_wrote)
{
	static const struct {
		struct ph_slice text;
		const char *json;
	} cases[] = {
		{ PH_LIT(""), "\"\"" },
		{ PH_LIT("a\"b\\c/"), "\"a\\\"b\\\\c/\"" },
		{ PH_LIT("\r\n\t\0\x1b\x7f"),
		    "\"\\u000d\\u000a\\u0009\\u0000\\u001b\\u007f\"" },
		{ PH_LIT("gr\xc3\xbc\xc3\x9f \xf0\x9f\x93\xac"),
		    "\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x93\xac\"" },
		{ PH_LIT("\xff\xc3"), "\"\\ufffd\\ufffd\"" },
		{ PH_LIT("\xc0\x80"), "\"\\ufffd\\ufffd\"" }, /* overlong */
		{ PH_LIT("\xc2\x9b\xc2\xa0"), "\"\\u009b\xc2\xa0\"" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ph_buf buf;

		ph_buf_init(&buf, NULL, 1000);
		json_slice(&buf, cases[i].text);
		ph_buf_char(&buf, '\0');
		ck_assert_str_eq(buf.p, cases[i].json);
		ph_buf_fini(&buf);
	}
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
	tcase_add_test(tc, lowers_ascii_and_nothing_else);
	tcase_add_loop_test(tc, domains_have_one_form, 0,
	    sizeof(domains) / sizeof(domains[0]));
	tcase_add_test(tc, patterns_of_domains_fit_below_their_dot);
	tcase_add_test(tc, asks_libidn2_only_outside_ascii);
	tcase_add_test(tc, hashes_as_siphash_is_published);
	tcase_add_test(tc, chosen_names_share_no_bucket);
	tcase_add_test(tc, reads_numbers_within_their_range);
	tcase_add_test(tc, arena_runs_cleanups_in_reverse_and_ends_children);
	tcase_add_test(tc, buffer_stops_at_its_cap);
	tcase_add_test(tc, networks_hold_their_addresses);
	tcase_add_test(tc, record_round_trips_and_refuses_damage);
	tcase_add_test(tc, ids_ascend_and_round_trip);
	tcase_add_test(tc, json_holds_what_strangers_wrote);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
