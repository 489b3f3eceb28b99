#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""One message to a hundred local recipients: its content goes through each
process once, and is on disk once where the file system can clone. Root only:
it traces processes, and mounts XFS."""
import glob
import os
import re
import shutil
import signal
import subprocess
import tempfile
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


def delivered(box, text, mark, so_far=USERS):
    """Wait until it is whole in all mailboxes, with the fields of each."""
    until(lambda: len(files(box, mark)) == USERS, "a hundred files", 300)
    # to ask the queue would be traffic, too
    until(lambda: box.log().count(" delivered ") >= so_far, "the end", 300)
    for path, got in files(box, mark).items():
        user = path.split("/")[-4]
        head = got[:-len(text)]
        assert got.endswith(text), path
        assert re.search(rb"\r\nDelivered-To: %s@example.test *\r\n" %
                         user.encode(), head), (path, head)
        assert head.count(b"@example.test") == 1, head


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
                delivered(box, text, b"crossing")
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
        """The store's own tests, with clones."""
        for test in glob.glob(os.path.join(BUILD, "**", "maildir_share_test"),
                              recursive=True):
            done = subprocess.run([test], capture_output=True, text=True, env=dict(
                os.environ, PH_STORE_DIR=top, CK_DEFAULT_TIMEOUT="200"))
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
