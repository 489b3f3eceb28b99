/* SPDX-License-Identifier: Apache-2.0 */
/*
 * child.h - a process of this program started by fork and exec of itself.
 *
 * Roles and the configuration checker are both such children: the same file
 * under another option, with a few descriptors from 3 on.
 */
#ifndef CORE_MASTER_CHILD_H
#define CORE_MASTER_CHILD_H

#include <posthouse/fiber.h>

#include <uv.h>

struct child {
	uv_process_t handle;
	int pid;            /* 0: not running */
	int last_pid;       /* stays after the end */
	int64_t status;     /* exit status, once ended */
	int signal;         /* that ended it; 0: none */
	struct ph_event ended; /* signalled at the end */
};

/*
 * Start /proc/self/exe with argv (NULL-terminated); fds[i] becomes descriptor
 * 3 + i of the child, borrowed. Standard input is /dev/null, standard output
 * and error are our standard error (but see below). The struct must stay where it is while
 * the child runs. 0, or a status with err filled.
 */
int child_start(struct child *child, const char *const *argv, const int *fds,
    unsigned fd_count, struct ph_err *err);
/*
 * The same for a program that gets fds[0] as input and fds[1] as output and
 * errors, no other descriptor, and leads a session of its own. libuv knows
 * nothing of it: the caller finds its end and reaps it.
 */
int child_start_program(const char *const *argv, const int fds[2],
    pid_t *pid_out, struct ph_err *err);
/* What becomes standard output and error of later children, instead of our
 * standard error; borrowed. */
void child_set_error_fd(int fd);
bool child_is_running(const struct child *child);
/* Suspends until it ended; PH_TIMEOUT after ms. */
int child_wait(struct child *child, unsigned ms);
/* SIGKILL; the end comes later. */
void child_kill(struct child *child);

/* A pair of connected sockets, close-on-exec, not blocking. 0 or a status. */
int child_socket_pair(int pair_out[2], struct ph_err *err);

#endif
