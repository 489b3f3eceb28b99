#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What a score comes to: the section `policy`, on a server whose checks give
each client the points that its address asks for."""
import json
import re
import unittest

from sandbox import Dns, Sandbox, Smtp, until

# 127.0.0.N has N points of check_rbl, one more of check_helo without a dot.
ZONE = "\n".join(f"{n}.0.0.127.bit{bit}.test A 127.0.0.2"
                 for n in range(2, 16) for bit in range(4) if n >> bit & 1)
POINTS = """check_rbl: { order = 40; exempt = [ ]; timeout = "30s"; reject_at = 0; verdict = "%s"; lists = [
        "bit0.test weight=1", "bit1.test weight=2", "bit2.test weight=4", "bit3.test weight=8" ]; };
    check_helo: { order = 44; exempt = [ ]; unknown = "off"; };"""
LIMITS = """policy: { tag_at = 2; quarantine_at = 4; defer_at = 8; reject_at = 12; %s };"""


class Policy(unittest.TestCase):
    def box(self, policy="", verdict="mail", more=""):
        dns = Dns(ZONE)
        self.addCleanup(dns.close)
        box = Sandbox({"policy": LIMITS % policy + POINTS % verdict + more},
                      dns=dns.address)
        self.addCleanup(box.close)
        return box

    def talk(self, box, n, helo="a.test", to=("bob@example.test",), text="hello"):
        """(step, code, text) of the refusal or of the end of the content."""
        client = Smtp(source_address=(f"127.0.0.{n}", 0))
        self.addCleanup(client.close)
        client.connect("127.0.0.1", box.port("smtp"))
        client.helo(helo)
        step, (code, said) = "mail", client.docmd("MAIL", "FROM:<x@remote.test>")
        for one in to:
            if code == 250:
                step, (code, said) = "rcpt", client.docmd("RCPT", f"TO:<{one}>")
        if code == 250:
            step, (code, said) = "data", client.data(f"Subject: {text}\r\n\r\n{text}\r\n")
        client.close()
        return step, code, said.decode()

    def listed(self, box, *words):
        return [json.loads(line) for line in
                box.ctl("queue", "list", "--json", *words).stdout.splitlines()]

    def test_each_limit_has_its_answer(self):
        box = self.box()
        self.assertEqual(self.talk(box, 1, text="clean")[:2], ("data", 250))
        self.assertEqual(self.talk(box, 3, text="tagged")[:2], ("data", 250))
        mail = box.inbox("bob", 2)
        tagged = next(m for m in mail if b"Subject: tagged" in m)
        clean = next(m for m in mail if b"Subject: clean" in m)
        self.assertIn(b"X-Posthouse-Score: 3 (check_rbl 3)\r\n", tagged)
        self.assertNotIn(b"X-Posthouse-Score", clean)
        step, code, said = self.talk(box, 8)
        self.assertEqual((step, code), ("rcpt", 451), said)
        step, code, said = self.talk(box, 12)
        self.assertEqual((step, code), ("rcpt", 550), said)
        self.assertRegex(said, r"^5\.7\.1 The message looks unwanted \(([0-9a-z]{13})\)$")
        trace = box.ctl("trace", re.search(r"\((\w+)\)", said)[1]).stdout
        self.assertRegex(trace, r'policy .*stage=rcpt verdict=reject '
                         r'to=bob@example\.test reason="score 12 \(check_rbl 12\), reject_at 12"')

    def test_one_point_decides_and_each_share_is_told(self):
        box = self.box()
        self.assertEqual(self.talk(box, 11)[1], 451)
        step, code, said = self.talk(box, 11, helo="short")
        self.assertEqual((step, code), ("rcpt", 550), said)
        until(lambda: re.search(
            r"score 12 \((check_rbl 11, check_helo 1|check_helo 1, check_rbl 11)\), "
            r"reject_at 12", box.log()), "each share")

    def test_quarantine_is_a_place(self):
        box = self.box()
        for text in ("one", "two", "three"):
            self.assertEqual(self.talk(box, 5, text=text)[:2], ("data", 250))
        found = self.listed(box, "--state=quarantine")
        self.assertEqual(len(found), 3)
        self.assertEqual(found[0]["quarantine"],
                         "policy: score 5 (check_rbl 5), quarantine_at 4")
        self.assertEqual(self.listed(box, "--state=held"), [])
        one, two, three = (m["id"] for m in found)
        self.assertIn("in quarantine, policy: score 5", box.ctl("queue", "why", one).stdout)
        trace = box.ctl("trace", one).stdout
        self.assertRegex(trace, r"verdict module=check_rbl stage=mail verdict=next .*score=5")
        self.assertRegex(trace, r'verdict module=policy stage=message verdict=quarantine '
                         r'.*reason="score 5 \(check_rbl 5\), quarantine_at 4"')
        box.kill()
        box.restart()
        self.assertEqual(len(self.listed(box, "--state=quarantine")), 3)
        box.ctl("queue", "release", one)
        self.assertIn(b"X-Posthouse-Score: 5 (check_rbl 5)", box.inbox("bob", 1)[0])
        box.ctl("queue", "delete", two)
        self.assertEqual([m["id"] for m in self.listed(box)], [three])
        box.ctl("queue", "release", "--state=quarantine")
        box.inbox("bob", 2)
        until(lambda: self.listed(box) == [], "nothing waits")

    def test_the_stage_is_where_the_score_is_settled(self):
        # points that come at rcpt count there, and what a later recipient adds
        box = self.box(verdict="rcpt")
        self.assertEqual(self.talk(box, 12)[:2], ("rcpt", 550))
        late = self.box('stage = "message"; header = ""; reject_text = "no, thanks";')
        step, code, said = self.talk(late, 12)
        self.assertEqual((step, code), ("data", 550), said)
        self.assertIn("5.7.1 no, thanks", said)
        self.assertEqual(self.talk(late, 3)[:2], ("data", 250))
        self.assertNotIn(b"X-Posthouse-Score", late.inbox("bob", 1)[0])

    def test_postmaster_can_be_asked(self):
        box = self.box()
        self.assertEqual(self.talk(box, 12, to=("postmaster@example.test",))[:2], ("data", 250))
        self.assertEqual(self.talk(box, 12, to=("postmaster@example.test",
                                                "bob@example.test"))[:2], ("rcpt", 550))
        strict = self.box("spare_postmaster = false;")
        self.assertEqual(self.talk(strict, 12, to=("postmaster@example.test",))[:2],
                         ("rcpt", 550))

    def test_a_shadow_decides_nothing(self):
        box = self.box('mode = "shadow";')
        self.assertEqual(self.talk(box, 12)[:2], ("data", 250))
        self.assertNotIn(b"X-Posthouse-Score", box.inbox("bob", 1)[0])
        self.assertRegex(box.log(), r"policy .*verdict=reject mode=shadow .*reject_at 12")

    def test_a_reload_moves_the_limits(self):
        box = self.box()
        self.assertEqual(self.talk(box, 12)[1], 550)
        box.snippet("99-limits", "policy: { reject_at = 13; defer_at = 0; quarantine_at = 0; };")
        box.ctl("reload")
        self.assertEqual(self.talk(box, 12)[1], 250)
        box.snippet("99-limits", 'policy: { reject_att = 13; };')
        said = box.ctl("reload", check=False)
        self.assertRegex(said.stderr, r'99-limits\.conf:1: unknown option "reject_att".*'
                         r'did you mean "reject_at"')
        box.snippet("99-limits", 'policy: { header = "X Y"; };')
        self.assertRegex(box.ctl("reload", check=False).stderr,
                         r'99-limits\.conf:1: header: "X Y" is no name of a header field')


class When(unittest.TestCase):
    """Conditions: who is asked about whom."""
    SECTIONS = """relay_networks = [ "127.0.0.0/8" ];
        here: { module = "check_access"; order = 20;
            rules = [ "deny sender x@remote.test here" ];
            when: { listeners = [ "smtp_inbound" ]; clients = [ "127.0.0.5" ]; }; };
        strangers: { module = "check_access"; order = 21;
            rules = [ "deny sender alice@example.test strangers" ];
            when: { authenticated = "no"; }; };
        domain: { module = "check_access"; order = 22;
            rules = [ "deny recipient bob@ domain" ];
            when: { recipient_domains = [ "example.test" ]; };
            unless: { sender_domains = [ ".friends.test" ]; }; };"""

    def setUp(self):
        self.box = Sandbox({"when": self.SECTIONS})
        self.addCleanup(self.box.close)

    def said(self, address="127.0.0.9", sender="x@remote.test", to="carol@example.test"):
        with Smtp("127.0.0.1", self.box.port("smtp"), source_address=(address, 0)) as client:
            client.ehlo("client.test")
            code, text = client.mail(sender)
            if code == 250:
                code, text = client.rcpt(to)
        return code, text.decode()

    def asked(self):
        return int(re.search(r"^check.0 stages (\d+)$", self.box.ctl("status").stdout,
                             re.M)[1])

    def test_who_is_asked_about_whom(self):
        for how, reason in (
                (dict(address="127.0.0.5"), "here"),
                (dict(address="127.0.0.6"), None),
                (dict(sender="alice@example.test"), "strangers"),
                (dict(to="bob@example.test"), "domain"),
                (dict(to="bob@other.test"), None),
                (dict(to="bob@example.test", sender="x@a.friends.test"), None),
                (dict(to="bob@example.test", sender="x@friends.test"), "domain"),
                (dict(to="bob@example.test", sender=""), "domain")):
            code, text = self.said(**how)
            self.assertEqual(code, 550 if reason else 250, (how, text))
            self.assertIn(reason or "", text)
        client = self.box.submission("alice")
        client.sendmail("alice@example.test", ["carol@example.test"],
                        b"From: <alice@example.test>\r\nSubject: x\r\n\r\nx\r\n")
        client.quit()
        self.box.inbox("carol", 1)

    def test_who_concerns_nobody_costs_nobody(self):
        self.box.snippet("99-when", """domain: { enabled = false; };
            strangers: { enabled = false; };""")
        self.box.ctl("reload")
        self.said("127.0.0.6")
        before = self.asked()
        self.assertEqual(self.said("127.0.0.6")[0], 250)
        self.assertEqual(self.asked(), before)
        self.assertEqual(self.said("127.0.0.5")[0], 550)
        self.assertGreater(self.asked(), before)

    def test_a_policy_for_some(self):
        self.box.snippet("99-when", """relay_networks = [ ];
            router_routes: { enabled = true; relay_domains = [ "other.test" ]; };
            policy: { reject_at = 1;
                when: { recipient_domains = [ "example.test" ]; }; };
            domain: { enabled = false; };
            check_helo: { exempt = [ ]; address = "off"; unqualified = "score";
                unknown = "off"; };""")
        self.box.ctl("reload")
        with self.box.smtp() as client:
            client.helo("short")
            client.mail("x@remote.test")
            self.assertEqual(client.rcpt("carol@example.test")[0], 550)
            self.assertEqual(client.rcpt("carol@other.test")[0], 250)
            self.assertEqual(client.data(b"Subject: x\r\n\r\nx\r\n")[0], 250)


if __name__ == "__main__":
    unittest.main()
