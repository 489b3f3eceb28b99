/* SPDX-License-Identifier: Apache-2.0 */
/* conf_test.c - merging, values, errors with their lines, the record. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/core_conf.h"

static struct ph_arena *arena;
static char dir[64];
static struct conf_errors errors;

static void
setup(void)
{
	char path[128];

	arena = ph_arena_create(NULL);
	errors = (struct conf_errors){ .arena = arena };
	snprintf(dir, sizeof(dir), "/tmp/conf_test.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/conf.d", dir);
	mkdir(path, 0700);
}

static void
teardown(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	ck_assert_int_eq(system(command), 0);
	ph_arena_free(arena);
}

static void
put(const char *name, const char *text)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	fputs(text, file);
	fclose(file);
}

static struct conf *
load(void)
{
	struct conf *conf = NULL;

	conf_load(arena, ph_arena_printf(arena, "%s/main.conf", dir), &conf,
	    &errors);
	return conf;
}

static void
expect_error(size_t i, const char *file, unsigned line, const char *part)
{
	ck_assert_uint_lt(i, errors.count);
	ck_assert_msg(strstr(errors.error[i].text, part) != NULL, "%s",
	    errors.error[i].text);
	ck_assert_uint_eq(errors.error[i].line, line);
	ck_assert(strstr(errors.error[i].file, file) != NULL);
}

START_TEST(merges_files_by_name)
{
	struct conf *conf;
	struct conf_section *a;

	put("main.conf", "hostname = \"one\";\na: { x = 1; y = 2; };\n");
	put("conf.d/20-b.conf", "a: { y = 4; };");
	put("conf.d/10-a.conf", "\n\na: { y = 3; z = true; };");
	put("conf.d/.hidden.conf", "broken");
	put("conf.d/other.txt", "broken");
	conf = load();
	ck_assert_ptr_nonnull(conf);
	a = conf_section(conf, "a");
	ck_assert_int_eq(conf_setting(a, "x")->number, 1);
	ck_assert_int_eq(conf_setting(a, "y")->number, 4);
	ck_assert_uint_eq(conf_setting(a, "z")->line, 3);
	ck_assert(strstr(conf_setting(a, "z")->file, "10-a.conf") != NULL);
}
END_TEST

START_TEST(tells_file_and_line_of_a_syntax_error)
{
	put("main.conf", "hostname = \"one\";\n");
	put("conf.d/10-a.conf", "a: {\n x = ;\n};");
	ck_assert_ptr_null(load());
	expect_error(0, "10-a.conf", 2, "syntax error");
}
END_TEST

struct sample {
	unsigned number, wait_ms, choice;
	uint64_t size;
	bool flag;
	const char *text, *path;
	const char *const *list, *const *paths;
	struct ph_net_list nets;
};
static const char *const choices[] = { "red", "green", NULL };
static const struct ph_option sample_options[] = {
	PH_OPT_UINT("number", struct sample, number, 1, 10, "5", "n"),
	PH_OPT_MSEC("wait", struct sample, wait_ms, 0, 60000, "3s", "w"),
	PH_OPT_BYTES("size", struct sample, size, 0, 1 << 20, "64K", "s"),
	PH_OPT_BOOL("flag", struct sample, flag, "true", "f"),
	PH_OPT_STRING("text", struct sample, text, 1, 5, "abc", "t"),
	PH_OPT_PATH("path", struct sample, path, "/x", "p"),
	PH_OPT_LIST("list", struct sample, list, 1, 2, "[\"a\", \"b\"]", "l"),
	PH_OPT_PATHS("paths", struct sample, paths, 0, 2, "[\"/a\"]", "q"),
	PH_OPT_NETS("nets", struct sample, nets, 0, 9, "[\"10.0.0.0/8\"]",
	    "n"),
	PH_OPT_CHOICE("choice", struct sample, choice, choices, "green", "c"),
	PH_OPT_END,
};

START_TEST(fills_defaults)
{
	struct sample s = { 0 };
	struct ph_addr addr;

	ck_assert_int_eq(conf_fill(arena, NULL, sample_options, NULL, &s,
	    &errors), PH_OK);
	ck_assert(s.number == 5 && s.wait_ms == 3000 && s.size == 65536 &&
	    s.flag && s.choice == 1);
	ck_assert_str_eq(s.text, "abc");
	ck_assert_str_eq(s.list[1], "b");
	ck_assert_ptr_null(s.list[2]);
	ck_assert_str_eq(s.paths[0], "/a");
	ck_assert_ptr_null(s.paths[1]);
	ck_assert(ph_addr_parse(PH_LIT("10.1.2.3"), &addr));
	ck_assert(ph_net_list_has(&s.nets, &addr));
}
END_TEST

START_TEST(says_what_is_wrong_with_each_value)
{
	static const struct {
		const char *written, *part;
	} cases[] = {
		{ "number = 11;", "out of range: 1 to 10" },
		{ "number = \"x\";", "wanted a number" },
		{ "number = -1;", "wanted a number" },
		{ "wait = \"3 weeks\";", "wanted a duration" },
		{ "wait = \"2m\";", "out of range" },
		{ "size = \"2T\";", "wanted a size" },
		{ "flag = 1;", "wanted true or false" },
		{ "text = \"abcdef\";", "1 to 5 characters" },
		{ "path = \"rel\";", "absolute path" },
		{ "list = [];", "1 to 2 items" },
		{ "list = 3;", "wanted a list" },
		{ "paths = [\"/a\", \"b\"];", "\"b\" is no absolute path" },
		{ "paths = [\"/a\", \"/b\", \"/c\"];", "0 to 2 items" },
		{ "nets = [\"10.0.0.1/8\"];", "is no network" },
		{ "choice = \"blue\";", "\"red\", \"green\"" },
		{ "nunber = 3;", "did you mean \"number\"?" },
		{ "xyzzyx = 3;", "unknown option \"xyzzyx\"" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct sample s = { 0 };
		struct conf *conf;

		put("main.conf", ph_arena_printf(arena, "a: {\n  %s\n};\n",
		    cases[i].written));
		errors.count = 0;
		conf = load();
		ck_assert_ptr_nonnull(conf);
		ck_assert_int_eq(conf_fill(arena, conf_section(conf, "a"),
		    sample_options, NULL, &s, &errors), PH_INVALID);
		expect_error(0, "main.conf", 2, cases[i].part);
		ck_assert_uint_eq(errors.count, 1);
	}
}
END_TEST

static bool
keep_a(const struct conf_section *section, void *arg)
{
	(void)arg;
	return strcmp(section->name, "b") != 0;
}

START_TEST(goes_through_the_record_with_its_origin)
{
	struct conf *conf, *again;
	struct sample s = { 0 };
	struct ph_buf buf;

	put("main.conf", "a: { number = 7; flag = false; list = [\"q\"];\n"
	    "nets = [\"::1\"]; wait = \"1s\"; };\nb: { secret = \"s\"; };");
	conf = load();
	ph_buf_init(&buf, arena, 1 << 20);
	conf_encode(conf, keep_a, NULL, &buf);
	ck_assert_int_eq(conf_decode(arena, ph_buf_content(&buf), &again), 0);
	ck_assert_ptr_null(conf_section(again, "b"));
	ck_assert_int_eq(conf_fill(arena, conf_section(again, "a"),
	    sample_options, NULL, &s, &errors), PH_OK);
	ck_assert(s.number == 7 && !s.flag && s.wait_ms == 1000);
	ck_assert_str_eq(s.list[0], "q");
	ck_assert_uint_eq(conf_setting(conf_section(again, "a"),
	    "wait")->line, 2);
	for (size_t n = 0; n < buf.n; n++) /* cut anywhere: no crash */
		conf_decode(arena, (struct ph_slice){ buf.p, n }, &again);
}
END_TEST

START_TEST(reads_limits_of_destinations)
{
	static const char *const good[] = { "a.test concurrency=2",
		".a.test  rate=10/1m delay=2s", "transport_lmtp/ start=1",
		NULL };
	static const char *const bad[] = { "", "a.test", "a.test x=1",
		"a.test concurrency=0", "a.test concurrency=99999",
		"a.test rate=10", "a.test rate=10/0s", "a.test delay=soon",
		"a.test concurrency=2x", NULL };
	const struct core_queue queue = { .destination_limits = good };
	struct core_limit limit = { .concurrency = 20, .start = 5 };

	for (size_t i = 0; good[i] != NULL; i++)
		ck_assert_msg(core_limit_is_entry(good[i]), "%s", good[i]);
	for (size_t i = 0; bad[i] != NULL; i++)
		ck_assert_msg(!core_limit_is_entry(bad[i]), "%s", bad[i]);
	core_limit_find(&queue, "b.test", &limit);
	ck_assert_uint_eq(limit.concurrency, 20);
	core_limit_find(&queue, "A.test", &limit);
	ck_assert_uint_eq(limit.concurrency, 2);
	ck_assert_uint_eq(limit.start, 5);
	core_limit_find(&queue, "mx.a.test", &limit);
	ck_assert_uint_eq(limit.messages, 10);
	ck_assert_uint_eq(limit.interval_ms, 60000);
	ck_assert_uint_eq(limit.delay_ms, 2000);
	core_limit_find(&queue, "transport_lmtp/", &limit);
	ck_assert_uint_eq(limit.start, 1);
}
END_TEST

START_TEST(knows_its_own_sections)
{
	struct core_conf core = { 0 };
	struct conf *conf;

	put("main.conf", "hostname = \"Mail.example.test\";\n"
	    "domains = [\"Example.TEST\"]; postmaster = \"Alice\";\n"
	    "dns: { servers = [\"127.0.0.1:5353\"]; };");
	conf = load();
	ck_assert_int_eq(core_conf_fill(arena, conf, &core, &errors), PH_OK);
	ck_assert_str_eq(core.domains[0], "example.test");
	ck_assert_str_eq(core.postmaster, "alice@example.test");
	ck_assert_uint_eq(core_retry_ms(&core, CORE_RETRY_REPLY, 0), 300000);
	ck_assert_uint_eq(core_retry_ms(&core, CORE_RETRY_REPLY, 99),
	    4 * 3600000);
	ck_assert_uint_eq(core_retry_ms(&core, CORE_RETRY_GREYLISTED, 0),
	    60000);
	ck_assert_uint_eq(core_retry_ms(&core, CORE_RETRY_GREYLISTED, 2),
	    1800000);
	ck_assert_uint_eq(core_retry_ms(&core, CORE_RETRY_UNREACHABLE, 0),
	    600000);
	ck_assert_uint_ge(core.processes.edge, 1);

	put("main.conf", "domains = [\"a..b\"];\nqueue: {\n"
	    "retry = [\"soon\"]; };\ndns: { servers = [\"x\"]; };");
	conf = load();
	errors.count = 0;
	ck_assert_int_eq(core_conf_fill(arena, conf, &core, &errors),
	    PH_INVALID);
	expect_error(0, "main.conf", 1, "is not a domain");
	expect_error(1, "main.conf", 3, "not a duration");
	expect_error(2, "main.conf", 4, "is not ADDRESS");
}
END_TEST

START_TEST(parses_endpoints)
{
	static const struct {
		const char *text;
		uint16_t fallback, port;
		bool good;
	} cases[] = {
		{ "127.0.0.1:25", 0, 25, true },
		{ "[::1]:25", 0, 25, true }, { "[::1]", 53, 53, true },
		{ "::1", 53, 53, true }, { "10.0.0.1", 53, 53, true },
		{ "10.0.0.1", 0, 0, false }, { "[::1]", 0, 0, false },
		{ "[::1", 53, 0, false }, { "[::1]x25", 53, 0, false },
		{ "1.2.3.4:70000", 0, 0, false }, { "", 53, 0, false },
		{ "host:25", 0, 0, false }, { "1.2.3.4:", 0, 0, false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct ph_addr addr;
		uint16_t port = 0;

		ck_assert_msg(conf_endpoint_parse(ph_slice_str(cases[i].text),
		    cases[i].fallback, &addr, &port) == cases[i].good, "%s",
		    cases[i].text);
		if (cases[i].good)
			ck_assert_uint_eq(port, cases[i].port);
	}
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("conf");
	TCase *all = tcase_create("all");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(all, setup, teardown);
	tcase_add_test(all, merges_files_by_name);
	tcase_add_test(all, tells_file_and_line_of_a_syntax_error);
	tcase_add_test(all, fills_defaults);
	tcase_add_test(all, says_what_is_wrong_with_each_value);
	tcase_add_test(all, goes_through_the_record_with_its_origin);
	tcase_add_test(all, reads_limits_of_destinations);
	tcase_add_test(all, knows_its_own_sections);
	tcase_add_test(all, parses_endpoints);
	suite_add_tcase(suite, all);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
