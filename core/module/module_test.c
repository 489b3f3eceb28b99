/* SPDX-License-Identifier: Apache-2.0 */
/*
 * module_test.c - which descriptors and files are taken, and what is told of
 * an option table. Whole modules are loaded by the tests of the program.
 */
#include <check.h>
#include <posthouse/check.h>
#include <posthouse/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "module/loader.h"
#include "module/module_conf.h"

static const struct ph_check_ops check_ops;
static const struct ph_listener_ops listener_ops;

static const struct ph_module good = { .abi = PH_ABI, .name = "good",
	.kinds = PH_KIND_CHECK, .check = &check_ops };

static void
expect_refused(const struct ph_module *module, const char *why)
{
	struct ph_err err = { 0 };

	ck_assert(!loader_accepts(module, &err));
	ck_assert_int_eq(err.status, PH_INVALID);
	ck_assert_msg(strstr(err.text, why) != NULL, "%s", err.text);
}

START_TEST(takes_a_whole_descriptor_of_our_abi)
{
	struct ph_module module = good;
	struct ph_err err = { 0 };

	ck_assert(loader_accepts(&module, &err));
	module.abi.size += 64; /* a later minor would add members */
	ck_assert(loader_accepts(&module, &err));
	module.kinds |= PH_KIND_LISTENER;
	module.listener = &listener_ops;
	ck_assert(loader_accepts(&module, &err));
	module.abi.minor = 3; /* ended before hooks behind the queue */
	module.abi.size = offsetof(struct ph_module, delivery);
	module.delivery = (const void *)&module; /* what lies behind it */
	ck_assert(loader_accepts(&module, &err));
	ck_assert_ptr_null(module_hook(&module, PH_AT_DELIVER));
	module.abi.minor = 0; /* ended before the operations of a router */
	module.abi.size = offsetof(struct ph_module, router);
	ck_assert(loader_accepts(&module, &err));
	module.kinds |= PH_KIND_ROUTER;
	expect_refused(&module, "lacks the operations");
}
END_TEST

START_TEST(refuses_another_abi)
{
	static const int wrong[][2] = { { 1, 0 }, { -1, 0 }, { 0, 1 } };

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct ph_module module = good;
		char why[80];

		module.abi.major = (uint16_t)(PH_ABI_MAJOR + wrong[i][0]);
		module.abi.minor = (uint16_t)(PH_ABI_MINOR + wrong[i][1]);
		snprintf(why, sizeof(why), "built for ABI %u.%u; wanted %u.%u",
		    module.abi.major, module.abi.minor, PH_ABI_MAJOR,
		    PH_ABI_MINOR);
		expect_refused(&module, why);
	}
}
END_TEST

START_TEST(refuses_a_descriptor_that_is_too_small)
{
	struct ph_module module = good;

	module.abi.size -= 8;
	expect_refused(&module, "its descriptor has ");
	module.abi.size = 0;
	expect_refused(&module, "its descriptor has 0 octets");
	/* of which nothing more than the version was read */
	expect_refused((const struct ph_module *)(const void *)&(struct {
	    _Alignas(struct ph_module) struct ph_abi abi; }){
	    { PH_ABI_MAJOR, PH_ABI_MINOR, sizeof(struct ph_abi) } },
	    "its descriptor has 8 octets");
}
END_TEST

START_TEST(refuses_a_kind_without_its_operations)
{
	static const unsigned kinds[] = { PH_KIND_LISTENER, PH_KIND_AUTH,
		PH_KIND_CHECK, PH_KIND_STORE, PH_KIND_TRANSPORT,
		PH_KIND_ROUTER };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct ph_module module = { .abi = PH_ABI, .name = "bad",
			.kinds = kinds[i] };

		expect_refused(&module, "lacks the operations");
		module.check = &check_ops;
		module.kinds |= PH_KIND_CHECK;
		if (kinds[i] != PH_KIND_CHECK)
			expect_refused(&module, "lacks the operations");
	}
}
END_TEST

START_TEST(refuses_no_kind_unknown_kinds_and_no_name)
{
	struct ph_module module = good;

	module.kinds = 0;
	expect_refused(&module, "no name, or lacks");
	module.kinds = PH_KIND_CHECK | 1u << 6;
	expect_refused(&module, "kinds 0x40 that this server does not know");
	module.kinds = PH_KIND_CHECK | 1u << 20;
	expect_refused(&module, "kinds 0x100000");
	module = good;
	module.name = NULL;
	expect_refused(&module, "no name");
}
END_TEST

/* --- files --- */

static char path[] = "/tmp/module_test.XXXXXX";

static void
expect_not_opened(const char *file, int status, const char *why)
{
	struct ph_err err = { 0 };

	ck_assert_ptr_null(loader_open(file, &err));
	ck_assert_int_eq(err.status, status);
	ck_assert_msg(strstr(err.text, why) != NULL, "%s", err.text);
	ck_assert_msg(strstr(err.text, file) == err.text, "%s", err.text);
}

START_TEST(opens_no_file_that_others_may_have_written)
{
	int fd = mkstemp(path);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fchmod(fd, 0646), 0);
	expect_not_opened(path, PH_DENIED, "anybody may write to it");
	ck_assert_int_eq(fchmod(fd, 0644), 0);
	expect_not_opened(path, PH_INVALID, "");
	if (geteuid() == 0) {
		ck_assert_int_eq(fchown(fd, 12345, 12345), 0);
		expect_not_opened(path, PH_DENIED, "owned by uid 12345");
	}
	close(fd);
	unlink(path);
	expect_not_opened(path, PH_NOT_FOUND, "No such file");
	expect_not_opened("/tmp", PH_INVALID, "not a file");
}
END_TEST

START_TEST(a_library_that_is_no_module_is_told_apart)
{
	/* loaded already, so it can be opened */
	static const char *const places[] = {
		"/lib/x86_64-linux-gnu/libc.so.6",
		"/lib/aarch64-linux-gnu/libc.so.6", "/lib64/libc.so.6" };

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (access(places[i], R_OK) == 0)
			expect_not_opened(places[i], PH_INVALID,
			    "exports no ph_module");
}
END_TEST

/* --- descriptions --- */

struct values {
	bool flag;
	unsigned number, wait_ms, choice;
	uint64_t size;
	const char *text, *path;
	const char *const *list;
	struct ph_net_list nets;
};

static const char *const choices[] = { "one", "two", NULL };

static const struct ph_option options[] = {
	PH_OPT_BOOL("flag", struct values, flag, "true", "A flag"),
	PH_OPT_UINT("number", struct values, number, 1, 9, "5", "A number"),
	PH_OPT_MSEC("wait", struct values, wait_ms, 0, 60000, "3s", "A wait"),
	PH_OPT_BYTES("size", struct values, size, 0, 1 << 30, "2M", "A size"),
	PH_OPT_STRING("text", struct values, text, 0, 9, "back\\\\slash",
	    "A text"),
	PH_OPT_PATH("path", struct values, path, NULL, "A path"),
	PH_OPT_LIST("list", struct values, list, 0, 9, "[ \"a\", \"b\" ]",
	    "A list"),
	PH_OPT_PATHS("paths", struct values, list, 0, 9, "[ \"/a\" ]",
	    "Paths"),
	PH_OPT_NETS("nets", struct values, nets, 0, 9, "[]", "Networks"),
	PH_OPT_CHOICE("choice", struct values, choice, choices, "one",
	    "A \"choice\""),
	PH_OPT_END,
};

static const char *
text_of(struct ph_buf *buf)
{
	ck_assert(!buf->full);
	ph_buf_char(buf, '\0');
	return buf->p;
}

START_TEST(the_snippet_shows_every_option_at_its_default)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct ph_module module = good;
	struct ph_buf buf;

	module.options = options;
	module.doc = "Does good";
	ph_buf_init(&buf, arena, 1 << 16);
	module_describe_snippet(&module, &buf);
	ck_assert_str_eq(text_of(&buf), "# Does good\n# See good(8).\ngood: {\n"
	    "\t# False: as if the section were not there (true or false).\n"
	    "\tenabled = true;\n"
	    "\t# Modules of the same order are asked together (0 to 1000).\n"
	    "\torder = 100;\n"
	    "\t# What counts when a check can't answer "
	    "(\"defer\" or \"next\" or \"reject\").\n"
	    "\ton_failure = \"defer\";\n"
	    "\t# \"shadow\": a check runs, is recorded, changes nothing; "
	    "\"observe\": nobody waits for it "
	    "(\"enforce\" or \"shadow\" or \"observe\").\n"
	    "\tmode = \"enforce\";\n"
	    "\t# How long one hook of a check may take (a duration).\n"
	    "\thook_timeout = \"20s\";\n"
	    "\t# A flag (true or false).\n\tflag = true;\n"
	    "\t# A number (1 to 9).\n\tnumber = 5;\n"
	    "\t# A wait (a duration).\n\twait = \"3s\";\n"
	    "\t# A size (a size).\n\tsize = \"2M\";\n"
	    "\t# A text (a text).\n\ttext = \"back\\\\slash\";\n"
	    "\t# A path (an absolute path). Must be set.\n\t#path = \"\";\n"
	    "\t# A list (a list of texts).\n\tlist = [ \"a\", \"b\" ];\n"
	    "\t# Paths (a list of absolute paths).\n\tpaths = [ \"/a\" ];\n"
	    "\t# Networks (a list of networks).\n\tnets = [];\n"
	    "\t# A \"choice\" (\"one\" or \"two\").\n\tchoice = \"one\";\n"
	    "};\n");
	ph_arena_free(arena);
}
END_TEST

START_TEST(a_listener_s_snippet_shows_its_sockets_alone)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct ph_module module = { .abi = PH_ABI, .name = "l", .doc = "L",
		.kinds = PH_KIND_LISTENER, .listener = &listener_ops };
	const char *text;
	struct ph_buf buf;

	ph_buf_init(&buf, arena, 1 << 16);
	module_describe_snippet(&module, &buf);
	text = text_of(&buf);
	ck_assert_ptr_nonnull(strstr(text, "\tlisten = [];\n"));
	ck_assert_ptr_nonnull(strstr(text, "\tlisten_tls = [];\n"));
	ck_assert_ptr_null(strstr(text, "on_failure"));
	ph_arena_free(arena);
}
END_TEST

START_TEST(the_manual_s_list_escapes_what_mdoc_would_read)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	const char *text;
	struct ph_buf buf;

	ph_buf_init(&buf, arena, 1 << 16);
	module_describe_mdoc("good", options, &buf);
	text = text_of(&buf);
	ck_assert_ptr_eq(strstr(text,
	    ".\\\" Options of good\n.Bl -tag -width Ds\n"
	    ".It Ic flag Li = Ar \"true or false\"\nA flag.\n"
	    "Default:\n.Ql \"true\" .\n"), text);
	ck_assert_ptr_nonnull(strstr(text,
	    ".It Ic choice Li = Ar \"\\(dqone\\(dq or \\(dqtwo\\(dq\"\n"
	    "A \\(dqchoice\\(dq.\nDefault:\n.Ql \"\\(dqone\\(dq\" .\n.El\n"));
	ck_assert_ptr_nonnull(strstr(text, "A path.\nMust be set.\n"));
	ck_assert_ptr_nonnull(strstr(text, "\\(dqback\\e\\eslash\\(dq"));
	ph_arena_free(arena);
}
END_TEST

START_TEST(the_core_s_file_is_a_configuration_of_defaults)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct conf_errors errors = { .arena = arena };
	struct core_conf core = { 0 };
	char dir[] = "/tmp/module_test.XXXXXX", file[64], conf_d[64];
	struct conf *conf = NULL;
	struct ph_buf buf;
	FILE *out;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(file, sizeof(file), "%s/posthouse.conf", dir);
	snprintf(conf_d, sizeof(conf_d), "%s/conf.d", dir);
	ck_assert_int_eq(mkdir(conf_d, 0700), 0);
	ph_buf_init(&buf, arena, 1 << 16);
	core_describe_file(&buf);
	out = fopen(file, "w");
	ck_assert_ptr_nonnull(out);
	fputs(text_of(&buf), out);
	fclose(out);
	conf_load(arena, file, &conf, &errors);
	if (conf != NULL)
		core_conf_fill(arena, conf, &core, &errors);
	unlink(file);
	rmdir(conf_d);
	rmdir(dir);
	ck_assert_msg(errors.count == 0, "line %u: %s",
	    errors.count > 0 ? errors.error[0].line : 0,
	    errors.count > 0 ? errors.error[0].text : "");
	ck_assert_str_eq(core.data_dir, "/var/lib/posthouse");
	ck_assert_uint_eq(core.queue.lifetime_ms, 5u * 86400 * 1000);
	ck_assert_uint_eq(core_retry_ms(&core, CORE_RETRY_REPLY, 1),
	    15 * 60 * 1000);
	ph_arena_free(arena);
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("module");
	TCase *tcase = tcase_create("module");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tcase, takes_a_whole_descriptor_of_our_abi);
	tcase_add_test(tcase, refuses_another_abi);
	tcase_add_test(tcase, refuses_a_descriptor_that_is_too_small);
	tcase_add_test(tcase, refuses_a_kind_without_its_operations);
	tcase_add_test(tcase, refuses_no_kind_unknown_kinds_and_no_name);
	tcase_add_test(tcase, opens_no_file_that_others_may_have_written);
	tcase_add_test(tcase, a_library_that_is_no_module_is_told_apart);
	tcase_add_test(tcase, the_snippet_shows_every_option_at_its_default);
	tcase_add_test(tcase, a_listener_s_snippet_shows_its_sockets_alone);
	tcase_add_test(tcase, the_manual_s_list_escapes_what_mdoc_would_read);
	tcase_add_test(tcase, the_core_s_file_is_a_configuration_of_defaults);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
