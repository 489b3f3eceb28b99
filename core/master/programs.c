/* SPDX-License-Identifier: Apache-2.0 */
/*
 * programs.c - the master's side of running a program as a user.
 *
 * The master compares the request with the grant of its section and starts
 * this program again, in a session of its own; that child becomes the user and
 * then the program (program_child.c). What the program reads and prints passes
 * by the master: its two descriptors come from relay. The master ends it when
 * its time is over, when relay says so, and when relay is gone, since the queue
 * will ask again.
 *
 * libuv reaps its children as soon as they end, and then their number may be
 * somebody else's. A program is none of its: it stays there, dead, until what
 * is left of its group was killed.
 */
#include "master/programs.h"

#include <posthouse/log.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/record.h"
#include "master/grants.h"
#include "master/master.h"
#include "net/poll.h"
#include "role/messages.h"

enum {
	RUNNING_MAX = 256,
	ARGUMENTS_MAX = 64,
	TEXT_MAX = 64 << 10, /* octets of a request */
	TIME_MAX_MS = 3600 * 1000,
};

/* In the frame of the fiber that serves the request: from its entry to its
 * leave pid is a child of ours that was not reaped. */
struct running {
	struct running *next, *prev;
	unsigned relay; /* whose it is */
	uint64_t number;
	pid_t pid;
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
	kill(-running->pid, SIGKILL);
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

static const char *
number(struct ph_arena *arena, uint64_t value)
{
	return ph_arena_printf(arena, "%llu", (unsigned long long)value);
}

/* What programs_main takes apart. */
static const char *const *
child_arguments(struct bus_request *request, const struct grant *grant,
    const char *const *argv, uint64_t timeout_ms)
{
	struct ph_arena *arena = request->arena;
	struct ph_slice record = request->message.record;
	const struct program_limits *limits = &grant->limits;
	uint64_t cpu_ms = limits->cpu_ms > 0 && limits->cpu_ms < timeout_ms ?
	    limits->cpu_ms : timeout_ms;
	const char **all = ph_arena_array(arena, PROGRAM_ARGUMENTS +
	    ARGUMENTS_MAX + 3, sizeof(*all));
	size_t n = 0;

	all[n++] = "posthouse";
	all[n++] = PROGRAMS_WORD;
	all[n++] = grant->drop ? grant->name : "";
	all[n++] = grant->is_group_named ? "1" : "0";
	all[n++] = number(arena, grant->uid);
	all[n++] = number(arena, grant->gid);
	all[n++] = number(arena, cpu_ms / 1000 + 1);
	all[n++] = number(arena, limits->memory_bytes);
	all[n++] = number(arena, limits->open_files);
	all[n++] = number(arena, limits->processes);
	all[n++] = number(arena, limits->file_bytes);
	all[n++] = value(arena, "SENDER", record_get(record, F_SENDER));
	all[n++] = value(arena, "RECIPIENT", record_get(record, F_RECIPIENT));
	all[n++] = value(arena, "QUEUE_ID", record_get(record, F_NAME));
	ph_assert(n == PROGRAM_ARGUMENTS + 2);
	for (; *argv != NULL; argv++)
		all[n++] = *argv;
	return all;
}

/* The program's end, not yet reaped; what is left of its group is killed when
 * it is there or late. A status that it was late. */
static int
wait_for_end(const struct running *running, struct poll_watch *watch,
    unsigned timeout_ms)
{
	int late = poll_wait(watch, POLL_INPUT, timeout_ms), status;

	/* also what it left behind: it has no input any more */
	kill_group(running);
	status = poll_wait(watch, POLL_INPUT, PH_NO_LIMIT_MS);
	/* The master cancels none of its fibers; were this one to go on, its
	 * frame would end with a child in it that others may still kill. */
	ph_assert(status == PH_OK);
	return late;
}

static void
run(struct bus_request *request, const char *const *argv, uint64_t timeout_ms)
{
	struct running running = { .relay = request->from_index,
		.number = record_get_u64(request->message.record, F_NUMBER, 0) };
	struct poll_watch *watch = NULL;
	struct ph_err err = { 0 };
	struct ph_buf buf;
	int end, fd = -1, status = child_start_program(argv,
	    request->message.fds, &running.pid, &err);

	if (status != PH_OK) {
		ph_log(PH_ERROR, "program_not_started",
		    ph_f_str("reason", err.text));
		bus_reply(request, status, PH_LIT(""), NULL, 0);
		return;
	}
	fd = pidfd_open(running.pid, 0);
	if (fd >= 0)
		watch = poll_open(fd);
	if (watch != NULL) {
		enter(&running);
		status = wait_for_end(&running, watch, (unsigned)timeout_ms);
		leave(&running);
	} else { /* no descriptors: nobody could tell its end */
		kill_group(&running);
		status = PH_BUSY;
	}
	while (waitpid(running.pid, &end, 0) < 0)
		ph_assert(errno == EINTR);
	poll_close(watch);
	if (fd >= 0)
		close(fd);
	ph_buf_init(&buf, request->arena, 64);
	record_put_u64(&buf, F_EXIT, (uint64_t)end & 0xffff);
	bus_reply(request, status, ph_buf_content(&buf), NULL, 0);
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
		if (r->relay == request->from_index && r->number == number)
			kill_group(r);
}

static void
on_peer_down(enum role role, unsigned index)
{
	for (struct running *r = programs.first; r != NULL; r = r->next)
		if (role == ROLE_RELAY && r->relay == index)
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
