# SPDX-License-Identifier: Apache-2.0
"""Mail to other servers: which host, what is said, and what becomes of a
message when the host, the connection or the relay itself fails."""
import email
import email.policy
import os
import shutil
import ssl
import tempfile
import threading
import unittest

from email.message import EmailMessage

from remote import HangUp, Remote
from sandbox import DEADLINE, Dns, Sandbox, until

ZONE = """
remote.test MX 20 mx2.remote.test
remote.test MX 10 mx1.remote.test
mx1.remote.test A 127.0.0.2
mx2.remote.test A 127.0.0.3
plain.test A 127.0.0.2
xn--bcher-kva.test A 127.0.0.2
null.test MX 0 .
broken.test RCODE SERVFAIL
slow.test RCODE TIMEOUT
alias.test CNAME remote.test
called.test MX 10 other.remote.test
other.remote.test CNAME mx2.remote.test
here.test MX 10 mail.example.test
here.test MX 20 mx2.remote.test
back.test MX 10 local.remote.test
local.remote.test A 127.0.0.1
mail.example.test A 192.0.2.1
many.test MX 10 six.remote.test
six.remote.test AAAA ::1
six.remote.test A 127.0.0.4
six.remote.test A 127.0.0.3
smart.test A 127.0.0.2
big.test TRUNCATE yes
big.test MX 10 mx1.remote.test
"""

SHARED = 2000  # messages to two equal hosts

# A connection for each attempt.
ONE_EACH = "connection_idle = \"0s\";"


def message(body=b"hello\r\n", subject=b"relay"):
    return (b"From: <alice@example.test>\r\nTo: <x@remote.test>\r\nSubject: "
            + subject + b"\r\nDate: Mon, 23 Nov 2026 08:00:00 +0000\r\n\r\n" + body)


def leaves(content):
    """Type and decoded octets of each part that has no parts."""
    return [(part.get_content_type(), part.get_payload(decode=True))
            for part in email.message_from_bytes(content).walk()
            if not part.is_multipart()]


class Relay(unittest.TestCase):
    """Each test has a server, a DNS server and remote ones of its own."""

    def box(self, remote, more="", zone=ZONE, loopback=True, dns_s=20):
        dns = Dns(zone)
        self.addCleanup(dns.close)
        box = Sandbox({"relay": (
            f"transport_smtp: {{ port = {remote.port}; "
            f"allow_loopback = {str(loopback).lower()}; {more} }}; queue: {{ retry = [ \"1s\" ]; }}; "
            f"dns: {{ timeout = \"{dns_s}s\"; }};")}, dns=dns.address)
        self.addCleanup(box.close)
        return box

    def remote(self, **how):
        remote = Remote(**how)
        self.addCleanup(remote.close)
        return remote

    def send(self, box, to="x@remote.test", what=None, **more):
        client = box.submission()
        client.sendmail("alice@example.test", to if isinstance(to, list) else [to],
                        what or message(), **more)
        client.quit()

    def wait(self, box, *words, count=1):
        """Lines of the log with all the words, once there are count."""
        def look():
            lines = [line for line in box.log().splitlines()
                     if all(word in line for word in words)]
            return lines if len(lines) >= count else None
        return until(look, f"{count} log lines with {words}")

    def test_the_best_host_gets_it_and_nobody_else(self):
        remote = self.remote(offer=["PIPELINING", "8BITMIME", "SIZE 0"])
        other = self.remote(address="127.0.0.3", port=remote.port)
        box = self.box(remote)
        self.send(box, ["x@remote.test", "y@remote.test", "z@plain.test"])
        self.wait(box, " delivered ", count=3)
        self.assertEqual(len(remote.messages), 2)
        self.assertEqual(other.connections, 0)
        self.assertIn("EHLO mail.example.test", remote.lines)
        both = [m for m in remote.messages if len(m[1]) == 2]
        self.assertEqual(len(both), 1, "one transaction for one destination")
        self.assertIn("host=mx1.remote.test", self.wait(
            box, " delivered ", "to=x@remote.test")[0])
        self.wait(box, "smtp_session", "address=127.0.0.2", "delivered=2")

    def test_the_next_host_is_tried_when_one_is_down_or_busy(self):
        other = self.remote(address="127.0.0.3")
        box = self.box(other)  # nobody listens at 127.0.0.2
        self.send(box)
        self.wait(box, " delivered ", "host=mx2.remote.test")
        self.remote(port=other.port, rule=lambda verb, line, n:
                    "421 4.3.2 busy" if verb == "CONNECT" else None)
        self.send(box)
        self.wait(box, " delivered ", "host=mx2.remote.test", count=2)

    def test_what_is_refused_for_now_is_sent_again(self):
        remote = self.remote(rule=lambda verb, line, n:
                             "450 4.7.1 greylisted" if verb == "RCPT" and n < 3
                             else None)
        box = self.box(remote, ONE_EACH)
        self.send(box, "x@plain.test")
        self.assertIn("greylisted", self.wait(box, " deferred ")[0])
        self.wait(box, " delivered ", "attempts=3")
        self.assertEqual(len(remote.messages), 1)

    def test_who_takes_few_recipients_gets_all_one_after_the_other(self):
        seen = [0]

        def three(verb, line, n):
            if verb == "MAIL":
                seen[0] = 0
            if verb == "RCPT":
                seen[0] += 1
                if seen[0] > 3:
                    return "452 4.5.3 too many recipients"
                if "full@" in line:
                    return "452 4.2.2 mailbox full"
            return None
        remote = self.remote(rule=three)
        dns = Dns(ZONE)
        self.addCleanup(dns.close)
        box = Sandbox({"relay": (
            f"transport_smtp: {{ port = {remote.port}; allow_loopback = true; }};"
            "queue: { retry = [ \"1h\" ]; };")}, dns=dns.address)
        self.addCleanup(box.close)
        self.send(box, ["full@plain.test"] + [f"x{n}@plain.test" for n in range(10)])
        self.wait(box, " delivered ", count=10)
        self.assertEqual(sorted(len(m[1]) for m in remote.messages), [2, 2, 3, 3])
        self.assertEqual(len(self.wait(box, " deferred ", "to=full@plain.test")), 1)

    def test_what_is_refused_for_good_bounces_with_the_words_of_the_host(self):
        remote = self.remote(rule=lambda verb, line, n:
                             "550 5.1.1 nobody of that name" if "ghost" in line
                             else None)
        box = self.box(remote)
        self.send(box, ["x@plain.test", "ghost@plain.test"])
        self.wait(box, " delivered ", "to=x@plain.test")
        self.assertIn("nobody of that name", self.wait(
            box, " bounced ", "to=ghost@plain.test", "status=5.1.1")[0])
        self.assertEqual(len(remote.messages), 1)
        report = box.inbox("alice", 1)[0]
        self.assertIn(b"Final-Recipient: rfc822; ghost@plain.test", report)
        self.assertIn(b"nobody of that name", report)

    def test_equal_preferences_share_the_mail(self):
        one = self.remote()
        two = self.remote(address="127.0.0.3", port=one.port)
        box = self.box(one, "connection_idle = \"10s\";", zone="""
            equal.test MX 10 a.equal.test
            equal.test MX 10 b.equal.test
            equal.test MX 20 c.equal.test
            a.equal.test A 127.0.0.2
            b.equal.test A 127.0.0.3
            c.equal.test A 127.0.0.4
        """)
        client = box.submission()
        for n in range(SHARED):
            client.sendmail("alice@example.test", ["x@equal.test"], message())
        client.quit()
        until(lambda: len(one.messages) + len(two.messages) >= SHARED,
              "all messages", deadline=300)
        share = len(one.messages) / SHARED
        self.assertTrue(0.45 <= share <= 0.55, share)

    def test_dns_decides_between_bounce_and_patience(self):
        remote = self.remote()
        box = self.box(remote)
        self.send(box, ["x@null.test", "x@nowhere.test", "x@broken.test",
                        "x@big.test"])
        self.wait(box, " bounced ", "to=x@null.test", "status=5.1.10")
        self.wait(box, " bounced ", "to=x@nowhere.test", "status=5.1.2")
        self.wait(box, " deferred ", "to=x@broken.test", "status=4.4.3")
        self.wait(box, " delivered ", "to=x@big.test")  # asked over TCP

    def test_names_that_are_aliases_lead_to_the_host(self):
        remote = self.remote(address="127.0.0.3")
        box = self.box(remote)
        self.send(box, ["x@alias.test", "x@called.test"])
        self.wait(box, " delivered ", "to=x@alias.test",
                  "host=mx2.remote.test")
        self.wait(box, " delivered ", "to=x@called.test")

    def test_every_address_of_a_host_is_tried(self):
        remote = self.remote(address="127.0.0.3")
        box = self.box(remote)
        self.send(box, "x@many.test")
        self.wait(box, " delivered ", "host=six.remote.test")
        self.wait(box, "smtp_session", "address=127.0.0.3", "delivered=1")

    def test_no_more_hosts_are_tried_than_allowed(self):
        remote = self.remote(address="127.0.0.9")  # the last, and not reached
        box = self.box(remote, "max_hosts = 3;", zone="".join(
            f"hosts.test MX {n} h{n}.hosts.test\nh{n}.hosts.test A 127.0.0.{n}\n"
            for n in range(4, 10)))
        self.send(box, "x@hosts.test")
        self.wait(box, " deferred ", "to=x@hosts.test", "status=4.4.1")
        tried = [line for line in self.wait(box, "smtp_session", count=3)
                 if "before=0" in line][:3]
        self.assertEqual([f"address=127.0.0.{n} " in line for n, line in
                          zip(range(4, 7), tried)], [True] * 3)
        self.assertEqual(remote.connections, 0)

    def test_mail_does_not_come_back_to_this_server(self):
        remote = self.remote(address="127.0.0.1")
        box = self.box(remote, loopback=False)
        self.send(box, ["x@here.test", "x@back.test"])
        for to in ("x@here.test", "x@back.test"):
            self.wait(box, " bounced ", "to=" + to, "status=5.4.6")
        self.assertEqual(remote.connections, 0)

    def test_silence_of_dns_is_no_answer(self):
        box = self.box(self.remote(), dns_s=1)
        self.send(box, "x@slow.test")
        self.wait(box, " deferred ", "to=x@slow.test", "status=4.4.3")

    def test_one_connection_serves_several_messages(self):
        remote = self.remote(offer=["PIPELINING", "CHUNKING"])
        box = self.box(remote, "connection_idle = \"1m\";")
        for n in range(3):
            self.send(box, "x@plain.test", message(b"..%d\r\n" % n))
            self.wait(box, " delivered ", count=n + 1)
        self.assertEqual(remote.connections, 1)
        self.assertEqual(remote.lines.count("RSET"), 2)
        self.assertTrue(remote.messages[2][2].endswith(message(b"..2\r\n")))
        box.stop()
        until(lambda: remote.lines[-1] == "QUIT", "a polite end")

    def send_binary(self, box, text):
        client = box.submission()
        self.assertEqual(client.docmd("MAIL", "FROM:<alice@example.test> "
                                      "BODY=BINARYMIME")[0], 250)
        self.assertEqual(client.rcpt("x@plain.test")[0], 250)
        client.send(b"BDAT %d LAST\r\n" % len(text) + text)
        self.assertEqual(client.getreply()[0], 250)
        client.quit()

    def test_binary_content_goes_on_as_it_came(self):
        text = message(bytes(range(256)) + b"\n.\n..\n\r.\r\0")
        remote = self.remote(offer=["CHUNKING", "BINARYMIME"])
        box = self.box(remote)
        self.send_binary(box, text)
        self.wait(box, " delivered ")
        self.assertTrue(remote.messages[0][2].endswith(text))
        self.assertIn(" BODY=BINARYMIME", remote.messages[0][0])

    def test_binary_content_is_returned_by_who_takes_none(self):
        remote = self.remote(offer=["CHUNKING", "8BITMIME"])
        box = self.box(remote, "eight_bit = \"bounce\";")
        self.send_binary(box, message(b"\n.\n"))
        self.wait(box, " bounced ", "to=x@plain.test", "status=5.6.3")
        self.assertEqual(remote.messages, [])
        bounce = box.inbox("alice", 1)[0]
        self.assertIn(b"text/rfc822-headers", bounce)
        self.assertNotIn(b"\n.\n", bounce)

    def test_binary_content_is_encoded_for_who_takes_none(self):
        head = (b"MIME-Version: 1.0\r\nContent-Type: application/x\r\n"
                b"Content-Transfer-Encoding: binary\r\n\r\n")
        body = bytes(range(256)) + b"\n.\r\n.\r\n\r.\r"
        remote = self.remote(offer=["CHUNKING", "8BITMIME"])
        box = self.box(remote)
        self.send_binary(box, head + body)
        self.wait(box, " delivered ")
        got = email.message_from_bytes(remote.messages[0][2])
        self.assertEqual(got["Content-Transfer-Encoding"], "base64")
        self.assertEqual(got.get_payload(decode=True), body)
        self.assertNotIn("BODY=", remote.messages[0][0])

    def test_8_bit_content_is_encoded_for_who_takes_7(self):
        remote = self.remote(offer=["PIPELINING", "CHUNKING"])
        box = self.box(remote, ONE_EACH)
        mail = EmailMessage()
        mail["From"], mail["Subject"] = "alice@example.test", "8 bits"
        mail.set_content("Gr\u00fc\u00dfe = 1\n.\n..x\nEnde \n" * 2000, cte="8bit")
        mail.add_attachment("<p>\u65e5\u672c\u8a9e</p>\n" * 50, subtype="html", cte="8bit")
        mail.add_attachment(b"only ASCII\n" * 30000, maintype="image", subtype="x")
        inner = EmailMessage()
        inner["Subject"] = "inner"
        inner.set_content("\u00e4rger\n", cte="8bit")
        mail.add_attachment(inner)
        sent = mail.as_bytes(policy=email.policy.SMTP)
        self.assertIn("Gr\u00fc\u00dfe".encode(), sent)
        self.send(box, "x@plain.test", sent, mail_options=["BODY=8BITMIME"])
        self.wait(box, " delivered ", "to=x@plain.test")
        envelope, _, content = remote.messages[0]
        self.assertTrue(content.isascii())
        self.assertNotIn("BODY=", envelope)
        self.assertEqual(leaves(content), leaves(sent))
        self.assertEqual(
            [v for k, v in email.message_from_bytes(content).items()
             if k in mail], [str(v) for v in mail.values()])
        # what knows the extension gets the octets
        remote.offer.append("8BITMIME")
        self.send(box, "y@plain.test", sent, mail_options=["BODY=8BITMIME"])
        self.wait(box, " delivered ", "to=y@plain.test")
        self.assertTrue(remote.messages[1][2].endswith(sent))
        self.assertIn("BODY=8BITMIME", remote.messages[1][0])

    def test_what_is_signed_in_8_bits_comes_back(self):
        remote = self.remote()
        box = self.box(remote)
        self.send(box, "x@plain.test", (
            "From: alice@example.test\r\nMIME-Version: 1.0\r\n"
            "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n"
            "\u00fcber\r\n--b\r\n\r\nsignature\r\n--b--\r\n").encode())
        self.assertIn("signed", self.wait(box, " bounced ", "status=5.6.3")[0])
        self.assertEqual(remote.messages, [])

    def test_8_bit_content_is_sent_as_it_is_if_so_told(self):
        remote = self.remote()
        box = self.box(remote, "eight_bit = \"send\";")
        self.send(box, "x@plain.test", message("\u00fcber\r\n".encode()))
        self.wait(box, " delivered ")
        self.assertTrue(remote.messages[0][2].endswith("\u00fcber\r\n".encode()))

    def test_all_mail_goes_through_the_relay_host(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        remote = self.remote(tls=context, offer=["AUTH PLAIN"])
        box = self.box(remote, "relay_host = \"smart.test\"; "
                       "relay_user = \"me\"; relay_password = \"secret\";")
        context.load_cert_chain(box.dir + "/tls/cert.pem", box.dir + "/tls/key.pem")
        self.send(box, ["x@remote.test", "y@null.test"])
        self.wait(box, " delivered ", "host=smart.test", count=2)
        self.assertIn("AUTH PLAIN AG1lAHNlY3JldA==", remote.lines)
        self.assertNotIn("secret", box.log())

    def test_lmtp_has_a_reply_for_each_recipient(self):
        path = tempfile.mkdtemp(prefix="lmtp-")
        self.addCleanup(shutil.rmtree, path)
        os.chmod(path, 0o755)
        remote = self.remote(path=path + "/s", offer=["PIPELINING"],
                             rule=lambda verb, line, n:
                             "452 4.2.2 full" if verb == "END" and "full" in line
                             else None)
        os.chmod(path + "/s", 0o666)
        box = Sandbox({"relay": (
            "transport_smtp: { enabled = false; }; "
            f"transport_lmtp: {{ socket = \"{path}/s\"; }};")})
        self.addCleanup(box.close)
        self.send(box, ["a@plain.test", "full@plain.test", "b@plain.test"])
        self.wait(box, " delivered ", "to=a@plain.test")
        self.wait(box, " delivered ", "to=b@plain.test")
        self.wait(box, " deferred ", "to=full@plain.test", "status=4.2.2")
        self.assertIn("LHLO mail.example.test", remote.lines)
        self.assertEqual(len(remote.messages), 2)

    def test_a_connection_lost_after_the_dot_is_tried_again(self):
        def lose(verb, line, n):
            if verb == "END" and n == 1:
                raise HangUp
        remote = self.remote(rule=lose)
        box = self.box(remote)
        self.send(box, "x@plain.test")
        self.assertIn("end of data", self.wait(box, " deferred ")[0])
        self.wait(box, " delivered ")
        self.assertEqual(len(remote.messages), 1)

    def test_content_arrives_as_it_was_sent(self):
        remote = self.remote(offer=["PIPELINING", "8BITMIME"])
        box = self.box(remote)
        body = b".\r\n..\r\n.x\r\nGr\xc3\xbc\xc3\x9fe\r\n" + b"".join(
            b".%074d\r\n" % n for n in range(40000))  # 3 MB: through a file
        self.send(box, "x@plain.test", message(body))
        self.wait(box, " delivered ")
        sender, _, content = remote.messages[0]
        self.assertTrue(content.endswith(message(body)))
        self.assertTrue(content.startswith(b"Received: "))
        self.assertIn("BODY=8BITMIME", sender)

    def test_tls_is_used_when_offered_and_done_without_when_broken(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        remote = self.remote(tls=context)
        box = self.box(remote, ONE_EACH)
        context.load_cert_chain(box.dir + "/tls/cert.pem", box.dir + "/tls/key.pem")
        self.send(box, "x@plain.test")
        self.wait(box, "smtp_session", "TLSv1.3", "delivered=1")
        remote.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # no certificate
        self.send(box, "y@plain.test")
        self.wait(box, " delivered ", "to=y@plain.test")
        self.wait(box, "smtp_session", "tls=none", "delivered=1")

    def test_the_next_host_is_tried_when_one_speaks_no_tls_that_must(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        first = self.remote()
        second = self.remote(address="127.0.0.3", port=first.port, tls=context)
        box = self.box(first, "tls = \"encrypt\";")
        context.load_cert_chain(box.dir + "/tls/cert.pem", box.dir + "/tls/key.pem")
        self.send(box)
        self.wait(box, " delivered ", "host=mx2.remote.test")
        self.assertEqual((first.connections, first.messages), (1, []))
        self.assertEqual(len(second.messages), 1)

    def test_addresses_outside_ascii_need_smtputf8(self):
        remote = self.remote(offer=["8BITMIME"])
        box = self.box(remote)
        self.send(box, "j\u00f6rg@plain.test", message(),
                  mail_options=["SMTPUTF8"])
        self.wait(box, " bounced ", "status=5.6.7")
        remote.offer.append("SMTPUTF8")
        self.send(box, "j\u00f6rg@plain.test", message(),
                  mail_options=["SMTPUTF8"])
        self.wait(box, " delivered ", "host=plain.test")
        self.assertIn("SMTPUTF8", remote.messages[0][0])
        self.assertIn("RCPT TO:<j\u00f6rg@plain.test>", remote.messages[0][1])

    def test_a_domain_outside_ascii_needs_no_smtputf8(self):
        remote = self.remote(offer=["8BITMIME"])
        box = self.box(remote)
        self.send(box, "bob@b\u00fccher.test", message(),
                  mail_options=["SMTPUTF8"])
        self.wait(box, " delivered ", "to=bob@xn--bcher-kva.test")
        self.assertNotIn("SMTPUTF8", remote.messages[0][0])
        self.assertIn("RCPT TO:<bob@xn--bcher-kva.test>", remote.messages[0][1])

    def test_a_killed_relay_loses_nothing(self):
        came, go_on = threading.Event(), threading.Event()

        def wait_once(verb, line, n):
            if verb == "MAIL" and n == 1:
                came.set()
                go_on.wait(30)
                raise HangUp
        remote = self.remote(rule=wait_once)
        box = self.box(remote)
        self.send(box, "x@plain.test")
        self.assertTrue(came.wait(DEADLINE))
        self.assertTrue(box.kill_role("relay"))
        go_on.set()
        self.wait(box, " delivered ")
        self.assertEqual(len(remote.messages), 1)

    def test_stopping_cuts_attempts_short_and_keeps_the_message(self):
        came, go_on = threading.Event(), threading.Event()

        def hang(verb, line, n):
            if verb == "CONNECT" and not go_on.is_set():
                came.set()
                go_on.wait(60)
                raise HangUp
        remote = self.remote(rule=hang)
        dns = Dns(ZONE)
        self.addCleanup(dns.close)
        box = Sandbox({"relay": (
            f"transport_smtp: {{ port = {remote.port}; allow_loopback = true; }}; "
            "queue: { retry = [ \"1s\" ]; }; shutdown_timeout = \"1s\";")},
            dns=dns.address)
        self.addCleanup(box.close)
        self.send(box, "x@plain.test")
        self.assertTrue(came.wait(DEADLINE))
        box.stop()
        self.assertEqual(remote.messages, [])
        go_on.set()
        box.restart()
        self.wait(box, " delivered ")
        self.assertEqual(len(remote.messages), 1)


if __name__ == "__main__":
    unittest.main()
