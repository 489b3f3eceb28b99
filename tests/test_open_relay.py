# SPDX-License-Identifier: Apache-2.0
"""The address forms of an open relay, at each listener, as each kind of client,
with each check and each router on and off: no module opens what is closed."""
import base64
import os
import unittest

from remote import Remote
from sandbox import Dns, Sandbox
from smtp_wire import HELLO, RELAY_FORMS, Wire, check_relay_forms

STRANGER, NEIGHBOUR = "127.0.0.9", "127.0.0.7"
SENDER = b"x@plain.test"
OWN = b"alice@example.test"

ZONE = """
example.test MX 10 mx.plain.test
plain.test A 127.0.0.2
plain.test MX 10 mx.plain.test
mx.plain.test A 127.0.0.9
elsewhere.test A 127.0.0.2
c.test A 127.0.0.9
9.0.0.127.in-addr.arpa PTR mx.plain.test
9.0.0.127.good.test A 127.0.0.2
"""

BASE = f"""
domains = [ "example.test", "bücher.test" ];
relay_networks = [ "{NEIGHBOUR}" ];
processes: {{ edge = 1; check = 1; }};
smtp_inbound: {{ max_errors = 5000; auth = true; }};
smtp_submission: {{ max_errors = 5000; }};
"""

# Each as inviting as it can be made.
MODULES = {
    "check_access": """check_access: { rules = [ "allow client 127.0.0.9",
        "allow sender x@plain.test", "allow recipient @elsewhere.test",
        "allow recipient @example.test" ]; };""",
    "check_greylist": f"""check_greylist: {{ exempt = [ "{NEIGHBOUR}" ];
        delay = "1h"; }};""",
    "check_helo": "check_helo: { exempt = [ ]; };",
    "check_ptr_mx": "check_ptr_mx: { exempt = [ ]; };",
    "check_rate": """check_rate: { exempt = [ ];
        limits = [ "recipients per client 100000/1h" ]; };""",
    "check_rbl": """check_rbl: { exempt = [ ];
        lists = [ "good.test action=accept" ]; };""",
    "check_recipient": """check_recipient: { unsure = "pass"; servers = [
        "elsewhere.test 127.0.0.2:PORT", "example.test 127.0.0.2:PORT" ]; };""",
    "check_sender_domain": "check_sender_domain: { exempt = [ ]; };",
    "router_aliases": "router_aliases: { };",
    "router_routes": """router_routes: { relay_domains = [ "third.test" ];
        routes = [ "elsewhere.test transport_smtp [127.0.0.2]" ]; };""",
    "router_virtual": "router_virtual: { };",
}
ALIASES = "team: alice\nvictim: bob\nfar: victim@elsewhere.test\n"
VIRTUAL = "far@old.test victim@elsewhere.test\n@all.test alice@example.test\n"

# Through a domain that a router makes ours.
MORE = {"router_routes": "third.test", "router_virtual": "all.test"}
DOORS = ("victim%%elsewhere.test@%s", "elsewhere.test!victim@%s",
         '"victim@elsewhere.test"@%s', "@%s:elsewhere.test!victim@example.test")


# A domain of ours outside ASCII, under each of its names.
IDN_DOORS = [door % name for name in ("bücher.test", "xn--bcher-kva.test",
                                      "BÜCHER。TEST.", "bu\u0308cher.test")
             for door in DOORS[:3] + ("nobody@%s", "victim@%s＠elsewhere.test")]


class OpenRelay(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dns, cls.remote = Dns(ZONE), Remote()
        cls.box = Sandbox({"base": BASE}, dns=cls.dns.address)
        place = os.path.join(os.path.dirname(cls.box.env["PH_MAIL"]), "check")
        for name, text in (("aliases", ALIASES), ("virtual", VIRTUAL)):
            with open(os.path.join(place, name), "w") as out:
                out.write(text)
            os.chmod(os.path.join(place, name), 0o644)

    @classmethod
    def tearDownClass(cls):
        cls.box.close()
        cls.remote.close()
        cls.dns.close()

    def wire(self, port="smtp", source=STRANGER, login=False):
        wire = Wire(self.box, port, source=source)
        self.addCleanup(wire.close)
        if login:
            wire.codes(HELLO + b"STARTTLS\r\n", 2)
            wire.tls(self.box.tls())
            secret = base64.b64encode(b"\0alice\0secret")
            self.assertEqual(wire.codes(HELLO + b"AUTH PLAIN " + secret +
                                        b"\r\n", 2), [250, 235])
        return wire

    def battery(self, *modules):
        """At a server with these modules and no others."""
        more = IDN_DOORS + [door % MORE[name] for name in modules
                            if name in MORE for door in DOORS]
        self.box.snippet("95-modules", "\n".join(
            MODULES[name].replace("PORT", str(self.remote.port))
            for name in modules))
        self.box.ctl("reload")
        wire = self.wire()
        wire.codes(HELLO + b"MAIL FROM:<x@plain.test>\r\n", 2)
        for name in set(MORE) & set(modules):  # they are at work
            self.assertIn(wire.codes(b"RCPT TO:<x@%s>\r\n" % MORE[name].encode(),
                                     1)[0], (250, 451), name)
        check_relay_forms(self, self.wire(), more=more, sender=SENDER)
        for port, source, login in (("smtp", NEIGHBOUR, False),
                                    ("smtp", STRANGER, True),
                                    ("submission", STRANGER, True)):
            check_relay_forms(self, self.wire(port, source, login),
                              trusted=True, more=more, sender=OWN)
        wire = self.wire("submission")
        self.assertEqual(wire.codes(HELLO + b"MAIL FROM:<>\r\n", 2), [250, 530])
        for form, _ in RELAY_FORMS:
            self.assertEqual(wire.codes(b"RCPT TO:<" + form.encode() + b">\r\n",
                                        1), [503], form)

    def test_with_no_module(self):
        self.battery()

    def test_with_each_module(self):
        for name in MODULES:
            with self.subTest(name):
                self.battery(name)

    def test_with_all_modules_but_one(self):
        for name in MODULES:
            with self.subTest(name):
                self.battery(*(m for m in MODULES if m != name))

    def test_with_all_modules(self):
        self.battery(*MODULES)
        self.assertEqual(self.remote.messages, [])


if __name__ == "__main__":
    unittest.main()
