#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""posthousectl queue: selections, changes, destinations, on a queue that waits."""
import glob
import json
import os
import re
import subprocess
import time
import unittest

from remote import Remote
from sandbox import Dns, Sandbox, until


# Nobody answers there: the attempts fail at once.
NO_DNS = 'dns: { timeout = "200ms"; attempts = 1; };'


class QueueAdmin(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.box = Sandbox({"retry": 'queue: { retry = [ "1h" ]; };' + NO_DNS})
        client = cls.box.submission()
        for n, domain in enumerate(("far.test", "far.test", "away.test")):
            client.sendmail("alice@example.test", [f"x{n}@{domain}"],
                            f"From: <alice@example.test>\r\nSubject: m{n}\r\n\r\nbody\r\n".encode())
        client.quit()
        until(lambda: len(re.findall(" deferred ", cls.box.log())) >= 3,
              "three attempts")

    @classmethod
    def tearDownClass(cls):
        cls.box.close()

    def queue(self, *words):
        return self.box.ctl("queue", *words).stdout

    def ids(self, *words):
        return [json.loads(line)["id"]
                for line in self.queue("list", "--json", *words).splitlines()]

    def test_1_selects(self):
        self.assertEqual(len(self.ids()), 3)
        self.assertEqual(len(self.ids("--domain=far.test")), 2)
        self.assertEqual(len(self.ids("--recipient=X2@away.test")), 1)
        self.assertEqual(len(self.ids("--recipient=<x2@away.test>")), 1)
        self.assertEqual(len(self.ids("--state=deferred")), 3)
        self.assertEqual(self.ids("--state=held"), [])
        self.assertEqual(self.ids("--older=1h"), [])
        self.assertEqual(len(self.ids("--younger=1h")), 3)
        self.assertEqual(self.ids("--sender=<>"), [])
        first = self.ids("--limit=1")
        self.assertEqual(len(first), 1)
        self.assertEqual(len(self.ids("--after=" + first[0])), 2)
        self.assertIn("More: --after=" + first[0],
                      self.queue("list", "--limit=1"))

    def test_2_counts_and_explains(self):
        counts = [json.loads(line) for line in
                  self.queue("counts", "--json").splitlines()]
        self.assertEqual([(c["destination"], c["recipients"]) for c in counts],
                         [("far.test", 2), ("away.test", 1)])
        for count in counts:
            self.assertEqual(count["under_5m"], count["recipients"])
            self.assertEqual(count["under_1h"] + count["older"], 0)
        self.assertRegex(self.queue("counts", "--domain=away.test"),
                         r"^away.test recipients=1 deferred=1 oldest_s=\d+ "
                         r"under_5m=1 .* older=0\n$")
        why = self.queue("why", self.ids("--domain=away.test")[0])
        self.assertIn("the next attempt is in", why)
        self.assertRegex(why, r"attempt 1: ")
        one = json.loads(self.queue("why", "--json",
                                    self.ids("--domain=away.test")[0]))
        self.assertEqual((one["to"], one["state"]), ("x2@away.test", "deferred"))
        self.assertIn("the next attempt is in", one["why"])
        shown = self.queue("show", self.ids("--domain=away.test")[0])
        self.assertRegex(shown, r"to=<x2@away.test> state=deferred attempts=1 "
                                r"next=\S+ class=repeated\n")

    def test_3_holds_and_releases(self):
        self.queue("hold", "--domain=far.test")
        self.assertEqual(len(self.ids("--state=held")), 2)
        held = self.ids("--state=held")[0]
        self.assertIn("is held", self.queue("why", held))
        self.assertIn(f"{held} retried, but it is held", self.queue("retry", held))
        self.box.kill()
        self.box.restart()
        self.assertEqual(len(self.ids("--state=held")), 2)
        self.queue("release", "all")
        self.assertEqual(self.ids("--state=held"), [])
        self.assertIn("1 of 1 messages", self.queue("hold", "all", "--limit=1"))
        self.assertEqual(self.ids("--state=held"), self.ids()[:1])
        self.queue("hold", "all", "--after=" + self.ids()[1])
        self.assertEqual(len(self.ids("--state=held")), 2)
        self.queue("release", "all")

    def test_4_suspends_a_destination(self):
        self.queue("suspend", "Away.Test")
        one = self.ids("--domain=away.test")[0]
        self.assertIn("suspended", self.queue("why", one))
        self.box.kill()
        self.box.restart()
        self.assertIn("suspended", self.queue("counts"))
        tried = len(re.findall(f" deferred .*queue={one}", self.box.log()))
        self.assertIn("but a destination is suspended", self.queue("retry", one))
        self.assertIn("is resumed", self.queue("resume", "away.test"))
        self.assertIn("was not suspended", self.queue("resume", "away.test"))
        until(lambda: len(re.findall(f" deferred .*queue={one}",
                                     self.box.log())) > tried,
              "an attempt after the destination was resumed")
        tried += 1
        self.queue("flush", "away.test")
        until(lambda: len(re.findall(f" deferred .*queue={one}",
                                     self.box.log())) > tried, "a flush")

    def test_5_bounces_and_deletes(self):
        gone = self.ids("--domain=away.test")[0]
        self.queue("bounce", gone)
        report = self.box.inbox("alice", 1)[0]
        self.assertIn(b"Final-Recipient: rfc822; x2@away.test", report)
        self.assertIn(b"Subject: m2", report)
        until(lambda: gone not in self.ids(), "the bounced message to go")
        self.queue("delete", "all")
        self.assertIn("The queue is empty", self.queue("list"))

    def test_6_says_what_it_does_not_understand(self):
        for words in (("list", "--stat=held"), ("list", "--state=odd"),
                      ("delete",), ("why",), ("show", "nonsense!"),
                      ("suspend",), ("--json",), ("eat", "x"),
                      ("retry", "all", "--json"), ("flush",)):
            done = self.box.ctl("queue", *words, check=False)
            self.assertEqual(done.returncode, 2, (words, done))
            if words[0] == "eat":
                self.assertIn("eat is no command", done.stderr)
            self.assertTrue(done.stderr or done.stdout, words)


class SuspendedDomains(unittest.TestCase):
    """A domain's recipients wait on lanes that they share with others, too."""

    def setUp(self):
        self.remote = Remote()
        self.addCleanup(self.remote.close)
        dns = Dns("plain.test A 127.0.0.2\ndead.test A 127.0.0.9\n")
        self.addCleanup(dns.close)
        self.box = Sandbox({"a": (
            f"transport_smtp: {{ port = {self.remote.port}; "
            'allow_loopback = true; connect_timeout = "1s"; };'
            'queue: { retry = [ "1h" ]; destination_failures = 1; };'
            'router_routes: { routes = [ "a.test transport_smtp plain.test", '
            '"b.test transport_smtp plain.test", '
            '"c.test transport_smtp dead.test" ]; };')}, dns=dns.address)
        self.addCleanup(self.box.close)

    def send(self, *to):
        client = self.box.submission()
        client.sendmail("alice@example.test", list(to), b"Subject: s\r\n"
                        b"From: <alice@example.test>\r\n\r\nbody\r\n")
        client.quit()

    def states(self, *words):
        return {r["to"]: r["state"] for line in self.box.ctl(
            "queue", "list", "--json", *words).stdout.splitlines()
            for r in json.loads(line)["recipients"]}

    def test_they_wait_where_others_go_on(self):
        self.box.ctl("queue", "suspend", "A.test")
        self.box.ctl("queue", "suspend", "example.test")
        self.send("x@A.test", "y@b.test", "bob@example.test")
        self.box.lines(" delivered ", "to=y@b.test")
        waiting = {"x@a.test": "suspended", "bob@example.test": "suspended"}
        self.assertEqual(self.states(), waiting)
        self.box.kill()
        self.box.restart()
        until(lambda: self.states("--state=suspended") == waiting, "the queue")
        self.box.ctl("queue", "retry", "all")
        only = json.loads(self.box.ctl("queue", "list", "--json").stdout)["id"]
        self.assertRegex(self.box.ctl("queue", "why", only).stdout,
                         "to=<x@a.test> suspended: the destination a.test is "
                         "suspended: queue resume")
        counts = self.box.ctl("queue", "counts").stdout
        self.assertRegex(counts, r"transport_smtp/plain.test recipients=1 "
                                 r".* suspended=1\n")
        self.assertRegex(counts, r"mail/\d recipients=1 .* suspended=1\n")
        self.assertEqual(len(self.remote.messages), 1)
        self.assertNotIn("to=bob@example.test", "".join(
            l for l in self.box.log().splitlines() if " delivered " in l))
        self.box.ctl("queue", "resume", "a.test")
        self.box.lines(" delivered ", "to=x@a.test")
        self.box.ctl("queue", "resume", "example.test")
        self.box.inbox("bob", 1)
        self.assertEqual(len(self.remote.messages), 2)

    def test_they_leave_a_line_and_may_be_returned(self):
        self.send("x@c.test")
        self.box.lines(" deferred ", "to=x@c.test")
        self.send("y@c.test")  # stands in the line of one that rests
        until(lambda: self.states().get("y@c.test") == "active", "the line")
        self.box.ctl("queue", "suspend", "c.test")
        self.assertEqual(self.states(), {"x@c.test": "suspended",
                                         "y@c.test": "suspended"})
        self.box.ctl("queue", "bounce", "--recipient=y@c.test")
        self.assertIn(b"y@c.test", self.box.inbox("alice", 1)[0])
        until(lambda: self.states() == {"x@c.test": "suspended"}, "the other")
        self.box.ctl("queue", "resume", "c.test")
        self.assertEqual(self.states(), {"x@c.test": "deferred"})


class Many(unittest.TestCase):
    """More than one change at a time can take, or a page can show."""

    def test_changes_all_of_a_long_queue(self):
        with Sandbox({"retry": NO_DNS}) as box:
            box.stop()
            folder = box.env["PH_QUEUE"]
            owner = os.stat(folder)
            subprocess.run([os.environ["PH_BUILD"] + "/core/queue/queue_load",
                            folder, "3000", "1", "deferred"], check=True)
            for path in [folder] + glob.glob(folder + "/**", recursive=True):
                os.chown(path, owner.st_uid, owner.st_gid)
            box.run("restart")
            until(lambda: " queue_loaded " in box.log(), "the queue")

            def pages(*words):
                ids, more = [], []
                while more is not None:
                    text = box.ctl("queue", "list", *words, *more).stdout
                    ids += re.findall(r"^(\w+) \d{4}-", text, re.M)
                    more = re.findall(r"^More: (--after=\w+)$", text, re.M) or None
                return ids
            self.assertEqual(len(set(pages())), len(pages()))
            count = len(pages())
            self.assertGreater(count, 2900)
            for word, state in (("hold", "held"), ("release", "active")):
                text = box.ctl("queue", word, "all").stdout
                self.assertIn(f"{count} of {count} messages.", text)
                if word == "hold":
                    self.assertEqual(len(pages("--state=held")), count)
            self.assertEqual(pages("--state=held"), [])
            box.ctl("queue", "delete", "all", "--limit=1000")
            self.assertLessEqual(len(pages()), count - 1000)
            box.ctl("queue", "delete", "all")
            self.assertIn("The queue is empty", box.ctl("queue", "list").stdout)


class Wide(unittest.TestCase):
    def test_says_when_recipients_are_left_out(self):
        with Sandbox({"wide": NO_DNS}) as box:
            box.ctl("queue", "suspend", "far.test")
            client = box.submission()
            for count in (3, 300):
                client.sendmail("alice@example.test",
                                [f"{'x' * 40}{n}@far.test" for n in range(count)],
                                b"From: <alice@example.test>\r\n\r\nbody\r\n")
            client.quit()
            few, many = [json.loads(line) for line in box.ctl(
                "queue", "list", "--json").stdout.splitlines()]
            self.assertEqual((len(few["recipients"]), few.get("cut")), (3, None))
            self.assertLess(len(many["recipients"]), 300)
            self.assertIs(many["cut"], True)
            self.assertIn("queue show tells all", box.ctl("queue", "list").stdout)


class Routed(unittest.TestCase):
    def test_flushes_what_counts_names(self):
        with Sandbox({"route": 'queue: { retry = [ "1h" ]; };' + NO_DNS + '''
                router_routes: { routes = [ "far.test other hub.test" ]; };
                other: { module = "transport_smtp"; order = 200; };
                '''}) as box:
            client = box.submission()
            client.sendmail("alice@example.test", ["x@far.test"],
                            b"From: <alice@example.test>\r\n\r\nbody\r\n")
            client.quit()
            until(lambda: " deferred " in box.log(), "an attempt")
            count = json.loads(box.ctl("queue", "counts", "--json").stdout)
            self.assertEqual(count["destination"], "other/hub.test")
            tries = 1
            for name in (count["destination"], "Far.test"):
                self.assertIn("1 of 1 messages",
                              box.ctl("queue", "flush", name).stdout)
                tries += 1
                until(lambda: box.log().count(" deferred ") >= tries, name)
            self.assertIn("0 of 0", box.ctl("queue", "flush", "hub2.test").stdout)


class Delay(unittest.TestCase):
    def test_warns_once_who_logged_in(self):
        with Sandbox({"soon": 'queue: { retry = [ "300ms" ]; '
                              'delay_warning = "1ms"; };' + NO_DNS}) as box:
            client = box.submission()
            client.sendmail("alice@example.test", ["x@far.test"],
                            b"From: <alice@example.test>\r\n\r\nbody\r\n")
            client.quit()
            report = box.inbox("alice", 1)[0]
            self.assertIn(b"Action: delayed\r\n", report)
            self.assertRegex(report, rb"Status: 4\.\d+\.\d+\r\n")
            self.assertIn(b"Will-Retry-Until: ", report)
            until(lambda: len(re.findall(" deferred ", box.log())) >= 5,
                  "more attempts")
            self.assertEqual(len(box.inbox("alice", 1)), 1)


class FutureRelease(unittest.TestCase):
    """RFC 4865: mail that is to leave later."""

    def test_held_until_its_time(self):
        box = Sandbox({"later": 'smtp_submission: { future_release = "10d"; };'})
        self.addCleanup(box.close)
        client = box.submission()
        client.ehlo("c.test")
        self.assertRegex(client.esmtp_features["futurerelease"],
                         r"^864000 20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        begun = time.monotonic()
        for subject, option in (("soon", "HOLDFOR=2"), ("late", "HOLDFOR=800000"),
                                ("now", "BODY=7BIT")):
            client.sendmail("alice@example.test", ["bob@example.test"],
                            f"From: <alice@example.test>\r\nSubject: {subject}\r\n"
                            "\r\nbody\r\n".encode(), mail_options=[option])
        self.assertEqual(client.mail("alice@example.test", ["HOLDFOR=864001"])[0],
                         501)
        self.assertEqual(client.mail(
            "alice@example.test", ["HOLDUNTIL=2001-02-03T04:05:06Z"])[0], 501)
        client.quit()

        def subjects(count):
            return [re.search(rb"Subject: (\w+)", text).group(1)
                    for text in box.inbox("bob", count)]
        self.assertEqual(sorted(subjects(2)), [b"now", b"soon"])
        self.assertGreaterEqual(time.monotonic() - begun, 1)  # whole seconds
        # longer than any wait of ours between attempts, and kept over a restart
        box.restart()
        rows = [json.loads(line) for line in
                box.ctl("queue", "list", "--json").stdout.splitlines()]
        self.assertEqual(len(rows), 1)
        self.assertNotIn(" id=" + rows[0]["id"] + " delivered", box.log())
        self.assertIn("late", box.ctl("queue", "show", rows[0]["id"]).stdout)
        self.assertEqual(len(box.inbox("bob", 2)), 2)
        box.ctl("queue", "retry", rows[0]["id"])
        self.assertEqual(subjects(3)[2], b"late")


if __name__ == "__main__":
    unittest.main()
