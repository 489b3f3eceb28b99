/* SPDX-License-Identifier: Apache-2.0 */
/*
 * confine_test.c - each layer of confinement alone, in each role, with the
 * others away: what one refuses is refused by that one. Check forks each test,
 * so a confined process is thrown away. Sanitizers need what is taken.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "role/confine.h"

static bool
is_denied(long result)
{
	return result < 0 && (errno == EPERM || errno == EACCES);
}

/* Whose right it is not. */
#define BUT(roles) (~(unsigned)(roles))
#define EDGE ROLE_BIT(ROLE_EDGE)
#define QUEUE ROLE_BIT(ROLE_QUEUE)
#define MAIL ROLE_BIT(ROLE_MAIL)
#define AUTH ROLE_BIT(ROLE_AUTH)
#define RELAY ROLE_BIT(ROLE_RELAY)

static void
expect(enum role role, unsigned denied, const char *what, long result)
{
	bool is = is_denied(result);

	ck_assert_msg(is == ((denied & ROLE_BIT(role)) != 0),
	    "%s: %s is %s", role_name(role), what, is ? "denied" : "let");
}

static long
forked(void)
{
	long pid = syscall(SYS_fork);

	if (pid == 0)
		_exit(0);
	return pid;
}

/* As whoever runs the test, root perhaps: the filter of calls alone. */
START_TEST(calls_alone)
{
	enum role role = (enum role)_i;
	char *const argv[] = { (char *)(uintptr_t)"none", NULL };
	char octet = 0;
	struct iovec one = { &octet, 1 };
	pid_t parent = getppid();
	int tcp = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(confine_calls(role), 0);
	expect(role, ~0u, "mount", mount("none", "/nowhere", "tmpfs", 0, NULL));
	expect(role, ~0u, "unshare", unshare(0));
	expect(role, ~0u, "chroot", chroot("/nowhere"));
	expect(role, ~0u, "bpf", syscall(SYS_bpf, -1, NULL, 0));
	expect(role, ~0u, "ptrace", ptrace(PTRACE_SEIZE, parent, NULL, NULL));
	expect(role, ~0u, "process_vm_readv",
	    process_vm_readv(parent, &one, 1, &one, 1, 0));
	expect(role, ~0u, "pidfd_getfd", syscall(SYS_pidfd_getfd, -1, 0, 0));
	expect(role, BUT(RELAY | AUTH), "kill", kill(parent, 0));
	expect(role, BUT(RELAY | AUTH), "fork", forked());
	expect(role, BUT(RELAY), "execve", execv("/nowhere", argv));
	expect(role, BUT(RELAY), "mknod", mknod("/nowhere/x", S_IFIFO, 0));
	expect(role, BUT(RELAY), "listen", listen(tcp, 1));
	expect(role, EDGE | QUEUE | MAIL, "socket",
	    socket(AF_INET, SOCK_STREAM, 0));
	expect(role, EDGE | QUEUE | MAIL, "connect", connect(-1, NULL, 0));
	expect(role, ~0u, "packets", socket(AF_PACKET, SOCK_RAW, 0));
	expect(role, EDGE, "write", open("/dev/null", O_WRONLY));
}
END_TEST

/* Who is confined can't remove them any more. */
static char own[32], other[32];

static void
make_folders(void)
{
	snprintf(own, sizeof(own), "/tmp/confine_test.XXXXXX");
	snprintf(other, sizeof(other), "/tmp/confine_test.XXXXXX");
	ck_assert(mkdtemp(own) != NULL && mkdtemp(other) != NULL);
}

static void
remove_folders(void)
{
	rmdir(own);
	rmdir(other);
}

/* As root, too: the paths alone. */
START_TEST(paths_alone)
{
	enum role role = (enum role)_i;
	struct core_conf core = { .module_dir = "/nonexistent",
		.tls = { .ca_file = "" } };
	char path[100];
	int error;

	confine_user(&(struct role_start){ .role = role }, NULL);
	error = confine_paths(role, &core, own, NULL, NULL);
	if (error == ENOSYS || error == EOPNOTSUPP)
		return;
	ck_assert_int_eq(error, 0);
	snprintf(path, sizeof(path), "%s/file", other);
	expect(role, ~0u, "another's folder",
	    open(path, O_WRONLY | O_CREAT, 0600));
	expect(role, BUT(AUTH), "listing it",
	    open(other, O_RDONLY | O_DIRECTORY));
	expect(role, EDGE | QUEUE | MAIL, "/etc", open("/etc/passwd", O_RDONLY));
	expect(role, ~0u, "a module",
	    open("/usr/posthouse-test", O_WRONLY | O_CREAT, 0600));
	if (role != ROLE_RELAY)
		expect(role, ~0u, "a program",
		    execl("/bin/true", "true", NULL));
	snprintf(path, sizeof(path), "%s/file", own);
	expect(role, 0, "its own folder", open(path, O_WRONLY | O_CREAT, 0600));
	unlink(path);
}
END_TEST

static bool
is_readable(const char *path)
{
	int fd = open(path, O_RDONLY);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static void
put(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0644);

	ck_assert_int_ge(fd, 0);
	close(fd);
}

/* What an option names may be read, also when it is replaced; nothing else. */
START_TEST(named_files)
{
	char base[] = "/tmp/confine_test.XXXXXX", lists[64], data[64];
	char file[80], new[80], beside[80], later[80];
	const char *const reads[] = { file, later, beside, NULL };
	const char *const more[] = { file, data, NULL };
	struct core_conf core = { .module_dir = "/nonexistent",
		.data_dir = data, .tls = { .ca_file = "" } };
	struct conf conf = { 0 };
	int error;

	ck_assert_ptr_nonnull(mkdtemp(base));
	snprintf(lists, sizeof(lists), "%s/lists", base);
	snprintf(data, sizeof(data), "%s/data", base);
	snprintf(file, sizeof(file), "%s/file", lists);
	snprintf(new, sizeof(new), "%s/new", lists);
	snprintf(later, sizeof(later), "%s/none/file", base);
	snprintf(beside, sizeof(beside), "%s/beside", base);
	ck_assert_int_eq(mkdir(lists, 0755), 0);
	ck_assert_int_eq(mkdir(data, 0755), 0);
	put(file);
	put(new);
	put(beside); /* in the folder that holds all data: alone */
	ck_assert(!confine_lacks(&core, &conf, more)); /* not confined */
	error = confine_paths(ROLE_CHECK, &core, NULL, &conf, reads);
	if (error == ENOSYS || error == EOPNOTSUPP)
		return;
	ck_assert_int_eq(error, 0);
	ck_assert(is_readable(file));
	ck_assert(is_readable(new)); /* its folder's: it may take the name */
	ck_assert(is_readable(beside));
	ck_assert(!is_readable(data));
	ck_assert(!is_readable(base));
	ck_assert(!confine_lacks(&core, &conf, reads));
	ck_assert(confine_lacks(&core, &conf, more));
}
END_TEST

/* The user alone: what only root may. */
START_TEST(user_alone)
{
	const struct role_start start = { .role = ROLE_CHECK, .drop = true,
		.uid = 65534, .gid = 65534 };
	struct ph_err err;

	if (geteuid() != 0)
		return;
	ck_assert_int_eq(confine_user(&start, &err), PH_OK);
	ck_assert(is_denied(open("/etc/shadow", O_RDONLY)));
	ck_assert(is_denied(setuid(0)));
	ck_assert(is_denied(setgid(0)));
	ck_assert(is_denied(mount("none", "/tmp", "tmpfs", 0, NULL)));
	ck_assert(is_denied(chroot("/tmp")));
	ck_assert(is_denied(kill(1, 0)));
	ck_assert(is_denied(ptrace(PTRACE_SEIZE, getppid(), NULL, NULL)));
	ck_assert(is_denied(socket(AF_PACKET, SOCK_RAW, 0)));
	ck_assert(is_denied(open("/usr/posthouse-test", O_WRONLY | O_CREAT,
	    0600)));
}
END_TEST

int
main(void)
{
	Suite *suite = suite_create("confine");
	SRunner *runner = srunner_create(suite);
	TCase *tcase = tcase_create("layers");
	int failed;

#ifndef __SANITIZE_ADDRESS__
	tcase_add_unchecked_fixture(tcase, make_folders, remove_folders);
	tcase_add_loop_test(tcase, calls_alone, ROLE_EDGE, ROLES);
	tcase_add_loop_test(tcase, paths_alone, ROLE_EDGE, ROLES);
	tcase_add_test(tcase, named_files);
	tcase_add_test(tcase, user_alone);
#else
	(void)make_folders;
	(void)remove_folders;
	(void)calls_alone;
	(void)paths_alone;
	(void)named_files;
	(void)user_alone;
#endif
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
