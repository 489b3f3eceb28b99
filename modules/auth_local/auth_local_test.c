/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth_local_test.c - the users file parsed and edited, hashes, the cache, and
 * the module as the auth role uses it.
 */
#include <check.h>
#include <fcntl.h>
#include <posthouse/auth.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cache.h"
#include "edit.h"
#include "file.h"
#include "hash.h"
#include "users.h"

/* "secret", as openssl passwd makes it */
#define HASH5 "$5$sandboxsalt$ASPQK22kZaNQu0VOork8EwbdUqzs/xyOw68K3CpJHsC"
#define HASHY "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7"

extern const struct ph_module auth_local_LTX_ph_module;

static struct ph_arena *arena;

static void
set_up(void)
{
	arena = ph_arena_create(NULL);
}

static void
tear_down(void)
{
	ph_arena_free(arena);
}

/* --- lines --- */

static const struct {
	const char *line;
	enum users_line_kind kind;
} lines[] = {
	{ "alice@example.test:" HASH5, USERS_USER },
	{ "  alice@example.test : " HASH5 "  \r", USERS_USER },
	{ "alice@example.test:" HASHY ":info@example.test,x@y.test",
	    USERS_USER },
	{ "alice@example.test:!", USERS_USER },
	{ "alice@example.test:*" HASH5, USERS_USER },
	{ "a.b+c@example.test:" HASH5, USERS_USER },
	{ "\xc3\xbc@example.test:" HASH5, USERS_USER },
	{ "", USERS_BLANK },
	{ "   \t", USERS_BLANK },
	{ "# alice@example.test:" HASH5, USERS_BLANK },
	{ "alice@example.test", USERS_WRONG },
	{ "alice:" HASH5, USERS_WRONG },
	{ "@example.test:" HASH5, USERS_WRONG },
	{ "alice@:" HASH5, USERS_WRONG },
	{ "al ice@example.test:" HASH5, USERS_WRONG },
	{ ".alice@example.test:" HASH5, USERS_WRONG },
	{ "alice.@example.test:" HASH5, USERS_WRONG },
	{ "al..ice@example.test:" HASH5, USERS_WRONG },
	{ "../alice@example.test:" HASH5, USERS_WRONG },
	{ "a/b@example.test:" HASH5, USERS_WRONG },
	{ "a@b@example.test:" HASH5, USERS_WRONG },
	{ "alice@exa mple.test:" HASH5, USERS_WRONG },
	{ "alice@../example.test:" HASH5, USERS_WRONG },
	{ "alice@example.test:", USERS_WRONG },
	{ "alice@example.test:secret", USERS_WRONG },
	{ "alice@example.test:$9$what$x", USERS_WRONG },
	{ "alice@example.test:" HASH5 ":a@b.test:/home/alice", USERS_WRONG },
};

START_TEST(takes_lines_apart)
{
	struct users_line parts;
	const char *why;
	enum users_line_kind kind = users_parse_line(
	    ph_slice_str(lines[_i].line), &parts, &why);

	ck_assert_msg(kind == lines[_i].kind, "%s: %d %s", lines[_i].line,
	    kind, why != NULL ? why : "");
	ck_assert_int_eq(why != NULL, kind == USERS_WRONG);
}
END_TEST

/* --- the table --- */

static struct users *
parse(const char *text)
{
	return users_parse(arena, ph_slice_str(text), 42);
}

static const char *
found(const struct users *users, const char *address)
{
	const struct users_entry *entry = users_find(users,
	    ph_slice_str(address));

	return entry == NULL ? "" : ph_arena_printf(arena, PH_SLICE_FMT,
	    PH_SLICE_ARG(entry->name));
}

START_TEST(finds_users_and_aliases)
{
	struct users *users = parse("# users\n"
	    "Alice@Example.test:" HASH5 ":Info@example.test, a@example.test,\n"
	    "bob@example.test:" HASH5);

	ck_assert_uint_eq(users->count, 2);
	ck_assert_uint_eq(users->error_count, 0);
	ck_assert_str_eq(found(users, "alice@example.test"),
	    "alice@example.test");
	ck_assert_str_eq(found(users, "info@example.test"),
	    "alice@example.test");
	ck_assert_str_eq(found(users, "a@example.test"), "alice@example.test");
	ck_assert_str_eq(found(users, "bob@example.test"), "bob@example.test");
	ck_assert_str_eq(found(users, "eve@example.test"), "");
	ck_assert_str_eq(found(users, ""), "");
}
END_TEST

START_TEST(an_alias_never_hides_a_user)
{
	struct users *users = parse(
	    "alice@example.test:" HASH5 ":bob@example.test,c@example.test\n"
	    "bob@example.test:" HASH5 ":c@example.test,bad alias\n"
	    "ALICE@example.test:" HASHY "\n");

	ck_assert_str_eq(found(users, "bob@example.test"), "bob@example.test");
	ck_assert_str_eq(found(users, "c@example.test"), "alice@example.test");
	ck_assert(ph_slice_eq(users_find(users, PH_LIT("alice@example.test"))
	                          ->hash,
	    PH_LIT(HASH5)));
	ck_assert_uint_eq(users->count, 2);
	ck_assert_uint_eq(users->error_count, 4);
	ck_assert_uint_eq(users->errors[0].line, 3);
	ck_assert_uint_eq(users->errors[1].line, 1);
}
END_TEST

START_TEST(skips_wrong_lines_and_counts_them)
{
	char text[4096] = "";
	struct users *users;

	for (int i = 0; i < 50; i++)
		strcat(text, "wrong\n");
	strcat(text, "alice@example.test:" HASH5 "\n");
	users = parse(text);
	ck_assert_uint_eq(users->error_count, 50);
	ck_assert_str_eq(found(users, "alice@example.test"),
	    "alice@example.test");
}
END_TEST

START_TEST(survives_any_cut_of_a_file)
{
	static const char text[] = "a@b.test:" HASH5 ":x@y.test,z@y.test\n#\n"
	                           "c@b.test:" HASHY "\n:\n,,:\n\n";

	for (size_t n = 0; n < sizeof(text); n++) {
		char *cut = malloc(n + 1); /* the sanitizer sees its end */

		memcpy(cut, text, n);
		users_parse(arena, (struct ph_slice){ cut, n }, n);
		free(cut);
	}
}
END_TEST

START_TEST(an_unknown_user_costs_what_most_do)
{
	struct users *users = parse("a@b.test:" HASHY "\nb@b.test:" HASH5 "\n"
	                            "c@b.test:" HASH5 "\nd@b.test:!\n");

	ck_assert_str_eq(users->usual_hash, HASH5);
	ck_assert_str_eq(parse("a@b.test:!\n")->usual_hash, "");
	ck_assert_str_eq(parse("a@b.test:" HASHY "\n")->usual_hash, HASHY);
}
END_TEST

START_TEST(finds_in_a_large_table)
{
	struct ph_buf text;
	struct users *users;
	char name[64];

	ph_buf_init(&text, arena, 8 << 20);
	for (int i = 0; i < 20000; i++)
		ph_buf_printf(&text, "u%d@example.test:%s\n", i, HASH5);
	users = users_parse(arena, ph_buf_content(&text), 1);
	ck_assert_uint_eq(users->count, 20000);
	for (int i = 0; i < 20000; i++) {
		snprintf(name, sizeof(name), "u%d@example.test", i);
		ck_assert_ptr_nonnull(users_find(users, ph_slice_str(name)));
	}
	ck_assert_ptr_null(users_find(users, PH_LIT("u20000@example.test")));
}
END_TEST

/* --- edits --- */

static const struct {
	char op; /* add, passwd, del */
	const char *text, *name;
	int status;
	const char *result;
} edits[] = {
	{ 'a', "", "a@b.test", PH_OK, "a@b.test:$5$n\n" },
	{ 'a', "# hi", "a@b.test", PH_OK, "# hi\na@b.test:$5$n\n" },
	{ 'a', "A@B.test:!\n", "a@b.test", PH_EXISTS, "" },
	{ 'a', "x@b.test:!:c@b.test, A@b.test\n", "a@b.test", PH_EXISTS, "" },
	{ 'p', "# x\n a@b.test : ! :c@b.test\r\nb@b.test:!", "a@b.test", PH_OK,
	    "# x\n a@b.test : $5$n :c@b.test\r\nb@b.test:!" },
	{ 'p', "aa@b.test:!\n", "a@b.test", PH_NOT_FOUND, "" },
	{ 'd', "# x\nA@b.test:!\nwrong\nb@b.test:!\n", "a@b.test", PH_OK,
	    "# x\nwrong\nb@b.test:!\n" },
	{ 'd', "a@b.test:!\nb@b.test:!\na@b.test:*\n", "a@b.test", PH_OK,
	    "b@b.test:!\n" },
	{ 'd', "#a@b.test:!\n", "a@b.test", PH_NOT_FOUND, "" },
};

START_TEST(edits_one_line_and_leaves_the_rest)
{
	struct ph_slice text = ph_slice_str(edits[_i].text);
	struct ph_slice name = ph_slice_str(edits[_i].name);
	struct ph_buf out;
	int status;

	ph_buf_init(&out, arena, 4096);
	if (edits[_i].op == 'a')
		status = edit_add(text, name, PH_LIT("$5$n"), &out);
	else if (edits[_i].op == 'p')
		status = edit_passwd(text, name, PH_LIT("$5$n"), &out);
	else
		status = edit_del(text, name, &out);
	ck_assert_int_eq(status, edits[_i].status);
	if (status == PH_OK)
		ck_assert(ph_slice_eq(ph_buf_content(&out),
		    ph_slice_str(edits[_i].result)));
}
END_TEST

START_TEST(an_edit_stops_at_the_limit)
{
	struct ph_buf out;

	ph_buf_init(&out, arena, 10);
	ck_assert_int_eq(edit_add(PH_LIT("# comment\n"), PH_LIT("a@b.test"),
	                     PH_LIT("$5$n"), &out),
	    PH_TOO_BIG);
}
END_TEST

/* --- hashes and the cache --- */

START_TEST(makes_and_checks_hashes)
{
	char hash[HASH_TEXT_MAX];

	ck_assert(hash_make("secret", (enum hash_scheme)_i, hash));
	ck_assert(hash_is_usable(ph_slice_str(hash)));
	ck_assert(hash_fits("secret", hash));
	ck_assert(!hash_fits("Secret", hash));
	ck_assert(!hash_fits("", hash));
}
END_TEST

START_TEST(a_salt_alone_fits_no_password)
{
	ck_assert(!hash_fits("secret", "$5$sandboxsalt$"));
	ck_assert(!hash_fits("secret", "$9$"));
	ck_assert(!hash_fits("secret", ""));
}
END_TEST

START_TEST(the_cache_keeps_what_decides)
{
	struct cache *cache = cache_create(arena, 1000);
	uint8_t mac[CACHE_MAC_SIZE], other[CACHE_MAC_SIZE];

	cache_mac(cache, PH_LIT("ab"), PH_LIT("c"), PH_LIT("h"), mac);
	cache_put(cache, mac, 100);
	ck_assert(cache_has(cache, mac, 1099));
	ck_assert(!cache_has(cache, mac, 1100));
	cache_mac(cache, PH_LIT("a"), PH_LIT("bc"), PH_LIT("h"), other);
	ck_assert(!cache_has(cache, other, 100));
	cache_mac(cache, PH_LIT("ab"), PH_LIT("c"), PH_LIT("i"), other);
	ck_assert(!cache_has(cache, other, 100));
	cache_mac(cache_create(arena, 1000), PH_LIT("ab"), PH_LIT("c"),
	    PH_LIT("h"), other);
	ck_assert_mem_ne(mac, other, sizeof(mac));
	cache = cache_create(arena, 0);
	cache_put(cache, mac, 100);
	ck_assert(!cache_has(cache, mac, 100));
}
END_TEST

/* --- the module --- */

/* As the option table lays it out. */
struct test_conf {
	const char *file;
	unsigned scheme, cache_ms;
};

static char folder[] = "/tmp/auth_local_test.XXXXXX";
static struct test_conf conf;
static const struct ph_auth_ops *ops;
static struct ph_auth *auth;

static void
write_users(const char *text)
{
	static time_t stamp = 1000000000; /* old enough, and always another */
	struct timespec times[2] = { { stamp, 0 }, { stamp, 0 } };
	FILE *f = fopen(conf.file, "w");

	stamp++;
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
	chmod(conf.file, 0640);
	ck_assert_int_eq(utimensat(AT_FDCWD, conf.file, times, 0), 0);
}

static void
open_module(void)
{
	struct ph_err err = { 0 };

	ops = auth_local_LTX_ph_module.auth;
	ck_assert_msg(ops->open(arena, &conf, &auth, &err) == PH_OK, "%s",
	    err.text);
}

static void
set_up_module(void)
{
	set_up();
	ck_assert_ptr_nonnull(mkdtemp(folder));
	conf.file = ph_arena_printf(arena, "%s/users", folder);
	conf.scheme = HASH_SHA256;
	conf.cache_ms = 60000;
}

static void
tear_down_module(void)
{
	if (auth != NULL)
		ops->close(auth);
	unlink(conf.file);
	unlink(ph_arena_printf(arena, "%s.lock", conf.file));
	rmdir(folder);
	tear_down();
}

static enum ph_user_answer
verify(const char *user, const char *password)
{
	return ops->verify(auth, arena, ph_slice_str(user),
	    ph_slice_str(password));
}

static const char *
lookup(const char *address)
{
	struct ph_user user;

	switch (ops->lookup(auth, arena, ph_slice_str(address), &user)) {
	case PH_USER_OK:
		return ph_arena_printf(arena, PH_SLICE_FMT,
		    PH_SLICE_ARG(user.name));
	case PH_USER_UNSURE:
		return "unsure";
	default:
		return "unknown";
	}
}

START_TEST(verifies_passwords)
{
	write_users("alice@example.test:" HASH5 ":info@example.test\n"
	            "bob@example.test:!" HASH5 "\n");
	open_module();
	for (int i = 0; i < 2; i++) { /* the second from the cache */
		ck_assert_int_eq(verify("alice@example.test", "secret"),
		    PH_USER_OK);
		ck_assert_int_eq(verify("alice@example.test", "Secret"),
		    PH_USER_WRONG);
		ck_assert_int_eq(verify("alice@example.test", ""),
		    PH_USER_WRONG);
		ck_assert_int_eq(verify("bob@example.test", "secret"),
		    PH_USER_WRONG);
		ck_assert_int_eq(verify("eve@example.test", "secret"),
		    PH_USER_UNKNOWN);
		/* an alias takes mail, not logins */
		ck_assert_int_eq(verify("info@example.test", "secret"),
		    PH_USER_UNKNOWN);
	}
	ck_assert_str_eq(lookup("info@example.test"), "alice@example.test");
	ck_assert_str_eq(lookup("eve@example.test"), "unknown");
}
END_TEST

START_TEST(refuses_passwords_that_crypt_would_cut)
{
	char big[1025];

	write_users("alice@example.test:" HASH5 "\n");
	open_module();
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	ck_assert_int_eq(verify("alice@example.test", big), PH_USER_WRONG);
}
END_TEST

START_TEST(adds_changes_and_deletes_users)
{
	struct ph_slice user = PH_LIT("dora@example.test");
	const struct ph_user *users;
	struct ph_err err = { 0 };
	struct stat st;
	size_t count;

	open_module(); /* there is no file yet */
	ck_assert_str_eq(lookup("dora@example.test"), "unknown");
	ck_assert_int_eq(verify("dora@example.test", "one"), PH_USER_UNKNOWN);
	ck_assert_int_eq(ops->add(auth, arena, user, PH_LIT("one"), &err),
	    PH_OK);
	ck_assert_int_eq(verify("dora@example.test", "one"), PH_USER_OK);
	ck_assert_int_eq(stat(conf.file, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	ck_assert_int_eq(ops->add(auth, arena, user, PH_LIT("two"), &err),
	    PH_EXISTS);
	ck_assert_int_eq(ops->passwd(auth, arena, user, PH_LIT("two"), &err),
	    PH_OK);
	ck_assert_int_eq(verify("dora@example.test", "one"), PH_USER_WRONG);
	ck_assert_int_eq(verify("dora@example.test", "two"), PH_USER_OK);
	ck_assert_int_eq(ops->list(auth, arena, &users, &count, &err), PH_OK);
	ck_assert_uint_eq(count, 1);
	ck_assert(ph_slice_eq(users[0].name, user));
	ck_assert_int_eq(ops->del(auth, arena, user, &err), PH_OK);
	ck_assert_int_eq(verify("dora@example.test", "two"), PH_USER_UNKNOWN);
	ck_assert_int_eq(ops->del(auth, arena, user, &err), PH_NOT_FOUND);
	ck_assert_int_eq(ops->passwd(auth, arena, user, PH_LIT("x"), &err),
	    PH_NOT_FOUND);
	ck_assert_int_eq(ops->add(auth, arena, PH_LIT("a:b@example.test"),
	                     PH_LIT("x"), &err),
	    PH_INVALID);
	/* a second server process sees the same */
	ck_assert_int_eq(ops->add(auth, arena, user, PH_LIT("one"), &err),
	    PH_OK);
	ops->close(auth);
	open_module();
	ck_assert_int_eq(verify("dora@example.test", "one"), PH_USER_OK);
}
END_TEST

START_TEST(keeps_mode_and_links_of_the_file)
{
	struct ph_slice user = PH_LIT("dora@example.test");
	const char *link = ph_arena_printf(arena, "%s/link", folder);
	const char *real = conf.file;
	struct ph_err err = { 0 };
	struct stat st;

	write_users("# kept\n");
	ck_assert_int_eq(symlink(real, link), 0);
	conf.file = link;
	open_module();
	ck_assert_int_eq(ops->add(auth, arena, user, PH_LIT("one"), &err),
	    PH_OK);
	ck_assert_int_eq(lstat(link, &st), 0);
	ck_assert(S_ISLNK(st.st_mode));
	ck_assert_int_eq(stat(real, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0640);
	ck_assert_str_eq(lookup("dora@example.test"), "dora@example.test");
	unlink(link);
	conf.file = real;
}
END_TEST

START_TEST(sees_changes_of_the_file)
{
	write_users("alice@example.test:" HASH5 "\n");
	open_module();
	ck_assert_str_eq(lookup("bob@example.test"), "unknown");
	write_users("bob@example.test:" HASH5 "\n");
	while (strcmp(lookup("bob@example.test"), "unknown") == 0)
		usleep(20000);
	ck_assert_str_eq(lookup("bob@example.test"), "bob@example.test");
	ck_assert_int_eq(verify("alice@example.test", "secret"),
	    PH_USER_UNKNOWN);
}
END_TEST

START_TEST(can_not_tell_when_the_file_is_gone)
{
	write_users("alice@example.test:" HASH5 "\n");
	open_module();
	unlink(conf.file);
	while (strcmp(lookup("alice@example.test"), "unsure") != 0)
		usleep(20000);
	ck_assert_int_eq(verify("alice@example.test", "secret"),
	    PH_USER_UNSURE);
	write_users("alice@example.test:" HASH5 "\n");
	while (strcmp(lookup("alice@example.test"), "unsure") == 0)
		usleep(20000);
	ck_assert_int_eq(verify("alice@example.test", "secret"), PH_USER_OK);
}
END_TEST

START_TEST(can_not_tell_when_the_file_is_none)
{
	ck_assert_int_eq(mkdir(conf.file, 0700), 0);
	open_module();
	ck_assert_str_eq(lookup("alice@example.test"), "unsure");
	rmdir(conf.file);
}
END_TEST

static Suite *
local_suite(void)
{
	Suite *suite = suite_create("auth_local");
	TCase *parts = tcase_create("parts"), *module = tcase_create("module");

	tcase_add_checked_fixture(parts, set_up, tear_down);
	tcase_add_loop_test(parts, takes_lines_apart, 0,
	    sizeof(lines) / sizeof(lines[0]));
	tcase_add_test(parts, finds_users_and_aliases);
	tcase_add_test(parts, an_alias_never_hides_a_user);
	tcase_add_test(parts, skips_wrong_lines_and_counts_them);
	tcase_add_test(parts, survives_any_cut_of_a_file);
	tcase_add_test(parts, an_unknown_user_costs_what_most_do);
	tcase_add_test(parts, finds_in_a_large_table);
	tcase_add_loop_test(parts, edits_one_line_and_leaves_the_rest, 0,
	    sizeof(edits) / sizeof(edits[0]));
	tcase_add_test(parts, an_edit_stops_at_the_limit);
	tcase_add_loop_test(parts, makes_and_checks_hashes, 0, 4);
	tcase_add_test(parts, a_salt_alone_fits_no_password);
	tcase_add_test(parts, the_cache_keeps_what_decides);
	tcase_add_checked_fixture(module, set_up_module, tear_down_module);
	tcase_add_test(module, verifies_passwords);
	tcase_add_test(module, refuses_passwords_that_crypt_would_cut);
	tcase_add_test(module, adds_changes_and_deletes_users);
	tcase_add_test(module, keeps_mode_and_links_of_the_file);
	tcase_add_test(module, sees_changes_of_the_file);
	tcase_add_test(module, can_not_tell_when_the_file_is_gone);
	tcase_add_test(module, can_not_tell_when_the_file_is_none);
	suite_add_tcase(suite, parts);
	suite_add_tcase(suite, module);
	return suite;
}

int
main(void)
{
	SRunner *runner = srunner_create(local_suite());
	int failed;

	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
