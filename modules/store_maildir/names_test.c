/* SPDX-License-Identifier: Apache-2.0 */
/* names_test.c - names on the disk: nothing leads out, nothing collides. */
#include <check.h>

#include "names.h"
#include "role/role.h"

static struct ph_arena *arena;

static void
setup(void)
{
	arena = ph_arena_create(NULL);
}

static void
teardown(void)
{
	ph_arena_free(arena);
}

static const struct {
	struct ph_slice name;
	const char *folder;
} good_names[] = {
	{ { "INBOX", 5 }, "" },
	{ { "inbox", 5 }, "" },
	{ { "A", 1 }, ".A" },
	{ { "A/B c", 5 }, ".A.B c" },
	{ { "iNbOx/x", 7 }, ".INBOX.x" },
	{ { "INBOXes", 7 }, ".INBOXes" },
	{ { "a.b", 3 }, ".a%2Eb" },
	{ { "50%", 3 }, ".50%25" },
	{ { "~root", 5 }, ".%7Eroot" },
	{ { "a~/~b", 5 }, ".a~.%7Eb" },
	{ { "x\n\x7f", 3 }, ".x%0A%7F" },
	{ { "...", 3 }, ".%2E%2E%2E" },
	{ { "\xc3\xa4rzte", 6 }, ".\xc3\xa4rzte" },
};

START_TEST(a_name_has_one_folder_and_comes_back_from_it)
{
	struct ph_slice name, back;
	const char *folder;

	ck_assert_int_eq(name_canonical(arena, good_names[_i].name, &name),
	    PH_OK);
	ck_assert_int_eq(name_to_folder(arena, name, &folder), PH_OK);
	ck_assert_str_eq(folder, good_names[_i].folder);
	if (folder[0] == '\0')
		return;
	ck_assert_int_eq(name_from_folder(arena, folder, &back), PH_OK);
	ck_assert(ph_slice_eq(back, name));
}
END_TEST

static const struct ph_slice bad_names[] = {
	{ "", 0 }, { "/", 1 }, { "a/", 2 }, { "/a", 2 }, { "a//b", 4 },
	{ ".", 1 }, { "..", 2 }, { "a/../b", 6 }, { "../x", 4 }, { "a/.", 3 },
	{ "a\0b", 3 }, { "\xff", 1 }, { "\xc0\xaf", 2 }, { "\xed\xa0\x80", 3 },
	{ "\xc3", 1 }, { "\xf4\x90\x80\x80", 4 },
};

START_TEST(a_bad_name_is_refused)
{
	struct ph_slice name;

	ck_assert_int_eq(name_canonical(arena, bad_names[_i], &name),
	    PH_INVALID);
}
END_TEST

START_TEST(a_long_name_is_refused)
{
	char text[256];
	struct ph_slice name;
	const char *folder;

	memset(text, 'a', sizeof(text));
	ck_assert_int_eq(name_canonical(arena,
	    (struct ph_slice){ text, 199 }, &name), PH_OK);
	ck_assert_int_eq(name_canonical(arena,
	    (struct ph_slice){ text, 200 }, &name), PH_INVALID);
	memset(text, '%', sizeof(text)); /* three octets each on the disk */
	ck_assert_int_eq(name_canonical(arena,
	    (struct ph_slice){ text, 199 }, &name), PH_OK);
	ck_assert_int_eq(name_to_folder(arena, name, &folder), PH_INVALID);
}
END_TEST

static const char *const foreign_folders[] = { "A", ".", "..", ".a..b", ".%",
	".%2", ".%zz", ".%41", ".%2e", ".INBOX", ".inbox.x", ".a%2Fb", ".a%00",
	".~x", ".a.", "" };

START_TEST(a_folder_we_would_not_make_is_not_taken)
{
	struct ph_slice name;

	ck_assert_int_eq(name_from_folder(arena, foreign_folders[_i], &name),
	    PH_INVALID);
}
END_TEST

static const struct {
	const char *user, *folder;
} users[] = {
	{ "alice@example.test", "example.test/alice/Maildir" },
	{ "a.b+c@example.test", "example.test/a.b+c/Maildir" },
	{ "../../etc@example.test",
	    "example.test/%2E.%2F..%2Fetc/Maildir" },
	{ "..@..", "%2E./%2E./Maildir" },
	{ "a@b@example.test", "example.test/a@b/Maildir" },
	{ "a%2F@x", "x/a%252F/Maildir" },
	{ "a\n@x", "x/a%0A/Maildir" },
	{ "alice", NULL }, { "@example.test", NULL }, { "alice@", NULL },
	{ "", NULL },
};

START_TEST(a_user_has_a_folder_of_his_own)
{
	const char *folder;
	int status = name_user_folder(arena, ph_slice_str(users[_i].user),
	    &folder);

	if (users[_i].folder == NULL) {
		ck_assert_int_eq(status, PH_INVALID);
	} else {
		ck_assert_int_eq(status, PH_OK);
		ck_assert_str_eq(folder, users[_i].folder);
	}
}
END_TEST

START_TEST(partitions_are_those_of_the_core)
{
	static const char *const names[] = { "", "a", "alice@example.test",
		"bob@example.test", "u0001@example.test", "\xc3\xa4@x" };

	ck_assert_uint_eq(name_partition(PH_LIT("a"), UINT32_MAX),
	    0xe40c292cu);
	ck_assert_uint_eq(name_partition(PH_LIT(""), UINT32_MAX), 2166136261u);
	ck_assert_uint_eq(name_partition(PH_LIT("a"), 0), 0);
	for (unsigned n = 1; n < 100; n++)
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			ck_assert_uint_eq(
			    name_partition(ph_slice_str(names[i]), n),
			    partition_of(ph_slice_str(names[i]), n));
}
END_TEST

START_TEST(flags_are_letters_in_order)
{
	struct ph_slice file;
	uint64_t size;
	int64_t time;

	ck_assert_int_eq(file_with_flags(arena, PH_LIT("1.Q2R3"),
	    PH_SEEN | PH_DRAFT | PH_FLAGGED | PH_RECENT,
	    PH_LIT("1.Q2R3:2,PTa"), &file), PH_OK);
	ck_assert(ph_slice_eq(file, PH_LIT("1.Q2R3:2,DFPSa")));
	ck_assert_uint_eq(file_flags(file), PH_SEEN | PH_DRAFT | PH_FLAGGED);
	ck_assert_uint_eq(file_flags(PH_LIT("x:1,S")), 0);
	ck_assert_uint_eq(file_flags(PH_LIT("xS")), 0);
	ck_assert_uint_eq(file_base_n(file), 6);
	ck_assert(file_size_in_name(PH_LIT("1.Q1R1.posthouse,S=4096:2,S"),
	    &size));
	ck_assert_uint_eq(size, 4096);
	ck_assert(file_size_in_name(PH_LIT("1.a,S=7,W=9:2,"), &size));
	ck_assert_uint_eq(size, 7);
	ck_assert(!file_size_in_name(PH_LIT("1.a:2,S=7"), &size));
	ck_assert(file_is_ours(PH_LIT("77.Q1R1.posthouse,S=1"), &time));
	ck_assert_int_eq(time, 77);
	ck_assert(!file_is_ours(PH_LIT("77.M1P1.host,S=1"), &time));
	ck_assert(!file_is_ours(PH_LIT("x.Q1R1.posthouse,S=1"), &time));
	ck_assert(file_is_delivery(PH_LIT("77.Q1R1.posthouse,S=1:2,S")));
	ck_assert(!file_is_delivery(PH_LIT("77.E1N1.posthouse,S=1")));
	ck_assert_uint_eq(file_key_n(PH_LIT("77.Q1R1.posthouse,S=1:2,S")), 17);
	ck_assert_uint_eq(file_key_n(PH_LIT("77.E1N1.posthouse,S=1:2,S")), 21);
	ck_assert_uint_eq(file_key_n(PH_LIT("77.M1.host,S=1")), 14);
}
END_TEST

#define COUNT(a) (int)(sizeof(a) / sizeof((a)[0]))

int
main(void)
{
	Suite *suite = suite_create("maildir names");
	TCase *tc = tcase_create("all");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_loop_test(tc, a_name_has_one_folder_and_comes_back_from_it,
	    0, COUNT(good_names));
	tcase_add_loop_test(tc, a_bad_name_is_refused, 0, COUNT(bad_names));
	tcase_add_test(tc, a_long_name_is_refused);
	tcase_add_loop_test(tc, a_folder_we_would_not_make_is_not_taken, 0,
	    COUNT(foreign_folders));
	tcase_add_loop_test(tc, a_user_has_a_folder_of_his_own, 0,
	    COUNT(users));
	tcase_add_test(tc, partitions_are_those_of_the_core);
	tcase_add_test(tc, flags_are_letters_in_order);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
