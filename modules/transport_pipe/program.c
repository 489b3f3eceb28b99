/* SPDX-License-Identifier: Apache-2.0 */
/*
 * program.c - spawn, wait, read what it says.
 *
 * The input is a file in memory, so that a program that does not read can't
 * block us. It is the head of a process group, which is killed when it is late.
 * Its end is looked for every few milliseconds: a fiber has no other way.
 */
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <posthouse/fiber.h>
#include <posthouse/transport.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

enum { LOOK_MS = 5, LOOK_MAX_MS = 100 };

struct run {
	const char *const *argv, *const *environment;
	struct program_other other;
	struct ph_slice input;
	struct program_result *result;
	int input_fd, output[2];
	size_t output_n;
	pid_t pid;
	int error;
};

static int
make_input(struct run *run)
{
	size_t at = 0;

	run->input_fd = memfd_create("mail", MFD_CLOEXEC);
	if (run->input_fd < 0)
		return errno;
	while (at < run->input.n) {
		ssize_t n = write(run->input_fd, run->input.p + at,
		    run->input.n - at);

		if (n <= 0)
			return n < 0 ? errno : EIO;
		at += (size_t)n;
	}
	lseek(run->input_fd, 0, SEEK_SET);
	return pipe2(run->output, O_CLOEXEC | O_NONBLOCK) == 0 ? 0 : errno;
}

static int
spawn(struct run *run)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int error;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, run->input_fd, 0);
	posix_spawn_file_actions_adddup2(&actions, run->output[1], 1);
	posix_spawn_file_actions_adddup2(&actions, run->output[1], 2);
	posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP |
	    POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setpgroup(&attributes, 0);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	error = posix_spawn(&run->pid, run->argv[0], &actions, &attributes,
	    (char *const *)(uintptr_t)run->argv,
	    (char *const *)(uintptr_t)run->environment);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return error;
}

/* In the thread pool: much may be copied. */
static void
start(void *arg)
{
	struct run *run = arg;

	run->error = make_input(run);
	if (run->error == 0 && run->other.attempt == NULL)
		run->error = spawn(run);
}

/* Keep the beginning, drop the rest, so that the pipe is never full. */
static void
take_output(struct run *run)
{
	struct program_result *result = run->result;
	char piece[4096];
	ssize_t n;

	for (unsigned i = 0; i < 64 &&
	    (n = read(run->output[0], piece, sizeof(piece))) > 0; i++)
		for (ssize_t k = 0; k < n &&
		    run->output_n < PROGRAM_OUTPUT_MAX; k++)
			result->output[run->output_n++] =
			    (unsigned char)piece[k] < 0x20 ? ' ' : piece[k];
	result->output[run->output_n] = '\0';
}

static void
kill_it(struct run *run, enum program_end end)
{
	int status;

	run->result->end = end;
	kill(-run->pid, SIGKILL);
	while (waitpid(run->pid, &status, 0) < 0 && errno == EINTR)
		;
}

static void
note_end(struct program_result *result, int status)
{
	bool exited = WIFEXITED(status);

	result->end = exited ? PROGRAM_EXITED : PROGRAM_KILLED;
	result->code = exited ? WEXITSTATUS(status) : WTERMSIG(status);
}

/* So that the pipe is never full while somebody else waits for the end. */
static void
drain(void *arg)
{
	do
		take_output(arg);
	while (ph_sleep_ms(LOOK_MS) == PH_OK);
}

static void
run_as_other(struct run *run, unsigned timeout_ms)
{
	const int fds[] = { run->input_fd, run->output[1] };
	struct program_result *result = run->result;
	struct ph_scope scope;
	int end, status;

	ph_scope_begin(&scope);
	ph_scope_spawn(&scope, drain, run);
	status = ph_attempt_run(run->other.attempt, run->other.recipient,
	    run->argv, fds, timeout_ms, &end);
	ph_scope_end(&scope);
	take_output(run);
	if (status == PH_OK) {
		note_end(result, end);
		return;
	}
	result->end = status == PH_TIMEOUT ? PROGRAM_LATE :
	    status == PH_CANCELED          ? PROGRAM_CANCELED :
	                                     PROGRAM_NOT_RUN;
	result->code = status == PH_DENIED ? EPERM :
	    status == PH_BUSY              ? EAGAIN : EIO;
}

static void
wait_for_it(struct run *run, unsigned timeout_ms)
{
	uint64_t end_ms = ph_now_ms() + timeout_ms;
	unsigned look_ms = LOOK_MS;
	int status;

	for (;;) {
		pid_t pid = waitpid(run->pid, &status, WNOHANG);
		int slept;

		take_output(run);
		if (pid == run->pid) {
			note_end(run->result, status);
			/* what it left behind has no input any more */
			kill(-run->pid, SIGKILL);
			return;
		}
		if (ph_now_ms() >= end_ms) {
			kill_it(run, PROGRAM_LATE);
			return;
		}
		slept = ph_sleep_ms(look_ms);
		if (slept != PH_OK) {
			kill_it(run, slept == PH_TIMEOUT ? PROGRAM_LATE :
			                                   PROGRAM_CANCELED);
			return;
		}
		look_ms = look_ms * 2 < LOOK_MAX_MS ? look_ms * 2 :
		                                      LOOK_MAX_MS;
	}
}

void
program_run(const char *const *argv, const char *const *environment,
    const struct program_other *other, struct ph_slice input,
    unsigned timeout_ms, struct program_result *result)
{
	static const struct program_other nobody;
	struct run run = { .argv = argv, .environment = environment,
		.other = other != NULL ? *other : nobody, .input = input,
		.result = result, .input_fd = -1, .output = { -1, -1 } };

	memset(result, 0, sizeof(*result));
	ph_work(start, &run);
	if (run.error == 0 && run.other.attempt != NULL)
		run_as_other(&run, timeout_ms);
	if (run.output[1] >= 0)
		close(run.output[1]);
	if (run.input_fd >= 0)
		close(run.input_fd);
	if (run.error == 0 && run.other.attempt == NULL) {
		wait_for_it(&run, timeout_ms);
	} else if (run.error != 0) {
		result->end = PROGRAM_NOT_RUN;
		result->code = run.error;
	}
	if (run.output[0] >= 0)
		close(run.output[0]);
}

/* What the administrator must mend is temporary: no sender is to blame. */
const char *
program_exit_means(int code)
{
	switch (code) {
	case EX_OK:
		return "2.0.0";
	case EX_DATAERR:
		return "5.6.0";
	case EX_NOUSER:
		return "5.1.1";
	case EX_NOHOST:
		return "5.1.2";
	case EX_UNAVAILABLE:
		return "5.3.0";
	case EX_CANTCREAT:
		return "5.2.0";
	case EX_PROTOCOL:
		return "5.5.0";
	case EX_NOPERM:
		return "5.7.0";
	default:
		return "4.3.0";
	}
}
