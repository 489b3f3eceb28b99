# SPDX-License-Identifier: Apache-2.0
"""One process after another, or all at once, is killed at random moments while
mail flows, to local users and to another server: every message answered 250
arrives, whole, and twice only where the promise allows it. PH_CRASH_KILLS (200
is the bar of a release), PH_ROLES_MESSAGES and PH_ROLES_SEED set and repeat a
run.
"""
import collections
import os
import random
import re
import threading
import unittest

from remote import Remote
from sandbox import Dns, Sandbox, until
from test_crash import Sender, mailbox_numbers, text_of

KILLS = int(os.environ.get("PH_CRASH_KILLS", "24"))
MESSAGES = int(os.environ.get("PH_ROLES_MESSAGES", str(40 * KILLS)))
SEED = int(os.environ.get("PH_ROLES_SEED", str(random.randrange(1 << 30))))
VICTIMS = ("edge", "check", "auth", "queue", "mail", "relay", "all")
IN_FLIGHT = 10  # deliveries at once to one destination
CONF = ("limits: { connections_per_client = 0; };\n"
        "crash_limit = 1000;\n"
        "processes: { edge = 2; mail = 2; check = 2; relay = 2; };\n"
        "check_access: { };\n"
        f"queue: {{ retry = [ \"1s\" ]; destination_concurrency = {IN_FLIGHT}; }};\n")


class Run:
    """Which numbers were sent and answered; test_crash's senders use it."""

    def __init__(self, box):
        self.box, self.lock = box, threading.Lock()
        self.next, self.acked = 0, set()
        self.attempts = collections.Counter()
        self.failed, self.up = [], threading.Event()
        self.up.set()

    def take(self):
        with self.lock:
            if self.next >= MESSAGES:
                return None
            self.next += 1
            return self.next - 1

    def note(self, number):
        with self.lock:
            self.acked.add(number)


class Farther(Sender):
    """Three of four messages go to the other server."""

    def connect(self):
        client = self.run_.box.submission()
        usual = client.sendmail

        def sendmail(sender, to, text):
            number = int(re.search(rb"NUMBER (\d+) ", text).group(1))
            if number % 4:
                to = [f"n{number}@far.test"]
            return usual(sender, to, text)
        client.sendmail = sendmail
        return client


def session_of(content):
    return re.search(rb"\r\n\s(?:[^\r]*\s)?id (\S+?);?\s", content).group(1)


def arrivals(remote):
    """(number, session) of each message that the other server took, in order."""
    found = []
    for _, _, content in list(remote.messages):
        number = int(re.search(rb"\r\nNUMBER (\d+) ", content).group(1))
        if not content.endswith(text_of(number)):
            raise AssertionError(f"damaged on its way: {number}")
        found.append((number, session_of(content)))
    return found


def copies_in(top):
    """How often each message, by its queue id, lies in a mailbox."""
    found = collections.Counter()
    for folder, _, files in os.walk(top):
        if os.path.basename(folder) in ("new", "cur"):
            found.update(re.search(r"\.(Q[^R]+)R", name).group(1) for name in files)
    return found


class Roles(unittest.TestCase):
    def kill(self, box, run, role, chance):
        if role == "all":
            run.up.clear()
            box.kill()
            box.restart()
            run.up.set()
            return
        pids = [pid for pid, words in box.children().items()
                if f"--role={role}" in words]
        if pids:
            try:
                os.kill(chance.choice(pids), 9)
            except ProcessLookupError:
                pass

    def let_flow(self, box, run, remote, chance):
        """Kill while they send; of each kill that may have cut a delivery off
        from its record, how much had arrived, and how many were begun."""
        victims = (list(VICTIMS) * (KILLS // len(VICTIMS) + 1))[:KILLS]
        chance.shuffle(victims)
        marks = []
        senders = [Farther(run, n) for n in range(8)]
        for sender in senders:
            sender.start()
        for n, role in enumerate(victims):
            mark = min(MESSAGES - 1, (n + 1) * MESSAGES // (KILLS + 1) +
                       chance.randrange(5))
            until(lambda: len(run.acked) >= mark or
                  not any(s.is_alive() for s in senders),
                  f"{mark} answers (seed {SEED})", 300)
            arrived = len(remote.messages)
            self.kill(box, run, role, chance)
            if role in ("queue", "relay", "all"):
                marks.append((arrived, run.next))
        for sender in senders:
            sender.join(300)
        return marks

    def check_twice(self, run, remote, marks):
        """Those of one session are our doing: a kill must have come while the
        message was ours, and the first copy just arrived or, its end already
        sent, was still on its way. Others the client sent again."""
        first, ours, twice = {}, 0, collections.Counter()
        for at, sent in enumerate(arrivals(remote)):
            twice[sent[0]] += 1
            if sent not in first:
                first[sent] = at
                continue
            ours += 1
            self.assertTrue(
                any(mark - 2 * IN_FLIGHT <= first[sent] and mark <= at and
                    sent[0] < begun for mark, begun in marks),
                f"seed {SEED}: {sent[0]} twice, first as {first[sent]}, then as "
                f"{at}, and no kill to blame: {marks}")
        by_clients = sum(twice.values()) - len(twice) - ours
        self.assertLessEqual(by_clients, sum(run.attempts.values()))
        self.assertLessEqual(ours, len(marks) * IN_FLIGHT)
        return ours, by_clients

    def test_each_kind_of_process_may_die_at_any_moment(self):
        chance = random.Random(SEED)
        with Remote() as remote, Dns("far.test A 127.0.0.2\n") as dns, Sandbox(
                {"roles": CONF + "transport_smtp: { port = %d; allow_loopback ="
                 " true; };" % remote.port}, users=20, dns=dns.address) as box:
            run = Run(box)
            marks = self.let_flow(box, run, remote, chance)
            self.assertEqual(run.failed, [], f"seed {SEED}")
            self.assertEqual(len(run.acked), MESSAGES, f"seed {SEED}")
            found = set()

            def all_there():
                nonlocal found
                found = set(mailbox_numbers(box.env["PH_MAIL"]))
                found |= {number for number, _ in arrivals(remote)}
                return run.acked <= found
            try:
                until(all_there, "all answered messages", 300)
            except AssertionError:
                lost = sorted(run.acked - found)
                self.fail(f"seed {SEED}: lost {len(lost)}: {lost[:20]}")
            until(lambda: "queue.0 messages 0\n" in box.ctl("status").stdout,
                  "the queue empty", 300)
            copies = copies_in(box.env["PH_MAIL"])
            self.assertEqual([q for q, n in copies.items() if n > 1], [],
                             f"seed {SEED}: twice in a mailbox")
            ours, by_clients = self.check_twice(run, remote, marks)
            print(f"seed {SEED}: {MESSAGES} answered, {KILLS} killed, 0 lost, "
                  f"{len(remote.messages)} went farther, of these {ours} a second"
                  f" time by us, {by_clients} by clients; no file doubled")


if __name__ == "__main__":
    unittest.main()
