#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Relay to two destinations of which one accepts a single connection and takes
five seconds a message: what the other gets, against what it gets alone.

    two_destinations.py [--messages 10000] [--rounds 3] [--build DIR]

Messages of 4 KiB are queued while both destinations are suspended; the clock runs
from the release until the fast one (smtp_sink.c) has its own. Rounds in
which all are for the fast one alternate with rounds in which half are for the
slow one, so that the queue is as long; the bar is a ratio of the medians of 0.9.
Exits 1 when it is missed.
"""
import argparse
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))

BAR, SECONDS = 0.9, 5.0
CONF = """
limits: {{ connections_per_client = 0; }};
relay_networks = [ "127.0.0.0/8" ];
transport_smtp: {{ port = {port}; allow_loopback = true; }};
"""
ZONE = "fast.test A 127.0.0.2\nslow.test A 127.0.0.3\n"


def submit(port, domain, messages):
    subprocess.run(["smtp-source", "-s", "20", "-m", str(messages), "-l", "4096",
                    "-f", f"{domain}@example.test", "-t", f"x@{domain}",
                    f"inet:127.0.0.1:{port}"], check=True)


def measure(box, sink, fast, slow):
    for name in ("fast.test", "slow.test"):
        box.ctl("queue", "suspend", name)
    for name, count in (("fast.test", fast), ("slow.test", slow)):
        if count:
            submit(box.port("smtp"), name, count)
    before = sink.count()
    box.ctl("queue", "resume", "slow.test")
    start = time.monotonic()
    box.ctl("queue", "resume", "fast.test")
    while sink.count() - before < fast and time.monotonic() - start < 300:
        time.sleep(0.01)
    took = time.monotonic() - start
    if sink.count() - before < fast:
        sys.exit(f"{sink.count() - before} of {fast} arrived")
    if slow:
        box.ctl("queue", "suspend", "slow.test")
        box.ctl("queue", "delete", "all")
    return fast / took


def main():
    words = argparse.ArgumentParser()
    words.add_argument("--messages", type=int, default=10000)
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--build")
    words = words.parse_args()
    if words.build:
        os.environ["PH_BUILD"] = os.path.abspath(words.build)
    from relay import Sink
    from remote import Narrow
    from ports import free_ports
    from sandbox import Dns, Sandbox
    port, rows = free_ports(1)[0], {False: [], True: []}

    def slowly(verb, line, connection):
        if verb == "END":
            time.sleep(SECONDS)

    with Dns(ZONE) as dns, Narrow("127.0.0.3", port, slowly) as slow, Sandbox(
            {"two": CONF.format(port=port)}, dns=dns.address) as box:
        sink = Sink(box.dir, "sink", port, "127.0.0.2")
        try:
            measure(box, sink, 500, 0)  # to warm up
            for _ in range(words.rounds):
                for with_slow in rows:
                    slow_n = words.messages // 2 if with_slow else 0
                    rows[with_slow].append(measure(
                        box, sink, words.messages - slow_n, slow_n))
                    print(f"{'beside the slow one' if with_slow else 'alone'}: "
                          f"{rows[with_slow][-1]:.0f} messages/s", flush=True)
        finally:
            sink.close()
        print(f"the slow one took {len(slow.messages)} messages and refused "
              f"{slow.refused} connections")
    ratio = statistics.median(rows[True]) / statistics.median(rows[False])
    print(f"ratio {ratio:.2f} (bar {BAR})")
    return 0 if ratio >= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
