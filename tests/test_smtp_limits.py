# SPDX-License-Identifier: Apache-2.0
"""What an SMTP client may take, of time, tries and room, on the running server;
and what the log says of it when it took too much."""
import os
import re
import signal
import threading
import time
import unittest

from sandbox import Sandbox, until
from smtp_wire import ENVELOPE, HELLO, Wire

LIMITS = """
relay_networks = [ "127.0.0.7" ];
processes: { edge = 1; };
limits: { connections = 6; connections_per_client = 3; };
smtp_inbound: { max_recipients = 2; max_errors = 4; max_idle_commands = 6;
    tarpit = "3s";
    auth = true; allow_plain_auth = true; message_size = "10K"; header_limit = "5K"; };
"""
TIMES = """
processes: { edge = 1; };
smtp_inbound: { command_timeout = "4s"; data_timeout = "4s"; min_rate = 1000;
    auth = true; allow_plain_auth = true; };
"""
SHARED = """
processes: { edge = 3; };
limits: { connections = 7; connections_per_client = 3; };
"""
RATES = """
processes: { edge = 2; };
smtp_inbound: { recipient_messages = 3; client_recipients = 5; };
"""


class Clients(unittest.TestCase):
    """Each test is a client of its own address."""
    CONF = LIMITS

    @classmethod
    def setUpClass(cls):
        cls.box = Sandbox({"limits": cls.CONF})

    @classmethod
    def tearDownClass(cls):
        cls.box.close()

    def wire(self, source):
        wire = Wire(self.box, "smtp", source=source)
        self.addCleanup(wire.close)
        return wire

    def summary(self, source, *words):
        """The line that a client of this address left."""
        def look():
            lines = [line for line in self.box.log().splitlines()
                     if f" session_end " in line and f" client={source} " in line
                     and all(word in line for word in words)]
            return lines[-1] if lines else None
        return until(look, f"the summary of {source} with {words}")


class Times(Clients):
    CONF = TIMES

    def test_silence_ends_every_state(self):
        ways = (b"", HELLO, HELLO + b"MAIL FROM:<>\r\n", HELLO + ENVELOPE,
                HELLO + b"AUTH PLAIN\r\n", HELLO + ENVELOPE + b"DATA\r\n",
                HELLO + ENVELOPE + b"BDAT 9\r\nA: b\r\n", b"EHL")
        wires = [self.wire(f"127.0.1.{n}") for n in range(len(ways))]
        for wire, way in zip(wires, ways):
            wire.send(way)
        for n, (wire, way) in enumerate(zip(wires, ways)):
            code, text = 0, b""
            while (reply := wire.reply())[0] != 0:
                code, text = reply
            self.assertEqual((code, text[:5]), (421, b"4.4.2"), way)
            self.summary(f"127.0.1.{n}", " end=timeout ")

    def drip(self, wire, octets):
        """Octets as slowly as no timeout between two of them would mind, until
        the server has enough."""
        def send():
            try:
                for octet in octets:
                    wire.send(bytes([octet]))
                    if stop.wait(0.2):
                        return
            except OSError:
                pass
        stop = threading.Event()
        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        try:
            return wire.reply()[0]
        finally:
            stop.set()
            thread.join()

    def test_a_command_has_its_time_as_a_whole(self):
        self.assertEqual(self.drip(self.wire("127.0.2.1"), b"N" * 100), 421)

    def test_content_must_keep_a_rate(self):
        wire = self.wire("127.0.2.2")
        self.assertEqual(wire.codes(HELLO + ENVELOPE + b"DATA\r\n", 4),
                         [250, 250, 250, 354])
        self.assertEqual(self.drip(wire, b"Subject: x" * 100), 421)


class Limits(Clients):
    def setUp(self):
        until(lambda: self.count_connections() == 0, "the former are gone")

    def refusal(self, source):
        """How long one takes."""
        wire = self.wire(source)
        wire.codes(HELLO, 1)
        start = time.monotonic()
        self.assertEqual(wire.codes(b"DATA\r\n", 1), [503])
        wire.close()
        return time.monotonic() - start

    def test_refusals_of_strangers_come_late(self):
        self.assertGreaterEqual(self.refusal("127.0.2.3"), 2.9)
        until(lambda: self.refusal("127.0.0.7") < 2.9, "one that comes at once")

    # --- tries ---

    def test_errors_and_idle_commands_are_counted(self):
        wire = self.wire("127.0.3.1")
        wire.send(HELLO + b"DATA\r\n" * 9)
        self.assertEqual(wire.rest(), [250] + [503] * 4 + [421])
        self.assertIn(" rejected=4 ", self.summary("127.0.3.1", " end=errors "))
        wire = self.wire("127.0.3.2")
        wire.send(b"NOOP\r\nRSET\r\nVRFY x\r\nHELP\r\n" + HELLO * 9)
        self.assertEqual(wire.rest(), [250, 250, 252, 214, 250, 250, 421])

    def test_a_message_sets_the_counts_back(self):
        wire = self.wire("127.0.0.7")
        for _ in range(3):
            self.assertEqual(wire.codes(
                HELLO + b"DATA\r\nDATA\r\nNOOP\r\nMAIL FROM:<>\r\n"
                b"RCPT TO:<carol@example.test>\r\nDATA\r\n\r\n.\r\n", 8),
                [250, 503, 503, 250, 250, 250, 354, 250])

    # --- room ---

    def test_recipients(self):
        wire = self.wire("127.0.4.1")
        wire.send(HELLO + ENVELOPE + b"RCPT TO:<carol@example.test>\r\n"
                  b"RCPT TO:<alice@example.test>\r\nDATA\r\n\r\n.\r\n")
        replies = [wire.reply() for _ in range(7)]
        self.assertEqual([code for code, _ in replies],
                         [250, 250, 250, 250, 452, 354, 250])
        self.assertTrue(replies[4][1].startswith(b"4.5.3 "))
        wire.codes(b"QUIT\r\n", 1)
        self.assertRegex(self.summary("127.0.4.1", " end=quit "),
                         r" messages=1 rcpts=2 .* rejected=0 deferred=1 ")

    def test_rates_of_a_client_and_of_a_recipient(self):
        box = Sandbox({"rates": RATES})
        self.addCleanup(box.close)

        def wire_from(source):
            wire = Wire(box, "smtp", source=source)
            self.addCleanup(wire.close)
            return wire
        codes = []
        for _ in range(2):
            wire = wire_from("127.0.4.2")
            codes += wire.codes(HELLO + b"MAIL FROM:<>\r\n" + 3 *
                                b"RCPT TO:<postmaster@example.test>\r\n", 5)[2:]
        self.assertEqual(codes, [250, 250, 250, 450, 450, 450])
        wire = wire_from("127.0.4.3")  # another client, the same recipient
        self.assertEqual(wire.codes(
            HELLO + b"MAIL FROM:<>\r\nRCPT TO:<Postmaster@EXAMPLE.test>\r\n"
            b"RCPT TO:<bob@example.test>\r\n", 4)[2:], [450, 250])

    def test_sizes(self):
        wire = self.wire("127.0.0.7")
        start = HELLO + ENVELOPE + b"DATA\r\n"
        big = b"Subject: x\r\n\r\n" + b"%078d\r\n" % 1 * 130
        self.assertEqual(wire.codes(start + big + b".\r\n", 5)[-1], 552)
        self.assertEqual(wire.codes(
            start + b"X: %070d\r\n" % 1 * 80 + b"\r\n.\r\n", 5)[-1], 552)
        self.assertEqual(wire.codes(
            HELLO + ENVELOPE + b"BDAT 5000\r\n" + big[:5000] + b"BDAT %d LAST\r\n" %
            (len(big) - 5000) + big[5000:] + b"RSET\r\n", 6),
            [250, 250, 250, 250, 552, 250])
        wire = self.wire("127.0.0.7")
        self.assertEqual(wire.codes(  # lines have no limit of their own
            start + b"\r\n" + b"x" * 9000 + b"\r\n.\r\n", 5)[-1], 250)

    # --- connections ---

    def count_connections(self):
        status = self.box.ctl("status").stdout
        return int(re.search(r"connections\D+(\d+)", status)[1])

    def test_connections_in_total_and_of_a_client(self):
        mine = [self.wire("127.0.5.1") for _ in range(4)]
        self.assertEqual([w.greeting[0] for w in mine], [220, 220, 220, 421])
        others = [self.wire(f"127.0.5.{n}") for n in range(2, 6)]
        self.assertEqual([w.greeting[0] for w in others], [220, 220, 220, 421])
        self.assertTrue(others[-1].greeting[1].startswith(b"4.3.2 "))


class Together(unittest.TestCase):
    """The limits hold for all edge processes as one."""

    def setUp(self):
        self.box = Sandbox({"limits": SHARED})
        self.addCleanup(self.box.close)
        self.edges = self.find_edges()

    def find_edges(self):
        return [pid for pid, args in self.box.children().items()
                if "--role=edge" in args]

    def codes_of(self, edge, sources):
        """The greetings of connections that this process has to take: the
        others stand still."""
        codes = []
        for pid in self.edges:
            os.kill(pid, signal.SIGCONT if pid == edge else signal.SIGSTOP)
        try:
            for source in sources:
                wire = Wire(self.box, "smtp", source=source)
                self.addCleanup(wire.close)
                codes.append(wire.greeting[0])
        finally:
            for pid in self.edges:
                os.kill(pid, signal.SIGCONT)
        return codes

    def test_of_a_client(self):
        a, b, c = self.edges
        self.assertEqual(self.codes_of(a, ["127.0.6.1", "127.0.6.1"]), [220, 220])
        self.assertEqual(self.codes_of(b, ["127.0.6.1", "127.0.6.1"]), [220, 421])
        self.assertEqual(self.codes_of(c, ["127.0.6.1", "127.0.6.2"]), [421, 220])

    def test_in_total_and_after_a_death(self):
        a, b, c = self.edges
        sources = [f"127.0.6.{n}" for n in range(1, 10)]
        self.assertEqual(self.codes_of(a, sources[:4]), [220] * 4)
        self.assertEqual(self.codes_of(b, sources[4:8]), [220] * 3 + [421])
        self.assertEqual(self.codes_of(c, sources[8:]), [421])
        os.kill(a, signal.SIGKILL)
        self.box.lines(" role_ready ", "role=edge", count=4)
        self.edges = self.find_edges()
        self.assertEqual(len(self.edges), 3)
        self.assertEqual(self.codes_of(c, [sources[0]] * 4), [220] * 3 + [421])


if __name__ == "__main__":
    unittest.main()
