# SPDX-License-Identifier: Apache-2.0
"""Slow clients keep nobody else waiting and cost little: thousands that send an
octet a second, half of them commands and half of them content, while a normal
client delivers. PH_SLOW_CLIENTS says how many (500; the bar is 5000)."""
import os
import re
import resource
import socket
import statistics
import threading
import time
import unittest

from sandbox import DEADLINE, Sandbox, until

COUNT = int(os.environ.get("PH_SLOW_CLIENTS", "500"))
PER_CONNECTION_KIB = 24  # as tests/bench/idle.py
DELIVERIES = 30
SNIPPET = """
processes: { edge = 1; };
limits: { connections = 100000; connections_per_client = 0; };
allow_core_dumps = true;
"""
OPENING = (b"EHLO slow.test\r\nMAIL FROM:<slow@outside.test>\r\n"
           b"RCPT TO:<bob@example.test>\r\nDATA\r\n")
DRIP = b"Subject: drip\r\nX-Drip: " + b"drip " * 200


class Drip(threading.Thread):
    """Opens the connections, then sends each of them an octet a second."""

    def __init__(self, port, count):
        super().__init__(daemon=True)
        self.links, self.port, self.stopping = [], port, threading.Event()
        self.longest, self.closed = 0.0, 0
        for n in range(count):
            self.links.append(self.connect(n % 2 == 0))

    def connect(self, with_content):
        link = socket.create_connection(("127.0.0.1", self.port), DEADLINE)
        if with_content:
            link.sendall(OPENING)
            answer = b""
            while b"\r\n354 " not in answer:
                got = link.recv(4096)
                if not got:
                    raise AssertionError(f"closed after {answer!r}")
                answer += got
        return link, DRIP if with_content else b"EHLO " + b"s" * 250

    def run(self):
        at = 0
        while not self.stopping.is_set():
            start = time.monotonic()
            for link, text in self.links:
                try:
                    link.send(text[at % len(text):][:1])
                except OSError:
                    self.closed += 1
            at += 1
            took = time.monotonic() - start
            self.longest = max(self.longest, took)
            self.stopping.wait(max(0.0, 1 - took))

    def close(self):
        self.stopping.set()
        self.join()
        for link, _ in self.links:
            link.close()


def private_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        return sum(int(n) for n in re.findall(
            r"^Private_(?:Clean|Dirty|Hugetlb):\s+(\d+) kB", lines.read(), re.M))


class Slow(unittest.TestCase):
    def deliver(self):
        """Seconds of each of some deliveries, connection included."""
        took = []
        for n in range(DELIVERIES):
            start = time.monotonic()
            client = self.box.smtp()
            client.sendmail("x@outside.test", ["bob@example.test"],
                            b"Subject: normal\r\n\r\n" + b"x" * 70 + b"\r\n")
            client.quit()
            took.append(time.monotonic() - start)
        return took

    def test_slow_clients_keep_nobody_waiting(self):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < COUNT + 200:
            self.skipTest("too few descriptors")
        resource.setrlimit(resource.RLIMIT_NOFILE,
                           (max(soft, COUNT + 200), hard))
        self.box = Sandbox({"slow": SNIPPET})
        self.addCleanup(self.box.close)
        edge = next(p for p, args in self.box.children().items()
                    if "--role=edge" in args)
        self.deliver()
        alone, before = self.deliver(), private_kib(edge)
        drip = Drip(self.box.port("smtp"), COUNT)
        drip.start()
        try:
            until(lambda: re.search(rf"^edge\.0 connections {COUNT}$",
                                    self.box.ctl("status").stdout, re.M),
                  "all slow clients")
            among, each = self.deliver(), (private_kib(edge) - before) / COUNT
            # what else the machine does may make some slow, but not all
            until(lambda: statistics.median(among) < 2 *
                  statistics.median(alone) + 0.1 or
                  among.clear() or among.extend(self.deliver()),
                  "deliveries as quick as without slow clients")
            self.assertEqual(drip.closed, 0)
        finally:
            drip.close()
        print(f"\n{COUNT} slow clients: {each:.1f} KiB each; a delivery takes "
              f"{1000 * statistics.median(alone):.1f} ms alone, "
              f"{1000 * statistics.median(among):.1f} ms among them")
        if "asan" not in os.environ.get("PH_BUILD", ""):
            self.assertLess(each, PER_CONNECTION_KIB)


if __name__ == "__main__":
    unittest.main()
