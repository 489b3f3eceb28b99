#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A real DNS server on loopback (UDP and TCP) that answers from a small zone.

    dns_server.py PORT ZONEFILE     PORT 0: any; prints the port on one line

Zone lines:  NAME TYPE VALUE...   with TYPE one of A AAAA MX TXT PTR CNAME, or
NAME RCODE SERVFAIL|NXDOMAIN|TIMEOUT, NAME TRUNCATE yes (UDP answers get TC),
NAME TTL SECONDS (of its answers, else 300),
NAME SOA SECONDS (what is not at or below the name is not for so long),
NAME DELAY MILLISECONDS (each answer about the name comes that late; * as the
name: every answer).
A name that no line has is NXDOMAIN; one without the type asked for is empty.
The file is read again when it changes.
"""
import os
import socketserver
import struct
import sys
import threading
import time

from dnslib import (A, AAAA, CNAME, DNSRecord, MX, PTR, QTYPE, RCODE, RR, SOA, TXT)

MAKE = {
    "A": A, "AAAA": AAAA, "PTR": PTR, "CNAME": CNAME,
    "MX": lambda text: MX(text.split()[1], int(text.split()[0])),
    # as strings of 200 octets, of which a record may have several
    "TXT": lambda text: TXT([text[i:i + 200].encode()
                             for i in range(0, len(text), 200)]),
}


class Zone:
    def __init__(self, path):
        self.path, self.stamp, self.rows = path, None, {}

    def names(self):
        stamp = os.stat(self.path).st_mtime_ns
        if stamp != self.stamp:
            rows = {}
            for line in open(self.path, encoding="utf-8"):
                words = line.split("#")[0].split(None, 2)
                if len(words) == 3:
                    name, kind, value = words
                    rows.setdefault(name.lower().rstrip("."), []).append(
                        (kind, value.strip()))
            self.rows, self.stamp = rows, stamp
        return self.rows

    def add_authority(self, reply, name):
        while name:
            for kind, value in self.names().get(name, ()):
                if kind == "SOA":
                    reply.add_auth(RR(name, QTYPE.SOA, ttl=3600, rdata=SOA(
                        "ns." + name, "hostmaster." + name, (1, 3600, 600, 86400, int(value)))))
                    return
            name = name.partition(".")[2]

    def answer(self, query, udp):
        request = DNSRecord.parse(query)
        reply = request.reply()
        name = str(request.q.qname).lower().rstrip(".")
        kind = QTYPE.get(request.q.qtype, "?")
        for late in ("*", name):
            for row_kind, value in self.names().get(late, ()):
                if row_kind == "DELAY":
                    time.sleep(int(value) / 1000)
        for _ in range(12):
            rows = self.names().get(name)
            if rows is None:
                reply.header.rcode = RCODE.NXDOMAIN
                break
            control = dict(r for r in rows if r[0] in ("RCODE", "TRUNCATE"))
            if control.get("RCODE") == "TIMEOUT":
                return None
            if "RCODE" in control:
                reply.header.rcode = getattr(RCODE, control["RCODE"])
                break
            if udp and "TRUNCATE" in control:
                reply.header.tc = 1
                break
            ttl = next((int(v) for k, v in rows if k == "TTL"), 300)
            found = [v for k, v in rows if k == kind]
            for value in found:
                reply.add_answer(RR(name, getattr(QTYPE, kind),
                                    rdata=MAKE[kind](value), ttl=ttl))
            alias = [v for k, v in rows if k == "CNAME"]
            if found or not alias or kind == "CNAME":
                break
            reply.add_answer(RR(name, QTYPE.CNAME, rdata=CNAME(alias[0]), ttl=ttl))
            name = alias[0].lower().rstrip(".")
        if not reply.rr:
            self.add_authority(reply, name)
        packed = reply.pack()
        if udp and len(packed) > 512:
            short = request.reply()
            short.header.tc = 1
            packed = short.pack()
        return packed


class Udp(socketserver.BaseRequestHandler):
    def handle(self):
        data, sock = self.request
        answer = self.server.zone.answer(data, True)
        if answer is not None:
            sock.sendto(answer, self.client_address)


class Tcp(socketserver.StreamRequestHandler):
    def handle(self):
        while True:
            head = self.rfile.read(2)
            if len(head) < 2:
                return
            query = self.rfile.read(struct.unpack("!H", head)[0])
            answer = self.server.zone.answer(query, False)
            if answer is None:
                return
            self.wfile.write(struct.pack("!H", len(answer)) + answer)


class TcpServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def serve(port, path):
    zone = Zone(path)
    while True:
        tcp = TcpServer(("127.0.0.1", port), Tcp)
        try:
            udp = socketserver.ThreadingUDPServer(tcp.server_address, Udp)
            break
        except OSError:
            tcp.server_close()
            if port:
                raise
    tcp.zone = udp.zone = zone
    for server in (tcp, udp):
        threading.Thread(target=server.serve_forever, daemon=True).start()
    return tcp.server_address[1]


if __name__ == "__main__":
    print(serve(int(sys.argv[1]), sys.argv[2]), flush=True)
    threading.Event().wait()
