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
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

enum { LOOK_MS = 5, LOOK_MAX_MS = 100 };

struct run {
	const struct program *program;
	struct ph_slice input;
	struct program_result *result;
	int input_fd, output[2];
	size_t output_n;
	pid_t pid;
	volatile int error; /* the child writes it, too */
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
	/* only our end: programs do not expect to hear EAGAIN */
	return pipe2(run->output, O_CLOEXEC) == 0 &&
	    fcntl(run->output[0], F_SETFL, O_NONBLOCK) == 0 ? 0 : errno;
}

static bool
limit(__rlimit_resource_t what, rlim_t most)
{
	struct rlimit limits;

	if (most == 0)
		return true;
	if (getrlimit(what, &limits) != 0)
		return false;
	if (limits.rlim_max > most)
		limits.rlim_max = most;
	limits.rlim_cur = limits.rlim_max;
	return setrlimit(what, &limits) == 0;
}

static bool
take_limits(const struct program *program)
{
	const struct program_limits *l = &program->limits;
	const struct rlimit none = { 0, 0 };
	unsigned cpu_ms = l->cpu_ms > 0 && l->cpu_ms < program->timeout_ms ?
	    l->cpu_ms : program->timeout_ms;

	return setrlimit(RLIMIT_CORE, &none) == 0 &&
	    limit(RLIMIT_NOFILE, l->open_files) &&
	    limit(RLIMIT_CPU, cpu_ms / 1000 + 1) &&
	    limit(RLIMIT_NPROC, l->processes) &&
	    limit(RLIMIT_FSIZE, l->file_size_bytes) &&
	    limit(RLIMIT_AS, l->memory_bytes);
}

static void
forget_signals(void)
{
	struct sigaction plain = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		sigaction(i, &plain, NULL); /* not all may be */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* In memory that is still ours: system calls and nothing else. */
static _Noreturn void
become(struct run *run)
{
	const struct program *program = run->program;

	forget_signals();
	if (setpgid(0, 0) == 0 && dup2(run->input_fd, 0) == 0 &&
	    dup2(run->output[1], 1) == 1 && dup2(run->output[1], 2) == 2 &&
	    close_range(3, ~0u, 0) == 0 && take_limits(program))
		execve(program->argv[0],
		    (char *const *)(uintptr_t)program->argv,
		    (char *const *)(uintptr_t)program->environment);
	run->error = errno;
	_exit(127);
}

/* posix_spawn has no limits. As there: no handler of ours may run in the child
 * while it shares our memory. */
static void
spawn(struct run *run)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	run->pid = vfork();
	if (run->pid == 0)
		become(run);
	if (run->pid < 0)
		run->error = errno;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (run->pid > 0 && run->error != 0)
		waitpid(run->pid, NULL, 0);
}

/* In the thread pool: much may be copied. */
static void
start(void *arg)
{
	struct run *run = arg;

	run->error = make_input(run);
	if (run->error == 0 && run->program->other.attempt == NULL)
		spawn(run);
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
run_as_other(struct run *run)
{
	const struct program *program = run->program;
	const int fds[] = { run->input_fd, run->output[1] };
	struct program_result *result = run->result;
	struct ph_scope scope;
	int end, status;

	ph_scope_begin(&scope);
	ph_scope_spawn(&scope, drain, run);
	status = ph_attempt_run(program->other.attempt,
	    program->other.recipient, program->argv, fds, program->timeout_ms,
	    &end);
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
wait_for_it(struct run *run)
{
	uint64_t end_ms = ph_now_ms() + run->program->timeout_ms;
	unsigned look_ms = LOOK_MS;
	int status;

	for (;;) {
		siginfo_t ended = { 0 };
		int slept;

		waitid(P_PID, (id_t)run->pid, &ended,
		    WEXITED | WNOHANG | WNOWAIT);
		take_output(run);
		if (ended.si_pid == run->pid) {
			/* What it left behind has no input any more. Before it
			 * is reaped: then its number may be another's. */
			kill(-run->pid, SIGKILL);
			while (waitpid(run->pid, &status, 0) < 0 &&
			    errno == EINTR)
				;
			note_end(run->result, status);
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
program_run(const struct program *program, struct ph_slice input,
    struct program_result *result)
{
	struct run run = { .program = program, .input = input,
		.result = result, .input_fd = -1, .output = { -1, -1 } };
	bool is_ours = program->other.attempt == NULL;

	memset(result, 0, sizeof(*result));
	ph_work(start, &run);
	if (run.error == 0 && !is_ours)
		run_as_other(&run);
	if (run.output[1] >= 0)
		close(run.output[1]);
	if (run.input_fd >= 0)
		close(run.input_fd);
	if (run.error == 0 && is_ours) {
		wait_for_it(&run);
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
