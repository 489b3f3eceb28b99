# SPDX-License-Identifier: Apache-2.0
"""The core's settings do what posthouse.conf(5) says of them, from the next
reload on and without a restart where none is needed."""
import imaplib
import poplib
import re
import smtplib
import socket
import time
import unittest

from sandbox import DEADLINE, Sandbox, Smtp, until


def greeting(port):
    """The first line, and whether the server then closes rather than answers."""
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as connection:
        file = connection.makefile("rb")
        line = file.readline()
        try:
            connection.sendall(b"noop noop\r\n")
            return line, file.readline() == b""
        except ConnectionError:
            return line, True


class Settings(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.box = Sandbox()
        cls.addClassCleanup(cls.box.close)

    def configure(self, text):
        self.box.snippet("95-setting", text)
        self.box.ctl("reload")

    def status(self, process, item):
        return re.search(rf"^{re.escape(process)} {item} (.*)$",
                         self.box.ctl("status").stdout, re.M)[1]

    def edges(self, item):
        return sum(int(n) for n in re.findall(
            rf"(?m)^edge\.\d+ {item} (\d+)$", self.box.ctl("status").stdout))

    def test_connections_per_client(self):
        until(lambda: self.edges("connections") == 0, "nobody there")
        self.configure("limits: { connections_per_client = 3; };")
        held = [Smtp("127.0.0.1", self.box.port("smtp")) for _ in range(3)]
        for name, wanted in (("smtp", rb"421 4\.\d\.\d "), ("pop3", rb"-ERR "),
                             ("submission", rb"421 4\.\d\.\d "),
                             ("imap", rb"\* BYE ")):
            line, closed = greeting(self.box.port(name))
            self.assertRegex(line, wanted)
            self.assertTrue(closed, name)
        # of another address, however
        other = socket.create_connection(("127.0.0.1", self.box.port("smtp")),
                                         DEADLINE, ("127.0.0.2", 0))
        self.assertEqual(other.recv(4), b"220 ")
        other.close()
        self.assertEqual(held.pop().quit()[0], 221)
        until(lambda: self.edges("connections") == 2, "one less")
        line, closed = greeting(self.box.port("imap"))
        self.assertRegex(line, rb"\* OK ")
        self.assertFalse(closed)
        for client in held:
            self.assertEqual(client.quit()[0], 221)
        self.assertRegex(self.box.log(), r'notice edge\[\d+\] refused .*'
                         r'client=127\.0\.0\.1 reason="too many connections"')

    def test_connections_of_an_edge_process(self):
        until(lambda: self.edges("connections") == 0, "nobody there")
        edges = len(re.findall(r"(?m)^edge\.\d+ state",
                               self.box.ctl("status").stdout))
        self.configure("limits: { connections = 2; };")
        held, refused = [], 0
        for _ in range(2 * edges + 3):
            client = socket.create_connection(
                ("127.0.0.1", self.box.port("smtp")), DEADLINE)
            if client.recv(4) == b"421 ":
                refused += 1
            held.append(client)
        self.assertEqual(len(held) - refused, 2 * edges)
        for client in held:
            client.close()
        self.configure("limits: { connections = 20000; };")
        until(lambda: greeting(self.box.port("smtp"))[0].startswith(b"220"),
              "room again")

    def test_auth_failures(self):
        self.configure('limits: { auth_failures = 3; auth_failure_delay = "0s"; };')
        client = Smtp("localhost", self.box.port("submission"))
        client.starttls(context=self.box.tls())
        client.ehlo("client.test")
        for _ in range(2):
            self.assertEqual(client.docmd("AUTH PLAIN AGNhcm9sAHdyb25n")[0], 535)
        self.assertIn(client.docmd("AUTH PLAIN AGNhcm9sAHdyb25n")[0], (421, 454))
        with self.assertRaises(smtplib.SMTPServerDisconnected):
            client.noop()
            client.noop()
        pop3 = poplib.POP3_SSL("localhost", self.box.port("pop3s"),
                               context=self.box.tls(), timeout=DEADLINE)
        imap = imaplib.IMAP4_SSL("localhost", self.box.port("imaps"),
                                 ssl_context=self.box.tls())
        for _ in range(2):
            pop3.user("carol")
            with self.assertRaisesRegex(poplib.error_proto, "-ERR"):
                pop3.pass_("wrong")
            with self.assertRaises(imaplib.IMAP4.error):
                imap.login("carol", "wrong")
        pop3.user("carol")
        with self.assertRaises(poplib.error_proto):
            pop3.pass_("wrong")
        with self.assertRaises((poplib.error_proto, OSError)):
            pop3.noop()
        with self.assertRaises(imaplib.IMAP4.error):
            imap.login("carol", "wrong")
        with self.assertRaises((imaplib.IMAP4.abort, imaplib.IMAP4.error,
                                OSError)):
            imap.noop()
        pop3.close()
        imap.shutdown()

    def test_auth_failure_delay(self):
        self.configure('limits: { auth_failure_delay = "700ms"; };')
        start = time.monotonic()
        with self.assertRaises(imaplib.IMAP4.error):
            self.box.imap("bob", "wrong")
        self.assertGreaterEqual(time.monotonic() - start, 0.7)

    def test_message_limit(self):
        self.configure('message_limit_bytes = "20K";')
        client = self.box.smtp()
        client.ehlo("client.test")
        self.assertLessEqual(int(client.esmtp_features["size"]), 20 << 10)
        code, text = client.docmd("MAIL", f"FROM:<x@outside.test> SIZE={30 << 10}")
        self.assertEqual((code, text[:6]), (552, b"5.3.4 "))
        client.mail("x@outside.test")
        client.rcpt("bob@example.test")
        code, text = client.data(b"Subject: big\r\n\r\n" + b"x" * 70 * 400)
        self.assertEqual(code, 552)
        client.sendmail("x@outside.test", ["bob@example.test"],
                        b"Subject: small\r\n\r\nsmall\r\n")
        client.quit()

    def test_relay_networks(self):
        def relay(source):
            client = Smtp("127.0.0.1", self.box.port("smtp"), source_address=(source, 0))
            client.ehlo("client.test")
            client.mail("x@outside.test")
            code = client.rcpt("y@elsewhere.test")[0]
            client.quit()
            return code
        self.configure('relay_networks = [ "127.0.0.3" ];')
        self.assertEqual(relay("127.0.0.3"), 250)
        self.assertEqual(relay("127.0.0.1"), 550)
        self.configure("relay_networks = [];")
        self.assertEqual(relay("127.0.0.3"), 550)

    def test_postmaster(self):
        def ask(address):
            with self.box.smtp() as client:
                client.ehlo("client.test")
                client.mail("x@outside.test")
                return client.rcpt(address)[0]
        self.configure('postmaster = "carol";')
        for address in ("postmaster", "PostMaster@example.test"):
            self.assertEqual(ask(address), 250)
        with self.box.smtp() as client:
            client.sendmail("x@outside.test", ["postmaster@example.test"],
                            b"Subject: house\r\n\r\nto the house\r\n")
        self.assertIn(b"to the house", self.box.inbox("carol", 1)[0])

    def test_log_level(self):
        self.configure('log: { level = "debug"; };')
        with self.box.smtp() as client:
            client.ehlo("client.test")
        until(lambda: re.search(r" debug edge\[\d+\] connected session=\w{13}",
                                self.box.log()), "a debug line")
        self.configure('log: { level = "error"; };')
        seen = len(self.box.log())
        with self.box.smtp() as client:
            client.sendmail("x@outside.test", ["alice@example.test"],
                            b"Subject: quiet\r\n\r\nquiet\r\n")
        self.box.inbox("alice", 1)
        self.assertEqual(re.findall(r"(?m)^\S+ (?:info|notice|warn) (?!master).*",
                                    self.box.log()[seen:]), [])

    def test_domains(self):
        self.configure('domains = [ "example.test", "second.test" ];')
        with self.box.smtp() as client:
            client.ehlo("client.test")
            client.mail("x@outside.test")
            code, text = client.rcpt("nobody@second.test")
            self.assertEqual((code, text[:6]), (550, b"5.1.1 "))
        self.box.ctl("user", "add", "dora@second.test", stdin="secret\n")
        with self.box.smtp() as client:
            client.sendmail("x@outside.test", ["dora@second.test"],
                            b"Subject: second\r\n\r\nsecond\r\n")
        self.assertEqual(len(self.box.inbox("dora@second.test", 1)), 1)


class Processes(unittest.TestCase):
    def test_as_many_as_asked_for(self):
        with Sandbox({"many": "processes: { edge = 3; check = 2; mail = 3; "
                      "relay = 2; };"}, users=6) as box:
            roles = [re.search(r"--role=(\w+)", a)[1]
                     for a in box.children().values()]
            self.assertEqual(sorted(roles), sorted(
                ["edge"] * 3 + ["check"] * 2 + ["mail"] * 3 + ["relay"] * 2 +
                ["auth", "queue"]))
            users = [f"u{n:04d}" for n in range(1, 7)]
            with box.smtp() as client:
                client.sendmail("x@outside.test",
                                [u + "@example.test" for u in users],
                                b"Subject: all\r\n\r\nto all\r\n")
            for user in users:
                self.assertEqual(len(box.inbox(user, 1)), 1)
            for _ in range(12):
                box.pop3("u0001").quit()
            # what was changed takes effect with a restart, and is said
            box.snippet("95-fewer", "processes: { mail = 1; };")
            box.ctl("reload")
            self.assertRegex(box.log(), r"warn master\[\d+\] needs_restart "
                             r"setting=processes role=mail running=3 configured=1")
            box.restart()
            self.assertEqual(sum("--role=mail" in a
                                 for a in box.children().values()), 1)
            for user in users:
                self.assertEqual(len(box.inbox(user, 1)), 1)

    def test_shutdown_timeout(self):
        """Sessions are told, and none can hold up the end."""
        with Sandbox({"end": 'shutdown_timeout = "10m";'}) as box:
            smtp = box.smtp()
            smtp.ehlo("client.test")
            smtp.docmd("MAIL", "FROM:<x@outside.test>")
            imap = box.imap("bob")
            box.stop()  # which would not wait for so long
            code, text = smtp.getreply()
            self.assertEqual((code, text[:4]), (421, b"4.3."))
            self.assertRegex(imap.readline(), rb"\* BYE ")
            smtp.close()
            imap.shutdown()


if __name__ == "__main__":
    unittest.main()
