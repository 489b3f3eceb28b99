#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a receiver gets is what was accepted, behind trace fields, octet for
octet: random content by SMTP, LMTP, a program and a mailbox. PH_BYTES_SEED
repeats a run, PH_BYTES_MESSAGES makes it longer.
"""
import os
import random
import re
import shutil
import tempfile
import unittest

from remote import Remote
from sandbox import Dns, Sandbox, Smtp, until

SEED = int(os.environ.get("PH_BYTES_SEED", str(random.randrange(1 << 30))))
MESSAGES = int(os.environ.get("PH_BYTES_MESSAGES", "12"))  # of each form
TRACE = re.compile(rb"(?:(?:Received|Return-Path|Delivered-To):[^\r\n]*\r\n"
                   rb"(?:[ \t][^\r\n]*\r\n)*)+\Z")
TO = ("bob@example.test", "x@far.test", "x@old.test", "x@lmtp.test", "x@tool.test")
ODD_LINES = (b"", b".", b"..", b".x", b"...", b"From x", b">From x", b" ", b"\t.",
             b"x" * 998, b".RSET", b"QUIT", b"\x1a", b"a" + b" " * 60)


def line(chance):
    """Anything but the ends of lines."""
    if chance.random() < 0.4:
        return chance.choice(ODD_LINES)
    octets = bytes(b for b in range(256) if b not in b"\r\n")
    return bytes(chance.choices(octets, k=chance.choice((1, 70, 78, 300, 998))))


def lines(chance):
    return b"".join(line(chance) + b"\r\n"
                    for _ in range(chance.choice((1, 5, 40, 900))))


def binary(chance):
    """Anything at all, ends of data among it, whole or in parts."""
    parts = [chance.choice((b"\r\n.\r\n", b"\n.\n", b"\r.\r", b"\r", b"\n", b"\0",
                            b"\r\n.", b"\r\n\r\n", chance.randbytes(70)))
             for _ in range(chance.choice((1, 30, 4000)))]
    return b"".join(parts)


class ExactBytes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.mkdtemp(prefix="posthouse-bytes-")
        cls.addClassCleanup(shutil.rmtree, folder)
        os.chmod(folder, 0o755)
        modern = ["PIPELINING", "8BITMIME", "CHUNKING", "BINARYMIME"]
        cls.far = Remote(offer=modern)
        cls.old = Remote("127.0.0.3", cls.far.port, offer=["8BITMIME"])
        cls.lmtp = Remote(path=folder + "/s", offer=modern)
        os.chmod(folder + "/s", 0o666)
        for remote in (cls.far, cls.old, cls.lmtp):
            cls.addClassCleanup(remote.close)
        dns = Dns("far.test A 127.0.0.2\nold.test A 127.0.0.3\n")
        cls.addClassCleanup(dns.close)
        cls.box = Sandbox({"receivers": (
            'relay_networks = [ "127.0.0.0/8" ];'
            f"transport_smtp: {{ port = {cls.far.port}; allow_loopback = true; }};"
            f'there: {{ module = "transport_lmtp"; order = 200; '
            f'socket = "{folder}/s"; }};'
            'tool: { module = "transport_pipe"; order = 201; command = [ "/bin/sh",'
            ' "-c", "cat > $0/$QUEUE_ID.part && mv $0/$QUEUE_ID.part $0/$QUEUE_ID",'
            ' "@TOOL@" ]; };'
            'router_routes: { enabled = true; routes = [ "lmtp.test there", '
            '"tool.test tool" ]; };')}, dns=dns.address, start=False)
        cls.addClassCleanup(cls.box.close)
        cls.start()

    @classmethod
    def start(cls):
        """The program may write to the relay role's folder alone."""
        cls.box.run("start", *cls.box.args)
        cls.tool = os.path.join(os.path.dirname(cls.box.env["PH_MAIL"]), "relay")
        path = os.path.join(cls.box.dir, "conf.d", "90-receivers.conf")
        with open(path) as conf:
            text = conf.read().replace("@TOOL@", cls.tool)
        with open(path, "w") as conf:
            conf.write(text)
        cls.box.ctl("reload")

    def client(self):
        client = Smtp("127.0.0.1", self.box.port("smtp"))
        self.addCleanup(client.close)
        client.ehlo("sender.test")
        return client

    def envelope(self, client, to, *options):
        self.assertEqual(client.mail("a@outside.test", options)[0], 250)
        for one in to:
            self.assertEqual(client.rcpt(one)[0], 250, one)

    def by_data(self, text, to):
        client = self.client()
        self.envelope(client, to, "BODY=8BITMIME")
        self.assertEqual(client.docmd("DATA")[0], 354)
        client.send(re.sub(rb"(?m)^\.", b"..", text) + b".\r\n")
        self.took(client)

    def by_chunks(self, chance, text, to, body):
        client = self.client()
        self.envelope(client, to, "BODY=" + body)
        cuts = sorted(chance.randrange(len(text) + 1) for _ in range(3))
        for start, end in zip([0] + cuts, cuts):
            client.send(b"BDAT %d\r\n" % (end - start) + text[start:end])
            self.assertEqual(client.getreply()[0], 250)
        client.send(b"BDAT %d LAST\r\n" % (len(text) - cuts[-1]) + text[cuts[-1]:])
        self.took(client)

    def took(self, client):
        code, reply = client.getreply()
        self.assertEqual(code, 250, reply)
        self.queue = reply.decode().split()[-1]
        client.quit()

    def taken_by(self, to):
        """The content that one receiver got of the last message; None: not yet."""
        def whole(path):
            with open(path, "rb") as f:
                return f.read()
        user, domain = to.split("@")
        if domain == "tool.test":
            path = os.path.join(self.tool, self.queue)
            return whole(path) if os.path.exists(path) else None
        if domain == "example.test":
            for at, _, names in os.walk(self.box.env["PH_MAIL"]):
                for name in names:
                    if os.path.basename(at) in ("new", "cur"):
                        got = whole(os.path.join(at, name))
                        if self.mark in got:
                            return got
            return None
        remote = {"far.test": self.far, "old.test": self.old,
                  "lmtp.test": self.lmtp}[domain]
        for _, recipients, content in list(remote.messages):
            if to in recipients[0] and self.mark in content:
                return content
        return None

    def arrives(self, text, to, what):
        for one in to:
            got = until(lambda: self.taken_by(one), f"{what} for {one}")
            self.assertEqual(got[-len(text):][-60:], text[-60:], (what, one))
            self.assertTrue(got.endswith(text), (what, one))
            self.assertRegex(got[:-len(text)], TRACE, (what, one))

    def each(self, make, send):
        for n in range(MESSAGES):
            what = f"seed {SEED}, message {n}"
            chance = random.Random(f"{SEED} {make.__name__} {n}")
            self.mark = f"\r\nSubject: {self.id()} {n}\r\n".encode()
            text = b"From: <a@outside.test>" + self.mark + \
                b"Content-Type: application/octet-stream\r\n\r\n" + make(chance)
            send(chance, text, what)

    def test_lines_by_data(self):
        def send(chance, text, what):
            self.by_data(text, TO)
            self.arrives(text, TO, what)
        self.each(lines, send)

    def test_lines_by_chunks(self):
        """What is not declared binary consists of lines, so the last one is
        ended; that is all that is ever added."""
        def send(chance, text, what):
            if chance.random() < 0.5:
                text = text[:-2]
            self.by_chunks(chance, text, TO, "8BITMIME")
            ended = text.endswith(b"\r\n")
            self.arrives(text if ended else text + b"\r\n", TO, what)
        self.each(lines, send)

    def test_binary_by_chunks(self):
        to = [one for one in TO if not one.endswith("old.test")]

        def send(chance, text, what):
            self.by_chunks(chance, text, to, "BINARYMIME")
            self.arrives(text, to, what)
        self.each(binary, send)


if __name__ == "__main__":
    unittest.main()
