# SPDX-License-Identifier: Apache-2.0
"""The priority of a message: who goes first at a destination that is slow, what
posthousectl says of it, and where it is kept."""
import json
import os
import re
import tempfile
import threading
import unittest

from remote import Remote
from sandbox import Dns, Sandbox, until

ZONE = """
fast.test A 127.0.0.2
new.test RCODE SERVFAIL
"""


def message(n):
    return (f"From: <alice@example.test>\r\nSubject: m{n}\r\n"
            "Date: Mon, 23 Nov 2026 08:00:00 +0000\r\n\r\nhello\r\n").encode()


def numbers(remote):
    return [int(re.search(rb"Subject: m(\d+)", m[2]).group(1))
            for m in remote.messages]


class Priority(unittest.TestCase):
    def box(self, queue="", **snippets):
        """A server, and one elsewhere that takes no content before the gate
        is open."""
        self.gate = threading.Event()
        self.addCleanup(self.gate.set)
        self.remote = Remote(rule=lambda verb, line, n: self.gate.wait(300) and
                             None if verb == "END" else None)
        self.addCleanup(self.remote.close)
        dns = Dns(ZONE)
        self.addCleanup(dns.close)
        box = Sandbox({"a": f"transport_smtp: {{ port = {self.remote.port}; "
                       "allow_loopback = true; }; queue: { retry = [ \"10m\" ]; "
                       f"{queue} }};", **snippets}, dns=dns.address)
        self.addCleanup(box.close)
        return box

    def send(self, box, *to, first=0):
        client = box.submission()
        for n, address in enumerate(to):
            client.sendmail("alice@example.test", [address], message(first + n))
        client.quit()

    def listed(self, box):
        """Subjects are not listed: by recipient, which is another one each."""
        return {one["recipients"][0]["to"]: one for one in map(
            json.loads, box.ctl("queue", "list", "--json").stdout.splitlines())}

    def wait_for(self, box, count):
        until(lambda: f"recipients={count} " in box.ctl("queue", "counts").stdout,
              f"{count} recipients")

    def empty(self, box):
        until(lambda: "The queue is empty" in box.ctl("queue", "list").stdout,
              "an empty queue")

    def test_1_what_is_due_goes_by_priority(self):
        box = self.box('destination_limits = [ "fast.test concurrency=1" ];')
        self.send(box, *(f"x{n}@fast.test" for n in range(8)))
        self.wait_for(box, 8)
        until(lambda: "DATA" in self.remote.lines, "the first at work")
        ids = {to: one["id"] for to, one in self.listed(box).items()}
        waiting = [n for n in range(8) if "active" in box.ctl(
            "queue", "list", f"--recipient=x{n}@fast.test").stdout]
        self.assertEqual(len(waiting), 8)
        done = box.ctl("queue", "priority", ids["x6@fast.test"],
                       ids["x3@fast.test"], "+9").stdout
        self.assertIn(ids["x6@fast.test"] + " priority_set 9\n", done)
        self.assertIn("2 of 2 messages.", done)
        box.ctl("queue", "priority", ids["x1@fast.test"], "-4")
        box.ctl("queue", "priority", "--recipient=x5@fast.test", "2")
        box.lines(" priority_set ", "queue=" + ids["x1@fast.test"], "priority=-4")
        why = box.ctl("queue", "why", ids["x1@fast.test"]).stdout
        self.assertRegex(why, r" waits since \d+ s priority=-4\n")
        self.assertIn("as small mail of priority -4 (1 at work", why)
        self.assertNotIn("priority=", box.ctl("queue", "why",
                                              ids["x2@fast.test"]).stdout)
        self.gate.set()
        until(lambda: len(self.remote.messages) == 8, "all of them")
        order = numbers(self.remote)
        self.assertEqual(sorted(order[1:4]), [3, 5, 6], order)
        self.assertEqual(order[3], 5, order)
        self.assertEqual(order[5], 1, order)  # its turn after four others
        self.empty(box)

    def test_2_it_is_shown_and_outlives_crash_and_move(self):
        box = self.box()
        box.ctl("queue", "suspend", "fast.test")
        self.send(box, "x0@fast.test", "x1@fast.test")
        self.wait_for(box, 2)
        id = self.listed(box)["x1@fast.test"]["id"]
        box.ctl("queue", "priority", id, "-9")
        box.ctl("queue", "priority", id, "7")
        box.kill()
        box.restart()
        until(lambda: len(self.listed(box)) == 2, "both")
        self.assertEqual({to: one["priority"] for to, one in
                          self.listed(box).items()},
                         {"x0@fast.test": 0, "x1@fast.test": 7})
        text = box.ctl("queue", "list").stdout
        self.assertEqual(text.count("priority="), 1)
        self.assertRegex(text, rf"(?m)^{id} .* from=<alice@example.test> priority=7$")
        self.assertIn("\npriority=7\n", box.ctl("queue", "show", id).stdout)
        self.assertEqual(json.loads(box.ctl("queue", "why", id, "--json").stdout)
                         ["priority"], 7)
        with tempfile.TemporaryDirectory() as folder:
            box.ctl("queue", "backup", folder + "/copy")
            box.stop()
            self.assertEqual(box.posthouse("--queue-verify").returncode, 0)
            with Sandbox() as new:
                new.stop()
                done = new.posthouse("--queue-import", folder + "/copy")
                self.assertEqual(done.returncode, 0, done.stderr)
                new.restart()
                self.assertEqual(self.listed(new)["x1@fast.test"]["priority"], 7)
        box.restart()
        box.ctl("queue", "priority", id, "0")
        self.assertNotIn("priority=", box.ctl("queue", "list").stdout)

    def test_3_reports_are_normal(self):
        box = self.box()
        for n in range(8):
            box.ctl("queue", "suspend", f"mail/{n}")
        box.ctl("queue", "suspend", "fast.test")
        self.send(box, "x@fast.test")
        self.wait_for(box, 1)
        id = self.listed(box)["x@fast.test"]["id"]
        box.ctl("queue", "priority", "all", "9")
        box.ctl("queue", "bounce", id)
        box.lines(" bounced ", f"queue={id}")
        until(lambda: list(self.listed(box)) == ["alice@example.test"],
              "the report alone")
        self.assertEqual(self.listed(box)["alice@example.test"]["priority"], 0)

    def test_4_what_a_recipient_becomes_keeps_it(self):
        box = self.box(route="router_virtual: { };")
        self.send(box, "x@new.test")
        box.lines(" deferred ", "to=x@new.test")
        id = self.listed(box)["x@new.test"]["id"]
        box.ctl("queue", "priority", id, "3")
        path = os.path.join(os.path.dirname(box.env["PH_MAIL"]), "check", "virtual")
        with open(path, "w") as out:
            out.write("x@new.test y@new.test, z@new.test\n")
        os.chmod(path, 0o644)

        def known():
            box.ctl("queue", "reroute", id, check=False)
            return "y@new.test" in self.listed(box)
        until(known, "the new recipients")
        self.assertEqual(self.listed(box)["y@new.test"]["priority"], 3)
        self.assertEqual(self.listed(box)["y@new.test"]["id"], id)

    def test_5_refuses_what_is_none(self):
        box = self.box()
        gone = "0sapdkrm4amde"
        for words in ((), ("5",), (gone,), (gone, "10"), (gone, "-10"),
                      ("all", "high"), ("--sender=a@b.test",), ("nonsense!", "1")):
            done = box.ctl("queue", "priority", *words, check=False)
            self.assertEqual(done.returncode, 2, words)
        done = box.ctl("queue", "priority", gone, "1", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn("no such message", done.stderr)
        done = box.ctl("queue", "priority", gone, gone[:-1] + "f", "1", check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(gone + " is not in the queue", done.stderr)
        self.assertNotIn(" priority_set ", box.log())


if __name__ == "__main__":
    unittest.main()
