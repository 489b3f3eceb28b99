#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Submission compared: posthouse against Postfix with Dovecot SASL, in one run.

    submission.py [--messages 600] [--sessions 20] [--rounds 3] [--build DIR]

Implicit TLS, AUTH PLAIN, a new connection without resumption for each message
of 4 KiB, from submit_load.c. "accepted" is the rate of replies 250 to the end of
data, "CPU" the milliseconds of the server's processes a message until all are
in their Maildirs. Both sides check the same SHA-256 crypt hash of --rounds-of-crypt
rounds; median of the rounds, which alternate. Needs root and the `bench`
packages. Fails when posthouse accepts less than 3 times as much.
"""
import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
sys.path.insert(0, HERE)


def measure(name, program, port, mail, roots, args, messages):
    from deliver import count_files
    from usage import tree
    wanted = messages // args.sessions * args.sessions
    before, cpu = count_files(mail), tree(roots)
    done = subprocess.run([program, str(port), str(args.sessions),
                           str(messages // args.sessions), str(args.sessions)],
                          stdout=subprocess.PIPE, text=True)
    sent = float(done.stdout.split()[0])
    end = time.monotonic() + 300
    while count_files(mail) - before < wanted and time.monotonic() < end:
        time.sleep(0.05)
    got = count_files(mail) - before
    if done.returncode or got != wanted:
        print(f"{name}: {done.stdout.split()[1]} failed, {got} of {wanted} arrived")
    return dict(rate=wanted / sent, cpu=1000 * (tree(roots) - cpu) / max(got, 1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=600)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--build")
    args = parser.parse_args()
    if args.build:
        os.environ["PH_BUILD"] = os.path.abspath(args.build)
    from rival import Rival
    from sandbox import Sandbox
    users = [f"u{n + 1:04d}" for n in range(args.sessions)]
    rows = {"posthouse": [], "Postfix + Dovecot": []}
    with tempfile.TemporaryDirectory() as folder, Sandbox(
            {"limits": "limits: { connections_per_client = 0; };"},
            users=args.sessions) as ours:
        program = os.path.join(folder, "submit_load")
        subprocess.run(["cc", "-O2", "-o", program,
                        os.path.join(HERE, "submit_load.c"), "-lssl", "-lcrypto",
                        "-pthread"], check=True)
        rival = Rival(users, ours.dir + "/tls/cert.pem", ours.dir + "/tls/key.pem")
        try:
            rival.wait_for_port(rival.ports["submissions"])
            for n in range(args.rounds + 1):
                for name, port, mail, roots in (
                        ("posthouse", ours.port("submissions"),
                         ours.env["PH_MAIL"], [int(ours.env["PH_PID"])]),
                        ("Postfix + Dovecot", rival.ports["submissions"],
                         rival.mail, rival.roots())):
                    row = measure(name, program, port, mail, roots, args,
                                  args.messages if n else args.sessions * 5)
                    if n:
                        rows[name].append(row)
        finally:
            rival.close()
    print(f"{args.messages} messages of 4 KiB over TLS with AUTH PLAIN, "
          f"{args.sessions} sessions, one a connection, median of "
          f"{args.rounds} rounds")
    print(f"{'':20}{'accepted/s':>12}{'CPU ms/message':>16}")
    median = {}
    for name, got in rows.items():
        median[name] = (statistics.median(r["rate"] for r in got),
                        statistics.median(r["cpu"] for r in got))
        print(f"{name:20}{median[name][0]:12.0f}{median[name][1]:16.2f}")
    a, b = median["posthouse"], median["Postfix + Dovecot"]
    print(f"{'ratio':20}{a[0] / b[0]:11.2f}x{b[1] / max(a[1], 1e-9):15.2f}x")
    return 0 if a[0] >= 3 * b[0] else 1


if __name__ == "__main__":
    sys.exit(main())
