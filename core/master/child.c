/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child.c - starting this program again as another process, and its end.
 *
 * The program is named by /proc/self/exe, so that an upgrade on disk does not
 * mix versions; except under valgrind, where that would be valgrind. Limits and
 * the environment are the master's.
 */
#include "master/child.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/fiber.h"
#include "role/confine.h"

enum { CHILD_FDS = 3 };

static int error_fd = 2;

void
child_set_error_fd(int fd)
{
	error_fd = fd;
}

static void
on_closed(uv_handle_t *handle)
{
	struct child *child = handle->data;

	child->pid = 0;
	ph_event_signal(&child->ended);
}

static void
on_exit(uv_process_t *handle, int64_t status, int signal)
{
	struct child *child = handle->data;

	child->status = status;
	child->signal = signal;
	uv_close((uv_handle_t *)handle, on_closed);
}

static const char *
own_program(void)
{
	static char path[1024];
	ssize_t n;

	if (!confine_is_on_valgrind())
		return "/proc/self/exe";
	n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = '\0';
	return path;
}

static int
spawn(struct child *child, const uv_process_options_t *options,
    struct ph_err *err)
{
	int rc;

	ph_assert(child->pid == 0);
	child->status = 0;
	child->signal = 0;
	rc = uv_spawn(fiber_loop(), &child->handle, options);
	child->handle.data = child;
	if (rc == 0) {
		child->pid = child->last_pid = child->handle.pid;
		return PH_OK;
	}
	child->pid = -1; /* until the handle is closed */
	uv_close((uv_handle_t *)&child->handle, on_closed);
	while (child_is_running(child)) {
		int status = ph_event_wait(&child->ended, PH_NO_LIMIT_MS);

		/* The master cancels none of its fibers; one that was would
		 * turn here without end, or leave the handle to libuv in a
		 * frame that is gone. */
		ph_assert(status == PH_OK);
	}
	return ph_err_set(err, PH_IO, -rc, "can't start a process: %s",
	    uv_strerror(rc));
}

int
child_start(struct child *child, const char *const *argv, const int *fds,
    unsigned fd_count, struct ph_err *err)
{
	uv_stdio_container_t stdio[3 + CHILD_FDS] = {
		{ .flags = UV_IGNORE },
		{ .flags = UV_INHERIT_FD, .data.fd = error_fd },
		{ .flags = UV_INHERIT_FD, .data.fd = error_fd },
	};
	uv_process_options_t options = {
		.exit_cb = on_exit,
		.file = own_program(),
		.args = (char **)(uintptr_t)argv,
		.stdio_count = (int)(3 + fd_count),
		.stdio = stdio,
	};

	ph_assert(fd_count <= CHILD_FDS);
	for (unsigned i = 0; i < fd_count; i++) {
		stdio[3 + i].flags = UV_INHERIT_FD;
		stdio[3 + i].data.fd = fds[i];
	}
	return spawn(child, &options, err);
}

int
child_start_program(const char *const *argv, const int fds[2], pid_t *pid_out,
    struct ph_err *err)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int rc;

	sigemptyset(&none);
	sigfillset(&all);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fds[0], 0);
	posix_spawn_file_actions_adddup2(&actions, fds[1], 1);
	posix_spawn_file_actions_adddup2(&actions, fds[1], 2);
	posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	posix_spawnattr_init(&attributes);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID |
	    POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	rc = posix_spawn(pid_out, own_program(), &actions, &attributes,
	    (char *const *)(uintptr_t)argv, environ);
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return rc == 0 ? PH_OK : ph_err_set(err, PH_IO, rc,
	    "can't start a process: %s", strerror(rc));
}

bool
child_is_running(const struct child *child)
{
	return child->pid != 0;
}

int
child_wait(struct child *child, unsigned ms)
{
	uint64_t end_ms = ph_now_ms() + ms;

	while (child_is_running(child)) {
		uint64_t now = ph_now_ms();
		int status;

		if (ms != PH_NO_LIMIT_MS && now >= end_ms)
			return PH_TIMEOUT;
		status = ph_event_wait(&child->ended,
		    ms == PH_NO_LIMIT_MS ? ms : (unsigned)(end_ms - now));
		if (status != PH_OK)
			return child_is_running(child) ? status : PH_OK;
	}
	return PH_OK;
}

void
child_kill(struct child *child)
{
	if (child->pid > 0)
		kill(child->pid, SIGKILL);
}

int
child_socket_pair(int pair_out[2], struct ph_err *err)
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
	        pair_out) == 0)
		return PH_OK;
	return ph_err_set(err, PH_IO, errno, "can't make a socket pair: %s",
	    strerror(errno));
}
