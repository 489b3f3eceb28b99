#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""posthousectl queue backup: a copy of a queue at work, restored on another
server, and what is left when either end dies in the middle."""
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import unittest

from remote import Remote
from sandbox import Dns, Sandbox, Smtp, until

CONF = ('limits: { connections_per_client = 0; }; '
        'relay_networks = [ "127.0.0.0/8" ]; '
        'queue: { retry = [ "1h" ]; }; '
        'dns: { timeout = "200ms"; attempts = 1; };')
PADDING = b"x" * 70 + b"\r\n"


def content(n):
    """Every tenth is a body file of the queue's."""
    return (b"From: <a@outside.test>\r\nSubject: number %d\r\n\r\n" % n +
            PADDING * (2000 if n % 10 == 0 else 2) + b"end of %d\r\n" % n)


class Load(threading.Thread):
    """Sends one number after the other to far.test until it is told to stop."""

    def __init__(self, box):
        super().__init__(daemon=True)
        self.box, self.acked, self.stopping = box, {}, threading.Event()

    def run(self):
        client = Smtp("127.0.0.1", self.box.port("smtp"))
        client.ehlo()
        n = 0
        while not self.stopping.is_set():
            client.mail("a@outside.test")
            client.rcpt(f"n{n}@far.test")
            code, text = client.data(content(n))
            assert code == 250, text
            self.acked[n] = re.search(rb"queued as (\S+)", text).group(1).decode()
            n += 1
        client.quit()

    def stop(self):
        self.stopping.set()
        self.join()


class QueueBackup(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="posthouse-backup-")

    def tearDown(self):
        shutil.rmtree(self.folder)

    def file(self, name):
        return os.path.join(self.folder, name)

    def restore(self, name, zone):
        """number -> how often, of what a server made from the copy sends."""
        with Remote() as remote, Dns(zone) as dns, Sandbox(
                {"relay": "transport_smtp: { port = %d; allow_loopback = true; };"
                 "queue: { retry = [ \"1s\" ]; };" % remote.port}, dns=dns.address) as new:
            new.stop()
            done = new.posthouse("--queue-import", self.file(name))
            self.assertEqual(done.returncode, 0, done.stderr)
            new.restart()
            new.ctl("queue", "retry", "all", check=False)
            until(lambda: "queue.0 messages 0\n" in new.ctl("status").stdout,
                  "all sent", 300)
            found = {}
            for _, _, got in list(remote.messages):
                n = int(re.search(rb"Subject: number (\d+)", got).group(1))
                self.assertTrue(got.endswith(content(n)), n)
                found[n] = found.get(n, 0) + 1
            return found

    def test_1_copies_a_queue_at_work(self):
        with Sandbox({"load": CONF}) as box:
            load = Load(box)
            load.start()
            until(lambda: len(load.acked) >= 150, "150 messages")
            deleted = {n for n in load.acked if n % 3 == 1 and n < 100}
            for n in deleted:
                box.ctl("queue", "delete", load.acked[n])
            before = set(load.acked) - deleted
            done = box.ctl("queue", "backup", self.file("copy"))
            self.assertRegex(done.stdout, r"^\d+ messages, .*; 0 damaged\n$")
            after = set(load.acked)
            load.stop()
            self.assertEqual(os.stat(self.file("copy")).st_mode & 0o777, 0o600)
            self.assertEqual(os.listdir(self.folder), ["copy"])
            again = box.ctl("queue", "backup", self.file("copy"), check=False)
            self.assertEqual(again.returncode, 1)
            self.assertIn("File exists", again.stderr)
            piped = subprocess.run([box.env["PH_CTL"], "queue", "backup", "-"],
                                   capture_output=True, check=True)
            self.assertTrue(piped.stdout.startswith(b"posthouse-queue 1\n"))
            self.assertRegex(piped.stdout[-60:], rb"\ntotal \d+ \d+ [0-9a-f]{8}\n$")
            self.assertIn(b"messages", piped.stderr)
        found = self.restore("copy", "far.test A 127.0.0.2\n")
        self.assertEqual(before - set(found), set(), "missing")
        self.assertEqual(set(found) & deleted, set(), "was deleted before")
        self.assertLessEqual(set(found), after | {max(after) + 1})
        self.assertEqual(set(found.values()), {1})

    def stalled(self, box):
        """A backup whose reader takes nothing, begun."""
        os.mkfifo(self.file("copy.part"))
        reader = os.open(self.file("copy.part"), os.O_RDONLY | os.O_NONBLOCK)
        ctl = subprocess.Popen([box.env["PH_CTL"], "queue", "backup",
                                self.file("copy")], stderr=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
        def begun():
            try:
                return os.read(reader, 1)
            except BlockingIOError:
                return b""
        until(begun, "the first octet of the copy")
        return ctl, reader

    def end(self, ctl, reader):
        os.close(reader)
        out, err = ctl.communicate(timeout=180)
        self.assertNotEqual(ctl.returncode, 0, out)
        self.assertFalse(os.path.exists(self.file("copy")))
        if os.path.exists(self.file("copy.part")):
            os.unlink(self.file("copy.part"))
        return err

    def test_2_either_end_may_die_in_the_middle(self):
        with Sandbox({"load": CONF}) as box:
            load = Load(box)
            load.start()
            until(lambda: len(load.acked) >= 60, "60 messages")
            ctl, reader = self.stalled(box)
            busy = box.ctl("queue", "backup", self.file("other"), check=False)
            self.assertEqual(busy.returncode, 1)
            self.assertIn("another backup", busy.stderr)
            self.assertFalse(os.path.exists(self.file("other.part")))
            ctl.kill()
            self.end(ctl, reader)
            until(lambda: " backup_failed " in box.log(), "the server notices")

            ctl, reader = self.stalled(box)
            before = len(load.acked)
            until(lambda: len(load.acked) > before + 20,
                  "mail goes on beside a backup that stands")
            load.stop()
            pids = box.kill_role("queue", signal.SIGKILL)
            until(lambda: not set(pids) & set(box.children()), "the end of the queue")
            self.end(ctl, reader)
            until(lambda: "queue.0 state ready" in box.ctl("status").stdout,
                  "the queue back")
            box.ctl("queue", "backup", self.file("whole"))

            ctl, reader = self.stalled(box)
            box.stop()
            self.end(ctl, reader)
            box.restart()
        found = self.restore("whole", "far.test A 127.0.0.2\n")
        self.assertEqual(set(load.acked) - set(found), set(), "missing")


if __name__ == "__main__":
    unittest.main()
