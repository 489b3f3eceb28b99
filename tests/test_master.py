# SPDX-License-Identifier: Apache-2.0
"""The supervisor: what dies comes back, a reload is whole or nothing, one
server a folder, an orderly end."""
import glob
import os
import re
import select
import shutil
import signal
import smtplib
import socket
import stat
import subprocess
import tempfile
import unittest

from ports import free_ports
from sandbox import BUILD, DEADLINE, TOP, Sandbox, until

ROLES = ("queue", "auth", "check", "mail", "relay", "edge")
POSTHOUSE = os.path.join(BUILD, "bin", "posthouse")

# A check whose connect hook does what a test wants.
FAULT = """
#include <posthouse/check.h>
#include <signal.h>
#include <unistd.h>
static enum ph_verdict
fault_on_connect(struct ph_call *call, const void *conf)
{
	(void)call;
	(void)conf;
	%s
	return PH_NEXT;
}
static const struct ph_check_ops ops = {
	.at = { [PH_AT_CONNECT] = fault_on_connect },
};
PH_MODULE(check_fault) = { .abi = PH_ABI, .name = "check_fault",
	.kinds = PH_KIND_CHECK, .doc = "A fault", .check = &ops };
"""


def status(box):
    """process -> item -> value"""
    items = {}
    for line in box.ctl("status").stdout.splitlines():
        process, item, value = line.split(" ", 2)
        items.setdefault(process, {})[item] = value
    return items


def conf_of(box):
    return os.path.join(box.dir, "posthouse.conf")


def environment(box):
    env = dict(os.environ)
    state = os.path.dirname(os.path.dirname(box.env["PH_MAIL"]))
    if os.path.isdir(os.path.join(state, "lib")):
        env["LD_LIBRARY_PATH"] = os.path.join(state, "lib")
    return env


def posthouse(box, *args):
    return subprocess.run([POSTHOUSE, "-c", conf_of(box), *args],
                          capture_output=True, text=True, timeout=120,
                          env=environment(box), stdin=subprocess.DEVNULL)


def deliver(box, body):
    def send():
        client = box.smtp()
        try:
            client.sendmail("x@outside.test", ["bob@example.test"],
                            b"Subject: x\r\n\r\n" + body + b"\r\n")
            return True
        except smtplib.SMTPResponseException as error:
            if error.smtp_code >= 500:
                raise
            return False
        except smtplib.SMTPRecipientsRefused:
            return False
        except smtplib.SMTPServerDisconnected:
            return False
        finally:
            client.close()
    until(send, "a message taken")


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/status") as lines:
            return not any(l.startswith("State:\tZ") for l in lines)
    except OSError:
        return False


class Supervision(unittest.TestCase):
    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.close)

    def role_pids(self, role):
        return {p for p, a in self.box.children().items()
                if f"--role={role} " in a + " "}

    def test_every_role_comes_back_after_a_kill(self):
        for role in ROLES:
            old = self.role_pids(role)
            self.assertTrue(old, role)
            for pid in old:
                os.kill(pid, signal.SIGKILL)
            until(lambda: len(self.role_pids(role)) == len(old) and
                  not self.role_pids(role) & old, f"{role} again")
            until(lambda: all(p["state"] == "ready" for n, p in
                              status(self.box).items() if n != "server"),
                  "all ready")
            self.assertRegex(self.box.log(), rf"role_died role={role} .*signal=9")
            deliver(self.box, b"after " + role.encode())
        self.assertEqual(len(self.box.inbox("bob", len(ROLES))), len(ROLES))
        for name, items in status(self.box).items():
            if name != "server":
                self.assertEqual(items["restarts"], "1", name)

    def test_a_process_that_hangs_is_killed_and_replaced(self):
        pid = self.role_pids("check").pop()
        os.kill(pid, signal.SIGSTOP)
        until(lambda: pid not in self.role_pids("check") and
              self.role_pids("check"), "another check process")
        self.assertRegex(self.box.log(), r"role_hangs role=check")
        deliver(self.box, b"after the hang")

    def test_a_queue_that_dies_before_it_answered_costs_no_session(self):
        client = self.box.smtp()
        self.addCleanup(client.close)
        client.ehlo("client.test")
        for attempt in range(20):
            pid = self.role_pids("queue").pop()
            os.kill(pid, signal.SIGSTOP)
            client.mail("x@outside.test")
            client.rcpt("bob@example.test")
            client.docmd("DATA")
            client.send(b"Subject: x\r\n\r\nx\r\n.\r\n")
            select.select([client.sock], [], [], min(5, 0.01 * 2 ** attempt))
            os.kill(pid, signal.SIGKILL)
            code = client.getreply()[0]  # 250 when it was asked after the end
            self.assertIn(code, (250, 451))
            until(lambda: self.role_pids("queue") - {pid}, "another queue")
            if code == 451:
                break
        self.assertEqual(code, 451)
        self.assertRegex(self.box.log(), r"refused .*stage=message code=451 .*"
                         r"from=x@outside.test")
        self.assertEqual(client.noop()[0], 250)
        deliver(self.box, b"after it")

    def test_no_process_outlives_the_master(self):
        children = self.box.children()
        os.kill(int(self.box.env["PH_PID"]), signal.SIGKILL)
        until(lambda: not any(is_alive(p) for p in children), "their end")
        self.box.restart()
        deliver(self.box, b"again")


class Reload(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.box = Sandbox()
        cls.addClassCleanup(cls.box.close)

    def generation(self):
        return int(status(self.box)["server"]["generation"])

    def tearDown(self):
        for name in ("95-good", "95-bad"):
            try:
                os.unlink(os.path.join(self.box.dir, "conf.d", name + ".conf"))
            except FileNotFoundError:
                pass

    def test_a_good_one_takes_effect_and_drops_no_session(self):
        before = self.generation()
        client = self.box.smtp()
        client.ehlo("client.test")
        smtp = self.box.env["PH_SMTP"]
        port, = free_ports(1)
        self.box.snippet("95-good", 'smtp_inbound: { listen = [ "127.0.0.1:%s", '
                         '"127.0.0.1:%d" ]; };' % (smtp, port))
        self.assertEqual(self.box.ctl("reload").stdout,
                         f"generation {before + 1}\n")
        with socket.create_connection(("127.0.0.1", port), DEADLINE) as second:
            self.assertEqual(second.recv(3), b"220")
        self.assertEqual(client.noop()[0], 250)
        client.quit()
        state = os.path.dirname(os.path.dirname(self.box.env["PH_MAIL"]))
        with open(os.path.join(state, "run", "ports")) as ports:
            self.assertIn(f"smtp_inbound listen 127.0.0.1:{port}\n", ports.read())
        os.unlink(os.path.join(self.box.dir, "conf.d", "95-good.conf"))
        self.box.ctl("reload")

        def refused():
            try:
                socket.create_connection(("127.0.0.1", port), 5).close()
                return False
            except ConnectionRefusedError:
                return True
        until(refused, "the socket gone")
        deliver(self.box, b"on the first port still")

    def test_sighup_does_the_same(self):
        before = self.generation()
        os.kill(int(self.box.env["PH_PID"]), signal.SIGHUP)
        until(lambda: self.generation() == before + 1, "the next generation")

    def test_a_bad_one_names_file_and_line_and_changes_nothing(self):
        before = self.generation()
        for text, reason in (
                ("\nsmtp_inbound: { lisen = [ ]; };", "lisen"),
                ("\nno_such_module: { };", "no_such_module"),
                ("\nhostname = ;", "syntax"),
                ('\ndata_dir = "/nonexistent/data";', "restart"),
                ('\ntls: { certificate = "/nonexistent/x"; };', "/nonexistent/x"),
                ('\npop3: { listen = [ "127.0.0.1:%s" ]; };'
                 % self.box.env["PH_SMTP"], "listens there already"),
                ('\nlog: { target = "/nonexistent/log"; };', "log")):
            with self.subTest(reason):
                self.box.snippet("95-bad", text)
                done = self.box.ctl("reload", check=False)
                self.assertEqual(done.returncode, 1)
                self.assertIn("95-bad.conf:2", done.stderr)
                self.assertIn(reason, done.stderr)
                self.assertEqual(self.generation(), before)
        self.assertRegex(self.box.log(), r"reload_refused file=\S*95-bad.conf line=2")
        deliver(self.box, b"as before")

    def test_an_address_in_use_refuses_the_reload(self):
        with socket.socket() as busy:
            busy.bind(("127.0.0.1", 0))
            busy.listen()
            self.box.snippet("95-bad", '\nimap: { listen = [ "127.0.0.1:%d" ]; };'
                             % busy.getsockname()[1])
            done = self.box.ctl("reload", check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn("95-bad.conf:2: ", done.stderr)
            self.assertIn("in use", done.stderr)
        self.box.imap().logout()

    def test_the_log_is_opened_again(self):
        path = self.box.env["PH_LOG"]
        os.rename(path, path + ".1")
        os.kill(int(self.box.env["PH_PID"]), signal.SIGUSR1)
        until(lambda: "log_reopened" in self.box.log(), "the new log")
        deliver(self.box, b"logged anew")
        until(lambda: re.search(r" edge\[\d+\] accepted", self.box.log()),
              "a line of edge in the new log")


class Life(unittest.TestCase):
    def setUp(self):
        self.box = Sandbox()
        self.addCleanup(self.box.close)
        self.state = os.path.dirname(os.path.dirname(self.box.env["PH_MAIL"]))

    def start(self):
        log_before = len(self.box.log())
        child = subprocess.Popen([POSTHOUSE, "-F", "-c", conf_of(self.box)],
                                 stdin=subprocess.DEVNULL, env=environment(self.box),
                                 stderr=subprocess.DEVNULL)
        until(lambda: f" master[{child.pid}] ready" in self.box.log()[log_before:]
              or child.poll() is not None, "ready")
        self.assertIsNone(child.poll())
        return child

    def test_a_second_server_in_the_same_folder_is_refused(self):
        done = posthouse(self.box, "-F")
        self.assertEqual(done.returncode, 1)
        self.assertIn("runs already, as process " + self.box.env["PH_PID"],
                      done.stderr)
        deliver(self.box, b"the first goes on")

    def test_term_ends_everything_with_status_0(self):
        self.box.stop()
        child = self.start()
        pids = subprocess.run(["pgrep", "-P", str(child.pid)], text=True,
                              capture_output=True).stdout.split()
        self.assertGreaterEqual(len(pids), len(ROLES))
        child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(DEADLINE), 0)
        self.assertFalse(any(is_alive(p) for p in pids))
        self.assertRegex(self.box.log(), rf" master\[{child.pid}\] stopped")
        self.assertFalse(os.path.exists(
            os.path.join(self.state, "run", "control.sock")))

    def test_without_F_the_command_returns_when_ready(self):
        self.box.stop()
        done = posthouse(self.box)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(os.path.join(self.state, "run", "posthouse.pid")) as file:
            pid = int(file.read())
        try:
            deliver(self.box, b"to the daemon")
            self.assertEqual(posthouse(self.box).returncode, 1)
            self.assertEqual(self.box.ctl("stop").stdout, "stopped\n")
            until(lambda: not is_alive(pid), "its end")
        finally:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)
        done = self.box.ctl("status", check=False)
        self.assertEqual(done.returncode, 3)
        self.assertIn("no server", done.stderr)

    def test_t_judges_a_configuration(self):
        done = posthouse(self.box, "-t")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, "configuration .* is good")
        self.box.snippet("95-bad", "\n\nimap: { lisen = 1; };")
        done = posthouse(self.box, "-t")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, r"95-bad.conf:3: .*lisen")
        os.unlink(os.path.join(self.box.dir, "conf.d", "95-bad.conf"))

    def test_folders_belong_to_their_roles_alone(self):
        run = os.path.join(self.state, "run")
        data = os.path.join(self.state, "data")
        self.assertEqual(stat.S_IMODE(os.stat(run).st_mode), 0o755)
        sock = os.stat(os.path.join(run, "control.sock"))
        self.assertEqual(stat.S_IMODE(sock.st_mode), 0o660)
        for role in ROLES:
            st = os.stat(os.path.join(data, role))
            self.assertEqual(stat.S_IMODE(st.st_mode), 0o700, role)
            if os.geteuid() == 0:
                self.assertNotEqual(st.st_uid, 0, role)
            else:
                self.assertEqual(st.st_uid, os.geteuid(), role)
        self.box.stop()
        os.chmod(os.path.join(data, "mail"), 0o755)
        done = posthouse(self.box, "-F")
        os.chmod(os.path.join(data, "mail"), 0o700)
        self.assertEqual(done.returncode, 1)
        self.assertIn("/data/mail has mode 755", done.stderr)

    @unittest.skipUnless(os.geteuid() == 0, "roles have users only under root")
    def test_every_role_runs_as_its_user_without_rights(self):
        for pid, args in self.box.children().items():
            role = re.search(r"--role=(\w+)", args).group(1)
            with open(f"/proc/{pid}/status") as file:
                text = file.read()
            uid = os.stat(os.path.join(self.state, "data", role)).st_uid
            self.assertEqual(set(re.search(r"^Uid:\s+(.*)", text, re.M)
                                 .group(1).split()), {str(uid)})
            self.assertRegex(text, r"(?m)^NoNewPrivs:\s+1")
            self.assertRegex(text, r"(?m)^CapEff:\s+0+$")


class Faults(unittest.TestCase):
    def setUp(self):
        """A folder of modules with room for a bad one."""
        self.modules = tempfile.mkdtemp(prefix="posthouse-modules-")
        self.addCleanup(shutil.rmtree, self.modules)
        os.chmod(self.modules, 0o755)
        for module in glob.glob(os.path.join(BUILD, "modules", "*.so")):
            shutil.copy(module, self.modules)

    def build(self, text):
        source = os.path.join(self.modules, "check_fault.c")
        with open(source, "w") as file:
            file.write(text)
        subprocess.run(["cc", "-shared", "-fPIC", "-I",
                        os.path.join(TOP, "sdk", "include"), source, "-o",
                        os.path.join(self.modules, "check_fault.so")],
                       check=True)

    def server(self, section):
        box = Sandbox({"fault": 'module_dir = "%s"; crash_limit = 3;\n%s'
                       % (self.modules, section)})
        self.addCleanup(box.close)
        return box

    def fault(self, statement, options=""):
        """A server with a check module that misbehaves at connect."""
        self.build(FAULT % statement)
        return self.server('check_fault: { on_failure = "next"; %s };' % options)

    def test_a_module_that_crashes_too_often_is_taken_out(self):
        box = self.fault("raise(SIGABRT);")

        def out():
            deliver(box, b"past the crash")
            return "check_fault state=broken" in box.ctl("modules").stdout
        until(out, "the module taken out")
        self.assertRegex(box.log(), r"role_died role=check .*module=check_fault "
                         r"hook=connect")
        self.assertRegex(box.log(), r"module_out module=check_fault crashes=3")
        restarts = status(box)["check.0"]["restarts"]
        deliver(box, b"without it")
        self.assertEqual(status(box)["check.0"]["restarts"], restarts)
        box.ctl("reload")
        self.assertIn("check_fault state=on", box.ctl("modules").stdout)

    def test_a_module_that_ends_its_process_costs_nothing_else(self):
        for statement in ("_exit(0);", "for (int i = 0; i < 1024; i++) close(i);"):
            with self.subTest(statement):
                box = self.fault(statement)
                client = box.submission(user=None)  # goes on beside it
                deliver(box, b"past " + statement.encode())
                until(lambda: "role_died role=check" in box.log(), "its end")
                deliver(box, b"and again")
                self.assertEqual(client.noop()[0], 250)
                client.close()

    def test_a_module_that_ends_the_checker_refuses_the_reload(self):
        box = self.server("")
        for statement, reason in (("raise(SIGABRT);", "by signal 6"),
                                  ("_exit(7);", "with status 7")):
            with self.subTest(statement):
                self.build(FAULT % "" + "__attribute__((constructor)) static "
                           "void\nstart(void)\n{\n\t%s\n}\n" % statement)
                box.snippet("95-bad", "check_fault: { };")
                done = box.ctl("reload", check=False)
                self.assertEqual(done.returncode, 1)
                self.assertIn(reason, done.stderr)
                deliver(box, b"as before")

    def test_a_module_that_never_returns_is_named(self):
        box = self.fault("for (;;) ;", 'hook_timeout = "500ms";')
        deliver(box, b"past the loop")
        until(lambda: re.search(r"role_hangs role=check .*module=check_fault",
                                box.log()), "its name in the log")


# fsync and fdatasync fail while a file lies in the queue's folder.
SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <unistd.h>
static int
sync_or_fail(const char *name, int fd)
{
	int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
	if (access("%s", F_OK) != 0)
		return next(fd);
	errno = EIO;
	return -1;
}
int fsync(int fd) { return sync_or_fail("fsync", fd); }
int fdatasync(int fd) { return sync_or_fail("fdatasync", fd); }
"""


def is_sanitized():
    with open(POSTHOUSE, "rb") as program:
        return b"__asan_init" in program.read()


@unittest.skipIf(is_sanitized(), "the sanitizer must be loaded first")
class Disk(unittest.TestCase):
    def test_a_queue_that_cannot_recover_stays_down_until_a_reload(self):
        folder = tempfile.mkdtemp(prefix="posthouse-shim-")
        self.addCleanup(shutil.rmtree, folder)
        os.chmod(folder, 0o755)
        box = Sandbox(start=False)
        self.addCleanup(box.close)
        box.run("start", *box.args)
        state = os.path.dirname(os.path.dirname(box.env["PH_MAIL"]))
        box.stop()
        flag = os.path.join(state, "data", "queue", "fsync-fails")
        shim = os.path.join(folder, "shim.so")
        with open(os.path.join(folder, "shim.c"), "w") as file:
            file.write(SHIM % flag)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", shim,
                        os.path.join(folder, "shim.c"), "-ldl"], check=True)
        os.environ["LD_PRELOAD"] = shim
        try:
            box.restart()
        finally:
            del os.environ["LD_PRELOAD"]
        deliver(box, b"before")
        open(flag, "w").close()
        os.chmod(flag, 0o644)
        client = box.smtp()
        with self.assertRaises((smtplib.SMTPException, OSError)):
            client.sendmail("x@outside.test", ["bob@example.test"],
                            b"Subject: x\r\n\r\nlost, and said so\r\n")
        client.close()
        until(lambda: "queue_stays_down" in box.log(), "the queue given up")
        self.assertRegex(box.log(), r"role_died role=queue .*status=70")
        self.assertEqual(status(box)["queue.0"]["state"], "down")
        os.unlink(flag)
        box.ctl("reload")
        until(lambda: status(box)["queue.0"]["state"] == "ready", "the queue")
        deliver(box, b"after")


if __name__ == "__main__":
    unittest.main()
