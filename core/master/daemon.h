/* SPDX-License-Identifier: Apache-2.0 */
/*
 * daemon.h - how the master tells who started it that it is ready: a shell
 * that waits for the command, or systemd.
 */
#ifndef CORE_MASTER_DAEMON_H
#define CORE_MASTER_DAEMON_H

#include <posthouse/base.h>

/*
 * Go on in a new session without a terminal. The process that called returns
 * to its caller only when the new one is ready or has ended, and does so by
 * exiting: 0 or 1. Returns in the new process; before threads exist.
 */
void daemon_detach(void);
/* Where standard error of the roles goes: who waits for us may hold a pipe, and
 * must not wait for them. -1: they may have ours. */
int daemon_error_fd(void);
/* The server is ready: let the caller go, give the terminal up. keep_stderr:
 * it is the log. */
void daemon_ready(bool keep_stderr);
/* Send a state to the service manager ("READY=1"), when there is one. */
void daemon_notify(const char *state);

#endif
