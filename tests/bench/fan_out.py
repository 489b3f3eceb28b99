#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What one message to many local recipients costs the process of the mailboxes.

    fan_out.py [--users 100] [--messages 10] [--sizes 4096 65536 1048576]
               [--build DIR]

For each size, with hard links and without: octets written (as it asked, and to
the disk), processor time and milliseconds from 250 to the last mailbox, a message;
then the same under strace for the syncs. Mailboxes are made before. Temporary
files ($TMPDIR) are where the mail goes. Root only: it reads /proc/PID/io of
another user's process.
"""
import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))

TICKS = os.sysconf("SC_CLK_TCK")


def message(size, n):
    return b"Subject: number %d\r\n\r\n" % n + \
        (b"0123456789" * 7 + b"\r\n") * (size // 72)


class Bench:
    def __init__(self, box, users):
        self.box, self.sent = box, 0
        self.to = [f"u{n + 1:04d}@example.test" for n in range(users)]
        self.pid = next(p for p, a in box.children().items()
                        if "--role=mail" in a)

    def wait(self):
        from sandbox import until
        until(lambda: self.box.log().count(" delivered ") >=
              self.sent * len(self.to), "all mailboxes", 600)

    def send(self, count, size):
        client = self.box.smtp()
        for _ in range(count):
            client.sendmail("x@outside.test", self.to,
                            message(size, self.sent))
            self.sent += 1
            self.wait()
        client.quit()

    def usage(self):
        with open(f"/proc/{self.pid}/io") as lines:
            io = dict(line.split(": ") for line in lines)
        with open(f"/proc/{self.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(io["wchar"]), int(io["write_bytes"]),
                (int(fields[11]) + int(fields[12])) / TICKS)

    def syncs(self, count, size):
        """fsync and fdatasync calls, and all calls, a message."""
        with tempfile.NamedTemporaryFile() as out:
            tracer = subprocess.Popen(
                ["strace", "-f", "-qq", "-c", "-o", out.name, "-p",
                 str(self.pid)], stderr=subprocess.DEVNULL)

            def is_traced():
                with open(f"/proc/{self.pid}/status") as status:
                    return re.search(r"TracerPid:\s*[1-9]", status.read())
            while not is_traced() and tracer.poll() is None:
                time.sleep(0.02)
            self.send(count, size)
            tracer.send_signal(signal.SIGINT)
            tracer.wait()
            table = out.read().decode()
        calls = {name: int(n) for n, name in re.findall(
            r"(?m)^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)(?:\s+\d+)?\s+(\w+)$", table)}
        total = calls.pop("total", 0)
        return ((calls.get("fsync", 0) + calls.get("fdatasync", 0)) / count,
                total / count)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--users", type=int, default=100)
    parser.add_argument("--messages", type=int, default=10)
    parser.add_argument("--sizes", type=int, nargs="+",
                        default=[4096, 65536, 1 << 20])
    parser.add_argument("--build")
    args = parser.parse_args()
    if args.build:
        os.environ["PH_BUILD"] = os.path.abspath(args.build)
    from sandbox import Sandbox
    print("size links | written MiB, to disk MiB, cpu ms, wall ms | "
          "syncs, system calls (a message)")
    for size in args.sizes:
        for links in ("false", "true"):
            conf = ("limits: { connections_per_client = 0; };\n"
                    "smtp_inbound: { max_recipients = 1000; };\n"
                    "processes: { mail = 1; edge = 1; };\n"
                    f"store_maildir: {{ hard_links = {links}; "
                    "hard_links_from = 0; };\n")
            with Sandbox({"bench": conf}, users=args.users) as box:
                bench = Bench(box, args.users)
                bench.send(2, 1000)
                os.sync()
                before, began = bench.usage(), time.monotonic()
                bench.send(args.messages, size)
                wall = (time.monotonic() - began) * 1000 / args.messages
                os.sync()
                used = [(b - a) / args.messages
                        for a, b in zip(before, bench.usage())]
                syncs = bench.syncs(3, size)
                print(f"{size:8} {links:5} | {used[0] / 2**20:8.2f} "
                      f"{used[1] / 2**20:8.2f} {used[2] * 1000:8.1f} "
                      f"{wall:8.1f} | {syncs[0]:6.1f} {syncs[1]:8.1f}",
                      flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
