#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Power failures over a whole server: what was answered 250 is there after.

    power.py [--rounds N] [--fs ext4|xfs] [--seed N] [--recipients N] [--control]

A file system in a loop device holds the server's queue and mailboxes. While mail
comes in, the file system is shut down without writing anything back
(FS_IOC_SHUTDOWN, NOLOGFLUSH: every page and journal entry that was not synced is
gone), all processes are killed, and after a new mount the server starts again.
Only answers that came before the shutdown count: a sync that is under way during
it may return 0. With --recipients above 1 each message goes to so many mailboxes,
which share its file. --control turns the syncs of the queue off and must lose mail.
$PH_BUILD names the build tree. Root only; exits non-zero when mail is lost (with --control: when none is).
"""
import argparse
import collections
import fcntl
import os
import random
import shutil
import signal
import smtplib
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(os.path.dirname(HERE), "support"),
                os.path.dirname(HERE)]
from sandbox import Sandbox, until  # noqa: E402
from test_crash import mailbox_numbers, text_of  # noqa: E402

FS_IOC_SHUTDOWN, NOLOGFLUSH = 0x8004587D, 2
SENDERS, USERS = 8, 20
CONF = ("limits: { connections_per_client = 0; };\n"
        "queue: { soft_free_bytes = \"16M\"; ballast_bytes = \"16M\"; "
        "retry = [ \"1s\" ]; fsync = %s; };\n"
        "processes: { edge = 2; mail = 2; };\n"
        "store_maildir: { hard_links_from = 0; };\n")


def run(*words):
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.PIPE)


class Disk:
    """A file system in a file, mounted below a folder of ours."""

    def __init__(self, kind, size_mb):
        self.kind = kind
        self.top = tempfile.mkdtemp(prefix="posthouse-power-")
        os.chmod(self.top, 0o755)
        self.image = os.path.join(self.top, "image")
        self.at = os.path.join(self.top, "disk")
        os.mkdir(self.at)
        run("truncate", "-s", f"{size_mb}M", self.image)
        run(f"mkfs.{kind}", "-q", self.image)
        self.mount()
        os.chmod(self.at, 0o755)

    def mount(self):
        run("mount", "-o", "loop", self.image, self.at)
        with open("/proc/mounts") as mounts:
            line = next(l for l in mounts if l.split()[1] == self.at)
        if "shutdown" in line:
            raise RuntimeError(f"the file system is still shut down: {line}")

    def cut_power(self):
        fd = os.open(self.at, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, FS_IOC_SHUTDOWN,
                        NOLOGFLUSH.to_bytes(4, sys.byteorder))
        finally:
            os.close(fd)

    def unmount(self):
        for _ in range(100):
            if subprocess.run(["umount", self.at], capture_output=True,
                              check=False).returncode == 0:
                return
            time.sleep(0.1)
        raise RuntimeError("the file system stays busy")

    def close(self):
        subprocess.run(["umount", self.at], capture_output=True, check=False)
        shutil.rmtree(self.top, ignore_errors=True)


class Mail:
    """Numbered messages under way, and those that were answered."""

    def __init__(self, box, recipients):
        self.box, self.recipients = box, recipients
        self.lock, self.next, self.acked = threading.Lock(), 0, set()
        self.ended = threading.Event()
        self.threads = []

    def _send(self):
        client = None
        while not self.ended.is_set():
            with self.lock:
                number = self.next
                self.next += 1
            try:
                if client is None:
                    client = self.box.smtp()
                to = [f"u{(number + n) % USERS + 1:04d}@example.test"
                      for n in range(self.recipients)]
                client.sendmail("x@outside.test", to, text_of(number))
                with self.lock:
                    self.acked.add(number)
            except (OSError, smtplib.SMTPException):
                if client is not None:
                    client.close()
                client = None
                self.ended.wait(0.02)
        if client is not None:
            client.close()

    def start(self):
        self.ended.clear()
        self.threads = [threading.Thread(target=self._send, daemon=True)
                        for _ in range(SENDERS)]
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.ended.set()
        for thread in self.threads:
            thread.join()

    def answered(self):
        with self.lock:
            return set(self.acked)


def find(box, wanted, times, seconds):
    """(how often numbers were found, damage) as soon as all wanted are there so
    many times, or at the end."""
    end = time.monotonic() + seconds
    while True:
        found, damage = collections.Counter(), None
        try:
            found = mailbox_numbers(box.env["PH_MAIL"])
        except (AssertionError, FileNotFoundError) as error:
            damage = error
        if (all(found[n] >= times for n in wanted) and damage is None) or time.monotonic() > end:
            return found, damage
        time.sleep(0.2)


def kill_all(box):
    """sandbox.sh kill, without the files that can't be read any more."""
    master = int(box.env["PH_PID"])
    os.kill(master, signal.SIGSTOP)
    pids = [master, *box.children()]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)

    def is_gone(pid):
        try:
            with open(f"/proc/{pid}/stat") as stat:
                return stat.read().rsplit(")", 1)[1].split()[0] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True
    until(lambda: all(map(is_gone, pids)), "the end of all processes")


def keep_settings(box):
    """What sandbox.sh wrote is not the server's to make durable."""
    for name in ("pid", "env", "."):
        fd = os.open(os.path.join(box.dir, name), os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)


def one_round(box, disk, mail, chance):
    keep_settings(box)
    mail.start()
    time.sleep(chance.uniform(0.3, 2.5))
    safe = mail.answered()
    disk.cut_power()
    kill_all(box)
    mail.stop()
    mail.acked = set(safe)
    disk.unmount()
    disk.mount()
    box.restart()
    return safe


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--fs", default="ext4", choices=["ext4", "xfs"])
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--recipients", type=int, default=1,
                        choices=range(1, USERS + 1), metavar="N")
    parser.add_argument("--control", action="store_true")
    args = parser.parse_args()
    chance, lost = random.Random(args.seed), set()
    disk = Disk(args.fs, 2048)
    try:
        box = Sandbox({"power": CONF % ("false" if args.control else "true")},
                      users=USERS, parent=disk.at)
        try:
            run("sync", "-f", disk.at)
            mail = Mail(box, args.recipients)
            for n in range(args.rounds):
                safe = one_round(box, disk, mail, chance)
                found, damage = find(box, safe, args.recipients, 60)
                gone = {n for n in safe if found[n] < args.recipients}
                lost |= gone
                twice = sum(1 for c in found.values() if c > args.recipients)
                print(f"round {n + 1}: {len(safe)} answered, "
                      f"{len(gone)} lost, {twice} twice"
                      + (f", {damage}" if damage else ""), flush=True)
                if damage and not args.control:
                    return 1
                if lost:
                    break
        finally:
            try:
                kill_all(box)
            except ProcessLookupError:
                pass
    finally:
        disk.close()
    print(f"seed {args.seed}, {args.fs}: {len(lost)} lost {sorted(lost)[:20]}")
    return (0 if lost else 1) if args.control else (1 if lost else 0)


if __name__ == "__main__":
    sys.exit(main())
