/* SPDX-License-Identifier: Apache-2.0 */
/* client_counts_test.c - the shared page: what one process counts another reads.
 * The other is this one too, which takes the other's place. */
#include "role/client_counts.h"

#include <check.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static struct client_page *page;
static int page_fd;

static void
setup(void)
{
	const size_t size = client_page_size(3);

	page_fd = memfd_create("counts", MFD_CLOEXEC);
	ck_assert_int_eq(ftruncate(page_fd, (off_t)size), 0);
	page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, page_fd, 0);
	ck_assert_ptr_ne(page, MAP_FAILED);
	ck_assert(client_page_begin(page));
}

static void
teardown(void)
{
	munmap(page, client_page_size(3));
	close(page_fd);
}

static void
be(unsigned self)
{
	ck_assert(client_counts_share(page_fd, self, 3));
}

static uint64_t
elsewhere(const char *client)
{
	return client_counts_elsewhere(client, strlen(client));
}

static void
add(const char *client, unsigned times)
{
	while (times-- > 0)
		client_counts_add(client, strlen(client));
}

START_TEST(alone_there_is_nobody_elsewhere)
{
	add("a", 3);
	client_counts_set_all(3);
	ck_assert_uint_eq(elsewhere("a"), 0);
	ck_assert_uint_eq(client_counts_all_elsewhere(), 0);
}
END_TEST

START_TEST(the_others_are_summed_and_not_oneself)
{
	be(0);
	add("a", 2);
	client_counts_set_all(2);
	be(1);
	add("a", 3);
	add("b", 1);
	client_counts_set_all(4);
	be(2);
	ck_assert_uint_eq(elsewhere("a"), 5);
	ck_assert_uint_eq(elsewhere("b"), 1);
	ck_assert_uint_eq(elsewhere("c"), 0);
	ck_assert_uint_eq(client_counts_all_elsewhere(), 6);
	be(0);
	ck_assert_uint_eq(elsewhere("a"), 3);
	client_counts_take("a", 1);
	be(2);
	ck_assert_uint_eq(elsewhere("a"), 4);
}
END_TEST

START_TEST(what_died_is_taken_off)
{
	be(0);
	add("a", 2);
	client_counts_set_all(2);
	be(1);
	add("a", 1);
	client_counts_set_all(1);
	client_page_clear(page, 0);
	be(2);
	ck_assert_uint_eq(elsewhere("a"), 1);
	ck_assert_uint_eq(client_counts_all_elsewhere(), 1);
}
END_TEST

/* 10,000 clients with one connection each: of 1,000 others hardly one is taken
 * for having any. */
START_TEST(clients_hardly_meet)
{
	char client[32];
	unsigned met = 0;

	be(0);
	for (unsigned i = 0; i < 10000; i++) {
		snprintf(client, sizeof(client), "there %u", i);
		add(client, 1);
	}
	be(1);
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(client, sizeof(client), "new %u", i);
		met += elsewhere(client) > 0;
		ck_assert_uint_le(elsewhere(client), 3);
	}
	ck_assert_uint_lt(met, 30);
}
END_TEST

START_TEST(only_a_page_of_that_size_is_taken)
{
	int fd = memfd_create("short", MFD_CLOEXEC);

	ck_assert_int_eq(ftruncate(fd, 4096), 0);
	ck_assert(!client_counts_share(fd, 0, 3));
	close(fd);
	ck_assert(!client_counts_share(page_fd, 3, 3));
	ck_assert(!client_counts_share(page_fd, 0, 2));
	ck_assert(!client_counts_share(page_fd, 0, UINT32_MAX));
	ck_assert(!client_counts_share(-1, 0, 3));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("client_counts");
	TCase *tcase = tcase_create("client_counts");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, alone_there_is_nobody_elsewhere);
	tcase_add_test(tcase, the_others_are_summed_and_not_oneself);
	tcase_add_test(tcase, what_died_is_taken_off);
	tcase_add_test(tcase, clients_hardly_meet);
	tcase_add_test(tcase, only_a_page_of_that_size_is_taken);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
