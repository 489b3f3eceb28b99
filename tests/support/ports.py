#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Ports on loopback for servers that must be told theirs.

    ports.py COUNT      print that many, of this moment

They lie below what the kernel gives to clients, so that no connection takes one
between its choice and its use. Who asks from Python has them until it ends: the
block they are of has a name in the abstract namespace, which others can't take.
"""
import errno
import os
import socket
import sys

LOW, BLOCK = 10000, 10
names, left = [], []


def top():
    """Where the kernel's own choices begin."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as both:
        low = int(both.read().split()[0])
    return low if low > LOW + 2000 else 32000


def can_bind(family, address):
    """The socket, or None when it is taken; what is not here is not taken."""
    s = socket.socket(family)
    try:
        s.bind(address)
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            s.close()
            return None
    return s


def is_free(port):
    for family, address in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::1")):
        try:
            s = can_bind(family, (address, port))
        except OSError:
            continue  # no such family
        if s is None:
            return False
        s.close()
    return True


def take_block():
    blocks = (top() - LOW) // BLOCK
    begin = os.getpid() % blocks  # apart from others that begin now
    for n in range(blocks):
        start = LOW + (begin + n) % blocks * BLOCK
        name = can_bind(socket.AF_UNIX, f"\0posthouse-test-ports-{start}")
        if name is not None:
            names.append(name)
            left.extend(range(start, start + BLOCK))
            return
    raise RuntimeError("other tests have all ports")


def free_ports(count):
    """Count ports that are free on every address of this machine."""
    found = []
    while len(found) < count:
        if not left:
            take_block()
        port = left.pop(0)
        if is_free(port):
            found.append(port)
    return found


if __name__ == "__main__":
    print(*free_ports(int(sys.argv[1])))
