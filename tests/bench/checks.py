#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the checks cost: posthouse with them against posthouse without, in one run.

    checks.py [--messages 2000] [--sessions 20] [--rounds 3] [--build DIR]
              [--cached] [--only CHECK...]

check_access, check_rbl (two lists), check_ptr_mx, check_sender_domain,
check_helo and check_recipient look at each message; rbldnsd on loopback answers
all their questions, the server without checks is the one that check_recipient
asks. Nothing that was found out about a client is kept, unless --cached is given:
all messages come from one address. Messages are those of deliver.py; median of
the rounds, which alternate. Needs the `bench` packages. Fails when less than
60 % of the rate is left.
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

WANTED = 0.60
ZONES = {
    "bl1.test": ("ip4set", ":127.0.0.2:listed\n192.0.2.0/24\n"),
    "bl2.test": ("ip4set", ":127.0.0.2:listed\n198.51.100.0/24\n"),
    "0.0.127.in-addr.arpa": ("generic", "9 TXT rbldnsd knows no PTR\n"),
    "outside.test": ("generic", "@ MX 10 mx.outside.test\nmx A 127.0.0.1\n"),
}
CHECKS = {
    "check_access": """rules = [ "deny client 192.0.2.1", "deny host .dyn.test",
        "deny helo evil.test", "deny sender @evil.test", "deny recipient nobody@" ];""",
    "check_rbl": 'exempt = [ ]; lists = [ "bl1.test", "bl2.test" ];',
    "check_ptr_mx": "exempt = [ ];",
    "check_sender_domain": "exempt = [ ];",
    "check_helo": "exempt = [ ];",
    "check_recipient": 'servers = [ "example.test 127.0.0.1:%d" ];',
}


class Rbldnsd:
    def __init__(self, folder):
        from ports import free_ports
        self.port = free_ports(1)[0]
        zones = []
        for name, (kind, text) in ZONES.items():
            with open(os.path.join(folder, name), "w") as out:
                out.write(text)
            zones.append(f"{name}:{kind}:{name}")
        os.chmod(folder, 0o755)
        user = ["-u", "nobody"] if os.getuid() == 0 else []
        self.process = subprocess.Popen(
            ["rbldnsd", "-n", "-q", *user, "-w", folder, "-b",
             f"127.0.0.1/{self.port}", *zones], stdout=subprocess.DEVNULL)

    def close(self):
        self.process.terminate()
        self.process.wait()


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--build")
    parser.add_argument("--cached", action="store_true")
    parser.add_argument("--only", nargs="+", choices=CHECKS, default=list(CHECKS))
    args = parser.parse_args()
    if args.build:
        os.environ["PH_BUILD"] = os.path.abspath(args.build)
    return args


def sections(args, next_server):
    cache = '"4M"' if args.cached else "0"
    text = f'dns: {{ timeout = "5s"; cache_bytes = {cache}; }};\n'
    for name in args.only:
        options = CHECKS[name] % next_server if "%d" in CHECKS[name] else CHECKS[name]
        if name == "check_rbl" and not args.cached:
            options += ' cache = "0s";'
        text += f"{name}: {{ {options} }};\n"
    return text


def measure(args, plain, checked):
    from deliver import count_files, measure as one
    rows = {"without": [], "with checks": []}
    for n in range(args.rounds + 1):
        for name, box in (("without", plain), ("with checks", checked)):
            row = one(name, box.port("smtp"),
                      lambda mail=box.env["PH_MAIL"]: count_files(mail),
                      [int(box.env["PH_PID"])], args.sessions,
                      args.messages if n else args.sessions * 5,
                      "u{:04d}@example.test")
            if n:
                rows[name].append(row)
    return rows


def main():
    args = arguments()
    from sandbox import Sandbox
    limits = {"limits": "limits: { connections_per_client = 0; };"}
    with tempfile.TemporaryDirectory() as folder, \
            Sandbox(limits, users=args.sessions) as plain:
        dns = Rbldnsd(folder)
        try:
            with Sandbox({**limits, "checks": sections(args, plain.port("smtp"))},
                         users=args.sessions,
                         dns=f"127.0.0.1:{dns.port}") as checked:
                rows = measure(args, plain, checked)
                failed = checked.log().count(" dns_")
        finally:
            dns.close()
    print(f"{args.messages} messages of 4 KiB, {args.sessions} sessions, one a "
          f"connection, median of {args.rounds} rounds: {' '.join(args.only)}")
    print(f"{'':20}{'messages/s':>12}{'CPU ms/message':>16}")
    for name, got in rows.items():
        print(f"{name:20}{statistics.median(r['rate'] for r in got):12.0f}"
              f"{statistics.median(r['cpu'] for r in got):16.2f}")
    ratios = [b["rate"] / a["rate"] for a, b in zip(*rows.values())]
    ratio = statistics.median(ratios)
    print(f"ratio {ratio:.2f}, wanted {WANTED:.2f}; of each round: "
          + " ".join(f"{r:.2f}" for r in ratios))
    cpu = statistics.median(a["cpu"] / b["cpu"] for a, b in zip(*rows.values()))
    print(f"by the server's own processor time: {cpu:.2f}")
    return 0 if ratio >= WANTED and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
