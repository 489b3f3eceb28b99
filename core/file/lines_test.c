/* SPDX-License-Identifier: Apache-2.0 */
/* lines_test.c - lists in files: their form, their changes, their absence. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <posthouse/lines.h>

#include "loop/fiber.h"

static char path[] = "/tmp/lines-test-XXXXXX";
static struct ph_arena *arena;
static void (*test)(void);

/* The clock is stepped: nothing waits. */
static bool
on_idle(void)
{
	return false;
}

static void
main_fiber(void *arg)
{
	(void)arg;
	test();
	fiber_runtime_stop();
}

static void
in_fiber(void (*fn)(void))
{
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	close(fd);
	arena = ph_arena_create(NULL);
	test = fn;
	fiber_runtime_init();
	fiber_clock_step(1000000, on_idle);
	fiber_start(main_fiber, NULL);
	fiber_runtime_run();
	fiber_runtime_fini();
	ph_arena_free(arena);
	unlink(path);
}

static void
put(const char *text)
{
	char beside[64];
	FILE *file;

	snprintf(beside, sizeof(beside), "%s.new", path);
	file = fopen(beside, "we");
	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
	ck_assert_int_eq(rename(beside, path), 0);
}

static const struct ph_lines *
get(void)
{
	const struct ph_lines *lines = NULL;
	struct ph_err err = { 0 };

	ck_assert_msg(ph_lines_read(arena, path, &lines, &err) == PH_OK, "%s",
	    err.text);
	return lines;
}

static bool
has(const struct ph_lines *lines, const char *text)
{
	return ph_lines_has(lines, ph_slice_str(text));
}

static void
form(void)
{
	const struct ph_lines *lines;

	put("# a list\n\n  one \r\nTwo\n\tthree words here\none\n# four\nlast");
	lines = get();
	ck_assert_uint_eq(ph_lines_count(lines), 5);
	ck_assert(ph_slice_eq(ph_lines_at(lines, 0), PH_LIT("one")));
	ck_assert(ph_slice_eq(ph_lines_at(lines, 4), PH_LIT("last")));
	ck_assert(has(lines, "ONE") && has(lines, "two"));
	ck_assert(has(lines, "three words here") && has(lines, "last"));
	ck_assert(!has(lines, "# four") && !has(lines, "four"));
	ck_assert(!has(lines, "") && !has(lines, "three"));
}

START_TEST(reads_entries_and_passes_over_comments)
{
	in_fiber(form);
}
END_TEST

static void
changes(void)
{
	const struct ph_lines *before, *after;

	put("old\n");
	before = get();
	put("new\n");
	ck_assert(has(get(), "old")); /* looked at a moment ago */
	ph_sleep_ms(1000);
	after = get();
	ck_assert(has(after, "new") && !has(after, "old"));
	ck_assert(has(before, "old") && !has(before, "new"));
	put("");
	ph_sleep_ms(1000);
	ck_assert_uint_eq(ph_lines_count(get()), 0);
	ck_assert(!has(get(), "new"));
}

START_TEST(reads_a_changed_file_again_and_keeps_what_was_given)
{
	in_fiber(changes);
}
END_TEST

static void
failures(void)
{
	const struct ph_lines *lines;
	struct ph_err err = { 0 };

	put("kept\n");
	ck_assert(has(get(), "kept"));
	unlink(path);
	ph_sleep_ms(1000);
	ck_assert(has(get(), "kept"));
	put("again\n");
	ph_sleep_ms(1000);
	ck_assert(has(get(), "again"));
	ck_assert_int_eq(ph_lines_read(arena, "/nowhere/at/all", &lines, &err),
	    PH_NOT_FOUND);
	ck_assert_ptr_nonnull(strstr(err.text, "/nowhere/at/all"));
	ck_assert_int_eq(ph_lines_read(arena, "/tmp", &lines, NULL),
	    PH_INVALID);
	ck_assert_int_eq(ph_lines_read(arena, "/dev/zero", &lines, NULL),
	    PH_INVALID);
}

START_TEST(goes_on_with_a_file_that_is_gone)
{
	in_fiber(failures);
}
END_TEST

static void
others(void)
{
	const struct ph_lines *lines;
	char other[32];

	put("mine\n");
	ck_assert(has(get(), "mine"));
	for (int i = 0; i < 200; i++) {
		snprintf(other, sizeof(other), "/nowhere/%d", i);
		ck_assert_int_eq(ph_lines_read(arena, other, &lines, NULL),
		    PH_NOT_FOUND);
	}
	ck_assert(has(get(), "mine"));
}

START_TEST(forgets_the_oldest_of_many_files)
{
	in_fiber(others);
}
END_TEST

static unsigned found;

static void
reader(void *arg)
{
	(void)arg;
	found += has(get(), "both");
}

static void
together(void)
{
	struct ph_scope scope;

	put("both\n");
	ph_scope_begin(&scope);
	for (int i = 0; i < 20; i++)
		ph_scope_spawn(&scope, reader, NULL);
	ck_assert_int_eq(ph_scope_wait(&scope), PH_OK);
	ph_scope_end(&scope);
	ck_assert_uint_eq(found, 20);
}

START_TEST(lets_many_fibers_ask_at_once)
{
	in_fiber(together);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("lines");
	TCase *tc = tcase_create("lines");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, reads_entries_and_passes_over_comments);
	tcase_add_test(tc,
	    reads_a_changed_file_again_and_keeps_what_was_given);
	tcase_add_test(tc, goes_on_with_a_file_that_is_gone);
	tcase_add_test(tc, forgets_the_oldest_of_many_files);
	tcase_add_test(tc, lets_many_fibers_ask_at_once);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
