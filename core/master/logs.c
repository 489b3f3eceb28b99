/* SPDX-License-Identifier: Apache-2.0 */
/*
 * logs.c - where log lines go: a file, the journal, or standard error. The
 * master opens it; the roles get the descriptor and could not open it.
 */
#include "master/master.h"

#include <posthouse/log.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "log/log.h"
#include "role/messages.h"

#define JOURNAL "/run/systemd/journal/stdout"

/* The journal's stream: a header of identifier, unit, priority and four flags,
 * then lines. */
static int
open_journal(void)
{
	static const char header[] = "posthouse\n\n6\n0\n0\n0\n0\n";
	struct sockaddr_un to = { .sun_family = AF_UNIX, .sun_path = JOURNAL };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (connect(fd, (const struct sockaddr *)&to, sizeof(to)) == 0 &&
	    send(fd, header, sizeof(header) - 1, MSG_NOSIGNAL) ==
	        (ssize_t)sizeof(header) - 1)
		return fd;
	close(fd);
	return -1;
}

int
logs_open(const struct core_conf *core, int *fd_out, struct ph_err *err)
{
	const char *target = core->log.target;
	struct stat st;
	int fd;

	if (strcmp(target, "stderr") == 0)
		fd = fcntl(2, F_DUPFD_CLOEXEC, 3);
	else if (strcmp(target, "journal") == 0)
		fd = open_journal();
	else
		fd = open(target, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC |
		        O_NOCTTY | O_NONBLOCK, 0640);
	if (fd < 0)
		return ph_err_set(err, PH_IO, errno, "can't open the log %s: %s",
		    target, strerror(errno));
	if (target[0] == '/' && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		fcntl(fd, F_SETFL, O_APPEND); /* a file never blocks long */
	*fd_out = fd;
	return PH_OK;
}

void
logs_use(int fd)
{
	int old = master.log_fd;

	log_set_fd(fd);
	log_set_level((enum ph_level)master.plan->core.log.level);
	master.log_fd = fd;
	close(old);
	for (size_t i = 0; i < master.process_count; i++) {
		const struct process *process = &master.processes[i];

		if (process->state == PROCESS_READY ||
		    process->state == PROCESS_STARTING)
			bus_notify_fd(process->role, process->index, MSG_LOG_FD,
			    PH_LIT(""), fd);
	}
}

void
logs_reopen(void)
{
	struct ph_err err;
	int fd;

	if (logs_open(&master.plan->core, &fd, &err) != PH_OK) {
		ph_log(PH_ERROR, "log_not_reopened",
		    ph_f_str("reason", err.text));
		return;
	}
	logs_use(fd);
	ph_log(PH_INFO, "log_reopened");
}
