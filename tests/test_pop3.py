# SPDX-License-Identifier: Apache-2.0
"""POP3 over the wire: login, the maildrop, what QUIT does."""
import poplib
import socket
import unittest

from sandbox import DEADLINE, Sandbox, until


def deliver(box, user, subject, body=b"x\r\n"):
    client = box.smtp()
    client.sendmail("x@outside.test", [user + "@example.test"],
                    b"Subject: " + subject + b"\r\n\r\n" + body)
    client.quit()


class Pop3(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.box = Sandbox(users=4)

    @classmethod
    def tearDownClass(cls):
        cls.box.close()

    def drop(self, user, count):
        """A client that sees at least count messages."""
        def look():
            client = self.box.pop3(user)
            if client.stat()[0] >= count:
                return client
            client.quit()
            return None
        return until(look, f"{count} messages of {user}")

    def test_stls_injection_CVE_2021_33515(self):
        sock = socket.create_connection(("127.0.0.1", self.box.port("pop3")),
                                        timeout=DEADLINE)
        file = sock.makefile("rb")
        self.assertIn(b"+OK", file.readline())
        sock.sendall(b"STLS\r\nQUIT\r\n")
        self.assertIn(b"+OK", file.readline())
        tls = self.box.tls().wrap_socket(sock, server_hostname="localhost")
        tls.sendall(b"CAPA\r\n")
        lines = tls.makefile("rb")
        self.assertIn(b"capabilities", lines.readline())
        tls.close()

    def test_login_is_refused_before_tls(self):
        client = poplib.POP3("127.0.0.1", self.box.port("pop3"), timeout=DEADLINE)
        self.assertNotIn("USER", client.capa())
        with self.assertRaises(poplib.error_proto):
            client.user("alice")
        client.stls(context=self.box.tls())
        self.assertIn("SASL", client.capa())
        client.user("alice")
        with self.assertRaisesRegex(poplib.error_proto, "AUTH"):
            client.pass_("wrong")
        client.user("alice")
        client.pass_("secret")
        client.quit()

    def test_quit_deletes_and_a_lost_connection_does_not(self):
        for n in range(3):
            deliver(self.box, "u0001", b"m%d" % n)
        client = self.drop("u0001", 3)
        uids = client.uidl()[1]
        client.dele(2)
        self.assertEqual(client.stat()[0], 2)
        with self.assertRaises(poplib.error_proto):
            client.retr(2)
        client.close()
        client = self.drop("u0001", 3)
        self.assertEqual(client.uidl()[1], uids)
        client.dele(1)
        client.dele(3)
        client.quit()
        client = self.box.pop3("u0001")
        self.assertEqual([l.split()[1] for l in client.uidl()[1]],
                         [uids[1].split()[1]])
        client.quit()

    def test_content_and_top(self):
        body = b".\r\n..\r\n.x\r\n" + b"line\r\n" * 20
        deliver(self.box, "u0002", b"dots", body)
        client = self.drop("u0002", 1)
        lines = client.retr(1)[1]
        content = b"".join(l + b"\r\n" for l in lines)
        self.assertTrue(content.endswith(b"Subject: dots\r\n\r\n" + body))
        self.assertEqual(len(content), client.stat()[1])
        top = client.top(1, 2)[1]
        self.assertEqual(top[-3:], [b"", b".", b".."])
        client.quit()

    def test_pipelined_commands_survive_the_hand_over(self):
        context = self.box.tls()
        with socket.create_connection(("127.0.0.1", self.box.port("pop3s")),
                                      timeout=DEADLINE) as sock:
            with context.wrap_socket(sock, server_hostname="localhost") as tls:
                tls.sendall(b"USER u0003\r\nPASS secret\r\n"
                            b"STAT\r\nUIDL\r\nQUIT\r\n")
                lines = tls.makefile("rb").readlines()
        self.assertEqual([l[:3] for l in lines],
                         [b"+OK"] * 5 + [b".\r\n"] + [b"+OK"])

    def test_strangers_get_few_tries(self):
        with socket.create_connection(("127.0.0.1", self.box.port("pop3")),
                                      timeout=DEADLINE) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            self.assertEqual(len(sock.makefile("rb").readlines()), 1)


if __name__ == "__main__":
    unittest.main()
