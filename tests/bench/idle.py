#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What an idle connection costs the edge process: KiB of its own memory.

    idle.py [--connections N] [--bar KIB] [--tls]

Opens N (2,000) connections without TLS to a sandbox with one edge process, SMTP
after EHLO, then IMAP after CAPABILITY, and compares the private pages of edge
(/proc/PID/smaps_rollup) before and after. The first connections of each kind do
not count: what they load is shared. Exit status 1 when one costs more than the
bar (24 KiB). With --tls the same behind TLS is shown too, without a bar. The
build is $PH_BUILD.
"""
import argparse
import os
import re
import resource
import socket
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "support"))
from sandbox import Sandbox, until  # noqa: E402

WARM_UP = 50
SNIPPET = """
processes: { edge = 1; };
limits: { connections = 100000; connections_per_client = 0; };
allow_core_dumps = true;
"""


def private_kib(pid):
    """Pages that nobody shares: what would be free if the process ended."""
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        text = lines.read()
    return sum(int(n) for n in re.findall(
        r"^Private_(?:Clean|Dirty|Hugetlb):\s+(\d+) kB", text, re.M))


def settled_kib(pid):
    """Once stacks were trimmed and what the kernel frees late is freed."""
    seen = []

    def same():
        seen.append(private_kib(pid))
        # more than the second after which edge trims its stacks
        return len(seen) > 100 and max(seen[-100:]) - min(seen[-100:]) < 64
    until(same, "a steady size", 60)
    return seen[-1]


def read_line(connection):
    line = b""
    while not line.endswith(b"\n"):
        got = connection.recv(4096)
        if not got:
            raise RuntimeError(f"closed after {line!r}")
        line += got
    return line


def connect_to(port, tls):
    connection = socket.create_connection(("localhost", port), 30)
    if tls:
        connection = tls.wrap_socket(connection, server_hostname="localhost")
    read_line(connection)
    return connection


def open_smtp(port, tls=None):
    connection = connect_to(port, tls)
    connection.sendall(b"EHLO client.test\r\n")
    answer = b""
    while not re.search(rb"(?m)^250 .*\n", answer):
        answer += read_line(connection)
    return connection


def open_imap(port, tls=None):
    connection = connect_to(port, tls)
    connection.sendall(b"a CAPABILITY\r\n")
    answer = b""
    while b"a OK" not in answer:
        answer += read_line(connection)
    return connection


def measure(connect, name, count, with_tls):
    """In a server of its own: nothing is left over from another protocol."""
    with Sandbox({"idle": SNIPPET}) as box:
        edge = next(p for p, args in box.children().items()
                    if "--role=edge" in args)
        port, tls = box.port(name), box.tls() if with_tls else None
        held = [connect(port, tls) for _ in range(WARM_UP)]
        before = settled_kib(edge)
        held += [connect(port, tls) for _ in range(count)]
        after = settled_kib(edge)
        for connection in held:
            connection.close()
        until(lambda: re.search(r"^edge\.0 connections 0$",
                                box.ctl("status").stdout, re.M), "all ended")
        return before, after, settled_kib(edge)


KINDS = (("smtp", open_smtp, False), ("imap", open_imap, False),
         ("submissions", open_smtp, True), ("imaps", open_imap, True))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--connections", type=int, default=2000)
    parser.add_argument("--bar", type=float, default=24)
    parser.add_argument("--tls", action="store_true")
    options = parser.parse_args()
    wanted = options.connections + WARM_UP + 200
    resource.setrlimit(resource.RLIMIT_NOFILE,
                       (wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    worst = 0
    print(f"{options.connections} idle connections, KiB of edge")
    print(f"{'':12} {'before':>9} {'open':>9} {'closed':>9} {'each':>7}")
    for name, connect, tls in KINDS:
        if tls and not options.tls:
            continue
        before, after, closed = measure(connect, name, options.connections, tls)
        each = (after - before) / options.connections
        worst = worst if tls else max(worst, each)
        print(f"{name:12} {before:9} {after:9} {closed:9} {each:7.1f}",
              flush=True)
    kept = worst <= options.bar
    print(f"the bar is {options.bar:g}: {'kept' if kept else 'MISSED'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
