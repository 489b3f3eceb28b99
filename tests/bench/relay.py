#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Durable relay compared: posthouse against Postfix, in one run.

    relay.py [--messages 2000] [--sessions 20] [--rounds 3] [--build DIR]

4 KiB messages, one a connection, from 20 sessions (Postfix's smtp-source), taken
by SMTP, queued, and sent to another server (Postfix's smtp-sink, one for each
side); both may send it 20 at once and keep connections, Postfix as it does by
default. The clock stops when the sink has them all. Prints a table with messages
a second and CPU milliseconds a message of the server's processes, median of the
rounds, which alternate. Needs root and the `bench` packages. On a machine that
has other work to do the rates say little; `chrt -r 1 relay.py` puts both sides
before it.
"""
import os
import re
import subprocess

from deliver import arguments, measure, report

POSTHOUSE = """
limits: {{ connections_per_client = 0; }};
relay_networks = [ "127.0.0.0/8" ];
queue: {{ destination_concurrency = 20; }};
transport_smtp: {{ relay_host = "[127.0.0.1]"; port = {port}; allow_loopback = true; }};
"""


class Sink:
    """smtp-sink, whose running counters go to a file."""

    def __init__(self, folder, name, port, address="127.0.0.1"):
        self.path = os.path.join(folder, name)
        self.port = port
        self.out = open(self.path, "wb")
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        self.process = subprocess.Popen(
            ["smtp-sink", "-c", *user, f"inet:{address}:{port}", "1000"],
            stdout=self.out)

    def count(self):
        with open(self.path, "rb") as f:
            f.seek(max(0, os.path.getsize(self.path) - 200))
            found = re.findall(rb"mesg=(\d+)", f.read())
        return int(found[-1]) if found else 0

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.out.close()


def main():
    args = arguments()
    from ports import free_ports
    from rival import Rival
    from sandbox import Sandbox
    ports = free_ports(2)
    rows = {"posthouse": [], "Postfix": []}
    with Sandbox({"relay": POSTHOUSE.format(port=ports[0])}) as ours:
        sinks = [Sink(ours.dir, f"sink{n}", ports[n]) for n in range(2)]
        rival = Rival([], ours.dir + "/tls/cert.pem", ours.dir + "/tls/key.pem",
                      relay=ports[1])
        try:
            for n in range(args.rounds + 1):
                for name, port, sink, roots in (
                        ("posthouse", ours.port("smtp"), sinks[0],
                         [int(ours.env["PH_PID"])]),
                        ("Postfix", rival.ports["smtp"], sinks[1],
                         [rival.postfix.pid])):
                    row = measure(name, port, sink.count, roots, args.sessions,
                                  args.messages if n else args.sessions * 5,
                                  "someone{}@far.test")
                    if n:
                        rows[name].append(row)
        finally:
            rival.close()
            for sink in sinks:
                sink.close()
    report(rows, args)


if __name__ == "__main__":
    main()
