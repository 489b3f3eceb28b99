#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Durable relay compared: posthouse against Postfix, in one run.

    relay.py [--messages 6000] [--sessions 20] [--rounds 3] [--build DIR]

4 KiB messages, one a connection, from 20 sessions (smtp_load.c), taken by SMTP,
queued, and sent to another server (smtp_sink.c, one for each side); both may send
it 20 at once and keep connections, Postfix as it does by default. The clock stops when the sink has them all. Prints a table with messages
a second and CPU milliseconds a message of the server's processes, median of the
rounds, which alternate. Needs root and the `bench` packages. On a machine that
has other work to do the rates say little; `chrt -r 1 relay.py` puts both sides
before it.
"""
import os
import subprocess
import sys

from deliver import arguments, compiled, measure, report

POSTHOUSE = """
limits: {{ connections_per_client = 0; }};
relay_networks = [ "127.0.0.0/8" ];
queue: {{ destination_concurrency = 20; }};
transport_smtp: {{ relay_host = "[127.0.0.1]"; port = {port}; allow_loopback = true; }};
"""


class Sink:
    """smtp_sink.c, which counts in a file."""

    def __init__(self, folder, name, port, address="127.0.0.1"):
        self.path = os.path.join(folder, name)
        self.process = subprocess.Popen(
            [compiled("smtp_sink"), address, str(port), self.path])

    def count(self):
        try:
            with open(self.path, "rb") as f:
                return int.from_bytes(f.read(), sys.byteorder)
        except FileNotFoundError:
            return 0

    def close(self):
        self.process.terminate()
        self.process.wait()


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
