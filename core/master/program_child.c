/* SPDX-License-Identifier: Apache-2.0 */
/*
 * program_child.c - the child between the master and a program: it takes the
 * limits upon itself, gives up every right, and becomes the program.
 */
#include "master/programs.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <posthouse/base.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

/* Of our arguments, in this order; then the program's. */
enum argument {
	USER, /* "": stay who we are */
	IS_GROUP_NAMED,
	UID,
	GID,
	CPU_S,
	MEMORY,
	OPEN_FILES,
	PROCESSES,
	FILE_SIZE,
	VALUES, /* three for the environment */
	PROGRAM = VALUES + 3,
};
_Static_assert((int)PROGRAM == (int)PROGRAM_ARGUMENTS, "as the master has it");

static unsigned long
number(char **argv, enum argument which)
{
	return strtoul(argv[which], NULL, 10);
}

/* Never above what we may; the file that asks for more gets that. */
static bool
limit(__rlimit_resource_t what, rlim_t most)
{
	struct rlimit limits;

	if (getrlimit(what, &limits) != 0)
		return false;
	if (limits.rlim_max > most)
		limits.rlim_max = most;
	limits.rlim_cur = limits.rlim_max;
	return setrlimit(what, &limits) == 0;
}

/* 0: it stays as it is. */
static bool
limit_to(__rlimit_resource_t what, char **argv, enum argument which)
{
	return number(argv, which) == 0 || limit(what, number(argv, which));
}

static bool
has_become(uid_t uid, gid_t gid)
{
	uid_t uids[3];
	gid_t gids[3];

	if (getresuid(&uids[0], &uids[1], &uids[2]) != 0 ||
	    getresgid(&gids[0], &gids[1], &gids[2]) != 0)
		return false;
	for (unsigned i = 0; i < 3; i++)
		if (uids[i] != uid || gids[i] != gid)
			return false;
	return setuid(0) != 0 && setgid(0) != 0;
}

/* NULL, or what could not be done. */
static const char *
become(char **argv)
{
	uid_t uid = (uid_t)number(argv, UID);
	gid_t gid = (gid_t)number(argv, GID);

	if (argv[USER][0] == '\0')
		return geteuid() != 0 ? NULL : "a user, but it is root";
	if (uid == 0 || gid == 0)
		return "a user, but it is root";
	if ((number(argv, IS_GROUP_NAMED) != 0 ? setgroups(1, &gid) :
	        initgroups(argv[USER], gid)) != 0)
		return "setgroups";
	if (setresgid(gid, gid, gid) != 0)
		return "setresgid";
	if (setresuid(uid, uid, uid) != 0)
		return "setresuid";
	return has_become(uid, gid) ? NULL : "giving up root";
}

/* Whoever asked may have them otherwise, and the program not know what to do. */
static bool
make_blocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) == 0;
}

static const char *
prepare(char **argv)
{
	const char *wrong;

	umask(077);
	if (!make_blocking(0) || !make_blocking(1))
		return "fcntl";
	if (chdir("/") != 0)
		return "chdir";
	wrong = become(argv);
	if (wrong != NULL)
		return wrong;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
		return "prctl";
	if (close_range(3, ~0u, 0) != 0)
		return "close_range";
	/* memory last: it counts what we have, too */
	return limit(RLIMIT_CORE, 0) &&
	    limit_to(RLIMIT_NOFILE, argv, OPEN_FILES) &&
	    limit_to(RLIMIT_CPU, argv, CPU_S) &&
	    limit_to(RLIMIT_NPROC, argv, PROCESSES) &&
	    limit_to(RLIMIT_FSIZE, argv, FILE_SIZE) &&
	    limit_to(RLIMIT_AS, argv, MEMORY) ? NULL : "setrlimit";
}

int
programs_main(int argc, char **argv)
{
	char *environment[] = { "PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", NULL,
		NULL, NULL, NULL };
	const char *wrong;

	if (argc <= PROGRAM || getsid(0) != getpid())
		return EX_USAGE;
	for (unsigned i = 0; i < PROGRAM - VALUES; i++)
		environment[2 + i] = argv[VALUES + i];
	wrong = prepare(argv);
	if (wrong == NULL) {
		execve(argv[PROGRAM], argv + PROGRAM, environment);
		wrong = argv[PROGRAM];
	}
	dprintf(2, "posthouse: can't run: %s: %s\n", wrong, strerror(errno));
	return EX_TEMPFAIL;
}
