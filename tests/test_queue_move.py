#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A queue that moves: export on one server, import on another, delivered there."""
import os
import re
import tempfile
import unittest

from sandbox import Sandbox, until

BIG = b"x" * 70 + b"\r\n"


def message(n):
    body = BIG * 3000 if n == 2 else b"body %d\r\n" % n
    return (b"From: <alice@example.test>\r\nSubject: moved %d\r\n\r\n" % n) + body


class QueueMove(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="posthouse-move-")
        self.file = os.path.join(self.folder, "queue.export")
        self.old = Sandbox()

    def tearDown(self):
        self.old.close()
        if os.path.exists(self.file):
            os.unlink(self.file)
        os.rmdir(self.folder)

    def lanes(self, box, what):
        for n in range(8):
            box.ctl("queue", what, f"mail/{n}")

    def fill(self):
        self.lanes(self.old, "suspend")
        client = self.old.submission()
        for n in range(4):
            client.sendmail("alice@example.test", ["bob@example.test"], message(n))
        client.quit()

    def test_1_the_lock_tells_a_running_server(self):
        for option in (["--queue-verify"], ["--queue-export", self.file],
                       ["--queue-import", __file__]):
            done = self.old.posthouse(*option)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn("stop the server first", done.stderr)

    def test_2_moves_to_another_server(self):
        self.fill()
        self.old.stop()
        done = self.old.posthouse("--queue-verify")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("4 messages, 4 recipients", done.stdout)
        done = self.old.posthouse("--queue-export", self.file)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("; 0 damaged", done.stdout)
        again = self.old.posthouse("--queue-export", self.file)
        self.assertEqual(again.returncode, 1)
        with Sandbox() as new:
            new.stop()
            with open(self.file, "rb") as whole, \
                    open(self.file + ".cut", "wb") as cut:
                cut.write(whole.read()[:-1000])
            done = new.posthouse("--queue-import", self.file + ".cut")
            os.unlink(self.file + ".cut")
            self.assertEqual(done.returncode, 1)
            self.assertIn("nothing was imported", done.stderr)
            for present in (0, 4):
                done = new.posthouse("--queue-import", self.file)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertIn(f"; {present} messages were there already",
                              done.stdout)
            new.restart()
            listed = new.ctl("queue", "list").stdout
            self.assertEqual(len(re.findall("to=<bob@example.test>", listed)), 4)
            self.lanes(new, "resume")
            found = new.inbox("bob", 4)
            for n in range(4):
                body = message(n).split(b"\r\n\r\n", 1)[1]
                self.assertEqual(sum(m.endswith(b"\r\n\r\n" + body)
                                     for m in found), 1, n)
            until(lambda: "The queue is empty" in new.ctl("queue", "list").stdout,
                  "an empty queue")


if __name__ == "__main__":
    unittest.main()
