# SPDX-License-Identifier: Apache-2.0
"""Every message answered 250 is in its mailbox, whatever was killed meanwhile.

Sessions send numbered messages and note each 250; the whole server is killed
(SIGKILL) at random moments and started again. At the end each noted number is
searched in the mailboxes, by content. PH_CRASH_MESSAGES and PH_CRASH_KILLS set
the size (10000 and 10 are the bar of a release); PH_CRASH_SEED repeats a run.
"""
import collections
import hashlib
import os
import random
import re
import smtplib
import threading
import time
import unittest

from sandbox import Sandbox, until

MESSAGES = int(os.environ.get("PH_CRASH_MESSAGES", "600"))
KILLS = int(os.environ.get("PH_CRASH_KILLS", "4"))
SEED = int(os.environ.get("PH_CRASH_SEED", str(random.randrange(1 << 30))))
SESSIONS = 20
PAD = b"".join(b"%072d\r\n" % n for n in range(55))


def text_of(number):
    digest = hashlib.sha256(b"%d" % number).hexdigest().encode()
    return (b"From: <alice@example.test>\r\nTo: <x@example.test>\r\n"
            b"Subject: number %d\r\n"
            b"Date: Mon, 23 Nov 2026 08:00:00 +0000\r\n"
            b"Message-ID: <%d@crash.test>\r\n\r\nNUMBER %d %s\r\n"
            % (number, number, number, digest) + PAD)


class Sender(threading.Thread):
    def __init__(self, run, index):
        super().__init__(daemon=True)
        self.run_, self.index = run, index

    def connect(self):
        box = self.run_.box
        return box.submission() if self.index % 2 else box.smtp()

    def run(self):
        client = None
        while True:
            number = self.run_.take()
            if number is None:
                break
            while True:
                try:
                    if client is None:
                        client = self.connect()
                    client.sendmail("alice@example.test",
                                    [f"u{number % 20 + 1:04d}@example.test"],
                                    text_of(number))
                    self.run_.note(number)
                    break
                except (OSError, smtplib.SMTPException) as error:
                    self.run_.attempts[number] += 1
                    if client is not None:
                        client.close()
                    client = None
                    if self.run_.attempts[number] > 600:
                        self.run_.failed.append((number, error))
                        break
                    self.run_.up.wait(60)
                    time.sleep(0.02)
        if client is not None:
            try:
                client.quit()
            except (OSError, smtplib.SMTPException):
                pass


class CrashRun:
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


def mailbox_numbers(top):
    """number -> how often it lies whole in a Maildir; torn files fail."""
    found = collections.Counter()
    for folder, dirs, files in os.walk(top):
        if os.path.basename(folder) not in ("new", "cur"):
            continue
        for name in files:
            with open(os.path.join(folder, name), "rb") as f:
                data = f.read()
            match = re.search(rb"\r\nNUMBER (\d+) ", data)
            number = int(match.group(1)) if match else -1
            if number < 0 or not data.endswith(text_of(number)):
                raise AssertionError(f"damaged: {folder}/{name}")
            found[number] += 1
    return found


class Crash(unittest.TestCase):
    def test_kill_everything_at_random_moments(self):
        random.seed(SEED)
        with Sandbox({"limits": "limits: { connections_per_client = 0; };"},
                     users=20) as box:
            run = CrashRun(box)
            senders = [Sender(run, n) for n in range(SESSIONS)]
            for s in senders:
                s.start()
            marks = sorted(random.sample(range(1, MESSAGES), KILLS))
            for mark in marks:
                until(lambda: len(run.acked) >= mark or
                      not any(s.is_alive() for s in senders),
                      f"{mark} answers", 300)
                time.sleep(random.random() * 0.05)
                run.up.clear()
                box.kill()
                box.restart()
                run.up.set()
            for s in senders:
                s.join(300)
            self.assertEqual(run.failed, [])
            self.assertEqual(len(run.acked), MESSAGES)
            found = {}

            def all_there():
                nonlocal found
                found = mailbox_numbers(box.env["PH_MAIL"])
                return run.acked <= set(found)
            try:
                until(all_there, "all answered messages in mailboxes", 300)
            except AssertionError:
                missing = sorted(run.acked - set(found))
                self.fail(f"seed {SEED}: lost {len(missing)}: {missing[:20]}")
            twice = {n: c for n, c in found.items() if c > 1}
            # sent again by the client, which saw no answer: not our doing
            ours = {n: c for n, c in twice.items() if c > 1 + run.attempts[n]}
            print(f"seed {SEED}: {MESSAGES} answered, {KILLS} kills, 0 lost, "
                  f"{len(twice)} twice after a lost answer, {len(ours)} by us")
            self.assertLessEqual(len(ours), KILLS * SESSIONS)


if __name__ == "__main__":
    unittest.main()
