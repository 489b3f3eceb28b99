#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""One message to a hundred local recipients: its content goes through each
process once, and is on disk once where the file system can clone, or give a file
several names. Some as root only: they trace processes, and mount XFS."""
import glob
import os
import random
import re
import shutil
import signal
import subprocess
import tempfile
import time
import unittest

from sandbox import BUILD, Sandbox, until

USERS = 100
TO = [f"u{n + 1:04d}@example.test" for n in range(USERS)]
CONF = {"one": "limits: { connections_per_client = 0; }; "
               "smtp_inbound: { max_recipients = 1000; };"}


def message(size, mark):
    return b"Subject: %s\r\n\r\n" % mark + \
        (b"0123456789" * 7 + b"\r\n") * (size // 72)


def files(box, mark):
    """Path and content of each file that bears the mark."""
    found = {}
    for folder, _, names in os.walk(box.env["PH_MAIL"]):
        if os.path.basename(folder) in ("new", "cur"):
            for name in names:
                with open(os.path.join(folder, name), "rb") as f:
                    got = f.read()
                if b"\r\nSubject: " + mark + b"\r\n" in got:
                    found[os.path.join(folder, name)] = got
    return found


def send(box, text):
    client = box.smtp()
    client.sendmail("a@outside.test", TO, text)
    client.quit()


def delivered(box, text, mark, so_far=USERS, linked=False):
    """Wait until it is whole in all mailboxes, with the fields of each, or of
    nobody where it is one file."""
    until(lambda: len(files(box, mark)) == USERS, "a hundred files", 300)
    # to ask the queue would be traffic, too
    until(lambda: box.log().count(" delivered ") >= so_far, "the end", 300)
    for path, got in files(box, mark).items():
        user = path.split("/")[-4]
        head = got[:-len(text)]
        assert got.endswith(text), path
        if linked:
            assert b"Delivered-To" not in head and b"@example.test" not in head, head
            continue
        assert re.search(rb"\r\nDelivered-To: %s@example.test *\r\n" %
                         user.encode(), head), (path, head)
        assert head.count(b"@example.test") == 1, head


class Links(unittest.TestCase):
    def test_content_is_one_file(self):
        text = message(4096, b"linked")
        with Sandbox(dict(CONF, mail="processes: { mail = 2; };"),
                     users=USERS) as box:
            send(box, text)
            delivered(box, text, b"linked", linked=True)
            paths = files(box, b"linked")
            stats = [os.stat(p) for p in paths]
            # one a process
            self.assertEqual(len({s.st_ino for s in stats}), 2)
            self.assertEqual(sum(s.st_nlink for s in {
                s.st_ino: s for s in stats}.values()), USERS)
            # what one does to his is not done to the others'
            with box.imap(TO[0]) as imap:
                imap.select()
                imap.store("1", "+FLAGS", "(\\Seen \\Deleted)")
                imap.expunge()
            left = files(box, b"linked")
            self.assertEqual(len(left), USERS - 1)
            self.assertTrue(all(got.endswith(text) for got in left.values()))
            # a message of one recipient names him
            client = box.smtp()
            client.sendmail("a@outside.test", TO[:1], message(4096, b"single"))
            client.quit()
            until(lambda: files(box, b"single"), "the single one")
            (got,) = files(box, b"single").values()
            self.assertIn(b"Delivered-To: " + TO[0].encode(), got)

    def test_a_store_that_is_killed_loses_and_doubles_nothing(self):
        marks = [b"mark%02d" % n for n in range(12)]
        with Sandbox(dict(CONF, mail="processes: { mail = 2; };",
                          retry='queue: { retry = [ "1s" ]; };'),
                     users=USERS) as box:
            chance = random.Random(4)
            for n, mark in enumerate(marks):
                send(box, message(4096, mark))
                if n % 2:
                    time.sleep(chance.uniform(0, 0.15))
                    box.kill_role("mail")

            def all_there():
                return all(len(files(box, mark)) >= USERS for mark in marks)
            until(all_there, "all in all mailboxes", 300)
            until(lambda: not box.ctl("queue", "list", "--json").stdout.strip(),
                  "an empty queue", 300)
            for mark in marks:
                users = [p.split("/")[-4] for p in files(box, mark)]
                self.assertEqual(len(users), USERS, mark)
                self.assertEqual(len(set(users)), USERS, mark)
            with box.imap(TO[7]) as imap:
                self.assertEqual(imap.select()[1], [b"%d" % len(marks)])


@unittest.skipUnless(os.geteuid() == 0, "root traces and mounts")
class FanOut(unittest.TestCase):
    def sent_by(self, box, role, work):
        """Octets that a process sent over sockets while work was done."""
        if not shutil.which("strace"):
            self.skipTest("needs strace")
        pid = [p for p, a in box.children().items() if f"--role={role}" in a][0]
        out = os.path.join(box.dir, role + ".strace")
        tracer = subprocess.Popen(
            ["strace", "-f", "-qq", "-e", "trace=sendmsg,sendto,write", "-o", out,
             "-p", str(pid)], stderr=subprocess.PIPE)

        def is_traced():
            with open(f"/proc/{pid}/status") as status:
                return re.search(r"TracerPid:\s*[1-9]", status.read())
        until(lambda: is_traced() or tracer.poll() is not None, "strace")
        if tracer.poll() is not None:
            self.skipTest("no right to trace")
        work()
        tracer.send_signal(signal.SIGINT)
        tracer.communicate()
        with open(out) as calls:
            return sum(int(n) for n in re.findall(r"= (\d+)$", calls.read(), re.M))

    def test_content_crosses_each_boundary_once(self):
        text = message(50000, b"crossing")
        with Sandbox(dict(CONF, mail="processes: { mail = 1; edge = 1; };"),
                     users=USERS) as box:
            def work():
                send(box, text)
                delivered(box, text, b"crossing", linked=True)
            # recipients and their results are some hundred octets each
            sent = self.sent_by(box, "queue", work)
            self.assertGreater(sent, len(text))
            self.assertLess(sent, len(text) + USERS * 500)

    def disk(self):
        top = tempfile.mkdtemp(prefix="posthouse-xfs-")
        self.addCleanup(os.rmdir, top)
        image = tempfile.NamedTemporaryFile(prefix="posthouse-xfs-", dir="/var/tmp")
        self.addCleanup(image.close)
        image.truncate(640 << 20)
        if not shutil.which("mkfs.xfs") or subprocess.run(
                ["mkfs.xfs", "-q", "-m", "reflink=1", image.name],
                capture_output=True, check=False).returncode != 0:
            self.skipTest("needs mkfs.xfs")
        if subprocess.run(["mount", "-o", "loop", image.name, top],
                          capture_output=True, check=False).returncode != 0:
            self.skipTest("no right to mount")
        self.addCleanup(subprocess.run, ["umount", top], check=True)
        os.chmod(top, 0o755)
        return top

    def used(self, top):
        os.sync()
        fs = os.statvfs(top)
        return (fs.f_blocks - fs.f_bfree) * fs.f_frsize

    def test_content_is_written_once(self):
        top = self.disk()
        size = 4 << 20
        with Sandbox(CONF, users=USERS, parent=top) as box:
            send(box, message(1000, b"first"))  # makes the mailboxes
            until(lambda: len(files(box, b"first")) == USERS, "the first", 300)
            before = self.used(top)
            text = message(size, b"shared")
            send(box, text)
            delivered(box, text, b"shared", 2 * USERS)
            grown = self.used(top) - before
            self.assertGreater(grown, size // 2)
            # once, a block of its own for each, and logs, for which XFS
            # takes more than they need; a hundred times would be 400 MiB
            self.assertLess(grown, 6 * size)
            paths = sorted(files(box, b"shared"))
            self.assertEqual(len({os.stat(p).st_ino for p in paths}), USERS)
            for path in paths[1:]:
                os.unlink(path)
            box.kill()
            box.restart()
            with open(paths[0], "rb") as last:
                self.assertTrue(last.read().endswith(text))
        self.crash_tests(top)

    def crash_tests(self, top):
        """The store's own tests, with clones and with links."""
        for test in [t for part in ("share", "link") for t in glob.glob(
                os.path.join(BUILD, "**", f"maildir_{part}_test"),
                recursive=True)]:
            done = subprocess.run([test], capture_output=True, text=True, env=dict(
                os.environ, PH_STORE_DIR=top, CK_DEFAULT_TIMEOUT="200"))
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
