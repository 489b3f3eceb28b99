# SPDX-License-Identifier: Apache-2.0
"""What readers were told holds, and what was delivered is there once, whatever
becomes of the mail processes meanwhile.

Messages go to all users, who share their files; each user flags and expunges some
while the mail processes are killed. At the end nothing is lost or there twice,
nothing that was expunged is back, and no flag that was confirmed is gone.
PH_CRASH_MESSAGES sets the size, PH_CRASH_SEED repeats a run.
"""
import collections
import imaplib
import os
import random
import re
import threading
import time
import unittest

from sandbox import Sandbox, until

MESSAGES = int(os.environ.get("PH_CRASH_MESSAGES", "30"))
SEED = int(os.environ.get("PH_CRASH_SEED", str(random.randrange(1 << 30))))
USERS = 6
CONF = ("limits: { connections_per_client = 0; };\n"
        "store_maildir: { hard_links_from = 0; };\n"
        "queue: { retry = [ \"1s\" ]; };\n"
        "processes: { mail = 2; };\n")


def messages(client):
    """(UID, number, flags) of each in the mailbox."""
    found = client.fetch("1:*", "(UID FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
    return [(int(re.search(rb"UID (\d+)", part[0])[1]),
             int(re.search(rb"Subject: (\d+)", part[1])[1]), part[0])
            for part in found[1] if isinstance(part, tuple)]


class Reader(threading.Thread):
    def __init__(self, box, index, ended):
        super().__init__(daemon=True)
        self.box, self.ended = box, ended
        self.name_ = f"u{index + 1:04d}"
        self.chance = random.Random(SEED + index)
        self.flagged, self.expunged = set(), set()
        self.begun = set()  # expunges, confirmed or not

    def act(self, client, uid, number):
        if self.chance.random() < 0.7:
            if client.uid("STORE", str(uid), "+FLAGS", r"(\Flagged)")[0] == "OK":
                self.flagged.add(number)
            return
        self.begun.add(number)
        if client.uid("STORE", str(uid), "+FLAGS", r"(\Deleted)")[0] == "OK" and \
                client.uid("EXPUNGE", str(uid))[0] == "OK":
            self.expunged.add(number)

    def visit(self):
        with self.box.imap(self.name_) as client:
            client.select()
            for _ in range(self.chance.randrange(1, 6)):
                there = messages(client)
                if there:
                    self.act(client, *self.chance.choice(there)[:2])

    def run(self):
        while not self.ended.wait(self.chance.random() * 0.05):
            try:
                self.visit()
            except (OSError, imaplib.IMAP4.error):
                self.ended.wait(0.05)  # its process was killed

    def faults(self):
        with self.box.imap(self.name_) as client:
            client.select()
            there = messages(client)
        count = collections.Counter(number for _, number, _ in there)
        return {"lost": set(range(MESSAGES)) - set(count) - self.begun,
                "twice": {n for n in count if count[n] > 1},
                "back": set(count) & self.expunged,
                "unflagged": {n for _, n, flags in there if n in self.flagged
                              and rb"\Flagged" not in flags}}


class Readers(unittest.TestCase):
    def test_mail_processes_are_killed_while_readers_change_mailboxes(self):
        chance, ended = random.Random(SEED), threading.Event()
        with Sandbox({"crash": CONF}, users=USERS) as box:
            readers = [Reader(box, n, ended) for n in range(USERS)]
            for reader in readers:
                reader.start()
            for number in range(MESSAGES):
                with box.smtp() as client:
                    client.sendmail("x@outside.test",
                                    [f"u{n + 1:04d}@example.test"
                                     for n in range(USERS)],
                                    b"Subject: %d\r\n\r\ntext\r\n" % number)
                if number % 4 == 3:
                    time.sleep(chance.uniform(0, 0.3))  # any moment
                    box.kill_role("mail")
            until(lambda: not box.ctl("queue", "list", "--json").stdout.strip(),
                  "an empty queue", 300)
            ended.set()
            for reader in readers:
                reader.join(60)
            self.assertTrue(any(r.expunged for r in readers))
            self.assertTrue(any(r.flagged for r in readers))
            for _ in range(2):  # what the first look changes, too
                for reader in readers:
                    self.assertEqual(
                        {k: v for k, v in reader.faults().items() if v}, {},
                        f"{reader.name_}, PH_CRASH_SEED={SEED}")


if __name__ == "__main__":
    unittest.main()
