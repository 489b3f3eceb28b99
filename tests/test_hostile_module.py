# SPDX-License-Identifier: Apache-2.0
"""A module that is an enemy: in every role that loads modules it tries from its
constructor, and in those that meet strangers from its hooks, what is not that
role's right."""
import os
import re
import shutil
import smtplib
import socket
import subprocess
import tempfile
import unittest

from ports import free_ports
from sandbox import BUILD, DEADLINE, TOP, Sandbox

MODULE = r"""
#define _GNU_SOURCE
#include <posthouse/auth.h>
#include <posthouse/check.h>
#include <posthouse/listener.h>
#include <posthouse/transport.h>
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

static char done[1000];

static void
tried(const char *what, int worked)
{
	if (worked) {
		strcat(done, " ");
		strcat(done, what);
	}
}

static int
can_open(const char *path, int flags)
{
	int fd = open(path, flags, 0600);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static int
can_connect(const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(to.sun_path, path);
	return fd >= 0 && connect(fd, (void *)&to, sizeof(to)) == 0;
}

static int
can_fork(void)
{
	pid_t pid = syscall(SYS_fork);

	if (pid == 0)
		_exit(0);
	return pid > 0;
}

static void
attack_process(const char *when, pid_t pid)
{
	char proc[64], octet;
	struct iovec here = { &octet, 1 }, there = { (void *)when, 1 };

	tried("ptrace", ptrace(PTRACE_ATTACH, pid, NULL, NULL) == 0);
	tried("memory", process_vm_readv(pid, &here, 1, &there, 1, 0) == 1);
	tried("kill", kill(pid, 0) == 0);
	tried("queue-signal", sigqueue(pid, 0, (union sigval){ 0 }) == 0);
	tried("pidfd", syscall(SYS_pidfd_getfd,
	    (int)syscall(SYS_pidfd_open, pid, 0), 3, 0) >= 0);
	snprintf(proc, sizeof(proc), "/proc/%d/mem", (int)pid);
	tried("mem", can_open(proc, O_RDONLY));
	snprintf(proc, sizeof(proc), "/proc/%d/fd/3", (int)pid);
	tried("its-socket", can_open(proc, O_RDWR));
	snprintf(proc, sizeof(proc), "/proc/%d/environ", (int)pid);
	tried("environ", geteuid() != 0 && can_open(proc, O_RDONLY));
}

/* Another role's process. */
static pid_t
sibling(void)
{
	DIR *all = opendir("/proc");
	struct dirent *one;
	pid_t found = 0;

	while (all != NULL && found == 0 && (one = readdir(all)) != NULL) {
		char path[300], words[200] = "", stat[400] = "", *at;
		pid_t pid = atoi(one->d_name);
		int fd, parent = 0;

		snprintf(path, sizeof(path), "/proc/%s/cmdline", one->d_name);
		fd = open(path, O_RDONLY);
		if (fd < 0 || pid <= 0 || pid == getpid())
			continue;
		read(fd, words, sizeof(words) - 1);
		close(fd);
		snprintf(path, sizeof(path), "/proc/%s/stat", one->d_name);
		fd = open(path, O_RDONLY);
		read(fd, stat, sizeof(stat) - 1);
		close(fd);
		at = strrchr(stat, ')');
		if (at != NULL)
			sscanf(at + 1, " %*c %d", &parent);
		if (parent == getppid() &&
		    memmem(words, sizeof(words), "--role=", 7) != NULL)
			found = pid;
	}
	if (all != NULL)
		closedir(all);
	return found;
}

static void
attack(const char *when)
{
	char *const argv[] = { (char *)"true", NULL };

	strcat(done, when);
	tried("shadow", can_open("/etc/shadow", O_RDONLY));
	tried("key", can_open(HOME "/tls/key.pem", O_RDONLY));
	tried("users", can_open(DATA "/auth/users", O_RDONLY));
	tried("queue", can_open(DATA "/queue", O_RDONLY | O_DIRECTORY));
	tried("mail", can_open(DATA "/mail", O_RDONLY | O_DIRECTORY));
	tried("write", can_open("/tmp/posthouse-hostile", O_WRONLY | O_CREAT));
	tried("setuid", setuid(0) == 0 && WAS_ROOT);
	tried("chroot", chroot("/tmp") == 0);
	tried("mount", mount("none", "/tmp", "tmpfs", 0, NULL) == 0);
	tried("unshare", unshare(CLONE_NEWUSER) == 0);
	tried("packets", socket(AF_PACKET, SOCK_RAW, 0) >= 0);
	tried("listen", listen(socket(AF_INET, SOCK_STREAM, 0), 1) == 0);
	tried("control", WAS_ROOT && can_connect(CONTROL));
	tried("fork", can_fork());
	tried("bpf", syscall(SYS_bpf, 0, NULL, 0) >= 0);
	tried("dial-out", socket(AF_INET, SOCK_STREAM, 0) >= 0);
	tried("module", can_open(MODULES "/smtp_inbound.so", O_WRONLY));
	tried("raw-disk", mknod("/tmp/posthouse-disk", S_IFBLK | 0600, 0x800) == 0);
	tried("link", link("/etc/passwd", "/tmp/posthouse-link") == 0);
	tried("keys", syscall(SYS_add_key, "user", "x", "y", 1, -1) >= 0);
	tried("ring", syscall(SYS_io_uring_setup, 1, NULL) >= 0);
	tried("handle", syscall(SYS_open_by_handle_at, -1, NULL, 0) >= 0);
	attack_process(when, getppid());
	if (sibling() > 0)
		attack_process(when, sibling());
	else
		tried("no-sibling", 1);
	if (strstr(when, "relay") == NULL) /* it may run programs */
		execv("/bin/true", argv);
}

__attribute__((constructor)) static void
on_load(void)
{
	char words[200] = "", line[1200];
	int fd = open("/proc/self/cmdline", O_RDONLY);
	const char *role;

	/* the checker of the configuration loads it, too, and gives up less */
	if (read(fd, words, sizeof(words) - 1) <= 0)
		return;
	close(fd);
	role = memmem(words, sizeof(words), "--role=", 7);
	if (role == NULL)
		return;
	attack(role + 7);
	snprintf(line, sizeof(line), "hostile in %s.\n", done);
	write(4, line, strlen(line)); /* the log */
	strcpy(done, "load:");
}

static enum ph_verdict
on_connect(struct ph_call *call, const void *conf)
{
	(void)conf;
	attack(" connect:");
	return ph_reject(call, 550, "5.7.1", "%s.", done);
}

static void
on_session(struct ph_session *session, const void *conf)
{
	(void)conf;
	attack(" session:");
	ph_stream_printf(ph_session_stream(session), "%s.\r\n", done);
	ph_stream_flush(ph_session_stream(session));
}

static const struct ph_check_ops check = { .at = { [PH_AT_CONNECT] = on_connect } };
static const struct ph_listener_ops listener = { .service = "x",
	.session = on_session };
static int
on_open(struct ph_arena *arena, const void *conf, struct ph_auth **auth_out,
    struct ph_err *err)
{
	return PH_OK;
}
static enum ph_user_answer
on_verify(struct ph_auth *auth, struct ph_arena *arena, struct ph_slice user,
    struct ph_slice password)
{
	return PH_USER_UNKNOWN;
}
static enum ph_user_answer
on_lookup(struct ph_auth *auth, struct ph_arena *arena, struct ph_slice address,
    struct ph_user *user_out)
{
	return PH_USER_UNKNOWN;
}
static void
on_close(struct ph_auth *auth)
{
}
static void
on_attempt(struct ph_attempt *attempt, const void *conf)
{
}
static const struct ph_auth_ops auth = { .open = on_open, .close = on_close,
	.verify = on_verify, .lookup = on_lookup };
static const struct ph_transport_ops transport = { .attempt = on_attempt };
PH_MODULE(hostile) = { .abi = PH_ABI, .name = "hostile", .kinds = PH_KIND_CHECK |
	PH_KIND_LISTENER | PH_KIND_AUTH | PH_KIND_TRANSPORT, .doc = "An enemy",
	.check = &check, .listener = &listener, .auth = &auth,
	.transport = &transport };
"""


def is_sanitized():
    with open(os.path.join(BUILD, "CMakeCache.txt")) as cache:
        return any(line.startswith("PH_SANITIZE:") and "=ON" in line
                   for line in cache)


@unittest.skipIf(is_sanitized(), "sanitizers need what confinement takes")
class Hostile(unittest.TestCase):
    # What is the right of a role: everything else is to be refused.
    RIGHTS = {"edge": "", "check": "dial-out", "auth": "users fork dial-out",
              "mail": "mail", "relay": "listen fork dial-out"}

    def build(self, box, folder):
        source = os.path.join(folder, "hostile.c")
        with open(source, "w") as out:
            out.write(MODULE)
        data = os.path.dirname(box.env["PH_MAIL"])
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-w", f'-DHOME="{box.dir}"',
             f'-DDATA="{data}"',
             f'-DMODULES="{os.path.join(BUILD, "modules")}"',
             f'-DCONTROL="{os.path.dirname(data)}/run/control.sock"',
             f"-DWAS_ROOT={int(os.geteuid() == 0)}", "-I",
             os.path.join(TOP, "sdk", "include"), source, "-o",
             os.path.join(folder, "hostile.so")], check=True)
        os.chmod(folder, 0o755)

    def test_a_check_and_a_listener_are_refused_all_they_should_not_do(self):
        folder = tempfile.mkdtemp(prefix="posthouse-hostile-")
        self.addCleanup(shutil.rmtree, folder)
        port, = free_ports(1)
        with Sandbox() as box:
            self.build(box, folder)
            box.snippet("hostile", (
                f'hostile: {{ module = "{folder}/hostile.so"; '
                f'listen = [ "127.0.0.1:{port}" ]; }};'))
            box.stop()
            box.restart()
            with socket.create_connection(("127.0.0.1", port), DEADLINE) as link:
                edge = link.makefile().read().strip()
            with self.assertRaises(smtplib.SMTPConnectError) as refused:
                box.smtp()
            said = refused.exception.smtp_error
            self.assertEqual(edge, "load: session:.")
            self.assertRegex(said.decode(), r"load: connect: dial-out\.")
            if os.geteuid() == 0:  # else the user is one for all
                found = dict(re.findall(r"hostile in (\w+)([^.]*)\.", box.log()))
                self.assertEqual({role: set(done.split())
                                  for role, done in found.items()},
                                 {role: set(rights.split())
                                  for role, rights in self.RIGHTS.items()})
            self.assertNotIn("not_confined", box.log())


if __name__ == "__main__":
    unittest.main()
