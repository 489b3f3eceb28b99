/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control.c - the socket of posthousectl. Who may connect: root, the user the
 * master runs as, and the members of group `posthouse`; the kernel says who
 * calls. What they send is still bounded and checked.
 */
#include "master/master.h"

#include <posthouse/log.h>

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <uv.h>

#include "loop/fiber.h"
#include "master/command.h"
#include "master/frame.h"
#include "net/stream.h"

enum {
	CALLERS_MAX = 16,
	REQUEST_MS = 10000,
	GROUPS_MAX = 256,
};

static struct {
	uv_poll_t poll;
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int fd;
	unsigned callers;
	bool has_group;
	gid_t group;
} control = { .fd = -1 };

static bool
is_in_group(int fd, const struct ucred *caller)
{
	gid_t groups[GROUPS_MAX];
	socklen_t size = sizeof(groups);

	if (caller->gid == control.group)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) != 0)
		return false;
	for (size_t i = 0; i < size / sizeof(groups[0]); i++)
		if (groups[i] == control.group)
			return true;
	return false;
}

static bool
may_call(int fd, struct command_caller *caller_out)
{
	struct ucred caller;
	socklen_t size = sizeof(caller);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &caller, &size) != 0)
		return false;
	*caller_out = (struct command_caller){ caller.uid, caller.pid, fd };
	if (caller.uid == 0 || caller.uid == geteuid() ||
	    (control.has_group && is_in_group(fd, &caller)))
		return true;
	ph_log(PH_NOTICE, "command_denied", ph_f_int("uid", caller.uid),
	    ph_f_int("pid", caller.pid));
	return false;
}

static void
answer(struct ph_stream *stream, const struct command_caller *caller,
    struct ph_arena *arena)
{
	struct ph_slice request;
	struct ph_buf reply;
	bool stop;

	if (frame_read(stream, arena, FRAME_REQUEST_LIMIT, REQUEST_MS,
	        &request) != PH_OK)
		return;
	ph_buf_init(&reply, arena, FRAME_REPLY_LIMIT);
	stop = command_run(request, caller, arena, &reply);
	ph_wipe((char *)(uintptr_t)request.p, request.n);
	frame_write(stream, ph_buf_content(&reply));
	if (stop)
		master_stop(); /* the end of the connection tells that it is done */
}

static void
serve(void *arg)
{
	int fd = (int)(intptr_t)arg;
	struct command_caller caller;
	struct ph_arena *arena = ph_arena_create(NULL);
	struct ph_stream *stream = stream_create(arena, fd);

	if (may_call(fd, &caller))
		answer(stream, &caller, arena);
	ph_arena_free(arena);
	control.callers--;
}

static void
on_readable(uv_poll_t *poll, int status, int events)
{
	int fd;

	(void)poll;
	(void)status;
	(void)events;
	fd = accept4(control.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	if (control.callers == CALLERS_MAX) {
		close(fd);
		return;
	}
	control.callers++;
	fiber_start(serve, (void *)(intptr_t)fd);
}

/* The pid file's lock is ours: what lies there is of a master that is gone. */
static int
bind_socket(int fd)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	const struct group *group = getgrnam("posthouse");

	memcpy(at.sun_path, control.path, sizeof(at.sun_path));
	unlink(control.path);
	if (fchmod(fd, 0600) != 0 || /* the mode that bind gives the file */
	    bind(fd, (const struct sockaddr *)&at, sizeof(at)) != 0 ||
	    chmod(control.path, 0660) != 0)
		return -1;
	control.has_group = group != NULL;
	control.group = group != NULL ? group->gr_gid : 0;
	if (group != NULL && geteuid() == 0 &&
	    lchown(control.path, 0, group->gr_gid) != 0)
		return -1;
	return listen(fd, CALLERS_MAX);
}

int
control_open(const struct core_conf *core, struct ph_err *err)
{
	if (snprintf(control.path, sizeof(control.path), "%s/control.sock",
	        core->run_dir) >= (int)sizeof(control.path))
		return ph_err_set(err, PH_INVALID, 0,
		    "run_dir is too long for a socket (%zu octets)",
		    sizeof(control.path));
	control.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    0);
	if (control.fd < 0 || bind_socket(control.fd) != 0)
		return ph_err_set(err, PH_IO, errno, "can't listen on %s: %s",
		    control.path, strerror(errno));
	uv_poll_init(fiber_loop(), &control.poll, control.fd);
	uv_poll_start(&control.poll, UV_READABLE, on_readable);
	uv_unref((uv_handle_t *)&control.poll);
	return PH_OK;
}

void
control_close(void)
{
	if (control.fd < 0)
		return;
	unlink(control.path);
	uv_poll_stop(&control.poll);
	close(control.fd);
	control.fd = -1;
}
