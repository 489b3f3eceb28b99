# SPDX-License-Identifier: Apache-2.0
"""The checks of the way mail comes in, each against a real DNS server: what a
client is told at each step of a conversation."""
import smtplib
import unittest

from sandbox import DEADLINE, Dns, Sandbox, until


class Checks(unittest.TestCase):
    def box(self, zone, conf, **more):
        """A server that knows the zone and has the sections of conf."""
        dns = Dns(zone)
        self.addCleanup(dns.close)
        box = Sandbox({"checks": f'dns: {{ timeout = "2s"; }}; {conf}'},
                      dns=dns.address, **more)
        self.addCleanup(box.close)
        box.dns = dns
        return box

    def client(self, box, address, helo="client.test"):
        client = smtplib.SMTP(timeout=DEADLINE, source_address=(address, 0))
        self.addCleanup(client.close)
        code, text = client.connect("127.0.0.1", box.port("smtp"))
        if code == 220:
            code, text = client.helo(helo)
        return client, code, text

    def talk(self, box, address="127.0.0.9", helo="client.test",
             sender="x@remote.test", to="bob@example.test"):
        """(step, code, text) of the refusal, or of the last step, RCPT."""
        client, code, text = self.client(box, address, helo)
        step = "helo"
        if code == 250:
            step, (code, text) = "mail", client.docmd("MAIL", f"FROM:<{sender}>")
        if code == 250:
            step, (code, text) = "rcpt", client.docmd("RCPT", f"TO:<{to}>")
        client.close()
        return step, code, text.decode()

    def send(self, box, address="127.0.0.9", helo="client.test",
             sender="x@remote.test", to="bob@example.test"):
        client, code, text = self.client(box, address, helo)
        self.assertEqual(code, 250, text)
        client.sendmail(sender, [to], b"Subject: hello\r\n\r\nhello\r\n")
        client.quit()


class Rbl(Checks):
    ZONE = """
9.0.0.127.bad.test A 127.0.0.2
9.0.0.127.bad.test TXT known for spam
8.0.0.127.bad.test A 127.0.0.2
8.0.0.127.good.test A 127.0.0.2
7.0.0.127.bad.test A 127.255.255.254
1.0.0.127.liar.test A 127.0.0.2
6.0.0.127.liar.test A 127.0.0.2
5.0.0.127.slow.test RCODE TIMEOUT
5.0.0.127.bad.test A 127.0.0.3
4.0.0.127.slow.test RCODE TIMEOUT
3.0.0.127.grey.test A 127.0.0.4
"""
    CONF = """check_rbl: { exempt = [ ]; timeout = "1s"; tag_at = 1; reject_at = 2;
        lists = [ "bad.test weight=2", "good.test action=accept", "liar.test weight=2",
                  "slow.test", "grey.test codes=127.0.0.4" ]; %s };"""

    def test_who_is_refused(self):
        box = self.box(self.ZONE, self.CONF % "")
        step, code, text = self.talk(box, "127.0.0.9")
        self.assertEqual((step, code), ("rcpt", 550), text)
        self.assertIn("5.7.1 127.0.0.9 is listed by bad.test: known for spam", text)
        for address in ("127.0.0.2", "127.0.0.4", "127.0.0.6", "127.0.0.7",
                        "127.0.0.8"):
            self.assertEqual(self.talk(box, address)[:2], ("rcpt", 250), address)
        self.assertEqual(self.talk(box, "127.0.0.5")[1], 550, "a late list decides nothing")
        self.assertEqual(self.talk(box, "127.0.0.9", to="postmaster@example.test")[1], 250)
        self.assertRegex(box.log(), r"list_names_everybody .*zone=liar\.test")

    def test_a_tag_reaches_the_reader(self):
        box = self.box(self.ZONE, self.CONF % "")
        self.send(box, "127.0.0.3")
        self.assertIn(b"X-Posthouse-Check: 127.0.0.3 is listed by grey.test",
                      box.inbox("bob", 1)[0])

    def test_an_outcome_is_known_for_a_while(self):
        box = self.box(self.ZONE, self.CONF % 'cache = "1s";')
        self.assertEqual(self.talk(box, "127.0.0.9")[1], 550)
        box.dns.write("")
        self.assertEqual(self.talk(box, "127.0.0.9")[1], 550)
        until(lambda: self.talk(box, "127.0.0.9")[1] == 250, "it is forgotten")

    def test_the_verdict_may_be_the_greeting(self):
        box = self.box(self.ZONE, self.CONF % 'verdict = "connect";')
        _, code, text = self.client(box, "127.0.0.9")
        self.assertEqual(code, 554, text)
        self.assertEqual(self.talk(box, "127.0.0.8")[1], 250)

    def test_no_resolver_no_refusal(self):
        box = self.box(self.ZONE, self.CONF % "")
        box.dns.process.kill()
        for _ in range(2):
            self.assertEqual(self.talk(box, "127.0.0.9")[1], 250)


if __name__ == "__main__":
    unittest.main()
