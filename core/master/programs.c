/* SPDX-License-Identifier: Apache-2.0 */
/*
 * programs.c - both sides of running a program as a user.
 *
 * The master compares the request with the grant of its section and starts
 * this program again, in a session of its own; that child becomes the user and
 * then the program. What the program reads and prints passes by the master: its
 * two descriptors come from relay. The master ends it when its time is over,
 * when relay says so, and when relay is gone, since the queue will ask again.
 */
#include "master/programs.h"

#include <posthouse/log.h>

#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/record.h"
#include "master/grants.h"
#include "master/master.h"
#include "role/messages.h"

enum {
	RUNNING_MAX = 256,
	ARGUMENTS_MAX = 64,
	TEXT_MAX = 64 << 10, /* octets of a request */
	TIME_MAX_MS = 3600 * 1000,
	FILES_MAX = 1024,    /* open in a program */
	VALUES = 3,          /* SENDER, RECIPIENT, QUEUE_ID */
	FIXED = 6,           /* arguments of the child in front of the values */
};

/* --- the master's side --- */

/* In the frame of the fiber that serves the request. */
struct running {
	struct running *next, *prev;
	unsigned relay; /* whose it is */
	uint64_t number;
	struct child child;
};

static struct {
	struct running *first;
	size_t count;
} programs;

static void
enter(struct running *running)
{
	running->prev = NULL;
	running->next = programs.first;
	if (programs.first != NULL)
		programs.first->prev = running;
	programs.first = running;
	programs.count++;
}

static void
leave(struct running *running)
{
	if (running->prev != NULL)
		running->prev->next = running->next;
	else
		programs.first = running->next;
	if (running->next != NULL)
		running->next->prev = running->prev;
	programs.count--;
}

/* It leads a session, and so a process group, since before it was ours to
 * kill. */
static void
kill_group(const struct running *running)
{
	if (running->child.last_pid > 0)
		kill(-running->child.last_pid, SIGKILL);
}

/* NULL: it has a NUL, or there is no end of it. */
static const char *
text_copy(struct ph_arena *arena, struct ph_slice text)
{
	if (text.p == NULL || memchr(text.p, '\0', text.n) != NULL)
		return NULL;
	return ph_arena_slice(arena, text).p;
}

/* NULL: damaged. */
static const char *const *
take_arguments(struct ph_arena *arena, struct ph_slice record)
{
	const char **argv = ph_arena_array(arena, ARGUMENTS_MAX + 1,
	    sizeof(*argv));
	struct record_field field;
	size_t n = 0;

	while (record_next(&record, &field)) {
		if (field.tag != F_ARGUMENT)
			continue;
		if (n == ARGUMENTS_MAX)
			return NULL;
		argv[n] = text_copy(arena, field.value);
		if (argv[n++] == NULL)
			return NULL;
	}
	return argv;
}

/* Of an enabled transport alone, and only what its command says. */
static const struct grant *
granted(struct ph_slice record, const char *const *argv)
{
	struct ph_slice section = record_get(record, F_SECTION);
	const struct module_facts *facts = plan_module(master.plan, section);
	const struct grant *grant = grant_of(master.plan->grants, section);

	return facts != NULL && (facts->kinds & PH_KIND_TRANSPORT) &&
	    grant != NULL && grant_fits(grant, argv) ? grant : NULL;
}

static const char *
value(struct ph_arena *arena, const char *name, struct ph_slice text)
{
	const char *copy = text_copy(arena, text);

	return ph_arena_printf(arena, "%s=%s", name, copy != NULL ? copy : "");
}

/* What programs_main takes apart. */
static const char *const *
child_arguments(struct bus_request *request, const struct grant *grant,
    const char *const *argv, uint64_t timeout_ms)
{
	struct ph_arena *arena = request->arena;
	struct ph_slice record = request->message.record;
	const char **all = ph_arena_array(arena, FIXED + VALUES +
	    ARGUMENTS_MAX + 1, sizeof(*all));
	size_t n = 0;

	all[n++] = "posthouse";
	all[n++] = PROGRAMS_WORD;
	all[n++] = grant->drop ? grant->user : "";
	all[n++] = ph_arena_printf(arena, "%u", grant->uid);
	all[n++] = ph_arena_printf(arena, "%u", grant->gid);
	all[n++] = ph_arena_printf(arena, "%u",
	    (unsigned)(timeout_ms / 1000 + 1));
	all[n++] = value(arena, "SENDER", record_get(record, F_SENDER));
	all[n++] = value(arena, "RECIPIENT", record_get(record, F_RECIPIENT));
	all[n++] = value(arena, "QUEUE_ID", record_get(record, F_NAME));
	for (; *argv != NULL; argv++)
		all[n++] = *argv;
	return all;
}

static void
reply_end(struct bus_request *request, const struct child *child, int status)
{
	struct ph_buf buf;

	ph_buf_init(&buf, request->arena, 64);
	record_put_u64(&buf, F_EXIT, child->signal != 0 ?
	    (uint64_t)child->signal & 0x7f :
	    ((uint64_t)child->status & 0xff) << 8);
	bus_reply(request, status, ph_buf_content(&buf), NULL, 0);
}

static void
run(struct bus_request *request, const char *const *argv, uint64_t timeout_ms)
{
	struct running running = { .relay = request->from_index,
		.number = record_get_u64(request->message.record, F_NUMBER, 0) };
	struct ph_err err = { 0 };
	int status = child_start_program(&running.child, argv,
	    request->message.fds, &err);

	if (status != PH_OK) {
		ph_log(PH_ERROR, "program_not_started",
		    ph_f_str("reason", err.text));
		bus_reply(request, status, PH_LIT(""), NULL, 0);
		return;
	}
	enter(&running);
	status = child_wait(&running.child, (unsigned)timeout_ms);
	/* also what it left behind: it has no input any more */
	kill_group(&running);
	child_wait(&running.child, PH_NO_LIMIT_MS);
	leave(&running);
	reply_end(request, &running.child, status);
}

static void
on_run(struct bus_request *request)
{
	struct ph_slice record = request->message.record;
	uint64_t timeout_ms = record_get_u64(record, F_TIMEOUT, TIME_MAX_MS);
	const char *const *argv = NULL;
	const struct grant *grant;

	for (unsigned i = 0; i < BUS_FDS; i++)
		if (request->message.fds[i] >= 0)
			ph_arena_own_fd(request->arena,
			    request->message.fds[i]);
	if (record.n <= TEXT_MAX && request->message.fds[1] >= 0)
		argv = take_arguments(request->arena, record);
	grant = argv != NULL ? granted(record, argv) : NULL;
	if (grant == NULL) {
		ph_log(PH_ERROR, "program_refused",
		    ph_f_int("relay", request->from_index),
		    ph_f_slice("section", record_get(record, F_SECTION)),
		    ph_f_str("program", argv != NULL ? argv[0] : NULL),
		    ph_f_str("reason", "the configuration does not grant it"));
		bus_reply(request, PH_DENIED, PH_LIT(""), NULL, 0);
		return;
	}
	if (programs.count >= RUNNING_MAX || master.is_stopping) {
		bus_reply(request, PH_BUSY, PH_LIT(""), NULL, 0);
		return;
	}
	if (timeout_ms > TIME_MAX_MS)
		timeout_ms = TIME_MAX_MS;
	run(request, child_arguments(request, grant, argv, timeout_ms),
	    timeout_ms);
}

static void
on_run_end(struct bus_request *request)
{
	uint64_t number = record_get_u64(request->message.record, F_NUMBER, 0);

	for (struct running *r = programs.first; r != NULL; r = r->next)
		if (r->relay == request->from_index && r->number == number &&
		    child_is_running(&r->child))
			kill_group(r);
}

static void
on_peer_down(enum role role, unsigned index)
{
	for (struct running *r = programs.first; r != NULL; r = r->next)
		if (role == ROLE_RELAY && r->relay == index &&
		    child_is_running(&r->child))
			kill_group(r);
}

void
programs_serve(void)
{
	bus_limit_fds(MSG_RUN, 2, 0);
	bus_serve(MSG_RUN, ROLE_BIT(ROLE_RELAY), on_run);
	bus_serve(MSG_RUN_END, ROLE_BIT(ROLE_RELAY), on_run_end);
	bus_on_peer_down(on_peer_down);
}

/* --- the child --- */

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
become(const char *user, uid_t uid, gid_t gid)
{
	if (user[0] == '\0')
		return geteuid() != 0 ? NULL : "a user, but it is root";
	if (uid == 0 || gid == 0)
		return "a user, but it is root";
	if (initgroups(user, gid) != 0)
		return "initgroups";
	if (setresgid(gid, gid, gid) != 0)
		return "setresgid";
	if (setresuid(uid, uid, uid) != 0)
		return "setresuid";
	return has_become(uid, gid) ? NULL : "giving up root";
}

static const char *
prepare(char **argv)
{
	const char *wrong;

	if (!limit(RLIMIT_CORE, 0) || !limit(RLIMIT_NOFILE, FILES_MAX) ||
	    !limit(RLIMIT_CPU, (rlim_t)strtoul(argv[3], NULL, 10)))
		return "setrlimit";
	umask(077);
	if (chdir("/") != 0)
		return "chdir";
	wrong = become(argv[0], (uid_t)strtoul(argv[1], NULL, 10),
	    (gid_t)strtoul(argv[2], NULL, 10));
	if (wrong != NULL)
		return wrong;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
		return "prctl";
	return close_range(3, ~0u, 0) == 0 ? NULL : "close_range";
}

int
programs_main(int argc, char **argv)
{
	char *environment[] = { "PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8", NULL,
		NULL, NULL, NULL };
	enum { BEFORE = FIXED - 2 }; /* without our name and PROGRAMS_WORD */
	const char *wrong;

	if (argc <= BEFORE + VALUES || getsid(0) != getpid())
		return EX_USAGE;
	for (unsigned i = 0; i < VALUES; i++)
		environment[2 + i] = argv[BEFORE + i];
	wrong = prepare(argv);
	if (wrong == NULL) {
		execve(argv[BEFORE + VALUES], argv + BEFORE + VALUES,
		    environment);
		wrong = argv[BEFORE + VALUES];
	}
	dprintf(2, "posthouse: can't run: %s: %s\n", wrong, strerror(errno));
	return EX_TEMPFAIL;
}
