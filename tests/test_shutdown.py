# SPDX-License-Identifier: Apache-2.0
"""The end: what each open session is told, and that nothing waits for it."""
import os
import signal
import socket
import unittest

from sandbox import DEADLINE, Sandbox, until

FAREWELLS = {
    "smtp": b"421 4.3.2 mail.example.test shutting down\r\n",
    "imap": b"* BYE [UNAVAILABLE] mail.example.test is shutting down\r\n",
    "pop3": b"-ERR [SYS/TEMP] mail.example.test is shutting down\r\n",
}
# Protocol, port, and the lines after which the session is looked at, each with
# how its answer ends.
SESSIONS = [
    ("smtp", "smtp", ()),
    ("smtp", "submissions", ()),
    ("smtp", "smtp", (("EHLO x", b"250 "), ("MAIL FROM:<a@b.test>", b"250 "),
                      ("RCPT TO:<bob@example.test>", b"250 "))),
    ("smtp", "smtp", (("EHLO x", b"250 "), ("MAIL FROM:<a@b.test>", b"250 "),
                      ("RCPT TO:<bob@example.test>", b"250 "),
                      ("DATA", b"354 "), ("Subject: half", None))),
    ("imap", "imap", ()),
    ("imap", "imaps", ()),
    ("imap", "imaps", (("a LOGIN bob secret", b"a OK"),)),
    ("imap", "imaps", (("a LOGIN bob secret", b"a OK"),
                       ("b SELECT INBOX", b"b OK"), ("c IDLE", b"+ "))),
    ("pop3", "pop3", ()),
    ("pop3", "pop3s", (("USER bob", b"+OK"), ("PASS secret", b"+OK"))),
]


class Session:
    def __init__(self, box, port, lines):
        self.sock = socket.create_connection(("localhost", box.port(port)),
                                             DEADLINE)
        if port.endswith("s"):
            self.sock = box.tls().wrap_socket(self.sock,
                                              server_hostname="localhost")
        self.file = self.sock.makefile("rb")
        self.file.readline()
        for line, answer in lines:
            self.sock.sendall(line.encode() + b"\r\n")
            while answer and not self.file.readline().startswith(answer):
                pass

    def rest(self):
        with self.sock, self.file:
            return self.file.read()


class Shutdown(unittest.TestCase):
    def setUp(self):
        # nobody may be waited for in vain: that would be for too long
        self.box = Sandbox({"end": 'shutdown_timeout = "10m";'})
        self.pid = int(self.box.env["PH_PID"])

    def tearDown(self):
        self.box.close()

    def test_every_session_is_told(self):
        open_sessions = [Session(self.box, port, lines)
                         for _, port, lines in SESSIONS]
        os.kill(self.pid, signal.SIGTERM)
        for (protocol, port, lines), session in zip(SESSIONS, open_sessions):
            with self.subTest(port=port, lines=lines):
                self.assertEqual(session.rest(), FAREWELLS[protocol])
        until(lambda: " stopped" in self.box.log(), "the server's end")

    def test_a_message_that_was_kept_is_not_answered_421(self):
        """The queue is slow, the end comes in between: 250 first."""
        lines = SESSIONS[2][2] + (("DATA", b"354 "),)
        session = Session(self.box, "smtp", lines)
        with self.box.stopped("queue"):
            session.sock.sendall(b"Subject: kept\r\n\r\nkept\r\n.\r\n")
            os.kill(self.pid, signal.SIGTERM)
            until(lambda: " stopping" in self.box.log(), "the end begun")
        first, last = session.rest().splitlines(True)
        self.assertRegex(first, rb"^250 2\.0\.0 accepted, queued as ")
        self.assertEqual(last, FAREWELLS["smtp"])
        until(lambda: " stopped" in self.box.log(), "the server's end")
        self.box.restart()
        self.pid = int(self.box.env["PH_PID"])
        self.assertEqual(len(self.box.inbox("bob", 1)), 1)

    def test_log_is_reopened(self):
        path = self.box.env["PH_LOG"]
        os.rename(path, path + ".1")
        os.kill(self.pid, signal.SIGUSR1)
        until(lambda: os.path.exists(path) and "log_reopened" in self.box.log(),
              "the new log")
        for _ in range(3):  # all processes write into the new one
            client = self.box.submission()
            client.sendmail("alice@example.test", ["bob@example.test"],
                            b"Subject: x\r\n\r\nx\r\n")
            client.quit()
        self.box.inbox("bob", 3)
        for role in ("auth", "edge", "queue", "mail"):
            until(lambda: f" {role}[" in self.box.log(), role)
        with open(path + ".1") as old:
            self.assertNotIn("delivered", old.read())


if __name__ == "__main__":
    unittest.main()
