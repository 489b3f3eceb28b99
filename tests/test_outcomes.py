# SPDX-License-Identifier: Apache-2.0
"""What the queue makes of outcomes that come together, late or never: every
message is delivered, reported to its sender, or still there."""
import json
import threading
import unittest

from remote import Remote
from sandbox import DEADLINE, Dns, Sandbox, until

ZONE = """
one.test A 127.0.0.2
two.test A 127.0.0.2
"""
MESSAGE = (b"From: <alice@example.test>\r\nTo: <x@one.test>\r\nSubject: o\r\n"
           b"Date: Mon, 23 Nov 2026 08:00:00 +0000\r\n\r\nbody\r\n")


class Gate:
    """Says which verb and address wait until the test lets them pass."""

    def __init__(self):
        self.waiting, self.open, self.replies = {}, {}, {}

    def close(self, word, reply=None):
        self.waiting[word], self.open[word] = threading.Event(), threading.Event()
        self.replies[word] = reply

    def rule(self, verb, line, connection):
        for word, gate in self.open.items():
            if verb == "RCPT" and word in line:
                self.waiting[word].set()
                gate.wait(DEADLINE)
                return self.replies[word]
        return None


class Outcomes(unittest.TestCase):
    def box(self, remote, retry="1s"):
        dns = Dns(ZONE)
        self.addCleanup(dns.close)
        box = Sandbox({"out": (
            f"transport_smtp: {{ port = {remote.port}; allow_loopback = true; }};\n"
            f"queue: {{ retry = [ \"{retry}\" ]; }};\n"
            "processes: { relay = 1; };")}, dns=dns.address)
        self.addCleanup(box.close)
        return box

    def send(self, box, *to):
        client = box.submission()
        client.sendmail("alice@example.test", list(to), MESSAGE)
        client.quit()

    def test_no_report_is_lost_when_another_job_ends_the_message(self):
        gate = Gate()
        gate.close("x@one.test", "550 5.1.1 nobody of that name")
        gate.close("y@two.test")
        with Remote(rule=gate.rule) as remote:
            box = self.box(remote)
            self.send(box, "x@one.test", "y@two.test")
            for waiting in gate.waiting.values():
                self.assertTrue(waiting.wait(DEADLINE))
            # the report needs auth, which is busy, while the other job ends
            with box.stopped("auth"):
                gate.open["x@one.test"].set()
                until(lambda: " bounced " in box.log(), "the refusal")
                gate.open["y@two.test"].set()
                until(lambda: remote.messages, "the other delivery")
                until(lambda: " delivered " in box.log(), "its result")
            report = box.inbox("alice", 1)[0]
            self.assertIn(b"x@one.test", report)
            self.assertNotIn(b"y@two.test", report)
            until(lambda: "queue.0 messages 0\n" in box.ctl("status").stdout,
                  "the queue empty")

    def test_a_report_that_must_wait_doubles_no_delivery(self):
        gate = Gate()
        gate.close("x@one.test", "550 5.1.1 nobody of that name")
        with Remote(rule=gate.rule) as remote:
            box = self.box(remote, retry="1h")
            self.send(box, "x@one.test", "y@one.test")
            self.assertTrue(gate.waiting["x@one.test"].wait(DEADLINE))
            # who alice is can't be told while her report is made
            with box.stopped("auth"):
                gate.open["x@one.test"].set()
                until(lambda: " report_not_made " in box.log(),
                      "the queue to go on without the report")
            box.ctl("queue", "retry", "all")
            report = box.inbox("alice", 1)[0]
            self.assertIn(b"x@one.test", report)
            until(lambda: "queue.0 messages 0\n" in box.ctl("status").stdout,
                  "the queue empty")
            self.assertEqual(len(remote.messages), 1)

    def test_a_bounce_by_hand_outlives_a_crash(self):
        gate = Gate()
        gate.close("x@one.test", "451 4.3.0 later")
        with Remote(rule=gate.rule) as remote:
            box = self.box(remote, retry="1h")
            self.send(box, "x@one.test")
            self.assertTrue(gate.waiting["x@one.test"].wait(DEADLINE))
            # the attempt is under way, so nothing is reported yet
            box.ctl("queue", "bounce", "all")
            self.assertIn("given up by hand",
                          box.ctl("queue", "why", self.only(box)).stdout)
            box.kill()
            gate.waiting["x@one.test"].clear()
            box.restart()
            self.assertIn(b"returned by the postmaster",
                          box.inbox("alice", 1)[0])
            self.assertFalse(gate.waiting["x@one.test"].is_set())
            gate.open["x@one.test"].set()
            until(lambda: "queue.0 messages 0\n" in box.ctl("status").stdout,
                  "the queue empty")

    def test_a_bounce_by_hand_is_taken_back_by_a_hold(self):
        gate = Gate()
        gate.close("x@one.test", "451 4.3.0 later")
        with Remote(rule=gate.rule) as remote:
            box = self.box(remote, retry="1h")
            self.send(box, "x@one.test")
            self.assertTrue(gate.waiting["x@one.test"].wait(DEADLINE))
            box.ctl("queue", "bounce", "all")
            box.ctl("queue", "release", "all")  # it is not held
            self.assertIn("given up by hand",
                          box.ctl("queue", "why", self.only(box)).stdout)
            box.ctl("queue", "hold", "all")
            gate.open["x@one.test"].set()
            until(lambda: " deferred " in box.log(), "the end of the attempt")
            box.kill()
            box.restart()
            self.assertIn("is held", box.ctl("queue", "why",
                                             self.only(box)).stdout)
            self.assertNotIn(" bounced ", box.log())

    def only(self, box):
        return json.loads(box.ctl("queue", "list", "--json").stdout)["id"]

    def test_a_bounce_by_hand_counts_at_the_end_of_an_attempt_under_way(self):
        gate = Gate()
        gate.close("x@one.test", "451 4.3.0 later")
        with Remote(rule=gate.rule) as remote:
            box = self.box(remote, retry="1h")
            self.send(box, "x@one.test")
            self.assertTrue(gate.waiting["x@one.test"].wait(DEADLINE))
            self.assertIn("1 of 1 messages", box.ctl("queue", "bounce", "all").stdout)
            gate.open["x@one.test"].set()
            self.assertIn(b"451 4.3.0 later", box.inbox("alice", 1)[0])
            until(lambda: "queue.0 messages 0\n" in box.ctl("status").stdout,
                  "the queue empty")

    def test_a_reload_lets_an_attempt_under_way_end(self):
        gate = Gate()
        gate.close("x@one.test")
        with Remote(rule=gate.rule) as remote:
            box = self.box(remote, retry="1h")
            self.send(box, "x@one.test")
            self.assertTrue(gate.waiting["x@one.test"].wait(DEADLINE))
            for n in range(2):
                box.ctl("reload")
            self.send(box, "y@two.test")  # by the new configuration
            until(lambda: len(remote.messages) == 1, "the other delivery")
            gate.open["x@one.test"].set()
            until(lambda: box.log().count(" delivered ") == 2, "both")
            self.assertEqual(len(remote.messages), 2)

    def test_a_relay_that_dies_is_not_the_fault_of_the_destination(self):
        gate = Gate()
        gate.close("x@one.test")
        with Remote(rule=gate.rule) as remote:
            box = self.box(remote, retry="1h")
            self.send(box, "x@one.test")
            for n in range(3):
                self.assertTrue(gate.waiting["x@one.test"].wait(DEADLINE))
                if n == 2:
                    gate.open["x@one.test"].set()
                    break
                gate.waiting["x@one.test"].clear()
                self.assertTrue(box.kill_role("relay"))
            until(lambda: " delivered " in box.log(), "the delivery")
            self.assertEqual(len(remote.messages), 1)

    def test_a_mail_process_that_is_down_delays_and_loses_nothing(self):
        with Remote() as remote:
            box = self.box(remote)
            client = box.smtp()
            for n in range(20):
                if n % 5 == 0:
                    box.kill_role("mail")
                client.sendmail("x@far.test", ["bob@example.test"],
                                MESSAGE + b"%d\r\n" % n)
            client.quit()
            self.assertEqual(len(box.inbox("bob", 20)), 20)


if __name__ == "__main__":
    unittest.main()
