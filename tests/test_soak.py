# SPDX-License-Identifier: Apache-2.0
"""Processes die and configurations change while mail flows: nothing is lost,
and the master neither grows nor keeps a descriptor.

PH_SOAK_KILLS sets how many processes are killed; PH_SOAK_SEED repeats a run.
"""
import os
import random
import signal
import smtplib
import threading
import unittest

from sandbox import Sandbox, until

KILLS = int(os.environ.get("PH_SOAK_KILLS", "24"))
SEED = int(os.environ.get("PH_SOAK_SEED", str(random.randrange(1 << 30))))
SENDERS = 4
CONF = {"limits": "limits: { connections_per_client = 0; };\n"
                  "processes: { edge = 2; mail = 3; check = 2; relay = 2; };"}


class Sender(threading.Thread):
    def __init__(self, box):
        super().__init__(daemon=True)
        self.box, self.count, self.ended = box, 0, threading.Event()

    def run(self):
        while not self.ended.is_set():
            client = None
            try:
                client = self.box.smtp()
                client.sendmail("x@outside.test", ["bob@example.test"],
                                b"Subject: soak\r\n\r\nsoak\r\n")
                self.count += 1
                client.quit()
            except (OSError, smtplib.SMTPException):
                self.ended.wait(0.05)
                if client is not None:
                    client.close()


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def states(box):
    return [line.split(" ")[2] for line in box.ctl("status").stdout.splitlines()
            if line.split(" ")[1] == "state"]


class Soak(unittest.TestCase):
    def test_mail_flows_while_processes_die_and_configurations_change(self):
        chance = random.Random(SEED)
        with Sandbox(CONF) as box:
            master = int(box.env["PH_PID"])
            before = descriptors(master)
            senders = [Sender(box) for _ in range(SENDERS)]
            for sender in senders:
                sender.start()
            for n in range(KILLS):
                taken = sum(s.count for s in senders)
                pid = chance.choice(sorted(box.children()))
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
                if n % 4 == 0:
                    box.ctl("reload")
                step = chance.randrange(1, 60)
                until(lambda: sum(s.count for s in senders) >= taken + step,
                      f"mail after kill {n} (seed {SEED})")
            for sender in senders:
                sender.ended.set()
            for sender in senders:
                sender.join()
            until(lambda: set(states(box)) == {"ready"}, "all ready")
            until(lambda: descriptors(master) == before,
                  f"as many descriptors as before: {before}")
            until(lambda: "queue.0 messages 0\n" in box.ctl("status").stdout,
                  "the queue empty", 300)
            taken = sum(s.count for s in senders)
            self.assertGreaterEqual(len(box.inbox("bob", taken)), taken)
            print(f"seed {SEED}: {taken} answered, {KILLS} kills, 0 lost")


if __name__ == "__main__":
    unittest.main()
