# SPDX-License-Identifier: Apache-2.0
"""A domain outside ASCII is one domain, however it is written: as U-labels or
A-labels, in any case and normal form, by clients, administrators and files."""
import base64
import os
import unittest

from remote import Remote
from sandbox import Dns, Sandbox, until
from smtp_wire import HELLO, Wire

OURS = ["bücher.example", "xn--bcher-kva.example", "BÜCHER.Example",
        "bu\u0308cher.example", "XN--BCHER-KVA.EXAMPLE.", "bücher。example",
        "ｂücher.example"]

ZONE = """
mx.plain.test A 127.0.0.2
xn--rel-sla.example MX 10 mx.plain.test
"""

CONF = """
domains = [ "example.test", "BÜCHER.example" ];
router_aliases: { };
router_virtual: { virtual_domains = [ "läden.example" ]; };
router_routes: { relay_domains = [ "relä.example", ".relä.example" ]; };
check_access: { rules = [ "deny sender @spämmer.test",
                          "deny sender @.xn--bses-5qa.test" ]; };
transport_smtp: { port = %(port)d; allow_loopback = true; };
"""


def message(sender):
    return (f"From: <{sender}>\r\nTo: <b@example.test>\r\nSubject: x\r\n"
            "Date: Mon, 23 Nov 2026 08:00:00 +0000\r\n\r\nhello\r\n").encode()


class Idn(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dns, cls.remote = Dns(ZONE), Remote()
        cls.addClassCleanup(cls.dns.close)
        cls.addClassCleanup(cls.remote.close)
        cls.box = Sandbox({"idn": CONF % {"port": cls.remote.port}},
                          dns=cls.dns.address)
        cls.addClassCleanup(cls.box.close)
        place = os.path.join(os.path.dirname(cls.box.env["PH_MAIL"]), "check")
        for name, text in (
                ("aliases", "team: jo@bücher.example\n"
                            "solo@BÜCHER.example: alice@example.test\n"),
                ("virtual", "info@läden.example jo@bücher.example\n"
                            "@xn--lden-loa.example alice@example.test\n")):
            with open(os.path.join(place, name), "w", encoding="utf-8") as out:
                out.write(text)
            os.chmod(os.path.join(place, name), 0o644)
        cls.box.ctl("user", "add", "jo@bücher.example", stdin="secret\n")

    def wire(self, sender="x@plain.test", utf8=True):
        wire = Wire(self.box, "smtp")
        self.addCleanup(wire.close)
        self.assertEqual(wire.codes(HELLO, 1), [250])
        wire.from_code = wire.codes(
            f"MAIL FROM:<{sender}>{' SMTPUTF8' * utf8}\r\n".encode(), 1)[0]
        return wire

    def rcpt(self, wire, address):
        return wire.codes(f"RCPT TO:<{address}>\r\n".encode(), 1)[0]

    def send(self, *to):
        wire = self.wire()
        for one in to:
            self.assertEqual(self.rcpt(wire, one), 250, one)
        self.assertEqual(wire.codes(b"DATA\r\n", 1), [354])
        self.assertEqual(wire.codes(message("x@plain.test") + b".\r\n", 1), [250])

    def count(self, user):
        client = self.box.imap(user=None)
        try:
            client.authenticate("PLAIN", lambda _: f"\0{user}\0secret".encode())
            return int(client.select("INBOX", readonly=True)[1][0])
        finally:
            client.logout()

    def test_a_mailbox_is_one_by_every_name(self):
        before = self.count("jo@xn--bcher-kva.example")
        for domain in OURS:
            self.send("jo@" + domain)
        self.send(*("jo@" + domain for domain in OURS))  # each once
        for user in ("jo@xn--bcher-kva.example", "jo@bücher.example"):
            until(lambda name=user: self.count(name) == before + len(OURS) + 1,
                  "a message by each name")
        wire = self.wire()
        for domain in OURS:
            self.assertEqual(self.rcpt(wire, "nobody@" + domain), 550, domain)
        # another domain that looks like it is not ours: "bucher", a Greek "e"
        for domain in ("bucher.example", "büch\u03b5r.example", "sub." + OURS[0]):
            self.assertEqual(self.rcpt(wire, "jo@" + domain), 550, domain)
        # the form asks for SMTPUTF8, not where it leads
        wire = self.wire(utf8=False)
        self.assertEqual(self.rcpt(wire, "jo@bücher.example"), 553)
        self.assertEqual(self.rcpt(wire, "jo@xn--bcher-kva.example"), 250)

    def test_what_no_domain_can_be_is_refused(self):
        wire = self.wire()
        for domain in ("bücher＠example", "a℀c.example", "☃.example",
                       "bücher..example", "-ü.example", "ü-.example",
                       "x\u202ey.example", "[１２７.0.0.1]", "ü" * 127,
                       ("ﷺ" * 20) + ".example", "xn--\u00fc.example"):
            self.assertIn(self.rcpt(wire, "jo@" + domain), (501, 550, 553), domain)
        self.assertEqual(self.rcpt(wire, "jo@bücher.example"), 250)

    def test_tables_mean_the_domain_however_it_is_written(self):
        wire = self.wire()
        for address in ("team@bücher.example", "team@xn--bcher-kva.example",
                        "solo@xn--bcher-kva.example", "info@xn--lden-loa.example",
                        "info@LÄDEN.example", "any@läden.example",
                        "x@xn--rel-sla.example", "x@RELÄ.example",
                        "x@sub.relä.example", "x@sub.xn--rel-sla.example"):
            self.assertEqual(self.rcpt(wire, address), 250, address)
        for address in ("x@rela.example", "solo@example.test"):
            self.assertEqual(self.rcpt(wire, address), 550, address)
        for sender in ("a@spämmer.test", "a@xn--spmmer-cua.test",
                       "a@SPÄMMER.test", "a@böses.test", "a@x.böses.test"):
            wire = self.wire(sender)
            self.assertTrue(wire.from_code == 550 or
                            self.rcpt(wire, "alice@example.test") == 550, sender)
        before = len(self.remote.messages)
        self.send("x@RELÄ.example", "x@xn--rel-sla.example")
        until(lambda: len(self.remote.messages) > before, "it is relayed")
        # both were one, and a server without SMTPUTF8 can take it
        self.assertEqual([str(one) for one in self.remote.messages[-1][1]],
                         ["RCPT TO:<x@xn--rel-sla.example>"])

    def test_a_user_sends_as_himself_by_every_name(self):
        for login in ("jo@bücher.example", "JO@xn--bcher-kva.example"):
            with self.box.submission(user=None) as client:
                client.ehlo("c.test")
                client.command_encoding = "utf-8"
                secret = base64.b64encode(f"\0{login}\0secret".encode()).decode()
                self.assertEqual(client.docmd("AUTH", "PLAIN " + secret)[0], 235)
                for domain in OURS[:4]:
                    code, said = client.docmd(
                        "MAIL", f"FROM:<jo+x@{domain}> SMTPUTF8")
                    self.assertEqual(code, 250, said)
                    self.assertEqual(client.docmd(
                        "RCPT", "TO:<alice@example.test>")[0], 250)
                    self.assertEqual(client.data(message("jo@" + OURS[0]))[0], 250)
                code, said = client.docmd("MAIL", "FROM:<jo@bucher.example>")
                self.assertEqual(code, 553, said)

    def test_the_queue_is_asked_by_either_name(self):
        self.box.ctl("queue", "suspend", "bänd.test")
        with self.box.submission() as client:
            client.ehlo("c.test")
            client.sendmail("alice@example.test", ["waits@BÄND.test"],
                            message("alice@example.test"), ["SMTPUTF8"])
        for domain in ("bänd.test", "xn--bnd-qla.test", "BÄND.test"):
            for option in ("--domain=", "--recipient=waits@"):
                self.assertIn("waits@", self.box.ctl(
                    "queue", "list", option + domain).stdout, option + domain)
        self.assertIn("0 of 1", self.box.ctl(
            "queue", "list", "--domain=band.test").stdout)


if __name__ == "__main__":
    unittest.main()
