# SPDX-License-Identifier: Apache-2.0
"""The SMTP conversation over the wire: what RELIABILITY's attack list names,
one test for each, and what the RFCs promise to a client."""
import base64
import re
import socket
import ssl
import struct
import unittest

from remote import Remote
from sandbox import DEADLINE, Sandbox, until
from smtp_wire import (ENVELOPE, HELLO, RELAY_FORMS, Wire,
                       check_relay_forms)


PARTS = [b"\r\n", b"\n", b"\r", b"\r\r\n", b"\n\r", b"\0\n", b"\r\0\n", b""]
# All but the end of data.
SMUGGLING = [(a, b) for a in PARTS for b in PARTS
             if not (a.endswith(b"\r\n") and b == b"\r\n")]


def smuggled(a, b):
    return (b"DATA\r\nSubject: smuggle\r\n\r\nA" + a + b"." + b +
            b"MAIL FROM:<evil@x.test>\r\nRCPT TO:<alice@example.test>\r\n"
            b"DATA\r\n\r\n.\r\n")


class Smtp(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.box = Sandbox({"auth": "smtp_inbound: { max_errors = 500; };"
                                   "smtp_submission: { max_errors = 500; };"})

    @classmethod
    def tearDownClass(cls):
        cls.box.close()

    def wire(self, port="smtp"):
        wire = Wire(self.box, port)
        self.addCleanup(wire.close)
        return wire

    # --- smuggling ---

    def test_smuggling_CVE_2023_51764_51765_51766(self):
        self.assertGreaterEqual(len(SMUGGLING), 50)
        for a, b in SMUGGLING:
            wire = self.wire()
            codes = wire.codes(HELLO + ENVELOPE + smuggled(a, b) + b"QUIT\r\n", 6)
            self.assertEqual(codes[:4], [250, 250, 250, 354], (a, b))
            bare = any(set(p.replace(b"\r\n", b"")) & set(b"\r\n")
                       for p in (a, b))
            self.assertEqual(codes[4:], [550 if bare else 250, 221], (a, b))
            wire.close()

    def test_smuggling_in_chunks(self):
        for a, b in [*SMUGGLING, (b"\r\n", b"\r\n")]:
            chunk = smuggled(a, b)[len(b"DATA\r\n"):]
            wire = self.wire()
            codes = wire.codes(HELLO + ENVELOPE + b"BDAT %d LAST\r\n" % len(chunk) +
                               chunk + b"QUIT\r\n", 5)
            bare = any(set(p.replace(b"\r\n", b"")) & set(b"\r\n")
                       for p in (a, b))
            self.assertEqual(codes, [250] * 3 + [550 if bare else 250, 221], (a, b))
            wire.close()

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
        # no transaction that begins in the clear ends behind TLS
        self.assertEqual(self.wire().codes(HELLO + ENVELOPE + b"STARTTLS\r\n", 4),
                         [250, 250, 250, 503])

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
        check_relay_forms(self, self.wire())

    def test_nothing_is_taken_for_submission_before_a_login(self):
        wire = self.wire("submission")
        wire.codes(HELLO + b"STARTTLS\r\n", 2)
        wire.tls(self.box.tls())
        self.assertEqual(wire.codes(HELLO + b"MAIL FROM:<>\r\n", 2), [250, 530])
        for form, _ in RELAY_FORMS:
            self.assertEqual(wire.codes(b"RCPT TO:<" + form.encode() + b">\r\n",
                                        1), [503], form)

    def test_a_user_may_not_send_as_another(self):
        client = self.box.submission()
        client.ehlo_or_helo_if_needed()
        self.assertEqual(client.mail("bob@example.test")[0], 553)
        for header in (b"From: bob@example.test\r\n", b"From: nobody\r\n",
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

    # --- what is written before a message ---

    def test_trace_fields(self):
        """RFC 5321 s4.4, RFC 3848: who, how, and for whom when that is one."""
        wire = self.wire()
        wire.codes(HELLO + b"STARTTLS\r\n", 2)
        wire.tls(self.box.tls())
        self.assertEqual(wire.codes(
            b"EHLO [127.0.0.1]\r\nEHLO c.test\r\n"
            b'MAIL FROM:<"a \\" b"@x.test>\r\nRCPT TO:<carol+d@example.test>\r\n'
            b"DATA\r\nFrom a@x.test Mon Nov 23\r\nSubject: traced\r\n\r\nx\r\n.\r\n",
            6)[1:], [250, 250, 250, 354, 250])
        self.assertEqual(wire.codes(
            b"MAIL FROM:<>\r\nRCPT TO:<carol@example.test>\r\n"
            b"RCPT TO:<bob@example.test>\r\nDATA\r\nSubject: traced\r\n\r\n.\r\nQUIT\r\n",
            6), [250, 250, 250, 354, 250, 221])

        def look():
            got = [m for m in self.box.inbox("carol", 0) if m is not True and
                   b"Subject: traced" in m]
            return got if len(got) == 2 else None
        one, two = sorted(until(look, "both"), key=lambda m: b"+d@" not in m)
        self.assertRegex(one, re.compile(
            rb'^Return-Path: <"a \\" b"@x\.test>\r\n'
            rb"Delivered-To: carol\+d@example\.test\r\n"
            rb"Received: from c\.test \(\[127\.0\.0\.1\]\)\r\n"
            rb"\tby mail\.example\.test \(posthouse\) with ESMTPS id [0-9a-z]{13}\.1\r\n"
            rb"\t\(using TLSv1\.3 [A-Z0-9_]+\)\r\n"
            rb"\tfor <carol\+d@example\.test>;\r\n"
            rb"\t[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d \+0000\r\n"
            rb"Subject: traced\r\n\r\nx\r\n$"))
        self.assertTrue(two.startswith(
            b"Return-Path: <>\r\nDelivered-To: carol@example.test\r\n"))
        self.assertNotIn(b"for <", two)

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


CHECKS = """
check_access: { allow = [ "127.0.0.1" ]; };
"""
POLICY = """
processes: { edge = 2; };
smtp_inbound: { greet_delay = "10ms"; client_messages = 3;
                xclient_networks = [ "127.0.0.9" ]; max_errors = 500;
                address_brackets = false; };
smtp_submission: { hide_client = true; user_messages = 3;
                   sender_check = "own"; max_errors = 500; };
message_limit_bytes = "1M";
"""


class Policy(unittest.TestCase):
    """Clients come from addresses of their own, for rates to tell them apart."""

    @classmethod
    def setUpClass(cls):
        cls.box = Sandbox({"policy": POLICY, "checks": CHECKS})

    @classmethod
    def tearDownClass(cls):
        cls.box.close()

    def wire(self, source, port="smtp", greeting=True):
        wire = Wire(self.box, port, greeting, source)
        self.addCleanup(wire.close)
        return wire

    def test_open_relay_forms_with_a_check_that_accepts(self):
        check_relay_forms(self, self.wire("127.0.0.1"))

    def test_early_talkers_may_only_quit(self):
        with Sandbox({"early": 'smtp_inbound: { greet_delay = "60s"; };'}) as box, \
                Wire(box, "smtp", False, "127.0.0.2") as wire:
            wire.send(HELLO + b"MAIL FROM:<>\r\nQUIT\r\n")
            self.assertEqual(wire.rest(), [554, 503, 503, 221])

    def test_brackets_may_be_left_out(self):
        wire = self.wire("127.0.0.7")
        self.assertEqual(wire.codes(HELLO + b"MAIL FROM: x@y.test SIZE=20\r\n"
                                    b"RCPT TO:bob@example.test\r\n"
                                    b"RCPT TO:victim@elsewhere.test\r\n"
                                    b"RCPT TO:@example.test\r\nRSET\r\n", 6),
                         [250, 250, 250, 550, 501, 250])

    def test_our_own_name_is_refused(self):
        wire = self.wire("127.0.0.2")
        self.assertEqual(wire.codes(b"EHLO mail.example.test\r\n"
                                    b"HELO [127.0.0.1]\r\n" + HELLO, 3),
                         [550, 550, 250])

    def test_rates_hold_over_all_processes(self):
        codes = []
        for _ in range(8):
            wire = self.wire("127.0.0.3")
            codes += wire.codes(HELLO + b"MAIL FROM:<>\r\n", 2)[1:]
        self.assertEqual(codes, [250] * 3 + [450] * 5)
        wire = self.wire("127.0.0.4")
        self.assertEqual(wire.codes(HELLO + b"MAIL FROM:<>\r\n", 2), [250, 250])

    def test_size_is_the_smaller_limit(self):
        wire = self.wire("127.0.0.5")
        wire.send(HELLO)
        self.assertIn(b"SIZE 1048576\r\n", wire.reply()[1])

    def test_xclient_names_the_client(self):
        wire = self.wire("127.0.0.9")
        self.assertEqual(
            wire.codes(b"EHLO front.test\r\n"
                       b"XCLIENT ADDR=203.0.113.77 PORT=99 HELO=x.test\r\n" +
                       HELLO + ENVELOPE + b"DATA\r\nSubject: x\r\n\r\nx\r\n.\r\n",
                       7), [250, 220, 250, 250, 250, 354, 250])
        self.assertEqual(wire.codes(b"QUIT\r\n", 1), [221])
        self.assertIn(b"from c.test ([203.0.113.77])", self.box.inbox("bob", 1)[0])
        until(lambda: "session_end" in self.box.log() and
              "client=203.0.113.77" in self.box.log(), "the summary")
        self.assertEqual(self.wire("127.0.0.8").codes(
            HELLO + b"XCLIENT ADDR=203.0.113.77\r\n", 2), [250, 550])

    def test_binary_content_arrives_as_it_was_sent(self):
        body = bytes(range(256)) * 3 + b"\n.\n\r.\r\r\n.\r\n\0"
        text = b"Subject: binary\r\nMIME-Version: 1.0\r\n\r\n" + body
        wire = self.wire("127.0.0.6")
        self.assertEqual(wire.codes(
            HELLO + b"MAIL FROM:<x@y.test> BODY=BINARYMIME\r\n"
            b"RCPT TO:<carol@example.test>\r\nBDAT 100\r\n" + text[:100] +
            b"BDAT %d LAST\r\n" % (len(text) - 100) + text[100:] +
            b"QUIT\r\n", 6), [250, 250, 250, 250, 250, 221])
        pop = self.box.imap("carol")
        self.addCleanup(pop.logout)

        def fetch():
            if int(pop.select("INBOX", readonly=True)[1][0]) < 1:
                return None
            return pop.fetch("1", "(BODY.PEEK[])")[1][0][1]
        got = until(fetch, "the message")
        self.assertEqual(got[-len(text):], text)

    def test_submission_hides_the_client_and_limits_the_user(self):
        client = self.box.submission()
        client.ehlo("client.secret.test")
        self.assertEqual(client.mail("postmaster@example.test")[0], 553)
        client.sendmail("alice@example.test", ["alice@example.test"],
                        b"From: alice@example.test\r\n\r\nx\r\n")
        got = self.box.inbox("alice", 1)[0]
        self.assertIn(b"Received: from hidden.invalid\r\n", got)
        self.assertNotIn(b"secret.test", got)
        codes = [client.mail("alice@example.test")[0], client.rset()[0],
                 client.mail("alice@example.test")[0], client.rset()[0],
                 client.mail("alice@example.test")[0]]
        self.assertEqual(codes, [250, 250, 250, 250, 450])
        client.quit()


CHAIN = """
relay_networks = [ "127.0.0.9" ];
smtp_inbound: {{ bare_newline_networks = [ "127.0.0.9" ]; }};
transport_smtp: {{ relay_host = "[127.0.0.2]"; port = {port}; allow_loopback = true; }};
"""


class Chain(unittest.TestCase):
    """What comes in is passed on: nobody down the way may see two messages."""

    def test_smuggling_through_us(self):
        with Remote() as remote, Sandbox(
                {"chain": CHAIN.format(port=remote.port)}) as box:
            for a, b in SMUGGLING:
                with Wire(box, "smtp", source="127.0.0.9") as wire:
                    codes = wire.codes(
                        HELLO + b"MAIL FROM:<x@outside.test>\r\n"
                        b"RCPT TO:<bob@elsewhere.test>\r\n" + smuggled(a, b) +
                        b"QUIT\r\n", 6)
                    self.assertEqual(codes, [250] * 3 + [354, 250, 221], (a, b))
            until(lambda: len(remote.messages) == len(SMUGGLING), "all of them")
            self.assertEqual(len(remote.raw), len(SMUGGLING))
            for raw in remote.raw:
                # nothing that any reader of line ends could take for the end
                self.assertIsNone(re.search(rb"[\r\n]\0?\.[\r\n\0]", raw[:-3]), raw)
                self.assertEqual(raw.replace(b"\r\n", b"").translate(
                    None, b"\r\n"), raw.replace(b"\r\n", b""), raw)
            for sender, recipients, _ in remote.messages:
                self.assertIn("x@outside.test", sender)
                self.assertEqual(recipients, ["RCPT TO:<bob@elsewhere.test>"])


PROXY = """
smtp_inbound: { proxy_from = [ "127.0.0.9" ]; xclient_networks = [ "127.0.0.7" ]; };
smtp_submission: { proxy_from = [ "127.0.0.9" ]; };
limits: { connections_per_client = 3; };
processes: { edge = 1; };
"""


class Proxy(unittest.TestCase):
    """Behind a front end that speaks the PROXY protocol."""

    @classmethod
    def setUpClass(cls):
        cls.box = Sandbox({"proxy": PROXY})

    @classmethod
    def tearDownClass(cls):
        cls.box.close()

    def wire(self, header, port="smtp", greeting=True, source="127.0.0.9"):
        wire = Wire(self.box, port, False, source)
        self.addCleanup(wire.close)
        wire.send(header)
        if greeting:
            wire.greeting = wire.reply()
        return wire

    @staticmethod
    def v1(client):
        return b"PROXY TCP4 " + client + b" 192.0.2.1 4711 25\r\n"

    @staticmethod
    def v2(kind, client, tlvs=b""):
        body = (socket.inet_aton(client) + socket.inet_aton("192.0.2.1") +
                b"\x12\x34\0\x19" + tlvs)
        return b"\r\n\r\n\0\r\nQUIT\n" + kind + struct.pack(">H", len(body)) + body

    def deliver(self, wire):
        """The Received field that a message got."""
        before = self.box.log().count(" delivered ")
        self.assertEqual(wire.codes(HELLO + ENVELOPE + b"DATA\r\n\r\n.\r\n", 5),
                         [250, 250, 250, 354, 250])
        until(lambda: self.box.log().count(" delivered ") > before, "delivery")
        return self.box.inbox("bob", 1)[-1]

    def test_version_1_names_the_client(self):
        text = self.deliver(self.wire(self.v1(b"203.0.113.1")))
        self.assertIn(b"from c.test ([203.0.113.1])", text)

    def test_the_header_may_come_octet_by_octet(self):
        tls = b"\x20\0\x0c\x05\0\0\0\0\x21\0\x04TLSv"
        for header in (self.v1(b"203.0.113.2"),
                       self.v2(b"\x21\x11", "203.0.113.2", tls)):
            wire = Wire(self.box, "smtp", False, "127.0.0.9")
            self.addCleanup(wire.close)
            wire.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for octet in header:
                wire.send(bytes([octet]))
            self.assertEqual(wire.reply()[0], 220)

    def test_version_2_stands_before_tls(self):
        header = (b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24" +
                  socket.inet_pton(socket.AF_INET6, "2001:db8::9") +
                  socket.inet_pton(socket.AF_INET6, "2001:db8::1") +
                  b"\x12\x34\0\x19")
        wire = self.wire(header, "submissions", greeting=False)
        wire.tls(self.box.tls())
        self.assertEqual(wire.reply()[0], 220)
        wire.codes(HELLO + b"QUIT\r\n", 2)
        until(lambda: "client=2001:db8::9" in self.box.log(), "the client's name")

    def test_a_front_end_may_speak_for_itself(self):
        wire = self.wire(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0")
        self.assertEqual(wire.greeting[0], 220)
        wire.codes(b"QUIT\r\n", 1)
        until(lambda: "client=127.0.0.9" in self.box.log(), "the front end")

    def test_no_header_no_session(self):
        for octets in (HELLO, b"PROXY TCP4 x\r\n", b"\x16\x03\x01\0",
                       self.v2(b"\x21\x41", "203.0.113.5"),
                       self.v2(b"\x21\x11", "203.0.113.5", b"\x03\0\x04nope"),
                       self.v2(b"\x21\x11", "203.0.113.5", b"\x04\0\x04x")):
            wire = self.wire(octets, greeting=False)
            try:
                self.assertEqual(wire.socket.recv(1), b"")
            except ConnectionResetError:
                pass

    def test_others_may_not_name_anybody(self):
        wire = self.wire(self.v1(b"203.0.113.3") + b"QUIT\r\n", source="127.0.0.8")
        self.assertEqual((wire.greeting[0], wire.rest()), (220, [500, 221]))
        wire = self.wire(self.v2(b"\x21\x11", "203.0.113.4"), source="127.0.0.8")
        wire.socket.shutdown(socket.SHUT_WR)
        self.assertEqual(wire.greeting[0], 220)
        self.assertIn(500, wire.rest())
        until(lambda: self.box.log().count("client=127.0.0.8") >= 2, "both")
        self.assertNotIn("client=203.0.113.3", self.box.log())
        self.assertNotIn("client=203.0.113.4", self.box.log())

    def test_limits_are_of_the_client_not_of_the_front_end(self):
        wires = [self.wire(self.v1(b"203.0.113.%d" % n)) for n in range(50, 56)]
        self.assertEqual([w.greeting[0] for w in wires], [220] * 6)
        wires = [self.wire(self.v1(b"203.0.113.60")) for n in range(4)]
        self.assertEqual([w.greeting[0] for w in wires], [220, 220, 220, 421])

    def test_limits_follow_xclient(self):
        """It holds for whom the front end names, however many it holds itself."""
        def named(wire, client):
            return wire.codes(b"EHLO front\r\nXCLIENT ADDR=" + client +
                              b"\r\n", 2)[1]
        wires = [Wire(self.box, "smtp", source="127.0.0.7") for _ in range(8)]
        for wire in wires:
            self.addCleanup(wire.close)
            self.assertEqual(wire.greeting[0], 220)
        self.assertEqual([named(w, b"203.0.113.%d" % n) for n, w in
                          enumerate(wires[:4], 70)], [220] * 4)
        self.assertEqual([named(w, b"203.0.113.70") for w in wires[4:7]],
                         [220, 220, 421])
        self.assertEqual(named(wires[7], b"IPV6:2001:db8:1::1"), 220)
        # the same /64, straight from another front end
        with_v2 = [self.wire(b"PROXY TCP6 2001:db8:1::%d 2001:db8::2 1 2\r\n" % n)
                   for n in range(3)]
        self.assertEqual([w.greeting[0] for w in with_v2], [220, 220, 421])
        # who left makes room
        self.assertEqual(wires[0].codes(b"QUIT\r\n", 1), [221])
        self.assertEqual(wires[0].rest(), [])
        until(lambda: self.wire(self.v1(b"203.0.113.70")).greeting[0] == 220,
              "room for one more")

    def test_others_may_not_xclient(self):
        wire = Wire(self.box, "smtp", source="127.0.0.8")
        self.addCleanup(wire.close)
        self.assertEqual(wire.codes(HELLO + b"XCLIENT ADDR=203.0.113.99\r\n", 2),
                         [250, 550])
        # nor who was named by the PROXY protocol
        wire = self.wire(self.v1(b"203.0.113.98"))
        self.assertEqual(wire.codes(HELLO + b"XCLIENT ADDR=203.0.113.99\r\n", 2),
                         [250, 550])
        self.assertNotIn("client_named client=203.0.113.99", self.box.log())


if __name__ == "__main__":
    unittest.main()
