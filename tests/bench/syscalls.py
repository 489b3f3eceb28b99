#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""System calls and fsyncs a message, over all processes, accept to mailbox.

    syscalls.py [--messages 1000] [--per-session 10] [--sessions 1] [--build DIR]
                [--checks [--cached]]

Attaches strace -f -c to every process of a sandbox, sends 4 KiB messages to the
inbound port with smtp-source-like sessions, waits for the mailboxes, detaches.
With --checks those of checks.py look at each message.
"""
import argparse
import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))

MESSAGE = (b"From: <x@outside.test>\r\nSubject: count\r\n\r\n" +
           b"".join(b"%070d\r\n" % n for n in range(56)))


def send(connect, messages, per_session, first_user):
    done = 0
    while done < messages:
        client = connect()
        client.ehlo("outside.test")
        for _ in range(min(per_session, messages - done)):
            done += 1
            client.sendmail("x@outside.test",
                            [f"u{first_user + done % 10 + 1:04d}@example.test"],
                            MESSAGE)
        client.quit()


def count_files(top):
    return sum(len(files) for folder, _, files in os.walk(top)
               if os.path.basename(folder) in ("new", "cur"))


def sandbox(args, stack):
    """The server that is looked at, and with --checks what its checks ask."""
    from sandbox import Sandbox
    limits = {"limits": "limits: { connections_per_client = 0; };"}
    users = 10 * args.sessions
    if not args.checks:
        return stack.enter_context(Sandbox(limits, users=users))
    import checks
    args.only = list(checks.CHECKS)
    dns = checks.Rbldnsd(stack.enter_context(tempfile.TemporaryDirectory()))
    stack.callback(dns.close)
    plain = stack.enter_context(Sandbox(limits, users=users))
    text = checks.sections(args, plain.port("smtp"))
    return stack.enter_context(Sandbox({**limits, "checks": text}, users=users,
                                       dns=f"127.0.0.1:{dns.port}"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=1000)
    parser.add_argument("--per-session", type=int, default=10)
    parser.add_argument("--sessions", type=int, default=1)
    parser.add_argument("--build")
    parser.add_argument("--checks", action="store_true")
    parser.add_argument("--cached", action="store_true", help="as checks.py has it")
    args = parser.parse_args()
    if args.build:
        os.environ["PH_BUILD"] = os.path.abspath(args.build)
    from sandbox import Smtp, until
    with contextlib.ExitStack() as stack:
        box = sandbox(args, stack)

        def connect():
            return Smtp("127.0.0.1", box.port("smtp"))
        send(connect, 20, 10, 0)
        until(lambda: count_files(box.env["PH_MAIL"]) == 20, "warm-up")
        processes = {int(box.env["PH_PID"]): "master"}
        for pid, line in box.children().items():
            role = re.search(r"--role=(\w+)", line)
            processes[pid] = role.group(1) if role else line
        traces = []
        for pid, name in processes.items():
            out = tempfile.NamedTemporaryFile("r", prefix="strace-")
            traces.append((name, out, subprocess.Popen(
                ["strace", "-f", "-c", "-o", out.name, "-p", str(pid)],
                stderr=subprocess.DEVNULL)))
        time.sleep(2)
        share = args.messages // args.sessions
        threads = [threading.Thread(target=send, args=(connect, share,
                                                       args.per_session, 10 * n))
                   for n in range(args.sessions)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        wanted = 20 + share * args.sessions
        until(lambda: count_files(box.env["PH_MAIL"]) == wanted, "all delivered", 120)
        time.sleep(1)
        total, syncs, calls = 0, 0, {}
        for name, out, process in traces:
            process.send_signal(signal.SIGINT)
            process.wait()
            for line in open(out.name):
                row = re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$",
                               line)
                if row and row.group(2) != "total":
                    n = int(row.group(1))
                    total += n
                    calls[(name, row.group(2))] = calls.get((name, row.group(2)), 0) + n
                    if row.group(2) in ("fsync", "fdatasync", "syncfs"):
                        syncs += n
    count = share * args.sessions
    for (name, call), n in sorted(calls.items(), key=lambda item: -item[1]):
        if n / count >= 0.05:
            print(f"{name:8} {call:18} {n / count:7.2f}")
    print(f"{count} messages, {args.sessions} sessions at once, {args.per_session} "
          f"a session: {total / count:.1f} system calls and {syncs / count:.2f} "
          "fsyncs a message")


if __name__ == "__main__":
    main()
