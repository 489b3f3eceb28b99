# SPDX-License-Identifier: Apache-2.0
"""The SMTP conversation over the wire: what RELIABILITY's attack list names,
one test for each, and what the RFCs promise to a client."""
import base64
import socket
import ssl
import unittest

from sandbox import DEADLINE, Sandbox, until

HELLO = b"EHLO c.test\r\n"
ENVELOPE = b"MAIL FROM:<x@outside.test>\r\nRCPT TO:<bob@example.test>\r\n"


class Wire:
    """Raw octets to a port and whole replies back."""

    def __init__(self, box, port, greeting=True):
        self.socket = socket.create_connection(("127.0.0.1", box.port(port)),
                                               timeout=DEADLINE)
        self.file = self.socket.makefile("rb")
        if greeting:
            self.greeting = self.reply()

    def send(self, octets):
        self.socket.sendall(octets)

    def reply(self):
        """(code, text) of one reply; code 0 at the end of the connection."""
        text = b""
        while True:
            line = self.file.readline()
            if not line:
                return 0, text
            text += line[4:]
            if line[3:4] != b"-":
                return int(line[:3]), text

    def codes(self, octets, count):
        self.send(octets)
        return [self.reply()[0] for _ in range(count)]

    def rest(self):
        """Codes of all replies until the server closes."""
        codes = []
        while (code := self.reply()[0]) != 0:
            codes.append(code)
        return codes

    def tls(self, context):
        self.socket = context.wrap_socket(self.socket,
                                          server_hostname="localhost")
        self.file = self.socket.makefile("rb")

    def close(self):
        self.file.close()
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Smtp(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.box = Sandbox({"auth": "smtp_inbound: { max_errors = 500; };"})

    @classmethod
    def tearDownClass(cls):
        cls.box.close()

    def wire(self, port="smtp"):
        wire = Wire(self.box, port)
        self.addCleanup(wire.close)
        return wire

    # --- smuggling ---

    def test_smuggling_CVE_2023_51764_51765_51766(self):
        part = [b"\r\n", b"\n", b"\r", b"\r\r\n", b"\n\r", b"\0\n", b"\r\0\n", b""]
        sequences = 0
        for a in part:
            for b in part:
                if a.endswith(b"\r\n") and b == b"\r\n":
                    continue  # this is the end of data
                sequences += 1
                wire = self.wire()
                codes = wire.codes(
                    HELLO + ENVELOPE + b"DATA\r\n" + b"Subject: smuggle\r\n\r\nA" +
                    a + b"." + b + b"MAIL FROM:<evil@x.test>\r\n"
                    b"RCPT TO:<alice@example.test>\r\nDATA\r\n\r\n.\r\nQUIT\r\n", 6)
                self.assertEqual(codes[:4], [250, 250, 250, 354], (a, b))
                self.assertIn(codes[4], (250, 550), (a, b))
                self.assertEqual(codes[5], 221, (a, b))
                bare = any(set(p.replace(b"\r\n", b"")) & set(b"\r\n")
                           for p in (a, b))
                self.assertEqual(codes[4] == 550, bare, (a, b))
                wire.close()
        self.assertGreaterEqual(sequences, 50)

    def test_the_end_of_data_may_come_octet_by_octet(self):
        wire = self.wire()
        self.assertEqual(wire.codes(HELLO + ENVELOPE + b"DATA\r\n", 4),
                         [250, 250, 250, 354])
        wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in b"Subject: drip\r\n\r\n..\r\n.x\r\n\r\n.\r\n":
            wire.send(bytes([octet]))
        self.assertEqual(wire.reply()[0], 250)

    def test_a_chunk_is_never_taken_for_commands(self):
        chunk = b"Subject: bdat\r\n\r\n.\r\nQUIT\r\n.\r\n"
        wire = self.wire()
        self.assertEqual(wire.codes(
            HELLO + ENVELOPE + b"BDAT %d\r\n%sBDAT 0 LAST\r\nBDAT %d LAST\r\n%s"
            b"NOOP\r\n" % (len(chunk), chunk, len(chunk), chunk), 7),
            [250, 250, 250, 250, 250, 503, 250])

    # --- TLS ---

    def test_starttls_injection_CVE_2011_0411(self):
        for port in ("smtp", "submission"):
            wire = self.wire(port)
            self.assertEqual(wire.codes(HELLO, 1), [250])
            wire.send(b"STARTTLS\r\nNOOP\r\nRSET\r\n")
            self.assertEqual(wire.reply()[0], 220)
            wire.tls(self.box.tls())
            self.assertEqual(wire.codes(b"MAIL FROM:<>\r\n", 1), [503])
            self.assertEqual(wire.codes(HELLO + b"STARTTLS\r\n", 2), [250, 503])

    def test_login_is_hidden_before_tls(self):
        wire = self.wire("submission")
        wire.send(HELLO)
        self.assertNotIn(b"AUTH", wire.reply()[1])
        secret = base64.b64encode(b"\0alice\0secret")
        self.assertEqual(wire.codes(b"AUTH PLAIN " + secret + b"\r\n"
                                    b"MAIL FROM:<alice@example.test>\r\n", 2),
                         [538, 530])

    def test_alpaca_wrong_alpn_is_refused(self):
        context = self.box.tls()
        context.set_alpn_protocols(["http/1.1"])
        sock = socket.create_connection(
            ("127.0.0.1", self.box.port("submissions")), timeout=DEADLINE)
        with self.assertRaises(ssl.SSLError), sock:
            context.wrap_socket(sock, server_hostname="localhost").recv(1)

    def test_alpaca_http_is_dropped_without_a_word(self):
        for verb in (b"GET", b"POST", b"CONNECT"):
            wire = self.wire()
            wire.send(verb + b" /<script> HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertEqual(wire.rest(), [])

    def test_auth_exchange(self):
        wire = self.wire("submission")
        wire.codes(HELLO + b"STARTTLS\r\n", 2)
        wire.tls(self.box.tls())
        self.assertEqual(
            wire.codes(HELLO + b"AUTH PLAIN\r\n*\r\nAUTH NOSUCH\r\n", 4),
            [250, 334, 501, 504])
        good = base64.b64encode(b"\0alice\0secret")
        bad = base64.b64encode(b"\0alice\0wrong")
        self.assertEqual(wire.codes(b"AUTH PLAIN " + bad + b"\r\n", 1), [535])
        self.assertEqual(wire.codes(b"AUTH PLAIN\r\n" + good + b"\r\n"
                                    b"AUTH PLAIN " + good + b"\r\n", 3),
                         [334, 235, 503])

    # --- who may send what to whom ---

    def test_open_relay_forms(self):
        forms = [b"victim@elsewhere.test", b"victim%elsewhere.test@example.test",
                 b"elsewhere.test!victim@example.test", b"elsewhere.test!victim",
                 b"@example.test:victim@elsewhere.test",
                 b"@example.test,@b.test:victim@elsewhere.test",
                 b"\"victim@elsewhere.test\"@example.test",
                 b"\"victim@elsewhere.test\"", b"victim@elsewhere.test@example.test",
                 b"example.test:victim@elsewhere.test", b"victim@[203.0.113.1]",
                 b"victim@[127.0.0.1]", b"victim@[IPv6:::1]",
                 b"victim%elsewhere.test@[127.0.0.1]", b"victim@elsewhere.test.",
                 b"VICTIM@ELSEWHERE.TEST", b"nobody@example.test"]
        wire = self.wire()
        self.assertEqual(wire.codes(HELLO + b"MAIL FROM:<>\r\n", 2), [250, 250])
        for form in forms:
            code = wire.codes(b"RCPT TO:<" + form + b">\r\n", 1)[0]
            self.assertIn(code, (501, 550), form)
        self.assertEqual(wire.codes(b"DATA\r\n", 1), [554])

    def test_a_user_may_not_send_as_another(self):
        client = self.box.submission()
        client.ehlo_or_helo_if_needed()
        self.assertEqual(client.mail("bob@example.test")[0], 553)
        for header in (b"From: bob@example.test\r\n", b"Subject: none\r\n",
                       b"From: alice@example.test\r\nFrom: bob@example.test\r\n"):
            client.mail("alice@example.test")
            client.rcpt("bob@example.test")
            self.assertEqual(client.data(header + b"\r\nx\r\n")[0], 550)
        client.quit()

    def test_submission_adds_date_and_message_id(self):
        client = self.box.submission()
        client.sendmail("alice@example.test", ["carol@example.test"],
                        b"From: alice@example.test\r\n\r\nx\r\n")
        client.quit()
        got = self.box.inbox("carol", 1)[0]
        self.assertRegex(got, rb"\r\nDate: [^\r]+\r\nMessage-ID: <[^>\r]+>\r\n"
                              rb"From: alice@example.test\r\n")

    # --- limits ---

    def test_nul_and_control_octets_in_commands(self):
        wire = self.wire()
        self.assertEqual(wire.codes(b"EHLO c\0.test\r\nEHLO c\x1b.test\r\nNOOP\n"
                                    b"NOOP\r\n", 4), [500, 500, 500, 250])

    def test_long_lines(self):
        wire = self.wire()
        self.assertEqual(wire.codes(b"NOOP " + b"x" * 3000 + b"\r\n", 1), [500])
        self.assertEqual(wire.codes(b"NOOP " + b"x" * 300000 + b"\r\nNOOP\r\n", 2),
                         [500, 250])

    def test_unknown_commands_end_the_session(self):
        wire = self.wire()
        wire.send(b"A\r\nB\r\nC\r\nNOOP\r\n")
        self.assertEqual(wire.rest(), [500, 500, 500, 421])

    def test_size_is_refused_before_it_is_sent(self):
        wire = self.wire()
        self.assertEqual(wire.codes(
            HELLO + b"MAIL FROM:<> SIZE=99999999999\r\n", 2), [250, 552])

    def test_a_loop_is_cut(self):
        wire = self.wire()
        self.assertEqual(wire.codes(
            HELLO + ENVELOPE + b"DATA\r\n" + b"Received: x\r\n" * 51 +
            b"\r\n.\r\n", 5)[-1], 554)

    def test_a_giant_header_is_refused(self):
        wire = self.wire()
        self.assertEqual(wire.codes(
            HELLO + ENVELOPE + b"DATA\r\n" + b"X: y\r\n" * 40000 +
            b"\r\n.\r\n", 5)[-1], 552)

    def test_pipelined_replies_leave_in_one_write(self):
        wire = self.wire()
        wire.send(HELLO + ENVELOPE + b"RSET\r\n" + ENVELOPE + b"QUIT\r\n")
        self.assertEqual(wire.rest(), [250, 250, 250, 250, 250, 250, 221])

    def test_refusals_carry_a_token_that_is_logged(self):
        wire = self.wire()
        wire.codes(HELLO + b"MAIL FROM:<>\r\n", 2)
        wire.send(b"RCPT TO:<nobody@example.test>\r\n")
        text = wire.reply()[1].decode()
        token = text.rstrip().rstrip(")").rsplit("(", 1)[1]
        self.assertEqual(len(token), 13)
        self.assertNotIn("nobody", text)
        until(lambda: "session=" + token in self.box.log(), "the token")


if __name__ == "__main__":
    unittest.main()
