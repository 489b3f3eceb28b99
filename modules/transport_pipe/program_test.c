/* SPDX-License-Identifier: Apache-2.0 */
/* program_test.c - programs that succeed, fail, talk too much, never end. */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "loop/fiber.h"
#include "program.h"

static struct program_result result;
static const char *script;
static const char *path = "/bin/sh";
static unsigned limit_ms;
static struct program_limits limits;

static void
run_main(void *arg)
{
	const char *argv[] = { path, "-c", script, NULL };
	const char *environment[] = { "X=y", NULL };
	size_t n = 300000;
	char *input = malloc(n);

	(void)arg;
	memset(input, 'x', n);
	program_run(&(struct program){ .argv = argv,
	    .environment = environment, .timeout_ms = limit_ms,
	    .limits = limits }, (struct ph_slice){ input, n }, &result);
	free(input);
	fiber_runtime_stop();
}

static void
run(const char *text)
{
	script = text;
	fiber_runtime_init();
	fiber_start(run_main, NULL);
	fiber_runtime_run();
	fiber_runtime_fini();
}

START_TEST(tells_how_a_program_ended)
{
	limit_ms = 30000;
	run("wc -c; echo $X; exit 67");
	ck_assert_int_eq(result.end, PROGRAM_EXITED);
	ck_assert_int_eq(result.code, 67);
	ck_assert_str_eq(result.output, "300000 y ");
	run("exit 0"); /* which reads nothing */
	ck_assert_int_eq(result.end, PROGRAM_EXITED);
	ck_assert_int_eq(result.code, 0);
	run("kill -9 $$");
	ck_assert_int_eq(result.end, PROGRAM_KILLED);
	ck_assert_int_eq(result.code, SIGKILL);
	run("yes | head -c 1000000 || exit 75");
	ck_assert_int_eq(result.code, 0);
	ck_assert_uint_eq(strlen(result.output), PROGRAM_OUTPUT_MAX);
	path = "/nonexistent";
	run("");
	path = "/bin/sh";
	ck_assert_int_eq(result.end, PROGRAM_NOT_RUN);
	ck_assert_int_eq(result.code, ENOENT);
}
END_TEST

START_TEST(kills_what_takes_too_long)
{
	limit_ms = 100;
	run("sleep 600 & sleep 600");
	ck_assert_int_eq(result.end, PROGRAM_LATE);
}
END_TEST

START_TEST(bounds_a_program)
{
	limit_ms = 30000;
	limits = (struct program_limits){ .cpu_ms = 5000,
		.memory_bytes = 256 << 20, .file_size_bytes = 2 << 20,
		.open_files = 50, .processes = 3000 };
	run("echo $(ulimit -t) $(ulimit -v) $(ulimit -f) $(ulimit -n) "
	    "$(ulimit -p) $(ulimit -c)");
	ck_assert_str_eq(result.output, "6 262144 4096 50 3000 0 ");
	limits = (struct program_limits){ .open_files = 0 };
	run("ulimit -t");
	ck_assert_str_eq(result.output, "31 ");
}
END_TEST

START_TEST(knows_the_exit_codes)
{
	ck_assert_str_eq(program_exit_means(0), "2.0.0");
	ck_assert_str_eq(program_exit_means(67), "5.1.1");
	ck_assert_str_eq(program_exit_means(75), "4.3.0");
	ck_assert_str_eq(program_exit_means(78), "4.3.0");
	ck_assert_str_eq(program_exit_means(1), "4.3.0");
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("transport_pipe");
	TCase *tcase = tcase_create("programs");
	SRunner *runner;
	int failed;

	tcase_add_test(tcase, tells_how_a_program_ended);
	tcase_add_test(tcase, kills_what_takes_too_long);
	tcase_add_test(tcase, bounds_a_program);
	tcase_add_test(tcase, knows_the_exit_codes);
	suite_add_tcase(suite, tcase);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
