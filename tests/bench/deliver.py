#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Durable delivery compared: posthouse against Postfix + Dovecot, in one run.

    deliver.py [--messages 6000] [--sessions 20] [--rounds 3] [--build DIR]

4 KiB messages, one a connection, from 20 sessions (smtp_load.c) to 20 users; the clock stops when every message is a file in a Maildir. Prints a table
with messages a second and CPU milliseconds a message of the server's processes,
median of the rounds, which alternate. Needs root and the `bench` packages.
"""
import argparse
import atexit
import functools
import os
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))


def count_files(top):
    total = 0
    for folder, dirs, files in os.walk(top):
        if os.path.basename(folder) in ("new", "cur"):
            total += len(files)
            dirs.clear()
    return total


@functools.cache
def compiled(name):
    """A program of this folder, compiled once a run."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    program = os.path.join(folder.name, name)
    subprocess.run(["cc", "-O2", "-D_GNU_SOURCE", "-o", program,
                    os.path.join(HERE, name + ".c")], check=True)
    return program


def measure(name, port, count, roots, sessions, messages, to):
    """From the first message sent until count() has grown by all of them."""
    from usage import tree
    each = messages // sessions
    wanted = each * sessions
    command = [compiled("smtp_load"), str(port), str(each),
               *(to.format(n + 1) for n in range(sessions))]
    before, cpu = count(), tree(roots)
    start = time.monotonic()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    sent = time.monotonic() - start
    end = time.monotonic() + 300
    while count() - before < wanted and time.monotonic() < end:
        time.sleep(0.02)
    took = time.monotonic() - start
    got = count() - before
    used = tree(roots) - cpu
    if done.returncode or got != wanted:
        print(f"{name}: {done.stdout.strip()} failed, {got} of {wanted} arrived")
    return dict(rate=got / took, cpu=1000 * used / max(got, 1), sent=sent,
                took=took)


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=6000)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--build")
    args = parser.parse_args()
    if args.build:
        os.environ["PH_BUILD"] = os.path.abspath(args.build)
    return args


def report(rows, args):
    print(f"{args.messages} messages of 4 KiB, {args.sessions} sessions, one a "
          f"connection, median of {args.rounds} rounds")
    print(f"{'':20}{'messages/s':>12}{'CPU ms/message':>16}")
    median = []
    for name, got in rows.items():
        median.append((statistics.median(r["rate"] for r in got),
                       statistics.median(r["cpu"] for r in got)))
        print("{:20}{:12.0f}{:16.2f}".format(name, *median[-1]))
    a, b = median
    print(f"{'ratio':20}{a[0] / b[0]:11.2f}x{b[1] / max(a[1], 1e-9):15.2f}x")


def main():
    args = arguments()
    from rival import Rival
    from sandbox import Sandbox
    users = [f"u{n + 1:04d}" for n in range(args.sessions)]
    rows = {"posthouse": [], "Postfix + Dovecot": []}
    with Sandbox({"limits": "limits: { connections_per_client = 0; };"},
                 users=args.sessions) as ours:
        rival = Rival(users, ours.dir + "/tls/cert.pem", ours.dir + "/tls/key.pem")
        try:
            for n in range(args.rounds + 1):
                for name, port, mail, roots in (
                        ("posthouse", ours.port("smtp"), ours.env["PH_MAIL"],
                         [int(ours.env["PH_PID"])]),
                        ("Postfix + Dovecot", rival.ports["smtp"], rival.mail,
                         rival.roots())):
                    row = measure(name, port, lambda: count_files(mail), roots,
                                  args.sessions,
                                  args.messages if n else args.sessions * 5,
                                  "u{:04d}@example.test")
                    if n:
                        rows[name].append(row)
        finally:
            rival.close()
    report(rows, args)


if __name__ == "__main__":
    main()
