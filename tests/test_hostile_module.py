# SPDX-License-Identifier: Apache-2.0
"""A module that is an enemy: loaded as a check and as a listener, it tries from
its constructor and from its hooks what no role that meets strangers may do."""
import os
import random
import shutil
import smtplib
import socket
import subprocess
import tempfile
import unittest

from sandbox import BUILD, DEADLINE, TOP, Sandbox

MODULE = r"""
#define _GNU_SOURCE
#include <posthouse/check.h>
#include <posthouse/listener.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
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

static void
attack_process(const char *when, pid_t pid)
{
	char proc[64], octet;
	struct iovec here = { &octet, 1 }, there = { (void *)when, 1 };

	tried("ptrace", ptrace(PTRACE_ATTACH, pid, NULL, NULL) == 0);
	tried("memory", process_vm_readv(pid, &here, 1, &there, 1, 0) == 1);
	tried("kill", kill(pid, SIGCONT) == 0);
	snprintf(proc, sizeof(proc), "/proc/%d/mem", (int)pid);
	tried("mem", can_open(proc, O_RDONLY));
	snprintf(proc, sizeof(proc), "/proc/%d/environ", (int)pid);
	tried("environ", geteuid() != 0 && can_open(proc, O_RDONLY));
}

static void
attack(const char *when)
{
	char *const argv[] = { (char *)"true", NULL };

	strcat(done, when);
	tried("shadow", can_open("/etc/shadow", O_RDONLY));
	tried("key", can_open(DIR "/tls/key.pem", O_RDONLY));
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
	tried("thread-less", syscall(SYS_fork) == 0 && (_exit(0), 1));
	tried("bpf", syscall(SYS_bpf, 0, NULL, 0) >= 0);
	attack_process(when, getppid());
	execv("/bin/true", argv);
}

__attribute__((constructor)) static void
on_load(void)
{
	char words[200] = "";
	int fd = open("/proc/self/cmdline", O_RDONLY);

	/* the checker of the configuration loads it, too, and gives up less */
	if (read(fd, words, sizeof(words) - 1) > 0 &&
	    memmem(words, sizeof(words), "--role=", 7) != NULL)
		attack("load:");
	close(fd);
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
	tried("dial", socket(AF_INET, SOCK_STREAM, 0) >= 0);
	ph_stream_printf(ph_session_stream(session), "%s.\r\n", done);
	ph_stream_flush(ph_session_stream(session));
}

static const struct ph_check_ops check = { .at = { [PH_AT_CONNECT] = on_connect } };
static const struct ph_listener_ops listener = { .service = "x",
	.session = on_session };
PH_MODULE(hostile) = { .abi = PH_ABI, .name = "hostile",
	.kinds = PH_KIND_CHECK | PH_KIND_LISTENER, .doc = "An enemy",
	.check = &check, .listener = &listener };
"""


def is_sanitized():
    with open(os.path.join(BUILD, "CMakeCache.txt")) as cache:
        return any(line.startswith("PH_SANITIZE:") and "=ON" in line
                   for line in cache)


@unittest.skipIf(is_sanitized(), "sanitizers need what confinement takes")
class Hostile(unittest.TestCase):
    def build(self, box, folder):
        source = os.path.join(folder, "hostile.c")
        with open(source, "w") as out:
            out.write(MODULE)
        data = os.path.dirname(box.env["PH_MAIL"])
        subprocess.run(
            ["cc", "-shared", "-fPIC", "-w", f'-DDIR="{box.dir}"',
             f'-DDATA="{data}"',
             f'-DCONTROL="{os.path.dirname(data)}/run/control.sock"',
             f"-DWAS_ROOT={int(os.geteuid() == 0)}", "-I",
             os.path.join(TOP, "sdk", "include"), source, "-o",
             os.path.join(folder, "hostile.so")], check=True)
        os.chmod(folder, 0o755)

    def test_a_check_and_a_listener_are_refused_all_they_should_not_do(self):
        folder = tempfile.mkdtemp(prefix="posthouse-hostile-")
        self.addCleanup(shutil.rmtree, folder)
        port = random.randint(33000, 50000)
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
            self.assertRegex(said.decode(), r"load: connect:\.")
            self.assertNotIn("not_confined", box.log())


if __name__ == "__main__":
    unittest.main()
