# SPDX-License-Identifier: Apache-2.0
"""The checks of the way mail comes in, each against a real DNS server: what a
client is told at each step of a conversation."""
import concurrent.futures
import os
import re
import socket
import threading
import time
import unittest

from dnslib import A, DNSRecord, RCODE, RR

from remote import HangUp, Remote
from sandbox import DEADLINE, Dns, Sandbox, Smtp, until


class Checks(unittest.TestCase):
    def box(self, zone, conf, cache=0, **more):
        """A server that knows the zone and has the sections of conf."""
        dns = Dns(zone)
        self.addCleanup(dns.close)
        box = Sandbox({"checks": f"""dns: {{ timeout = "20s"; cache_bytes = {cache}; }};
                       {conf}"""},
                      dns=dns.address, **more)
        self.addCleanup(box.close)
        box.dns = dns
        return box

    def no_dns(self, box):
        """From here on nobody answers, and that is known soon."""
        box.dns.process.kill()
        box.snippet("99-dns", 'dns: { timeout = "1s"; attempts = 1; };')
        box.ctl("reload")

    def client(self, box, address, helo="client.test"):
        client = Smtp(source_address=(address, 0))
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


class Access(Checks):
    ZONE = """
9.0.0.127.in-addr.arpa PTR p9.dyn.test
p9.dyn.test A 127.0.0.9
9.0.0.127.bad.test A 127.0.0.2
7.0.0.127.bad.test A 127.0.0.2
"""

    def test_rules_about_all_that_a_client_says(self):
        box = self.box(self.ZONE, """check_access: { order = 20; rules = [
            "deny host .dyn.test no homes", "deny helo evil.test",
            "allow client 127.0.0.7", "deny sender <>", "defer sender @.slow.test",
            "deny recipient carol@example.test" ]; };
            check_rbl: { exempt = [ ]; lists = [ "bad.test" ]; };""")
        for how, step, code in (
                (dict(address="127.0.0.9"), "helo", 550),
                (dict(address="127.0.0.8"), "rcpt", 250),
                (dict(address="127.0.0.8", helo="evil.test"), "helo", 550),
                (dict(address="127.0.0.8", sender=""), "mail", 550),
                (dict(address="127.0.0.8", sender="x@a.slow.test"), "mail", 450),
                (dict(address="127.0.0.8", to="carol@example.test"), "rcpt", 550),
                # an allowed client is asked about nowhere
                (dict(address="127.0.0.7", helo="evil.test", sender="",
                      to="carol@example.test"), "rcpt", 250)):
            self.assertEqual(self.talk(box, **how)[:2], (step, code), how)

    def test_the_file_counts_as_it_is_now(self):
        box = self.box("", "")
        # where the confined check role may read
        place = os.path.join(os.path.dirname(box.env["PH_MAIL"]), "check")
        path = os.path.join(place, "access")
        box.snippet("92-access", f'check_access: {{ file = "{path}"; }};')
        box.ctl("reload")
        self.assertEqual(self.talk(box)[1], 250)
        self.assertIn("access_file_unreadable", box.log())

        def write(text):
            with open(path + ".new", "w") as out:
                out.write(text)
            os.chmod(path + ".new", 0o644)
            os.rename(path + ".new", path)
        write("# ours\ndeny sender @remote.test go away\n")
        until(lambda: self.talk(box)[:2] == ("mail", 550), "it is read")
        self.assertIn("go away", self.talk(box)[2])
        self.assertRegex(box.log(), r"access_rule .*action=deny what=sender "
                         f"pattern=@remote.test of={path}")
        write("allow sender x@remote.test\nnonsense\ndeny sender @remote.test\n" +
              "deny client 192.0.2.1\n" * 2000)  # too many for one go
        until(lambda: self.talk(box)[1] == 250, "it is read again")
        self.assertEqual(self.talk(box, sender="y@remote.test")[1], 550)
        self.assertRegex(box.log(), r"access_file_wrong .*line=nonsense")
        os.unlink(path)
        self.assertEqual(self.talk(box, sender="y@remote.test")[1], 550, "it stays")

    def test_the_log_has_the_network(self):
        box = self.box("", 'check_access: { deny = [ "127.0.0.8/29" ]; };')
        self.assertEqual(self.talk(box)[1], 554)
        self.assertRegex(box.log(), r"access_network .*of=deny network=127\.0\.0\.8 bits=29")


class Rbl(Checks):
    ZONE = """
9.0.0.127.bad.test A 127.0.0.2
9.0.0.127.bad.test TXT known for spam
8.0.0.127.bad.test A 127.0.0.2
8.0.0.127.good.test A 127.0.0.2
7.0.0.127.bad.test A 127.255.255.254
2.0.0.127.bad.test A 127.0.0.2
2.0.0.127.grey.test A 127.255.255.254
1.0.0.127.liar.test A 127.0.0.2
6.0.0.127.liar.test A 127.0.0.2
5.0.0.127.slow.test RCODE TIMEOUT
5.0.0.127.bad.test A 127.0.0.3
4.0.0.127.slow.test RCODE TIMEOUT
3.0.0.127.grey.test A 127.0.0.4
"""
    CONF = """check_rbl: { exempt = [ ]; timeout = "10s"; tag_at = 1; reject_at = 2;
        lists = [ "bad.test weight=2", "good.test action=accept", "liar.test weight=2",
                  "slow.test", "grey.test codes=127.0.0.4" ]; %s };"""

    def test_who_is_refused(self):
        box = self.box(self.ZONE, self.CONF % "")
        step, code, text = self.talk(box, "127.0.0.9")
        self.assertEqual((step, code), ("rcpt", 550), text)
        self.assertIn("5.7.1 127.0.0.9 is listed by bad.test: known for spam", text)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:  # they wait
            late = [pool.submit(self.talk, box, f"127.0.0.{n}") for n in (4, 5)]
        for address in ("127.0.0.12", "127.0.0.6", "127.0.0.7", "127.0.0.8"):
            self.assertEqual(self.talk(box, address)[:2], ("rcpt", 250), address)
        self.assertEqual([f.result()[1] for f in late], [250, 550],
                         "a late list decides nothing")
        self.assertEqual(self.talk(box, "127.0.0.9", to="postmaster@example.test")[1], 250)
        self.assertRegex(box.log(), r"list_names_everybody .*zone=liar\.test")
        for zone, why in (("good", "does not name 127.0.0.2"),
                          ("grey", "says 127.255.255.254 of 127.0.0.2")):
            until(lambda: re.search(f"list_names_nobody .*zone={zone}.test .*{why}",
                                    box.log()), f"{zone}.test is of no use")
        self.assertNotRegex(box.log(), r"list_names_nobody .*zone=bad\.test")
        self.assertRegex(box.log(), r" listed .*zone=bad\.test "
                         r"name=9\.0\.0\.127\.bad\.test answer=127\.0\.0\.2 weight=2")

    def test_a_tag_reaches_the_reader(self):
        box = self.box(self.ZONE, self.CONF % "")
        self.send(box, "127.0.0.3")
        self.assertIn(b"X-Posthouse-Check: 127.0.0.3 is listed by grey.test",
                      box.inbox("bob", 1)[0])

    def test_an_outcome_is_known_for_a_while(self):
        soa = "".join(f"{name}.test SOA 3600\n" for name in (
            "good", "liar", "slow", "grey"))
        box = self.box(self.ZONE + soa, self.CONF % 'cache = "1h";')
        self.assertEqual(self.talk(box, "127.0.0.9")[1], 550)
        box.dns.write("")
        for _ in range(3):  # the list is not asked again
            self.assertEqual(self.talk(box, "127.0.0.9")[1], 550)

    def test_an_outcome_is_forgotten(self):
        box = self.box(self.ZONE, self.CONF % 'cache = "1s";')
        self.assertEqual(self.talk(box, "127.0.0.9")[1], 550)
        box.dns.write("")
        until(lambda: self.talk(box, "127.0.0.9")[1] == 250, "it is forgotten")

    def test_a_listing_is_known_no_longer_than_its_ttl(self):
        box = self.box(self.ZONE + "9.0.0.127.bad.test TTL 1", self.CONF % 'cache = "1h";')
        self.assertEqual(self.talk(box, "127.0.0.9")[1], 550)
        box.dns.write("")
        until(lambda: self.talk(box, "127.0.0.9")[1] == 250, "it is forgotten")

    def test_who_is_not_listed_is_known_as_long_as_the_zone_says(self):
        conf = """check_rbl: { exempt = [ ]; timeout = "20s"; cache = "1h";
                               lists = [ "%s.test" ]; };"""
        zone = "1h.test SOA 3600\nnow.test SOA 1\n"
        for name in ("1h", "now"):
            box = self.box(zone, conf % name)
            self.assertEqual(self.talk(box, "127.0.0.9")[1], 250)
            box.dns.write(zone + f"9.0.0.127.{name}.test A 127.0.0.2")
            if name == "now":  # but ten seconds at the least
                until(lambda: self.talk(box, "127.0.0.9")[1] == 550, "it is asked again")
            else:
                self.assertEqual(self.talk(box, "127.0.0.9")[1], 250)
            self.assertEqual(self.talk(box, "127.0.0.8")[1], 250)

    def test_the_verdict_may_be_the_greeting(self):
        box = self.box(self.ZONE, self.CONF % 'verdict = "connect";')
        _, code, text = self.client(box, "127.0.0.9")
        self.assertEqual(code, 554, text)
        self.assertEqual(self.talk(box, "127.0.0.8")[1], 250)

    def test_no_resolver_no_refusal(self):
        box = self.box(self.ZONE, self.CONF % "")
        self.no_dns(box)
        for _ in range(2):
            self.assertEqual(self.talk(box, "127.0.0.9")[1], 250)


class SenderDomain(Checks):
    ZONE = """
good.test MX 10 mail.good.test
plain.test A 192.0.2.1
null.test MX 0 .
broken.test RCODE SERVFAIL
big.test TRUNCATE yes
big.test MX 10 mail.good.test
"""

    def test_mail_must_be_able_to_go_back(self):
        box = self.box(self.ZONE, "check_sender_domain: { exempt = [ ]; };")
        for sender, code, enhanced in (
                ("x@good.test", 250, "2.1.0"), ("x@plain.test", 250, "2.1.0"),
                ("x@big.test", 250, "2.1.0"), ("", 250, "2.1.0"),
                ("x@null.test", 550, "5.7.27"), ("x@none.test", 550, "5.1.8"),
                ("x@broken.test", 450, "4.4.3")):
            client, *_ = self.client(box, "127.0.0.9")
            got, text = client.docmd("MAIL", f"FROM:<{sender}>")
            self.assertEqual((got, text.decode().split()[0]), (code, enhanced), sender)
            client.close()
        self.no_dns(box)
        self.assertEqual(self.talk(box, sender="x@good.test")[:2], ("mail", 450))

    def test_users_send_as_they_like(self):
        box = self.box(self.ZONE, "check_sender_domain: { exempt = [ ]; };"
                       'smtp_submission: { sender_check = "off"; };')
        client = box.submission("alice")
        self.assertEqual(client.mail("x@none.test")[0], 250)
        client.close()


class Helo(Checks):
    ZONE = """
good.test A 127.0.0.9
other.test A 127.0.0.8
broken.test RCODE SERVFAIL
"""

    def test_names(self):
        box = self.box(self.ZONE, """check_helo: { exempt = [ ]; unqualified = "defer";
            address = "reject"; literal = "reject"; unknown = "reject";
            mismatch = "reject"; };""")
        for name, step, code in (
                ("good.test", "rcpt", 250), ("[127.0.0.9]", "rcpt", 250),
                ("broken.test", "rcpt", 250), ("other.test", "mail", 550),
                ("none.test", "mail", 550), ("mail.example.test", "helo", 550),
                ("[127.0.0.1]", "helo", 550), ("[192.0.2.1]", "helo", 550),
                ("127.0.0.9", "helo", 550), ("localhost", "helo", 450)):
            self.assertEqual(self.talk(box, helo=name)[:2], (step, code), name)

    def test_a_name_refused_within_a_transaction_ends_it(self):
        box = self.box(self.ZONE, 'check_helo: { exempt = [ ]; address = "reject"; };')
        client, *_ = self.client(box, "127.0.0.9", "good.test")
        codes = [client.docmd(line)[0] for line in (
            "MAIL FROM:<x@good.test>", "RCPT TO:<bob@example.test>",
            "EHLO 127.0.0.9", "DATA", "MAIL FROM:<>", "EHLO good.test", "DATA")]
        self.assertEqual(codes, [250, 250, 550, 503, 503, 250, 503])

    def test_by_default_a_bad_name_only_scores(self):
        box = self.box(self.ZONE, 'log: { level = "debug"; }; '
                       'check_helo: { exempt = [ ]; };')
        self.send(box, helo="none.test")
        self.assertIn(b"hello", box.inbox("bob", 1)[0])
        self.assertIn("HELO none.test: no such name in DNS", box.log())


class PtrMx(Checks):
    ZONE = """
9.0.0.127.in-addr.arpa PTR mx.good.test
mx.good.test A 127.0.0.9
good.test MX 10 mx.good.test
8.0.0.127.in-addr.arpa PTR forged.good.test
forged.good.test A 192.0.2.1
other.test MX 10 mx.other.test
7.0.0.127.in-addr.arpa RCODE SERVFAIL
"""
    CONF = """check_ptr_mx: { exempt = [ ]; missing = "%s"; unconfirmed = "%s";
                              mx = "%s"; };"""

    def test_parts_have_their_own_actions(self):
        box = self.box(self.ZONE, self.CONF % ("defer", "reject", "reject"))
        for address, sender, code in (
                ("127.0.0.9", "x@good.test", 250), ("127.0.0.9", "", 250),
                ("127.0.0.9", "x@other.test", 550), ("127.0.0.8", "x@good.test", 550),
                ("127.0.0.7", "x@good.test", 250), ("127.0.0.6", "x@good.test", 450)):
            for helo in ("client.test", "mx.good.test"):
                self.assertEqual(self.talk(box, address, helo, sender)[:2],
                                 ("rcpt", code), (address, sender))

    def test_honest_mail_from_other_hosts_is_taken(self):
        box = self.box(self.ZONE, "check_ptr_mx: { exempt = [ ]; };")
        for address in ("127.0.0.9", "127.0.0.8", "127.0.0.6"):
            self.send(box, address, sender="x@other.test")
        self.assertEqual(len(box.inbox("bob", 3)), 3)

    def test_a_dead_resolver_is_held_against_nobody(self):
        box = self.box(self.ZONE, self.CONF % ("reject", "reject", "reject"))
        self.no_dns(box)
        self.assertEqual(self.talk(box)[1], 250)


class Greylist(Checks):
    CONF = """check_greylist: { exempt = [ ]; delay = "1s"; trust_after = 2; %s };"""

    def test_who_comes_back_is_let_in_and_known_after_a_restart(self):
        box = self.box("", self.CONF % "")
        step, code, text = self.talk(box)
        self.assertEqual((step, code), ("rcpt", 451), text)
        self.assertIn("4.7.1 greylisted", text)
        self.assertEqual(self.talk(box, "127.0.0.77", sender="y@remote.test")[1], 451)
        self.assertEqual(self.talk(box, to="postmaster@example.test")[1], 250)
        until(lambda: self.talk(box)[1] == 250, "it is let in")
        box.restart()
        self.assertEqual(self.talk(box)[1], 250)
        self.assertEqual(self.talk(box, sender="z@remote.test")[1], 451)
        until(lambda: self.talk(box, sender="y@remote.test")[1] == 250, "so is this")
        self.assertEqual(self.talk(box, sender="new@remote.test")[1], 250,
                         "the network is trusted")

    def test_known_hosts_are_let_in(self):
        zone = "".join(f"""{n}.0.0.127.in-addr.arpa PTR {name}
{name} A 127.0.0.{n}
""" for n, name in ((9, "a.b.big.test"), (10, "one.test"), (11, "x.one.test"), (12, "big.test")))
        box = self.box(zone, "")
        path = os.path.join(os.path.dirname(box.env["PH_MAIL"]), "check", "hosts")
        with open(path, "w") as out:
            out.write("# large\n.BIG.test\n")
        os.chmod(path, 0o644)
        box.snippet("92-hosts", f"""check_greylist: {{ exempt = [ ]; hosts = [ "one.test" ];
            hosts_file = "{path}"; }};""")
        box.ctl("reload")
        self.assertEqual([self.talk(box, f"127.0.0.{n}", sender=f"x{n}@remote.test")[1]
                          for n in (9, 10, 11, 12, 13)], [250, 250, 451, 250, 451])

    def test_without_the_store_nobody_is_put_off(self):
        box = self.box("", self.CONF % "")
        with box.stopped("queue"):
            client, *_ = self.client(box, "127.0.0.9")
            code, text = client.docmd("MAIL", "FROM:<x@remote.test>")
            if code == 250:
                code, text = client.docmd("RCPT", "TO:<bob@example.test>")
            client.close()
        self.assertEqual(code, 250, text)


class Rate(Checks):
    def test_limits_hold_over_sessions_and_processes(self):
        box = self.box("", """processes: { check = 2; }; check_rate: { exempt = [ ];
            limits = [ "messages per client 3/1h", "recipients per user 2/1h reject",
                       "connections per client 8/1h" ]; };""")
        codes = [self.talk(box)[:2] for _ in range(9)]
        self.assertEqual(codes, [("rcpt", 250)] * 3 + [("mail", 450)] * 5 +
                         [("helo", 421)])
        self.assertEqual(self.talk(box, "127.0.0.8")[:2], ("rcpt", 250))
        codes = []
        for _ in range(3):
            client = box.submission("alice")
            client.mail("alice@example.test")
            codes.append(client.rcpt("bob@example.test")[0])
            client.close()
        self.assertEqual(codes, [250, 250, 550])

    def test_a_time_that_is_over_counts_no_more(self):
        box = self.box("", """check_rate: { exempt = [ ];
            limits = [ "messages per sender 1/4s" ]; };""")
        self.assertEqual(self.talk(box)[:2], ("rcpt", 250))
        until(lambda: self.talk(box)[:2] == ("mail", 450), "another within its time")
        until(lambda: self.talk(box)[1] == 250, "the next time begins")

    def test_a_bad_limit_is_told_with_its_line(self):
        with self.assertRaises(AssertionError) as refused:
            Sandbox({"rate": '\ncheck_rate: {\n  limits = [ "mails per day 7" ]; };'})
        self.assertIn("it begins with connections, messages or recipients",
                      str(refused.exception))


class Recipient(Checks):
    def remote(self, **how):
        remote = Remote(**how)
        self.addCleanup(remote.close)
        return remote

    def ask(self, box, to):
        client = box.submission("alice")
        client.mail("alice@example.test")
        code, text = client.rcpt(to)
        client.close()
        return code, text.decode()

    def test_the_next_server_decides(self):
        def rule(verb, line, n):
            if verb == "RCPT" and "ghost" in line:
                return "550 5.1.1 nobody of that name"
            if verb == "RCPT" and "full" in line:
                return "452 4.2.2 full"
            if verb == "RCPT" and "policy" in line:
                return "550 5.7.1 we do not like you"
        remote = self.remote(rule=rule)
        box = self.box("", f"""check_recipient: {{ servers = [
            "inside.test 127.0.0.2:{remote.port}" ]; }};""")
        for _ in range(2):
            self.assertEqual(self.ask(box, "bob@inside.test")[0], 250)
            code, text = self.ask(box, "ghost@inside.test")
            self.assertEqual(code, 550)
            self.assertIn("5.1.1 no such recipient, the next server said: "
                          "550 5.1.1 nobody of that name", text)
            self.assertEqual(self.ask(box, "bob@example.test")[0], 250)
        self.assertEqual(sum("RCPT" in line for line in remote.lines), 2,
                         "answers are kept")
        self.assertIn("MAIL FROM:<>", remote.lines)
        self.assertEqual(self.ask(box, "full@inside.test")[0], 450)
        self.assertEqual(self.ask(box, "policy@inside.test")[0], 450)
        asked = len(remote.lines)
        box.restart()
        self.assertEqual(self.ask(box, "ghost@inside.test")[0], 550)
        self.assertEqual([line for line in remote.lines[asked:] if line != "QUIT"], [])

    def test_a_connection_takes_many_recipients(self):
        remote = self.remote(rule=lambda verb, line, n: "550 5.1.1 nobody"
                             if verb == "RCPT" and "ghost" in line else None)
        box = self.box("", f"""check_recipient: {{ servers = [
            "inside.test 127.0.0.2:{remote.port}" ]; }};""")
        client = box.submission("alice")
        client.mail("alice@example.test")
        codes = [client.rcpt(f"ghost{n}@inside.test" if n < 7 else f"user{n}@inside.test")[0]
                 for n in range(20)]
        client.close()
        self.assertEqual(codes, [550] * 7 + [250] * 13)
        # idle for two seconds each at most, which this machine may need
        self.assertLess(remote.connections, 10)
        self.assertIn("connections_kept", box.ctl("status").stdout)

    def test_a_kept_connection_that_ended_is_no_failure(self):
        links = []

        def rule(verb, line, n):
            if verb == "RCPT":
                links.append(n)
                if links.count(n) > 1:
                    raise HangUp
        remote = self.remote(rule=rule)
        box = self.box("", f"""check_recipient: {{ servers = [
            "inside.test 127.0.0.2:{remote.port}" ]; }};""")
        for n in range(3):
            self.assertEqual(self.ask(box, f"user{n}@inside.test")[0], 250)
        self.assertEqual(remote.connections, 3)

    def test_a_reply_too_many_is_nobodys_answer(self):
        """Come together with an answer: nothing is believed. Come later: the
        next question is asked on another connection."""
        links = []

        class Chatty(Remote):
            def _session(self, link, connection):
                link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                links.append(link)
                super()._session(link, connection)
        remote = Chatty(rule=lambda verb, line, n: "250 2.1.5 ok\r\n550 5.1.1 more"
                        if verb == "RCPT" and "odd" in line else None)
        self.addCleanup(remote.close)
        box = self.box("", f"""check_recipient: {{ servers = [
            "inside.test 127.0.0.2:{remote.port}" ]; }};""")
        self.assertEqual(self.ask(box, "odd@inside.test")[0], 450)
        self.assertRegex(box.log(), "recipient_unsure .*says more than it was asked")
        for n in range(20):  # it must come before the connection is idle for too long
            code, text = self.ask(box, f"user{n}@inside.test")
            self.assertEqual(code, 250, text)
            try:
                links[-1].sendall(b"550 5.1.1 late\r\n")
            except OSError:
                pass
            if "callout_unasked" in box.log():
                break
        self.assertRegex(box.log(), r'callout_unasked .*said="550 5\.1\.1 late')

    def test_a_server_that_is_down_defers(self):
        remote = Remote()
        remote.close()
        for unsure, code in (("defer", 450), ("pass", 250)):
            box = self.box("", f"""check_recipient: {{ unsure = "{unsure}";
                servers = [ "*.inside.test 127.0.0.2:{remote.port}" ]; }};""")
            self.assertEqual(self.ask(box, "bob@a.inside.test")[0], code)
            self.assertIn("recipient_unsure", box.log())

    def test_not_too_many_ask_at_a_time(self):
        release = threading.Event()
        remote = self.remote(rule=lambda verb, line, n: release.wait(DEADLINE)
                             and None if verb == "RCPT" else None)
        box = self.box("", f"""check_recipient: {{ connections = 1; servers = [
            "inside.test 127.0.0.2:{remote.port}" ]; }};""")
        codes = []
        asking = threading.Thread(target=lambda: codes.append(
            self.ask(box, "one@inside.test")[0]))
        asking.start()
        until(lambda: any("RCPT" in line for line in remote.lines), "it is asked")
        waiting = threading.Thread(target=lambda: codes.append(
            self.ask(box, "two@inside.test")[0]))
        waiting.start()
        until(lambda: "recipient_waits" in box.log(), "the second waits")
        self.assertEqual(remote.connections, 1)
        self.assertEqual(sum("RCPT" in line for line in remote.lines), 1)
        release.set()
        asking.join()
        waiting.join()
        self.assertEqual(codes, [250, 250])
        self.assertEqual(remote.connections, 1, "the second goes on with it")


class SlowList:
    """A resolver that knows of each question at once and answers when it may."""

    def __init__(self):
        self.asked, self.may = [], threading.Event()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        waiting = []
        self.socket.settimeout(0.02)
        while self.socket.fileno() >= 0:
            try:
                data, client = self.socket.recvfrom(2048)
            except socket.timeout:
                data = None
            except OSError:
                return
            if data is not None:
                question = DNSRecord.parse(data)
                self.asked.append(str(question.q.qname))
                waiting.append((question, client))
            while self.may.is_set() and waiting:
                question, client = waiting.pop()
                reply = question.reply()
                if str(question.q.qname) == "9.0.0.127.bad.test.":
                    reply.add_answer(RR(question.q.qname, rdata=A("127.0.0.2"), ttl=60))
                else:
                    reply.header.rcode = RCODE.NXDOMAIN
                self.socket.sendto(reply.pack(), client)

    def close(self):
        self.socket.close()
        self.thread.join()


class Honest(Checks):
    """Mail that no postmaster wants refused."""
    ZONE = """
good.test MX 10 mail.good.test
under_score.test A 127.0.0.9
xn--bcher-kva.test MX 10 mail.good.test
broken.test RCODE SERVFAIL
"""
    ALL = " ".join(f"check_{name}: {{ exempt = [ ]; %s }};" for name in (
        "rbl", "sender_domain", "helo", "ptr_mx", "rate")) % (
            'lists = [ "bad.test", "broken.test" ];', "", "", "",
            'limits = [ "messages per client 100/1m" ];') + "check_access: { };"

    def test_is_not_refused_by_defaults(self):
        box = self.box(self.ZONE, self.ALL)
        for address, helo, sender in (
                ("127.0.0.9", "client.test", ""),             # a bounce
                ("127.0.0.9", "client.test", "x@good.test"),  # no PTR
                ("::1", "client.test", "x@good.test"),        # of IPv6, too
                ("127.0.0.9", "[127.0.0.9]", "x@good.test"),
                ("::1", "[IPv6:::1]", "x@good.test"),
                ("127.0.0.9", "under_score.test", "x@under_score.test"),
                ("127.0.0.9", "pc_17", "x@good.test"),
                ("127.0.0.9", "localhost", "x@good.test"),
                ("127.0.0.9", "127.0.0.9", "x@good.test"),
                ("127.0.0.1", "mail.example.test", "x@good.test"),  # ourselves
                ("127.0.0.9", "client.test", "bob@example.test"),   # from our domain
                ("127.0.0.9", "client.test", "\"a b\"@good.test"),
                ("127.0.0.9", "client.test", "x@b\u00fccher.test")):
            with Smtp("::1" if ":" in address else "127.0.0.1", box.port("smtp"),
                      source_address=(address, 0)) as client:
                client.command_encoding = "utf-8"
                how = "" if sender.isascii() else " SMTPUTF8"
                for line in (f"EHLO {helo}", f"MAIL FROM:<{sender}>{how}",
                             "RCPT TO:<bob@example.test>", "RCPT TO:<postmaster>"):
                    code, text = client.docmd(line)
                    self.assertEqual(code, 250, (address, helo, sender, line, text))

    def test_clients_of_ours_are_no_strangers(self):
        strict = """check_greylist: { exempt = [ ]; };
            check_rbl: { exempt = [ ]; lists = [ "bad.test" ]; };
            check_sender_domain: { exempt = [ ]; };
            check_helo: { exempt = [ ]; unqualified = "reject"; unknown = "reject"; };
            check_ptr_mx: { exempt = [ ]; missing = "reject"; };"""
        zone = "9.0.0.127.bad.test A 127.0.0.2"
        for networks, sender, code in (('"127.0.0.8/31"', "x@nowhere.test", 250),
                                       ('"192.0.2.0/24"', "x@example.test", 550)):
            box = self.box(zone, f"relay_networks = [ {networks} ]; {strict}")
            self.assertEqual(self.talk(box, helo="pc17", sender=sender)[1], code)

    def test_front_ends_make_nobody_ours(self):
        box = self.box("9.0.0.127.bad.test A 127.0.0.2", """relay_networks = [ "127.0.0.9" ];
            smtp_inbound: { xclient_networks = [ "127.0.0.1" ]; };
            check_rbl: { exempt = [ ]; explain = false; timeout = "20s";
                         lists = [ "bad.test" ]; };""")

        def said():
            with box.smtp() as client:
                return [client.docmd(line)[0] for line in (
                    "EHLO front.test", "XCLIENT ADDR=127.0.0.9", "EHLO client.test",
                    "MAIL FROM:<x@good.test>", "RCPT TO:<bob@example.test>")]
        self.assertEqual(said()[-2:], [250, 550])
        box.snippet("99-front", 'relay_front_ends = [ "127.0.0.1" ];')
        box.ctl("reload")
        self.assertEqual(said()[-2:], [250, 250])


class EarlyStart(Checks):
    def test_what_is_asked_at_connect_is_answered_at_rcpt(self):
        dns = SlowList()
        self.addCleanup(dns.close)
        box = Sandbox({"checks": """dns: { timeout = "30s"; attempts = 1; };
            check_rbl: { exempt = [ ]; explain = false; timeout = "30s";
                         lists = [ "bad.test", "other.test" ]; };"""}, dns=dns.address)
        self.addCleanup(box.close)
        client, code, _ = self.client(box, "127.0.0.9")
        self.assertEqual(code, 250, "the lists hold up nobody before RCPT")
        until(lambda: {"9.0.0.127.bad.test.", "9.0.0.127.other.test."} <= set(dns.asked),
              "both are asked, at once")
        self.assertEqual(client.docmd("MAIL", "FROM:<x@remote.test>")[0], 250)
        dns.may.set()
        self.assertEqual(client.docmd("RCPT", "TO:<bob@example.test>")[0], 550)


class Kept(Checks):
    """The cache of the dns section, which is off unless it is asked for."""

    def test_answers_are_kept_for_their_ttl_until_a_reload(self):
        zone = "remote.test MX 10 mx.remote.test\nmx.remote.test A 192.0.2.1\n"
        box = self.box(zone, """processes: { check = 1; };
            check_sender_domain: { exempt = [ ]; };""", cache='"1M"')
        self.assertEqual(self.talk(box)[1], 250)
        self.assertEqual(self.talk(box, sender="x@new.test")[:2], ("mail", 550))
        box.dns.write("new.test A 192.0.2.1\n")
        # that there is nothing is kept when an SOA record says for how long
        self.assertEqual(self.talk(box, sender="x@new.test")[1], 250)
        self.assertEqual(self.talk(box)[1], 250)
        self.assertRegex(box.ctl("status").stdout, r"dns_cached\W+[1-9]")
        box.ctl("reload")
        self.assertEqual(self.talk(box)[:2], ("mail", 550))

    def test_what_could_not_be_told_is_asked_again(self):
        box = self.box("remote.test RCODE SERVFAIL\n",
                       "check_sender_domain: { exempt = [ ]; };", cache='"1M"')
        self.assertEqual(self.talk(box)[1], 450)
        box.dns.write("remote.test A 192.0.2.1\n")
        self.assertEqual(self.talk(box)[1], 250)


class Together(Checks):
    """What the checks cost."""

    def test_seven_lookups_of_100_ms_cost_less_than_150(self):
        zone = """
* DELAY 100
9.0.0.127.in-addr.arpa PTR mx.good.test
mx.good.test A 127.0.0.9
good.test MX 10 mx.good.test
""" + "\n".join(f"2.0.0.127.list{i}.test A 127.0.0.2" for i in range(5))
        conf = """check_rbl: { exempt = [ ]; cache = "0s"; lists = [ %s ]; };
            check_ptr_mx: { exempt = [ ]; };
            check_sender_domain: { exempt = [ ]; };""" % ", ".join(
                f'"list{i}.test"' for i in range(5))
        box = self.box(zone, conf)
        plain = self.box("", "")
        self.send(plain)  # warm

        with_checks, without = [], []

        def measure(which, took):
            start = time.monotonic()
            self.send(which, helo="mx.good.test", sender="x@good.test")
            took.append(time.monotonic() - start)
            return min(took)
        # one after the other they would never take less than 200 ms
        until(lambda: measure(box, with_checks) - measure(plain, without) < 0.150,
              "look-ups that are made together")
        self.assertGreater(min(with_checks), 0.1, "they were asked")


if __name__ == "__main__":
    unittest.main()
