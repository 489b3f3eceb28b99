# SPDX-License-Identifier: Apache-2.0
"""The clients and servers that people run deliver mail unharmed: swaks, msmtp,
Postfix, Exim, OpenSMTPD, over TLS, with the extensions they know."""
import os
import re
import shutil
import subprocess
import unittest

import mta
from sandbox import DEADLINE, Sandbox, until

BODY = b"".join((
    b".\r\n..\r\n.x\r\n", "Grüße, 日本\r\n".encode(),
    b"0" * 990 + b"\r\n", b"." * 990 + b"\r\n",
    b"trailing blanks  \t \r\n\r\n\r\n", b"From the start of a line\r\n",
    b"".join(b"%060d\r\n" % n for n in range(3000)), b"end\r\n"))


def message(subject):
    return (b"From: <alice@example.test>\r\nTo: <bob@example.test>\r\n"
            b"Subject: " + subject.encode() + b"\r\n"
            b"Date: Mon, 23 Nov 2026 08:00:00 +0000\r\n"
            b"Message-ID: <" + subject.encode() + b"@client.test>\r\n"
            b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
            b"Content-Transfer-Encoding: 8bit\r\n\r\n" + BODY)


def has_program(path):
    return os.access(path, os.X_OK) or shutil.which(path) is not None


def has_namespaces():
    """Not in every container."""
    return subprocess.run([*mta.PRIVATELY, "true"], check=False,
                          capture_output=True).returncode == 0


def needs(*programs, root=True):
    missing = [p for p in programs if not has_program(p)]
    if any(mta.UNPACKED in p for p in programs) and not has_namespaces():
        missing.append("a mount namespace")
    if root and os.getuid() != 0:
        return unittest.skip("needs root")
    return unittest.skipIf(missing, f"not there: {missing}")


class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.box = Sandbox()

    @classmethod
    def tearDownClass(cls):
        cls.box.close()

    def arrived(self, user, subject, copies=1):
        """The message(s), whose bodies are as they were sent, over TLS."""
        def look():
            found = [m for m in self.box.inbox(user, 0) if m is not True and
                     b"Subject: " + subject.encode() + b"\r\n" in m]
            return found if len(found) >= copies else None
        found = until(look, f"{subject} for {user}")
        for text in found:
            self.assertEqual(text.split(b"\r\n\r\n", 1)[1], BODY, subject)
            self.assertRegex(text, rb"with ESMTPSA? id")
            self.assertRegex(text, rb"\(using TLSv1\.[23] ")
        return found

    def swaks(self, port, subject, *options):
        path = os.path.join(self.box.dir, subject)
        with open(path, "wb") as out:
            # swaks ends what it sends by a line end of its own
            out.write(message(subject).replace(b"\r\n", b"\n")[:-1])
        done = subprocess.run(
            ["swaks", "--server", f"localhost:{self.box.port(port)}",
             "--from", "alice@example.test", "--to", "bob@example.test",
             "--helo", "swaks.client.test", "--data", "@" + path, *options],
            capture_output=True, timeout=DEADLINE)
        self.assertEqual(done.returncode, 0, done.stdout)
        return done.stdout

    @needs("swaks", root=False)
    def test_swaks_starttls_and_pipelining(self):
        self.swaks("smtp", "swaks-inbound", "--tls", "--pipeline")
        self.arrived("bob", "swaks-inbound")

    @needs("swaks", root=False)
    def test_swaks_logs_in_on_both_submission_ports(self):
        login = ["--auth-user", "alice", "--auth-password", "secret"]
        self.swaks("submission", "swaks-submission", "--tls", "--auth", "PLAIN",
                   *login)
        self.swaks("submissions", "swaks-implicit", "--tls-on-connect",
                   "--auth", "LOGIN", *login)
        self.arrived("bob", "swaks-submission")
        self.arrived("bob", "swaks-implicit")

    @needs("msmtp", root=False)
    def test_msmtp_with_starttls_and_implicit_tls(self):
        for port, starttls in (("submission", "on"), ("submissions", "off")):
            subject = "msmtp-" + port
            done = subprocess.run(
                ["msmtp", "-C", "/dev/null", "--host=localhost",
                 f"--port={self.box.port(port)}", "--tls=on",
                 f"--tls-starttls={starttls}", "--auth=plain", "--user=alice",
                 "--passwordeval=echo secret", "--from=alice@example.test",
                 f"--tls-trust-file={self.box.env['PH_CA']}", "bob@example.test"],
                input=message(subject).replace(b"\r\n", b"\n"),
                capture_output=True, timeout=DEADLINE)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.arrived("bob", subject)

    @needs("/usr/sbin/postfix")
    def test_postfix_relays_over_verified_tls(self):
        with mta.Postfix(self.box) as postfix:
            for n in range(5):
                postfix.smtp("x@client.test", ["bob@example.test",
                             "carol@example.test"], message(f"postfix-{n}"))
            for n in range(5):
                self.arrived("bob", f"postfix-{n}")
                self.arrived("carol", f"postfix-{n}")

    @needs(mta.Exim.PROGRAM)
    def test_exim_with_and_without_chunking(self):
        for chunking, subject in (("*", "exim-bdat"), ("", "exim-data")):
            with mta.Exim(self.box, chunking) as exim:
                log = exim.send("x@client.test", ["bob@example.test",
                                "carol@example.test"], message(subject))
            sent = [l for l in log.splitlines() if " => " in l or " -> " in l]
            self.assertEqual(len(sent), 2, log)
            self.assertEqual(bool(re.search(r" K ", sent[0])), chunking == "*", log)
            self.assertRegex(sent[0], r" L ", "it pipelined")
            self.arrived("bob", subject)
            self.arrived("carol", subject)

    @needs(mta.OpenSmtpd.PROGRAM)
    def test_opensmtpd_relays(self):
        with mta.OpenSmtpd(self.box) as smtpd:
            smtpd.smtp("x@client.test", ["bob@example.test"],
                       message("opensmtpd"))
            self.arrived("bob", "opensmtpd")


if __name__ == "__main__":
    unittest.main()
