# SPDX-License-Identifier: Apache-2.0
"""Throw-away servers for the end-to-end tests: tests/sandbox.sh as an object.

The build tree under test is $PH_BUILD (default: build beside this checkout).
"""
import contextlib
import imaplib
import os
import poplib
import re
import shutil
import signal
import smtplib
import ssl
import subprocess
import sys
import tempfile
import time

from ports import free_ports

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("PH_BUILD", os.path.join(TOP, "build"))
os.umask(0o022)  # what tests make is for the roles' users, too
os.environ["TZ"] = "UTC"  # of this server and of those beside it
# Of what comes at once when all is well, and late on a busy machine.
DEADLINE = float(os.environ.get("PH_DEADLINE", "120"))


def until(condition, what, deadline=DEADLINE):
    """Wait for an event, not for a time: condition() becomes true, or fail."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline} s: {what}")
        time.sleep(0.02)


class _Named:
    """Left to itself, smtplib asks the machine's DNS for its own name."""

    def __init__(self, *where, **how):
        how.setdefault("local_hostname", "client.test")
        how.setdefault("timeout", DEADLINE)
        super().__init__(*where, **how)


class Smtp(_Named, smtplib.SMTP):
    pass


class SmtpTls(_Named, smtplib.SMTP_SSL):
    pass


class Sandbox:
    def __init__(self, snippets=None, users=0, dns=None, start=True, parent=None):
        self.dir = tempfile.mkdtemp(prefix="posthouse-test-", dir=parent)
        os.chmod(self.dir, 0o755)
        self.env = {}
        conf = os.path.join(self.dir, "snippets")
        os.mkdir(conf)
        for name, text in (snippets or {}).items():
            with open(os.path.join(conf, name + ".conf"), "w") as out:
                out.write(text)
        self.args = ["--users", str(users), "--conf", conf, "--build", BUILD,
                     "--ports", " ".join(map(str, free_ports(7)))]
        if dns:
            self.args += ["--dns", dns]
        if start:
            try:
                self.run("start", *self.args)
            except AssertionError:
                self._remove()
                raise

    def run(self, command, *args, check=True):
        done = subprocess.run(
            [os.path.join(TOP, "tests", "sandbox.sh"), command, self.dir, *args],
            capture_output=True, text=True, timeout=400)
        if check and done.returncode != 0:
            raise AssertionError(f"sandbox {command}: {done.stdout}{done.stderr}"
                                 + self.log()[-4000:])
        path = os.path.join(self.dir, "env")
        if os.path.exists(path):
            with open(path) as lines:
                self.env = dict(l.rstrip("\n").split("=", 1) for l in lines)
        return done

    def stop(self):
        self.run("stop")

    def kill(self):
        self.run("kill")

    def restart(self):
        self.run("restart")

    def close(self):
        """Stop and remove; a sanitizer's report or a defect in the log fails."""
        self.run("stop")
        text = self.stderr()
        self._remove()
        for word in ("AddressSanitizer", "runtime error:", "LeakSanitizer",
                     "bug:"):
            if word in text:
                raise AssertionError("standard error of the server:\n" + text)

    def _remove(self):
        """The folder, and the one beside it where other users could not pass."""
        found = re.search(r"(?m)^state=(/var/tmp/posthouse-sandbox\..*)",
                          self._read("settings"))
        shutil.rmtree(self.dir, ignore_errors=True)
        if found:
            shutil.rmtree(found[1], ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        if exc[0] is not None:
            sys.stderr.write(self.log()[-6000:] + self.stderr()[-4000:])
        self.close()

    def _read(self, name):
        try:
            with open(os.path.join(self.dir, name), errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    def log(self):
        return self._read("log")

    def lines(self, *words, count=1):
        """Lines of the log with all the words, as soon as there are count."""
        def look():
            found = [line for line in self.log().splitlines()
                     if all(word in line for word in words)]
            return found if len(found) >= count else None
        return until(look, f"{count} log lines with {words}")

    def stderr(self):
        return self._read("stderr")

    def port(self, name):
        return int(self.env["PH_" + name.upper()])

    def ctl(self, *args, stdin=None, check=True):
        done = subprocess.run([self.env["PH_CTL"], *args], input=stdin,
                              capture_output=True, text=True, timeout=180)
        if check and done.returncode != 0:
            raise AssertionError(f"posthousectl {args}: {done.stdout}{done.stderr}")
        return done

    def posthouse(self, *args):
        """Run the program under test on the sandbox's configuration."""
        env = dict(os.environ)
        state = os.path.dirname(os.path.dirname(self.env["PH_MAIL"]))
        if os.path.isdir(os.path.join(state, "lib")):
            env["LD_LIBRARY_PATH"] = os.path.join(state, "lib")
        return subprocess.run(
            [os.path.join(BUILD, "bin", "posthouse"), "-c",
             os.path.join(self.dir, "posthouse.conf"), *args],
            capture_output=True, text=True, timeout=180, env=env,
            stdin=subprocess.DEVNULL)

    def snippet(self, name, text):
        """Write conf.d/NAME.conf of the running server (reload to use it)."""
        with open(os.path.join(self.dir, "conf.d", name + ".conf"), "w") as out:
            out.write(text)

    def children(self):
        """pid -> command line of the role processes."""
        out = subprocess.run(["ps", "-o", "pid=,args=", "--ppid",
                              self.env["PH_PID"]], capture_output=True, text=True)
        return {int(l.split(None, 1)[0]): l.split(None, 1)[1]
                for l in out.stdout.splitlines() if len(l.split(None, 1)) == 2}

    def kill_role(self, role, sig=signal.SIGKILL):
        pids = [p for p, a in self.children().items() if f"--role={role}" in a]
        for pid in pids:
            os.kill(pid, sig)
        return pids

    @contextlib.contextmanager
    def stopped(self, role):
        """Its processes do nothing meanwhile; the master replaces them if that
        lasts for some 10 s."""
        pids = self.kill_role(role, signal.SIGSTOP)
        try:
            yield pids
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def tls(self):
        return ssl.create_default_context(cafile=self.env["PH_CA"])

    # --- clients ---

    def smtp(self):
        return Smtp("127.0.0.1", self.port("smtp"))

    def submission(self, user="alice", password="secret"):
        client = Smtp("localhost", self.port("submission"))
        client.starttls(context=self.tls())
        if user:
            client.login(user, password)
        return client

    def imap(self, user="bob", password="secret"):
        client = imaplib.IMAP4_SSL("localhost", self.port("imaps"),
                                   ssl_context=self.tls())
        if user:
            client.login(user, password)
        return client

    def pop3(self, user="bob", password="secret"):
        client = poplib.POP3_SSL("localhost", self.port("pop3s"),
                                 context=self.tls(), timeout=DEADLINE)
        if user:
            client.user(user)
            client.pass_(password)
        return client

    def inbox(self, user, count):
        """Bodies (bytes) in a user's INBOX as soon as there are count."""
        def look():
            client = self.imap(user)
            try:
                n = int(client.select("INBOX", readonly=True)[1][0])
                if n < count:
                    return None
                if n == 0:
                    return [True]
                parts = client.fetch(f"1:{n}", "(BODY.PEEK[])")[1]
                return [p[1] for p in parts if isinstance(p, tuple)]
            finally:
                client.logout()
        return until(look, f"{count} messages for {user}")


class Dns:
    """tests/support/dns_server.py with a zone that a test may rewrite."""

    def __init__(self, zone):
        self.dir = tempfile.mkdtemp(prefix="posthouse-dns-")
        self.path = os.path.join(self.dir, "zone")
        self.write(zone)
        self.process = subprocess.Popen(
            [sys.executable, os.path.join(HERE, "dns_server.py"), "0", self.path],
            stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        self.address = f"127.0.0.1:{self.port}"

    def write(self, zone):
        with open(self.path + ".new", "w") as out:
            out.write(zone)
        os.rename(self.path + ".new", self.path)

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
