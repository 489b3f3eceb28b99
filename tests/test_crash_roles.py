# SPDX-License-Identifier: Apache-2.0
"""One kind of process after another is killed at random moments while mail
flows, to local users and to another server: every message answered 250 arrives,
whole. PH_ROLES_MESSAGES, PH_ROLES_KILLS and PH_ROLES_SEED set and repeat a run.
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

MESSAGES = int(os.environ.get("PH_ROLES_MESSAGES", "1000"))
KILLS = int(os.environ.get("PH_ROLES_KILLS", "4"))  # of each kind
SEED = int(os.environ.get("PH_ROLES_SEED", str(random.randrange(1 << 30))))
ROLES = ("edge", "check", "auth", "queue", "mail", "relay")
CONF = ("limits: { connections_per_client = 0; };\n"
        "processes: { edge = 2; mail = 2; check = 2; relay = 2; };\n"
        "check_access: { };\n"
        "queue: { retry = [ \"1s\" ]; };\n")


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
    """Every second message of its own goes to the other server."""

    def connect(self):
        client = self.run_.box.submission()
        usual = client.sendmail

        def sendmail(sender, to, text):
            number = int(re.search(rb"NUMBER (\d+) ", text).group(1))
            if number % 2:
                to = [f"n{number}@far.test"]
            return usual(sender, to, text)
        client.sendmail = sendmail
        return client


def numbers_of(remote):
    found = set()
    for _, _, content in list(remote.messages):
        number = int(re.search(rb"\r\nNUMBER (\d+) ", content).group(1))
        if not content.endswith(text_of(number)):
            raise AssertionError(f"damaged on its way: {number}")
        found.add(number)
    return found


class Roles(unittest.TestCase):
    def test_each_kind_of_process_may_die_at_any_moment(self):
        chance = random.Random(SEED)
        with Remote() as remote, Dns("far.test A 127.0.0.2\n") as dns, Sandbox(
                {"roles": CONF + "transport_smtp: { port = %d; allow_loopback ="
                 " true; };" % remote.port}, users=20, dns=dns.address) as box:
            run = Run(box)
            senders = [(Farther if n % 2 else Sender)(run, n) for n in range(8)]
            victims = [role for role in ROLES for _ in range(KILLS)]
            chance.shuffle(victims)
            for sender in senders:
                sender.start()
            for n, role in enumerate(victims):
                mark = min(MESSAGES - 1, (n + 1) * MESSAGES //
                           (len(victims) + 1) + chance.randrange(5))
                until(lambda: len(run.acked) >= mark or
                      not any(s.is_alive() for s in senders),
                      f"{mark} answers (seed {SEED})", 300)
                pids = [pid for pid, words in box.children().items()
                        if f"--role={role}" in words]
                if pids:
                    try:
                        os.kill(chance.choice(pids), 9)
                    except ProcessLookupError:
                        pass
            for sender in senders:
                sender.join(300)
            self.assertEqual(run.failed, [], f"seed {SEED}")
            self.assertEqual(len(run.acked), MESSAGES, f"seed {SEED}")
            found = set()

            def all_there():
                nonlocal found
                found = set(mailbox_numbers(box.env["PH_MAIL"]))
                found |= numbers_of(remote)
                return run.acked <= found
            try:
                until(all_there, "all answered messages", 180)
            except AssertionError:
                lost = sorted(run.acked - found)
                self.fail(f"seed {SEED}: lost {len(lost)}: {lost[:20]}")
            until(lambda: "queue.0 messages 0\n" in box.ctl("status").stdout,
                  "the queue empty", 120)
            print(f"seed {SEED}: {MESSAGES} answered, {len(victims)} killed, "
                  f"0 lost, {len(remote.messages)} went farther")


if __name__ == "__main__":
    unittest.main()
