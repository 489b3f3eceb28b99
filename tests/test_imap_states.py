# SPDX-License-Identifier: Apache-2.0
"""Many clients at one mailbox, at random: what each was told stays consistent.

Each client keeps the list of messages that the server's EXISTS, EXPUNGE and
FETCH leave it with (RFC 3501 s5.2, s7.4.1), and checks each answer against it.
PH_IMAP_SEED repeats a run, PH_IMAP_STEPS makes it longer.
"""
import os
import random
import unittest

from imap_wire import Wire
from sandbox import Sandbox

STEPS = int(os.environ.get("PH_IMAP_STEPS", "800"))
SEED = int(os.environ.get("PH_IMAP_SEED", "3501"))
FLAGS = ("\\Seen", "\\Flagged", "\\Deleted", "\\Answered", "$one", "$two")
# Commands after which the server may not tell of an expunge (s7.4.1).
QUIET = ("FETCH", "STORE", "SEARCH")


class Client:
    def __init__(self, box, number, chance):
        self.wire = Wire(box.port("imaps"), tls=box.tls())
        self.number, self.chance = number, chance
        self.uids, self.flags = [], []
        self.history = []
        answers = self.command("SELECT INBOX")
        assert answers[-1][1] == "OK", answers

    def fail(self, what):
        tail = "\n".join(map(str, self.history[-6:]))
        raise AssertionError(f"client {self.number}, seed {SEED}: {what}\n{tail}")

    def command(self, text, literal=None):
        answers = self.wire.command(text, literal)
        self.history.append((text, answers))
        quiet = text.startswith(QUIET)
        if answers[-1][1] == "BAD":
            self.fail("BAD")
        for answer in answers[:-1]:
            self.learn(answer, quiet)
        return answers

    def learn(self, answer, quiet):
        if answer[1] == "SEARCH" and None not in self.uids:
            for uid in map(int, answer[2:]):
                if uid not in self.uids:
                    self.fail(f"found UID {uid}, which is unknown")
        if len(answer) < 3 or not str(answer[1]).isdigit():
            return
        number, what = int(answer[1]), answer[2]
        if what == "EXISTS":
            if number < len(self.uids):
                self.fail(f"{number} messages exist, of {len(self.uids)}")
            self.uids += [None] * (number - len(self.uids))
            self.flags += [None] * (number - len(self.flags))
        elif what == "EXPUNGE":
            if quiet or not 1 <= number <= len(self.uids):
                self.fail(f"expunge of {number} of {len(self.uids)}")
            del self.uids[number - 1], self.flags[number - 1]
        elif what == "FETCH":
            if not 1 <= number <= len(self.uids):
                self.fail(f"fetched {number} of {len(self.uids)}")
            self.fetched(number, dict(zip(answer[3][::2], answer[3][1::2])))

    def fetched(self, number, items):
        at = number - 1
        if "UID" in items:
            uid = int(items["UID"])
            if self.uids[at] not in (None, uid):
                self.fail(f"{number} was UID {self.uids[at]}, is {uid}")
            self.uids[at] = uid
            known = [u for u in self.uids if u is not None]
            if known != sorted(set(known)):
                self.fail(f"UIDs out of order: {self.uids}")
        if "FLAGS" in items:
            self.flags[at] = sorted(f for f in items["FLAGS"]
                                    if f != "\\Recent")

    def some(self):
        count = len(self.uids)
        one, two = self.chance.randint(1, count), self.chance.randint(1, count)
        return self.chance.choice((str(one), f"{one}:{two}", f"{one},{two}",
                                   "*", f"{one}:*"))

    def step(self):
        chance = self.chance
        kind = chance.randrange(14)
        if kind < 2 or not self.uids:
            body = b"Subject: %d\r\n\r\n" % chance.randrange(10 ** 6)
            flag = chance.choice(FLAGS)
            self.command(f"APPEND INBOX ({flag}) {{{len(body)}}}", body)
        elif kind < 6:
            sign = chance.choice(("", "+", "-"))
            silent = chance.choice(("", "", ".SILENT"))
            flags = " ".join(chance.sample(FLAGS, chance.randint(0, 2)))
            which = self.some()
            last = str(len(self.uids))  # what * means now
            self.command(f"STORE {which} {sign}FLAGS{silent} ({flags})")
            if silent:  # what we did is ours to know
                which = which.replace("*", last)
                self.command(f"FETCH {which} (UID FLAGS)")
        elif kind < 8:
            self.command(f"FETCH {self.some()} (UID FLAGS RFC822.SIZE)")
        elif kind == 8:
            self.command("EXPUNGE")
        elif kind == 9:
            known = [u for u in self.uids if u] or [1]
            self.command(f"UID EXPUNGE {chance.choice(known)}")
        elif kind == 10:
            self.command("UID SEARCH ALL")
        elif kind == 11 and len(self.uids) < 60:
            self.command(f"COPY {self.some()} INBOX")
        elif kind == 12:
            self.command(f"FETCH {self.some()} (BODY[] UID)")
        else:
            self.command("NOOP")

    def settle(self):
        self.command("NOOP")
        if self.uids:
            told = list(self.flags)
            self.command("FETCH 1:* (UID FLAGS)")
            for number, (before, now) in enumerate(zip(told, self.flags), 1):
                if before is not None and before != now:
                    self.fail(f"{number} has {now}, was told to have {before}")
        return list(zip(self.uids, self.flags))


class States(unittest.TestCase):
    def test_every_client_sees_one_mailbox(self):
        with Sandbox() as box:
            chance = random.Random(SEED)
            clients = [Client(box, n, chance) for n in range(5)]
            for step in range(STEPS):
                chance.choice(clients).step()
                if step % 250 == 249:
                    seen = [c.settle() for c in clients]
                    for other in seen[1:]:
                        self.assertEqual(other, seen[0], f"seed {SEED}")
            for client in clients:
                client.wire.close()


if __name__ == "__main__":
    unittest.main()
