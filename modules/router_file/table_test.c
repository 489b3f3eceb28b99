/* SPDX-License-Identifier: Apache-2.0 */
/* table_test.c - lines, targets, keys, and files that change. */
#include <check.h>
#include <posthouse/fiber.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "log/log.h"
#include "loop/fiber.h"
#include "lookup.h"
#include "source.h"

static struct ph_arena *arena;
static struct table table;

static void
setup(void)
{
	arena = ph_arena_create(NULL);
	table_init(&table, arena);
	log_init(2, PH_ERROR, "check");
}

static void
teardown(void)
{
	ph_arena_free(arena);
}

/* Targets of a key joined by "|", or "-". */
static const char *
found(const struct table_entry *entry)
{
	static char text[400];
	size_t n = 0;

	if (entry == NULL)
		return "-";
	for (size_t i = 0; i < entry->count; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%.*s",
		    i > 0 ? "|" : "", PH_SLICE_ARG(entry->targets[i]));
	return text;
}

static const char *
get(const char *key)
{
	return found(table_find(&table, ph_slice_str(key)));
}

START_TEST(reads_aliases)
{
	table_parse(&table, PH_LIT("# a comment\n"
	    "Root: alice\r\n"
	    "list: bob@x.test,\n\t\"odd, name\"@y.test ,carol\n"
	    "\n\"a b\" : dave\n"
	    "root: other\n"
	    "last:x"), TABLE_COLON, NULL, NULL);
	ck_assert_str_eq(get("root"), "alice");
	ck_assert_str_eq(get("list"), "bob@x.test|odd, name@y.test|carol");
	ck_assert_str_eq(get("a b"), "dave");
	ck_assert_str_eq(get("last"), "x");
	ck_assert_str_eq(get("las"), "-");
	ck_assert_str_eq(get(""), "-");
	ck_assert_uint_eq(table.problem_count, 0);
}
END_TEST

START_TEST(reads_addresses_as_they_are_written_in_headers)
{
	table_parse(&table, PH_LIT("a: <alice@x.test>, Carol <carol@x.test>\n"
	    "b: \"bob\"@x.test, dan (at home), \"Odd, Name\" <o@x.test>\n"
	    "c: \"a b\", u@[192.0.2.1], j\xc3\xb6@b\xc3\xbc.test, @x.test\n"
	    "\"k k\"@x.test: \"x\\\"y\"@x.test\n"
	    "d: one two, a@b@c, <x@y.test, g: a@x.test;, a@x..test, real@x.test\n"),
	    TABLE_COLON, NULL, NULL);
	ck_assert_str_eq(get("a"), "alice@x.test|carol@x.test");
	ck_assert_str_eq(get("b"), "bob@x.test|dan|o@x.test");
	ck_assert_str_eq(get("c"), "a b|u@[192.0.2.1]|"
	    "j\xc3\xb6@b\xc3\xbc.test|@x.test");
	ck_assert_str_eq(get("k k@x.test"), "x\"y@x.test");
	ck_assert_str_eq(get("d"), "real@x.test");
	ck_assert_uint_eq(table.problem_count, 5);
}
END_TEST

START_TEST(passes_over_what_is_wrong_and_tells)
{
	table_parse(&table, PH_LIT("no colon\nempty:\n: x\np: |/bin/sh\n"
	    "f: /var/mail/x, real\ni: :include:/x\n\"\":x\n"), TABLE_COLON,
	    NULL, NULL);
	ck_assert_str_eq(get("f"), "real");
	ck_assert_str_eq(get("p"), "-");
	ck_assert_str_eq(get("i"), "-");
	ck_assert_uint_eq(table.count, 1);
	ck_assert_uint_ge(table.problem_count, 6);
	ck_assert_ptr_nonnull(strstr(table.problems[0], "line 1"));
}
END_TEST

START_TEST(takes_any_octets)
{
	static const char octets[] = "a:,\"\n \t#@|/\\\r";

	for (unsigned round = 0; round < 20000; round++) {
		char *text = malloc(24); /* so that a reader behind is seen */
		size_t n = (size_t)rand() % 24;

		for (size_t i = 0; i < n; i++)
			text[i] = octets[(size_t)rand() % (sizeof(octets) - 1)];
		text = realloc(text, n + 1);
		table_init(&table, arena);
		table_parse(&table, (struct ph_slice){ text, n },
		    round % 2 != 0 ? TABLE_COLON : TABLE_SPACE, NULL, NULL);
		for (size_t i = 0; i < table.count; i++)
			ck_assert(table.entries[i].count > 0 &&
			    table.entries[i].key.n > 0);
		free(text);
	}
}
END_TEST

START_TEST(finds_the_most_exact_key)
{
	table_parse(&table, PH_LIT("a@x.test one\na+t@x.test two\n"
	    "@x.test all\na name\n"), TABLE_SPACE, NULL, NULL);
	ck_assert_str_eq(found(lookup_address(&table, arena,
	    PH_LIT("a@x.test"), true)), "one");
	ck_assert_str_eq(found(lookup_address(&table, arena,
	    PH_LIT("a+t@x.test"), true)), "two");
	ck_assert_str_eq(found(lookup_address(&table, arena,
	    PH_LIT("a+u@x.test"), true)), "one");
	ck_assert_str_eq(found(lookup_address(&table, arena,
	    PH_LIT("a+u@y.test"), true)), "name");
	ck_assert_str_eq(found(lookup_address(&table, arena,
	    PH_LIT("a@y.test"), false)), "-");
	ck_assert_str_eq(found(lookup_address(&table, arena,
	    PH_LIT("a"), true)), "name");
	ck_assert_str_eq(found(lookup_domain(&table, arena,
	    PH_LIT("z@x.test"))), "all");
	ck_assert_str_eq(found(lookup_domain(&table, arena, PH_LIT("z"))),
	    "-");
}
END_TEST

static void
write_file(const char *path, const char *text)
{
	FILE *out = fopen(path, "w");

	fputs(text, out);
	fclose(out);
}

static void
source_main(void *arg)
{
	char dir[] = "/tmp/router_file_test.XXXXXX", path[64], more[64];
	const struct table *now;
	struct source *source;

	(void)arg;
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/aliases", dir);
	snprintf(more, sizeof(more), "%s/list", dir);
	source = source_open(arena, path, TABLE_COLON);
	now = source_table(source);
	ck_assert_ptr_nonnull(now);
	ck_assert_uint_eq(now->count, 0);
	write_file(path, ph_arena_printf(arena, "a: :include:%s, x\n", more));
	write_file(more, "# who\nbob, carol@x.test\n:include:/etc/passwd\n");
	do
		ph_sleep_ms(20);
	while ((now = source_table(source))->count == 0);
	ck_assert_str_eq(found(table_find(now, PH_LIT("a"))),
	    "bob|carol@x.test|x");
	unlink(more);
	do
		ph_sleep_ms(20);
	while (!table_find((now = source_table(source)), PH_LIT("a"))
	            ->is_broken);
	unlink(path);
	rmdir(dir);
	fiber_runtime_stop();
}

START_TEST(reads_again_what_changed)
{
	fiber_runtime_init();
	fiber_start(source_main, NULL);
	fiber_runtime_run();
	fiber_runtime_fini();
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("router_file");
	TCase *tcase = tcase_create("tables");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, reads_aliases);
	tcase_add_test(tcase, reads_addresses_as_they_are_written_in_headers);
	tcase_add_test(tcase, passes_over_what_is_wrong_and_tells);
	tcase_add_test(tcase, takes_any_octets);
	tcase_add_test(tcase, finds_the_most_exact_key);
	tcase_add_test(tcase, reads_again_what_changed);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
