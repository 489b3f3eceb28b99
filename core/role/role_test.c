/* SPDX-License-Identifier: Apache-2.0 */
/*
 * role_test.c - tokens, partitions, the shared page and what confinement
 * leaves. Check forks each test, so a confined process is thrown away.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log/log.h"
#include "loop/fiber.h"
#include "role/confine.h"

static const uint8_t key[TOKEN_KEY_SIZE] = { 1, 2, 3 };
static const uint8_t other_key[TOKEN_KEY_SIZE] = { 3, 2, 1 };

START_TEST(token_fits_only_its_user_session_time_and_key)
{
	struct ph_arena *arena = ph_arena_create(NULL);
	struct ph_slice user = PH_LIT("alice@example.test");
	struct ph_slice session = PH_LIT("0000000000001");
	struct ph_slice token = token_make(arena, key, user, session, 1000);
	struct ph_slice cut = { token.p, token.n - 1 };
	char *forged = ph_arena_alloc(arena, token.n);

	ck_assert(token_check(key, token, user, session, 999));
	ck_assert(!token_check(key, token, user, session, 1000));
	ck_assert(!token_check(other_key, token, user, session, 0));
	ck_assert(!token_check(key, token, PH_LIT("bob@example.test"), session,
	    0));
	ck_assert(!token_check(key, token, user, PH_LIT("0000000000002"), 0));
	ck_assert(!token_check(key, cut, user, session, 0));
	ck_assert(!token_check(key, (struct ph_slice){ NULL, 0 }, user, session,
	    0));
	/* the border between user and session is part of what is signed */
	token = token_make(arena, key, PH_LIT("ab"), PH_LIT("c"), 1000);
	ck_assert(!token_check(key, token, PH_LIT("a"), PH_LIT("bc"), 0));
	for (size_t i = 0; i < token.n; i++) {
		memcpy(forged, token.p, token.n);
		forged[i] ^= 1;
		ck_assert(!token_check(key, (struct ph_slice){ forged, token.n },
		    PH_LIT("ab"), PH_LIT("c"), 0));
	}
	ph_arena_free(arena);
}
END_TEST

START_TEST(partitions_never_move)
{
	/* FNV-1a of the empty string and of "a" */
	ck_assert_uint_eq(partition_of(PH_LIT(""), 0xffffffff), 2166136261u);
	ck_assert_uint_eq(partition_of(PH_LIT("a"), 0xffffffff), 0xe40c292cu);
	ck_assert_uint_eq(partition_of(PH_LIT("alice@example.test"), 0), 0);
	ck_assert_uint_eq(partition_of(PH_LIT("alice@example.test"), 1), 0);
}
END_TEST

START_TEST(notes_are_cut_to_the_page)
{
	char name[200];

	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	role_note(name, name);
	ck_assert_uint_eq(strlen(role_activity()->module),
	    sizeof(role_activity()->module) - 1);
	role_note(NULL, NULL);
	ck_assert(!role_activity()->is_inside);
}
END_TEST

static uint64_t
percentile_of(uint64_t micros)
{
	struct tally_hook hook = { 0 };
	struct tally *tally = tally_of("latency");

	tally->hook[0] = hook;
	tally_begin(tally);
	tally_end(tally, 0, micros, TALLY_WORKED);
	return tally_percentile(&tally->hook[0], 50);
}

START_TEST(latencies_are_told_to_within_a_quarter)
{
	for (uint64_t at = 0; at < 1 << 29; at += at / 7 + 1) {
		ck_assert_uint_ge(percentile_of(at), at);
		ck_assert_uint_le(percentile_of(at), at + at / 4);
	}
	ck_assert_uint_gt(percentile_of(UINT64_MAX), 1000000000);
}
END_TEST

START_TEST(percentiles_count_calls)
{
	struct tally_hook hook = { 0 };
	struct tally *tally = tally_of("check_x"), sum = { .module = "" };

	ck_assert_uint_eq(tally_percentile(&hook, 99), 0);
	for (unsigned i = 0; i < 100; i++) {
		tally_begin(tally);
		tally_end(tally, 3, i < 98 ? 5 : 1000, (enum tally_end)PH_NEXT);
	}
	tally_add(&sum, tally);
	tally_add(&sum, tally);
	ck_assert_uint_eq(sum.begun, 200);
	ck_assert_uint_eq(sum.ends[PH_NEXT], 200);
	ck_assert_uint_eq(sum.hook[3].calls, 200);
	ck_assert_uint_eq(tally_percentile(&sum.hook[3], 50), 5);
	ck_assert_uint_eq(tally_percentile(&sum.hook[3], 98), 5);
	ck_assert_uint_ge(tally_percentile(&sum.hook[3], 99), 1000);
}
END_TEST

static void
count(void *arg)
{
	struct log_context context = { .module = "check_own" };

	(void)arg;
	ph_count("nobodys", 1); /* no module runs */
	fiber_context_set(&context);
	ph_count("listed", 2);
	ph_count("a_name_of_24_octets_____", 1);
	ph_count("No", 1);
	ph_count("", 1);
	ph_count("clean", 1);
	ph_count("listed", 3);
	fiber_context_set(NULL);
	fiber_runtime_stop();
}

START_TEST(a_module_has_counters_of_its_own)
{
	struct tally sum = { .module = "" }, *tally = tally_of("check_own");

	fiber_runtime_init();
	fiber_start(count, NULL);
	fiber_runtime_run();
	ck_assert_str_eq(tally->own[0].name, "listed");
	ck_assert_uint_eq(tally->own[0].n, 5);
	ck_assert_str_eq(tally->own[1].name, "clean");
	ck_assert_str_eq(tally->own[2].name, "");
	/* another process met them in another order; a page may be garbage */
	tally_own(&sum, "clean", 10);
	memset(tally->own[2].name, 'n', sizeof(tally->own[2].name));
	tally_add(&sum, tally);
	ck_assert_str_eq(sum.own[0].name, "clean");
	ck_assert_uint_eq(sum.own[0].n, 11);
	ck_assert_uint_eq(sum.own[1].n, 5);
	ck_assert_str_eq(sum.own[2].name, "");
	for (unsigned i = 0; i < 2 * TALLY_OWN; i++) {
		char name[8];

		snprintf(name, sizeof(name), "n%u", i);
		tally_own(&sum, name, 1);
	}
	ck_assert_uint_eq(sum.own[TALLY_OWN - 1].n, 1);
	tally_own(NULL, "clean", 1);
}
END_TEST

START_TEST(a_full_page_counts_no_more_modules)
{
	char name[100];

	for (unsigned i = 0; i < TALLIES; i++) {
		snprintf(name, sizeof(name), "check_%u", i);
		ck_assert_ptr_nonnull(tally_of(name));
	}
	ck_assert_ptr_eq(tally_of("check_3"), tally_of("check_3"));
	ck_assert_ptr_null(tally_of("one_more"));
	tally_begin(NULL);
	tally_end(NULL, 0, 1, TALLY_LATE);
	tally_skip(NULL);
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	ck_assert_ptr_null(tally_of(name));
	ck_assert_ptr_null(tally_of(""));
}
END_TEST

static void
expect_denied(int result)
{
	ck_assert_int_eq(result, -1);
	ck_assert_msg(errno == EPERM || errno == EACCES, "errno %d", errno);
}

/* Sanitizers make calls of their own; the server skips confinement then. */
#if !defined(__SANITIZE_ADDRESS__)
START_TEST(edge_loses_the_calls_it_never_needs)
{
	char *const argv[] = { (char *)"true", NULL };

	ck_assert_int_eq(confine_calls(ROLE_EDGE), 0);
	expect_denied(socket(AF_INET, SOCK_STREAM, 0));
	expect_denied(open("/dev/null", O_WRONLY));
	expect_denied(open("/dev/null", O_RDWR));
	ck_assert_int_ge(open("/dev/null", O_RDONLY), 0);
	expect_denied(unlink("/tmp/none"));
	expect_denied(execv("/bin/true", argv));
	expect_denied((int)ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}
END_TEST

static void *
nothing(void *arg)
{
	return arg;
}

START_TEST(only_who_runs_programs_may_fork_or_kill)
{
	pid_t parent = getppid();
	pthread_t thread;

	ck_assert_int_eq(confine_calls(ROLE_CHECK), 0);
	expect_denied(fork());
	expect_denied((int)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL));
	expect_denied(kill(parent, SIGTERM));
	expect_denied((int)syscall(SYS_tgkill, parent, parent, SIGTERM));
	expect_denied(sigqueue(parent, SIGTERM, (union sigval){ 0 }));
	/* what libraries need goes on */
	ck_assert_int_eq(pthread_create(&thread, NULL, nothing, NULL), 0);
	ck_assert_int_eq(pthread_join(thread, NULL), 0);
	signal(SIGUSR1, SIG_IGN);
	ck_assert_int_eq(raise(SIGUSR1), 0);
	/* whoever dies of these was ended by somebody else */
	ck_assert_int_ne(raise(SIGKILL), 0);
	ck_assert_int_ne(raise(SIGTERM), 0);
	ck_assert_int_ne(raise(SIGINT), 0);
	ck_assert_int_ne(raise(SIGHUP), 0);
}
END_TEST

START_TEST(check_may_ask_dns_and_nothing_raw)
{
	ck_assert_int_eq(confine_calls(ROLE_CHECK), 0);
	ck_assert_int_ge(socket(AF_INET, SOCK_DGRAM, 0), 0);
	expect_denied(socket(AF_PACKET, SOCK_RAW, 0));
	expect_denied(socket(AF_ALG, SOCK_SEQPACKET, 0));
}
END_TEST

/* Who is confined can't remove them any more. */
static char own[32], other[32];

static void
make_folders(void)
{
	snprintf(own, sizeof(own), "/tmp/role_test.XXXXXX");
	snprintf(other, sizeof(other), "/tmp/role_test.XXXXXX");
	ck_assert(mkdtemp(own) != NULL && mkdtemp(other) != NULL);
}

static void
remove_folders(void)
{
	rmdir(own);
	rmdir(other);
}

START_TEST(queue_sees_only_its_own_folder)
{
	struct core_conf core = { .module_dir = "/nonexistent",
		.tls = { .ca_file = "" } };
	char path[64];
	int error;

	confine_user(&(struct role_start){ .role = ROLE_QUEUE }, NULL);
	error = confine_paths(ROLE_QUEUE, &core, own, NULL, NULL);
	if (error == ENOSYS || error == EOPNOTSUPP)
		return;
	ck_assert_int_eq(error, 0);
	snprintf(path, sizeof(path), "%s/file", own);
	ck_assert_int_ge(open(path, O_RDWR | O_CREAT, 0600), 0);
	ck_assert_int_eq(unlink(path), 0);
	snprintf(path, sizeof(path), "%s/file", other);
	expect_denied(open(path, O_RDWR | O_CREAT, 0600));
	expect_denied(open("/etc/passwd", O_RDONLY));
	ck_assert_int_ge(open("/usr", O_RDONLY | O_DIRECTORY), 0);
}
END_TEST
#endif

int
main(void)
{
	Suite *suite = suite_create("role");
	TCase *tcase = tcase_create("role");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tcase, token_fits_only_its_user_session_time_and_key);
	tcase_add_test(tcase, partitions_never_move);
	tcase_add_test(tcase, notes_are_cut_to_the_page);
	tcase_add_test(tcase, latencies_are_told_to_within_a_quarter);
	tcase_add_test(tcase, percentiles_count_calls);
	tcase_add_test(tcase, a_module_has_counters_of_its_own);
	tcase_add_test(tcase, a_full_page_counts_no_more_modules);
#if !defined(__SANITIZE_ADDRESS__)
	tcase_add_test(tcase, edge_loses_the_calls_it_never_needs);
	tcase_add_test(tcase, only_who_runs_programs_may_fork_or_kill);
	tcase_add_test(tcase, check_may_ask_dns_and_nothing_raw);
	tcase_add_unchecked_fixture(tcase, make_folders, remove_folders);
	tcase_add_test(tcase, queue_sees_only_its_own_folder);
#else
	(void)expect_denied;
#endif
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
