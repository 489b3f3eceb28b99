/* SPDX-License-Identifier: Apache-2.0 */
/* check_greylist_test.c - keys, rows, and the days of a triplet. */
#include <check.h>
#include <stdlib.h>

#include <posthouse/kv.h>

#include "fake_check.h"
#include "triplet.h"

extern const struct ph_module check_greylist_LTX_ph_module;

/* As in check_greylist.c. */
struct grey_conf {
	unsigned delay_ms, window_ms, keep_ms, v4_bits, v6_bits, trust_after;
	const char *const *spare, *const *hosts;
	const char *hosts_file;
	struct ph_net_list exempt;
};

static const char *const spare[] = { "postmaster", "@open.test",
	"eve@example.test", NULL };
static const char *const hosts[] = { ".big.test", "one.test", NULL };
static const struct grey_conf usual = { 300000, 7200000, 864000000, 24, 64, 2,
	spare, hosts, "", { NULL, 0 } };

START_TEST(clients_of_one_network_are_one)
{
	static const struct {
		const char *addr;
		unsigned v4, v6;
		const char *network;
	} row[] = {
		{ "192.0.2.77", 24, 64, "192.0.2.0/24" },
		{ "192.0.2.77", 32, 64, "192.0.2.77/32" },
		{ "192.0.2.255", 25, 64, "192.0.2.128/25" },
		{ "192.0.2.77", 8, 64, "192.0.0.0/8" },
		{ "2001:db8:1:2:3:4:5:6", 24, 64, "2001:db8:1:2::/64" },
		{ "2001:db8:ffff::1", 24, 36, "2001:db8:f000::/36" },
		{ "2001:db8::1", 24, 128, "2001:db8::1/128" },
	};

	fake_check_begin();
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		fake_check_client(row[i].addr);
		ck_assert_str_eq(grey_network(fake_check.arena,
		    &fake_check.client, row[i].v4, row[i].v6), row[i].network);
	}
	fake_check_end();
}
END_TEST

static struct ph_slice
key(const char *sender, const char *recipient)
{
	return grey_key(fake_check.arena, "n", ph_slice_str(sender),
	    ph_slice_str(recipient));
}

START_TEST(keys_fold_case_and_numbers_and_fit)
{
	char a[300], b[300];

	fake_check_begin();
	ck_assert(ph_slice_eq(key("A@x.test", "B@y.test"),
	    PH_LIT("t n a@x.test b@y.test")));
	ck_assert(ph_slice_eq(key("bounce-12-345x@x1.test", "u1@y.test"),
	    PH_LIT("t n bounce-#-#x@x1.test u1@y.test")));
	ck_assert(ph_slice_eq(key("", "u@y.test"), PH_LIT("t n  u@y.test")));
	memset(a, 'a', sizeof(a));
	memset(b, 'a', sizeof(b));
	a[299] = b[299] = '\0';
	b[0] = 'b';
	ck_assert_uint_le(key(a, a).n, PH_KV_KEY_MAX);
	ck_assert(!ph_slice_eq(key(a, a), key(a, b)));
	ck_assert(!ph_slice_eq(key(a, a), key(b, a)));
	fake_check_end();
}
END_TEST

START_TEST(rows_are_read_back_and_others_refused)
{
	const struct grey_row rows[] = { { true, 0 }, { false, 1234567890 } };
	static const char *const wrong[] = { "", "p", "x1", "w-1", "w1x" };
	struct grey_row row;

	fake_check_begin();
	for (size_t i = 0; i < 2; i++) {
		ck_assert(grey_row_parse(grey_row_format(fake_check.arena,
		    &rows[i]), &row));
		ck_assert(row.has_passed == rows[i].has_passed);
		ck_assert_int_eq(row.since_s, rows[i].since_s);
	}
	for (size_t i = 0; i < 5; i++)
		ck_assert(!grey_row_parse(ph_slice_str(wrong[i]), &row));
	fake_check_end();
}
END_TEST

static enum ph_verdict
try_with(const struct grey_conf *conf, const char *sender,
    const char *recipient)
{
	fake_check_session();
	fake_check.sender = sender;
	fake_check.recipient = recipient;
	return check_greylist_LTX_ph_module.check->at[PH_AT_RCPT](fake_call,
	    conf);
}

static enum ph_verdict
try(const char *sender, const char *recipient)
{
	return try_with(&usual, sender, recipient);
}

START_TEST(who_comes_back_in_time_is_let_in)
{
	fake_check_begin();
	ck_assert_int_eq(try("x@a.test", "bob@example.test"), PH_DEFER);
	ck_assert_int_eq(fake_check.code, 451);
	fake_check.wall_s += 299;
	ck_assert_int_eq(try("x@a.test", "bob@example.test"), PH_DEFER);
	ck_assert_str_eq(fake_check.text,
	    "greylisted, please try again in 1 seconds");
	ck_assert_int_eq(try("x@a.test", "eva@example.test"), PH_DEFER);
	fake_check.wall_s += 1;
	fake_check_client("192.0.2.99"); /* the same network */
	ck_assert_int_eq(try("X@A.test", "bob@example.test"), PH_NEXT);
	ck_assert_str_eq(fake_check.text, "came back after 300 seconds");
	ck_assert_int_eq(try("x@a.test", "bob@example.test"), PH_NEXT);
	fake_check_client("198.51.100.1");
	ck_assert_int_eq(try("x@a.test", "bob@example.test"), PH_DEFER);
	fake_check_client("192.0.2.1");
	fake_check.wall_s += 8 * 86400; /* each mail renews */
	ck_assert_int_eq(try("x@a.test", "bob@example.test"), PH_NEXT);
	fake_check.wall_s += 8 * 86400;
	ck_assert_int_eq(try("x@a.test", "bob@example.test"), PH_NEXT);
	fake_check.wall_s += 11 * 86400;
	ck_assert_int_eq(try("x@a.test", "bob@example.test"), PH_DEFER);
	fake_check.wall_s += 7201; /* too late: it begins anew */
	ck_assert_int_eq(try("x@a.test", "bob@example.test"), PH_DEFER);
	fake_check_end();
}
END_TEST

START_TEST(known_hosts_are_not_put_off)
{
	static const struct {
		const char *client;
		enum ph_verdict verdict;
	} row[] = {
		{ "192.0.2.1", PH_NEXT },      /* a.big.test */
		{ "198.51.100.2", PH_NEXT },   /* one.test */
		{ "203.0.113.3", PH_DEFER },   /* below one.test */
		{ "203.0.114.4", PH_DEFER },   /* it says it is a.big.test */
		{ "203.0.115.5", PH_DEFER },   /* no name */
	};

	fake_check_begin();
	fake_check.zone = "1.2.0.192.in-addr.arpa PTR a.big.test\n"
	    "a.big.test A 192.0.2.1\n"
	    "2.100.51.198.in-addr.arpa PTR one.test\n"
	    "one.test A 198.51.100.2\n"
	    "3.113.0.203.in-addr.arpa PTR x.one.test\n"
	    "x.one.test A 203.0.113.3\n"
	    "4.114.0.203.in-addr.arpa PTR a.big.test\n";
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		fake_check_client(row[i].client);
		ck_assert_msg(try("x@a.test", "bob@example.test") ==
		    row[i].verdict, "%s", row[i].client);
	}
	fake_check_end();
}
END_TEST

START_TEST(a_network_that_always_comes_back_is_trusted)
{
	fake_check_begin();
	try("x@a.test", "bob@example.test");
	try("y@a.test", "bob@example.test");
	fake_check.wall_s += 300;
	ck_assert_int_eq(try("x@a.test", "bob@example.test"), PH_NEXT);
	ck_assert_int_eq(try("z@a.test", "bob@example.test"), PH_DEFER);
	ck_assert_int_eq(try("y@a.test", "bob@example.test"), PH_NEXT);
	fake_check.kv_trips = 0;
	for (unsigned i = 0; i < 5; i++) { /* as long as mail comes */
		ck_assert_int_eq(try("new@a.test", "bob@example.test"),
		    PH_NEXT);
		fake_check.wall_s += 6 * 86400;
	}
	ck_assert_uint_eq(fake_check.kv_trips, 5 + 4); /* it was renewed */
	ck_assert_int_eq(try("new@a.test", "bob@example.test"), PH_NEXT);
	fake_check.wall_s += 11 * 86400;
	ck_assert_int_eq(try("new@a.test", "bob@example.test"), PH_DEFER);
	fake_check_end();
}
END_TEST

START_TEST(each_mail_renews_what_is_kept_for_hours)
{
	struct grey_conf hours = usual;

	hours.keep_ms = 3600000;
	fake_check_begin();
	for (unsigned i = 0; i < 2; i++) {
		hours.trust_after = i;
		ck_assert_int_eq(try_with(&hours, "x@a.test",
		    "bob@example.test"), PH_DEFER);
		for (unsigned k = 0; k < 5; k++) {
			fake_check.wall_s += 1800;
			ck_assert_int_eq(try_with(&hours, "x@a.test",
			    "bob@example.test"), PH_NEXT);
		}
		fake_check.wall_s += 3601;
	}
	fake_check_end();
}
END_TEST

START_TEST(some_are_never_put_off)
{
	fake_check_begin();
	ck_assert_int_eq(try("x@a.test", "Postmaster@example.test"), PH_NEXT);
	ck_assert_int_eq(try("x@a.test", "postmaster"), PH_NEXT);
	ck_assert_int_eq(try("x@a.test", "any@OPEN.test"), PH_NEXT);
	ck_assert_int_eq(try("x@a.test", "eve@example.test"), PH_NEXT);
	ck_assert_int_eq(try("x@a.test", "eve@other.test"), PH_DEFER);
	fake_check.kv_status = PH_UNAVAILABLE;
	ck_assert_int_eq(try("x@a.test", "bob@example.test"), PH_NEXT);
	fake_check.kv_status = PH_OK;
	fake_check.user = "alice@example.test";
	ck_assert_int_eq(try("x@a.test", "bob@example.test"), PH_NEXT);
	fake_check_end();
}
END_TEST

int
main(void)
{
	TCase *tc = tcase_create("check_greylist");

	tcase_add_test(tc, clients_of_one_network_are_one);
	tcase_add_test(tc, keys_fold_case_and_numbers_and_fit);
	tcase_add_test(tc, rows_are_read_back_and_others_refused);
	tcase_add_test(tc, who_comes_back_in_time_is_let_in);
	tcase_add_test(tc, known_hosts_are_not_put_off);
	tcase_add_test(tc, a_network_that_always_comes_back_is_trusted);
	tcase_add_test(tc, each_mail_renews_what_is_kept_for_hours);
	tcase_add_test(tc, some_are_never_put_off);
	return fake_check_run(tc);
}
